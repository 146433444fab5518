//! Makes a report from a walk over all messages, in memory that does not grow with them:
//! mailboxes, exceptions and entries of the chain are kept up to a bound and counted beyond it.

use super::{
    chain::{Chainer, Telling},
    model::{DeliveryReport, DomainReport, MailboxReport, Report, StepReport, Totals},
    speed::Clockwork,
};
use crate::{
    control::view::{
        DomainEventView, DomainView, EventView, LoggedView, RecipientView, StatesView,
    },
    ledger::{Moved, Verified},
    spool::{State, Tally},
};
use std::collections::BTreeMap;

/// Mailboxes that are counted apart.
const MAILBOXES_MAX: usize = 50_000;
/// Deliveries that are named.
const EXCEPTIONS_MAX: usize = 5_000;
/// Steps of each that are told.
const STEPS_MAX: usize = 12;

/// What is known beside the log.
#[derive(Debug, Default)]
pub struct Beside {
    /// When the report is made.
    pub made_ms: u64,
    /// The relay's name.
    pub hostname: String,
    /// Each domain, with its events.
    pub domains: Vec<(DomainView, Vec<DomainEventView>)>,
    /// What the mover said last.
    pub mover: Option<Moved>,
    /// What the last verification found.
    pub verified: Option<Verified>,
    /// The configuration, secrets masked.
    pub configuration: String,
}

/// A report in the making.
#[derive(Debug)]
pub struct Gather {
    chainer: Chainer,
    clockwork: Clockwork,
    mailboxes: BTreeMap<String, MailboxReport>,
    mailboxes_more: u64,
    exceptions: Vec<DeliveryReport>,
    exceptions_more: u64,
}

impl Gather {
    /// Of the events below this one.
    #[must_use]
    pub fn new(next_event: u64) -> Self {
        Self {
            chainer: Chainer::new(next_event),
            clockwork: Clockwork::default(),
            mailboxes: BTreeMap::new(),
            mailboxes_more: 0,
            exceptions: Vec::new(),
            exceptions_more: 0,
        }
    }

    /// Takes the next message.
    pub fn message(&mut self, logged: &LoggedView) {
        let message = &logged.message;
        let mut telling = Telling::Plain;
        for recipient in &message.recipients {
            self.count(recipient);
            self.clockwork
                .arrived(message.arrival_time_ms, message.message_size);
            let events = logged.events.iter();
            let events: Vec<&EventView> = events
                .filter(|event| event.address == recipient.address)
                .collect();
            if let Some(taken) = events.iter().rfind(|event| event.to == "delivered") {
                let was_deferred = events.iter().any(|event| event.to == "deferred");
                let (arrived, size) = (message.arrival_time_ms, message.message_size);
                self.clockwork
                    .delivered(arrived, taken.at_ms, size, was_deferred);
            }
            if let Some(done) = notable(recipient, &events) {
                telling = Telling::Notable;
                if self.exceptions.len() < EXCEPTIONS_MAX {
                    self.exceptions.push(DeliveryReport {
                        queue_id: message.queue_id.clone(),
                        recipient: recipient.address.clone(),
                        sender: message.sender.clone(),
                        arrived_ms: message.arrival_time_ms,
                        size: message.message_size,
                        state: recipient.state,
                        reason: reason(recipient, &events),
                        done,
                    });
                } else {
                    self.exceptions_more += 1;
                }
            }
        }
        self.chainer.message(logged, telling);
    }

    fn count(&mut self, recipient: &RecipientView) {
        let name = recipient.address.to_lowercase();
        if self.mailboxes.len() >= MAILBOXES_MAX && !self.mailboxes.contains_key(&name) {
            self.mailboxes_more += 1;
            return;
        }
        let mailbox = self.mailboxes.entry(name).or_default();
        mailbox.accepted += 1;
        *mailbox.states.entry(recipient.state).or_default() += 1;
    }

