//! From the tables of the file to a [`Config`], with every check.

use super::{
    Bounce, Config, Control, Limits, Log, ProblemKind, Release, SpoolConfig, Tls, TlsFiles, Verify,
    Web, check, default, destination, dns, domain,
    entry::{quoted, shown},
    hooks, host, keys, listen, mover, paths,
    problems::Problems,
    section::Section,
    units::format_duration,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use toml::de::{DeTable, Error};

/// What fits into a Unix socket's address with its final NUL (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Longest `log.syslog_name` in bytes: RFC 5424 §6.2.5 has 48 for the whole tag.
const SYSLOG_NAME_BYTES_MAX: usize = 32;

/// Reads a whole configuration. `None` means that a problem was noted.
pub(super) fn config(text: &str, file: &Path, problems: &Problems) -> Option<Config> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What was made out of broken text would only bring problems that are none.
        errors.iter().for_each(|error| syntax(error, problems));
        return None;
    }
    let base = paths::base_of(file);
    let root = Section::root(table.get_ref(), problems);
    let config = Config {
        hostname: hostname(&root).unwrap_or_default(),
        listen: listen::listeners(&root),
        tls: tls(&root, &base),
        dns: dns::dns(&root),
        check: check::check(&root, &base),
        spool: spool(&root, &base),
        limits: limits(&root),
        verify: verify(&root),
        domains: domain::domains(&root, &base),
        release: release(&root),
        bounce: bounce(&root, &base),
        hooks: hooks::hooks(&root, &base),
        control: control(&root, &base),
        web: web(&root, &base),
        log: log(&root),
        mover: mover::mover(&root, &base),
    };
    problems.is_empty().then_some(config)
}

fn syntax(error: &Error, problems: &Problems) {
    let span = error.span().unwrap_or(0..0);
    let message = shown(error.message());
    problems.add("", &span, ProblemKind::Syntax { message });
}

fn hostname(root: &Section<'_>) -> Option<String> {
    let Some(entry) = root.entry("hostname") else {
        let own = default::hostname();
        if own.is_none() {
            root.missing("hostname", "this machine's own name is no usable host name");
        }
        return own;
    };
    let text = entry.text()?;
    host::name(text).map_or_else(|why| entry.invalid(quoted(text, why)), Some)
}

fn tls(root: &Section<'_>, base: &Path) -> Option<Tls> {
    let section = root.section("tls", keys::TLS);
    if !section.is_present() {
        return None;
    }
    let needed = "at least one [[tls.name]] with certificate and private_key is needed";
    let names = section.sections("name", keys::TLS_NAME, needed);
    let names: Vec<_> = names
        .iter()
        .flatten()
        .map(|name| tls_files(name, base))
        .collect();
    Some(Tls {
        default: tls_files(&section, base)?,
        names: names.into_iter().collect::<Option<_>>()?,
    })
}

fn tls_files(section: &Section<'_>, base: &Path) -> Option<TlsFiles> {
    let certificate = section.required("certificate", "the path of a PEM file is needed");
    let private_key = section.required("private_key", "the path of a PEM file is needed");
    Some(TlsFiles {
        certificate: certificate?.path(base)?,
        private_key: private_key?.path(base)?,
    })
}

fn spool(root: &Section<'_>, base: &Path) -> SpoolConfig {
    let section = root.section("spool", keys::SPOOL);
    let default = SpoolConfig::default();
    SpoolConfig {
        path: section.path("path", default.path, base),
        retain_delivered: section.measure(
            "retain_delivered",
            default.retain_delivered,
            &default::RETAIN,
        ),
        retain_records: section.measure("retain_records", default.retain_records, &default::RETAIN),
        min_free_bytes: section.measure("min_free", default.min_free_bytes, &default::MIN_FREE),
    }
}

fn limits(root: &Section<'_>) -> Limits {
    let section = root.section("limits", keys::LIMITS);
    let default = Limits::default();
    Limits {
        message_size_bytes: section.measure(
            "message_size",
            default.message_size_bytes,
            &default::MESSAGE_SIZE,
        ),
        bare_newline: section.word("bare_newline", default.bare_newline),
        connections: section.measure("connections", default.connections, &default::CONNECTIONS),
        connections_per_ip: section.measure(
            "connections_per_ip",
            default.connections_per_ip,
            &default::CONNECTIONS,
        ),
        recipients: section.measure("recipients", default.recipients, &default::RECIPIENTS),
        command_timeout: section.measure(
            "command_timeout",
            default.command_timeout,
            &default::COMMAND_TIMEOUT,
        ),
        retry_window: section.measure("retry_window", default.retry_window, &default::RETRY_WINDOW),
        errors: section.measure("errors", default.errors, &default::ERRORS),
        messages_per_ip: section.measure(
            "messages_per_ip",
            default.messages_per_ip,
            &default::RATE,
        ),
        recipients_per_ip: section.measure(
            "recipients_per_ip",
            default.recipients_per_ip,
            &default::RATE,
        ),
        rate_period: section.measure("rate_period", default.rate_period, &default::RATE_PERIOD),
    }
}

