//! What arrived at a scripted server, against what was sent.

use super::{relay::text, scripted::Arrival};
use std::collections::{BTreeMap, BTreeSet};

/// What was sent: for each mailbox the messages' tags, in the order of the queue ids that
/// the 250s named.
pub type Expected = BTreeMap<String, Vec<String>>;

/// Deliveries that arrived more than once: mailbox and tag.
pub type Repeats = BTreeSet<(String, String)>;

/// Asserts that each mailbox got exactly what was sent to it, in order, and returns what
/// it got again. A repeat must follow before anything later for the same mailbox does.
pub fn in_order(arrivals: &[Arrival], expected: &Expected) -> Repeats {
    let mut got = Expected::new();
    let mut repeats = Repeats::new();
    for (mailbox, tag) in arrivals.iter().flat_map(deliveries) {
        let tags = got.entry(mailbox.clone()).or_default();
        if tags.last() == Some(&tag) {
            repeats.insert((mailbox, tag));
        } else {
            tags.push(tag);
        }
    }
    for (mailbox, tags) in expected {
        assert_eq!(got.get(mailbox), Some(tags), "{mailbox}");
    }
    assert_eq!(got.len(), expected.len());
    repeats
}

pub fn deliveries(arrival: &Arrival) -> Vec<(String, String)> {
    let tag = tag(&arrival.message);
    (arrival.recipients.iter())
        .map(|mailbox| (mailbox.clone(), tag.clone()))
        .collect()
}

pub fn tag(message: &[u8]) -> String {
    let message = text(message);
    let (_, rest) = message.split_once("X-Tag: ").unwrap();
    rest.split("\r\n").next().unwrap().to_owned()
}
