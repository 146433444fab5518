//! The listeners together, and what their connections share.

use super::{Counters, RecipientsError, answers, connection, log, recipients::Directory};
use crate::{
    config::{BareNewline, Config, ListenTls},
    net::{self, Certificates, Gate, Look, Sources, TlsError},
    smtp::{Reply, SessionLimits},
    spool::Spool,
};
use arc_swap::ArcSwap;
use mail_parser::{HeaderName, MessageParser};
use std::{io, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};
use tokio_rustls::rustls::ServerConfig;

/// How long a message that is coming in when the server stops may take to its end.
pub const DATA_GRACE: Duration = Duration::from_secs(10);
/// How long connections have in all, commit and last reply included.
const DRAIN: Duration = Duration::from_secs(15);

/// How often the files of the certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The server could not be started, or could not take over a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is no usable certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A list of recipients cannot be used.
    #[error(transparent)]
    Recipients(#[from] RecipientsError),
}

/// What connections share; one that a reload has found open keeps what it began with.
pub(super) struct Shared {
    pub(super) limits: SessionLimits,
    pub(super) bare_newline: BareNewline,
    pub(super) command_timeout: Duration,
    pub(super) retry_window: Duration,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) counters: Arc<Counters>,
    common: Arc<Common>,
}

/// What also connections share between which the configuration was changed.
struct Common {
    /// Of now: what is no longer taken is not taken from open sessions either.
    directory: ArcSwap<Directory>,
    /// None where no listener speaks TLS.
    certificates: Option<Certificates>,
    gate: Arc<Gate>,
    parser: MessageParser,
}

impl Shared {
    fn new(
        config: &Config,
        spool: Arc<dyn Spool>,
        counters: Arc<Counters>,
        common: Arc<Common>,
    ) -> Self {
        let limits = &config.limits;
        Self {
            limits: SessionLimits {
                hostname: config.hostname.clone(),
                message_size_bytes: limits.message_size_bytes,
                recipients: limits.recipients,
                errors: limits.errors,
            },
            bare_newline: limits.bare_newline,
            command_timeout: limits.command_timeout,
            retry_window: limits.retry_window,
            spool,
            counters,
            common,
        }
    }

    /// The Message-ID in a message's header, without its angle brackets.
    pub(super) fn message_id(&self, head: &[u8]) -> Option<String> {
        let message = self.common.parser.parse_headers(head)?;
        message.message_id().map(str::to_owned)
    }

    /// Whose mail is taken now.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.common.directory.load_full()
    }

    /// For the next handshake.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.common.certificates.as_ref().map(Certificates::current)
    }

    /// Whether there is TLS at all.
    pub(super) fn has_tls(&self) -> bool {
        self.common.certificates.is_some()
    }
}

fn sources(config: &Config) -> Sources {
    Sources {
        tls: config.tls.clone(),
        directory: config.spool.path.clone(),
        hostname: config.hostname.clone(),
    }
}

/// The receiver with its sockets open, not serving yet.
pub struct Server {
    current: Arc<ArcSwap<Shared>>,
    listeners: Vec<(TcpListener, SocketAddr, ListenTls)>,
}

/// Gives a receiver another configuration while it runs.
#[derive(Clone)]
pub struct Reloader(Arc<ArcSwap<Shared>>);

impl Reloader {
    /// Takes over what may change while the sockets stay: domains and recipients at once,
    /// certificates with the next handshake, limits with the next connection.
    ///
    /// # Errors
    /// [`BindError`]: the certificates or a list of recipients cannot be used; then all
    /// stays as it was.
    pub fn reload(&self, config: &Config) -> Result<(), BindError> {
        let old = self.0.load_full();
        let common = old.common.clone();
        let directory = Directory::new(config)?;
        if let Some(certificates) = &common.certificates {
            certificates.replace(sources(config))?;
        }
        common.directory.store(Arc::new(directory));
        let limits = &config.limits;
        common
            .gate
            .set_limits(limits.connections, limits.connections_per_ip);
        let new = Shared::new(config, old.spool.clone(), old.counters.clone(), common);
        self.0.store(Arc::new(new));
        Ok(())
    }
}

