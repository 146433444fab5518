//! The folders of an account, gone through over several connections at once: each takes the
//! next folder when it is through with one, so that a long one does not keep the others
//! waiting.
//!
//! A folder is gone through by one connection alone, which is what makes looking for lost
//! messages by UIDNEXT sound. A server that gives fewer connections than are asked for is
//! content with those.

use super::{
    account::{Mover, Stop, extent},
    copy::{CopyError, Failure},
    folders::Pair,
    meter::{Doing, Gauge},
    pace::Pace,
    pass::{self, Course, Job},
    run::Task,
    source::ImapSource,
    state::At,
    target::ImapTarget,
};
use crate::imap::Session;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinSet;

/// How one connection's share ended.
#[derive(Debug, Default)]
pub(super) struct End {
    /// What was done.
    pub done: pass::Report,
    /// Folders that were gone through, by the source's names.
    pub passed: Vec<Vec<u8>>,
    /// Folders that could not be: name and reason.
    pub failed: Vec<(String, String)>,
    /// Why it ended before the last folder.
    pub stop: Option<Stop>,
}

/// Goes through these folders, over this connection and more of its kind.
pub(super) async fn run(
    mover: &Arc<Mover>,
    task: &Task,
    first: (Session, Session),
    folders: Vec<Pair>,
) -> Vec<End> {
    let more = mover.connections.min(folders.len()).saturating_sub(1);
    let queue = Arc::new(Mutex::new(VecDeque::from(folders)));
    let lane = || Lane {
        mover: Arc::clone(mover),
        task: task.clone(),
        queue: Arc::clone(&queue),
        pace: Pace::default(),
        end: End::default(),
    };
    let mut set = JoinSet::new();
    set.spawn(lane().run(first));
    for _ in 0..more {
        set.spawn(lane().connect_and_run());
    }
    let mut ends = Vec::new();
    while let Some(ended) = set.join_next().await {
        match ended {
            Ok(end) => ends.push(end),
            // What a panic left undone is not taken for done.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    ends
}

struct Lane {
    mover: Arc<Mover>,
    task: Task,
    queue: Arc<Mutex<VecDeque<Pair>>>,
    pace: Pace,
    end: End,
}

impl Lane {
    async fn connect_and_run(self) -> End {
        match self.mover.connect(&self.task.account).await {
            Ok(sessions) => self.run(sessions).await,
            // The first one is there, so that this is a limit of the server, or will be the
            // first one's trouble too.
            Err(_) => self.end,
        }
    }

    async fn run(mut self, (mut source, mut target): (Session, Session)) -> End {
        while let Some(pair) = self.next() {
            let meter = Arc::clone(&self.task.meter);
            let gauge = meter.folder(extent([&pair]));
            meter.doing(Doing::Copying(pair.source_shown()));
            let result = self.folder(&pair, &mut source, &mut target, &gauge).await;
            match result {
                Ok(()) => {}
                Err(CopyError::Target(Failure::Refused { reply })) => {
                    self.end.failed.push((pair.source_shown(), reply));
                }
                Err(error) => {
                    let stop = Stop::from(error);
                    if matches!(stop, Stop::Account(_)) {
                        // It is that of the others too.
                        self.lock().clear();
                    }
                    self.end.stop = Some(stop);
                    return self.end;
                }
            }
            gauge.finish();
            self.end.passed.push(pair.source.name.raw().to_vec());
        }
        // A goodbye that fails takes nothing back.
        let _ = tokio::join!(source.logout(), target.logout());
        self.end
    }

    async fn folder(
        &mut self,
        pair: &Pair,
        source: &mut Session,
        target: &mut Session,
        gauge: &Gauge<'_>,
    ) -> Result<(), CopyError> {
        let at = At {
            account: self.task.account.name(),
            folder: pair.source.name.raw(),
        };
        let mailbox = self.mover.target.mailbox(&self.task.account.target);
        let Some(job) = Job::of(at, pair, &mailbox) else {
            return Err(Failure::Refused {
                reply: "the source does not tell how it stands (STATUS)".into(),
            }
            .into());
        };
        let name = &pair.source.name;
        let uidvalidity = job.standing.uidvalidity;
        let mut target = ImapTarget::new(target, &pair.target);
        let (source, opened) = tokio::join!(
            ImapSource::open(source, name, uidvalidity, &self.mover.directory),
            pass::Folder::open(&mut target),
        );
        let opened = opened.map_err(|failure| because(failure, pair.not_made.as_deref()));
        let (mut source, opened) = (source?, opened?);
        let course = Course {
            gauge,
            pace: &mut self.pace,
            report: &mut self.end.done,
            keep: self.mover.keep_refused.as_deref(),
            expunged: self.mover.expunged,
        };
        pass::folder(
            &self.mover.state,
            &job,
            &opened,
            &mut source,
            &mut target,
            course,
        )
        .await
    }

    fn next(&self) -> Option<Pair> {
        self.lock().pop_front()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Pair>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A folder that the target refuses to open after it has refused to make it: why that was says
/// more.
fn because(failure: Failure, not_made: Option<&str>) -> Failure {
    match (failure, not_made) {
        (Failure::Refused { .. }, Some(why)) => Failure::Refused { reply: why.into() },
        (failure, _) => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::copy::lost;

    #[test]
    fn a_folder_that_was_not_made_fails_with_the_words_of_its_making() {
        let refused = |reply: &str| Failure::Refused {
            reply: reply.into(),
        };
        let gone = refused("no such folder");
        assert_eq!(
            because(gone.clone(), Some("forbidden")),
            refused("forbidden")
        );
        assert_eq!(because(gone.clone(), None), gone);
        assert_eq!(because(lost("reset"), Some("forbidden")), lost("reset"));
    }
}
