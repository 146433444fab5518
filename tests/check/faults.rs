//! Every check fails when its fault is put in, and passes when it is mended.

use crate::{
    support::dns::Conduct,
    world::{FEATURES, HOSTNAME, World, ZONE, policy},
};
use hickory_resolver::proto::op::ResponseCode;
use relay::check::NAMES;
use std::{collections::BTreeSet, fs, time::Duration};

/// A fault, which check finds it, and what it says.
struct Fault {
    check: &'static str,
    what: &'static str,
    verdict: &'static str,
    /// Words of what is found.
    says: &'static str,
    put: fn(&mut World),
    mend: fn(&mut World),
}

const fn fault(
    check: &'static str,
    what: &'static str,
    verdict: &'static str,
    says: &'static str,
    put: fn(&mut World),
    mend: fn(&mut World),
) -> Fault {
    Fault {
        check,
        what,
        verdict,
        says,
        put,
        mend,
    }
}

fn unedit(world: &mut World) {
    world.edits.clear();
}

fn dns_again(world: &mut World) {
    world.zone(ZONE);
}

fn features_again(world: &mut World) {
    world.new.change(|new| new.features = FEATURES.to_vec());
}

fn policy_again(world: &mut World) {
    world.web.change(|web| {
        (web.status, web.body, web.behind) = ("200 OK", policy(HOSTNAME), Duration::ZERO);
    });
}

/// With this line in the place of the feature that begins with its first word.
fn offer(world: &World, line: &'static str) {
    let word = line.split(' ').next().unwrap();
    world.new.change(|new| {
        new.features.retain(|feature| !feature.starts_with(word));
        new.features.extend((line != word).then_some(line));
    });
}

const DISK: [Fault; 2] = [
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

const OWN: [Fault; 10] = [
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

const DNS: [Fault; 9] = [
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

const POLICY: [Fault; 5] = [
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

const NEW_SERVER: [Fault; 14] = [
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

const MAILBOXES: [Fault; 4] = [
    fault(
        "mailbox-login",
        "a wrong password",
        "fail",
        "eve at the new server",
        |world| accounts(world, "bob,pw,bob,pw\neve,pw,eve,wrong\n"),
        |world| accounts(world, "bob,pw,bob,pw\neve,pw,eve,pw\n"),
    ),
    fault(
        "mailbox-quota",
        "a mailbox that does not fit",
        "fail",
        "bob: the target's quota",
        |world| {
            let large = format!(
                "Message-ID: <large@test>\r\n\r\n{}\r\n",
                "x".repeat(300_000)
            );
            world.mailbox("put", "bob", &["INBOX"], large.as_bytes());
        },
        |world| world.mailbox("remove", "bob", &["INBOX", "<large@test>"], b""),
    ),
    fault(
        "mailbox-folders",
        "two folders that would become one",
        "warn",
        "would be the same folder",
        |world| {
            let rule = "[[mover.rename]]\nfrom = \"with space\"\nto = \"plain\"\n\n[check]";
            world.edit("[check]", rule);
        },
        unedit,
    ),
    fault(
        "mailbox-login",
        "an accounts file that is not there",
        "fail",
        "absent.csv",
        |world| world.edit("accounts = \"accounts.csv\"", "accounts = \"absent.csv\""),
        unedit,
    ),
];

fn accounts(world: &World, lines: &str) {
    let head = "source_user,source_password,target_user,target_password\n";
    let file = world.directory.path().join("accounts.csv");
    fs::write(file, format!("{head}{lines}")).unwrap();
}

fn all() -> impl Iterator<Item = &'static Fault> {
    [&DISK[..], &OWN, &DNS, &POLICY, &NEW_SERVER, &MAILBOXES]
        .into_iter()
        .flatten()
}

#[test]
fn every_check_has_a_fault() {
    let tried: BTreeSet<&str> = all().map(|fault| fault.check).collect();
    assert_eq!(tried, BTreeSet::from(NAMES));
}

#[test]
fn each_check_fails_by_its_fault_and_passes_when_it_is_mended() {
    let mut world = World::start("every = \"0s\"\n");
    let sound = world.check();
    assert_eq!(sound.wrong(), Vec::<&serde_json::Value>::new());
    assert_eq!(sound.code, Some(0));
    let names: BTreeSet<&str> = (sound.findings.iter())
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(NAMES), "every check was made");
    for fault in all() {
        (fault.put)(&mut world);
        let run = world.check();
        let found = run.of(fault.check);
        assert_eq!(found["verdict"], fault.verdict, "{}: {found}", fault.what);
        let text = found["found"].as_str().unwrap();
        assert!(text.contains(fault.says), "{}: {text}", fault.what);
        assert!(found["fix"].is_string(), "{}: {found}", fault.what);
        let failed = run.findings.iter().any(|one| one["verdict"] == "fail");
        assert_eq!(
            run.code != Some(0),
            failed,
            "{}: {:?}",
            fault.what,
            run.code
        );
        (fault.mend)(&mut world);
        let mended = world.check();
        assert_eq!(mended.of(fault.check)["verdict"], "ok", "{}", fault.what);
    }
    // All of it is as it was, and nobody has sent anything.
    assert_eq!(world.check().wrong(), Vec::<&serde_json::Value>::new());
    let commands = world.new.commands();
    assert!(
        !commands.iter().any(|line| line.starts_with("DATA")),
        "{commands:?}"
    );
}
