//! The cheap ones of `relay check`, again and again while a domain is held: DNS, the new
//! server, the spool. What changes is in the log, the status and on the page.

use crate::{
    check::{CheckError, Checker, Depth, Known},
    cli::{
        check::{held, newest_ms, record},
        source::Source,
    },
    config::{Config, Domain},
    ledger::{Checked, Finding, Verdict},
    spool::{Phase, Spool},
};
use arc_swap::ArcSwap;
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

/// The first look comes this soon at most: not while the daemon has better to do.
const FIRST: Duration = Duration::from_secs(60);
/// How often a configuration that wants no checks is looked at again.
const IDLE: Duration = Duration::from_secs(60);

/// Looks until dropped. `config` may be exchanged meanwhile.
pub async fn run(config: Arc<ArcSwap<Config>>, spool: Arc<dyn Spool>) {
    let mut rate = Rate::default();
    let mut wait = FIRST;
    loop {
        let every = config.load().check.every;
        tokio::time::sleep(match every {
            Duration::ZERO => IDLE,
            every => every.min(wait),
        })
        .await;
        if every.is_zero() {
            continue;
        }
        wait = Duration::MAX;
        if let Err(error) = look(&config.load_full(), &spool, &mut rate).await {
            tracing::warn!("no checks could be made: {error}");
        }
    }
}

async fn look(
    config: &Arc<Config>,
    spool: &Arc<dyn Spool>,
    rate: &mut Rate,
) -> Result<(), CheckError> {
    let status = spool.domains();
    let held = |domain: &&Domain| {
        let status = status.iter().find(|one| one.name == domain.name);
        status.is_some_and(|one| one.phase == Phase::Hold)
    };
    let domains: Vec<Domain> = config.domains.iter().filter(held).cloned().collect();
    let accepted = status.iter().map(|one| one.ledger.accepted.bytes).sum();
    let bytes_per_day = rate.measure(accepted);
    if domains.is_empty() {
        return Ok(());
    }
    let known = Known {
        held: self::held(&Source::Spool(spool.clone()), &domains).await,
        bytes_per_day,
        newest_ms: newest_ms(&status),
    };
    let checker = Arc::new(Checker::new(config.clone(), known, Depth::Cheap)?);
    let (mut findings, relay) = checker.relay().await;
    let mut all = Vec::new();
    let mut take = |_: &str, some: Vec<Finding>| {
        all.extend(some);
        Ok(())
    };
    let told: Result<_, Infallible> = checker.domains(&domains, &relay, &mut take).await;
    let Ok(told) = told;
    findings.extend(all);
    findings.extend(checker.clock(&told));
    tell(config, &findings);
    if let Err(error) = record(config, &findings) {
        tracing::warn!("the results of checks are not kept: {error}");
    }
    Ok(())
}

/// Says in the log what goes otherwise than before.
fn tell(config: &Config, findings: &[Finding]) {
    let before = Checked::read(&config.spool.path).ok().flatten();
    let before = before.unwrap_or_default().findings;
    for new in findings {
        let old = (before.iter()).find(|old| old.name == new.name && old.domain == new.domain);
        let old = old.map_or(Verdict::Ok, |old| old.verdict);
        if old == new.verdict {
            continue;
        }
        let about = new.domain.as_deref().unwrap_or(&config.hostname);
        let (name, word, found) = (&new.name, new.verdict.word(), &new.found);
        let was = old.word();
        match new.verdict {
            Verdict::Ok => tracing::info!("check {name} of {about}: {word}, was {was}: {found}"),
            _ => tracing::warn!("check {name} of {about}: {word}, was {was}: {found}"),
        }
    }
}

/// How fast accepted bytes grow, from one look to the next.
#[derive(Default)]
struct Rate(Option<(Instant, u64)>);

impl Rate {
    fn measure(&mut self, accepted: u64) -> Option<f64> {
        let now = Instant::now();
        let before = self.0.replace((now, accepted));
        let (then, bytes) = before?;
        let seconds = now.duration_since(then).as_secs_f64();
        Some(accepted.saturating_sub(bytes) as f64 / seconds.max(1.0) * 86_400.0)
    }
}
