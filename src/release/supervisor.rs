//! One runner for each domain that is being released.

use super::{
    board::Board,
    brake::Brake,
    callout::{Callouts, Finding},
    connection::Setup,
    deliver::Orders,
    gates::{Closed, Gates},
    job::Shared,
    measures::Measures,
    notices::Notices,
    order::{Limits, Order},
    outside::Outside,
    reply::Failure,
    runner::{Plan, Runner},
    status::ReleaseStatus,
    target::Target,
    timeouts::Timeouts,
    tls::{TlsClients, TlsError},
    witness::Witness,
};
use crate::{
    config::{Config, Destination, DestinationXclient, Load, Release},
    mail::{Address, REPORTS_DOMAIN},
    smtp::Offer,
    spool::{Change, Gate, Phase, Spool},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, broadcast::error::RecvError, mpsc, watch},
    task::JoinSet,
    time::timeout,
};

/// How long a release may take to end that waits for nobody any more.
const ABANDONED_WITHIN: Duration = Duration::from_secs(5);

/// Releases the mail of all domains.
pub struct Releaser {
    config: ArcSwap<Config>,
    /// There is another configuration.
    reloaded: Notify,
    spool: Arc<dyn Spool>,
    tls: TlsClients,
    timeouts: Timeouts,
    limits: Limits,
    outside: Outside,
    measures: Measures,
    gates: Arc<dyn Gates>,
    witness: Option<Arc<dyn Witness>>,
    running: Mutex<HashMap<String, Running>>,
    /// By domain.
    callouts: Mutex<HashMap<String, Arc<Callouts>>>,
}

/// A domain's runner.
struct Running {
    target: Target,
    plan: Plan,
    rules: Release,
    load: watch::Sender<Load>,
    orders: watch::Sender<Orders>,
    notices: Arc<Notices>,
    board: Arc<Board>,
}

impl Releaser {
    /// A releaser with the times of RFC 5321 and the system's clock.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot be set up.
    pub fn new(config: Arc<Config>, spool: Arc<dyn Spool>) -> Result<Self, TlsError> {
        Ok(Self::of(config, spool, TlsClients::new()?))
    }

    /// The same with TLS that was set up before.
    pub(super) fn of(config: Arc<Config>, spool: Arc<dyn Spool>, tls: TlsClients) -> Self {
        Self {
            config: ArcSwap::new(config),
            reloaded: Notify::new(),
            spool,
            tls,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            outside: Outside::default(),
            measures: Measures::default(),
            gates: Arc::new(Closed),
            witness: None,
            running: Mutex::default(),
            callouts: Mutex::default(),
        }
    }

    /// The same with other patience.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The results of all deliveries since the start.
    #[must_use]
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// The same, asking for each mailbox where a release waits for each.
    #[must_use]
    pub fn with_gates(mut self, gates: Arc<dyn Gates>) -> Self {
        self.gates = gates;
        self
    }

    /// The same, asking about deliveries in doubt.
    #[must_use]
    pub fn with_witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Some gates have opened.
    pub fn gates_moved(&self) {
        (self.running().values()).for_each(|running| running.notices.gates_moved());
    }

    /// The same in another world.
    #[must_use]
    pub fn with_outside(mut self, outside: Outside) -> Self {
        self.outside = outside;
        self
    }

    /// The same with another window.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How the release of a domain goes; nothing while none is running.
    #[must_use]
    pub fn status(&self, domain: &str) -> Option<ReleaseStatus> {
        let running = self.running();
        running
            .get(domain)
            .map(|running| running.board.read((self.outside.clock)()))
    }

    /// Asks the destination of an address whether it takes mail for it, in whatever phase its
    /// domain is, and what it takes at all. None: there is no destination.
    pub async fn ask(&self, address: &Address) -> Option<Result<(Finding, Offer), Failure>> {
        let domain = address.domain();
        let target = self.target(&domain)?;
        let callouts = {
            let mut all = self.callouts.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all
                .get(&domain)
                .filter(|known| known.setup().target == target);
            match known {
                Some(known) => known.clone(),
                None => {
                    let new = Arc::new(Callouts::new(self.setup(target)));
                    all.insert(domain, new.clone());
                    new
                }
            }
        };
        Some(callouts.ask(address).await)
    }

