//! Command lines, parsed into values that keep every address as it was written.

use super::{Reply, Verb, parameter, path};
use crate::mail::{Address, BodyKind, Ret, ReversePath};
use std::fmt;

/// A command that can be acted upon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// HELO with the client's name.
    Helo(&'a str),
    /// EHLO with the client's name.
    Ehlo(&'a str),
    /// STARTTLS.
    Starttls,
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Rcpt),
    /// DATA.
    Data,
    /// BDAT.
    Bdat(Chunk),
    /// RSET.
    Rset,
    /// VRFY, whomever it asks for.
    Vrfy,
    /// HELP, whatever it asks for.
    Help,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

/// MAIL FROM with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The sender.
    pub reverse_path: ReversePath,
    /// SIZE in bytes, 0 when it was not said (RFC 1870).
    pub size_bytes: u64,
    /// BODY (RFC 6152).
    pub body: BodyKind,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RET (RFC 3461 §4.3).
    pub ret: Option<Ret>,
    /// ENVID, still in xtext (RFC 3461 §4.4).
    pub envid: Option<String>,
}

/// What BDAT announces (RFC 3030 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// How many bytes follow the command line.
    pub bytes: u64,
    /// Which of the message's chunks it is.
    pub place: ChunkPlace,
}

/// Whether more chunks follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkPlace {
    /// They do.
    Inner,
    /// `LAST`: this one completes the message.
    Last,
}

/// RCPT TO with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rcpt {
    /// To whom.
    pub to: ForwardPath,
    /// NOTIFY, as received (RFC 3461 §4.1).
    pub notify: Option<String>,
    /// ORCPT, as received (RFC 3461 §4.2).
    pub orcpt: Option<String>,
}

/// Whom RCPT names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ForwardPath {
    /// A mailbox.
    Mailbox(Address),
    /// `<postmaster>` without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(address) => address.fmt(f),
            Self::Postmaster => f.write_str("postmaster"),
        }
    }
}

/// Why a line is no command that can be acted upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// Control characters, or bytes that are not UTF-8.
    #[error("bad byte in the command line")]
    BadByte,
    /// No such command.
    #[error("unknown command")]
    Unknown,
    /// A command of some RFC that is not offered here.
    #[error("command is not offered")]
    Unsupported,
    /// BDAT without a count that can be read: where the next command begins is unknown.
    #[error("not of the form BDAT count [LAST]")]
    Chunk,
    /// Something is missing or too much; the right form.
    #[error("not of the form {0}")]
    Syntax(&'static str),
    /// The sender's address is none.
    #[error("bad sender address")]
    BadSender,
    /// The recipient's address is none.
    #[error("bad recipient address")]
    BadRecipient,
    /// The parameter is not one of those offered.
    #[error("unknown parameter")]
    UnknownParameter,
    /// The value of this parameter is not one it can have, or it was given twice.
    #[error("bad value of {0}")]
    BadValue(&'static str),
}

impl CommandError {
    /// What the client is told.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::BadByte => Reply::new(500, "5.5.2", "Error: bad character in command line"),
            Self::Unknown => Reply::new(500, "5.5.2", "Error: command not recognized"),
            Self::Unsupported => Reply::new(502, "5.5.1", "Error: command not implemented"),
            // RFC 7504 §3: as Postfix says it before it hangs up.
            Self::Chunk => Reply::new(521, "5.5.4", "Syntax: BDAT count [LAST]"),
            Self::Syntax(form) => Reply::new(501, "5.5.4", form),
            Self::BadSender => Reply::new(501, "5.1.7", "Bad sender address syntax"),
            Self::BadRecipient => Reply::new(501, "5.1.3", "Bad recipient address syntax"),
            // RFC 5321 §4.1.1.11.
            Self::UnknownParameter => Reply::new(555, "5.5.4", "Error: unsupported parameter"),
            Self::BadValue(name) => Reply::new(501, "5.5.4", format!("Error: bad {name} value")),
        }
    }
}

impl<'a> Command<'a> {
    /// Parses a command line without its CRLF. The verb is known even where the rest
    /// is not a command.
    pub fn parse(line: &'a [u8]) -> (Verb, Result<Self, CommandError>) {
        let Ok(text) = std::str::from_utf8(line) else {
            return (Verb::Unknown, Err(CommandError::BadByte));
        };
        if text
            .bytes()
            .any(|byte| byte != b'\t' && byte.is_ascii_control())
        {
            return (Verb::Unknown, Err(CommandError::BadByte));
        }
        // RFC 5321 §4.1.1: white space before the CRLF is tolerated.
        let text = text.trim_end_matches([' ', '\t']);
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let verb = Verb::of(word);
        (verb, Self::of(verb, rest.trim_start_matches([' ', '\t'])))
    }

