//! One client's connection, from greeting to the end.

use super::{
    answers, door, log,
    message::{self, Incoming, Outcome},
    shared::Shared,
    who::Who,
};
use crate::{
    config::{Listen, ListenTls},
    mail::{Client, QueueId, Recipient, ReversePath},
    net::{Expect, Line, Pass, Stream, Wire, WireError},
    smtp::{Action, COMMAND_BYTES_MAX, Mail, Rcpt, Reply, Session, Tls, Transaction},
};
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::{net::TcpStream, sync::watch};

/// Serves a client that was let in.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    listen: Arc<Listen>,
    shutdown: watch::Receiver<bool>,
    mut pass: Pass,
) {
    let (stream, peer) = match &listen.balancers {
        None => (stream, peer),
        Some(_) => match door::client(&shared, stream, peer, listen.tls, &mut pass).await {
            Some(client) => client,
            None => return,
        },
    };
    // Replies are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let who = Who::named(peer, shared.common.dns.as_ref()).await;
    log::connect(&who);
    let _open = shared.counters.count_connection();
    let wire = Wire::new(
        Stream::Plain(stream),
        shutdown,
        COMMAND_BYTES_MAX,
        shared.command_timeout,
    );
    let tls = match (listen.tls, shared.has_tls()) {
        (ListenTls::Starttls, true) => Tls::Offered,
        _ => Tls::Unavailable,
    };
    let mut connection = Connection {
        shared: &shared,
        who: who.clone(),
        session: Session::new(&shared.limits, tls, shared.offer_to_all()),
        tls: None,
        unconfirmed: None,
        incoming: None,
    };
    connection.run(wire, listen.tls).await;
    log::disconnect(&who, connection.session.counts());
}

struct Connection<'a> {
    shared: &'a Shared,
    who: Who,
    session: Session<'a>,
    /// Version and cipher.
    tls: Option<String>,
    /// A message of which chunks were taken.
    incoming: Option<Incoming>,
    unconfirmed: Option<Unconfirmed>,
}

/// A message whose 250 was sent, and nobody knows yet whether it arrived.
struct Unconfirmed {
    id: QueueId,
    /// [`Wire::reads`] when the 250 was sent.
    reads: u64,
}

/// What follows a command.
enum Next {
    /// The next one.
    Command,
    /// TLS, then the next one.
    Starttls,
    /// Nothing.
    Close,
    /// Nothing, and the client is gone or too slow.
    Broken(WireError),
}

