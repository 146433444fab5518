//! The `[hooks]` table: who is told, and who is asked.

use super::{default, entry::quoted, keys, section::Section};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// `[hooks]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hooks {
    /// A program that gets each event on its standard input.
    pub command: Option<PathBuf>,
    /// An address that each event is posted to.
    pub webhook: Option<String>,
    /// A program that is asked before a release.
    pub veto: Option<PathBuf>,
    /// An address that is asked before a release.
    pub veto_webhook: Option<String>,
    /// PEM with the authorities of https addresses; none: the public ones.
    pub ca: Option<PathBuf>,
    /// How long each may take. Default 10 s.
    pub timeout: Duration,
}

pub(super) fn hooks(root: &Section<'_>, base: &Path) -> Option<Hooks> {
    let section = root.section("hooks", keys::HOOKS);
    if !section.is_present() {
        return None;
    }
    let program = |key| section.entry(key)?.path(base);
    let address = |key| {
        let entry = section.entry(key)?;
        let text = entry.text()?;
        if is_address(text) {
            return Some(text.to_owned());
        }
        let why = "is no address such as \"https://hooks.example/relay\"";
        entry.invalid(quoted(text, why))
    };
    Some(Hooks {
        command: program("command"),
        webhook: address("webhook"),
        veto: program("veto"),
        veto_webhook: address("veto_webhook"),
        ca: section.filled("ca").and_then(|entry| entry.path(base)),
        timeout: section.measure("timeout", default::HOOK, &default::HOOK_TIMEOUT),
    })
}

/// `http://` or `https://`, a host, perhaps a port and a path; no user, which would be a secret.
fn is_address(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return false;
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
    graphic && !host.is_empty() && !host.starts_with(':') && !text.contains(['@', '#', '"', '\\'])
}

/// An address as others may see it: services put their secret into the path or the query,
/// so that only scheme, host and port are shown.
#[must_use]
pub fn without_secret(address: &str) -> String {
    let host_at = address.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = address.split_at(host_at);
    match rest.split_once(['/', '?']) {
        None | Some((_, "")) => address.to_owned(),
        Some((host, _)) => format!("{scheme}{host}/(masked)"),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_address, without_secret};

    #[test]
    fn a_secret_in_an_address_is_not_shown_and_what_is_shown_is_an_address() {
        for (address, shown) in [
            ("https://hooks.example", "https://hooks.example"),
            ("http://[::1]:80/", "http://[::1]:80/"),
            (
                "https://h.example/T0/B1/s3cret",
                "https://h.example/(masked)",
            ),
            (
                "http://h.example:80?key=s3cret",
                "http://h.example:80/(masked)",
            ),
        ] {
            assert_eq!(without_secret(address), shown);
            assert!(is_address(shown));
        }
    }

    #[test]
    fn an_address_has_a_scheme_and_a_host_and_no_user() {
        for good in [
            "http://127.0.0.1:8080/x",
            "https://hooks.example/relay?a=b",
            "https://[2001:db8::1]:8443",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "hooks.example",
            "ftp://x",
            "https://",
            "http:///x",
            "http://:80",
            "https://u:p@x",
            "http://a b",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
