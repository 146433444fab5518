//! The relay's own name: the addresses that senders find, and the name that these have.

use super::{Checker, fail, listed, ok, unanswered, warn};
use crate::ledger::Finding;
use std::net::IpAddr;

/// With the addresses, for whoever connects there.
pub(super) async fn check(checker: &Checker) -> (Vec<Finding>, Vec<IpAddr>) {
    let hostname = &checker.config.hostname;
    let (address, addresses) = address(checker, hostname).await;
    let mut findings = vec![address];
    if !addresses.is_empty() {
        findings.push(reverse(checker, hostname, &addresses).await);
    }
    (findings, addresses)
}

async fn address(checker: &Checker, hostname: &str) -> (Finding, Vec<IpAddr>) {
    const NAME: &str = "address";
    let fix = format!(
        "give {hostname} an A (and AAAA) record with this host's public address, or set \
         `hostname` to the name that it has"
    );
    let (alias, found) = tokio::join!(checker.dns.cname(hostname), checker.dns.addresses(hostname));
    let found = match found {
        Ok(found) => found.records,
        Err(error) => return (unanswered(NAME, &error), Vec::new()),
    };
    if let Some(alias) = alias
        .ok()
        .and_then(|alias| alias.records.into_iter().next())
    {
        // RFC 2181 §10.3, RFC 5321 §5.1.
        let text = format!("{hostname} is an alias of {alias}, and an MX must not name an alias");
        return (fail(NAME, text, fix), found);
    }
    if found.is_empty() {
        let text = format!("{hostname} has neither A nor AAAA");
        return (fail(NAME, text, fix), found);
    }
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    (ok(NAME, format!("{hostname} is {}", listed(&shown))), found)
}

/// RFC 1912 §2.1; big receivers, and careful new servers, look at it.
async fn reverse(checker: &Checker, hostname: &str, addresses: &[IpAddr]) -> Finding {
    const NAME: &str = "reverse";
    let mut wrong = Vec::new();
    for address in addresses {
        match checker.dns.ptr(*address).await {
            Ok(names) if names.records.iter().any(|name| name == hostname) => {}
            Ok(names) if names.records.is_empty() => wrong.push(format!("{address} has no name")),
            Ok(names) => wrong.push(format!("{address} is {}", listed(&names.records))),
            Err(error) => return unanswered(NAME, &error),
        }
    }
    if wrong.is_empty() {
        let count = super::counted(addresses.len(), "address");
        return ok(NAME, format!("{count} of {hostname}, and back"));
    }
    let fix = format!(
        "ask whoever gave you the address for a PTR record to {hostname}: the new server may \
         refuse mail without, and reports of `relay bounce` will be"
    );
    warn(NAME, listed(&wrong), fix)
}
