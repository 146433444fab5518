//! Messages that the target does not take, kept as files for a person to look at.

use super::{copy::Refused, state::At, state::StateError};
use crate::imap::Name;
use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Of a folder's or account's name in a file's name, which has 255 bytes at most.
const NAME_BYTES_MAX: usize = 200;

/// Writes the bytes of a message below this directory, unless they are there already:
/// `ACCOUNT/FOLDER.UID-HASH.eml`, readable for its owner alone.
///
/// # Errors
/// [`StateError::Io`].
pub async fn keep(directory: &Path, at: At<'_>, refused: &Refused) -> Result<PathBuf, StateError> {
    let directory = directory.join(name(at.account));
    let folder = name(&Name::from_raw(at.folder).to_string());
    let mut hash = String::new();
    for byte in refused.hash.iter().take(4) {
        let _ = write!(hash, "{byte:02x}");
    }
    let path = directory.join(format!("{folder}.{}-{hash}.eml", refused.uid));
    match write(&directory, &path, refused).await {
        Ok(()) => Ok(path),
        Err(error) => Err(StateError::Io {
            doing: format!("keeping a refused message as {}", path.display()),
            detail: error.to_string(),
        }),
    }
}

async fn write(directory: &Path, path: &Path, refused: &Refused) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    if path.exists() {
        return Ok(());
    }
    // Under its own name only when it is whole.
    let part = path.with_extension("part");
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    refused.body.write_to(&mut file).await?;
    file.sync_all()?;
    fs::rename(&part, path)
}

/// As a part of a file's name.
fn name(text: &str) -> String {
    let (kept, _) = text.split_at(text.floor_char_boundary(NAME_BYTES_MAX));
    let safe = kept.chars().map(|c| match c {
        '/' | '\\' => '_',
        c if c.is_control() => '_',
        c => c,
    });
    let safe: String = safe.collect();
    match safe.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::body::Body;

    #[tokio::test]
    async fn a_message_is_kept_once_below_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Refused {
            uid: 7,
            reply: "no".into(),
            hash: [0xab; 32],
            body: Body::new(b"A: b\r\n\r\n".to_vec()),
        };
        let at = At {
            account: "../bob",
            folder: b"../a/b",
        };
        for _ in 0..2 {
            let path = keep(directory.path(), at, &refused).await.unwrap();
            let expected = "_._bob/_._a_b.7-abababab.eml";
            assert_eq!(path, directory.path().join(expected));
            assert_eq!(fs::read(path).unwrap(), b"A: b\r\n\r\n");
        }
    }

    #[tokio::test]
    async fn a_long_name_is_cut_between_characters_to_what_a_file_may_have() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Refused {
            uid: u32::MAX,
            reply: "no".into(),
            hash: [0; 32],
            body: Body::new(b"A: b\r\n\r\n".to_vec()),
        };
        let folder = Name::encode(&"\u{6f22}".repeat(120));
        let at = At {
            account: "bob",
            folder: folder.raw(),
        };
        let path = keep(directory.path(), at, &refused).await.unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&"\u{6f22}".repeat(66)), "{name}");
    }
}
