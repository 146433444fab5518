//! The server behind the page and the figures.

use super::{
    access::{Access, TokenError},
    guard,
    history::{History, SAMPLE_EVERY_S, Samples},
    live, login,
    metrics::{self, Accounts, Sources},
    page,
};
use crate::{config::Web, control::Api, spool::SpoolError};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

/// Pages that are kept up to date at once.
const LISTENERS_MAX: usize = 64;
/// Wrong tokens that are being punished at once.
const PENALTIES_MAX: usize = 4;
/// Longest body of a call.
const BODY_BYTES_MAX: usize = 1 << 20;
/// After the order to stop, requests under way get this long.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// A spool that cannot sync within this time is not ready; a sender would wait as long.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (web.address): {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What every request needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) access: Arc<Access>,
    pub(super) sources: Sources,
    pub(super) history: Arc<History>,
    pub(super) news: watch::Receiver<Bytes>,
    pub(super) listeners: Arc<Semaphore>,
    pub(super) penalties: Arc<Semaphore>,
}

/// A bound server.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Shared,
    news: watch::Sender<Bytes>,
}

impl Server {
    /// Reads the tokens and takes the address.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(config: &Web, api: Api, sources: Sources) -> Result<Self, BindError> {
        let access = Arc::new(Access::new(config)?);
        let address = config.address;
        let failed = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let (news, receiver) = watch::channel(Bytes::new());
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            shared: Shared {
                api,
                access,
                sources,
                history: Arc::default(),
                news: receiver,
                listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
                penalties: Arc::new(Semaphore::new(PENALTIES_MAX)),
            },
            news,
        })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then finishes what is under way, for three seconds at most.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Self {
            listener,
            shared,
            news,
            ..
        } = self;
        let watcher = tokio::spawn(live::watch_status(shared.clone(), news));
        let sampler = tokio::spawn(sample(shared.clone()));
        let (stop, mut stopped) = watch::channel(());
        let streams = watcher.abort_handle();
        let service = router(shared).into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async move {
            shutdown.await;
            // Ends the streams, which would never end by themselves.
            streams.abort();
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
                    tracing::error!("the web page failed: {error}");
                }
            }
            () = too_late => tracing::warn!("web clients were cut off at the stop"),
        }
        watcher.abort();
        sampler.abort();
    }
}

fn router(shared: Shared) -> Router {
    let guarded = |router: Router<Shared>| {
        router.route_layer(middleware::from_fn_with_state(shared.clone(), guard::calls))
    };
    let calls = guarded(
        Router::new()
            .route("/live", get(live::live))
            .route("/history", get(history)),
    );
    // The whole router, so that an unknown path tells a stranger nothing either.
    let api = shared
        .api
        .router()
        .layer(middleware::from_fn_with_state(shared.clone(), guard::calls));
    let pages = Router::new()
        .route("/", get(page::index))
        .route_layer(middleware::from_fn_with_state(shared.clone(), guard::pages));
    let open = Router::new()
        .route("/login", get(login::form).post(login::login))
        .route("/logout", post(login::logout))
        .route("/assets/{name}", get(page::asset))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    calls
        .merge(pages)
        .merge(open)
        .with_state(shared)
        .fallback_service(api)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(page::protect))
}

async fn history(State(shared): State<Shared>) -> Json<Samples> {
    Json(shared.history.all())
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match shared.api.status().await {
        Ok(status) => {
            let kind = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
            let moved = shared.api.moved();
            let accounts = match guard::is_known(&shared, &headers) {
                true => Accounts::Named,
                false => Accounts::Summed,
            };
            let text = metrics::render(&shared.sources, &status, moved.as_ref(), accounts);
            (kind, text).into_response()
        }
        Err(error) => unready(&error),
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    let spool = &shared.sources.spool;
    let probed = tokio::time::timeout(READY_WITHIN, spool.probe()).await;
    match probed.map(|done| done.and_then(|()| spool.admit(0))) {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => unready(&error),
        Err(_) => {
            let text = format!("not ready: no sync within {} s\n", READY_WITHIN.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

fn unready(error: &SpoolError) -> Response {
    let text = format!("not ready: {error}\n");
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn sample(shared: Shared) {
    let mut every = tokio::time::interval(Duration::from_secs(SAMPLE_EVERY_S));
    loop {
        every.tick().await;
        let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        let domains = shared.sources.spool.domains();
        let moved = shared.api.moved();
        shared.history.sample(&domains, moved.as_ref(), now_ms);
    }
}
