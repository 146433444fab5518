//! A folder at the source over IMAP. Reading only: EXAMINE and BODY.PEEK.

use super::{
    body::Collector,
    copy::{Failure, lost},
    pass::{Meta, Reads, Scanned, Source},
    target::failure,
};
use crate::imap::{self, Name, Session, UidSet};
use std::path::Path;

/// Messages of a batch that cannot be read, at most.
const UNREADABLE_MAX: usize = 10;

/// An open folder.
pub struct ImapSource<'s> {
    session: &'s mut Session,
    /// Where long messages are put on their way.
    directory: &'s Path,
}

impl<'s> ImapSource<'s> {
    /// Opens the folder. Its UIDVALIDITY has to be the one that STATUS told.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn open(
        session: &'s mut Session,
        name: &Name,
        uidvalidity: u32,
        directory: &'s Path,
    ) -> Result<Self, Failure> {
        let selected = session
            .examine(name)
            .await
            .map_err(|error| failure(&error))?;
        if selected.uidvalidity.is_some_and(|now| now != uidvalidity) {
            return Err(lost("UIDVALIDITY changed under way"));
        }
        Ok(Self { session, directory })
    }
}

impl Source for ImapSource<'_> {
    async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Failure> {
        if first > last {
            return Ok(UidSet::new());
        }
        let uids = self.session.uids(first, last).await;
        uids.map_err(|error| failure(&error))
    }

    async fn scan(&mut self, uids: &UidSet, since: Option<u64>) -> Result<Scanned, Failure> {
        scan(self.session, uids, since).await
    }

    async fn fetch(&mut self, uids: &UidSet) -> Result<Reads, Failure> {
        let mut collector = Collector::new(self.directory);
        // One that was expunged meanwhile makes some servers say NO to all, and some say OK
        // without those that they cannot read: what did not come is looked at one by one.
        let whole = self.session.fetch(uids, &mut collector).await;
        passing(whole.err())?;
        let came = collector.uids();
        let lacking: UidSet = uids.iter().filter(|uid| !came.contains(*uid)).collect();
        let mut unreadable = Vec::new();
        for uid in self.there(&lacking).await?.iter() {
            let one = UidSet::range(uid, uid);
            let reply = match self.session.fetch(&one, &mut collector).await {
                Ok(came) if came.contains(uid) => continue,
                Ok(_) => "the source says OK, and gives no message".to_owned(),
                Err(error) => {
                    let reply = error.to_string();
                    passing(Some(error))?;
                    reply
                }
            };
            if self.there(&one).await?.is_empty() {
                continue;
            }
            unreadable.push((uid, reply));
            if unreadable.len() > UNREADABLE_MAX {
                return Err(all_unreadable(&unreadable));
            }
        }
        Ok(Reads {
            whole: collector.finish(),
            unreadable,
        })
    }
}

impl ImapSource<'_> {
    /// Those of these messages that still exist.
    async fn there(&mut self, uids: &UidSet) -> Result<UidSet, Failure> {
        let (Some((first, _)), Some((_, last))) = (uids.ranges().next(), uids.ranges().last())
        else {
            return Ok(UidSet::new());
        };
        // Some servers tell of what went only when asked.
        self.session.noop().await.map_err(|error| failure(&error))?;
        let there = self.session.uids(first, last).await;
        let there = there.map_err(|error| failure(&error))?;
        Ok(uids.iter().filter(|uid| there.contains(*uid)).collect())
    }
}

/// An error that is not about single messages: the connection's, or that the server wants to be
/// left alone, in which case nothing more may be asked of it now.
fn passing(error: Option<imap::Error>) -> Result<(), Failure> {
    match error.as_ref().map(failure) {
        None | Some(Failure::Refused { .. }) => Ok(()),
        Some(failure) => Err(failure),
    }
}

/// With so many it is the folder, or the server, that has failed, and not the messages.
fn all_unreadable(unreadable: &[(u32, String)]) -> Failure {
    let (uid, reply) = unreadable.first().cloned().unwrap_or_default();
    let more = unreadable.len() - 1;
    Failure::Refused {
        reply: format!("message {uid} and {more} more cannot be read: {reply}"),
    }
}

/// What is known of those of these messages that exist, or changed since.
pub async fn scan(
    session: &mut Session,
    uids: &UidSet,
    since: Option<u64>,
) -> Result<Scanned, Failure> {
    let (Some((first, _)), Some((_, last))) = (uids.ranges().next(), uids.ranges().last()) else {
        return Ok(Scanned::default());
    };
    let mut metas = Vec::new();
    let scanned = session.scan(first, last, since, |meta: imap::Meta| {
        if uids.contains(meta.uid) {
            metas.push(Meta {
                uid: meta.uid,
                size: meta.size.unwrap_or_default(),
                internal_date: meta.internaldate.unwrap_or_default(),
                flags: told(&meta.flags),
            });
        }
    });
    let mute = scanned.await.map_err(|error| failure(&error))?;
    metas.sort_unstable_by_key(|meta| meta.uid);
    metas.dedup_by_key(|meta| meta.uid);
    let mute = mute.iter().filter(|uid| uids.contains(*uid)).collect();
    Ok(Scanned { metas, mute })
}

/// Flags as text.
pub(super) fn told(flags: &[imap::Flag]) -> Vec<String> {
    flags.iter().map(ToString::to_string).collect()
}
