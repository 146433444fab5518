//! What relay has, or had: the deliveries that should be in each mailbox by now, and those that
//! it still keeps. 32 bytes a delivery are in memory, and no more.

use super::facts::Facts;
use crate::{control::view::MessageView, mail::QueueId, mover::accounts::Account, spool::State};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    pin::Pin,
};

/// Where the bytes of a message are read again.
pub trait Originals: Send + Sync {
    /// The message as the sender sent it.
    ///
    /// # Errors
    /// In words: it is not kept any more, or damaged.
    fn facts(
        &self,
        id: QueueId,
    ) -> Pin<Box<dyn Future<Output = Result<Facts, String>> + Send + '_>>;
}

/// A delivery to a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Due {
    /// Its message.
    pub id: QueueId,
    /// The beginning of the digest at receipt.
    pub digest: [u8; 16],
    /// Whether the new server has it.
    pub place: Place,
}

/// Where a delivery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The new server took it.
    There,
    /// It may have taken it.
    Perhaps,
    /// It is still here, and has not been sent.
    Here,
}

/// All deliveries, by the mailbox that they should be in.
#[derive(Debug, Default)]
pub struct Spooled {
    /// By the account's place in the accounts file.
    by_account: HashMap<usize, Vec<Due>>,
    /// Deliveries that the new server took, to recipients without an account.
    elsewhere: BTreeMap<String, Vec<QueueId>>,
    /// The same by message: an alias may have put them into any mailbox.
    aliased: HashSet<QueueId>,
    names: HashMap<String, usize>,
}

impl Spooled {
    /// For these accounts.
    #[must_use]
    pub fn new(accounts: &[Account]) -> Self {
        let named = accounts.iter().enumerate().rev();
        let names = named.map(|(place, account)| (account.target.user.to_lowercase(), place));
        Self {
            names: names.collect(),
            ..Self::default()
        }
    }

    /// Takes a message with its deliveries, as a listing tells it.
    pub fn add(&mut self, message: &MessageView) {
        let Ok(id) = message.queue_id.parse::<QueueId>() else {
            return;
        };
        let digest = digest(&message.digest);
        for recipient in &message.recipients {
            let place = match recipient.state {
                State::Delivered => Place::There,
                State::InDoubt => Place::Perhaps,
                State::Held | State::Queued | State::Deferred | State::Parked => Place::Here,
                State::Bounced | State::Dropped => continue,
            };
            match self.account(&recipient.address) {
                Some(account) => {
                    let due = Due { id, digest, place };
                    self.by_account.entry(account).or_default().push(due);
                }
                None if place == Place::There => {
                    let address = recipient.address.to_lowercase();
                    self.elsewhere.entry(address).or_default().push(id);
                    self.aliased.insert(id);
                }
                None => {}
            }
        }
    }

    /// The account of an address: by its target's whole name, or by the part before the
    /// `@`, either also without what stands behind a `+`.
    fn account(&self, address: &str) -> Option<usize> {
        let address = address.to_lowercase();
        let (user, domain) = address.rsplit_once('@').unwrap_or((&address, ""));
        let plain = user.split_once('+').map_or(user, |(plain, _)| plain);
        let plain_address = format!("{plain}@{domain}");
        [&*address, &plain_address, user, plain]
            .iter()
            .find_map(|name| self.names.get(*name).copied())
    }

    /// Takes the deliveries of an account.
    pub fn take(&mut self, account: usize) -> Vec<Due> {
        self.by_account.remove(&account).unwrap_or_default()
    }

    /// What went to recipients without an account.
    pub fn take_elsewhere(&mut self) -> Elsewhere {
        Elsewhere {
            by_recipient: std::mem::take(&mut self.elsewhere),
            messages: std::mem::take(&mut self.aliased),
            seen: HashSet::new(),
        }
    }
}

/// Messages that went to recipients without an account: aliases and lists put them into other
/// mailboxes, where they are met.
#[derive(Debug, Default)]
pub struct Elsewhere {
    by_recipient: BTreeMap<String, Vec<QueueId>>,
    messages: HashSet<QueueId>,
    seen: HashSet<QueueId>,
}

impl Elsewhere {
    /// Whether a message that was met in some mailbox is one of them.
    pub fn meets(&mut self, id: QueueId) -> bool {
        let is_one = self.messages.contains(&id);
        if is_one {
            self.seen.insert(id);
        }
        is_one
    }

    /// Recipients, with how many of their messages were met, and those that were not.
    pub fn rest(self) -> impl Iterator<Item = (String, u64, Vec<QueueId>)> {
        let seen = self.seen;
        self.by_recipient.into_iter().map(move |(address, ids)| {
            let all = ids.len() as u64;
            let missed: Vec<QueueId> = ids.into_iter().filter(|id| !seen.contains(id)).collect();
            (address, all - missed.len() as u64, missed)
        })
    }
}

/// The first half of a digest in its text form.
fn digest(text: &str) -> [u8; 16] {
    let hex = text.strip_prefix("blake3:").unwrap_or(text);
    let mut half = [0; 16];
    for (place, byte) in half.iter_mut().enumerate() {
        let digits = hex.get(place * 2..place * 2 + 2).unwrap_or("00");
        *byte = u8::from_str_radix(digits, 16).unwrap_or(0);
    }
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::fixture, mover::accounts::Login};

    fn account(target: &str) -> Account {
        let login = |user: &str| Login {
            user: user.into(),
            password: None,
        };
        Account {
            source: login("old"),
            target: login(target),
        }
    }

    #[test]
    fn deliveries_find_their_mailbox() {
        let accounts = [account("bob"), account("Eve@corp.example")];
        let mut spooled = Spooled::new(&accounts);
        let to = [
            "Bob+news@corp.example",
            "eve@corp.example",
            "all@corp.example",
        ];
        for (number, state) in [(1, State::Delivered), (2, State::Held), (3, State::Dropped)] {
            let (message, deliveries) = fixture::message(number, &to, state);
            spooled.add(&MessageView::of(&message, &deliveries));
        }
        for place in 0..2 {
            let due = spooled.take(place);
            let places: Vec<Place> = due.iter().map(|due| due.place).collect();
            assert_eq!(places, [Place::There, Place::Here]);
        }
        let mut elsewhere = spooled.take_elsewhere();
        let id = |number| QueueId::new(number).unwrap();
        assert!(!elsewhere.meets(id(2)));
        assert!(elsewhere.meets(id(1)));
        let rest: Vec<_> = elsewhere.rest().collect();
        assert_eq!(rest, [("all@corp.example".to_owned(), 1, vec![])]);
    }

    #[test]
    fn a_digest_is_read_by_its_half() {
        let whole = crate::mail::Digest::of(b"x").to_string();
        let half = digest(&whole);
        assert_eq!(half[..], blake3::hash(b"x").as_bytes()[..16]);
    }
}
