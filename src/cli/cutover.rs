//! `relay cutover`: the whole move, guided. Each step is what another command does; what was
//! done is written down before the next one begins, so that after Ctrl-C, a closed terminal
//! or a crash the same command goes on at its step.

mod canary;
mod checks;
mod guide;
mod mailboxes;
mod mx;
mod release;
mod report;
mod tail;
mod verify;
mod waiting;

use super::{Context, Exit, domains::Domains, exit::Code, human};
use crate::{
    check,
    config::units,
    cutover::{
        journal::{Journal, Start},
        plan::{Choices, Copied, DESPITE_ALL, Dns, Planned, plan},
        table,
    },
    ledger::{
        Cutover,
        cutover::{Step, StepRecord},
    },
    mover::account::now_ms,
};
use clap::Args;
use guide::Guide;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// Whose move, and how.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The domains that move together [default: all configured ones].
    #[arg(value_name = "DOMAIN")]
    names: Vec<String>,
    /// Print the steps, with what is done of them, and do nothing.
    #[arg(long)]
    plan: bool,
    /// Do not ask: go on where a person would say yes, stop where somebody must decide.
    #[arg(long)]
    yes: bool,
    /// The mailboxes are copied, by other means than `relay move`: do not ask.
    #[arg(long)]
    copied: bool,
    /// These checks may fail, by their names in `relay check`; all: any of them.
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = despite)]
    despite: Vec<String>,
    /// Do not look at the DNS: ask whether the MX points here.
    #[arg(long)]
    skip_dns: bool,
    /// Deliver so many messages first; 0: none.
    #[arg(long, value_name = "N", default_value_t = 5)]
    canary: u32,
    /// The late mail is over when none has come for so long.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = units::parse_duration)]
    quiet: Duration,
    /// Where the report is written.
    #[arg(long, value_name = "FILE", default_value = "cutover.html")]
    report: PathBuf,
    /// Begin a new one, and keep the record of the old one beside it.
    #[arg(long)]
    again: bool,
}

impl Arguments {
    fn choices(&self) -> Choices {
        Choices {
            dns: if self.skip_dns {
                Dns::Skipped
            } else {
                Dns::Watched
            },
            canary: self.canary,
            quiet: self.quiet,
            report: self.report.clone(),
            copied: if self.copied {
                Copied::Said
            } else {
                Copied::Asked
            },
            despite: self.despite.clone(),
        }
    }
}

/// `all`, or the name of a check.
fn despite(word: &str) -> Result<String, String> {
    if word == DESPITE_ALL || check::NAMES.contains(&word) {
        return Ok(word.to_owned());
    }
    Err(format!(
        "the checks are {}; or {DESPITE_ALL}",
        check::NAMES.join(", ")
    ))
}

/// With `--json`: what becomes of a step, a line each time.
#[derive(Serialize)]
struct News<'a> {
    event: &'static str,
    #[serde(flatten)]
    record: &'a StepRecord,
}

/// # Errors
/// A step that did not succeed: the same code as its own command; what is not as it must be
/// at the end (65); those of the daemon and of the record's file.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let config = context.config()?;
    let client = context.daemon().await?;
    let domains = Domains::or_all(&client, &arguments.names).await?;
    let choices = arguments.choices();
    let plan = plan(&config, &domains, &choices);
    let spool = config.spool.path.clone();
    if arguments.plan {
        return show_plan(context, &domains, &plan, Cutover::read(&spool)?);
    }
    let start = if arguments.again {
        Start::Anew
    } else {
        Start::GoOn
    };
    let mut journal = Journal::open(&spool, domains.clone(), start, now_ms())?;
    let guide = Guide::new(context, config, client, domains, choices, arguments.yes)?;
    greet(context, journal.record(), &plan);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    while let Some(planned) = next(&journal, &plan) {
        tokio::select! {
            // First, so that the mover can say its farewell.
            biased;
            done = step(context, &guide, &mut journal, planned) => done?,
            _ = interrupt.recv() => return Err(stopped("SIGINT", planned).into()),
            _ = terminate.recv() => return Err(stopped("SIGTERM", planned).into()),
        }
    }
    closing(context, &guide, journal.record(), &plan).await
}

fn stopped(by: &str, at: &Planned) -> Exit {
    let step = at.step.name();
    let text = format!("stopped by {by} at {step}; `relay cutover` goes on there");
    Exit::new(Code::TryAgain, text)
}

fn next<'a>(journal: &Journal, plan: &'a [Planned]) -> Option<&'a Planned> {
    let step = journal.record().next()?;
    plan.iter().find(|planned| planned.step == step)
}

