//! A scripted destination, and what is needed to send something to it.

use crate::mail::{Address, BodyKind, Client, Envelope, Protocol, Recipient, ReversePath};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What has just happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moment {
    /// A connection.
    Connected,
    /// A command, without its line end.
    Command(String),
    /// The end of a message; in LMTP once for each recipient.
    Dot {
        /// The recipient, in LMTP.
        to: Option<String>,
    },
}

/// What the script wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// The ordinary answer.
    Usual,
    /// This answer; a message whose dot is answered with 2xx is recorded.
    Say(&'static str),
    /// This answer, then the end of the connection.
    SayAndClose(&'static str),
    /// The end of the connection.
    Close,
    /// The message is recorded, and the connection ends without a reply.
    TakeAndClose,
    /// Nothing, for ever.
    Stall,
}

/// A message that was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// MAIL FROM's parameters included.
    pub from: String,
    /// The recipients that were accepted, and for which the dot was answered with 2xx.
    pub to: Vec<String>,
    /// Its bytes, dots unstuffed.
    pub data: Vec<u8>,
}

/// Decides about every [`Moment`]; the number is that of the connection, from 0.
pub type Script = dyn Fn(usize, &Moment) -> Act + Send + Sync;

/// The destination.
pub struct Peer {
    pub address: SocketAddr,
    state: Arc<State>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    fingerprint: String,
    clients: Arc<Mutex<Vec<IpAddr>>>,
    task: JoinHandle<()>,
}

/// What its sessions share.
pub struct State {
    script: Box<Script>,
    /// How long it takes over EHLO, by which a release judges how far away it is.
    hello_after: Duration,
    features: &'static str,
    taken: Mutex<Vec<Taken>>,
    commands: Mutex<Vec<String>>,
}

impl State {
    pub fn new(
        features: &'static str,
        script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Box::new(script),
            hello_after: Duration::ZERO,
            features,
            taken: Mutex::default(),
            commands: Mutex::default(),
        }
    }

    /// Messages taken so far, in the order of their replies.
    pub fn taken(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap()
    }

    /// Commands so far.
    pub fn commands(&self) -> MutexGuard<'_, Vec<String>> {
        self.commands.lock().unwrap()
    }
}

/// What an ordinary destination offers.
pub const USUAL: &str = "250-new.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 DSN\r\n";

/// One that takes messages by BDAT as well.
pub const CHUNKING: &str = "250-new.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n\
                            250-CHUNKING\r\n250-BINARYMIME\r\n250 DSN\r\n";

impl Peer {
    pub async fn start(script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static) -> Self {
        Self::with(USUAL, "127.0.0.1:0", script).await
    }

    pub async fn with(
        features: &'static str,
        address: &str,
        script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::at(features, address, Duration::ZERO, script).await
    }

    /// One that seems to be so far away that messages go to it in long rows.
    pub async fn far(
        features: &'static str,
        script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static,
    ) -> Self {
        Self::at(features, "127.0.0.1:0", Duration::from_millis(25), script).await
    }

