//! The web page and the figures, by raw requests and by a real browser.

mod access;
mod decisions;
mod figures;
mod page;
#[path = "../support/mod.rs"]
mod support;

use relay::ledger::{AccountState, Durability, Moved, MovedAccount, Part};
use serde_json::Value;
use std::{fs, path::Path};
use support::{
    client::Client,
    http::{Answer, request},
    relay::{Relay, Settings},
};

const TOKEN: &str = "operator-token-of-the-test";
const READ_TOKEN: &str = "viewer-token-of-the-test";

fn start(directory: &Path, settings: &Settings) -> Relay {
    start_with(directory, settings, "127.0.0.1:0", "")
}

/// The same with a fixed address of the page, and more of configuration.
fn start_with(directory: &Path, settings: &Settings, address: &str, more: &str) -> Relay {
    fs::write(directory.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(directory.join("read-token"), format!("{READ_TOKEN}\n")).unwrap();
    let mut relay = Relay::configured(directory, settings);
    relay.configure(&format!(
        "\n[web]\naddress = {address:?}\ntoken_file = \"token\"\n\
         read_token_file = \"read-token\"\n{more}",
    ));
    relay.run();
    relay
}

fn send(relay: &Relay, from: &str, to: &str) -> String {
    let message = format!("Subject: for {to}\r\n\r\ntext\r\n");
    Client::deliver(relay.port(), from, &[to], message.as_bytes()).unwrap()
}

fn get(relay: &Relay, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(relay.web(), "GET", path, headers, "")
}

fn post(relay: &Relay, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    request(relay.web(), "POST", path, headers, &body.to_string())
}

fn log_in(relay: &Relay, token: &str) -> Answer {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("token={token}");
    request(relay.web(), "POST", "/login", &form, &body)
}

/// What a mover would have written: one account converged, one at work, one in trouble.
fn write_moved(directory: &Path) {
    let account = |name: &str, state, done, reason: Option<&str>| MovedAccount {
        source: format!("{name}@corp.example"),
        target: format!("{name}@corp.example"),
        state,
        reason: reason.map(str::to_owned),
        converged_ms: (state == AccountState::Converged).then_some(1_000),
        messages: Part { done, total: 10 },
        ..MovedAccount::default()
    };
    let moved = Moved {
        pid: std::process::id(),
        running: true,
        passes: 2,
        rate_per_s: 5.5,
        not_yet: Some("1 failures in the last pass".into()),
        messages: Part {
            done: 18,
            total: 30,
        },
        accounts: vec![
            account("alice", AccountState::Converged, 10, None),
            account("bob", AccountState::Copying, 7, None),
            account("eve", AccountState::Failed, 1, Some("over quota")),
        ],
        ..Moved::default()
    };
    let spool = directory.join("spool");
    fs::create_dir_all(spool.join("mover")).unwrap();
    moved.write(&spool, Durability::Renamed).unwrap();
}
