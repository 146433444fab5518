//! The lines about the copying of mailboxes.

use crate::{cli::human, control::view::MoverView, spool::Phase};

/// Accounts in trouble that are named; `relay status --json` and the page have more.
const NAMED_MAX: usize = 3;

/// How far, how fast, why not faster; and which accounts are where. After the release the
/// mailboxes are of interest only where something is left to do.
pub fn lines(mover: &MoverView, phase: Phase, now_ms: u64) -> Vec<String> {
    if phase == Phase::Forward && mover.converged_ms.is_some() && !mover.at_work {
        return Vec::new();
    }
    let mut lines = vec![progress(mover, now_ms), accounts(mover)];
    if mover.refused + mover.altered > 0 {
        lines.push(format!(
            "            {} not taken by the new server, {} altered by it: `relay move` names them",
            human::counted(mover.refused, "message", "messages"),
            human::count(mover.altered)
        ));
    }
    lines
}

/// `mover     1,902,114 / 1,944,020  97.8%  18/s  throttled: [LIMIT]  ETA 11 min`
fn progress(mover: &MoverView, now_ms: u64) -> String {
    let (done, total) = (mover.messages.done, mover.messages.total);
    let mut parts = vec![format!(
        "  mover     {} / {}",
        human::count(done),
        human::count(total)
    )];
    parts.extend(human::percent(done, total));
    if mover.at_work && mover.rate_per_s > 0.0 {
        parts.push(human::rate(mover.rate_per_s * 60.0));
    }
    if let Some(slow) = mover.slow.as_ref().filter(|_| mover.at_work) {
        parts.push(format!("slow: {}", human::printable(slow)));
    }
    if let Some(eta_s) = mover.eta_s.filter(|_| mover.at_work) {
        parts.push(format!("ETA {}", human::duration(eta_s * 1000)));
    }
    match mover.converged_ms {
        Some(at_ms) => parts.push(format!("converged {}", human::time(at_ms))),
        None if !mover.at_work => parts.push(format!(
            "not at work for {}",
            human::duration(now_ms.saturating_sub(mover.updated_ms))
        )),
        None => {}
    }
    if let Some(why) = &mover.not_yet {
        parts.push(format!("not converged: {}", human::printable(why)));
    }
    parts.join("  ")
}

/// `accounts  412 = 410 converged, 1 copying, 1 failed (bob: over quota)`
fn accounts(mover: &MoverView) -> String {
    let states = mover.accounts.by_state();
    let shown = states
        .iter()
        .filter(|(state, count)| *count > 0 || *state == "converged")
        .map(|(state, count)| format!("{} {state}{}", human::count(*count), named(mover, state)));
    format!(
        "  accounts  {} = {}",
        human::count(mover.accounts.total),
        shown.collect::<Vec<_>>().join(", ")
    )
}

/// ` (bob: over quota; eve: login refused)`
fn named(mover: &MoverView, state: &str) -> String {
    let mut names: Vec<String> = (mover.troubled.iter())
        .filter(|one| one.state.name() == state)
        .map(|one| format!("{}: {}", one.account, one.reason))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    if names.len() > NAMED_MAX {
        names.truncate(NAMED_MAX);
        names.push("...".into());
    }
    format!(" ({})", human::printable(&names.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::view::{AccountsView, TroubledView},
        ledger::{AccountState, Part},
    };

    #[test]
    fn says_how_far_how_fast_why_not_faster_and_who_failed() {
        let mover = MoverView {
            at_work: true,
            messages: Part {
                done: 1_902_114,
                total: 1_944_020,
            },
            rate_per_s: 63.4,
            eta_s: Some(660),
            slow: Some("old server answered [LIMIT]".into()),
            accounts: AccountsView {
                total: 412,
                converged: 410,
                copying: 1,
                failed: 1,
                ..AccountsView::default()
            },
            troubled: vec![TroubledView {
                account: "bob".into(),
                state: AccountState::Failed,
                reason: "over quota".into(),
            }],
            ..MoverView::default()
        };
        assert_eq!(
            lines(&mover, Phase::Hold, 0),
            [
                "  mover     1,902,114 / 1,944,020  97.8%  63/s  slow: old server answered \
                 [LIMIT]  ETA 11 min",
                "  accounts  412 = 410 converged, 1 copying, 1 failed (bob: over quota)",
            ]
        );
        let idle = MoverView {
            at_work: false,
            updated_ms: 1_000,
            ..mover
        };
        let text = lines(&idle, Phase::Hold, 61_000).join("\n");
        assert!(text.contains("97.8%  not at work for 1 min\n"), "{text}");
        let done = MoverView {
            converged_ms: Some(1),
            ..idle
        };
        assert_eq!(lines(&done, Phase::Forward, 0), [""; 0]);
    }
}
