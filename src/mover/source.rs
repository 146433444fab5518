//! A folder at the source over IMAP. Reading only: EXAMINE and BODY.PEEK.

use super::{
    body::{Collector, Read},
    copy::{Failure, lost},
    pass::{Meta, Source},
    target::failure,
};
use crate::imap::{self, Name, Session, UidSet};
use std::path::Path;

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

    async fn scan(&mut self, uids: &UidSet, since: Option<u64>) -> Result<Vec<Meta>, Failure> {
        scan(self.session, uids, since).await
    }

    async fn fetch(&mut self, uids: &UidSet) -> Result<Vec<Read>, Failure> {
        let mut collector = Collector::new(self.directory);
        match self.session.fetch(uids, &mut collector).await {
            Ok(_) => {}
            // One that was expunged meanwhile makes some servers say NO to all: one at a
            // time shows which.
            Err(error) if !error.is_fatal() && uids.len() > 1 => {
                collector = Collector::new(self.directory);
                for uid in uids.iter() {
                    let one = UidSet::range(uid, uid);
                    match self.session.fetch(&one, &mut collector).await {
                        Ok(_) => {}
                        Err(error) if error.is_fatal() => return Err(failure(&error)),
                        Err(error) => self.gone(uid, &error).await?,
                    }
                }
            }
            Err(error) if error.is_fatal() => return Err(failure(&error)),
            Err(error) => {
                for uid in uids.iter() {
                    self.gone(uid, &error).await?;
                }
            }
        }
        Ok(collector.finish())
    }
}

impl ImapSource<'_> {
    /// A message that cannot be read is gone, or the folder has failed.
    async fn gone(&mut self, uid: u32, error: &imap::Error) -> Result<(), Failure> {
        let there = self.session.uids(uid, uid).await;
        if there.map_err(|error| failure(&error))?.is_empty() {
            return Ok(());
        }
        Err(match failure(error) {
            Failure::Refused { reply } => Failure::Refused {
                reply: format!("message {uid} cannot be read: {reply}"),
            },
            other => other,
        })
    }
}

/// What is known of those of these messages that exist, or changed since.
pub async fn scan(
    session: &mut Session,
    uids: &UidSet,
    since: Option<u64>,
) -> Result<Vec<Meta>, Failure> {
    let (Some(first), Some(last)) = (
        uids.ranges().next().map(|(first, _)| first),
        uids.ranges().last().map(|(_, last)| last),
    ) else {
        return Ok(Vec::new());
    };
    let mut metas = Vec::new();
    let scanned = session.scan(first, last, since, |meta: imap::Meta| {
        if uids.contains(meta.uid) {
            metas.push(Meta {
                uid: meta.uid,
                size: meta.size.unwrap_or_default(),
                internal_date: meta.internaldate.unwrap_or_default(),
                flags: meta.flags.iter().map(ToString::to_string).collect(),
            });
        }
    });
    scanned.await.map_err(|error| failure(&error))?;
    metas.sort_unstable_by_key(|meta| meta.uid);
    metas.dedup_by_key(|meta| meta.uid);
    Ok(metas)
}
