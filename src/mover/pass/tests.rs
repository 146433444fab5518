//! Passes over a folder that changes between them, with connections that are lost.

use std::time::Duration;

use super::*;
use crate::mover::{
    body::{Body, Read},
    copy::{Failure, Found, Message, Target, lost},
    flags::Permanent,
    hash::{identity, known},
    meter::{Extent, Meter},
};
use proptest::prelude::*;
use std::collections::VecDeque;

const INBOX: At<'static> = At {
    account: "bob",
    folder: b"INBOX",
};

#[derive(Clone, PartialEq, Eq, Debug)]
struct Stored {
    uid: u32,
    body: u8,
    flags: Vec<String>,
    modseq: u64,
}

/// One server with one folder.
struct Server {
    uidvalidity: u32,
    uidnext: u32,
    modseq: u64,
    messages: Vec<Stored>,
    /// Whether each of the next changes is lost: before it is done, or after.
    fates: VecDeque<Option<bool>>,
    scans: u32,
    /// UIDs of messages that it has and does not give.
    damaged: Vec<u32>,
    /// UIDs that it leaves out of a list of all.
    unlisted: Vec<u32>,
    /// INTERNALDATEs by UID; the others have none.
    dates: Vec<(u32, &'static str)>,
}

impl Server {
    fn new() -> Self {
        Self {
            uidvalidity: 1,
            uidnext: 1,
            modseq: 1,
            messages: Vec::new(),
            fates: VecDeque::new(),
            scans: 0,
            damaged: Vec::new(),
            unlisted: Vec::new(),
            dates: Vec::new(),
        }
    }

    fn add(&mut self, body: u8, flags: Vec<String>) -> u32 {
        self.modseq += 1;
        let uid = self.uidnext;
        self.messages.push(Stored {
            uid,
            body,
            flags,
            modseq: self.modseq,
        });
        self.uidnext += 1;
        uid
    }

    /// Another UIDVALIDITY, with other UIDs.
    fn renumber(&mut self) {
        self.uidvalidity += 1;
        self.uidnext = 1;
        for stored in std::mem::take(&mut self.messages) {
            self.add(stored.body, stored.flags);
        }
    }

    /// Bodies with flags, sorted.
    fn content(&self) -> Vec<(u8, Vec<String>)> {
        let mut content: Vec<_> = (self.messages.iter())
            .map(|one| (one.body, one.flags.clone()))
            .collect();
        content.sort();
        content
    }
}

fn text(body: u8) -> Vec<u8> {
    format!("Subject: {body}\r\n\r\n").into_bytes()
}

impl Server {
    fn date(&self, uid: u32) -> &'static str {
        let dated = self.dates.iter().find(|(dated, _)| *dated == uid);
        dated.map_or("", |(_, date)| *date)
    }

    fn standing(&self) -> Standing {
        Standing {
            uidvalidity: self.uidvalidity,
            uidnext: self.uidnext,
            messages: u32::try_from(self.messages.len()).unwrap(),
            highestmodseq: Some(self.modseq),
        }
    }

    fn in_range(&self, first: u32, last: u32) -> UidSet {
        let uids = self.messages.iter().map(|one| one.uid);
        uids.filter(|uid| (first..=last).contains(uid)).collect()
    }

    fn metas(&self, uids: &UidSet, since: Option<u64>) -> Vec<Meta> {
        let changed = (self.messages.iter())
            .filter(|one| uids.contains(one.uid) && since.is_none_or(|since| one.modseq > since));
        let metas = changed.map(|one| Meta {
            uid: one.uid,
            size: text(one.body).len() as u64,
            internal_date: self.date(one.uid).to_owned(),
            flags: one.flags.clone(),
        });
        metas.collect()
    }
}

impl Source for Server {
    async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Failure> {
        let all = self.in_range(first, last);
        let listed = all.iter().filter(|uid| !self.unlisted.contains(uid));
        Ok(listed.collect())
    }

    async fn scan(&mut self, uids: &UidSet, since: Option<u64>) -> Result<Scanned, Failure> {
        self.scans += 1;
        Ok(Scanned {
            metas: self.metas(uids, since),
            mute: UidSet::new(),
        })
    }

