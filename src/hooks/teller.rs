//! Tells events, one after another, in their order.

use super::{Event, Said, command, webhook};
use crate::config::Hooks;
use tokio::sync::mpsc;

/// Events that wait to be told.
const WAITING_MAX: usize = 1_000;

/// Where events are put.
#[derive(Clone, Debug)]
pub struct Teller(mpsc::Sender<Event>);

impl Teller {
    /// Starts the task that tells; it ends when all that put have gone and all is told.
    #[must_use]
    pub fn start(hooks: Hooks) -> Self {
        let (sender, mut events) = mpsc::channel::<Event>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                tell(&hooks, &event).await;
            }
        });
        Self(sender)
    }

    /// Never waits.
    pub fn put(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            let event = error.into_inner();
            tracing::error!("the hooks are behind; not told: {}", event.what);
        }
    }
}

async fn tell(hooks: &Hooks, event: &Event) {
    let json = event.json();
    let by_command = async {
        match &hooks.command {
            Some(program) => Some(command::call(program, &json, hooks.timeout).await),
            None => None,
        }
    };
    let by_web = async {
        match &hooks.webhook {
            Some(url) => Some(webhook::call(hooks, url, json.clone()).await),
            None => None,
        }
    };
    let (by_command, by_web) = tokio::join!(by_command, by_web);
    for said in [by_command, by_web].into_iter().flatten() {
        log(event, said);
    }
}

fn log(event: &Event, said: Result<Said, String>) {
    let failed = match said {
        Ok(said) if said.is_yes => return,
        Ok(said) => format!("{} {}", said.status, said.text),
        Err(why) => why,
    };
    let (what, failed) = (&event.what, failed.escape_debug());
    tracing::warn!("a hook was told of `{what}` and failed: {failed}");
}
