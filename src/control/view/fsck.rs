//! What a full recount of the spool found.

use crate::spool::{Ledger, Recount, RecountedDomain};
use serde::{Deserialize, Serialize};

/// A full recount.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FsckView {
    /// Whether all is as it must be: no finding, every counter right.
    pub clean: bool,
    /// Message records read.
    pub messages: u64,
    /// Deliveries read.
    pub deliveries: u64,
    /// Bodies whose digest was computed and compared.
    pub bodies_checked: u64,
    /// Files of messages that were never accepted, left by a crash; the next start of the
    /// daemon removes them.
    pub leftovers: u64,
    /// Each domain's counters beside what its records say.
    pub domains: Vec<FsckDomainView>,
    /// Everything that is wrong, in words.
    pub findings: Vec<String>,
}

/// A domain's counters beside what its records say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FsckDomainView {
    /// Its name.
    pub name: String,
    /// Whether both agree and accepted is the sum of all states.
    pub agrees: bool,
    /// As kept with every write.
    pub counters: Ledger,
    /// As counted now.
    pub recounted: Ledger,
}

/// What a repair did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepairView {
    /// Each thing that was put right, in words.
    pub repaired: Vec<String>,
}

impl From<Recount> for FsckView {
    fn from(recount: Recount) -> Self {
        let domains: Vec<_> = recount
            .domains
            .into_iter()
            .map(FsckDomainView::from)
            .collect();
        Self {
            clean: recount.findings.is_empty() && domains.iter().all(|domain| domain.agrees),
            messages: recount.messages,
            deliveries: recount.deliveries,
            bodies_checked: recount.bodies_checked,
            leftovers: recount.leftovers,
            domains,
            findings: recount.findings,
        }
    }
}

impl From<RecountedDomain> for FsckDomainView {
    fn from(domain: RecountedDomain) -> Self {
        Self {
            agrees: domain.counters == domain.recounted && domain.counters.balances(),
            name: domain.name,
            counters: domain.counters,
            recounted: domain.recounted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    fn recount(counters: u64, recounted: u64) -> Recount {
        let ledger = |count| Ledger {
            accepted: fixture::tally(count),
            waiting: fixture::tally(count),
            ..Ledger::default()
        };
        Recount {
            domains: vec![RecountedDomain {
                name: "corp.example".into(),
                counters: ledger(counters),
                recounted: ledger(recounted),
            }],
            ..Recount::default()
        }
    }

    #[test]
    fn a_counter_that_is_off_is_not_clean() {
        assert!(FsckView::from(recount(3, 3)).clean);
        assert!(!FsckView::from(recount(3, 2)).clean);
    }

    #[test]
    fn a_finding_is_not_clean() {
        let mut found = recount(3, 3);
        found.findings.push("body without a message".into());
        assert!(!FsckView::from(found).clean);
    }
}
