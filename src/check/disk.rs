//! The spool's disk: how long a sync takes, and how long the space lasts.

use super::{fail, ok, time, warn};
use crate::{config::SpoolConfig, ledger::Finding};
use std::{
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::{Duration, Instant},
};

/// Syncs that are measured; the one in the middle counts.
const SYNCS: usize = 9;
/// What a message's record takes, about.
const WRITTEN: [u8; 4096] = [0; 4096];
/// Above it, a sender waits noticeably for its 250; many share one sync.
const SYNC_SLOW: Duration = Duration::from_millis(30);
/// Above it, a burst of mail is worse off than with its sender.
const SYNC_BAD: Duration = Duration::from_millis(500);
const SPACE_SHORT: Duration = Duration::from_secs(2 * 86_400);
const SPACE_GONE: Duration = Duration::from_secs(6 * 3_600);

pub(super) fn check(spool: &SpoolConfig, bytes_per_day: Option<f64>) -> Vec<Finding> {
    let directory = &spool.path;
    let synced = sync(directory).map_err(|error| error.to_string());
    let free = rustix::fs::statvfs(directory)
        .map(|space| space.f_bavail.saturating_mul(space.f_frsize))
        .map_err(|error| io::Error::from(error).to_string());
    let path = directory.display().to_string();
    vec![
        latency(&path, synced),
        space(&path, free, spool.min_free_bytes, bytes_per_day),
    ]
}

/// The middle one of several syncs of a small file.
fn sync(directory: &Path) -> io::Result<Duration> {
    let mut file = tempfile::Builder::new()
        .prefix("check-")
        .tempfile_in(directory)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&WRITTEN)?;
        file.as_file().sync_data()?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(took.get(SYNCS / 2).copied().unwrap_or_default())
}

fn latency(path: &str, synced: Result<Duration, String>) -> Finding {
    const NAME: &str = "spool-sync";
    let fix = "put spool.path on a disk that writes at once: a local SSD, a controller with a \
               battery; no network file system";
    match synced {
        Err(error) => fail(
            NAME,
            format!("{path}: a file cannot be written there and synced: {error}"),
            "make the directory, and make it relay's: `install -d -o relay -m 0700 PATH`",
        ),
        Ok(took) => {
            let found = format!("{path}: a sync takes {:.1} ms", took.as_secs_f64() * 1000.0);
            match took {
                _ if took >= SYNC_BAD => fail(NAME, found, fix),
                _ if took >= SYNC_SLOW => warn(NAME, found, fix),
                _ => ok(NAME, found),
            }
        }
    }
}

fn space(
    path: &str,
    free: Result<u64, String>,
    min_free: u64,
    bytes_per_day: Option<f64>,
) -> Finding {
    const NAME: &str = "spool-space";
    let fix = "make room on that disk, or move spool.path to a larger one before the hold";
    let free = match free {
        Ok(free) => free,
        Err(error) => return fail(NAME, format!("{path}: {error}"), fix),
    };
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let usable = free.saturating_sub(min_free);
    let found = format!("{path}: {:.1} GB free", gigabytes(free));
    if usable == 0 {
        let kept = gigabytes(min_free);
        let found = format!("{found}, and spool.min_free keeps {kept:.1} GB: no mail is taken");
        return fail(NAME, found, fix);
    }
    let Some(rate) = bytes_per_day.filter(|rate| *rate > 0.0) else {
        return ok(
            NAME,
            found + "; no mail arrives now, so nobody knows for how long",
        );
    };
    let lasts = Duration::try_from_secs_f64(usable as f64 / rate * 86_400.0);
    let lasts = lasts.unwrap_or(Duration::MAX);
    let found = format!("{found}, about {} at the current rate", time(lasts));
    match lasts {
        _ if lasts < SPACE_GONE => fail(NAME, found, fix),
        _ if lasts < SPACE_SHORT => warn(NAME, found, fix),
        _ => ok(NAME, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Verdict::{self, Fail, Ok as Good, Warn};

    #[test]
    fn a_slow_disk_is_said() {
        let of = |ms| latency("/s", Ok(Duration::from_millis(ms))).verdict;
        assert_eq!([of(1), of(50), of(900)], [Good, Warn, Fail]);
        assert_eq!(latency("/s", Err("no".into())).verdict, Fail);
    }

    #[test]
    fn space_is_measured_in_time() {
        let of = |free: u64, rate| -> (Verdict, String) {
            let finding = space("/s", Ok(free), 1_000_000_000, rate);
            (finding.verdict, finding.found)
        };
        let day = 1e9;
        assert_eq!(of(500_000_000, None).0, Fail);
        assert_eq!(of(2_000_000_000, None).0, Good);
        assert_eq!(of(1_100_000_000, Some(day)).0, Fail);
        assert_eq!(of(2_000_000_000, Some(day)).0, Warn);
        let (verdict, found) = of(10_000_000_000, Some(day));
        assert_eq!(verdict, Good);
        assert_eq!(found, "/s: 10.0 GB free, about 9 d at the current rate");
    }
}
