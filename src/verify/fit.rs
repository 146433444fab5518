//! A released message beside what was received: whether it is the same.
//!
//! The new server may put its own fields in front of relay's, which says nothing; some put
//! fields behind it too (spam filters), which is no alteration of what the sender wrote. All
//! else is.

use super::{
    facts::{Facts, Released},
    header::Field,
    matching::Fit,
};

/// The verdict, with what is odd in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The verdict.
    pub fit: Fit,
    /// The names of the fields that were added, or what differs.
    pub odd: Vec<String>,
}

/// Compares, after the digests have differed: `original` as the sender sent it.
#[must_use]
pub fn judge(stored: &Facts, released: &Released, original: &Facts) -> Judged {
    if released.rest == original.whole {
        return Judged {
            fit: Fit::Same,
            odd: Vec::new(),
        };
    }
    let other = |what: String| Judged {
        fit: Fit::Other,
        odd: vec![what],
    };
    if stored.body != original.body {
        let (now, then) = (stored.body.bytes, original.body.bytes);
        return other(match now == then {
            true => "its body has other bytes than were received".into(),
            false => format!("its body has {now} bytes; {then} were received"),
        });
    }
    let mut added = Vec::new();
    let mut left = original.fields_from(0).peekable();
    for field in stored.fields_from(released.from) {
        if left.peek().is_some_and(|next| same(next, &field)) {
            left.next();
        } else {
            added.push(field.name());
        }
    }
    if let Some(lost) = left.next() {
        return other(format!("its header differs at the field {}", lost.name()));
    }
    added.sort();
    added.dedup();
    Judged {
        fit: Fit::Fields,
        odd: added,
    }
}

/// Line ends do not count: servers write their own.
fn same(one: &Field<'_>, other: &Field<'_>) -> bool {
    let plain = |field: &Field<'_>| -> Vec<u8> {
        let bytes = field.bytes.iter().copied();
        bytes.filter(|byte| !b"\r\n".contains(byte)).collect()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::facts::facts;

    const TRACE: &str = "Return-Path: <a@b>\r\nReceived: from mx\r\n\tby hold.example (relay) \
                         with ESMTP id 00000000000A;\r\n\tMon, 23 Nov 2026 10:00:01 +0000\r\n";

    fn judged(stored: &str, original: &str) -> Judged {
        let stored = facts(format!("{TRACE}{stored}").as_bytes());
        let released = stored.released.clone().unwrap();
        judge(&stored, &released, &facts(original.as_bytes()))
    }

    #[test]
    fn what_a_server_may_do_and_what_it_may_not() {
        let original = "A: 1\r\nB: 2\r\n 3\r\n\r\nbody\r\n";
        let fit = |stored: &str| judged(stored, original).fit;
        assert_eq!(fit("A: 1\nB: 2\n 3\n\nbody\n"), Fit::Same);
        let spam = "A: 1\r\nX-Spam: no\r\nB: 2\r\n 3\r\nX-Two: x\r\n\r\nbody\r\n";
        let judged = judged(spam, original);
        assert_eq!(
            (judged.fit, judged.odd),
            (Fit::Fields, vec!["x-spam".into(), "x-two".into()])
        );
        for altered in [
            "A: 1\r\nB: 2\r\n 3\r\n\r\nbodY\r\n",
            "A: 1\r\nB: 2\r\n 4\r\n\r\nbody\r\n",
            "B: 2\r\n 3\r\nA: 1\r\n\r\nbody\r\n",
            "A: 1\r\n\r\nbody\r\n",
        ] {
            assert_eq!(fit(altered), Fit::Other, "{altered}");
        }
    }
}
