//! The new server.

use super::{Fault, fault, features_again, offer, unedit};

pub const NEW_SERVER: [Fault; 14] = [
    fault(
        "destination",
        "nobody there",
        "fail",
        "Connection refused",
        |world| {
            let port = world.new.port;
            world.edit(&format!("port = {port}, protocol"), "port = 9, protocol");
        },
        unedit,
    ),
    fault(
        "destination",
        "a destination that is the relay",
        "fail",
        "this relay's own hostname",
        |world| {
            let (own, new) = (world.relay.port(), world.new.port);
            let to = format!("port = {own}, protocol");
            world.edit(&format!("port = {new}, protocol"), &to);
        },
        unedit,
    ),
    fault(
        "destination-tls",
        "no TLS, and it is required",
        "fail",
        "STARTTLS is not offered, and it is required",
        |world| {
            world.new.change(|new| new.tls = None);
            world.edit(
                "protocol = \"smtp\"",
                "protocol = \"smtp\", tls = \"required\"",
            );
        },
        |world| {
            let pair = world.authority.sign("new.corp.example", 2100);
            world.new.change(|new| new.tls = Some(pair.server()));
            world.edits.clear();
        },
    ),
    fault(
        "destination-tls",
        "no TLS",
        "warn",
        "in the clear",
        |world| world.new.change(|new| new.tls = None),
        |world| {
            let pair = world.authority.sign("new.corp.example", 2100);
            world.new.change(|new| new.tls = Some(pair.server()));
        },
    ),
    fault(
        "destination-tls",
        "a certificate that has expired",
        "warn",
        "expired",
        |world| {
            let pair = world.authority.sign("new.corp.example", 2021);
            world.new.change(|new| new.tls = Some(pair.server()));
        },
        |world| {
            let pair = world.authority.sign("new.corp.example", 2100);
            world.new.change(|new| new.tls = Some(pair.server()));
        },
    ),
    fault(
        "destination-size",
        "a limit below a held message",
        "fail",
        "a held message has",
        |world| offer(world, "SIZE 500"),
        features_again,
    ),
    fault(
        "destination-size",
        "a limit below the relay's",
        "warn",
        "the relay 52.4 MB",
        |world| offer(world, "SIZE 10000000"),
        features_again,
    ),
    fault(
        "destination-extensions",
        "an extension that held mail needs",
        "fail",
        "SMTPUTF8 (1 held messages need it)",
        |world| offer(world, "SMTPUTF8"),
        features_again,
    ),
    fault(
        "destination-extensions",
        "an extension that mail may need",
        "warn",
        "8BITMIME",
        |world| offer(world, "8BITMIME"),
        features_again,
    ),
    fault(
        "recipients",
        "a mailbox that is not there",
        "fail",
        "550 5.1.1 Unknown",
        |world| {
            world.new.change(|new| {
                new.refused = vec![("eve@corp.example", "550 5.1.1 Unknown")];
            });
        },
        |world| world.new.change(|new| new.refused.clear()),
    ),
    fault(
        "recipients",
        "greylisting",
        "fail",
        "450 4.2.0 Greylisted",
        |world| {
            world.new.change(|new| {
                new.refused = vec![("bob@corp.example", "450 4.2.0 Greylisted")];
            });
        },
        |world| world.new.change(|new| new.refused.clear()),
    ),
    fault(
        "xclient",
        "XCLIENT that is refused",
        "warn",
        "550 5.7.0 not you",
        |world| world.new.change(|new| new.xclient = "550 5.7.0 not you"),
        |world| {
            world
                .new
                .change(|new| new.xclient = "220 new.corp.example ESMTP")
        },
    ),
    fault(
        "xclient",
        "no XCLIENT, and it is required",
        "fail",
        "not offered",
        |world| {
            offer(world, "XCLIENT");
            world.edit(
                "protocol = \"smtp\"",
                "protocol = \"smtp\", xclient = \"require\"",
            );
        },
        |world| {
            features_again(world);
            world.edits.clear();
        },
    ),
    fault(
        "spf-dmarc",
        "a new server that takes the relay for the client",
        "warn",
        "SPF and DMARC p=reject",
        |world| offer(world, "XCLIENT"),
        features_again,
    ),
];
