//! Sequences of commands and what they are answered with.

use super::*;
use crate::{mail::Address, smtp::ForwardPath};

fn limits() -> SessionLimits {
    SessionLimits {
        hostname: "mx.test".into(),
        message_size_bytes: 1000,
        recipients: 2,
        errors: 3,
    }
}

/// Gives a command to the session and decides everything in favour of the client.
fn say(session: &mut Session<'_>, line: &str) -> Action {
    match session.command(line.as_bytes()) {
        Action::Sender(mail) => session.accept_sender(mail),
        Action::Recipient(Rcpt { to, notify, orcpt }) => {
            let address = match to {
                ForwardPath::Mailbox(address) => address,
                ForwardPath::Postmaster => Address::parse("postmaster@mx.test").unwrap(),
            };
            session.accept_recipient(Recipient {
                address,
                notify,
                orcpt,
            })
        }
        other => other,
    }
}

fn code(session: &mut Session<'_>, line: &str) -> u16 {
    match say(session, line) {
        Action::Reply(reply) | Action::Close(reply) | Action::Starttls(reply) => reply.code(),
        Action::Data(reply, _) | Action::Discard(_, reply) => reply.code(),
        Action::Chunk(bytes) => session.chunk_accepted(bytes).code(),
        other => panic!("{other:?}"),
    }
}

fn dialog(tls: Tls, lines: &[(&str, u16)]) {
    let limits = SessionLimits {
        errors: 100,
        ..limits()
    };
    let mut session = Session::new(&limits, tls, Offer::ALL);
    for &(line, expected) in lines {
        assert_eq!(code(&mut session, line), expected, "{line}");
    }
}

#[test]
fn a_transaction_is_handed_over_whole() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Active, Offer::ALL);
    assert_eq!(session.greeting().to_string(), "220 mx.test ESMTP relay");
    say(&mut session, "EHLO client.test");
    say(&mut session, "MAIL FROM:<> RET=FULL");
    say(&mut session, "RCPT TO:<a@b> NOTIFY=NEVER");
    say(&mut session, "RCPT TO:<postmaster>");
    let Action::Data(_, transaction) = say(&mut session, "DATA") else {
        panic!("no data");
    };
    assert_eq!(transaction.recipients.len(), 2);
    assert_eq!(transaction.recipients[0].notify.as_deref(), Some("NEVER"));
    assert_eq!(session.protocol(), Protocol::Esmtps);
    assert_eq!(session.helo(), "client.test");
    assert_eq!(code(&mut session, "RCPT TO:<a@b>"), 503);
}

#[test]
fn commands_out_of_order() {
    dialog(
        Tls::Unavailable,
        &[
            ("MAIL FROM:<a@b>", 503),
            ("RCPT TO:<a@b>", 503),
            ("DATA", 503),
            ("NOOP", 250),
            ("STARTTLS", 502),
            ("HELO x", 250),
            ("RCPT TO:<a@b>", 503),
            ("MAIL FROM:<a@b>", 250),
            ("MAIL FROM:<a@b>", 503),
            ("DATA", 554),
            ("RCPT TO:<a@b>", 250),
            ("RSET", 250),
            ("DATA", 503),
            ("MAIL FROM:<a@b>", 250),
            ("EHLO x", 250),
            ("RCPT TO:<a@b>", 503),
            ("VRFY a", 252),
            ("HELP", 214),
            ("EXPN a", 502),
            ("QUIT", 221),
        ],
    );
}

#[test]
fn limits_hold() {
    dialog(
        Tls::Unavailable,
        &[
            ("EHLO x", 250),
            ("MAIL FROM:<a@b> SIZE=1001", 552),
            ("MAIL FROM:<é@b>", 553),
            ("MAIL FROM:<a@b> SIZE=1000", 250),
            ("RCPT TO:<é@b>", 553),
            ("RCPT TO:<a@b>", 250),
            ("RCPT TO:<b@b>", 250),
            ("RCPT TO:<c@b>", 452),
            ("DATA", 354),
        ],
    );
}

#[test]
fn too_many_errors_end_it() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Unavailable, Offer::ALL);
    say(&mut session, "EHLO x");
    say(&mut session, "FOO");
    say(&mut session, "FOO");
    session.message_accepted();
    for _ in 0..3 {
        assert_eq!(code(&mut session, "FOO"), 500);
    }
    assert!(matches!(say(&mut session, "NOOP"), Action::Close(reply) if reply.code() == 421));
}

#[test]
fn too_many_recipients_is_no_error() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Unavailable, Offer::ALL);
    for line in ["EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b>", "RCPT TO:<a@b>"] {
        say(&mut session, line);
    }
    for _ in 0..10 {
        assert_eq!(code(&mut session, "RCPT TO:<a@b>"), 452);
    }
    assert_eq!(code(&mut session, "DATA"), 354);
}

#[test]
fn starttls_starts_anew() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Offered, Offer::ALL);
    let offered = |action: &Action| format!("{action:?}").contains("STARTTLS");
    assert!(offered(&say(&mut session, "EHLO x")));
    say(&mut session, "MAIL FROM:<a@b>");
    assert!(matches!(say(&mut session, "STARTTLS"), Action::Starttls(_)));
    session.encrypted();
    assert_eq!(code(&mut session, "MAIL FROM:<a@b>"), 503);
    assert!(!offered(&say(&mut session, "EHLO x")));
    assert_eq!(code(&mut session, "RCPT TO:<a@b>"), 503);
    assert_eq!(code(&mut session, "STARTTLS"), 503);
}

#[test]
fn chunks_end_with_their_transaction() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Unavailable, Offer::ALL);
    for line in ["EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b>"] {
        say(&mut session, line);
    }
    assert_eq!(say(&mut session, "BDAT 3"), Action::Chunk(3));
    assert!(session.is_between_chunks());
    say(&mut session, "RSET");
    assert!(!session.is_between_chunks());
    for line in ["MAIL FROM:<>", "RCPT TO:<a@b>", "BDAT 3"] {
        say(&mut session, line);
    }
    let last = say(&mut session, "BDAT 4 LAST");
    let Action::LastChunk(4, transaction) = last else {
        panic!("{last:?}");
    };
    assert_eq!(transaction.recipients.len(), 1);
    assert!(!session.is_between_chunks());
    assert_eq!(code(&mut session, "MAIL FROM:<>"), 250);
}

/// RFC 3030 §2: what was pipelined behind a refused chunk is refused too, and costs the
/// client nothing; `LAST` ends it.
#[test]
fn a_refused_chunk_refuses_the_rest() {
    let limits = limits();
    let mut session = Session::new(&limits, Tls::Unavailable, Offer::ALL);
    for line in ["EHLO x", "MAIL FROM:<>", "RCPT TO:<a@b>", "BDAT 3"] {
        say(&mut session, line);
    }
    session.chunk_refused();
    for _ in 0..10 {
        let action = say(&mut session, "BDAT 5");
        assert!(matches!(action, Action::Discard(5, reply) if reply.code() == 503));
    }
    assert_eq!(code(&mut session, "BDAT 5 LAST"), 503);
    assert_eq!(code(&mut session, "MAIL FROM:<>"), 250);
}
