//! `relay check`: what has gone wrong in somebody's migration before, looked at before it
//! can here. Each check is a [`Finding`]: a name, a verdict, what was found, the fix.
//!
//! - `names`, `port`: the relay itself, as the world sees it; `certificate`: what it shows.
//! - `exchanger`: who takes a domain's mail by its MX; `policy`: MTA-STS; `sender`: SPF and
//!   DMARC.
//! - `destination`: the new server, up to RCPT and never DATA; `mailboxes`: both IMAP
//!   servers; `disk`: the spool's; `clock`.
//! - `probe`, `https`: how SMTP servers and policies are looked at; `finding`, `words`: how
//!   what was found is said.
//!
//! Nothing is changed anywhere. What cannot be found out is said; nothing is guessed. Every
//! wait is bounded.

mod certificate;
mod clock;
mod destination;
mod disk;
mod exchanger;
mod finding;
mod https;
mod mailboxes;
mod names;
mod policy;
mod port;
mod probe;
mod sender;
mod words;

use crate::{
    config::{Config, Domain},
    dns::{Dns, DnsError},
    ledger::Finding,
    release::TlsClients,
};
use certificate::Trust;
use finding::{fail, ok, stamped, unanswered, warn};
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::task::JoinSet;
use words::{counted, listed, moment, time};

/// For one connection, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// For one reply.
const REPLY_MAX: Duration = Duration::from_secs(15);
/// Domains at once.
const DOMAINS_AT_ONCE: usize = 8;

/// Every check, by the name that its findings have; in the order in which they are made.
pub const NAMES: [&str; 22] = [
    "spool-sync",
    "spool-space",
    "address",
    "reverse",
    "port-25",
    "certificate",
    "tlsa",
    "mx",
    "mx-others",
    "mx-caches",
    "mta-sts",
    "destination",
    "destination-tls",
    "destination-size",
    "destination-extensions",
    "recipients",
    "xclient",
    "spf-dmarc",
    "mailbox-login",
    "mailbox-quota",
    "mailbox-folders",
    "clock",
];

/// Those that ask the DNS how the world sees the domain and the relay.
pub const OF_DNS: [&str; 8] = [
    "address",
    "reverse",
    "tlsa",
    "mx",
    "mx-others",
    "mx-caches",
    "mta-sts",
    "spf-dmarc",
];

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What can be looked at every few minutes: no recipients, no mailboxes.
    Cheap,
    /// All.
    Full,
}

/// What is known from the spool and the daemon; what is not known is left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Known {
    /// What is held of each domain.
    pub held: HashMap<String, Held>,
    /// Bytes that arrive a day, at the present rate.
    pub bytes_per_day: Option<f64>,
    /// When the newest message arrived, by this host's clock of then.
    pub newest_ms: Option<u64>,
}

/// What is held of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// The largest message, in bytes.
    pub largest_bytes: u64,
    /// Messages that need SMTPUTF8.
    pub smtputf8: u64,
    /// Messages that are 8BITMIME.
    pub eight_bit: u64,
    /// Messages that are BINARYMIME.
    pub binary: u64,
    /// For whom, in a bounded number.
    pub recipients: BTreeSet<String>,
}

/// Something that the checks themselves need is not there.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No resolvers.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] crate::release::TlsError),
    /// `check.ca`
    #[error("{file}: {detail}")]
    Authorities {
        /// The file, or whose they are.
        file: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Looks at everything that a configuration names.
pub struct Checker {
    config: Arc<Config>,
    known: Known,
    depth: Depth,
    dns: Dns,
    trust: Trust,
    tls: TlsClients,
}

/// What the checks of the relay itself have found out for the others.
#[derive(Clone, Debug, Default)]
pub struct Relay {
    /// Whether its certificate is one that senders believe in; nothing when none was seen.
    trusted: Option<bool>,
}

/// Takes what was found about a domain, or about something else by its name.
pub type Take<'t, E> = dyn FnMut(&str, Vec<Finding>) -> Result<(), E> + Send + 't;

impl Checker {
    /// For this configuration.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn new(config: Arc<Config>, known: Known, depth: Depth) -> Result<Self, CheckError> {
        Ok(Self {
            dns: Dns::new(&config.dns)?,
            trust: Trust::load(config.check.ca.as_deref())?,
            tls: TlsClients::new()?,
            config,
            known,
            depth,
        })
    }

    /// The spool and the relay's own name, address and certificate.
    pub async fn relay(&self) -> (Vec<Finding>, Relay) {
        let mut findings = disk::check(&self.config.spool, self.known.bytes_per_day);
        let (named, addresses) = names::check(self).await;
        findings.extend(named);
        let (port, shown) = port::check(self, &addresses).await;
        findings.push(port);
        let (shown, relay) = certificate::check(self, shown).await;
        findings.extend(shown);
        (stamped(findings), relay)
    }

    /// All that concerns these domains, each as soon as it and those before it are done.
    ///
    /// # Errors
    /// Those of `take`.
    pub async fn domains<E>(
        self: &Arc<Self>,
        domains: &[Domain],
        relay: &Relay,
        take: &mut Take<'_, E>,
    ) -> Result<Vec<u64>, E> {
        let mut dates = Vec::new();
        for some in domains.chunks(DOMAINS_AT_ONCE) {
            let work = some.iter().map(|domain| {
                let (checker, domain, relay) = (self.clone(), domain.clone(), relay.clone());
                async move { checker.domain(&domain, &relay).await }
            });
            for (domain, (findings, date)) in some.iter().zip(together(work).await) {
                dates.extend(date);
                take(&domain.name, stamped(findings))?;
            }
        }
        Ok(dates)
    }

    async fn domain(&self, domain: &Domain, relay: &Relay) -> (Vec<Finding>, Option<u64>) {
        let mut findings = exchanger::check(self, &domain.name).await;
        let (policy, date) = policy::check(self, &domain.name, relay).await;
        findings.push(policy);
        let (destination, told) = destination::check(self, domain).await;
        findings.extend(destination);
        if let Some(told) = told {
            findings.push(sender::check(self, domain, told).await);
        }
        for finding in &mut findings {
            finding.domain = Some(domain.name.clone());
        }
        (findings, date)
    }

    /// Both IMAP servers, every account; nothing without `[mover]`.
    pub async fn mailboxes(&self) -> Vec<Finding> {
        match (&self.config.mover, self.depth) {
            (Some(mover), Depth::Full) => stamped(mailboxes::check(mover).await),
            _ => Vec::new(),
        }
    }

    /// This host's clock, against the times that others have told.
    #[must_use]
    pub fn clock(&self, told_ms: &[u64]) -> Vec<Finding> {
        stamped(vec![clock::check(now_ms(), told_ms, self.known.newest_ms)])
    }
}

/// All of them at once, in their order. One that panics is a fault of ours, and passed on.
async fn together<T: Send + 'static>(
    work: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut set = JoinSet::new();
    for (place, work) in work.into_iter().enumerate() {
        set.spawn(async move { (place, work.await) });
    }
    let mut done = set.join_all().await;
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