fn verify(root: &Section<'_>) -> Verify {
    let section = root.section("verify", keys::VERIFY);
    let default = Verify::default();
    let time = |key, value| section.measure(key, value, &default::REMEMBERED);
    Verify {
        timeout: section.measure("timeout", default.timeout, &default::VERIFY_TIMEOUT),
        known_for: time("known_for", default.known_for),
        refresh_after: time("refresh_after", default.refresh_after),
        unknown_for: time("unknown_for", default.unknown_for),
        addresses: section.measure("addresses", default.addresses, &default::ADDRESSES),
    }
}

fn release(root: &Section<'_>) -> Release {
    let section = root.section("release", keys::RELEASE);
    let default = Release::default();
    let release = Release {
        order: section.word("order", default.order),
        gate: section.word("gate", default.gate),
        retry_min: section.measure("retry_min", default.retry_min, &default::RETRY),
        retry_max: section.measure("retry_max", default.retry_max, &default::RETRY),
        in_doubt: section.word("in_doubt", default.in_doubt),
        in_doubt_after: section.measure(
            "in_doubt_after",
            default.in_doubt_after,
            &default::IN_DOUBT_AFTER,
        ),
        stop_after_refusals: section.measure(
            "stop_after_refusals",
            default.stop_after_refusals,
            &default::REFUSALS,
        ),
        stop_after_doubts: section.measure(
            "stop_after_doubts",
            default.stop_after_doubts,
            &default::REFUSALS,
        ),
        stop_after_wrong: section.measure(
            "stop_after_wrong",
            default.stop_after_wrong,
            &default::REFUSALS,
        ),
    };
    if release.retry_min > release.retry_max
        && let Some(entry) = section.entry("retry_min").or(section.entry("retry_max"))
    {
        entry.note(ProblemKind::Invalid {
            why: format!(
                "the first wait, retry_min ({}), is longer than the longest, retry_max ({})",
                format_duration(release.retry_min),
                format_duration(release.retry_max),
            ),
        });
    }
    release
}

fn bounce(root: &Section<'_>, base: &Path) -> Option<Bounce> {
    let section = root.section("bounce", keys::BOUNCE);
    if !section.is_present() {
        return None;
    }
    let needed = "where reports leave is needed: via = { host = \"...\" }";
    Some(Bounce {
        delay_warning: section.measure("delay_warning", Duration::ZERO, &default::DELAY_WARNING),
        via: destination::destination(&section, "via", needed, base)?,
    })
}

fn control(root: &Section<'_>, base: &Path) -> Control {
    let section = root.section("control", keys::CONTROL);
    let socket: PathBuf = section.path("socket", Control::default().socket, base);
    let bytes = socket.as_os_str().len();
    if bytes > SOCKET_PATH_BYTES_MAX
        && let Some(entry) = section.entry("socket")
    {
        entry.note(ProblemKind::Invalid {
            why: format!(
                "{} has {bytes} bytes; the path of a Unix socket has at most \
                 {SOCKET_PATH_BYTES_MAX}",
                socket.display(),
            ),
        });
    }
    Control { socket }
}

fn web(root: &Section<'_>, base: &Path) -> Option<Web> {
    let section = root.section("web", keys::WEB);
    if !section.is_present() {
        return None;
    }
    let address = match section.entry("address") {
        Some(entry) => listen::address(&entry)?,
        None => default::WEB_ADDRESS,
    };
    let file = |key| section.entry(key).and_then(|entry| entry.path(base));
    Some(Web {
        address,
        token_file: file("token_file"),
        read_token_file: file("read_token_file"),
    })
}

fn log(root: &Section<'_>) -> Log {
    let section = root.section("log", keys::LOG);
    let name = section.entry("syslog_name").and_then(|entry| {
        let text = entry.text()?;
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if text.is_empty() || text.len() > SYSLOG_NAME_BYTES_MAX || !text.chars().all(sound) {
            let allowed = format!(
                "1 to {SYSLOG_NAME_BYTES_MAX} ASCII letters, digits, hyphens, underscores, \
                 dots and slashes"
            );
            entry.not_allowed(text, allowed);
            return None;
        }
        Some(text.to_owned())
    });
    Log {
        syslog_name: name.unwrap_or_else(|| Log::default().syslog_name),
    }
}
