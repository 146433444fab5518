//! A session with a destination, from the lookup of its name to QUIT.
//!
//! Commands go through mail-send's client, one by one or several in a flight, with our
//! own bytes; see [`stream`](super::stream) for why every reply is read by itself.

use super::{
    commands::{Features, hello},
    outside::Dial,
    reply::{Failure, FailureKind, Phase, Reply},
    room::Used,
    stream::{Stream, Wire},
    target::Target,
    throttle::Throttle,
    timeouts::Timeouts,
    tls::TlsClients,
};
use crate::{
    config::{DestinationProtocol, DestinationTls, DestinationXclient},
    mail::Client,
};
use mail_send::SmtpClient;
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::lookup_host,
    time::{Instant, timeout},
};

/// What every connection to a destination needs.
#[derive(Clone)]
pub struct Setup {
    /// Where to.
    pub target: Target,
    /// Our own name.
    pub hostname: String,
    /// TLS.
    pub tls: TlsClients,
    /// Patience.
    pub timeouts: Timeouts,
    /// Bytes in a time, over all connections.
    pub throttle: Arc<Throttle>,
    /// How lines are opened.
    pub dial: Dial,
}

/// A session that is ready for a message.
pub struct Connection {
    client: SmtpClient<Stream>,
    /// `mail.new.example[192.0.2.1]:25`, for logs and records.
    pub relay: String,
    /// What the destination offers.
    pub features: Features,
    /// SMTP or LMTP.
    pub protocol: DestinationProtocol,
    /// Patience.
    pub timeouts: Timeouts,
    /// Messages that were taken over this connection.
    pub delivered: u32,
    /// Whether the destination is to be told where a message came from.
    pub xclient: DestinationXclient,
    /// The client on whose behalf the session is.
    pub introduced: Option<Client>,
    /// Whether a transaction was begun and neither finished nor reset.
    pub needs_reset: bool,
    /// The shortest time in which it was answered to EHLO.
    pub round_trip: Option<Duration>,
    /// What of the session was used, where the destination bounds it.
    pub used: Used,
}

/// Whether TLS may be used on an attempt to connect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cover {
    AsConfigured,
    /// The handshake has failed before, and TLS is only opportunistic.
    Plain,
}

