//! Answers that are sent piece by piece, in bounded memory.

use crate::spool::{self, SpoolError};
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Serialize;
use std::future::Future;
use tokio::sync::mpsc;

/// Pieces on their way to a slow client.
const PIECES: usize = 4;
/// JSON lines are gathered up to this size.
const PIECE_BYTES: usize = 32 * 1024;

/// Pieces and what ends them go through one channel, so that an end never overtakes a piece:
/// http-body-util's own, which has two, loses the last piece when it comes between its looks
/// at them.
type Pieces = mpsc::Sender<Result<Bytes, SpoolError>>;

/// A body of what is sent, and who sends it.
fn pieces() -> (Pieces, Body) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let next = |mut receiver: mpsc::Receiver<_>| async {
        let piece = receiver.recv().await;
        piece.map(|piece| (piece, receiver))
    };
    (sender, Body::from_stream(stream::unfold(receiver, next)))
}

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
    let (pieces, body) = pieces();
    tokio::spawn(async move {
        if let Err(error) = send_walk(&pieces, first, &mut walk).await {
            let _ = pieces.send(Err(error)).await;
        }
    });
    Ok(ndjson(body))
}

async fn send_walk<W: Walk>(
    pieces: &Pieces,
    first: Option<W::Item>,
    walk: &mut W,
) -> Result<(), SpoolError> {
    let mut lines = Vec::new();
    let mut next = first;
    while let Some(item) = next {
        line(&mut lines, &item);
        if lines.len() >= PIECE_BYTES
            && pieces
                .send(Ok(std::mem::take(&mut lines).into()))
                .await
                .is_err()
        {
            // The client has gone.
            return Ok(());
        }
        next = walk.next().await?;
    }
    let _ = pieces.send(Ok(lines.into())).await;
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
    let (pieces, channel) = pieces();
    tokio::spawn(async move {
        if let Err(error) = send_raw(&pieces, body).await {
            tracing::error!("a message could not be read: {error}");
            let _ = pieces.send(Err(error)).await;
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "message/rfc822".to_owned()),
        (header::CONTENT_LENGTH, length),
    ];
    (headers, channel).into_response()
}

/// The last piece waits for the verdict on the digest: of a damaged message a client gets
/// less than the length that it was told.
async fn send_raw(pieces: &Pieces, mut body: Box<dyn spool::Body>) -> Result<(), SpoolError> {
    let mut held_back: Option<Vec<u8>> = None;
    while let Some(piece) = body.next().await? {
        if let Some(ready) = held_back.replace(piece)
            && pieces.send(Ok(ready.into())).await.is_err()
        {
            return Ok(());
        }
    }
    if let Some(last) = held_back {
        let _ = pieces.send(Ok(last.into())).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    struct Numbers(u32);

    impl Walk for Numbers {
        type Item = u32;

        async fn next(&mut self) -> Result<Option<u32>, SpoolError> {
            self.0 += 1;
            // The reader is looking when the last one comes.
            tokio::task::yield_now().await;
            Ok((self.0 <= 3).then_some(self.0))
        }
    }

    /// The end of an answer never overtakes its last piece.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_whole_whenever_it_ends() {
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(tokio::spawn(async {
                for _ in 0..50_000 {
                    let answer = walk(Numbers(0)).await.unwrap();
                    let whole = answer.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(whole, "1\n2\n3\n");
                }
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }
}
