//! Messages in a row over one connection: what leaves before what is answered, and what each
//! answer, or none, means for the others.

use super::{
    session::{Told, setup},
    *,
};
use crate::{
    mail::{Digest, Recipient},
    release::{
        connection::Connection,
        deliver::{Fate, Orders, Outcome, deliver},
        flight::{Passenger, Way, fly},
        parcel::{Parcel, Shipment},
        peer::{self, CHUNKING, USUAL},
        reply::FailureKind,
    },
    spool::StoredMessage,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";

fn message(number: u64) -> StoredMessage {
    let mut envelope = envelope(&["bob@corp.example"]);
    let address = crate::mail::Address::parse(&format!("user{number}@corp.example")).unwrap();
    envelope.recipients = vec![Recipient::plain(address)];
    StoredMessage {
        id: QueueId::new(number + 1).unwrap(),
        envelope,
        size: MESSAGE.len() as u64,
        digest: Digest::of(b""),
        has_body: true,
    }
}

fn word(outcome: &Outcome) -> String {
    match &outcome.fates[0].1 {
        Fate::Delivered(_) => "delivered".into(),
        Fate::Back(_) => "back".into(),
        Fate::Doubt(_) => "doubt".into(),
        Fate::Failed(failure) => match &failure.kind {
            FailureKind::Said(reply) => reply.code.to_string(),
            _ => "lost".into(),
        },
    }
}

/// What the other side does.
enum Step {
    /// Reads until this has come so often.
    Await(&'static str, usize),
    Say(&'static str),
}
use Step::{Await, Say};

/// A session with a destination that does this and hangs up, once all that was sent is read;
/// and what it has read.
async fn session(
    features: &'static str,
    steps: Vec<Step>,
) -> (Connection, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let hello = [Say("220 new.example\r\n"), Await("\r\n", 1), Say(features)];
        let mut read = String::new();
        for step in hello.into_iter().chain(steps) {
            match step {
                Say(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                Await(what, times) => read_until(&mut stream, &mut read, what, times).await,
            }
        }
        read
    });
    let peer = peer::Peer::start(|_, _| peer::Act::Usual).await;
    let mut setup = setup(&peer, DestinationTls::None);
    setup.target.port = port;
    (Connection::open(&setup).await.unwrap(), server)
}

async fn read_until(stream: &mut TcpStream, read: &mut String, what: &str, times: usize) {
    while read.matches(what).count() < times {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "{times} times {what:?} in {read}");
        read.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
}

/// These messages, ready for this connection; each of them must fly.
async fn flight<'a>(
    connection: &Connection,
    messages: &'a [StoredMessage],
    bodies: &'a mut [Told],
) -> Vec<Passenger<'a>> {
    let mut flight = Vec::new();
    for (message, body) in messages.iter().zip(bodies) {
        let shipment = Shipment {
            message,
            recipients: &[0],
            hostname: HOSTNAME,
        };
        let parcel = Parcel::pack(connection, shipment, body).await;
        match Way::of(connection, parcel.ok().unwrap()) {
            Way::Flight(passenger) => flight.push(passenger),
            Way::Alone(_) => panic!("it does not fly"),
        }
    }
    flight
}

/// Three messages in one flight: how each ended, whether the connection is good, and what
/// was read on the other side.
async fn three(steps: Vec<Step>) -> ([String; 3], bool, String) {
    let (mut connection, server) = session(CHUNKING, steps).await;
    let messages = [0, 1, 2].map(message);
    let mut bodies = [0, 1, 2].map(|_| Told(vec![Ok(Some(MESSAGE.into()))]));
    let flight = flight(&connection, &messages, &mut bodies).await;
    let (_orders, mut seen) = watch::channel(Orders::Work);
    let mut told = Vec::new();
    let tell = |_: &Connection, outcome| told.push(outcome);
    fly(&mut connection, flight, async { Ok(()) }, &mut seen, tell).await;
    let words: Vec<String> = told.iter().map(word).collect();
    let reusable = told.iter().all(|outcome| outcome.reusable);
    (words.try_into().unwrap(), reusable, server.await.unwrap())
}

const ALL: Step = Await("\r\n\r\nbody\r\n", 3);
const TAKEN: &str = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 taken\r\n";
/// Behind the first there is an answer to RSET too.
const TAKEN_TOO: &str = "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 taken\r\n";

