//! What async-imap takes for success, and other accidents of FETCH and SEARCH.

use super::*;
use crate::imap::Code;

const ONE: &str = "* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \" 1-Jan-2026 00:00:00 +0000\" \
    RFC822.SIZE 5 BODY[] {5}\r\nhello)\r\n";

fn bodies(kept: &Kept) -> Vec<(u32, &str)> {
    (kept.whole.iter())
        .map(|(uid, bytes)| (*uid, std::str::from_utf8(bytes).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_no_after_some_of_the_messages_is_an_error() {
    let (result, kept) = fetch_of(
        b"* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\nTAG NO [UNAVAILABLE] some could not be read\r\n",
    )
    .await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::No { .. }), "{error}");
    assert_eq!(error.code(), Some(&Code::Unavailable));
    assert!(!error.is_fatal());
    assert_eq!(bodies(&kept), [(1, "a")]);
}

#[tokio::test]
async fn a_bad_is_an_error_and_the_session_goes_on() {
    let mut session = session("", async |mut peer: Peer| {
        peer.reply("UID SEARCH UID 1:9", "TAG BAD no such command\r\n")
            .await;
        peer.reply("NOOP", "TAG OK\r\n").await;
    })
    .await;
    let error = session.uids(1, 9).await.unwrap_err();
    assert!(matches!(error, Error::Bad { .. }), "{error}");
    session.noop().await.unwrap();
}

#[tokio::test]
async fn a_no_to_search_is_not_an_empty_folder() {
    let mut session = session("", async |mut peer: Peer| {
        peer.reply("UID SEARCH UID 1:9", "* SEARCH 1 2\r\nTAG NO busy\r\n")
            .await;
        peer.reply("UID SEARCH UID 1:9", "TAG OK\r\n").await;
    })
    .await;
    assert!(matches!(session.uids(1, 9).await, Err(Error::No { .. })));
    let error = session.uids(1, 9).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert_ended(&mut session).await;
}

#[tokio::test]
async fn bye_and_the_end_of_the_stream_are_errors_wherever_they_come() {
    for (said, is_bye, whole) in [
        (&b""[..], false, 0),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\nhel", false, 0),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\nhello", false, 0),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\nhello)", false, 0),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\nhello)\r\n", false, 1),
        (b"* 1 FETCH (UID 1 BODY[] {5}\r\nhello)\r\nTAG O", false, 1),
        (b"* BYE [UNAVAILABLE] restarting\r\n", true, 0),
        (
            b"* 1 FETCH (UID 1 BODY[] {5}\r\nhello)\r\n* BYE\r\n",
            true,
            1,
        ),
    ] {
        let mut session = session("", async move |mut peer: Peer| {
            let tag = peer.line().await;
            let tag = tag.split(' ').next().unwrap_or_default();
            let said = String::from_utf8_lossy(said).replace("TAG", tag);
            peer.say(said.as_bytes()).await;
            peer.hang_up().await;
        })
        .await;
        let mut kept = Kept::default();
        let error = session
            .fetch(&UidSet::range(1, 3), &mut kept)
            .await
            .unwrap_err();
        match &error {
            Error::Bye { .. } => assert!(is_bye, "{}", said.escape_ascii()),
            Error::Lost { .. } => assert!(!is_bye, "{}", said.escape_ascii()),
            other => panic!("{}: {other}", said.escape_ascii()),
        }
        assert!(error.is_fatal());
        assert_eq!(kept.whole.len(), whole, "{}", said.escape_ascii());
        assert_ended(&mut session).await;
    }
}

