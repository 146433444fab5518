//! The steps of the held mail.

use super::{
    super::{Exit, domains::order, exit::Code, human, release},
    guide::{Guide, Weight},
};
use crate::{control::view::DomainView, cutover::plan::Copied, spool::Phase};
use serde_json::json;

/// Every domain is in hold: that is how it began, or it is put there.
///
/// # Errors
/// Those of the daemon; a no.
pub async fn hold(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let (status, domains) = guide.status().await?;
    for domain in domains.iter().filter(|one| one.phase != Phase::Hold) {
        let question = format!(
            "{} is in {}: put it back to hold?",
            domain.name, domain.phase
        );
        guide.ask(&question, Weight::Expected).await?;
        order(&guide.client, &domain.name, "hold", &json!({})).await?;
    }
    let held = domains.iter().map(|domain| domain.states.held.count).sum();
    let since = domains.iter().map(|domain| domain.phase_since_ms).min();
    let age = status.now_ms.saturating_sub(since.unwrap_or(status.now_ms));
    Ok(Some(format!(
        "{} held, holding for {}",
        human::counted(held, "delivery", "deliveries"),
        human::duration(age)
    )))
}

/// Everything that a release waits for.
///
/// # Errors
/// Something is missing, and nobody wants to go on without it.
pub async fn gate(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let (status, domains) = guide.status().await?;
    let mut missing: Vec<String> = status.refusing.into_iter().collect();
    for domain in &domains {
        missing.extend(lacks(domain, guide.config.mover.is_some()));
    }
    if !missing.is_empty() {
        for text in &missing {
            let text = human::printable(text);
            guide.screen().remark(&format!("        not yet: {text}"));
        }
        let question = format!(
            "release without {}?",
            human::counted(
                u64::try_from(missing.len()).unwrap_or(u64::MAX),
                "condition",
                "conditions"
            )
        );
        guide.ask(&question, Weight::Serious).await?;
        return Ok(Some(format!("gone on without: {}", missing.join("; "))));
    }
    let mut facts: Vec<String> = Vec::new();
    if guide.config.mover.is_none() {
        copied(guide).await?;
        facts.push("mailboxes are copied by other means, as somebody has said".into());
    }
    for domain in &domains {
        if let Some(mover) = &domain.mover {
            facts.push(format!(
                "{}: {} of {} accounts converged",
                domain.name, mover.accounts.converged, mover.accounts.total
            ));
        }
    }
    facts.push("nothing is paused, every account balances".into());
    Ok(Some(facts.join(" · ")))
}

/// Nothing here knows it; what is released before is in front of the old mail in its folder.
async fn copied(guide: &Guide<'_>) -> anyhow::Result<()> {
    if guide.choices.copied == Copied::Said {
        return Ok(());
    }
    if !guide.attended() {
        let text = "unattended it stops here: are the mailboxes copied? There is no [mover] to \
                    know; when they are, go on with --copied";
        return Err(Exit::new(Code::TryAgain, text).into());
    }
    let names = guide.domains.join(", ");
    let question = format!("are the mailboxes of {names} copied, by your own tools?");
    guide.ask(&question, Weight::Expected).await
}

fn lacks(domain: &DomainView, mover: bool) -> Vec<String> {
    let name = &domain.name;
    let mut missing = Vec::new();
    if let Some(reason) = &domain.paused {
        missing.push(format!("{name} is paused: {reason}"));
    }
    if !domain.balanced {
        missing.push(format!("{name} does not balance: run `relay fsck`"));
    }
    match &domain.mover {
        Some(view) if view.converged_ms.is_none() => {
            let why = view.not_yet.clone();
            let why = why.unwrap_or_else(|| "mailboxes are still being copied".into());
            missing.push(format!("{name} has not converged: {why}"));
        }
        None if mover => missing.push(format!("{name} has no account that was copied")),
        _ => {}
    }
    missing
}

/// All of it, until the backlog is empty.
///
/// # Errors
/// Those of `relay release`.
pub async fn release(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let (_, before) = guide.status().await?;
    let backlog: u64 = before.iter().map(|domain| domain.backlog).sum();
    if before.iter().any(|domain| domain.phase == Phase::Hold) {
        let question = format!(
            "release {} now?",
            human::counted(backlog, "delivery", "deliveries")
        );
        guide.ask(&question, Weight::Expected).await?;
    }
    release::run(guide.context, release::Arguments::of(&guide.domains)).await?;
    let (_, after) = guide.status().await?;
    let sum = |count: fn(&DomainView) -> u64| after.iter().map(count).sum::<u64>();
    Ok(Some(format!(
        "{} delivered, {} parked",
        human::count(sum(|domain| domain.states.delivered.count)),
        human::count(sum(|domain| domain.states.parked.count))
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{
        fixture,
        view::{Live, MoverView},
    };

    #[test]
    fn each_missing_condition_is_named() {
        let mut status = fixture::domain("a.example", Phase::Hold);
        let view = |status: &crate::spool::DomainStatus, mover: Option<MoverView>| {
            let live = Live {
                mover,
                ..Live::default()
            };
            DomainView::of(status, live, 0)
        };
        assert_eq!(lacks(&view(&status, None), false), [""; 0]);
        assert_eq!(
            lacks(&view(&status, None), true),
            ["a.example has no account that was copied"]
        );
        let ahead = MoverView {
            not_yet: Some("the last pass found 2 new".into()),
            ..MoverView::default()
        };
        assert_eq!(
            lacks(&view(&status, Some(ahead)), true),
            ["a.example has not converged: the last pass found 2 new"]
        );
        let there = MoverView {
            converged_ms: Some(1),
            ..MoverView::default()
        };
        assert_eq!(lacks(&view(&status, Some(there.clone())), true), [""; 0]);
        status.paused = Some("lunch".into());
        assert_eq!(
            lacks(&view(&status, Some(there)), true),
            ["a.example is paused: lunch"]
        );
    }
}
