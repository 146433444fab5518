//! Messages, ordinary and nasty, that must come through unchanged.

use super::Random;

/// A message, and which real servers store it as it is (tried without relay: the others
/// all do). Dovecot's files keep it all; over IMAP it shows a NUL as 0x80.
pub struct Case {
    pub name: &'static str,
    pub message: Vec<u8>,
    /// Postfix turns a bare CR into a space, puts a blank line before what is no header
    /// field, and drops `Return-Path`.
    pub postfix_keeps: bool,
    /// smtp-sink drops bare CRs.
    pub sink_keeps: bool,
}

impl Case {
    fn new(name: &'static str, message: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            message: message.into(),
            postfix_keeps: true,
            sink_keeps: true,
        }
    }

    fn not_in_postfix(mut self) -> Self {
        self.postfix_keeps = false;
        self
    }

    fn not_in_sink(mut self) -> Self {
        self.sink_keeps = false;
        self
    }
}

const HEADER: &str = "From: Alice <alice@example.org>\r\nTo: Bob <bob@corp.example>\r\n\
     Subject: hello\r\nDate: Mon, 23 Nov 2026 10:00:01 +0000\r\n\
     Message-ID: <1@example.org>\r\n\r\n";

/// All of them. A `DATA` always ends with CRLF, so each is empty or ends so.
pub fn corpus() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(dots());
    cases.extend(odd_shapes());
    cases.extend(odd_bytes());
    cases.extend(large());
    cases
}

fn body(text: impl AsRef<[u8]>) -> Vec<u8> {
    [HEADER.as_bytes(), text.as_ref()].concat()
}

/// A message with more fields before the usual ones.
fn prefixed(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [fields.as_ref(), HEADER.as_bytes(), b"text\r\n"].concat()
}

fn plain() -> Vec<Case> {
    let multipart = "From: a@example.org\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\npreamble\r\n--=_b\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Gr\u{fc}\u{df}e\r\n--=_b\r\nContent-Type: application/octet-stream\r\n\
         Content-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQ==\r\n--=_b--\r\nepilogue\r\n";
    // Signed over exactly these bytes: a changed fold or blank breaks such a signature.
    let signed = "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=example.org; s=s1;\r\n\
         \th=From : To:Subject ;\tbh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs=;\r\n \
         b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n\
         From:   Alice  <alice@example.org>\r\nTo:Bob <bob@corp.example>\r\n\
         SUBJECT : folded \r\n   and  spaced \t\r\n\t\r\n more\r\nX-Empty:\r\n\r\n\
         trailing blanks   \t \r\n\r\n \r\nend\r\n\r\n\r\n";
    vec![
        Case::new("plain", body("Hello Bob.\r\n")),
        Case::new("multipart", multipart),
        // Its odd fields are not what Postfix takes for a header.
        Case::new("signed", signed).not_in_postfix(),
        Case::new("traced", prefixed("Received: from a by b; now\r\n")),
        // Postfix puts its own in the place of these.
        Case::new(
            "delivered",
            prefixed("Return-Path: <x@y>\r\nDelivered-To: z\r\n"),
        )
        .not_in_postfix(),
    ]
}

fn dots() -> Vec<Case> {
    let lines = ".\r\n..\r\n...\r\n. \r\n .\r\n.x\r\n..x\r\nx.\r\n.\r\n.\r\n\r\n.\r\n";
    vec![
        Case::new("dots", body(lines)),
        Case::new("dots-first", lines).not_in_postfix(),
        Case::new("dot-only", ".\r\n").not_in_postfix(),
        Case::new("dot-header", prefixed(".X: y\r\n")),
        Case::new(
            "dot-quit",
            body(".\r\nQUIT\r\n.\r\nMAIL FROM:<a@example.org>\r\n"),
        ),
    ]
}

fn odd_shapes() -> Vec<Case> {
    let mut many = String::new();
    for n in 0..5000 {
        many += &format!("X-Header-{n}: value {n}\r\n\tfolded {}\r\n", n * n);
    }
    vec![
        Case::new("empty", ""),
        Case::new("one-line-end", "\r\n"),
        Case::new("line-ends", "\r\n\r\n\r\n\r\n"),
        Case::new(
            "header-only",
            HEADER.trim_end_matches("\r\n").to_owned() + "\r\n",
        ),
        Case::new("no-header", "\r\nbody alone\r\n"),
        Case::new("not-a-header", "this is no header\r\nand no body\r\n").not_in_postfix(),
        Case::new("blank-end", body("text\r\n\r\n\r\n\r\n")),
        Case::new("blanks-end", body("text \t\r\n \r\n\t\r\n")),
        Case::new("mbox-from", body("From alice Mon Nov 23\r\n>From bob\r\n")),
        Case::new("5000-headers", many + "\r\nbody\r\n"),
    ]
}

fn odd_bytes() -> Vec<Case> {
    let high: Vec<u8> = (0x80..=0xff).collect();
    let low: Vec<u8> = (1..0x20).filter(|byte| !b"\r\n".contains(byte)).collect();
    vec![
        Case::new(
            "8-bit",
            body([high.as_slice(), b"\r\n", &high, b"\r\n"].concat()),
        ),
        Case::new(
            "8-bit-header",
            prefixed(b"X-Subject: Gr\xfc\xdfe \xff\xfe\r\n"),
        ),
        Case::new("8-bit-name", prefixed(b"X-\xe9: y\r\n")).not_in_postfix(),
        Case::new("control", body([low.as_slice(), b"\x7f\r\n"].concat())),
        Case::new("nul", body(b"a\0b\r\n\0\r\n\0\0\0\r\n.\0\r\n")),
        Case::new("bare-cr", body("a\rb\r\n\r\r\n.\rx\r\n.\r\r\nc\r\r\r\n"))
            .not_in_postfix()
            .not_in_sink(),
    ]
}

fn large() -> Vec<Case> {
    let mut lines = Vec::new();
    for length in [
        76,
        510,
        998,
        999,
        1000,
        2047,
        2048,
        4096,
        65_535,
        65_536,
        1 << 20,
    ] {
        lines.push(b'.');
        lines.extend(std::iter::repeat_n(b'x', length - 1));
        lines.extend(b"\r\n");
    }
    // A stuffed dot and a line end on each side of the places where buffers end.
    let mut edges = b"X: y\r\n\r\n".to_vec();
    for edge in [4096, 8192, 16_384, 65_536, 262_144, 524_288_usize] {
        while edges.len() < edge - 40 {
            let more = (edge - 40 - edges.len()).min(70);
            edges.extend(std::iter::repeat_n(b'e', more - 2.min(more)));
            edges.extend(b"\r\n");
        }
        edges.extend(b".\r\n".repeat(30));
    }
    vec![
        Case::new("long-lines", body(lines)),
        Case::new("edges", edges),
        Case::new("30-mib", body(noise(30 << 20))),
    ]
}

/// Base64-like lines that no compression shrinks much.
fn noise(size: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random::new(30);
    let mut text = Vec::with_capacity(size + 78);
    while text.len() < size {
        for _ in 0..38 {
            let word = random.next();
            text.push(ALPHABET[(word & 63) as usize]);
            text.push(ALPHABET[(word >> 6 & 63) as usize]);
        }
        text.extend(b"\r\n");
    }
    text
}
