//! The server's side, line by line.

use crate::imap::{Endpoint, Error, Limits, Login, Session, Tls, Trust, connect};
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// One connection of a client.
pub struct Peer(BufReader<TcpStream>);

impl Peer {
    /// Says these bytes. A client that has hung up is no failure of the server.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes).await;
    }

    /// The next line; empty at the end.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap_or(0);
        String::from_utf8_lossy(&line)
            .trim_end_matches("\r\n")
            .to_owned()
    }

    /// Waits for this command, and gives its tag.
    pub async fn command(&mut self, expected: &str) -> String {
        let line = self.line().await;
        let (tag, command) = line.split_once(' ').unwrap_or_default();
        assert_eq!(command, expected, "from the client");
        tag.to_owned()
    }

    /// Waits for this command and says this, with `TAG` for its tag.
    pub async fn reply(&mut self, expected: &str, said: &str) {
        let tag = self.command(expected).await;
        self.say(said.replace("TAG", &tag).as_bytes()).await;
    }

    /// So many bytes.
    pub async fn bytes(&mut self, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        self.0.read_exact(&mut read).await.unwrap();
        read
    }

    /// OK to whatever comes, up to the end.
    pub async fn answer_all(&mut self) {
        loop {
            let line = self.line().await;
            let Some((tag, _)) = line.split_once(' ') else {
                return;
            };
            self.say(format!("{tag} OK done\r\n").as_bytes()).await;
        }
    }

    /// Nothing more is said; what comes is read up to the end.
    pub async fn hang_up(mut self) {
        let _ = self.0.get_mut().shutdown().await;
        let mut rest = Vec::new();
        let _ = self.0.read_to_end(&mut rest).await;
    }
}

/// A server that speaks like this to its one client, and how the client gets on with it.
pub async fn connected<F: Future<Output = ()> + Send + 'static>(
    login: Login,
    limits: Limits,
    speak: impl FnOnce(Peer) -> F + Send + 'static,
) -> Result<Session, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        tls: Tls::Plain,
        trust: Trust::System,
        compress: false,
    };
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        speak(Peer(BufReader::new(tcp))).await;
    });
    connect(&endpoint, &login, &limits).await
}

/// Limits for tests: patient ones, since a machine may be busy.
pub fn limits() -> Limits {
    Limits {
        connect: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// A session with a server of these capabilities.
pub async fn session<F: Future<Output = ()> + Send + 'static>(
    capabilities: &'static str,
    speak: impl FnOnce(Peer) -> F + Send + 'static,
) -> Session {
    let login = Login::Password {
        user: "u".into(),
        password: "p".into(),
    };
    let speak = move |mut peer: Peer| async move {
        let greeting = format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n");
        peer.say(greeting.as_bytes()).await;
        let all = format!("* CAPABILITY IMAP4rev1 {capabilities}\r\nTAG OK done\r\n");
        peer.reply("CAPABILITY", &all).await;
        let all = format!("TAG OK [CAPABILITY IMAP4rev1 {capabilities}] welcome\r\n");
        peer.reply("LOGIN \"u\" \"p\"", &all).await;
        speak(peer).await;
    };
    connected(login, limits(), speak).await.unwrap()
}
