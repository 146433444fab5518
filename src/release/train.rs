//! Jobs in a row over one connection: read the messages, get the connection, send them, and
//! see each result on its way to the spool.
//!
//! A row of one is the rule. To a destination that is far away several go in a row, so that
//! the connection does not stand idle for a round trip at each step of each message:
//! behind each other's end with DATA ([`deliver`]), in one flight as chunks ([`fly`]).
//! Whatever is not as it should be ends the row: the jobs that have not left go back.

use super::{
    connection::Connection,
    deliver::{Fate, Outcome, deliver},
    flight::{Way, fly},
    job::{Event, Shared, signals},
    journal,
    order::Job,
    outcome::{Signal, Verdict, unopened},
    parcel::Parcel,
    reply::{Failure, FailureKind, Phase},
    row::{Load, SHORT_BYTES_MAX, Ticket, take_row},
    settle::{Settling, Times},
};
use crate::{config::DestinationProtocol, failpoint::Failpoint};
use futures_util::future::join_all;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Carries out jobs, none of which shares a mailbox with another. Each of them ends with one
/// [`Event::Settled`], and all together with one [`Event::Free`]; or what is left of them with
/// [`Event::Broken`].
pub(super) async fn run(shared: Arc<Shared>, jobs: Vec<Job>, connection: Option<Connection>) {
    let mut train = Train {
        shared,
        jobs,
        signals: Vec::new(),
        fresh: true,
        sending: true,
    };
    Failpoint::ReleaseBegun.pass();
    let connection = train.travel(connection).await;
    train.sending = false;
    let free = Event::Free {
        connection: connection.map(Box::new),
        signals: std::mem::take(&mut train.signals),
    };
    let _ = train.shared.events.send(free);
}

/// See the [module](self).
struct Train {
    shared: Arc<Shared>,
    /// Those whose end is not known.
    jobs: Vec<Job>,
    /// About the destination.
    signals: Vec<Signal>,
    /// Whether nothing was answered yet.
    fresh: bool,
    sending: bool,
}

/// How a row goes.
struct Course {
    /// Whether the connection can take another message.
    reusable: bool,
    /// Whether everybody got everything.
    fine: bool,
}

impl Course {
    fn add(&mut self, outcome: &Outcome) {
        self.reusable &= outcome.reusable;
        self.fine &= outcome.reusable && outcome.is_success();
    }
}

impl Train {
    /// Gives the connection back if another message may go over it.
    async fn travel(&mut self, mut kept: Option<Connection>) -> Option<Connection> {
        let shared = self.shared.clone();
        let mut loads = self.load().await;
        while let Some(first) = loads.front() {
            let begun = Instant::now();
            let (envelope, places) = (&first.ticket.message.envelope, &first.ticket.places);
            let mut connection = match shared.roomy(kept.take(), envelope, places).await {
                Ok(connection) => connection,
                Err(failure) => {
                    if failure.kind != FailureKind::Stopped {
                        journal::trouble(shared.setup.target.protocol, &failure.to_string());
                    }
                    self.signals.push(unopened(&failure));
                    self.back(&loads, &failure);
                    return None;
                }
            };
            // One that does without XCLIENT was opened for this message alone.
            let alone = connection.xclient != shared.setup.target.xclient;
            let mut row = take_row(&connection, alone, &mut loads);
            if let Some(first) = row.first_mut() {
                first.ticket.connected = begun.elapsed();
            }
            let course = self.carry(&mut connection, &mut row).await;
            kept = shared.kept(connection, course.reusable);
            if !course.fine {
                self.back(&loads, &self.stopped());
                break;
            }
        }
        kept
    }

    /// Reads all messages. Those that cannot be had are over.
    async fn load(&mut self) -> VecDeque<Load> {
        let begun = Instant::now();
        let shared = &self.shared;
        let read = self.jobs.iter().map(|job| shared.read(job.message));
        let read = join_all(read).await;
        let mut loads = VecDeque::with_capacity(read.len());
        for (job, read) in self.jobs.clone().into_iter().zip(read) {
            match read {
                Ok((message, body)) => loads.push_back(Load {
                    ticket: Ticket {
                        places: job.recipients.iter().map(|(place, _)| *place).collect(),
                        job,
                        message: Arc::new(message),
                        prepared: begun.elapsed(),
                        connected: Duration::ZERO,
                    },
                    body,
                }),
                Err(failure) => {
                    let verdict = Verdict::of(&Fate::Failed(failure.clone()), &failure.relay, 0);
                    self.signals.push(verdict.signal.clone());
                    let places = job.recipients.iter().map(|(place, _)| *place);
                    let verdicts = places.map(|place| (place, verdict.clone())).collect();
                    self.over(Settling {
                        job,
                        verdicts,
                        message: None,
                        attempted: false,
                        times: Times::default(),
                    });
                }
            }
        }
        loads
    }

