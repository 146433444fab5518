//! Whether stderr is the journal.

use std::{env, io};

/// As systemd.exec(5) has it: `JOURNAL_STREAM` names device and inode of the stream that
/// the service was started with, and stderr may have been redirected since.
pub(super) fn is_stderr() -> bool {
    let Some(stream) = env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else {
        return false;
    };
    names(&stream, stat.st_dev, stat.st_ino)
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream
        .split_once(':')
        .is_some_and(|(d, i)| d.parse() == Ok(device) && i.parse() == Ok(inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_stream_is_the_journal() {
        assert!(names("8:42", 8, 42));
        for other in ["8:43", "9:42", "8", "", "8:", "8:42:1", "x:42"] {
            assert!(!names(other, 8, 42), "{other:?}");
        }
    }
}
