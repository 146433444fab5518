//! Who a client is: its address, and its name in the DNS where that is certain.
//!
//! As in Postfix: the address has a name by reverse lookup, and one of that name's addresses
//! is this one. Anybody can give an address any name; only the name's owner can give it back.

use crate::dns::Dns;
use std::{fmt, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time;

/// A session begins no later than this for want of a name.
const PATIENCE: Duration = Duration::from_secs(1);
/// Names of one address that are looked at.
const NAMES_MAX: usize = 3;
/// RFC 1035 §2.3.4.
const NAME_BYTES_MAX: usize = 253;

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// IPv4 is IPv4, however it came.
    pub(super) address: SocketAddr,
    pub(super) name: Option<Arc<str>>,
}

impl Who {
    /// Without a name.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self {
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            name: None,
        }
    }

    /// With its name, if there is somebody to ask and the answer comes in time. What is on
    /// this host is not asked for.
    pub(super) async fn named(address: SocketAddr, dns: Option<&Dns>) -> Self {
        let mut who = Self::at(address);
        if let Some(dns) = dns
            && !who.ip().is_loopback()
        {
            let name = time::timeout(PATIENCE, confirmed(dns, who.ip())).await;
            who.name = name.ok().flatten();
        }
        who
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// `mail.example[192.0.2.1]`, `unknown[192.0.2.1]`.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("unknown");
        write!(f, "{name}[{}]", self.ip())
    }
}

async fn confirmed(dns: &Dns, ip: IpAddr) -> Option<Arc<str>> {
    let names = dns.ptr(ip).await.ok()?.records;
    for name in names.into_iter().take(NAMES_MAX) {
        if !is_plain(&name) {
            continue;
        }
        let addresses = match ip {
            IpAddr::V4(_) => dns.ipv4(&name).await,
            IpAddr::V6(_) => dns.ipv6(&name).await,
        };
        if addresses.is_ok_and(|answer| answer.records.contains(&ip)) {
            return Some(name.into());
        }
    }
    None
}

/// It goes into the log and the trace header: letters, digits, hyphens, underscores, dots.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_postfix_does() {
        let mut who = Who::at("[::ffff:192.0.2.1]:4321".parse().unwrap());
        assert_eq!(who.to_string(), "unknown[192.0.2.1]");
        who.name = Some("mail.example".into());
        assert_eq!(who.to_string(), "mail.example[192.0.2.1]");
    }

    #[test]
    fn a_name_cannot_forge_a_line() {
        for name in ["a b.example", "a\n.example", "a]: x", "", "bücher.example"] {
            assert!(!is_plain(name), "{name:?}");
        }
        assert!(is_plain("mail_1.sub-domain.example"));
    }
}
