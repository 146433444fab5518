//! Messages that the target had before: each may be a copy, by an earlier run or another
//! tool, of one message of the source, which then is not sent again.

use super::{
    copy::{CopyError, Target},
    hash::{Identity, Known},
    state::{At, State},
};
use std::collections::HashSet;

/// Messages whose bytes are read by one command.
const WINDOW_UIDS: u32 = 1000;

/// What may be a copy. 24 bytes a message, so that a folder of 500,000 takes 12 MiB.
#[derive(Debug, Default)]
pub struct Matching {
    /// The head of the hash and the UID; sorted. A UID is 0 when it is given away.
    found: Vec<([u8; 16], u32)>,
}

impl Matching {
    /// Reads the target's messages below a UID, but for those that are known as copies.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn read(
        state: &State,
        at: At<'_>,
        target: &mut impl Target,
        below: u32,
    ) -> Result<Self, CopyError> {
        let mut taken = HashSet::new();
        state.messages(at, |_, record| taken.extend(record.outcome.copy()))?;
        let uids = target.uids(1, below.saturating_sub(1)).await?;
        let mut found = Vec::new();
        for window in uids.chunks(usize::MAX, WINDOW_UIDS) {
            let free = window.iter().filter(|uid| !taken.contains(uid)).collect();
            for one in target.identities(&free).await? {
                found.push((head(one.identity), one.uid));
            }
        }
        found.sort_unstable();
        Ok(Self { found })
    }

    /// The first message with these bytes that was not given before; else one with what a
    /// server may have made of them.
    pub fn take(&mut self, known: Known) -> Option<u32> {
        let other = known.other();
        self.first(known.identity).or_else(|| self.first(other?))
    }

    fn first(&mut self, identity: Identity) -> Option<u32> {
        let head = head(identity);
        let first = self.found.partition_point(|(other, _)| *other < head);
        let same = self.found.get_mut(first..).unwrap_or_default();
        let (_, uid) = (same.iter_mut())
            .take_while(|(other, _)| *other == head)
            .find(|(_, uid)| *uid != 0)?;
        Some(std::mem::take(uid))
    }
}

/// Half a BLAKE3 hash: nobody finds two messages with the same one.
fn head(identity: Identity) -> [u8; 16] {
    let [half, _] = *identity.hash.as_chunks::<16>().0 else {
        return [0; 16];
    };
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mover::hash::{identity, known};

    #[test]
    fn each_copy_is_given_once_in_their_order() {
        let of = |text| head(identity(text));
        let (a, b) = (known(b"a"), known(b"b"));
        let mut found = vec![
            (of(b"b"), 7),
            (of(b"a"), 9),
            (of(b"a"), 3),
            (of(b"X: X\r\n"), 5),
        ];
        found.sort_unstable();
        let mut matching = Matching { found };
        assert_eq!(matching.take(a), Some(3));
        assert_eq!(matching.take(a), Some(9));
        assert_eq!(matching.take(a), None);
        assert_eq!(matching.take(b), Some(7));
        assert_eq!(matching.take(known(b"c")), None);
        assert_eq!(matching.take(known(b"X: \xe4\r\n")), Some(5));
        assert_eq!(matching.take(known(b"X: X\r\n")), None);
    }
}
