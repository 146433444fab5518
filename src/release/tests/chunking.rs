//! Messages as chunks: what goes in one flight, and what each answer to it means.

use super::{
    session::{send_as, setup, whole},
    *,
};
use crate::{
    mail::BodyKind,
    release::{
        connection::Connection,
        deliver::{Fate, Outcome},
        peer::{Act, CHUNKING, Moment},
        reply::{FailureKind, Phase as Step},
        tests::session::Told,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const TWO: [&str; 2] = ["bob@corp.example", "eve@corp.example"];

async fn chunking(script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static) -> Peer {
    Peer::with(CHUNKING, "127.0.0.1:0", script).await
}

async fn open(peer: &Peer) -> Connection {
    let setup = setup(peer, DestinationTls::None);
    Connection::open(&setup).await.unwrap()
}

/// How it ended for each of two recipients, in a word, and whether the connection is good.
async fn two(connection: &mut Connection) -> (Vec<String>, bool) {
    let mut body = whole();
    let outcome = send_as(connection, envelope(&TWO), &mut body, async { Ok(()) }).await;
    let places: Vec<u32> = outcome.fates.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [0, 1], "each recipient has a fate");
    (words(&outcome), outcome.reusable)
}

fn words(outcome: &Outcome) -> Vec<String> {
    let word = |fate: &Fate| match fate {
        Fate::Delivered(_) => "delivered".to_owned(),
        Fate::Back(_) => "back".into(),
        Fate::Doubt(_) => "doubt".into(),
        Fate::Failed(failure) => match &failure.kind {
            FailureKind::Said(reply) => format!("{} to {:?}", reply.code, failure.phase),
            _ => format!("lost at {:?}", failure.phase),
        },
    };
    outcome.fates.iter().map(|(_, fate)| word(fate)).collect()
}

/// Says nothing before it has everything: the whole must come without being asked for.
#[tokio::test]
async fn a_message_takes_one_round_trip() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let say = async |stream: &mut TcpStream, text: &str| {
            stream.write_all(text.as_bytes()).await.unwrap();
        };
        say(&mut stream, "220 new.example\r\n").await;
        read_until(&mut stream, |seen| seen.ends_with("\r\n")).await;
        say(&mut stream, CHUNKING).await;
        let mut flights = Vec::new();
        for _ in 0..2 {
            let whole = |seen: &str| seen.contains("BDAT ") && seen.ends_with("\r\n\r\nbody\r\n");
            flights.push(read_until(&mut stream, whole).await);
            let replies = [
                "250 2.1.0 Ok\r\n",
                "250 2.1.5 Ok\r\n",
                "250 2.0.0 taken\r\n",
            ];
            say(&mut stream, &replies.concat()).await;
        }
        flights
    });
    let peer = Peer::start(|_, _| Act::Usual).await;
    let mut setup = setup(&peer, DestinationTls::None);
    setup.target.port = address.port();
    let mut connection = Connection::open(&setup).await.unwrap();
    for _ in 0..2 {
        let mut body = Told(vec![Ok(Some(b"Subject: x\r\n\r\nbody\r\n".to_vec()))]);
        let envelope = envelope(&["bob@corp.example"]);
        let outcome = send_as(&mut connection, envelope, &mut body, async { Ok(()) }).await;
        assert_eq!(words(&outcome), ["delivered"]);
        assert!(outcome.reusable);
    }
    for flight in server.await.unwrap() {
        let begin = "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@corp.example>\r\nBDAT ";
        let rest = flight.strip_prefix(begin).unwrap();
        let (size, chunk) = rest.split_once(" LAST\r\n").unwrap();
        assert_eq!(size.parse(), Ok(chunk.len()));
    }
}

async fn read_until(stream: &mut TcpStream, done: impl Fn(&str) -> bool) -> String {
    let mut seen = String::new();
    while !done(&seen) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    seen
}

