//! `recipients = "verify"`: what the destination says decides, is remembered, and is never
//! waited for too long.

use super::support::{Peer, Relay};
use relay::{
    config::Recipients,
    mail::Address,
    receive::{Answer, Asking, Callout, Reason, Verdict},
    smtp::Offer,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A destination that says what it is told to.
#[derive(Default)]
struct Destination {
    says: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<String>>,
}

impl Destination {
    fn says(&self, address: &str, verdict: Verdict, offer: Option<Offer>) {
        let answer = Answer { verdict, offer };
        self.says.lock().unwrap().insert(address.into(), answer);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Callout for Destination {
    fn ask<'a>(&'a self, address: &'a Address) -> Asking<'a> {
        self.asked.lock().unwrap().push(address.to_string());
        let answer = self.says.lock().unwrap().get(address.as_str()).cloned();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn destination(&self, _domain: &str) -> String {
        "new.test:25".into()
    }
}

fn unclear() -> Verdict {
    Verdict::Unclear("450 4.2.0 greylisted".into())
}

/// `listed.test` is verified.
fn relay(destination: &Arc<Destination>, change: impl FnOnce(&mut relay::config::Verify)) -> Relay {
    Relay::asking(Some(destination.clone()), |config| {
        config.domains[1].recipients = Recipients::Verify;
        config.verify.timeout = Duration::from_secs(20);
        change(&mut config.verify);
    })
}

fn rcpt(peer: &mut Peer, local: &str, start: &str) {
    peer.ask(&format!("RCPT TO:<{local}@listed.test>\r\n"), start);
}

#[test]
fn the_answer_decides_and_is_remembered() {
    let destination = Arc::new(Destination::default());
    destination.says("bob@listed.test", Verdict::Known, None);
    destination.says("eve@listed.test", Verdict::Unknown, None);
    destination.says("dan@listed.test", unclear(), None);
    let relay = relay(&destination, |_| {});
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    let known = |peer: &mut Peer| {
        rcpt(peer, "bob", "250 ");
        rcpt(
            peer,
            "eve",
            "550 5.1.1 <eve@listed.test>: Recipient address rejected: User unknown",
        );
    };
    known(&mut peer);
    rcpt(
        &mut peer,
        "dan",
        "450 4.1.1 <dan@listed.test>: Recipient address cannot be verified now",
    );
    assert_eq!(destination.asked().len(), 3);
    known(&mut peer);
    // Another way to write the domain, not another recipient.
    peer.ask("RCPT TO:<bob@Listed.TEST>\r\n", "250 ");
    assert!(destination.asked().is_empty());
    // What was left open is asked again.
    destination.says("dan@listed.test", Verdict::Known, None);
    rcpt(&mut peer, "dan", "250 ");
    // RFC 5321 §4.5.1: always there, and nobody is asked.
    rcpt(&mut peer, "Postmaster", "250 ");
    assert_eq!(destination.asked(), ["dan@listed.test"]);
    // The other domain asks nobody.
    peer.ask("RCPT TO:<x@any.test>\r\n", "250 ");
    assert!(destination.asked().is_empty());
    assert_eq!(relay.counters.rejected(Reason::Unverified), 1);
    assert_eq!(relay.counters.rejected(Reason::UnknownRecipient), 2);
}

#[test]
fn a_dead_destination_costs_the_known_nothing() {
    let destination = Arc::new(Destination::default());
    destination.says("bob@listed.test", Verdict::Known, None);
    let relay = relay(&destination, |verify| verify.refresh_after = Duration::ZERO);
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    rcpt(&mut peer, "bob", "250 ");
    let dead = || Verdict::Unreachable("Connection refused".into());
    for address in ["bob", "eve"] {
        destination.says(&format!("{address}@listed.test"), dead(), None);
    }
    rcpt(&mut peer, "eve", "450 4.1.1 ");
    // Known, although it is asked again each time, and left alone for a while.
    for _ in 0..5 {
        rcpt(&mut peer, "bob", "250 ");
        rcpt(&mut peer, "eve", "450 4.1.1 ");
    }
    let asked = destination.asked();
    assert_eq!(asked[..2], ["bob@listed.test", "eve@listed.test"]);
    assert!(asked.len() < 6, "{asked:?}");
}

#[test]
fn silence_is_not_waited_for() {
    let destination = Arc::new(Destination::default());
    let relay = relay(&destination, |verify| {
        verify.timeout = Duration::from_millis(100);
    });
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    // One question, however many wait for it.
    for _ in 0..3 {
        rcpt(&mut peer, "bob", "450 4.1.1 ");
    }
    assert_eq!(destination.asked(), ["bob@listed.test"]);
    // Bounded, whatever is asked for.
    for number in 0..70 {
        rcpt(&mut peer, &format!("x{number}"), "450 4.1.1 ");
    }
    assert_eq!(destination.asked().len(), 49);
}

#[test]
fn what_is_remembered_is_forgotten() {
    let destination = Arc::new(Destination::default());
    destination.says("bob@listed.test", Verdict::Known, None);
    destination.says("eve@listed.test", Verdict::Unknown, None);
    let relay = relay(&destination, |verify| {
        verify.known_for = Duration::ZERO;
        verify.unknown_for = Duration::ZERO;
    });
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    rcpt(&mut peer, "bob", "250 ");
    rcpt(&mut peer, "eve", "550 ");
    destination.says("bob@listed.test", Verdict::Unknown, None);
    destination.says("eve@listed.test", Verdict::Known, None);
    rcpt(&mut peer, "bob", "550 ");
    rcpt(&mut peer, "eve", "250 ");
}

/// Between what one domain's destination takes and what the other's does.
#[test]
fn what_one_destination_does_not_take_is_refused_for_it() {
    let destination = Arc::new(Destination::default());
    let poor = Offer {
        size_bytes_max: Some(2000),
        eight_bit_mime: false,
        smtputf8: false,
        chunking: false,
    };
    destination.says("bob@listed.test", Verdict::Known, Some(poor));
    let relay = relay(&destination, |_| {});
    let mut peer = relay.greeted();
    peer.ask("MAIL FROM:<a@sender.test>\r\n", "250 ");
    rcpt(&mut peer, "bob", "250 ");
    for (parameter, reply) in [
        ("SIZE=2001", "552 5.3.4 "),
        ("BODY=8BITMIME", "550 5.6.3 "),
        ("SMTPUTF8", "553 5.6.7 "),
    ] {
        peer.ask("RSET\r\n", "250 ");
        peer.ask(
            &format!("MAIL FROM:<a@sender.test> {parameter}\r\n"),
            "250 ",
        );
        rcpt(&mut peer, "bob", reply);
        // The other domain takes it, as far as anybody knows.
        peer.ask("RCPT TO:<bob@any.test>\r\n", "250 ");
    }
    // What was not announced is counted, for the least of all recipients.
    for recipients in [&["bob@listed.test"][..], &["x@any.test", "bob@listed.test"]] {
        for (bytes, reply) in [(1998, "250 "), (1999, "552 5.3.4 ")] {
            peer.ask("RSET\r\n", "250 ");
            peer.ask("MAIL FROM:<a@sender.test>\r\n", "250 ");
            for to in recipients {
                peer.ask(&format!("RCPT TO:<{to}>\r\n"), "250 ");
            }
            peer.ask("DATA\r\n", "354 ");
            peer.ask(&format!("{}\r\n.\r\n", "x".repeat(bytes)), reply);
            for to in recipients {
                peer.ask("RSET\r\n", "250 ");
                peer.ask("MAIL FROM:<a@sender.test>\r\n", "250 ");
                peer.ask(&format!("RCPT TO:<{to}>\r\n"), "250 ");
                let size = bytes + 2;
                let content = "x".repeat(bytes) + "\r\n";
                let own = if to.contains("any") { "250 " } else { reply };
                peer.ask(&format!("BDAT {size} LAST\r\n{content}"), own);
            }
        }
    }
}

/// Where no destination takes it, it is not offered.
#[test]
fn what_no_destination_takes_is_not_offered() {
    let destination = Arc::new(Destination::default());
    let offer = |size, smtputf8| Offer {
        size_bytes_max: Some(size),
        eight_bit_mime: false,
        smtputf8,
        chunking: false,
    };
    destination.says("bob@listed.test", Verdict::Known, Some(offer(2000, false)));
    destination.says("bob@any.test", Verdict::Known, Some(offer(3000, true)));
    let relay = Relay::asking(Some(destination.clone()), |config| {
        for domain in &mut config.domains {
            domain.recipients = Recipients::Verify;
        }
    });
    let offered = || {
        let mut peer = relay.connect();
        peer.expect("220 ");
        peer.send("EHLO client.test\r\n");
        let mut lines = Vec::new();
        loop {
            let line = peer.line().unwrap();
            lines.push(line[4..].to_owned());
            if line.starts_with("250 ") {
                return (peer, lines);
            }
        }
    };
    let (mut peer, lines) = offered();
    let has = |lines: &[String], line: &str| lines.iter().any(|one| one == line);
    assert!(has(&lines, "8BITMIME") && has(&lines, "SMTPUTF8") && has(&lines, "CHUNKING"));
    assert!(has(&lines, "SIZE 52428800"));
    peer.ask("MAIL FROM:<>\r\n", "250 ");
    peer.ask("RCPT TO:<bob@listed.test>\r\n", "250 ");
    // The other one could be anything still.
    assert_eq!(offered().1, lines);
    peer.ask("RCPT TO:<bob@any.test>\r\n", "250 ");
    let (mut peer, lines) = offered();
    assert!(!has(&lines, "8BITMIME") && !has(&lines, "CHUNKING"));
    assert!(has(&lines, "SMTPUTF8") && has(&lines, "SIZE 3000"));
    peer.ask("MAIL FROM:<> SIZE=3001\r\n", "552 5.3.4 ");
}
