//! The receiver beside Postfix: the same random dialogs, command by command, to both. Each
//! answer has to be of the same kind (2xx, 3xx, 4xx, 5xx, closed), or the difference is one of
//! those that are listed here with their reason; then the two are in different states, and
//! the dialog ends.
//!
//! `RELAY_DIALOGS=100000 cargo test --test receiver differential` plays more of them.

use super::{
    peers,
    support::{Peer, Relay},
};
use std::{collections::BTreeMap, net::SocketAddr};

const DIALOGS: u64 = 400;
/// Postfix slows a client down behind its tenth error.
const COMMANDS_MAX: u64 = 9;

/// What a client may say. Each is a line, and what follows it if it is answered with 354.
const COMMANDS: [&str; 62] = [
    "EHLO client.test",
    "EHLO client.test",
    "EHLO client.test",
    "EHLO",
    "EHLO [203.0.113.9]",
    "EHLO client.test and more",
    "HELO client.test",
    "HELO",
    "ehlo client.test",
    "MAIL FROM:<alice@sender.test>",
    "MAIL FROM:<alice@sender.test>",
    "MAIL FROM:<alice@sender.test>",
    "MAIL FROM:<>",
    "mail from:<alice@sender.test>",
    "MAIL FROM: <alice@sender.test>",
    "MAIL FROM:alice@sender.test",
    "MAIL FROM:<alice@sender.test> SIZE=1000",
    "MAIL FROM:<alice@sender.test> SIZE=99999999999",
    "MAIL FROM:<alice@sender.test> SIZE=abc",
    "MAIL FROM:<alice@sender.test> SIZE=",
    "MAIL FROM:<alice@sender.test> BODY=8BITMIME",
    "MAIL FROM:<alice@sender.test> BODY=7BIT",
    "MAIL FROM:<alice@sender.test> BODY=OTHER",
    "MAIL FROM:<alice@sender.test> SMTPUTF8",
    "MAIL FROM:<alice@sender.test> RET=HDRS ENVID=QQ314159",
    "MAIL FROM:<alice@sender.test> RET=OTHER",
    "MAIL FROM:<alice@sender.test> OTHER=1",
    "MAIL FROM:<\"a b\"@sender.test>",
    "MAIL FROM:<a b@sender.test>",
    "MAIL FROM:<@hop.test:alice@sender.test>",
    "MAIL FROM:<alice@sender.test",
    "MAIL TO:<alice@sender.test>",
    "MAIL",
    "RCPT TO:<bob@listed.test>",
    "RCPT TO:<bob@listed.test>",
    "RCPT TO:<bob@listed.test>",
    "RCPT TO:<BOB@LISTED.TEST>",
    "RCPT TO:<nobody@listed.test>",
    "RCPT TO:<bob@elsewhere.test>",
    "RCPT TO:<bob@listed.test> NOTIFY=NEVER",
    "RCPT TO:<bob@listed.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob",
    "RCPT TO:<bob@listed.test> NOTIFY=OTHER",
    "RCPT TO:<bob@listed.test> OTHER=1",
    "RCPT TO:bob@listed.test",
    "RCPT TO:<>",
    "RCPT TO:<postmaster>",
    "RCPT FROM:<bob@listed.test>",
    "RCPT",
    "DATA",
    "DATA",
    "DATA",
    "DATA now",
    "BDAT 3 LAST\r\na\r",
    "BDAT 3\r\na\r",
    "BDAT 0 LAST",
    "RSET",
    "RSET now",
    "NOOP",
    "NOOP now",
    "VRFY bob@listed.test",
    "XYZZY",
    "QUIT",
];
const MESSAGE: &str = "Subject: x\r\n\r\n..x\r\n.\r\n";

/// Where the two differ, and why that is meant. `command` is what was said, the digits are the
/// first of the answers; 0 is for a closed connection.
fn meant(state: &State, command: &str, relay: u8, postfix: u8) -> Option<&'static str> {
    let says = |start: &str| command.starts_with(start);
    let differ = (relay, postfix);
    let known = [(
        !state.greeted && differ == (5, 2) && says("MAIL"),
        "EHLO or HELO comes first (RFC 5321 §4.1.4); Postfix asks for it only by smtpd_helo_required",
    )];
    let found = known.into_iter().find(|(applies, _)| *applies);
    found.map(|(_, reason)| reason)
}

/// What a client knows of its session.
#[derive(Default)]
struct State {
    greeted: bool,
}

#[test]
fn the_receiver_answers_as_postfix_does() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_240_000);
    let directory = tempfile::Builder::new().tempdir().unwrap();
    let mailboxes = ["bob@listed.test".to_owned(), "eve@listed.test".to_owned()];
    let options = ["--set", "message_size_limit=10240000"];
    let postfix = peers::Peer::delivering("postfix", directory.path(), &mailboxes, &options);
    let postfix = SocketAddr::from(([127, 0, 0, 1], postfix.port("smtp")));
    let dialogs = std::env::var("RELAY_DIALOGS").map_or(DIALOGS, |count| count.parse().unwrap());
    let mut differences = BTreeMap::new();
    for seed in 0..dialogs {
        play(seed, (relay.addresses[0], postfix), &mut differences);
    }
    println!("{dialogs} dialogs; differences that are meant: {differences:#?}");
}

fn play(
    seed: u64,
    (relay, postfix): (SocketAddr, SocketAddr),
    differences: &mut BTreeMap<&'static str, u64>,
) {
    let mut random = super::random::Random::new(seed);
    let mut peers = (Peer::connect(relay), Peer::connect(postfix));
    assert_eq!((answer(&mut peers.0), answer(&mut peers.1)), (2, 2));
    let mut state = State::default();
    let mut said = Vec::new();
    for _ in 0..1 + random.below(COMMANDS_MAX) {
        let command = COMMANDS[random.below(COMMANDS.len() as u64) as usize];
        said.push(command);
        let mut text = format!("{command}\r\n");
        loop {
            peers.0.send(&text);
            peers.1.send(&text);
            let answers = (answer(&mut peers.0), answer(&mut peers.1));
            if answers.0 != answers.1 {
                let reason = meant(&state, command, answers.0, answers.1);
                let reason = reason.unwrap_or_else(|| {
                    panic!(
                        "seed {seed}: {said:#?}: relay {}xx, Postfix {}xx",
                        answers.0, answers.1
                    )
                });
                *differences.entry(reason).or_default() += 1;
                return;
            }
            match answers.0 {
                3 => text = MESSAGE.into(),
                0 => return,
                _ => break,
            }
        }
        let hello = command.get(..4).is_some_and(|verb| {
            ["EHLO", "HELO"]
                .iter()
                .any(|hello| verb.eq_ignore_ascii_case(hello))
        });
        state.greeted |= hello;
        if command == "QUIT" {
            assert_eq!((answer(&mut peers.0), answer(&mut peers.1)), (0, 0));
            return;
        }
    }
}

/// The first digit of the next reply; 0 at the end of the connection.
fn answer(peer: &mut Peer) -> u8 {
    loop {
        match peer.line() {
            None => return 0,
            Some(line) if line.as_bytes().get(3) == Some(&b'-') => {}
            Some(line) => return line.as_bytes()[0] - b'0',
        }
    }
}
