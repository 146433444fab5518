//! Asks before a release. No is no, and so is silence: a release can wait, and is ordered again.

use super::{Event, Kind, Said, command, event::Account, webhook};
use crate::{
    config::Hooks,
    control::{ReleaseOrder, Veto},
    spool::DomainStatus,
};
use jiff::Timestamp;
use std::{future::Future, pin::Pin};

/// Whom to ask.
#[derive(Clone, Debug)]
pub struct Question {
    hooks: Hooks,
    hostname: String,
}

impl Question {
    /// None where nobody wants to be asked.
    #[must_use]
    pub fn new(hooks: &Hooks, hostname: &str) -> Option<Self> {
        let wanted = hooks.veto.is_some() || hooks.veto_webhook.is_some();
        wanted.then(|| Self {
            hooks: hooks.clone(),
            hostname: hostname.to_owned(),
        })
    }

    async fn ask(&self, status: &DomainStatus, order: &ReleaseOrder) -> Result<(), String> {
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        let to = order
            .to
            .as_ref()
            .map_or(String::new(), |to| format!(" to {to}"));
        let what = format!("release of {}{to}", status.name);
        let mut event = Event::general(&self.hostname, Kind::Release, now_ms, what);
        event.domain = Some(status.name.clone());
        event.account = Some(Account::of(status));
        let json = event.json();
        if let Some(program) = &self.hooks.veto {
            agreed(command::call(program, &json, self.hooks.timeout).await)?;
        }
        if let Some(url) = &self.hooks.veto_webhook {
            agreed(webhook::call(&self.hooks, url, json).await)?;
        }
        Ok(())
    }
}

fn agreed(said: Result<Said, String>) -> Result<(), String> {
    match said {
        Ok(said) if said.is_yes => Ok(()),
        Ok(said) => Err(format!("a hook refuses it: {}", said.reason())),
        Err(why) => Err(format!("the hook that has to agree cannot be asked: {why}")),
    }
}

impl Veto for Question {
    fn may_release<'a>(
        &'a self,
        status: &'a DomainStatus,
        order: &'a ReleaseOrder,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(self.ask(status, order))
    }
}
