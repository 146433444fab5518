//! A client that says anything: no panic, no transaction without MAIL and RCPT, no more
//! recipients than allowed, and replies that are one reply each.

use crate::{
    mail::Recipient,
    smtp::{Action, ForwardPath, Offer, Reply, Session, SessionLimits, Tls, Transaction},
};

pub fn strike(input: &[u8]) {
    let limits = SessionLimits {
        hostname: "hold.example.net".into(),
        message_size_bytes: 100_000,
        recipients: 5,
        errors: 20,
    };
    let mut session = Session::new(&limits, Tls::Offered, Offer::ALL);
    for line in input.split(|&byte| byte == b'\n').take(200) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut action = session.command(line);
        // A caller that takes everybody.
        action = match action {
            Action::Sender(mail) => session.accept_sender(mail),
            Action::Recipient(rcpt) => match rcpt.to {
                ForwardPath::Mailbox(address) => {
                    session.accept_recipient(Recipient::plain(address))
                }
                ForwardPath::Postmaster => session.refuse(Reply::new(550, "5.1.1", "none")),
            },
            action => action,
        };
        match action {
            Action::Reply(reply) | Action::Discard(_, reply) => check(&reply),
            Action::Data(reply, transaction) => {
                check(&reply);
                check_transaction(&transaction);
                session.message_accepted();
            }
            Action::Chunk(bytes) => check(&session.chunk_accepted(bytes)),
            Action::LastChunk(_, transaction) => {
                check_transaction(&transaction);
                session.message_accepted();
            }
            Action::Starttls(reply) => {
                check(&reply);
                session.encrypted();
            }
            Action::Close(reply) => {
                check(&reply);
                return;
            }
            Action::Sender(_) | Action::Recipient(_) => panic!("asked twice"),
        }
    }
}

fn check_transaction(transaction: &Transaction) {
    assert!((1..=5).contains(&transaction.recipients.len()));
}

/// RFC 5321 §4.2: one code, printable lines that end in CRLF.
fn check(reply: &Reply) {
    let mut out = Vec::new();
    reply.write(&mut out);
    let text = out.strip_suffix(b"\r\n").expect("it ends in CRLF");
    let mut lines = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let line = if last {
            line
        } else {
            line.strip_suffix(b"\r").expect("a line ends in CRLF")
        };
        assert!(line.len() >= 4 && line[..3].iter().all(u8::is_ascii_digit));
        assert_eq!(line[3] == b' ', last, "{out:?}");
        assert!(!line.iter().any(|byte| byte.is_ascii_control()), "{out:?}");
    }
}
