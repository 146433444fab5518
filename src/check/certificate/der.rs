//! The two fields of a certificate that nobody else tells: its dates and its public key
//! (RFC 5280 §4.1). rustls and webpki judge certificates and keep these to themselves.

use jiff::{civil::DateTime, fmt::strtime, tz::TimeZone};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, before the version where there is one.
const VERSION: u8 = 0xA0;

/// From when and until when it is valid, in seconds since 1970.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    // Serial number, signature algorithm, issuer.
    let mut fields = body(certificate)?;
    fields.skip(3)?;
    let mut validity = Reader(fields.next(Some(SEQUENCE))?.content);
    Some((time(&mut validity)?, time(&mut validity)?))
}

/// Its SubjectPublicKeyInfo, whole.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    // Those, the dates and the subject.
    let mut fields = body(certificate)?;
    fields.skip(5)?;
    Some(fields.next(Some(SEQUENCE))?.whole)
}

/// What is signed, behind the version.
fn body(certificate: &[u8]) -> Option<Reader<'_>> {
    let mut outer = Reader(Reader(certificate).next(Some(SEQUENCE))?.content);
    let mut fields = Reader(outer.next(Some(SEQUENCE))?.content);
    if fields.0.first() == Some(&VERSION) {
        fields.skip(1)?;
    }
    Some(fields)
}

/// RFC 5280 §4.1.2.5: always in Zulu time, with seconds.
fn time(fields: &mut Reader<'_>) -> Option<i64> {
    let value = fields.next(None)?;
    let text = std::str::from_utf8(value.content).ok()?;
    let text = match value.tag {
        GENERALIZED_TIME => text.to_owned(),
        UTC_TIME => {
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            format!("{century}{text}")
        }
        _ => return None,
    };
    let parsed = strtime::parse("%Y%m%d%H%M%SZ", text).ok()?;
    let at: DateTime = parsed.to_datetime().ok()?;
    Some(TimeZone::UTC.to_timestamp(at).ok()?.as_second())
}

/// Values one behind the other (X.690 §8.1).
struct Reader<'d>(&'d [u8]);

struct Value<'d> {
    tag: u8,
    whole: &'d [u8],
    content: &'d [u8],
}

impl<'d> Reader<'d> {
    fn next(&mut self, expected: Option<u8>) -> Option<Value<'d>> {
        let (&tag, &first) = (self.0.first()?, self.0.get(1)?);
        if expected.is_some_and(|expected| expected != tag) {
            return None;
        }
        let (head, length) = match first {
            0..=0x7F => (2, usize::from(first)),
            // Else so many bytes of a length; more than four are no certificate.
            0x81..=0x84 => {
                let bytes = self.0.get(2..2 + usize::from(first & 0x7F))?;
                let length = bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (2 + bytes.len(), length)
            }
            _ => return None,
        };
        let whole = self.0.get(..head + length)?;
        self.0 = self.0.get(head + length..)?;
        let content = whole.get(head..)?;
        Some(Value {
            tag,
            whole,
            content,
        })
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.next(None).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};

    #[test]
    fn dates_and_key_are_those_that_were_signed() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 2);
        // Behind 2049 the other form of a time is used.
        params.not_after = date_time_ymd(2051, 3, 4);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        let expected = (at("2020-01-02T00:00:00Z"), at("2051-03-04T00:00:00Z"));
        assert_eq!(validity(made.der()), Some(expected));
        assert_eq!(
            public_key(made.der()),
            Some(&key.subject_public_key_info()[..])
        );
    }

    #[test]
    fn no_certificate_is_nothing() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let der = made.cert.der();
        for end in 0..der.len() {
            assert_eq!(validity(&der[..end]), None, "{end}");
        }
        for length in [0x80, 0x85, 0xFF] {
            assert_eq!(public_key(&[SEQUENCE, length, 1, 1, 1, 1, 1, 1]), None);
        }
    }
}