    async fn fetch(&mut self, uids: &UidSet) -> Result<Reads, Failure> {
        let asked = self.messages.iter().filter(|one| uids.contains(one.uid));
        let (damaged, asked): (Vec<_>, Vec<_>) =
            asked.partition(|one| self.damaged.contains(&one.uid));
        let reads = asked.into_iter().map(|one| Read {
            uid: one.uid,
            known: known(&text(one.body)),
            body: Body::new(text(one.body)),
        });
        let whole = reads.collect();
        let unreadable = damaged.into_iter().map(|one| (one.uid, "damaged".into()));
        Ok(Reads {
            whole,
            unreadable: unreadable.collect(),
        })
    }
}

impl Target for Server {
    fn quiet(&self) -> Duration {
        Duration::ZERO
    }

    async fn uidnext(&mut self) -> Result<u32, Failure> {
        Ok(self.uidnext)
    }

    async fn append(&mut self, batch: &[Message]) -> Vec<Result<Option<u32>, Failure>> {
        let fate = self.fates.pop_front().flatten();
        let all = || vec![Err(lost("reset")); batch.len()];
        if fate == Some(false) {
            return all();
        }
        let mut uids = Vec::new();
        for message in batch {
            let Body::Memory(bytes) = &message.body else {
                panic!("a short message in a file");
            };
            let body = String::from_utf8_lossy(bytes);
            let body = body.trim().rsplit(' ').next().unwrap().parse().unwrap();
            uids.push(Ok(Some(self.add(body, message.flags.clone()))));
        }
        fate.map_or(uids, |_| all())
    }

    async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Failure> {
        Ok(self.in_range(first, last))
    }

    async fn identities(&mut self, uids: &UidSet) -> Result<Vec<Found>, Failure> {
        let found = self.messages.iter().filter(|one| uids.contains(one.uid));
        let found = found.map(|one| Found {
            uid: one.uid,
            identity: identity(&text(one.body)),
        });
        Ok(found.collect())
    }
}

impl Folder for Server {
    async fn open(&mut self) -> Result<Opened, Failure> {
        Ok(Opened {
            uidvalidity: self.uidvalidity,
            uidnext: self.uidnext,
            messages: u32::try_from(self.messages.len()).unwrap(),
            permanent: Permanent::new(None),
        })
    }

    async fn scan(&mut self, uids: &UidSet) -> Result<Vec<Meta>, Failure> {
        Ok(self.metas(uids, None))
    }

    async fn digests(&mut self, uids: &UidSet) -> Result<Vec<(u32, [u8; 32])>, Failure> {
        let messages = self.messages.iter();
        Ok(messages
            .filter(|one| uids.contains(one.uid))
            .map(|one| (one.uid, *blake3::hash(&text(one.body)).as_bytes()))
            .collect())
    }

    fn can_remove(&self) -> bool {
        true
    }

    async fn remove(&mut self, uids: &UidSet) -> Result<(), Failure> {
        self.messages.retain(|one| !uids.contains(one.uid));
        Ok(())
    }

    async fn store(&mut self, uids: &UidSet, flags: &[String]) -> Result<(), Failure> {
        for stored in self
            .messages
            .iter_mut()
            .filter(|one| uids.contains(one.uid))
        {
            stored.flags = flags.to_vec();
        }
        Ok(())
    }
}

/// Passes, each by a new process, until one does not fail; the report is of the last.
fn pass(directory: &std::path::Path, source: &mut Server, target: &mut Server) -> Report {
    pass_by(Expunged::Keep, directory, source, target)
}

