//! The IMAP client on a real Dovecot, read back by Python's own client.

mod support;

use relay::imap::{
    Append, AppendWay, BodySink, Endpoint, Error, Fetched, Flag, Limits, Login, Meta, Name,
    Session, Tls, Trust, UidSet, Whole, connect,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io, process::Command};
use support::{peers::Peer, temp};

/// Reads a folder, or deletes some of it, as another client would.
const OTHER: &str = r#"
import imaplib, json, re, sys
port, user, folder, delete = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
m = imaplib.IMAP4("127.0.0.1", port)
m.login(user, "pw")
assert m.select('"' + folder + '"')[0] == "OK"
if delete:
    assert m.uid("STORE", delete, "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert m.expunge()[0] == "OK"
out = []
for part in m.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1]:
    if isinstance(part, tuple):
        head = part[0].decode()
        out.append([int(re.search(r"UID (\d+)", head)[1]),
            sorted(re.search(r"FLAGS \(([^)]*)\)", head)[1].replace("\\Recent", "").split()),
            re.search(r'INTERNALDATE "([^"]*)"', head)[1], part[1].decode("latin-1")])
print(json.dumps(out))
"#;

fn other(port: u16, folder: &str, delete: &str) -> Value {
    let output = Command::new("python3")
        .args(["-c", OTHER, &port.to_string(), "alice", folder, delete])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn session(port: u16, login: &Login, compress: bool) -> Result<Session, Error> {
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls: Tls::Plain,
        trust: Trust::System,
        compress,
    };
    let limits = Limits {
        connect: support::PATIENCE,
        ..Limits::default()
    };
    connect(&endpoint, login, &limits).await
}

fn alice() -> Login {
    Login::Password {
        user: "alice".into(),
        password: "pw".into(),
    }
}

/// A server may keep the instant alone and show it in its own zone.
fn instant(date: &str) -> jiff::Timestamp {
    let read = jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", date.trim_start());
    read.unwrap().to_timestamp().unwrap()
}

/// Messages of which each byte matters.
fn bodies() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        b"Subject: a\r\n\r\n.\r\n..\r\n".to_vec(),
        b"Subject: no end of line".to_vec(),
        b"\r\n{5}\r\n)\r\nr1 OK done\r\n".to_vec(),
        b"Subject: \xe9\xff\r\n\r\n\x01\x7f\xc3\xa9\r\n".to_vec(),
    ];
    for size in [4095, 4096, 4097, 70_000, 3 << 20] {
        let mut body = b"Subject: large\r\n\r\n".to_vec();
        while body.len() < size {
            body.extend_from_slice(format!("line {}\r\n", body.len()).as_bytes());
        }
        body.truncate(size);
        if body.last() == Some(&b'\r') {
            body.push(b'\n');
        }
        all.push(body);
    }
    for number in 0..150 {
        all.push(format!("Subject: {number}\r\n\r\ntext\r\n").into_bytes());
    }
    all
}

#[derive(Default)]
struct Kept(BTreeMap<u32, (Vec<u8>, Meta)>, Vec<u8>);

