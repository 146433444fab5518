//! `relay report --check FILE`

use super::{html, text};
use crate::{
    cli::{Context, Exit, exit::Code, human, screen::Tone, source::Source},
    control::view::LogLine,
    report::{
        chain::{Chain, Hash, entries},
        check::{Comparison, within},
        model::Report,
    },
};
use anyhow::Context as _;
use serde::Serialize;
use std::{fs, path::Path};

/// With `--json`.
#[derive(Serialize)]
struct CheckedView<'a> {
    file: &'a Path,
    made_ms: Option<u64>,
    messages: u64,
    events: u64,
    head: &'a str,
    chain: Option<bool>,
    spool: Option<bool>,
    findings: &'a [String],
}

/// What a file says of its chain.
enum Told {
    /// All of it.
    Whole(Box<Report>),
    /// Its head, as a text has it.
    Head(Chain),
}

/// # Errors
/// A file that is no report, and a chain that does not hold (65).
pub async fn run(context: &Context, file: &Path) -> anyhow::Result<()> {
    let content = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let told = told(&content).ok_or_else(|| {
        let text = format!("{}: is no report of relay", file.display());
        Exit::new(Code::Data, text)
    })?;
    let (chain, made_ms) = match &told {
        Told::Whole(report) => (&report.chain, Some(report.made_ms)),
        Told::Head(chain) => (chain, None),
    };
    let mut findings = match &told {
        Told::Whole(report) => Some(in_itself(report)),
        Told::Head(_) => None,
    };
    let chain_holds = findings.as_ref().map(Vec::is_empty);
    // A report is checked where there is no relay, too.
    let beside = match Source::open(context).await {
        Ok(source) if made_ms.is_some() => Some(compare(&source, chain).await?),
        Ok(source) => Some(same_head(&source, chain).await?),
        Err(error) => {
            context
                .screen
                .remark(&format!("the spool is not compared: {error}"));
            None
        }
    };
    let spool_agrees = beside.as_ref().map(Vec::is_empty);
    let mut all = findings.take().unwrap_or_default();
    all.extend(beside.unwrap_or_default());
    let view = CheckedView {
        file,
        made_ms,
        messages: chain.messages,
        events: chain.events,
        head: &chain.head,
        chain: chain_holds,
        spool: spool_agrees,
        findings: &all,
    };
    show(context, &view)?;
    if all.is_empty() && (chain_holds.is_some() || spool_agrees.is_some()) {
        return Ok(());
    }
    Err(Exit::new(Code::Data, "the report is not confirmed").into())
}

fn show(context: &Context, view: &CheckedView<'_>) -> anyhow::Result<()> {
    let screen = &context.screen;
    if screen.json {
        return screen.json(view);
    }
    let verdict = |holds: Option<bool>, good: &str, bad: &str, none: &str| match holds {
        Some(true) => screen.tone(Tone::Good, good),
        Some(false) => screen.tone(Tone::Bad, bad),
        None => none.to_owned(),
    };
    for finding in view.findings {
        screen.line(&format!(
            "{} {}",
            screen.tone(Tone::Bad, "FAIL"),
            human::printable(finding)
        ))?;
    }
    screen.line(&format!(
        "{}, {}, head {}",
        human::counted(view.messages, "message", "messages"),
        human::counted(view.events, "event", "events"),
        view.head
    ))?;
    let chain = verdict(
        view.chain,
        "the chain in the file is whole",
        "the chain in the file is BROKEN",
        "a text has no chain in it, only its head",
    );
    let spool = verdict(
        view.spool,
        "the spool still has all of it, unchanged",
        "the spool does NOT agree (records also go after spool.retain_records)",
        "the spool was not compared",
    );
    Ok(screen.line(&format!("{chain}; {spool}"))?)
}

fn told(content: &str) -> Option<Told> {
    let json = html::data(content).unwrap_or(content);
    if let Ok(report) = serde_json::from_str::<Report>(json)
        && report.format > 0
    {
        return Some(Told::Whole(Box::new(report)));
    }
    text::chain(content).map(Told::Head)
}

/// The chain, and what the report shows beside it.
fn in_itself(report: &Report) -> Vec<String> {
    let mut findings = within(&report.chain);
    for domain in &report.domains {
        let in_chain = report
            .chain
            .links
            .iter()
            .filter_map(|link| match &link.entry {
                crate::report::chain::Entry::Domain { domain: of, event } => {
                    (of == &domain.name).then_some(event)
                }
                _ => None,
            });
        let shown = domain
            .events
            .iter()
            .filter(|event| event.number < report.chain.next_event);
        if !in_chain.eq(shown) {
            findings.push(format!(
                "the events shown for {} are not those of the chain",
                domain.name
            ));
        }
    }
    findings
}

async fn compare(source: &Source, chain: &Chain) -> anyhow::Result<Vec<String>> {
    let mut comparison = Comparison::new(chain);
    let mut take = |line| {
        if let LogLine::Message(logged) = line {
            comparison.message(&logged);
        }
        Ok(())
    };
    source.log(&mut take).await?;
    let mut domains = Vec::new();
    for domain in source.domains().await? {
        let events = source.domain_events(&domain.name).await?;
        domains.push((domain.name, events));
    }
    Ok(comparison.finish(&domains))
}

/// Whether the spool's chain up to there has the same head.
async fn same_head(source: &Source, told: &Chain) -> anyhow::Result<Vec<String>> {
    let mut hash = Hash::start();
    let last = told.last_message.clone().unwrap_or_default();
    let mut take = |line| {
        if let LogLine::Message(logged) = line
            && logged.message.queue_id <= last
        {
            hash = entries(&logged, told.next_event).fold(hash, |hash, entry| hash.then(&entry));
        }
        Ok(())
    };
    source.log(&mut take).await?;
    for domain in source.domains().await? {
        let events = source.domain_events(&domain.name).await?;
        for event in events
            .into_iter()
            .filter(|event| event.number < told.next_event)
        {
            let domain = domain.name.clone();
            hash = hash.then(&crate::report::chain::Entry::Domain { domain, event });
        }
    }
    if hash.hex() == told.head {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "the head of the spool's events up to there is {}",
        hash.hex()
    )])
}
