//! Answers that are sent piece by piece, in bounded memory.

use crate::spool::{self, SpoolError};
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use http_body_util::channel::{Channel, Sender};
use serde::Serialize;
use std::future::Future;

/// Pieces on their way to a slow client.
const PIECES: usize = 4;
/// JSON lines are gathered up to this size.
const PIECE_BYTES: usize = 32 * 1024;

type Pieces = Sender<Bytes, SpoolError>;

/// Something that is walked over, an item at a time.
pub trait Walk: Send + 'static {
    /// What it is of.
    type Item: Serialize + Send;

    /// The next one.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>, SpoolError>> + Send;
}

/// A walk as JSON lines. The first item is awaited, so that a failure at the start is an
/// ordinary error.
///
/// # Errors
/// Those of the spool.
pub async fn walk(mut walk: impl Walk) -> Result<Response, SpoolError> {
    let first = walk.next().await?;
    let (pieces, body) = Channel::new(PIECES);
    tokio::spawn(async move {
        let mut pieces = pieces;
        if let Err(error) = send_walk(&mut pieces, first, &mut walk).await {
            pieces.abort(error);
        }
    });
    Ok(ndjson(Body::new(body)))
}

async fn send_walk<W: Walk>(
    pieces: &mut Pieces,
    first: Option<W::Item>,
    walk: &mut W,
) -> Result<(), SpoolError> {
    let mut lines = Vec::new();
    let mut next = first;
    while let Some(item) = next {
        line(&mut lines, &item);
        if lines.len() >= PIECE_BYTES
            && pieces
                .send_data(std::mem::take(&mut lines).into())
                .await
                .is_err()
        {
            // The client has gone.
            return Ok(());
        }
        next = walk.next().await?;
    }
    let _ = pieces.send_data(lines.into()).await;
    Ok(())
}

/// A few values as JSON lines.
pub fn lines<T: Serialize>(values: impl IntoIterator<Item = T>) -> Response {
    let mut lines = Vec::new();
    for value in values {
        line(&mut lines, &value);
    }
    ndjson(lines.into())
}

/// A message's bytes. The length is told first, so that a body that turns out to be
/// damaged cannot pass for a whole one.
pub fn raw(body: Box<dyn spool::Body>) -> Response {
    let length = body.size().to_string();
    let (pieces, channel) = Channel::new(PIECES);
    tokio::spawn(async move {
        let mut pieces = pieces;
        if let Err(error) = send_raw(&mut pieces, body).await {
            tracing::error!("a message could not be read: {error}");
            pieces.abort(error);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_LENGTH, length),
    ];
    (headers, Body::new(channel)).into_response()
}

/// The last piece waits for the verdict on the digest: of a damaged message a client gets
/// less than the length that it was told.
async fn send_raw(pieces: &mut Pieces, mut body: Box<dyn spool::Body>) -> Result<(), SpoolError> {
    let mut held_back: Option<Vec<u8>> = None;
    while let Some(piece) = body.next().await? {
        if let Some(ready) = held_back.replace(piece)
            && pieces.send_data(ready.into()).await.is_err()
        {
            return Ok(());
        }
    }
    if let Some(last) = held_back {
        let _ = pieces.send_data(last.into()).await;
    }
    Ok(())
}

fn line<T: Serialize>(lines: &mut Vec<u8>, value: &T) {
    // Views hold strings, numbers and lists of them: nothing that JSON cannot carry.
    if let Ok(json) = serde_json::to_vec(value) {
        lines.extend_from_slice(&json);
        lines.push(b'\n');
    }
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
