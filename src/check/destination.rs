//! The new server, spoken to as a release does, as far as RCPT; DATA is never sent.

mod recipients;

use super::{
    CONNECT_MAX, Checker, Depth, Held, REPLY_MAX,
    certificate::{Dates, dates},
    fail, ok, probe, warn,
};
use crate::{
    config::{Destination, DestinationProtocol, DestinationTls, DestinationXclient, Domain},
    ledger::Finding,
    release::{
        Timeouts,
        commands::Features,
        connection::{Connection, Setup},
        outside::tcp,
        reply::{Failure, FailureKind, Phase},
        target::Target,
    },
};
use rustls::pki_types::UnixTime;
use std::sync::Arc;
use tokio::{net::lookup_host, time::timeout};

/// An address that nobody has (RFC 5737), as the client that XCLIENT names.
const SOMEBODY: &str = "192.0.2.1";

/// What the new server is told about where mail came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// The client, so that its checks see it.
    pub(super) client: bool,
}

/// Without the second where the server could not be spoken to.
pub(super) async fn check(checker: &Checker, domain: &Domain) -> (Vec<Finding>, Option<Told>) {
    let destination = &domain.destination;
    let reached = Connection::open(&setup(checker, destination, DestinationTls::None)).await;
    let plain = match reached {
        Ok(connection) => connection,
        Err(failure) => return (vec![unreached(&failure)], None),
    };
    let found = format!("{} is {}", plain.relay, plain.features.name);
    let mut findings = vec![ok("destination", found)];
    let offered = plain.features.starttls;
    plain.quit().await;
    findings.push(tls(checker, destination, offered).await);
    let opened = Connection::open(&setup(checker, destination, destination.tls)).await;
    let Ok(mut connection) = opened else {
        // `destination-tls` has said why.
        return (findings, None);
    };
    let held = checker.known.held.get(&domain.name).cloned();
    let held = held.unwrap_or_default();
    let ours = checker.config.limits.message_size_bytes;
    findings.push(size(&connection.features, ours, held.largest_bytes));
    findings.push(extensions(&connection.features, &held));
    if checker.depth == Depth::Full {
        let mover = checker.config.mover.as_ref();
        findings.push(recipients::check(&mut connection, domain, &held, mover).await);
    }
    let (client, told) = xclient(&mut connection, destination.xclient).await;
    findings.push(client);
    connection.quit().await;
    (findings, Some(told))
}

fn setup(checker: &Checker, destination: &Destination, tls: DestinationTls) -> Setup {
    let destination = Destination {
        // No password in the clear where none was asked for so.
        login: destination.login.clone().filter(|_| tls == destination.tls),
        tls,
        ..destination.clone()
    };
    Setup {
        target: Target::of(&destination),
        hostname: checker.config.hostname.clone(),
        tls: checker.tls.clone(),
        timeouts: Timeouts {
            connect: CONNECT_MAX,
            greeting: REPLY_MAX,
            hello: REPLY_MAX,
            mail: REPLY_MAX,
            rcpt: REPLY_MAX,
            ..Timeouts::default()
        },
        throttle: Arc::default(),
        dial: tcp(),
    }
}

fn unreached(failure: &Failure) -> Finding {
    let fix = match &failure.kind {
        FailureKind::Itself => {
            "set destination to the new server's own name or address, or give \
                                one of the two another name"
        }
        FailureKind::Said(_) => "let the new server take connections from the relay",
        _ => {
            "start the new server; let its port in from the relay; see to destination's host and \
              port"
        }
    };
    let temporary = match &failure.kind {
        FailureKind::Said(reply) => reply.is_transient(),
        FailureKind::Silent(_) | FailureKind::Lost { .. } => true,
        _ => false,
    };
    Finding {
        temporary,
        ..fail("destination", failure.to_string(), fix)
    }
}

async fn tls(checker: &Checker, destination: &Destination, offered: bool) -> Finding {
    const NAME: &str = "destination-tls";
    let wanted = destination.tls;
    if wanted == DestinationTls::None {
        return ok(NAME, "tls = \"none\": mail goes in the clear");
    }
    if !offered {
        let fix = "switch TLS on there, or set tls = \"none\" where the way is safe";
        let found = "STARTTLS is not offered";
        return match wanted {
            DestinationTls::Opportunistic => warn(NAME, format!("{found}: in the clear"), fix),
            _ => fail(NAME, format!("{found}, and it is required"), fix),
        };
    }
    if let Err(failure) = Connection::open(&setup(checker, destination, wanted)).await {
        let fix = "mend the certificate or the name there; destination.host must be a name in it";
        return fail(NAME, failure.to_string(), fix);
    }
    let host = &destination.host;
    let chain = match shown(checker, destination).await {
        Ok(chain) => chain,
        // A release would go on in the clear.
        Err(why) => return warn(NAME, why, "mend TLS there"),
    };
    let now_s = UnixTime::now().as_secs().cast_signed();
    let dates = chain
        .first()
        .map_or(Dates::Unreadable, |own| dates(own, now_s));
    if !matches!(dates, Dates::Good(_)) {
        let found = format!("{host}: a certificate is shown, and {}", dates.words());
        return warn(NAME, found, "renew it");
    }
    let known = match checker.trust.verify(&chain, host) {
        Ok(()) => "of a known authority".to_owned(),
        Err(why) => format!("of no known one ({why}), for which tls = \"verified\" alone asks"),
    };
    ok(NAME, format!("{host}: {}, {known}", dates.words()))
}

