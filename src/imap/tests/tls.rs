//! STARTTLS, and whose certificates are believed.

use crate::imap::{Endpoint, Error, Limits, Login, Tls, Trust, connect};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use ring::digest::{SHA256, digest};
use rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivateKeyDer};
use std::sync::Arc;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A line is waited for, and this is said, with its tag.
async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    command: &str,
    said: &str,
) -> String {
    let mut line = String::new();
    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
        return line;
    }
    let (tag, rest) = line.split_once(' ').unwrap();
    assert_eq!(rest.trim_end(), command);
    let said = said.replace("TAG", tag);
    let _ = stream.get_mut().write_all(said.as_bytes()).await;
    let _ = stream.get_mut().flush().await;
    line
}

/// Logs in by STARTTLS at a server with a fresh certificate for `localhost`.
async fn log_in(trust: impl FnOnce(&CertifiedKey<rcgen::KeyPair>) -> Trust) -> Result<bool, Error> {
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trust = trust(&made);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut plain = BufReader::new(tcp);
        let _ = plain
            .get_mut()
            .write_all(b"* OK [CAPABILITY IMAP4rev1 AUTH=EVIL] hi\r\n")
            .await;
        // In the same segment as the reply, what somebody on the way would add.
        let added = "TAG OK go on\r\n* CAPABILITY IMAP4rev1 EVIL\r\nA0001 OK evil\r\n";
        reply(&mut plain, "STARTTLS", added).await;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let Ok(tls) = acceptor.accept(plain.into_inner()).await else {
            return;
        };
        let mut tls = BufReader::new(tls);
        reply(
            &mut tls,
            "CAPABILITY",
            "* CAPABILITY IMAP4rev1\r\nTAG OK\r\n",
        )
        .await;
        let welcome = "TAG OK [CAPABILITY IMAP4rev1 GOOD] in\r\n";
        reply(&mut tls, "LOGIN \"u\" \"p\"", welcome).await;
    });
    let endpoint = Endpoint {
        host: "localhost".into(),
        port,
        tls: Tls::StartTls,
        trust,
        compress: false,
    };
    let login = Login::Password {
        user: "u".into(),
        password: "p".into(),
    };
    let session = connect(&endpoint, &login, &Limits::default()).await?;
    assert!(session.has("GOOD"));
    Ok(session.has("EVIL"))
}

#[tokio::test]
async fn what_came_before_tls_is_thrown_away() {
    let known = log_in(|made| Trust::Authorities(made.cert.pem().into_bytes()));
    assert_eq!(known.await, Ok(false));
    let pin = |made: &CertifiedKey<rcgen::KeyPair>| -> [u8; 32] {
        digest(&SHA256, made.cert.der())
            .as_ref()
            .try_into()
            .unwrap()
    };
    assert_eq!(log_in(|made| Trust::Pin(pin(made))).await, Ok(false));
}

#[tokio::test]
async fn no_password_goes_to_a_stranger() {
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = other.cert.pem().into_bytes();
    for trust in [
        Trust::System,
        Trust::Authorities(other),
        Trust::Pin([0; 32]),
    ] {
        let refused = log_in(|_| trust).await;
        assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
    }
    let refused = log_in(|_| Trust::Authorities(b"no PEM".to_vec())).await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
}
