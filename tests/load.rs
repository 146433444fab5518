//! How much a new server is asked to take: what an operator sets while it runs holds at once
//! and over a crash, and a Postfix with limits of its own gets no more than it takes.

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    client::Client,
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

/// A relay that holds a message for each of these mailboxes.
fn held(directory: &Path, settings: &Settings, mailboxes: &[String]) -> Relay {
    let relay = Relay::start(directory, settings);
    let mut client = Client::hello(relay.port()).unwrap();
    for to in mailboxes {
        let message = b"Subject: load\r\n\r\ntext\r\n";
        client.send("sender@example.org", &[to], message).unwrap();
    }
    client.quit().unwrap();
    relay
}

fn mailboxes(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("user{number}@{DOMAIN}"))
        .collect()
}

fn slowed(relay: &Relay) -> String {
    let domain = relay.domain(DOMAIN);
    let slowed = domain["release"]["slowed"].as_array().cloned();
    let texts = slowed.unwrap_or_default();
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    texts.join("; ")
}

fn load(relay: &Relay, arguments: &[&str]) -> Value {
    let mut all = vec!["set", DOMAIN, "--json"];
    all.extend(arguments);
    serde_json::from_slice(&relay.ok(&all)).unwrap()
}

#[test]
fn what_is_set_holds_at_once_and_over_a_crash() {
    let directory = temp();
    let server = Scripted::healthy();
    let mut relay = held(directory.path(), &Settings::to(server.port), &mailboxes(80));
    let shown = load(&relay, &[]);
    let configured = json!({"connections": 20, "rate": "none", "bytes_rate": "none"});
    assert_eq!(shown["now"], configured);
    assert_eq!(shown["set"], json!({}));

    let shown = load(&relay, &["rate=10/s", "connections=2"]);
    assert_eq!(
        shown["now"],
        json!({"connections": 2, "rate": "10/s", "bytes_rate": "none"})
    );
    assert_eq!(shown["configured"], configured);
    relay.ok(&["release", DOMAIN, "--detach"]);
    poll("the reason", || {
        slowed(&relay)
            .contains("rate 10/s is reached")
            .then_some(())
    });
    let status = text(&relay.ok(&["status"]));
    assert!(status.contains("limited: rate 10/s is reached"), "{status}");

    relay.kill();
    relay.run();
    assert_eq!(load(&relay, &["--show"])["set"], shown["set"]);
    let before = server.stored().len();
    let begun = Instant::now();
    poll("twenty more", || {
        (server.stored().len() >= before + 20).then_some(())
    });
    let took = begun.elapsed().as_secs_f64();
    assert!(took >= 1.7, "twenty at ten a second in {took} s");

    let told = text(&relay.ok(&["set", DOMAIN, "rate=default", "bytes_rate=5MiB/s"]));
    for line in [
        "connections 2           set; configured: 20",
        "rate        none        as configured",
        "bytes_rate  5 MiB/s     set; configured: none",
    ] {
        assert!(told.contains(line), "{told}");
    }
    relay.await_forward();
    assert_eq!(load(&relay, &["--reset"])["set"], json!({}));
    assert_eq!(server.stored().len(), 80);
    relay.assert_clean();

    for (arguments, code, says) in [
        (
            ["set", DOMAIN, "speed=9"],
            64,
            "there is no limit \"speed\"",
        ),
        (["set", DOMAIN, "rate=9"], 64, "says no time"),
        (["set", DOMAIN, "bytes_rate=1kB/s"], 64, "too little"),
        (
            ["set", DOMAIN, "connections=0"],
            64,
            "no number of connections",
        ),
        (["set", "else.example", "rate=9/s"], 65, "not configured"),
    ] {
        let output = relay.cli(&arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

/// anvil counts connections, and the fourth is sent away.
#[test]
fn a_postfix_with_three_seats_gets_three_connections_and_no_pause() {
    let directory = temp();
    let mailboxes = mailboxes(150);
    let options = [
        "--set",
        "smtpd_client_connection_count_limit=3",
        "--set",
        "smtpd_client_event_limit_exceptions=",
    ];
    let path = directory.path().join("postfix");
    let postfix = Peer::delivering("postfix", &path, &mailboxes, &options);
    let relay = held(
        directory.path(),
        &Settings::to(postfix.port("smtp")),
        &mailboxes,
    );
    relay.ok(&["release", DOMAIN, "--detach"]);
    let reason = poll("the reason", || {
        let slowed = slowed(&relay);
        slowed.contains("too many connections").then_some(slowed)
    });
    assert!(reason.contains("of 20 connections: "), "{reason}");
    assert!(reason.contains("421 4.7.0"), "{reason}");
    let blocked = &relay.domain(DOMAIN)["release"]["blocked"];
    assert!(blocked.is_null(), "it goes on: {blocked}");
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 150);
    let log = fs::read_to_string(postfix.log()).unwrap();
    let away = log.matches("Connection concurrency limit exceeded").count();
    assert!(
        (1..=15).contains(&away),
        "it was asked {away} times for more"
    );
    let deferred = relay.log().matches("status=deferred").count();
    assert_eq!(deferred, 0, "no mailbox had to wait for it");
    relay.assert_clean();
}

/// anvil counts messages, and refuses what is too much in a time: a rate below that is never
/// refused, and without one the release slows down by itself.
#[test]
fn a_postfix_that_counts_messages_is_not_overrun() {
    let directory = temp();
    let mailboxes = mailboxes(100);
    let options = [
        "--set",
        "anvil_rate_time_unit=2s",
        "--set",
        "smtpd_client_message_rate_limit=20",
        "--set",
        "smtpd_client_event_limit_exceptions=",
    ];
    let path = directory.path().join("postfix");
    let postfix = Peer::delivering("postfix", &path, &mailboxes, &options);
    let relay = held(
        directory.path(),
        &Settings::to(postfix.port("smtp")),
        &mailboxes,
    );
    // It counts whole seconds, and begins anew after more than two: 15 in three seconds.
    load(&relay, &["rate=5/s"]);
    relay.ok(&["release", DOMAIN, "--detach"]);
    poll("thirty", || (relay.count("delivered") >= 30).then_some(()));
    let refused = || {
        let log = fs::read_to_string(postfix.log()).unwrap();
        log.matches("Message delivery request rate limit exceeded")
            .count()
    };
    assert_eq!(refused(), 0, "never too much");
    load(&relay, &["--reset"]);
    poll("a refusal", || (refused() > 0).then_some(()));
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 100);
    relay.assert_clean();
}

/// The reasons, one after another, each for as long as it takes to see it.
#[test]
fn the_reason_of_slowness_is_in_the_status() {
    let directory = temp();
    let slow = Arc::new(AtomicBool::new(true));
    let seen = slow.clone();
    let server = Scripted::new(move |ask| match ask {
        Ask::Dot(..) if seen.load(Ordering::SeqCst) => Act::Wait(Duration::from_millis(500)),
        _ => Act::Go,
    });
    let settings = Settings::to(server.port);
    let relay = held(directory.path(), &settings, &mailboxes(400));
    load(&relay, &["connections=3"]);
    relay.ok(&["release", DOMAIN, "--detach"]);
    let limited = |reason: &str| {
        poll(reason, || slowed(&relay).contains(reason).then_some(()));
    };
    limited("all 3 connections are in use");
    let shown = text(&relay.ok(&["status"]));
    let line = "limited: all 3 connections are in use";
    assert!(shown.contains(line), "{shown}");
    load(&relay, &["bytes_rate=8KiB/s"]);
    slow.store(false, Ordering::SeqCst);
    limited("bytes_rate 8 KiB/s is reached");
    load(&relay, &["--reset"]);
    relay.await_forward();
    relay.assert_clean();
}