impl Connection<'_> {
    async fn run(&mut self, mut wire: Wire, listen_tls: ListenTls) {
        if listen_tls == ListenTls::Implicit {
            match self.encrypt(wire).await {
                Some(encrypted) => wire = encrypted,
                None => return,
            }
        }
        self.session.greeting().write(wire.output());
        loop {
            match self.converse(&mut wire).await {
                Next::Command => {}
                Next::Starttls => match self.encrypt(wire).await {
                    Some(encrypted) => wire = encrypted,
                    None => return,
                },
                Next::Close => return wire.close().await,
                Next::Broken(error) => return self.broken(wire, &error).await,
            }
        }
    }

    /// Negotiates TLS and lets the session start anew.
    async fn encrypt(&mut self, mut wire: Wire) -> Option<Wire> {
        let config = self.shared.tls()?;
        wire.set_deadline(self.shared.command_timeout);
        let wire = match wire.encrypt(config).await {
            Ok(wire) => wire,
            Err(error) => {
                log::tls_failed(&error, &self.who);
                return None;
            }
        };
        self.tls = wire.tls();
        self.session.encrypted();
        self.shared.counters.count_encrypted();
        Some(wire)
    }

    /// Takes commands as they come, and sends the replies when there are no more to be
    /// had without waiting (RFC 2920 §3.2).
    async fn converse(&mut self, wire: &mut Wire) -> Next {
        wire.set_deadline(self.shared.command_timeout);
        loop {
            self.confirm(wire);
            let action = match wire.line() {
                Some(Line::Whole(line)) => self.session.command(line),
                Some(Line::BareLf) => self.session.bad_line(answers::bare_lf()),
                Some(Line::TooLong) => self.session.bad_line(answers::line_too_long()),
                // RFC 5321 §4.5.3.2.7. The deadline stands for the whole line: sending it
                // byte by byte gains no time.
                None => match wire.fill(Expect::Line).await {
                    Ok(()) => continue,
                    Err(error) => return Next::Broken(error),
                },
            };
            return self.act(wire, action).await;
        }
    }

    async fn act(&mut self, wire: &mut Wire, action: Action) -> Next {
        // RFC 3030 §2: RSET, or whatever else ends a transaction, clears all chunks.
        let takes_chunks = matches!(action, Action::LastChunk(..));
        if !takes_chunks && !self.session.is_between_chunks() {
            self.incoming = None;
        }
        let action = match action {
            Action::Sender(mail) => self.sender(mail),
            Action::Recipient(rcpt) => self.recipient(rcpt).await,
            Action::Reply(reply) => {
                self.note(&reply, None, None);
                Action::Reply(reply)
            }
            decided => decided,
        };
        match action {
            Action::Reply(reply) => {
                reply.write(wire.output());
                Next::Command
            }
            Action::Data(reply, transaction) => {
                reply.write(wire.output());
                let client = self.client();
                let from = transaction.mail.reverse_path.clone();
                let outcome =
                    message::receive(self.shared, wire, transaction, self.who.clone(), client)
                        .await;
                self.conclude(wire, outcome, &from)
            }
            Action::Chunk(bytes) => self.chunk(wire, bytes).await,
            Action::LastChunk(bytes, transaction) => {
                let client = self.client();
                let from = transaction.mail.reverse_path.clone();
                let incoming = self.incoming(Some(&transaction));
                let outcome =
                    message::receive_last(self.shared, wire, incoming, bytes, transaction, client)
                        .await;
                self.conclude(wire, outcome, &from)
            }
            Action::Discard(bytes, reply) => {
                self.note(&reply, None, None);
                match message::discard(self.shared, wire, bytes, reply).await {
                    Outcome::Broken(error) => Next::Broken(error),
                    Outcome::GivenUp(reply) => {
                        reply.write(wire.output());
                        Next::Close
                    }
                    Outcome::Refused(reply) => {
                        wire.shrink();
                        reply.write(wire.output());
                        Next::Command
                    }
                    Outcome::Kept(_) => Next::Command,
                }
            }
            Action::Starttls(reply) => {
                reply.write(wire.output());
                Next::Starttls
            }
            Action::Close(reply) => {
                self.note(&reply, None, None);
                reply.write(wire.output());
                Next::Close
            }
            // The session has been told; it asks no question twice.
            Action::Sender(_) | Action::Recipient(_) => Next::Close,
        }
    }

    /// A client that goes on has seen the last 250. What it had sent before it could see it
    /// (RFC 2920 lets it) shows nothing.
    fn confirm(&mut self, wire: &Wire) {
        if let Some(Unconfirmed { id, reads }) = self.unconfirmed
            && wire.reads() > reads
        {
            self.shared.spool.confirm(id);
            self.unconfirmed = None;
        }
    }

    fn sender(&mut self, mail: Mail) -> Action {
        let has_one = self
            .shared
            .common
            .messages
            .take(self.who.ip(), Instant::now());
        let admitted = match has_one {
            true => self
                .shared
                .spool
                .admit(mail.size_bytes)
                .map_err(|error| answers::spool_refusal(&error)),
            false => Err(answers::too_many_messages()),
        };
        match admitted {
            Ok(()) => self.session.accept_sender(mail),
            Err(reply) => {
                self.note(&reply, Some(mail.reverse_path.as_str()), None);
                self.session.refuse(reply)
            }
        }
    }

    async fn recipient(&mut self, rcpt: Rcpt) -> Action {
        let Rcpt { to, notify, orcpt } = rcpt;
        let mail = self
            .session
            .transaction()
            .map(|transaction| &transaction.mail);
        let common = &self.shared.common;
        let found = if common.recipients.take(self.who.ip(), Instant::now()) {
            self.shared.find(to, mail).await
        } else {
            Err((answers::too_many_recipients(), to.to_string()))
        };
        match found {
            Ok(address) => self.session.accept_recipient(Recipient {
                address,
                notify,
                orcpt,
            }),
            Err((reply, to)) => {
                let from = mail.map(|mail| mail.reverse_path.as_str());
                self.note(&reply, from, Some(&to));
                self.session.refuse(reply)
            }
        }
    }

    /// A chunk with more to come behind it.
    async fn chunk(&mut self, wire: &mut Wire, bytes: u64) -> Next {
        let mut incoming = self.incoming(None);
        match incoming.read_chunk(self.shared, wire, bytes).await {
            Ok(()) => {
                self.incoming = Some(incoming);
                wire.shrink();
                self.session.chunk_accepted(bytes).write(wire.output());
                Next::Command
            }
            Err(outcome) => {
                let from = self.session.transaction();
                let from = from.map(|transaction| transaction.mail.reverse_path.clone());
                if let Outcome::Refused(_) = outcome {
                    self.session.chunk_refused();
                }
                self.conclude(wire, outcome, &from.unwrap_or(ReversePath::Null))
            }
        }
    }

    /// The message whose chunks are coming in; with the last one the session has handed the
    /// transaction over.
    fn incoming(&mut self, last: Option<&Transaction>) -> Incoming {
        let known = self.incoming.take();
        known.unwrap_or_else(|| {
            let transaction = last.or(self.session.transaction());
            let recipients = transaction.map(|one| &*one.recipients);
            Incoming::chunks(
                self.shared,
                self.who.clone(),
                recipients.unwrap_or_default(),
            )
        })
    }

    fn client(&self) -> Client {
        Client {
            ip: self.who.ip(),
            port: self.who.address.port(),
            name: self.who.name.as_deref().map(str::to_owned),
            helo: self.session.helo().to_owned(),
            protocol: self.session.protocol(),
            tls: self.tls.clone(),
        }
    }

    /// What comes of a message, or of a chunk that was refused.
    fn conclude(&mut self, wire: &mut Wire, outcome: Outcome, from: &ReversePath) -> Next {
        wire.shrink();
        self.confirm(wire);
        match outcome {
            Outcome::Kept(id) => {
                let reads = wire.reads();
                self.unconfirmed = Some(Unconfirmed { id, reads });
                self.session.message_accepted();
                Next::Command
            }
            Outcome::Refused(reply) => {
                self.note(&reply, Some(from.as_str()), None);
                self.session.message_refused(&reply);
                reply.write(wire.output());
                Next::Command
            }
            Outcome::GivenUp(reply) => {
                self.note(&reply, Some(from.as_str()), None);
                reply.write(wire.output());
                Next::Close
            }
            Outcome::Broken(error) => Next::Broken(error),
        }
    }

    /// Counts and logs a refusal. What is only a client's mistake in the protocol shows in
    /// the counts of its disconnect line.
    fn note(&self, reply: &Reply, from: Option<&str>, to: Option<&str>) {
        if reply.is_positive() {
            return;
        }
        self.shared.counters.count_rejected(reply);
        if !matches!(reply.code(), 500..=503 | 555) {
            log::rejected(&self.session, &self.who, reply, from, to);
        }
    }

    /// Tells a client that is still there why it is left.
    async fn broken(&mut self, mut wire: Wire, error: &WireError) {
        let hostname = &self.shared.limits.hostname;
        let reply = match error {
            WireError::Timeout => answers::timeout(hostname),
            WireError::Stopping => answers::stopping(hostname),
            WireError::Closed | WireError::Io(_) => {
                log::broken_off(error, self.session.verb(), &self.who);
                return;
            }
        };
        if matches!(error, WireError::Timeout) {
            log::broken_off(error, self.session.verb(), &self.who);
        }
        reply.write(wire.output());
        wire.close().await;
    }
}
