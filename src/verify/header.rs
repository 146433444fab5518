//! The fields of a header (RFC 5322 §2.2), as bytes: damaged ones too.

use crate::mail::QueueId;

/// A field with its folded lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// All of it, with its last line end.
    pub bytes: &'a [u8],
}

impl Field<'_> {
    /// Its name, in lower case; the whole line where there is no colon.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.bytes.split(|byte| *byte == b':').next();
        let name = String::from_utf8_lossy(name.unwrap_or_default());
        name.trim().to_ascii_lowercase()
    }

    /// Whether it has this name, given in lower case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let head = self.bytes.get(..name.len()).unwrap_or_default();
        let colon = self.bytes.get(name.len()..).unwrap_or_default();
        head.eq_ignore_ascii_case(name.as_bytes())
            && colon.trim_ascii_start().first() == Some(&b':')
    }

    /// What stands behind the colon, unfolded.
    #[must_use]
    pub fn text(&self) -> String {
        let colon = self.bytes.iter().position(|byte| *byte == b':');
        let value = colon.and_then(|at| self.bytes.get(at + 1..));
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        // RFC 5322 §2.2.3: a line end before white space goes, the white space stays.
        let lines: Vec<&str> = text.split(['\r', '\n']).collect();
        lines.concat().trim().to_owned()
    }
}

/// The fields of a header, up to its empty line or its end.
pub fn fields(head: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let mut at = 0;
        loop {
            let line = rest.get(at..).unwrap_or_default();
            let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
            if at > 0 && !is_folded || line.is_empty() {
                break;
            }
            if at == 0 && (line.starts_with(b"\n") || line.starts_with(b"\r\n")) {
                break;
            }
            at += line_bytes(line);
        }
        let (bytes, after) = rest.split_at_checked(at)?;
        rest = after;
        (!bytes.is_empty()).then_some(Field { bytes })
    })
}

/// Where the header ends: behind its empty line. `from` is where to begin to look, in the
/// middle of no line end.
#[must_use]
pub fn end(head: &[u8], from: usize) -> Option<usize> {
    for blank in [&b"\r\n"[..], b"\n"] {
        if from == 0 && head.starts_with(blank) {
            return Some(blank.len());
        }
    }
    let mut at = from;
    loop {
        let rest = head.get(at..)?;
        at += rest.iter().position(|byte| *byte == b'\n')? + 1;
        let next = head.get(at..)?;
        if next.starts_with(b"\r\n") {
            return Some(at + 2);
        }
        if next.starts_with(b"\n") {
            return Some(at + 1);
        }
    }
}

/// The queue id in a field that relay put in front of a message ([`crate::mail::received`]).
#[must_use]
pub fn released_as(field: &Field<'_>) -> Option<QueueId> {
    if !field.is("received") {
        return None;
    }
    let text = field.text();
    let (_, with) = text.split_once(" (relay) with ")?;
    let (_, id) = with.split_once(" id ")?;
    let id = id.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    id.parse().ok()
}

/// Up to and with the line end.
fn line_bytes(line: &[u8]) -> usize {
    let end = line.iter().position(|byte| *byte == b'\n');
    end.map_or(line.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{
        Address, BodyKind, Client, Envelope, Protocol, Recipient, ReversePath, received,
    };

    #[test]
    fn fields_are_cut_at_their_ends() {
        let head =
            b"A: b\r\nReceived:\r\n\tx\r\n y\r\nbroken\nMessage-Id : <a\r\n @b>\r\n\r\nC: d\r\n";
        let all: Vec<_> = fields(head).collect();
        let names: Vec<_> = all.iter().map(Field::name).collect();
        assert_eq!(names, ["a", "received", "broken", "message-id"]);
        assert_eq!(all[3].text(), "<a @b>");
        assert!(all[3].is("message-id") && !all[0].is("ab"));
        assert_eq!(end(head, 0), Some(head.len() - 6));
        assert_eq!(end(b"\r\nA: b", 0), Some(2));
        assert_eq!(end(b"A: b\n\nx", 0), Some(6));
        assert_eq!(end(b"A: b\r\n", 0), None);
        assert_eq!(fields(b"").count(), 0);
    }

    /// What a release writes is what is looked for.
    #[test]
    fn relays_own_field_is_known_again() {
        let bob = Address::parse("bob@corp.example").unwrap();
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: vec![Recipient::plain(bob.clone())],
            body: BodyKind::SevenBit,
            smtputf8: true,
            ret: None,
            envid: None,
            client: Client {
                ip: "192.0.2.1".parse().unwrap(),
                port: 4,
                name: None,
                helo: "id 000000000009 by x".into(),
                protocol: Protocol::Esmtps,
                tls: Some("TLSv1.3".into()),
            },
            received_ms: 0,
        };
        let id = QueueId::new(77).unwrap();
        for to in [None, Some(&bob)] {
            let text = received("hold.example", id, &envelope, to);
            let field = fields(text.as_bytes()).next().unwrap();
            assert_eq!(released_as(&field), Some(id), "{text}");
        }
        let others = fields(b"Received: from a by b with ESMTP id 000000000009; x\r\n").next();
        assert_eq!(released_as(&others.unwrap()), None);
    }
}
