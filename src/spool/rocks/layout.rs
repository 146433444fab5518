//! Keys: which bytes name which record. `spool/FORMAT.md` is this file in prose.
//!
//! Every key begins with one byte for its kind; numbers are big-endian, so that keys sort
//! as the numbers do and arrival order is key order.

use super::unconfirmed::Fingerprint;
use crate::mail::{DeliveryId, Lane, QueueId};

/// The column family of the small bodies; its values live in blob files, outside of
/// compaction. All other records are in the default one.
pub const BODIES: &str = "bodies";

/// What a key names; the discriminant is its first byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The only key `H`: [`super::record::Head`].
    Head = b'H',
    /// `D` name: a domain's phase and ledger.
    Domain = b'D',
    /// `N` domain event: a domain's history.
    DomainEvent = b'N',
    /// `M` message: envelope, size, digest.
    Message = b'M',
    /// `S` delivery: where it stands.
    Delivery = b'S',
    /// `E` delivery event: its history.
    Event = b'E',
    /// `Q` domain delivery: what is not at its end, in arrival order.
    Order = b'Q',
    /// `L` domain lane delivery: what holds a lane, in arrival order.
    Lane = b'L',
    /// `A` delivery: an attempt without a result.
    Attempt = b'A',
    /// `F` file: which message owns a file in `bodies/`.
    File = b'F',
    /// `X` time stage message: what is removed when.
    Expiry = b'X',
    /// `U` fingerprint: a message whose 250 may not have reached its client.
    Unconfirmed = b'U',
    /// `T` domain: what an operator has set in the place of its configured limits.
    Load = b'T',
    /// `W` time message: whose sender wants to be told of a delay, and was not.
    Late = b'W',
}

/// A domain's number within a spool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DomainNumber(pub u32);

/// Builds a key piece by piece.
pub struct Key(Vec<u8>);

impl Key {
    /// The key, or prefix, of a kind alone.
    pub fn of(kind: Kind) -> Self {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(kind as u8);
        Self(bytes)
    }

    fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn delivery_id(self, id: DeliveryId) -> Self {
        self.u64(id.message.number()).u32(id.recipient)
    }

    /// `D` name.
    pub fn domain(name: &str) -> Self {
        let mut key = Self::of(Kind::Domain);
        key.0.extend_from_slice(name.as_bytes());
        key
    }

    /// `N` domain, all of its events.
    pub fn domain_events(domain: DomainNumber) -> Self {
        Self::of(Kind::DomainEvent).u32(domain.0)
    }

    /// `N` domain event.
    pub fn domain_event(domain: DomainNumber, event: u64) -> Self {
        Self::domain_events(domain).u64(event)
    }

    /// `T` domain.
    pub fn load(domain: DomainNumber) -> Self {
        Self::of(Kind::Load).u32(domain.0)
    }

    /// `M` message.
    pub fn message(id: QueueId) -> Self {
        Self::of(Kind::Message).u64(id.number())
    }

    /// `S` message, all of its deliveries.
    pub fn deliveries(message: QueueId) -> Self {
        Self::of(Kind::Delivery).u64(message.number())
    }

    /// `S` delivery.
    pub fn delivery(id: DeliveryId) -> Self {
        Self::of(Kind::Delivery).delivery_id(id)
    }

    /// `E` message, all events of its deliveries.
    pub fn message_events(message: QueueId) -> Self {
        Self::of(Kind::Event).u64(message.number())
    }

    /// `E` delivery, all of its events.
    pub fn delivery_events(id: DeliveryId) -> Self {
        Self::of(Kind::Event).delivery_id(id)
    }

    /// `E` delivery event.
    pub fn event(id: DeliveryId, event: u64) -> Self {
        Self::delivery_events(id).u64(event)
    }

    /// `Q` domain, all that is unfinished.
    pub fn orders(domain: DomainNumber) -> Self {
        Self::of(Kind::Order).u32(domain.0)
    }

    /// `Q` domain delivery.
    pub fn order(domain: DomainNumber, id: DeliveryId) -> Self {
        Self::orders(domain).delivery_id(id)
    }

    /// `L` domain lane, all that holds it.
    pub fn lanes(domain: DomainNumber, lane: Lane) -> Self {
        Self::of(Kind::Lane).u32(domain.0).u64(lane.0)
    }

    /// `L` domain lane delivery.
    pub fn lane(domain: DomainNumber, lane: Lane, id: DeliveryId) -> Self {
        Self::lanes(domain, lane).delivery_id(id)
    }

    /// `A` delivery.
    pub fn attempt(id: DeliveryId) -> Self {
        Self::of(Kind::Attempt).delivery_id(id)
    }

    /// `F` file.
    pub fn file(file: u64) -> Self {
        Self::of(Kind::File).u64(file)
    }

    /// `X` time, everything that expires at it.
    pub fn expiries(at_ms: u64) -> Self {
        Self::of(Kind::Expiry).u64(at_ms)
    }

    /// `X` time stage message.
    pub fn expiry(at_ms: u64, stage: Stage, message: QueueId) -> Self {
        let mut key = Self::expiries(at_ms);
        key.0.push(stage as u8);
        key.u64(message.number())
    }

    /// `W` time, everything that was accepted at it.
    pub fn lates(received_ms: u64) -> Self {
        Self::of(Kind::Late).u64(received_ms)
    }

    /// `W` time message.
    pub fn late(received_ms: u64, message: QueueId) -> Self {
        Self::lates(received_ms).u64(message.number())
    }

    /// `U` fingerprint.
    pub fn unconfirmed(fingerprint: Fingerprint) -> Self {
        let mut key = Self::of(Kind::Unconfirmed);
        key.0.extend_from_slice(&fingerprint.0);
        key
    }

    /// The first key behind every key that begins with this one.
    pub fn after_prefix(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        end
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What goes when a message expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Its bytes, after `spool.retain_delivered`.
    Body = 0,
    /// Its records, after `spool.retain_records`.
    Records = 1,
}

/// Reads numbers back from the end of a key.
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    /// Begins behind the kind byte.
    pub fn new(key: &'a [u8]) -> Self {
        Self(key.get(1..).unwrap_or_default())
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A queue id.
    pub fn queue_id(&mut self) -> Option<QueueId> {
        self.u64().and_then(QueueId::new)
    }

    /// A message and the number of one of its recipients.
    pub fn delivery_id(&mut self) -> Option<DeliveryId> {
        Some(DeliveryId {
            message: self.queue_id()?,
            recipient: self.u32()?,
        })
    }
}

/// A queue id as the key of its body.
pub fn body_key(id: QueueId) -> [u8; 8] {
    id.number().to_be_bytes()
}