#[tokio::test]
async fn a_body_is_a_literal_quoted_or_missing() {
    let (result, kept) = fetch_of(
        b"* 1 FETCH (UID 1 FLAGS (\\Seen $a:b [c] \xe9) INTERNALDATE NIL BODY[] \"q\\\"\")\r\n\
        * 2 FETCH (UID 2 BODY[] NIL)\r\n\
        * 9 FETCH (FLAGS (\\Seen))\r\n\
        * OK [ALERT] \xc3\xa9t\xc3\xa9\r\n\
        * VANISHED 7\r\n* 3 EXPUNGE\r\n* X-WHATEVER (((\r\n\
        * 3 FETCH (FLAGS () UID 3 BODY[] ~{3}\r\na\0b MODSEQ (7) RFC822.SIZE 3)\r\n\
        * 3 FETCH (UID 3 BODY[] {1}\r\nx)\r\n\
        * 8 FETCH (UID 8 BODY[] {1}\r\nx)\r\n\
        TAG OK done\r\n",
    )
    .await;
    assert_eq!(result.unwrap().to_string(), "1,3");
    assert_eq!(bodies(&kept), [(1, "q\""), (3, "a\0b")]);
    let first = &kept.metas[0];
    // The script's text went through a lossy conversion.
    let flags: Vec<String> = first.flags.iter().map(ToString::to_string).collect();
    assert_eq!(flags, ["\\Seen", "$a:b", "[c]", "\u{fffd}"]);
    assert_eq!(first.internaldate, None);
    assert_eq!(
        (kept.metas[1].modseq, kept.metas[1].size),
        (Some(7), Some(3))
    );
}

#[tokio::test]
async fn a_uid_behind_the_body_is_asked_for_alone() {
    let mut session = session("", async |mut peer: Peer| {
        let items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])";
        let said = "* 1 FETCH (BODY[] {1}\r\na UID 4)\r\n* 2 FETCH (BODY[] {1}\r\nb UID 5)\r\n";
        let said = format!("{said}TAG OK\r\n");
        peer.reply(&format!("UID FETCH 4:5 {items}"), &said).await;
        let said = "* 1 FETCH (BODY[] {1}\r\na UID 4)\r\nTAG OK\r\n";
        peer.reply(&format!("UID FETCH 4 {items}"), said).await;
        let said = "* 2 FETCH (BODY[] {1}\r\nb UID 6)\r\nTAG OK\r\n";
        peer.reply(&format!("UID FETCH 5 {items}"), said).await;
    })
    .await;
    let mut kept = Kept::default();
    let error = session
        .fetch(&UidSet::range(4, 5), &mut kept)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert_eq!(bodies(&kept), [(4, "a")]);
}

#[tokio::test]
async fn a_reply_with_the_tag_of_no_command_ends_the_session() {
    for said in [
        &b"r99 OK done\r\n"[..],
        b"TAG BYE\r\n",
        b"+ go on\r\n",
        b"* 1 FETCH (UID x)\r\n",
    ] {
        let (result, _) = fetch_of(said).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn pipelined_replies_go_to_their_own_commands() {
    let mut session = session("", async |mut peer: Peer| {
        let first = peer.line().await;
        let second = peer.line().await;
        let tag = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        assert!(first.contains("UID FETCH 1:500 ") && second.contains("UID FETCH 501:600 "));
        let said = format!("{} NO\r\n{ONE}{} OK\r\n", tag(&second), tag(&first));
        peer.say(said.as_bytes()).await;
        peer.answer_all().await;
    })
    .await;
    let mut kept = Kept::default();
    let error = session
        .fetch(&UidSet::range(1, 600), &mut kept)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::No { .. }), "{error}");
    assert_eq!(bodies(&kept), [(1, "hello")]);
    session.noop().await.unwrap();
}

#[tokio::test]
async fn a_broken_off_command_ends_the_session() {
    let mut session = session("", async |mut peer: Peer| {
        peer.line().await;
        std::future::pending::<()>().await;
    })
    .await;
    let never = tokio::time::timeout(std::time::Duration::ZERO, session.noop()).await;
    assert!(never.is_err());
    assert_ended(&mut session).await;
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let login = crate::imap::Login::Plain {
        authzid: "a".into(),
        user: "u".into(),
        password: "p".into(),
    };
    let limits = crate::imap::Limits {
        connect: std::time::Duration::from_millis(50),
        ..script::limits()
    };
    let refused = script::connected(login, limits, async |mut peer: Peer| {
        peer.answer_all().await;
    });
    assert!(matches!(refused.await, Err(Error::Timeout { .. })));
}

