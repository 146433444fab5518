//! Which message of a mailbox is which of those that should be there. Pure: no server, no
//! clock.
//!
//! A copy is looked for where the mover's map says, then by its bytes in its folder, then by
//! its bytes anywhere; a delivery by the queue id in the field that relay put in front of it,
//! then by its bytes. Each message of the mailbox stands for one of them at most, so that what
//! is left over is there once too often, or came from elsewhere.

use super::spooled::{Due, Place};
use crate::mail::QueueId;
use std::collections::{HashMap, HashSet};

/// A message that is in the mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its folder's place in the list of folders.
    pub folder: u32,
    /// Its UID.
    pub uid: u32,
    /// The beginning of its hash.
    pub hash: [u8; 16],
    /// Message-ID and body together, where it has the one.
    pub core: Option<u64>,
    /// Its Message-ID.
    pub message_id: Option<u64>,
    /// The queue id that relay's field tells.
    pub queue_id: Option<QueueId>,
    /// What follows that field, beside what was received.
    pub fit: Fit,
}

/// What follows relay's field, beside what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// The same, or there is no such field.
    Same,
    /// The same, but for header fields that the new server added.
    Fields,
    /// Something else.
    Other,
}

/// A message of the old server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Its folder's place in the list of pairs.
    pub pair: u32,
    /// Its UID there.
    pub uid: u32,
    /// The folder that it was put into.
    pub folder: u32,
    /// The beginning of its hash; none where nobody could read it.
    pub hash: Option<[u8; 16]>,
    /// Its UID at the new server, where the map tells.
    pub hint: Option<u32>,
}

/// What a copy or a delivery is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There, where it was put, as the message with this number.
    There(usize),
    /// There in another folder.
    Elsewhere(usize),
    /// There, and altered.
    Altered(usize),
    /// Not there.
    Missing,
    /// Not there, and not expected to be.
    Waiting,
}

impl Verdict {
    /// The message that stands for it.
    #[must_use]
    pub fn found(self) -> Option<usize> {
        match self {
            Self::There(at) | Self::Elsewhere(at) | Self::Altered(at) => Some(at),
            Self::Missing | Self::Waiting => None,
        }
    }
}

/// Why a message of the mailbox stands for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surplus {
    /// It is the same as this one, which does.
    Again(usize),
    /// It carries the queue id of a delivery that the mailbox has no account for.
    Released(QueueId),
    /// Nobody knows it.
    Unknown,
}

/// Who stands for whom. The numbers are places in the lists that went in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Matched {
    /// For each of the copies.
    pub copies: Vec<Verdict>,
    /// For each of the deliveries.
    pub deliveries: Vec<Verdict>,
    claimed: Vec<bool>,
}

/// Matches them. `found` is sorted by folder and UID.
#[must_use]
pub fn matched(found: &[Found], wanted: &[Wanted], due: &[Due]) -> Matched {
    let mut matching = Matching {
        found,
        claimed: vec![false; found.len()],
        by_hash: index(found, |one| Some(one.hash)),
    };
    let copies = matching.copies(wanted);
    let deliveries = matching.deliveries(due);
    Matched {
        copies,
        deliveries,
        claimed: matching.claimed,
    }
}

struct Matching<'a> {
    found: &'a [Found],
    claimed: Vec<bool>,
    by_hash: Vec<([u8; 16], usize)>,
}

impl Matching<'_> {
    fn copies(&mut self, wanted: &[Wanted]) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Missing; wanted.len()];
        let mut open: Vec<usize> = Vec::new();
        for (place, (one, verdict)) in wanted.iter().zip(&mut verdicts).enumerate() {
            match self.hinted(one).filter(|at| self.hash_of(*at) == one.hash) {
                Some(at) => *verdict = self.claim(Verdict::There(at)),
                None => open.push(place),
            }
        }
        type Look = fn(&Matching<'_>, &Wanted) -> Option<Verdict>;
        let looks: [Look; 3] = [
            |all, one| all.same(one.hash?, Some(one.folder)).map(Verdict::There),
            |all, one| all.same(one.hash?, None).map(Verdict::Elsewhere),
            |all, one| all.hinted(one).map(Verdict::Altered),
        ];
        for look in looks {
            open.retain(|place| {
                let (Some(one), Some(verdict)) = (wanted.get(*place), verdicts.get_mut(*place))
                else {
                    return false;
                };
                match look(self, one) {
                    Some(better) => *verdict = self.claim(better),
                    None => return true,
                }
                false
            });
        }
        verdicts
    }

    fn deliveries(&mut self, due: &[Due]) -> Vec<Verdict> {
        let by_id = index(self.found, |one| one.queue_id);
        let mut verdicts = Vec::with_capacity(due.len());
        for one in due {
            let range = equal(&by_id, &one.id);
            let free = |fit: fn(Fit) -> bool| {
                let mut range = range.iter().map(|(_, at)| *at);
                range
                    .find(|at| self.is_free(*at) && self.found.get(*at).is_some_and(|f| fit(f.fit)))
            };
            let same = free(|fit| fit != Fit::Other).map(Verdict::There);
            let verdict = same
                .or_else(|| free(|_| true).map(Verdict::Altered))
                .or_else(|| self.same(one.digest, None).map(Verdict::There));
            // What was never sent came some other way: it is for `split` to tell.
            verdicts.push(match (verdict, one.place) {
                (_, Place::Here) | (None, Place::Perhaps) => Verdict::Waiting,
                (Some(verdict), _) => self.claim(verdict),
                (None, Place::There) => Verdict::Missing,
            });
        }
        verdicts
    }

    /// Where the map says that it is, if nothing else stands there.
    fn hinted(&self, one: &Wanted) -> Option<usize> {
        let uid = one.hint?;
        let key = (one.folder, uid);
        let at = self.found.binary_search_by_key(&key, |f| (f.folder, f.uid));
        at.ok().filter(|at| self.is_free(*at))
    }

    /// A free message with these bytes.
    fn same(&self, hash: [u8; 16], folder: Option<u32>) -> Option<usize> {
        let mut same = equal(&self.by_hash, &hash).iter().map(|(_, at)| *at);
        same.find(|at| {
            let one = self.found.get(*at);
            self.is_free(*at) && one.is_some_and(|one| folder.is_none_or(|f| f == one.folder))
        })
    }

    fn hash_of(&self, at: usize) -> Option<[u8; 16]> {
        self.found.get(at).map(|one| one.hash)
    }

    fn is_free(&self, at: usize) -> bool {
        self.claimed.get(at) == Some(&false)
    }

    fn claim(&mut self, verdict: Verdict) -> Verdict {
        if let Some(claimed) = verdict.found().and_then(|at| self.claimed.get_mut(at)) {
            *claimed = true;
        }
        verdict
    }
}

