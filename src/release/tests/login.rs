//! Logins at a destination, and from which address it is spoken to.

use super::{session::setup, *};
use crate::{
    config::{DestinationLogin, DestinationSecret},
    release::{
        connection::{Connection, Setup},
        peer::{Act, Moment},
        reply::{Failure, FailureKind, Phase},
    },
    spool::Gate,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

const OFFERS_BOTH: &str = "250-new.example\r\n250 AUTH LOGIN PLAIN XOAUTH2\r\n";
const OFFERS_LOGIN: &str = "250-new.example\r\n250 AUTH LOGIN\r\n";

/// Says yes to a login that ends with this line, and no to any other.
async fn peer(features: &'static str, last: String) -> Peer {
    Peer::with(features, "127.0.0.1:0", move |_, moment| match moment {
        Moment::Command(line) if *line == last => Act::Say("235 2.7.0 welcome\r\n"),
        Moment::Command(line) if line == "AUTH LOGIN" => Act::Say("334 VXNlcm5hbWU6\r\n"),
        Moment::Command(line) if *line == STANDARD.encode("relay") => {
            Act::Say("334 UGFzc3dvcmQ6\r\n")
        }
        Moment::Command(line) if line.starts_with("AUTH XOAUTH2") => {
            Act::Say("334 eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        }
        Moment::Command(line) if line.starts_with("AUTH ") || line.is_empty() => {
            Act::Say("535 5.7.8 no\r\n")
        }
        _ => Act::Usual,
    })
    .await
}

fn with_login(
    peer: &Peer,
    secret: impl FnOnce(PathBuf) -> DestinationSecret,
) -> (Setup, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "hush\n").unwrap();
    let mut setup = setup(peer, DestinationTls::None);
    setup.target.login = Some(DestinationLogin {
        user: "relay".into(),
        secret: secret(file),
    });
    (setup, directory)
}

async fn log_in(
    features: &'static str,
    last: String,
    secret: impl FnOnce(PathBuf) -> DestinationSecret,
) -> Result<(), Failure> {
    let peer = peer(features, last).await;
    let (setup, _directory) = with_login(&peer, secret);
    let opened = Connection::open(&setup).await.map(|_| ());
    let auth = |line: &String| line.starts_with("AUTH");
    assert!(opened.is_err() || peer.commands().iter().any(auth));
    opened
}

#[tokio::test]
async fn each_mechanism_logs_in() {
    let plain = format!("AUTH PLAIN {}", STANDARD.encode("\0relay\0hush"));
    log_in(OFFERS_BOTH, plain, DestinationSecret::Password)
        .await
        .unwrap();
    let login = STANDARD.encode("hush");
    log_in(OFFERS_LOGIN, login, DestinationSecret::Password)
        .await
        .unwrap();
    let token = STANDARD.encode("user=relay\x01auth=Bearer hush\x01\x01");
    let token = format!("AUTH XOAUTH2 {token}");
    log_in(OFFERS_BOTH, token, DestinationSecret::Token)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_token_comes_from_a_command_for_each_connection() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    // The token of an hour: another one each time.
    let command = format!(
        "echo x >> {0}; echo \"$RELAY_USER-$(wc -l < {0})\"",
        count.display()
    );
    for token in ["relay-1", "relay-2"] {
        let response = format!("user=relay\x01auth=Bearer {token}\x01\x01");
        let last = format!("AUTH XOAUTH2 {}", STANDARD.encode(response));
        let secret = |_| DestinationSecret::TokenCommand(command.clone());
        log_in(OFFERS_BOTH, last, secret).await.unwrap();
    }
    let fails = |_| DestinationSecret::TokenCommand("echo hush; echo expired >&2; exit 3".into());
    let failure = log_in(OFFERS_BOTH, "never".into(), fails).await;
    let text = failure.unwrap_err().to_string();
    assert!(
        text.contains("token_command ended with") && text.contains("expired"),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn a_refusal_is_said_without_the_secret() {
    for secret in [DestinationSecret::Password, DestinationSecret::Token] {
        let failure = log_in(OFFERS_BOTH, "never".into(), secret)
            .await
            .unwrap_err();
        assert_eq!(failure.phase, Phase::Auth);
        let FailureKind::Said(reply) = &failure.kind else {
            panic!("{failure}");
        };
        assert_eq!(reply.text, "535 5.7.8 no");
        assert!(!failure.to_string().contains("hush"), "{failure}");
    }
}

#[tokio::test]
async fn what_cannot_be_tried_is_named() {
    let failure = log_in(OFFERS_LOGIN, "never".into(), DestinationSecret::Token).await;
    let expected = "AUTH XOAUTH2 is needed, and the destination offers AUTH LOGIN only";
    assert!(failure.unwrap_err().to_string().contains(expected));
    let gone = |_| DestinationSecret::Password("/nowhere/secret".into());
    let failure = log_in(OFFERS_BOTH, "never".into(), gone).await;
    assert!(
        failure
            .unwrap_err()
            .to_string()
            .contains("/nowhere/secret: ")
    );
}

/// Whoever may name another host must not learn the password by it.
#[tokio::test]
async fn another_host_by_to_gets_the_mail_and_no_login() {
    let plain = format!("AUTH PLAIN {}", STANDARD.encode("\0relay\0hush"));
    let configured = peer(OFFERS_BOTH, plain).await;
    let other = Peer::with(OFFERS_BOTH, "127.0.0.2:0", |_, _| Act::Usual).await;
    let (setup, _directory) = with_login(&configured, DestinationSecret::Password);
    let change = |config: &mut Config| {
        let destination = &mut config.domains[0].destination;
        destination.tls = DestinationTls::None;
        destination.login = setup.target.login;
    };
    let world = World::with(configured.address, change, timeouts());
    world.accept(&["bob@corp.example"], b"1\r\n").await;
    world.command(released_to(Some(&other))).await;
    world.drained().await;
    assert_eq!(other.taken().len(), 1);
    let auth = |peer: &Peer| peer.commands().iter().any(|line| line.starts_with("AUTH"));
    assert!(!auth(&other) && !auth(&configured));
    // The configured host again, which goes by `to` as well.
    world.command(DomainCommand::Hold).await;
    world.accept(&["bob@corp.example"], b"2\r\n").await;
    world.command(released_to(Some(&configured))).await;
    world
        .until("taken", |_| configured.taken().len() == 1)
        .await;
    assert!(auth(&configured) && !auth(&other));
}

fn released_to(peer: Option<&Peer>) -> DomainCommand {
    DomainCommand::Release {
        to: peer.map(|peer| peer.address.to_string()),
        then: crate::spool::Phase::Forward,
        canary: None,
        gate: Gate::Open,
    }
}

/// A login that is refused is no message's fault: nothing is parked, the domain is paused.
#[tokio::test]
async fn a_refused_login_pauses_the_domain() {
    let peer = peer(OFFERS_BOTH, "never".into()).await;
    let (setup, _directory) = with_login(&peer, DestinationSecret::Password);
    let change = |config: &mut Config| {
        let destination = &mut config.domains[0].destination;
        destination.tls = DestinationTls::None;
        destination.login = setup.target.login;
    };
    let world = World::with(peer.address, change, timeouts());
    world.accept(&["bob@corp.example"], b"x\r\n").await;
    world.release().await;
    world
        .until("paused", |world| world.status().paused.is_some())
        .await;
    let reason = world.status().paused.unwrap();
    assert!(reason.contains("535 5.7.8 no"), "{reason}");
    assert_eq!(world.ledger().waiting.count, 1);
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_and_another_is_not() {
    let usual = "250-new.example\r\n250 STARTTLS\r\n";
    let peer = Peer::with(usual, "127.0.0.1:0", |_, _| Act::Usual).await;
    let mut setup = setup(&peer, DestinationTls::Verified);
    setup.target.pin = Some(peer.fingerprint());
    Connection::open(&setup).await.unwrap();
    setup.target.pin = Some("00".repeat(32));
    let failure = Connection::open(&setup).await.err().unwrap();
    assert!(matches!(failure.kind, FailureKind::Tls { .. }), "{failure}");
}

#[tokio::test]
async fn connections_come_from_the_given_address() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let mut setup = setup(&peer, DestinationTls::None);
    setup.target.source = Some("127.0.0.9".parse().unwrap());
    Connection::open(&setup).await.unwrap();
    assert_eq!(
        peer.clients(),
        ["127.0.0.9".parse::<std::net::IpAddr>().unwrap()]
    );
}
