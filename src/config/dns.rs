//! The `[dns]` table: who is asked.

use super::{
    entry::{Entry, Seen, quoted},
    host, keys,
    section::Section,
};
use std::net::{IpAddr, SocketAddr};
use toml::de::DeValue;

/// `[dns]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsConfig {
    /// The resolvers; none: the system's.
    pub servers: Vec<SocketAddr>,
    /// Whether the names of clients are looked up. Default yes.
    pub client_names: bool,
    /// Zones whose authoritative servers are these, whatever the NS records say.
    pub zones: Vec<DnsZone>,
}

/// `[[dns.zone]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsZone {
    /// Its name, in lower case.
    pub name: String,
    /// Its authoritative servers.
    pub servers: Vec<SocketAddr>,
}

pub(super) fn dns(root: &Section<'_>) -> DnsConfig {
    let section = root.section("dns", keys::DNS);
    let needed = "a zone has name and servers";
    let zones = section.sections("zone", keys::DNS_ZONE, needed);
    let mut seen = Seen::default();
    DnsConfig {
        servers: section
            .entry("servers")
            .map(|entry| servers(&entry))
            .unwrap_or_default(),
        client_names: section.flag("client_names", DnsConfig::default().client_names),
        zones: (zones.iter().flatten())
            .filter_map(|zone| self::zone(zone, &mut seen))
            .collect(),
    }
}

fn zone(section: &Section<'_>, seen: &mut Seen<String>) -> Option<DnsZone> {
    let entry = section.required("name", "the zone's name is needed");
    let needed = "the addresses of its authoritative servers are needed";
    let servers = servers(&section.required("servers", needed)?);
    let entry = entry?;
    let text = entry.text()?;
    let name = match host::name(text) {
        Ok(name) => name,
        Err(why) => return entry.invalid(quoted(text, why)),
    };
    let fresh = seen.first(&entry, name.clone());
    fresh.then_some(DnsZone { name, servers })
}

fn servers(entry: &Entry<'_>) -> Vec<SocketAddr> {
    let DeValue::Array(items) = entry.value else {
        entry.wrong_type::<()>("a list of addresses");
        return Vec::new();
    };
    let servers = items.iter().filter_map(|item| {
        let entry = Entry {
            key: entry.key.clone(),
            span: item.span(),
            value: item.get_ref(),
            problems: entry.problems,
        };
        let text = entry.text()?;
        let server = address(text);
        if server.is_none() {
            let allowed = "an IP address, with or without a port, such as \"192.0.2.53\", \
                           \"127.0.0.1:5353\" or \"[2001:db8::53]:53\"";
            entry.not_allowed(text, allowed.to_owned());
        }
        server
    });
    servers.collect()
}

/// Port 53 where none is given.
fn address(text: &str) -> Option<SocketAddr> {
    let alone = text
        .parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 53))
        .ok();
    alone.or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::path::Path;

    const HEAD: &str = "[[domain]]\nname = \"a.example\"\ndestination = { host = \"b.example\" }\n";

    fn with(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{HEAD}{more}"), Path::new("/etc/relay/relay.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_have_port_53_where_none_is_given() {
        let config = with(
            "[dns]\nservers = [\"192.0.2.53\", \"[::1]:5353\", \"2001:db8::53\"]\n\
             [[dns.zone]]\nname = \"A.Example.\"\nservers = [\"127.0.0.1:5300\"]\n",
        )
        .unwrap();
        let servers: Vec<String> = (config.dns.servers.iter())
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            servers,
            ["192.0.2.53:53", "[::1]:5353", "[2001:db8::53]:53"]
        );
        assert_eq!(config.dns.zones[0].name, "a.example");
        let again = Config::parse(&config.to_toml(), Path::new("/etc/relay/relay.toml"));
        assert_eq!(again.unwrap(), config);
    }

    #[test]
    fn names_and_half_zones_are_refused() {
        for (more, expected) in [
            ("[dns]\nservers = [\"ns.example\"]\n", "an IP address"),
            ("[dns]\nservers = \"192.0.2.1\"\n", "a list of addresses"),
            (
                "[[dns.zone]]\nname = \"a.example\"\n",
                "dns.zone.servers: missing",
            ),
            ("[dns]\nserver = []\n", "did you mean `servers`"),
        ] {
            let said = with(more).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }
}
