//! Folders and their figures.

use super::*;
use crate::imap::{Flag, SpecialUse, Status};

#[tokio::test]
async fn one_command_lists_everything() {
    let capabilities = "LIST-EXTENDED LIST-STATUS SPECIAL-USE CONDSTORE";
    let mut session = session(capabilities, async |mut peer: Peer| {
        peer.reply(
            "LIST \"\" \"*\" RETURN (SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY \
            HIGHESTMODSEQ))",
            "* LIST (\\Noselect) \"/\" a\r\n\
            * LIST (\\Subscribed \\HasNoChildren) \"/\" inbox\r\n\
            * STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ 4)\r\n\
            * LIST (\\Junk) \"/\" {3}\r\na/b\r\nTAG OK\r\n",
        )
        .await;
        peer.reply(
            "STATUS \"a/b\" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)",
            "TAG NO [UNAVAILABLE] later\r\n",
        )
        .await;
    })
    .await;
    let folders = session.folders().await.unwrap();
    let names: Vec<String> = folders
        .iter()
        .map(|folder| folder.name.to_string())
        .collect();
    assert_eq!(names, ["INBOX", "a", "a/b"]);
    let status = Status {
        messages: Some(1),
        uidnext: Some(2),
        uidvalidity: Some(3),
        highestmodseq: Some(4),
        size: None,
    };
    assert_eq!(folders[0].status, Some(status));
    assert!(folders[0].subscribed && !folders[1].is_selectable());
    assert_eq!(folders[2].special_use, Some(SpecialUse::Junk));
    assert_eq!(folders[2].status, None);
}

#[tokio::test]
async fn old_servers_are_asked_piece_by_piece() {
    let mut session = session("", async |mut peer: Peer| {
        peer.reply(
            "LIST \"\" \"*\"",
            "* LIST () NIL \"a\\\"b\"\r\n* LIST () NIL c\r\nTAG OK\r\n",
        )
        .await;
        peer.reply(
            "LSUB \"\" \"*\"",
            "* LSUB () NIL c\r\n* LSUB () NIL gone\r\nTAG OK\r\n",
        )
        .await;
        let first = peer
            .command("STATUS \"a\\\"b\" (MESSAGES UIDNEXT UIDVALIDITY)")
            .await;
        let second = peer
            .command("STATUS \"c\" (MESSAGES UIDNEXT UIDVALIDITY)")
            .await;
        let said = format!(
            "* STATUS c (MESSAGES 2)\r\n{second} OK\r\n* STATUS \"a\\\"b\" (MESSAGES 1)\r\n\
            {first} OK\r\n"
        );
        peer.say(said.as_bytes()).await;
    })
    .await;
    let folders = session.folders().await.unwrap();
    let found: Vec<_> = (folders.iter())
        .map(|folder| {
            (
                folder.name.to_string(),
                folder.subscribed,
                folder.status.unwrap().messages,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a\"b".to_owned(), false, Some(1)),
            ("c".to_owned(), true, Some(2))
        ]
    );
}

/// async-imap takes what came before for all there is.
#[tokio::test]
async fn a_no_after_some_of_the_folders_is_an_error() {
    for refused in ["LIST", "LSUB"] {
        let mut session = session("", async move |mut peer: Peer| {
            for command in ["LIST", "LSUB"] {
                let tag = peer.command(&format!("{command} \"\" \"*\"")).await;
                let end = if command == refused { "NO busy" } else { "OK" };
                let said = format!("* {command} () NIL a\r\n{tag} {end}\r\n");
                peer.say(said.as_bytes()).await;
                if command == refused {
                    break;
                }
            }
            peer.reply("NOOP", "TAG OK\r\n").await;
        })
        .await;
        let error = session.folders().await.unwrap_err();
        assert!(matches!(error, Error::No { .. }), "{error}");
        session.noop().await.unwrap();
    }
}