#[tokio::test]
async fn three_messages_take_one_round_trip() {
    let (words, reusable, read) =
        three(vec![ALL, Say(TAKEN), Say(TAKEN_TOO), Say(TAKEN_TOO)]).await;
    assert_eq!(words, ["delivered"; 3]);
    assert!(reusable);
    assert_eq!(
        read.matches("body\r\nRSET\r\nMAIL FROM:").count(),
        2,
        "{read}"
    );
    for number in 0..3 {
        let to = format!("RCPT TO:<user{number}@corp.example>\r\nBDAT ");
        assert_eq!(read.matches(&to).count(), 1, "{read}");
    }
}

#[tokio::test]
async fn what_was_not_answered_is_in_doubt() {
    let (words, reusable, _) = three(vec![ALL, Say(TAKEN)]).await;
    assert_eq!(
        (words, reusable),
        (["delivered", "doubt", "doubt"].map(Into::into), false)
    );
    // Accepted, and then nothing.
    let envelope = "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";
    let (words, ..) = three(vec![ALL, Say(TAKEN), Say(envelope)]).await;
    assert_eq!(words, ["delivered", "doubt", "doubt"]);
    // Refused, and then nothing.
    let refused = "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n550 5.1.1 nobody\r\n";
    let (words, ..) = three(vec![ALL, Say(TAKEN), Say(refused)]).await;
    assert_eq!(words, ["delivered", "550", "doubt"]);
}

/// RFC 5321 §3.8.
#[tokio::test]
async fn behind_a_421_nothing_was_taken() {
    let closing = "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n421 4.3.2 going down\r\n";
    let (words, reusable, _) = three(vec![ALL, Say(TAKEN), Say(closing)]).await;
    assert_eq!(
        (words, reusable),
        (["delivered", "421", "back"].map(Into::into), false)
    );
    let closing = "250 2.0.0 Ok\r\n421 4.3.2 going down\r\n";
    let (words, reusable, _) = three(vec![ALL, Say(TAKEN), Say(closing)]).await;
    assert_eq!(
        (words, reusable),
        (["delivered", "421", "back"].map(Into::into), false)
    );
}

/// One that goes on after its 421 is believed what it says.
#[tokio::test]
async fn an_answer_behind_a_421_counts() {
    let closing = "250 2.0.0 Ok\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n421 4.3.2 going down\r\n";
    let (words, reusable, _) = three(vec![ALL, Say(TAKEN), Say(closing), Say(TAKEN_TOO)]).await;
    assert_eq!(
        (words, reusable),
        (["delivered", "421", "delivered"].map(Into::into), false)
    );
}

#[tokio::test]
async fn a_refusal_is_that_of_one_message() {
    for (refusal, code) in [
        (
            "250 Ok\r\n250 Ok\r\n550 5.1.1 nobody\r\n554 5.5.1 no recipients\r\n",
            "550",
        ),
        (
            "250 Ok\r\n550 5.7.1 no\r\n503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n",
            "550",
        ),
        (
            "250 Ok\r\n250 Ok\r\n250 Ok\r\n552 5.3.4 too large\r\n",
            "552",
        ),
        (
            "250 Ok\r\n250 Ok\r\n450 4.2.0 later\r\n554 5.5.1 no recipients\r\n",
            "450",
        ),
    ] {
        let steps = vec![ALL, Say(TAKEN), Say(refusal), Say(TAKEN_TOO)];
        let (words, reusable, _) = three(steps).await;
        assert_eq!(
            (words, reusable),
            (["delivered", code, "delivered"].map(Into::into), true)
        );
    }
}

/// Who takes a message for nobody answers something else than what was asked.
#[tokio::test]
async fn one_that_is_out_of_step_is_not_believed() {
    let nobody = "250 Ok\r\n250 Ok\r\n550 5.1.1 nobody\r\n250 2.0.0 taken\r\n";
    let (words, reusable, _) = three(vec![ALL, Say(TAKEN), Say(nobody), Say(TAKEN_TOO)]).await;
    assert_eq!(
        (words, reusable),
        (["delivered", "550", "doubt"].map(Into::into), false)
    );
}

