//! The promises of the configuration from outside: text in, values or lines of errors out.

use super::*;
use std::fs;

const MINIMAL: &str =
    "[[domain]]\nname = \"example.com\"\ndestination = { host = \"new.example\" }\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/relay/relay.toml"))
}

/// The minimal configuration with `more` behind it.
fn with(more: &str) -> Result<Config, ConfigError> {
    parse(&format!("{MINIMAL}{more}"))
}

/// What is said about the minimal configuration with `more` behind it, a line a problem.
fn said(more: &str) -> Vec<String> {
    lines(with(more))
}

fn lines(result: Result<Config, ConfigError>) -> Vec<String> {
    let error = result.expect_err("was taken").to_string();
    error.lines().map(str::to_owned).collect()
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/relay.toml")
}

#[test]
fn a_minimal_file_has_every_default() {
    let config = parse(MINIMAL).unwrap();
    assert!(!config.hostname.is_empty());
    assert_eq!(
        config.listen,
        [Listen {
            address: "[::]:25".parse().unwrap(),
            tls: ListenTls::Starttls,
            balancers: None,
        }]
    );
    assert_eq!(config.tls, None);
    let spool = SpoolConfig {
        path: "/var/spool/relay".into(),
        retain_delivered: Duration::from_secs(7 * 86_400),
        retain_records: Duration::from_secs(90 * 86_400),
        min_free_bytes: 2 * 1024 * 1024 * 1024,
    };
    assert_eq!(config.spool, spool);
    let limits = Limits {
        message_size_bytes: 50 * 1024 * 1024,
        bare_newline: BareNewline::Normalize,
        connections: 1000,
        connections_per_ip: 50,
        recipients: 1000,
        command_timeout: Duration::from_secs(300),
        retry_window: Duration::from_secs(3600),
        errors: 20,
        messages_per_ip: 0,
        recipients_per_ip: 0,
        rate_period: Duration::from_secs(60),
    };
    assert_eq!(config.limits, limits);
    let verify = Verify {
        timeout: Duration::from_secs(10),
        known_for: Duration::from_secs(31 * 86_400),
        refresh_after: Duration::from_secs(86_400),
        unknown_for: Duration::from_secs(3600),
        addresses: 100_000,
    };
    assert_eq!(config.verify, verify);
    let release = Release {
        retry_min: Duration::from_secs(30),
        retry_max: Duration::from_secs(1800),
        order: ReleaseOrder::Mailbox,
        gate: ReleaseGate::Domain,
        in_doubt: InDoubtPolicy::Resend,
        in_doubt_after: Duration::from_secs(300),
        stop_after_refusals: 10,
        stop_after_doubts: 5,
        stop_after_wrong: 3,
    };
    assert_eq!(config.release, release);
    assert_eq!(config.control.socket, Path::new("/run/relay/control.sock"));
    assert_eq!(config.log.syslog_name, "postfix-relay");
    let [domain] = &config.domains[..] else {
        panic!("one domain: {:?}", config.domains);
    };
    assert_eq!(domain.name, "example.com");
    assert_eq!(domain.recipients, Recipients::Any);
    let destination = Destination {
        host: "new.example".into(),
        port: 25,
        protocol: DestinationProtocol::Smtp,
        tls: DestinationTls::Opportunistic,
        xclient: DestinationXclient::Auto,
        load: Load::default(),
        ca: None,
        pin: None,
        source: None,
        login: None,
    };
    assert_eq!(domain.destination, destination);
}

#[test]
fn the_sample_file_documents_the_defaults() {
    let sample_config = Config::load(&sample()).unwrap();
    let minimal = parse(MINIMAL).unwrap();
    // What the sample says is not the default, because a checkout needs it.
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .canonicalize()
        .unwrap();
    assert_eq!(sample_config.spool.path, checkout.join("spool"));
    assert_eq!(
        sample_config.control.socket,
        checkout.join("spool/control.sock")
    );
    assert_eq!(
        sample_config.listen[0].address,
        "127.0.0.1:2525".parse().unwrap()
    );
    let default = Config {
        spool: SpoolConfig {
            path: minimal.spool.path.clone(),
            ..sample_config.spool
        },
        control: minimal.control.clone(),
        listen: vec![Listen {
            address: minimal.listen[0].address,
            ..sample_config.listen[0].clone()
        }],
        domains: vec![Domain {
            name: "example.com".into(),
            destination: Destination {
                host: "new.example".into(),
                port: minimal.domains[0].destination.port,
                ..sample_config.domains[0].destination.clone()
            },
            ..sample_config.domains[0].clone()
        }],
        ..sample_config
    };
    assert_eq!(default, minimal);
}