    fn of(verb: Verb, rest: &'a str) -> Result<Self, CommandError> {
        let alone = |command, form| match rest {
            "" => Ok(command),
            _ => Err(CommandError::Syntax(form)),
        };
        match verb {
            Verb::Helo => Ok(Self::Helo(host(rest, "Syntax: HELO hostname")?)),
            Verb::Ehlo => Ok(Self::Ehlo(host(rest, "Syntax: EHLO hostname")?)),
            Verb::Mail => mail(rest).map(Self::Mail),
            Verb::Rcpt => rcpt(rest).map(Self::Rcpt),
            // RFC 3207 §4: no parameters.
            Verb::Starttls => alone(Self::Starttls, "Syntax: STARTTLS"),
            Verb::Data => alone(Self::Data, "Syntax: DATA"),
            Verb::Bdat => parameter::chunk(rest)
                .map(Self::Bdat)
                .ok_or(CommandError::Chunk),
            Verb::Rset => alone(Self::Rset, "Syntax: RSET"),
            Verb::Quit => alone(Self::Quit, "Syntax: QUIT"),
            Verb::Vrfy if rest.is_empty() => Err(CommandError::Syntax("Syntax: VRFY address")),
            Verb::Vrfy => Ok(Self::Vrfy),
            Verb::Help => Ok(Self::Help),
            Verb::Noop => Ok(Self::Noop),
            Verb::Unsupported => Err(CommandError::Unsupported),
            Verb::Connect | Verb::Unknown => Err(CommandError::Unknown),
        }
    }
}

/// The client's name, of at most 255 bytes (RFC 5321 §4.5.3.1.2). Whether it is true is nobody's
/// business here (RFC 5321 §4.1.4); nor whether it is one word: computers that were given a
/// name with a blank in it send mail, and Postfix takes it.
fn host<'a>(rest: &'a str, form: &'static str) -> Result<&'a str, CommandError> {
    if (1..=255).contains(&rest.len()) {
        Ok(rest)
    } else {
        Err(CommandError::Syntax(form))
    }
}

fn mail(rest: &str) -> Result<Mail, CommandError> {
    const FORM: CommandError = CommandError::Syntax("Syntax: MAIL FROM:<address>");
    let rest = after_keyword(rest, "FROM:").ok_or(FORM)?;
    let (path, rest) = path::cut(rest).ok_or(FORM)?;
    let reverse_path = match path {
        "" => ReversePath::Null,
        _ => ReversePath::Address(Address::parse(path).map_err(|_| CommandError::BadSender)?),
    };
    let mut size_bytes = None;
    let mut body = None;
    let mut smtputf8 = None;
    let mut ret = None;
    let mut envid = None;
    for (keyword, value) in parameter::each(rest) {
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        if is("SIZE") {
            set(&mut size_bytes, value.and_then(parameter::size), "SIZE")?;
        } else if is("BODY") {
            set(&mut body, value.and_then(parameter::body), "BODY")?;
        } else if is("SMTPUTF8") {
            set(&mut smtputf8, value.is_none().then_some(true), "SMTPUTF8")?;
        } else if is("RET") {
            set(&mut ret, value.and_then(parameter::ret), "RET")?;
        } else if is("ENVID") {
            set(&mut envid, value.and_then(parameter::envid), "ENVID")?;
        } else {
            return Err(CommandError::UnknownParameter);
        }
    }
    Ok(Mail {
        reverse_path,
        size_bytes: size_bytes.unwrap_or(0),
        body: body.unwrap_or_default(),
        smtputf8: smtputf8.unwrap_or(false),
        ret,
        envid,
    })
}

fn rcpt(rest: &str) -> Result<Rcpt, CommandError> {
    const FORM: CommandError = CommandError::Syntax("Syntax: RCPT TO:<address>");
    let rest = after_keyword(rest, "TO:").ok_or(FORM)?;
    let (path, rest) = path::cut(rest).ok_or(FORM)?;
    let to = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPath::Postmaster
    } else {
        ForwardPath::Mailbox(Address::parse(path).map_err(|_| CommandError::BadRecipient)?)
    };
    let mut notify = None;
    let mut orcpt = None;
    for (keyword, value) in parameter::each(rest) {
        if keyword.eq_ignore_ascii_case("NOTIFY") {
            set(&mut notify, value.and_then(parameter::notify), "NOTIFY")?;
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            set(&mut orcpt, value.and_then(parameter::orcpt), "ORCPT")?;
        } else {
            return Err(CommandError::UnknownParameter);
        }
    }
    Ok(Rcpt { to, notify, orcpt })
}

/// Each parameter may be given once (RFC 5321 §4.1.1.11), with a value that it can have.
fn set<T>(place: &mut Option<T>, value: Option<T>, name: &'static str) -> Result<(), CommandError> {
    if place.is_some() || value.is_none() {
        return Err(CommandError::BadValue(name));
    }
    *place = value;
    Ok(())
}

