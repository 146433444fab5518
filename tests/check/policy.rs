//! The web server with the MTA-STS policy, and the proxy that leads to it, in one: whoever
//! asks to be connected to it is.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

/// What it answers.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub body: String,
    /// How far its clock is behind.
    pub behind: Duration,
}

pub struct Web {
    pub port: u16,
    answer: Arc<Mutex<Answer>>,
}

impl Web {
    pub fn start(host: &'static str, tls: Arc<ServerConfig>, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let shared = answer.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, answer) = (tls.clone(), shared.lock().unwrap().clone());
                thread::spawn(move || serve(stream?, host, tls, &answer));
            }
        });
        Self { port, answer }
    }

    pub fn change(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap());
    }
}

fn serve(
    mut tcp: TcpStream,
    host: &str,
    tls: Arc<ServerConfig>,
    answer: &Answer,
) -> io::Result<()> {
    let asked = head(&mut tcp)?;
    if asked != format!("CONNECT {host}:443 HTTP/1.1") {
        return tcp.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    }
    tcp.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut secure = StreamOwned::new(connection, tcp);
    let asked = head(&mut secure)?;
    let (mut status, mut body) = (answer.status, answer.body.as_str());
    if asked != "GET /.well-known/mta-sts.txt HTTP/1.1" {
        (status, body) = ("404 Not Found", "");
    }
    let date = jiff::Timestamp::try_from(SystemTime::now() - answer.behind).unwrap();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
    write!(
        secure,
        "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    secure.conn.send_close_notify();
    secure.flush()
}

/// The first line; the headers are read and forgotten.
fn head(stream: &mut impl Read) -> io::Result<String> {
    // A byte at a time, so that nothing of a handshake is taken with it.
    let mut lines = BufReader::with_capacity(1, stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(first)
}
