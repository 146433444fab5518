//! All accounts, several at once.

use super::{
    account::{AccountReport, Mover, Stopped},
    accounts::Account,
    converge::PassEnd,
    meter::Meter,
};
use std::sync::Arc;
use tokio::{sync::Semaphore, task::JoinSet};

/// An account with how far it is.
#[derive(Clone, Debug)]
pub struct Task {
    /// The account.
    pub account: Arc<Account>,
    /// How far its present pass is.
    pub meter: Arc<Meter>,
}

impl Task {
    /// Before the first pass.
    #[must_use]
    pub fn new(account: Account) -> Self {
        Self {
            account: Arc::new(account),
            meter: Arc::default(),
        }
    }
}

/// A pass under way.
#[derive(Debug)]
pub struct Pass {
    set: JoinSet<(usize, AccountReport)>,
    reports: Vec<AccountReport>,
}

impl Pass {
    /// Begins to go through all accounts, so many at once. Dropping it breaks them off.
    #[must_use]
    pub fn start(mover: &Arc<Mover>, tasks: &[Task], parallel: usize) -> Self {
        let slots = Arc::new(Semaphore::new(parallel.max(1)));
        let mut set = JoinSet::new();
        for (place, task) in tasks.iter().cloned().enumerate() {
            let (mover, slots) = (Arc::clone(mover), Arc::clone(&slots));
            set.spawn(async move {
                // The semaphore is never closed.
                let _slot = slots.acquire().await;
                (place, mover.account(&task).await)
            });
        }
        let reports = tasks.iter().map(|task| AccountReport {
            name: task.account.name().to_owned(),
            stopped: Some(Stopped::Failed("an internal fault ended it".into())),
            ..AccountReport::default()
        });
        Self {
            set,
            reports: reports.collect(),
        }
    }

    /// The next account that came to its end; nothing when all have.
    pub async fn next(&mut self) -> Option<&AccountReport> {
        loop {
            // One that a panic ended stays as it is: stopped.
            if let Ok((place, report)) = self.set.join_next().await? {
                let slot = self.reports.get_mut(place)?;
                *slot = report;
                return Some(slot);
            }
        }
    }

    /// The reports, in the order of the tasks.
    #[must_use]
    pub fn reports(self) -> Vec<AccountReport> {
        self.reports
    }
}

/// What the reports of a pass say together; `began_ms` since 1970.
#[must_use]
pub fn pass_end(reports: &[AccountReport], began_ms: u64) -> PassEnd {
    let newest_s = reports.iter().filter_map(|report| report.newest_s).max();
    PassEnd {
        began_ms,
        failures: reports.iter().map(AccountReport::failures).sum(),
        stranded: reports.iter().map(AccountReport::stranded).sum(),
        found_new: reports.iter().map(|report| report.done.found_new()).sum(),
        newest_ms: newest_s
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(|seconds| seconds.saturating_mul(1000)),
    }
}
