//! What a verification found, for a person or as JSON lines.

use crate::{
    cli::{
        human,
        screen::{Screen, Tone},
    },
    ledger::{
        Verified,
        verified::{Counts, Exception, SourceReach, VerifiedMailbox},
    },
};
use serde::Serialize;

/// A mailbox, or all together.
#[derive(Serialize)]
struct MailboxView<'a> {
    event: &'static str,
    #[serde(flatten)]
    mailbox: &'a VerifiedMailbox,
}

#[derive(Serialize)]
struct MessageView<'a> {
    event: &'static str,
    mark: char,
    #[serde(flatten)]
    exception: &'a Exception,
}

#[derive(Serialize)]
struct VerifiedView<'a> {
    event: &'static str,
    began_ms: u64,
    ended_ms: u64,
    domains: &'a [String],
    source: SourceReach,
    bytes: u64,
    all_there: bool,
    mailboxes: usize,
    #[serde(flatten)]
    totals: &'a Counts,
}

/// The lines of a mailbox that is done.
///
/// # Errors
/// Those of standard output.
pub fn json(
    screen: &Screen,
    mailbox: &VerifiedMailbox,
    exceptions: &[Exception],
) -> anyhow::Result<()> {
    screen.json(&MailboxView {
        event: "mailbox",
        mailbox,
    })?;
    for exception in exceptions {
        screen.json(&MessageView {
            event: "message",
            mark: exception.kind.mark(),
            exception,
        })?;
    }
    Ok(())
}

/// Everything, when it is over; with JSON the sum.
///
/// # Errors
/// Those of standard output.
pub fn all(screen: &Screen, verified: &Verified) -> anyhow::Result<()> {
    if screen.json {
        return screen.json(&VerifiedView {
            event: "verified",
            began_ms: verified.began_ms,
            ended_ms: verified.ended_ms,
            domains: &verified.domains,
            source: verified.source,
            bytes: verified.bytes,
            all_there: verified.totals.all_there(),
            mailboxes: verified.mailboxes.len(),
            totals: &verified.totals,
        });
    }
    let names = verified
        .mailboxes
        .iter()
        .map(|one| one.mailbox.chars().count());
    let width = names.max().unwrap_or(0).clamp(7, 40);
    screen.line(&heading(width))?;
    for mailbox in &verified.mailboxes {
        let line = row(width, &mailbox.mailbox, &mailbox.counts);
        screen.line(&screen.tone(tone(&mailbox.counts), &line))?;
        for remark in &mailbox.remarks {
            screen.line(&format!("    {}", human::printable(remark)))?;
        }
    }
    if verified.mailboxes.len() > 1 {
        screen.line(&row(width, "total", &verified.totals))?;
    }
    for exception in &verified.exceptions {
        let line = format!(
            "{} {}  {}\n    {}",
            exception.kind.mark(),
            human::printable(&exception.mailbox),
            human::printable(&exception.named()),
            human::printable(&exception.reason)
        );
        screen.line(&line)?;
    }
    if verified.exceptions_more > 0 {
        let more = human::count(verified.exceptions_more);
        screen.line(&format!(
            "and {more} more: `relay verify --only ADDRESS` names those of one"
        ))?;
    }
    Ok(screen.line(&closing(verified))?)
}

fn heading(width: usize) -> String {
    format!(
        "{:width$}  {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}  of",
        "mailbox", "=", "-", "*", "+", "!", "waiting"
    )
}

fn row(width: usize, name: &str, counts: &Counts) -> String {
    format!(
        "{:width$}  {:>9} {:>7} {:>7} {:>7} {:>7} {:>7}  {} copied, {} released",
        human::printable(name),
        human::count(counts.there),
        human::count(counts.missing),
        human::count(counts.differs),
        human::count(counts.extra + counts.doubled + counts.split),
        human::count(counts.unreadable),
        human::count(counts.waiting),
        human::count(counts.copied),
        human::count(counts.released),
    )
}

fn tone(counts: &Counts) -> Tone {
    match (counts.all_there(), counts.extra + counts.split) {
        (false, _) => Tone::Bad,
        (true, 0) => Tone::Good,
        (true, _) => Tone::Warning,
    }
}

fn closing(verified: &Verified) -> String {
    let totals = &verified.totals;
    let mut parts = Vec::new();
    if totals.elsewhere > 0 {
        parts.push(format!(
            "{} in another folder",
            human::count(totals.elsewhere)
        ));
    }
    if totals.with_fields > 0 {
        let count = human::count(totals.with_fields);
        parts.push(format!("{count} with header fields of the new server"));
    }
    if totals.split > 0 {
        parts.push(format!("{} came both ways", human::count(totals.split)));
    }
    if totals.extra > 0 {
        parts.push(format!("{} from elsewhere", human::count(totals.extra)));
    }
    let took = human::duration(verified.ended_ms.saturating_sub(verified.began_ms));
    let size = human::size(verified.bytes);
    let verdict = match (totals.all_there(), totals.waiting) {
        (true, 0) => "all there, once".to_owned(),
        (true, waiting) => format!(
            "all there, once; {} still here, not sent",
            human::counted(waiting, "delivery", "deliveries")
        ),
        (false, _) => "NOT all there, once".to_owned(),
    };
    let mut text = format!("{verdict} ({size} read in {took})");
    if !parts.is_empty() {
        text += &format!("; {}", parts.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_the_closing_line() {
        let counts = Counts {
            copied: 4_100,
            released: 12,
            there: 4_111,
            missing: 1,
            extra: 2,
            ..Counts::default()
        };
        assert_eq!(
            row(10, "bob", &counts),
            "bob             4,111       1       0       2       0       0  4,100 copied, 12 released"
        );
        let verified = Verified {
            ended_ms: 98_000,
            bytes: 311_000_000,
            totals: counts,
            ..Verified::default()
        };
        let text = closing(&verified);
        assert!(
            text.starts_with("NOT all there, once (311 MB read in 1 min"),
            "{text}"
        );
        assert!(text.ends_with("; 2 from elsewhere"), "{text}");
    }
}