    async fn at(
        features: &'static str,
        address: &str,
        hello_after: Duration,
        script: impl Fn(usize, &Moment) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, fingerprint) = acceptor();
        let state = Arc::new(State {
            hello_after,
            ..State::new(features, script)
        });
        let clients = Arc::new(Mutex::default());
        let (shared, seen) = (state.clone(), clients.clone());
        let task = tokio::spawn(async move {
            // Sessions end with their peer.
            let mut sessions = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, client) = listener.accept().await.unwrap();
                let clients: &Mutex<Vec<IpAddr>> = &seen;
                clients.lock().unwrap().push(client.ip());
                sessions.spawn(serve(shared.clone(), tls.clone(), number, stream));
            }
        });
        Self {
            address,
            state,
            fingerprint,
            clients,
            task,
        }
    }

    /// Messages taken so far, in the order of their replies.
    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken().clone()
    }

    /// SHA-256 of its certificate, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// Where connections came from so far.
    pub fn clients(&self) -> Vec<IpAddr> {
        self.clients.lock().unwrap().clone()
    }

    /// Commands so far.
    pub fn commands(&self) -> Vec<String> {
        self.state.commands().clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor() -> (TlsAcceptor, String) {
    let pair = rcgen::generate_simple_self_signed(["new.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())
        .unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, pair.cert.der());
    let fingerprint = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    (TlsAcceptor::from(Arc::new(config)), fingerprint.collect())
}

/// How a session goes on.
enum Next {
    Over,
    StartTls,
}

/// A session without TLS over any stream.
pub async fn converse(
    state: &State,
    number: usize,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) {
    Session::new(state, number).talk(&mut stream, true).await;
}

async fn serve(state: Arc<State>, tls: TlsAcceptor, number: usize, mut stream: TcpStream) {
    let mut session = Session::new(&state, number);
    let first = session.talk(&mut stream, true).await;
    if let Some(Next::StartTls) = first
        && let Ok(mut stream) = tls.accept(stream).await
    {
        session.unread.clear();
        session.talk(&mut stream, false).await;
    }
}

struct Session<'a> {
    state: &'a State,
    number: usize,
    unread: Vec<u8>,
    from: String,
    has_mail: bool,
    to: Vec<String>,
    lmtp: bool,
}

impl<'a> Session<'a> {
    fn new(state: &'a State, number: usize) -> Self {
        Self {
            state,
            number,
            unread: Vec::new(),
            from: String::new(),
            has_mail: false,
            to: Vec::new(),
            lmtp: false,
        }
    }

    /// Nothing when the connection broke.
    async fn talk<S>(&mut self, stream: &mut S, greet: bool) -> Option<Next>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if greet {
            self.act(stream, Moment::Connected, "220 new.example ready\r\n")
                .await?;
        }
        loop {
            let line = self.read_until(stream, b"\r\n").await?;
            let line = String::from_utf8(line).unwrap();
            let line = line.trim_end().to_owned();
            self.state.commands.lock().unwrap().push(line.clone());
            let verb = line.split(' ').next().unwrap().to_ascii_uppercase();
            let usual = match verb.as_str() {
                "EHLO" => self.state.features,
                "LHLO" => {
                    self.lmtp = true;
                    self.state.features
                }
                "HELO" => "250 new.example\r\n",
                "XCLIENT" => "220 new.example ready\r\n",
                "STARTTLS" => "220 go ahead\r\n",
                "RCPT" if !self.has_mail => "503 5.5.1 MAIL first\r\n",
                "DATA" if self.to.is_empty() => "554 5.5.1 no valid recipients\r\n",
                "DATA" => "354 go ahead\r\n",
                "QUIT" => "221 bye\r\n",
                "BDAT" => {
                    self.chunk(stream, &line).await?;
                    continue;
                }
                _ => "250 2.0.0 Ok\r\n",
            };
            if verb == "EHLO" {
                tokio::time::sleep(self.state.hello_after).await;
            }
            let said = self
                .act(stream, Moment::Command(line.clone()), usual)
                .await?;
            match verb.as_str() {
                "MAIL" => {
                    self.has_mail = said.starts_with('2');
                    self.from = line;
                }
                "RCPT" if said.starts_with('2') => self.to.push(line),
                "RSET" => {
                    self.has_mail = false;
                    self.to.clear();
                }
                "DATA" if said.starts_with('3') => self.message(stream).await?,
                "STARTTLS" if said.starts_with('2') => return Some(Next::StartTls),
                "QUIT" => return Some(Next::Over),
                _ => {}
            }
        }
    }

    /// BDAT with LAST: consumed before anything is said, as RFC 3030 §4.2 wants.
    async fn chunk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        line: &str,
    ) -> Option<()> {
        let size: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(line.ends_with(" LAST"), "{line}");
        while self.unread.len() < size {
            let mut piece = [0; 16 * 1024];
            let count = stream.read(&mut piece).await.ok()?;
            if count == 0 {
                return None;
            }
            self.unread.extend_from_slice(&piece[..count]);
        }
        let data = self.unread.drain(..size).collect();
        if self.to.is_empty() {
            let usual = "503 5.5.1 no valid recipients\r\n";
            let moment = Moment::Dot { to: None };
            return self.act(stream, moment, usual).await.map(|_| ());
        }
        self.take(stream, data).await
    }

    async fn message<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Option<()> {
        let mut wire = self.read_until(stream, b"\n").await?;
        while wire != b".\r\n" && !wire.ends_with(b"\r\n.\r\n") {
            wire.extend(self.read_until(stream, b"\n").await?);
        }
        wire.truncate(wire.len() - 3);
        let data = unstuffed(&wire);
        self.take(stream, data).await
    }

    async fn take<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        data: Vec<u8>,
    ) -> Option<()> {
        let to = std::mem::take(&mut self.to);
        self.has_mail = false;
        let groups: Vec<Vec<String>> = match self.lmtp {
            true => to.into_iter().map(|to| vec![to]).collect(),
            false => vec![to],
        };
        for to in groups {
            let moment = Moment::Dot {
                to: self.lmtp.then(|| to[0].clone()),
            };
            let taken = Taken {
                from: self.from.clone(),
                to,
                data: data.clone(),
            };
            // Recorded before the reply, so that it is there when the reply is seen.
            match (self.state.script)(self.number, &moment) {
                Act::TakeAndClose => {
                    self.state.taken.lock().unwrap().push(taken);
                    return None;
                }
                act => {
                    let positive = match act {
                        Act::Usual => true,
                        Act::Say(text) | Act::SayAndClose(text) => text.starts_with('2'),
                        _ => false,
                    };
                    if positive {
                        self.state.taken.lock().unwrap().push(taken);
                    }
                    self.carry_out(stream, act, "250 2.0.0 Ok: queued as 1A2B\r\n")
                        .await?;
                }
            }
        }
        Some(())
    }

    async fn act<S>(&mut self, stream: &mut S, moment: Moment, usual: &str) -> Option<String>
    where
        S: AsyncWrite + Unpin,
    {
        let act = (self.state.script)(self.number, &moment);
        self.carry_out(stream, act, usual).await
    }

    async fn carry_out<S>(&mut self, stream: &mut S, act: Act, usual: &str) -> Option<String>
    where
        S: AsyncWrite + Unpin,
    {
        let (text, goes_on) = match act {
            Act::Usual => (usual, true),
            Act::Say(text) => (text, true),
            Act::SayAndClose(text) => (text, false),
            Act::Close | Act::TakeAndClose => ("", false),
            Act::Stall => std::future::pending().await,
        };
        stream.write_all(text.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        goes_on.then(|| text.to_owned())
    }

    async fn read_until<S>(&mut self, stream: &mut S, end: &[u8]) -> Option<Vec<u8>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if let Some(at) = memchr::memmem::find(&self.unread, end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            let mut piece = [0; 16 * 1024];
            let count = stream.read(&mut piece).await.ok()?;
            if count == 0 {
                return None;
            }
            self.unread.extend_from_slice(&piece[..count]);
        }
    }
}

/// RFC 5321 §4.5.2, written anew so that it does not share the codec's mistakes.
fn unstuffed(wire: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut line_start = true;
    for (at, byte) in wire.iter().enumerate() {
        if !(line_start && *byte == b'.') {
            data.push(*byte);
        }
        line_start = wire[..=at].ends_with(b"\r\n");
    }
    data
}

/// An envelope from alice@example.org to these.
pub fn envelope(recipients: &[&str]) -> Envelope {
    let address = |text: &str| Address::parse(text).unwrap();
    Envelope {
        reverse_path: ReversePath::Address(address("alice@example.org")),
        recipients: recipients
            .iter()
            .map(|to| Recipient::plain(address(to)))
            .collect(),
        body: BodyKind::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        client: Client {
            ip: "192.0.2.1".parse().unwrap(),
            port: 4321,
            name: None,
            helo: "client.example".into(),
            protocol: Protocol::Esmtp,
            tls: None,
        },
        received_ms: 1_795_428_001_500,
    }
}
