//! A man between an IMAP client and a real server, who does harm: he reads lines and literals as
//! they pass, and a script of the test says what becomes of each.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// Whose line it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    Client,
    Server,
}

/// What becomes of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It goes on, with the literal behind it.
    Pass,
    /// This goes on in its place.
    Instead(String),
    /// This goes back in the place of an answer, and nothing goes on.
    Answer(String),
    /// This goes on in its place, and the connection ends both ways.
    End(String),
    /// It goes on with half of the literal behind it, and the connection ends both ways.
    Torn,
}

type Script = Arc<Mutex<dyn FnMut(From, &str) -> Deed + Send>>;

/// Listens until the test process ends.
pub struct Between {
    pub port: u16,
}

impl Between {
    /// In front of the server on this port. The script is asked for each line of each
    /// connection, without its line end; a line with a literal ends in `}`.
    pub fn start(to: u16, script: impl FnMut(From, &str) -> Deed + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Script = Arc::new(Mutex::new(script));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)));
                let server = server.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                for (from, near, far) in [
                    (From::Client, &client, &server),
                    (From::Server, &server, &client),
                ] {
                    let way = Way {
                        from,
                        near: BufReader::new(near.try_clone().unwrap()),
                        far: far.try_clone().unwrap(),
                        script: Arc::clone(&script),
                    };
                    std::thread::spawn(move || way.go());
                }
            }
        });
        Self { port }
    }
}

/// One direction of a connection.
struct Way {
    from: From,
    near: BufReader<TcpStream>,
    far: TcpStream,
    script: Script,
}

impl Way {
    fn go(mut self) {
        while let Ok(true) = self.line() {}
        let _ = self.far.shutdown(Shutdown::Both);
        let _ = self.near.get_ref().shutdown(Shutdown::Both);
    }

    /// Whether it goes on.
    fn line(&mut self) -> io::Result<bool> {
        let mut bytes = Vec::new();
        if self.near.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\r', '\n']);
        let literal = literal(text);
        // What else passes waits while the script is at work.
        let deed = (self.script.lock().unwrap())(self.from, text);
        match deed {
            Deed::Pass => {
                self.far.write_all(&bytes)?;
                self.pass(literal)?;
                Ok(true)
            }
            Deed::Instead(text) => {
                self.far.write_all(format!("{text}\r\n").as_bytes())?;
                self.pass(literal)?;
                Ok(true)
            }
            Deed::Answer(text) => {
                let mut back = self.near.get_ref();
                back.write_all(format!("{text}\r\n").as_bytes())?;
                Ok(true)
            }
            Deed::End(text) => {
                self.far.write_all(text.as_bytes())?;
                Ok(false)
            }
            Deed::Torn => {
                self.far.write_all(&bytes)?;
                self.pass(literal / 2)?;
                Ok(false)
            }
        }
    }

    fn pass(&mut self, literal: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.near.by_ref().take(literal), &mut self.far)?;
        match passed == literal {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The bytes of the literal that a line announces (RFC 9051 §4.3), or none.
fn literal(line: &str) -> u64 {
    let inner = line
        .strip_suffix('}')
        .and_then(|line| line.rsplit_once('{'));
    let digits = inner.map(|(_, digits)| digits.strip_suffix('+').unwrap_or(digits));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
