//! How a check went.

use super::{NAMES, now_ms};
use crate::{
    dns::DnsError,
    ledger::{Finding, Verdict},
};

/// A finding that is as it should be.
pub(super) fn ok(name: &str, found: impl Into<String>) -> Finding {
    finding(name, Verdict::Ok, found.into(), None)
}

/// One that will do, or depends.
pub(super) fn warn(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    finding(name, Verdict::Warn, found.into(), Some(fix.into()))
}

/// One that must not stay.
pub(super) fn fail(name: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    finding(name, Verdict::Fail, found.into(), Some(fix.into()))
}

fn finding(name: &str, verdict: Verdict, found: String, fix: Option<String>) -> Finding {
    debug_assert!(NAMES.contains(&name), "{name}");
    Finding {
        name: name.to_owned(),
        domain: None,
        verdict,
        found,
        fix,
        temporary: false,
        at_ms: 0,
    }
}

/// The DNS did not answer.
pub(super) fn unanswered(name: &str, error: &DnsError) -> Finding {
    let fix = "ask again; if it stays so, see to that server, or to [dns] servers";
    Finding {
        temporary: error.may_pass(),
        ..fail(name, error.to_string(), fix)
    }
}

pub(super) fn stamped(mut findings: Vec<Finding>) -> Vec<Finding> {
    let at_ms = now_ms();
    for finding in &mut findings {
        finding.at_ms = at_ms;
    }
    findings
}
