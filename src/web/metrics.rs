//! `/metrics`, in the OpenMetrics text format.
//!
//! | name | labels | what |
//! |---|---|---|
//! | `relay_queue_messages` | domain, state | deliveries in each state |
//! | `relay_queue_bytes` | domain, state | their messages' bytes |
//! | `relay_queue_oldest_age_seconds` | domain | age of the oldest unfinished message |
//! | `relay_phase` | domain, phase | 1 for the domain's phase, else 0 |
//! | `relay_paused` | domain | 1 while paused |
//! | `relay_balanced` | domain | 1 while accepted is the sum of all states |
//! | `relay_resent_total` | domain | deliveries sent again after doubt |
//! | `relay_release_connections` | domain | open connections to the new server |
//! | `relay_smtpd_connections` | | open connections of senders |
//! | `relay_smtpd_connections_taken_total` | | connections ever taken |
//! | `relay_accepted_total`, `relay_accepted_bytes_total` | | messages with a 250 |
//! | `relay_repeated_total` | | retries after a lost 250, kept once |
//! | `relay_rejected_total` | reason | refusals |
//! | `relay_delivery_total` | status, dsn | results of attempts: sent, deferred, parked, in_doubt |
//! | `relay_delivery_seconds` | | from the attempt's start to its result |
//! | `relay_commit_seconds` | | from a commit's first request to its answers |
//! | `relay_commit_batch_messages` | | messages that shared a commit |
//! | `relay_spool_free_bytes` | | free space of the spool's file system |
//! | `relay_given_up_total` | | delivered messages whose bytes were given up early, for want of space |
//! | `relay_spool_refusing` | | 1 while no mail is taken |
//! | `relay_move_messages_total` | account, state | the source's messages: copied, pending; refused and altered by the target. `account` only with a token |
//! | `relay_move_bytes_total` | | bytes of the copied ones |
//! | `relay_move_accounts` | state | accounts: converged, copied, copying, waiting, paused, failed |
//! | `relay_move_rate` | | messages copied a second, over the last seconds |
//! | `relay_move_passes_total` | | passes begun |
//! | `relay_move_at_work` | | 1 while a mover is at work |
//! | `relay_move_converged` | | 1 when nothing new is left to copy |
//! | `relay_move_age_seconds` | | since the mover last said how it stands |
//!
//! All but `relay_queue_*`, `relay_phase`, `relay_paused`, `relay_resent_total` and
//! `relay_move_*` begin anew with the daemon. `relay_move_*` is absent where no mover has run,
//! and may go back: what a pass finds at the source can be less than before. Whoever sends a token
//! of `[web]` (`Authorization: Bearer TOKEN`, Prometheus' `authorization`) gets the first 1,000
//! accounts by name; without one, there are only their sums, and no address of anybody. `conf/grafana.json` is a dashboard of these figures.

mod mover;

