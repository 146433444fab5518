//! Notices what is to be told: the histories of the domains, the space, the mover.

use super::{Event, Kind, teller::Teller};
use crate::{
    config::{Hooks, SpoolConfig},
    ledger::Moved,
    spool::{Change, Spool, SpoolError},
};
use jiff::Timestamp;
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How often space and mover are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches, from the moment when it was made.
pub struct Watcher {
    changes: Receiver<Change>,
    watch: Watch,
}

impl Watcher {
    /// Begins.
    ///
    /// # Errors
    /// Those of the spool.
    pub async fn begin(
        hooks: Hooks,
        hostname: String,
        spool: Arc<dyn Spool>,
        config: SpoolConfig,
    ) -> Result<Self, SpoolError> {
        let changes = spool.subscribe();
        let moved = read(&config);
        Ok(Self {
            changes,
            watch: Watch {
                start: spool.next_event().await?,
                seen: HashMap::new(),
                teller: Teller::start(hooks),
                hostname,
                converged_ms: moved.and_then(|moved| moved.converged_ms),
                is_low: false,
                spool,
                config,
            },
        })
    }

    /// Watches until told to stop.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            mut changes,
            mut watch,
        } = self;
        tokio::pin!(stop);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = &mut stop => return,
                names = changed(&mut changes, &*watch.spool) => watch.histories(names).await,
                _ = ticks.tick() => {
                    watch.space();
                    watch.mover();
                }
            }
        }
    }
}

/// The domains that something has happened to.
async fn changed(changes: &mut Receiver<Change>, spool: &dyn Spool) -> HashSet<String> {
    loop {
        match changes.recv().await {
            Ok(Change::Domain { domain }) => return HashSet::from([domain]),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let domains = spool.domains().into_iter();
                return domains.map(|domain| domain.name).collect();
            }
            // The spool closes: the stop comes next.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

struct Watch {
    teller: Teller,
    hostname: String,
    spool: Arc<dyn Spool>,
    config: SpoolConfig,
    /// Events below this number were before the start.
    start: u64,
    /// The number behind the last event that was told, by domain.
    seen: HashMap<String, u64>,
    converged_ms: Option<u64>,
    is_low: bool,
}

impl Watch {
    async fn histories(&mut self, names: HashSet<String>) {
        for name in names {
            let (Some(status), Ok(events)) = (
                self.spool.domain(&name),
                self.spool.domain_events(name.clone()).await,
            ) else {
                continue;
            };
            let seen = self.seen.entry(name).or_insert(self.start);
            for event in events {
                if event.number >= *seen {
                    *seen = event.number + 1;
                    self.teller.put(Event::of(&self.hostname, &status, &event));
                }
            }
        }
    }

    /// Twice the space below which mail is refused is little.
    fn space(&mut self) {
        let refusing = self.spool.admit(0).err().map(|error| error.to_string());
        let free = self.spool.free_bytes();
        let little = self.config.min_free_bytes.saturating_mul(2);
        let is_low = refusing.is_some() || free.is_some_and(|free| free < little);
        if is_low == std::mem::replace(&mut self.is_low, is_low) {
            return;
        }
        let free = free.map_or(String::new(), |free| format!("{free} bytes free"));
        let (kind, what) = match (is_low, refusing) {
            (true, Some(why)) => (Kind::Disk, format!("no mail is taken: {why}")),
            (true, None) => (Kind::Disk, format!("little space is left for mail: {free}")),
            (false, _) => (Kind::DiskOk, format!("enough space again: {free}")),
        };
        self.general(kind, what);
    }

    fn mover(&mut self) {
        let Some(moved) = read(&self.config) else {
            return;
        };
        let before = std::mem::replace(&mut self.converged_ms, moved.converged_ms);
        if moved.converged_ms.is_some() && moved.converged_ms != before {
            let accounts = moved.accounts.len();
            self.general(
                Kind::Converged,
                format!("all {accounts} accounts have converged"),
            );
        }
    }

    fn general(&self, kind: Kind, what: String) {
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        self.teller
            .put(Event::general(&self.hostname, kind, now_ms, what));
    }
}

/// What cannot be read now is read the next time.
fn read(config: &SpoolConfig) -> Option<Moved> {
    Moved::read(&config.path).ok().flatten()
}
