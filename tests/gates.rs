//! `relay release --after-sync`: nothing goes before the mover has converged since the hold.

mod support;

use relay::ledger::{AccountState, Durability, Moved, MovedAccount};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use support::{
    client::Client,
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings},
    scripted::Scripted,
    temp,
};

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// What the mover would say: each account converged then, or is being copied.
fn say(directory: &Path, accounts: &[(&str, Option<u64>)]) {
    let accounts = accounts.iter().map(|(name, converged_ms)| MovedAccount {
        source: (*name).into(),
        target: (*name).into(),
        state: match converged_ms {
            Some(_) => AccountState::Converged,
            None => AccountState::Copying,
        },
        converged_ms: *converged_ms,
        ..MovedAccount::default()
    });
    let moved = Moved {
        accounts: accounts.collect(),
        ..Moved::default()
    };
    let spool = directory.join("spool");
    fs::create_dir_all(spool.join("mover")).unwrap();
    moved.write(&spool, Durability::Synced).unwrap();
}

fn send(relay: &Relay, to: &str) {
    let message = b"Subject: x\r\n\r\nx\r\n";
    let to = format!("{to}@{DOMAIN}");
    Client::deliver(relay.port(), "a@example.org", &[&to], message).unwrap();
}

/// Waits until status says what it waits for.
fn await_next(relay: &Relay, words: &str) {
    poll(words, || {
        let next = relay.domain(DOMAIN)["next"].as_str().unwrap().to_owned();
        next.contains(words).then_some(())
    });
}

fn release(relay: &Relay) {
    relay.ok(&["release", DOMAIN, "--after-sync", "--detach", "--yes"]);
}

#[test]
fn a_domain_waits_for_a_convergence_since_its_hold_and_through_a_restart() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::healthy();
    let mut relay = Relay::start(path, &Settings::to(peer.port));
    for to in ["bob", "eve", "all"] {
        send(&relay, to);
    }
    release(&relay);
    await_next(&relay, "`relay move` has not run");
    // From before the hold.
    say(path, &[("bob", Some(1_000)), ("eve", Some(now_ms()))]);
    await_next(&relay, "copied before mail was held");
    fs::write(path.join("spool/mover/status.json"), "{").unwrap();
    await_next(&relay, "cannot be read");
    say(path, &[("bob", Some(now_ms())), ("eve", None)]);
    await_next(&relay, "1 of 2 mailboxes are copied; eve: being copied");
    relay.kill();
    relay.run();
    await_next(&relay, "1 of 2 mailboxes are copied");
    assert_eq!(relay.count("delivered"), 0);
    assert!(peer.arrivals().is_empty());
    say(path, &[("bob", Some(now_ms())), ("eve", Some(now_ms()))]);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 3);
}

#[test]
fn with_a_gate_for_each_mailbox_the_copied_ones_go_first() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::healthy();
    let settings = Settings {
        release: "gate = \"mailbox\"",
        ..Settings::to(peer.port)
    };
    let relay = Relay::start(path, &settings);
    for to in ["eve", "bob+tag", "all", "bob"] {
        send(&relay, to);
    }
    release(&relay);
    say(path, &[("bob", Some(now_ms())), ("eve@corp.example", None)]);
    poll("bob's mail", || {
        (relay.count("delivered") == 2).then_some(())
    });
    await_next(&relay, "eve@corp.example: being copied");
    let arrived = |peer: &Scripted| -> Vec<String> {
        let arrivals = peer.arrivals().into_iter();
        arrivals.map(|one| one.recipients[0].clone()).collect()
    };
    assert_eq!(arrived(&peer), ["bob+tag@corp.example", "bob@corp.example"]);
    say(
        path,
        &[
            ("bob", Some(now_ms())),
            ("eve@corp.example", Some(now_ms())),
        ],
    );
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 4);
}

#[test]
fn a_person_opens_it_without_the_mover() {
    let directory = temp();
    let peer = Scripted::healthy();
    let relay = Relay::start(directory.path(), &Settings::to(peer.port));
    send(&relay, "bob");
    release(&relay);
    await_next(&relay, "`relay move` has not run");
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 1);
}

/// A real mover between two Dovecots; the new one takes the mail by LMTP.
fn with_mover(directory: &Path, gate: &'static str) -> (Relay, Peer, Peer) {
    let old = Peer::dovecot(&directory.join("old"));
    let new = Peer::dovecot(&directory.join("new"));
    for user in ["bob", "eve"] {
        mailboxes(&old, "fill", user, &["/", "", "3", "12"]);
    }
    let settings = Settings {
        protocol: "lmtp",
        release: gate,
        ..Settings::to(new.port("lmtp"))
    };
    let mut relay = Relay::configured(directory, &settings);
    let server = |peer: &Peer| {
        let port = peer.port("imap");
        format!("{{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}")
    };
    relay.configure(&format!(
        "\n[mover]\naccounts = \"accounts.csv\"\nsource = {}\ntarget = {}\nsettle = \"1s\"\n",
        server(&old),
        server(&new)
    ));
    relay.run();
    (relay, old, new)
}

fn accounts(directory: &Path, eve: &str) {
    let text = format!(
        "source_user,source_password,target_user,target_password\n\
         bob@{DOMAIN},pw,bob@{DOMAIN},pw\neve@{DOMAIN},{eve},eve@{DOMAIN},pw\n"
    );
    fs::write(directory.join("accounts.csv"), text).unwrap();
}

fn mailboxes(peer: &Peer, what: &str, user: &str, arguments: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args([what, &peer.port("imap").to_string()])
        .arg(format!("{user}@{DOMAIN}"))
        .args(arguments)
        .stdin(Stdio::null());
    assert!(command.status().unwrap().success(), "{what} {user}");
}

#[test]
fn a_real_mover_opens_the_gate_of_a_domain_when_all_has_converged() {
    let directory = temp();
    let (relay, old, _new) = with_mover(directory.path(), "gate = \"domain\"");
    accounts(directory.path(), "pw");
    for to in ["bob", "eve"] {
        send(&relay, to);
    }
    release(&relay);
    await_next(&relay, "`relay move` has not run");
    // One pass copies, and does not know that nothing is left.
    relay.ok(&["move"]);
    await_next(&relay, "0 of 2 mailboxes are copied");
    mailboxes(&old, "add", "bob", &["2"]);
    assert_eq!(relay.count("delivered"), 0);
    relay.ok(&["move", "--until-converged"]);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 2);
    relay.ok(&["verify"]);
}

#[test]
fn a_real_mover_opens_the_gate_of_each_mailbox_that_has_converged() {
    let directory = temp();
    let (relay, _old, _new) = with_mover(directory.path(), "gate = \"mailbox\"");
    accounts(directory.path(), "wrong");
    for to in ["eve", "bob"] {
        send(&relay, to);
    }
    release(&relay);
    await_next(&relay, "`relay move` has not run");
    let bob = format!("bob@{DOMAIN}");
    relay.ok(&["move", "--until-converged", "--only", &bob]);
    poll("bob's mail", || {
        (relay.count("delivered") == 1).then_some(())
    });
    // Nobody logs in for eve.
    assert_ne!(relay.cli(&["move"]).status.code(), Some(0));
    await_next(&relay, "eve@corp.example");
    assert_eq!(relay.count("delivered"), 1);
    accounts(directory.path(), "pw");
    relay.ok(&["move", "--until-converged"]);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 2);
    relay.ok(&["verify"]);
}
