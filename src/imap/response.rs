//! Responses (RFC 9051 §7 and its extensions).
//!
//! A kind that is known and cannot be read is an error, since what it says is needed and
//! must not be guessed; a kind that is not known is skipped, as RFC 9051 §2.2.2 asks for.

use super::{
    code::{self, Code},
    cursor::{Cursor, Odd, Text},
    folder::{Namespace, Namespaces, Quota, Status},
    frame::Raw,
    message::{Flag, Meta},
    name::Name,
    uid_set::UidSet,
};

/// Text of a server that is kept, in characters.
const TEXT_CHARS_MAX: usize = 1000;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Response {
    /// The end of a command.
    Tagged(String, Condition),
    /// The server waits for more of a command.
    Continue,
    /// Everything else.
    Untagged(Untagged),
}

/// How something went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) kind: Kind,
    pub(super) code: Option<Code>,
    pub(super) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

/// Data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untagged {
    Condition(Condition),
    Capability(Vec<String>),
    Enabled(Vec<String>),
    List(Listed),
    Lsub(Listed),
    Status(Name, Status),
    Search(UidSet),
    /// Without ALL nothing was found.
    Esearch(UidSet),
    Flags(Vec<Flag>),
    Exists(u32),
    Fetch(Fetch),
    Vanished(UidSet),
    Quota(Vec<Quota>),
    Namespace(Namespaces),
    /// Known to be of no use, or not known.
    Other,
}

/// A line of LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) attributes: Vec<String>,
    pub(super) separator: Option<u8>,
    pub(super) name: Name,
}

/// A line of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetch {
    /// UID 0 where it does not say.
    pub(super) meta: Meta,
    /// Whether it told the flags.
    pub(super) has_flags: bool,
    pub(super) body: Body,
}

/// BODY[].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Absent,
    Nil,
    Inline(Vec<u8>),
    /// It came in pieces.
    Streamed,
}

impl Response {
    /// From its bytes.
    pub(super) fn parse(raw: &Raw) -> Result<Self, Odd> {
        let mut cursor = Cursor::new(raw);
        let tag = cursor.word()?;
        match tag {
            b"+" => return Ok(Self::Continue),
            b"*" => {
                cursor.space()?;
                return Ok(Self::Untagged(untagged(&mut cursor)?));
            }
            _ => {}
        }
        cursor.space()?;
        let kind = cursor.keyword()?;
        let kind = match Kind::of(&kind) {
            Some(kind @ (Kind::Ok | Kind::No | Kind::Bad)) => kind,
            _ => return Err(Odd("OK, NO or BAD behind a tag")),
        };
        let tag = String::from_utf8_lossy(tag).into_owned();
        Ok(Self::Tagged(tag, condition(kind, &mut cursor)))
    }
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "OK" => Self::Ok,
            "NO" => Self::No,
            "BAD" => Self::Bad,
            "BYE" => Self::Bye,
            "PREAUTH" => Self::PreAuth,
            _ => return None,
        })
    }
}

impl Fetch {
    /// What stands before a body.
    pub(super) fn head(bytes: &[u8]) -> Result<Self, Odd> {
        let mut cursor = Cursor::head(bytes);
        if cursor.word()? != b"*" {
            return Err(Odd("an untagged response"));
        }
        cursor.space()?;
        cursor.number()?;
        cursor.space()?;
        if cursor.keyword()? != "FETCH" {
            return Err(Odd("FETCH"));
        }
        fetch(&mut cursor)
    }
}

fn condition(kind: Kind, cursor: &mut Cursor<'_>) -> Condition {
    cursor.take(b' ');
    let (code, text) = code::split(cursor.rest());
    // It goes to logs and terminals.
    let text = (String::from_utf8_lossy(text).chars())
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_CHARS_MAX)
        .collect();
    Condition { kind, code, text }
}

