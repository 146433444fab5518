//! The new server gets exactly the bytes that the sender sent, behind one `Received:`
//! field, whoever sent them and whoever takes them.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use support::{
    client::{Client, wire},
    corpus::{Case, corpus},
    mailbox::{maildir, same, strip_fields, unix_lines},
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::Scripted,
    temp,
};

/// What sends a message to a recipient through the port.
type Send = fn(port: u16, to: &str, case: &Case, directory: &Path);

/// The real clients, and a socket. Each message goes to a mailbox of its own.
const SENDERS: &[(&str, Send)] = &[("raw", raw), ("smtplib", smtplib), ("swaks", swaks)];

#[test]
fn every_sender_to_a_recording_server() {
    let directory = temp();
    let peer = Scripted::healthy();
    let (relay, sent) = held(directory.path(), &Settings::to(peer.port));
    release(&relay);
    let arrivals = peer.stored();
    assert_eq!(arrivals.len(), sent.len());
    let mut wrong = Vec::new();
    for arrival in arrivals {
        let [recipient] = arrival.recipients.as_slice() else {
            panic!("{:?}", arrival.recipients)
        };
        let result = strip_fields(&arrival.message, &["Received"])
            .and_then(|message| same(&sent[recipient].message, message));
        wrong.extend(result.err().map(|error| format!("{recipient}: {error}")));
        // Stuffed as RFC 5321 §4.5.2 says, and not a byte more.
        let result = same(&wire(&arrival.message), &arrival.wire);
        wrong.extend(
            result
                .err()
                .map(|error| format!("{recipient}, wire: {error}")),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_spool_gives_the_bytes_back() {
    let directory = temp();
    let (mut relay, sent) = held(directory.path(), &Settings::default());
    let ids: BTreeMap<String, String> = relay.list().iter().map(id_and_recipient).collect();
    assert_eq!(ids.len(), sent.len());
    let check = |relay: &Relay| {
        for (id, recipient) in &ids {
            let raw = relay.ok(&["show", id, "--raw"]);
            same(&sent[recipient].message, &raw)
                .unwrap_or_else(|error| panic!("{recipient}: {error}"));
        }
    };
    check(&relay);
    relay.stop();
    // Without a daemon too, and after a restart.
    check(&relay);
}

#[test]
fn into_dovecot_over_lmtp() {
    let directory = temp();
    let dovecot = Peer::dovecot(&directory.path().join("dovecot"));
    let settings = Settings {
        protocol: "lmtp",
        ..Settings::to(dovecot.port("lmtp"))
    };
    let (relay, sent) = held(directory.path(), &settings);
    release(&relay);
    let own = ["Return-Path", "Delivered-To", "Received", "Received"];
    compare(
        &sent,
        |_| true,
        &own,
        |message| message.to_vec(),
        |recipient| maildir(&dovecot.mail().join(recipient).join("Maildir")),
    );
}

#[test]
fn into_postfix_and_its_maildirs() {
    let directory = temp();
    let mailboxes: Vec<String> = addresses().into_keys().collect();
    let postfix = Peer::postfix(&directory.path().join("postfix"), &mailboxes);
    let (relay, sent) = held(directory.path(), &Settings::to(postfix.port("smtp")));
    release(&relay);
    let own = [
        "Return-Path",
        "X-Original-To",
        "Delivered-To",
        "Received",
        "Received",
    ];
    // It stores lines in its system's manner.
    compare(
        &sent,
        |case| case.postfix_keeps,
        &own,
        unix_lines,
        |recipient| {
            let path = postfix.mail().join(recipient);
            // Its 250 says queued; the mailbox follows.
            poll(recipient, || {
                Some(maildir(&path)).filter(|found| !found.is_empty())
            })
        },
    );
}

#[test]
fn into_smtp_sink() {
    let directory = temp();
    let dumps = directory.path().join("sink");
    // In its own directory, a file a message.
    let sink = Peer::sink(&dumps, 0, &["-d", "m."]);
    let (relay, sent) = held(directory.path(), &Settings::to(sink.port("smtp")));
    release(&relay);
    let mut stored = BTreeMap::new();
    for entry in fs::read_dir(&dumps).unwrap() {
        let dump = fs::read(entry.unwrap().path()).unwrap();
        let head = text(&dump[..dump.len().min(1000)]);
        let recipient = head.split("X-Rcpt-Args: <").nth(1).unwrap();
        let recipient = recipient.split('>').next().unwrap().to_owned();
        // It ends each dump with an empty line.
        let message = dump.strip_suffix(b"\n").unwrap().to_vec();
        assert!(
            stored.insert(recipient.clone(), message).is_none(),
            "{recipient} twice"
        );
    }
    let own = [
        "X-Client-Addr",
        "X-Client-Proto",
        "X-Helo-Args",
        "X-Mail-Args",
        "X-Rcpt-Args",
    ];
    let own = [&own[..], &["Received", "Received"]].concat();
    compare(
        &sent,
        |case| case.sink_keeps,
        &own,
        unix_lines,
        |recipient| stored.get(recipient).cloned().into_iter().collect(),
    );
}

/// Every mailbox holds its one message, with these fields in front, and is otherwise what
/// was sent, as far as the server keeps such messages and in its own manner.
fn compare(
    sent: &BTreeMap<String, Case>,
    keeps: fn(&Case) -> bool,
    own: &[&str],
    manner: fn(&[u8]) -> Vec<u8>,
    read: impl Fn(&str) -> Vec<Vec<u8>>,
) {
    let mut wrong = Vec::new();
    for (recipient, case) in sent {
        let stored = read(recipient);
        if stored.len() != 1 {
            wrong.push(format!("{recipient}: {} messages", stored.len()));
        } else if keeps(case) {
            let result = strip_fields(&stored[0], own)
                .and_then(|message| same(&manner(&case.message), message));
            wrong.extend(result.err().map(|error| format!("{recipient}: {error}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Each case from each sender that can send it, by its mailbox.
fn addresses() -> BTreeMap<String, (Case, Send)> {
    let mut addresses = BTreeMap::new();
    for (sender, send) in SENDERS {
        for case in corpus() {
            // smtplib ends every message with CRLF, the empty one too; swaks takes an
            // empty one for none given, and one large message from it is not needed.
            let skipped = match *sender {
                "smtplib" => case.name == "empty",
                "swaks" => matches!(case.name, "empty" | "30-mib"),
                _ => false,
            };
            if !skipped {
                addresses.insert(format!("{sender}.{}@{DOMAIN}", case.name), (case, *send));
            }
        }
    }
    addresses
}

/// A relay that holds the whole corpus from all senders.
fn held(directory: &Path, settings: &Settings) -> (Relay, BTreeMap<String, Case>) {
    let relay = Relay::start(directory, settings);
    let mut sent = BTreeMap::new();
    for (recipient, (case, send)) in addresses() {
        send(relay.port(), &recipient, &case, directory);
        sent.insert(recipient, case);
    }
    (relay, sent)
}

fn release(relay: &Relay) {
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!(relay.count("delivered"), relay.accepted());
}

fn id_and_recipient(line: &serde_json::Value) -> (String, String) {
    let id = line["queue_id"].as_str().unwrap();
    let recipient = line["recipients"][0]["address"].as_str().unwrap();
    (id.into(), recipient.into())
}

fn raw(port: u16, to: &str, case: &Case, _: &Path) {
    let mut client = Client::hello(port).unwrap();
    client
        .send("raw@example.org", &[to], &case.message)
        .unwrap();
    client.quit().unwrap();
}

fn smtplib(port: u16, to: &str, case: &Case, _: &Path) {
    const SCRIPT: &str = "import smtplib, sys\n\
        client = smtplib.SMTP('127.0.0.1', int(sys.argv[1]), timeout=60)\n\
        message = sys.stdin.buffer.read()\n\
        refused = client.sendmail('smtplib@example.org', [sys.argv[2]], message)\n\
        client.quit()\n\
        sys.exit(1 if refused else 0)\n";
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT, &port.to_string(), to])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&case.message)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{to}");
}

/// Told to send the data as they are: stuffed and ended by us, since its own repairs
/// (line ends, `%TOKENS%`, `From ` lines) would change the message before it leaves.
fn swaks(port: u16, to: &str, case: &Case, directory: &Path) {
    let file = directory.join("swaks.data");
    // It ends the last line by itself.
    let data = wire(&case.message);
    fs::write(&file, data.strip_suffix(b"\r\n").unwrap()).unwrap();
    let output = Command::new("swaks")
        .args(["--server", "127.0.0.1", "--port", &port.to_string()])
        .args([
            "--helo",
            "swaks.example",
            "--from",
            "swaks@example.org",
            "--to",
            to,
        ])
        .args(["--no-data-fixup", "--data"])
        .arg(format!("@{}", file.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{to}: {}", text(&output.stdout));
}
