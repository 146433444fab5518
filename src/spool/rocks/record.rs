//! Records: a version byte, then the fields in the postcard encoding (varints, length
//! before text and lists, the index of the variant before an enum's fields), so that what
//! is on disk is described by these types alone. `spool/FORMAT.md` is this file in prose.

use crate::{
    mail::{Digest, Envelope, Lane, QueueId},
    spool::{Cause, Course, Ledger, Remote, SpoolError, Standing, Tally},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of the spool as a whole, kept in [`Head`], and of each record.
pub const VERSION: u8 = 2;

/// What is written with every batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// Batches so far: the number that the watermark acknowledges.
    pub commit: u64,
    /// The queue id of the next message.
    pub next_id: QueueId,
    /// The number of the next event.
    pub next_event: u64,
    /// The number of the next domain.
    pub next_domain: u32,
}

/// A message without its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MessageRecord {
    /// Who, to whom, when.
    pub envelope: Envelope,
    /// Length in bytes.
    pub size: u64,
    /// Of the bytes.
    pub digest: Digest,
    /// Where the bytes are.
    pub body: BodyAt,
}

/// Where a message's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BodyAt {
    /// Under its queue id in the column family `bodies`.
    Inline,
    /// In the file of this number in the directory `bodies`.
    File(u64),
    /// Removed after its retention.
    Gone,
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The number of the recipient's domain.
    pub domain: u32,
    /// The mailbox.
    pub lane: Lane,
    /// The message's size, so that a step need not read the message.
    pub size: u64,
    /// Where it stands.
    pub standing: Standing,
    /// Tries so far.
    pub attempts: u32,
    /// Since when it stands there, milliseconds since 1970.
    pub changed_ms: u64,
}

/// An entry of the arrival order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderRecord {
    /// The mailbox.
    pub lane: Lane,
    /// Where the delivery stands.
    pub standing: Standing,
}

/// A step that a delivery took.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Before.
    pub from: Standing,
    /// After.
    pub to: Standing,
    /// Why.
    pub cause: Cause,
    /// What the other side said.
    pub remote: Option<Remote>,
}

/// A message whose 250 may not have reached its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnconfirmedRecord {
    /// Which.
    pub message: QueueId,
    /// When that stops to matter, milliseconds since 1970.
    pub until_ms: u64,
}

/// Something that happened to a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainEventRecord {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub what: String,
    /// Why.
    pub cause: Cause,
}

/// A domain with its phase and its ledger.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DomainRecord {
    /// Its number in keys.
    pub number: u32,
    /// Where it stands.
    pub course: Course,
    /// When mail last arrived, milliseconds since 1970; 0 for never.
    pub last_arrival_ms: u64,
    /// How many deliveries stand where, removed ones included.
    pub ledger: Ledger,
    /// Those whose records were removed.
    pub removed: Removed,
}

/// Final deliveries whose records were removed after their retention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Removed {
    /// Delivered.
    pub delivered: Tally,
    /// Bounced.
    pub bounced: Tally,
    /// Dropped.
    pub dropped: Tally,
}

/// A record as bytes.
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, SpoolError> {
    postcard::to_extend(record, vec![VERSION]).map_err(|error| SpoolError::Io {
        doing: "encoding a record".into(),
        detail: error.to_string(),
    })
}

/// A record from its bytes; `what` names it in an error.
pub fn decode<T: DeserializeOwned>(
    what: impl Fn() -> String,
    bytes: &[u8],
) -> Result<T, SpoolError> {
    let corrupt = |detail: String| SpoolError::Corrupt {
        what: what(),
        detail,
    };
    let (&version, fields) = bytes
        .split_first()
        .ok_or_else(|| corrupt("the record is empty".into()))?;
    if version != VERSION {
        return Err(SpoolError::Version {
            what: what(),
            found: version.into(),
            expected: VERSION.into(),
        });
    }
    let (record, rest) =
        postcard::take_from_bytes(fields).map_err(|error| corrupt(error.to_string()))?;
    if !rest.is_empty() {
        return Err(corrupt(format!("{} bytes behind its end", rest.len())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_named_and_damage_too() {
        let record = OrderRecord {
            lane: Lane(7),
            standing: Standing::Deferred { due_ms: 300 },
        };
        let what = || "order 1".to_owned();
        let bytes = encode(&record).unwrap();
        assert_eq!(decode::<OrderRecord>(what, &bytes).unwrap(), record);
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert!(matches!(
            decode::<OrderRecord>(what, &newer),
            Err(SpoolError::Version { found, .. }) if found == u32::from(VERSION) + 1
        ));
        for damaged in [
            &bytes[..bytes.len() - 1],
            &[bytes.clone(), vec![0]].concat(),
            &[],
        ] {
            assert!(matches!(
                decode::<OrderRecord>(what, damaged),
                Err(SpoolError::Corrupt { .. })
            ));
        }
    }

    /// The byte layout that `spool/FORMAT.md` promises.
    #[test]
    fn the_layout_is_the_documented_one() {
        let record = OrderRecord {
            lane: Lane(300),
            standing: Standing::Deferred { due_ms: 5 },
        };
        assert_eq!(encode(&record).unwrap(), [VERSION, 0xac, 0x02, 1, 5]);
    }
}