fn untagged(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return numbered(cursor);
    }
    let word = cursor.keyword()?;
    if let Some(kind) = Kind::of(&word) {
        return Ok(Untagged::Condition(condition(kind, cursor)));
    }
    let read = match word.as_str() {
        "CAPABILITY" => return Ok(Untagged::Capability(code::capabilities(cursor))),
        "ENABLED" => return Ok(Untagged::Enabled(code::capabilities(cursor))),
        "LIST" | "XLIST" => Untagged::List(listed(cursor)?),
        "LSUB" => Untagged::Lsub(listed(cursor)?),
        "STATUS" => status(cursor)?,
        "SEARCH" => search(cursor)?,
        "ESEARCH" => esearch(cursor)?,
        "FLAGS" => {
            cursor.space()?;
            Untagged::Flags(cursor.flags()?)
        }
        "VANISHED" => vanished(cursor)?,
        "QUOTA" => quota(cursor)?,
        "NAMESPACE" => namespaces(cursor)?,
        _ => return Ok(Untagged::Other),
    };
    cursor.clone().end()?;
    Ok(read)
}

fn numbered(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    let number = cursor.number_u32()?;
    cursor.space()?;
    match cursor.keyword()?.as_str() {
        "EXISTS" => Ok(Untagged::Exists(number)),
        "FETCH" => {
            let fetch = fetch(cursor)?;
            cursor.clone().end()?;
            Ok(Untagged::Fetch(fetch))
        }
        _ => Ok(Untagged::Other),
    }
}

/// Up to the body, if that is where the response ends so far.
fn fetch(cursor: &mut Cursor<'_>) -> Result<Fetch, Odd> {
    cursor.space()?;
    cursor.expect(b'(', "a list")?;
    let mut read = Fetch {
        meta: Meta::default(),
        has_flags: false,
        body: Body::Absent,
    };
    let meta = &mut read.meta;
    loop {
        cursor.spaces();
        if cursor.take(b')') {
            return Ok(read);
        }
        let item = cursor.item()?;
        cursor.space()?;
        match item.as_str() {
            "UID" => meta.uid = cursor.uid()?,
            "FLAGS" => {
                meta.flags = cursor.flags()?;
                meta.flags.retain(|flag| !flag.is("\\Recent"));
                read.has_flags = true;
            }
            "INTERNALDATE" => {
                meta.internaldate = match cursor.nstring()? {
                    Text::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                    Text::Nil => None,
                    Text::Cut => return Err(Odd("a date")),
                };
            }
            "RFC822.SIZE" => meta.size = Some(cursor.number()?),
            // RFC 7162 §3.1.4.2: in parentheses.
            "MODSEQ" => {
                cursor.expect(b'(', "a list")?;
                meta.modseq = Some(cursor.number()?);
                cursor.expect(b')', "the end of a list")?;
            }
            "BODY[]" => {
                if read.body != Body::Absent {
                    return Err(Odd("a message with one body"));
                }
                read.body = match cursor.nstring()? {
                    Text::Nil => Body::Nil,
                    Text::Bytes(bytes) => Body::Inline(bytes),
                    Text::Cut => Body::Streamed,
                };
                if read.body == Body::Streamed && cursor.is_at_end() {
                    return Ok(read);
                }
            }
            _ => cursor.skip()?,
        }
    }
}

fn listed(cursor: &mut Cursor<'_>) -> Result<Listed, Odd> {
    cursor.space()?;
    let attributes = (cursor.words()?.into_iter())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    cursor.space()?;
    let separator = separator(cursor)?;
    cursor.space()?;
    let name = Name::from_raw(&cursor.astring()?);
    // RFC 5258 §5: CHILDINFO, OLDNAME and the like.
    cursor.spaces();
    if cursor.peek() == Some(b'(') {
        cursor.skip()?;
    }
    Ok(Listed {
        attributes,
        separator,
        name,
    })
}

fn separator(cursor: &mut Cursor<'_>) -> Result<Option<u8>, Odd> {
    match cursor.nstring()? {
        Text::Nil => Ok(None),
        // Some servers write "" for NIL.
        Text::Bytes(bytes) if bytes.len() < 2 => Ok(bytes.first().copied()),
        _ => Err(Odd("a separator of one byte")),
    }
}

