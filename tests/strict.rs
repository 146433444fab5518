//! `release.order = "strict"`: one order for the whole domain.

mod support;

use std::{collections::HashSet, sync::Mutex};
use support::{
    client::Client,
    relay::{DOMAIN, Relay, Settings},
    scripted::{Act, Ask, Scripted},
    temp,
};

#[test]
fn a_mailbox_that_waits_delays_all_behind_it() {
    let directory = temp();
    // Every third mailbox is refused once, for now; with lanes the others would overtake.
    let refused = Mutex::new(HashSet::new());
    let peer = Scripted::new(move |ask| match ask {
        Ask::Rcpt(to) if to.starts_with("slow") => {
            match refused.lock().unwrap().insert((*to).to_owned()) {
                true => Act::Say("450 4.2.1 Not now"),
                false => Act::Go,
            }
        }
        _ => Act::Go,
    });
    let settings = Settings {
        release: "order = \"strict\"\nretry_min = \"200ms\"\nretry_max = \"1s\"",
        ..Settings::to(peer.port)
    };
    let relay = Relay::start(directory.path(), &settings);
    let mut expected = Vec::new();
    for number in 0..12 {
        let kind = if number % 3 == 1 { "slow" } else { "user" };
        let to = format!("{kind}{number}@corp.example");
        let message = b"Subject: x\r\n\r\n";
        Client::deliver(relay.port(), "alice@example.org", &[&to], message).unwrap();
        expected.push(to);
    }
    relay.ok(&["release", DOMAIN, "--yes"]);
    let stored = peer.stored();
    let order: Vec<&String> = stored.iter().flat_map(|one| &one.recipients).collect();
    assert_eq!(order, expected.iter().collect::<Vec<_>>());
    assert_eq!(relay.count("delivered"), 12);
    relay.assert_clean();
}
