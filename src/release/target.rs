//! Where a domain's mail goes.

use crate::config::{
    Destination, DestinationLogin, DestinationProtocol, DestinationTls, DestinationXclient,
};
use std::{fmt, net::IpAddr, path::PathBuf};

/// A destination, with what `relay release --to` has put in the place of host and port. The
/// login is for the configured host only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// SMTP or LMTP.
    pub protocol: DestinationProtocol,
    /// How TLS is used.
    pub tls: DestinationTls,
    /// Whether it is told where a message came from.
    pub xclient: DestinationXclient,
    /// PEM with the authorities that are believed in the place of this host's.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the only certificate that is believed, in hexadecimal digits.
    pub pin: Option<String>,
    /// The address that connections come from.
    pub source: Option<IpAddr>,
    /// Who logs in.
    pub login: Option<DestinationLogin>,
}

impl Target {
    /// A configured destination.
    #[must_use]
    pub fn of(destination: &Destination) -> Self {
        Self {
            host: destination.host.clone(),
            port: destination.port,
            protocol: destination.protocol,
            tls: destination.tls,
            xclient: destination.xclient,
            ca: destination.ca.clone(),
            pin: destination.pin.clone(),
            source: destination.source,
            login: destination.login.clone(),
        }
    }

    /// The configured destination, or the one given by `to` (`HOST:PORT` or `HOST`).
    /// Nothing when neither is there or `to` makes no sense.
    #[must_use]
    pub fn new(configured: Option<&Destination>, to: Option<&str>) -> Option<Self> {
        let base = configured.map(Self::of);
        let Some(to) = to else {
            return base;
        };
        let (host, port) = split(to)?;
        let base = base.unwrap_or(Self {
            host: String::new(),
            port: 25,
            protocol: DestinationProtocol::Smtp,
            tls: DestinationTls::Opportunistic,
            xclient: DestinationXclient::Auto,
            ca: None,
            pin: None,
            source: None,
            login: None,
        });
        let same_host = base.host.eq_ignore_ascii_case(host);
        Some(Self {
            host: host.to_owned(),
            port: port.unwrap_or(base.port),
            // Whoever may name another host must not learn the password by it.
            login: base.login.filter(|_| same_host),
            ..base
        })
    }
}

/// `host`, `host:25`, `[::1]:25`, `::1`.
fn split(to: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = to.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    match to.split_once(':') {
        Some((host, port)) if !port.contains(':') => {
            let whole = !host.is_empty();
            whole.then_some((host, Some(port.parse().ok()?)))
        }
        _ => (!to.is_empty()).then_some((to, None)),
    }
}

/// `host:port`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_for_its_own_host_only() {
        use crate::config::{DestinationSecret, Load};
        let configured = Destination {
            host: "mail.new.example".into(),
            port: 587,
            protocol: DestinationProtocol::Smtp,
            tls: DestinationTls::Verified,
            xclient: DestinationXclient::Auto,
            load: Load::default(),
            ca: None,
            pin: None,
            source: None,
            login: Some(DestinationLogin {
                user: "relay".into(),
                secret: DestinationSecret::Password("/secret".into()),
            }),
        };
        let logs_in = |to: Option<&str>| {
            let target = Target::new(Some(&configured), to).unwrap();
            assert_eq!(target.tls, DestinationTls::Verified, "the rest stays");
            target.login.is_some()
        };
        assert!(logs_in(None));
        assert!(logs_in(Some("Mail.New.Example:25")));
        assert!(!logs_in(Some("mail.other.example:587")));
        assert!(!logs_in(Some("192.0.2.1")));
    }

    #[test]
    fn to_takes_the_place_of_host_and_port() {
        let text = |to| Target::new(None, Some(to)).map(|target| target.to_string());
        assert_eq!(
            text("new.example:2525").as_deref(),
            Some("new.example:2525")
        );
        assert_eq!(text("new.example").as_deref(), Some("new.example:25"));
        assert_eq!(text("[::1]:24").as_deref(), Some("[::1]:24"));
        assert_eq!(text("::1").as_deref(), Some("[::1]:25"));
        for bad in ["", ":25", "x:port", "[::1", "[::1]25"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        assert_eq!(Target::new(None, None), None);
    }
}
