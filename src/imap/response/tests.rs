use super::*;
use proptest::prelude::*;

fn parse(text: &[u8]) -> Result<Response, Odd> {
    Response::parse(&Raw {
        bytes: text.to_vec(),
        cut: None,
    })
}

fn data(text: &[u8]) -> Untagged {
    match parse(text) {
        Ok(Response::Untagged(data)) => data,
        other => panic!("{}: {other:?}", text.escape_ascii()),
    }
}

fn fetched(text: &[u8]) -> Fetch {
    match data(text) {
        Untagged::Fetch(fetch) => fetch,
        other => panic!("{}: {other:?}", text.escape_ascii()),
    }
}

#[test]
fn a_message_is_read_with_all_that_is_odd() {
    let fetch = fetched(
        b"* 12 FETCH (X-GM-LABELS (\"\\\\Inbox\" {3}\r\na)b) FLAGS (\\Seen \\Recent $Label1 \
        NonJunk a/b&c [x] \xe9t\xe9 \\XYZ) INTERNALDATE NIL RFC822.SIZE 44827 \
        ENVELOPE (NIL (\"x (\" NIL)) BODY[HEADER.FIELDS (A B)] {2}\r\n\r\n UID 17 MODSEQ (9) )",
    );
    let flags = ["\\Seen", "$Label1", "NonJunk", "a/b&c", "[x]"];
    let mut flags: Vec<Flag> = flags.into_iter().map(Flag::from).collect();
    flags.push(Flag::new(b"\xe9t\xe9"));
    flags.push("\\XYZ".into());
    assert_eq!(
        fetch.meta,
        Meta {
            uid: 17,
            flags,
            internaldate: None,
            size: Some(44827),
            modseq: Some(9),
        }
    );
    assert_eq!(fetch.body, Body::Absent);
}

#[test]
fn a_body_is_nil_quoted_or_a_literal() {
    for (value, body) in [
        (&b"NIL"[..], Body::Nil),
        (b"nil", Body::Nil),
        (b"\"a\\\"b\"", Body::Inline(b"a\"b".to_vec())),
        (b"\"\"", Body::Inline(Vec::new())),
        (b"{3}\r\na)\n", Body::Inline(b"a)\n".to_vec())),
        (b"~{1}\r\n\0", Body::Inline(vec![0])),
    ] {
        let line = [b"* 1 FETCH (UID 2 BODY[] ", value, b" FLAGS ())"].concat();
        let fetch = fetched(&line);
        assert_eq!(fetch.body, body);
        assert!(fetch.has_flags);
    }
}

#[test]
fn the_head_of_a_body_is_read() {
    let head = Fetch::head(b"* 1 FETCH (UID 9 FLAGS (a) BODY[] {5}\r\n").unwrap();
    assert_eq!((head.meta.uid, head.body), (9, Body::Streamed));
    let raw = Raw {
        bytes: b"* 1 FETCH (BODY[] {5}\r\n UID 9)".to_vec(),
        cut: Some(23),
    };
    match Response::parse(&raw) {
        Ok(Response::Untagged(Untagged::Fetch(fetch))) => {
            assert_eq!((fetch.meta.uid, fetch.body), (9, Body::Streamed));
        }
        other => panic!("{other:?}"),
    }
    assert!(Fetch::head(b"* 1 STORE (BODY[] {5}\r\n").is_err());
}

#[test]
fn folders_keep_their_bytes() {
    let listed = |text: &[u8]| match data(text) {
        Untagged::List(listed) => listed,
        other => panic!("{other:?}"),
    };
    for (line, name, separator) in [
        (&b"* LIST () \"/\" inbox"[..], &b"INBOX"[..], Some(b'/')),
        (b"* LIST (\\Noselect) NIL \"a b\"", b"a b", None),
        (
            b"* LIST () \"\\\\\" \"a\\\"b\\\\c\"",
            b"a\"b\\c",
            Some(b'\\'),
        ),
        (b"* LIST () \".\" {5}\r\na\r\n\"b", b"a\r\n\"b", Some(b'.')),
        (b"* LIST () \".\" Entw\xfcrfe", b"Entw\xfcrfe", Some(b'.')),
        (
            b"* LIST () \".\" \"Entw\xfcrfe\"",
            b"Entw\xfcrfe",
            Some(b'.'),
        ),
        (b"* LIST () \"/\" a]b", b"a]b", Some(b'/')),
        (b"* LIST () \"/\" \"\"", b"", Some(b'/')),
        (
            b"* LIST () \"/\" \"x\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            b"x",
            Some(b'/'),
        ),
    ] {
        let read = listed(line);
        assert_eq!(read.name.raw(), name, "{}", line.escape_ascii());
        assert_eq!(read.separator, separator);
    }
}

