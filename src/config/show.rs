//! The effective configuration as TOML: every key, in the order of the types.

use super::{
    Check, Config, Destination, DestinationSecret, DnsConfig, Domain, Hooks, ImapServer, Listen,
    Mover, Recipients, Tls, TlsFiles, Verify,
    units::{format_duration, format_size},
    without_secret,
    words::Word,
};
use std::{
    fmt::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Writes all of `config`. What may be a secret is masked: the paths of webhooks.
pub(super) fn write(config: &Config, out: &mut String) -> fmt::Result {
    writeln!(out, "hostname = {}", quoted(&config.hostname))?;
    for listen in &config.listen {
        write_listen(listen, out)?;
    }
    if let Some(tls) = &config.tls {
        write_tls(tls, out)?;
    }
    write_dns(&config.dns, out)?;
    write_check(&config.check, out)?;
    write_spool(config, out)?;
    write_limits(config, out)?;
    write_verify(&config.verify, out)?;
    for domain in &config.domains {
        write_domain(domain, out)?;
    }
    write_release(config, out)?;
    if let Some(bounce) = &config.bounce {
        writeln!(out, "\n[bounce]")?;
        writeln!(out, "via = {}", destination(&bounce.via))?;
        let after = format_duration(bounce.delay_warning);
        writeln!(out, "delay_warning = \"{after}\"")?;
    }
    if let Some(hooks) = &config.hooks {
        write_hooks(hooks, out)?;
    }
    writeln!(out, "\n[control]")?;
    writeln!(out, "socket = {}", path(&config.control.socket))?;
    if let Some(web) = &config.web {
        writeln!(out, "\n[web]")?;
        writeln!(out, "address = \"{}\"", web.address)?;
        let files = [
            ("token_file", &web.token_file),
            ("read_token_file", &web.read_token_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                writeln!(out, "{key} = {}", path(file))?;
            }
        }
    }
    writeln!(out, "\n[log]")?;
    writeln!(out, "syslog_name = {}", quoted(&config.log.syslog_name))?;
    config
        .mover
        .as_ref()
        .map_or(Ok(()), |mover| write_mover(mover, out))
}

fn write_hooks(hooks: &Hooks, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[hooks]")?;
    let program = |program: &Option<PathBuf>| program.as_deref().map(path);
    let address = |url: &Option<String>| url.as_deref().map(|url| quoted(&without_secret(url)));
    let values = [
        ("command", program(&hooks.command)),
        ("webhook", address(&hooks.webhook)),
        ("veto", program(&hooks.veto)),
        ("veto_webhook", address(&hooks.veto_webhook)),
        ("ca", program(&hooks.ca)),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            writeln!(out, "{key} = {value}")?;
        }
    }
    writeln!(out, "timeout = \"{}\"", format_duration(hooks.timeout))
}

fn write_listen(listen: &Listen, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[[listen]]")?;
    writeln!(out, "address = \"{}\"", listen.address)?;
    writeln!(out, "tls = \"{}\"", listen.tls.word())?;
    writeln!(out, "proxy_protocol = {}", listen.balancers.is_some())?;
    let Some(balancers) = &listen.balancers else {
        return Ok(());
    };
    let balancers: Vec<_> = balancers.iter().map(|one| format!("\"{one}\"")).collect();
    writeln!(out, "balancers = [{}]", balancers.join(", "))
}

fn write_tls(tls: &Tls, out: &mut String) -> fmt::Result {
    let Tls { default, names } = tls;
    writeln!(out, "\n[tls]")?;
    write_tls_files(default, out)?;
    names.iter().try_for_each(|files| {
        writeln!(out, "\n[[tls.name]]")?;
        write_tls_files(files, out)
    })
}

fn write_tls_files(files: &TlsFiles, out: &mut String) -> fmt::Result {
    writeln!(out, "certificate = {}", path(&files.certificate))?;
    writeln!(out, "private_key = {}", path(&files.private_key))
}

