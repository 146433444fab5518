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

/// How many deliveries of a canary the destination took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Delivered.
    pub taken: usize,
    /// All of them.
    pub of: usize,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.taken += other.taken;
        self.of += other.of;
    }
}

/// Shows what became of each message.
///
/// # Errors
/// Those of the daemon and of standard output.
pub async fn show(screen: &Screen, client: &Client, domain: &DomainView) -> anyhow::Result<Taken> {
    let path = format!("/v1/domains/{}/canary", escape(&domain.name));
    let mut messages: Vec<MessageView> = Vec::new();
    let mut take = |message: MessageView| {
        messages.push(message);
        Ok(())
    };
    client.lines(&path, &mut take).await?;
    let mut counts = Taken::default();
    for message in &messages {
        for to in &message.recipients {
            counts.of += 1;
            counts.taken += usize::from(to.state == State::Delivered);
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
    }
    Ok(counts)
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
    let Taken { taken, of } = show(screen, client, domain).await?;
    let name = &domain.name;
    let question = format!(
        "canary: {taken} of {of} taken; continue with {}?",
        human::counted(domain.backlog, "delivery", "deliveries")
    );
    if yes && taken == of {
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
