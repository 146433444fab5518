//! One session, one message: what goes over the wire when.

use super::*;
use crate::{
    mail::{Digest, QueueId},
    release::{
        TlsClients,
        connection::{Connection, Setup},
        deliver::{Fate, Orders, Outcome, deliver},
        flight::{Way, fly},
        outside::tcp,
        parcel::{Parcel, Shipment},
        peer::{Act, Moment},
        reply::{Failure, FailureKind, Phase},
        target::Target,
    },
    spool::{Answer, Body, SpoolError, StoredMessage},
};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

pub(super) fn setup(peer: &Peer, tls: DestinationTls) -> Setup {
    Setup {
        target: Target {
            host: peer.address.ip().to_string(),
            port: peer.address.port(),
            protocol: DestinationProtocol::Smtp,
            tls,
            xclient: DestinationXclient::Auto,
            ca: None,
            pin: None,
            source: None,
            login: None,
        },
        hostname: HOSTNAME.into(),
        tls: TlsClients::new().unwrap(),
        timeouts: timeouts(),
        throttle: Arc::default(),
        dial: tcp(),
    }
}

/// A body that ends as it is told to.
pub(super) struct Told(pub Vec<Result<Option<Vec<u8>>, SpoolError>>);

impl Body for Told {
    fn next(&mut self) -> Answer<'_, Option<Vec<u8>>> {
        let next = if self.0.is_empty() {
            Ok(None)
        } else {
            self.0.remove(0)
        };
        Box::pin(async { next })
    }

    fn digest(&self) -> Digest {
        Digest::of(b"")
    }

    fn size(&self) -> u64 {
        0
    }
}

async fn send(
    connection: &mut Connection,
    body: &mut Told,
    attempt: impl Future<Output = Result<(), SpoolError>>,
) -> Outcome {
    let envelope = envelope(&["bob@corp.example"]);
    send_as(connection, envelope, body, attempt).await
}

/// To all recipients of this envelope.
pub(super) async fn send_as(
    connection: &mut Connection,
    envelope: Envelope,
    body: &mut Told,
    attempt: impl Future<Output = Result<(), SpoolError>>,
) -> Outcome {
    let pieces = body.0.iter().flatten().flatten();
    let recipients: Vec<u32> = (0..).take(envelope.recipients.len()).collect();
    let message = StoredMessage {
        id: QueueId::new(7).unwrap(),
        envelope,
        size: pieces.map(|piece| piece.len() as u64).sum(),
        digest: Digest::of(b""),
        has_body: true,
    };
    let shipment = Shipment {
        message: &message,
        recipients: &recipients,
        hostname: HOSTNAME,
    };
    let (_orders, mut seen) = watch::channel(Orders::Work);
    let parcel = match Parcel::pack(connection, shipment, body).await {
        Ok(parcel) => parcel,
        Err(kind) => return shipment.unsent(connection, kind),
    };
    match Way::of(connection, parcel) {
        Way::Alone(parcel) => {
            let (outcome, _) = deliver(connection, parcel, None, attempt, None, &mut seen).await;
            outcome
        }
        Way::Flight(passenger) => {
            let mut told = Vec::new();
            let tell = |_: &Connection, outcome| told.push(outcome);
            fly(connection, vec![passenger], attempt, &mut seen, tell).await;
            assert_eq!(told.len(), 1);
            told.remove(0)
        }
    }
}

pub(super) fn whole() -> Told {
    Told(vec![Ok(Some(b"x\r\n".to_vec()))])
}

fn failed(outcome: &Outcome) -> &Failure {
    match &outcome.fates[0].1 {
        Fate::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_end_waits_for_the_attempt() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let mut connection = Connection::open(&setup(&peer, DestinationTls::None))
        .await
        .unwrap();
    let mut body = whole();
    let (noted, wait) = oneshot::channel();
    let attempt = async {
        wait.await.unwrap();
        Ok(())
    };
    let mut sending = Box::pin(send(&mut connection, &mut body, attempt));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut sending).await;
    assert!(early.is_err());
    assert!(
        peer.commands().contains(&"DATA".to_owned()),
        "the envelope does not wait"
    );
    assert_eq!(peer.taken(), []);
    noted.send(()).unwrap();
    let outcome = sending.await;
    assert!(matches!(outcome.fates[0].1, Fate::Delivered(_)));
    assert_eq!(peer.taken().len(), 1);
}

#[tokio::test]
async fn without_the_attempt_nothing_is_sent() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let mut connection = Connection::open(&setup(&peer, DestinationTls::None))
        .await
        .unwrap();
    let attempt = async { Err(SpoolError::Closed) };
    let outcome = send(&mut connection, &mut whole(), attempt).await;
    assert!(matches!(failed(&outcome).kind, FailureKind::Spool { .. }));
    assert!(!outcome.reusable && !outcome.attempted);
    drop(connection);
    assert_eq!(peer.taken(), []);
}

