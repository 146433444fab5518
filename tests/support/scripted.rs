//! An SMTP server that does what a test tells it to, and records everything in order.

use super::PATIENCE;
use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Where in a session the script is asked.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// A new connection.
    Connect,
    /// EHLO or LHLO.
    Hello,
    /// MAIL, with its line.
    Mail(&'a str),
    /// RCPT, with the recipient.
    Rcpt(&'a str),
    /// DATA, before the 354.
    Data(&'a [String]),
    /// A line of the message was read: the message so far.
    Body(&'a [u8]),
    /// End-of-data was read; the message, dots unstuffed.
    Dot(&'a [String], &'a [u8]),
}

/// What the script answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Go on, as a healthy server does. At [`Ask::Dot`]: store and say 250.
    Go,
    /// This reply in the place of a positive one. At [`Ask::Dot`]: nothing is stored.
    Say(&'static str),
    /// This reply, then close. At [`Ask::Dot`]: nothing is stored.
    SayAndClose(&'static str),
    /// Close without a word. At [`Ask::Dot`]: nothing is stored.
    Close,
    /// At [`Ask::Dot`]: store, then close without a word.
    StoreAndClose,
    /// At [`Ask::Dot`]: store, and say 250 after this time. Elsewhere: go on after it.
    Wait(Duration),
    /// Say nothing more and keep the connection open until the server is dropped.
    Hang,
}

/// A message that reached its end-of-data.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Which connection, counted from 0.
    pub connection: usize,
    pub from: String,
    pub recipients: Vec<String>,
    /// Dots unstuffed, as a mailbox would have it.
    pub message: Vec<u8>,
    /// As it was on the wire, end-of-data included.
    pub wire: Vec<u8>,
    /// Whether this server keeps it.
    pub stored: bool,
    /// What the script decided.
    pub act: Act,
}

type Script = dyn Fn(&Ask<'_>) -> Act + Send + Sync;

/// The server. It serves until dropped.
pub struct Scripted {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<Script>,
    log: Mutex<Log>,
    news: Condvar,
}

#[derive(Default)]
struct Log {
    arrivals: Vec<Arrival>,
    connections: usize,
    /// For closing at the end, by number.
    open: Vec<(usize, TcpStream)>,
    ended: bool,
}

impl Scripted {
    /// A server that takes everything.
    pub fn healthy() -> Self {
        Self::new(|_| Act::Go)
    }

    pub fn new(script: impl Fn(&Ask<'_>) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            log: Mutex::default(),
            news: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared }
    }

    /// Everything that reached its end-of-data so far, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.shared.lock().arrivals.clone()
    }

    /// Only what it kept.
    pub fn stored(&self) -> Vec<Arrival> {
        let mut arrivals = self.arrivals();
        arrivals.retain(|arrival| arrival.stored);
        arrivals
    }

    /// The same, which it then forgets: for a test that goes on for hours.
    pub fn take_stored(&self) -> Vec<Arrival> {
        let mut arrivals = std::mem::take(&mut self.shared.lock().arrivals);
        arrivals.retain(|arrival| arrival.stored);
        arrivals
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until what arrived satisfies `enough`.
    pub fn await_arrivals(&self, what: &str, enough: impl Fn(&[Arrival]) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut log = self.shared.lock();
        while !enough(&log.arrivals) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no end of waiting: {what}");
            (log, _) = self.shared.news.wait_timeout(log, left).unwrap();
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let mut log = self.shared.lock();
        log.ended = true;
        for (_, stream) in log.open.drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        drop(log);
        // Wakes the accepting thread, which sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        // A test that fails while it waits poisons it, and must still be able to clean up.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let mut log = shared.lock();
        if log.ended {
            return;
        }
        let number = log.connections;
        log.connections += 1;
        log.open.push((number, stream.try_clone().unwrap()));
        drop(log);
        let serving = Arc::clone(shared);
        thread::spawn(move || {
            // Its end, by whomever, is nothing to report.
            let _ = Session::new(number, stream, &serving).and_then(Session::run);
            let mut log = serving.lock();
            if let Some(place) = log.open.iter().position(|(open, _)| *open == number) {
                let (_, stream) = log.open.remove(place);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        });
    }
}

struct Session<'a> {
    number: usize,
    input: BufReader<TcpStream>,
    output: TcpStream,
    shared: &'a Shared,
    from: String,
    recipients: Vec<String>,
}

impl<'a> Session<'a> {
    fn new(number: usize, stream: TcpStream, shared: &'a Shared) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            number,
            output: stream.try_clone()?,
            input: BufReader::with_capacity(64 << 10, stream),
            shared,
            from: String::new(),
            recipients: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<()> {
        if !self.act(&Ask::Connect, "220 scripted.example ESMTP")? {
            return Ok(());
        }
        loop {
            let mut line = Vec::new();
            self.input.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !self.command(&line)? {
                return Ok(());
            }
        }
    }

    /// Carries out one command; `false` ends the session.
    fn command(&mut self, line: &str) -> io::Result<bool> {
        let verb = line.split([' ', ':']).next().unwrap_or("").to_uppercase();
        match verb.as_str() {
            "EHLO" => self.act(
                &Ask::Hello,
                "250-scripted.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n\
                 250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
            ),
            "HELO" => self.act(&Ask::Hello, "250 scripted.example"),
            "MAIL" => {
                self.reset();
                self.from = path(line);
                self.act(&Ask::Mail(line), "250 2.1.0 Ok")
            }
            "RCPT" => {
                let recipient = path(line);
                let act = (self.shared.script)(&Ask::Rcpt(&recipient));
                if matches!(act, Act::Go | Act::Wait(_)) {
                    self.recipients.push(recipient);
                }
                self.perform(act, "250 2.1.5 Ok")
            }
            "DATA" if self.recipients.is_empty() => self.say("554 5.5.1 No valid recipients"),
            "DATA" => self.data(),
            "RSET" => {
                self.reset();
                self.say("250 2.0.0 Ok")
            }
            "NOOP" => self.say("250 2.0.0 Ok"),
            "QUIT" => {
                self.say("221 2.0.0 Bye")?;
                Ok(false)
            }
            _ => self.say("502 5.5.2 Command not recognized"),
        }
    }

    fn data(&mut self) -> io::Result<bool> {
        let recipients = self.recipients.clone();
        let act = (self.shared.script)(&Ask::Data(&recipients));
        let go = matches!(act, Act::Go | Act::Wait(_));
        let goes_on = self.perform(act, "354 End data with <CR><LF>.<CR><LF>")?;
        if !go {
            self.reset();
            return Ok(goes_on);
        }
        let (mut message, mut wire) = (Vec::new(), Vec::new());
        loop {
            let line = self.line()?;
            wire.extend_from_slice(&line);
            if line == b".\r\n" {
                break;
            }
            let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
            message.extend_from_slice(unstuffed);
            match (self.shared.script)(&Ask::Body(&message)) {
                Act::Go => {}
                Act::Close => return Ok(false),
                act => return self.perform(act, ""),
            }
        }
        self.dot(message, wire)
    }

    fn dot(&mut self, message: Vec<u8>, wire: Vec<u8>) -> io::Result<bool> {
        let act = (self.shared.script)(&Ask::Dot(&self.recipients, &message));
        let arrival = Arrival {
            connection: self.number,
            from: std::mem::take(&mut self.from),
            recipients: std::mem::take(&mut self.recipients),
            message,
            wire,
            stored: matches!(act, Act::Go | Act::StoreAndClose | Act::Wait(_)),
            act: act.clone(),
        };
        let mut log = self.shared.lock();
        log.arrivals.push(arrival);
        let count = log.arrivals.len();
        drop(log);
        self.shared.news.notify_all();
        self.perform(act, &format!("250 2.0.0 Ok: queued as SCRIPTED{count}"))
    }

    /// A line up to CRLF, and nothing else ends it.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if self.input.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(line)
    }

    fn act(&mut self, ask: &Ask<'_>, positive: &str) -> io::Result<bool> {
        let act = (self.shared.script)(ask);
        self.perform(act, positive)
    }

    fn perform(&mut self, act: Act, positive: &str) -> io::Result<bool> {
        match act {
            Act::Go => self.say(positive),
            Act::Wait(time) => {
                thread::sleep(time);
                self.say(positive)
            }
            Act::Say(reply) => self.say(reply),
            Act::SayAndClose(reply) => {
                self.say(reply)?;
                Ok(false)
            }
            Act::Close | Act::StoreAndClose => Ok(false),
            Act::Hang => {
                // Until the other side gives up, or the server is dropped.
                io::copy(&mut self.input, &mut io::sink())?;
                Ok(false)
            }
        }
    }

    fn say(&mut self, reply: &str) -> io::Result<bool> {
        self.output.write_all(format!("{reply}\r\n").as_bytes())?;
        Ok(true)
    }

    fn reset(&mut self) {
        self.from.clear();
        self.recipients.clear();
    }
}

/// What stands between the angle brackets.
fn path(line: &str) -> String {
    let inner = line.split_once('<').map_or("", |(_, rest)| rest);
    inner
        .rsplit_once('>')
        .map_or("", |(path, _)| path)
        .to_owned()
}