fn status(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    cursor.space()?;
    let name = Name::from_raw(&cursor.astring()?);
    cursor.space()?;
    cursor.expect(b'(', "a list")?;
    let mut status = Status::default();
    loop {
        cursor.spaces();
        if cursor.take(b')') {
            return Ok(Untagged::Status(name, status));
        }
        let item = cursor.keyword()?;
        cursor.space()?;
        match item.as_str() {
            "MESSAGES" => status.messages = Some(cursor.number_u32()?),
            // Old servers say 0 for "not known".
            "UIDNEXT" => status.uidnext = Some(cursor.number_u32()?).filter(|uid| *uid > 0),
            "UIDVALIDITY" => {
                status.uidvalidity = Some(cursor.number_u32()?).filter(|value| *value > 0);
            }
            // RFC 7162 §3.1.2.2: 0 for a folder that keeps none.
            "HIGHESTMODSEQ" => {
                status.highestmodseq = Some(cursor.number()?).filter(|value| *value > 0);
            }
            "SIZE" => status.size = Some(cursor.number()?),
            _ => cursor.skip()?,
        }
    }
}

fn search(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    let mut uids = Vec::new();
    loop {
        cursor.spaces();
        match cursor.peek() {
            None => return Ok(Untagged::Search(uids.into_iter().collect())),
            // RFC 7162 §3.1.5: (MODSEQ n).
            Some(b'(') => cursor.skip()?,
            Some(_) => uids.push(cursor.uid()?),
        }
    }
}

fn esearch(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    cursor.spaces();
    if cursor.peek() == Some(b'(') {
        cursor.skip()?;
    }
    let mut all = UidSet::new();
    loop {
        cursor.spaces();
        if cursor.is_at_end() {
            return Ok(Untagged::Esearch(all));
        }
        match cursor.keyword()?.as_str() {
            "UID" => {}
            "ALL" => {
                cursor.space()?;
                all = UidSet::parse(cursor.word()?).ok_or(Odd("UIDs"))?;
            }
            _ => {
                cursor.space()?;
                cursor.skip()?;
            }
        }
    }
}

fn vanished(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        cursor.skip()?;
        cursor.space()?;
    }
    let uids = UidSet::parse(cursor.word()?).ok_or(Odd("UIDs"))?;
    Ok(Untagged::Vanished(uids))
}

fn quota(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    // The root's name may be empty and without quotes on some servers.
    cursor.space()?;
    cursor.spaces();
    if cursor.peek() != Some(b'(') {
        cursor.astring()?;
        cursor.spaces();
    }
    cursor.expect(b'(', "a list")?;
    let mut quotas = Vec::new();
    loop {
        cursor.spaces();
        if cursor.take(b')') {
            return Ok(Untagged::Quota(quotas));
        }
        let resource = cursor.keyword()?;
        cursor.space()?;
        let usage = cursor.number()?;
        cursor.space()?;
        let limit = cursor.number()?;
        quotas.push(Quota {
            resource,
            usage,
            limit,
        });
    }
}

fn namespaces(cursor: &mut Cursor<'_>) -> Result<Untagged, Odd> {
    let mut all: [Vec<Namespace>; 3] = Default::default();
    for namespaces in &mut all {
        cursor.space()?;
        if !cursor.take(b'(') {
            if cursor.nstring()? != Text::Nil {
                return Err(Odd("NIL or a list"));
            }
            continue;
        }
        loop {
            cursor.spaces();
            if cursor.take(b')') {
                break;
            }
            namespaces.push(namespace(cursor)?);
        }
    }
    let [personal, other_users, shared] = all;
    Ok(Untagged::Namespace(Namespaces {
        personal,
        other_users,
        shared,
    }))
}

fn namespace(cursor: &mut Cursor<'_>) -> Result<Namespace, Odd> {
    cursor.expect(b'(', "a namespace")?;
    let Text::Bytes(prefix) = cursor.nstring()? else {
        return Err(Odd("a prefix"));
    };
    cursor.space()?;
    let separator = separator(cursor)?;
    // RFC 2342 §5: extensions, a name and a list each.
    loop {
        cursor.spaces();
        if cursor.take(b')') {
            return Ok(Namespace { prefix, separator });
        }
        cursor.skip()?;
    }
}

#[cfg(test)]
mod tests;
