//! The new server's own log names the client that a message came from.

mod support;

use std::{fs, process::Command};
use support::{
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    temp,
};

#[test]
fn postfix_logs_the_original_client() {
    let directory = temp();
    let bob = format!("bob@{DOMAIN}");
    let postfix = Peer::postfix_with_xclient(&directory.path().join("postfix"), &bob);
    let relay = Relay::start(directory.path(), &Settings::to(postfix.port("smtp")));
    // Two clients at addresses of their own.
    for address in ["127.0.0.5", "127.0.0.6"] {
        let output = Command::new("swaks")
            .args(["--server", "127.0.0.1", "--port", &relay.port().to_string()])
            .args(["--local-interface", address, "--helo", "sender.example"])
            .args(["--from", "alice@example.org", "--to", &bob])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stdout));
    }
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!(relay.count("delivered"), 2);
    let clients = poll("the log", || {
        let log = text(&fs::read(postfix.log()).unwrap());
        let found: Vec<String> = (log.split(": client=").skip(1))
            .map(|rest| rest.split([',', '\n']).next().unwrap().to_owned())
            .collect();
        (found.len() >= 2).then_some(found)
    });
    assert_eq!(clients, ["unknown[127.0.0.5]", "unknown[127.0.0.6]"]);
}
