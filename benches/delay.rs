//! A network that is far away, on one machine: passes every connection on, and every byte
//! of it later, in both directions.
//!
//! ```text
//! cargo run --example delay -- 127.0.0.1:2526 10    # 10 ms each way: 20 ms a round trip
//! ```
//!
//! Prints the port that it listens on, on loopback, and lives until its standard input is
//! closed.

use std::{
    env,
    io::{self, Read as _, Write as _},
    process, thread,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// What is on its way in one direction, in blocks of at most [`BLOCK`] bytes.
const BLOCKS_MAX: usize = 256;
const BLOCK: usize = 64 * 1024;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = env::args().skip(1);
    let usage = || io::Error::other("usage: delay HOST:PORT MILLISECONDS");
    let target = arguments.next().ok_or_else(usage)?;
    let delay = arguments.next().and_then(|ms| ms.parse().ok());
    let delay = Duration::from_millis(delay.ok_or_else(usage)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    thread::spawn(|| {
        // A person's end of file, or the end of whoever started it.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    loop {
        let (near, _) = listener.accept().await?;
        let target = target.clone();
        tokio::spawn(async move {
            // A handshake takes a round trip too.
            let connected = Instant::now() + delay + delay;
            if let Ok(far) = TcpStream::connect(&target).await {
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass(near_in, far_out, connected, delay));
                pass(far_in, near_out, connected, delay).await;
            }
        });
    }
}

/// One direction. The end of a stream is passed on as late as its bytes.
async fn pass(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    not_before: Instant,
    delay: Duration,
) {
    let (sender, mut blocks) = mpsc::channel::<(Instant, Vec<u8>)>(BLOCKS_MAX);
    let reader = tokio::spawn(async move {
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            let read = from.read_buf(&mut block).await;
            let due = (Instant::now() + delay).max(not_before);
            if !matches!(read, Ok(1..)) || sender.send((due, block)).await.is_err() {
                return;
            }
        }
    });
    while let Some((due, block)) = blocks.recv().await {
        sleep_until(due).await;
        if to.write_all(&block).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    reader.abort();
}
