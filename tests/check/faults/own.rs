//! The spool, and the relay's own name, address and certificate.

use super::{Fault, dns_again, fault, unedit};
use std::fs;

pub const DISK: [Fault; 2] = [
    fault(
        "spool-sync",
        "a spool that is no directory",
        "fail",
        "cannot be written",
        |world| {
            let spool = world.directory.path().join("spool");
            world.edit(&format!("path = {spool:?}"), "path = \"ca.pem\"");
        },
        unedit,
    ),
    fault(
        "spool-space",
        "a disk with too little room",
        "fail",
        "no mail is taken",
        |world| world.edit("min_free = \"1 MiB\"", "min_free = \"900 TiB\""),
        unedit,
    ),
];

pub const OWN: [Fault; 10] = [
    fault(
        "address",
        "a name without address",
        "fail",
        "neither A nor AAAA",
        |world| world.resolver_with(&[("hold.example.net 300 A 0.0.0.0\n", "")]),
        dns_again,
    ),
    fault(
        "address",
        "an alias",
        "fail",
        "is an alias of",
        |world| {
            let alias = "hold.example.net 300 CNAME x.example.net\nx.example.net 300 A 127.0.0.1\n";
            world.resolver_with(&[("hold.example.net 300 A 0.0.0.0\n", alias)]);
        },
        dns_again,
    ),
    fault(
        "reverse",
        "an address of another name",
        "warn",
        "0.0.0.0 is dialup",
        |world| world.resolver_with(&[("PTR hold.example.net", "PTR dialup.example.org")]),
        dns_again,
    ),
    fault(
        "reverse",
        "an address without name",
        "warn",
        "has no name",
        |world| world.resolver_with(&[("0.0.0.0.in", "1.0.0.0.in")]),
        dns_again,
    ),
    fault(
        "port-25",
        "a closed port",
        "fail",
        "refused",
        |world| {
            let own = world.relay.port();
            world.edit(&format!("\nport = {own}\n"), "\nport = 9\n");
        },
        unedit,
    ),
    fault(
        "port-25",
        "another server at the relay's address",
        "fail",
        "another server",
        |world| {
            let (own, new) = (world.relay.port(), world.new.port);
            world.edit(&format!("\nport = {own}\n"), &format!("\nport = {new}\n"));
        },
        unedit,
    ),
    fault(
        "certificate",
        "a certificate that has expired",
        "fail",
        "expired",
        |world| {
            let (own, front) = (world.relay.port(), world.front.port);
            world.edit(&format!("\nport = {own}\n"), &format!("\nport = {front}\n"));
        },
        unedit,
    ),
    fault(
        "certificate",
        "a certificate of nobody's authority",
        "warn",
        "senders without MTA-STS or DANE do not mind",
        |world| {
            let stranger = crate::pki::Authority::new();
            fs::write(world.directory.path().join("other.pem"), stranger.pem()).unwrap();
            world.edit("ca = \"ca.pem\"", "ca = \"other.pem\"");
        },
        unedit,
    ),
    fault(
        "tlsa",
        "a record of another certificate",
        "fail",
        "none of the certificate shown",
        |world| world.resolver_with(&[("TLSA 3 0 1 ", "TLSA 3 0 1 00")]),
        dns_again,
    ),
    fault(
        "tlsa",
        "a record, and no TLS",
        "fail",
        "showed none",
        |world| {
            let own = world.relay.port();
            world.edit(&format!("\nport = {own}\n"), "\nport = 9\n");
        },
        unedit,
    ),
];
