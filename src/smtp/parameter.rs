//! Values of the parameters of MAIL, RCPT and BDAT.

use super::command::{Chunk, ChunkPlace};
use crate::mail::{BodyKind, Ret};

/// RFC 3461 §4.4.
const ENVID_CHARS_MAX: usize = 100;
/// RFC 3461 §4.2.
const ORCPT_CHARS_MAX: usize = 500;

/// The parameters behind a path: keyword, and value where there is one.
pub(super) fn each(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        })
}

/// RFC 1870 §3: 1 to 20 digits. What does not fit in 64 bits is larger than any limit.
pub(super) fn size(value: &str) -> Option<u64> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// RFC 3030 §2: a count of as many digits as that of SIZE, and `LAST` or nothing.
pub(super) fn chunk(text: &str) -> Option<Chunk> {
    let mut words = text.split_ascii_whitespace();
    let bytes = words.next().and_then(size)?;
    let place = match (words.next(), words.next()) {
        (None, _) => ChunkPlace::Inner,
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => ChunkPlace::Last,
        _ => return None,
    };
    Some(Chunk { bytes, place })
}

/// RFC 6152 §2. BINARYMIME (RFC 3030 §3) is not offered.
pub(super) fn body(value: &str) -> Option<BodyKind> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(BodyKind::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(BodyKind::EightBitMime)
    } else {
        None
    }
}

/// RFC 3461 §4.3.
pub(super) fn ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Ret::Headers)
    } else {
        None
    }
}

/// RFC 3461 §4.4: the value as it was written.
pub(super) fn envid(value: &str) -> Option<String> {
    let fits = (1..=ENVID_CHARS_MAX).contains(&value.len());
    (fits && is_xtext(value)).then(|| value.to_owned())
}

/// RFC 3461 §4.1: `NEVER` alone, or a list.
pub(super) fn notify(value: &str) -> Option<String> {
    const LIST: [&str; 3] = ["SUCCESS", "FAILURE", "DELAY"];
    let listed = |word: &str| LIST.iter().any(|name| name.eq_ignore_ascii_case(word));
    let valid = value.eq_ignore_ascii_case("NEVER") || value.split(',').all(listed);
    // Each word once is enough for anybody; more would only grow.
    (valid && value.len() <= "SUCCESS,FAILURE,DELAY".len()).then(|| value.to_owned())
}

/// RFC 3461 §4.2, and RFC 6533 §3 for addresses beyond ASCII: type, semicolon, text, as
/// they were written.
pub(super) fn orcpt(value: &str) -> Option<String> {
    let (kind, text) = value.split_once(';')?;
    let kind_ok = !kind.is_empty() && kind.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    let text_ok = !text.is_empty() && (is_xtext(text) || kind.eq_ignore_ascii_case("utf-8"));
    (kind_ok && text_ok && value.len() <= ORCPT_CHARS_MAX).then(|| value.to_owned())
}

/// RFC 3461 §4: printable ASCII without `=`, and `+` only before two hexadecimal digits.
fn is_xtext(value: &str) -> bool {
    let mut bytes = value.bytes();
    let hex = |byte: Option<u8>| matches!(byte, Some(b'0'..=b'9' | b'A'..=b'F'));
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'+' => hex(bytes.next()) && hex(bytes.next()),
            b'=' => false,
            _ => byte.is_ascii_graphic(),
        };
        if !fine {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("18446744073709551615"), Some(u64::MAX));
        assert_eq!(size("99999999999999999999"), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1 ", "1e3", "111111111111111111111"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn delivery_report_parameters_are_kept_verbatim() {
        assert_eq!(envid("QQ+2B314159").as_deref(), Some("QQ+2B314159"));
        assert_eq!(envid("a+2b"), None);
        assert_eq!(envid(&"a".repeat(101)), None);
        assert_eq!(notify("Never").as_deref(), Some("Never"));
        assert_eq!(notify("success,DELAY").as_deref(), Some("success,DELAY"));
        for bad in ["", "NEVER,DELAY", "OFTEN", "DELAY,"] {
            assert_eq!(notify(bad), None, "{bad}");
        }
        assert_eq!(
            orcpt("rfc822;Bob+2Bx@b").as_deref(),
            Some("rfc822;Bob+2Bx@b")
        );
        assert_eq!(orcpt("utf-8;é@b").as_deref(), Some("utf-8;é@b"));
        for bad in ["rfc822", ";a", "rfc822;", "rfc822;é@b", "rf c;a"] {
            assert_eq!(orcpt(bad), None, "{bad}");
        }
    }
}
