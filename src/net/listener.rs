//! Listening sockets and the tasks of their connections.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time,
};

/// How long accepting pauses after a failure that does not go away by itself at once,
/// such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// Opens a listening socket; port 0 takes a free one.
///
/// # Errors
/// What the system says.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Accepts connections and runs what `handle` makes of each in a task of its own, until
/// `shutdown` turns true (or its sender is gone). Then the socket is closed, and the tasks
/// have `drain` to come to their end before they are aborted.
pub async fn serve<H, F>(
    listener: TcpListener,
    mut shutdown: watch::Receiver<bool>,
    drain: Duration,
    handle: H,
) where
    H: Fn(TcpStream, SocketAddr) -> Option<F>,
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let stop = async {
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(task) = handle(stream, peer) {
                        tasks.spawn(task);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    time::sleep(PAUSE).await;
                }
            },
            Some(ended) = tasks.join_next() => report(ended),
            () = &mut stop => break,
        }
    }
    drop(listener);
    let until = Instant::now() + drain;
    while let Ok(Some(ended)) = time::timeout_at(until.into(), tasks.join_next()).await {
        report(ended);
    }
    tasks.shutdown().await;
}

/// A task that panicked has lost its connection and nothing else; it must be seen.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
