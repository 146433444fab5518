//! A session.

mod append;
mod fetch;
mod flight;
mod folders;
mod scan;

use super::{
    code::Code,
    endpoint::Limits,
    error::Error,
    folder::Selected,
    name::Name,
    response::{Condition, Kind, Untagged},
    wire::{Said, Wire, refused},
};
use std::collections::BTreeSet;

/// NO and BAD in a row after which a NOOP is put in between. Zimbra hangs up after five.
const REFUSALS_MAX: usize = 3;
/// Commands of a pipeline that may all fail, after which a NOOP is put in between.
const NOOP_EVERY: usize = 4;

/// A logged in connection.
pub struct Session {
    wire: Wire,
    capabilities: Capabilities,
    limits: Limits,
    enabled: Enabled,
    /// In a row.
    refusals: usize,
}

/// What the server told of modification sequences at ENABLE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Enabled {
    Nothing,
    CondStore,
    QResync,
}

/// What a server can do, in capitals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<String>);

impl Capabilities {
    pub(super) fn new(all: &[String]) -> Self {
        Self(all.iter().map(|name| name.to_ascii_uppercase()).collect())
    }

    /// Whether the server can do this.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_ascii_uppercase())
    }

    /// The largest message that APPEND takes, in bytes (RFC 7889), where it says.
    #[must_use]
    pub fn append_limit(&self) -> Option<u64> {
        (self.iter()).find_map(|name| name.strip_prefix("APPENDLIMIT=")?.parse().ok())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl Session {
    /// What the server can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether the server can do this.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.capabilities.has(name)
    }

    /// Whether [`Session::vanished`] can be asked.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.enabled == Enabled::QResync
    }

    /// What the server wanted a person to read (ALERT) since last asked.
    pub fn take_alerts(&mut self) -> Vec<String> {
        self.wire.take_alerts()
    }

    /// NOOP.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn noop(&mut self) -> Result<(), Error> {
        self.exchange("NOOP", b"NOOP", |_| ()).await.map(drop)
    }

    /// LOGOUT: waits for the server's goodbye.
    ///
    /// # Errors
    /// [`Error`]. The session has ended all the same.
    pub async fn logout(mut self) -> Result<(), Error> {
        self.wire.start("LOGOUT")?;
        self.wire.command(b"LOGOUT");
        self.wire.flush().await?;
        loop {
            if let Said::Done(_, condition) = self.wire.said_or_bye().await? {
                self.wire.close().await;
                return refused("LOGOUT", condition).map(drop);
            }
        }
    }

    /// EXAMINE: opens for reading alone.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn examine(&mut self, name: &Name) -> Result<Selected, Error> {
        self.open("EXAMINE", name).await
    }

    /// SELECT: opens for reading and [`Session::store_flags`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn select(&mut self, name: &Name) -> Result<Selected, Error> {
        self.open("SELECT", name).await
    }

    /// On a connection that is logged in.
    pub(super) async fn begin(
        wire: Wire,
        capabilities: Capabilities,
        limits: Limits,
    ) -> Result<Self, Error> {
        let mut session = Self {
            wire,
            capabilities,
            limits,
            enabled: Enabled::Nothing,
            refusals: 0,
        };
        session.enable().await?;
        Ok(session)
    }

    /// Before the first SELECT, since some servers tell HIGHESTMODSEQ only then. UTF8=ACCEPT
    /// is left alone: names would have other bytes than without it.
    async fn enable(&mut self) -> Result<(), Error> {
        let wanted = ["QRESYNC", "CONDSTORE"];
        let Some(name) = wanted.into_iter().find(|name| self.has(name)) else {
            return Ok(());
        };
        if !self.has("ENABLE") {
            return Ok(());
        }
        let mut enabled = Enabled::Nothing;
        let line = format!("ENABLE {name}");
        let done = self.exchange("ENABLE", line.as_bytes(), |data| {
            if let Untagged::Enabled(all) = data {
                // RFC 7162 §3.2.3: QRESYNC includes CONDSTORE.
                if all.iter().any(|name| name == "QRESYNC") {
                    enabled = Enabled::QResync;
                } else if all.iter().any(|name| name == "CONDSTORE") {
                    enabled = Enabled::CondStore;
                }
            }
        });
        match done.await {
            Err(error) if error.is_fatal() => Err(error),
            // It can be done without.
            _ => {
                self.enabled = enabled;
                Ok(())
            }
        }
    }

    async fn open(&mut self, command: &'static str, name: &Name) -> Result<Selected, Error> {
        let mut line = format!("{command} ").into_bytes();
        line.extend(self.quoted(command, name)?);
        // RFC 7162 §3.1.8.
        if self.has("CONDSTORE") && self.enabled == Enabled::Nothing {
            line.extend_from_slice(b" (CONDSTORE)");
        }
        let mut selected = Selected::default();
        let mut codes = Vec::new();
        let done = self.exchange(command, &line, |data| match data {
            Untagged::Exists(exists) => selected.exists = exists,
            Untagged::Flags(flags) => selected.flags = flags,
            Untagged::Condition(condition) => codes.extend(condition.code),
            _ => {}
        });
        let done = done.await?;
        codes.extend(done.code);
        selected.read_only = command == "EXAMINE";
        let mut is_sticky = true;
        for code in codes {
            match code {
                Code::UidValidity(value) => selected.uidvalidity = Some(value),
                Code::UidNext(uid) => selected.uidnext = Some(uid),
                Code::HighestModSeq(value) => selected.highestmodseq = Some(value),
                Code::PermanentFlags(flags) => selected.permanent_flags = Some(flags),
                Code::ReadOnly => selected.read_only = true,
                Code::UidNotSticky => is_sticky = false,
                _ => {}
            }
        }
        if !is_sticky {
            selected.uidvalidity = None;
        }
        Ok(selected)
    }

    /// A command on its own: all it is told, and its tagged OK.
    async fn exchange(
        &mut self,
        command: &'static str,
        line: &[u8],
        mut on: impl FnMut(Untagged),
    ) -> Result<Condition, Error> {
        self.calm(command).await?;
        self.wire.command(line);
        self.wire.flush().await?;
        let (_, condition) = self.until_done(&mut on).await?;
        refused(command, condition)
    }

    /// Begins, with a NOOP first if the server has refused much.
    async fn calm(&mut self, command: &'static str) -> Result<(), Error> {
        if self.refusals >= REFUSALS_MAX {
            self.wire.start("NOOP")?;
            self.wire.command(b"NOOP");
            self.wire.flush().await?;
            self.until_done(&mut |_| ()).await?;
            self.refusals = 0;
        }
        self.wire.start(command)
    }

    /// Up to the next tagged reply. A body that nobody asked for is passed over.
    async fn until_done(
        &mut self,
        on: &mut impl FnMut(Untagged),
    ) -> Result<(u64, Condition), Error> {
        loop {
            match self.wire.said().await? {
                Said::Done(tag, condition) => {
                    self.count(&condition);
                    return Ok((tag, condition));
                }
                Said::Untagged(data) => on(data),
                Said::Continue => return Err(self.wire.protocol("`+` that nobody waits for")),
                Said::Body(_) | Said::Chunk(_) => {}
            }
        }
    }

    fn count(&mut self, condition: &Condition) {
        match condition.kind {
            Kind::No | Kind::Bad => self.refusals += 1,
            _ => self.refusals = 0,
        }
    }

    /// A folder's name as it is sent.
    fn quoted(&self, command: &'static str, name: &Name) -> Result<Vec<u8>, Error> {
        let unsendable = |text: String| Error::Unsendable { command, text };
        if !name.is_sendable() {
            return Err(unsendable(format!(
                "the name {name:?} has a line end or NUL"
            )));
        }
        if name.raw().len() > self.limits.command_bytes {
            return Err(unsendable(format!("a name of {} bytes", name.raw().len())));
        }
        let mut quoted = Vec::new();
        // RFC 9051 §9: 8-bit bytes only in literals. Without a literal that need not wait
        // quotes do as well: most servers take what they gave.
        if !name.raw().is_ascii() && (self.has("LITERAL+") || self.has("LITERAL-")) {
            quoted.extend_from_slice(format!("{{{}+}}\r\n", name.raw().len()).as_bytes());
            quoted.extend_from_slice(name.raw());
            return Ok(quoted);
        }
        quoted.push(b'"');
        for &byte in name.raw() {
            if b"\"\\".contains(&byte) {
                quoted.push(b'\\');
            }
            quoted.push(byte);
        }
        quoted.push(b'"');
        Ok(quoted)
    }
}
