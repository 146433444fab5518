//! A report for a terminal.

use crate::{
    cli::human,
    report::{
        chain::Chain,
        model::{DomainReport, Grade, Report},
        speed::Flow,
    },
    spool::State,
};

/// Exceptions that a terminal gets.
const EXCEPTIONS_MAX: usize = 200;
/// What the line with the chain's head begins with.
const CHAIN: &str = "chain: BLAKE3 ";

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut lines = vec![
        format!(
            "Cutover report of {}, made {} by relay {}",
            report.hostname,
            human::time(report.made_ms),
            report.version
        ),
        String::new(),
    ];
    for verdict in report.verdicts() {
        let mark = match verdict.grade {
            Grade::Good => "ok  ",
            Grade::Look => "LOOK",
            Grade::Bad => "FAIL",
        };
        lines.push(format!(
            " {mark}  {:<13} {}",
            verdict.part,
            human::printable(&verdict.words)
        ));
    }
    for domain in &report.domains {
        lines.push(String::new());
        of_domain(domain, &mut lines);
    }
    speeds(report, &mut lines);
    exceptions(report, &mut lines);
    verification(report, &mut lines);
    lines.push(String::new());
    lines.push(chain_line(&report.chain));
    lines.push("to check it later: relay report --check FILE".to_owned());
    lines.join("\n") + "\n"
}

fn of_domain(domain: &DomainReport, lines: &mut Vec<String>) {
    let states = State::ALL.map(|state| (state, domain.states.get(state).count));
    let states = states.iter().filter(|(_, count)| *count > 0);
    let states: Vec<String> = states
        .map(|(state, count)| format!("{state} {}", human::count(*count)))
        .collect();
    lines.push(format!(
        "{}  {}, since {}",
        domain.name,
        domain.phase.name().to_uppercase(),
        human::time(domain.phase_since_ms)
    ));
    lines.push(format!(
        "  accepted {} ({}) = {}   {}",
        human::count(domain.accepted.count),
        human::size(domain.accepted.bytes),
        if states.is_empty() {
            "0".to_owned()
        } else {
            states.join(" + ")
        },
        if domain.balanced {
            "balanced"
        } else {
            "NOT BALANCED"
        }
    ));
    if domain.resent > 0 {
        let count = human::count(domain.resent);
        lines.push(format!(
            "  {count} sent again after doubt: they may be there twice"
        ));
    }
    for event in &domain.events {
        let text = format!(
            "{}  {} ({})",
            human::time(event.at_ms),
            event.what,
            event.cause
        );
        lines.push(format!("  {}", human::printable(&text)));
    }
    lines.push(format!("  next: {}", human::printable(&domain.next)));
}

fn speeds(report: &Report, lines: &mut Vec<String>) {
    let speeds = &report.speeds;
    lines.push(String::new());
    for (name, flow) in [
        ("arrived", &speeds.arrived),
        ("delivered", &speeds.delivered),
    ] {
        if flow.deliveries > 0 {
            lines.push(format!("{name:<10} {}", flow_text(flow)));
        }
    }
    if speeds.delivered.deliveries > 0 {
        lines.push(format!(
            "waited     half up to {}, all but a twentieth up to {}; {} deferred at least once",
            human::duration(speeds.waited_median_ms),
            human::duration(speeds.waited_p95_ms),
            human::count(speeds.deferred_then_delivered)
        ));
    }
}

/// `1,284 deliveries, 311 MB, from ... to ..., busiest minute 96`
#[must_use]
pub fn flow_text(flow: &Flow) -> String {
    let mut text = format!(
        "{}, {}",
        human::counted(flow.deliveries, "delivery", "deliveries"),
        human::size(flow.bytes)
    );
    if let (Some(first), Some(last)) = (flow.first_ms, flow.last_ms) {
        text += &format!(", from {} to {}", human::time(first), human::time(last));
    }
    text + &format!(
        ", {} in the busiest minute",
        human::count(flow.busiest_per_min)
    )
}

fn exceptions(report: &Report, lines: &mut Vec<String>) {
    if report.exceptions.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("Deliveries to look at".to_owned());
    for one in report.exceptions.iter().take(EXCEPTIONS_MAX) {
        lines.push(human::printable(&format!(
            "{} {} {} -> {}",
            one.queue_id,
            one.state,
            human::sender(&one.sender),
            one.recipient
        )));
        lines.push(format!("    {}", human::printable(&one.reason)));
        for step in &one.done {
            let text = format!("{}  {}  {}", human::time(step.at_ms), step.step, step.why);
            lines.push(format!("    {}", human::printable(&text)));
        }
    }
    let shown = report.exceptions.len().min(EXCEPTIONS_MAX);
    let more = (report.exceptions.len() - shown) as u64 + report.exceptions_more;
    if more > 0 {
        let more = human::count(more);
        lines.push(format!(
            "and {more} more: `relay list --state parked`, and so on"
        ));
    }
}

fn verification(report: &Report, lines: &mut Vec<String>) {
    let Some(verified) = &report.verified else {
        return;
    };
    lines.push(String::new());
    lines.push(format!(
        "Verified {}: = {}  - {}  * {}  + {}  ! {}",
        human::time(verified.ended_ms),
        human::count(verified.totals.there),
        human::count(verified.totals.missing),
        human::count(verified.totals.differs),
        human::count(verified.totals.extra + verified.totals.doubled + verified.totals.split),
        human::count(verified.totals.unreadable)
    ));
    for one in verified.exceptions.iter().take(EXCEPTIONS_MAX) {
        let text = format!("{} {}  {}", one.kind.mark(), one.mailbox, one.named());
        lines.push(human::printable(&text));
        lines.push(format!("    {}", human::printable(&one.reason)));
    }
    let shown = verified.exceptions.len().min(EXCEPTIONS_MAX);
    let more = (verified.exceptions.len() - shown) as u64 + verified.exceptions_more;
    if more > 0 {
        lines.push(format!(
            "and {} more: `relay verify` names them",
            human::count(more)
        ));
    }
}

/// The line by which a text can be checked.
#[must_use]
pub fn chain_line(chain: &Chain) -> String {
    format!(
        "{CHAIN}head {} messages {} events {} below {} up to {}",
        chain.head,
        chain.messages,
        chain.events,
        chain.next_event,
        chain.last_message.as_deref().unwrap_or("none")
    )
}

/// What that line says.
#[must_use]
pub fn chain(content: &str) -> Option<Chain> {
    let line = content.lines().find_map(|line| line.strip_prefix(CHAIN))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, head, _, messages, _, events, _, below, _, _, last] = words.as_slice() else {
        return None;
    };
    Some(Chain {
        algorithm: "BLAKE3".into(),
        next_event: below.parse().ok()?,
        last_message: (*last != "none").then(|| (*last).to_owned()),
        messages: messages.parse().ok()?,
        events: events.parse().ok()?,
        head: (*head).to_owned(),
        links: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_chain_reads_back() {
        for last_message in [None, Some("000000000007".to_owned())] {
            let told = Chain {
                algorithm: "BLAKE3".into(),
                next_event: 9,
                last_message,
                messages: 1,
                events: 2,
                head: "ab".repeat(32),
                links: Vec::new(),
            };
            let report = Report {
                chain: told.clone(),
                ..Report::default()
            };
            assert_eq!(chain(&page(&report)), Some(told));
        }
        assert_eq!(chain("chain: BLAKE3 head"), None);
    }
}
