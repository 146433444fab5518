//! What changes, as it changes: server-sent events (HTML Living Standard §9.2).

use super::server::Shared;
use crate::control::{ApiError, ErrorKind};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use http_body_util::channel::{Channel, Sender};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How often it is looked whether anything has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So often something is sent, so that a dead browser is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Looks at the status while anybody listens, and passes it on when it differs.
pub async fn watch_status(shared: Shared, news: watch::Sender<Bytes>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        if news.receiver_count() <= 1 {
            continue;
        }
        let status = match shared.api.status().await {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!("web: no status: {error}");
                continue;
            }
        };
        if let Ok(json) = serde_json::to_string(&status) {
            let event = Bytes::from(format!("event: status\ndata: {json}\n\n"));
            news.send_replace(event);
        }
    }
}

/// Tells a browser of every change until it leaves or the daemon stops.
pub async fn live(State(shared): State<Shared>) -> Response {
    let Ok(place) = Arc::clone(&shared.listeners).try_acquire_owned() else {
        return ApiError {
            error: ErrorKind::TryAgain,
            detail: "too many pages are open".into(),
        }
        .into_response();
    };
    let (pieces, body) = Channel::<Bytes, Infallible>::new(2);
    tokio::spawn(tell(shared.news.clone(), pieces, place));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(body)).into_response()
}

async fn tell(
    mut news: watch::Receiver<Bytes>,
    mut pieces: Sender<Bytes>,
    _place: OwnedSemaphorePermit,
) {
    // What is known already comes at once; it may be old, the next is a second away.
    news.mark_changed();
    loop {
        let event = tokio::select! {
            changed = news.changed() => match changed {
                Ok(()) => news.borrow_and_update().clone(),
                // The daemon stops.
                Err(_) => return,
            },
            () = tokio::time::sleep(SIGN_OF_LIFE) => Bytes::from_static(b": on\n\n"),
        };
        if !event.is_empty() && pieces.send_data(event).await.is_err() {
            return;
        }
    }
}
