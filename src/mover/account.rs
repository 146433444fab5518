//! One account, once: log in at both sides, list, map, make what is missing, and go through
//! each folder.
//!
//! A connection that is lost is made again after a wait that doubles, and what was under way
//! is looked for first; a server that asks to be left alone is. Only so many troubles in a
//! row without a message copied between them are put up with. None of it is another
//! account's.

use super::{
    accounts::Account,
    copy::{CopyError, Failure},
    folders::{NotCopied, Pair, Rules, Side, no_namespaces, pairs},
    login::Server,
    mapping::{Names, Note},
    meter::{Doing, Extent, Gauge, Meter},
    pass::{self, Job},
    source::ImapSource,
    state::{At, NoteKind, State, StateError},
    target::{ImapTarget, failure},
};
use crate::imap::{self, Code, Error, Limits, Session};
use std::{
    collections::HashSet,
    path::PathBuf,
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
    /// Folders that are not copied: name and reason.
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
        self.failed.len() as u64 + u64::from(self.stopped.is_some())
    }

    /// The first thing that failed, in words.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let stopped = self.stopped.as_ref().map(ToString::to_string);
        stopped.or_else(|| {
            let (folder, why) = self.failed.first()?;
            Some(format!("{folder}: {why}"))
        })
    }
}

/// Why it does not go on now.
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
    if let Error::Login { code, .. } = error {
        let passing = matches!(
            code,
            Some(Code::Unavailable | Code::InUse | Code::Limit | Code::ServerBug)
        );
        if !passing && error.suggested_backoff().is_none() {
            return Stop::Account(Stopped::Failed(error.to_string()).at(side));
        }
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
    pub async fn account(&self, account: &Account, meter: &Meter) -> AccountReport {
        meter.begin();
        let mut report = AccountReport {
            name: account.name().to_owned(),
            began_ms: now_ms(),
            ..AccountReport::default()
        };
        report.stopped = self.persist(account, meter, &mut report).await.err();
        if let Err(error) = self.remember(account, &mut report) {
            let failed = Stopped::Failed(error.to_string());
            report.stopped.get_or_insert(failed);
        }
        meter.doing(report.failure().map_or(Doing::Done, Doing::Failed));
        report
    }

    async fn persist(
        &self,
        account: &Account,
        meter: &Meter,
        report: &mut AccountReport,
    ) -> Result<(), Stopped> {
        let mut done = HashSet::new();
        let (mut troubles, mut progress) = (0, 0);
        loop {
            let (why, wait) = match self.once(account, meter, report, &mut done).await {
                Ok(()) => return Ok(()),
                Err(Stop::Account(why)) => return Err(why),
                Err(Stop::Again { why, wait }) => (why, wait),
            };
            let now = meter.read().copied + done.len() as u64;
            if now > progress {
                (troubles, progress) = (0, now);
            }
            troubles += 1;
            if troubles > TROUBLES_MAX {
                return Err(why);
            }
            let backoff = WAIT.saturating_mul(1 << (troubles - 1)).min(WAIT_MAX);
            meter.doing(Doing::Pausing(why.to_string()));
            tokio::time::sleep(wait.unwrap_or_default().max(backoff)).await;
        }
    }

    /// Over one pair of connections.
    async fn once(
        &self,
        account: &Account,
        meter: &Meter,
        report: &mut AccountReport,
        done: &mut HashSet<Vec<u8>>,
    ) -> Result<(), Stop> {
        meter.doing(Doing::Listing);
        let (mut source, mut target) = self.connect(account).await?;
        let (pairs, left) = self.list(&mut source, &mut target).await?;
        report.left = left;
        report.renamed = renamed(&pairs);
        let is_done = |pair: &&Pair| done.contains(pair.source.name.raw());
        let total = extent(pairs.iter());
        report.messages = total.messages;
        report.folders = total.folders;
        meter.expect(total, extent(pairs.iter().filter(is_done)));
        for pair in pairs {
            let key = pair.source.name.raw();
            if done.contains(key) {
                continue;
            }
            let gauge = meter.folder(extent([&pair]));
            meter.doing(Doing::Copying(pair.source_shown()));
            let result = self.folder(account, &pair, &mut source, &mut target, &gauge, report);
            match result.await {
                Ok(()) => {}
                Err(CopyError::Target(Failure::Refused { reply })) => {
                    report.failed.push((pair.source_shown(), reply));
                }
                Err(CopyError::Target(failure)) => return Err(failure.into()),
                Err(CopyError::State(error)) => return Err(error.into()),
            }
            gauge.finish();
            done.insert(key.to_vec());
        }
        // A goodbye that fails takes nothing back.
        let _ = tokio::join!(source.logout(), target.logout());
        Ok(())
    }

    pub(super) async fn connect(&self, account: &Account) -> Result<(Session, Session), Stop> {
        let source = self.source.login(&account.source);
        let target = self.target.login(&account.target);
        let (source, target) = tokio::join!(
            imap::connect(&self.source.endpoint, &source, &self.limits),
            imap::connect(&self.target.endpoint, &target, &self.limits),
        );
        let source = source.map_err(|error| self::at("source", &error))?;
        let target = target.map_err(|error| self::at("target", &error))?;
        Ok((source, target))
    }

    /// The folders of both sides, and which becomes which.
    pub(super) async fn list(
        &self,
        source: &mut Session,
        target: &mut Session,
    ) -> Result<(Vec<Pair>, Vec<NotCopied>), Failure> {
        let (source, target) = tokio::join!(side(source), side(target));
        let ((source, _), (target, names)) = (source?, target?);
        Ok(pairs(&source, &target, &self.rules, names))
    }

    async fn folder(
        &self,
        account: &Account,
        pair: &Pair,
        source: &mut Session,
        target: &mut Session,
        gauge: &Gauge<'_>,
        report: &mut AccountReport,
    ) -> Result<(), CopyError> {
        make(pair, target).await?;
        let at = At {
            account: account.name(),
            folder: pair.source.name.raw(),
        };
        let Some(standing) = pair.standing() else {
            return Err(Failure::Refused {
                reply: "the source does not tell how it stands (STATUS)".into(),
            }
            .into());
        };
        let job = Job {
            at,
            standing,
            target_name: pair.target.raw(),
            target_uidvalidity: pair.target_uidvalidity(),
        };
        if pass::is_done(&self.state, &job)? {
            return Ok(());
        }
        let uidvalidity = standing.uidvalidity;
        let name = &pair.source.name;
        let mut source = ImapSource::open(source, name, uidvalidity, &self.directory).await?;
        let mut target = ImapTarget::new(target, &pair.target);
        pass::folder(
            &self.state,
            &job,
            &mut source,
            &mut target,
            gauge,
            &mut report.done,
        )
        .await
    }

    /// What all passes together know of an account.
    fn remember(&self, account: &Account, report: &mut AccountReport) -> Result<(), StateError> {
        let mut record = self.state.account(account.name())?;
        if report.done.newest_s > record.newest_s {
            record.newest_s = report.done.newest_s;
            self.state.put_account(account.name(), &record)?;
        }
        report.newest_s = record.newest_s;
        for (_, _, note) in self.state.notes(account.name())? {
            match note.kind {
                NoteKind::Refused => report.refused += 1,
                NoteKind::Altered => report.altered += 1,
            }
        }
        Ok(())
    }
}

