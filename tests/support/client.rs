//! A plain SMTP client that shows every byte and every reply. It sends what it is told,
//! right or wrong.

use super::PATIENCE;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
};

/// A reply: its code, and the text of all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

/// A session. Every failure is an `io::Error`, so that a dying server can be told from a
/// refusing one.
pub struct Client {
    stream: BufReader<TcpStream>,
    pub greeting: Reply,
}

impl Client {
    /// Connects and reads the greeting.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            greeting: Reply {
                code: 0,
                text: String::new(),
            },
        };
        client.greeting = client.reply()?;
        Ok(client)
    }

    /// Connects and says EHLO.
    pub fn hello(port: u16) -> io::Result<Self> {
        let mut client = Self::connect(port)?;
        client.expect("EHLO client.example", 250)?;
        Ok(client)
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if !line.ends_with("\r\n") {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end_matches("\r\n");
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("not a reply: {line:?}")))?;
            text.push_str(line.get(4..).unwrap_or(""));
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, text });
            }
            text.push('\n');
        }
    }

    /// Sends a line and reads its reply.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.raw(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends a line whose reply must have this code.
    pub fn expect(&mut self, line: &str, code: u16) -> io::Result<Reply> {
        let reply = self.command(line)?;
        if reply.code == code {
            return Ok(reply);
        }
        Err(io::Error::other(format!("{line:?}: {reply:?}")))
    }

    /// MAIL, RCPT... and DATA, up to the 354.
    pub fn envelope(&mut self, from: &str, to: &[&str]) -> io::Result<()> {
        self.expect(&format!("MAIL FROM:<{from}> BODY=8BITMIME"), 250)?;
        for recipient in to {
            self.expect(&format!("RCPT TO:<{recipient}>"), 250)?;
        }
        self.expect("DATA", 354)?;
        Ok(())
    }

    /// Sends a message and returns the queue id that the 250 names.
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<String> {
        self.envelope(from, to)?;
        self.raw(&wire(message))?;
        queue_id(&self.reply()?)
    }

    /// One message over a connection of its own, ended with QUIT: a client that vanishes
    /// behind its 250 and sends the same again would be taken for one that never saw it.
    pub fn deliver(port: u16, from: &str, to: &[&str], message: &[u8]) -> io::Result<String> {
        let mut client = Self::hello(port)?;
        let id = client.send(from, to, message)?;
        client.quit()?;
        Ok(id)
    }

    pub fn quit(mut self) -> io::Result<()> {
        self.expect("QUIT", 221)?;
        Ok(())
    }

    /// The connection, with nothing of the server's read and not used.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.stream.buffer().is_empty());
        self.stream.into_inner()
    }

    /// Everything until the server closes, after closing our own direction.
    pub fn rest(mut self) -> io::Result<Vec<u8>> {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// The id in `250 2.0.0 Ok: queued as ID`.
pub fn queue_id(reply: &Reply) -> io::Result<String> {
    let last = reply.text.rsplit(' ').next().unwrap_or("");
    let is_id = last.len() == 12 && last.bytes().all(|c| c.is_ascii_alphanumeric());
    if reply.code == 250 && is_id {
        return Ok(last.into());
    }
    Err(io::Error::other(format!("not queued: {reply:?}")))
}

/// The message as it goes over the wire after a 354: dots stuffed, end-of-data behind it
/// (RFC 5321 §4.5.2). It must be empty or end with CRLF, since DATA carries nothing else.
pub fn wire(message: &[u8]) -> Vec<u8> {
    assert!(message.is_empty() || message.ends_with(b"\r\n"));
    let mut wire = Vec::with_capacity(message.len() + 16);
    let mut line_begins = true;
    for (place, byte) in message.iter().enumerate() {
        if line_begins && *byte == b'.' {
            wire.push(b'.');
        }
        wire.push(*byte);
        line_begins = *byte == b'\n' && place > 0 && message[place - 1] == b'\r';
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
