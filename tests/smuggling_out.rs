//! Whatever comes in, one message stays one message at the new server: every sequence that
//! some server somewhere takes for an end of data, by DATA and by BDAT, through the spool
//! and out again.

mod support;

use std::{collections::BTreeMap, fs, path::Path};
use support::{
    client::Client,
    mailbox::{maildir, strip_fields},
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::Scripted,
    sequences::{IN_CHUNKS_ALONE, SEQUENCES},
    temp,
};

/// What would be a second message, for a mailbox that stays empty.
const SMUGGLED: &str = "MAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@corp.example>\r\n\
     DATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n";
const VICTIM: &str = "victim@corp.example";
const HEADER: &str = "From: Alice <alice@example.org>\r\nSubject: innocent\r\n\
     Date: Mon, 23 Nov 2026 10:00:01 +0000\r\nMessage-ID: <1@example.org>\r\n\r\ninnocent";

/// Each attack in a mailbox of its own, and what the spool has of it.
type Attacks = BTreeMap<String, Vec<u8>>;

#[test]
fn a_strict_server_gets_one_message_each() {
    let directory = temp();
    let peer = Scripted::healthy();
    let (relay, attacks) = held(directory.path(), peer.port, &[0, 65_536, 262_144]);
    release(&relay);
    let arrivals = peer.stored();
    assert_eq!(arrivals.len(), attacks.len());
    for arrival in arrivals {
        let [recipient] = arrival.recipients.as_slice() else {
            panic!("{:?}", arrival.recipients)
        };
        assert_eq!(arrival.from, "alice@example.org", "{recipient}");
        let message = strip_fields(&arrival.message, &["Received"]).unwrap();
        assert!(message == attacks[recipient], "{recipient} is altered");
        // The worst that a server may be: drops NULs, and takes any CR or LF for a line end.
        let wire: Vec<u8> = (arrival.wire.iter().copied())
            .filter(|&byte| byte != 0)
            .collect();
        let ends = wire
            .split(|byte| b"\r\n".contains(byte))
            .filter(|line| line == b".")
            .count();
        assert_eq!(ends, 1, "{recipient}");
    }
}

#[test]
fn smtp_sink_gets_one_message_each() {
    let directory = temp();
    let dumps = directory.path().join("sink");
    let sink = Peer::sink(&dumps, 0, &["-d", "m."]);
    let (relay, attacks) = held(directory.path(), sink.port("smtp"), &[0]);
    release(&relay);
    let mut seen = 0;
    for entry in fs::read_dir(&dumps).unwrap() {
        let dump = text(&fs::read(entry.unwrap().path()).unwrap());
        assert!(dump.contains("X-Mail-Args: <alice@example.org>"), "{dump}");
        seen += 1;
    }
    assert_eq!(seen, attacks.len());
}

/// By BDAT, which they offer, and by DATA where they do not.
#[test]
fn postfix_gets_one_message_each() {
    a_real_server_gets_one_message_each("postfix", &[]);
    a_real_server_gets_one_message_each("postfix", &["--no-chunking"]);
}

#[test]
fn exim_gets_one_message_each() {
    a_real_server_gets_one_message_each("exim", &["--tls"]);
    a_real_server_gets_one_message_each("exim", &["--no-chunking"]);
}

fn a_real_server_gets_one_message_each(kind: &str, options: &[&str]) {
    let directory = temp();
    let mut mailboxes: Vec<String> = names(&[0]).into_iter().map(|(to, ..)| to).collect();
    mailboxes.push(VICTIM.into());
    let server = Peer::delivering(kind, &directory.path().join(kind), &mailboxes, options);
    let (relay, attacks) = held(directory.path(), server.port("smtp"), &[0]);
    release(&relay);
    for recipient in attacks.keys() {
        let path = server.mail().join(recipient);
        // Its 250 says queued; the mailbox follows.
        let found = poll(recipient, || {
            Some(maildir(&path)).filter(|found| !found.is_empty())
        });
        assert_eq!(found.len(), 1, "{kind} {recipient}");
        let found = text(&found[0]);
        assert!(found.contains("alice@example.org"), "{kind}: {found}");
        assert!(
            found.contains("evil@sender.example"),
            "{kind}: it is all there: {found}"
        );
    }
    // The last one that was sent has arrived, and whatever was smuggled came before it.
    assert!(maildir(&server.mail().join(VICTIM)).is_empty(), "{kind}");
}

/// Every attack with its mailbox: by which command, behind how many bytes, which sequence.
/// Around the sizes in which a body is read and written, each place in a sequence is one
/// where it is cut.
fn names(sizes: &[usize]) -> Vec<(String, bool, usize, &'static str)> {
    let mut all = Vec::new();
    let data = SEQUENCES.iter().map(|sequence| (false, *sequence));
    let chunks = SEQUENCES.iter().chain(&IN_CHUNKS_ALONE);
    let both: Vec<_> = data
        .chain(chunks.map(|sequence| (true, *sequence)))
        .collect();
    for &size in sizes {
        for (number, &(chunked, sequence)) in both.iter().enumerate() {
            let cuts = if size == 0 { 0 } else { sequence.len() };
            for cut in 0..=cuts {
                let before = size.saturating_sub(cut);
                let way = if chunked { "bdat" } else { "data" };
                let to = format!("{way}-{number}-{before}@corp.example");
                all.push((to, chunked, before, sequence));
            }
        }
    }
    all
}

/// Sends all of them.
fn held(directory: &Path, port: u16, sizes: &[usize]) -> (Relay, Attacks) {
    let relay = Relay::start(directory, &Settings::to(port));
    let mut client = Client::hello(relay.port()).unwrap();
    let mut ids = BTreeMap::new();
    for (to, chunked, before, sequence) in names(sizes) {
        let mut wire = HEADER.to_owned();
        while wire.len() < before {
            let more = (before - wire.len()).min(72);
            wire += "\r\n";
            wire += &"x".repeat(more.saturating_sub(2).max(1));
        }
        wire += sequence;
        wire += SMUGGLED;
        let id = if chunked {
            chunks(
                &mut client,
                &to,
                wire.as_bytes(),
                before.max(HEADER.len()) + 1,
            )
        } else {
            client.envelope("alice@example.org", &[&to]).unwrap();
            client.raw(wire.as_bytes()).unwrap();
            support::client::queue_id(&client.reply().unwrap()).unwrap()
        };
        ids.insert(to, id);
    }
    // Had there been a second message, its reply would have come before this one.
    assert_eq!(client.command("NOOP").unwrap().text, "2.0.0 Ok");
    assert_eq!(relay.accepted(), ids.len() as u64);
    let attacks = (ids.into_iter())
        .map(|(to, id)| (to, relay.ok(&["show", &id, "--raw"])))
        .collect();
    (relay, attacks)
}

/// By BDAT, in two chunks that part the sequence.
fn chunks(client: &mut Client, to: &str, wire: &[u8], cut: usize) -> String {
    client.expect("MAIL FROM:<alice@example.org>", 250).unwrap();
    client.expect(&format!("RCPT TO:<{to}>"), 250).unwrap();
    let (first, last) = wire.split_at(cut);
    for (chunk, place) in [(first, ""), (last, " LAST")] {
        let command = format!("BDAT {}{place}\r\n", chunk.len());
        client.raw(command.as_bytes()).unwrap();
        client.raw(chunk).unwrap();
    }
    assert_eq!(client.reply().unwrap().code, 250);
    support::client::queue_id(&client.reply().unwrap()).unwrap()
}

fn release(relay: &Relay) {
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!(relay.count("delivered"), relay.accepted());
}
