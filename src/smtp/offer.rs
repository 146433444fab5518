//! What a destination is known to take, which is what may be offered for it.

use super::{Mail, Reply};
use crate::mail::BodyKind;

/// The extensions that decide whether a message can go on as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// RFC 1870: the largest message in bytes; none: any, or not known.
    pub size_bytes_max: Option<u64>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3030 §2.
    pub chunking: bool,
}

impl Offer {
    /// What is offered for a destination of which nothing is known.
    pub const ALL: Self = Self {
        size_bytes_max: None,
        eight_bit_mime: true,
        smtputf8: true,
        chunking: true,
    };

    /// What one of both takes.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let both = self.size_bytes_max.zip(other.size_bytes_max);
        Self {
            size_bytes_max: both.map(|(one, other)| one.max(other)),
            eight_bit_mime: self.eight_bit_mime || other.eight_bit_mime,
            smtputf8: self.smtputf8 || other.smtputf8,
            chunking: self.chunking || other.chunking,
        }
    }

    /// Why a message that is announced like this could not go on to this destination. Nothing
    /// is converted, so what needs an extension that is not there cannot.
    #[must_use]
    pub fn refusal(&self, mail: &Mail) -> Option<Reply> {
        if mail.smtputf8 && !self.smtputf8 {
            // RFC 6531 §3.5.
            let text = "SMTPUTF8 is not supported for this recipient";
            return Some(Reply::new(553, "5.6.7", text));
        }
        if mail.body == BodyKind::EightBitMime && !self.eight_bit_mime {
            // RFC 3463 §3.7: a conversion would be needed, and is not made.
            let text = "8BITMIME is not supported for this recipient";
            return Some(Reply::new(550, "5.6.3", text));
        }
        match self.size_bytes_max {
            // RFC 1870 §6.2.
            Some(max) if mail.size_bytes > max => {
                let text = "Message size exceeds what this recipient's server takes";
                Some(Reply::new(552, "5.3.4", text))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::ReversePath;

    const NONE: Offer = Offer {
        size_bytes_max: Some(100),
        eight_bit_mime: false,
        smtputf8: false,
        chunking: false,
    };

    #[test]
    fn one_of_both_is_enough() {
        assert_eq!(NONE.or(Offer::ALL), Offer::ALL);
        let larger = Offer {
            size_bytes_max: Some(200),
            smtputf8: true,
            ..NONE
        };
        assert_eq!(NONE.or(larger), larger);
        assert_eq!(larger.or(NONE), larger);
    }

    #[test]
    fn what_cannot_go_on_is_refused() {
        let mail = Mail {
            reverse_path: ReversePath::Null,
            size_bytes: 100,
            body: BodyKind::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        };
        assert_eq!(NONE.refusal(&mail), None);
        let code = |mail: Mail| {
            assert_eq!(Offer::ALL.refusal(&mail), None);
            NONE.refusal(&mail).unwrap().code()
        };
        let (mut large, mut eight, mut utf8) = (mail.clone(), mail.clone(), mail);
        large.size_bytes = 101;
        eight.body = BodyKind::EightBitMime;
        utf8.smtputf8 = true;
        assert_eq!((code(large), code(eight), code(utf8)), (552, 550, 553));
    }
}