fn after_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (found, rest) = text.split_at_checked(keyword.len())?;
    found.eq_ignore_ascii_case(keyword).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command<'_>, CommandError> {
        Command::parse(line.as_bytes()).1
    }

    fn sender(line: &str) -> String {
        match parse(line) {
            Ok(Command::Mail(mail)) => mail.reverse_path.to_string(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn addresses_stay_verbatim() {
        assert_eq!(sender("MAIL FROM:<>"), "");
        assert_eq!(sender("mail from:<A.b@C.Example>"), "A.b@C.Example");
        assert_eq!(sender("MAIL FROM: <a@b>"), "a@b");
        assert_eq!(sender("MAIL FROM:<\"a b>\"@c>"), "\"a b>\"@c");
        assert_eq!(sender("MAIL FROM:<@x,@y:a@b>"), "a@b");
        assert_eq!(sender("MAIL FROM:a@b SIZE=3"), "a@b");
    }

    #[test]
    fn parameters_become_values() {
        let line = "MAIL FROM:<é@b> size=99999999999999999999 BODY=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb  ";
        assert_eq!(
            parse(line),
            Ok(Command::Mail(Mail {
                reverse_path: ReversePath::Address(Address::parse("é@b").unwrap()),
                size_bytes: u64::MAX,
                body: BodyKind::EightBitMime,
                smtputf8: true,
                ret: Some(Ret::Headers),
                envid: Some("a+2Bb".into()),
            }))
        );
        assert_eq!(
            parse("RCPT TO:<Postmaster> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y"),
            Ok(Command::Rcpt(Rcpt {
                to: ForwardPath::Postmaster,
                notify: Some("SUCCESS,DELAY".into()),
                orcpt: Some("rfc822;x@y".into()),
            }))
        );
    }

    #[test]
    fn chunks_are_counted() {
        let chunk = |bytes, place| Ok(Command::Bdat(super::Chunk { bytes, place }));
        assert_eq!(parse("BDAT 0"), chunk(0, ChunkPlace::Inner));
        assert_eq!(parse("bdat  12 last "), chunk(12, ChunkPlace::Last));
        let huge = "BDAT 99999999999999999999 LAST";
        assert_eq!(parse(huge), chunk(u64::MAX, ChunkPlace::Last));
    }

    #[test]
    fn mistakes_are_named() {
        use CommandError::*;
        let cases = [
            ("", Unknown),
            ("FOO", Unknown),
            (" EHLO x", Unknown),
            ("EXPN staff", Unsupported),
            ("AUTH PLAIN x", Unsupported),
            ("EHLO", Syntax("Syntax: EHLO hostname")),
            ("HELO", Syntax("Syntax: HELO hostname")),
            ("DATA now", Syntax("Syntax: DATA")),
            ("BDAT", Chunk),
            ("BDAT LAST", Chunk),
            ("BDAT -1", Chunk),
            ("BDAT 1x", Chunk),
            ("BDAT 1 FIRST", Chunk),
            ("BDAT 1 LAST LAST", Chunk),
            ("VRFY", Syntax("Syntax: VRFY address")),
            ("MAIL", Syntax("Syntax: MAIL FROM:<address>")),
            ("MAIL TO:<a@b>", Syntax("Syntax: MAIL FROM:<address>")),
            ("MAIL FROM:<a@b", Syntax("Syntax: MAIL FROM:<address>")),
            ("MAIL FROM:<a@b>x", Syntax("Syntax: MAIL FROM:<address>")),
            ("MAIL FROM:<postmaster>", BadSender),
            ("MAIL FROM:<a b@c>", BadSender),
            ("RCPT TO:<>", BadRecipient),
            ("RCPT TO:<bob>", BadRecipient),
            ("MAIL FROM:<a@b> FOO=1", UnknownParameter),
            ("MAIL FROM:<a@b> SIZE", BadValue("SIZE")),
            ("MAIL FROM:<a@b> SIZE=x", BadValue("SIZE")),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=1", BadValue("SIZE")),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", BadValue("BODY")),
            ("MAIL FROM:<a@b> SMTPUTF8=1", BadValue("SMTPUTF8")),
            ("RCPT TO:<a@b> NOTIFY=X", BadValue("NOTIFY")),
            ("RCPT TO:<a@b> SIZE=1", UnknownParameter),
            ("NOOP \0", BadByte),
            ("NOOP \r", BadByte),
        ];
        for (line, error) in cases {
            assert_eq!(parse(line), Err(error), "{line}");
        }
        assert_eq!(Command::parse(b"MAIL FROM:<\xff@b>").1, Err(BadByte));
        // No mistake: computers that were given a name with a blank in it send mail.
        assert_eq!(parse("EHLO a b"), Ok(Command::Ehlo("a b")));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Command::parse(&line);
        }

        #[test]
        fn no_arguments_make_it_panic(verb in "(MAIL FROM:|RCPT TO:|EHLO )", rest in "[ -~é<>\"\\\\@:=]{0,60}") {
            let _ = Command::parse(format!("{verb}{rest}").as_bytes());
        }
    }
}