fn write_dns(dns: &DnsConfig, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[dns]")?;
    writeln!(out, "servers = {}", addresses(&dns.servers))?;
    writeln!(out, "client_names = {}", dns.client_names)?;
    dns.zones.iter().try_for_each(|zone| {
        writeln!(out, "\n[[dns.zone]]")?;
        writeln!(out, "name = {}", quoted(&zone.name))?;
        writeln!(out, "servers = {}", addresses(&zone.servers))
    })
}

fn addresses(servers: &[SocketAddr]) -> String {
    let quoted: Vec<_> = servers.iter().map(|one| format!("\"{one}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn write_check(check: &Check, out: &mut String) -> fmt::Result {
    let proxy = check.https_proxy.as_deref().unwrap_or("");
    let ca = check.ca.as_deref().map_or_else(|| quoted(""), path);
    writeln!(out, "\n[check]")?;
    writeln!(out, "every = \"{}\"", format_duration(check.every))?;
    writeln!(out, "port = {}", check.port)?;
    writeln!(out, "https_proxy = {}", quoted(proxy))?;
    writeln!(out, "ca = {ca}")
}

fn write_spool(config: &Config, out: &mut String) -> fmt::Result {
    let spool = &config.spool;
    let retain_delivered = format_duration(spool.retain_delivered);
    let retain_records = format_duration(spool.retain_records);
    writeln!(out, "\n[spool]")?;
    writeln!(out, "path = {}", path(&spool.path))?;
    writeln!(out, "retain_delivered = \"{retain_delivered}\"")?;
    writeln!(out, "retain_records = \"{retain_records}\"")?;
    writeln!(out, "min_free = \"{}\"", format_size(spool.min_free_bytes))
}

fn write_limits(config: &Config, out: &mut String) -> fmt::Result {
    let limits = &config.limits;
    let message_size = format_size(limits.message_size_bytes);
    let command_timeout = format_duration(limits.command_timeout);
    writeln!(out, "\n[limits]")?;
    writeln!(out, "message_size = \"{message_size}\"")?;
    writeln!(out, "bare_newline = \"{}\"", limits.bare_newline.word())?;
    writeln!(out, "connections = {}", limits.connections)?;
    writeln!(out, "connections_per_ip = {}", limits.connections_per_ip)?;
    writeln!(out, "recipients = {}", limits.recipients)?;
    writeln!(out, "command_timeout = \"{command_timeout}\"")?;
    let retry_window = format_duration(limits.retry_window);
    writeln!(out, "retry_window = \"{retry_window}\"")?;
    writeln!(out, "errors = {}", limits.errors)?;
    writeln!(out, "messages_per_ip = {}", limits.messages_per_ip)?;
    writeln!(out, "recipients_per_ip = {}", limits.recipients_per_ip)?;
    let rate_period = format_duration(limits.rate_period);
    writeln!(out, "rate_period = \"{rate_period}\"")
}

fn write_verify(verify: &Verify, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[verify]")?;
    let times = [
        ("timeout", verify.timeout),
        ("known_for", verify.known_for),
        ("refresh_after", verify.refresh_after),
        ("unknown_for", verify.unknown_for),
    ];
    for (key, time) in times {
        writeln!(out, "{key} = \"{}\"", format_duration(time))?;
    }
    writeln!(out, "addresses = {}", verify.addresses)
}

fn write_domain(domain: &Domain, out: &mut String) -> fmt::Result {
    let recipients = match &domain.recipients {
        Recipients::Any => "any".to_owned(),
        Recipients::Verify => "verify".to_owned(),
        Recipients::File(file) => format!("file:{}", file.display()),
    };
    writeln!(out, "\n[[domain]]")?;
    writeln!(out, "name = {}", quoted(&domain.name))?;
    writeln!(out, "recipients = {}", quoted(&recipients))?;
    writeln!(out, "destination = {}", destination(&domain.destination))
}

fn destination(destination: &Destination) -> String {
    let Destination {
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
    } = destination;
    let user = login.as_ref().map_or("", |login| &*login.user);
    let (mut password, mut token, mut command) = (None, None, "");
    match login.as_ref().map(|login| &login.secret) {
        Some(DestinationSecret::Password(file)) => password = Some(file),
        Some(DestinationSecret::Token(file)) => token = Some(file),
        Some(DestinationSecret::TokenCommand(line)) => command = line,
        None => {}
    }
    let file = |file: Option<&PathBuf>| file.map_or_else(|| quoted(""), |file| path(file));
    format!(
        "{{ host = {}, port = {port}, protocol = \"{}\", tls = \"{}\", ca = {}, pin = {}, \
         xclient = \"{}\", connections = {}, rate = \"{}\", bytes_rate = \"{}\", source = {}, \
         user = {}, password_file = {}, token_file = {}, token_command = {} }}",
        quoted(host),
        protocol.word(),
        tls.word(),
        file(ca.as_ref()),
        quoted(pin.as_deref().unwrap_or_default()),
        xclient.word(),
        load.connections,
        load.rate,
        load.bytes_rate,
        quoted(&source.map_or_else(String::new, |source| source.to_string())),
        quoted(user),
        file(password),
        file(token),
        quoted(command),
    )
}

fn write_release(config: &Config, out: &mut String) -> fmt::Result {
    let release = &config.release;
    let retry_min = format_duration(release.retry_min);
    let retry_max = format_duration(release.retry_max);
    let in_doubt_after = format_duration(release.in_doubt_after);
    writeln!(out, "\n[release]")?;
    writeln!(out, "order = \"{}\"", release.order.word())?;
    writeln!(out, "gate = \"{}\"", release.gate.word())?;
    writeln!(out, "retry_min = \"{retry_min}\"")?;
    writeln!(out, "retry_max = \"{retry_max}\"")?;
    writeln!(out, "in_doubt = \"{}\"", release.in_doubt.word())?;
    writeln!(out, "in_doubt_after = \"{in_doubt_after}\"")?;
    writeln!(out, "stop_after_refusals = {}", release.stop_after_refusals)?;
    writeln!(out, "stop_after_doubts = {}", release.stop_after_doubts)?;
    writeln!(out, "stop_after_wrong = {}", release.stop_after_wrong)
}

fn write_mover(mover: &Mover, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[mover]")?;
    writeln!(out, "accounts = {}", path(&mover.accounts))?;
    writeln!(out, "source = {}", imap_server(&mover.source))?;
    writeln!(out, "target = {}", imap_server(&mover.target))?;
    writeln!(out, "parallel = {}", mover.parallel)?;
    writeln!(out, "connections = {}", mover.connections)?;
    writeln!(out, "settle = \"{}\"", format_duration(mover.settle))?;
    writeln!(out, "expunged = \"{}\"", mover.expunged.word())?;
    let exclude: Vec<_> = mover.exclude.iter().map(|folder| quoted(folder)).collect();
    writeln!(out, "exclude = [{}]", exclude.join(", "))?;
    for rule in &mover.rename {
        writeln!(out, "\n[[mover.rename]]")?;
        writeln!(out, "from = {}", quoted(&rule.from))?;
        writeln!(out, "to = {}", quoted(&rule.to))?;
    }
    Ok(())
}

/// With the name of the password's file, not the password.
fn imap_server(server: &ImapServer) -> String {
    let admin = server.admin.as_ref();
    let user = admin.map_or("", |admin| &*admin.user);
    let file = admin.map_or_else(|| quoted(""), |admin| path(&admin.password_file));
    let ca = server.ca.as_deref().map_or_else(|| quoted(""), path);
    format!(
        "{{ host = {}, port = {}, tls = \"{}\", admin_user = {}, admin_password_file = {file}, \
         token_command = {}, ca = {ca}, pin = {}, compress = {} }}",
        quoted(&server.host),
        server.port,
        server.tls.word(),
        quoted(user),
        quoted(server.token_command.as_deref().unwrap_or("")),
        quoted(server.pin.as_deref().unwrap_or("")),
        server.compress,
    )
}

fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
