//! Response codes (RFC 9051 §7.1).

use super::{
    cursor::{Cursor, Odd},
    frame::Raw,
    message::Flag,
    uid_set::UidSet,
};

/// What stands in brackets at the head of a status response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// The messages of an APPEND (RFC 4315 §3), in the order of the command.
    AppendUid {
        /// Of the folder.
        uidvalidity: u32,
        /// One for each message, rising.
        uids: UidSet,
    },
    /// UIDVALIDITY.
    UidValidity(u32),
    /// UIDNEXT.
    UidNext(u32),
    /// HIGHESTMODSEQ.
    HighestModSeq(u64),
    /// NOMODSEQ: the folder keeps none.
    NoModSeq,
    /// UIDNOTSTICKY: the folder forgets its UIDs (RFC 4315 §3).
    UidNotSticky,
    /// PERMANENTFLAGS; `\*` among them lets new keywords be made.
    PermanentFlags(Vec<Flag>),
    /// READ-ONLY.
    ReadOnly,
    /// READ-WRITE.
    ReadWrite,
    /// CAPABILITY.
    Capability(Vec<String>),
    /// TRYCREATE: the folder is missing.
    TryCreate,
    /// OVERQUOTA.
    OverQuota,
    /// LIMIT: too much, too many, too often.
    Limit,
    /// TOOBIG, as several servers say for a message over their size limit (RFC 4469).
    TooBig,
    /// ALREADYEXISTS.
    AlreadyExists,
    /// NONEXISTENT.
    NonExistent,
    /// NOPERM.
    NoPerm,
    /// CANNOT: never, for example a name that the server does not take.
    Cannot,
    /// AUTHENTICATIONFAILED.
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED.
    AuthorizationFailed,
    /// UNAVAILABLE, for now.
    Unavailable,
    /// INUSE, for now.
    InUse,
    /// SERVERBUG.
    ServerBug,
    /// ALERT: its text is for a person.
    Alert,
    /// Another, verbatim.
    Other(String),
}

/// The code at the head of this text and the text behind it. What is no code that is known
/// is [`Code::Other`]; what has no closing bracket is text.
pub(super) fn split(text: &[u8]) -> (Option<Code>, &[u8]) {
    let Some(inner) = text.strip_prefix(b"[") else {
        return (None, text);
    };
    let Some(end) = end(inner) else {
        return (None, text);
    };
    let (code, rest) = inner.split_at(end);
    let rest = rest.strip_prefix(b"]").unwrap_or(rest);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let raw = Raw {
        bytes: code.to_vec(),
        cut: None,
    };
    let code = parse(&mut Cursor::new(&raw))
        .unwrap_or_else(|_| Code::Other(String::from_utf8_lossy(code).into_owned()));
    (Some(code), rest)
}

/// Where the bracket closes: not within quotes or a list, since a keyword may well have a
/// bracket in its name.
fn end(inner: &[u8]) -> Option<usize> {
    let (mut quoted, mut depth) = (false, 0_u32);
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b']' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    // Quotes or a list that do not close: the first bracket, then.
    inner.iter().position(|byte| *byte == b']')
}

fn parse(cursor: &mut Cursor<'_>) -> Result<Code, Odd> {
    let whole = String::from_utf8_lossy(cursor.rest()).into_owned();
    let name = cursor.keyword()?;
    let code = match name.as_str() {
        "APPENDUID" => {
            cursor.space()?;
            let uidvalidity = cursor.uid()?;
            cursor.space()?;
            let uids = UidSet::parse(cursor.word()?).ok_or(Odd("UIDs"))?;
            Code::AppendUid { uidvalidity, uids }
        }
        "UIDVALIDITY" => {
            cursor.space()?;
            Code::UidValidity(cursor.uid()?)
        }
        "UIDNEXT" => {
            cursor.space()?;
            Code::UidNext(cursor.uid()?)
        }
        "HIGHESTMODSEQ" => {
            cursor.space()?;
            Code::HighestModSeq(cursor.number()?)
        }
        "PERMANENTFLAGS" => {
            cursor.space()?;
            Code::PermanentFlags(cursor.flags()?)
        }
        "CAPABILITY" => Code::Capability(capabilities(cursor)),
        "NOMODSEQ" => Code::NoModSeq,
        "UIDNOTSTICKY" => Code::UidNotSticky,
        "READ-ONLY" => Code::ReadOnly,
        "READ-WRITE" => Code::ReadWrite,
        "TRYCREATE" => Code::TryCreate,
        "OVERQUOTA" => Code::OverQuota,
        "LIMIT" => Code::Limit,
        "TOOBIG" => Code::TooBig,
        "ALREADYEXISTS" => Code::AlreadyExists,
        "NONEXISTENT" => Code::NonExistent,
        "NOPERM" => Code::NoPerm,
        "CANNOT" => Code::Cannot,
        "AUTHENTICATIONFAILED" => Code::AuthenticationFailed,
        "AUTHORIZATIONFAILED" => Code::AuthorizationFailed,
        "UNAVAILABLE" => Code::Unavailable,
        "INUSE" => Code::InUse,
        "SERVERBUG" => Code::ServerBug,
        "ALERT" => Code::Alert,
        _ => Code::Other(whole),
    };
    Ok(code)
}

/// Words up to the end, in capitals.
pub(super) fn capabilities(cursor: &mut Cursor<'_>) -> Vec<String> {
    let words = cursor.rest().split(|byte| *byte == b' ');
    (words.filter(|word| !word.is_empty()))
        .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read() {
        let code = |text: &str| split(text.as_bytes()).0;
        let uids = UidSet::range(304, 306);
        assert_eq!(
            code("[APPENDUID 38505 304:306] APPEND completed"),
            Some(Code::AppendUid {
                uidvalidity: 38505,
                uids
            })
        );
        assert_eq!(
            code("[PERMANENTFLAGS (\\Seen a]b \\*)] ok"),
            Some(Code::PermanentFlags(vec![
                "\\Seen".into(),
                "a]b".into(),
                "\\*".into()
            ]))
        );
        assert_eq!(code("[uidnext 12] x"), Some(Code::UidNext(12)));
        assert_eq!(code("[ALERT]\u{e9}"), Some(Code::Alert));
        assert_eq!(split(b"[ALERT]\xe9").1, b"\xe9");
        assert_eq!(
            code("[BADURL \"a]b\"] x"),
            Some(Code::Other("BADURL \"a]b\"".into()))
        );
        assert_eq!(
            code("[UIDNEXT soon] x"),
            Some(Code::Other("UIDNEXT soon".into()))
        );
        assert_eq!(code("[no end"), None);
        assert_eq!(code("[(] x"), Some(Code::Other("(".into())));
        assert_eq!(code("[] x"), Some(Code::Other(String::new())));
    }
}