#[tokio::test]
async fn a_damaged_message_does_not_arrive() {
    for pieces in [0, 1, 40] {
        let peer = Peer::start(|_, _| Act::Usual).await;
        let mut connection = Connection::open(&setup(&peer, DestinationTls::None))
            .await
            .unwrap();
        let mut told: Vec<_> = (0..pieces)
            .map(|_| Ok(Some(b"x\r\n".repeat(1000))))
            .collect();
        told.push(Err(SpoolError::Corrupt {
            what: "body".into(),
            detail: "digest".into(),
        }));
        let outcome = send(&mut connection, &mut Told(told), async { Ok(()) }).await;
        assert!(
            matches!(failed(&outcome).kind, FailureKind::Unfit { .. }),
            "it is parked"
        );
        assert_eq!(outcome.attempted, pieces > 0);
        connection.quit().await;
        assert_eq!(peer.taken(), []);
    }
}

#[tokio::test]
async fn a_server_without_extensions_is_spoken_to_plainly() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Command(line) if line.starts_with("EHLO") => Act::Say("502 5.5.1 what?\r\n"),
        _ => Act::Usual,
    })
    .await;
    let open = Connection::open(&setup(&peer, DestinationTls::Opportunistic)).await;
    let mut connection = open.unwrap();
    for _ in 0..2 {
        let outcome = send(&mut connection, &mut whole(), async { Ok(()) }).await;
        assert!(matches!(outcome.fates[0].1, Fate::Delivered(_)));
    }
    connection.quit().await;
    let message = [
        "MAIL FROM:<alice@example.org>",
        "RCPT TO:<bob@corp.example>",
        "DATA",
    ];
    let hello = ["EHLO hold.example.net", "HELO hold.example.net"];
    let expected = [&hello[..], &message, &message, &["QUIT"]].concat();
    assert_eq!(peer.commands(), expected);
}

#[tokio::test]
async fn a_refused_envelope_is_reset_before_the_next() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Command(line) if line.starts_with("RCPT") => Act::Say("550 5.1.1 who?\r\n"),
        _ => Act::Usual,
    })
    .await;
    let open = Connection::open(&setup(&peer, DestinationTls::None)).await;
    let mut connection = open.unwrap();
    for _ in 0..2 {
        let outcome = send(&mut connection, &mut whole(), async { Ok(()) }).await;
        assert!(outcome.reusable);
        assert_eq!(failed(&outcome).phase, Phase::Rcpt);
    }
    let commands = peer.commands();
    assert_eq!(
        commands.iter().filter(|line| *line == "RSET").count(),
        1,
        "{commands:?}"
    );
}

const WITH_TLS: &str = "250-new.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n";

#[tokio::test]
async fn starttls_is_used_where_offered() {
    for tls in [DestinationTls::Opportunistic, DestinationTls::Required] {
        let peer = Peer::with(WITH_TLS, "127.0.0.1:0", |_, _| Act::Usual).await;
        let mut connection = Connection::open(&setup(&peer, tls)).await.unwrap();
        let outcome = send(&mut connection, &mut whole(), async { Ok(()) }).await;
        assert!(matches!(outcome.fates[0].1, Fate::Delivered(_)));
        let commands = peer.commands();
        let begin: Vec<&str> = commands.iter().take(3).map(String::as_str).collect();
        let ehlo = "EHLO hold.example.net";
        assert_eq!(
            begin,
            [ehlo, "STARTTLS", ehlo],
            "what was known before is asked again"
        );
    }
}

#[tokio::test]
async fn tls_that_is_required_is_not_done_without() {
    for (tls, features) in [
        (DestinationTls::Required, super::super::peer::USUAL),
        // A certificate that nobody vouches for.
        (DestinationTls::Verified, WITH_TLS),
    ] {
        let peer = Peer::with(features, "127.0.0.1:0", |_, _| Act::Usual).await;
        let failure = Connection::open(&setup(&peer, tls)).await.err().unwrap();
        assert!(matches!(failure.kind, FailureKind::Tls { .. }), "{failure}");
        assert!(!peer.commands().iter().any(|line| line.starts_with("MAIL")));
    }
}

#[tokio::test]
async fn opportunistic_tls_that_fails_is_done_without() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let seen = sessions.clone();
    let peer = Peer::with(
        WITH_TLS,
        "127.0.0.1:0",
        move |number, moment| match moment {
            Moment::Command(line) if line == "STARTTLS" => {
                seen.store(number + 1, Ordering::SeqCst);
                Act::SayAndClose("220 go ahead\r\nno TLS at all\r\n")
            }
            _ => Act::Usual,
        },
    )
    .await;
    let open = Connection::open(&setup(&peer, DestinationTls::Opportunistic)).await;
    let mut connection = open.unwrap();
    let outcome = send(&mut connection, &mut whole(), async { Ok(()) }).await;
    assert!(matches!(outcome.fates[0].1, Fate::Delivered(_)));
    assert_eq!(
        sessions.load(Ordering::SeqCst),
        1,
        "tried once, then without"
    );
}

#[tokio::test]
async fn a_reply_too_many_ends_the_session() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Dot { .. } => Act::Say("250 2.0.0 Ok\r\n250 2.0.0 Ok again\r\n"),
        _ => Act::Usual,
    })
    .await;
    let open = Connection::open(&setup(&peer, DestinationTls::None)).await;
    let mut connection = open.unwrap();
    let outcome = send(&mut connection, &mut whole(), async { Ok(()) }).await;
    assert!(matches!(outcome.fates[0].1, Fate::Delivered(_)));
    assert!(
        connection.is_disturbed(),
        "its replies cannot be trusted any more"
    );
}
