//! Every file of a spool, damaged in many places: it opens with everything whole, or what is
//! not is named, by the refusal to open or by a recount. Never neither.

use super::*;

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A bit at this place of so many.
    Flip(u64, u64),
    /// The last bytes are missing.
    Torn(u64),
    /// The last bytes are zero.
    Zeroed(u64),
    /// All of it is missing.
    Emptied,
}

const DAMAGES: [Damage; 14] = [
    Damage::Flip(0, 8),
    Damage::Flip(1, 8),
    Damage::Flip(2, 8),
    Damage::Flip(3, 8),
    Damage::Flip(4, 8),
    Damage::Flip(5, 8),
    Damage::Flip(6, 8),
    Damage::Flip(7, 8),
    Damage::Torn(1),
    Damage::Torn(100),
    Damage::Torn(5000),
    Damage::Zeroed(1),
    Damage::Zeroed(5000),
    Damage::Emptied,
];

impl Damage {
    fn strike(self, path: &Path) {
        let length = fs::metadata(path).unwrap().len();
        let file = fs::File::options().write(true).open(path).unwrap();
        match self {
            Self::Flip(place, of) => flip(path, place * (length - 1) / of),
            Self::Torn(bytes) => file.set_len(length.saturating_sub(bytes)).unwrap(),
            Self::Zeroed(bytes) => {
                let bytes = bytes.min(length);
                let zeros = vec![0; usize::try_from(bytes).unwrap()];
                file.write_all_at(&zeros, length - bytes).unwrap();
            }
            Self::Emptied => file.set_len(0).unwrap(),
        }
    }
}

/// A spool with messages in tables, blobs, files and the log, as a crash leaves it.
async fn full() -> (tempfile::TempDir, PathBuf, Vec<(QueueId, Vec<u8>)>) {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let mut expected = Vec::new();
    for _ in 0..2 {
        // Opening writes what the log held into tables and blobs.
        let spool = open(&config).await;
        for length in [10, 3000, 20_000, 200_000] {
            let bytes = noise(length);
            let id = accept(&spool, &["bob@corp.example"], &bytes).await.id();
            expected.push((id, bytes));
        }
        shut(spool).await;
    }
    let spool = open(&config).await;
    for length in [10, 3000] {
        let bytes = noise(length);
        let id = accept(&spool, &["bob@corp.example"], &bytes).await.id();
        expected.push((id, bytes));
    }
    let crashed = directory.path().join("crashed");
    copy(&config.path, &crashed);
    (directory, crashed, expected)
}

/// The files of a spool that say something.
fn files(spool: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("watermark")];
    for directory in ["db", "bodies"] {
        for entry in fs::read_dir(spool.join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let matters = !["LOG", "LOCK", "IDENTITY", "OPTIONS"]
                .iter()
                .any(|silent| name.starts_with(silent));
            if matters
                && fs::metadata(spool.join(directory).join(&name))
                    .unwrap()
                    .len()
                    > 0
            {
                found.push(Path::new(directory).join(name));
            }
        }
    }
    found.sort();
    found
}

/// What became of it, in a word.
async fn outcome(spool: &Path, expected: &[(QueueId, Vec<u8>)]) -> &'static str {
    let config = SpoolConfig {
        path: spool.to_owned(),
        retain_delivered: Duration::from_secs(60),
        retain_records: Duration::from_secs(60),
        min_free_bytes: 0,
    };
    let opened = match RocksSpool::open(&config) {
        Err(_) => return "refused",
        Ok(opened) => opened,
    };
    let recounted = opened.recount(true).await;
    let is_named = recounted.map_or(true, |recount| !recount.findings.is_empty());
    if !is_named {
        let all: Vec<QueueId> = expected.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids(&opened).await, all);
        for (id, bytes) in expected {
            assert!(read_all(&opened, *id).await == *bytes, "{id} is not whole");
        }
    }
    // Its own threads still write until it is closed, and the files are about to go.
    opened.close().await.unwrap();
    if is_named { "named" } else { "whole" }
}

#[tokio::test]
async fn no_damage_is_silent() {
    let (directory, crashed, expected) = full().await;
    let files = files(&crashed);
    for end in ["log", "sst", "blob"] {
        let has = |file: &PathBuf| file.extension().is_some_and(|found| found == end);
        assert!(files.iter().any(has), "no {end} in {files:?}");
    }
    let mut seen = HashMap::new();
    for (number, file) in files.iter().enumerate() {
        for damage in DAMAGES {
            let struck = directory.path().join(format!("struck{number}"));
            copy(&crashed, &struck);
            damage.strike(&struck.join(file));
            let outcome = outcome(&struck, &expected).await;
            println!("{}: {damage:?}: {outcome}", file.display());
            *seen.entry(outcome).or_insert(0) += 1;
            fs::remove_dir_all(&struck).unwrap();
        }
    }
    println!("{seen:?}");
    assert!(seen["refused"] > 0 && seen["named"] > 0 && seen["whole"] > 0);
}
