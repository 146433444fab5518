//! A release that meets the wrong server stops by itself after a few messages, says why, and
//! goes on once it is put right: nothing is lost, nothing bounced. A canary finds out first.

mod support;

use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use support::{
    client::Client,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

const MESSAGES: usize = 60;

/// A relay that holds a message for each of so many mailboxes.
fn held(directory: &std::path::Path, port: u16) -> Relay {
    let relay = Relay::start(directory, &Settings::to(port));
    let mut client = Client::hello(relay.port()).unwrap();
    for number in 0..MESSAGES {
        let to = format!("user{number}@{DOMAIN}");
        let message = format!("X-Tag: {number}\r\n\r\ntext\r\n");
        client
            .send("sender@example.org", &[&to], message.as_bytes())
            .unwrap();
    }
    client.quit().unwrap();
    relay
}

/// A server that goes by the script until it is put right.
fn wrong(script: impl Fn(&Ask<'_>) -> Act + Send + Sync + 'static) -> (Scripted, Arc<AtomicBool>) {
    let right = Arc::new(AtomicBool::new(false));
    let seen = right.clone();
    let server = Scripted::new(move |ask| match seen.load(Ordering::SeqCst) {
        true => Act::Go,
        false => script(ask),
    });
    (server, right)
}

/// Releases, which must stop by itself; the domain as it stands then, and what was said.
fn stops(relay: &Relay, arguments: &[&str]) -> (Value, String) {
    let mut all = vec!["release", DOMAIN, "--yes"];
    all.extend(arguments);
    let output = relay.cli(&all);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let domain = relay.domain(DOMAIN);
    assert!(domain["paused"].is_string(), "{domain}");
    for state in ["bounced", "dropped"] {
        assert_eq!(domain["states"][state]["count"], 0, "{domain}");
    }
    (domain, text(&output.stdout) + &text(&output.stderr))
}

fn assert_all_there(relay: &Relay, server: &Scripted) {
    relay.await_forward();
    assert_eq!(relay.count("delivered"), MESSAGES as u64);
    assert_eq!(server.stored().len(), MESSAGES);
    relay.assert_clean();
}

#[test]
fn a_server_that_refuses_the_sender_host() {
    let directory = temp();
    let (server, right) = wrong(|ask| match ask {
        Ask::Connect => Act::SayAndClose("554 5.7.1 you are not welcome"),
        _ => Act::Go,
    });
    let relay = held(directory.path(), server.port);
    let (domain, said) = stops(&relay, &[]);
    assert!(said.contains("554 5.7.1 you are not welcome"), "{said}");
    assert_eq!(domain["states"]["queued"]["count"], MESSAGES);
    assert!(server.connections() <= 10, "{}", server.connections());
    right.store(true, Ordering::SeqCst);
    relay.ok(&["resume", DOMAIN]);
    assert_all_there(&relay, &server);
}

#[test]
fn a_wrong_to_and_then_the_right_one() {
    let directory = temp();
    // A server that knows nobody of this domain.
    let (stranger, _) = wrong(|ask| match ask {
        Ask::Rcpt(_) => Act::Say("550 5.1.1 no such user"),
        _ => Act::Go,
    });
    let right = Scripted::healthy();
    let relay = held(directory.path(), 9);
    let (domain, said) = stops(&relay, &["--to", &format!("127.0.0.1:{}", stranger.port)]);
    assert!(said.contains("550 5.1.1 no such user"), "{said}");
    let parked = domain["states"]["parked"]["count"].as_u64().unwrap();
    assert!((1..=15).contains(&parked), "{domain}");
    assert!(domain["next"].as_str().unwrap().contains("relay retry"));
    // What was refused by mistake goes back to its place, and all of it to the right one.
    let listed = relay.ok(&["list", "--state", "parked", "--format", "jsonl"]);
    let ids: Vec<String> = (text(&listed).lines())
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["queue_id"].as_str().unwrap().to_owned())
        .collect();
    let mut retry = vec!["retry"];
    retry.extend(ids.iter().map(String::as_str));
    relay.ok(&retry);
    let to = format!("127.0.0.1:{}", right.port);
    relay.ok(&["release", DOMAIN, "--to", &to, "--yes"]);
    assert_all_there(&relay, &right);
    assert!(stranger.stored().is_empty());
}

#[test]
fn a_server_that_takes_each_message_and_hangs_up_at_its_end() {
    let directory = temp();
    let (server, right) = wrong(|ask| match ask {
        Ask::Dot(..) => Act::Close,
        _ => Act::Go,
    });
    let relay = held(directory.path(), server.port);
    let (domain, said) = stops(&relay, &[]);
    assert!(said.contains("without a final reply"), "{said}");
    assert!(server.arrivals().len() <= 15, "{}", server.arrivals().len());
    assert_eq!(domain["states"]["delivered"]["count"], 0);
    right.store(true, Ordering::SeqCst);
    relay.ok(&["resume", DOMAIN]);
    assert_all_there(&relay, &server);
}

#[test]
fn the_relay_itself() {
    let directory = temp();
    let right = Scripted::healthy();
    let relay = held(directory.path(), right.port);
    let own = format!("127.0.0.1:{}", relay.port());
    let (domain, said) = stops(&relay, &["--to", &own]);
    assert!(said.contains("it is this relay"), "{said}");
    assert_eq!(domain["accepted"]["count"], MESSAGES, "nothing came back");
    let to = format!("127.0.0.1:{}", right.port);
    relay.ok(&["release", DOMAIN, "--to", &to, "--yes"]);
    assert_all_there(&relay, &right);
}

#[test]
fn a_canary_is_shown_and_goes_on_when_told_to() {
    let directory = temp();
    let (server, right) = wrong(|ask| match ask {
        Ask::Rcpt(to) if to.starts_with("user1@") => Act::Say("450 4.2.1 mailbox busy"),
        _ => Act::Go,
    });
    let mut relay = held(directory.path(), server.port);
    // Not all of it was taken, so that --yes is not enough.
    let (domain, said) = stops(&relay, &["--canary", "5"]);
    assert!(said.contains("450 4.2.1 mailbox busy"), "{said}");
    assert_eq!(said.matches("250 2.0.0 Ok: queued as").count(), 4, "{said}");
    assert!(said.contains("relay resume corp.example"), "{said}");
    assert_eq!(domain["canary"]["sent"], true);
    assert_eq!(server.stored().len(), 4);
    // A restart neither forgets it nor sends more.
    relay.stop();
    relay.run();
    assert_eq!(relay.domain(DOMAIN)["canary"], domain["canary"]);
    assert_eq!(server.stored().len(), 4);
    right.store(true, Ordering::SeqCst);
    // Where all is taken --yes goes on by itself; the first of these is the one that was not.
    let said = text(&relay.ok(&["release", DOMAIN, "--canary", "3", "--yes"]));
    assert!(said.contains("250 2.0.0 Ok"), "{said}");
    assert_all_there(&relay, &server);
}

#[test]
fn a_canary_survives_a_crash_at_its_end() {
    let directory = temp();
    let server = Scripted::healthy();
    let mut relay = held(directory.path(), server.port);
    relay.kill();
    // A person orders it while the relay is about to die where all of it was sent.
    relay.run_with("release.canary_sent");
    relay.ok(&["release", DOMAIN, "--canary", "7", "--detach"]);
    relay.await_death();
    assert_eq!(server.stored().len(), 7);
    relay.run();
    poll("the pause", || {
        relay.domain(DOMAIN)["paused"].as_str().map(drop)
    });
    assert_eq!(server.stored().len(), 7);
    relay.ok(&["resume", DOMAIN]);
    assert_all_there(&relay, &server);
}
