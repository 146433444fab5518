//! Where reading commands read: from the daemon when one runs, else from the spool
//! itself, which is opened without changing a byte.

use super::{
    Context,
    client::{Client, ClientError, escape},
};
use crate::{
    control::{
        Filter, Listing, Log,
        view::{
            DomainEventView, DomainView, EventView, FsckView, Live, LogLine, MessageView,
            StatusView,
        },
    },
    mail::QueueId,
    mover::account::now_ms,
    spool::{Spool, SpoolError, StoredMessage, rocks::RocksSpool},
};
use std::{io::Write, sync::Arc};

/// A daemon, or a spool without one.
pub enum Source {
    /// Over the control socket.
    Daemon(Client),
    /// The files themselves.
    Spool(Arc<dyn Spool>),
}

impl Source {
    /// The daemon if one answers, else the configured spool, for reading. `--socket`
    /// means the daemon.
    ///
    /// # Errors
    /// No daemon at `--socket`; no permission; those of the configuration and of opening.
    pub async fn open(context: &Context) -> anyhow::Result<Self> {
        match Client::connect(&context.socket()?).await {
            Ok(client) => Ok(Self::Daemon(client)),
            Err(ClientError::NoDaemon { .. }) if context.global.socket.is_none() => {
                let config = context.config()?;
                Ok(Self::Spool(RocksSpool::open_read_only(&config.spool)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives each message that fits to `take`, in arrival order.
    ///
    /// # Errors
    /// A filter that makes no sense, those of the source and those of `take`.
    pub async fn list(
        &self,
        filter: Filter,
        take: &mut (dyn FnMut(MessageView) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        match self {
            Self::Daemon(client) => client.lines(&messages_path(&filter), take).await,
            Self::Spool(spool) => {
                if let Some(domain) = &filter.domain
                    && spool.domain(&domain.to_lowercase()).is_none()
                {
                    return Err(SpoolError::UnknownDomain(domain.clone()).into());
                }
                let mut listing = Listing::new(spool.clone(), filter)?;
                while let Some(message) = listing.next().await? {
                    take(message)?;
                }
                Ok(())
            }
        }
    }

    /// Every domain with its account.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn domains(&self) -> anyhow::Result<Vec<DomainView>> {
        match self {
            Self::Daemon(client) => {
                let status: StatusView = client.get("/v1/status").await?;
                Ok(status.domains)
            }
            Self::Spool(spool) => {
                let domains = spool.domains();
                let view = |domain| DomainView::of(domain, Live::default(), now_ms());
                Ok(domains.iter().map(view).collect())
            }
        }
    }

    /// The history of a domain.
    ///
    /// # Errors
    /// No such domain, and those of the source.
    pub async fn domain_events(&self, name: &str) -> anyhow::Result<Vec<DomainEventView>> {
        let mut views = Vec::new();
        match self {
            Self::Daemon(client) => {
                let path = format!("/v1/domains/{}/events", escape(name));
                let mut take = |view| {
                    views.push(view);
                    Ok(())
                };
                client.lines(&path, &mut take).await?;
            }
            Self::Spool(spool) => {
                let events = spool.domain_events(name.to_owned()).await?;
                views.extend(events.iter().map(DomainEventView::from));
            }
        }
        Ok(views)
    }

    /// Every message with all of its history, in arrival order.
    ///
    /// # Errors
    /// Those of the source and those of `take`.
    pub async fn log(
        &self,
        take: &mut (dyn FnMut(LogLine) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<()> {
        match self {
            Self::Daemon(client) => client.lines("/v1/log", take).await,
            Self::Spool(spool) => {
                let mut log = Log::new(spool.clone());
                while let Some(line) = log.next().await? {
                    take(line)?;
                }
                Ok(())
            }
        }
    }

    /// One message with all its deliveries.
    ///
    /// # Errors
    /// No such message, and those of the source.
    pub async fn message(&self, id: QueueId) -> anyhow::Result<MessageView> {
        match self {
            Self::Daemon(client) => client.get(&format!("/v1/messages/{id}")).await,
            Self::Spool(spool) => {
                let message = find(&**spool, id).await?;
                let deliveries = spool.deliveries(id).await?;
                Ok(MessageView::of(&message, &deliveries))
            }
        }
    }

    /// The history of a message's deliveries.
    ///
    /// # Errors
    /// No such message, and those of the source.
    pub async fn events(&self, id: QueueId) -> anyhow::Result<Vec<EventView>> {
        let mut views = Vec::new();
        match self {
            Self::Daemon(client) => {
                let path = format!("/v1/messages/{id}/events");
                let mut take = |view| {
                    views.push(view);
                    Ok(())
                };
                client.lines(&path, &mut take).await?;
            }
            Self::Spool(spool) => {
                let message = find(&**spool, id).await?;
                let events = spool.events(id).await?;
                views.extend(events.iter().map(|event| EventView::of(&message, event)));
            }
        }
        Ok(views)
    }

    /// Writes the exact bytes of a message to `out`.
    ///
    /// # Errors
    /// No such message, bytes that were removed or are damaged, those of `out`.
    pub async fn raw(&self, id: QueueId, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        match self {
            Self::Daemon(client) => {
                let mut pieces = client.pieces(&format!("/v1/messages/{id}/raw")).await?;
                while let Some(piece) = pieces.next().await? {
                    out.write_all(&piece)?;
                }
            }
            Self::Spool(spool) => {
                let mut body = spool.body(id).await?;
                while let Some(piece) = body.next().await? {
                    out.write_all(&piece)?;
                }
            }
        }
        Ok(())
    }

    /// Recounts everything, with all digests.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn fsck(&self) -> anyhow::Result<FsckView> {
        match self {
            Self::Daemon(client) => client.get("/v1/fsck").await,
            Self::Spool(spool) => {
                let verify_bodies = true;
                Ok(spool.recount(verify_bodies).await?.into())
            }
        }
    }
}

async fn find(spool: &dyn Spool, id: QueueId) -> Result<StoredMessage, SpoolError> {
    let message = spool.message(id).await?;
    message.ok_or(SpoolError::UnknownMessage(id))
}

/// The path that asks the daemon for a listing.
#[must_use]
pub fn messages_path(filter: &Filter) -> String {
    let members = [
        ("domain", filter.domain.clone()),
        ("state", filter.state.map(|state| state.to_string())),
        ("recipient", filter.recipient.clone()),
        ("sender", filter.sender.clone()),
        ("limit", filter.limit.map(|limit| limit.to_string())),
        ("after", filter.after.clone()),
    ];
    let given: Vec<String> = members
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escape(&value?))))
        .collect();
    if given.is_empty() {
        "/v1/messages".into()
    } else {
        format!("/v1/messages?{}", given.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_a_query() {
        assert_eq!(messages_path(&Filter::default()), "/v1/messages");
        let filter = Filter {
            recipient: Some("a+b@c.example".into()),
            state: Some("in_doubt".parse().unwrap()),
            limit: Some(5),
            ..Filter::default()
        };
        assert_eq!(
            messages_path(&filter),
            "/v1/messages?state=in_doubt&recipient=a%2Bb%40c.example&limit=5"
        );
    }
}