use crate::{
    control::view::{DomainView, MovedView, StatusView},
    receive::{Counters, Reason},
    release,
    spool::{Phase, Spool, State},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use std::sync::{Arc, atomic::AtomicU64};

/// What [`render`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the figures come from.
#[derive(Clone)]
pub struct Sources {
    /// The queue.
    pub spool: Arc<dyn Spool>,
    /// The receiver's counters.
    pub receiver: Arc<Counters>,
    /// The results of deliveries.
    pub release: release::Measures,
}

type Level = Gauge<u64, AtomicU64>;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfDomain {
    domain: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfState {
    domain: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfPhase {
    domain: String,
    phase: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// Whether accounts are named: their names are addresses of people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accounts {
    /// To whoever shows a token.
    Named,
    /// To everybody else: all of them together.
    Summed,
}

/// All figures of this moment.
#[must_use]
pub fn render(
    sources: &Sources,
    status: &StatusView,
    moved: Option<&MovedView>,
    accounts: Accounts,
) -> String {
    let mut registry = Registry::with_prefix("relay");
    let domains = Domains::register(&mut registry);
    for domain in &status.domains {
        domains.add(domain, status.now_ms);
    }
    receiver(&mut registry, &sources.receiver);
    spool(&mut registry, sources, status);
    sources.release.register(&mut registry);
    mover::register(&mut registry, moved, accounts, status.now_ms);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut out, &registry);
    out
}

/// What there is once a domain.
#[derive(Default)]
struct Domains {
    messages: Family<OfState, Level>,
    bytes: Family<OfState, Level>,
    oldest: Family<OfDomain, Level>,
    phase: Family<OfPhase, Level>,
    paused: Family<OfDomain, Level>,
    balanced: Family<OfDomain, Level>,
    resent: Family<OfDomain, Counter>,
    connections: Family<OfDomain, Level>,
}

impl Domains {
    fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        let gauge = |registry: &mut Registry, name: &str, help: &str, level: &Family<_, _>| {
            registry.register(name, help, level.clone());
        };
        let deliveries = "Deliveries in each state";
        registry.register("queue_messages", deliveries, all.messages.clone());
        let bytes = "Bytes of the messages in each state";
        registry.register("queue_bytes", bytes, all.bytes.clone());
        let oldest = "Age of the oldest unfinished message";
        registry.register_with_unit(
            "queue_oldest_age",
            oldest,
            Unit::Seconds,
            all.oldest.clone(),
        );
        registry.register("phase", "1 for the domain's phase", all.phase.clone());
        gauge(registry, "paused", "1 while paused", &all.paused);
        let balanced = "1 while accepted is the sum of all states";
        gauge(registry, "balanced", balanced, &all.balanced);
        let resent = "Deliveries sent again after doubt";
        registry.register("resent", resent, all.resent.clone());
        let connections = "Open connections to the new server";
        gauge(
            registry,
            "release_connections",
            connections,
            &all.connections,
        );
        all
    }

    fn add(&self, view: &DomainView, now_ms: u64) {
        let of = || OfDomain {
            domain: view.name.clone(),
        };
        for state in State::ALL {
            let tally = view.states.get(state);
            let labels = OfState {
                domain: view.name.clone(),
                state: state.name(),
            };
            self.messages.get_or_create(&labels).set(tally.count);
            self.bytes.get_or_create(&labels).set(tally.bytes);
        }
        let age_ms = view.oldest_ms.map_or(0, |at| now_ms.saturating_sub(at));
        self.oldest.get_or_create(&of()).set(age_ms / 1000);
        for phase in [Phase::Hold, Phase::Release, Phase::Forward] {
            let labels = OfPhase {
                domain: view.name.clone(),
                phase: phase.name(),
            };
            let is = u64::from(view.phase == phase);
            self.phase.get_or_create(&labels).set(is);
        }
        let paused = u64::from(view.paused.is_some());
        self.paused.get_or_create(&of()).set(paused);
        self.balanced
            .get_or_create(&of())
            .set(u64::from(view.balanced));
        self.resent.get_or_create(&of()).inc_by(view.resent);
        let open = view.release.as_ref().map_or(0, |live| live.connections);
        self.connections.get_or_create(&of()).set(open);
    }
}

fn receiver(registry: &mut Registry, counters: &Counters) {
    let open = Level::default();
    open.set(counters.connections_open());
    let help = "Open connections of senders";
    registry.register("smtpd_connections", help, open);
    let counted = [
        (
            "smtpd_connections_taken",
            "Connections ever taken",
            counters.connections(),
        ),
        ("accepted", "Messages with a 250", counters.accepted()),
        (
            "accepted_bytes",
            "Bytes of the messages with a 250",
            counters.accepted_bytes(),
        ),
        (
            "repeated",
            "Retries after a lost 250 that were kept once",
            counters.repeated(),
        ),
    ];
    for (name, help, count) in counted {
        let counter: Counter = Counter::default();
        counter.inc_by(count);
        registry.register(name, help, counter);
    }
    let rejected = Family::<OfReason, Counter>::default();
    for reason in Reason::ALL {
        let labels = OfReason {
            reason: reason.name(),
        };
        let count = counters.rejected(reason);
        rejected.get_or_create(&labels).inc_by(count);
    }
    registry.register("rejected", "Refusals", rejected);
}

fn spool(registry: &mut Registry, sources: &Sources, status: &StatusView) {
    let measures = sources.spool.measures();
    registry.register_with_unit(
        "commit",
        "From a commit's first request to its answers",
        Unit::Seconds,
        measures.commit_seconds.clone(),
    );
    registry.register(
        "commit_batch_messages",
        "Messages that shared a commit",
        measures.commit_messages.clone(),
    );
    if let Some(bytes) = sources.spool.free_bytes() {
        let free = Level::default();
        free.set(bytes);
        let help = "Free space of the spool's file system";
        registry.register_with_unit("spool_free", help, Unit::Bytes, free);
    }
    let given_up = "Delivered messages whose bytes were given up early, for want of space";
    registry.register(
        "given_up",
        given_up,
        sources.spool.measures().given_up.clone(),
    );
    let refusing = Level::default();
    refusing.set(u64::from(status.refusing.is_some()));
    registry.register("spool_refusing", "1 while no mail is taken", refusing);
}
