//! The release of one domain: a loop that owns the order engine, the destination's health
//! and the kept connections, and starts a task for each job.
//!
//! Nothing is polled: the loop wakes for news from its jobs, from the spool, and at the
//! next time that somebody waits for.

use super::{
    board::{Board, Shown},
    brake::{Bound, Brake},
    connection::Connection,
    deliver::Orders,
    doubt::resolve,
    health::{Breaker, Health},
    job::{Counts, Event, Shared, doubt_broken},
    notices::Notices,
    order::{Job, Load, Order, Rows},
    outcome::Signal,
    reach::Reach,
    train::run,
};
use crate::{
    failpoint::Failpoint,
    mail::QueueId,
    spool::{Cause, DomainCommand, SpoolError, Unfinished},
};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

/// Longest sleep, so that a clock that is set does not stop a release.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// After a read of the spool has failed.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How far a release goes, and what it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// The last message of a canary: it stops behind it.
    pub last: Option<QueueId>,
    /// Whether each mailbox waits for its gate.
    pub gated: bool,
}

type Loading = Pin<Box<dyn Future<Output = (Load, Result<Vec<Unfinished>, SpoolError>)> + Send>>;

/// See the [module](self).
pub(super) struct Runner {
    domain: String,
    shared: Arc<Shared>,
    notices: Arc<Notices>,
    board: Arc<Board>,
    events: mpsc::UnboundedReceiver<Event>,
    order: Order,
    plan: Plan,
    health: Health,
    brake: Brake,
    reach: Reach,
    /// Unused connections, the last used last, and since when they are unused.
    kept: Vec<(Connection, Instant)>,
    /// Rows of jobs with a connection, or about to open one.
    sending: usize,
    /// Jobs that are not over.
    working: usize,
    /// Doubts that are looked into. Bounded by themselves: a look may take minutes, and must
    /// neither wait for the backlog nor keep it waiting.
    resolving: usize,
    loading: Option<Loading>,
    load_not_before: Instant,
    /// Why this runner has stopped by itself.
    broken: Option<String>,
}

impl Runner {
    pub fn new(
        domain: String,
        shared: Shared,
        events: mpsc::UnboundedReceiver<Event>,
        (notices, board): (Arc<Notices>, Arc<Board>),
        order: Order,
        plan: Plan,
        brake: Brake,
    ) -> Self {
        let (target, rules) = (&shared.setup.target, &shared.rules);
        board.write(|shown| shown.status.destination = target.to_string());
        let health = Health::new(brake.connections(), Breaker::from(rules), rules.retry_max);
        Self {
            domain,
            shared: Arc::new(shared),
            notices,
            board,
            events,
            order,
            plan,
            health,
            brake,
            reach: Reach::default(),
            kept: Vec::new(),
            sending: 0,
            working: 0,
            resolving: 0,
            loading: None,
            load_not_before: Instant::now(),
            broken: None,
        }
    }

    /// Delivers until it is told to stop, then sees to it that nothing is left under way.
    pub async fn run(mut self) {
        let mut orders = self.shared.orders.clone();
        while *orders.borrow() == Orders::Work {
            let now_ms = self.now_ms();
            self.brake.adjust(self.health.flow_mut(), now_ms);
            self.notices.take(&mut self.order, now_ms);
            self.dispatch(now_ms);
            self.begin_load(now_ms);
            self.end_canary();
            self.show(now_ms);
            let wake = self.wake(now_ms);
            tokio::select! {
                // So that a simulation can be played again. Nothing starves: all that is
                // ready of an arm is taken at once, and notices and times above.
                biased;
                _ = orders.changed() => {}
                loaded = finished(&mut self.loading) => self.loaded(loaded),
                event = self.events.recv() => self.handle_all(event),
                () = self.brake.changed() => {}
                () = self.notices.wait() => {}
                () = sleep_until(wake) => {}
            }
        }
        self.finish().await;
    }

    fn now_ms(&self) -> u64 {
        (self.shared.clock)()
    }

    fn dispatch(&mut self, now_ms: u64) {
        if self.broken.is_some() {
            return;
        }
        let connections = self.brake.connections();
        while self.resolving < 4 * connections
            && let Some((id, lane)) = self.order.next_doubt()
        {
            self.resolving += 1;
            tokio::spawn(resolve(self.shared.clone(), id, lane));
        }
        // Results are written while their connections are in use again, within bounds.
        while self.sending < self.health.allowance(now_ms)
            && self.working < 4 * connections * self.row_max()
            && self.brake.next_ms(now_ms).is_none()
            && let Some(job) = self.order.next(now_ms)
        {
            self.sending += 1;
            let jobs = self.row(job, now_ms);
            let kept = self.kept.pop().map(|(connection, _)| connection);
            tokio::spawn(run(self.shared.clone(), jobs, kept));
        }
    }

