//! `relay check` against a whole migration on loopback, in which one thing after the other
//! is broken and mended: DNS and HTTPS servers of the test's own, the real relay, a new server
//! that does what it is told, real Dovecots.

mod faults;
#[path = "../support/pki.rs"]
mod pki;
mod policy;
mod smtp;
#[path = "../support/mod.rs"]
mod support;
mod world;

use serde_json::Value;
use support::{poll, relay::text};
use world::{World, ZONE};

#[test]
fn a_person_reads_lines_with_fixes_and_a_closing_line() {
    let mut world = World::start("every = \"0s\"\n");
    world.new.change(|new| {
        new.refused = vec![("bob@corp.example", "450 4.2.0 Greylisted")];
    });
    let output = world.cli(&["check", "CORP.example."]);
    let said = text(&output.stdout);
    assert!(
        said.contains("\n ok    mx                      10 hold.example.net (TTL 300) at 2 of 2")
    );
    let line =
        " FAIL  recipients              SMTP: RCPT TO:<bob@corp.example> -> 450 4.2.0 Greylisted";
    let at = said.find(line).unwrap_or_else(|| panic!("{said}"));
    let fix = said[at..].lines().nth(1).unwrap();
    assert!(
        fix.starts_with("       fix                     exempt"),
        "{said}"
    );
    assert_eq!(said.lines().last(), Some("1 failure, 0 warnings"), "{said}");
    assert!(!said.contains('\u{1b}'), "no colours where no terminal is");
    // Greylisting passes by itself.
    assert_eq!(output.status.code(), Some(75));
    // Not in the configuration.
    let output = world.cli(&["check", "other.example"]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));
    // Without a daemon too: the spool tells what is held, and nobody answers at the port.
    world.new.change(|new| new.refused.clear());
    world.relay.stop();
    let run = world.check();
    let wrong: Vec<&Value> = run.wrong();
    let names: Vec<&Value> = wrong.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["port-25", "tlsa"], "{wrong:#?}");
    assert_eq!(run.of("recipients")["found"], "2 of 2 taken");
    assert_eq!(run.code, Some(69));
}

#[test]
fn the_daemon_looks_by_itself_and_tells_what_changes() {
    let world = World::start("every = \"300ms\"\n");
    let checked = || world.relay.json(&["status"])["checked"].clone();
    let mx = || world.relay.json(&["status"])["checked"]["findings"].clone();
    let is_wrong = |findings: &Value| {
        let findings = findings.as_array().cloned().unwrap_or_default();
        findings
            .iter()
            .any(|one| one["name"] == "mx" && one["verdict"] == "fail")
    };
    poll("a first look", || checked().is_object().then_some(()));
    assert!(!is_wrong(&mx()));
    world.authorities[1].set(&ZONE.replace("hold.example.net", "old.corp.example"));
    poll("the fault in the status", || is_wrong(&mx()).then_some(()));
    let shown = text(&world.relay.ok(&["status"]));
    assert!(shown.contains("  check     FAIL mx: the authoritative servers do not agree"));
    world.authorities[1].set(ZONE);
    poll("the mending in the status", || {
        (!is_wrong(&mx())).then_some(())
    });
    let changes = checked()["changes"].as_array().unwrap().clone();
    let of_mx = changes.iter().filter(|one| one["name"] == "mx");
    let of_mx: Vec<(&Value, &Value)> = of_mx.map(|one| (&one["from"], &one["to"])).collect();
    assert_eq!(
        of_mx,
        [
            (&"ok".into(), &"fail".into()),
            (&"fail".into(), &"ok".into())
        ]
    );
    assert!(
        world
            .relay
            .log()
            .contains("check mx of corp.example: FAIL, was ok")
    );
    // Only the cheap ones: no recipient was asked about, and nothing was ever sent.
    let commands = world.new.commands();
    let spoken = |verb: &str| commands.iter().any(|line| line.starts_with(verb));
    assert!(
        spoken("EHLO") && !spoken("RCPT") && !spoken("DATA"),
        "{commands:?}"
    );
}
