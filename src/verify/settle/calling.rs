//! Reading again what is no `=`, to call it by its name.

use super::{Called, Work};
use crate::{
    imap::Name,
    verify::{
        account::Pair,
        matching::{Matched, Missing, Surplus, Verdict},
        naming::{Label, READ_MAX},
        reader::Reader,
    },
};
use std::collections::HashSet;

impl Work<'_> {
    /// Reads for the names of what is missing where it still is.
    pub(super) async fn call_missing(
        &self,
        missing: &[Missing],
        source: Option<&mut Reader<'_>>,
        called: &mut Called,
    ) {
        let copies = missing.iter().filter_map(|one| match one {
            Missing::Copy(place) => self.copies.wanted.get(*place),
            Missing::Delivery(_) => None,
        });
        let copies: Vec<(usize, u32)> = copies.map(|one| (one.pair as usize, one.uid)).collect();
        if let Some(source) = source {
            let name = |place: usize| {
                let pair: &Pair = self.pairs.get(place)?;
                Some(Name::from_raw(&pair.source))
            };
            called.source.read(source, copies, name).await;
        }
        let deliveries = missing.iter().filter_map(|one| match one {
            Missing::Delivery(place) => self.due.get(*place),
            Missing::Copy(_) => None,
        });
        for due in deliveries.take(READ_MAX) {
            if let Ok(facts) = self.verifier.originals.facts(due.id).await {
                let label = Label::of(&facts, facts.whole.bytes);
                called.spool.insert(due.id, label);
            }
        }
    }

    /// Reads for the names of what is there and is an exception.
    pub(super) async fn call_found(
        &self,
        matched: &Matched,
        surplus: &[(usize, Surplus)],
        target: &mut Reader<'_>,
        called: &mut Called,
    ) {
        let verdicts = matched.copies.iter().chain(&matched.deliveries);
        let altered = verdicts.filter_map(|verdict| match verdict {
            Verdict::Altered(at) => Some(*at),
            _ => None,
        });
        let split = matched.split(&self.mailbox.found).into_iter();
        let split = split.filter_map(|(place, _)| matched.deliveries.get(place)?.found());
        let surplus = surplus.iter().map(|(at, _)| *at);
        let noted = self.copies.altered.keys();
        let held = self.held_copies(matched).into_iter().map(|(_, copy)| copy);
        let noted = noted.copied().chain(held);
        let noted = noted.filter_map(|place| matched.copies.get(place)?.found());
        let all = altered.chain(surplus).chain(split).chain(noted);
        let places: HashSet<(usize, u32)> = all
            .filter_map(|at| self.mailbox.found.get(at))
            .map(|one| (one.folder as usize, one.uid))
            .collect();
        let mut places: Vec<(usize, u32)> = places.into_iter().collect();
        places.sort_unstable();
        let name = |place: usize| Some(self.mailbox.folders.get(place)?.name.clone());
        called.target.read(target, places, name).await;
    }
}