#[tokio::test]
async fn a_scan_asks_again_for_what_is_lacking() {
    let mut session = session("ESEARCH CONDSTORE", async |mut peer: Peer| {
        let all = "* ESEARCH (TAG \"x\") UID ALL 2,4,7\r\nTAG OK\r\n";
        peer.reply("UID SEARCH RETURN (ALL) UID 2:*", all).await;
        let items = "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ)";
        let some = "* 1 FETCH (UID 2 FLAGS () RFC822.SIZE 1 MODSEQ (5))\r\n\
            * 3 FETCH (UID 7 FLAGS (\\Seen))\r\n* 9 FETCH (FLAGS ())\r\nTAG OK\r\n";
        peer.reply(&format!("UID FETCH 2,4,7 {items}"), some).await;
        let rest = "* 3 FETCH (UID 7 RFC822.SIZE 3 FLAGS ())\r\nTAG OK\r\n";
        peer.reply(&format!("UID FETCH 4,7 {items}"), rest).await;
        peer.reply("NOOP", "TAG OK\r\n").await;
        peer.reply("UID SEARCH RETURN (ALL) UID 2:*", all).await;
    })
    .await;
    let mut uids = Vec::new();
    let on = |meta: Meta| uids.push((meta.uid, meta.size, meta.modseq));
    let mute = session.scan(2, u32::MAX, None, on).await.unwrap();
    assert_eq!(mute, UidSet::range(4, 4));
    assert_eq!(uids, [(2, Some(1), Some(5)), (7, Some(3), None)]);
}

#[tokio::test]
async fn a_few_are_scanned_in_one_round_trip_and_none_is_lost_by_it() {
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE)";
    let mut session = session("", async move |mut peer: Peer| {
        for (searched, fetched) in [
            (
                "* SEARCH 2 4\r\nTAG OK\r\n",
                "* 1 FETCH (UID 2 FLAGS () RFC822.SIZE 1)\r\nTAG OK\r\n",
            ),
            ("TAG NO\r\n", "TAG OK\r\n"),
            ("TAG OK\r\n", "TAG OK\r\n"),
        ] {
            let noop = peer.command("NOOP").await;
            let search = peer.command("UID SEARCH UID 2:9").await;
            let fetch = peer.command(&format!("UID FETCH 2:9 {items}")).await;
            let said = format!(
                "{noop} OK\r\n{}{}",
                searched.replace("TAG", &search),
                fetched.replace("TAG", &fetch)
            );
            peer.say(said.as_bytes()).await;
            if searched.starts_with('*') {
                let rest = "* 2 FETCH (UID 4 RFC822.SIZE 3 FLAGS ())\r\nTAG OK\r\n";
                peer.reply(&format!("UID FETCH 4 {items}"), rest).await;
            }
        }
    })
    .await;
    let mut uids = Vec::new();
    let on = |meta: Meta| uids.push(meta.uid);
    session.scan(2, 9, None, on).await.unwrap();
    assert_eq!(uids, [2, 4]);
    let error = session.scan(2, 9, None, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::No { .. }), "{error}");
    // OK, and nothing of what a search has to say: this folder only looks empty.
    let error = session.scan(2, 9, None, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_message_that_a_server_does_not_tell_of_does_not_hide_the_others() {
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE)";
    let mut session = session("", async move |mut peer: Peer| {
        let all = "* SEARCH 1 2 3\r\nTAG OK\r\n";
        let told = |uid| format!("* {uid} FETCH (UID {uid} FLAGS () RFC822.SIZE 1)\r\nTAG OK\r\n");
        let noop = peer.command("NOOP").await;
        let search = peer.command("UID SEARCH UID 1:3").await;
        let fetch = peer.command(&format!("UID FETCH 1:3 {items}")).await;
        let found = all.replace("TAG", &search);
        let said = format!("{noop} OK\r\n{found}{fetch} NO cannot read\r\n");
        peer.say(said.as_bytes()).await;
        let no = "TAG NO cannot read\r\n";
        peer.reply(&format!("UID FETCH 1:3 {items}"), no).await;
        peer.reply(&format!("UID FETCH 3 {items}"), &told(3)).await;
        peer.reply(&format!("UID FETCH 1:2 {items}"), no).await;
        peer.reply(&format!("UID FETCH 2 {items}"), no).await;
        peer.reply(&format!("UID FETCH 1 {items}"), &told(1)).await;
        peer.reply("NOOP", "TAG OK\r\n").await;
        peer.reply("UID SEARCH UID 1:3", all).await;
        peer.answer_all().await;
    })
    .await;
    let mut uids = Vec::new();
    let on = |meta: Meta| uids.push(meta.uid);
    let mute = session.scan(1, 3, None, on).await.unwrap();
    assert_eq!((mute, uids), (UidSet::range(2, 2), vec![3, 1]));
}

