//! Reading: everything here blocks on the disk and is called from threads that may.

use super::{
    files::{Files, failed},
    layout::{DomainNumber, Key, KeyReader, Kind},
    record::{
        BodyAt, DeliveryRecord, DomainEventRecord, EventRecord, Head, MessageRecord, OrderRecord,
        decode,
    },
    store::{Store, Walk},
};
use crate::{
    mail::{DeliveryId, Digest, Digester, Lane, QueueId},
    spool::{
        Answer, Body, Delivery, DomainEvent, Event, Phase, SpoolError, StoredMessage, Unfinished,
    },
};
use std::{fs::File, io::Read};

/// What is read from a body file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A message's record.
pub fn message(store: &Store, id: QueueId) -> Result<Option<StoredMessage>, SpoolError> {
    let record = store.get::<MessageRecord>(&Key::message(id))?;
    Ok(record.map(|record| stored(id, record)))
}

/// Message records in arrival order.
pub fn messages(
    store: &Store,
    after: Option<QueueId>,
    limit: usize,
) -> Result<Vec<StoredMessage>, SpoolError> {
    let all = Key::of(Kind::Message);
    let from = after.map_or_else(
        || all.as_ref().to_vec(),
        |id| Key::message(id.next()).as_ref().to_vec(),
    );
    let mut found = Vec::new();
    store.walk(&from, &all.after_prefix(), |key, value| {
        if found.len() >= limit {
            return Ok(Walk::Stop);
        }
        if let Some(id) = KeyReader::new(key).queue_id() {
            found.push(stored(id, decode(|| format!("message {id}"), value)?));
        }
        Ok(Walk::On)
    })?;
    Ok(found)
}

fn stored(id: QueueId, record: MessageRecord) -> StoredMessage {
    StoredMessage {
        id,
        envelope: record.envelope,
        size: record.size,
        digest: record.digest,
        has_body: record.body != BodyAt::Gone,
    }
}

/// The bytes of a message; a small one has been checked on return.
pub fn body(store: &Store, files: &Files, id: QueueId) -> Result<Box<dyn Body>, SpoolError> {
    let record = store.get::<MessageRecord>(&Key::message(id))?;
    let record = record.ok_or(SpoolError::UnknownMessage(id))?;
    let source = match record.body {
        BodyAt::Gone => return Err(SpoolError::NoBody(id)),
        BodyAt::Inline => {
            let bytes = store
                .view()
                .body(id)?
                .ok_or_else(|| lost(id, "its bytes are not there".into()))?;
            check(id, record.digest, Digest::of(&bytes))?;
            Source::Memory(Some(bytes))
        }
        BodyAt::File(number) => {
            let file = files
                .read(number)
                .map_err(|error| lost(id, error.to_string()))?;
            Source::File {
                file,
                digester: Box::default(),
            }
        }
    };
    Ok(Box::new(StoredBody {
        id,
        digest: record.digest,
        size: record.size,
        source,
    }))
}

struct StoredBody {
    id: QueueId,
    digest: Digest,
    size: u64,
    source: Source,
}

enum Source {
    Memory(Option<Vec<u8>>),
    File { file: File, digester: Box<Digester> },
    End,
}

impl StoredBody {
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, SpoolError> {
        match std::mem::replace(&mut self.source, Source::End) {
            Source::Memory(bytes) => Ok(bytes.filter(|bytes| !bytes.is_empty())),
            Source::End => Ok(None),
            Source::File { file, digester } => {
                let (id, expected) = (self.id, self.digest);
                let read = move || read_piece(file, digester, id, expected);
                let done = tokio::task::spawn_blocking(read).await;
                let (piece, source) = done.map_err(|_| SpoolError::Closed)??;
                self.source = source;
                Ok(piece)
            }
        }
    }
}

fn read_piece(
    mut file: File,
    mut digester: Box<Digester>,
    id: QueueId,
    expected: Digest,
) -> Result<(Option<Vec<u8>>, Source), SpoolError> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    (&mut file)
        .take(PIECE_BYTES as u64)
        .read_to_end(&mut piece)
        .map_err(|error| failed(&format!("reading the body of {id}"), &error))?;
    if piece.is_empty() {
        check(id, expected, digester.digest())?;
        return Ok((None, Source::End));
    }
    digester.update(&piece);
    Ok((Some(piece), Source::File { file, digester }))
}

impl Body for StoredBody {
    fn next(&mut self) -> Answer<'_, Option<Vec<u8>>> {
        Box::pin(self.piece())
    }

    fn digest(&self) -> Digest {
        self.digest
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn check(id: QueueId, expected: Digest, found: Digest) -> Result<(), SpoolError> {
    if expected == found {
        return Ok(());
    }
    Err(lost(
        id,
        format!("its digest is {found}, and {expected} was stored"),
    ))
}

fn lost(id: QueueId, detail: String) -> SpoolError {
    SpoolError::Corrupt {
        what: format!("the body of message {id}"),
        detail,
    }
}

/// The deliveries of a message; `phase` tells a domain's phase.
pub fn deliveries(
    store: &Store,
    id: QueueId,
    phase: impl Fn(DomainNumber) -> Phase,
) -> Result<Vec<Delivery>, SpoolError> {
    let prefix = Key::deliveries(id);
    let mut found = Vec::new();
    store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
        if let Some(delivery) = KeyReader::new(key).delivery_id() {
            let record = decode::<DeliveryRecord>(|| format!("a delivery of {id}"), value)?;
            found.push((delivery, record));
        }
        Ok(Walk::On)
    })?;
    found
        .into_iter()
        .map(|(id, record)| {
            let events = Key::delivery_events(id);
            let last: Option<EventRecord> =
                store.view().last(events.as_ref(), &events.after_prefix())?;
            Ok(Delivery {
                id,
                standing: record.standing,
                state: record.standing.state(phase(DomainNumber(record.domain))),
                attempts: record.attempts,
                changed_ms: record.changed_ms,
                attempting: store.view().has(&Key::attempt(id))?,
                last: last.and_then(|event| event.remote),
            })
        })
        .collect()
}

