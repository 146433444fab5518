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

/// A pass while late mail is waited for. What it could not copy comes with the next one, or is
/// named in the end.
///
/// # Errors
/// Those of `relay move` that no later pass can mend.
pub async fn late_pass(guide: &Guide<'_>) -> anyhow::Result<()> {
    if let Err(error) = moving::run(guide.context, moving::Arguments::once()).await {
        let words = passing(error)?;
        guide.screen().remark(&format!("        {words}"));
    }
    Ok(())
}

/// The words of an error with which passes go on.
///
/// # Errors
/// It, where it is another one.
fn passing(error: anyhow::Error) -> anyhow::Result<String> {
    match exit::code(&error) {
        Code::TryAgain | Code::Data => Ok(error.to_string()),
        _ => Err(error),
    }
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

#[cfg(test)]
mod tests {
    use super::{super::super::Exit, *};

    #[test]
    fn late_passes_go_on_after_what_may_pass_and_what_is_refused() {
        let ended = |code| passing(Exit::new(code, "words").into());
        assert_eq!(ended(Code::TryAgain).unwrap(), "words");
        assert_eq!(ended(Code::Data).unwrap(), "words");
        assert!(ended(Code::Config).is_err());
    }
}
