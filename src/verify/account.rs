//! One account: what should be in its mailbox, what is, and what each exception is called.

use super::{
    expected::Copies,
    found::{Folder, Mailbox},
    reader::Reader,
    settle::Work,
    spooled::{Due, Elsewhere, Originals, Place},
};
use crate::{
    imap::{Limits, Name, SpecialUse},
    ledger::verified::{Exception, Kind, SourceReach, VerifiedMailbox},
    mover::{
        accounts::Account,
        folders::{NotCopied, Rules, Side, kept, pairs, shown},
        login::Server,
        meter::{Doing, Extent, Meter},
        state::{FolderRecord, State},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// Exceptions of a mailbox that are named; the others are counted.
const NAMED_MAX: usize = 10_000;

/// What all accounts have in common.
pub struct Verifier {
    /// What the mover has copied.
    pub state: State,
    /// The old server.
    pub source: Server,
    /// The new server.
    pub target: Server,
    /// Which folders, and their names.
    pub rules: Rules,
    /// What is put up with from servers.
    pub limits: Limits,
    /// How the old server is looked at.
    pub reach: SourceReach,
    /// Where messages of the spool are read again.
    pub originals: Arc<dyn Originals>,
    /// Deliveries to recipients without an account.
    pub elsewhere: Mutex<Elsewhere>,
}

/// A folder of the old server, and where it went.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its name there, as that server sends it.
    pub source: Vec<u8>,
    /// The same for people.
    pub shown: String,
    /// Where it went: a place in the list of the mailbox's folders.
    pub folder: usize,
    /// What the mover knows of it.
    pub record: Option<FolderRecord>,
    /// Whether the old server has it now.
    pub is_listed: bool,
    /// Whether the UIDs of the map are those that the new server has now.
    pub hints_hold: bool,
}

/// How an account is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Its counts.
    pub mailbox: VerifiedMailbox,
    /// What is not `=`.
    pub exceptions: Vec<Exception>,
    /// More of these, that are not named.
    pub unnamed: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

impl Verifier {
    /// Verifies an account. `due` is what relay has for it.
    pub async fn account(&self, account: &Account, due: &[Due], meter: &Meter) -> Report {
        meter.begin();
        let mut report = Report::default();
        report.mailbox.mailbox.clone_from(&account.target.user);
        let mut target = Reader::new(&self.target, &account.target, &self.limits, meter);
        let mut source = (self.reach != SourceReach::Map)
            .then(|| Reader::new(&self.source, &account.source, &self.limits, meter));
        let compared = self.compare(account, due, &mut target, &mut source, meter, &mut report);
        match compared.await {
            Ok(()) => meter.doing(Doing::Done),
            Err(why) => {
                report.add(Exception::new(
                    &account.target.user,
                    Kind::Unreadable,
                    &*why,
                ));
                meter.doing(Doing::Failed(why));
            }
        }
        report.bytes = meter.read().copied_bytes;
        target.close().await;
        if let Some(source) = source {
            source.close().await;
        }
        report
    }

    async fn compare(
        &self,
        account: &Account,
        due: &[Due],
        target: &mut Reader<'_>,
        source: &mut Option<Reader<'_>>,
        meter: &Meter,
        report: &mut Report,
    ) -> Result<(), String> {
        let (target_side, names) = target.folders().await?;
        let source_side = match source.as_mut() {
            Some(reader) => match reader.folders().await {
                Ok((side, _)) => Some(side),
                Err(why) => {
                    report.mailbox.remarks.push(format!(
                        "the old server cannot be asked ({why}): the mover's map alone tells \
                         what it had"
                    ));
                    *source = None;
                    None
                }
            },
            None => None,
        };
        let mut mailbox = Mailbox::new(folders(&target_side));
        let mut all = self.known_pairs(account, &mut mailbox)?;
        if let Some(side) = &source_side {
            let there = self.target.mailbox(&account.target);
            let kept = kept(&self.state, account.name(), &there);
            let kept = kept.map_err(|error| error.to_string())?;
            let (listed, left) = pairs(side, &target_side, &self.rules, names, &kept);
            for pair in listed {
                add_listed(&mut all, &mut mailbox, &pair);
            }
            let known = |one: &NotCopied| all.iter().any(|pair| pair.source == one.source.raw());
            for one in left.iter().filter(|one| !known(one)) {
                report.strand(&account.target.user, one);
            }
        }
        let total = expected(&mailbox, source_side.as_ref(), self.reach);
        meter.expect(total, Extent::default());
        mailbox.read(target, due, &*self.originals).await;
        let mut copies = Copies::default();
        for (place, pair) in all.iter_mut().enumerate() {
            let now = mailbox
                .folders
                .get(pair.folder)
                .and_then(|folder| folder.uidvalidity);
            let then = pair.record.as_ref().map(|record| record.target_uidvalidity);
            pair.hints_hold = now == then;
            let added = copies.add(self, account.name(), (place, pair), source.as_mut());
            added.await.map_err(|error| error.to_string())?;
        }
        let noted = copies.note(&self.state, account.name(), &all);
        noted.map_err(|error| error.to_string())?;
        let held = self.held_cores(due).await;
        let work = Work {
            verifier: self,
            account,
            pairs: &all,
            copies,
            mailbox,
            due,
            held,
        };
        work.settle(target, source.as_mut(), report).await;
        Ok(())
    }

    /// The folders that the mover has copied.
    fn known_pairs(&self, account: &Account, mailbox: &mut Mailbox) -> Result<Vec<Pair>, String> {
        let known = self
            .state
            .folders(account.name())
            .map_err(|error| error.to_string())?;
        Ok(known
            .into_iter()
            .map(|(source, record)| Pair {
                shown: Name::from_raw(&source).to_string(),
                folder: mailbox.place(&Name::from_raw(&record.target_name)),
                source,
                record: Some(record),
                is_listed: false,
                hints_hold: false,
            })
            .collect())
    }

    /// Message-ID and body of what is still here, to know it again among the copies.
    async fn held_cores(&self, due: &[Due]) -> HashMap<usize, u64> {
        let mut cores = HashMap::new();
        for (place, one) in due.iter().enumerate() {
            if one.place == Place::Here
                && let Ok(facts) = self.originals.facts(one.id).await
                && let Some(core) = facts.core()
            {
                cores.insert(place, core);
            }
        }
        cores
    }
}

impl Report {
    /// Counts what stays behind with a folder that is not copied, as one exception.
    fn strand(&mut self, mailbox: &str, folder: &NotCopied) {
        let Some(others) = folder.stranded.checked_sub(1) else {
            return;
        };
        let reason = format!(
            "the folder is not copied, with {} in it: it {}",
            match others {
                0 => "a message".to_owned(),
                _ => format!("{} messages", folder.stranded),
            },
            folder.why
        );
        let mut one = Exception::new(mailbox, Kind::MissingCopy, reason);
        one.source_folder = Some(folder.shown.clone());
        self.mailbox.counts.copied += folder.stranded;
        self.mailbox.counts.missing += others;
        self.add(one);
    }

    /// Counts an exception, and keeps it while there are not too many.
    pub fn add(&mut self, exception: Exception) {
        self.mailbox.counts.count(exception.kind);
        if self.exceptions.len() < NAMED_MAX {
            self.exceptions.push(exception);
        } else {
            self.unnamed += 1;
        }
    }
}

/// The folders that hold messages of their own.
fn folders(side: &Side) -> Vec<Folder> {
    let own = side.folders.iter().filter(|folder| {
        let is_view = matches!(
            folder.special_use,
            Some(SpecialUse::All | SpecialUse::Flagged)
        );
        folder.is_selectable() && !is_view
    });
    own.map(|folder| Folder {
        name: folder.name.clone(),
        shown: shown(folder),
        messages: folder
            .status
            .and_then(|status| status.messages)
            .unwrap_or(0),
        exists: true,
        uidvalidity: None,
        trouble: None,
    })
    .collect()
}

fn add_listed(all: &mut Vec<Pair>, mailbox: &mut Mailbox, listed: &crate::mover::folders::Pair) {
    let source = listed.source.name.raw();
    if let Some(known) = all.iter_mut().find(|pair| pair.source == source) {
        known.is_listed = true;
        known.shown = listed.source_shown();
        return;
    }
    all.push(Pair {
        source: source.to_vec(),
        shown: listed.source_shown(),
        folder: mailbox.place(&listed.target),
        record: None,
        is_listed: true,
        hints_hold: false,
    });
}

/// How many messages will be read.
fn expected(mailbox: &Mailbox, source: Option<&Side>, reach: SourceReach) -> Extent {
    let target: u64 = mailbox
        .folders
        .iter()
        .map(|folder| u64::from(folder.messages))
        .sum();
    let source = source.filter(|_| reach == SourceReach::Read);
    let folders = source.iter().flat_map(|side| &side.folders);
    let source: u64 = folders
        .filter_map(|folder| Some(u64::from(folder.status?.messages?)))
        .sum();
    Extent {
        messages: target + source,
        ..Extent::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_in_a_folder_that_is_not_copied_is_missing() {
        let mut folder = NotCopied {
            source: Name::from_raw(b"Sent Items"),
            shown: "Sent Items".into(),
            why: "would be the same folder as \"Sent\" at the target".into(),
            stranded: 3,
        };
        let mut report = Report::default();
        report.strand("bob@new", &folder);
        folder.stranded = 0;
        report.strand("bob@new", &folder);
        let counts = report.mailbox.counts;
        assert_eq!((counts.copied, counts.missing), (3, 3));
        assert!(!counts.all_there());
        assert_eq!(report.exceptions.len(), 1);
        assert_eq!(
            report.exceptions[0].source_folder.as_deref(),
            Some("Sent Items")
        );
    }
}
