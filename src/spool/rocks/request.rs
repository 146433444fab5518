//! What the committing thread is asked to do.

use super::{draft::BodyFile, unconfirmed::Fingerprint};
use crate::{
    mail::{Digest, Envelope, QueueId},
    spool::{Cause, DomainCommand, DomainStatus, Receipt, Report, SpoolError, Transition},
};
use tokio::sync::oneshot;

/// Where the answer goes. Nobody listening is no error: what was asked for was done.
pub type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// A request with the place for its answer.
pub enum Request {
    /// A finished message.
    Accept(Box<Accept>, Reply<Receipt>),
    /// Steps of deliveries, all or none.
    Advance(Vec<Transition>, Reply<Vec<QueueId>>),
    /// Steps of deliveries and the reports about them, all or none.
    Bounce {
        /// The steps.
        transitions: Vec<Transition>,
        /// The reports.
        reports: Vec<Report>,
        /// Their queue ids.
        reply: Reply<Vec<QueueId>>,
    },
    /// A sender was told of a delay, or need not be.
    Warn {
        /// Of which message.
        id: QueueId,
        /// In which words.
        report: Option<Report>,
        /// The report's queue id.
        reply: Reply<Option<QueueId>>,
    },
    /// Domains to know.
    AddDomains(Vec<String>, Reply<()>),
    /// An operator's order.
    Command {
        /// On which domain.
        domain: String,
        /// What.
        command: DomainCommand,
        /// Who.
        cause: Cause,
        /// The domain afterwards.
        reply: Reply<DomainStatus>,
    },
    /// Removal of what has expired.
    Purge {
        /// The time.
        now_ms: u64,
        /// Messages at most.
        limit: usize,
        /// How many were removed.
        reply: Reply<usize>,
    },
    /// Bytes of finished messages given up before their time.
    Relieve {
        /// Messages at most.
        limit: usize,
        /// Of how many.
        reply: Reply<usize>,
    },
    /// Nothing, durably.
    Probe(Reply<()>),
    /// Counters and indices made anew from the deliveries' records.
    Repair(Reply<Vec<String>>),
    /// The end.
    Close(Reply<()>),
}

impl Request {
    /// Answers that it is not carried out.
    pub fn refuse(self, error: SpoolError) {
        match self {
            Self::Accept(_, reply) => drop(reply.send(Err(error))),
            Self::Advance(_, reply) => drop(reply.send(Err(error))),
            Self::Bounce { reply, .. } => drop(reply.send(Err(error))),
            Self::Warn { reply, .. } => drop(reply.send(Err(error))),
            Self::AddDomains(_, reply) | Self::Probe(reply) | Self::Close(reply) => {
                drop(reply.send(Err(error)));
            }
            Self::Command { reply, .. } => drop(reply.send(Err(error))),
            Self::Purge { reply, .. } | Self::Relieve { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            Self::Repair(reply) => drop(reply.send(Err(error))),
        }
    }
}

/// A message to be made durable.
pub struct Accept {
    /// Who, to whom, when.
    pub envelope: Envelope,
    /// Length in bytes.
    pub size: u64,
    /// Of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
    /// Whether it is to be kept once if it comes again.
    pub once: Option<Once>,
    /// In whose account it is; nothing for that of each recipient's domain.
    pub account: Option<&'static str>,
}

/// How a message is recognized that is sent again because its 250 was lost.
#[derive(Clone, Copy, Debug)]
pub struct Once {
    /// By what.
    pub fingerprint: Fingerprint,
    /// For how long, in milliseconds.
    pub window_ms: u64,
}

/// Where a finished message's bytes are.
pub enum Bytes {
    /// Here.
    Memory(Vec<u8>),
    /// In a file, whole and synced.
    File(BodyFile),
}
