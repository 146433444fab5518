//! The comparison of old server, spool and new server.

use super::{
    super::{Exit, exit::Code, human, verify},
    guide::{Guide, Weight},
};
use crate::ledger::verified::{Counts, Kind};
use std::time::Duration;

/// How often what is missing is looked for again, and after how long.
const LOOKS_MAX: u32 = 12;
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// # Errors
/// Something could not be read; those of `relay verify`; a no.
pub async fn verify(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let totals = compare(guide).await?;
    if !totals.all_there() && guide.attended() {
        let question = "not everything is `=`: go on? The report names each message";
        guide.ask(question, Weight::Expected).await?;
    }
    Ok(Some(verdict(&totals)))
}

/// Verifies and shows it. A new server may queue what it takes, so that a message which is
/// missing is looked for again for some time.
///
/// # Errors
/// Something could not be read: another try may.
pub async fn compare(guide: &Guide<'_>) -> anyhow::Result<Counts> {
    let arguments = verify::Arguments::of(&guide.domains);
    let mut verified = verify::verify(guide.context, &arguments).await?;
    for _ in 0..LOOKS_MAX {
        let missing = verified.totals.missing;
        if missing == 0 {
            break;
        }
        guide.screen().remark(&format!(
            "        {} not there yet; the new server may still be at work on them",
            human::counted(missing, "message is", "messages are")
        ));
        tokio::time::sleep(LOOK_AGAIN).await;
        verified = verify::verify(guide.context, &arguments).await?;
    }
    // What came to the new server by other ways is counted; `relay verify` names each.
    verified.exceptions.retain(|one| one.kind != Kind::Unknown);
    verify::show::all(guide.screen(), &verified)?;
    if verified.totals.unreadable > 0 {
        let text = format!("{} could not be read", verified.totals.unreadable);
        return Err(Exit::new(Code::TryAgain, text).into());
    }
    Ok(verified.totals)
}

/// `1,284 =`, or what is not.
pub fn verdict(totals: &Counts) -> String {
    let mut parts = vec![format!("{} =", human::count(totals.there))];
    let others = [
        (totals.missing, "missing"),
        (totals.differs, "altered"),
        (totals.doubled, "doubled"),
        (totals.unreadable, "not readable"),
        (totals.split, "came both ways"),
        (totals.extra, "extra"),
        (totals.waiting, "not delivered yet"),
    ];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    parts.extend(others.map(|(count, what)| format!("{} {what}", human::count(count))));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_said_beside_what_is() {
        let mut totals = Counts {
            there: 1_284,
            ..Counts::default()
        };
        assert_eq!(verdict(&totals), "1,284 =");
        totals.missing = 2;
        totals.split = 1;
        assert_eq!(verdict(&totals), "1,284 =, 2 missing, 1 came both ways");
    }
}