fn pass_by(
    policy: Expunged,
    directory: &std::path::Path,
    source: &mut Server,
    target: &mut Server,
) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    loop {
        let state = State::open(directory).unwrap();
        let job = Job {
            at: INBOX,
            standing: source.standing(),
            target: Place {
                mailbox: "bob@new:993",
                name: b"INBOX",
                uidvalidity: Some(target.uidvalidity),
                uidnext: Some(target.uidnext),
            },
        };
        let mut report = Report::default();
        let meter = Meter::default();
        let gauge = meter.folder(Extent::default());
        if is_done(&state, &job).unwrap() {
            return report;
        }
        let course = Course {
            gauge: &gauge,
            pace: &mut Pace::default(),
            report: &mut report,
            keep: None,
            expunged: policy,
        };
        let pass = async {
            let opened = target.open().await?;
            folder(&state, &job, &opened, source, target, course).await
        };
        match runtime.block_on(pass) {
            Ok(()) => return report,
            Err(CopyError::Target(Failure::Lost { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn seen() -> Vec<String> {
    vec!["\\Seen".into()]
}

#[test]
fn a_pass_with_nothing_new_asks_for_the_status_only() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    source.add(1, seen());
    source.add(2, Vec::new());
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.found_new()), (2, 2));
    let scans = source.scans;
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!(report, Report::default());
    assert_eq!(source.scans, scans);
    assert_eq!(source.content(), target.content());
}

#[test]
fn later_flags_follow_and_what_the_source_expunged_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in 1..4 {
        source.add(body, Vec::new());
    }
    pass(directory.path(), &mut source, &mut target);
    source.messages.remove(2);
    source.modseq += 1;
    source.messages[0].flags = seen();
    source.messages[0].modseq = source.modseq;
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.flagged, report.expunged, report.copied), (1, 1, 0));
    let kept = [(1, seen()), (2, Vec::new()), (3, Vec::new())];
    assert_eq!(target.content(), kept);
}

#[test]
fn a_mirror_removes_what_the_mover_has_put_there_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in [1, 2, 3] {
        source.add(body, Vec::new());
    }
    // One was there before, and one is nobody's copy.
    target.add(2, Vec::new());
    target.add(7, Vec::new());
    pass(directory.path(), &mut source, &mut target);
    source.messages.retain(|one| one.body == 3);
    let by = Expunged::Mirror;
    let report = pass_by(by, directory.path(), &mut source, &mut target);
    assert_eq!((report.removed, report.expunged), (1, 1));
    let left: Vec<u8> = target.content().into_iter().map(|(body, _)| body).collect();
    assert_eq!(left, [2, 3, 7]);
    let report = pass_by(by, directory.path(), &mut source, &mut target);
    assert_eq!(report, Report::default());
}

/// A list that is shorter than the folder says nothing about what is gone.
#[test]
fn a_mirror_removes_nothing_by_a_list_that_is_not_whole() {
    for by in [Expunged::Mirror, Expunged::Keep] {
        let directory = tempfile::tempdir().unwrap();
        let (mut source, mut target) = (Server::new(), Server::new());
        for body in [1, 2, 3] {
            source.add(body, Vec::new());
        }
        pass(directory.path(), &mut source, &mut target);
        source.messages.retain(|one| one.body != 1);
        source.unlisted = vec![source.messages[0].uid];
        let report = pass_by(by, directory.path(), &mut source, &mut target);
        assert_eq!((report.removed, report.expunged), (0, 0));
        assert_eq!(target.content().len(), 3);
        source.unlisted.clear();
        let report = pass_by(by, directory.path(), &mut source, &mut target);
        assert_eq!(
            report.removed + report.expunged,
            1,
            "the next pass looks again"
        );
    }
}

#[test]
fn a_message_that_the_source_does_not_give_is_tried_in_each_pass() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in 1..6 {
        source.add(body, Vec::new());
    }
    source.damaged = vec![2, 4];
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.unread), (3, 2));
    // Met with before: it keeps nobody waiting.
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!(
        (report.copied, report.unread, report.found_new()),
        (0, 0, 0)
    );
    source.add(6, Vec::new());
    source.damaged = vec![4];
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.unread), (2, 0));
    let noted = |expected: &[u32]| {
        let state = State::open(directory.path()).unwrap();
        let uids: Vec<u32> = (state.notes("bob").unwrap().iter())
            .map(|(_, uid, _)| *uid)
            .collect();
        assert_eq!(uids, expected);
    };
    noted(&[4]);
    source.damaged.clear();
    pass(directory.path(), &mut source, &mut target);
    noted(&[]);
    assert_eq!(source.content(), target.content());
    let again = pass(directory.path(), &mut source, &mut target);
    assert_eq!(again, Report::default());
}

#[test]
fn what_another_tool_has_copied_is_not_copied_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in [1, 2, 2] {
        source.add(body, seen());
    }
    target.add(2, seen());
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.adopted, report.copied), (1, 2));
    assert_eq!(source.content(), target.content());
}