    /// Sends a row over a connection that is ready for each of its messages.
    async fn carry(&mut self, connection: &mut Connection, row: &mut [Load]) -> Course {
        let shared = self.shared.clone();
        let mut orders = shared.orders.clone();
        let mut course = Course {
            reusable: true,
            fine: true,
        };
        let mut waiting = VecDeque::with_capacity(row.len());
        for Load { ticket, body } in row {
            let ticket: &Ticket = ticket;
            connection.use_for(&ticket.message.envelope, &ticket.places);
            let shipment = ticket.shipment(&shared.setup.hostname);
            match Parcel::pack(connection, shipment, &mut **body).await {
                Ok(parcel) => waiting.push_back((ticket, parcel)),
                Err(kind) => {
                    let outcome = shipment.unsent(connection, kind);
                    self.arrive(ticket, outcome, connection, Instant::now());
                }
            }
        }
        // It is not said how often LMTP answers to a chunk for nobody.
        let alone = connection.protocol == DestinationProtocol::Lmtp;
        let mut begun = None;
        while let Some((ticket, parcel)) = waiting.pop_front() {
            if !course.reusable || !(course.fine || begun.is_some()) {
                let back = Fate::Back(self.stopped());
                let outcome = parcel.shipment.all(&back, false, false);
                self.arrive(ticket, outcome, connection, Instant::now());
                continue;
            }
            let started = Instant::now();
            let (mut tickets, mut flight) = (vec![ticket], Vec::new());
            match Way::of(connection, parcel) {
                Way::Flight(passenger) => flight.push(passenger),
                Way::Alone(parcel) => {
                    let behind = waiting.front().filter(|_| course.fine);
                    let behind = behind.map(|(_, parcel)| &parcel.commands);
                    let attempt = shared.attempt(&tickets);
                    let (outcome, next) =
                        deliver(connection, parcel, begun, attempt, behind, &mut orders).await;
                    begun = next;
                    course.add(&outcome);
                    self.arrive(ticket, outcome, connection, started);
                    continue;
                }
            }
            while !alone && let Some((ticket, parcel)) = waiting.pop_front() {
                match Way::of(connection, parcel) {
                    Way::Flight(passenger) => {
                        tickets.push(ticket);
                        flight.push(passenger);
                    }
                    Way::Alone(parcel) => {
                        waiting.push_front((ticket, parcel));
                        break;
                    }
                }
            }
            // The first of them takes as long as it takes to send all.
            let bytes: u64 = tickets.iter().map(|ticket| ticket.message.size).sum();
            self.fresh &= bytes <= SHORT_BYTES_MAX;
            let attempt = shared.attempt(&tickets);
            let mut told = tickets.iter();
            let tell = |connection: &Connection, outcome: Outcome| {
                course.add(&outcome);
                if let Some(ticket) = told.next() {
                    self.arrive(ticket, outcome, connection, started);
                }
            };
            fly(connection, flight, attempt, &mut orders, tell).await;
        }
        course
    }

    /// It was not sent, and it is nobody's fault.
    fn back(&mut self, loads: &VecDeque<Load>, failure: &Failure) {
        for Load { ticket, .. } in loads {
            let verdict = Verdict::of(&Fate::Back(failure.clone()), "none", 0);
            let verdicts = ticket.places.iter().map(|place| (*place, verdict.clone()));
            self.over(Settling {
                job: ticket.job.clone(),
                verdicts: verdicts.collect(),
                message: Some(ticket.message.clone()),
                attempted: false,
                times: ticket.times(Duration::ZERO),
            });
        }
    }

    fn stopped(&self) -> Failure {
        Failure {
            phase: Phase::Mail,
            relay: self.shared.setup.target.to_string(),
            kind: FailureKind::Stopped,
        }
    }

    /// The answer to one is known.
    fn arrive(
        &mut self,
        ticket: &Ticket,
        outcome: Outcome,
        connection: &Connection,
        started: Instant,
    ) {
        let verdict = |(place, fate): (u32, Fate)| {
            let before = connection.delivered;
            (place, Verdict::of(&fate, &connection.relay, before))
        };
        let verdicts: Vec<_> = outcome.fates.into_iter().map(verdict).collect();
        let transferred = started.elapsed();
        // Of the others the time says more about those before them.
        let fresh = std::mem::replace(&mut self.fresh, false);
        let took = (fresh && ticket.is_plain(&verdicts)).then_some(transferred);
        for signal in signals(&verdicts, took) {
            // A connection is lost once, however many messages were on it.
            let again = matches!(signal, Signal::Doubt(_));
            if !(again
                && self
                    .signals
                    .iter()
                    .any(|one| matches!(one, Signal::Doubt(_))))
            {
                self.signals.push(signal);
            }
        }
        self.over(Settling {
            job: ticket.job.clone(),
            verdicts,
            message: Some(ticket.message.clone()),
            attempted: outcome.attempted,
            times: ticket.times(transferred),
        });
    }

    /// Its result goes to the spool, while the next may leave.
    fn over(&mut self, result: Settling) {
        self.jobs.retain(|job| *job != result.job);
        tokio::spawn(settle(self.shared.clone(), result));
    }
}

/// Tells the runner of jobs that panicked, so that their lanes are not forgotten.
impl Drop for Train {
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        if self.sending || !jobs.is_empty() {
            let sending = self.sending;
            let _ = self.shared.events.send(Event::Broken { jobs, sending });
        }
    }
}

async fn settle(shared: Arc<Shared>, result: Settling) {
    let mut guard = Train {
        shared: shared.clone(),
        jobs: vec![result.job.clone()],
        signals: Vec::new(),
        fresh: false,
        sending: false,
    };
    shared.settle(result).await;
    guard.jobs.clear();
}
