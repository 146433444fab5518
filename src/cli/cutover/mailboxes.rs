//! The steps of the mover.

use super::{
    super::{
        exit::{self, Code},
        moving,
    },
    guide::{Guide, Weight},
};
use crate::ledger::Moved;

/// One pass; what could not be copied now comes with the next ones.
///
/// # Errors
/// Those of `relay move`, but for failures that a later pass may not have.
pub async fn first_pass(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    match moving::run(guide.context, moving::Arguments::once()).await {
        Ok(()) => {}
        Err(error) if exit::code(&error) == Code::TryAgain => {
            guide.screen().remark(&format!("        {error}"));
            let question = "go on all the same? The next passes try again";
            guide.ask(question, Weight::Expected).await?;
        }
        Err(error) => refused(guide, error).await?,
    }
    copied(guide)
}

/// Passes until nothing new is left.
///
/// # Errors
/// Those of `relay move`.
pub async fn converge(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    if let Err(error) = moving::run(guide.context, moving::Arguments::until_converged()).await {
        refused(guide, error).await?;
    }
    copied(guide)
}

/// Messages that the new server does not take are named by `relay move`, the verification
/// and the report; a person may go on without them, or do so already.
async fn refused(guide: &Guide<'_>, error: anyhow::Error) -> anyhow::Result<()> {
    if exit::code(&error) != Code::Data {
        return Err(error);
    }
    guide.screen().remark(&format!("        {error}"));
    let question = "go on without them? Verification and report name each one";
    guide.ask(question, Weight::Expected).await
}

fn copied(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let Some(moved) = Moved::read(&guide.config.spool.path)? else {
        return Ok(None);
    };
    let refused: u64 = moved.accounts.iter().map(|account| account.refused).sum();
    let mut note = format!(
        "{} of {} messages in {} accounts",
        moved.messages.done,
        moved.messages.total,
        moved.accounts.len()
    );
    if refused > 0 {
        note += &format!(", {refused} refused by the new server");
    }
    Ok(Some(note))
}