    /// This job and those that go behind it over the same connection.
    fn row(&mut self, job: Job, now_ms: u64) -> Vec<Job> {
        let mut jobs = vec![job];
        self.brake.went(now_ms);
        // No more than are left for each of the connections that may be used.
        let free = self.health.allowance(now_ms).saturating_sub(self.sending) + 1;
        let share = 1 + self.order.ready() / free;
        while jobs.len() < self.row_max().min(share)
            && self.brake.next_ms(now_ms).is_none()
            && let Some(job) = self.order.next(now_ms)
        {
            self.brake.went(now_ms);
            jobs.push(job);
        }
        self.working += jobs.len();
        jobs
    }

    /// How many jobs may go in a row: one to a destination that has not proved right.
    fn row_max(&self) -> usize {
        match self.health.is_proven() {
            true => self.reach.row(),
            false => 1,
        }
    }

    fn begin_load(&mut self, now_ms: u64) {
        if self.loading.is_some() || self.load_not_before > Instant::now() {
            return;
        }
        let Some(load) = self.order.load(now_ms) else {
            return;
        };
        let (spool, domain) = (self.shared.spool.clone(), self.domain.clone());
        let (order, last) = (self.shared.rules.order, self.plan.last);
        self.loading = Some(Box::pin(async move {
            let limit = load.limit;
            let rows = match load.rows {
                Rows::Scan { after } => {
                    let rows = spool.unfinished(domain, after, limit).await;
                    rows.map(|mut rows| {
                        rows.retain(|row| last.is_none_or(|last| row.id.message <= last));
                        order.rows(rows)
                    })
                }
                Rows::Lane { lane, after, until } => {
                    order.page(&*spool, domain, lane, after, until, limit).await
                }
            };
            (load, rows)
        }));
    }

    fn loaded(&mut self, (load, rows): (Load, Result<Vec<Unfinished>, SpoolError>)) {
        self.loading = None;
        match rows {
            Ok(rows) => self.order.loaded(&load, &rows, self.now_ms()),
            Err(error) => {
                tracing::error!("{}: {error}", self.domain);
                self.order.load_failed(&load);
                self.load_not_before = Instant::now() + READ_AGAIN;
            }
        }
    }

    fn handle_all(&mut self, first: Option<Event>) {
        let mut next = first;
        while let Some(event) = next {
            self.handle(event);
            next = self.events.try_recv().ok();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Free {
                connection,
                signals,
            } => {
                self.sending -= 1;
                if let Some(connection) = connection {
                    connection
                        .round_trip
                        .into_iter()
                        .for_each(|time| self.reach.heard(time));
                    self.kept.push((*connection, Instant::now()));
                }
                signals.into_iter().for_each(|signal| self.heed(signal));
            }
            Event::Settled {
                deliveries,
                counts,
                signal,
            } => {
                self.working -= 1;
                let now_ms = self.now_ms();
                for (id, lane, settled) in deliveries {
                    self.order.settle(id, lane, settled, now_ms);
                }
                self.heed(signal);
                self.count(counts, now_ms);
            }
            Event::Resolved {
                delivery: (id, lane, settled),
                counts,
                signal,
            } => {
                self.resolving -= 1;
                let now_ms = self.now_ms();
                self.order.settle(id, lane, settled, now_ms);
                self.heed(signal);
                self.count(counts, now_ms);
            }
            Event::Broken { jobs, sending } => {
                self.working -= jobs.len();
                self.sending -= usize::from(sending);
                for job in jobs {
                    let reason = format!("internal error while delivering {}", job.message);
                    tokio::spawn(doubt_broken(self.shared.clone(), job));
                    self.pause(reason);
                }
            }
        }
    }

    fn heed(&mut self, signal: Signal) {
        let now_ms = self.now_ms();
        if matches!(signal, Signal::Took(_)) && !self.brake.lets_run() {
            return;
        }
        if let Some(reason) = self.health.signal(signal, now_ms, (self.shared.chance)()) {
            self.pause(reason);
        }
    }

    /// Stops by itself, at once; the pause that makes it last follows.
    fn pause(&mut self, reason: String) {
        if self.broken.is_some() {
            return;
        }
        tracing::error!("{}: the release is paused: {reason}", self.domain);
        self.broken = Some(reason.clone());
        let cause = "a release that meets the wrong answers stops";
        self.command(DomainCommand::Pause { reason }, cause);
    }

