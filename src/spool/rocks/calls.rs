//! What may be asked of the spool: writes go to the committing thread, reads to a thread that
//! may block, and what is counted is answered from memory.

use super::{RocksSpool, commit::in_time, draft, floors::start, read, recount, request::Request};
use crate::{
    mail::{DeliveryId, Lane, QueueId},
    spool::{
        Answer, Body, Cause, Change, Delivery, DomainCommand, DomainEvent, DomainStatus, Draft,
        Event, Measures, Phase, Recount, Report, Spool, SpoolError, Step, StoredMessage,
        Transition, Unfinished,
    },
};
use std::sync::PoisonError;
use tokio::sync::broadcast;

impl Spool for RocksSpool {
    fn begin(&self) -> Box<dyn Draft> {
        Box::new(draft::RocksDraft::new(
            self.writer.clone(),
            self.files.clone(),
        ))
    }

    fn admit(&self, bytes: u64) -> Result<(), SpoolError> {
        match self.published.outage.trouble() {
            Some(failure) => Err(failure),
            None => self.space.admit(bytes),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        self.space.free_bytes().ok()
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(in_time(self.ask(Request::Probe)))
    }

    fn measures(&self) -> &Measures {
        &self.published.measures
    }

    fn confirm(&self, id: QueueId) {
        if let Some(writer) = &self.writer {
            writer.confirm(id);
        }
    }

    fn add_domains(&self, names: Vec<String>) -> Answer<'_, ()> {
        self.ask(|reply| Request::AddDomains(names, reply))
    }

    fn domains(&self) -> Vec<DomainStatus> {
        let domains = self
            .published
            .domains
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<DomainStatus> = domains.values().cloned().collect();
        drop(domains);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn domain(&self, name: &str) -> Option<DomainStatus> {
        let domains = self
            .published
            .domains
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        domains.get(name).cloned()
    }

    fn oldest(&self, domain: String) -> Answer<'_, Option<u64>> {
        Box::pin(async move {
            let first = self.unfinished(domain, None, 1).await?;
            let Some(first) = first.first() else {
                return Ok(None);
            };
            let message = self.message(first.id.message).await?;
            Ok(message.map(|message| message.envelope.received_ms))
        })
    }

    fn command(
        &self,
        domain: String,
        command: DomainCommand,
        cause: Cause,
    ) -> Answer<'_, DomainStatus> {
        self.ask(|reply| Request::Command {
            domain,
            command,
            cause,
            reply,
        })
    }

    fn advance(&self, transitions: Vec<Transition>) -> Answer<'_, Vec<QueueId>> {
        if (transitions.iter()).all(|transition| transition.step != Step::Rewind) {
            return self.ask(|reply| Request::Advance(transitions, reply));
        }
        let (writer, floors) = (self.writer.clone(), self.floors.clone());
        Box::pin(async move {
            let writer = writer.ok_or(SpoolError::Closed)?;
            // Whoever asks may go away before it is answered, and the order begins further back
            // all the same.
            let rewound = tokio::spawn(async move {
                let request = |reply| Request::Advance(transitions, reply);
                let answer = writer.ask(request).await;
                floors.clear();
                answer
            });
            rewound.await.unwrap_or(Err(SpoolError::Closed))
        })
    }

    fn bounce(
        &self,
        transitions: Vec<Transition>,
        reports: Vec<Report>,
    ) -> Answer<'_, Vec<QueueId>> {
        self.ask(|reply| Request::Bounce {
            transitions,
            reports,
            reply,
        })
    }

    fn late(&self, before_ms: u64, limit: usize) -> Answer<'_, Vec<QueueId>> {
        self.read(move |store, _| read::late(store, before_ms, limit))
    }

    fn warn(&self, id: QueueId, report: Option<Report>) -> Answer<'_, Option<QueueId>> {
        self.ask(move |reply| Request::Warn { id, report, reply })
    }

    fn message(&self, id: QueueId) -> Answer<'_, Option<StoredMessage>> {
        self.read(move |store, _| read::message(store, id))
    }

    fn body(&self, id: QueueId) -> Answer<'_, Box<dyn Body>> {
        self.read(move |store, files| read::body(store, files, id))
    }

    fn deliveries(&self, id: QueueId) -> Answer<'_, Vec<Delivery>> {
        let phases = self.phases();
        self.read(move |store, _| {
            read::deliveries(store, id, |domain| {
                phases.get(&domain).copied().unwrap_or(Phase::Hold)
            })
        })
    }

    fn events(&self, id: QueueId) -> Answer<'_, Vec<Event>> {
        self.read(move |store, _| read::events(store, id))
    }

    fn next_event(&self) -> Answer<'_, u64> {
        self.read(|store, _| read::next_event(store))
    }

    fn domain_events(&self, domain: String) -> Answer<'_, Vec<DomainEvent>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            self.read(move |store, _| read::domain_events(store, domain))
                .await
        })
    }

    fn unfinished(
        &self,
        domain: String,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            let (floor, rewinds) = self.floors.floor(domain)?;
            let from = start(after)?.max(floor);
            let found = self
                .read(move |store, _| read::unfinished(store, domain, from, limit))
                .await?;
            if let (true, Some(first)) = (from == floor, found.first()) {
                self.floors.raise(domain, first.id, rewinds);
            }
            Ok(found)
        })
    }

    fn lane(
        &self,
        domain: String,
        lane: Lane,
        after: Option<DeliveryId>,
        until: DeliveryId,
        limit: usize,
    ) -> Answer<'_, Vec<Unfinished>> {
        Box::pin(async move {
            let domain = self.number(&domain)?;
            let from = start(after)?;
            self.read(move |store, _| read::lane(store, domain, lane, from, until, limit))
                .await
        })
    }

    fn messages(&self, after: Option<QueueId>, limit: usize) -> Answer<'_, Vec<StoredMessage>> {
        self.read(move |store, _| read::messages(store, after, limit))
    }

    fn purge(&self, now_ms: u64, limit: usize) -> Answer<'_, usize> {
        self.ask(move |reply| Request::Purge {
            now_ms,
            limit,
            reply,
        })
    }

    fn relieve(&self, limit: usize) -> Answer<'_, usize> {
        Box::pin(async move {
            if !self.space.is_short()? {
                return Ok(0);
            }
            let given_up = self
                .ask(move |reply| Request::Relieve { limit, reply })
                .await?;
            if given_up > 0 {
                let count = u64::try_from(given_up).unwrap_or(u64::MAX);
                self.published.measures.given_up.inc_by(count);
                self.read(|store, _| store.reclaim_bodies()).await?;
            }
            Ok(given_up)
        })
    }

    fn recount(&self, verify_bodies: bool) -> Answer<'_, Recount> {
        self.read(move |store, files| {
            let outcome = recount::recount(store, files, files.first(), verify_bodies)?;
            Ok(outcome.report)
        })
    }

    fn repair(&self) -> Answer<'_, Vec<String>> {
        self.ask(Request::Repair)
    }

    fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.published.changes.subscribe()
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            match self.ask(Request::Close).await {
                Ok(()) | Err(SpoolError::Closed) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}
