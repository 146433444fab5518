//! Questions to the DNS: to the resolvers of the configuration or of the system, and to
//! one given server, such as an authoritative one.
//!
//! A name that does not exist and one without records of the kind asked for both give an
//! empty [`Answer`]. Every question ends within [`QUESTION_MAX`].

mod error;
mod record;
#[cfg(test)]
mod tests;

pub use error::DnsError;
pub use record::{Answer, Mx, Tlsa};

use crate::config::DnsConfig;
use error::failure;
use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    lookup::Lookup,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData, RecordType},
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// For one try at one server.
const TRY_MAX: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
/// For all tries at all servers.
pub const QUESTION_MAX: Duration = Duration::from_secs(10);
/// Answers that are remembered, each for its TTL.
const REMEMBERED: u64 = 1024;

/// Somebody to ask.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
    servers: Vec<SocketAddr>,
}

/// What a single server is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// To find out, as resolvers do.
    Recurse,
    /// To say what it knows itself, as authoritative servers do.
    Itself,
}

impl Dns {
    /// The configured resolvers, else those of the system (`/etc/resolv.conf`). What they
    /// answered is remembered for its TTL.
    ///
    /// # Errors
    /// [`DnsError::System`]: the system's cannot be read.
    pub fn new(config: &DnsConfig) -> Result<Self, DnsError> {
        let servers = if config.servers.is_empty() {
            system()?
        } else {
            config.servers.clone()
        };
        Self::with(servers, Ask::Recurse, REMEMBERED)
    }

    /// One server and no other; nothing is remembered.
    ///
    /// # Errors
    /// [`DnsError::System`]: this host has no network to ask over.
    pub fn at(server: SocketAddr, ask: Ask) -> Result<Self, DnsError> {
        Self::with(vec![server], ask, 0)
    }

    fn with(servers: Vec<SocketAddr>, ask: Ask, remembered: u64) -> Result<Self, DnsError> {
        let name_servers = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            for connection in &mut connections {
                connection.port = server.port();
            }
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options(ask, remembered);
        let resolver = builder.build().map_err(|error| DnsError::System {
            detail: error.to_string(),
        })?;
        Ok(Self { resolver, servers })
    }

    /// Who is asked.
    #[must_use]
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The hosts that take a domain's mail, the preferred one first.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, DnsError> {
        let mut answer = self.ask(name, RecordType::MX, record::mx).await?;
        answer.records.sort();
        Ok(answer)
    }

    /// The IPv4 addresses of a host.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn ipv4(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        self.ask(name, RecordType::A, record::address).await
    }

    /// The IPv6 addresses of a host.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn ipv6(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        self.ask(name, RecordType::AAAA, record::address).await
    }

    /// All addresses of a host, IPv4 first. One of the two kinds may fail.
    ///
    /// # Errors
    /// [`DnsError`]: no answer for either.
    pub async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        match tokio::join!(self.ipv4(name), self.ipv6(name)) {
            (Ok(mut four), Ok(six)) => {
                four.join(six);
                Ok(four)
            }
            (Ok(answer), Err(_)) | (Err(_), Ok(answer)) if !answer.records.is_empty() => Ok(answer),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The names that an address has by reverse lookup.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn ptr(&self, ip: IpAddr) -> Result<Answer<String>, DnsError> {
        self.ask_for(Name::from(ip), RecordType::PTR, record::host)
            .await
    }

    /// Texts, each joined from its parts (RFC 7208 §3.3).
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn txt(&self, name: &str) -> Result<Answer<String>, DnsError> {
        self.ask(name, RecordType::TXT, record::txt).await
    }

    /// Which certificates a service has (RFC 6698), under `_25._tcp.host`.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn tlsa(&self, name: &str) -> Result<Answer<Tlsa>, DnsError> {
        self.ask(name, RecordType::TLSA, record::tlsa).await
    }

    /// The names of a zone's authoritative servers.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn ns(&self, name: &str) -> Result<Answer<String>, DnsError> {
        self.ask(name, RecordType::NS, record::host).await
    }

    /// What a name is an alias of.
    ///
    /// # Errors
    /// [`DnsError`]: no answer.
    pub async fn cname(&self, name: &str) -> Result<Answer<String>, DnsError> {
        self.ask(name, RecordType::CNAME, record::host).await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let asked = Name::from_utf8(name).map_err(|error| DnsError::NoName {
            name: name.to_owned(),
            detail: error.to_string(),
        })?;
        self.ask_for(asked, kind, read).await
    }

    async fn ask_for<T>(
        &self,
        mut name: Name,
        kind: RecordType,
        read: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        // No search list: a mail domain is a whole name.
        name.set_fqdn(true);
        let question = format!("{kind} {}", name.to_utf8().trim_end_matches('.'));
        let lookup = timeout(QUESTION_MAX, self.resolver.lookup(name, kind)).await;
        match lookup {
            Ok(Ok(lookup)) => Ok(answer(&lookup, kind, read)),
            Ok(Err(error)) => failure(error, question, &self.servers),
            Err(_) => Err(DnsError::Silent {
                question,
                servers: error::list(&self.servers),
            }),
        }
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dns").field(&self.servers).finish()
    }
}

fn options(ask: Ask, remembered: u64) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = TRY_MAX;
    options.attempts = TRIES;
    options.cache_size = remembered;
    // What the world sees is in the DNS.
    options.use_hosts_file = ResolveHosts::Never;
    options.recursion_desired = ask == Ask::Recurse;
    options.preserve_intermediates = true;
    options.try_tcp_on_error = true;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options
}

fn answer<T>(lookup: &Lookup, kind: RecordType, read: fn(&RData) -> Option<T>) -> Answer<T> {
    let records = lookup.answers();
    let asked = records.iter().filter(|record| record.record_type() == kind);
    Answer {
        records: asked.filter_map(|record| read(&record.data)).collect(),
        // An alias on the way expires too.
        ttl: records
            .iter()
            .map(|record| Duration::from_secs(record.ttl.into()))
            .min(),
        authoritative: lookup.message().authoritative,
    }
}

fn system() -> Result<Vec<SocketAddr>, DnsError> {
    let broken = |error: &dyn fmt::Display| DnsError::System {
        detail: format!("the system's resolvers cannot be read: {error}"),
    };
    let (config, _) =
        hickory_resolver::system_conf::read_system_conf().map_err(|error| broken(&error))?;
    let servers: Vec<SocketAddr> = (config.name_servers().iter())
        .map(|server| {
            let port = server.connections.first().map_or(53, |first| first.port);
            SocketAddr::new(server.ip, port)
        })
        .collect();
    if servers.is_empty() {
        return Err(broken(&"there are none"));
    }
    Ok(servers)
}
