//! The server behind the control socket.

use super::{
    api,
    socket::{self, Socket, SocketError},
    speed::{SAMPLE_EVERY, Speeds},
    view::ReleaseView,
};
use crate::spool::Spool;
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

/// What every call needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub spool: Arc<dyn Spool>,
    pub live: LiveRelease,
    pub speeds: Arc<Speeds>,
    /// In whose name reports are made; nothing when they could not leave.
    pub reporter: Option<Arc<str>>,
}

/// A bound control socket.
pub struct Server {
    listener: UnixListener,
    socket: Socket,
    shared: Shared,
}

impl Server {
    /// Binds the socket at `path`; a dead daemon's is replaced. Clients may connect at
    /// once, and are answered when [`Server::run`] runs.
    ///
    /// # Errors
    /// [`SocketError`], also when another daemon answers there.
    pub fn bind(
        path: &Path,
        spool: Arc<dyn Spool>,
        live: LiveRelease,
    ) -> Result<Self, SocketError> {
        let (listener, socket) = socket::bind(path)?;
        let listener = UnixListener::from_std(listener).map_err(|source| SocketError::Io {
            doing: "listen at",
            path: path.to_owned(),
            source,
        })?;
        let shared = Shared {
            spool,
            live,
            speeds: Arc::default(),
            reporter: None,
        };
        Ok(Self {
            listener,
            socket,
            shared,
        })
    }

    /// The same that can bounce: reports are made in the name of this host, and leave.
    #[must_use]
    pub fn with_reporter(mut self, hostname: &str) -> Self {
        self.shared.reporter = Some(hostname.into());
        self
    }

    /// Answers until `shutdown`, then finishes what is under way, for three seconds at
    /// most, and removes the socket.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Self {
            listener,
            socket,
            shared,
        } = self;
        let (stop, mut stopped) = tokio::sync::watch::channel(());
        let sampler = sample(shared.clone());
        let server =
            axum::serve(listener, api::router(shared)).with_graceful_shutdown(async move {
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
            () = sampler => {}
        }
        drop(socket);
    }
}

async fn sample(shared: Shared) {
    let mut every = tokio::time::interval(SAMPLE_EVERY);
    loop {
        every.tick().await;
        let domains = shared.spool.domains();
        shared.speeds.sample(&domains, Instant::now());
    }
}
