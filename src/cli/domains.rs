//! `DOMAIN...|--all`, and the orders that are given to each.

use super::{
    Context, Exit,
    client::{Client, escape},
    exit::Code,
    human,
};
use crate::{
    control::view::{DomainView, StatusView},
    mail::REPORTS_DOMAIN,
};
use clap::Args;
use serde::Serialize;

/// Which domains a command is about.
#[derive(Args, Debug, Clone, Default)]
#[group(required = true, multiple = false)]
pub struct Domains {
    /// The domains.
    #[arg(value_name = "DOMAIN")]
    pub names: Vec<String>,
    /// All configured domains.
    #[arg(long)]
    pub all: bool,
}

impl Domains {
    /// The names of those given, else of all that move: that of reports does not.
    ///
    /// # Errors
    /// As [`Domains::find`].
    pub async fn or_all(client: &Client, names: &[String]) -> anyhow::Result<Vec<String>> {
        let domains = Self {
            names: names.to_vec(),
            all: names.is_empty(),
        };
        let found = domains.find(client).await?;
        let moving = found.into_iter().map(|domain| domain.name);
        Ok(moving.filter(|name| name != REPORTS_DOMAIN).collect())
    }

    /// Their views, in the order given, each once.
    ///
    /// # Errors
    /// A domain that is not configured, before anything is done; those of the daemon.
    pub async fn find(&self, client: &Client) -> anyhow::Result<Vec<DomainView>> {
        let status: StatusView = client.get("/v1/status").await?;
        if self.all {
            return Ok(status.domains);
        }
        let mut found: Vec<DomainView> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let name = name.trim_end_matches('.').to_lowercase();
            let known = status.domains.iter().find(|domain| domain.name == name);
            let known = known.ok_or_else(|| unknown(&name, &status.domains))?;
            if !found.iter().any(|domain| domain.name == name) {
                found.push(known.clone());
            }
        }
        Ok(found)
    }
}

/// Gives an order on a domain.
///
/// # Errors
/// Those of the daemon.
pub async fn order(
    client: &Client,
    domain: &str,
    word: &str,
    body: &impl Serialize,
) -> anyhow::Result<DomainView> {
    let path = format!("/v1/domains/{}/{word}", escape(domain));
    client.post(&path, body).await
}

/// Gives an order on each domain, and prints how each now stands.
///
/// # Errors
/// Those of the daemon; the domains before the failing one have their order.
pub async fn order_each(
    context: &Context,
    domains: &Domains,
    word: &str,
    body: &impl Serialize,
) -> anyhow::Result<()> {
    let client = context.daemon().await?;
    for domain in domains.find(&client).await? {
        let domain = order(&client, &domain.name, word, body).await?;
        if context.screen.json {
            context.screen.json(&domain)?;
        } else {
            context.screen.line(&standing(&domain))?;
        }
    }
    Ok(())
}

/// `corp.example is in hold, 1,284 deliveries held`
fn standing(domain: &DomainView) -> String {
    let mut text = format!("{} is in {}", domain.name, domain.phase);
    if let Some(reason) = &domain.paused {
        text += &format!(", paused: {}", human::printable(reason));
    }
    text + &format!(
        ", {} in the backlog; next: {}",
        human::counted(domain.backlog, "delivery", "deliveries"),
        domain.next
    )
}

fn unknown(name: &str, domains: &[DomainView]) -> Exit {
    /// More would not fit on a line.
    const NAMED_MAX: usize = 5;
    let mut known: Vec<&str> = domains.iter().map(|domain| &*domain.name).collect();
    if known.len() > NAMED_MAX {
        known.truncate(NAMED_MAX);
        known.push("...");
    }
    let known = known.join(", ");
    Exit::new(
        Code::Data,
        format!("the domain {name} is not configured; there are: {known}"),
    )
}
