//! Every default and every bound, in one place.

use super::{
    BareNewline, Check, Control, DestinationProtocol, DestinationTls, DestinationXclient,
    DnsConfig, InDoubtPolicy, Limits, Listen, ListenTls, Log, Release, ReleaseGate, ReleaseOrder,
    SpoolConfig, Verify, host,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl Default for Listen {
    /// Port 25 of all addresses, IPv4 too, with STARTTLS.
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 25)),
            tls: ListenTls::Starttls,
            balancers: None,
        }
    }
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            client_names: true,
            zones: Vec::new(),
        }
    }
}

impl Default for Check {
    fn default() -> Self {
        Self {
            every: 10 * MINUTE,
            port: 25,
            https_proxy: None,
            ca: None,
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/spool/relay"),
            retain_delivered: 7 * DAY,
            retain_records: 90 * DAY,
            min_free_bytes: 2 << 30,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size_bytes: 50 << 20,
            bare_newline: BareNewline::Normalize,
            connections: 1000,
            connections_per_ip: 50,
            recipients: 1000,
            command_timeout: 5 * MINUTE,
            retry_window: HOUR,
            errors: 20,
            messages_per_ip: 0,
            recipients_per_ip: 0,
            rate_period: MINUTE,
        }
    }
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            timeout: 10 * SECOND,
            known_for: 31 * DAY,
            refresh_after: DAY,
            unknown_for: HOUR,
            addresses: 100_000,
        }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self {
            order: ReleaseOrder::Mailbox,
            gate: ReleaseGate::Domain,
            retry_min: 30 * SECOND,
            retry_max: 30 * MINUTE,
            in_doubt: InDoubtPolicy::Resend,
            in_doubt_after: 5 * MINUTE,
            stop_after_refusals: 10,
            stop_after_doubts: 5,
            stop_after_wrong: 3,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/relay/control.sock"),
        }
    }
}

/// Only this machine.
pub(super) const WEB_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8025);

impl Default for Log {
    fn default() -> Self {
        Self {
            syslog_name: "postfix-relay".to_owned(),
        }
    }
}

/// This machine's own name, if it is a usable one.
pub(super) fn hostname() -> Option<String> {
    let system = rustix::system::uname();
    host::name(system.nodename().to_str().ok()?).ok()
}

/// `listen.proxy_protocol`
pub(super) const PROXY_PROTOCOL: bool = false;

/// `domain.destination.port`
pub(super) const PORT: u16 = 25;
/// `domain.destination.protocol`
pub(super) const PROTOCOL: DestinationProtocol = DestinationProtocol::Smtp;
/// `domain.destination.tls`
pub(super) const TLS: DestinationTls = DestinationTls::Opportunistic;
/// `domain.destination.xclient`
pub(super) const XCLIENT: DestinationXclient = DestinationXclient::Auto;
/// `domain.destination.connections`
pub(super) const DESTINATION_CONNECTIONS: usize = 20;

/// `hooks.timeout`
pub(super) const HOOK: Duration = Duration::from_secs(10);
/// `mover.accounts`
pub(super) const ACCOUNTS: &str = "/etc/relay/accounts.csv";
/// `mover.parallel`
pub(super) const PARALLEL: usize = 4;
/// `mover.connections`
pub(super) const ACCOUNT_CONNECTIONS: usize = 3;
/// `mover.settle`
pub(super) const SETTLE: Duration = Duration::from_secs(600);
/// `mover.source.port` with implicit TLS
pub(super) const IMAPS_PORT: u16 = 993;
/// `mover.source.port` without
pub(super) const IMAP_PORT: u16 = 143;

/// The smallest and the largest value that is taken, both included.
pub(super) struct Bounds<T> {
    pub(super) min: T,
    pub(super) max: T,
    /// Whose rule it is; empty where it is only ours.
    pub(super) rule: &'static str,
}

impl<T> Bounds<T> {
    const fn new(min: T, max: T) -> Self {
        Self { min, max, rule: "" }
    }
}

pub(super) const MESSAGE_SIZE: Bounds<u64> = Bounds::new(1, 4 << 30);
pub(super) const CHECK_EVERY: Bounds<Duration> = Bounds::new(Duration::ZERO, DAY);
pub(super) const MIN_FREE: Bounds<u64> = Bounds::new(0, 1 << 50);
pub(super) const CONNECTIONS: Bounds<usize> = Bounds::new(1, 100_000);
pub(super) const RECIPIENTS: Bounds<usize> = Bounds {
    min: 100,
    max: 50_000,
    rule: "RFC 5321 §4.5.3.1.8",
};
pub(super) const ERRORS: Bounds<usize> = Bounds::new(1, 10_000);
/// 0: no limit.
pub(super) const RATE: Bounds<usize> = Bounds::new(0, 1_000_000_000);
pub(super) const RATE_PERIOD: Bounds<Duration> = Bounds::new(SECOND, DAY);
pub(super) const VERIFY_TIMEOUT: Bounds<Duration> = Bounds::new(SECOND, MINUTE);
pub(super) const REMEMBERED: Bounds<Duration> =
    Bounds::new(SECOND, Duration::from_secs(366 * 86_400));
pub(super) const ADDRESSES: Bounds<usize> = Bounds::new(1, 10_000_000);
pub(super) const COMMAND_TIMEOUT: Bounds<Duration> = Bounds::new(SECOND, HOUR);
pub(super) const RETRY_WINDOW: Bounds<Duration> = Bounds::new(Duration::ZERO, DAY);
pub(super) const RETAIN: Bounds<Duration> =
    Bounds::new(Duration::ZERO, Duration::from_secs(3650 * 86_400));
pub(super) const RETRY: Bounds<Duration> =
    Bounds::new(Duration::from_millis(1), Duration::from_secs(86_400));
pub(super) const IN_DOUBT_AFTER: Bounds<Duration> =
    Bounds::new(Duration::ZERO, Duration::from_secs(30 * 86_400));
pub(super) const DELAY_WARNING: Bounds<Duration> =
    Bounds::new(Duration::ZERO, Duration::from_secs(30 * 86_400));
pub(super) const REFUSALS: Bounds<usize> = Bounds::new(1, 1_000_000);
pub(super) const TO_DESTINATION: Bounds<usize> = Bounds::new(1, 1000);
pub(super) const DESTINATION_PORT: Bounds<u16> = Bounds::new(1, u16::MAX);
pub(super) const HOOK_TIMEOUT: Bounds<Duration> =
    Bounds::new(Duration::from_millis(1), Duration::from_secs(600));
pub(super) const ACCOUNTS_AT_ONCE: Bounds<usize> = Bounds::new(1, 1000);
pub(super) const CONNECTIONS_OF_ACCOUNT: Bounds<usize> = Bounds::new(1, 10);
pub(super) const SETTLING: Bounds<Duration> =
    Bounds::new(Duration::ZERO, Duration::from_secs(30 * 86_400));
