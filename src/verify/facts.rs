//! What a message is known by, taken from its bytes as they come, in little memory.

use super::header::{self, Field};
use crate::{
    mail::QueueId,
    mover::hash::{Hasher, Identity},
};

/// The longest header that is looked into; what is behind it counts as body.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// A message, as far as it has to be compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The whole message.
    pub whole: Identity,
    /// Its body alone.
    pub body: Identity,
    /// Its header, up to 256 KiB.
    pub head: Vec<u8>,
    /// Where relay put its trace field: what follows it.
    pub released: Option<Released>,
    /// Whether its last byte ends a line.
    pub ends_line: bool,
}

/// What follows the `Received` field that relay put in front of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Released {
    /// The queue id that the field tells.
    pub id: QueueId,
    /// BLAKE3 of what follows, as it came: that of the receipt when nothing was changed.
    pub digest: [u8; 32],
    /// The same as servers store it.
    pub rest: Identity,
    /// Where it begins in the head.
    pub from: usize,
}

impl Facts {
    /// Its Message-ID, as it stands there.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        let field = header::fields(&self.head).find(|field| field.is("message-id"))?;
        let text = field.text();
        (!text.is_empty()).then(|| text.chars().take(998).collect())
    }

    /// Message-ID and body together: the same in copies that took different ways, and so
    /// have other trace fields. Nothing without a Message-ID.
    #[must_use]
    pub fn core(&self) -> Option<u64> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.message_id()?.as_bytes());
        hasher.update(&self.body.hash);
        Some(short(hasher.finalize().as_bytes()))
    }

    /// The fields of its header, from a place in it on.
    pub fn fields_from(&self, from: usize) -> impl Iterator<Item = Field<'_>> {
        header::fields(self.head.get(from..).unwrap_or_default())
    }
}

/// The first 8 bytes of a hash.
#[must_use]
pub fn short(hash: &[u8; 32]) -> u64 {
    hash.first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

/// A text in 8 bytes.
#[must_use]
pub fn short_of(text: &str) -> u64 {
    short(blake3::hash(text.as_bytes()).as_bytes())
}

/// Takes a message in parts.
#[derive(Debug, Default)]
pub struct Gauge {
    whole: Hasher,
    body: Hasher,
    head: Vec<u8>,
    is_in_body: bool,
    released: Option<Behind>,
    last: Option<u8>,
}

#[derive(Debug)]
struct Behind {
    id: QueueId,
    from: usize,
    raw: Box<blake3::Hasher>,
    rest: Hasher,
}

impl Gauge {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.whole.update(part);
        self.last = part.last().copied().or(self.last);
        if self.is_in_body {
            self.put_body(part);
            return;
        }
        let from = self.head.len().saturating_sub(3);
        self.head.extend_from_slice(part);
        let end = header::end(&self.head, from);
        let end = end.or((self.head.len() > HEAD_BYTES_MAX).then_some(HEAD_BYTES_MAX));
        if let Some(end) = end {
            self.begin_body(end);
        }
    }

    /// All of it is there.
    #[must_use]
    pub fn finish(mut self) -> Facts {
        if !self.is_in_body {
            self.begin_body(self.head.len());
        }
        Facts {
            whole: self.whole.finish(),
            body: self.body.finish(),
            head: self.head,
            released: self.released.map(|behind| Released {
                id: behind.id,
                digest: *behind.raw.finalize().as_bytes(),
                rest: behind.rest.finish(),
                from: behind.from,
            }),
            ends_line: self.last == Some(b'\n'),
        }
    }

    fn begin_body(&mut self, end: usize) {
        self.is_in_body = true;
        let body = self.head.split_off(end.min(self.head.len()));
        let mut at = 0;
        for field in header::fields(&self.head) {
            at += field.bytes.len();
            if let Some(id) = header::released_as(&field) {
                let rest = self.head.get(at..).unwrap_or_default();
                let mut behind = Behind {
                    id,
                    from: at,
                    raw: Box::default(),
                    rest: Hasher::default(),
                };
                behind.raw.update(rest);
                behind.rest.update(rest);
                self.released = Some(behind);
                break;
            }
        }
        self.put_body(&body);
    }

    fn put_body(&mut self, part: &[u8]) {
        self.body.update(part);
        if let Some(behind) = &mut self.released {
            behind.raw.update(part);
            behind.rest.update(part);
        }
    }
}

/// Of a message in memory.
#[must_use]
pub fn facts(message: &[u8]) -> Facts {
    let mut gauge = Gauge::default();
    gauge.update(message);
    gauge.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::hash::identity;
    use proptest::prelude::*;

    const ORIGINAL: &[u8] = b"From: a@b\r\nMessage-ID: <x@y>\r\n\r\nbody\r\n\r\nmore\r\n";
    const TRACE: &[u8] = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby new; now\r\n\
        Received: from mx (mx [192.0.2.1])\r\n\tby hold.example (relay) with ESMTP id \
        00000000000A\r\n\tfor <bob@corp.example>;\r\n\tMon, 23 Nov 2026 10:00:01 +0000\r\n";

    #[test]
    fn what_follows_relays_field_is_what_was_received() {
        let stored = [TRACE, ORIGINAL].concat();
        let facts = facts(&stored);
        let released = facts.released.clone().unwrap();
        assert_eq!(released.id, QueueId::new(10).unwrap());
        assert_eq!(released.digest, *blake3::hash(ORIGINAL).as_bytes());
        assert_eq!(released.rest, identity(ORIGINAL));
        assert_eq!(facts.whole, identity(&stored));
        assert_eq!(facts.message_id().as_deref(), Some("<x@y>"));
        assert_eq!(facts.core(), super::facts(ORIGINAL).core());
        assert!(super::facts(ORIGINAL).released.is_none());
        let fields: Vec<_> = facts.fields_from(released.from).collect();
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_field_in_the_body_is_no_field() {
        let message = [b"Subject: forwarded\r\n\r\n", TRACE].concat();
        assert!(facts(&message).released.is_none());
        assert_eq!(facts(b"\r\nMessage-ID: <x>\r\n").message_id(), None);
        assert_eq!(facts(b"").core(), None);
        assert!(!facts(b"A: b").ends_line);
    }

    proptest! {
        #[test]
        fn parts_do_not_matter(cuts in proptest::collection::vec(0usize..60, 0..20)) {
            let stored = [TRACE, ORIGINAL].concat();
            let mut gauge = Gauge::default();
            let mut rest = &stored[..];
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                gauge.update(part);
                rest = after;
            }
            gauge.update(rest);
            prop_assert_eq!(gauge.finish(), facts(&stored));
        }
    }
}
