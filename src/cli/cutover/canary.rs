//! A few messages go first; then the release stands until somebody has looked at the replies.

use super::{
    super::{Exit, client::escape, domains::order, exit::Code, human},
    guide::{Guide, Weight},
    waiting::Waiting,
};
use crate::{
    control::{
        ReleaseOrder,
        view::{CanaryView, DomainView, MessageView, RecipientView},
    },
    mail::QueueId,
    spool::{Phase, State},
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
    let (mut taken, mut all) = (0, 0);
    for domain in sent(guide).await? {
        let Some(canary) = &domain.canary else {
            continue;
        };
        for (message, delivery) in deliveries(guide, &domain, canary).await? {
            all += 1;
            taken += u64::from(delivery.state == State::Delivered);
            guide.screen().remark(&line(&message, &delivery));
        }
    }
    if all == 0 {
        return Ok(Some("nothing was held".into()));
    }
    let note = format!("{taken} of {all} taken");
    let weight = match taken == all {
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

/// What became of each of them.
async fn deliveries(
    guide: &Guide<'_>,
    domain: &DomainView,
    canary: &CanaryView,
) -> anyhow::Result<Vec<(MessageView, RecipientView)>> {
    let first: QueueId = canary.first.parse()?;
    let before = QueueId::new(first.number().saturating_sub(1));
    let mut path = format!(
        "/v1/messages?domain={}&state=all&limit={}",
        escape(&domain.name),
        canary.messages
    );
    if let Some(before) = before {
        path += &format!("&after={before}");
    }
    let mut found = Vec::new();
    let mut take = |message: MessageView| {
        let own = message.queue_id <= canary.last;
        let recipients = message.recipients.iter().filter(|_| own);
        found.extend(recipients.map(|to| (message.clone(), to.clone())));
        Ok(())
    };
    guide.client.lines(&path, &mut take).await?;
    Ok(found)
}

/// `01KAR6Q8ZJ5V  bob@corp.example  delivered  250 2.0.0 Ok: queued as 4F1A`
fn line(message: &MessageView, to: &RecipientView) -> String {
    let reply = to.reply.as_deref().unwrap_or("no reply");
    let text = format!(
        "{}  {}  {}  {reply}",
        message.queue_id, to.address, to.state
    );
    format!("        {}", human::printable(&text))
}
