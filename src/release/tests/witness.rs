//! Deliveries in doubt, where the destination can be asked.

use super::*;
use crate::{
    release::{
        Question, Sighting, Witness,
        peer::{Act, Moment},
    },
    spool::{Cause, State, Step, Transition},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Answers in turns, the last one for ever, and notes what it was asked.
struct Says {
    answers: Mutex<Vec<Sighting>>,
    asked: Mutex<Vec<Question>>,
}

impl Says {
    fn new(mut answers: Vec<Sighting>) -> Arc<Self> {
        answers.reverse();
        Arc::new(Self {
            answers: Mutex::new(answers),
            asked: Mutex::default(),
        })
    }
}

impl Witness for Says {
    fn look(&self, question: Question) -> Pin<Box<dyn Future<Output = Sighting> + Send + '_>> {
        self.asked.lock().unwrap().push(question);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop().unwrap(),
        };
        Box::pin(async move { answer })
    }
}

fn found() -> Sighting {
    Sighting::Found {
        server: "imap.new".into(),
        place: "INBOX".into(),
    }
}

fn absent() -> Sighting {
    Sighting::Absent {
        server: "imap.new".into(),
    }
}

fn unable() -> Sighting {
    Sighting::Unable {
        reason: "login refused".into(),
    }
}

/// A destination that hangs up without a word after its first message.
async fn silent_once() -> Peer {
    let dots = AtomicUsize::new(0);
    Peer::start(move |_, moment| match moment {
        Moment::Dot { .. } if dots.fetch_add(1, Ordering::SeqCst) == 0 => Act::Close,
        _ => Act::Usual,
    })
    .await
}