#[tokio::test]
async fn a_noop_comes_between_what_may_all_be_refused() {
    let mut session = session("", async |mut peer: Peer| {
        for place in 0..9 {
            let line = peer.line().await;
            let (tag, command) = line.split_once(' ').unwrap();
            assert_eq!(command == "NOOP", place == 4, "{line}");
            let kind = if place == 4 { "OK" } else { "NO" };
            peer.say(format!("{tag} {kind}\r\n").as_bytes()).await;
        }
        let tag = peer.command("NOOP").await;
        peer.say(format!("{tag} OK\r\n").as_bytes()).await;
        // The eighth had one behind it; the refusals before that are forgotten.
        peer.reply("CREATE \"x\"", "TAG NO [ALREADYEXISTS] there\r\n")
            .await;
        for _ in 0..2 {
            peer.reply("CREATE \"x\"", "TAG NO\r\n").await;
        }
        peer.reply("NOOP", "TAG OK\r\n").await;
        peer.reply("CREATE \"x\"", "TAG OK\r\n").await;
    })
    .await;
    let names: Vec<Name> = (0..8).map(|number| name(&format!("f{number}"))).collect();
    let statuses = session.statuses(&names).await.unwrap();
    assert_eq!(statuses.len(), 8);
    assert!(statuses.iter().all(Result::is_err));
    for _ in 0..3 {
        assert!(matches!(
            session.create(&name("x")).await,
            Err(Error::No { .. })
        ));
    }
    session.create(&name("x")).await.unwrap();
}

#[tokio::test]
async fn names_are_sent_as_they_came() {
    let mut session = session("LITERAL+", async |mut peer: Peer| {
        peer.reply("CREATE \"a \\\\ \\\"b\\\"\"", "TAG OK\r\n")
            .await;
        let tag = peer.command("SUBSCRIBE {2+}").await;
        assert_eq!(peer.bytes(4).await, b"\xe9a\r\n");
        peer.say(format!("{tag} OK\r\n").as_bytes()).await;
    })
    .await;
    session
        .create(&Name::from_raw(b"a \\ \"b\""))
        .await
        .unwrap();
    session.subscribe(&Name::from_raw(b"\xe9a")).await.unwrap();
    let error = session
        .create(&Name::from_raw(b"a\r\nr9 LOGOUT"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unsendable { .. }) && !error.is_fatal());
}

#[tokio::test]
async fn what_examine_tells_is_read() {
    let mut session = session("CONDSTORE", async |mut peer: Peer| {
        peer.reply(
            "EXAMINE \"INBOX\" (CONDSTORE)",
            "* FLAGS (\\Seen a]b)\r\n* OK [PERMANENTFLAGS ()] none\r\n* 7 EXISTS\r\n* 0 RECENT\r\n\
            * OK [UIDVALIDITY 9] ok\r\n* OK [UIDNEXT 12] ok\r\n* OK [HIGHESTMODSEQ 99] ok\r\n\
            TAG OK [READ-ONLY] done\r\n",
        )
        .await;
        peer.reply(
            "SELECT \"INBOX\" (CONDSTORE)",
            "* 0 EXISTS\r\n* OK [UIDVALIDITY 9] ok\r\n* NO [UIDNOTSTICKY] they change\r\n\
            TAG OK [READ-WRITE] done\r\n",
        )
        .await;
    })
    .await;
    let selected = session.examine(&name("INBOX")).await.unwrap();
    assert_eq!((selected.exists, selected.uidvalidity), (7, Some(9)));
    assert_eq!(
        (selected.uidnext, selected.highestmodseq),
        (Some(12), Some(99))
    );
    assert_eq!(selected.flags, ["\\Seen".into(), Flag::from("a]b")]);
    assert_eq!(selected.permanent_flags, Some(vec![]));
    assert!(selected.read_only);
    let selected = session.select(&name("INBOX")).await.unwrap();
    assert_eq!((selected.uidvalidity, selected.read_only), (None, false));
}