/// A server's folders, and how it takes names.
///
/// # Errors
/// [`Failure`].
pub async fn side(session: &mut Session) -> Result<(Side, Names), Failure> {
    let folders = session.folders().await.map_err(|error| failure(&error))?;
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
        Names::Liberal
    };
    Ok((Side::new(folders, &namespaces), names))
}

/// Makes the folder at the target, and subscribes to it, where it is needed.
async fn make(pair: &Pair, target: &mut Session) -> Result<(), Failure> {
    let there = pair.existing.as_ref();
    if !there.is_some_and(imap::Folder::is_selectable) {
        match target.create(&pair.target).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(&Code::AlreadyExists) => {}
            Err(error) => return Err(failure(&error)),
        }
    }
    if pair.source.subscribed && !there.is_some_and(|there| there.subscribed) {
        match target.subscribe(&pair.target).await {
            Err(error) if error.is_fatal() => return Err(failure(&error)),
            // A folder that is there without a subscription is better than none.
            _ => {}
        }
    }
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

/// Those that have another name at the target, with it.
pub(super) fn renamed(pairs: &[Pair]) -> Vec<(String, String)> {
    let noted = pairs
        .iter()
        .filter(|pair| (pair.mapped.notes.iter()).any(|note| !matches!(note, Note::Undecodable)));
    noted
        .map(|pair| (pair.source_shown(), pair.shown.clone()))
        .collect()
}
