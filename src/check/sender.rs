//! SPF and DMARC. The new server sees the relay as the client of all mail, unless it is told
//! otherwise (XCLIENT): what it then thinks of senders' policies is about the relay.

use super::{Checker, destination::Told, ok, unanswered, warn};
use crate::{
    config::{DestinationProtocol, Domain},
    ledger::Finding,
};

const NAME: &str = "spf-dmarc";

pub(super) async fn check(checker: &Checker, domain: &Domain, told: Told) -> Finding {
    let name = &domain.name;
    let dmarc = format!("_dmarc.{name}");
    let (spf, dmarc) = tokio::join!(checker.dns.txt(name), checker.dns.txt(&dmarc));
    let (spf, dmarc) = match (spf, dmarc) {
        (Ok(spf), Ok(dmarc)) => (spf.records, dmarc.records),
        (Err(error), _) | (_, Err(error)) => return unanswered(NAME, &error),
    };
    let spf: Vec<_> = (spf.into_iter())
        .filter(|text| text == "v=spf1" || text.starts_with("v=spf1 "))
        .collect();
    if spf.len() > 1 {
        // RFC 7208 §4.5.
        let found = format!("{} SPF records: receivers see an error", spf.len());
        return warn(NAME, found, "leave one");
    }
    let dmarc = dmarc.iter().find(|text| text.starts_with("v=DMARC1"));
    let policy = dmarc.and_then(|text| tag(text, "p"));
    let own = match (spf.first(), policy) {
        (None, None) => format!("{name} has neither"),
        (Some(_), None) => format!("{name} has SPF"),
        (spf, Some(policy)) => {
            let spf = if spf.is_some() { "SPF and " } else { "" };
            format!("{name} has {spf}DMARC p={policy}")
        }
    };
    let lmtp = domain.destination.protocol == DestinationProtocol::Lmtp;
    if lmtp || told.client {
        let why = match told.client {
            true => "is told each message's client",
            false => "is spoken to by LMTP, behind such checks",
        };
        return ok(NAME, format!("the new server {why}; {own}"));
    }
    let found = format!(
        "the new server takes the relay for the client of all mail, so that SPF fails, and DMARC \
         where there is no DKIM; {own}"
    );
    let fix = "let the relay tell it the clients (see `xclient`), or exempt the relay's address \
               from its SPF, DMARC, greylisting and blocklist checks (Postfix: mynetworks, \
               postscreen_access_list; Rspamd: local_addrs)";
    warn(NAME, found, fix)
}

/// `reject` of `v=DMARC1; p=reject`.
fn tag<'t>(record: &'t str, name: &str) -> Option<&'t str> {
    record.split(';').find_map(|part| {
        let (tag, value) = part.split_once('=')?;
        (tag.trim() == name).then(|| value.trim())
    })
}
