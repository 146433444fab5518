//! A few messages go first; then the release stands until somebody has looked at the replies.

use super::{
    super::{
        Exit,
        domains::order,
        exit::Code,
        human,
        release::canary::{self, Taken},
    },
    guide::{Guide, Weight},
    waiting::Waiting,
};
use crate::{
    control::{ReleaseOrder, view::DomainView},
    spool::Phase,
};
use std::time::Duration;

/// How often the daemon is asked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Sends them, shows what became of each, and asks. The release goes on with its own step.
///
/// # Errors
/// Those of the daemon; a pause for another reason (75); a no.
pub async fn canary(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    let (_, domains) = guide.status().await?;
    let held = |domain: &&DomainView| domain.phase == Phase::Hold && domain.backlog > 0;
    for domain in domains.iter().filter(held) {
        let body = ReleaseOrder {
            then: Some(Phase::Forward),
            canary: Some(guide.choices.canary),
            ..ReleaseOrder::default()
        };
        order(&guide.client, &domain.name, "release", &body).await?;
    }
    let mut all = Taken::default();
    for domain in sent(guide).await? {
        if domain.canary.is_some() {
            all += canary::show(guide.screen(), &guide.client, &domain).await?;
        }
    }
    let Taken { taken, of } = all;
    if of == 0 {
        return Ok(Some("nothing was held".into()));
    }
    let note = format!("{taken} of {of} taken");
    let weight = match taken == of {
        true => Weight::Expected,
        false => Weight::Serious,
    };
    guide
        .ask(&format!("canary: {note}; go on?"), weight)
        .await?;
    Ok(Some(note))
}

/// The domains, when each has sent its own, or had fewer and is through.
async fn sent(guide: &Guide<'_>) -> anyhow::Result<Vec<DomainView>> {
    let mut waiting = Waiting::new(guide.screen());
    loop {
        let (_, domains) = guide.status().await?;
        let under_way = |domain: &&DomainView| {
            let sent = domain.canary.as_ref().is_some_and(|canary| canary.sent);
            domain.phase == Phase::Release && !sent
        };
        let Some(domain) = domains.iter().find(under_way) else {
            return Ok(domains);
        };
        if let Some(reason) = &domain.paused {
            let text = format!("{} is paused: {reason}; {}", domain.name, domain.next);
            return Err(Exit::new(Code::TryAgain, human::printable(&text)).into());
        }
        let text = format!("{}: {}", domain.name, human::printable(&domain.next));
        waiting.show(guide.screen(), &text)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
