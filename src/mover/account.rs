//! One account, once: log in at both sides, list, map, make what is missing, and go through
//! the folders, several at once over connections of their own ([`lane`](super::lane)).
//!
//! A connection that is lost is made again after a wait that doubles, and what was under way
//! is looked for first; a server that asks to be left alone is. Only so many troubles in a
//! row without a message copied between them are put up with. None of it is another
//! account's.

use super::{
    accounts::Account,
    copy::{CopyError, Failure},
    folders::{NotCopied, Pair, Rules, Side, kept, no_namespaces, pairs},
    lane,
    login::Server,
    mapping::{Names, Note},
    meter::{Doing, Extent},
    pass::{self, Job},
    run::Task,
    state::{At, NoteKind, State, StateError},
    target::failure,
};
use crate::{
    config::Expunged,
    imap::{self, Code, Error, Figures, Limits, Name, Session},
    token::TokenError,
};
use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Troubles in a row without progress, after which an account waits for the next pass.
const TROUBLES_MAX: u32 = 6;
/// The wait after the first trouble; it doubles with each.
const WAIT: Duration = Duration::from_millis(500);
/// The longest wait that is not asked for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What all accounts have in common.
#[derive(Debug)]
pub struct Mover {
    /// What has been copied.
    pub state: State,
    /// The old server.
    pub source: Server,
    /// The new server.
    pub target: Server,
    /// Which folders, and their names.
    pub rules: Rules,
    /// Where long messages are put on their way.
    pub directory: PathBuf,
    /// What is put up with from servers.
    pub limits: Limits,
    /// Where messages are kept that the target does not take, if they shall be.
    pub keep_refused: Option<PathBuf>,
    /// What becomes of the copies of messages that the source has no more.
    pub expunged: Expunged,
    /// Folders of an account at once, over a connection to each side for each.
    pub connections: usize,
}

/// How a pass over an account ended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccountReport {
    /// The account.
    pub name: String,
    /// Folders that were gone through.
    pub folders: u64,
    /// Messages that the source has in them.
    pub messages: u64,
    /// What was done.
    pub done: pass::Report,
    /// Folders that could not be gone through: name and reason.
    pub failed: Vec<(String, String)>,
    /// Folders that are not copied.
    pub left: Vec<NotCopied>,
    /// Folders that have another name at the target.
    pub renamed: Vec<(String, String)>,
    /// Why the account was not gone through to its end.
    pub stopped: Option<Stopped>,
    /// When it was begun, in milliseconds since 1970.
    pub began_ms: u64,
    /// The latest INTERNALDATE at the source that is known, in seconds since 1970.
    pub newest_s: Option<i64>,
    /// Messages that the target does not take, in all passes.
    pub refused: u64,
    /// Messages that are another one at the target, in all passes.
    pub altered: u64,
    /// Messages that the source does not give.
    pub unread: u64,
}

/// Why an account was not gone through to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stopped {
    /// It cannot go on for now: over quota, throttled.
    #[error("{0}")]
    Paused(String),
    /// Something failed.
    #[error("{0}")]
    Failed(String),
}

impl AccountReport {
    /// What could not be copied for now.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.len() as u64 + u64::from(self.stopped.is_some()) + self.done.unread
    }

    /// Folders with mail that have no place of their own at the target: no later pass finds one.
    #[must_use]
    pub fn stranded(&self) -> u64 {
        self.left.iter().filter(|one| one.stranded > 0).count() as u64
    }

    /// The first of them, in words.
    #[must_use]
    pub fn stranding(&self) -> Option<String> {
        let first = self.left.iter().find(|one| one.stranded > 0)?;
        Some(format!("{} is not copied: {}", first.shown, first.why))
    }

    /// The first thing that failed, in words.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let stopped = self.stopped.as_ref().map(ToString::to_string);
        let failed = || {
            let (folder, why) = self.failed.first()?;
            Some(format!("{folder}: {why}"))
        };
        let unread = || {
            let unread = self.done.unread;
            (unread > 0).then(|| format!("{unread} messages cannot be read at the source"))
        };
        stopped.or_else(failed).or_else(unread)
    }
}

/// Why it does not go on now.
#[derive(Debug)]
pub(super) enum Stop {
    /// Not in this pass.
    Account(Stopped),
    /// After a wait, with new connections.
    Again {
        why: Stopped,
        wait: Option<Duration>,
    },
}

impl Stop {
    /// Why.
    pub(super) fn why(self) -> Stopped {
        match self {
            Self::Account(why) | Self::Again { why, .. } => why,
        }
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::Account(Stopped::Failed(error.to_string()))
    }
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Target(failure) => failure.into(),
            CopyError::State(error) => error.into(),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        let why = failure.to_string();
        match failure {
            Failure::Refused { .. } => Self::Account(Stopped::Failed(why)),
            Failure::OverQuota { .. } => Self::Account(Stopped::Paused(why)),
            Failure::NotNow { wait, .. } => Self::Again {
                why: Stopped::Paused(why),
                wait,
            },
            Failure::Lost { wait, .. } => Self::Again {
                why: Stopped::Failed(why),
                wait,
            },
        }
    }
}