#[test]
fn what_cannot_be_read_is_an_error() {
    for line in [
        &b"* LIST () \"/\" a b"[..],
        b"* LIST () \"/\" \"a",
        b"* LIST () \"/\" \"a\\x\"",
        b"* LIST () \"/\"",
        b"* LIST \"/\" a",
        b"* LIST () \"ab\" a",
        b"* 1 FETCH (UID 0)",
        b"* 1 FETCH (UID 4294967296)",
        b"* 1 FETCH (UID 1",
        b"* 1 FETCH (UID 1) x",
        b"* 1 FETCH (UID)",
        b"* 1 FETCH (RFC822.SIZE -1)",
        b"* 1 FETCH (BODY[] {9}\r\nshort)",
        b"* 1 FETCH (BODY[] \"a\" BODY[] \"b\")",
        b"* SEARCH 1 two",
        b"* SEARCH 0",
        b"* VANISHED 1:*",
        b"* STATUS a (MESSAGES)",
        b"* NAMESPACE NIL NIL",
        b"* 4294967296 EXISTS",
        b"*",
        b"",
        b"r1",
        b"r1 BYE x",
        b"r1 FETCH",
    ] {
        assert!(parse(line).is_err(), "{}", line.escape_ascii());
    }
}

#[test]
fn lists_of_numbers_are_read() {
    let set = UidSet::parse(b"1:3,7").unwrap();
    let empty = UidSet::new();
    for (line, expected) in [
        (&b"* SEARCH 7 2 3 1"[..], Untagged::Search(set.clone())),
        (
            b"* SEARCH 1 2 3 7 (MODSEQ 99)",
            Untagged::Search(set.clone()),
        ),
        (b"* SEARCH", Untagged::Search(empty.clone())),
        (b"* SEARCH ", Untagged::Search(empty.clone())),
        (
            b"* ESEARCH (TAG \"r1\") UID COUNT 4 ALL 1:3,7 MODSEQ 9",
            Untagged::Esearch(set.clone()),
        ),
        (b"* ESEARCH (TAG \"r1\") UID", Untagged::Esearch(empty)),
        (
            b"* VANISHED (EARLIER) 1:3,7",
            Untagged::Vanished(set.clone()),
        ),
        (b"* VANISHED 7,1:3", Untagged::Vanished(set)),
    ] {
        assert_eq!(data(line), expected, "{}", line.escape_ascii());
    }
}

#[test]
fn figures_are_read() {
    let status = Status {
        messages: Some(231),
        uidnext: Some(44292),
        uidvalidity: None,
        highestmodseq: None,
        size: Some(9),
    };
    assert_eq!(
        data(b"* STATUS \"a b\" (MESSAGES 231 UIDNEXT 44292 UIDVALIDITY 0 HIGHESTMODSEQ 0 X 1 SIZE 9 )"),
        Untagged::Status(Name::from_raw(b"a b"), status)
    );
    let storage = Quota {
        resource: "STORAGE".into(),
        usage: 10,
        limit: 512,
    };
    for line in [
        &b"* QUOTA \"\" (STORAGE 10 512)"[..],
        b"* QUOTA  (STORAGE 10 512)",
        b"* QUOTA #user/a (storage 10 512)",
    ] {
        assert_eq!(data(line), Untagged::Quota(vec![storage.clone()]));
    }
    let space = |prefix: &str| Namespace {
        prefix: prefix.into(),
        separator: Some(b'/'),
    };
    assert_eq!(
        data(b"* NAMESPACE ((\"\" \"/\")(\"#mh/\" \"/\" \"X\" (\"a\" \"b\"))) NIL ((\"Shared/\" \"/\"))"),
        Untagged::Namespace(Namespaces {
            personal: vec![space(""), space("#mh/")],
            other_users: vec![],
            shared: vec![space("Shared/")],
        })
    );
}

#[test]
fn conditions_carry_code_and_text() {
    let condition = |kind, code, text: &str| Condition {
        kind,
        code,
        text: text.into(),
    };
    assert_eq!(
        parse("* OK [ALERT]é".as_bytes()),
        Ok(Response::Untagged(Untagged::Condition(condition(
            Kind::Ok,
            Some(Code::Alert),
            "é"
        ))))
    );
    assert_eq!(
        parse(b"r7 NO [OVERQUOTA] full \x1b[1m"),
        Ok(Response::Tagged(
            "r7".into(),
            condition(Kind::No, Some(Code::OverQuota), "full  [1m")
        ))
    );
    assert_eq!(
        parse(b"r7 OK"),
        Ok(Response::Tagged("r7".into(), condition(Kind::Ok, None, "")))
    );
    assert_eq!(parse(b"+"), Ok(Response::Continue));
    assert_eq!(parse(b"+ {3}"), Ok(Response::Continue));
    assert_eq!(data(b"* X-NEW (((\" whatever"), Untagged::Other);
    assert_eq!(data(b"* 3 RECENT"), Untagged::Other);
}

proptest! {
    #[test]
    fn rubbish_does_not_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just(b"* ".to_vec()), Just(b"1 FETCH (".to_vec()), Just(b"BODY[] ".to_vec()),
                Just(b"{3}\r\n".to_vec()), Just(b"FLAGS (".to_vec()), Just(b")".to_vec()),
                Just(b"LIST () ".to_vec()), Just(b"\"".to_vec()), Just(b" ".to_vec()),
                Just(b"OK [".to_vec()), Just(b"] ".to_vec()), Just(b"STATUS ".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..4),
            ],
            0..20,
        ),
        cut in proptest::option::of(0_usize..40),
    ) {
        let bytes = parts.concat();
        let _ = Fetch::head(&bytes);
        let _ = Response::parse(&Raw { bytes, cut });
    }
}
