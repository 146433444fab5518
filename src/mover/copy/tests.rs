//! Exactly once, against a server that loses connections before and after what it does.

use super::*;
use crate::mover::hash::{identity, known};
use proptest::prelude::*;

const INBOX: At<'static> = At {
    account: "bob",
    folder: b"INBOX",
};

/// What happens to the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Well,
    /// The connection is lost before anything is done.
    Before,
    /// It is done, and the reply is lost.
    After,
    /// Over quota.
    NotNow,
}

/// A folder at a server.
struct Server {
    messages: Vec<(u32, Vec<u8>)>,
    uidplus: bool,
    /// Whether a batch is taken whole or not at all.
    whole: bool,
    fates: VecDeque<Fate>,
    /// UIDNEXT of some time ago, where that is what it tells.
    stale: Option<u32>,
}

impl Server {
    fn new(uidplus: bool, fates: Vec<Fate>) -> Self {
        // Somebody else's mail is there before, of the same bytes as one of ours.
        Self {
            messages: vec![(1, body(0))],
            uidplus,
            whole: true,
            fates: fates.into(),
            stale: None,
        }
    }

    fn next(&self) -> u32 {
        self.messages.last().map_or(1, |(uid, _)| uid + 1)
    }

    fn fate(&mut self) -> Fate {
        self.fates.pop_front().unwrap_or(Fate::Well)
    }
}

fn reset() -> Failure {
    lost("reset")
}

/// A body that the server refuses.
const POISON: u8 = 9;

impl Target for Server {
    fn quiet(&self) -> Duration {
        Duration::ZERO
    }

    async fn uidnext(&mut self) -> Result<u32, Failure> {
        Ok(self.stale.unwrap_or_else(|| self.next()))
    }

    async fn append(&mut self, batch: &[Message]) -> Vec<Result<Option<u32>, Failure>> {
        let fate = self.fate();
        let all = |failure: Failure| vec![Err(failure); batch.len()];
        match fate {
            Fate::Before => return all(reset()),
            Fate::NotNow => {
                return all(Failure::NotNow {
                    reply: "busy".into(),
                    wait: None,
                });
            }
            _ => {}
        }
        let poisoned = |message: &Message| bytes(message) == body(POISON);
        let refused = Failure::Refused {
            reply: "8bit header".into(),
        };
        if self.whole && batch.iter().any(poisoned) {
            return all(refused);
        }
        let mut results = Vec::new();
        for message in batch {
            if poisoned(message) {
                results.push(Err(refused.clone()));
                continue;
            }
            let uid = self.next();
            // As servers store it.
            let stored = String::from_utf8(bytes(message)).unwrap();
            self.messages
                .push((uid, stored.replace('\n', "\r\n").into_bytes()));
            results.push(Ok(self.uidplus.then_some(uid)));
        }
        if fate == Fate::After {
            return all(reset());
        }
        results
    }

    async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Failure> {
        if self.fate() == Fate::Before {
            return Err(reset());
        }
        let uids = self.messages.iter().map(|(uid, _)| *uid);
        Ok(uids.filter(|uid| (first..=last).contains(uid)).collect())
    }

    async fn identities(&mut self, uids: &UidSet) -> Result<Vec<Found>, Failure> {
        let found = self.messages.iter().filter(|(uid, _)| uids.contains(*uid));
        let found = found.map(|(uid, bytes)| Found {
            uid: *uid,
            identity: identity(bytes),
        });
        Ok(found.collect())
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    match &message.body {
        Body::Memory(bytes) => bytes.to_vec(),
        Body::File { .. } => panic!("a short message in a file"),
    }
}

fn body(kind: u8) -> Vec<u8> {
    format!("Subject: {kind}\n\nx\n").into_bytes()
}

fn message(uid: u32, kind: u8) -> Message {
    Message {
        uid,
        known: known(&body(kind)),
        internal_date: String::new(),
        flags: Vec::new(),
        left_out: Vec::new(),
        body: Body::new(body(kind)),
    }
}

/// A run of the program: what is in doubt first, then the rest, until something fails.
async fn run(
    state: &State,
    server: &mut Server,
    source: &[Message],
    batch: usize,
) -> Result<(), CopyError> {
    let recovered = recover(state, INBOX, server).await?;
    let todo: Vec<Message> = source
        .iter()
        .filter(|message| {
            recovered.missing.contains(&message.uid)
                || state.message(INBOX, message.uid).unwrap().is_none()
        })
        .cloned()
        .collect();
    for batch in todo.chunks(batch) {
        append(state, INBOX, server, batch.to_vec()).await?;
    }
    Ok(())
}

/// Runs until nothing fails, with a new process each time, and gives what arrived.
fn all_runs(
    source: &[u8],
    (uidplus, whole): (bool, bool),
    fates: Vec<Fate>,
    batch: usize,
) -> (Vec<u8>, State) {
    let directory = tempfile::tempdir().unwrap();
    let source: Vec<Message> = (1..)
        .zip(source)
        .map(|(uid, kind)| message(uid, *kind))
        .collect();
    let mut server = Server::new(uidplus, fates);
    server.whole = whole;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    loop {
        let state = State::open(directory.path()).unwrap();
        if runtime
            .block_on(run(&state, &mut server, &source, batch))
            .is_ok()
        {
            let arrived = server.messages.iter().skip(1).map(|(_, bytes)| {
                let text = String::from_utf8_lossy(bytes);
                text["Subject: ".len()..][..1].parse().unwrap()
            });
            return (arrived.collect(), state);
        }
    }
}

#[test]
fn a_lost_reply_is_found_and_not_sent_again() {
    let fates = vec![Fate::After, Fate::Well];
    let (arrived, state) = all_runs(&[1, 2, 3], (false, true), fates, 10);
    assert_eq!(arrived, [1, 2, 3]);
    let copied = state.message(INBOX, 2).unwrap().unwrap().outcome;
    assert_eq!(
        copied,
        Outcome::Copied {
            target_uid: Some(3)
        }
    );
}

#[test]
fn two_messages_of_the_same_bytes_never_have_one_copy() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let mut server = Server::new(false, Vec::new());
    server.stale = Some(2);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let source = [message(1, 1), message(2, 1)];
    runtime
        .block_on(run(&state, &mut server, &source, 1))
        .unwrap();
    let copy = |uid| state.message(INBOX, uid).unwrap().unwrap().outcome.copy();
    assert_eq!((copy(1), copy(2)), (Some(2), Some(3)));
}

