//! A running receiver, and a client that sends exactly what it is told.

use relay::{
    config::Config,
    mail::Envelope,
    receive::{Callout, Counters, Server},
    spool::{Spool, rocks::RocksSpool},
};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const CONFIG: &str = r#"
hostname = "mx.test"
[dns]
client_names = false
[[listen]]
address = "127.0.0.1:0"
tls = "starttls"
[[listen]]
address = "127.0.0.1:0"
tls = "implicit"
[[listen]]
address = "127.0.0.1:0"
proxy_protocol = true
balancers = ["127.0.0.0/8"]
[[listen]]
address = "127.0.0.1:0"
tls = "implicit"
proxy_protocol = true
balancers = ["127.0.0.0/8"]
[[listen]]
address = "127.0.0.1:0"
proxy_protocol = true
balancers = ["192.0.2.10"]
[[domain]]
name = "any.test"
destination = { host = "new.test" }
[[domain]]
name = "listed.test"
destination = { host = "new.test" }
"#;

/// A receiver with its spool.
pub struct Relay {
    runtime: Runtime,
    pub spool: Arc<RocksSpool>,
    pub addresses: Vec<SocketAddr>,
    pub counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    running: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

/// What arrived: envelope and bytes.
pub type Arrived = (Envelope, Vec<u8>);

impl Relay {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts it with a configuration that `change` has been at.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::asking(None, change)
    }

    /// The same with somebody to ask for recipients.
    pub fn asking(callout: Option<Arc<dyn Callout>>, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listed = directory.path().join("recipients");
        fs::write(&listed, "bob@listed.test\neve@listed.test\n").unwrap();
        let mut config = Config::parse(CONFIG, Path::new("relay.toml")).unwrap();
        config.spool.path = directory.path().join("spool");
        config.spool.min_free_bytes = 0;
        config.domains[1].recipients = relay::config::Recipients::File(listed);
        change(&mut config);
        let runtime = Runtime::new().unwrap();
        let spool = RocksSpool::open(&config.spool).unwrap();
        let names = config.domains.iter().map(|domain| domain.name.clone());
        let (stop, stopped) = watch::channel(false);
        let (server, running) = runtime.block_on(async {
            spool.add_domains(names.collect()).await.unwrap();
            let server = Server::bind(&config, spool.clone(), callout).await.unwrap();
            let facts = (server.addresses(), server.counters());
            (facts, tokio::spawn(server.run(stopped)))
        });
        let (addresses, counters) = server;
        Self {
            runtime,
            spool,
            addresses,
            counters,
            stop,
            running: Some(running),
            directory,
        }
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.addresses[0])
    }

    /// A client that has read the greeting and said EHLO.
    pub fn greeted(&self) -> Peer {
        let mut peer = self.connect();
        peer.expect("220 ");
        peer.ask("EHLO client.test\r\n", "250 ");
        peer
    }

    /// A client at the place where a message's bytes are expected.
    pub fn at_data(&self) -> Peer {
        let mut peer = self.greeted();
        peer.begin_data();
        peer
    }

    pub fn spool_directory(&self) -> std::path::PathBuf {
        self.directory.path().join("spool")
    }

    pub fn recipients_file(&self) -> std::path::PathBuf {
        self.directory.path().join("recipients")
    }

    /// Everything that is in the spool, in order.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.runtime.block_on(async {
            let mut all = Vec::new();
            for message in self.spool.messages(None, 10_000).await.unwrap() {
                let mut body = self.spool.body(message.id).await.unwrap();
                let mut bytes = Vec::new();
                while let Some(piece) = body.next().await.unwrap() {
                    bytes.extend_from_slice(&piece);
                }
                assert_eq!(bytes.len() as u64, message.size);
                all.push((message.envelope, bytes));
            }
            all
        })
    }

    /// Orders the receiver to stop.
    pub fn order_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has stopped.
    pub fn stopped(&mut self) {
        let running = self.running.take().unwrap();
        let ended = async { tokio::time::timeout(PATIENCE, running).await };
        self.runtime.block_on(ended).unwrap().unwrap();
    }
}

/// A client.
pub struct Peer<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Says no more, but still listens.
    pub fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The end, by a reset perhaps, and not a byte before it.
    pub fn expect_ended(&mut self) {
        let mut buffer = [0; 100];
        match self.stream.read(&mut buffer) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}: {:?}", String::from_utf8_lossy(&buffer)),
        }
    }

    /// Sends what may not arrive.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Another handle to the same connection.
    pub fn second(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    pub fn into_stream(self) -> TcpStream {
        assert!(self.received.is_empty(), "replies not read");
        self.stream
    }
}

impl<S: Read + Write> Peer<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next line without its CRLF, or nothing at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line = self.received.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "the last line has no CRLF");
                    return None;
                }
                Ok(bytes) => self.received.extend_from_slice(&buffer[..bytes]),
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    /// The last line of the next reply, which begins with `start`.
    pub fn expect(&mut self, start: &str) -> String {
        loop {
            let line = self
                .line()
                .unwrap_or_else(|| panic!("closed before {start}"));
            if line.as_bytes().get(3) != Some(&b'-') {
                assert!(line.starts_with(start), "{line} is not {start}");
                return line;
            }
        }
    }

    pub fn ask(&mut self, command: &str, start: &str) -> String {
        self.send(command);
        self.expect(start)
    }

    pub fn expect_closed(&mut self) {
        assert_eq!(self.line(), None);
    }

    /// A transaction up to its recipient.
    pub fn begin(&mut self) {
        self.ask("MAIL FROM:<alice@sender.test>\r\n", "250 ");
        self.ask("RCPT TO:<bob@any.test>\r\n", "250 ");
    }

    /// A transaction up to 354.
    pub fn begin_data(&mut self) {
        self.begin();
        self.ask("DATA\r\n", "354 ");
    }
}