#[tokio::test]
async fn no_chunk_leaves_without_its_attempt() {
    let (mut connection, server) = session(CHUNKING, vec![Await("RCPT", 1)]).await;
    let messages = [0, 1].map(message);
    let mut bodies = [0, 1].map(|_| Told(vec![Ok(Some(MESSAGE.into()))]));
    let flight = flight(&connection, &messages, &mut bodies).await;
    let (_orders, mut seen) = watch::channel(Orders::Work);
    let mut told = Vec::new();
    let tell = |_: &Connection, outcome| told.push(outcome);
    let unnoted = async { Err(SpoolError::UnknownMessage(messages[0].id)) };
    fly(&mut connection, flight, unnoted, &mut seen, tell).await;
    assert_eq!(told.iter().map(word).collect::<Vec<_>>(), ["lost", "lost"]);
    assert!(
        told.iter()
            .all(|outcome| !outcome.reusable && !outcome.attempted)
    );
    let read = server.await.unwrap();
    assert!(!read.contains("BDAT"), "{read}");
}

/// Two messages with DATA, the second behind the first: how each ended, and whether the
/// connection is good.
async fn two(steps: Vec<Step>) -> ([String; 2], bool, bool) {
    let (mut connection, server) = session(USUAL, steps).await;
    let messages = [0, 1].map(message);
    let mut bodies = [0, 1].map(|_| Told(vec![Ok(Some(MESSAGE.into()))]));
    let [one, two] = &mut bodies;
    let shipment = |at: usize| Shipment {
        message: &messages[at],
        recipients: &[0],
        hostname: HOSTNAME,
    };
    let first = Parcel::pack(&connection, shipment(0), one)
        .await
        .ok()
        .unwrap();
    let second = Parcel::pack(&connection, shipment(1), two)
        .await
        .ok()
        .unwrap();
    let (_orders, mut seen) = watch::channel(Orders::Work);
    let behind = Some(&second.commands);
    let noted = async { Ok(()) };
    let (a, begun) = deliver(&mut connection, first, None, noted, behind, &mut seen).await;
    assert!(begun.is_some(), "the envelope went behind the dot");
    let noted = async { Ok(()) };
    let (b, _) = deliver(&mut connection, second, begun, noted, None, &mut seen).await;
    server.await.unwrap();
    let reusable = a.reusable && b.reusable;
    ([word(&a), word(&b)], reusable, connection.needs_reset)
}

const ASKED: &str = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go ahead\r\n";

/// RFC 2920 §3.1.
#[tokio::test]
async fn the_next_envelope_comes_before_the_dot_is_answered() {
    for (dot, word) in [
        ("250 2.0.0 taken\r\n", "delivered"),
        ("554 5.7.1 no\r\n", "554"),
    ] {
        let steps = vec![
            Await("DATA\r\n", 1),
            Say(ASKED),
            Await("\r\n.\r\nMAIL FROM:", 1),
            Await("DATA\r\n", 2),
            Say(dot),
            Say(ASKED),
            Await("\r\n.\r\n", 2),
            Say("250 2.0.0 taken\r\n"),
        ];
        let (words, reusable, needs_reset) = two(steps).await;
        assert_eq!(words, [word, "delivered"]);
        assert!(reusable && !needs_reset);
    }
}

#[tokio::test]
async fn only_a_sent_dot_is_in_doubt() {
    let steps = vec![Await("DATA\r\n", 1), Say(ASKED), Await("DATA\r\n", 2)];
    let (words, reusable, _) = two(steps).await;
    assert_eq!((words, reusable), (["doubt".into(), "lost".into()], false));
}

#[tokio::test]
async fn an_envelope_that_nobody_takes_is_reset_before_the_next() {
    let steps = vec![
        Await("DATA\r\n", 1),
        Say(ASKED),
        Await("DATA\r\n", 2),
        Say("250 2.0.0 taken\r\n"),
        Say("250 2.1.0 Ok\r\n550 5.1.1 nobody\r\n554 5.5.1 no recipients\r\n"),
    ];
    let (words, reusable, needs_reset) = two(steps).await;
    assert_eq!(
        (words, reusable),
        (["delivered".into(), "550".into()], true)
    );
    assert!(needs_reset);
}
