//! Which messages there are, and what they are, without their bodies; and their flags.

use super::{Enabled, Session};
use crate::imap::{
    error::Error,
    message::{Flag, Meta},
    response::{Fetch, Untagged},
    uid_set::UidSet,
    wire::refused,
};

/// What of a command line is not UIDs, in bytes.
const AROUND_UIDS_BYTES: usize = 200;
/// FETCH commands in flight: the server works on one while another is read.
const PIPELINE: usize = 2;
/// Single messages that a server may refuse to tell of: with more it is the folder that has failed.
const REFUSED_MAX: usize = 10;

impl Session {
    /// Which UIDs exist, from first to last.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn uids(&mut self, first: u32, last: u32) -> Result<UidSet, Error> {
        const COMMAND: &str = "UID SEARCH";
        if first > last {
            return Ok(UidSet::new());
        }
        let mut found = None;
        let line = self.search(first, last);
        let done = self.exchange(COMMAND, line.as_bytes(), |data| {
            if let Untagged::Search(uids) | Untagged::Esearch(uids) = data {
                add(&mut found, &uids);
            }
        });
        done.await?;
        self.found(found, first, last)
    }

    /// Which messages of the open folder have one of these texts in the header field of
    /// that name: name and text, neither of them empty.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unsendable`] for what does not fit between quotes.
    pub async fn uids_with(&mut self, fields: &[(&str, &str)]) -> Result<UidSet, Error> {
        const COMMAND: &str = "UID SEARCH";
        let mut criteria = String::new();
        for (place, (name, text)) in fields.iter().enumerate() {
            let plain = |text: &str| text.bytes().all(|b| matches!(b, b' '..=b'~'));
            if !plain(name) || !plain(text) || text.contains(['"', '\\']) {
                return Err(Error::Unsendable {
                    command: COMMAND,
                    text: format!("the text {text:?}"),
                });
            }
            // RFC 9051 §6.4.4: OR takes two keys, of which the second may be another OR.
            let or = if place + 1 < fields.len() { "OR " } else { "" };
            criteria += &format!(" {or}HEADER {name} \"{text}\"");
        }
        let returning = if self.has("ESEARCH") {
            " RETURN (ALL)"
        } else {
            ""
        };
        let line = format!("UID SEARCH{returning}{criteria}");
        let mut found = None;
        let done = self.exchange(COMMAND, line.as_bytes(), |data| {
            if let Untagged::Search(uids) | Untagged::Esearch(uids) = data {
                add(&mut found, &uids);
            }
        });
        done.await?;
        self.found(found, 1, u32::MAX)
    }

    fn search(&self, first: u32, last: u32) -> String {
        let range = range(first, last);
        if self.has("ESEARCH") {
            format!("UID SEARCH RETURN (ALL) UID {range}")
        } else {
            format!("UID SEARCH UID {range}")
        }
    }

    /// RFC 9051 §6.4.4: there is a SEARCH response even when nothing was found. Without one
    /// the folder would look empty. `5:*` finds the last message also below 5.
    fn found(&mut self, found: Option<UidSet>, first: u32, last: u32) -> Result<UidSet, Error> {
        match found {
            Some(found) => Ok(found.within(first, last)),
            None => Err(self.wire.protocol("OK without the result of a search")),
        }
    }

    /// What the messages from first to last are; with a modification sequence, only of
    /// those that changed since then. Each is told once, in the order of the server. Gives those
    /// of which nothing was told although the server has just said that they exist, and was
    /// asked twice. A NO is looked into until the messages stand alone that it is about.
    ///
    /// # Errors
    /// [`Error`]; what was told before holds.
    pub async fn scan(
        &mut self,
        first: u32,
        last: u32,
        changed_since: Option<u64>,
        mut on: impl FnMut(Meta) + Send,
    ) -> Result<UidSet, Error> {
        const COMMAND: &str = "UID FETCH";
        if first > last {
            return Ok(UidSet::new());
        }
        let mut items = "(UID FLAGS INTERNALDATE RFC822.SIZE)".to_owned();
        if self.has("CONDSTORE") || self.has("QRESYNC") {
            items = "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ)".into();
        }
        let mut seen = UidSet::new();
        let mut tell = |fetch: Fetch| {
            let meta = fetch.meta;
            // What a server says by itself about flags lacks the rest.
            let is_whole = fetch.has_flags && meta.size.is_some() && meta.uid >= first;
            if is_whole && meta.uid <= last && !seen.contains(meta.uid) {
                seen.insert(meta.uid);
                on(meta);
            }
        };
        if let Some(since) = changed_since {
            let range = range(first, last);
            let items = format!("{items} (CHANGEDSINCE {since})");
            let line = format!("UID FETCH {range} {items}");
            let told = self.fetch_lines(vec![line], &mut tell).await;
            if is_refused(told)? {
                let parts = vec![UidSet::range(first, last)];
                self.fetch_parts(parts, &items, &mut tell).await?;
            }
            return Ok(UidSet::new());
        }
        let there = if last - first < self.limits.window_uids {
            // Few: which there are and what they are, in one round trip. Courier tells of new
            // messages only when asked.
            let search = self.search(first, last);
            let fetch = format!("UID FETCH {} {items}", range(first, last));
            let mut found = None;
            let told = self.together(COMMAND, ["NOOP".into(), search, fetch], |data| match data {
                Untagged::Search(uids) | Untagged::Esearch(uids) => add(&mut found, &uids),
                Untagged::Fetch(fetch) => tell(fetch),
                _ => {}
            });
            let [_, searched, fetched] = told.await?;
            searched?;
            is_refused(fetched)?;
            self.found(found, first, last)?
        } else {
            let there = self.uids(first, last).await?;
            let lines = self.lines(&there, &items);
            is_refused(self.fetch_lines(lines, &mut tell).await)?;
            there
        };
        // A server that is short of some says nothing of it; perhaps they are expunged.
        let lacking: UidSet = there.iter().filter(|uid| !seen.contains(*uid)).collect();
        let mut tell = |fetch: Fetch| {
            let is_whole = fetch.has_flags && fetch.meta.size.is_some();
            if is_whole && lacking.contains(fetch.meta.uid) && !seen.contains(fetch.meta.uid) {
                seen.insert(fetch.meta.uid);
                on(fetch.meta);
            }
        };
        if lacking.is_empty() {
            return Ok(lacking);
        }
        let parts = self.parts(&lacking);
        self.fetch_parts(parts, &items, &mut tell).await?;
        let lacking: UidSet = lacking.iter().filter(|uid| !seen.contains(*uid)).collect();
        if lacking.is_empty() {
            return Ok(lacking);
        }
        self.noop().await?;
        let there = self.uids(first, last).await?;
        Ok(lacking.iter().filter(|uid| there.contains(*uid)).collect())
    }

    /// Which UIDs from first to last were expunged since this modification sequence.
    ///
    /// # Errors
    /// [`Error::Unsendable`] where [`Session::has_vanished`] says no.
    pub async fn vanished(&mut self, first: u32, last: u32, since: u64) -> Result<UidSet, Error> {
        const COMMAND: &str = "UID FETCH";
        if self.enabled != Enabled::QResync {
            return Err(Error::Unsendable {
                command: COMMAND,
                text: "the server has no QRESYNC".into(),
            });
        }
        let range = range(first, last);
        let line = format!("UID FETCH {range} (UID) (CHANGEDSINCE {since} VANISHED)");
        let mut vanished = UidSet::new();
        let done = self.exchange(COMMAND, line.as_bytes(), |data| {
            if let Untagged::Vanished(uids) = data {
                vanished.extend(&uids);
            }
        });
        done.await?;
        Ok(vanished.within(first, last))
    }

    /// UID STORE FLAGS.SILENT: these flags in the place of those that they have.
    ///
    /// # Errors
    /// [`Error`]; a part of a large set may be done then.
    pub async fn store_flags(&mut self, uids: &UidSet, flags: &[Flag]) -> Result<(), Error> {
        const COMMAND: &str = "UID STORE";
        let flags = self.flag_list(COMMAND, flags)?;
        let around = AROUND_UIDS_BYTES + flags.len();
        let room = self.limits.command_bytes.saturating_sub(around);
        for chunk in uids.chunks(room, self.limits.window_uids) {
            let line = format!("UID STORE {chunk} FLAGS.SILENT {flags}");
            self.exchange(COMMAND, line.as_bytes(), |_| ()).await?;
        }
        Ok(())
    }

    /// Removes these messages and no others: `\Deleted`, then UID EXPUNGE (RFC 4315 §2.1).
    ///
    /// # Errors
    /// [`Error`]; [`Error::Unsendable`] where the server has no UIDPLUS.
    pub async fn remove(&mut self, uids: &UidSet) -> Result<(), Error> {
        const COMMAND: &str = "UID EXPUNGE";
        if !self.has("UIDPLUS") {
            return Err(Error::Unsendable {
                command: COMMAND,
                text: "the server has no UIDPLUS".into(),
            });
        }
        let room = self.limits.command_bytes.saturating_sub(AROUND_UIDS_BYTES);
        for chunk in uids.chunks(room, self.limits.window_uids) {
            let mark = format!("UID STORE {chunk} +FLAGS.SILENT (\\Deleted)");
            self.exchange("UID STORE", mark.as_bytes(), |_| ()).await?;
            let expunge = format!("UID EXPUNGE {chunk}");
            self.exchange(COMMAND, expunge.as_bytes(), |_| ()).await?;
        }
        Ok(())
    }

    /// A list of flags as it is sent.
    pub(super) fn flag_list(&self, command: &'static str, flags: &[Flag]) -> Result<String, Error> {
        let unsendable = |text: String| Error::Unsendable { command, text };
        if let Some(flag) = flags.iter().find(|flag| !flag.is_sendable()) {
            return Err(unsendable(format!("the flag {flag:?} is no atom")));
        }
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        let list = format!("({})", flags.join(" "));
        if list.len() > self.limits.command_bytes / 2 {
            return Err(unsendable(format!("{} bytes of flags", list.len())));
        }
        Ok(list)
    }

    /// These messages as far as a command line has room for them.
    fn parts(&self, uids: &UidSet) -> Vec<UidSet> {
        let room = (self.limits.command_bytes).saturating_sub(AROUND_UIDS_BYTES);
        uids.chunks(room, self.limits.window_uids)
    }

    /// Command lines for these messages.
    fn lines(&self, uids: &UidSet, items: &str) -> Vec<String> {
        let line = |part: &UidSet| format!("UID FETCH {part} {items}");
        self.parts(uids).iter().map(line).collect()
    }

    /// Asks for each part, and for the halves of one that is refused: a server may refuse all for
    /// one message that it cannot read. Nothing is told of a message that is refused alone.
    async fn fetch_parts(
        &mut self,
        mut parts: Vec<UidSet>,
        items: &str,
        on: &mut impl FnMut(Fetch),
    ) -> Result<(), Error> {
        let mut refused = 0;
        while let Some(part) = parts.pop() {
            let line = format!("UID FETCH {part} {items}");
            let told = self.fetch_lines(vec![line], on).await;
            let refusal = told.clone();
            if !is_refused(told)? {
                continue;
            }
            if part.len() > 1 {
                let half = u32::try_from(part.len().div_ceil(2)).unwrap_or(u32::MAX);
                parts.extend(part.chunks(usize::MAX, half));
                continue;
            }
            refused += 1;
            if refused > REFUSED_MAX {
                return refusal;
            }
        }
        Ok(())
    }

    async fn fetch_lines(
        &mut self,
        lines: Vec<String>,
        on: &mut impl FnMut(Fetch),
    ) -> Result<(), Error> {
        const COMMAND: &str = "UID FETCH";
        let mut lines = lines.into_iter();
        let mut result = Ok(());
        self.calm(COMMAND).await?;
        loop {
            while result.is_ok()
                && self.wire.open() < PIPELINE
                && let Some(line) = lines.next()
            {
                self.wire.command(line.as_bytes());
            }
            if self.wire.open() == 0 {
                return result;
            }
            self.wire.flush().await?;
            let (_, condition) = self
                .until_done(&mut |data| {
                    if let Untagged::Fetch(fetch) = data {
                        on(fetch);
                    }
                })
                .await?;
            if let Err(error) = refused(COMMAND, condition) {
                result = Err(error);
            }
        }
    }
}

/// Whether a server refuses this, as opposed to failing, or to wanting to be left alone.
fn is_refused(told: Result<(), Error>) -> Result<bool, Error> {
    match told {
        Ok(()) => Ok(false),
        Err(error @ (Error::No { .. } | Error::Bad { .. })) if !error.is_throttling() => Ok(true),
        Err(error) => Err(error),
    }
}

fn add(found: &mut Option<UidSet>, more: &UidSet) {
    found.get_or_insert_with(UidSet::new).extend(more);
}

/// As on the wire.
fn range(first: u32, last: u32) -> String {
    if last == u32::MAX {
        return format!("{first}:*");
    }
    format!("{first}:{last}")
}