impl Matched {
    /// A copy or delivery that is missing is this message after all, altered: their Message-IDs
    /// are the same.
    pub fn pair(&mut self, found: &[Found], missing: Missing, message_id: u64) -> Option<usize> {
        let is_it = |(at, one): &(usize, &Found)| {
            one.message_id == Some(message_id) && self.claimed.get(*at) == Some(&false)
        };
        let (at, _) = found.iter().enumerate().find(is_it)?;
        let verdict = match missing {
            Missing::Copy(place) => self.copies.get_mut(place)?,
            Missing::Delivery(place) => self.deliveries.get_mut(place)?,
        };
        *verdict = Verdict::Altered(at);
        *self.claimed.get_mut(at)? = true;
        Some(at)
    }

    /// What stands for nothing, and why.
    #[must_use]
    pub fn surplus(&self, found: &[Found], due: &[Due]) -> Vec<(usize, Surplus)> {
        let ids: HashSet<QueueId> = due.iter().map(|one| one.id).collect();
        let (mut by_id, mut by_hash, mut by_core) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        let known = found.iter().zip(&self.claimed).enumerate();
        for (at, (one, _)) in known.clone().filter(|(_, (_, claimed))| **claimed) {
            one.queue_id.map(|id| by_id.entry(id).or_insert(at));
            one.core.map(|core| by_core.entry(core).or_insert(at));
            by_hash.entry(one.hash).or_insert(at);
        }
        let why = |one: &Found| {
            let again = (one.queue_id.and_then(|id| by_id.get(&id)))
                .or_else(|| by_hash.get(&one.hash))
                .or_else(|| by_core.get(&one.core?));
            match (again, one.queue_id) {
                (Some(at), _) => Surplus::Again(*at),
                (None, Some(id)) if !ids.contains(&id) => Surplus::Released(id),
                (None, _) => Surplus::Unknown,
            }
        };
        known
            .filter(|(_, (_, claimed))| !**claimed)
            .map(|(at, (one, _))| (at, why(one)))
            .collect()
    }

    /// Deliveries that are there and came to the old server too, and were copied: their
    /// places, each with the copy's.
    #[must_use]
    pub fn split(&self, found: &[Found]) -> Vec<(usize, usize)> {
        let cores = self.copied_cores(found);
        let there = self.deliveries.iter().enumerate();
        there
            .filter_map(|(place, verdict)| {
                let core = found.get(verdict.found()?)?.core?;
                Some((place, *cores.get(&core)?))
            })
            .collect()
    }

    /// What copies there are, by Message-ID and body.
    #[must_use]
    pub fn copied_cores(&self, found: &[Found]) -> HashMap<u64, usize> {
        let copies = self.copies.iter().enumerate();
        copies
            .filter_map(|(place, verdict)| Some((found.get(verdict.found()?)?.core?, place)))
            .collect()
    }
}

/// One that is missing, by its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// Of the copies.
    Copy(usize),
    /// Of the deliveries.
    Delivery(usize),
}

fn index<K: Ord>(found: &[Found], key: impl Fn(&Found) -> Option<K>) -> Vec<(K, usize)> {
    let all = found.iter().enumerate();
    let mut index: Vec<(K, usize)> = all.filter_map(|(at, one)| Some((key(one)?, at))).collect();
    index.sort_unstable();
    index
}

fn equal<'a, K: Ord>(index: &'a [(K, usize)], key: &K) -> &'a [(K, usize)] {
    let from = index.partition_point(|(other, _)| other < key);
    let to = index.partition_point(|(other, _)| other <= key);
    index.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests;
