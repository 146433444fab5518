//! What `retry`, `park`, `drop` and `bounce` share: ids in, decided deliveries out.

use super::{Context, client::Client, human};
use crate::control::{Decided, Decision, Ids, view::MessageView};
use clap::Args;

/// Which deliveries.
#[derive(Args, Debug)]
pub struct Deliveries {
    /// A delivery, or all of a message's deliveries to which it applies.
    #[arg(value_name = "ID[:RECIPIENT]", required = true)]
    ids: Vec<String>,
}

impl Deliveries {
    /// The ids, as given.
    pub fn into_ids(self) -> Ids {
        Ids { ids: self.ids }
    }
}

/// Has a decision carried out on all of them or on none, and prints what came of it.
///
/// # Errors
/// Unknown ids, deliveries to which it does not apply; those of the daemon.
pub async fn run(
    context: &Context,
    client: &Client,
    decision: Decision,
    ids: &Ids,
) -> anyhow::Result<()> {
    let path = format!("/v1/deliveries/{}", decision.name());
    let decided: Decided = client.post(&path, ids).await?;
    if context.screen.json {
        return context.screen.json(&decided);
    }
    for message in &decided.messages {
        print(context, message)?;
    }
    Ok(())
}

pub(super) fn print(context: &Context, message: &MessageView) -> anyhow::Result<()> {
    for recipient in &message.recipients {
        let line = format!(
            "{}:{} is {}",
            message.queue_id,
            human::printable(&recipient.address),
            recipient.state
        );
        context.screen.line(&line)?;
    }
    Ok(())
}
