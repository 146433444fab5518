//! Every check fails when its fault is put in, and passes when it is mended.

mod destination;
mod mailboxes;
mod own;
mod zone;

use crate::world::{FEATURES, HOSTNAME, World, ZONE, policy};
use destination::NEW_SERVER;
use mailboxes::MAILBOXES;
use own::{DISK, OWN};
use relay::check::NAMES;
use std::{collections::BTreeSet, time::Duration};
use zone::{DNS, POLICY};

/// A fault, which check finds it, and what it says.
struct Fault {
    check: &'static str,
    what: &'static str,
    verdict: &'static str,
    /// Words of what is found.
    says: &'static str,
    put: fn(&mut World),
    mend: fn(&mut World),
}

const fn fault(
    check: &'static str,
    what: &'static str,
    verdict: &'static str,
    says: &'static str,
    put: fn(&mut World),
    mend: fn(&mut World),
) -> Fault {
    Fault {
        check,
        what,
        verdict,
        says,
        put,
        mend,
    }
}

fn unedit(world: &mut World) {
    world.edits.clear();
}

fn dns_again(world: &mut World) {
    world.zone(ZONE);
}

fn features_again(world: &mut World) {
    world.new.change(|new| new.features = FEATURES.to_vec());
}

fn policy_again(world: &mut World) {
    world.web.change(|web| {
        (web.status, web.body, web.behind) = ("200 OK", policy(HOSTNAME), Duration::ZERO);
    });
}

/// With this line in the place of the feature that begins with its first word.
fn offer(world: &World, line: &'static str) {
    let word = line.split(' ').next().unwrap();
    world.new.change(|new| {
        new.features.retain(|feature| !feature.starts_with(word));
        new.features.extend((line != word).then_some(line));
    });
}

fn all() -> impl Iterator<Item = &'static Fault> {
    [&DISK[..], &OWN, &DNS, &POLICY, &NEW_SERVER, &MAILBOXES]
        .into_iter()
        .flatten()
}

#[test]
fn every_check_has_a_fault() {
    let tried: BTreeSet<&str> = all().map(|fault| fault.check).collect();
    assert_eq!(tried, BTreeSet::from(NAMES));
}

#[test]
fn each_check_fails_by_its_fault_and_passes_when_it_is_mended() {
    let mut world = World::start("every = \"0s\"\n");
    let sound = world.check();
    assert_eq!(sound.wrong(), Vec::<&serde_json::Value>::new());
    assert_eq!(sound.code, Some(0));
    let names: BTreeSet<&str> = (sound.findings.iter())
        .filter_map(|one| one["name"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from(NAMES), "every check was made");
    for fault in all() {
        (fault.put)(&mut world);
        let run = world.check();
        let found = run.of(fault.check);
        assert_eq!(found["verdict"], fault.verdict, "{}: {found}", fault.what);
        let text = found["found"].as_str().unwrap();
        assert!(text.contains(fault.says), "{}: {text}", fault.what);
        assert!(found["fix"].is_string(), "{}: {found}", fault.what);
        let failed = run.findings.iter().any(|one| one["verdict"] == "fail");
        assert_eq!(
            run.code != Some(0),
            failed,
            "{}: {:?}",
            fault.what,
            run.code
        );
        (fault.mend)(&mut world);
        let mended = world.check();
        assert_eq!(mended.of(fault.check)["verdict"], "ok", "{}", fault.what);
    }
    // All of it is as it was, and nobody has sent anything.
    assert_eq!(world.check().wrong(), Vec::<&serde_json::Value>::new());
    let commands = world.new.commands();
    assert!(
        !commands.iter().any(|line| line.starts_with("DATA")),
        "{commands:?}"
    );
}