impl Connection {
    /// Connects to the first address of the target that takes us.
    ///
    /// Where TLS is opportunistic and the handshake fails, the same address is tried
    /// once more without: whoever can break the handshake could have hidden STARTTLS as
    /// well (RFC 7435 §3), and Postfix does the same at its level `may`.
    ///
    /// # Errors
    /// The [`Failure`] of the last address.
    pub async fn open(setup: &Setup) -> Result<Self, Failure> {
        let target = &setup.target;
        let lost = |detail: String| Failure {
            phase: Phase::Connect,
            relay: target.to_string(),
            kind: FailureKind::Lost { detail },
        };
        let lookup = lookup_host((target.host.as_str(), target.port));
        let addresses: Vec<SocketAddr> = match timeout(setup.timeouts.connect, lookup).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(lost(format!("name lookup failed: {error}"))),
            Err(_) => return Err(lost("name lookup timed out".into())),
        };
        let mut last = lost("the name has no address".into());
        for address in addresses {
            let mut opened = Self::session(setup, address, Cover::AsConfigured).await;
            if let Err(failure) = &opened
                && failure.phase == Phase::StartTls
                && matches!(failure.kind, FailureKind::Tls { .. })
                && target.tls == DestinationTls::Opportunistic
            {
                tracing::warn!("{failure}; going on without TLS, which is opportunistic here");
                opened = Self::session(setup, address, Cover::Plain).await;
            }
            match opened {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn session(setup: &Setup, address: SocketAddr, cover: Cover) -> Result<Self, Failure> {
        let mut connection = Self::connect(setup, address).await?;
        connection.greeting(&setup.hostname).await?;
        connection.hello(&setup.hostname).await?;
        let wanted = setup.target.tls != DestinationTls::None && cover == Cover::AsConfigured;
        if wanted {
            connection = connection.secure(setup).await?;
        }
        if let Some(login) = &setup.target.login {
            connection.log_in(login).await?;
        }
        Ok(connection)
    }

    async fn connect(setup: &Setup, address: SocketAddr) -> Result<Self, Failure> {
        let (target, timeouts) = (&setup.target, setup.timeouts);
        let relay = format!("{}[{}]:{}", target.host, address.ip(), address.port());
        let failure = |detail: String| Failure {
            phase: Phase::Connect,
            relay: relay.clone(),
            kind: FailureKind::Lost { detail },
        };
        let dialing = (setup.dial)(target.source, address);
        let line = match timeout(timeouts.connect, dialing).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return Err(failure(words(&error))),
            Err(_) => return Err(failure("Connection timed out".into())),
        };
        Ok(Self {
            client: SmtpClient {
                stream: Stream::new(Wire::Plain(line), setup.throttle.clone()),
                timeout: timeouts.hello,
            },
            relay,
            features: Features::default(),
            protocol: target.protocol,
            timeouts,
            delivered: 0,
            xclient: setup.target.xclient,
            introduced: None,
            needs_reset: false,
            round_trip: None,
            used: Used::default(),
        })
    }

    async fn greeting(&mut self, hostname: &str) -> Result<(), Failure> {
        let reply = self.reply(Phase::Greeting, self.timeouts.greeting).await?;
        let name = reply.text.get(4..).unwrap_or_default();
        let name = name.split_whitespace().next().unwrap_or_default();
        if !reply.is_positive() {
            return Err(self.failure(Phase::Greeting, FailureKind::Said(reply)));
        }
        // RFC 5321 §4.2: the greeting names the host that we have reached.
        if name.eq_ignore_ascii_case(hostname) {
            return Err(self.failure(Phase::Greeting, FailureKind::Itself));
        }
        Ok(())
    }

    pub(super) async fn hello(&mut self, hostname: &str) -> Result<(), Failure> {
        let (phase, limit) = (Phase::Hello, self.timeouts.hello);
        let asked = Instant::now();
        self.send(phase, limit, hello(self.protocol, hostname).as_bytes())
            .await?;
        let (reply, lines) = self.reply_lines(phase, limit).await?;
        let took = asked.elapsed();
        self.round_trip = Some(self.round_trip.map_or(took, |known| known.min(took)));
        if reply.is_positive() {
            self.features = Features::parse(&lines);
            if self.features.name.eq_ignore_ascii_case(hostname) {
                return Err(self.failure(phase, FailureKind::Itself));
            }
            return Ok(());
        }
        if reply.is_permanent() && self.protocol == DestinationProtocol::Smtp {
            // RFC 5321 §3.2: a server without extensions.
            self.features = Features::default();
            let reply = self
                .command(phase, limit, &format!("HELO {hostname}\r\n"))
                .await?;
            if reply.is_positive() {
                return Ok(());
            }
            return Err(self.failure(phase, FailureKind::Said(reply)));
        }
        Err(self.failure(phase, FailureKind::Said(reply)))
    }

    /// STARTTLS, if it is offered.
    async fn secure(mut self, setup: &Setup) -> Result<Self, Failure> {
        let (phase, limit) = (Phase::StartTls, self.timeouts.hello);
        let tls = setup.target.tls;
        let optional = tls == DestinationTls::Opportunistic;
        if !self.features.starttls {
            if optional {
                return Ok(self);
            }
            let detail = "the destination does not offer STARTTLS, and TLS is required".into();
            return Err(self.failure(phase, FailureKind::Tls { detail }));
        }
        let reply = self.command(phase, limit, "STARTTLS\r\n").await?;
        if !reply.is_positive() {
            // RFC 3207 §4: "TLS not available due to temporary reason".
            return if optional {
                Ok(self)
            } else {
                Err(self.failure(phase, FailureKind::Said(reply)))
            };
        }
        let Self { client, relay, .. } = self;
        let failure = |kind| Failure {
            phase,
            relay: relay.clone(),
            kind,
        };
        let Some(line) = client.stream.into_plain() else {
            let detail = "bytes were put in front of the handshake".into();
            return Err(failure(FailureKind::Tls { detail }));
        };
        let handshake = setup.tls.handshake(&setup.target, line);
        let stream = match timeout(limit, handshake).await {
            Ok(Ok(stream)) => Stream::new(Wire::Tls(Box::new(stream)), setup.throttle.clone()),
            Ok(Err(kind)) => return Err(failure(kind)),
            Err(_) => return Err(failure(FailureKind::Silent(limit))),
        };
        self = Self {
            client: SmtpClient {
                stream,
                timeout: limit,
            },
            relay,
            features: Features::default(),
            protocol: setup.target.protocol,
            timeouts: setup.timeouts,
            delivered: 0,
            xclient: setup.target.xclient,
            introduced: None,
            needs_reset: false,
            round_trip: None,
            used: Used::default(),
        };
        // RFC 3207 §4.2: what was known before is forgotten.
        self.hello(&setup.hostname).await?;
        Ok(self)
    }

    /// Takes leave, without insisting on an answer.
    pub async fn quit(mut self) {
        let patience = Duration::from_secs(5).min(self.timeouts.hello);
        let _ = self.command(Phase::Hello, patience, "QUIT\r\n").await;
        let _ = timeout(patience, self.client.stream.shutdown()).await;
    }

    /// Whether it must not be used again: closed by the other side, or out of step.
    pub fn is_disturbed(&mut self) -> bool {
        self.client.stream.is_disturbed()
    }

    /// A failure on this connection.
    #[must_use]
    pub fn failure(&self, phase: Phase, kind: FailureKind) -> Failure {
        Failure {
            phase,
            relay: self.relay.clone(),
            kind,
        }
    }

    /// Sends a command and reads its reply.
    ///
    /// # Errors
    /// Any [`Failure`] but a reply.
    pub async fn command(
        &mut self,
        phase: Phase,
        limit: Duration,
        line: &str,
    ) -> Result<Reply, Failure> {
        self.send(phase, limit, line.as_bytes()).await?;
        self.reply(phase, limit).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`FailureKind::Lost`] or [`FailureKind::Silent`].
    pub async fn send(
        &mut self,
        phase: Phase,
        limit: Duration,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let stream = &mut self.client.stream;
        let write = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        let kind = match within(limit, write).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => FailureKind::Lost {
                detail: words(&error),
            },
            Err(silent) => silent,
        };
        Err(self.failure(phase, kind))
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// Any [`Failure`] but a reply.
    pub async fn reply(&mut self, phase: Phase, limit: Duration) -> Result<Reply, Failure> {
        self.reply_lines(phase, limit).await.map(|(reply, _)| reply)
    }

    async fn reply_lines(
        &mut self,
        phase: Phase,
        limit: Duration,
    ) -> Result<(Reply, Vec<u8>), Failure> {
        let read = within(limit, self.client.read()).await;
        let heard = self.client.stream.take_heard();
        let kind = match read {
            Ok(Ok(reply)) if (200..600).contains(&reply.code) => {
                return Ok((Reply::new(reply.code, &heard), heard));
            }
            Ok(Err(mail_send::Error::Io(error))) => FailureKind::Lost {
                detail: words(&error),
            },
            Ok(Err(_)) if self.client.stream.has_ended() => FailureKind::Lost {
                detail: "the destination closed the connection".into(),
            },
            Ok(_) => FailureKind::Garbled {
                text: String::from_utf8_lossy(&heard)
                    .trim_end()
                    .chars()
                    .take(200)
                    .collect(),
            },
            Err(silent) => silent,
        };
        Err(self.failure(phase, kind))
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, FailureKind> {
    timeout(limit, work)
        .await
        .map_err(|_| FailureKind::Silent(limit))
}

/// `Connection refused`, without `(os error 111)`.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