#[tokio::test]
async fn the_chunk_waits_for_the_attempt() {
    let (bell, mut rung) = tokio::sync::mpsc::unbounded_channel();
    let peer = chunking(move |_, moment| {
        if matches!(moment, Moment::Command(line) if line.starts_with("RCPT")) {
            bell.send(()).unwrap();
        }
        Act::Usual
    })
    .await;
    let mut connection = open(&peer).await;
    // The envelope is there before the attempt is noted, and then it cannot be noted.
    let attempt = async {
        rung.recv().await.unwrap();
        Err(SpoolError::Closed)
    };
    let envelope = envelope(&["bob@corp.example"]);
    let outcome = send_as(&mut connection, envelope, &mut whole(), attempt).await;
    assert!(!outcome.reusable && !outcome.attempted);
    assert!(!peer.commands().iter().any(|line| line.starts_with("BDAT")));
}

#[tokio::test]
async fn who_is_refused_beside_the_chunk_is_refused_alone() {
    let peer = chunking(|_, moment| match moment {
        Moment::Command(line) if line.contains("<eve@") => Act::Say("550 5.1.1 who?\r\n"),
        _ => Act::Usual,
    })
    .await;
    let mut connection = open(&peer).await;
    for _ in 0..2 {
        let (fates, reusable) = two(&mut connection).await;
        assert_eq!(fates, ["delivered", "550 to Rcpt"]);
        assert!(reusable);
    }
    assert_eq!(peer.taken().len(), 2);
    assert!(!peer.commands().contains(&"RSET".to_owned()));
}

#[tokio::test]
async fn a_chunk_for_nobody_is_refused_and_the_session_goes_on() {
    let peer = chunking(|_, moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("550 5.1.1 who?\r\n"),
        _ => Act::Usual,
    })
    .await;
    let mut connection = open(&peer).await;
    for _ in 0..2 {
        let (fates, reusable) = two(&mut connection).await;
        assert_eq!(fates, ["550 to Rcpt", "550 to Rcpt"]);
        assert!(reusable, "its refusal of the chunk was read");
    }
    assert_eq!(peer.taken(), []);
    let commands = peer.commands();
    let resets = commands.iter().filter(|line| *line == "RSET");
    assert_eq!(resets.count(), 1, "{commands:?}");
}

#[tokio::test]
async fn who_takes_a_chunk_for_nobody_is_not_trusted_further() {
    let peer = chunking(|_, moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("550 5.1.1 who?\r\n"),
        Moment::Dot { .. } => Act::Say("250 2.0.0 fine\r\n"),
        _ => Act::Usual,
    })
    .await;
    let (fates, reusable) = two(&mut open(&peer).await).await;
    assert_eq!(fates, ["550 to Rcpt", "550 to Rcpt"]);
    assert!(!reusable);
}

#[tokio::test]
async fn a_refused_chunk_is_reset_before_the_next() {
    let peer = chunking(|_, moment| match moment {
        Moment::Dot { .. } => Act::Say("554 5.6.0 no\r\n"),
        _ => Act::Usual,
    })
    .await;
    let mut connection = open(&peer).await;
    for _ in 0..2 {
        let (fates, reusable) = two(&mut connection).await;
        assert_eq!(fates, ["554 to EndOfData", "554 to EndOfData"]);
        assert!(reusable);
    }
    let resets = peer.commands().into_iter().filter(|line| line == "RSET");
    assert_eq!(resets.count(), 1, "RFC 3030 §2");
}

/// The whole message has left, but who was refused was refused.
#[tokio::test]
async fn a_lost_connection_leaves_only_those_in_doubt_who_were_not_refused() {
    for (verb, said, expected) in [
        ("RCPT TO:<eve", "550 5.1.1 no\r\n", ["doubt", "550 to Rcpt"]),
        ("RCPT", "550 5.1.1 no\r\n", ["550 to Rcpt", "550 to Rcpt"]),
        ("MAIL", "550 5.7.1 no\r\n", ["550 to Mail", "550 to Mail"]),
        ("none", "", ["doubt", "doubt"]),
    ] {
        let peer = chunking(move |_, moment| match moment {
            Moment::Command(line) if line.starts_with(verb) => Act::Say(said),
            Moment::Dot { .. } => Act::Close,
            _ => Act::Usual,
        })
        .await;
        let (fates, reusable) = two(&mut open(&peer).await).await;
        assert_eq!(fates, expected, "{verb}");
        assert!(!reusable);
    }
}