impl Stopped {
    /// Which of the two sides it is about.
    fn at(self, side: &str) -> Self {
        match self {
            Self::Paused(why) => Self::Paused(format!("{side}: {why}")),
            Self::Failed(why) => Self::Failed(format!("{side}: {why}")),
        }
    }
}

/// A failed login at one side.
fn at(side: &str, error: &Error) -> Stop {
    if let Error::Login { code, .. } = error
        && !error.is_throttling()
        && *code != Some(Code::ServerBug)
    {
        return Stop::Account(Stopped::Failed(error.to_string()).at(side));
    }
    match Stop::from(failure(error)) {
        Stop::Account(why) => Stop::Account(why.at(side)),
        Stop::Again { why, wait } => Stop::Again {
            why: why.at(side),
            wait,
        },
    }
}

impl Mover {
    /// Goes through an account.
    pub async fn account(self: &Arc<Self>, task: &Task) -> AccountReport {
        task.meter.begin();
        let mut report = AccountReport {
            name: task.account.name().to_owned(),
            began_ms: now_ms(),
            ..AccountReport::default()
        };
        report.stopped = self.persist(task, &mut report).await.err();
        if let Err(error) = self.remember(&task.account, &mut report) {
            let failed = Stopped::Failed(error.to_string());
            report.stopped.get_or_insert(failed);
        }
        task.meter
            .doing(report.failure().map_or(Doing::Done, Doing::Failed));
        report
    }

    async fn persist(
        self: &Arc<Self>,
        task: &Task,
        report: &mut AccountReport,
    ) -> Result<(), Stopped> {
        let mut done = HashSet::new();
        let (mut troubles, mut progress) = (0, 0);
        loop {
            let (why, wait) = match self.once(task, report, &mut done).await {
                Ok(()) => return Ok(()),
                Err(Stop::Account(why)) => return Err(why),
                Err(Stop::Again { why, wait }) => (why, wait),
            };
            let now = task.meter.read().copied + done.len() as u64;
            if now > progress {
                (troubles, progress) = (0, now);
            }
            troubles += 1;
            if troubles > TROUBLES_MAX {
                return Err(why);
            }
            let backoff = WAIT.saturating_mul(1 << (troubles - 1)).min(WAIT_MAX);
            task.meter.doing(Doing::Pausing(why.to_string()));
            tokio::time::sleep(wait.unwrap_or_default().max(backoff)).await;
        }
    }

    /// As far as the connections hold.
    async fn once(
        self: &Arc<Self>,
        task: &Task,
        report: &mut AccountReport,
        done: &mut HashSet<Vec<u8>>,
    ) -> Result<(), Stop> {
        task.meter.doing(Doing::Listing);
        let (mut source, mut target) = self.connect(&task.account).await?;
        let (mut pairs, left, _) = self.list(&mut source, &mut target, &task.account).await?;
        report.left = left;
        report.renamed = renamed(&pairs);
        let total = extent(&pairs);
        report.messages = total.messages;
        report.folders = total.folders;
        let mailbox = self.target.mailbox(&task.account.target);
        for pair in &pairs {
            let at = At {
                account: task.account.name(),
                folder: pair.source.name.raw(),
            };
            if let Some(job) = Job::of(at, pair, &mailbox)
                && pass::is_done(&self.state, &job)?
            {
                done.insert(at.folder.to_vec());
            }
        }
        let is_done = |pair: &&Pair| done.contains(pair.source.name.raw());
        task.meter
            .expect(total, extent(pairs.iter().filter(is_done)));
        make(&mut pairs, &mut target).await?;
        let ways = pairs
            .into_iter()
            .filter(|pair| !done.contains(pair.source.name.raw()));
        let ends = lane::run(self, task, (source, target), ways.collect()).await;
        let mut stop = None;
        for end in ends {
            report.done.add(end.done);
            report.failed.extend(end.failed);
            done.extend(end.passed);
            stop = stop.or(end.stop);
        }
        stop.map_or(Ok(()), Err)
    }

