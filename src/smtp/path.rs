//! Paths of MAIL and RCPT, cut out of a command line without touching a byte of them.

/// Cuts the path off the front of `text`: what stands between its angle brackets, and
/// what follows. Blanks before it and missing brackets are forgiven, as everywhere on the
/// internet. None when there is no path or a bracket or quote is not closed.
pub(super) fn cut(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(inner) = text.strip_prefix('<') else {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        return text
            .split_at_checked(end)
            .filter(|(path, _)| !path.is_empty());
    };
    let end = closing_bracket(inner)?;
    let (path, rest) = inner.split_at_checked(end)?;
    let rest = rest.get(1..)?;
    let ends_here = rest.is_empty() || rest.starts_with([' ', '\t']);
    ends_here.then(|| (without_route(path), rest))
}

/// Where the `>` is that is not in a quoted string (RFC 5321 §4.1.2).
fn closing_bracket(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (offset, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(offset),
            _ => {}
        }
    }
    None
}

/// RFC 5321 §4.1.1.3 and Appendix C: a source route `@a,@b:` is ignored.
fn without_route(path: &str) -> &str {
    if !path.starts_with('@') {
        return path;
    }
    let mut literal = false;
    for (offset, byte) in path.bytes().enumerate() {
        match byte {
            b'[' => literal = true,
            b']' => literal = false,
            b':' if !literal => return path.get(offset + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_out_verbatim() {
        let cases = [
            ("<a@b>", Some(("a@b", ""))),
            ("<>", Some(("", ""))),
            ("  <A@b> SIZE=1", Some(("A@b", " SIZE=1"))),
            ("a@b SIZE=1", Some(("a@b", " SIZE=1"))),
            ("<\"a> b\\\"\"@c> X", Some(("\"a> b\\\"\"@c", " X"))),
            ("<@x,@y:a@b>", Some(("a@b", ""))),
            ("<@[IPv6:::1],@y:a@b>", Some(("a@b", ""))),
            ("<@x>", Some(("@x", ""))),
            ("<a@b", None),
            ("<\"a@b>", None),
            ("<a@b>SIZE=1", None),
            ("", None),
            ("   ", None),
        ];
        for (text, expected) in cases {
            assert_eq!(cut(text), expected, "{text}");
        }
    }
}
