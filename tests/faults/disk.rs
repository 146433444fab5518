//! Disks: slow, hung, full, gone.

use crate::{
    Table,
    support::{
        image::Image,
        relay::{Relay, Settings},
        strace::Strace,
        temp,
    },
    trial::Trial,
};
use std::{fs, process::Command};
use tempfile::TempDir;

pub fn run(table: &mut Table) {
    slow(table);
    hung(table);
    full(table);
    gone(table);
}

fn slow(table: &mut Table) {
    let directory = temp();
    let mut trial = Trial::new(Relay::start(directory.path(), &Settings::default()));
    let inject = "inject=fdatasync,fsync:delay_enter=2000000";
    let strace = Strace::attach(
        trial.relay.pid(),
        &["-e", "trace=fdatasync,fsync", "-e", inject],
    );
    trial.suffer(2);
    drop(strace);
    table.add("slow disk", "2 s a sync", trial.recover());
}

fn on_image() -> (TempDir, Image, Trial) {
    let directory = temp();
    let image = Image::new(directory.path(), "ext4");
    let settings = Settings {
        spool: Some(image.path().join("spool")),
        ..Settings::default()
    };
    let trial = Trial::new(Relay::start(directory.path(), &settings));
    (directory, image, trial)
}

/// The file system answers no write: `fsfreeze`.
fn hung(table: &mut Table) {
    let (_directory, image, mut trial) = on_image();
    image.freeze();
    trial.suffer(2);
    image.thaw();
    table.add("hung disk", "file system frozen", trial.recover());
}

/// No byte is free, whatever `spool.min_free` says.
fn full(table: &mut Table) {
    let (_directory, image, mut trial) = on_image();
    let filler = image.path().join("filler");
    let wrote = Command::new("dd")
        .args(["if=/dev/zero", "bs=64K"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(!wrote.status.success(), "it is not full");
    trial.suffer(4);
    fs::remove_file(filler).unwrap();
    table.add("full disk", "file system full", trial.recover());
}

/// ext4 makes itself read-only after an error; here it is shut down, which is the same for
/// who writes. It comes back with a mount, for which relay has to be stopped.
fn gone(table: &mut Table) {
    let (_directory, image, mut trial) = on_image();
    image.cut();
    trial.suffer(4);
    trial.relay.kill();
    image.restore();
    let seen = trial.restart("after a mount and a restart");
    table.add("read-only or lost file system", "shut down", seen);
}
