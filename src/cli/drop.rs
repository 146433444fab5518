//! `relay drop`: the one command that gives mail up. It asks first.

use super::{Context, Exit, decide, exit::Code, human};
use crate::control::Decision;
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
/// A no; no terminal to ask on; unknown ids, deliveries that are at their end; those of
/// the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let ids = arguments.which.into_ids();
    if !arguments.yes {
        let number = u64::try_from(ids.ids.len()).unwrap_or(u64::MAX);
        let what = human::counted(number, "id", "ids");
        let question = format!("drop {what} for good? It cannot be undone.");
        match context.screen.ask(&question) {
            Some(true) => {}
            Some(false) => return Err(Exit::new(Code::TryAgain, "nothing was dropped").into()),
            None => {
                let text = "`relay drop` gives mail up for good and asks first; \
                            without a terminal say --yes";
                return Err(Exit::new(Code::Usage, text).into());
            }
        }
    }
    let client = context.daemon().await?;
    decide::run(context, &client, Decision::Drop, &ids).await
}
