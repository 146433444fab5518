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
    "BDAT 3 LAST\r\na",
    "BDAT 3\r\na",
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

/// Where the two differ, and why that is meant. The digits are the first of relay's answer and
/// of Postfix's; 0 is for a closed connection.
fn meant(state: &State, command: &str, answers: (u8, u8)) -> Option<&'static str> {
    let says = |start: &str| {
        let begins = command.get(..start.len());
        begins.is_some_and(|begins| begins.eq_ignore_ascii_case(start))
    };
    let known = [
        (
            !state.greeted && answers == (5, 2) && says("MAIL"),
            "EHLO or HELO comes first (RFC 5321 §4.1.4); Postfix insists by smtpd_helo_required only",
        ),
        (
            state.chunk_for_nobody && answers == (2, 5) && says("MAIL"),
            "a chunk that belongs to no transaction leaves none; Postfix wants RSET behind it",
        ),
        (
            state.oversized && answers == (2, 5) && says("MAIL"),
            "a MAIL that was refused for its size leaves nothing; Postfix 3.7 goes on refusing",
        ),
    ];
    let found = known.into_iter().find(|(applies, _)| *applies);
    found.map(|(_, reason)| reason)
}

/// What a client knows of its session.
#[derive(Default)]
struct State {
    greeted: bool,
    /// A BDAT was refused, and RSET or EHLO has not come since.
    chunk_for_nobody: bool,
    /// So was a MAIL for its size.
    oversized: bool,
}

impl State {
    fn heard(&mut self, command: &str, answer: u8) {
        let verb = command.get(..4).unwrap_or_default().to_ascii_uppercase();
        match (verb.as_str(), answer) {
            ("EHLO" | "HELO" | "RSET", 2) => {
                *self = Self {
                    greeted: self.greeted || verb != "RSET",
                    ..Self::default()
                };
            }
            ("BDAT", 5) => self.chunk_for_nobody = true,
            ("MAIL", 5) => self.oversized |= command.ends_with("SIZE=99999999999"),
            _ => {}
        }
    }
}

#[test]
fn the_receiver_answers_as_postfix_does() {
    let relay = Relay::with(|config| config.limits.message_size_bytes = 10_240_000);
    let directory = tempfile::Builder::new().tempdir().unwrap();
    let mailboxes = ["bob@listed.test".to_owned(), "eve@listed.test".to_owned()];
    let options = [
        "--set",
        "message_size_limit=10240000",
        // The client is a stranger, and is told so for good.
        "--set",
        "mynetworks=192.0.2.0/24",
        "--set",
        "smtpd_relay_restrictions=reject_unauth_destination",
    ];
    let postfix = peers::Peer::delivering("postfix", directory.path(), &mailboxes, &options);
    let postfix = SocketAddr::from(([127, 0, 0, 1], postfix.port("smtp")));
    let dialogs = std::env::var("RELAY_DIALOGS").map_or(DIALOGS, |count| count.parse().unwrap());
    let mut found = Found::default();
    for seed in 0..dialogs {
        play(seed, (relay.addresses[0], postfix), &mut found);
    }
    println!(
        "{dialogs} dialogs; differences that are meant: {:#?}",
        found.meant
    );
    assert!(found.others.is_empty(), "{:#?}", found.others);
}

/// Differences, and how often they were seen.
#[derive(Default)]
struct Found {
    meant: BTreeMap<&'static str, u64>,
    /// Of a kind the first: what was said up to there.
    others: BTreeMap<(&'static str, u8, u8), String>,
}

fn play(seed: u64, (relay, postfix): (SocketAddr, SocketAddr), found: &mut Found) {
    let mut random = super::random::Random::new(seed);
    let mut peers = (Peer::connect(relay), Peer::connect(postfix));
    assert_eq!((answer(&mut peers.0), answer(&mut peers.1)), (2, 2));
    let mut state = State::default();
    let mut said = Vec::new();
    for number in 0..=random.below(COMMANDS_MAX) {
        let place = usize::try_from(random.below(COMMANDS.len() as u64)).unwrap();
        // Without a greeting there is little to see.
        let greet = number == 0 && random.below(10) > 0;
        let command = if greet { COMMANDS[0] } else { COMMANDS[place] };
        said.push(command);
        let mut text = format!("{command}\r\n");
        let last = loop {
            peers.0.send(&text);
            peers.1.send(&text);
            let answers = (answer(&mut peers.0), answer(&mut peers.1));
            match meant(&state, command, answers) {
                _ if answers.0 == answers.1 => {}
                Some(reason) => {
                    *found.meant.entry(reason).or_default() += 1;
                    return;
                }
                None => {
                    let kind = (command, answers.0, answers.1);
                    let seen = || format!("seed {seed}: {said:?}");
                    found.others.entry(kind).or_insert_with(seen);
                    return;
                }
            }
            match answers.0 {
                3 => text = MESSAGE.into(),
                0 => return,
                kind => break kind,
            }
        };
        state.heard(command, last);
        if command == "QUIT" {
            let ends = (answer(&mut peers.0), answer(&mut peers.1));
            assert_eq!(ends, (0, 0), "seed {seed}: {said:?}");
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