impl Server {
    /// Opens all listeners of the configuration; nothing is accepted before
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`BindError`]: an address is in use or not ours, TLS has no usable pair, a list of
    /// recipients cannot be read.
    pub async fn bind(config: &Config, spool: Arc<dyn Spool>) -> Result<Self, BindError> {
        let needs_tls = config.listen.iter().any(|one| one.tls != ListenTls::None);
        let certificates = needs_tls.then(|| Certificates::open(sources(config)));
        let limits = &config.limits;
        let common = Common {
            directory: ArcSwap::from_pointee(Directory::new(config)?),
            certificates: certificates.transpose()?,
            gate: Gate::new(limits.connections, limits.connections_per_ip),
            parser: MessageParser::new().header_id(HeaderName::MessageId),
        };
        let shared = Shared::new(config, spool, Arc::default(), Arc::new(common));
        let mut listeners = Vec::new();
        for one in &config.listen {
            let address = one.address;
            let failed = |error| BindError::Listen { address, error };
            let listener = net::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            listeners.push((listener, bound, one.tls));
        }
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(shared)),
            listeners,
        })
    }

    /// For another configuration while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.current.clone())
    }

    /// The addresses listened on, in the order of the configuration, with the ports that
    /// were taken.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|&(_, bound, _)| bound).collect()
    }

    /// What the receiver has done so far; stays readable while it runs.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.current.load().counters)
    }

    /// Serves until `shutdown` turns true (or its sender is gone), then stops cleanly: the
    /// listeners close, idle sessions get 421, a message that is coming in has
    /// [`DATA_GRACE`] to its end and gets its reply. The spool stays open.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let mut serving = JoinSet::new();
        let looking = tokio::spawn(look_at_files(self.current.load().common.clone()));
        for (listener, _, tls) in self.listeners {
            let current = Arc::clone(&self.current);
            let stop = shutdown.clone();
            serving.spawn(net::serve(
                listener,
                shutdown.clone(),
                DRAIN,
                move |stream, peer| {
                    let shared = current.load_full();
                    let pass = match shared.common.gate.enter(peer.ip()) {
                        Ok(pass) => pass,
                        Err(crowded) => {
                            let reply = answers::crowded(&shared.limits.hostname, crowded);
                            turn_away(&shared, stream, peer, tls, &reply);
                            return None;
                        }
                    };
                    Some(connection::serve(
                        shared,
                        stream,
                        peer,
                        tls,
                        stop.clone(),
                        pass,
                    ))
                },
            ));
        }
        while let Some(ended) = serving.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener ended");
            }
        }
        looking.abort();
    }
}

/// Sees to it that changed certificates are used.
async fn look_at_files(common: Arc<Common>) {
    let Some(certificates) = &common.certificates else {
        return;
    };
    let mut every = time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match certificates.look() {
            Look::Same => {}
            Look::Renewed => tracing::info!("the certificates have changed and were read again"),
            Look::Kept(error) => {
                tracing::error!("the certificates have changed, and the old ones stay: {error}");
            }
        }
    }
}

/// Refuses a connection without spending a task on it. The reply fits in the socket's
/// empty send buffer, or the client is gone.
fn turn_away(shared: &Shared, stream: TcpStream, peer: SocketAddr, tls: ListenTls, reply: &Reply) {
    shared.counters.count_rejected(reply);
    log::connection_rejected(peer.ip().to_canonical(), reply);
    if tls != ListenTls::Implicit {
        let mut wire = Vec::new();
        reply.write(&mut wire);
        // Past the runtime, which does not know yet that the socket can be written to.
        let told = stream
            .into_std()
            .and_then(|mut stream| stream.write_all(&wire));
        if let Err(error) = told {
            tracing::debug!(%error, "a refused client was not told");
        }
    }
}