#[test]
fn what_was_not_done_is_sent_again() {
    for fate in [Fate::Before, Fate::NotNow] {
        let (arrived, _) = all_runs(&[1, 2], (true, true), vec![fate], 10);
        assert_eq!(arrived, [1, 2], "{fate:?}");
    }
}

#[test]
fn the_message_that_is_refused_is_named_and_the_others_go() {
    let (arrived, state) = all_runs(&[1, 2, POISON, 3, POISON, 4], (true, true), Vec::new(), 10);
    assert_eq!(arrived, [1, 2, 3, 4]);
    let refused = |uid| state.message(INBOX, uid).unwrap().unwrap().outcome;
    let outcome = Outcome::Refused {
        reply: "8bit header".into(),
    };
    assert_eq!((refused(3), refused(5)), (outcome.clone(), outcome));
}

#[test]
fn mail_of_the_same_bytes_that_was_there_before_is_not_taken_for_ours() {
    for fate in [Fate::Before, Fate::After] {
        let (arrived, _) = all_runs(&[0, 0], (false, true), vec![fate], 1);
        assert_eq!(arrived, [0, 0], "{fate:?}");
    }
}

#[test]
fn what_a_server_refuses_beside_the_bytes_is_left_out_once() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let mut server = Server::new(true, Vec::new());
    let mut odd = message(1, POISON);
    odd.internal_date = "01-Jan-1901 00:00:00 +0000".into();
    odd.flags = vec!["\\Seen".into(), "work".into()];
    let (plain, why) = plainer(&odd).unwrap();
    assert_eq!(plain.internal_date, "01-Jan-1970 00:00:00 +0000");
    assert!(why.contains("1901"), "{why}");
    let (plain, why) = plainer(&plain).unwrap();
    assert_eq!(plain.flags, ["\\Seen"]);
    assert!(why.contains("work"), "{why}");
    assert!(plainer(&plain).is_none());
    let mut dateless = message(1, 1);
    dateless.internal_date = "00-???-0000 00:00:00 +0000".into();
    let (plain, why) = plainer(&dateless).unwrap();
    assert_eq!(plain.internal_date, "");
    assert!(why.contains("00-???-0000"), "{why}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let copied = runtime.block_on(append(&state, INBOX, &mut server, vec![odd]));
    let refused = copied.unwrap().refused;
    assert_eq!((refused.len(), refused[0].uid), (1, 1));
    assert_eq!(refused[0].reply, "8bit header");
    let notes = state.notes("bob").unwrap();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].2.kind, NoteKind::Refused);
    assert_eq!(notes[0].2.why, "8bit header");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, and however often: what the source has is there, once, unless the
    /// target refuses it.
    #[test]
    fn each_message_arrives_once(
        source in proptest::collection::vec(0..=POISON, 0..20),
        uidplus: bool,
        whole: bool,
        batch in 1usize..8,
        fates in proptest::collection::vec(proptest::sample::select(&[
            Fate::Well, Fate::Well, Fate::Before, Fate::After, Fate::NotNow,
        ][..]), 0..20),
    ) {
        let (mut arrived, state) = all_runs(&source, (uidplus, whole), fates, batch);
        let mut expected: Vec<u8> = source.iter().copied().filter(|kind| *kind != POISON).collect();
        arrived.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(arrived, expected);
        let mut target_uids = HashSet::new();
        state.messages(INBOX, |_, record| {
            if let Outcome::Copied { target_uid } = record.outcome {
                assert!(target_uids.insert(target_uid.unwrap()), "{target_uid:?} twice");
            }
        }).unwrap();
    }
}
