//! The `[mover]` table: from where and to where mailboxes are copied, and which folders.

use super::{
    default,
    entry::{Entry, quoted},
    host, keys,
    section::Section,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// `[mover]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mover {
    /// The file with the accounts. Default `/etc/relay/accounts.csv`.
    pub accounts: PathBuf,
    /// The old server.
    pub source: ImapServer,
    /// The new server.
    pub target: ImapServer,
    /// Accounts at once. Default 4.
    pub parallel: usize,
    /// Connections to each side for an account, a folder each. Default 3.
    pub connections: usize,
    /// How long after the newest message at the source a pass must begin to count as the
    /// last one. Default 10 min.
    pub settle: Duration,
    /// What becomes of the copies of messages that the source has expunged since.
    pub expunged: Expunged,
    /// Folders that are not copied: paths with `/` between the names, whatever the server's
    /// separator is; a `*` at the end stands for anything.
    pub exclude: Vec<String>,
    /// Folders that get another name at the target, with all that is in them.
    pub rename: Vec<Rename>,
}

/// One of the two servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImapServer {
    /// Name or address.
    pub host: String,
    /// Default 993; without implicit TLS 143.
    pub port: u16,
    /// Default implicit.
    pub tls: ImapTls,
    /// An administrator who logs in in the place of each user (SASL PLAIN with an
    /// authorization identity, RFC 4616).
    pub admin: Option<Admin>,
    /// A command, for `/bin/sh`, that writes an OAuth 2 access token for the user in
    /// `RELAY_USER` (XOAUTH2); for accounts without a password of their own.
    pub token_command: Option<String>,
    /// PEM with the authorities that are believed in the place of the usual ones.
    pub ca: Option<PathBuf>,
    /// SHA-256 of the server's certificate in lower case hexadecimal digits: it is believed,
    /// and no other.
    pub pin: Option<String>,
    /// Whether what goes over the line is compressed where the server can. Default no.
    pub compress: bool,
}

/// Who logs in for others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Its name.
    pub user: String,
    /// The file whose first line is its password.
    pub password_file: PathBuf,
}

/// TLS towards an IMAP server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImapTls {
    /// From the first byte (RFC 8314).
    Implicit,
    /// STARTTLS or nothing.
    Starttls,
    /// Never; passwords and mail in the clear.
    None,
}

/// What becomes of the copies of messages that the source has expunged since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expunged {
    /// They stay, and are counted.
    #[default]
    Keep,
    /// They are removed too, if the mover has put them there itself.
    Mirror,
}

/// `[[mover.rename]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rename {
    /// The path at the source, with `/` between the names.
    pub from: String,
    /// The path at the target, with `/` between the names.
    pub to: String,
}

const SERVER: &str = "the server is needed: { host = \"...\" }";

/// The table, where it is there.
pub(super) fn mover(root: &Section<'_>, base: &Path) -> Option<Mover> {
    let section = root.section("mover", keys::MOVER);
    if !section.is_present() {
        return None;
    }
    let source = server(&section, "source", base);
    let target = server(&section, "target", base);
    let exclude = section.entry("exclude").map(|entry| list(&entry));
    let rename = rename(&section);
    let default = PathBuf::from(default::ACCOUNTS);
    Some(Mover {
        accounts: section.path("accounts", default, base),
        source: source?,
        target: target?,
        parallel: section.measure("parallel", default::PARALLEL, &default::ACCOUNTS_AT_ONCE),
        connections: section.measure(
            "connections",
            default::ACCOUNT_CONNECTIONS,
            &default::CONNECTIONS_OF_ACCOUNT,
        ),
        settle: section.measure("settle", default::SETTLE, &default::SETTLING),
        expunged: section.word("expunged", Expunged::default()),
        exclude: exclude.unwrap_or_default(),
        rename,
    })
}

fn server(mover: &Section<'_>, key: &str, base: &Path) -> Option<ImapServer> {
    mover.required(key, SERVER)?;
    let section = mover.section(key, keys::IMAP);
    if !section.is_present() {
        return None;
    }
    let tls = section.word("tls", ImapTls::Implicit);
    let port = match tls {
        ImapTls::Implicit => default::IMAPS_PORT,
        ImapTls::Starttls | ImapTls::None => default::IMAP_PORT,
    };
    let port = section.measure("port", port, &default::DESTINATION_PORT);
    let ca = section.filled("ca").and_then(|entry| entry.path(base));
    let pin = section.filled("pin").and_then(|entry| entry.fingerprint());
    let admin = admin(&section, base);
    let token_command = section.filled("token_command");
    if let (Some(_), Some(entry)) = (&admin, &token_command) {
        let why = "is one way too many: there is an admin_user already";
        entry.invalid::<()>(why.to_owned());
    }
    let token_command = token_command.and_then(|entry| Some(entry.text()?.to_owned()));
    let entry = section.required("host", "the server's name or address is needed")?;
    let text = entry.text()?;
    let host = match host::name_or_address(text) {
        Ok(host) => host,
        Err(why) => return entry.invalid(quoted(text, why)),
    };
    Some(ImapServer {
        host,
        port,
        tls,
        admin,
        token_command,
        ca,
        pin,
        compress: section.flag("compress", false),
    })
}

fn admin(section: &Section<'_>, base: &Path) -> Option<Admin> {
    let user = section.filled("admin_user");
    let file = section.filled("admin_password_file");
    match (user, file) {
        (Some(user), Some(file)) => Some(Admin {
            user: user.text()?.to_owned(),
            password_file: file.path(base)?,
        }),
        (Some(_), None) => {
            section.missing(
                "admin_password_file",
                "the file with the administrator's password is needed",
            );
            None
        }
        (None, Some(_)) => {
            section.missing("admin_user", "the administrator's name is needed");
            None
        }
        (None, None) => None,
    }
}

