//! Whether everything is copied: the verdict that a release may wait for.

use std::time::Duration;

/// How a pass over all accounts ended. Times are milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassEnd {
    /// When it began.
    pub began_ms: u64,
    /// Accounts, folders and messages that could not be copied for now.
    pub failures: u64,
    /// Folders with mail that have no place of their own at the target.
    pub stranded: u64,
    /// Messages and flags that it had to carry over.
    pub found_new: u64,
    /// The INTERNALDATE of the newest message at the source; none: no message at all.
    pub newest_ms: Option<u64>,
}

/// Why copying has to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotYet {
    /// Something failed.
    #[error("{failures} failures in the last pass")]
    Failures {
        /// How many.
        failures: u64,
    },
    /// Something was new, so that more may be.
    #[error("the last pass found {found_new} new")]
    News {
        /// How much.
        found_new: u64,
    },
    /// It began before mail was held: the old server could still get some.
    #[error("the last pass began before the hold")]
    BeforeHold,
    /// Mail has arrived at the source too short a time before it.
    #[error("the newest message is too young; a pass can be the last one in {} s", .wait.as_secs())]
    Unsettled {
        /// How long until a pass can be the last one.
        wait: Duration,
    },
    /// Mail stays behind until a person sees to it.
    #[error("{folders} folders with mail have no place of their own at the target")]
    Stranded {
        /// How many.
        folders: u64,
    },
}

impl NotYet {
    /// Whether another pass can find it otherwise.
    #[must_use]
    pub fn may_pass(self) -> bool {
        !matches!(self, Self::Stranded { .. })
    }
}

/// Judges a pass. `hold_began_ms` is when mail was held instead of sent to the source, where
/// it is; `settle` how long the source must have been quiet before.
///
/// # Errors
/// [`NotYet`]: the first reason to make another pass.
pub fn converged(
    pass: &PassEnd,
    hold_began_ms: Option<u64>,
    settle: Duration,
) -> Result<(), NotYet> {
    if pass.failures > 0 {
        return Err(NotYet::Failures {
            failures: pass.failures,
        });
    }
    if pass.found_new > 0 {
        return Err(NotYet::News {
            found_new: pass.found_new,
        });
    }
    if hold_began_ms.is_some_and(|hold| pass.began_ms < hold) {
        return Err(NotYet::BeforeHold);
    }
    // A date in the future is a broken clock or a forged one: it would never settle.
    let newest_ms = pass.newest_ms.filter(|newest| *newest <= pass.began_ms);
    let quiet = newest_ms.map(|newest| Duration::from_millis(pass.began_ms - newest));
    match quiet.and_then(|quiet| settle.checked_sub(quiet)) {
        Some(wait) if !wait.is_zero() => Err(NotYet::Unsettled { wait }),
        // Last: passes go on for the others until nothing else is left.
        _ if pass.stranded > 0 => Err(NotYet::Stranded {
            folders: pass.stranded,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(600);
    const PASS: PassEnd = PassEnd {
        began_ms: 1_000_000,
        failures: 0,
        stranded: 0,
        found_new: 0,
        newest_ms: Some(400_000),
    };

    #[test]
    fn a_quiet_pass_without_failures_is_the_last() {
        assert_eq!(converged(&PASS, Some(1_000_000), SETTLE), Ok(()));
        let empty = PassEnd {
            newest_ms: None,
            ..PASS
        };
        assert_eq!(converged(&empty, None, SETTLE), Ok(()));
        let future = PassEnd {
            newest_ms: Some(2_000_000),
            ..PASS
        };
        assert_eq!(converged(&future, None, SETTLE), Ok(()));
    }

    #[test]
    fn every_reason_to_go_on_is_named() {
        let young = PassEnd {
            newest_ms: Some(401_000),
            ..PASS
        };
        let wait = Duration::from_secs(1);
        assert_eq!(
            converged(&young, None, SETTLE),
            Err(NotYet::Unsettled { wait })
        );
        assert_eq!(
            converged(&PASS, Some(1_000_001), SETTLE),
            Err(NotYet::BeforeHold)
        );
        let news = PassEnd {
            found_new: 2,
            ..PASS
        };
        assert_eq!(
            converged(&news, None, SETTLE),
            Err(NotYet::News { found_new: 2 })
        );
        let failed = PassEnd {
            failures: 1,
            ..news
        };
        assert_eq!(
            converged(&failed, None, SETTLE),
            Err(NotYet::Failures { failures: 1 })
        );
        let stranded = PassEnd {
            stranded: 1,
            ..PASS
        };
        let verdict = converged(&stranded, None, SETTLE);
        assert_eq!(verdict, Err(NotYet::Stranded { folders: 1 }));
        assert!(!verdict.is_err_and(NotYet::may_pass));
        let both = PassEnd {
            stranded: 1,
            ..news
        };
        assert!(converged(&both, None, SETTLE).is_err_and(NotYet::may_pass));
    }
}
