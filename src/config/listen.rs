//! The `[[listen]]` tables: where mail comes in.

use super::{
    Network, default,
    entry::{Entry, Seen, quoted},
    keys,
    section::Section,
};
use std::net::SocketAddr;

/// `[[listen]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// `none`, `starttls` or `implicit`.
    pub tls: ListenTls,
    /// The load balancers in front of it, each of which has to begin with a PROXY header;
    /// none: clients come by themselves.
    pub balancers: Option<Vec<Network>>,
}

/// How a listener speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListenTls {
    /// Not at all.
    None,
    /// After STARTTLS (RFC 3207).
    Starttls,
    /// From the first byte (RFC 8314).
    Implicit,
}

const NEEDED: &str = "at least one [[listen]] with an address is needed";
const BALANCERS: &str =
    "whose headers are believed is needed: balancers = [\"192.0.2.10\", \"10.0.0.0/8\"]";

pub(super) fn listeners(root: &Section<'_>) -> Vec<Listen> {
    let Some(sections) = root.sections("listen", keys::LISTEN, NEEDED) else {
        return vec![Listen::default()];
    };
    let mut seen = Seen::default();
    let listeners = sections.iter().filter_map(|section| {
        let tls = section.word("tls", Listen::default().tls);
        let balancers = balancers(section);
        let needed = "an address such as \"[::]:25\" is needed";
        let entry = section.required("address", needed)?;
        let address = address(&entry)?;
        // Port 0 is another free port each time.
        let fresh = address.port() == 0 || seen.first(&entry, address);
        fresh.then_some(Listen {
            address,
            tls,
            balancers,
        })
    });
    listeners.collect()
}

/// An address to listen on.
pub(super) fn address(entry: &Entry<'_>) -> Option<SocketAddr> {
    let text = entry.text()?;
    let Ok(address) = text.parse() else {
        let allowed = "an IP address with a port, such as \"[::]:25\" for all addresses or \
                       \"127.0.0.1:2525\"; names are not";
        entry.not_allowed(text, allowed.to_owned());
        return None;
    };
    Some(address)
}

/// Who is in front of the listener and says so; nothing where nobody is.
fn balancers(section: &Section<'_>) -> Option<Vec<Network>> {
    let entry = section.entry("balancers");
    match (
        section.flag("proxy_protocol", default::PROXY_PROTOCOL),
        entry,
    ) {
        (true, Some(entry)) => {
            let items = entry.items("a list of addresses and networks");
            if items.is_empty() {
                return entry.invalid(format!("is empty; {BALANCERS}"));
            }
            Some(items.iter().filter_map(network).collect())
        }
        // Anybody's word about the client would be believed.
        (true, None) => {
            section.missing("balancers", BALANCERS);
            None
        }
        (false, Some(entry)) => {
            entry.invalid("means nothing without proxy_protocol = true".to_owned())
        }
        (false, None) => None,
    }
}

fn network(entry: &Entry<'_>) -> Option<Network> {
    let text = entry.text()?;
    text.parse()
        .map_or_else(|why| entry.invalid(quoted(text, why)), Some)
}
