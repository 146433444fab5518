//! Every command in every state of a session: `tests/dialogs/states/*.txt`, a file a state,
//! each command in a connection of its own, under a comment that names the RFC's section.
//! The lines are those of the other dialogs; `S~ 250` is a whole reply with this code.

use super::{
    dialogs,
    support::{Peer, Relay},
    tls::encrypt,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

const COMMANDS: [&str; 15] = [
    "AUTH", "BDAT", "DATA", "EHLO", "EXPN", "HELO", "HELP", "MAIL", "NOOP", "QUIT", "RCPT", "RSET",
    "STARTTLS", "VRFY", "XYZZY",
];

/// What brings a session into a state.
const STATES: [(&str, &[&str]); 7] = [
    ("start", &[]),
    ("greeted", &[EHLO]),
    ("mail", &[EHLO, MAIL]),
    ("rcpt", &[EHLO, MAIL, RCPT]),
    ("chunks", &[EHLO, MAIL, RCPT, CHUNK]),
    ("failed", &[EHLO, MAIL, RCPT, CHUNK, "DATA\r\n"]),
    ("tls", &[EHLO]),
];
const EHLO: &str = "EHLO client.test\r\n";
const MAIL: &str = "MAIL FROM:<alice@sender.test>\r\n";
const RCPT: &str = "RCPT TO:<bob@any.test>\r\n";
const CHUNK: &str = "BDAT 3\r\na\r\n";

#[test]
fn every_command_in_every_state() {
    let relay = Relay::with(|config| config.limits.errors = 12);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs/states");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), STATES.len());
    for (state, steps) in STATES {
        let path = directory.join(format!("{state}.txt"));
        let text = fs::read_to_string(&path).unwrap();
        let (title, dialogs) = text.split_once("\n\n").unwrap();
        assert!(title.starts_with("# "), "{state}: {title}");
        let mut seen = BTreeSet::new();
        for dialog in dialogs.split("\n\n") {
            let (comment, lines) = dialog.split_once('\n').unwrap();
            assert!(comment.starts_with("# RFC "), "{state}: {dialog}");
            let verb = lines[3..].split([' ', '\n']).next().unwrap();
            assert!(seen.insert(verb.to_owned()), "{state}: {verb} twice");
            let place = format!("{}: {verb}", path.display());
            if state == "tls" {
                let stream = TcpStream::connect(relay.addresses[1]).unwrap();
                run(encrypt(&relay, stream), steps, lines, &place);
            } else {
                run(relay.connect(), steps, lines, &place);
            }
        }
        assert!(seen.iter().eq(COMMANDS), "{state}: {seen:?}");
    }
}

fn run<S: Read + Write>(mut peer: Peer<S>, steps: &[&str], lines: &str, place: &str) {
    peer.expect("220 ");
    for step in steps {
        peer.send(step);
        // The one that spoils a message is refused.
        let code = if *step == "DATA\r\n" { "503 " } else { "250 " };
        peer.expect(code);
    }
    for line in lines.lines() {
        match line.strip_prefix("S~ ") {
            Some(code) => drop(peer.expect(code)),
            None => dialogs::step(&mut peer, line, place),
        }
    }
}
