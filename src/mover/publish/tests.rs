//! What the mover shows of itself.

use super::*;
use crate::{
    imap::Name,
    mover::{
        accounts::{self, Administered},
        folders::NotCopied,
    },
};

const RULE: Rule = Rule {
    hold_began_ms: Some(50_000),
    settle: Duration::from_secs(60),
};

struct Scene {
    spool: tempfile::TempDir,
    accounts: Vec<Account>,
}

impl Scene {
    fn new() -> Self {
        let spool = tempfile::tempdir().unwrap();
        std::fs::create_dir(spool.path().join("mover")).unwrap();
        let text = b"source_user,source_password,target_user,target_password\n\
                     bob,,bob@new,\neve,,eve@new,\n";
        let both = Administered {
            source: true,
            target: true,
        };
        let accounts = accounts::parse(text, Path::new("a.csv"), both).unwrap();
        Self { spool, accounts }
    }

    fn start(&self) -> Publisher {
        Publisher::start(self.spool.path(), &self.accounts, 1).unwrap()
    }

    /// A run over which bob has converged at 61 s.
    fn converged(&self) -> (Task, Publisher) {
        let (bob, mut publisher) = (self.task(0), self.start());
        publisher
            .ended(&quiet("bob", 60_000), &bob, RULE, 61_000)
            .unwrap();
        (bob, publisher)
    }

    fn task(&self, place: usize) -> Task {
        Task::new(self.accounts[place].clone())
    }

    fn read(&self) -> Moved {
        Moved::read(self.spool.path()).unwrap().unwrap()
    }
}

/// A pass over it that found nothing new.
fn quiet(name: &str, began_ms: u64) -> AccountReport {
    AccountReport {
        name: name.into(),
        began_ms,
        ..AccountReport::default()
    }
}

#[test]
fn an_account_converges_on_its_own_and_all_when_the_last_has() {
    let scene = Scene::new();
    let mut publisher = scene.start();
    publisher.begin_pass(2).unwrap();
    let (bob, eve) = (scene.task(0), scene.task(1));
    publisher
        .ended(&quiet("bob", 60_000), &bob, RULE, 61_000)
        .unwrap();
    let moved = scene.read();
    assert_eq!(moved.accounts[0].state, AccountState::Converged);
    assert_eq!(moved.accounts[0].converged_ms, Some(61_000));
    assert_eq!(moved.accounts[0].passed_ms, Some(60_000));
    assert_eq!(
        (moved.accounts[1].state, moved.converged_ms),
        (AccountState::Waiting, None)
    );
    assert!(moved.not_yet.unwrap().contains("eve"));

    // Begun before the hold, then with news, then with a failure: never converged.
    publisher
        .ended(&quiet("eve", 40_000), &eve, RULE, 62_000)
        .unwrap();
    assert_eq!(scene.read().accounts[1].state, AccountState::Copied);
    let mut news = quiet("eve", 63_000);
    news.done.copied = 1;
    publisher.ended(&news, &eve, RULE, 64_000).unwrap();
    assert!(
        scene.read().accounts[1]
            .reason
            .as_ref()
            .unwrap()
            .contains("1 new")
    );
    let mut failed = quiet("eve", 65_000);
    failed.stopped = Some(Stopped::Failed("login refused".into()));
    publisher.ended(&failed, &eve, RULE, 66_000).unwrap();
    let eves = &scene.read().accounts[1];
    assert_eq!(eves.state, AccountState::Failed);
    assert_eq!(eves.reason.as_deref(), Some("login refused"));
    assert_eq!(eves.passed_ms, Some(63_000));
    failed.stopped = Some(Stopped::Paused("over quota".into()));
    publisher.ended(&failed, &eve, RULE, 66_000).unwrap();
    assert_eq!(scene.read().accounts[1].state, AccountState::Paused);

    publisher
        .ended(&quiet("eve", 67_000), &eve, RULE, 68_000)
        .unwrap();
    // The time is that of the first verdict.
    publisher
        .ended(&quiet("bob", 69_000), &bob, RULE, 70_000)
        .unwrap();
    publisher.stop(71_000).unwrap();
    let moved = scene.read();
    assert_eq!((moved.converged_ms, moved.not_yet), (Some(68_000), None));
    assert_eq!((moved.running, moved.passes), (false, 1));
}

#[test]
fn a_later_hold_is_answered_by_a_later_verdict() {
    let scene = Scene::new();
    let (bob, mut publisher) = scene.converged();
    let later = Rule {
        hold_began_ms: Some(80_000),
        ..RULE
    };
    publisher
        .ended(&quiet("bob", 90_000), &bob, later, 91_000)
        .unwrap();
    assert_eq!(scene.read().accounts[0].converged_ms, Some(91_000));
    publisher
        .ended(&quiet("bob", 92_000), &bob, later, 93_000)
        .unwrap();
    assert_eq!(scene.read().accounts[0].converged_ms, Some(91_000));
}

#[test]
fn an_account_with_mail_in_a_folder_that_is_not_copied_does_not_converge() {
    let scene = Scene::new();
    let mut report = quiet("bob", 60_000);
    report.left.push(NotCopied {
        source: Name::from_raw(b"Sent Items"),
        shown: "Sent Items".into(),
        why: "would be the same folder".into(),
        stranded: 3,
    });
    let mut publisher = scene.start();
    publisher
        .ended(&report, &scene.task(0), RULE, 61_000)
        .unwrap();
    let bob = &scene.read().accounts[0];
    assert_eq!((bob.state, bob.converged_ms), (AccountState::Failed, None));
    assert_eq!(
        bob.reason.as_deref(),
        Some("Sent Items is not copied: would be the same folder")
    );
}

#[test]
fn the_next_run_keeps_a_verdict_until_there_is_something_new() {
    let scene = Scene::new();
    let (bob, _) = scene.converged();
    bob.meter.begin();
    let whole = Extent {
        folders: 1,
        messages: 10,
        bytes: 0,
    };
    bob.meter.expect(whole, Extent::default());
    let mut publisher = scene.start();
    publisher.begin_pass(100_000).unwrap();
    publisher.look(slice::from_ref(&bob), 100_000).unwrap();
    assert_eq!(scene.read().accounts[0].state, AccountState::Converged);
    let gauge = bob.meter.folder(whole);
    gauge.copy(4, 400);
    publisher.look(slice::from_ref(&bob), 102_000).unwrap();
    let moved = scene.read();
    assert_eq!(moved.accounts[0].state, AccountState::Copying);
    assert_eq!(moved.accounts[0].converged_ms, None);
    assert_eq!(moved.messages, Part { done: 4, total: 10 });
    assert_eq!(
        moved.bytes,
        Part {
            done: 400,
            total: 400
        }
    );
    assert_eq!((moved.rate_per_s, moved.eta_s), (2.0, Some(3)));
    bob.meter.doing(Doing::Pausing("[LIMIT]".into()));
    publisher.look(slice::from_ref(&bob), 103_000).unwrap();
    let moved = scene.read();
    assert_eq!(moved.slow.as_deref(), Some("bob: [LIMIT]"));
    assert_eq!(moved.accounts[0].state, AccountState::Paused);
}