/// The number that the next event will have at least.
pub fn next_event(store: &Store) -> Result<u64, SpoolError> {
    let head = store.get::<Head>(&Key::of(Kind::Head))?;
    Ok(head.map_or(1, |head| head.next_event))
}

/// The events of a message's deliveries, oldest first.
pub fn events(store: &Store, id: QueueId) -> Result<Vec<Event>, SpoolError> {
    let prefix = Key::message_events(id);
    let mut found = Vec::new();
    store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
        let mut reader = KeyReader::new(key);
        if let (Some(delivery), Some(number)) = (reader.delivery_id(), reader.u64()) {
            let record = decode::<EventRecord>(|| format!("an event of {id}"), value)?;
            found.push((number, delivery, record));
        }
        Ok(Walk::On)
    })?;
    found.sort_by_key(|(number, _, _)| *number);
    Ok(found
        .into_iter()
        .map(|(number, delivery, record)| Event {
            number,
            delivery,
            at_ms: record.at_ms,
            from: record.from,
            to: record.to,
            cause: record.cause,
            remote: record.remote,
        })
        .collect())
}

/// The events of a domain, oldest first.
pub fn domain_events(store: &Store, domain: DomainNumber) -> Result<Vec<DomainEvent>, SpoolError> {
    let prefix = Key::domain_events(domain);
    let mut found = Vec::new();
    store.walk(prefix.as_ref(), &prefix.after_prefix(), |key, value| {
        let record = decode::<DomainEventRecord>(|| "a domain's event".into(), value)?;
        let mut reader = KeyReader::new(key);
        let number = reader.u32().and_then(|_| reader.u64());
        found.push(DomainEvent {
            number: number.unwrap_or_default(),
            at_ms: record.at_ms,
            what: record.what,
            cause: record.cause,
        });
        Ok(Walk::On)
    })?;
    Ok(found)
}

/// What is unfinished in a domain from `from` on, in arrival order.
pub fn unfinished(
    store: &Store,
    domain: DomainNumber,
    from: DeliveryId,
    limit: usize,
) -> Result<Vec<Unfinished>, SpoolError> {
    let all = Key::orders(domain);
    let mut found = Vec::new();
    store.walk(
        Key::order(domain, from).as_ref(),
        &all.after_prefix(),
        |key, value| {
            if found.len() >= limit {
                return Ok(Walk::Stop);
            }
            let mut reader = KeyReader::new(key);
            if let (Some(_), Some(id)) = (reader.u32(), reader.delivery_id()) {
                let record: OrderRecord = decode(|| format!("the order of {}", id.message), value)?;
                found.push(Unfinished {
                    id,
                    lane: record.lane,
                    standing: record.standing,
                });
            }
            Ok(Walk::On)
        },
    )?;
    Ok(found)
}

/// What holds a lane from `from` up to `until`, both included, in arrival order.
pub fn lane(
    store: &Store,
    domain: DomainNumber,
    lane: Lane,
    from: DeliveryId,
    until: DeliveryId,
    limit: usize,
) -> Result<Vec<Unfinished>, SpoolError> {
    let mut ids = Vec::new();
    let end = Key::lane(domain, lane, next(until));
    store.walk(
        Key::lane(domain, lane, from).as_ref(),
        end.as_ref(),
        |key, _| {
            if ids.len() >= limit {
                return Ok(Walk::Stop);
            }
            let mut reader = KeyReader::new(key);
            if let (Some(_), Some(_), Some(id)) = (reader.u32(), reader.u64(), reader.delivery_id())
            {
                ids.push(id);
            }
            Ok(Walk::On)
        },
    )?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(record) = store.get::<DeliveryRecord>(&Key::delivery(id))? {
            found.push(Unfinished {
                id,
                lane,
                standing: record.standing,
            });
        }
    }
    Ok(found)
}

/// Messages accepted before a time whose senders want to be told of a delay, and were not.
pub fn late(store: &Store, before_ms: u64, limit: usize) -> Result<Vec<QueueId>, SpoolError> {
    let mut found = Vec::new();
    let from = Key::of(super::layout::Kind::Late);
    store.walk(from.as_ref(), Key::lates(before_ms).as_ref(), |key, _| {
        if found.len() >= limit {
            return Ok(Walk::Stop);
        }
        let mut reader = KeyReader::new(key);
        if let (Some(_), Some(id)) = (reader.u64(), reader.queue_id()) {
            found.push(id);
        }
        Ok(Walk::On)
    })?;
    Ok(found)
}

/// The delivery that comes right behind this one in every order.
pub fn next(id: DeliveryId) -> DeliveryId {
    match id.recipient.checked_add(1) {
        Some(recipient) => DeliveryId { recipient, ..id },
        None => DeliveryId {
            message: id.message.next(),
            recipient: 0,
        },
    }
}
