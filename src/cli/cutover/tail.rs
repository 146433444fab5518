//! The late mail: from senders that still have the old MX, and from those that have ours
//! after it has moved on. The mover looks at the old server from time to time; relay passes
//! on what arrives here. Over when both have been quiet.

use super::{super::human, guide::Guide, mailboxes, verify, waiting::Waiting};
use crate::{control::view::DomainView, ledger::Moved, mover::account::now_ms, spool::Phase};
use std::time::{Duration, Instant};

/// How often the daemon is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the old server is looked at.
const PASS_EVERY: Duration = Duration::from_secs(15 * 60);

/// # Errors
/// Those of the daemon, of `relay move` and of `relay verify`.
pub async fn watch(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    guide.screen().remark(&format!(
        "        point the MX of {} at the new server now; what still comes here is passed on",
        guide.domains.join(", ")
    ));
    let began = guide.status().await?.1;
    let mut waiting = Waiting::new(guide.screen());
    let mut passed = Instant::now();
    let domains = loop {
        let (status, domains) = guide.status().await?;
        let quiet_ms = quiet_ms(&domains, status.now_ms);
        let needed_ms = u64::try_from(guide.choices.quiet.as_millis()).unwrap_or(u64::MAX);
        if quiet_ms >= needed_ms && domains.iter().all(is_forwarding) {
            break domains;
        }
        waiting.show(guide.screen(), &text(&began, &domains, quiet_ms, needed_ms))?;
        if guide.config.mover.is_some() && passed.elapsed() >= PASS_EVERY {
            mailboxes::late_pass(guide).await?;
            passed = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    drop(waiting);
    let late = late(&began, &domains);
    let note = format!(
        "{} passed on, quiet for {}",
        human::counted(late, "late message", "late messages"),
        human::duration(quiet_ms(&domains, now_ms()))
    );
    let copied = last_pass(guide).await?;
    let verified = guide.verified()?;
    let news = domains.iter().filter_map(|domain| domain.last_arrival_ms);
    let newest_ms = news.max().unwrap_or(0);
    // The report is about the end, not about the middle.
    let stale = verified.is_some_and(|verified| verified.began_ms < newest_ms);
    if guide.config.mover.is_some() && (copied || stale) {
        let totals = verify::compare(guide).await?;
        return Ok(Some(format!("{note}; {}", verify::verdict(&totals))));
    }
    Ok(Some(note))
}

/// One more look at the old server, until nothing new is there; whether there was.
async fn last_pass(guide: &Guide<'_>) -> anyhow::Result<bool> {
    if guide.config.mover.is_none() {
        return Ok(false);
    }
    let messages = || -> anyhow::Result<_> {
        let moved = Moved::read(&guide.config.spool.path)?;
        Ok(moved.map(|moved| moved.messages))
    };
    let before = messages()?;
    mailboxes::converge(guide).await?;
    Ok(messages()? != before)
}

/// Nothing of it waits any more, nor is stopped.
fn is_forwarding(domain: &DomainView) -> bool {
    domain.phase == Phase::Forward && domain.backlog == 0
}

/// Since when the last of all domains has been quiet.
fn quiet_ms(domains: &[DomainView], now_ms: u64) -> u64 {
    let since = domains
        .iter()
        .map(|domain| domain.last_arrival_ms.max(Some(domain.phase_since_ms)));
    now_ms.saturating_sub(since.max().flatten().unwrap_or(0))
}

/// Deliveries accepted since.
fn late(before: &[DomainView], now: &[DomainView]) -> u64 {
    let sum = |all: &[DomainView]| all.iter().map(|one| one.accepted.count).sum::<u64>();
    sum(now).saturating_sub(sum(before))
}

fn text(began: &[DomainView], now: &[DomainView], quiet_ms: u64, needed_ms: u64) -> String {
    let stopped = now.iter().find(|domain| !is_forwarding(domain));
    if let Some(domain) = stopped {
        return format!(
            "{} is in {}: {}",
            domain.name,
            domain.phase,
            human::printable(&domain.next)
        );
    }
    format!(
        "quiet for {} of {}, {} late so far",
        human::duration(quiet_ms),
        human::duration(needed_ms),
        human::count(late(began, now))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{fixture, view::Live};

    fn view(phase: Phase, last_arrival_ms: u64, accepted: u64) -> DomainView {
        let mut status = fixture::domain("a.example", phase);
        status.phase_since_ms = 1_000;
        status.last_arrival_ms = last_arrival_ms;
        status.ledger.accepted = fixture::tally(accepted);
        status.ledger.delivered = fixture::tally(accepted);
        DomainView::of(&status, Live::default(), 0)
    }

    #[test]
    fn quiet_is_the_shorter_of_silence_and_phase_over_all_domains() {
        let never = view(Phase::Forward, 0, 0);
        let late = view(Phase::Forward, 5_000, 3);
        assert_eq!(quiet_ms(std::slice::from_ref(&never), 9_000), 8_000);
        assert_eq!(quiet_ms(&[never, late], 9_000), 4_000);
    }

    #[test]
    fn says_what_is_waited_for_or_what_stops_it() {
        let began = [view(Phase::Forward, 0, 1)];
        let now = [view(Phase::Forward, 5_000, 3)];
        assert_eq!(
            text(&began, &now, 4_000, 60_000),
            "quiet for 4 s of 1 min, 2 late so far"
        );
        let held = [view(Phase::Hold, 5_000, 3)];
        assert!(text(&began, &held, 4_000, 60_000).starts_with("a.example is in hold: "));
    }
}