/// Carries one step out, or leaves it out.
async fn step(
    context: &Context,
    guide: &Guide<'_>,
    journal: &mut Journal,
    planned: &Planned,
) -> anyhow::Result<()> {
    let step = planned.step;
    if let Some(why) = &planned.skipped {
        journal.skip(step, why)?;
        return tell(context, journal.record(), step, &format!("left out: {why}"));
    }
    journal.begin(step, now_ms())?;
    announce(context, journal.record(), planned)?;
    let note = match carry_out(guide, step).await {
        Ok(note) => note,
        Err(error) => {
            context.screen.remark(&format!(
                "stopped at {}; `relay cutover` goes on there",
                step.name()
            ));
            return Err(error);
        }
    };
    journal.finish(step, note.clone(), now_ms())?;
    let record = journal.record();
    let took = record.step(step).and_then(|step| step.took_ms(now_ms()));
    let mut text = format!("done in {}", human::duration(took.unwrap_or(0)));
    if let Some(note) = note {
        text += &format!(": {note}");
    }
    let to_come: Vec<&str> = (record.steps.iter())
        .filter(|record| !record.is_over())
        .map(|record| record.step.name())
        .collect();
    if !to_come.is_empty() {
        text += &format!(" · to come: {}", to_come.join(", "));
    }
    tell(context, record, step, &text)
}

async fn carry_out(guide: &Guide<'_>, step: Step) -> anyhow::Result<Option<String>> {
    match step {
        Step::Check => checks::check(guide).await,
        Step::FirstPass => mailboxes::first_pass(guide).await,
        Step::Mx => mx::move_here(guide).await,
        Step::Hold => release::hold(guide).await,
        Step::Converge => mailboxes::converge(guide).await,
        Step::Gate => release::gate(guide).await,
        Step::Release => release::release(guide).await,
        Step::Verify => verify::verify(guide).await,
        Step::Tail => tail::watch(guide).await,
        Step::Report => report::write(guide).await,
        Step::Canary => canary::canary(guide).await,
    }
}

fn show_plan(
    context: &Context,
    domains: &[String],
    plan: &[Planned],
    found: Option<Cutover>,
) -> anyhow::Result<()> {
    let record = found.filter(|found| found.domains == domains);
    let record = record.unwrap_or_else(|| Cutover::new(domains.to_vec(), now_ms()));
    if context.screen.json {
        return context.screen.json(&record);
    }
    let names = domains.join(", ");
    context.screen.line(&format!("the cutover of {names}"))?;
    for line in table::lines(&record.completed(), plan, now_ms(), human::duration) {
        context.screen.line(&line)?;
    }
    Ok(())
}

fn greet(context: &Context, record: &Cutover, plan: &[Planned]) {
    if context.screen.json {
        return;
    }
    let names = record.domains.join(", ");
    let done = record.steps.iter().filter(|step| step.is_over()).count();
    let begun = match done {
        0 => String::new(),
        _ => format!(
            ", begun {}, {done} of {} steps done",
            human::time(record.began_ms),
            plan.len()
        ),
    };
    context.screen.remark(&format!(
        "cutover of {names}{begun}. Ctrl-C at any time loses nothing: `relay cutover` goes on \
         at its step."
    ));
}

/// `[ 3/11] MX: point the MX of ...`
fn announce(context: &Context, record: &Cutover, planned: &Planned) -> anyhow::Result<()> {
    let step = planned.step;
    let again = record.step(step).is_some_and(|record| record.tries > 1);
    let again = if again { "going on: " } else { "" };
    tell(context, record, step, &format!("{again}{}", planned.does))
}

fn tell(context: &Context, record: &Cutover, step: Step, text: &str) -> anyhow::Result<()> {
    if context.screen.json {
        let Some(record) = record.step(step) else {
            return Ok(());
        };
        return context.screen.json(&News {
            event: "step",
            record,
        });
    }
    let place = Step::ALL.iter().position(|known| *known == step);
    let place = place.map_or(0, |place| place + 1);
    let name = context
        .screen
        .tone(super::screen::Tone::Strong, step.name());
    let text = human::printable(text);
    let line = format!("[{place:>2}/{}] {name}: {text}", Step::ALL.len());
    Ok(context.screen.line(&line)?)
}

/// The closing table; and whether all is as it must be.
async fn closing(
    context: &Context,
    guide: &Guide<'_>,
    record: &Cutover,
    plan: &[Planned],
) -> anyhow::Result<()> {
    if !context.screen.json {
        context.screen.line("")?;
        for line in table::lines(record, plan, now_ms(), human::duration) {
            context.screen.line(&line)?;
        }
    }
    let wrong = guide.wrong().await?;
    if wrong.is_empty() {
        context.screen.remark("every message is accounted for");
        return Ok(());
    }
    Err(Exit::new(Code::Data, format!("not all is well: {}", wrong.join("; "))).into())
}
