//! The keys: a letter for the kind, the account, the folder, the UID. Lengths stand before
//! the names, so that no name is the beginning of another one's key.

use super::At;

const ACCOUNT: u8 = b'a';
const FOLDER: u8 = b'f';
const MESSAGE: u8 = b'm';
const NOTE: u8 = b'n';

/// The key of an account's record.
pub fn account_key(account: &str) -> Vec<u8> {
    let mut key = vec![ACCOUNT];
    key.extend_from_slice(account.as_bytes());
    key
}

/// The key of a folder's record.
pub fn folder_key(at: At<'_>) -> Vec<u8> {
    let mut key = account_prefix(at.account);
    key.extend_from_slice(at.folder);
    key
}

/// What the keys of all folders of an account begin with.
pub fn account_prefix(account: &str) -> Vec<u8> {
    let mut key = vec![FOLDER];
    push(&mut key, account.as_bytes());
    key
}

/// The key of a message's record.
pub fn message_key(at: At<'_>, uid: u32) -> Vec<u8> {
    let mut key = message_prefix(at);
    key.extend_from_slice(&uid.to_be_bytes());
    key
}

/// What the keys of all messages of a folder begin with.
pub fn message_prefix(at: At<'_>) -> Vec<u8> {
    let mut key = vec![MESSAGE];
    push(&mut key, at.account.as_bytes());
    push(&mut key, at.folder);
    key
}

/// The key of a note on a message.
pub fn note_key(at: At<'_>, uid: u32) -> Vec<u8> {
    let mut key = note_prefix(at);
    key.extend_from_slice(&uid.to_be_bytes());
    key
}

/// What the keys of all notes of a folder begin with.
pub fn note_prefix(at: At<'_>) -> Vec<u8> {
    let mut key = account_notes(at.account);
    push(&mut key, at.folder);
    key
}

/// What the keys of all notes of an account begin with.
pub fn account_notes(account: &str) -> Vec<u8> {
    let mut key = vec![NOTE];
    push(&mut key, account.as_bytes());
    key
}

/// The folder and the UID in what follows an account in the key of a note.
pub fn folder_and_uid(rest: &[u8]) -> Option<(&[u8], u32)> {
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (folder, uid) = rest.split_at_checked(length)?;
    Some((folder, u32::from_be_bytes(uid.try_into().ok()?)))
}

/// The first key behind all that begin with `prefix`, which is not all 0xff.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            break;
        }
    }
    key
}

/// The UID at the end of a message's key.
pub fn uid_of(key: &[u8]) -> Option<u32> {
    key.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// A key for people.
pub fn shown(key: &[u8]) -> String {
    format!("record {}", key.escape_ascii())
}

fn push(key: &mut Vec<u8>, name: &[u8]) {
    // A name of 4 GiB does not exist: a command line has 64 KiB at most.
    let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout that `spool/FORMAT.md` promises.
    #[test]
    fn the_layout_is_the_documented_one() {
        let at = At {
            account: "bob",
            folder: b"In",
        };
        assert_eq!(folder_key(at), b"f\0\0\0\x03bobIn");
        assert_eq!(
            message_key(at, 258),
            b"m\0\0\0\x03bob\0\0\0\x02In\0\0\x01\x02"
        );
        assert_eq!(uid_of(&message_key(at, 258)), Some(258));
    }

    #[test]
    fn after_a_prefix_nothing_begins_with_it() {
        assert_eq!(after(b"ab"), b"ac");
        assert_eq!(after(b"a\xff"), b"b");
    }
}