#[test]
fn the_sample_file_has_every_key_in_order_and_names_the_other_defaults() {
    let text = fs::read_to_string(sample()).unwrap();
    let mut full = with(
        "[[listen]]\naddress = \"[::]:25\"\nproxy_protocol = true\nbalancers = [\"::1\"]\n\
         [tls]\ncertificate = \"/c\"\nprivate_key = \"/k\"\n\
         [[tls.name]]\ncertificate = \"/d\"\nprivate_key = \"/l\"\n[hooks]\ncommand = \"/h\"\nwebhook = \"http://h\"\nveto = \"/v\"\nveto_webhook = \"http://v\"\nca = \"/c\"\n[web]\naddress = \"127.0.0.1:80\"\ntoken_file = \"/t\"\n[mover]\n\
         source = { host = \"old.example\" }\ntarget = { host = \"new.example\" }\n\
         [[mover.rename]]\nfrom = \"a\"\nto = \"b\"\n",
    )
    .unwrap();
    full.hostname = "hold.example.net".into();
    let mut at = 0;
    for line in full.to_toml().lines().filter(|line| !line.is_empty()) {
        let wanted = match line.split_once(" = ") {
            Some((key, _)) => format!("\n{key} = "),
            None => format!("\n{line}\n"),
        };
        let commented = wanted.replacen('\n', "\n#", 1);
        let rest = &text[at..];
        let found = rest.find(&wanted).or_else(|| rest.find(&commented));
        at += found.unwrap_or_else(|| panic!("{wanted:?} is missing or out of order"));
    }
    let Config { spool, control, .. } = parse(MINIMAL).unwrap();
    for default in [&spool.path, &control.socket] {
        assert!(text.contains(&format!("Default: {default:?}.")));
    }
    assert!(text.contains("\"[::]:25\", which is the default"));
    assert!(
        text.contains("port = 25, protocol = \"smtp\", tls = \"opportunistic\", xclient = \"auto\", connections = 20")
    );
}

/// No value is a default here.
const FULL: &str = r#"
hostname = "Hold.Example.NET"
listen = [{ address = "0.0.0.0:2525", tls = "none" }, { address = "[::1]:465", tls = "implicit", proxy_protocol = true, balancers = ["192.0.2.10", "10.0.0.0/8"] }]
[tls]
certificate = "chain \"1\".pem"
private_key = "/k\\ey.pem"
[[tls.name]]
certificate = "other.pem"
private_key = "/other-key.pem"
[spool]
path = "/srv/spool"
retain_delivered = "1h 30m"
retain_records = "0s"
min_free = 1025
[limits]
message_size = "10 MB"
bare_newline = "reject"
connections = 10
connections_per_ip = 5
recipients = 100
command_timeout = "1500ms"
retry_window = "0s"
errors = 3
messages_per_ip = 100
recipients_per_ip = 1000
rate_period = "1h"
[verify]
timeout = "5s"
known_for = "1d"
refresh_after = "2h"
unknown_for = "1m"
addresses = 5
[[domain]]
name = "A.example."
recipients = "file:users.txt"
[domain.destination]
host = "2001:DB8::25"
port = 24
protocol = "lmtp"
tls = "verified"
connections = 1
[[domain]]
name = "bücher.example"
recipients = "verify"
destination = { host = "New.Example", tls = "required" }
[release]
gate = "mailbox"
retry_min = "20ms"
retry_max = "1d"
in_doubt = "park"
in_doubt_after = "2m 3s"
stop_after_refusals = 1
stop_after_doubts = 2
stop_after_wrong = 4
[hooks]
command = "hook"
veto_webhook = "http://[::1]:80/"
ca = "hooks.pem"
timeout = "1500ms"
[control]
socket = "../c.sock"
[log]
syslog_name = "postfix/hold"
"#;

