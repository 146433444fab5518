//! An SMTP server whose extensions, name, certificate and opinions a test exchanges while it
//! runs. It takes no message: DATA is a mistake of the client's.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// How it behaves.
#[derive(Clone)]
pub struct Conduct {
    pub name: &'static str,
    pub features: Vec<&'static str>,
    /// STARTTLS is offered where there is one.
    pub tls: Option<Arc<ServerConfig>>,
    /// Replies to RCPT that are not 250, by recipient.
    pub refused: Vec<(&'static str, &'static str)>,
    pub xclient: &'static str,
}

pub struct Server {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    conduct: Mutex<Conduct>,
    commands: Mutex<Vec<String>>,
}

impl Server {
    pub fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            conduct: Mutex::new(conduct),
            commands: Mutex::default(),
        });
        let serving = shared.clone();
        // Until the end of the test's process; a session ends with its client.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = serving.clone();
                thread::spawn(move || {
                    let conduct = shared.conduct.lock().unwrap().clone();
                    // Its end, by whomever, is nothing to report.
                    let _ = session(stream?, &conduct, &shared);
                    io::Result::Ok(())
                });
            }
        });
        Self { port, shared }
    }

    pub fn change(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.shared.conduct.lock().unwrap());
    }

    /// Every command so far.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }
}

fn session(mut tcp: TcpStream, conduct: &Conduct, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    write!(tcp, "220 {} ESMTP\r\n", conduct.name)?;
    if !talk(&mut tcp, conduct, shared, conduct.tls.is_some())? {
        return Ok(());
    }
    let config = conduct.tls.clone().unwrap();
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut secure = StreamOwned::new(connection, tcp);
    talk(&mut secure, conduct, shared, false)?;
    secure.conn.send_close_notify();
    secure.flush()
}

/// Whether TLS comes next.
fn talk(
    stream: &mut (impl Read + Write),
    conduct: &Conduct,
    shared: &Shared,
    offers_tls: bool,
) -> io::Result<bool> {
    loop {
        let Some(line) = line(stream)? else {
            return Ok(false);
        };
        shared.commands.lock().unwrap().push(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        let reply = match verb {
            "EHLO" => ehlo(conduct, offers_tls),
            "STARTTLS" if offers_tls => {
                stream.write_all(b"220 2.0.0 go on\r\n")?;
                return Ok(true);
            }
            "RCPT" => rcpt(conduct, &line).to_owned(),
            "XCLIENT" => conduct.xclient.to_owned(),
            "MAIL" | "RSET" => "250 2.0.0 Ok".to_owned(),
            "QUIT" => {
                stream.write_all(b"221 2.0.0 bye\r\n")?;
                return Ok(false);
            }
            _ => "502 5.5.1 what?".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
        stream.flush()?;
    }
}

fn ehlo(conduct: &Conduct, offers_tls: bool) -> String {
    let mut lines = vec![conduct.name];
    lines.extend(&conduct.features);
    lines.extend(offers_tls.then_some("STARTTLS"));
    let last = lines.pop().unwrap();
    let mut text: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
    text += &format!("250 {last}");
    text
}

fn rcpt<'c>(conduct: &'c Conduct, line: &str) -> &'c str {
    let refused = conduct.refused.iter();
    let mut refused = refused.filter(|(to, _)| line.contains(&format!("<{to}>")));
    refused.next().map_or("250 2.1.5 Ok", |(_, reply)| reply)
}

/// Byte by byte, so that nothing of a handshake is read with a command.
fn line(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
        }
        line.push(byte[0]);
    }
    Ok(None)
}
