//! The listeners together, and what their connections share.

use super::{Counters, RecipientsError, answers, connection, log, recipients::Directory};
use crate::{
    config::{BareNewline, Config, ListenTls},
    net::{self, Gate, TlsError},
    smtp::{Reply, SessionLimits},
    spool::Spool,
};
use mail_parser::{HeaderName, MessageParser};
use std::{io, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::rustls::ServerConfig;

/// How long a message that is coming in when the server stops may take to its end.
pub const DATA_GRACE: Duration = Duration::from_secs(10);
/// How long connections have in all, commit and last reply included.
const DRAIN: Duration = Duration::from_secs(15);

/// The server could not be started.
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

/// What all connections share.
pub(super) struct Shared {
    pub(super) limits: SessionLimits,
    pub(super) bare_newline: BareNewline,
    pub(super) command_timeout: Duration,
    pub(super) retry_window: Duration,
    pub(super) directory: Directory,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) counters: Arc<Counters>,
    gate: Arc<Gate>,
    parser: MessageParser,
}

impl Shared {
    /// The Message-ID in a message's header, without its angle brackets.
    pub(super) fn message_id(&self, head: &[u8]) -> Option<String> {
        let message = self.parser.parse_headers(head)?;
        message.message_id().map(str::to_owned)
    }
}

/// The receiver with its sockets open, not serving yet.
pub struct Server {
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, SocketAddr, ListenTls)>,
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
        let tls = needs_tls
            .then(|| net::server_config(config.tls.as_ref(), &config.spool.path, &config.hostname));
        let limits = &config.limits;
        let shared = Shared {
            limits: SessionLimits {
                hostname: config.hostname.clone(),
                message_size_bytes: limits.message_size_bytes,
                recipients: limits.recipients,
                errors: limits.errors,
            },
            bare_newline: limits.bare_newline,
            command_timeout: limits.command_timeout,
            retry_window: limits.retry_window,
            directory: Directory::new(config)?,
            spool,
            tls: tls.transpose()?,
            counters: Arc::default(),
            gate: Gate::new(limits.connections, limits.connections_per_ip),
            parser: MessageParser::new().header_id(HeaderName::MessageId),
        };
        let mut listeners = Vec::new();
        for one in &config.listen {
            let address = one.address;
            let failed = |error| BindError::Listen { address, error };
            let listener = net::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            listeners.push((listener, bound, one.tls));
        }
        Ok(Self {
            shared: Arc::new(shared),
            listeners,
        })
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
        Arc::clone(&self.shared.counters)
    }

    /// Serves until `shutdown` turns true (or its sender is gone), then stops cleanly: the
    /// listeners close, idle sessions get 421, a message that is coming in has
    /// [`DATA_GRACE`] to its end and gets its reply. The spool stays open.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let mut serving = JoinSet::new();
        for (listener, _, tls) in self.listeners {
            let shared = Arc::clone(&self.shared);
            let stop = shutdown.clone();
            serving.spawn(net::serve(
                listener,
                shutdown.clone(),
                DRAIN,
                move |stream, peer| {
                    let shared = Arc::clone(&shared);
                    let pass = match shared.gate.enter(peer.ip()) {
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
