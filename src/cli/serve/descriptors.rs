//! File descriptors: a session costs one for its connection and, under a large message,
//! one for its file. What a system grants by default, 1024, is soon used up; what it grants
//! on request is usually far more.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the engine, the log, the listeners and a few control clients need.
const OTHERS: u64 = 512;

/// Takes as many as there may be, and says in the log when they are too few.
pub fn raise(config: &Config) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        ..before
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!("cannot raise the limit of file descriptors: {error}");
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = needed(config);
    if granted < needed {
        tracing::warn!(
            "{granted} file descriptors are granted and {needed} may be needed: raise \
             LimitNOFILE= in the unit, or lower limits.connections"
        );
    }
}

fn needed(config: &Config) -> u64 {
    let domains = config.domains.iter();
    let out: usize = domains
        .map(|domain| domain.destination.load.connections)
        .sum();
    let count = 2 * config.limits.connections + 2 * out;
    u64::try_from(count)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS)
}
