//! Too few file descriptors, too little memory, and a clock that jumps.

use crate::{
    Table,
    support::{
        poll,
        relay::{Relay, Settings},
        temp,
    },
    trial::Trial,
};
use std::{collections::BTreeSet, fs, process::Command, thread, time::Duration};

pub fn run(table: &mut Table) {
    descriptors(table);
    memory(table);
    for (place, time) in [("a day forward", "+1d"), ("a day back", "-1d")] {
        clock(table, place, time);
    }
}

fn descriptors(table: &mut Table) {
    let directory = temp();
    let mut trial = Trial::new(Relay::start(directory.path(), &Settings::default()));
    let pid = trial.relay.pid();
    // A connection can be had, a file for its message cannot.
    limit(pid, &format!("--nofile={}:", lowest_free(pid) + 1));
    trial.suffer(6);
    limit(pid, "--nofile=1024:");
    table.add("too few file descriptors", "one is left", trial.recover());
}

/// The descriptor that the next open call gets, once the connections before are closed.
fn lowest_free(pid: u32) -> u32 {
    let open = || -> BTreeSet<u32> {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .map(|name| name.to_str().unwrap().parse().unwrap())
            .collect()
    };
    let open = poll("descriptors at rest", || {
        let before = open();
        thread::sleep(Duration::from_millis(200));
        (open() == before).then_some(before)
    });
    (0..).find(|number| !open.contains(number)).unwrap()
}

/// An allocation that fails ends a Rust program, as a kill does.
fn memory(table: &mut Table) {
    let directory = temp();
    let mut trial = Trial::new(Relay::start(directory.path(), &Settings::default()));
    let pid = trial.relay.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    limit(pid, &format!("--as={}:", pages * 4096));
    trial.suffer(20);
    if !trial.relay.ends_within(Duration::from_millis(1)) {
        limit(pid, "--as=unlimited:");
    }
    table.add("no more memory", "address space", trial.recover());
}

fn limit(pid: u32, what: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), what])
        .status();
    assert!(set.unwrap().success(), "{what}");
}

/// The wall clock jumps while relay runs, and back.
fn clock(table: &mut Table, place: &str, time: &str) {
    let directory = temp();
    let file = directory.path().join("time");
    fs::write(&file, "+0").unwrap();
    let mut relay = Relay::configured(directory.path(), &Settings::default());
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(fs::exists(library).unwrap(), "faketime is not installed");
    for (name, value) in [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        relay.set(name, Some(value.into()));
    }
    relay.run();
    let mut trial = Trial::new(relay);
    fs::write(&file, time).unwrap();
    trial.suffer(4);
    fs::write(&file, "+0").unwrap();
    table.add("the clock jumps", place, trial.recover());
}
