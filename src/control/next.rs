//! The next step of a domain, in words: what a nervous operator should do now.

use super::view::{MoverView, ReleaseView};
use crate::mail::REPORTS_DOMAIN;
use crate::spool::{Canary, DomainStatus, Gate, Phase};

/// After this much silence the MX record has left every cache and every sender's queue:
/// senders retry for 4 to 5 days (RFC 5321 §4.5.4.1), and records live two at most.
pub const SILENCE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What to do about the domain at the time `now_ms`. Commands stand in backquotes.
#[must_use]
pub fn step(
    status: &DomainStatus,
    release: Option<&ReleaseView>,
    mover: Option<&MoverView>,
    now_ms: u64,
) -> String {
    let name = &status.name;
    if let Some(canary) = status.canary.filter(|canary| canary.sent) {
        return canary_sent(name, &canary);
    }
    if status.paused.is_some() {
        // Retried before the release goes on, they keep their place in the order.
        let retry = match status.ledger.parked.count {
            0 => String::new(),
            parked => format!(
                ", `relay retry` what of the {parked} parked was refused by mistake \
                 (`relay list --domain {name} --state parked`)"
            ),
        };
        return format!("settle what paused it{retry}, then `relay resume {name}`");
    }
    match status.phase {
        Phase::Hold if status.ledger.accepted.count == 0 => {
            "let its MX point here; nothing has arrived yet".into()
        }
        Phase::Hold => holding(name, mover),
        Phase::Release => releasing(status, release),
        // What arrived cannot be passed on.
        Phase::Forward
            if status.ledger.backlog() > 0 && release.is_some_and(|r| r.blocked.is_some()) =>
        {
            releasing(status, release)
        }
        Phase::Forward => forwarding(status, now_ms),
    }
}

/// Mail is held: the mailboxes come first, where a mover copies them.
fn holding(name: &str, mover: Option<&MoverView>) -> String {
    let release = format!("`relay release {name}`");
    match mover {
        None => format!("{release} when the new server is ready"),
        Some(mover) if mover.converged_ms.is_some() => {
            format!("{release}: all mailboxes are copied")
        }
        Some(mover) if mover.accounts.failed > 0 => format!(
            "settle {} failed of {} accounts, then {release}",
            mover.accounts.failed, mover.accounts.total
        ),
        Some(mover) if mover.at_work => format!("mover converges, then {release}"),
        Some(_) => format!("`relay move --until-converged`, then {release}"),
    }
}

/// The first messages have gone, and a person looks at what became of them.
fn canary_sent(name: &str, canary: &Canary) -> String {
    let Canary {
        messages,
        first,
        last,
        ..
    } = canary;
    format!(
        "look at what became of the first {messages} ({first} to {last}: `relay show ID`), \
         then `relay resume {name}`, or `relay hold {name}`"
    )
}

/// A release that waits for its gate, and for what.
#[must_use]
pub fn gated(status: &DomainStatus, waits: &str) -> String {
    let (name, backlog) = (&status.name, status.ledger.backlog());
    format!("{backlog} to go, waiting: {waits}; `relay release {name}` does not wait")
}

fn releasing(status: &DomainStatus, release: Option<&ReleaseView>) -> String {
    let name = &status.name;
    let backlog = status.ledger.backlog();
    let then = status.then;
    if status.gate == Gate::Domain {
        return format!(
            "{backlog} wait for the gate: it opens when the mailboxes are copied, or by \
             `relay release {name}`"
        );
    }
    let gated = release.map_or(0, |release| release.mailboxes_gated);
    if gated > 0 {
        return format!("{backlog} to go, {gated} mailboxes wait until they are copied");
    }
    if status.gate == Gate::Mailbox && backlog == 0 {
        return "nothing to go; it waits until the mailboxes are copied".into();
    }
    match release.and_then(|release| release.blocked.as_deref()) {
        Some(reason) => format!("{backlog} to go, waiting: {reason}"),
        None => format!("{backlog} to go, then {then} by itself"),
    }
}