#[test]
fn a_message_that_was_unreadable_while_the_map_was_begun_is_still_looked_for_later() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in [1, 2, 3] {
        source.add(body, Vec::new());
        target.add(body, Vec::new());
    }
    source.damaged = vec![2];
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.adopted, report.unread), (2, 1));
    source.damaged.clear();
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.adopted, report.copied), (1, 0));
    assert_eq!(source.content(), target.content());
}

#[test]
fn what_went_before_a_list_that_was_not_whole_is_found_by_the_next_pass() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in 0..10 {
        source.add(body, Vec::new());
    }
    pass(directory.path(), &mut source, &mut target);
    for body in [20, 21] {
        source.add(body, Vec::new());
    }
    source.messages.remove(0);
    // Another one goes between STATUS and SEARCH.
    source.unlisted = vec![2];
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.expunged), (2, 0));
    source.messages.retain(|one| one.uid != 2);
    source.unlisted.clear();
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!(report.expunged, 2);
    let again = pass(directory.path(), &mut source, &mut target);
    assert_eq!(again, Report::default());
}

#[test]
fn a_date_in_the_future_does_not_hide_when_the_newest_message_came() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    let came = source.add(1, Vec::new());
    let forged = source.add(2, Vec::new());
    source.dates = vec![
        (came, "01-Jan-2020 00:00:00 +0000"),
        (forged, "01-Jan-2199 00:00:00 +0000"),
    ];
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!(report.newest_s, Some(1_577_836_800));
}

#[test]
fn a_message_that_was_unreadable_and_then_went_is_forgotten_in_a_long_folder() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    source.damaged = vec![source.add(1, Vec::new())];
    source.uidnext = 2 * WINDOW_UIDS;
    source.add(2, Vec::new());
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.unread), (1, 1));
    source.messages.remove(0);
    pass(directory.path(), &mut source, &mut target);
    let state = State::open(directory.path()).unwrap();
    assert_eq!(state.notes("bob").unwrap(), []);
}

#[test]
fn a_target_that_was_made_anew_gets_all_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    for body in [1, 2] {
        source.add(body, Vec::new());
    }
    pass(directory.path(), &mut source, &mut target);
    let mut target = Server::new();
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!((report.copied, report.adopted), (2, 0));
    assert_eq!(source.content(), target.content());
}

#[test]
fn a_target_that_was_made_anew_before_a_pass_came_to_its_end_gets_all_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut source, mut target) = (Server::new(), Server::new());
    source.add(1, Vec::new());
    pass(directory.path(), &mut source, &mut target);
    {
        // As the beginning of the pass has noted it.
        let state = State::open(directory.path()).unwrap();
        let mut record = state.folder(INBOX).unwrap().unwrap();
        (record.source_uidnext, record.target_uidnext) = (1, Some(1));
        state.put_folder(INBOX, &record).unwrap();
    }
    let mut target = Server::new();
    let report = pass(directory.path(), &mut source, &mut target);
    assert_eq!(report.copied, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Rounds of arrivals, flag changes, lost connections and other UIDVALIDITYs on both
    /// sides: after each pass the target has what the source has, once.
    #[test]
    fn both_sides_agree_after_each_pass(
        rounds in proptest::collection::vec((
            proptest::collection::vec(0u8..4, 0..5),
            proptest::collection::vec(proptest::option::of(any::<bool>()), 0..3),
            0u8..5,
            any::<prop::sample::Index>(),
        ), 1..5)
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (mut source, mut target) = (Server::new(), Server::new());
        for (bodies, fates, event, index) in rounds {
            for body in bodies {
                source.add(body, Vec::new());
            }
            match event {
                0 => source.renumber(),
                1 => target.renumber(),
                // The same body has the same flags, so that copies cannot be confused.
                2 if !source.messages.is_empty() => {
                    let body = source.messages[index.index(source.messages.len())].body;
                    source.modseq += 1;
                    let modseq = source.modseq;
                    for one in source.messages.iter_mut().filter(|one| one.body == body) {
                        one.flags = seen();
                        one.modseq = modseq;
                    }
                }
                _ => {}
            }
            target.fates = fates.into();
            pass(directory.path(), &mut source, &mut target);
            prop_assert_eq!(source.content(), target.content());
            target.fates.clear();
            let again = pass(directory.path(), &mut source, &mut target);
            prop_assert_eq!(again.found_new(), 0);
        }
    }
}
