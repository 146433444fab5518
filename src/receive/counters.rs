//! What the receiver has done since it was started, readable at any time.

use crate::smtp::Reply;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Live counters. Each is exact; together they are a snapshot only when nothing moves.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    connections_open: AtomicU64,
    encrypted: AtomicU64,
    accepted: AtomicU64,
    accepted_bytes: AtomicU64,
    repeated: AtomicU64,
    bare_newlines: AtomicU64,
    lost: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
}

/// Why something was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The recipient's domain is not ours.
    RelayDenied,
    /// There is no such recipient.
    UnknownRecipient,
    /// The destination could not be asked whether there is such a recipient.
    Unverified,
    /// The message is too large.
    MessageSize,
    /// There are too many recipients in the transaction.
    Recipients,
    /// The spool has too little space.
    SpoolFull,
    /// The spool cannot write.
    SpoolFailed,
    /// The message has bare line ends, and they are not to be normalized.
    BareNewline,
    /// The message goes in circles.
    Loop,
    /// There are too many connections, too many errors in one, or too many messages or
    /// recipients in a time.
    Limits,
    /// The command was not understood, or came at the wrong time.
    Protocol,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::RelayDenied,
        Self::UnknownRecipient,
        Self::Unverified,
        Self::MessageSize,
        Self::Recipients,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::BareNewline,
        Self::Loop,
        Self::Limits,
        Self::Protocol,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RelayDenied => "relay_denied",
            Self::UnknownRecipient => "unknown_recipient",
            Self::Unverified => "unverified",
            Self::MessageSize => "message_size",
            Self::Recipients => "recipients",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::BareNewline => "bare_newline",
            Self::Loop => "loop",
            Self::Limits => "limits",
            Self::Protocol => "protocol",
        }
    }

    /// The reason that a refusal's enhanced code stands for.
    fn of(reply: &Reply) -> Self {
        match reply.enhanced() {
            "5.7.1" => Self::RelayDenied,
            "5.1.1" => Self::UnknownRecipient,
            "4.1.1" => Self::Unverified,
            "5.3.4" => Self::MessageSize,
            "4.5.3" => Self::Recipients,
            "4.3.1" => Self::SpoolFull,
            "4.3.0" => Self::SpoolFailed,
            "5.6.11" => Self::BareNewline,
            "5.4.6" => Self::Loop,
            "4.7.0" => Self::Limits,
            _ => Self::Protocol,
        }
    }
}

impl Counters {
    /// Connections taken since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        self.connections_open.load(Relaxed)
    }

    /// Connections that came under TLS.
    #[must_use]
    pub fn encrypted(&self) -> u64 {
        self.encrypted.load(Relaxed)
    }

    /// Messages that are on stable storage.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Their bytes.
    #[must_use]
    pub fn accepted_bytes(&self) -> u64 {
        self.accepted_bytes.load(Relaxed)
    }

    /// Messages that were sent again because their 250 was lost, and kept once.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Relaxed)
    }

    /// Bare CRs and LFs that have become CRLF, and last lines that got one.
    #[must_use]
    pub fn bare_newlines(&self) -> u64 {
        self.bare_newlines.load(Relaxed)
    }

    /// Messages whose client vanished before end-of-data; nothing of them was kept.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Commands, messages and connections refused for this reason.
    #[must_use]
    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected
            .get(reason as usize)
            .map_or(0, |count| count.load(Relaxed))
    }

    /// Counts a connection, open until what is returned is dropped.
    pub(super) fn count_connection(self: &Arc<Self>) -> Open {
        self.connections.fetch_add(1, Relaxed);
        self.connections_open.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }

    pub(super) fn count_encrypted(&self) {
        self.encrypted.fetch_add(1, Relaxed);
    }

    pub(super) fn count_accepted(&self, bytes: u64, bare_newlines: u64) {
        self.accepted.fetch_add(1, Relaxed);
        self.accepted_bytes.fetch_add(bytes, Relaxed);
        self.bare_newlines.fetch_add(bare_newlines, Relaxed);
    }

    pub(super) fn count_repeated(&self) {
        self.repeated.fetch_add(1, Relaxed);
    }

    pub(super) fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    pub(super) fn count_rejected(&self, reply: &Reply) {
        if let Some(count) = self.rejected.get(Reason::of(reply) as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// A connection that is open, also while its task is being aborted.
pub(super) struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Relaxed);
    }
}
