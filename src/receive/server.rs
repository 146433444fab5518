//! The listeners together, and what their connections share.

use super::{
    Callout, Counters, RecipientsError, answers, connection, door, log,
    recipients::Directory,
    shared::{Common, Shared},
};
use crate::{
    config::{Config, Listen, ListenTls},
    net::{self, Certificates, Crowded, Look, Pass, Sources, TlsError},
    spool::Spool,
};
use arc_swap::ArcSwap;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};

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
    listeners: Vec<Listener>,
}

struct Listener {
    socket: TcpListener,
    bound: SocketAddr,
    listen: Arc<Listen>,
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
        common.set_limits(&config.limits);
        let new = Shared::new(config, old.spool.clone(), old.counters.clone(), common);
        self.0.store(Arc::new(new));
        Ok(())
    }
}

impl Server {
    /// Opens all listeners of the configuration; nothing is accepted before
    /// [`Server::run`]. Without a `callout` no recipient can be verified.
    ///
    /// # Errors
    /// [`BindError`]: an address is in use or not ours, TLS has no usable pair, a list of
    /// recipients cannot be read.
    pub async fn bind(
        config: &Config,
        spool: Arc<dyn Spool>,
        callout: Option<Arc<dyn Callout>>,
    ) -> Result<Self, BindError> {
        let needs_tls = config.listen.iter().any(|one| one.tls != ListenTls::None);
        let certificates = needs_tls.then(|| Certificates::open(sources(config)));
        let certificates = certificates.transpose()?;
        let common = Common::new(config, Directory::new(config)?, certificates, callout);
        let shared = Shared::new(config, spool, Arc::default(), Arc::new(common));
        let mut listeners = Vec::new();
        for one in &config.listen {
            let address = one.address;
            let failed = |error| BindError::Listen { address, error };
            let socket = net::bind(address).await.map_err(failed)?;
            let bound = socket.local_addr().map_err(failed)?;
            let listen = Arc::new(one.clone());
            listeners.push(Listener {
                socket,
                bound,
                listen,
            });
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
        self.listeners.iter().map(|one| one.bound).collect()
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
        for Listener { socket, listen, .. } in self.listeners {
            let current = Arc::clone(&self.current);
            let stop = shutdown.clone();
            let handle = move |stream: TcpStream, peer: SocketAddr| {
                let shared = current.load_full();
                let pass = match enter(&shared, &listen, peer)? {
                    Ok(pass) => pass,
                    Err(crowded) => {
                        let reply = answers::crowded(&shared.limits.hostname, crowded);
                        door::turn_away(&shared, stream, peer, listen.tls, &reply);
                        return None;
                    }
                };
                let listen = Arc::clone(&listen);
                let stop = stop.clone();
                Some(connection::serve(shared, stream, peer, listen, stop, pass))
            };
            serving.spawn(net::serve(socket, shutdown.clone(), DRAIN, handle));
        }
        while let Some(ended) = serving.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener ended");
            }
        }
        looking.abort();
    }
}

/// Lets a connection in, unless it is not from a balancer where one must stand in front.
fn enter(shared: &Shared, listen: &Listen, peer: SocketAddr) -> Option<Result<Pass, Crowded>> {
    let gate = &shared.common.gate;
    let Some(balancers) = &listen.balancers else {
        return Some(gate.enter(peer.ip()));
    };
    if balancers.iter().any(|one| one.contains(peer.ip())) {
        return Some(gate.enter_unnamed());
    }
    log::no_balancer(peer.ip().to_canonical());
    None
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
