//! `relay status`

mod checks;
mod mover;

use super::{
    Context, human,
    screen::{Screen, Tone},
};
use crate::{
    control::view::{DomainView, RailView, StatusView},
    spool::{Gate, Phase, State},
};
use clap::Args;
use std::{io::IsTerminal as _, time::Duration};

/// How often `--watch` looks.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Cursor to the top, and everything below it cleared: no flicker.
const TOP: &str = "\x1b[H\x1b[J";
/// The states with a line of their own; the others stand in the account.
const SHOWN: [State; 5] = [
    State::Held,
    State::Queued,
    State::Deferred,
    State::InDoubt,
    State::Parked,
];

/// How to show it.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Show it again every two seconds until interrupted.
    #[arg(long)]
    watch: bool,
}

/// # Errors
/// Those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let client = context.daemon().await?;
    let screen = &context.screen;
    loop {
        let status: StatusView = client.get("/v1/status").await?;
        if screen.json {
            screen.json(&status)?;
        } else {
            let top = arguments.watch && std::io::stdout().is_terminal();
            let text = text(screen, &status);
            screen.line(&format!("{}{text}", if top { TOP } else { "" }))?;
        }
        if !arguments.watch {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn text(screen: &Screen, status: &StatusView) -> String {
    let domains: Vec<String> = status
        .domains
        .iter()
        .map(|domain| {
            let mut lines = block(screen, domain, status.now_ms);
            let name = Some(&*domain.name);
            lines.extend(checks::lines(
                screen,
                status.checked.as_ref(),
                name,
                status.now_ms,
            ));
            lines.join("\n")
        })
        .collect();
    let mut domains = if domains.is_empty() {
        "no domain is configured".into()
    } else {
        domains.join("\n\n")
    };
    let own = checks::lines(screen, status.checked.as_ref(), None, status.now_ms);
    if !own.is_empty() {
        let name = screen.tone(Tone::Strong, "relay itself");
        domains += &format!("\n\n{name}\n{}", own.join("\n"));
    }
    let domains = match status.given_up {
        0 => domains,
        given_up => {
            let what = human::counted(given_up, "delivered message", "delivered messages");
            let short = format!("disk nearly full: the bytes of {what} were given up early");
            format!("{}\n\n{domains}", screen.tone(Tone::Warning, &short))
        }
    };
    match &status.refusing {
        None => domains,
        Some(reason) => {
            let reason = human::printable(reason);
            let alarm = format!("NO MAIL IS TAKEN: {reason}");
            format!("{}\n\n{domains}", screen.tone(Tone::Bad, &alarm))
        }
    }
}

/// The lines of one domain.
fn block(screen: &Screen, domain: &DomainView, now_ms: u64) -> Vec<String> {
    let phase = domain.phase.name().to_uppercase();
    let age = human::clock(now_ms.saturating_sub(domain.phase_since_ms));
    let mut lines = vec![format!(
        "{}   {} for {age} · next: {}",
        screen.tone(Tone::Strong, &domain.name),
        screen.tone(tone(domain), &phase),
        human::printable(&domain.next)
    )];
    if !domain.rail.is_empty() {
        lines.push(format!("  {}", rail(&domain.rail)));
    }
    if let Some(reason) = &domain.paused {
        let paused = screen.tone(Tone::Warning, "PAUSED");
        lines.push(format!("  {paused}    {}", human::printable(reason)));
    }
    lines.extend(waits_for(screen, domain));
    lines.extend(states(domain, now_ms));
    lines.extend(release(domain, now_ms));
    if let Some(mover) = &domain.mover {
        lines.extend(mover::lines(mover, domain.phase, now_ms));
    }
    lines.extend(quiet(domain, now_ms));
    lines.push(account(screen, domain));
    lines
}

/// What keeps back mail that was released.
fn waits_for(screen: &Screen, domain: &DomainView) -> Option<String> {
    let text = match (domain.gate, &domain.canary) {
        (Gate::Domain, _) => "nothing goes until the mailboxes are copied".to_owned(),
        (Gate::Mailbox, _) => match domain.release.as_ref().map(|r| r.mailboxes_gated) {
            None | Some(0) => "each mailbox goes when it is copied".into(),
            Some(1) => "1 mailbox waits until it is copied".into(),
            Some(gated) => format!(
                "{} mailboxes wait until they are copied",
                human::count(gated)
            ),
        },
        (Gate::Open, Some(canary)) if !canary.sent => format!(
            "canary: {} up to {}, then it stops",
            human::counted(u64::from(canary.messages), "message", "messages"),
            canary.last
        ),
        (Gate::Open, _) => return None,
    };
    Some(format!(
        "  {}   {text}",
        screen.tone(Tone::Warning, "waits  ")
    ))
}

fn tone(domain: &DomainView) -> Tone {
    match (&domain.paused, domain.phase) {
        (Some(_), _) | (None, Phase::Hold) => Tone::Warning,
        (None, Phase::Release | Phase::Forward) => Tone::Good,
    }
}

/// `[x] checked  [x] MX moved  [>] holding  [ ] synced  [ ] released  [ ] verified`
fn rail(rail: &[RailView]) -> String {
    let marks = rail
        .iter()
        .map(|step| format!("[{}] {}", step.mark.sign(), step.step));
    marks.collect::<Vec<_>>().join("  ")
}

/// A line for each state that counts something; for the first also age and arrivals.
fn states(domain: &DomainView, now_ms: u64) -> Vec<String> {
    let waiting = match domain.phase {
        Phase::Hold => State::Held,
        Phase::Release | Phase::Forward => State::Queued,
    };
    let mut lines = Vec::new();
    for state in SHOWN {
        let tally = domain.states.get(state);
        if tally.count == 0 && state != waiting {
            continue;
        }
        let mut line = format!(
            "  {:<9} {}  {}",
            state.name(),
            human::counted(tally.count, "delivery", "deliveries"),
            human::size(tally.bytes)
        );
        if state == waiting {
            if let Some(oldest_ms) = domain.oldest_ms {
                let age = human::duration(now_ms.saturating_sub(oldest_ms));
                line += &format!("  oldest {age}");
            }
            if let Some(rate) = domain.arrivals_per_min {
                line += &format!("  in {}", human::rate(rate));
            }
        }
        lines.push(line);
    }
    lines
}

fn release(domain: &DomainView, now_ms: u64) -> Option<String> {
    let release = domain.release.as_ref()?;
    let mut line = format!(
        "  release   to {}  {} in flight over {}  out {}",
        human::printable(&release.destination),
        human::count(release.in_flight),
        human::counted(release.connections, "connection", "connections"),
        human::rate(release.rate_per_s * 60.0)
    );
    if release.mailboxes_waiting > 0 {
        let waiting = human::counted(release.mailboxes_waiting, "mailbox", "mailboxes");
        line += &format!("  {waiting} waiting for another try");
    }
    for slowed in &release.slowed {
        line += &format!("\n            limited: {}", human::printable(slowed));
    }
    if let Some(blocked) = &release.blocked {
        line += &format!("\n            waiting: {}", human::printable(blocked));
    }
    if let Some(next_ms) = release.next_try_ms {
        let left = human::duration(next_ms.saturating_sub(now_ms));
        line += &format!(", next try in {left}");
    }
    Some(line)
}

fn quiet(domain: &DomainView, now_ms: u64) -> Option<String> {
    let last_ms = domain.last_arrival_ms?;
    Some(format!(
        "  last mail {} ago ({})",
        human::duration(now_ms.saturating_sub(last_ms)),
        human::time(last_ms)
    ))
}

/// `accepted 1,284 = held 1,284 + delivered 0 + parked 0        balanced`
fn account(screen: &Screen, domain: &DomainView) -> String {
    let always = match domain.phase {
        Phase::Hold => [State::Held, State::Delivered, State::Parked],
        Phase::Release | Phase::Forward => [State::Queued, State::Delivered, State::Parked],
    };
    let terms: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (state, domain.states.get(state).count))
        .filter(|(state, count)| *count > 0 || always.contains(state))
        .map(|(state, count)| format!("{state} {}", human::count(count)))
        .collect();
    let verdict = if domain.balanced {
        screen.tone(Tone::Good, "balanced")
    } else {
        screen.tone(Tone::Bad, "NOT BALANCED: run `relay fsck`")
    };
    let mut line = format!(
        "  account   accepted {} = {}        {verdict}",
        human::count(domain.accepted.count),
        terms.join(" + ")
    );
    if domain.doubted > 0 {
        line += &format!(
            ", in doubt {}, of which {} found there",
            human::counted(domain.doubted, "time", "times"),
            human::count(domain.found)
        );
    }
    if domain.resent > 0 {
        line += &format!(", {} sent again after doubt", human::count(domain.resent));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{
        self, Known, fixture,
        view::{Live, ReleaseView},
    };

    fn shown(status: &crate::spool::DomainStatus, live: Live, now_ms: u64) -> String {
        let rail = control::rail(status, None, &Known::default());
        let domain = DomainView::of(status, Live { rail, ..live }, now_ms);
        block(&Screen::new(false), &domain, now_ms).join("\n")
    }

    #[test]
    fn a_hold_shows_what_it_keeps_and_what_to_do() {
        let mut status = fixture::domain("corp.example", Phase::Hold);
        status.ledger.accepted = fixture::tally(1_284);
        status.ledger.waiting = fixture::tally(1_284);
        let live = Live {
            oldest_ms: Some(7_000),
            ..Live::default()
        };
        assert_eq!(
            shown(&status, live, 8_047_000),
            "corp.example   HOLD for 02:14:07 · next: `relay release corp.example` when the new \
             server is ready\n\
             \x20 [ ] checked  [ ] MX moved  [>] holding  [-] synced  [ ] released  [ ] verified\n\
             \x20 held      1,284 deliveries  128 kB  oldest 2 h 14 min\n\
             \x20 account   accepted 1,284 = held 1,284 + delivered 0 + parked 0        balanced"
        );
    }

    #[test]
    fn a_release_shows_what_blocks_it() {
        let mut status = fixture::domain("corp.example", Phase::Release);
        status.paused = Some("10 refusals in a row".into());
        status.ledger.accepted = fixture::tally(3);
        status.ledger.waiting = fixture::tally(2);
        let live = Live {
            release: Some(ReleaseView {
                destination: "new.example:25".into(),
                blocked: Some("connection refused".into()),
                next_try_ms: Some(31_000),
                in_flight: 1,
                connections: 2,
                ..ReleaseView::default()
            }),
            ..Live::default()
        };
        let text = shown(&status, live, 1_000);
        assert!(text.contains("PAUSED    10 refusals in a row"));
        assert!(text.contains("to new.example:25  1 in flight over 2 connections"));
        assert!(text.contains("waiting: connection refused, next try in 30 s"));
        assert!(text.contains("accepted 3 = queued 2 + delivered 0 + parked 0"));
        assert!(text.contains("NOT BALANCED"));
    }
}
