//! Folder names: bytes on the wire, text for a person (RFC 3501 §5.1.3, RFC 9755).

use base64::{
    Engine as _,
    alphabet::IMAP_MUTF7,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    },
};
use std::fmt;

/// Base64 of modified UTF-7: `,` for `/`, no padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The name of a folder: the very bytes that the server gave, so that it knows them again,
/// however they are encoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// From bytes as they are on the wire. INBOX, which has no case (RFC 9051 §5.1),
    /// becomes `INBOX`.
    #[must_use]
    pub fn from_raw(raw: &[u8]) -> Self {
        if raw.eq_ignore_ascii_case(b"INBOX") {
            return Self(b"INBOX".to_vec());
        }
        Self(raw.to_vec())
    }

    /// From text, which is encoded in modified UTF-7.
    #[must_use]
    pub fn encode(text: &str) -> Self {
        let mut raw = Vec::new();
        let mut pending: Vec<u8> = Vec::new();
        for c in text.chars() {
            if matches!(c, ' '..='~') {
                shift(&mut raw, &mut pending);
                raw.push(c as u8);
                if c == '&' {
                    raw.push(b'-');
                }
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    pending.extend_from_slice(&unit.to_be_bytes());
                }
            }
        }
        shift(&mut raw, &mut pending);
        Self::from_raw(&raw)
    }

    /// As on the wire.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// As text: modified UTF-7, or UTF-8 from servers that say so or break the rules.
    /// Nothing where it is neither; see `Display` for something to show.
    #[must_use]
    pub fn decode(&self) -> Option<String> {
        decode(&self.0)
    }

    /// The parts between separators, each as on the wire. A separator within the base64 of
    /// modified UTF-7 is none.
    #[must_use]
    pub fn parts(&self, separator: Option<u8>) -> Vec<Self> {
        let Some(separator) = separator else {
            return vec![self.clone()];
        };
        let (mut parts, mut part, mut shifted) = (Vec::new(), Vec::new(), false);
        for &byte in &self.0 {
            shifted = match byte {
                b'&' => true,
                b'-' => false,
                // Base64 of modified UTF-7 has a comma, and no separator but a letter,
                // digit or plus could be mistaken.
                _ => shifted && (byte.is_ascii_alphanumeric() || b"+,".contains(&byte)),
            };
            if byte == separator && !shifted {
                parts.push(Self(std::mem::take(&mut part)));
            } else {
                part.push(byte);
            }
        }
        parts.push(Self(part));
        parts
    }

    /// Whether it can be sent at all.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        !self.0.iter().any(|byte| b"\0\r\n".contains(byte))
    }
}

/// For a person: what cannot be decoded is shown as it is, damaged bytes as U+FFFD.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decode() {
            Some(text) => f.write_str(&text),
            None => f.write_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.escape_ascii().to_string())
    }
}

/// Writes out what is to be base64.
fn shift(raw: &mut Vec<u8>, pending: &mut Vec<u8>) {
    if !pending.is_empty() {
        raw.push(b'&');
        raw.extend_from_slice(BASE64.encode(&pending).as_bytes());
        raw.push(b'-');
        pending.clear();
    }
}

fn decode(raw: &[u8]) -> Option<String> {
    if !raw.is_ascii() {
        return String::from_utf8(raw.to_vec()).ok();
    }
    let mut text = String::new();
    let mut rest = std::str::from_utf8(raw).ok()?;
    while let Some((plain, shifted)) = rest.split_once('&') {
        text.push_str(plain);
        let (code, after) = shifted.split_once('-')?;
        if code.is_empty() {
            text.push('&');
        } else {
            let bytes = BASE64.decode(code).ok()?;
            let (units, odd) = bytes.as_chunks::<2>();
            if !odd.is_empty() {
                return None;
            }
            for c in char::decode_utf16(units.iter().map(|unit| u16::from_be_bytes(*unit))) {
                text.push(c.ok()?);
            }
        }
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_decoded() {
        // RFC 3501 §5.1.3 has the first one.
        for (raw, text) in [
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("R&-D", "R&D"),
            ("&2D3eAA-", "😀"),
            ("inbox", "INBOX"),
        ] {
            assert_eq!(Name::from_raw(raw.as_bytes()).to_string(), text);
            if raw != "inbox" {
                assert_eq!(Name::encode(text).raw(), raw.as_bytes());
            }
        }
        let utf8 = Name::from_raw("Entwürfe".as_bytes());
        assert_eq!(utf8.decode().as_deref(), Some("Entwürfe"));
    }

    #[test]
    fn broken_names_keep_their_bytes() {
        for raw in [
            &b"R&D"[..],
            b"&AP-",
            b"&2D0-",
            b"&!!!-",
            b"Entw\xfcrfe",
            b"&",
        ] {
            let name = Name::from_raw(raw);
            assert_eq!(name.decode(), None, "{name:?}");
            assert_eq!(name.raw(), raw);
        }
    }

    #[test]
    fn parts_are_split_outside_of_base64() {
        let name = Name::encode("a/b ü&/ö");
        let parts: Vec<String> = (name.parts(Some(b'/')).iter().map(Name::to_string)).collect();
        assert_eq!(parts, ["a", "b ü&", "ö"]);
        assert_eq!(name.parts(None), vec![name.clone()]);
    }

    proptest! {
        #[test]
        fn text_survives(text in "\\PC*") {
            if !text.eq_ignore_ascii_case("inbox") {
                prop_assert_eq!(Name::encode(&text).decode(), Some(text));
            }
        }

        #[test]
        fn rubbish_does_not_panic(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            let name = Name::from_raw(&raw);
            let _ = (name.decode(), name.to_string(), name.parts(Some(b'/')));
        }
    }
}
