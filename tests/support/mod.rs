//! What the integration tests share: the real `relay` binary on a spool of its own, real
//! mail servers, a scripted one that misbehaves on request, and clients that record.
//!
//! Everything runs on loopback, on ports that were free, below a temporary directory, and
//! ends with the test: by process id, or by the closing of a pipe.

// Each test binary compiles this module and uses its own part of it.
#![allow(dead_code)]

pub mod arrivals;
pub mod between;
pub mod browser;
pub mod client;
pub mod corpus;
pub mod dns;
pub mod far;
pub mod http;
pub mod image;
pub mod mailbox;
pub mod migration;
pub mod moving;
pub mod peers;
pub mod random;
pub mod relay;
pub mod scripted;
pub mod sequences;
pub mod strace;

pub use random::Random;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use tempfile::TempDir;

/// How long to wait for something that happens at once on an idle machine. Reaching it is
/// a failure, so it is generous.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary directory that the mail servers' own users may enter.
pub fn temp() -> TempDir {
    let directory = tempfile::Builder::new().prefix("relay").tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Calls `probe` until it gives something.
///
/// For what cannot be awaited: counters behind a command line.
pub fn poll<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "no end of waiting: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
