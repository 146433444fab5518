//! What a target will make of an account's messages, predicted from what the source tells of
//! them, and how long the copying will take, from the reading of a sample.
//!
//! A forecast, not a promise: what servers refuse they refuse by rules of their own.

use super::{
    copy::Failure, date, flags::Permanent, folders::Pair, mapping::Names, source::told,
    target::failure,
};
use crate::imap::{BodySink, Fetched, Meta, Name, Session, UidSet};
use std::{
    collections::BTreeSet,
    fmt, io,
    time::{Duration, Instant},
};

/// Messages of the sample, at most.
const SAMPLE_MESSAGES: u64 = 200;
/// Their bytes, at most.
const SAMPLE_BYTES: u64 = 8 << 20;
/// Of those, from one folder.
const SAMPLE_OF_FOLDER: u64 = 25;

/// What is to be expected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Forecast {
    /// Messages that were looked at.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the target will probably refuse, or store otherwise.
    pub warnings: Vec<Warning>,
    /// How long reading all of it takes over one connection, at the rate of the sample; none
    /// without a message.
    pub takes: Option<Duration>,
}

/// Messages that will not arrive as they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Why.
    pub why: Why,
    /// How many.
    pub messages: u64,
    /// The first of them: folder and UID at the source.
    pub first: (String, u32),
}

/// Why messages will not arrive as they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// Larger than the target says that it takes (RFC 7889).
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// Of no bytes, at a target that refuses that.
    Empty,
    /// With a date that not every server can store.
    Date,
    /// With keywords that the target does not take.
    Keywords {
        /// Which.
        keywords: BTreeSet<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, uid) = &self.first;
        let messages = match self.messages {
            1 => "1 message".to_owned(),
            many => format!("{many} messages"),
        };
        write!(f, "{messages} ")?;
        match &self.why {
            Why::TooLarge { limit } => {
                write!(f, "larger than the {limit} bytes that the target takes")
            }
            Why::Empty => f.write_str("of 0 bytes, which the target refuses"),
            Why::Date => f.write_str(
                "with a date before 1970 or after 2038, which servers refuse or store as another",
            ),
            Why::Keywords { keywords } => {
                let keywords: Vec<&str> = keywords.iter().map(String::as_str).collect();
                let keywords = keywords.join(" ");
                write!(f, "with keywords that the target does not take: {keywords}")
            }
        }?;
        write!(f, " (the first: {folder} UID {uid})")
    }
}

/// What the target takes, as far as it says so.
#[derive(Clone, Debug)]
pub struct Taste {
    append_limit: Option<u64>,
    permanent: Permanent,
    names: Names,
}

impl Taste {
    /// From the target's INBOX. Opening it takes `\Recent` from new messages, and no more.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn of(target: &mut Session, names: Names) -> Result<Self, Failure> {
        let inbox = target.select(&Name::from_raw(b"INBOX")).await;
        let flags = match inbox {
            Ok(inbox) => inbox.permanent_flags,
            Err(error) if error.is_fatal() => return Err(failure(&error)),
            // It is made with the first message.
            Err(_) => None,
        };
        let flags = flags.map(|flags| flags.iter().map(ToString::to_string).collect());
        Ok(Self {
            append_limit: target.capabilities().append_limit(),
            permanent: Permanent::new(flags),
            names,
        })
    }

    fn mind(&self, meta: &Meta) -> Vec<Why> {
        let mut minded = Vec::new();
        let size = meta.size.unwrap_or_default();
        if let Some(limit) = self.append_limit.filter(|limit| size > *limit) {
            minded.push(Why::TooLarge { limit });
        }
        if self.names == Names::Zimbra && meta.size == Some(0) {
            minded.push(Why::Empty);
        }
        let date = meta.internaldate.as_deref().unwrap_or_default();
        if date::clamped(date).is_some() {
            minded.push(Why::Date);
        }
        let flags = told(&meta.flags);
        let mut keywords: BTreeSet<String> =
            self.permanent.filter(&flags).lost.into_iter().collect();
        if self.names == Names::Zimbra {
            // They become tags, whose names have neither.
            let odd = |flag: &&String| !flag.starts_with('\\') && flag.contains([':', '\\']);
            keywords.extend(flags.iter().filter(odd).cloned());
        }
        if !keywords.is_empty() {
            minded.push(Why::Keywords { keywords });
        }
        minded
    }
}

/// Looks at every message of these folders, and reads a few.
///
/// # Errors
/// [`Failure`].
pub async fn forecast(
    source: &mut Session,
    pairs: &[Pair],
    taste: &Taste,
) -> Result<Forecast, Failure> {
    let mut forecast = Forecast::default();
    let (mut sample, mut looked) = (Sample::default(), Duration::ZERO);
    for pair in pairs {
        if pair
            .standing()
            .is_none_or(|standing| standing.messages == 0)
        {
            continue;
        }
        let opened = source.examine(&pair.source.name).await;
        opened.map_err(|error| failure(&error))?;
        let folder = pair.source_shown();
        let mut some = UidSet::new();
        let mut some_bytes = 0;
        let room = sample.room();
        let begun = Instant::now();
        let scanned = source.scan(1, u32::MAX, None, |meta: Meta| {
            let size = meta.size.unwrap_or_default();
            forecast.messages += 1;
            forecast.bytes += size;
            if some.len() < room.0 && some_bytes + size <= room.1 {
                some.insert(meta.uid);
                some_bytes += size;
            }
            for why in taste.mind(&meta) {
                forecast.warn(why, &folder, meta.uid);
            }
        });
        scanned.await.map_err(|error| failure(&error))?;
        looked += begun.elapsed();
        sample.read(source, &some).await?;
    }
    forecast.takes = sample.scaled(forecast.messages, forecast.bytes);
    forecast.takes = forecast.takes.map(|takes| takes + looked);
    Ok(forecast)
}

