//! What the matching of an account comes to: counts, and each exception by name.

mod calling;
mod words;

use super::{
    account::{Pair, Report, Verifier},
    expected::Copies,
    facts::short_of,
    found::Mailbox,
    matching::{Fit, Matched, Missing, Surplus, Verdict, matched},
    naming::{Label, Names},
    reader::Reader,
    spooled::Due,
};
use crate::{
    ledger::verified::{Exception, Kind},
    mail::QueueId,
    mover::accounts::Account,
};
use std::collections::{HashMap, HashSet};
use words::named;

/// All that is known of an account.
pub struct Work<'a> {
    /// What all accounts have in common.
    pub verifier: &'a Verifier,
    /// Which.
    pub account: &'a Account,
    /// The folders of the old server, and where they went.
    pub pairs: &'a [Pair],
    /// What should be copies.
    pub copies: Copies,
    /// What is in the mailbox.
    pub mailbox: Mailbox,
    /// What relay has for it.
    pub due: &'a [Due],
    /// Message-ID and body of the deliveries that are still here, by their place.
    pub held: HashMap<usize, u64>,
}

/// What exceptions are called, by where they were read.
#[derive(Default)]
struct Called {
    source: Names,
    target: Names,
    spool: HashMap<QueueId, Label>,
}

impl Work<'_> {
    /// Settles it into the report.
    pub async fn settle(
        self,
        target: &mut Reader<'_>,
        source: Option<&mut Reader<'_>>,
        report: &mut Report,
    ) {
        let mut matched = matched(&self.mailbox.found, &self.copies.wanted, self.due);
        let missing = self.missing(&matched);
        let mut called = Called::default();
        self.call_missing(&missing, source, &mut called).await;
        for one in missing {
            let id = self.label(one, &called).message_id;
            if let Some(id) = id {
                matched.pair(&self.mailbox.found, one, short_of(&id));
            }
        }
        let surplus = matched.surplus(&self.mailbox.found, self.due);
        let split = matched.split(&self.mailbox.found);
        self.call_found(&matched, &surplus, target, &mut called)
            .await;
        report.mailbox.remarks.extend(self.remarks());
        self.unreadable(report);
        self.report_copies(&matched, &called, report);
        self.report_deliveries(&matched, &split, &called, report);
        self.report_held(&matched, &called, report);
        self.report_surplus(&surplus, &called, report);
    }

    /// What is really missing, as opposed to in a folder that cannot be read.
    fn missing(&self, matched: &Matched) -> Vec<Missing> {
        let copies = matched.copies.iter().enumerate();
        let copies = copies.filter(|(_, verdict)| **verdict == Verdict::Missing);
        let deliveries = matched.deliveries.iter().enumerate();
        let deliveries = deliveries.filter(|(_, verdict)| **verdict == Verdict::Missing);
        copies
            .map(|(place, _)| Missing::Copy(place))
            .chain(deliveries.map(|(place, _)| Missing::Delivery(place)))
            .collect()
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = self.copies.remarks.clone();
        if !self.mailbox.fields.is_empty() {
            let fields: Vec<&str> = self.mailbox.fields.iter().map(String::as_str).collect();
            remarks.push(format!(
                "the new server adds header fields behind relay's: {}",
                fields.join(", ")
            ));
        }
        remarks
    }

    fn unreadable(&self, report: &mut Report) {
        let mailbox = &self.account.target.user;
        for (pair, uid, why) in &self.copies.unreadable {
            let mut one = Exception::new(mailbox, Kind::Unreadable, format!("old server: {why}"));
            one.source_folder = self.pairs.get(*pair).map(|pair| pair.shown.clone());
            one.source_uid = Some(*uid);
            report.mailbox.counts.copied += 1;
            report.add(one);
        }
        for (folder, uid, why) in &self.mailbox.unreadable {
            let mut one = Exception::new(mailbox, Kind::Unreadable, &**why);
            one.folder = self
                .mailbox
                .folders
                .get(*folder)
                .map(|folder| folder.shown.clone());
            one.uid = Some(*uid);
            report.add(one);
        }
        for folder in &self.mailbox.folders {
            if let Some(why) = &folder.trouble {
                let mut one = Exception::new(mailbox, Kind::Unreadable, &**why);
                one.folder = Some(folder.shown.clone());
                report.add(one);
            }
        }
    }

    fn report_copies(&self, matched: &Matched, called: &Called, report: &mut Report) {
        for (place, (one, verdict)) in self.copies.wanted.iter().zip(&matched.copies).enumerate() {
            report.mailbox.counts.copied += 1;
            let (kind, reason) = match verdict {
                Verdict::There(_) | Verdict::Elsewhere(_) => {
                    match self.copies.altered.get(&place) {
                        Some(why) => (Kind::Altered, why.clone()),
                        None => {
                            let counts = &mut report.mailbox.counts;
                            counts.there += 1;
                            counts.elsewhere += u64::from(matches!(verdict, Verdict::Elsewhere(_)));
                            continue;
                        }
                    }
                }
                Verdict::Altered(_) => (
                    Kind::Altered,
                    "the new server has other bytes than the old one had".to_owned(),
                ),
                Verdict::Missing | Verdict::Waiting if self.is_blind(one) => {
                    report.mailbox.counts.unreadable += 1;
                    continue;
                }
                Verdict::Missing | Verdict::Waiting => {
                    (Kind::MissingCopy, self.why_missing(place, one))
                }
            };
            let mut exception = self.exception(kind, reason, verdict.found(), called);
            exception.source_folder = self.pair(one).map(|pair| pair.shown.clone());
            exception.source_uid = Some(one.uid);
            if verdict.found().is_none() {
                let folder = self.mailbox.shown(one.folder);
                exception.reason = format!("{}; it should be in {folder}", exception.reason);
                named(&mut exception, self.label(Missing::Copy(place), called));
            }
            report.add(exception);
        }
    }

    fn report_deliveries(
        &self,
        matched: &Matched,
        split: &[(usize, usize)],
        called: &Called,
        report: &mut Report,
    ) {
        let split: HashMap<usize, usize> = split.iter().copied().collect();
        for (place, (one, verdict)) in self.due.iter().zip(&matched.deliveries).enumerate() {
            let (kind, reason) = match verdict {
                Verdict::Waiting => {
                    report.mailbox.counts.waiting += 1;
                    continue;
                }
                Verdict::There(at) | Verdict::Elsewhere(at) => {
                    let counts = &mut report.mailbox.counts;
                    counts.released += 1;
                    counts.there += 1;
                    let found = self.mailbox.found.get(*at);
                    let has_fields = found.is_some_and(|one| one.fit == Fit::Fields);
                    counts.with_fields += u64::from(has_fields);
                    match split.get(&place) {
                        Some(copy) => (Kind::Split, self.both_ways(*copy, "so it is here twice")),
                        None => continue,
                    }
                }
                Verdict::Altered(at) => {
                    report.mailbox.counts.released += 1;
                    (Kind::Altered, self.why_other(*at))
                }
                Verdict::Missing => {
                    report.mailbox.counts.released += 1;
                    let why = "the new server took it and has it not: where it queues what it takes, \
                               verify again in a minute; else see `relay show ID --events` for its \
                               reply, `relay release --again` to send it again";
                    (Kind::MissingDelivery, why.to_owned())
                }
            };
            let mut exception = self.exception(kind, reason, verdict.found(), called);
            exception.queue_id = Some(one.id.to_string());
            if verdict.found().is_none() {
                named(&mut exception, self.label(Missing::Delivery(place), called));
            }
            report.add(exception);
        }
    }

    /// What is still here and was copied from the old server too: the places of the deliveries,
    /// each with the copy's.
    fn held_copies(&self, matched: &Matched) -> Vec<(usize, usize)> {
        let cores = matched.copied_cores(&self.mailbox.found);
        let held = self.held.iter();
        let mut both: Vec<(usize, usize)> = held
            .filter_map(|(place, core)| Some((*place, *cores.get(core)?)))
            .collect();
        both.sort_unstable();
        both
    }

    fn report_held(&self, matched: &Matched, called: &Called, report: &mut Report) {
        for (place, copy) in self.held_copies(matched) {
            let next = "and is held here: `relay drop ID:RECIPIENT` keeps it from being here twice";
            let reason = self.both_ways(copy, next);
            let found = matched.copies.get(copy).and_then(|verdict| verdict.found());
            let mut exception = self.exception(Kind::Split, reason, found, called);
            exception.queue_id = self.due.get(place).map(|due| due.id.to_string());
            report.add(exception);
        }
    }

    fn report_surplus(&self, surplus: &[(usize, Surplus)], called: &Called, report: &mut Report) {
        let mut by_alias: HashSet<QueueId> = HashSet::new();
        for (at, why) in surplus {
            let (kind, reason) = match why {
                Surplus::Again(same) => {
                    let same = self.mailbox.found.get(*same);
                    let place = same.map_or(String::new(), |one| {
                        format!("{} UID {}", self.mailbox.shown(one.folder), one.uid)
                    });
                    (Kind::Doubled, format!("it is there already, as {place}"))
                }
                Surplus::Released(id) => match (self.meets(*id), by_alias.insert(*id)) {
                    (true, true) => {
                        report.mailbox.counts.released += 1;
                        report.mailbox.counts.there += 1;
                        continue;
                    }
                    (true, false) => (
                        Kind::Doubled,
                        format!("{id} came by an alias, and is there already"),
                    ),
                    (false, _) => (
                        Kind::Unknown,
                        format!("it carries the queue id {id}, which is none of this mailbox's"),
                    ),
                },
                Surplus::Unknown => (
                    Kind::Unknown,
                    "neither the old server nor relay brought it".to_owned(),
                ),
            };
            report.add(self.exception(kind, reason, Some(*at), called));
        }
    }

    fn meets(&self, id: QueueId) -> bool {
        let elsewhere = self.verifier.elsewhere.lock();
        elsewhere
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .meets(id)
    }
}
