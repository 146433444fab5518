//! What other processes have written down below the spool's path: the mover, the guided
//! cutover, the verification. Read when it has changed, so that a look every second costs a `stat`.

use super::view::{DomainView, MovedView};
use crate::{
    config::Stamp,
    ledger::{Checked, Cutover, Moved, Verified},
    mail::REPORTS_DOMAIN,
    spool::Phase,
};
use rustix::process::{Pid, test_kill_process};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Reads the files, and remembers what stood in them.
#[derive(Debug, Default)]
pub struct Facts {
    spool: PathBuf,
    moved: Cached<Moved>,
    cutover: Cached<Cutover>,
    verified: Cached<Verified>,
    checked: Cached<Checked>,
}

/// What was known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// How the mover stands; nothing where none has ever run.
    pub moved: Option<MovedView>,
    /// How the guided cutover stands; nothing where there is none.
    pub cutover: Option<Arc<Cutover>>,
    /// What the last verification found; nothing where there was none.
    pub verified: Option<Arc<Verified>>,
    /// What the checks have found; nothing where none was made.
    pub checked: Option<Arc<Checked>>,
}

/// What stood in a file when it last changed. What cannot be read counts as absent, and is
/// said once.
#[derive(Debug)]
struct Cached<T>(Mutex<(Option<Stamp>, Option<Arc<T>>)>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new((None, None)))
    }
}

impl Known {
    /// What the checks have found wrong and still tells something. They are made again and
    /// again while a domain is held; what was so before its release is no news behind it, and
    /// nothing is said where nobody has looked since.
    #[must_use]
    pub fn unwell(&self, domains: &[DomainView]) -> Option<Checked> {
        let is_news = |domain: Option<&str>, at_ms: u64| {
            let about = |one: &&DomainView| match domain {
                Some(domain) => one.name == domain,
                None => one.name != REPORTS_DOMAIN,
            };
            (domains.iter().filter(about))
                .any(|one| one.phase == Phase::Hold || at_ms >= one.phase_since_ms)
        };
        let checked = self.checked.as_deref();
        let checked = checked.filter(|checked| is_news(None, checked.at_ms))?;
        Some(checked.unwell(|one| is_news(one.domain.as_deref(), one.at_ms)))
    }
}

impl Facts {
    /// Of the spool at this path.
    #[must_use]
    pub fn new(spool: &Path) -> Self {
        Self {
            spool: spool.to_owned(),
            ..Self::default()
        }
    }

    /// What is known now.
    #[must_use]
    pub fn now(&self) -> Known {
        let spool = &self.spool;
        let moved = self.moved.get(&Moved::path(spool), || Moved::read(spool));
        Known {
            moved: moved.map(|moved| MovedView {
                at_work: moved.running && is_alive(moved.pid),
                moved,
            }),
            cutover: self
                .cutover
                .get(&Cutover::path(spool), || Cutover::read(spool)),
            verified: self
                .verified
                .get(&Verified::path(spool), || Verified::read(spool)),
            checked: self
                .checked
                .get(&Checked::path(spool), || Checked::read(spool)),
        }
    }
}

impl<T> Cached<T> {
    fn get(&self, file: &Path, read: impl FnOnce() -> io::Result<Option<T>>) -> Option<Arc<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the reading: what changes meanwhile is read at the next look.
        let stamp = Stamp::of(file).ok();
        if slot.0 != stamp {
            let value = read().unwrap_or_else(|error| {
                tracing::warn!("{file:?} cannot be read: {error}");
                None
            });
            *slot = (stamp, value.map(Arc::new));
        }
        slot.1.clone()
    }
}

/// Whether a process of this number is there; a killed one has not said its farewell.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // One that is another user's is there too.
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{fixture, view::Live},
        ledger::{Durability, Finding, Verdict},
    };

    #[test]
    fn what_was_wrong_before_a_release_is_no_news_behind_it() {
        let shown = |phase, of: Option<&str>, at_ms| {
            let mut status = fixture::domain("a.example", phase);
            status.phase_since_ms = 10;
            let finding = Finding {
                name: "mx".into(),
                domain: of.map(str::to_owned),
                verdict: Verdict::Warn,
                found: "mail still goes to old.example".into(),
                fix: None,
                temporary: false,
                at_ms,
            };
            let mut checked = Checked::default();
            checked.record(&[finding]);
            let known = Known {
                checked: Some(Arc::new(checked)),
                ..Known::default()
            };
            let domains = [DomainView::of(&status, Live::default(), 0)];
            known.unwell(&domains).map(|shown| shown.findings.len())
        };
        for of in [Some("a.example"), None] {
            assert_eq!(shown(Phase::Hold, of, 5), Some(1));
            assert_eq!(shown(Phase::Forward, of, 5), None);
            // Somebody had a look since.
            assert_eq!(shown(Phase::Forward, of, 15), Some(1));
        }
        assert_eq!(shown(Phase::Hold, Some("b.example"), 5), Some(0));
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let spool = tempfile::tempdir().unwrap();
        std::fs::create_dir(spool.path().join("mover")).unwrap();
        let facts = Facts::new(spool.path());
        assert!(facts.now().moved.is_none());
        let write = |passes, pid| {
            let moved = Moved {
                pid,
                running: true,
                passes,
                ..Moved::default()
            };
            moved.write(spool.path(), Durability::Renamed).unwrap();
        };
        write(1, std::process::id());
        let first = facts.now().moved.unwrap();
        assert_eq!((first.moved.passes, first.at_work), (1, true));
        // No process has this number: the kernel's largest is 2^22.
        write(2, 1 << 30);
        let second = facts.now().moved.unwrap();
        assert_eq!((second.moved.passes, second.at_work), (2, false));
    }

    #[test]
    fn a_file_that_is_none_of_ours_counts_as_absent() {
        let spool = tempfile::tempdir().unwrap();
        std::fs::write(Cutover::path(spool.path()), "[").unwrap();
        assert!(Facts::new(spool.path()).now().cutover.is_none());
    }
}