/// RFC 5321 §3.8: nothing behind a farewell was taken, and nobody is forgotten.
#[tokio::test]
async fn a_farewell_is_no_doubt_for_anybody() {
    for features in [CHUNKING, "250-new.example\r\n250 8BITMIME\r\n"] {
        for (verb, step) in [("MAIL", Step::Mail), ("RCPT TO:<eve", Step::Rcpt)] {
            let peer = Peer::with(features, "127.0.0.1:0", move |_, moment| match moment {
                Moment::Command(line) if line.starts_with(verb) => {
                    Act::SayAndClose("421 4.3.2 going down\r\n")
                }
                _ => Act::Usual,
            })
            .await;
            let (fates, reusable) = two(&mut open(&peer).await).await;
            let all = format!("421 to {step:?}");
            // The farewell may be read, or be lost with the connection that was reset
            // under unread bytes.
            for fate in fates {
                let lost = features == CHUNKING && (fate == "doubt" || fate.starts_with("lost"));
                assert!(fate == all || lost, "{verb}: {fate}");
            }
            assert!(!reusable);
        }
    }
}

#[tokio::test]
async fn binary_content_passes_unchanged() {
    let peer = chunking(|_, _| Act::Usual).await;
    let mut connection = open(&peer).await;
    let content = b"a\r.\nb\n.\r\n\0.\r\n\xff\r\n.\r\nno line end".to_vec();
    let mut binary = envelope(&["bob@corp.example"]);
    binary.body = BodyKind::BinaryMime;
    let mut body = Told(vec![Ok(Some(content.clone()))]);
    let outcome = send_as(&mut connection, binary, &mut body, async { Ok(()) }).await;
    assert_eq!(words(&outcome), ["delivered"]);
    let taken = peer.taken().remove(0);
    assert_eq!(taken.from, "MAIL FROM:<alice@example.org> BODY=BINARYMIME");
    assert_eq!(original(&taken), content);
    // What is not declared as binary is guarded as with DATA: a server behind this one
    // could take it for the end of a message.
    let mut body = Told(vec![Ok(Some(content))]);
    let plain = envelope(&["bob@corp.example"]);
    let outcome = send_as(&mut connection, plain, &mut body, async { Ok(()) }).await;
    let Fate::Failed(failure) = &outcome.fates[0].1 else {
        panic!("{outcome:?}")
    };
    assert!(matches!(
        failure.kind,
        FailureKind::Unfit { dsn: "5.6.0", .. }
    ));
    assert_eq!(peer.taken().len(), 1);
}

/// A body that the spool cannot give to its end, short or long.
#[tokio::test]
async fn a_damaged_message_does_not_arrive_by_chunk() {
    for pieces in [1, 400] {
        let peer = chunking(|_, _| Act::Usual).await;
        let mut connection = open(&peer).await;
        let piece = || Ok(Some(b"x\r\n".repeat(1000)));
        let mut told: Vec<_> = (0..pieces).map(|_| piece()).collect();
        told.push(Err(SpoolError::Corrupt {
            what: "body".into(),
            detail: "digest".into(),
        }));
        let envelope = envelope(&["bob@corp.example"]);
        let outcome = send_as(&mut connection, envelope, &mut Told(told), async { Ok(()) }).await;
        let Fate::Failed(failure) = &outcome.fates[0].1 else {
            panic!("{outcome:?}")
        };
        assert!(matches!(failure.kind, FailureKind::Unfit { .. }));
        connection.quit().await;
        assert_eq!(peer.taken(), []);
    }
}
