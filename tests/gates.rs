//! `relay release --after-sync`: nothing goes before the mover has converged since the hold.

mod support;

use relay::ledger::{AccountState, Durability, Moved, MovedAccount};
use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{
    client::Client,
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