/// The certificates that it shows.
async fn shown(checker: &Checker, destination: &Destination) -> Result<probe::Chain, String> {
    let host = &destination.host;
    let lookup = lookup_host((host.as_str(), destination.port));
    let addresses = timeout(CONNECT_MAX, lookup).await;
    let addresses = addresses.map_err(|_| "the name lookup took too long".to_owned())?;
    let addresses = addresses.map_err(|error| error.to_string())?;
    let mut last = format!("{host} has no address");
    for address in addresses {
        match probe::look(checker, address, host, destination.protocol).await {
            Ok(seen) => return seen.chain.ok_or("STARTTLS is not offered any more".into()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn size(features: &Features, ours: u64, largest_held: u64) -> Finding {
    const NAME: &str = "destination-size";
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let Some(theirs) = features.size.filter(|size| *size > 0) else {
        return ok(NAME, "it names no limit");
    };
    if largest_held > theirs {
        let found = format!(
            "it takes {}, and a held message has {}",
            megabytes(theirs),
            megabytes(largest_held)
        );
        let fix = "raise it there until the release is done (Postfix: message_size_limit)";
        return fail(NAME, found, fix);
    }
    let found = format!(
        "it takes {}, the relay {}",
        megabytes(theirs),
        megabytes(ours)
    );
    if theirs < ours {
        let fix = "raise it there, or lower limits.message_size to it, so that senders hear at \
                   once";
        return warn(NAME, found, fix);
    }
    ok(NAME, found)
}

fn extensions(features: &Features, held: &Held) -> Finding {
    const NAME: &str = "destination-extensions";
    let binary = features.binarymime && features.chunking;
    let all = [
        ("SMTPUTF8", features.smtputf8, held.smtputf8, true),
        ("8BITMIME", features.eight_bit_mime, held.eight_bit, true),
        ("BINARYMIME", binary, held.binary, false),
    ];
    let missing = all.iter().filter(|(_, offered, ..)| !offered);
    let needed: Vec<String> = (missing.clone())
        .filter(|(_, _, held, _)| *held > 0)
        .map(|(name, _, held, _)| format!("{name} ({held} held messages need it)"))
        .collect();
    let fix = "switch it on there: relay converts nothing, and such a message is parked";
    if !needed.is_empty() {
        return fail(NAME, format!("it lacks {}", needed.join(", ")), fix);
    }
    let usual = missing.filter(|(.., usual)| *usual);
    let usual: Vec<&str> = usual.map(|(name, ..)| *name).collect();
    if !usual.is_empty() {
        return warn(NAME, format!("it lacks {}", usual.join(", ")), fix);
    }
    ok(NAME, "it has all that the relay takes")
}

/// Tried, not only looked at: the session is somebody else's afterwards.
async fn xclient(connection: &mut Connection, wanted: DestinationXclient) -> (Finding, Told) {
    const NAME: &str = "xclient";
    let (yes, no) = (Told { client: true }, Told { client: false });
    if wanted == DestinationXclient::Off {
        return (ok(NAME, "xclient = \"off\""), no);
    }
    let refused = |found: String| {
        let fix = "let the relay's address use it (Postfix: smtpd_authorized_xclient_hosts; \
                   Dovecot LMTP: login_trusted_networks), or set xclient = \"off\"";
        match wanted {
            DestinationXclient::Require => (fail(NAME, found, fix), no),
            _ => (warn(NAME, found, fix), no),
        }
    };
    let offered = &connection.features.xclient;
    if !offered.iter().any(|name| name == "ADDR") {
        return refused("it is not offered to the relay".into());
    }
    let name = match offered.iter().any(|name| name == "NAME") {
        true => "NAME=[UNAVAILABLE] ",
        false => "",
    };
    let line = format!("XCLIENT {name}ADDR={SOMEBODY}\r\n");
    match connection.command(Phase::Xclient, REPLY_MAX, &line).await {
        Ok(reply) if reply.is_positive() => (ok(NAME, "the relay may name each client"), yes),
        Ok(reply) => refused(format!("it said {}", reply.text)),
        Err(failure) => refused(failure.to_string()),
    }
}

/// `LMTP` or `SMTP`, for messages.
fn spoken(protocol: DestinationProtocol) -> &'static str {
    match protocol {
        DestinationProtocol::Smtp => "SMTP",
        DestinationProtocol::Lmtp => "LMTP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Verdict::{Fail, Ok as Good, Warn};

    fn offering(lines: &str) -> Features {
        Features::parse(format!("250-new.example\r\n{lines}").as_bytes())
    }

    #[test]
    fn size_is_measured_against_what_is_held_and_what_is_taken() {
        let features = offering("250 SIZE 1000\r\n");
        assert_eq!(size(&features, 1000, 0).verdict, Good);
        assert_eq!(size(&features, 2000, 1000).verdict, Warn);
        assert_eq!(size(&features, 1000, 1001).verdict, Fail);
        assert_eq!(size(&offering("250 DSN\r\n"), 2000, 5000).verdict, Good);
    }

    #[test]
    fn extensions_fail_where_held_mail_needs_them() {
        let held = Held {
            smtputf8: 2,
            ..Held::default()
        };
        let eight = offering("250 8BITMIME\r\n");
        assert_eq!(extensions(&eight, &Held::default()).verdict, Warn);
        assert_eq!(extensions(&eight, &held).verdict, Fail);
        let both = offering("250-8BITMIME\r\n250 SMTPUTF8\r\n");
        assert_eq!(extensions(&both, &held).verdict, Good);
    }
}
