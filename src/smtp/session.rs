//! The session's state machine (RFC 5321 §4.1.4): which command may come when, and what
//! is answered. What it cannot know (is there such a recipient, has the spool room), it
//! asks its caller by an [`Action`] and is told by [`Session::accept_sender`],
//! [`Session::accept_recipient`] or [`Session::refuse`].

use super::{Chunk, ChunkPlace, Command, CommandError, Mail, Offer, Rcpt, Reply, Verb, VerbCounts};
use crate::mail::{Protocol, Recipient};
use std::fmt::Write as _;

/// What a server says about itself and asks of its clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// The name in the greeting.
    pub hostname: String,
    /// Largest message, in bytes.
    pub message_size_bytes: u64,
    /// Recipients in one transaction.
    pub recipients: usize,
    /// Commands refused for good before the session is closed.
    pub errors: usize,
}

/// Whether the session is or can be encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// It cannot be.
    Unavailable,
    /// STARTTLS is offered.
    Offered,
    /// It is.
    Active,
}

/// A session with one client, from greeting to QUIT.
#[derive(Debug)]
pub struct Session<'a> {
    limits: &'a SessionLimits,
    /// What one of the destinations takes; what none takes is not offered.
    offer: Offer,
    tls: Tls,
    hello: Option<Hello>,
    stage: Stage,
    /// The command in progress.
    verb: Verb,
    counts: VerbCounts,
    errors: usize,
}

/// How far the transaction is.
#[derive(Debug)]
enum Stage {
    /// There is none.
    Idle,
    /// MAIL, and perhaps RCPT.
    Envelope(Transaction),
    /// A chunk was taken: more of them, or RSET (RFC 3030 §2).
    Chunks(Transaction),
    /// A chunk was refused, and all that follow are.
    Failed,
}

/// How the client introduced itself.
#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

/// What MAIL and RCPT have built up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// MAIL.
    pub mail: Mail,
    /// The recipients that were accepted.
    pub recipients: Vec<Recipient>,
}

/// What the caller has to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this and go on.
    Reply(Reply),
    /// Decide whether a message of this sender and size may come in.
    Sender(Mail),
    /// Decide whether this recipient is taken.
    Recipient(Rcpt),
    /// Send this, take the message in, answer it; the transaction is over.
    Data(Reply, Transaction),
    /// Take in a chunk of this many bytes, and say [`Session::chunk_accepted`] or
    /// [`Session::chunk_refused`].
    Chunk(u64),
    /// Take in the last chunk, of this many bytes, and answer the message; the transaction
    /// is over.
    LastChunk(u64, Transaction),
    /// Throw away a chunk of this many bytes, then send this (RFC 3030 §2).
    Discard(u64, Reply),
    /// Send this, throw away what was received behind the command (RFC 3207 §4.2),
    /// negotiate, and say [`Session::encrypted`].
    Starttls(Reply),
    /// Send this and close the connection.
    Close(Reply),
}

impl<'a> Session<'a> {
    /// A session before its greeting.
    #[must_use]
    pub fn new(limits: &'a SessionLimits, tls: Tls, offer: Offer) -> Self {
        Self {
            limits,
            offer,
            tls,
            hello: None,
            stage: Stage::Idle,
            verb: Verb::Connect,
            counts: VerbCounts::default(),
            errors: 0,
        }
    }

