//! A mail server that takes everything and keeps nothing, by BDAT as well as by DATA, which
//! smtp-sink knows alone.
//!
//! ```text
//! cargo run --example sink
//! ```
//!
//! Prints the port that it listens on, on loopback, then `mesg=N` with the messages so far as
//! they come, and lives until its standard input is closed.

use std::{
    io::{self, Read as _, Write as _},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const HELLO: &str = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n";
/// How often it is said how many there are.
const SAY_EVERY: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let taken = Arc::new(AtomicU64::new(0));
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let counted = taken.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(SAY_EVERY);
            println!("mesg={} ", counted.load(Ordering::Relaxed));
            let _ = io::stdout().flush();
        }
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, taken.clone()));
    }
}

/// A session, and what of it is not used.
struct Session {
    stream: TcpStream,
    unread: Vec<u8>,
    replies: Vec<u8>,
}

async fn serve(stream: TcpStream, taken: Arc<AtomicU64>) {
    let mut session = Session {
        stream,
        unread: Vec::new(),
        replies: b"220 sink.example ESMTP\r\n".to_vec(),
    };
    // Whoever hangs up has had enough.
    let _ = session.talk(&taken).await;
}

impl Session {
    async fn talk(&mut self, taken: &AtomicU64) -> io::Result<()> {
        loop {
            let line = self.until(b"\r\n").await?;
            let line = String::from_utf8_lossy(&line).to_ascii_uppercase();
            let mut words = line.split_whitespace();
            let reply = match words.next().unwrap_or_default() {
                "EHLO" => HELLO,
                "DATA" => {
                    self.replies.extend_from_slice(b"354 go ahead\r\n");
                    self.until(b"\r\n.\r\n").await?;
                    taken.fetch_add(1, Ordering::Relaxed);
                    "250 2.0.0 taken\r\n"
                }
                "BDAT" => {
                    let size = words.next().and_then(|word| word.parse().ok());
                    self.skip(size.unwrap_or(0)).await?;
                    let last = words.next() == Some("LAST");
                    taken.fetch_add(u64::from(last), Ordering::Relaxed);
                    "250 2.0.0 taken\r\n"
                }
                "QUIT" => {
                    self.replies.extend_from_slice(b"221 bye\r\n");
                    return self.stream.write_all(&self.replies).await;
                }
                _ => "250 2.0.0 Ok\r\n",
            };
            self.replies.extend_from_slice(reply.as_bytes());
        }
    }

    /// Everything up to this end, with it.
    async fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.unread[seen..], end) {
                return Ok(self.unread.drain(..seen + at + end.len()).collect());
            }
            seen = self.unread.len().saturating_sub(end.len());
            self.more().await?;
        }
    }

    async fn skip(&mut self, bytes: usize) -> io::Result<()> {
        while self.unread.len() < bytes {
            self.more().await?;
        }
        self.unread.drain(..bytes);
        Ok(())
    }

    /// Answers what was asked, in one piece, and reads on.
    async fn more(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.stream.write_all(&self.replies).await?;
            self.replies.clear();
        }
        let read = self.stream.read_buf(&mut self.unread).await?;
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
