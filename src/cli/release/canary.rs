//! The first messages of a release: what became of each, and whether to go on.

use crate::{
    cli::{
        client::{Client, escape},
        human,
        screen::Screen,
    },
    control::view::{DomainView, MessageView, RecipientView},
    spool::State,
};

/// What a person, or a script, says to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Leave it paused.
    No,
}

/// Shows what became of each message, and asks. Without a terminal `yes` answers, if the
/// destination took every one of them.
///
/// # Errors
/// Those of the daemon and of standard output.
pub async fn ask(
    screen: &Screen,
    client: &Client,
    domain: &DomainView,
    yes: bool,
) -> anyhow::Result<Answer> {
    let path = format!("/v1/domains/{}/canary", escape(&domain.name));
    let mut messages: Vec<MessageView> = Vec::new();
    let mut take = |message: MessageView| {
        messages.push(message);
        Ok(())
    };
    client.lines(&path, &mut take).await?;
    let deliveries: Vec<(&MessageView, &RecipientView)> = (messages.iter())
        .flat_map(|message| message.recipients.iter().map(move |to| (message, to)))
        .collect();
    for (message, to) in &deliveries {
        if screen.json {
            let line = serde_json::json!({
                "event": "canary", "domain": domain.name, "queue_id": message.queue_id,
                "address": to.address, "state": to.state, "relay": to.relay, "reply": to.reply,
            });
            screen.json(&line)?;
        } else {
            screen.line(&line(message, to))?;
        }
    }
    let taken = (deliveries.iter())
        .filter(|(_, to)| to.state == State::Delivered)
        .count();
    let name = &domain.name;
    let question = format!(
        "canary: {taken} of {} taken; continue with {}?",
        deliveries.len(),
        human::counted(domain.backlog, "delivery", "deliveries")
    );
    let all = taken == deliveries.len();
    if yes && all {
        screen.remark(&format!("{question} --yes"));
        return Ok(Answer::Yes);
    }
    if !yes && let Some(answer) = screen.ask(&question) {
        return Ok(if answer { Answer::Yes } else { Answer::No });
    }
    let why = match yes {
        true => "not all was taken, so that --yes does not go on by itself",
        false => "without a terminal say --yes to go on by itself",
    };
    screen.remark(&format!(
        "{question} {why}; {name} stays paused; to go on: `relay resume {name}`, to hold the \
         rest again: `relay hold {name}`"
    ));
    Ok(Answer::No)
}

/// `  01KAR6Q8ZJ5V  bob@corp.example  delivered  250 2.0.0 Ok: queued as 4F1A`
fn line(message: &MessageView, to: &RecipientView) -> String {
    let reply = match (&to.reply, to.state) {
        (Some(reply), _) => human::printable(reply),
        (None, State::Queued | State::Held) => "waits behind another of its mailbox".into(),
        (None, _) => "no reply".into(),
    };
    let address = human::printable(&to.address);
    format!("  {}  {address}  {}  {reply}", message.queue_id, to.state)
}
