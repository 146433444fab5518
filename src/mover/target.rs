//! A folder at the target over IMAP, and what its replies mean.

use super::{
    body::{Digests, Identities},
    copy::{Failure, Found, Message, Target, lost},
    flags::Permanent,
    pass::{Folder, Meta, Opened},
    source::scan,
};
use crate::imap::{Append, AppendWay, Code, Error, Flag, Name, Quota, Session, UidSet};
use std::time::Duration;

/// A folder, opened when it is needed.
pub struct ImapTarget<'s> {
    session: &'s mut Session,
    name: &'s Name,
    opened: Option<Opened>,
    /// No later message has a lower UID.
    uidnext: u32,
}

impl<'s> ImapTarget<'s> {
    /// The folder of this name, which exists.
    #[must_use]
    pub fn new(session: &'s mut Session, name: &'s Name) -> Self {
        Self {
            session,
            name,
            opened: None,
            uidnext: 0,
        }
    }

    /// A bare NO may mean that the account is full, as Zimbra and Courier say it.
    async fn explained(&mut self, failed: &Error, bytes: u64) -> Failure {
        let failure = failure(failed);
        let Failure::Refused { reply } = failure else {
            return failure;
        };
        // Zimbra hangs up after five NO in a row; a NOOP starts its count anew.
        if let Err(error) = self.session.noop().await {
            return self::failure(&error);
        }
        // Courier says ALERT; the other codes that are known say what it is.
        if !matches!(failed.code(), None | Some(Code::Alert | Code::Other(_))) {
            return Failure::Refused { reply };
        }
        match self.session.quota(self.name).await {
            Err(error) if error.is_fatal() => self::failure(&error),
            Ok(quotas) if quotas.iter().any(|quota| is_full(quota, bytes)) => {
                Failure::OverQuota { reply }
            }
            _ => Failure::Refused { reply },
        }
    }
}

/// Whether so many bytes more, in one message, would be too much.
#[must_use]
pub fn is_full(quota: &Quota, bytes: u64) -> bool {
    let (used, room) = match &*quota.resource.to_ascii_uppercase() {
        "STORAGE" => (
            quota.usage.saturating_add(bytes.div_ceil(1024)),
            quota.limit,
        ),
        "MESSAGE" => (quota.usage.saturating_add(1), quota.limit),
        _ => return false,
    };
    quota.limit > 0 && used > room
}

/// What an error of the wire means for the copying.
#[must_use]
pub fn failure(error: &Error) -> Failure {
    let wait = error.suggested_backoff();
    if error.is_fatal() {
        let detail = error.to_string();
        return Failure::Lost { detail, wait };
    }
    let reply = error.to_string();
    if error.is_throttling() {
        return Failure::NotNow { reply, wait };
    }
    match error.code() {
        Some(Code::OverQuota) => Failure::OverQuota { reply },
        // The folder went away: it is made again after a new login.
        Some(Code::TryCreate | Code::NonExistent) => Failure::Lost {
            detail: reply,
            wait,
        },
        _ => Failure::Refused { reply },
    }
}

/// What an error of the opening means: a folder that is not there was not made just before, and
/// is not made by a new login.
fn not_opened(error: &Error) -> Failure {
    match error.code() {
        Some(Code::TryCreate | Code::NonExistent) if !error.is_fatal() => Failure::Refused {
            reply: error.to_string(),
        },
        _ => failure(error),
    }
}

/// No later message has a lower UID than this, where these are there: without UIDPLUS nothing else
/// tells what an APPEND has moved on.
fn behind(uids: &UidSet) -> u32 {
    let last = uids.ranges().last().map_or(0, |(_, last)| last);
    last.saturating_add(1)
}

/// A batch has 6 MiB at most; a server that is busy with one makes messages of it meanwhile.
const QUIET: Duration = Duration::from_secs(3);

impl Target for ImapTarget<'_> {
    fn quiet(&self) -> Duration {
        QUIET
    }

    async fn uidnext(&mut self) -> Result<u32, Failure> {
        if self.opened.is_none() {
            self.open().await?;
        }
        Ok(self.uidnext)
    }

    async fn append(&mut self, batch: &[Message]) -> Vec<Result<Option<u32>, Failure>> {
        let appends = batch.iter().map(|message| Append {
            flags: message
                .flags
                .iter()
                .map(|flag| Flag::from(&**flag))
                .collect(),
            internaldate: (!message.internal_date.is_empty())
                .then(|| message.internal_date.clone()),
            size: message.body.len(),
            body: message.body.reader(),
        });
        // A single one needs no MULTIAPPEND, and is refused by words about itself.
        let results = if batch.len() == 1 {
            let way = AppendWay::OneByOne;
            self.session
                .append_by(way, self.name, appends.collect())
                .await
        } else {
            self.session.append(self.name, appends.collect()).await
        };
        let uidvalidity = self.opened.as_ref().map(|opened| opened.uidvalidity);
        let mut failed: Option<(Error, Failure)> = None;
        let mut all = Vec::with_capacity(results.len());
        for (result, message) in results.into_iter().zip(batch) {
            match result {
                Ok(appended) if appended.uidvalidity.is_none_or(|u| Some(u) == uidvalidity) => {
                    if let Some(uid) = appended.uid {
                        self.uidnext = self.uidnext.max(uid.saturating_add(1));
                    }
                    all.push(Ok(appended.uid));
                }
                Ok(_) => all.push(Err(lost("the target's UIDVALIDITY changed under way"))),
                Err(error) => {
                    let same = (failed.as_ref()).filter(|(known, _)| *known == error);
                    let failure = match same {
                        Some((_, failure)) => failure.clone(),
                        None => self.explained(&error, message.body.len()).await,
                    };
                    failed = Some((error, failure.clone()));
                    all.push(Err(failure));
                }
            }
        }
        all
    }

    async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Failure> {
        if first > last {
            return Ok(UidSet::new());
        }
        // Courier tells of new messages only when asked.
        self.session.noop().await.map_err(|error| failure(&error))?;
        let uids = self.session.uids(first, last).await;
        let uids = uids.map_err(|error| failure(&error))?;
        self.uidnext = self.uidnext.max(behind(&uids));
        Ok(uids)
    }

    async fn identities(&mut self, uids: &UidSet) -> Result<Vec<Found>, Failure> {
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let mut sink = Identities::default();
        let fetched = self.session.fetch(uids, &mut sink).await;
        fetched.map_err(|error| failure(&error))?;
        let found = sink.done.into_iter();
        Ok(found
            .map(|(uid, identity)| Found { uid, identity })
            .collect())
    }
}

