//! The guided cutover from outside: its plan, its steps, its interruption, its end. The whole
//! of it with real servers is `tests/demo/`.

mod support;

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};
use support::{
    client::Client,
    poll,
    relay::{DOMAIN, Relay, Settings, text, wait},
    scripted::{Act, Scripted},
    temp,
};

fn send(relay: &Relay, number: u32) {
    let message = format!("Subject: {number}\r\n\r\ntext\r\n");
    let to = format!("user{number}@corp.example");
    Client::deliver(
        relay.port(),
        "alice@example.org",
        &[&to],
        message.as_bytes(),
    )
    .unwrap();
}

/// The steps of the record: name and state.
fn steps(directory: &Path) -> Vec<(String, String)> {
    let Ok(record) = fs::read(directory.join("spool/cutover.json")) else {
        return Vec::new();
    };
    let record: Value = serde_json::from_slice(&record).unwrap();
    let steps = record["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let word = |key: &str| step[key].as_str().unwrap().to_owned();
            (word("step"), word("state"))
        })
        .collect()
}

fn state(directory: &Path, step: &str) -> Option<String> {
    let steps = steps(directory);
    let found = steps.into_iter().find(|(name, _)| name == step);
    found.map(|(_, state)| state)
}

/// `relay cutover --yes ...` in the background.
fn begin(relay: &Relay, directory: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command
        .arg("--config")
        .arg(relay.config())
        // The relay of a test has neither port 25 nor what else the world expects.
        .args([
            "cutover",
            "--yes",
            "--skip-dns",
            "--copied",
            "--despite",
            "all",
        ])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_plan_is_printed_and_nothing_is_done() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let plan = text(&relay.ok(&["cutover", "--plan", "--skip-dns"]));
    assert!(plan.starts_with("the cutover of corp.example\n"), "{plan}");
    for line in [
        "  MX          to come                       point the MX of corp.example at \
         hold.example.net; goes on when you say so",
        "  release     to come                       deliver all that is held",
        "no [mover]: mailboxes are copied by other means",
    ] {
        assert!(plan.contains(line), "{line}\nin\n{plan}");
    }
    assert!(!directory.path().join("spool/cutover.json").exists());
    // Nobody is there to answer.
    let output = relay.cli(&["cutover"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("--yes"), "{output:?}");
    let output = relay.cli(&["cutover", "other.example", "--yes"]);
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn it_ends_when_the_tail_is_quiet_and_goes_on_after_a_kill() {
    let directory = temp();
    let new_server = Scripted::new(|_| Act::Go);
    let relay = Relay::start(directory.path(), &Settings::to(new_server.port));
    for number in 0..10 {
        send(&relay, number);
    }
    let mut first = begin(&relay, directory.path(), &["--quiet", "1h"]);
    poll("the tail", || {
        (state(directory.path(), "tail")? == "underway").then_some(())
    });
    assert_eq!(relay.domain(DOMAIN)["phase"], "forward");
    // A second one stays away, and says why.
    let second = begin(&relay, directory.path(), &[])
        .wait_with_output()
        .unwrap();
    assert_eq!(second.status.code(), Some(69));
    assert!(text(&second.stderr).contains("at work"), "{second:?}");
    // Neither does one of another move take its place.
    first.kill().unwrap();
    first.wait().unwrap();
    send(&relay, 10);
    let last = begin(&relay, directory.path(), &["--quiet", "0s"]);
    let last = last.wait_with_output().unwrap();
    let (out, err) = (text(&last.stdout), text(&last.stderr));
    assert_eq!(last.status.code(), Some(0), "{out}{err}");
    assert!(err.contains("steps done"), "{err}");
    assert!(out.contains("tail: going on: "), "{out}");
    assert!(!out.contains("release: deliver"), "{out}");
    assert!(err.contains("every message is accounted for"), "{err}");
    new_server.await_arrivals("everything, once", |all| all.len() == 11);
    for (step, state) in steps(directory.path()) {
        assert!(["done", "skipped"].contains(&state.as_str()), "{step}");
    }
    relay.assert_clean();
}

#[test]
fn what_was_parked_is_said_at_the_end_and_in_the_exit_code() {
    let directory = temp();
    let new_server = Scripted::new(|ask| match ask {
        support::scripted::Ask::Rcpt(to) if to.starts_with("user3") => {
            Act::Say("550 5.1.1 No such user")
        }
        _ => Act::Go,
    });
    let relay = Relay::start(directory.path(), &Settings::to(new_server.port));
    for number in 0..8 {
        send(&relay, number);
    }
    // The first five are not all taken: unattended it goes no further.
    let run = begin(&relay, directory.path(), &["--quiet", "0s"]);
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(75), "{run:?}");
    let err = text(&run.stderr);
    assert!(
        err.contains("unattended it stops here: canary: 4 of 5 taken; go on?"),
        "{err}"
    );
    let out = text(&run.stdout);
    assert!(out.contains("parked  550 5.1.1 No such user"), "{out}");
    assert_eq!(new_server.arrivals().len(), 4);
    assert_eq!(relay.domain(DOMAIN)["canary"]["sent"], true);

    // Somebody has looked at it, and goes on by hand; the guide finds it done.
    relay.ok(&["release", DOMAIN, "--yes"]);
    let run = begin(&relay, directory.path(), &["--quiet", "0s"]);
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(65), "{run:?}");
    let err = text(&run.stderr);
    assert!(
        err.contains("not all is well: corp.example: 1 parked"),
        "{err}"
    );
    assert!(text(&run.stdout).contains("7 delivered, 1 parked"));
}

