//! The relay's port, reached at the addresses that senders find.

use super::{Checker, fail, listed, ok, probe};
use crate::{config::DestinationProtocol, ledger::Finding};
use probe::{Chain, ProbeError};
use std::net::{IpAddr, SocketAddr};

const NAME: &str = "port-25";

/// With the certificates shown there, if any were.
pub(super) async fn check(checker: &Checker, addresses: &[IpAddr]) -> (Finding, Option<Chain>) {
    let hostname = &checker.config.hostname;
    let port = checker.config.check.port;
    if addresses.is_empty() {
        let found = format!("{hostname} has no address to connect to");
        return (fail(NAME, found, "see to `address`"), None);
    }
    let (mut reached, mut wrong, mut shown, mut temporary) = (Vec::new(), Vec::new(), None, true);
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        let seen = probe::look(checker, address, hostname, DestinationProtocol::Smtp).await;
        match seen {
            Ok(seen) if seen.name.eq_ignore_ascii_case(hostname) => {
                reached.push(address.to_string());
                shown = shown.or(seen.chain);
            }
            Ok(seen) => {
                temporary = false;
                wrong.push(format!("{address} is {}, another server", seen.name));
            }
            Err(error) => {
                temporary &= matches!(error, ProbeError::Silent);
                wrong.push(format!("{address}: {error}"));
            }
        }
    }
    if !wrong.is_empty() {
        let fix = format!(
            "start `relay serve`; let port {port} in (firewall, provider, NAT) to it; an address \
             of another host should not be one of {hostname}"
        );
        let finding = Finding {
            temporary,
            ..fail(NAME, listed(&wrong), fix)
        };
        return (finding, shown);
    }
    let found = format!("{} answers, as seen from here", listed(&reached));
    if port != 25 {
        // Then somebody forwards, and whether they do is seen from outside alone.
        let found = format!("{found}; that port 25 is forwarded to it is for you to try");
        return (ok(NAME, found), shown);
    }
    (ok(NAME, found), shown)
}