#[test]
fn what_is_shown_reads_back_and_stays() {
    for text in [MINIMAL, FULL] {
        let config = parse(text).unwrap();
        let shown = config.to_toml();
        let again = Config::parse(&shown, Path::new("/elsewhere/x.toml")).unwrap();
        assert_eq!(again, config, "{shown}");
        assert_eq!(again.to_toml(), shown);
    }
}

#[test]
fn every_value_is_read() {
    let config = parse(FULL).unwrap();
    assert_eq!(config.hostname, "hold.example.net");
    assert_eq!(config.listen[1].tls, ListenTls::Implicit);
    let balancers = config.listen[1].balancers.as_ref().unwrap();
    assert!(balancers[1].contains("10.1.2.3".parse().unwrap()));
    assert_eq!(config.limits.recipients_per_ip, 1000);
    assert_eq!(config.verify.unknown_for, Duration::from_secs(60));
    assert_eq!(config.domains[1].recipients, Recipients::Verify);
    assert_eq!(config.spool.min_free_bytes, 1025);
    assert_eq!(config.spool.retain_records, Duration::ZERO);
    assert_eq!(config.limits.message_size_bytes, 10_000_000);
    assert_eq!(config.limits.bare_newline, BareNewline::Reject);
    assert_eq!(config.limits.command_timeout, Duration::from_millis(1500));
    assert_eq!(config.limits.retry_window, Duration::ZERO);
    let [a, b] = &config.domains[..] else {
        panic!("two domains: {:?}", config.domains);
    };
    assert_eq!(
        (a.name.as_str(), b.name.as_str()),
        ("a.example", "bücher.example")
    );
    assert_eq!(a.destination.host, "2001:db8::25");
    assert_eq!(a.destination.protocol, DestinationProtocol::Lmtp);
    assert_eq!(b.destination.host, "new.example");
    assert_eq!(config.release.in_doubt, InDoubtPolicy::Park);
    assert_eq!(config.release.gate, ReleaseGate::Mailbox);
    let hooks = config.hooks.unwrap();
    assert_eq!(hooks.veto_webhook.as_deref(), Some("http://[::1]:80/"));
    assert_eq!((hooks.veto, hooks.webhook), (None, None));
    assert_eq!(hooks.timeout, Duration::from_millis(1500));
    assert_eq!(config.log.syslog_name, "postfix/hold");
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = parse(FULL).unwrap();
    let Tls { default, names } = config.tls.unwrap();
    assert_eq!(default.certificate, Path::new("/etc/relay/chain \"1\".pem"));
    assert_eq!(names[0].certificate, Path::new("/etc/relay/other.pem"));
    assert_eq!(config.control.socket, Path::new("/etc/c.sock"));
    assert_eq!(
        config.domains[0].recipients,
        Recipients::File("/etc/relay/users.txt".into())
    );

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    fs::write(&file, format!("{MINIMAL}[spool]\npath = \"held\"\n")).unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(
        config.spool.path,
        dir.path().canonicalize().unwrap().join("held")
    );
}

