//! The log of a whole process, as whoever reads its stderr sees it.

use relay::{
    config,
    log::{self, Service},
};
use std::{env, process::Command, thread};

/// Tells this test program that it is the process whose log is looked at.
const CHILD: &str = "RELAY_LOG_TEST_CHILD";

/// What the child does; in the test's own run it does nothing.
#[test]
fn child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let guard = log::init(&config::Log::default()).unwrap();
    log::mail(
        Service::Smtpd,
        format_args!("01KAR6Q8ZJ5V: client=mail-ej1.example[203.0.113.9]\nforged"),
    );
    tracing::info!(target: "relay::spool", "info");
    tracing::warn!(target: "relay::spool", "warning text");
    tracing::debug!(target: "relay::spool", "debug text");
    tracing::info!(target: "hyper", "of another crate");
    let panicked = thread::spawn(|| panic!("on purpose")).join();
    assert!(panicked.is_err());
    assert!(log::init(&config::Log::default()).is_err());
    log::mail(Service::Qmgr, format_args!("01KAR6Q8ZJ5V: removed"));
    drop(guard);
}

/// Runs the child and returns its log.
fn log_of_child(filter: Option<&str>) -> Vec<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("TZ", "UTC")
        .env_remove("RELAY_LOG")
        .env_remove("RUST_BACKTRACE")
        .env_remove("JOURNAL_STREAM");
    if let Some(filter) = filter {
        command.env("RELAY_LOG", filter);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    stderr.lines().map(str::to_owned).collect()
}

/// What stands behind time, host and process id, which is checked.
fn text(line: &str) -> &str {
    let (stamp, rest) = line.split_at(15);
    let shape: String = stamp
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(shape.ends_with(":00:00"), "{line}");
    let (_host, rest) = rest[1..].split_once(' ').unwrap();
    let rest = rest.strip_prefix("postfix-relay/").unwrap();
    let (service, rest) = rest.split_once('[').unwrap();
    let (pid, text) = rest.split_once("]: ").unwrap();
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    assert!(["smtpd", "qmgr", "relay"].contains(&service), "{line}");
    text
}

#[test]
fn every_line_of_a_process_is_there_in_order() {
    let log = log_of_child(None);
    let texts: Vec<_> = log.iter().map(|line| text(line)).collect();
    let [client, info, warning, panic, removed] = texts[..] else {
        panic!("five lines: {log:#?}");
    };
    assert_eq!(
        client,
        "01KAR6Q8ZJ5V: client=mail-ej1.example[203.0.113.9]?forged"
    );
    assert_eq!(info, "info");
    assert_eq!(warning, "warning: warning text");
    assert!(panic.starts_with("panic: tests/log.rs:"), "{panic}");
    assert!(panic.ends_with(": on purpose"), "{panic}");
    assert_eq!(removed, "01KAR6Q8ZJ5V: removed");
}

#[test]
fn the_filter_is_for_events_and_not_for_the_mail_log() {
    let log = log_of_child(Some("error"));
    assert_eq!(log.len(), 3, "{log:#?}");
    let log = log_of_child(Some("debug"));
    let texts: Vec<_> = log.iter().map(|line| text(line)).collect();
    assert!(texts.contains(&"debug: debug text"), "{log:#?}");
    assert!(texts.contains(&"hyper: of another crate"), "{log:#?}");
}
