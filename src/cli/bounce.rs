//! `relay bounce`: gives mail up and tells its senders. It asks first.

use super::{Context, Exit, decide, exit::Code, human};
use crate::control::{Bounced, Reported};
use clap::Args;

/// Which deliveries, and whether to ask.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    which: decide::Deliveries,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// # Errors
/// A no; no terminal to ask on; no `[bounce]` in the configuration; unknown ids, deliveries
/// that are at their end; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let ids = arguments.which.into_ids();
    if !arguments.yes {
        let number = u64::try_from(ids.ids.len()).unwrap_or(u64::MAX);
        let what = human::counted(number, "id", "ids");
        let question =
            format!("bounce {what} for good, with a report to each sender? It cannot be undone.");
        match context.screen.ask(&question) {
            Some(true) => {}
            Some(false) => return Err(Exit::new(Code::TryAgain, "nothing was bounced").into()),
            None => {
                let text = "`relay bounce` gives mail up for good and asks first; \
                            without a terminal say --yes";
                return Err(Exit::new(Code::Usage, text).into());
            }
        }
    }
    let client = context.daemon().await?;
    let bounced: Bounced = client.post("/v1/deliveries/bounce", &ids).await?;
    if context.screen.json {
        return context.screen.json(&bounced);
    }
    for message in &bounced.messages {
        decide::print(context, message)?;
    }
    for reported in &bounced.reports {
        print(context, reported)?;
    }
    Ok(())
}

fn print(context: &Context, reported: &Reported) -> anyhow::Result<()> {
    let Reported {
        queue_id,
        report,
        sender,
        silent,
    } = reported;
    let sender = human::printable(sender);
    let mut line = match report {
        Some(report) => format!("{queue_id}: report {report} to {sender}"),
        None if sender.is_empty() => {
            format!("{queue_id}: no report, the sender is <>")
        }
        None => format!("{queue_id}: no report, the sender asked for none"),
    };
    if report.is_some() && !silent.is_empty() {
        let silent: Vec<_> = silent.iter().map(|one| human::printable(one)).collect();
        line += &format!("; it asked for none about {}", silent.join(", "));
    }
    Ok(context.screen.line(&line)?)
}