    /// The configured limits of a domain's destination, without what an operator has set.
    #[must_use]
    pub fn load(&self, domain: &str) -> Load {
        configured_load(&self.config.load(), domain)
    }

    /// Where a domain's mail goes once it is released.
    #[must_use]
    pub fn target(&self, domain: &str) -> Option<Target> {
        let to = self.spool.domain(domain).and_then(|status| status.to);
        Target::new(configured(&self.config.load(), domain), to.as_deref())
    }

    fn setup(&self, target: Target) -> Setup {
        Setup {
            target,
            hostname: self.config.load().hostname.clone(),
            tls: self.tls.clone(),
            timeouts: self.timeouts,
            throttle: Arc::default(),
            dial: self.outside.dial.clone(),
        }
    }

    /// Goes on with another configuration: a release whose destination or rules are others
    /// now ends what it is sending and starts again with them.
    pub fn reload(&self, config: Arc<Config>) {
        self.config.store(config);
        self.reloaded.notify_one();
    }

    /// Releases until `shutdown`, then waits for what is under way: replies to messages
    /// that were sent to their end for at most [`Timeouts::shutdown`], after which they
    /// are in doubt.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut runners = JoinSet::new();
        let mut changes = self.spool.subscribe();
        self.reconcile_all(&mut runners);
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                // What comes seldom first: changes may come all the time.
                biased;
                () = &mut shutdown => break,
                () = self.reloaded.notified() => self.reconcile_all(&mut runners),
                Some(ended) = runners.join_next() => match ended {
                    // It may have been wanted again in the meantime.
                    Ok(domain) => self.ended(&domain, &mut runners),
                    Err(error) => tracing::error!("a release has died: {error}"),
                },
                change = changes.recv() => match change {
                    Ok(change) => self.pass_on(change, &mut runners),
                    Err(RecvError::Lagged(_)) => self.start_over(&mut runners),
                    Err(RecvError::Closed) => break,
                },
            }
        }
        self.stop(&mut runners).await;
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(&self, change: Change, runners: &mut JoinSet<String>) {
        match change {
            Change::Domain { domain } => self.reconcile(&domain, runners),
            Change::Arrived { domain } => {
                if let Some(running) = self.running().get(&domain) {
                    running.notices.arrived();
                }
            }
            Change::Requeued { domain, lane } => {
                if let Some(running) = self.running().get(&domain) {
                    running.notices.requeued(running.rules.order.lane(lane));
                }
            }
            Change::Reopened => self.start_over(runners),
        }
    }

    /// From what is on disk, whatever was told.
    fn start_over(&self, runners: &mut JoinSet<String>) {
        self.reconcile_all(runners);
        let running = self.running();
        running.values().for_each(|one| one.notices.start_over());
    }

    fn reconcile_all(&self, runners: &mut JoinSet<String>) {
        for domain in self.spool.domains() {
            self.reconcile(&domain.name, runners);
        }
    }

    /// Where a domain's mail is to go now; nothing when it is to stay.
    fn wanted(&self, domain: &str) -> Option<(Target, Plan, Load)> {
        let status = self.spool.domain(domain)?;
        let stands = status.phase == Phase::Hold || status.gate == Gate::Domain;
        if stands || status.paused.is_some() {
            return None;
        }
        let plan = Plan {
            last: status.canary.map(|canary| canary.last),
            gated: status.gate == Gate::Mailbox,
        };
        let config = self.config.load();
        let mut target = Target::new(configured(&config, domain), status.to.as_deref());
        // A report has no other client than this relay.
        if domain == REPORTS_DOMAIN {
            target
                .iter_mut()
                .for_each(|own| own.xclient = DestinationXclient::Off);
        }
        if target.is_none() {
            tracing::error!("{domain}: there is no destination to release it to");
        }
        let load = status.load.over(configured_load(&config, domain));
        Some((target?, plan, load))
    }

    /// Starts a runner, or stops the one that should not run, or not to there. A domain
    /// never has two.
    fn reconcile(&self, domain: &str, runners: &mut JoinSet<String>) {
        let wanted = self.wanted(domain);
        let mut all = self.running();
        match (all.get(domain), wanted) {
            (Some(running), wanted) => {
                let rules = &self.config.load().release;
                let same = wanted.filter(|(target, plan, _)| {
                    (target, plan, rules) == (&running.target, &running.plan, &running.rules)
                });
                match same {
                    Some((_, _, load)) => drop(running.load.send_replace(load)),
                    None => drop(running.orders.send_replace(Orders::Stop)),
                }
            }
            (None, Some(wanted)) => {
                let running = self.start(domain, wanted, runners);
                all.insert(domain.to_owned(), running);
            }
            (None, None) => {}
        }
    }

    fn start(
        &self,
        domain: &str,
        (target, plan, load): (Target, Plan, Load),
        runners: &mut JoinSet<String>,
    ) -> Running {
        let (orders, orders_seen) = watch::channel(Orders::Work);
        let (load, load_seen) = watch::channel(load);
        let (events, events_seen) = mpsc::unbounded_channel();
        let setup = self.setup(target.clone());
        let board = Arc::new(Board::new(setup.throttle.clone()));
        let notices = Arc::new(Notices::default());
        let brake = Brake::new(load_seen, setup.throttle.clone(), (self.outside.clock)());
        let config = self.config.load();
        let shared = Shared {
            spool: self.spool.clone(),
            setup,
            rules: config.release.clone(),
            clock: self.outside.clock.clone(),
            chance: self.outside.chance.clone(),
            measures: self.measures.clone(),
            witness: self.witness.clone(),
            orders: orders_seen,
            events,
        };
        let name = domain.to_owned();
        let (bell, shown) = (notices.clone(), board.clone());
        let mut order = Order::new(self.limits);
        if plan.gated {
            let (gates, domain) = (self.gates.clone(), name.clone());
            order = order.gated_by(Box::new(move |lane| gates.is_open(&domain, lane)));
        }
        let runner = Runner::new(
            name.clone(),
            shared,
            events_seen,
            (bell, shown),
            order,
            plan,
            brake,
        );
        runners.spawn(async move {
            runner.run().await;
            name
        });
        Running {
            target,
            plan,
            rules: config.release.clone(),
            load,
            orders,
            notices,
            board,
        }
    }

    fn ended(&self, domain: &str, runners: &mut JoinSet<String>) {
        self.running().remove(domain);
        self.reconcile(domain, runners);
    }

    async fn stop(&self, runners: &mut JoinSet<String>) {
        let tell = |orders| {
            for running in self.running().values() {
                running.orders.send_replace(orders);
            }
        };
        tell(Orders::Stop);
        let all = async { while runners.join_next().await.is_some() {} };
        if timeout(self.timeouts.shutdown, all).await.is_err() {
            tell(Orders::Abandon);
            // Somebody may be writing to a peer that does not read: what was noted as an
            // attempt is in doubt at the next start.
            let all = async { while runners.join_next().await.is_some() {} };
            if timeout(ABANDONED_WITHIN, all).await.is_err() {
                runners.shutdown().await;
            }
        }
        self.running().clear();
    }
}

/// The configured destination of a domain.
fn configured<'c>(config: &'c Config, domain: &str) -> Option<&'c Destination> {
    if domain == REPORTS_DOMAIN {
        return config.bounce.as_ref().map(|bounce| &bounce.via);
    }
    let found = config.domains.iter().find(|d| d.name == domain);
    found.map(|found| &found.destination)
}

fn configured_load(config: &Config, domain: &str) -> Load {
    configured(config, domain).map_or_else(Load::default, |destination| destination.load)
}