fn forwarding(status: &DomainStatus, now_ms: u64) -> String {
    let name = &status.name;
    if name == REPORTS_DOMAIN && status.ledger.parked.count + status.ledger.in_doubt.count == 0 {
        return "reports about bounced mail leave by [bounce] via".into();
    }
    for (count, state) in [
        (status.ledger.parked.count, "parked"),
        (status.ledger.in_doubt.count, "in_doubt"),
    ] {
        if count > 0 {
            return format!(
                "decide on {count} {state}: `relay list --domain {name} --state {state}`"
            );
        }
    }
    // Nothing ever arrived: silent since the phase began.
    let quiet_since_ms = status.last_arrival_ms.max(status.phase_since_ms);
    if status.ledger.backlog() > 0 {
        "new mail is being passed on".into()
    } else if now_ms.saturating_sub(quiet_since_ms) >= SILENCE_MS {
        "nothing has arrived for 7 days: safe to switch off".into()
    } else {
        "point its MX at the new server; safe to switch off after 7 days without mail".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_pause_comes_first() {
        let mut status = fixture::domain("corp.example", Phase::Release);
        status.paused = Some("10 refusals in a row".into());
        assert_eq!(
            step(&status, None, None, 0),
            "settle what paused it, then `relay resume corp.example`"
        );
        status.ledger.parked = fixture::tally(10);
        assert_eq!(
            step(&status, None, None, 0),
            "settle what paused it, `relay retry` what of the 10 parked was refused by mistake \
             (`relay list --domain corp.example --state parked`), then `relay resume corp.example`"
        );
    }

    #[test]
    fn a_blocked_release_says_why() {
        let mut status = fixture::domain("corp.example", Phase::Release);
        status.ledger.waiting = fixture::tally(12);
        assert_eq!(
            step(&status, None, None, 0),
            "12 to go, then forward by itself"
        );
        let blocked = ReleaseView {
            blocked: Some("connection refused".into()),
            ..ReleaseView::default()
        };
        assert_eq!(
            step(&status, Some(&blocked), None, 0),
            "12 to go, waiting: connection refused"
        );
        status.phase = Phase::Forward;
        assert_eq!(
            step(&status, Some(&blocked), None, 0),
            "12 to go, waiting: connection refused"
        );
    }

    #[test]
    fn a_hold_waits_for_the_mover_where_there_is_one() {
        let mut status = fixture::domain("corp.example", Phase::Hold);
        status.ledger.accepted = fixture::tally(1);
        let mut mover = MoverView {
            at_work: true,
            ..MoverView::default()
        };
        let say = |mover: &MoverView| step(&status, None, Some(mover), 0);
        assert_eq!(
            say(&mover),
            "mover converges, then `relay release corp.example`"
        );
        mover.at_work = false;
        assert!(say(&mover).starts_with("`relay move --until-converged`, then"));
        mover.accounts.failed = 1;
        mover.accounts.total = 2;
        assert!(say(&mover).starts_with("settle 1 failed of 2 accounts"));
        mover.converged_ms = Some(1);
        assert!(say(&mover).starts_with("`relay release corp.example`: all"));
    }

    #[test]
    fn safe_to_switch_off_only_after_a_week_of_silence() {
        let mut status = fixture::domain("corp.example", Phase::Forward);
        status.phase_since_ms = 1_000;
        status.last_arrival_ms = 5_000;
        let safe = |now_ms| step(&status, None, None, now_ms).ends_with("days: safe to switch off");
        assert!(!safe(5_000 + SILENCE_MS - 1));
        assert!(safe(5_000 + SILENCE_MS));
        let mut parked = status.clone();
        parked.ledger.parked = fixture::tally(2);
        assert_eq!(
            step(&parked, None, None, u64::MAX),
            "decide on 2 parked: `relay list --domain corp.example --state parked`"
        );
    }
}
