//! The configuration: text in, a valid [`Config`] out, or errors that name file, line,
//! key and what is allowed.
//!
//! A [`Config`] is whole: defaults filled in, names in lower case, paths absolute. Relative
//! paths are relative to the directory of the configuration file, whoever starts the
//! program and from where. All problems of a file are reported at once.

mod check;
mod default;
mod destination;
mod dns;
mod domain;
mod entry;
mod error;
mod hooks;
mod host;
mod keys;
mod listen;
pub mod load;
mod measure;
mod mover;
mod network;
mod paths;
mod problems;
mod rate;
mod read;
mod section;
mod show;
mod stamp;
pub mod units;
mod words;

#[cfg(test)]
mod tests;

pub use check::Check;
pub use destination::{
    Destination, DestinationLogin, DestinationProtocol, DestinationSecret, DestinationTls,
    DestinationXclient,
};
pub use dns::{DnsConfig, DnsZone};
pub use domain::{Domain, Recipients};
pub use error::{ConfigError, Problem, ProblemKind, Side};
pub use hooks::{Hooks, without_secret};
pub use listen::{Listen, ListenTls};
pub use load::{Load, LoadChange, LoadSet};
pub use mover::{Admin, Expunged, ImapServer, ImapTls, Mover, Rename};
pub use network::Network;
pub use stamp::Stamp;

use crate::mail::Address;
use problems::Problems;
use std::{
    fs,
    io::Read as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Far more than a provider with 50,000 domains writes; a wrong file named by mistake does
/// not fill the memory.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Everything that `relay.toml` says, defaults filled in, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The name in the greeting, in EHLO and in trace headers.
    pub hostname: String,
    /// SMTP listeners, at least one.
    pub listen: Vec<Listen>,
    /// The server's certificate; none: a self-signed pair is made in the spool.
    pub tls: Option<Tls>,
    /// Who is asked about names.
    pub dns: DnsConfig,
    /// What `relay check` needs to know.
    pub check: Check,
    /// The durable queue.
    pub spool: SpoolConfig,
    /// Bounds on what a client may ask for.
    pub limits: Limits,
    /// How recipients are asked for at their destination.
    pub verify: Verify,
    /// The domains whose mail is taken, at least one; names in lower case.
    pub domains: Vec<Domain>,
    /// How held mail is delivered.
    pub release: Release,
    /// How reports about bounced mail leave; none: nothing can be bounced.
    pub bounce: Option<Bounce>,
    /// Who is told of events, and asked before a release.
    pub hooks: Option<Hooks>,
    /// The control socket.
    pub control: Control,
    /// The web page and the metrics, where they are wanted.
    pub web: Option<Web>,
    /// The log.
    pub log: Log,
    /// The copying of mailboxes, where it is wanted.
    pub mover: Option<Mover>,
}

impl Config {
    /// The file that is read: `named` (`--config FILE`), else `/etc/relay/relay.toml`, else
    /// `conf/relay.toml` in the current directory.
    ///
    /// # Errors
    /// [`ConfigError::NotFound`] when none was named and none of them exists.
    pub fn locate(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
        paths::locate(named)
    }

    /// Reads and checks `file`. Files that it names are not opened.
    ///
    /// # Errors
    /// [`ConfigError`]: it cannot be read, or everything that is wrong in it.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        };
        let mut bytes = Vec::new();
        fs::File::open(file)
            .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                file: file.to_owned(),
                bytes_max: FILE_BYTES_MAX,
            });
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
            not_text(&String::from_utf8_lossy(sound), file)
        })?;
        Self::parse(text, file)
    }

    /// Checks a configuration's text. `file` is named in errors, and relative paths start
    /// at its directory; it is not read.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with everything that is wrong.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let problems = Problems::new(text, file);
        match read::config(text, file, &problems) {
            Some(config) => Ok(config),
            None => Err(problems.into_error()),
        }
    }

    /// All of it as TOML, which [`Config::parse`] reads back to an equal value (a path that
    /// is not UTF-8 excepted).
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = show::write(self, &mut text);
        text
    }
}

fn not_text(sound: &str, file: &Path) -> ConfigError {
    let problems = Problems::new(sound, file);
    let message = "is not text in UTF-8".to_owned();
    let at = sound.len()..sound.len();
    problems.add("", &at, ProblemKind::Syntax { message });
    problems.into_error()
}

/// `[tls]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// For clients that ask for no name, or for one that no pair is for.
    pub default: TlsFiles,
    /// For clients that ask for a name in the certificate (RFC 6066 §3).
    pub names: Vec<TlsFiles>,
}

/// A certificate and its key; also `[[tls.name]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// PEM, the server's certificate first, then the chain.
    pub certificate: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
}