#[tokio::test]
async fn what_vanished_is_told_where_the_server_keeps_it() {
    let mut session = session("ENABLE QRESYNC CONDSTORE", async |mut peer: Peer| {
        peer.reply("ENABLE QRESYNC", "* ENABLED QRESYNC\r\nTAG OK\r\n")
            .await;
        peer.reply(
            "UID FETCH 1:9 (UID) (CHANGEDSINCE 5 VANISHED)",
            "* VANISHED (EARLIER) 3:5,20\r\n* 1 FETCH (UID 1 MODSEQ (6))\r\nTAG OK\r\n",
        )
        .await;
    })
    .await;
    assert!(session.has_vanished());
    assert_eq!(session.vanished(1, 9, 5).await.unwrap().to_string(), "3:5");
}

#[tokio::test]
async fn a_line_with_half_a_million_numbers_is_read() {
    let mut session = session("", async |mut peer: Peer| {
        let numbers: Vec<String> = (1..500_000).map(|uid| (uid * 2).to_string()).collect();
        let said = format!("* SEARCH {}\r\nTAG OK\r\n", numbers.join(" "));
        peer.reply("UID SEARCH UID 1:*", &said).await;
        let long = format!("* LIST () \"/\" {}\r\n", "x".repeat(2 << 20));
        peer.reply("LIST \"\" \"*\"", &long).await;
        peer.hang_up().await;
    })
    .await;
    assert_eq!(session.uids(1, u32::MAX).await.unwrap().len(), 499_999);
    let error = session.folders().await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

/// Counts, and remembers nothing.
struct Counting(u64);

impl BodySink for Counting {
    async fn begin(&mut self, _: Fetched) -> io::Result<()> {
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }

    async fn end(&mut self, _: Meta) -> io::Result<()> {
        Ok(())
    }
}

/// Resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_gibibyte_streams_in_constant_memory() {
    const BYTES: u64 = 1 << 30;
    let mut session = session("", async |mut peer: Peer| {
        let tag = peer.line().await;
        let tag = tag.split(' ').next().unwrap_or_default();
        peer.say(format!("* 1 FETCH (UID 1 BODY[] {{{BYTES}}}\r\n").as_bytes())
            .await;
        let block = vec![b'x'; 1 << 20];
        for _ in 0..BYTES >> 20 {
            peer.say(&block).await;
        }
        peer.say(format!(")\r\n{tag} OK\r\n").as_bytes()).await;
    })
    .await;
    let before = resident_kib();
    let mut sink = Counting(0);
    let done = session
        .fetch(&UidSet::range(1, 1), &mut sink)
        .await
        .unwrap();
    let grown = resident_kib().saturating_sub(before);
    assert_eq!((done.len(), sink.0), (1, BYTES));
    // Other tests run in the same process: what matters is that it is not the message.
    assert!(grown < 128 << 10, "{grown} KiB more");
}

#[tokio::test]
async fn a_sink_that_fails_ends_the_session() {
    struct Full;
    impl BodySink for Full {
        async fn begin(&mut self, _: Fetched) -> io::Result<()> {
            Ok(())
        }
        async fn chunk(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        async fn end(&mut self, _: Meta) -> io::Result<()> {
            Ok(())
        }
    }
    let mut session = session("", async |mut peer: Peer| {
        peer.line().await;
        peer.say(ONE.as_bytes()).await;
        peer.answer_all().await;
    })
    .await;
    let error = session
        .fetch(&UidSet::range(1, 1), &mut Full)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Local { .. }), "{error}");
    assert_ended(&mut session).await;
}