    pub(super) async fn connect(&self, account: &Account) -> Result<(Session, Session), Stop> {
        let (source, target) = tokio::join!(
            self.source.login(&account.source),
            self.target.login(&account.target),
        );
        let no_token = |side: &'static str| {
            move |error: TokenError| Stop::Account(Stopped::Failed(error.to_string()).at(side))
        };
        let source = source.map_err(no_token("source"))?;
        let target = target.map_err(no_token("target"))?;
        let (source, target) = tokio::join!(
            imap::connect(&self.source.endpoint, &source, &self.limits),
            imap::connect(&self.target.endpoint, &target, &self.limits),
        );
        let source = source.map_err(|error| self::at("source", &error))?;
        let target = target.map_err(|error| self::at("target", &error))?;
        Ok((source, target))
    }

    /// The folders of both sides, which becomes which, and what names the target takes.
    pub(super) async fn list(
        &self,
        source: &mut Session,
        target: &mut Session,
        account: &Account,
    ) -> Result<(Vec<Pair>, Vec<NotCopied>, Names), CopyError> {
        let (source, target) = tokio::join!(
            side(source, Figures::All),
            // Whether its UIDs still hold is all that is to be known of it.
            side(target, Figures::Validity),
        );
        let ((source, _), (target, names)) = (source?, target?);
        let mailbox = self.target.mailbox(&account.target);
        let kept = kept(&self.state, account.name(), &mailbox)?;
        let (pairs, left) = pairs(&source, &target, &self.rules, names, &kept);
        Ok((pairs, left, names))
    }

    /// What all passes together know of an account.
    fn remember(&self, account: &Account, report: &mut AccountReport) -> Result<(), StateError> {
        let mut record = self.state.account(account.name())?;
        // An earlier relay noted dates in the future too.
        record.newest_s = record.newest_s.filter(|at| *at <= now_s());
        if report.done.newest_s > record.newest_s {
            record.newest_s = report.done.newest_s;
            self.state.put_account(account.name(), &record)?;
        }
        report.newest_s = record.newest_s;
        for (_, _, note) in self.state.notes(account.name())? {
            match note.kind {
                NoteKind::Refused => report.refused += 1,
                NoteKind::Altered => report.altered += 1,
                NoteKind::Unread => report.unread += 1,
            }
        }
        Ok(())
    }
}

/// A server's folders, and how it takes names.
///
/// # Errors
/// [`Failure`].
pub async fn side(session: &mut Session, figures: Figures) -> Result<(Side, Names), Failure> {
    let folders = session
        .folders_with(figures)
        .await
        .map_err(|error| failure(&error))?;
    let namespaces = match session.namespaces().await {
        Ok(namespaces) => namespaces,
        Err(error) if error.is_fatal() => return Err(failure(&error)),
        Err(_) => no_namespaces(&folders),
    };
    // Zimbra's way to other users' folders, which no other server has.
    let zimbra = |prefix: &[u8]| prefix.starts_with(b"/home/");
    let zimbra = namespaces
        .other_users
        .iter()
        .any(|other| zimbra(&other.prefix));
    let names = if zimbra {
        Names::Zimbra
    } else {
        Names::of(|name| session.has(name))
    };
    let mut side = Side::new(folders, &namespaces);
    side.has_labels = session.has("X-GM-EXT-1");
    Ok((side, names))
}

/// Makes the folders that the target does not have, and subscribes to those that the user is
/// subscribed to. One that is refused is noticed when it is opened, and why is kept for then.
async fn make(pairs: &mut [Pair], target: &mut Session) -> Result<(), Failure> {
    let there = |pair: &Pair| {
        let existing = pair.existing.as_ref();
        existing.is_some_and(imap::Folder::is_selectable)
    };
    let wanted = |pair: &Pair| {
        let there = pair.existing.as_ref().is_some_and(|there| there.subscribed);
        pair.source.subscribed && !there
    };
    let unsubscribed = pairs.iter().filter(|pair| wanted(pair));
    let unsubscribed: Vec<Name> = unsubscribed.map(|pair| pair.target.clone()).collect();
    let missing: Vec<&mut Pair> = pairs.iter_mut().filter(|pair| !there(pair)).collect();
    let names: Vec<Name> = missing.iter().map(|pair| pair.target.clone()).collect();
    let made = target.create_all(&names).await;
    let made = made.map_err(|error| failure(&error))?;
    for (pair, made) in missing.into_iter().zip(made) {
        let Err(error) = made else { continue };
        if error.is_throttling() {
            return Err(failure(&error));
        }
        pair.not_made = Some(error.to_string());
    }
    // A folder that is there without a subscription is better than none.
    let subscribed = target.subscribe_all(&unsubscribed).await;
    subscribed.map_err(|error| failure(&error))?;
    Ok(())
}

/// How much there is in these folders at the source.
pub(super) fn extent<'p>(pairs: impl IntoIterator<Item = &'p Pair>) -> Extent {
    let mut extent = Extent::default();
    for pair in pairs {
        extent.folders += 1;
        extent.messages += pair.standing().map_or(0, |at| u64::from(at.messages));
        extent.bytes += pair.source.status.and_then(|at| at.size).unwrap_or(0);
    }
    extent
}

/// Now, in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The same in seconds.
#[must_use]
pub fn now_s() -> i64 {
    i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX)
}

/// Those that have another name at the target, with it.
pub(super) fn renamed(pairs: &[Pair]) -> Vec<(String, String)> {
    let noted = pairs
        .iter()
        .filter(|pair| (pair.mapped.notes.iter()).any(|note| !matches!(note, Note::Undecodable)));
    noted
        .map(|pair| (pair.source_shown(), pair.shown.clone()))
        .collect()
}
