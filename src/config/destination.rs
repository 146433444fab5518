//! A server to send to: where it is, and how it is spoken to.

use super::{
    Load, ProblemKind, default,
    entry::{Entry, quoted},
    host, keys,
    section::Section,
};
use std::{
    fmt::Display,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a domain's mail is released to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// Name or address.
    pub host: String,
    /// Default 25.
    pub port: u16,
    /// Default SMTP.
    pub protocol: DestinationProtocol,
    /// Default opportunistic.
    pub tls: DestinationTls,
    /// Default auto.
    pub xclient: DestinationXclient,
    /// How much it is asked to take at most.
    pub load: Load,
    /// PEM with the authorities that are believed in the place of this host's.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the certificate in lower case hexadecimal digits: it is believed, and no
    /// other.
    pub pin: Option<String>,
    /// The address of this host that connections come from; default: the system's choice.
    pub source: Option<IpAddr>,
    /// Who logs in (RFC 4954), where that is asked for.
    pub login: Option<DestinationLogin>,
}

/// A login at a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationLogin {
    /// Its name there.
    pub user: String,
    /// What proves it.
    pub secret: DestinationSecret,
}

/// A secret, by its file, whose first line is read for each connection, or by a command: it
/// may be renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DestinationSecret {
    /// For SASL PLAIN (RFC 4616) or LOGIN.
    Password(PathBuf),
    /// An OAuth 2 access token, for XOAUTH2.
    Token(PathBuf),
    /// The same from a command for /bin/sh, which is run for each connection.
    TokenCommand(String),
}

/// How the destination is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationProtocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033: a reply for each recipient after end-of-data.
    Lmtp,
}

/// TLS towards the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationTls {
    /// Never.
    None,
    /// STARTTLS where offered, with any certificate (RFC 7435).
    Opportunistic,
    /// STARTTLS or nothing, with any certificate.
    Required,
    /// STARTTLS or nothing, with a certificate of a known authority for the host's name.
    Verified,
}

/// Whether the destination is told from which client a message came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DestinationXclient {
    /// By XCLIENT where it is offered, else by XFORWARD where that is.
    Auto,
    /// Never.
    Off,
    /// By XCLIENT, or nothing is sent.
    Require,
}

/// The table of a server to send to, which must be under `key`.
pub(super) fn destination(
    parent: &Section<'_>,
    key: &str,
    needed: &'static str,
    base: &Path,
) -> Option<Destination> {
    parent.required(key, needed)?;
    let section = parent.section(key, keys::DESTINATION);
    if !section.is_present() {
        return None;
    }
    let protocol = section.word("protocol", default::PROTOCOL);
    let port = section.measure("port", default::PORT, &default::DESTINATION_PORT);
    if protocol == DestinationProtocol::Lmtp && port == 25 {
        lmtp_on_25(&section);
    }
    let tls = section.word("tls", default::TLS);
    let xclient = section.word("xclient", default::XCLIENT);
    let load = load(&section);
    let ca = section.filled("ca").and_then(|entry| entry.path(base));
    let pin = section.filled("pin").and_then(|entry| entry.fingerprint());
    for key in ["ca", "pin"] {
        if let Some(entry) = section.filled(key)
            && tls != DestinationTls::Verified
        {
            let why = "is looked at with tls = \"verified\" only".to_owned();
            entry.note(ProblemKind::Invalid { why });
        }
    }
    let source = section.filled("source").and_then(|entry| source(&entry));
    let login = login(&section, tls, base);
    let entry = section.required("host", "the new server's name or address is needed")?;
    let text = entry.text()?;
    let host = match host::name_or_address(text) {
        Ok(host) => host,
        Err(why) => return entry.invalid(quoted(text, why)),
    };
    Some(Destination {
        host,
        port,
        protocol,
        tls,
        xclient,
        load,
        ca,
        pin,
        source,
        login,
    })
}

fn load(section: &Section<'_>) -> Load {
    let connections = section.measure(
        "connections",
        default::DESTINATION_CONNECTIONS,
        &default::TO_DESTINATION,
    );
    Load {
        connections,
        rate: limit(section, "rate"),
        bytes_rate: limit(section, "bytes_rate"),
    }
}

/// A limit in its own words; none where it is not there.
fn limit<T: FromStr<Err: Display> + Default>(section: &Section<'_>, key: &str) -> T {
    let read = |entry: Entry<'_>| match T::from_str(entry.text()?) {
        Ok(limit) => Some(limit),
        Err(error) => entry.invalid(error.to_string()),
    };
    section.entry(key).and_then(read).unwrap_or_default()
}

fn source(entry: &Entry<'_>) -> Option<IpAddr> {
    let text = entry.text()?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => entry.invalid(quoted(text, "is no IP address of this host")),
    }
}

/// A secret must not leave where anybody can read it, unless the operator has switched TLS
/// off on purpose.
fn login(section: &Section<'_>, tls: DestinationTls, base: &Path) -> Option<DestinationLogin> {
    let user = section.filled("user");
    let password = section.filled("password_file");
    let token = section.filled("token_file");
    let command = section.filled("token_command");
    let first = match (&password, &token) {
        (Some(_), _) => "password_file",
        (None, _) => "token_file",
    };
    let given = [&password, &token, &command].into_iter().flatten();
    for more in given.skip(1) {
        let why = format!("stands beside {first}; a login has one of them");
        more.note(ProblemKind::Invalid { why });
    }
    let secret = match (password, token, command) {
        (Some(file), ..) => Some(DestinationSecret::Password(file.path(base)?)),
        (None, Some(file), _) => Some(DestinationSecret::Token(file.path(base)?)),
        (None, None, Some(command)) => {
            let command = command.text()?.to_owned();
            Some(DestinationSecret::TokenCommand(command))
        }
        (None, None, None) => None,
    };
    match (user, secret) {
        (Some(user), Some(secret)) => {
            if tls == DestinationTls::Opportunistic {
                let why = "would log in in the clear where TLS fails: tls = \"verified\" or \
                           \"required\" is needed, or \"none\" to allow just that";
                user.note(ProblemKind::Invalid { why: why.into() });
            }
            let user = user.text()?.to_owned();
            Some(DestinationLogin { user, secret })
        }
        (Some(_), None) => {
            section.missing(
                "password_file",
                "a login needs password_file, token_file or token_command",
            );
            None
        }
        (None, Some(_)) => {
            section.missing("user", "whose login it is, is needed");
            None
        }
        (None, None) => None,
    }
}

/// RFC 2033 §5: LMTP must not be spoken on port 25.
fn lmtp_on_25(section: &Section<'_>) {
    let needed = "LMTP has no default port and is never on 25 (RFC 2033 §5); often it is 24";
    match section.entry("port") {
        Some(entry) => entry.note(ProblemKind::Invalid {
            why: format!("25 is SMTP's; {needed}"),
        }),
        None => section.missing("port", needed),
    }
}
