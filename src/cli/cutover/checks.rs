//! What went wrong in other migrations is looked at before this one begins.

use super::{
    super::{
        Exit,
        check::{chosen, failure, look},
        exit::Code,
        human,
    },
    guide::Guide,
};
use crate::{
    check::OF_DNS,
    cutover::plan::{DESPITE_ALL, Dns},
    ledger::{Finding, Verdict},
};
use std::sync::Arc;

/// What a person may say to a failure.
const ANSWERS: [&str; 3] = ["go on", "look again", "stop"];

/// Makes every check. Warnings are shown; a failure asks, and stops who cannot be asked.
///
/// # Errors
/// A failure that nobody wants to go on despite: as `relay check` ends.
pub async fn check(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    loop {
        // Anew, since it may be the configuration that was mended.
        let config = Arc::new(guide.context.config()?);
        let domains = chosen(&config, &guide.domains)?;
        let findings = look(guide.context, &config, &domains).await?;
        let (stops, known) = failures(guide, &findings);
        for name in &known {
            guide
                .screen()
                .remark(&format!("        gone on despite {name}"));
        }
        let Some(mut exit) = failure(&stops) else {
            return Ok(Some(note(&findings, &known)));
        };
        if !guide.attended() {
            let names = names(&stops);
            exit.text = format!(
                "unattended it stops here: {}; mend it, or go on with --despite {}",
                exit.text,
                names.join(",")
            );
            return Err(exit.into());
        }
        match guide.screen().which(&exit.text, &ANSWERS).await {
            Some(0) => {
                let mut despite = known;
                despite.extend(names(&stops));
                return Ok(Some(note(&findings, &despite)));
            }
            Some(1) => {}
            _ => return Err(stopped(exit)),
        }
    }
}

fn stopped(exit: Exit) -> anyhow::Error {
    let text = format!("{}; not gone on with, as you wish", exit.text);
    Exit::new(Code::TryAgain, text).into()
}

/// The failures that stop, and the names of those that were known before.
fn failures<'f>(guide: &Guide<'_>, findings: &'f [Finding]) -> (Vec<&'f Finding>, Vec<String>) {
    let choices = &guide.choices;
    let known = |finding: &&Finding| {
        let named = |word: &String| *word == finding.name || word == DESPITE_ALL;
        // Whoever answers in the place of the DNS has another one than the world.
        let elsewhere = choices.dns == Dns::Skipped && OF_DNS.contains(&&*finding.name);
        choices.despite.iter().any(named) || elsewhere
    };
    let failed = findings.iter().filter(|one| one.verdict == Verdict::Fail);
    let (known, stops): (Vec<_>, Vec<_>) = failed.partition(known);
    (stops, names(&known))
}

/// Each once.
fn names(findings: &[&Finding]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for finding in findings {
        if !names.contains(&finding.name) {
            names.push(finding.name.clone());
        }
    }
    names
}

/// `22 checks, 2 warnings; gone on despite port-25`
fn note(findings: &[Finding], despite: &[String]) -> String {
    let count = |some: usize| u64::try_from(some).unwrap_or(u64::MAX);
    let warned = findings.iter().filter(|one| one.verdict == Verdict::Warn);
    let mut note = format!(
        "{}, {}",
        human::counted(count(findings.len()), "check", "checks"),
        human::counted(count(warned.count()), "warning", "warnings")
    );
    if !despite.is_empty() {
        note += &format!("; gone on despite {}", despite.join(", "));
    }
    note
}
