//! `relay move` from each kind of server to each: what an independent client (IMAPClient) reads
//! at both sides is equal, or named in what the mover said. `RELAY_FIDELITY=whole` takes 200
//! folders and 20,000 messages for each pair, over all pairs.

mod support;

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{
    peers::{Peer, cache},
    temp,
};

/// A server, and how it names folders.
#[derive(Clone, Copy)]
struct Kind {
    start: fn(&Path) -> Peer,
    separator: &'static str,
    prefix: &'static str,
}

const DOVECOT: Kind = Kind {
    start: Peer::dovecot,
    separator: "/",
    prefix: "",
};
const DOVECOT_DOTS: Kind = Kind {
    start: |directory| Peer::dovecot_with(directory, &["--separator", ".", "--prefix=INBOX."]),
    separator: ".",
    prefix: "INBOX.",
};
const CYRUS: Kind = Kind {
    start: |directory| Peer::cyrus_with(directory, &[]),
    separator: "/",
    prefix: "",
};
const CYRUS_DOTS: Kind = Kind {
    start: |directory| Peer::cyrus_with(directory, &["--separator", ".", "--prefix=INBOX."]),
    separator: ".",
    prefix: "INBOX.",
};
const COURIER: Kind = Kind {
    start: Peer::courier,
    separator: ".",
    prefix: "INBOX.",
};

/// Folders and messages of one mailbox.
#[derive(Clone, Copy)]
struct Size {
    folders: u32,
    messages: u32,
}

impl Size {
    fn asked_for() -> Self {
        match is_whole() {
            true => Self {
                folders: 200,
                messages: 20_000,
            },
            false => Self {
                folders: 44,
                messages: 440,
            },
        }
    }
}

fn is_whole() -> bool {
    std::env::var("RELAY_FIDELITY").is_ok_and(|what| what == "whole")
}

fn script(arguments: &[&str]) -> Vec<u8> {
    run("python3".into(), "mailboxes.py", arguments)
}

/// By IMAPClient.
fn compare(arguments: &[&str]) -> Value {
    let python = cache().join("python/bin/python");
    serde_json::from_slice(&run(python, "compare.py", arguments)).unwrap()
}

fn run(python: PathBuf, script: &str, arguments: &[&str]) -> Vec<u8> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let output = Command::new(python)
        .arg(peers.join(script))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("`.ci/install peers`");
    assert!(output.status.success(), "{script} {arguments:?}");
    output.stdout
}

fn carried(source: Kind, target: Kind) {
    let directory = temp();
    let path = directory.path();
    let (from, to) = (source, target);
    let source = (from.start)(&path.join("source"));
    let target = (to.start)(&path.join("target"));
    let ports = [&source, &target].map(|peer| peer.port("imap").to_string());
    let Size { folders, messages } = Size::asked_for();
    let (folders, messages) = (folders.to_string(), messages.to_string());
    let at_source = [&*ports[0], "bob", from.separator, from.prefix];
    let at_target = [&*ports[1], "bob", to.separator, to.prefix];
    let fill = [&["fill-nasty"][..], &at_source, &[&folders, &messages]].concat();
    script(&fill);
    // Read once before: Dovecot tells a date before 1970 as another one from its cache.
    script(&[&["dump"][..], &at_source].concat());
    let before = script(&[&["dump"][..], &at_source].concat());

    let config = path.join("relay.toml");
    let server = |port: &str| format!("{{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}");
    let text = format!(
        "hostname = \"hold.example.net\"\n[spool]\npath = {:?}\n[control]\nsocket = {:?}\n\
         [[domain]]\nname = \"corp.example\"\ndestination = {{ host = \"127.0.0.1\" }}\n\
         [mover]\naccounts = {:?}\nsource = {}\ntarget = {}\n",
        path.join("spool"),
        path.join("control.sock"),
        path.join("accounts.csv"),
        server(&ports[0]),
        server(&ports[1]),
    );
    fs::write(&config, text).unwrap();
    let accounts = "source_user,source_password,target_user,target_password\nbob,pw,bob,pw\n";
    fs::write(path.join("accounts.csv"), accounts).unwrap();
    let kept = path.join("kept");
    let pass = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        let command = command.arg("--config").arg(&config);
        let command = command
            .args(["--json", "move", "--keep-refused"])
            .arg(&kept);
        let output = command.output().unwrap();
        let code = output.status.code();
        // What the target does not take for good is 65, and named.
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(code, Some(0 | 65)), "{code:?}: {text}");
        output.stdout
    };
    let report = path.join("report");
    fs::write(&report, pass()).unwrap();
    let report = report.to_str().unwrap();
    let compared = compare(&[&at_source[..], &at_target, &[report]].concat());
    println!("{compared}");
    assert_eq!(
        compared["differences"],
        Value::Array(Vec::new()),
        "{compared:#}"
    );
    assert_eq!(compared["folders named"], 0, "{compared:#}");
    let files = fs::read_dir(kept.join("bob")).map_or(0, |files| files.count());
    assert_eq!(compared["refused"], files);
    // Not a byte or flag of the source is changed.
    assert!(script(&[&["dump"][..], &at_source].concat()) == before);

    // What is refused is tried again by each run, and nothing else is.
    let again = pass();
    let again = String::from_utf8(again).unwrap();
    let mut events = again
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    // A long pass tells of its progress first.
    let account: Value = events
        .find(|event: &Value| event["event"] == "account")
        .unwrap();
    let done = ["copied", "adopted", "flagged"].map(|key| account[key].as_u64());
    assert_eq!(done, [Some(0); 3], "{account}");
}

#[test]
fn dovecot_to_cyrus() {
    carried(DOVECOT, CYRUS);
}

#[test]
fn cyrus_to_courier() {
    carried(CYRUS_DOTS, COURIER);
}

#[test]
fn courier_to_dovecot() {
    carried(COURIER, DOVECOT_DOTS);
}

#[test]
fn the_other_ways_too_when_asked_for() {
    if !is_whole() {
        return;
    }
    for (source, target) in [
        (DOVECOT_DOTS, COURIER),
        (COURIER, CYRUS),
        (CYRUS, DOVECOT),
        (DOVECOT, DOVECOT_DOTS),
        (CYRUS_DOTS, CYRUS),
    ] {
        carried(source, target);
    }
}
