//! What the last checks found, and what has changed since those before.

use crate::{
    cli::{
        human,
        screen::{Screen, Tone},
    },
    ledger::{
        Checked, Verdict,
        checked::{Change, Finding},
    },
};

/// Changes that are shown.
const CHANGES_SHOWN: usize = 3;

/// The lines about one domain, or about the relay itself.
pub fn lines(
    screen: &Screen,
    checked: Option<&Checked>,
    domain: Option<&str>,
    now_ms: u64,
) -> Vec<String> {
    let Some(checked) = checked else {
        return Vec::new();
    };
    let findings = checked.findings.iter();
    let own = findings.filter(|one| one.domain.as_deref() == domain);
    let wrong = own.filter(|one| one.verdict != Verdict::Ok);
    let mut lines: Vec<String> = wrong.map(|one| finding(screen, one, now_ms)).collect();
    let changes = checked.changes.iter();
    let changes = changes.filter(|one| one.domain.as_deref() == domain);
    lines.extend(changes.rev().take(CHANGES_SHOWN).map(change));
    lines
}

fn finding(screen: &Screen, finding: &Finding, now_ms: u64) -> String {
    let tone = match finding.verdict {
        Verdict::Fail => Tone::Bad,
        Verdict::Warn | Verdict::Ok => Tone::Warning,
    };
    format!(
        "  check     {} {}: {} ({} ago)",
        screen.tone(tone, finding.verdict.word()),
        finding.name,
        human::printable(&finding.found),
        human::duration(now_ms.saturating_sub(finding.at_ms))
    )
}

fn change(change: &Change) -> String {
    format!(
        "  changed   {}: {} -> {} at {}",
        change.name,
        change.from.word(),
        change.to.word(),
        human::time(change.at_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_and_what_has_changed_is_shown_where_it_belongs() {
        let mut finding = Finding {
            name: "mx".into(),
            domain: Some("a.example".into()),
            verdict: Verdict::Ok,
            found: "10 relay.example".into(),
            fix: None,
            temporary: false,
            at_ms: 1_000,
        };
        let mut checked = Checked::default();
        let screen = Screen::new(false);
        checked.record(std::slice::from_ref(&finding));
        let of = |checked: &Checked, domain| lines(&screen, Some(checked), domain, 61_000);
        assert_eq!(of(&checked, Some("a.example")), Vec::<String>::new());
        (finding.verdict, finding.found) = (Verdict::Fail, "they differ".into());
        checked.record(&[finding]);
        let shown = of(&checked, Some("a.example"));
        assert_eq!(shown[0], "  check     FAIL mx: they differ (1 min ago)");
        assert!(
            shown[1].starts_with("  changed   mx: ok -> FAIL at "),
            "{shown:?}"
        );
        assert_eq!(of(&checked, None), Vec::<String>::new());
    }
}