#[test]
fn one_run_reports_every_problem_with_file_line_and_key() {
    let text = "\
hostname = \"two words\"
[limits]
recipients = 5
mesage_size = \"50 MiB\"
connections = \"many\"
[[domain]]
name = \"example.com\"
destination = { host = \"new.example\", tls = \"always\" }
[[domain]]
name = \"EXAMPLE.com\"
recipients = \"verified\"
destination = { host = \"new.example:25\", port = 70000 }
[[domain]]
destination = {}
";
    let found = lines(Config::parse(text, Path::new("conf/relay.toml")));
    let expected = [
        "conf/relay.toml:1: hostname: \"two words\" holds a character other than letters, \
         digits, hyphens and dots",
        "conf/relay.toml:3: limits.recipients: 5 is too few; allowed are 100 to 50000 \
         (RFC 5321 §4.5.3.1.8)",
        "conf/relay.toml:4: limits.mesage_size: unknown key; did you mean `message_size`? \
         allowed are message_size, bare_newline, connections, connections_per_ip, recipients, \
         command_timeout, retry_window, errors, messages_per_ip, recipients_per_ip, \
         rate_period",
        "conf/relay.toml:5: limits.connections: is a text; a whole number without quotes is \
         expected",
        "conf/relay.toml:8: domain.destination.tls: \"always\" is not allowed; allowed are \
         \"none\", \"opportunistic\", \"required\", \"verified\"",
        "conf/relay.toml:10: domain.name: \"example.com\" is there already, at line 7; each \
         may be there once",
        "conf/relay.toml:11: domain.recipients: \"verified\" is not allowed; allowed are \
         \"any\", \"file:PATH\" and \"verify\"",
        "conf/relay.toml:12: domain.destination.port: 70000 is too large; allowed are 1 to \
         65535",
        "conf/relay.toml:12: domain.destination.host: \"new.example:25\" holds a colon; \
         write the port as `port = N`",
        "conf/relay.toml:13: domain.name: missing; the domain's name is needed",
        "conf/relay.toml:14: domain.destination.host: missing; the new server's name or \
         address is needed",
    ];
    assert_eq!(found, expected);
}

#[test]
fn one_problem_is_one_line() {
    const FILE: &str = "/etc/relay/relay.toml";
    for (more, line, says) in [
        (
            "[limits]\nmessage_size = 0",
            5,
            "limits.message_size: 0 is too small; allowed are 1 B to 4 GiB",
        ),
        (
            "[limits]\nmessage_size = -1",
            5,
            "limits.message_size: -1 is too small",
        ),
        (
            "[limits]\nmessage_size = \"5 M\"",
            5,
            "limits.message_size: unknown unit \"M\"; allowed are B, kB",
        ),
        (
            "[limits]\nmessage_size = 1.5",
            5,
            "limits.message_size: is a number with a fraction; a size such as \"50 MiB\" is expected",
        ),
        (
            "[limits]\nerrors = 99999999999999999999999",
            5,
            "limits.errors: ",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nproxy_protocol = true",
            4,
            "listen.balancers: missing; whose headers are believed is needed",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nbalancers = [\"::1\"]",
            6,
            "listen.balancers: means nothing without proxy_protocol = true",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nproxy_protocol = true\nbalancers = [\"::1/64\"]",
            7,
            "listen.balancers: \"::1/64\" has bits set behind its prefix",
        ),
        (
            "[limits]\ncommand_timeout = 300",
            5,
            "limits.command_timeout: is a number; a duration such as",
        ),
        (
            "[limits]\ncommand_timeout = \"300\"",
            5,
            "limits.command_timeout: \"300\" has no unit",
        ),
        (
            "[limits]\ncommand_timeout = \"2h\"",
            5,
            "limits.command_timeout: 2h is too long; allowed are 1s to 1h",
        ),
        (
            "[spool]\npath = \"\"",
            5,
            "spool.path: is empty; a path is expected",
        ),
        (
            "[spool]\npath = \"a\\u0000b\"",
            5,
            "spool.path: \"a?b\" holds a control character",
        ),
        (
            "[tls]\ncertificate = \"/c\"",
            4,
            "tls.private_key: missing; the path of a PEM file is needed",
        ),
        (
            "[tls]\ncertificate = \"/c\"\nprivate_key = \"/k\"\n[[tls.name]]\nprivate_key = \"/l\"",
            7,
            "tls.name.certificate: missing; the path of a PEM file is needed",
        ),
        (
            "[control]\nsocket = \"/SOCKET\"",
            5,
            "bytes; the path of a Unix socket has at most 107",
        ),
        (
            "[log]\nsyslog_name = \"a b\"",
            5,
            "log.syslog_name: \"a b\" is not allowed; allowed are 1 to 32 ASCII",
        ),
        (
            "[release]\nretry_min = \"1h\"",
            5,
            "release.retry_min: the first wait, retry_min (1h), is longer than the longest, retry_max (30m)",
        ),
        (
            "[release]\nretry_max = \"1s\"",
            5,
            "release.retry_max: the first wait",
        ),
        (
            "[release]\nin_doubt = \"drop\"",
            5,
            "release.in_doubt: \"drop\" is not allowed; allowed are \"resend\", \"park\"",
        ),
        (
            "[[listen]]\ntls = \"none\"",
            4,
            "listen.address: missing; an address such as",
        ),
        (
            "[[listen]]\naddress = \"localhost:2525\"",
            5,
            "listen.address: \"localhost:2525\" is not allowed; allowed are an IP address with a port",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\n[[listen]]\naddress = \"[::]:25\"",
            7,
            "listen.address: \"[::]:25\" is there already, at line 5",
        ),
        (
            "[listen]\naddress = \"[::]:25\"",
            4,
            "listen: is a table; a list of tables, each under a [[double]] header is expected",
        ),
        (
            "[[domain]]\nname = \"b.example\"",
            4,
            "domain.destination: missing; where the mail is released to",
        ),
        (
            "[[domain]]\nname = \"b.example\"\ndestination = \"x\"",
            6,
            "domain.destination: is a text; a table is expected",
        ),
        (
            "[[domain]]\nname = \"b.example\"\nrecipients = \"file:\"\ndestination = { host = \"x\" }",
            6,
            "domain.recipients: \"file:\" is not allowed; allowed are \"any\", \"file:PATH\" and \"verify\"",
        ),
        (
            "[[domain]]\nname = \"b.example\"\ndestination = { host = \"x\", protocol = \"lmtp\" }",
            6,
            "domain.destination.port: missing; LMTP has no default port and is never on 25 (RFC 2033 §5)",
        ),
        (
            "[[domain]]\nname = \"b.example\"\ndestination = { host = \"x\", protocol = \"lmtp\", port = 25 }",
            6,
            "domain.destination.port: 25 is SMTP's; LMTP",
        ),
        (
            "[cluster]\naddress = \"127.0.0.1:80\"",
            4,
            "cluster: unknown key; allowed are hostname, listen",
        ),
        (
            "[limits]\nmin_free = \"1 GiB\"",
            5,
            "limits.min_free: unknown key; did you mean `spool.min_free`?",
        ),
        ("[limits]\nerrors = 1\nerrors = 2", 6, "duplicate key"),
        ("[limits", 4, "unclosed table"),
    ] {
        let more = more.replace("SOCKET", &"x".repeat(107));
        let said = said(&more);
        assert_eq!(said.len(), 1, "{more}\n{said:?}");
        assert!(said[0].starts_with(&format!("{FILE}:{line}: ")), "{said:?}");
        assert!(said[0].contains(says), "{said:?} should say {says}");
    }
}

#[test]
fn a_domain_must_be_there() {
    for text in ["", "domain = []"] {
        let found = lines(parse(text));
        assert_eq!(
            found,
            [
                "/etc/relay/relay.toml:1: domain: missing; at least one [[domain]] with name and \
              destination is needed"
            ]
        );
    }
    assert_eq!(
        lines(parse("domain = 3")),
        [
            "/etc/relay/relay.toml:1: domain: is a number; a list of tables, each under a \
          [[double]] header is expected"
        ]
    );
}

#[test]
fn several_listeners_may_take_any_free_port() {
    let free = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
    assert_eq!(with(&free.repeat(2)).unwrap().listen.len(), 2);
}

#[test]
fn a_flood_of_problems_is_bounded() {
    let flood: String = (0..5000).map(|n| format!("key{n} = 1\n")).collect();
    let found = lines(parse(&format!("{flood}{MINIMAL}")));
    assert_eq!(found.len(), 101);
    assert!(
        found[100].ends_with(": 4900 more problems are not listed"),
        "{}",
        found[100]
    );
}

#[test]
fn an_unreadable_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relay.toml");
    let error = Config::load(&file).unwrap_err();
    assert!(matches!(&error, ConfigError::Unreadable { file: named, .. } if *named == file));
    assert!(
        error.to_string().contains("relay.toml: cannot be read: "),
        "{error}"
    );
    assert!(error.problems().is_empty());

    fs::write(&file, b"hostname = \"a\"\n# caf\xe9\n").unwrap();
    let error = Config::load(&file).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("relay.toml:2: is not text in UTF-8"),
        "{error}"
    );
    assert_eq!(error.problems().len(), 1);

    let big = fs::File::create(&file).unwrap();
    big.set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = Config::load(&file).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn any_value_is_answered(key in "[a-z_]{1,20}", value in "\\PC{0,40}") {
        for text in [format!("[limits]\n{key} = {value}"), format!("{key} = {value:?}")] {
            let _ = with(&text);
        }
    }
}