async fn world(peer: &Peer, policy: InDoubtPolicy, witness: Arc<dyn Witness>) -> (World, QueueId) {
    let change = |config: &mut Config| {
        config.release.in_doubt = policy;
        config.release.in_doubt_after = Duration::from_millis(600);
    };
    let equip = |releaser: Releaser| releaser.with_witness(witness);
    let world = World::of(peer.address, change, timeouts(), equip);
    let id = world
        .accept(&["bob@corp.example"], b"Message-ID: <1@x>\r\n\r\ntext\r\n")
        .await;
    world.release().await;
    (world, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_delivered_and_not_sent_again() {
    let peer = silent_once().await;
    let witness = Says::new(vec![absent(), found()]);
    let (world, id) = world(&peer, InDoubtPolicy::Park, witness.clone()).await;
    world.drained().await;
    let ledger = world.ledger();
    assert_eq!((ledger.delivered.count, ledger.resent), (1, 0));
    assert_eq!((ledger.doubted, ledger.found), (1, 1));
    // It was not sent again, and not taken for missing at the first look. What the peer
    // hung up on it does not count.
    assert_eq!(peer.taken().len(), 0);
    let asked = witness.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].message, id);
    assert!(asked[0].head.starts_with(b"Message-ID: <1@x>"));
    let last = world.events(id).await.pop().unwrap();
    assert_eq!(last.remote.unwrap().reply, "found in INBOX");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certainly_not_there_goes_again_and_is_no_duplicate() {
    // Even where the policy is to leave it to a person: this is known.
    for policy in [InDoubtPolicy::Resend, InDoubtPolicy::Park] {
        let peer = silent_once().await;
        let witness = Says::new(vec![absent()]);
        let (world, id) = world(&peer, policy, witness.clone()).await;
        world.drained().await;
        let ledger = world.ledger();
        assert_eq!((ledger.delivered.count, ledger.resent), (1, 0));
        assert_eq!((ledger.doubted, ledger.found), (1, 0));
        assert_eq!(peer.taken().len(), 1);
        assert!(witness.asked.lock().unwrap().len() > 1, "looked once only");
        let events = world.events(id).await;
        let times: Vec<u64> = events.iter().map(|event| event.at_ms).collect();
        assert!(times[1] - times[0] >= 600, "decided early: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_the_policy_decides() {
    for (policy, delivered, parked) in [(InDoubtPolicy::Resend, 1, 0), (InDoubtPolicy::Park, 0, 1)]
    {
        let peer = silent_once().await;
        let (world, id) = world(&peer, policy, Says::new(vec![unable()])).await;
        world.drained().await;
        let ledger = world.ledger();
        assert_eq!(
            (ledger.delivered.count, ledger.parked.count),
            (delivered, parked)
        );
        assert_eq!((ledger.doubted, ledger.found), (1, 0));
        assert_eq!(ledger.resent, delivered, "it may be there twice");
        let events = world.events(id).await;
        assert!(events[1].cause.to_string().contains("login refused"));
    }
}

/// What a person has put in doubt is asked for at once, and sent where it is not there or
/// nobody can tell, whatever the policy.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_rewound_is_asked_for_first() {
    for (answer, sent, resent) in [(found(), 1, 0), (absent(), 2, 0), (unable(), 2, 1)] {
        let peer = Peer::start(|_, _| Act::Usual).await;
        let witness = Says::new(vec![answer]);
        let (world, id) = world(&peer, InDoubtPolicy::Park, witness).await;
        world.drained().await;
        world.command(DomainCommand::Hold).await;
        world.rewind(&[id]).await;
        let again = world.spool.deliveries(id).await.unwrap();
        assert_eq!(again[0].state, State::InDoubt);
        world.release().await;
        world.drained().await;
        assert_eq!(peer.taken().len(), sent);
        assert_eq!(world.ledger().resent, resent);
        assert_eq!(world.ledger().delivered.count, 1);
    }
}

/// Never has an answer, but for the panics that are asked of it.
#[derive(Default)]
struct Looks {
    asked: AtomicUsize,
    panics: bool,
}

impl Witness for Looks {
    fn look(&self, _: Question) -> Pin<Box<dyn Future<Output = Sighting> + Send + '_>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics, "a look that panics, as it was asked to");
        Box::pin(std::future::pending())
    }
}

impl World {
    /// Puts all deliveries of these in doubt again.
    async fn rewind(&self, ids: &[QueueId]) {
        for id in ids {
            let rewinds = self.spool.deliveries(*id).await.unwrap().into_iter();
            let rewinds = rewinds.map(|delivery| Transition {
                delivery: delivery.id,
                step: Step::Rewind,
                cause: Cause::Operator("release --again".into()),
                remote: None,
                at_ms: 0,
            });
            self.spool.advance(rewinds.collect()).await.unwrap();
        }
    }

    async fn stopped(&self) {
        self.until("stopped", |world| world.releaser.status(DOMAIN).is_none())
            .await;
    }
}

/// A world that looks for a message which was delivered and rewound.
async fn looking(peer: &Peer, witness: Arc<Looks>) -> (World, QueueId) {
    let (world, id) = world(peer, InDoubtPolicy::Resend, witness.clone()).await;
    world.drained().await;
    world.command(DomainCommand::Hold).await;
    world.rewind(&[id]).await;
    world.release().await;
    world
        .until("asked", |_| witness.asked.load(Ordering::SeqCst) > 0)
        .await;
    (world, id)
}

/// It would be resent, and be there twice, although the destination could tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_was_cut_off_decides_nothing() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let witness = Arc::new(Looks::default());
    let (world, id) = looking(&peer, witness).await;
    let reason = "lunch".to_owned();
    world.command(DomainCommand::Pause { reason }).await;
    world.stopped().await;
    assert_eq!(
        world.spool.deliveries(id).await.unwrap()[0].state,
        State::InDoubt
    );
    assert_eq!(world.ledger().resent, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_keep_no_other_mailbox_waiting() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let change = |config: &mut Config| config.domains[0].destination.load.connections = 1;
    let witness = Arc::new(Looks::default());
    let equip = |releaser: Releaser| releaser.with_witness(witness.clone());
    let world = World::of(peer.address, change, timeouts(), equip);
    let mut ids = Vec::new();
    for to in ["a", "b", "c", "d", "e", "f"] {
        ids.push(
            world
                .accept(&[&format!("{to}@corp.example")], b"x\r\n")
                .await,
        );
    }
    world.release().await;
    world.drained().await;
    world.command(DomainCommand::Hold).await;
    world.rewind(&ids).await;
    world.accept(&["other@corp.example"], b"x\r\n").await;
    world.release().await;
    world
        .until("delivered", |world| world.ledger().delivered.count == 1)
        .await;
    assert!(witness.asked.load(Ordering::SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_panics_keeps_no_release_from_stopping() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let witness = Arc::new(Looks {
        panics: true,
        ..Looks::default()
    });
    let (world, _) = looking(&peer, witness).await;
    world.command(DomainCommand::Hold).await;
    world.stopped().await;
}
