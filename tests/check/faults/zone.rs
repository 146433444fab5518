//! What the DNS and the policy on the web say of the domain.

use super::{Fault, dns_again, fault, policy_again};
use crate::{
    support::dns::Conduct,
    world::{ZONE, policy},
};
use hickory_resolver::proto::op::ResponseCode;
use std::time::Duration;

pub const DNS: [Fault; 9] = [
    fault(
        "mx",
        "an authoritative server with the old zone",
        "fail",
        "do not agree",
        |world| world.authorities[1].set(&ZONE.replace("hold.example.net", "old.corp.example")),
        dns_again,
    ),
    fault(
        "mx",
        "no authoritative server that answers",
        "fail",
        "said Server Failure",
        |world| {
            let broken = Conduct::Says(ResponseCode::ServFail);
            world.authorities.iter().for_each(|one| one.conduct(broken));
        },
        |world| {
            world
                .authorities
                .iter()
                .for_each(|one| one.conduct(Conduct::Sound))
        },
    ),
    fault(
        "mx",
        "an authoritative server that is none",
        "warn",
        "names others",
        |world| world.authorities[1].conduct(Conduct::Refers),
        |world| world.authorities[1].conduct(Conduct::Sound),
    ),
    fault(
        "mx",
        "an MX that has not moved",
        "warn",
        "mail still goes to 10 old.corp.example (TTL 300)",
        |world| world.zone(&ZONE.replace("hold.example.net", "old.corp.example")),
        dns_again,
    ),
    fault(
        "mx-others",
        "the old server still preferred",
        "fail",
        "past the relay to 5 old.corp.example",
        |world| world.zone(&format!("{ZONE}corp.example 300 MX 5 old.corp.example\n")),
        dns_again,
    ),
    fault(
        "mx-others",
        "a backup that is not the relay",
        "warn",
        "20 backup.example.org",
        |world| {
            world.zone(&format!(
                "{ZONE}corp.example 300 MX 20 backup.example.org\n"
            ))
        },
        dns_again,
    ),
    fault(
        "mx-caches",
        "a resolver that remembers the old server",
        "warn",
        "still says 10 old.corp.example",
        |world| world.resolver_with(&[("MX 10 hold.example.net", "MX 10 old.corp.example")]),
        dns_again,
    ),
    fault(
        "mx-caches",
        "an MX that is remembered for a day",
        "warn",
        "24 h",
        |world| world.zone(&ZONE.replace("300 MX", "86400 MX")),
        dns_again,
    ),
    fault(
        "spf-dmarc",
        "two SPF records",
        "warn",
        "2 SPF records",
        |world| {
            world.resolver_with(&[(
                "_dmarc.corp.example 300 TXT v=DMARC1; p=reject",
                "corp.example 300 TXT v=spf1 +all",
            )])
        },
        dns_again,
    ),
];

pub const POLICY: [Fault; 5] = [
    fault(
        "mta-sts",
        "a policy without the relay",
        "fail",
        "mode=enforce lists only old.corp.example",
        |world| {
            world
                .web
                .change(|web| web.body = policy("old.corp.example"))
        },
        policy_again,
    ),
    fault(
        "mta-sts",
        "a policy that is not there",
        "fail",
        "404",
        |world| world.web.change(|web| web.status = "404 Not Found"),
        policy_again,
    ),
    fault(
        "mta-sts",
        "two records",
        "warn",
        "2 records",
        |world| {
            let again = "v=STSv1; id=1\n_mta-sts.corp.example 300 TXT v=STSv1; id=2";
            world.resolver_with(&[("v=STSv1; id=1", again)]);
        },
        dns_again,
    ),
    fault(
        "clock",
        "a clock that is two hours ahead",
        "fail",
        "from what 1 web server",
        |world| {
            world
                .web
                .change(|web| web.behind = Duration::from_secs(7_500))
        },
        policy_again,
    ),
    fault(
        "clock",
        "a clock that is two minutes ahead",
        "warn",
        "from what 1 web server",
        |world| {
            world
                .web
                .change(|web| web.behind = Duration::from_secs(150))
        },
        policy_again,
    ),
];