fn rename(mover: &Section<'_>) -> Vec<Rename> {
    let needed = "a rule has from and to";
    let sections = mover.sections("rename", keys::RENAME, needed);
    let rules = sections.iter().flatten().filter_map(|section| {
        let needed = "a folder's path is needed, with / between the names";
        let from = section.required("from", needed);
        let to = section.required("to", needed);
        Some(Rename {
            from: folder(&from?)?,
            to: folder(&to?)?,
        })
    });
    rules.collect()
}

/// A path without empty names.
fn folder(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    if text.split('/').any(str::is_empty) {
        return entry.invalid(quoted(
            text,
            "has an empty name before, behind or between /",
        ));
    }
    Some(text.to_owned())
}

fn list(entry: &Entry<'_>) -> Vec<String> {
    let items = entry.items("a list of folders");
    items.iter().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const HEAD: &str = "[[domain]]\nname = \"a.example\"\ndestination = { host = \"b.example\" }\n";

    fn with(more: &str) -> Result<Option<Mover>, String> {
        Config::parse(&format!("{HEAD}{more}"), Path::new("/etc/relay/relay.toml"))
            .map(|config| config.mover)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_documented_example_loads() {
        let mover = with(
            "[mover]\naccounts = \"/etc/relay/accounts.csv\"\n\
             source = { host = \"old.example.com\", port = 993, tls = \"implicit\", \
             admin_user = \"\", admin_password_file = \"\" }\n\
             target = { host = \"new.example.com\", port = 993, tls = \"implicit\", \
             admin_user = \"\", admin_password_file = \"\" }\nparallel = 4\n",
        );
        let server = |host: &str| ImapServer {
            host: host.into(),
            port: 993,
            tls: ImapTls::Implicit,
            admin: None,
            token_command: None,
            ca: None,
            pin: None,
            compress: false,
        };
        let expected = Mover {
            accounts: "/etc/relay/accounts.csv".into(),
            source: server("old.example.com"),
            target: server("new.example.com"),
            parallel: 4,
            connections: 3,
            settle: Duration::from_secs(600),
            expunged: Expunged::Keep,
            exclude: Vec::new(),
            rename: Vec::new(),
        };
        assert_eq!(mover.unwrap().unwrap(), expected);
        assert_eq!(with("").unwrap(), None);
        let short = with(
            "[mover]\nsource = { host = \"old.example.com\" }\n\
             target = { host = \"new.example.com\" }\n",
        );
        assert_eq!(short.unwrap().unwrap(), expected);
    }

    #[test]
    fn everything_can_be_said_and_is_shown_again() {
        let pin = "AB:".repeat(31) + "cd";
        let text = format!(
            "{HEAD}[mover]\naccounts = \"a.csv\"\n\
             source = {{ host = \"192.0.2.1\", tls = \"none\", compress = true, admin_user = \"zimbra\", \
             admin_password_file = \"pw\" }}\n\
             target = {{ host = \"new.example\", port = 1143, tls = \"starttls\", ca = \"ca.pem\", \
             token_command = \"get-token\", pin = \"{pin}\" }}\nparallel = 9\nconnections = 1\nsettle = \"1m\"\nexpunged = \"mirror\"\nexclude = [\"Spam\", \"Old/*\"]\n\
             [[mover.rename]]\nfrom = \"A/B\"\nto = \"C\"\n"
        );
        let file = Path::new("/etc/relay/relay.toml");
        let config = Config::parse(&text, file).unwrap();
        let mover = config.mover.clone().unwrap();
        assert_eq!(mover.source.port, 143);
        assert!(mover.source.compress && !mover.target.compress);
        let admin = mover.source.admin.as_ref().unwrap();
        assert_eq!(admin.user, "zimbra");
        assert_eq!(admin.password_file, Path::new("/etc/relay/pw"));
        assert_eq!(mover.target.port, 1143);
        assert_eq!(
            mover.target.pin.as_ref().unwrap(),
            &("ab".repeat(31) + "cd")
        );
        assert_eq!(mover.connections, 1);
        assert_eq!(mover.target.token_command.as_deref(), Some("get-token"));
        assert_eq!(mover.expunged, Expunged::Mirror);
        assert_eq!(mover.exclude, ["Spam", "Old/*"]);
        assert_eq!(mover.rename[0].to, "C");
        assert_eq!(Config::parse(&config.to_toml(), file).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let target = "target = { host = \"n.example\" }\n";
        for (more, expected) in [
            ("[mover]\n".to_owned() + target, "mover.source: missing"),
            (
                format!(
                    "[mover]\nsource = {{ host = \"o.example\", admin_user = \"x\" }}\n{target}"
                ),
                "mover.source.admin_password_file: missing",
            ),
            (
                format!("[mover]\nsource = {{ host = \"o.example\", pin = \"12\" }}\n{target}"),
                "mover.source.pin: \"12\" is no SHA-256",
            ),
            (
                format!("[mover]\nsource = {{ host = \"o.example\" }}\n{target}exclude = [\"/a\"]"),
                "mover.exclude: \"/a\" has an empty name",
            ),
            (
                format!("[mover]\nsource = {{ host = \"o.example\" }}\n{target}paralel = 2"),
                "did you mean `parallel`",
            ),
        ] {
            let said = with(&more).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_path_in_a_rule_is_whole() {
        let mover = with(
            "[mover]\nsource = { host = \"o.example\" }\ntarget = { host = \"n.example\" }\n\
             [[mover.rename]]\nfrom = \"a//b\"\nto = \"c\"\n",
        );
        assert!(mover.unwrap_err().contains("empty name"));
    }
}
