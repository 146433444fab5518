//! What [`crate::ledger`] says of a run: figures every second, and each account's state as
//! soon as it changes.
//!
//! An account has converged when a pass over it says so by the rule of
//! [`converge`](super::converge), and stays so until a pass over it finds something new or
//! fails. What an earlier run has written is kept for the accounts whose turn has not come.

use super::{
    account::{AccountReport, Stopped},
    accounts::Account,
    converge::{NotYet, converged},
    meter::{Doing, Extent},
    run::{Task, pass_end},
};
use crate::ledger::{AccountState, Durability, Moved, MovedAccount, Part};
use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

/// Over how long the rate is measured.
const RATE_OVER_MS: u64 = 10_000;

/// Writes the file.
#[derive(Debug)]
pub struct Publisher {
    spool: PathBuf,
    moved: Moved,
    /// Where an account stands in it, by its name at the source.
    places: HashMap<String, usize>,
    /// When, and how many messages had been copied by then.
    samples: VecDeque<(u64, u64)>,
}

/// What decides, beside a pass, whether an account has converged.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Since when its mail is held, where it is.
    pub hold_began_ms: Option<u64>,
    /// `mover.settle`
    pub settle: Duration,
}

impl Publisher {
    /// Begins with what an earlier run wrote. `accounts` are all of the accounts file.
    ///
    /// # Errors
    /// Those of the file system. A file that cannot be read as ours is written anew.
    pub fn start(spool: &Path, accounts: &[Account], now_ms: u64) -> io::Result<Self> {
        let before = match Moved::read(spool) {
            Ok(before) => before.unwrap_or_default(),
            Err(error) if is_foreign(&error) => Moved::default(),
            Err(error) => return Err(error),
        };
        let mut known: HashMap<String, MovedAccount> = (before.accounts.into_iter())
            .map(|account| (account.source.clone(), account))
            .collect();
        let of = |account: &Account| {
            let (source, target) = (account.name().to_owned(), account.target.user.clone());
            let same = |known: &MovedAccount| known.target == target;
            match known.remove(&source).filter(same) {
                Some(known) => resumed(known),
                None => MovedAccount {
                    source,
                    target,
                    ..MovedAccount::default()
                },
            }
        };
        let accounts: Vec<MovedAccount> = accounts.iter().map(of).collect();
        let places = (accounts.iter().enumerate())
            .map(|(place, account)| (account.source.clone(), place))
            .collect();
        let mut publisher = Self {
            spool: spool.to_owned(),
            moved: Moved {
                pid: std::process::id(),
                running: true,
                passes: before.passes,
                accounts,
                ..Moved::default()
            },
            places,
            samples: VecDeque::new(),
        };
        publisher.write(now_ms, Durability::Synced)?;
        Ok(publisher)
    }