    /// RFC 5321 §4.2 and §4.3.1.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        Reply::new(220, "", format!("{} ESMTP relay", self.limits.hostname))
    }

    /// What the client calls itself; empty before HELO or EHLO.
    #[must_use]
    pub fn helo(&self) -> &str {
        self.hello.as_ref().map_or("", |hello| &hello.name)
    }

    /// The protocol spoken, for the trace header.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match (&self.hello, self.tls) {
            (Some(Hello { extended: true, .. }), Tls::Active) => Protocol::Esmtps,
            (Some(Hello { extended: true, .. }), _) => Protocol::Esmtp,
            _ => Protocol::Smtp,
        }
    }

    /// The command in progress, or the last one.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The commands so far.
    #[must_use]
    pub fn counts(&self) -> &VerbCounts {
        &self.counts
    }

    /// The transaction in progress.
    #[must_use]
    pub fn transaction(&self) -> Option<&Transaction> {
        match &self.stage {
            Stage::Envelope(transaction) | Stage::Chunks(transaction) => Some(transaction),
            Stage::Idle | Stage::Failed => None,
        }
    }

    /// Whether chunks of a message were taken that is not complete. Where not, what was
    /// taken in of them is to be forgotten.
    #[must_use]
    pub fn is_between_chunks(&self) -> bool {
        matches!(self.stage, Stage::Chunks(_))
    }

    /// Takes a command line without its CRLF.
    pub fn command(&mut self, line: &[u8]) -> Action {
        let (verb, command) = Command::parse(line);
        self.begin(verb).unwrap_or_else(|| match command {
            Ok(command) => self.act(command),
            // What follows is a message's bytes, and must not be taken for commands.
            Err(error @ CommandError::Chunk) => Action::Close(error.reply()),
            Err(error) => self.refuse(error.reply()),
        })
    }

    /// Takes note of a line that is too long or does not end in CRLF; it is not looked at.
    pub fn bad_line(&mut self, reply: Reply) -> Action {
        self.begin(Verb::Unknown)
            .unwrap_or_else(|| self.refuse(reply))
    }

    /// The sender asked for by [`Action::Sender`] is taken.
    pub fn accept_sender(&mut self, mail: Mail) -> Action {
        self.stage = Stage::Envelope(Transaction {
            mail,
            recipients: Vec::new(),
        });
        self.ok("2.1.0")
    }

    /// The recipient asked for by [`Action::Recipient`] is taken, as this.
    pub fn accept_recipient(&mut self, recipient: Recipient) -> Action {
        if let Stage::Envelope(transaction) = &mut self.stage {
            transaction.recipients.push(recipient);
        }
        self.ok("2.1.5")
    }

    /// The command in progress is refused.
    pub fn refuse(&mut self, reply: Reply) -> Action {
        // Being told to come back with the rest (452) is no mistake.
        if reply.is_permanent() {
            self.errors += 1;
        }
        Action::Reply(reply)
    }

    /// The chunk asked for by [`Action::Chunk`] was taken.
    pub fn chunk_accepted(&mut self, bytes: u64) -> Reply {
        self.counts.accepted(self.verb);
        Reply::new(250, "2.0.0", format!("Ok: {bytes} bytes"))
    }

    /// It was not, and with it the message; that is said by [`Session::message_refused`].
    pub fn chunk_refused(&mut self) {
        self.stage = Stage::Failed;
    }

    /// The message that followed [`Action::Data`] or ended with [`Action::LastChunk`] was
    /// taken. Mistakes before are forgiven.
    pub fn message_accepted(&mut self) {
        self.counts.accepted(self.verb);
        self.errors = 0;
    }

    /// It was refused.
    pub fn message_refused(&mut self, reply: &Reply) {
        if reply.is_permanent() {
            self.errors += 1;
        }
    }

    /// TLS was negotiated: the session starts anew, without another greeting, and
    /// forgets what it heard before (RFC 3207 §4.2), but not the mistakes.
    pub fn encrypted(&mut self) {
        self.tls = Tls::Active;
        self.hello = None;
        self.stage = Stage::Idle;
    }

    /// Counts a command, and ends a session that has made too many mistakes.
    fn begin(&mut self, verb: Verb) -> Option<Action> {
        self.verb = verb;
        self.counts.given(verb);
        (self.errors >= self.limits.errors).then(|| {
            let text = format!("{} Error: too many errors", self.limits.hostname);
            Action::Close(Reply::new(421, "4.7.0", text))
        })
    }

    fn ok(&mut self, enhanced: &'static str) -> Action {
        self.accept(Reply::new(250, enhanced, "Ok"))
    }

    fn accept(&mut self, reply: Reply) -> Action {
        self.counts.accepted(self.verb);
        Action::Reply(reply)
    }

    fn act(&mut self, command: Command<'_>) -> Action {
        match command {
            Command::Helo(name) => {
                self.introduce(name, false);
                self.accept(Reply::new(250, "", self.limits.hostname.clone()))
            }
            Command::Ehlo(name) => {
                self.introduce(name, true);
                self.accept(Reply::new(250, "", self.extensions()))
            }
            Command::Starttls => self.starttls(),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Bdat(chunk) => self.bdat(chunk),
            Command::Rset => {
                self.stage = Stage::Idle;
                self.ok("2.0.0")
            }
            // RFC 5321 §3.5.3: neither confirmed nor denied.
            Command::Vrfy => self.accept(Reply::new(
                252,
                "2.0.0",
                "Cannot VRFY user, but will accept a message and try to deliver it",
            )),
            Command::Help => self.accept(Reply::new(
                214,
                "2.0.0",
                "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS",
            )),
            Command::Noop => self.ok("2.0.0"),
            Command::Quit => {
                self.counts.accepted(Verb::Quit);
                Action::Close(Reply::new(221, "2.0.0", "Bye"))
            }
        }
    }

    /// RFC 5321 §4.1.4: EHLO or HELO in a transaction resets it.
    fn introduce(&mut self, name: &str, extended: bool) {
        self.stage = Stage::Idle;
        self.hello = Some(Hello {
            name: name.to_owned(),
            extended,
        });
    }

    /// What EHLO announces, a line each (RFC 5321 §4.1.1.1).
    fn extensions(&self) -> String {
        let mut text = self.limits.hostname.clone();
        // RFC 2920, RFC 1870. Writing to a String cannot fail.
        let _ = write!(text, "\nPIPELINING\nSIZE {}", self.message_size_bytes());
        // RFC 3207 §4.2: not offered again once it is in use.
        if self.tls == Tls::Offered {
            text.push_str("\nSTARTTLS");
        }
        // RFC 2034, RFC 6152, RFC 3461, RFC 6531, RFC 3030.
        let lines = [
            ("\nENHANCEDSTATUSCODES", true),
            ("\n8BITMIME", self.offer.eight_bit_mime),
            ("\nDSN", true),
            ("\nSMTPUTF8", self.offer.smtputf8),
            ("\nCHUNKING", self.offer.chunking),
        ];
        let offered = lines.into_iter().filter(|(_, offered)| *offered);
        text.extend(offered.map(|(line, _)| line));
        // RFC 9422 §4.1: the one limit of this kind that there is.
        let _ = write!(text, "\nLIMITS RCPTMAX={}", self.limits.recipients);
        text
    }

    /// The largest message that is taken.
    fn message_size_bytes(&self) -> u64 {
        let limit = self.limits.message_size_bytes;
        self.offer
            .size_bytes_max
            .map_or(limit, |max| max.min(limit))
    }

    fn starttls(&mut self) -> Action {
        match self.tls {
            Tls::Offered => {
                self.counts.accepted(Verb::Starttls);
                Action::Starttls(Reply::new(220, "2.0.0", "Ready to start TLS"))
            }
            Tls::Active => self.out_of_order("Error: TLS already active"),
            Tls::Unavailable => self.refuse(CommandError::Unsupported.reply()),
        }
    }

    fn mail(&mut self, mail: Mail) -> Action {
        if self.hello.is_none() {
            return self.out_of_order("Error: send HELO/EHLO first");
        }
        if !matches!(self.stage, Stage::Idle) {
            return self.out_of_order("Error: nested MAIL command");
        }
        // RFC 6531 §3.4.
        if !mail.smtputf8 && !mail.reverse_path.as_str().is_ascii() {
            return self.refuse(Reply::new(
                553,
                "5.6.7",
                "Sender address needs SMTPUTF8, which was not asked for",
            ));
        }
        // RFC 1870 §6.1.
        if mail.size_bytes > self.message_size_bytes() {
            return self.refuse(Self::too_large());
        }
        Action::Sender(mail)
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Action {
        let transaction = match &self.stage {
            Stage::Envelope(transaction) => transaction,
            Stage::Idle => return self.out_of_order("Error: need MAIL command"),
            Stage::Chunks(_) | Stage::Failed => {
                return self.out_of_order("Error: RCPT after BDAT, need RSET");
            }
        };
        // RFC 5321 §4.5.3.1.10: the rest is for another transaction.
        if transaction.recipients.len() >= self.limits.recipients {
            return self.refuse(Reply::new(452, "4.5.3", "Error: too many recipients"));
        }
        let needs_utf8 = match &rcpt.to {
            super::ForwardPath::Mailbox(address) => !address.is_ascii(),
            super::ForwardPath::Postmaster => false,
        };
        // RFC 6531 §3.5.
        if needs_utf8 && !transaction.mail.smtputf8 {
            return self.refuse(Reply::new(
                553,
                "5.6.7",
                "Recipient address needs SMTPUTF8, which was not asked for",
            ));
        }
        Action::Recipient(rcpt)
    }

    fn data(&mut self) -> Action {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => self.out_of_order("Error: need MAIL and RCPT commands"),
            // RFC 5321 §3.3, and RFC 2920 §3.1: after a pipelined group whose recipients were
            // all refused, DATA is refused too. The transaction stays, for another RCPT.
            Stage::Envelope(transaction) if transaction.recipients.is_empty() => {
                self.stage = Stage::Envelope(transaction);
                self.refuse(Self::no_recipients())
            }
            Stage::Envelope(transaction) => Action::Data(
                Reply::new(354, "", "End data with <CR><LF>.<CR><LF>"),
                transaction,
            ),
            // RFC 3030 §2: not both in one transaction.
            Stage::Chunks(_) | Stage::Failed => {
                self.stage = Stage::Failed;
                self.out_of_order("Error: DATA after BDAT, need RSET")
            }
        }
    }

    /// RFC 3030 §2: the bytes come whether the command is refused or not.
    fn bdat(&mut self, Chunk { bytes, place }: Chunk) -> Action {
        let refusal = match std::mem::replace(&mut self.stage, Stage::Idle) {
            // It has failed with this chunk, and ends with the last: a client that sends several
            // messages in one flight has sent the next one already (RFC 3030 §4.2).
            Stage::Envelope(transaction) if transaction.recipients.is_empty() => {
                if place == ChunkPlace::Inner {
                    self.stage = Stage::Failed;
                }
                Self::no_recipients()
            }
            Stage::Envelope(transaction) | Stage::Chunks(transaction) => {
                return match place {
                    ChunkPlace::Last => Action::LastChunk(bytes, transaction),
                    ChunkPlace::Inner => {
                        self.stage = Stage::Chunks(transaction);
                        Action::Chunk(bytes)
                    }
                };
            }
            Stage::Idle => Reply::new(503, "5.5.1", "Error: need MAIL and RCPT commands"),
            // It was under way before its sender could know: no mistake of its own.
            Stage::Failed => {
                if place == ChunkPlace::Inner {
                    self.stage = Stage::Failed;
                }
                let reply = Reply::new(503, "5.5.1", "Error: BDAT after a refused chunk");
                return Action::Discard(bytes, reply);
            }
        };
        self.errors += 1;
        Action::Discard(bytes, refusal)
    }

    fn no_recipients() -> Reply {
        Reply::new(554, "5.5.1", "Error: no valid recipients")
    }

    fn out_of_order(&mut self, text: &'static str) -> Action {
        self.refuse(Reply::new(503, "5.5.1", text))
    }

    /// The message is larger than the limit, by its announced or by its true size.
    #[must_use]
    pub fn too_large() -> Reply {
        Reply::new(552, "5.3.4", "Message size exceeds fixed limit")
    }
}

#[cfg(test)]
mod tests;