    /// Stops when each message of a canary was sent or tried. A mailbox behind a gate is
    /// not done with.
    fn end_canary(&mut self) {
        let sent = self.plan.last.is_some() && self.order.is_idle() && self.order.gated() == 0;
        if sent && self.working + self.resolving == 0 && self.broken.is_none() {
            tracing::info!("{}: the canary was sent", self.domain);
            Failpoint::ReleaseCanarySent.pass();
            self.broken = Some("the canary was sent".into());
            self.command(DomainCommand::EndCanary, "a canary is looked at");
        }
    }

    /// Until it is recorded, or this release was stopped otherwise: it stands meanwhile, and
    /// nobody else would know why.
    fn command(&self, command: DomainCommand, cause: &'static str) {
        let (spool, domain) = (self.shared.spool.clone(), self.domain.clone());
        let mut orders = self.shared.orders.clone();
        tokio::spawn(async move {
            loop {
                let (again, cause) = (command.clone(), Cause::Policy(cause.into()));
                let Err(error) = spool.command(domain.clone(), again, cause).await else {
                    return;
                };
                tracing::error!("{domain}: the pause is not recorded: {error}");
                let stopped = orders.wait_for(|orders| *orders > Orders::Work);
                if timeout(READ_AGAIN, stopped).await.is_ok() {
                    return;
                }
            }
        });
    }

    fn count(&self, counts: Counts, now_ms: u64) {
        self.board.write(|Shown { status, rate, .. }| {
            status.delivered += counts.delivered;
            status.deferred += counts.deferred;
            status.parked += counts.parked;
            status.in_doubt += counts.in_doubt;
            rate.add(counts.delivered, now_ms);
        });
    }

    fn show(&mut self, now_ms: u64) {
        let allowed = self.health.allowance(now_ms);
        let reason = self.broken.as_deref().or(self.health.reason());
        let bound = match reason.is_none() && self.order.has_ready(now_ms) {
            true => {
                let flow = self.health.flow();
                self.brake.bound(flow, self.sending, allowed, now_ms)
            }
            false => Bound::Nothing,
        };
        let why_fewer = self.health.why_fewer();
        self.board.write(|shown| {
            shown.bound = bound;
            if shown.why_fewer.as_deref() != why_fewer {
                shown.why_fewer = why_fewer.map(str::to_owned);
            }
            let status = &mut shown.status;
            if status.blocked.as_deref() != reason {
                status.blocked = reason.map(str::to_owned);
            }
            status.next_try_ms = self.health.next_try_ms(now_ms);
            status.connections = self.kept.len() + self.sending;
            status.connections_allowed = allowed;
            status.in_flight = self.sending;
            status.window = self.order.held();
            status.mailboxes_waiting = self.order.blocked();
            status.mailboxes_gated = self.order.gated();
        });
    }

    /// Lets go of connections that were not needed for a while, and says when to look
    /// again.
    fn wake(&mut self, now_ms: u64) -> Instant {
        let now = Instant::now();
        let idle = self.shared.setup.timeouts.idle;
        let used = self.kept.iter().position(|(_, since)| *since + idle > now);
        for (connection, _) in self.kept.drain(..used.unwrap_or(self.kept.len())) {
            tokio::spawn(connection.quit());
        }
        let mut wake = now + SLEEP_MAX;
        if let Some((_, since)) = self.kept.first() {
            wake = wake.min(*since + idle);
        }
        if self.load_not_before > now {
            wake = wake.min(self.load_not_before);
        }
        let next_try_ms = self.health.next_try_ms(now_ms);
        // What waits for nothing but the rate.
        let rate_ms = match self.order.has_ready(now_ms) {
            true => self.brake.next_ms(now_ms),
            false => None,
        };
        let due = [self.order.deadline_ms(now_ms), next_try_ms, rate_ms];
        for at_ms in due.into_iter().flatten() {
            let wait = Duration::from_millis(at_ms.saturating_sub(now_ms));
            wake = wake.min(now + wait.min(SLEEP_MAX));
        }
        wake
    }

    async fn finish(mut self) {
        while self.working + self.resolving > 0 {
            let now_ms = self.now_ms();
            self.show(now_ms);
            match self.events.recv().await {
                Some(event) => self.handle(event),
                None => break,
            }
        }
        let farewells: Vec<_> = self
            .kept
            .drain(..)
            .map(|(connection, _)| tokio::spawn(connection.quit()))
            .collect();
        for farewell in farewells {
            let _ = farewell.await;
        }
    }
}

/// The load under way, or nothing for ever.
async fn finished(loading: &mut Option<Loading>) -> (Load, Result<Vec<Unfinished>, SpoolError>) {
    match loading {
        Some(loading) => loading.await,
        None => std::future::pending().await,
    }
}
