//! `recipients = "verify"` from outside: real destinations are asked for their recipients,
//! and what they cannot say is never a refusal for good.

mod support;

use std::{net::TcpListener, path::Path};
use support::{
    client::Client,
    peers::Peer,
    relay::{Relay, Settings},
    scripted::{Act, Ask, Scripted},
    temp,
};

fn verifying(directory: &Path, port: u16) -> Relay {
    let settings = Settings {
        recipients: "verify",
        ..Settings::to(port)
    };
    Relay::start(directory, &settings)
}

/// The code that RCPT gets for this local part.
fn rcpt(relay: &Relay, local: &str) -> u16 {
    let mut client = Client::hello(relay.port()).unwrap();
    client.expect("MAIL FROM:<a@example.org>", 250).unwrap();
    let reply = client.command(&format!("RCPT TO:<{local}@corp.example>"));
    client.quit().unwrap();
    reply.unwrap().code
}

#[test]
fn real_servers_are_asked() {
    let directory = temp();
    let path = directory.path();
    let mailboxes = ["bob", "postmaster"].map(|name| format!("{name}@corp.example"));
    for kind in ["postfix", "exim", "opensmtpd"] {
        let at = path.join(kind);
        let peer = Peer::delivering(kind, &at, &mailboxes, &[]);
        let place = path.join(format!("relay-{kind}"));
        std::fs::create_dir(&place).unwrap();
        let relay = verifying(&place, peer.port("smtp"));
        for _ in 0..2 {
            assert_eq!(rcpt(&relay, "bob"), 250, "{kind}");
            assert_eq!(rcpt(&relay, "eve"), 550, "{kind}");
        }
        // The new server is gone: who is known is known, and the others may be anybody.
        drop(peer);
        assert_eq!(rcpt(&relay, "bob"), 250, "{kind}");
        assert_eq!(rcpt(&relay, "eve"), 550, "{kind}");
        assert_eq!(rcpt(&relay, "carol"), 450, "{kind}");
        let mut client = Client::hello(relay.port()).unwrap();
        let to = ["bob@corp.example"];
        client.send("a@example.org", &to, b"x\r\n").unwrap();
        assert_eq!(relay.count("held"), 1);
    }
}

#[test]
fn only_a_mailbox_that_is_not_there_is_unknown() {
    let directory = temp();
    let peer = Scripted::new(|ask| match ask {
        Ask::Rcpt("unknown@corp.example") => Act::Say("550 5.1.1 no such user"),
        Ask::Rcpt("exchange@corp.example") => Act::Say("550 5.1.10 RecipientNotFound"),
        // Believed, since the postmaster is taken.
        Ask::Rcpt("plain@corp.example") => Act::Say("550 no"),
        Ask::Rcpt("full@corp.example") => Act::Say("452 4.2.2 mailbox full"),
        Ask::Rcpt("over@corp.example") => Act::Say("552 5.2.2 over quota"),
        Ask::Rcpt("grey@corp.example") => Act::Say("450 4.7.1 come back later"),
        Ask::Rcpt("mute@corp.example") => Act::Close,
        _ => Act::Go,
    });
    let relay = verifying(directory.path(), peer.port);
    for (local, code) in [
        ("bob", 250),
        ("unknown", 550),
        ("exchange", 550),
        ("plain", 550),
        ("full", 250),
        ("over", 250),
        ("grey", 450),
        ("mute", 450),
    ] {
        assert_eq!(rcpt(&relay, local), code, "{local}");
    }
    assert!(peer.arrivals().is_empty());
}

/// A server that does not know the domain, or not this relay, refuses everybody; nobody is
/// told that an address is wrong.
#[test]
fn a_wrong_server_refuses_nobody() {
    for everybody in ["550 5.7.1 relaying denied", "554 5.7.1 go away", "550 no"] {
        let directory = temp();
        let peer = Scripted::new(move |ask| match ask {
            Ask::Rcpt(_) => Act::Say(everybody),
            _ => Act::Go,
        });
        let relay = verifying(directory.path(), peer.port);
        assert_eq!(rcpt(&relay, "bob"), 450, "{everybody}");
        assert_eq!(rcpt(&relay, "postmaster"), 250);
    }
    for refused in ["554 no service", "421 busy"] {
        let directory = temp();
        let peer = Scripted::new(move |ask| match ask {
            Ask::Connect => Act::SayAndClose(refused),
            _ => Act::Go,
        });
        let relay = verifying(directory.path(), peer.port);
        assert_eq!(rcpt(&relay, "bob"), 450, "{refused}");
    }
}

#[test]
fn the_new_server_comes_later() {
    let directory = temp();
    // A port where nobody answers yet.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    drop(port);
    let relay = verifying(directory.path(), number);
    assert_eq!(rcpt(&relay, "bob"), 450);
    let peer = Peer::postfix(&directory.path().join("late"), &["bob@corp.example".into()]);
    // `--to` says where it is; what was learnt of the other place means nothing here.
    let to = format!("127.0.0.1:{}", peer.port("smtp"));
    relay.ok(&["release", "corp.example", "--to", &to, "--yes"]);
    assert_eq!(rcpt(&relay, "bob"), 250);
    assert_eq!(rcpt(&relay, "eve"), 550);
}

/// What the new server does not take, senders are told in time.
#[test]
fn what_the_new_server_lacks_is_not_offered() {
    let directory = temp();
    let peer = Scripted::new(|ask| match ask {
        Ask::Hello => Act::Say("250-old.example\r\n250 SIZE 5000"),
        _ => Act::Go,
    });
    let relay = verifying(directory.path(), peer.port);
    let mut client = Client::hello(relay.port()).unwrap();
    client
        .expect("MAIL FROM:<a@example.org> BODY=8BITMIME", 250)
        .unwrap();
    client.expect("RCPT TO:<bob@corp.example>", 550).unwrap();
    let mut client = Client::connect(relay.port()).unwrap();
    let offered = client.command("EHLO client.example").unwrap().text;
    // Room for the trace header.
    assert!(offered.contains("SIZE 3976"), "{offered}");
    for lacking in ["8BITMIME", "SMTPUTF8", "CHUNKING"] {
        assert!(!offered.contains(lacking), "{offered}");
    }
    for (parameter, code) in [("SIZE=3977", 552), ("SIZE=3976", 250)] {
        let mail = format!("MAIL FROM:<a@example.org> {parameter}");
        client.expect(&mail, code).unwrap();
    }
    client.expect("RCPT TO:<bob@corp.example>", 250).unwrap();
}
