//! Opens the gates of releases when the mover has copied the mailboxes.
//!
//! The mover's status is read each second while some release waits. A domain's gate opens when
//! all its accounts have converged since the hold began; with `gate = "mailbox"` each mailbox
//! gets its mail as soon as its own account has, and those without an account, which may be
//! aliases for any, wait for all. What cannot be read, is not known or is from before the hold
//! opens nothing; a person can (`relay release` without `--after-sync`).

mod holds;

use crate::{
    ledger::{Moved, gate::ready},
    mail::{Address, Lane},
    release::{Gates, Releaser},
    spool::{Cause, DomainCommand, DomainStatus, Gate, Phase, Spool},
};
use holds::Holds;
use std::{
    collections::{HashMap, HashSet},
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// How often the mover's status is read while a release waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Knows which mailboxes may get their mail.
#[derive(Debug, Default)]
pub struct Keeper(RwLock<HashMap<String, Door>>);

/// The gates of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Door {
    /// Mailboxes that may.
    lanes: HashSet<Lane>,
    /// What the others wait for.
    waits: Option<String>,
}

impl Gates for Keeper {
    fn is_open(&self, domain: &str, lane: Lane) -> bool {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors
            .get(domain)
            .is_some_and(|door| door.lanes.contains(&lane))
    }
}

impl Keeper {
    /// What a domain's release waits for, in words; nothing when it does not.
    #[must_use]
    pub fn waits(&self, domain: &str) -> Option<String> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors.get(domain)?.waits.clone()
    }

    /// Takes over how a domain's gates are; whether more are open than before. What is open
    /// stays open: mail is on its way.
    fn put(&self, domain: &str, mut door: Door) -> bool {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = doors.entry(domain.to_owned()).or_default();
        let known = before.lanes.len();
        door.lanes.extend(&before.lanes);
        *before = door;
        before.lanes.len() > known
    }

    fn forget(&self, domain: &str) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.remove(domain);
    }
}

/// Watches the mover, and opens.
pub struct Opener {
    keeper: Arc<Keeper>,
    spool: Arc<dyn Spool>,
    releaser: Arc<Releaser>,
    path: PathBuf,
    holds: Holds,
}

impl Opener {
    /// Begins: which domains are held now is known on return.
    #[must_use]
    pub fn begin(
        keeper: Arc<Keeper>,
        spool: Arc<dyn Spool>,
        releaser: Arc<Releaser>,
        path: &Path,
    ) -> Self {
        let mut opener = Self {
            keeper,
            holds: Holds::load(path),
            spool,
            releaser,
            path: path.to_owned(),
        };
        opener.note();
        opener
    }

    /// Opens what may be opened, until told to stop.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = ticks.tick() => self.look().await,
            }
        }
    }

    fn note(&mut self) -> Vec<DomainStatus> {
        let domains = self.spool.domains();
        if let Err(error) = self.holds.note(&domains) {
            tracing::error!("since when domains are held cannot be noted: {error}");
        }
        domains
    }

    async fn look(&mut self) {
        let domains = self.note();
        let (waiting, others): (Vec<_>, Vec<_>) = domains
            .into_iter()
            .partition(|domain| domain.phase == Phase::Release && !domain.gate.is_open());
        others
            .iter()
            .for_each(|domain| self.keeper.forget(&domain.name));
        if waiting.is_empty() {
            return;
        }
        let moved = Moved::read(&self.path);
        for domain in waiting {
            let ready = match (&moved, self.holds.since(&domain.name)) {
                (Ok(moved), Some(held_ms)) => ready(moved.as_ref(), &domain.name, held_ms),
                (Err(error), _) => unknown(format!("the mover's status cannot be read: {error}")),
                (Ok(_), None) => unknown("nobody knows since when it is held".into()),
            };
            if ready.waits.is_none() {
                self.open(&domain).await;
            }
            let lanes = match domain.gate {
                Gate::Mailbox => lanes(&ready.accounts, &domain.name),
                Gate::Open | Gate::Domain => HashSet::new(),
            };
            let waits = ready.waits;
            if self.keeper.put(&domain.name, Door { lanes, waits }) {
                self.releaser.gates_moved();
            }
        }
    }

    async fn open(&self, domain: &DomainStatus) {
        let cause = Cause::Policy("the mailboxes are copied".into());
        let name = domain.name.clone();
        let opened = self.spool.command(name, DomainCommand::Open, cause).await;
        if let Err(error) = opened {
            tracing::error!("the gate of {} does not open: {error}", domain.name);
        }
    }
}

fn unknown(why: String) -> crate::ledger::gate::Ready {
    crate::ledger::gate::Ready {
        accounts: Vec::new(),
        waits: Some(why),
    }
}

/// The mailboxes of accounts; one without a domain in its name is one of this domain.
fn lanes(accounts: &[String], domain: &str) -> HashSet<Lane> {
    let address = |account: &String| match account.contains('@') {
        true => Address::parse(account).ok(),
        false => Address::parse(&format!("{account}@{domain}")).ok(),
    };
    let addresses = accounts.iter().filter_map(address);
    addresses.map(|address| address.lane()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_is_open_stays_open() {
        let keeper = Keeper::default();
        let bob = Address::parse("bob+x@corp.example").unwrap().lane();
        let eve = Address::parse("eve@corp.example").unwrap().lane();
        let door = |accounts: &[&str]| Door {
            lanes: lanes(
                &accounts
                    .iter()
                    .map(|name| (*name).to_owned())
                    .collect::<Vec<_>>(),
                "corp.example",
            ),
            waits: Some("eve: being copied".into()),
        };
        assert!(!keeper.is_open("corp.example", bob));
        assert!(keeper.put("corp.example", door(&["Bob"])));
        assert!(keeper.is_open("corp.example", bob) && !keeper.is_open("corp.example", eve));
        assert!(!keeper.put("corp.example", door(&[])));
        assert!(keeper.is_open("corp.example", bob));
        assert!(keeper.put("corp.example", door(&["eve@corp.example"])));
        assert_eq!(
            keeper.waits("corp.example").as_deref(),
            Some("eve: being copied")
        );
        keeper.forget("corp.example");
        assert!(!keeper.is_open("corp.example", eve));
    }
}
