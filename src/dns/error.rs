//! Why a question to the DNS has no answer.

use super::Answer;
use hickory_resolver::net::{DnsError as Refusal, NetError, NoRecords};
use std::net::SocketAddr;

/// No answer. That there are no records is one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DnsError {
    /// This host's own resolvers are not known.
    #[error("{detail}; name some in [dns] servers")]
    System {
        /// Why.
        detail: String,
    },
    /// Nobody can have such a name.
    #[error("`{name}` is no name in the DNS: {detail}")]
    NoName {
        /// What was asked about.
        name: String,
        /// Why.
        detail: String,
    },
    /// No reply in time, or none at all.
    #[error("{question}: no reply from {servers}")]
    Silent {
        /// Type and name.
        question: String,
        /// Who was asked.
        servers: String,
    },
    /// A reply that is a failure.
    #[error("{question}: {servers} said {code}")]
    Refused {
        /// Type and name.
        question: String,
        /// Who was asked.
        servers: String,
        /// `Server Failure`, `Query Refused` ...
        code: String,
    },
    /// The server knows nothing about the zone and names others.
    #[error("{question}: {servers} does not answer for this zone, and names others")]
    Referred {
        /// Type and name.
        question: String,
        /// Who was asked.
        servers: String,
    },
}

impl DnsError {
    /// Whether another try may go better.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Refused { .. })
    }
}

/// The answer that there are no records, or the error.
pub(super) fn failure<T>(
    error: NetError,
    question: String,
    servers: &[SocketAddr],
) -> Result<Answer<T>, DnsError> {
    let servers = list(servers);
    match error {
        NetError::Dns(Refusal::NoRecordsFound(NoRecords { soa: None, ns, .. })) if ns.is_some() => {
            Err(DnsError::Referred { question, servers })
        }
        NetError::Dns(Refusal::NoRecordsFound(_)) => Ok(Answer {
            records: Vec::new(),
            ttl: None,
            authoritative: false,
        }),
        NetError::Dns(Refusal::ResponseCode(code)) => Err(DnsError::Refused {
            question,
            servers,
            code: code.to_string(),
        }),
        _ => Err(DnsError::Silent { question, servers }),
    }
}

/// `192.0.2.1, [2001:db8::1]:5353`
pub(super) fn list(servers: &[SocketAddr]) -> String {
    let one = |server: &SocketAddr| match server.port() {
        53 => server.ip().to_string(),
        _ => server.to_string(),
    };
    servers.iter().map(one).collect::<Vec<_>>().join(", ")
}
