//! Findings on the screen, group by group, as soon as they are made.

use super::human;
use crate::{
    cli::screen::{Screen, Tone},
    ledger::{Finding, Verdict},
};

/// The longest name of a check.
const NAME_WIDTH: usize = 22;

/// Prints, and keeps what it has printed.
pub struct Show<'s> {
    screen: &'s Screen,
    all: Vec<Finding>,
}

impl<'s> Show<'s> {
    pub fn new(screen: &'s Screen) -> Self {
        Self {
            screen,
            all: Vec::new(),
        }
    }

    /// What belongs together, under its name.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn group(&mut self, name: &str, findings: Vec<Finding>) -> anyhow::Result<()> {
        let screen = self.screen;
        if !screen.json && !findings.is_empty() {
            screen.line(&screen.tone(Tone::Strong, name))?;
        }
        for finding in &findings {
            if screen.json {
                screen.json(finding)?;
            } else {
                lines(screen, finding)
                    .iter()
                    .try_for_each(|line| screen.line(line))?;
            }
        }
        self.all.extend(findings);
        Ok(())
    }

    /// The closing line. Gives all that was found.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn end(self) -> anyhow::Result<Vec<Finding>> {
        if !self.screen.json {
            self.screen.line(&closing(&self.all))?;
        }
        Ok(self.all)
    }
}

/// `1 failure, 1 warning`
fn closing(findings: &[Finding]) -> String {
    let count = |verdict| {
        let some = findings.iter().filter(|one| one.verdict == verdict);
        u64::try_from(some.count()).unwrap_or(u64::MAX)
    };
    format!(
        "{}, {}",
        human::counted(count(Verdict::Fail), "failure", "failures"),
        human::counted(count(Verdict::Warn), "warning", "warnings")
    )
}

/// ` FAIL  recipients   what was found`, and its fix on the next line.
fn lines(screen: &Screen, finding: &Finding) -> Vec<String> {
    let tone = match finding.verdict {
        Verdict::Ok => Tone::Good,
        Verdict::Warn => Tone::Warning,
        Verdict::Fail => Tone::Bad,
    };
    let word = screen.tone(tone, &format!("{:<4}", finding.verdict.word()));
    let found = human::printable(&finding.found);
    let mut lines = vec![format!(" {word}  {:<NAME_WIDTH$}  {found}", finding.name)];
    if let Some(fix) = &finding.fix {
        let fix = human::printable(fix);
        lines.push(format!("       {:<NAME_WIDTH$}  {fix}", "fix"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line_and_its_fix_another() {
        let finding = Finding {
            name: "mx".into(),
            domain: None,
            verdict: Verdict::Warn,
            found: "not\r\nyet \u{1b}[2J".into(),
            fix: Some("move it".into()),
            temporary: false,
            at_ms: 0,
        };
        let shown = lines(&Screen::new(false), &finding);
        assert_eq!(
            shown,
            [
                " WARN  mx                      not yet ?[2J",
                "       fix                     move it"
            ]
        );
        assert_eq!(closing(&[finding]), "0 failures, 1 warning");
    }

    #[test]
    fn every_name_fits() {
        for name in crate::check::NAMES {
            assert!(name.len() <= NAME_WIDTH, "{name}");
        }
    }
}
