//! The server behind the control socket.

use super::{
    api,
    facts::Facts,
    socket::{self, Socket, SocketError},
    speed::{SAMPLE_EVERY, Speeds},
    veto::Veto,
    view::{MovedView, ReleaseView, StatusView},
};
use crate::{
    config::Load,
    spool::{Spool, SpoolError},
};
use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::UnixListener;

/// After the order to stop, clients that read slowly get this long.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Tells what the release of a domain is doing; `None` when it does nothing.
pub type LiveRelease = Arc<dyn Fn(&str) -> Option<ReleaseView> + Send + Sync>;

/// Tells the configured limits of a domain's destination.
pub type Loads = Arc<dyn Fn(&str) -> Load + Send + Sync>;

/// Tells what the gate of a domain's release waits for, in words.
pub type GateWaits = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The calls, wherever they are answered: what every one of them needs.
#[derive(Clone)]
pub struct Api {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) live: LiveRelease,
    pub(super) speeds: Arc<Speeds>,
    /// In whose name reports are made; nothing when they could not leave.
    pub(super) reporter: Option<Arc<str>>,
    /// Who has to agree to a release.
    pub(super) veto: Option<Arc<dyn Veto>>,
    pub(super) gate_waits: GateWaits,
    pub(super) loads: Loads,
    /// What the mover and the guided cutover have written down.
    pub(super) facts: Arc<Facts>,
}

impl Api {
    /// Calls on this spool and its releases.
    pub fn new(spool: Arc<dyn Spool>, live: LiveRelease) -> Self {
        Self {
            spool,
            live,
            speeds: Arc::default(),
            reporter: None,
            veto: None,
            gate_waits: Arc::new(|_| None),
            loads: Arc::new(|_| Load::default()),
            facts: Arc::default(),
        }
    }

    /// The same that knows what stands in the files below the spool's path.
    #[must_use]
    pub fn with_facts(mut self, spool: &Path) -> Self {
        self.facts = Arc::new(Facts::new(spool));
        self
    }

    /// The same that can bounce: reports are made in the name of this host, and leave.
    #[must_use]
    pub fn with_reporter(mut self, hostname: &str) -> Self {
        self.reporter = Some(hostname.into());
        self
    }

    /// The same that tells what gates wait for.
    #[must_use]
    pub fn with_gate_waits(mut self, waits: GateWaits) -> Self {
        self.gate_waits = waits;
        self
    }

    /// The same that tells the configured limits.
    #[must_use]
    pub fn with_loads(mut self, loads: Loads) -> Self {
        self.loads = loads;
        self
    }

    /// The same, asking before each release.
    #[must_use]
    pub fn with_veto(mut self, veto: Arc<dyn Veto>) -> Self {
        self.veto = Some(veto);
        self
    }

    /// The calls by their paths, all below `/v1`. Whoever serves them says who may call.
    pub fn router(&self) -> axum::Router {
        api::router(self.clone())
    }

    /// What `GET /v1/mover` answers.
    #[must_use]
    pub fn moved(&self) -> Option<MovedView> {
        self.facts.now().moved
    }

    /// What `GET /v1/status` answers.
    ///
    /// # Errors
    /// Those of the spool.
    pub async fn status(&self) -> Result<StatusView, SpoolError> {
        api::status_view(self).await
    }
}

/// A bound control socket.
pub struct Server {
    listener: UnixListener,
    socket: Socket,
    api: Api,
}

impl Server {
    /// Binds the socket at `path`; a dead daemon's is replaced. Clients may connect at
    /// once, and are answered when [`Server::run`] runs.
    ///
    /// # Errors
    /// [`SocketError`], also when another daemon answers there.
    pub fn bind(path: &Path, api: Api) -> Result<Self, SocketError> {
        let (listener, socket) = socket::bind(path)?;
        let listener = UnixListener::from_std(listener).map_err(|source| SocketError::Io {
            doing: "listen at",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            listener,
            socket,
            api,
        })
    }

    /// Answers until `shutdown`, then finishes what is under way, for three seconds at
    /// most, and removes the socket.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Self {
            listener,
            socket,
            api,
        } = self;
        let (stop, mut stopped) = tokio::sync::watch::channel(());
        let server = axum::serve(listener, api.router()).with_graceful_shutdown(async move {
            shutdown.await;
            drop(stop);
        });
        let too_late = async {
            // Fails when `stop` is dropped, which is the news waited for.
            let _ = stopped.changed().await;
            tokio::time::sleep(STOP_WITHIN).await;
        };
        tokio::select! {
            result = server => {
                if let Err(error) = result {
                    tracing::error!("the control socket failed: {error}");
                }
            }
            () = too_late => tracing::warn!("control clients were cut off at the stop"),
            () = sample(api) => {}
        }
        drop(socket);
    }
}

async fn sample(api: Api) {
    let mut every = tokio::time::interval(SAMPLE_EVERY);
    loop {
        every.tick().await;
        let domains = api.spool.domains();
        api.speeds.sample(&domains, Instant::now());
    }
}