    /// A pass begins.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin_pass(&mut self, now_ms: u64) -> io::Result<()> {
        self.moved.passes += 1;
        self.moved.pass_began_ms = now_ms;
        self.samples.clear();
        self.write(now_ms, Durability::Synced)
    }

    /// Writes how far the accounts are.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn look(&mut self, tasks: &[Task], now_ms: u64) -> io::Result<()> {
        let mut copied = 0;
        let mut durability = Durability::Renamed;
        let mut slow = None;
        for task in tasks {
            let reading = task.meter.read();
            copied += reading.copied;
            let Some(account) = of(&mut self.moved, &self.places, task.account.name()) else {
                continue;
            };
            let doing = task.meter.what();
            if let Doing::Pausing(why) = &doing {
                slow.get_or_insert_with(|| format!("{}: {why}", account.source));
            }
            let before = (account.state, account.converged_ms);
            stand(account, doing, reading.copied);
            if reading.total != Extent::default() {
                figures(account, &reading);
            }
            if before != (account.state, account.converged_ms) {
                durability = Durability::Synced;
            }
        }
        self.moved.slow = slow;
        self.measure(copied, now_ms);
        self.write(now_ms, durability)
    }

    /// A pass over an account is over: says what its verdict is.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn ended(
        &mut self,
        report: &AccountReport,
        task: &Task,
        rule: Rule,
        now_ms: u64,
    ) -> io::Result<()> {
        let Some(account) = of(&mut self.moved, &self.places, &report.name) else {
            return Ok(());
        };
        figures(account, &task.meter.read());
        (account.refused, account.altered) = (report.refused, report.altered);
        let end = pass_end(slice::from_ref(report), report.began_ms);
        if end.failures == 0 {
            account.passed_ms = Some(report.began_ms);
        }
        let verdict = converged(&end, rule.hold_began_ms, rule.settle);
        (account.state, account.reason) = match (verdict, &report.stopped) {
            (Ok(()), _) => (AccountState::Converged, None),
            (Err(_), Some(Stopped::Paused(why))) => (AccountState::Paused, Some(why.clone())),
            (Err(NotYet::Failures { .. }), _) => (AccountState::Failed, report.failure()),
            (Err(NotYet::Stranded { .. }), _) => (AccountState::Failed, report.stranding()),
            (Err(why), _) => (AccountState::Copied, Some(why.to_string())),
        };
        account.converged_ms = match account.state {
            AccountState::Converged => {
                // One from before the hold says nothing of what came until then.
                let since_hold =
                    |at: &u64| rule.hold_began_ms.is_none_or(|began_ms| *at >= began_ms);
                account.converged_ms.filter(since_hold).or(Some(now_ms))
            }
            _ => None,
        };
        self.write(now_ms, Durability::Synced)
    }

    /// No mover is at work any more.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn stop(&mut self, now_ms: u64) -> io::Result<()> {
        self.moved.running = false;
        (self.moved.rate_per_s, self.moved.eta_s, self.moved.slow) = (0.0, None, None);
        for account in &mut self.moved.accounts {
            // It is at nothing of this any more.
            if matches!(account.state, AccountState::Copying) {
                account.state = AccountState::Waiting;
            }
        }
        self.write(now_ms, Durability::Synced)
    }

    /// The messages copied a second, and how long the rest takes.
    fn measure(&mut self, copied: u64, now_ms: u64) {
        // The last second before the period stays, so that there is always one to compare.
        while (self.samples.get(1)).is_some_and(|(at, _)| at + RATE_OVER_MS <= now_ms) {
            self.samples.pop_front();
        }
        self.samples.push_back((now_ms, copied));
        let Some((first_ms, first)) = self.samples.front().copied() else {
            return;
        };
        let rate = per_second(
            copied.saturating_sub(first),
            now_ms.saturating_sub(first_ms),
        );
        self.moved.rate_per_s = rate;
        self.moved.eta_s = (rate > 0.0).then(|| {
            let left = sum(&self.moved.accounts, |account| account.messages);
            let left = float(left.total.saturating_sub(left.done)) / rate;
            Duration::try_from_secs_f64(left).map_or(u64::MAX, |left| left.as_secs())
        });
    }

    fn write(&mut self, now_ms: u64, durability: Durability) -> io::Result<()> {
        let moved = &mut self.moved;
        moved.updated_ms = now_ms;
        moved.messages = sum(&moved.accounts, |account| account.messages);
        moved.bytes = sum(&moved.accounts, |account| account.bytes);
        let open = moved
            .accounts
            .iter()
            .filter(|one| one.converged_ms.is_none());
        (moved.converged_ms, moved.not_yet) = match open.clone().next() {
            None => {
                let all = moved.accounts.iter().filter_map(|one| one.converged_ms);
                (all.max(), None)
            }
            Some(first) => {
                let why = first
                    .reason
                    .as_deref()
                    .unwrap_or("no pass has gone through it");
                let open = open.count();
                let text = format!("{open} not converged; {}: {why}", first.source);
                (None, Some(text))
            }
        };
        moved.write(&self.spool, durability)
    }
}

/// Whether a file was there and none of ours.
fn is_foreign(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// As an earlier run left it.
fn resumed(mut account: MovedAccount) -> MovedAccount {
    if matches!(account.state, AccountState::Copying) {
        account.state = AccountState::Waiting;
    }
    account
}

fn of<'m>(
    moved: &'m mut Moved,
    places: &HashMap<String, usize>,
    name: &str,
) -> Option<&'m mut MovedAccount> {
    moved.accounts.get_mut(*places.get(name)?)
}

/// Where an account stands while a pass is under way.
fn stand(account: &mut MovedAccount, doing: Doing, copied: u64) {
    if copied > 0 {
        // There was something new: what was said before does not hold.
        account.converged_ms = None;
    }
    let (state, reason) = match doing {
        // The verdict stands already, or that of the last pass still does.
        Doing::Waiting | Doing::Done | Doing::Failed(_) => return,
        Doing::Pausing(why) => (AccountState::Paused, Some(why)),
        Doing::Listing | Doing::Copying(_) if account.converged_ms.is_some() => {
            (AccountState::Converged, None)
        }
        Doing::Listing | Doing::Copying(_) => (AccountState::Copying, None),
    };
    (account.state, account.reason) = (state, reason);
}

fn figures(account: &mut MovedAccount, reading: &super::meter::Reading) {
    let part = |done: u64, total: u64| Part {
        done: done.min(total),
        total,
    };
    let (done, total) = (reading.done, reading.total);
    account.folders = part(done.folders, total.folders);
    account.messages = part(done.messages, total.messages);
    // Not every server tells the bytes beforehand.
    account.bytes = match total.bytes {
        0 => part(done.bytes, done.bytes),
        bytes => part(done.bytes, bytes),
    };
}

fn sum(accounts: &[MovedAccount], of: impl Fn(&MovedAccount) -> Part) -> Part {
    let parts = accounts.iter().map(of);
    parts.fold(Part::default(), |sum, part| Part {
        done: sum.done + part.done,
        total: sum.total + part.total,
    })
}

fn per_second(count: u64, ms: u64) -> f64 {
    if ms == 0 {
        return 0.0;
    }
    float(count) * 1000.0 / float(ms)
}

/// Good enough for a rate.
fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