    /// The report, when all messages are taken.
    #[must_use]
    pub fn finish(mut self, beside: Beside) -> Report {
        for (domain, events) in &beside.domains {
            self.chainer.domain(&domain.name, events);
        }
        let mailboxes = self
            .mailboxes
            .into_iter()
            .map(|(mailbox, counts)| MailboxReport { mailbox, ..counts });
        Report {
            format: 1,
            made_ms: beside.made_ms,
            version: env!("CARGO_PKG_VERSION").into(),
            hostname: beside.hostname,
            totals: totals(&beside.domains),
            domains: beside.domains.into_iter().map(domain).collect(),
            mailboxes: mailboxes.collect(),
            mailboxes_more: self.mailboxes_more,
            exceptions: self.exceptions,
            exceptions_more: self.exceptions_more,
            speeds: self.clockwork.finish(),
            mover: beside.mover,
            verified: beside.verified,
            configuration: beside.configuration,
            chain: self.chainer.finish(),
        }
    }
}

/// What was done about a delivery that did not simply arrive and go, or has not gone yet for a
/// reason; nothing for any other.
fn notable(recipient: &RecipientView, events: &[&EventView]) -> Option<Vec<StepReport>> {
    let stands_out = match recipient.state {
        State::InDoubt | State::Deferred | State::Parked | State::Bounced | State::Dropped => true,
        State::Held | State::Queued | State::Delivered => events.iter().any(|event| odd(event)),
    };
    if !stands_out {
        return None;
    }
    // The last ones tell how it ended.
    let from = events.len().saturating_sub(STEPS_MAX);
    let last = events.get(from..).unwrap_or_default();
    Some(last.iter().map(|event| step(event)).collect())
}

/// A step that temporary trouble alone does not explain.
fn odd(event: &EventView) -> bool {
    let is_doubt = event.from == "in_doubt" || event.to == "in_doubt";
    let is_ordinary = event.cause == "reply" || event.cause.starts_with("connection:");
    is_doubt || event.to == "parked" || !is_ordinary
}

fn step(event: &EventView) -> StepReport {
    let said = event
        .reply
        .as_ref()
        .map_or(String::new(), |reply| format!(": {reply}"));
    StepReport {
        at_ms: event.at_ms,
        step: if event.from == event.to {
            event.to.clone()
        } else {
            format!("{} -> {}", event.from, event.to)
        },
        why: format!("{}{said}", event.cause),
    }
}

fn reason(recipient: &RecipientView, events: &[&EventView]) -> String {
    let said = recipient.delay_reason.clone().or_else(|| {
        let (relay, reply) = (recipient.relay.as_ref()?, recipient.reply.as_ref()?);
        Some(format!("{relay}: {reply}"))
    });
    said.or_else(|| events.last().map(|event| event.cause.clone()))
        .unwrap_or_default()
}

fn domain((view, events): (DomainView, Vec<DomainEventView>)) -> DomainReport {
    DomainReport {
        name: view.name,
        phase: view.phase,
        phase_since_ms: view.phase_since_ms,
        paused: view.paused,
        accepted: view.accepted,
        states: view.states,
        balanced: view.balanced,
        resent: view.resent,
        last_arrival_ms: view.last_arrival_ms,
        next: view.next,
        events,
    }
}

fn totals(domains: &[(DomainView, Vec<DomainEventView>)]) -> Totals {
    let mut totals = Totals {
        balanced: true,
        ..Totals::default()
    };
    for (domain, _) in domains {
        add(&mut totals.accepted, domain.accepted);
        totals.states = sum(&totals.states, &domain.states);
        totals.balanced &= domain.balanced;
        totals.resent += domain.resent;
    }
    totals
}

fn add(to: &mut Tally, more: Tally) {
    to.count += more.count;
    to.bytes += more.bytes;
}

fn sum(a: &StatesView, b: &StatesView) -> StatesView {
    let both = |state| {
        let mut tally = a.get(state);
        add(&mut tally, b.get(state));
        tally
    };
    StatesView {
        held: both(State::Held),
        queued: both(State::Queued),
        deferred: both(State::Deferred),
        in_doubt: both(State::InDoubt),
        delivered: both(State::Delivered),
        parked: both(State::Parked),
        bounced: both(State::Bounced),
        dropped: both(State::Dropped),
    }
}