#[test]
fn an_interruption_loses_nothing_and_says_how_to_go_on() {
    let directory = temp();
    // Nobody is there yet: the release waits.
    let relay = Relay::start(directory.path(), &Settings::default());
    send(&relay, 0);
    let mut run = begin(&relay, directory.path(), &["--canary", "0"]);
    poll("the release", || {
        (state(directory.path(), "release")? == "underway").then_some(())
    });
    let pid = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = wait(&mut run);
    assert_eq!(status.code(), Some(75));
    let output = run.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert!(
        err.contains("stopped by SIGINT at release; `relay cutover` goes on there"),
        "{err}"
    );
    assert_eq!(state(directory.path(), "release").unwrap(), "underway");
    assert_eq!(relay.accepted(), 1);
}

#[test]
fn a_check_that_fails_stops_it_until_it_is_mended_or_known() {
    let directory = temp();
    let new_server = Scripted::new(|ask| match ask {
        support::scripted::Ask::Rcpt(to) if to.starts_with("user0") => {
            Act::Say("450 4.2.0 Greylisted")
        }
        _ => Act::Go,
    });
    let relay = Relay::start(directory.path(), &Settings::to(new_server.port));
    send(&relay, 0);
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.arg("--config").arg(relay.config());
    let words = ["cutover", "--yes", "--skip-dns", "--despite", "port-25"];
    let run = command.args(words).output().unwrap();
    let (out, err) = (text(&run.stdout), text(&run.stderr));
    // Greylisting may pass.
    assert_eq!(run.status.code(), Some(75), "{out}{err}");
    assert!(
        out.contains(" FAIL  recipients              SMTP: RCPT TO:<user0@corp.example> -> 450"),
        "{out}"
    );
    assert!(
        err.contains("unattended it stops here: 1 check failed: recipients; mend it, or go on with --despite recipients"),
        "{err}"
    );
    assert_eq!(state(directory.path(), "check").unwrap(), "underway");
    assert_eq!(state(directory.path(), "first_pass").unwrap(), "ahead");
    assert!(new_server.arrivals().is_empty());

    // Known by its name, it is gone on despite it, and that stands in the record.
    let mut run = begin(&relay, directory.path(), &["--canary", "0"]);
    poll("the release", || {
        (state(directory.path(), "release")? == "underway").then_some(())
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let record = fs::read_to_string(directory.path().join("spool/cutover.json")).unwrap();
    assert!(record.contains("gone on despite"), "{record}");
    // A name that is none is said to be none.
    let output = relay.cli(&["cutover", "--yes", "--despite", "mx,nonsense"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(text(&output.stderr).contains("mailbox-login"), "{output:?}");
}

#[test]
fn without_a_mover_nothing_is_released_before_somebody_says_that_it_is_copied() {
    let directory = temp();
    let new_server = Scripted::healthy();
    let relay = Relay::start(directory.path(), &Settings::to(new_server.port));
    send(&relay, 0);
    let words = ["cutover", "--yes", "--skip-dns", "--despite", "all"];
    let run = relay.cli(&words);
    assert_eq!(run.status.code(), Some(75), "{run:?}");
    let err = text(&run.stderr);
    assert!(err.contains("go on with --copied"), "{err}");
    assert_eq!(state(directory.path(), "gate").unwrap(), "underway");
    assert_eq!(relay.domain(DOMAIN)["phase"], "hold");
    assert!(new_server.arrivals().is_empty());
    // Its owner's tools have done their work; it goes on there.
    let run = begin(&relay, directory.path(), &["--quiet", "0s"]);
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    new_server.await_arrivals("the message", |all| all.len() == 1);
}