impl BodySink for Kept {
    async fn begin(&mut self, _: Fetched) -> io::Result<()> {
        self.1.clear();
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.extend_from_slice(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        self.0.insert(meta.uid, (self.1.clone(), meta));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_in_and_out_byte_by_byte() {
    let directory = temp();
    let dovecot = Peer::dovecot(directory.path());
    let port = dovecot.port("imap");
    let (bodies, flags) = (bodies(), [Flag::from("\\Seen"), Flag::from("$Forwarded")]);
    const DATE: &str = "17-Jul-1996 02:44:25 -0700";
    for (way, compress) in [
        (AppendWay::Multi, true),
        (AppendWay::Pipelined, false),
        (AppendWay::OneByOne, false),
        (AppendWay::Pipelined, true),
    ] {
        let mut session = session(port, &alice(), compress).await.unwrap();
        assert!(session.has("COMPRESS=DEFLATE") && session.has_vanished());
        let folder = Name::encode(&format!("{way:?} {compress} \"é\" & ü"));
        session.create(&folder).await.unwrap();
        let batch = bodies.iter().map(|body| Append {
            flags: flags.to_vec(),
            internaldate: Some(DATE.into()),
            size: body.len() as u64,
            body: Whole::new(body.clone()),
        });
        let results = session.append_by(way, &folder, batch.collect()).await;
        let selected = session.examine(&folder).await.unwrap();
        let mut uids = Vec::new();
        for result in results {
            let appended = result.unwrap();
            assert_eq!(appended.uidvalidity, selected.uidvalidity);
            uids.push(appended.uid.unwrap());
        }
        let all = session.uids(1, u32::MAX).await.unwrap();
        assert_eq!(all, uids.iter().copied().collect());
        let mut kept = Kept::default();
        assert_eq!(session.fetch(&all, &mut kept).await.unwrap(), all);
        for (uid, body) in uids.iter().zip(&bodies) {
            let (bytes, meta) = &kept.0[uid];
            assert_eq!(bytes, body);
            assert_eq!(
                instant(meta.internaldate.as_deref().unwrap()),
                instant(DATE)
            );
            let mut told = meta.flags.clone();
            told.sort();
            assert_eq!(told, [Flag::from("$Forwarded"), Flag::from("\\Seen")]);
        }
        let raw = String::from_utf8(folder.raw().to_vec())
            .unwrap()
            .replace('"', "\\\"");
        let read = other(port, &raw, "");
        let read = read.as_array().unwrap();
        assert_eq!(read.len(), bodies.len());
        for (message, (uid, body)) in read.iter().zip(uids.iter().zip(&bodies)) {
            let text: String = body.iter().map(|byte| char::from(*byte)).collect();
            assert_eq!(message[0], json!(uid));
            assert_eq!(message[1], json!(["$Forwarded", "\\Seen"]));
            assert_eq!(instant(message[2].as_str().unwrap()), instant(DATE));
            assert!(message[3] == json!(text), "UID {uid} of {folder}");
        }
        session.logout().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_flags_and_what_vanished_are_told() {
    let directory = temp();
    let dovecot = Peer::dovecot(directory.path());
    let port = dovecot.port("imap");
    let mut session = session(port, &alice(), false).await.unwrap();
    let nested = Name::encode("Büro/a b/😀");
    session.create(&nested).await.unwrap();
    session.subscribe(&nested).await.unwrap();
    let inbox = Name::encode("INBOX");
    let batch = (0..6).map(|_| Append {
        flags: Vec::new(),
        internaldate: None,
        size: 8,
        body: Whole::new(b"A: b\r\n\r\n".to_vec()),
    });
    for result in session.append(&inbox, batch.collect()).await {
        result.unwrap();
    }
    let folders = session.folders().await.unwrap();
    let find = |name: &Name| folders.iter().find(|folder| folder.name == *name).unwrap();
    assert!(find(&nested).subscribed && !find(&inbox).subscribed);
    assert_eq!(find(&inbox).status.unwrap().messages, Some(6));
    let absent = Name::encode("absent");
    let names = [
        absent.clone(),
        inbox.clone(),
        absent.clone(),
        nested.clone(),
    ];
    let names: Vec<Name> = names.iter().cycle().take(40).cloned().collect();
    let statuses = session.statuses(&names).await.unwrap();
    for (name, status) in names.iter().zip(&statuses) {
        assert_eq!(status.is_err(), *name == absent, "{name}: {status:?}");
        if *name == inbox {
            assert_eq!(status.as_ref().unwrap(), &find(&inbox).status.unwrap());
        }
    }

    let selected = session.select(&inbox).await.unwrap();
    assert_eq!((selected.exists, selected.read_only), (6, false));
    let since = selected.highestmodseq.unwrap();
    session
        .store_flags(&UidSet::range(2, 3), &[Flag::from("$New")])
        .await
        .unwrap();
    let mut changed = Vec::new();
    let on = |meta: Meta| changed.push((meta.uid, meta.flags));
    session.scan(1, u32::MAX, Some(since), on).await.unwrap();
    assert_eq!(changed, [2, 3].map(|uid| (uid, vec![Flag::from("$New")])));
    let left = other(port, "INBOX", "5,6");
    assert_eq!(left.as_array().unwrap().len(), 4);
    session.noop().await.unwrap();
    assert_eq!(
        session.vanished(1, 9, since).await.unwrap().to_string(),
        "5:6"
    );
    let mut kept = Kept::default();
    let came = session
        .fetch(&UidSet::range(4, 6), &mut kept)
        .await
        .unwrap();
    assert_eq!(came.to_string(), "4");
    let mut uids = Vec::new();
    session
        .scan(1, 9, None, |meta| uids.push(meta.uid))
        .await
        .unwrap();
    assert_eq!(uids, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_logs_in_for_a_user() {
    let directory = temp();
    let dovecot = Peer::dovecot(directory.path());
    let port = dovecot.port("imap");
    let mut own = session(port, &alice(), false).await.unwrap();
    own.create(&Name::encode("hers")).await.unwrap();
    let master = |password: &str| Login::Plain {
        authzid: "alice".into(),
        user: "boss".into(),
        password: password.into(),
    };
    let mut session_of_master = session(port, &master("masterpw"), false).await.unwrap();
    let folders = session_of_master.folders().await.unwrap();
    assert!(
        folders
            .iter()
            .any(|folder| folder.name == Name::encode("hers"))
    );
    let refused = session(port, &master("wrong"), false).await.err().unwrap();
    assert!(matches!(refused, Error::Login { .. }), "{refused}");
}
