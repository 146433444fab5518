//! The `[check]` table.

use super::{default, keys, section::Section};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// `[check]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// How often the daemon looks by itself while a domain is held; zero: never. Default
    /// 10 min.
    pub every: Duration,
    /// The port at which this host reaches its own listener under the relay's name.
    /// Default 25.
    pub port: u16,
    /// `HOST:PORT` of the proxy to the web; none: directly.
    pub https_proxy: Option<String>,
    /// Authorities in PEM to believe in the place of the system's.
    pub ca: Option<PathBuf>,
}

pub(super) fn check(root: &Section<'_>, base: &Path) -> Check {
    let section = root.section("check", keys::CHECK);
    let default = Check::default();
    Check {
        every: section.measure("every", default.every, &default::CHECK_EVERY),
        port: section.measure("port", default.port, &default::DESTINATION_PORT),
        https_proxy: section.filled("https_proxy").and_then(|entry| {
            let text = entry.text()?;
            let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if matches!(port, Some(Ok(1..))) && !text.contains('/') {
                return Some(text.to_owned());
            }
            let allowed = "HOST:PORT, such as \"proxy.example.net:3128\"".to_owned();
            entry.not_allowed(text, allowed);
            None
        }),
        ca: section.filled("ca").and_then(|entry| entry.path(base)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use std::{path::Path, time::Duration};

    const HEAD: &str = "[[domain]]\nname = \"a.example\"\ndestination = { host = \"b.example\" }\n";

    fn with(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{HEAD}{more}"), Path::new("/etc/relay/relay.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn everything_can_be_said_and_is_shown_again() {
        let config = with(
            "[check]\nevery = \"0s\"\nport = 2525\nhttps_proxy = \"[::1]:3128\"\nca = \"ca.pem\"\n",
        );
        let config = config.unwrap();
        assert_eq!(
            (config.check.every, config.check.port),
            (Duration::ZERO, 2525)
        );
        assert_eq!(config.check.https_proxy.as_deref(), Some("[::1]:3128"));
        assert_eq!(
            config.check.ca.as_deref(),
            Some(Path::new("/etc/relay/ca.pem"))
        );
        let again = Config::parse(&config.to_toml(), Path::new("/etc/relay/relay.toml"));
        assert_eq!(again.unwrap(), config);
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for proxy in ["proxy", "http://proxy:3128", "proxy:0", "proxy:x"] {
            let said = with(&format!("[check]\nhttps_proxy = {proxy:?}\n")).unwrap_err();
            assert!(said.contains("HOST:PORT"), "{said}");
        }
    }
}
