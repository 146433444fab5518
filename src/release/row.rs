//! What was read of jobs, and which of them may go one behind the other.

use super::{
    connection::Connection,
    job::Shared,
    order::Job,
    outcome::{Advice, Verdict},
    parcel::Shipment,
    settle::Times,
};
use crate::{
    mail::DeliveryId,
    spool::{Body, Cause, SpoolError, Step, StoredMessage, Transition},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// A longer message takes its time over the line too.
pub(super) const SHORT_BYTES_MAX: u64 = 64 * 1024;
/// More than these many bytes of messages are not held for one connection.
const ROW_BYTES_MAX: u64 = 512 * 1024;

/// A job whose message was read.
pub(super) struct Load {
    pub ticket: Ticket,
    pub body: Box<dyn Body>,
}

/// What is known of it.
pub(super) struct Ticket {
    pub job: Job,
    /// Of the recipients that go in this transaction: the first of the job's, as many as the
    /// destination lets be named.
    pub places: Vec<u32>,
    pub message: Arc<StoredMessage>,
    pub prepared: Duration,
    pub connected: Duration,
}

/// The first of the loads that may go one behind the other: for the same client where the
/// destination is told of it, and as far as the destination's limits let them; or just the
/// first, `alone`.
pub(super) fn take_row(
    connection: &Connection,
    alone: bool,
    loads: &mut VecDeque<Load>,
) -> Vec<Load> {
    let mut row: Vec<Load> = Vec::new();
    let mut bytes = 0;
    while let Some(Load { ticket, .. }) = loads.front_mut() {
        let envelope = &ticket.message.envelope;
        bytes += ticket.message.size;
        let tried = connection.room_for(envelope, &ticket.places);
        let fits = !alone
            && bytes <= ROW_BYTES_MAX
            && connection.is_for(&envelope.client)
            && connection.has_room_behind(row.len())
            // What the domains of these recipients leave is known behind them.
            && connection.features.limits.rcpt_domain_max.is_none();
        if !row.is_empty() && !fits {
            break;
        }
        ticket.places.truncate(tried);
        row.extend(loads.pop_front());
    }
    row
}

impl Shared {
    /// Notes in the spool that these are being attempted, all or none.
    pub async fn attempt(&self, tickets: &[&Ticket]) -> Result<(), SpoolError> {
        let at_ms = (self.clock)();
        let each = |ticket: &&Ticket| {
            let message = ticket.message.id;
            let places = ticket.places.clone().into_iter();
            places.map(move |recipient| Transition {
                delivery: DeliveryId { message, recipient },
                step: Step::Attempt,
                cause: Cause::Policy("release".into()),
                remote: None,
                at_ms,
            })
        };
        let transitions = tickets.iter().flat_map(each).collect();
        self.spool.advance(transitions).await.map(|_| ())
    }
}

impl Ticket {
    pub fn shipment<'a>(&'a self, hostname: &'a str) -> Shipment<'a> {
        Shipment {
            message: &self.message,
            recipients: &self.places,
            hostname,
        }
    }

    pub fn times(&self, transferred: Duration) -> Times {
        Times {
            prepared: self.prepared,
            connected: self.connected,
            transferred,
        }
    }

    /// Whether a message was taken that says by its time how the destination is doing: a short
    /// one, to one recipient.
    pub fn is_plain(&self, verdicts: &[(u32, Verdict)]) -> bool {
        let [(_, verdict)] = verdicts else {
            return false;
        };
        verdict.advice == Advice::Done && self.message.size <= SHORT_BYTES_MAX
    }
}
