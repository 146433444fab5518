//! What a test may do to a running relay by its environment: end it at a named step, or
//! take its syncs away.
//!
//! A step ends the process as `kill -9` would: between any two calls that a promise rests
//! on there is one.
//!
//! `RELAY_FAILPOINT=commit.synced` kills at the first time that this step is reached,
//! `RELAY_FAILPOINT=commit.synced@7` at the seventh. Without the variable a step costs one
//! load. A name that is not in [`Failpoint::ALL`] ends the process at its first step, so
//! that a test with a slip of the pen does not pass.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The variable that arms one.
pub const VARIABLE: &str = "RELAY_FAILPOINT";

macro_rules! failpoints {
    ($($(#[$text:meta])* $point:ident = $name:literal,)*) => {
        /// A step that can be armed.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Failpoint { $($(#[$text])* $point,)* }

        impl Failpoint {
            /// All of them, in the order in which a message meets them.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// Its name, for [`VARIABLE`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }
        }
    };
}

failpoints! {
    /// A long body is in its file, not synced.
    BodyWritten = "body.written",
    /// It is synced; no record owns it.
    BodySynced = "body.synced",
    /// A batch is complete and nothing of it is written.
    CommitBegun = "commit.begun",
    /// The names of its body files are synced; nothing else of it is written.
    CommitNamed = "commit.named",
    /// The database has synced it; the watermark does not know yet.
    CommitSynced = "commit.synced",
    /// The watermark has it; nobody was answered.
    CommitAcknowledged = "commit.acknowledged",
    /// Readers see its counters; nobody was answered.
    CommitPublished = "commit.published",
    /// Some of those who wait for it are answered.
    CommitAnswered = "commit.answered",
    /// A message was chosen for its mailboxes; nothing of it has left.
    ReleaseBegun = "release.begun",
    /// The attempt is on disk; the message's end has not left.
    ReleaseAttempted = "release.attempted",
    /// The message's end has left; its reply has not come.
    ReleaseSent = "release.sent",
    /// The reply has come; it is not on disk.
    ReleaseReplied = "release.replied",
    /// The result is on disk; the next message of the mailbox has not left.
    ReleaseRecorded = "release.recorded",
    /// The destination was asked for a delivery in doubt; its answer is not on disk.
    WitnessAnswered = "witness.answered",
    /// A part of a rewind is on disk.
    ReleaseRewound = "release.rewound",
    /// The messages of a canary were sent; that they were is not on disk.
    ReleaseCanarySent = "release.canary_sent",
    /// The mover has announced messages; none has left.
    MoveIntended = "move.intended",
    /// The target has answered for messages; it is not noted.
    MoveAppended = "move.appended",
    /// What became of messages is noted; the folder is not through.
    MoveSettled = "move.settled",
    /// A folder is through; where it stands is not noted.
    MovePassed = "move.passed",
    /// The removal of bodies is on disk, their files are there.
    PurgeCommitted = "purge.committed",
    /// The first of these files is gone.
    PurgeRemoved = "purge.removed",
    /// After a failure the disk takes writes again; the failed database is open.
    ReopenBegun = "reopen.begun",
    /// It is closed.
    ReopenClosed = "reopen.closed",
    /// The spool is locked and its watermark read; its database is not open.
    OpenMarked = "open.marked",
    /// The database is open, the books are read.
    OpenLoaded = "open.loaded",
    /// Files that nobody owns are gone.
    OpenCleaned = "open.cleaned",
    /// What was under way is in doubt.
    OpenDoubted = "open.doubted",
    /// A damaged database is copied; the copy was not recovered.
    RecoverCopied = "recover.copied",
    /// The copy is recovered, and holds what was acknowledged.
    RecoverChecked = "recover.checked",
    /// The damaged database has another name; the copy still has its own.
    SwapAside = "swap.aside",
    /// The copy is in its place.
    SwapPlaced = "swap.placed",
    /// The damaged database has only what a person may want to see.
    SwapCleared = "swap.cleared",
}

/// The variable that switches syncs off, for a test of the tests: one that cuts the power
/// must then find losses. Any value but `off` ends the process.
pub const SYNC_VARIABLE: &str = "RELAY_TEST_SYNC";

static SYNCS: LazyLock<bool> = LazyLock::new(|| match env::var(SYNC_VARIABLE) {
    Err(_) => true,
    Ok(value) if value == "off" => {
        eprintln!("{SYNC_VARIABLE}=off: nothing is synced, and accepted mail will be lost");
        false
    }
    Ok(value) => {
        die(&format!("{SYNC_VARIABLE}={value}: only off is known"));
        true
    }
});

/// Whether what is to be synced is synced. Without debug assertions always.
#[must_use]
pub fn syncs() -> bool {
    !cfg!(debug_assertions) || *SYNCS
}

struct Armed {
    point: Failpoint,
    at: u64,
    passed: AtomicU64,
}

static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
    let value = env::var(VARIABLE).ok()?;
    let armed = parse(&value);
    if armed.is_none() {
        die(&format!("{VARIABLE}={value}: there is no such step"));
    }
    armed
});

fn parse(value: &str) -> Option<Armed> {
    let (name, at) = match value.split_once('@') {
        Some((name, at)) => (name, at.parse().ok().filter(|at| *at > 0)?),
        None => (value, 1),
    };
    let point = Failpoint::ALL.iter().find(|point| point.name() == name)?;
    Some(Armed {
        point: *point,
        at,
        passed: AtomicU64::new(0),
    })
}

impl Failpoint {
    /// Passes this step; the process ends here if it is armed and its turn has come.
    pub fn pass(self) {
        let Some(armed) = ARMED.as_ref() else {
            return;
        };
        if armed.point == self && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.at {
            die(&format!("{VARIABLE}: died at {}", self.name()));
        }
    }
}

/// As `kill -9` from outside: no destructor runs, no buffer is written.
fn die(text: &str) {
    eprintln!("{text}");
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_name_is_armed_for_its_first_or_a_later_turn() {
        let armed = parse("commit.synced").unwrap();
        assert_eq!((armed.point, armed.at), (Failpoint::CommitSynced, 1));
        assert_eq!(parse("release.sent@7").unwrap().at, 7);
        for wrong in ["", "commit", "commit.synced@", "commit.synced@0", "x@1"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let names: HashSet<_> = Failpoint::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Failpoint::ALL.len());
    }
}
