//! Calls that fail: EIO and ENOSPC at the Nth call of a kind, at work and at a start.

use crate::{
    Table, places,
    support::{
        relay::{Relay, Settings},
        strace::Strace,
        temp,
    },
    trial::Trial,
};
use std::{fs, path::Path};

/// Kinds of calls, and the place that a Nth call of it stands for.
const AT_WORK: [(&str, &str); 5] = [
    ("fdatasync", "sync of the log or the watermark"),
    ("fsync", "sync of a long body or of the directory"),
    ("pwrite64", "write of the watermark"),
    ("write", "write of the log"),
    ("openat", "a new file for a long body"),
];

/// The same for a start, and which of its calls are tried: every fifth, or each where there
/// are few.
const AT_START: [(&str, &str, usize); 4] = [
    ("fdatasync,fsync", "syncs", 5),
    ("pwrite64,write", "writes", 5),
    ("openat", "opening files", 5),
    ("rename,renameat,renameat2", "renames", 1),
];

pub fn run(table: &mut Table) {
    for error in ["EIO", "ENOSPC"] {
        for (call, place) in AT_WORK {
            for nth in 1..=places(1) {
                at_work(table, error, call, place, nth);
            }
        }
        for (call, place, every) in AT_START {
            for nth in 1..=places(1) {
                at_start(table, error, call, place, every * nth);
            }
        }
    }
}

fn at_work(table: &mut Table, error: &str, call: &str, place: &str, nth: usize) {
    let directory = temp();
    let mut trial = Trial::new(Relay::start(directory.path(), &Settings::default()));
    // Once and for good from there on, as a disk does that is broken.
    let inject = format!("inject={call}:error={error}:when={nth}+");
    let trace = format!("trace={call}");
    let log = newest_log(&directory.path().join("spool/db"));
    let mut arguments = vec!["-e", trace.as_str(), "-e", inject.as_str()];
    if call == "write" {
        // Else it would be the sockets' and the runtime's too.
        arguments.extend(["-P", log.as_str()]);
    }
    let strace = Strace::attach(trial.relay.pid(), &arguments);
    trial.suffer(2 * nth + 4);
    drop(strace);
    table.add(&format!("{error} from {call}"), place, trial.recover());
}

fn newest_log(database: &Path) -> String {
    let files = fs::read_dir(database).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let newest = paths
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .max();
    newest.unwrap().to_str().unwrap().to_owned()
}

/// Where a start fails it says why, and the next one finds everything.
fn at_start(table: &mut Table, error: &str, calls: &str, place: &str, nth: usize) {
    let directory = temp();
    let mut trial = Trial::new(Relay::start(directory.path(), &Settings::default()));
    trial.relay.kill();
    let inject = format!("inject={calls}:error={error}:when={nth}");
    let trace = format!("trace={calls}");
    trial.relay.wrap(&[
        "strace",
        "-D",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        &trace,
        "-e",
        &inject,
    ]);
    if trial.relay.begin() {
        trial.suffer(2);
        trial.relay.kill();
    }
    trial.look();
    trial.relay.wrap(&[]);
    let seen = trial.restart("after a restart");
    table.add(
        &format!("{error} from {calls}"),
        &format!("{place} at the start"),
        seen,
    );
}