impl Forecast {
    fn warn(&mut self, why: Why, folder: &str, uid: u32) {
        let same = |known: &&mut Warning| {
            std::mem::discriminant(&known.why) == std::mem::discriminant(&why)
        };
        let Some(known) = self.warnings.iter_mut().find(same) else {
            self.warnings.push(Warning {
                why,
                messages: 1,
                first: (folder.to_owned(), uid),
            });
            return;
        };
        known.messages += 1;
        if let (Why::Keywords { keywords }, Why::Keywords { keywords: more }) =
            (&mut known.why, why)
        {
            keywords.extend(more);
        }
    }
}

/// Messages that were read, and how long that took.
#[derive(Debug, Default)]
struct Sample {
    messages: u64,
    bytes: u64,
    took: Duration,
}

impl Sample {
    /// Messages and bytes that may still come, from one folder.
    fn room(&self) -> (u64, u64) {
        let messages = SAMPLE_MESSAGES.saturating_sub(self.messages);
        let bytes = SAMPLE_BYTES.saturating_sub(self.bytes);
        (messages.min(SAMPLE_OF_FOLDER), bytes)
    }

    async fn read(&mut self, source: &mut Session, uids: &UidSet) -> Result<(), Failure> {
        if uids.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        let mut counter = Counter::default();
        let read = source.fetch(uids, &mut counter).await;
        match read {
            Err(error) if error.is_fatal() => return Err(failure(&error)),
            // The pass will tell which message cannot be read.
            _ => {}
        }
        self.took += begun.elapsed();
        self.messages += counter.messages;
        self.bytes += counter.bytes;
        Ok(())
    }

    /// How long so much takes: by the number of messages or by bytes, whichever is longer.
    fn scaled(&self, messages: u64, bytes: u64) -> Option<Duration> {
        let part = |of: u64, all: u64| all.checked_mul(1000)?.checked_div(of);
        let thousandths = part(self.messages, messages)?.max(part(self.bytes, bytes).unwrap_or(0));
        let us = u128::from(thousandths) * self.took.as_micros() / 1000;
        Some(Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX)))
    }
}

/// Counts what comes.
#[derive(Debug, Default)]
struct Counter {
    messages: u64,
    bytes: u64,
}

impl BodySink for Counter {
    async fn begin(&mut self, _: Fetched) -> io::Result<()> {
        self.messages += 1;
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    async fn end(&mut self, _: Meta) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Flag;

    #[test]
    fn what_a_target_will_mind_is_told() {
        let taste = |names| Taste {
            append_limit: Some(100),
            permanent: Permanent::new(Some(vec!["\\Seen".into(), "\\*".into()])),
            names,
        };
        let meta = |size, date: &str, flags: &[&str]| Meta {
            uid: 1,
            size: Some(size),
            internaldate: Some(date.into()),
            flags: flags.iter().map(|flag| Flag::from(*flag)).collect(),
            ..Meta::default()
        };
        const DATE: &str = "17-Jul-1996 02:44:25 -0700";
        let keywords = |all: &[&str]| Why::Keywords {
            keywords: all.iter().map(|one| (*one).to_owned()).collect(),
        };
        for (meta, liberal, zimbra) in [
            (meta(100, DATE, &["\\Seen", "a"]), vec![], vec![]),
            (
                meta(101, DATE, &[]),
                vec![Why::TooLarge { limit: 100 }],
                vec![Why::TooLarge { limit: 100 }],
            ),
            (meta(0, DATE, &["\\Recent"]), vec![], vec![Why::Empty]),
            (
                meta(1, " 1-Jan-1950 00:00:00 +0000", &[]),
                vec![Why::Date],
                vec![Why::Date],
            ),
            (meta(1, DATE, &["a:b"]), vec![], vec![keywords(&["a:b"])]),
            (
                meta(1, DATE, &["\\Odd"]),
                vec![keywords(&["\\Odd"])],
                vec![keywords(&["\\Odd"])],
            ),
        ] {
            assert_eq!(taste(Names::Liberal).mind(&meta), liberal, "{meta:?}");
            assert_eq!(taste(Names::Zimbra).mind(&meta), zimbra, "{meta:?}");
        }
    }

    #[test]
    fn the_longer_of_two_ways_to_count_is_believed() {
        let sample = Sample {
            messages: 10,
            bytes: 1000,
            took: Duration::from_millis(50),
        };
        let scaled = |messages, bytes| sample.scaled(messages, bytes).unwrap();
        assert_eq!(scaled(1000, 1000), Duration::from_secs(5));
        assert_eq!(scaled(10, 1_000_000), Duration::from_secs(50));
        assert_eq!(Sample::default().scaled(1, 1), None);
    }
}
