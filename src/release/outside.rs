//! What a release takes from outside: the time, chance, and lines to destinations. A
//! simulation gives it others.

use std::{
    future::Future,
    hash::{BuildHasher, Hasher},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
};

/// The time in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A number that nobody can foresee.
pub type Chance = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Opens a line to an address, from one of this host's where that is given.
pub type Dial = Arc<dyn Fn(Option<IpAddr>, SocketAddr) -> Dialing + Send + Sync>;

/// A line that is being opened.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Line>>> + Send>>;

/// Bytes to a destination and back.
pub trait Line: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Line for T {}

/// See the [module](self).
#[derive(Clone)]
pub struct Outside {
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub chance: Chance,
    /// Lines.
    pub dial: Dial,
}

impl Default for Outside {
    /// The system's time, its chance, and TCP.
    fn default() -> Self {
        Self {
            clock: Arc::new(now_ms),
            chance: Arc::new(|| std::hash::RandomState::new().build_hasher().finish()),
            dial: tcp(),
        }
    }
}

/// Lines over TCP.
#[must_use]
pub fn tcp() -> Dial {
    Arc::new(|source, to| {
        Box::pin(async move {
            let tcp = connect(source, to).await?;
            // Commands are small and answered one flight at a time.
            tcp.set_nodelay(true)?;
            Ok(Box::new(tcp) as Box<dyn Line>)
        })
    })
}

async fn connect(source: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else {
        return TcpStream::connect(to).await;
    };
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(to).await
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