impl Folder for ImapTarget<'_> {
    async fn open(&mut self) -> Result<Opened, Failure> {
        let selected = self.session.select(self.name).await;
        let selected = selected.map_err(|error| not_opened(&error))?;
        if selected.read_only {
            return Err(Failure::Refused {
                reply: "the folder can only be read".into(),
            });
        }
        let permanent =
            (selected.permanent_flags).map(|flags| flags.iter().map(ToString::to_string).collect());
        let uidnext = match selected.uidnext {
            Some(uidnext) => uidnext,
            // RFC 3501 did not ask for UIDNEXT from the start.
            None => {
                let uids = self.session.uids(1, u32::MAX).await;
                behind(&uids.map_err(|error| failure(&error))?)
            }
        };
        let opened = Opened {
            uidvalidity: selected.uidvalidity.unwrap_or_default(),
            uidnext,
            messages: selected.exists,
            permanent: Permanent::new(permanent),
        };
        self.uidnext = uidnext;
        self.opened = Some(opened.clone());
        Ok(opened)
    }

    async fn scan(&mut self, uids: &UidSet) -> Result<Vec<Meta>, Failure> {
        Ok(scan(self.session, uids, None).await?.metas)
    }

    async fn digests(&mut self, uids: &UidSet) -> Result<Vec<(u32, [u8; 32])>, Failure> {
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let mut sink = Digests::default();
        let fetched = self.session.fetch(uids, &mut sink).await;
        fetched.map_err(|error| failure(&error))?;
        Ok(sink.done)
    }

    fn can_remove(&self) -> bool {
        self.session.has("UIDPLUS")
    }

    async fn remove(&mut self, uids: &UidSet) -> Result<(), Failure> {
        let removed = self.session.remove(uids).await;
        removed.map_err(|error| failure(&error))
    }

    async fn store(&mut self, uids: &UidSet, flags: &[String]) -> Result<(), Failure> {
        let flags: Vec<Flag> = flags.iter().map(|flag| Flag::from(&**flag)).collect();
        let stored = self.session.store_flags(uids, &flags).await;
        stored.map_err(|error| failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_mean_what_servers_mean_by_them() {
        let no = |text: &str, code| Error::No {
            command: "APPEND",
            text: text.into(),
            code,
        };
        let kind = |error: Error| match failure(&error) {
            Failure::Refused { .. } => "refused",
            Failure::OverQuota { .. } => "over quota",
            Failure::NotNow { .. } => "not now",
            Failure::Lost { .. } => "lost",
        };
        for (error, expected) in [
            (no("no", None), "refused"),
            (no("no", Some(Code::TooBig)), "refused"),
            (no("full", Some(Code::OverQuota)), "over quota"),
            (no("slow", Some(Code::Limit)), "not now"),
            // Gmail, as a source.
            (no("x", Some(Code::Other("THROTTLED".into()))), "not now"),
            (
                no(
                    "Account exceeded command or bandwidth limits.",
                    Some(Code::OverQuota),
                ),
                "not now",
            ),
            (no("Suggested Backoff Time: 5 ms", None), "not now"),
            (no("gone", Some(Code::TryCreate)), "lost"),
        ] {
            assert_eq!(kind(error.clone()), expected, "{error}");
        }
        for code in [Code::TryCreate, Code::NonExistent] {
            let refused = not_opened(&no("no such folder", Some(code)));
            assert!(matches!(refused, Failure::Refused { .. }), "{refused}");
        }
        let reset = Error::Lost {
            during: "APPEND",
            detail: "reset".into(),
        };
        assert_eq!(kind(reset), "lost");
    }

    #[test]
    fn the_next_uid_is_behind_all_that_are_there() {
        assert_eq!(behind(&UidSet::new()), 1);
        assert_eq!(behind(&[3, 9, 4].into_iter().collect()), 10);
    }

    #[test]
    fn a_quota_is_full_when_the_message_does_not_fit() {
        let quota = |resource: &str, usage, limit| Quota {
            resource: resource.into(),
            usage,
            limit,
        };
        assert!(is_full(&quota("STORAGE", 9, 10), 1025));
        assert!(!is_full(&quota("storage", 9, 10), 1024));
        assert!(is_full(&quota("MESSAGE", 10, 10), 1));
        assert!(!is_full(&quota("STORAGE", 9, 0), 1 << 30));
        assert!(!is_full(&quota("X", 9, 1), 1));
    }
}
