//! What the target made of messages: a server that cannot store a date may store another one
//! and say OK, so sizes and dates are read back; and so are messages with bytes in whose place
//! servers are known to store others, without a word.

use super::Folder;
use crate::imap::UidSet;
use crate::mover::{
    copy::{CopyError, Message},
    date,
    state::{At, NoteKind, NoteRecord, State},
};
use std::collections::HashMap;

/// The messages of a window.
#[derive(Debug, Default)]
pub struct Verify {
    expected: HashMap<u32, Expected>,
    /// UID at the target -> UID at the source.
    there: HashMap<u32, u32>,
}

#[derive(Debug)]
struct Expected {
    bytes: u64,
    internal_date: String,
    message_id: Option<String>,
    /// Of its bytes, for those that a server may have altered without altering the size.
    digest: Option<[u8; 32]>,
}

impl Verify {
    /// These are about to be appended.
    pub async fn expect(&mut self, messages: &[Message]) {
        for message in messages {
            let digest = match message.known.is_odd {
                true => message.body.digest().await,
                false => None,
            };
            let expected = Expected {
                bytes: message.body.len(),
                internal_date: message.internal_date.clone(),
                message_id: message.body.message_id(),
                digest,
            };
            self.expected.insert(message.uid, expected);
        }
    }

    /// These were taken: UIDs at the source, with those at the target.
    pub fn copied(&mut self, messages: &[(u32, Option<u32>)]) {
        for (uid, target_uid) in messages {
            if let Some(target_uid) = target_uid {
                self.there.insert(*target_uid, *uid);
            }
        }
    }

    /// Notes each that differs, and tells how many do.
    pub async fn compare(
        mut self,
        state: &State,
        at: At<'_>,
        target: &mut impl Folder,
    ) -> Result<u64, CopyError> {
        if self.there.is_empty() {
            return Ok(0);
        }
        let odd = |uid: &&u32| {
            let expected = self.expected.get(uid);
            expected.is_some_and(|expected| expected.digest.is_some())
        };
        let odd = (self.there.iter()).filter(|(_, uid)| odd(uid));
        let odd: UidSet = odd.map(|(target_uid, _)| *target_uid).collect();
        let digests = target.digests(&odd).await?;
        let digests: HashMap<u32, [u8; 32]> = digests.into_iter().collect();
        let mut altered = 0;
        for found in target.scan(&self.there.keys().copied().collect()).await? {
            let uid = self.there.get(&found.uid);
            let Some((uid, expected)) =
                uid.and_then(|uid| Some((*uid, self.expected.remove(uid)?)))
            else {
                continue;
            };
            let mut differs = Vec::new();
            if found.size != expected.bytes {
                // RFC822.SIZE counts line ends as CRLF; bare ones were not.
                differs.push(format!(
                    "{} bytes were sent, the target has {}: line ends or control characters \
                     are stored otherwise",
                    expected.bytes, found.size
                ));
            }
            let digest = digests.get(&found.uid);
            if found.size == expected.bytes
                && digest.is_some()
                && digest != expected.digest.as_ref()
            {
                differs.push(
                    "the target stores other bytes in the place of NUL or of 8-bit characters in \
                     the header"
                        .into(),
                );
            }
            let (sent, stored) = (&expected.internal_date, &found.internal_date);
            if !sent.is_empty() && date::seconds(sent) != date::seconds(stored) {
                differs.push(format!(
                    "date {} is stored as {}",
                    sent.trim(),
                    stored.trim()
                ));
            }
            if !differs.is_empty() {
                altered += 1;
                let note = NoteRecord {
                    kind: NoteKind::Altered,
                    message_id: expected.message_id,
                    size: expected.bytes,
                    why: differs.join("; "),
                };
                state.note(at, uid, &note)?;
            }
        }
        Ok(altered)
    }
}
