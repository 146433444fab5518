//! Names of hosts and domains.

use std::net::IpAddr;

/// The longest name that DNS carries (RFC 1035 §2.3.4), written out without its final dot.
const NAME_BYTES_MAX: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// Lower case, without a final dot.
///
/// # Errors
/// What is wrong with it, in words that go on after the name. Letters outside ASCII are
/// taken (RFC 6531 §3.3), an underscore too: both are met in practice.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("is longer than 253 bytes (RFC 1035 §2.3.4)");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("has an empty label between its dots");
        }
        if label.len() > LABEL_BYTES_MAX {
            return Err("has a label longer than 63 bytes (RFC 1035 §2.3.4)");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label that begins or ends with a hyphen");
        }
        let sound = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_') || c.is_alphanumeric();
        if !label.chars().all(sound) {
            return Err("holds a character other than letters, digits, hyphens and dots");
        }
    }
    // RFC 1123 §2.1: all digits at the end would be an address, not a name.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("looks like an address; a name is expected (RFC 1123 §2.1)");
    }
    Ok(name)
}

/// A name or an address without brackets, as a destination has it.
///
/// # Errors
/// What is wrong with it, in words that go on after the name.
pub(super) fn name_or_address(text: &str) -> Result<String, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    if text.starts_with('[') {
        return Err("has brackets; write an IPv6 address without them");
    }
    if text.contains(':') {
        return Err("holds a colon; write the port as `port = N`");
    }
    name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_names_are_taken_in_lower_case() {
        for (text, expected) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("localhost", "localhost"),
            ("a-b.c_d.example", "a-b.c_d.example"),
            ("Bücher.example", "bücher.example"),
            ("1.example", "1.example"),
        ] {
            assert_eq!(name(text).unwrap(), expected);
        }
    }

    #[test]
    fn unsound_names_are_refused() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = "a.".repeat(127) + "example";
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "-a.example",
            "a-.example",
            "a b.example",
            "a@b.example",
            "a\n.example",
            "192.0.2.1",
            &long_label,
            &long_name,
        ] {
            assert!(name(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_destination_may_be_an_address() {
        assert_eq!(name_or_address("192.0.2.1").unwrap(), "192.0.2.1");
        assert_eq!(name_or_address("2001:DB8::1").unwrap(), "2001:db8::1");
        assert_eq!(name_or_address("New.Example").unwrap(), "new.example");
        for text in ["[2001:db8::1]", "new.example:25", "192.0.2.256", ""] {
            assert!(name_or_address(text).is_err(), "{text:?} was taken");
        }
    }
}