/// `[spool]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpoolConfig {
    /// Its directory.
    pub path: PathBuf,
    /// How long the bytes of delivered messages stay. Default 7 days.
    pub retain_delivered: Duration,
    /// How long the records of finished messages stay. Default 90 days.
    pub retain_records: Duration,
    /// Free bytes below which mail is refused with 452. Default 2 GiB.
    pub min_free_bytes: u64,
}

/// `[limits]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest message in bytes. Default 50 MiB.
    pub message_size_bytes: u64,
    /// What becomes of bare line ends. Default normalize.
    pub bare_newline: BareNewline,
    /// Connections at once. Default 1000.
    pub connections: usize,
    /// Connections at once from one address (IPv6: from one /64). Default 50.
    pub connections_per_ip: usize,
    /// Recipients in one transaction; not below 100 (RFC 5321 §4.5.3.1.8). Default 1000.
    pub recipients: usize,
    /// How long to wait for a command or for the next data. Default 5 min (RFC 5321
    /// §4.5.3.2.7).
    pub command_timeout: Duration,
    /// How long a message whose 250 may have been lost is recognized when it comes again;
    /// zero: never. Default 1 h.
    pub retry_window: Duration,
    /// Refused or unknown commands in one session before it is closed with 421. Default 20.
    pub errors: usize,
    /// Messages from one address (IPv6: from one /64) in each `rate_period`; zero: any
    /// number. Default 0.
    pub messages_per_ip: usize,
    /// The same for recipients. Default 0.
    pub recipients_per_ip: usize,
    /// Default 1 min.
    pub rate_period: Duration,
}

/// `[verify]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verify {
    /// How long a client waits for the destination's answer. Default 10 s.
    pub timeout: Duration,
    /// How long a recipient that the destination has taken is known. Default 31 days.
    pub known_for: Duration,
    /// After how long it is asked for again, when it is named, while it is still known.
    /// Default 1 day.
    pub refresh_after: Duration,
    /// How long a recipient that the destination has refused is unknown. Default 1 h.
    pub unknown_for: Duration,
    /// Recipients that are remembered. Default 100,000.
    pub addresses: usize,
}

/// `limits.bare_newline`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BareNewline {
    /// CRLF.
    Normalize,
    /// The message is refused.
    Reject,
}

/// `[release]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Release {
    /// What waits for what. Default mailbox.
    pub order: ReleaseOrder,
    /// What `relay release --after-sync` waits for. Default domain.
    pub gate: ReleaseGate,
    /// First wait of a deferred mailbox; doubles up to `retry_max`. Default 30 s.
    pub retry_min: Duration,
    /// Longest wait. Default 30 min.
    pub retry_max: Duration,
    /// What happens to a delivery that is in doubt. Default resend.
    pub in_doubt: InDoubtPolicy,
    /// How long a delivery stays in doubt before that. Default 5 min.
    pub in_doubt_after: Duration,
    /// Deliveries refused for good in a row that pause the domain. Default 10.
    pub stop_after_refusals: usize,
    /// Messages in a row without a reply to their end that pause the domain. Default 5.
    pub stop_after_doubts: usize,
    /// Signs in a row that it is the wrong server (a refused sender host, TLS, a name) that
    /// pause the domain. Default 3.
    pub stop_after_wrong: usize,
}

/// `[bounce]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounce {
    /// The smarthost that takes reports to senders anywhere.
    pub via: Destination,
    /// After how long a sender who asked for it is told of a delay; zero: never, the default.
    pub delay_warning: Duration,
}

/// `release.gate`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseGate {
    /// All mailboxes of the domain are copied.
    Domain,
    /// Each mailbox for itself.
    Mailbox,
}

/// `release.order`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseOrder {
    /// Each mailbox in arrival order, mailboxes in parallel.
    Mailbox,
    /// The whole domain in arrival order, one delivery after the other.
    Strict,
}

/// `release.in_doubt`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InDoubtPolicy {
    /// Send again: perhaps twice there, never lost.
    Resend,
    /// Park for a person to decide.
    Park,
}

/// `[control]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Control {
    /// The Unix socket, mode 0600.
    pub socket: PathBuf,
}

/// `[web]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    /// Address and port. Default 127.0.0.1:8025.
    pub address: SocketAddr,
    /// The file whose first line is the operator's token; none: nobody logs in, and only
    /// metrics and health are there.
    pub token_file: Option<PathBuf>,
    /// The same for those who may only look.
    pub read_token_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// What stands before the `/` in a log line's tag. Default `postfix-relay`.
    pub syslog_name: String,
}

/// Kept for the types above: where a message for plain `postmaster` goes (RFC 5321 §4.1.1.3).
#[must_use]
pub fn postmaster(domains: &[Domain]) -> Option<Address> {
    let first = domains.first()?;
    Address::parse(&format!("postmaster@{}", first.name)).ok()
}

/// Addresses are compared whole for IPv4 and by /64 for IPv6 where clients are counted.
#[must_use]
pub fn client_network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 => v4,
    }
}
