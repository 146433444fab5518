//! The keys of each table, and the known key that an unknown one is most like.

pub(super) const ROOT: &[&str] = &[
    "hostname", "listen", "tls", "spool", "limits", "verify", "domain", "release", "bounce",
    "hooks", "control", "web", "log", "mover", "dns", "check",
];
pub(super) const LISTEN: &[&str] = &["address", "tls", "proxy_protocol", "balancers"];
pub(super) const TLS: &[&str] = &["certificate", "private_key", "name"];
pub(super) const TLS_NAME: &[&str] = &["certificate", "private_key"];
pub(super) const DNS: &[&str] = &["servers", "client_names", "zone"];
pub(super) const DNS_ZONE: &[&str] = &["name", "servers"];
pub(super) const CHECK: &[&str] = &["every", "port", "https_proxy", "ca"];
pub(super) const SPOOL: &[&str] = &["path", "retain_delivered", "retain_records", "min_free"];
pub(super) const LIMITS: &[&str] = &[
    "message_size",
    "bare_newline",
    "connections",
    "connections_per_ip",
    "recipients",
    "command_timeout",
    "retry_window",
    "errors",
    "messages_per_ip",
    "recipients_per_ip",
    "rate_period",
];
pub(super) const VERIFY: &[&str] = &[
    "timeout",
    "known_for",
    "refresh_after",
    "unknown_for",
    "addresses",
];
pub(super) const DOMAIN: &[&str] = &["name", "recipients", "destination"];
pub(super) const DESTINATION: &[&str] = &[
    "host",
    "port",
    "protocol",
    "tls",
    "ca",
    "pin",
    "xclient",
    "connections",
    "rate",
    "bytes_rate",
    "source",
    "user",
    "password_file",
    "token_file",
    "token_command",
];
pub(super) const HOOKS: &[&str] = &[
    "command",
    "webhook",
    "veto",
    "veto_webhook",
    "ca",
    "timeout",
];
pub(super) const RELEASE: &[&str] = &[
    "order",
    "gate",
    "retry_min",
    "retry_max",
    "in_doubt",
    "in_doubt_after",
    "stop_after_refusals",
    "stop_after_doubts",
    "stop_after_wrong",
];
pub(super) const BOUNCE: &[&str] = &["via", "delay_warning"];
pub(super) const CONTROL: &[&str] = &["socket"];
pub(super) const WEB: &[&str] = &["address", "token_file", "read_token_file"];
pub(super) const LOG: &[&str] = &["syslog_name"];
pub(super) const MOVER: &[&str] = &[
    "accounts",
    "source",
    "target",
    "parallel",
    "connections",
    "settle",
    "expunged",
    "exclude",
    "rename",
];
pub(super) const IMAP: &[&str] = &[
    "host",
    "port",
    "tls",
    "admin_user",
    "admin_password_file",
    "token_command",
    "ca",
    "pin",
    "compress",
];
pub(super) const RENAME: &[&str] = &["from", "to"];

/// Every table with the name that stands before its keys.
const TABLES: &[(&str, &[&str])] = &[
    ("", ROOT),
    ("listen.", LISTEN),
    ("tls.", TLS),
    ("tls.name.", TLS_NAME),
    ("dns.", DNS),
    ("dns.zone.", DNS_ZONE),
    ("check.", CHECK),
    ("spool.", SPOOL),
    ("limits.", LIMITS),
    ("verify.", VERIFY),
    ("domain.", DOMAIN),
    ("domain.destination.", DESTINATION),
    ("release.", RELEASE),
    ("hooks.", HOOKS),
    ("bounce.", BOUNCE),
    ("bounce.via.", DESTINATION),
    ("control.", CONTROL),
    ("web.", WEB),
    ("log.", LOG),
    ("mover.", MOVER),
    ("mover.source.", IMAP),
    ("mover.rename.", RENAME),
];

/// The key of this table that `unknown` was probably meant to be; else the same key, or
/// one much like it, of another table, with that table's name.
pub(super) fn nearest(unknown: &str, here: &[&str]) -> Option<String> {
    if let Some(key) = nearest_of(unknown, here) {
        return Some(key.to_owned());
    }
    let mut elsewhere = TABLES
        .iter()
        .flat_map(|(table, keys)| keys.iter().map(move |key| (*table, *key)));
    elsewhere
        .find(|(_, key)| *key == unknown)
        .map(|(table, key)| format!("{table}{key}"))
}

fn nearest_of<'k>(unknown: &str, keys: &[&'k str]) -> Option<&'k str> {
    let unknown = unknown.to_lowercase().replace('-', "_");
    keys.iter()
        .map(|key| (distance(&unknown, key), *key))
        // A third of the letters wrong is another word, not a slip.
        .filter(|(distance, key)| *distance <= (key.len() / 3).max(1))
        .min()
        .map(|(_, key)| key)
}

/// Letters to insert, remove or replace to turn one into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // An unknown key may be as long as a file; it is like none then.
    if a.len() > 64 {
        return usize::MAX;
    }
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        for ((to, above), above_left) in b.iter().zip(previous.iter().skip(1)).zip(&previous) {
            let replaced = above_left + usize::from(from != *to);
            left = replaced.min(above + 1).min(left + 1);
            current.push(left);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_key() {
        for (unknown, keys, expected) in [
            ("mesage_size", LIMITS, "message_size"),
            ("message-size", LIMITS, "message_size"),
            ("Connections", LIMITS, "connections"),
            ("recipient", DOMAIN, "recipients"),
            ("domains", ROOT, "domain"),
            ("hosts", DESTINATION, "host"),
            ("retain_delivered", LIMITS, "spool.retain_delivered"),
            ("path", ROOT, "spool.path"),
        ] {
            assert_eq!(
                nearest(unknown, keys).as_deref(),
                Some(expected),
                "{unknown}"
            );
        }
        assert_eq!(nearest("zebra", ROOT), None);
        assert_eq!(nearest(&"x".repeat(100_000), ROOT), None);
    }
}
