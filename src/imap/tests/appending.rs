//! APPEND in its three ways, and how it fails.

use super::*;
use crate::imap::{Append, AppendWay, Appended, Flag, Whole};

fn message(body: &str) -> Append<Whole> {
    Append {
        flags: vec![Flag::from("\\Seen")],
        internaldate: Some(" 1-Jan-2026 00:00:00 +0000".into()),
        size: body.len() as u64,
        body: Whole::new(body.as_bytes().to_vec()),
    }
}

const HEAD: &str = "(\\Seen) \" 1-Jan-2026 00:00:00 +0000\"";

fn at(uid: u32) -> Result<Appended, Error> {
    Ok(Appended {
        uid: Some(uid),
        uidvalidity: Some(9),
    })
}

#[tokio::test]
async fn a_batch_is_one_command() {
    let mut session = session("MULTIAPPEND LITERAL+ UIDPLUS", async |mut peer: Peer| {
        let tag = peer.command(&format!("APPEND \"x\" {HEAD} {{2+}}")).await;
        assert_eq!(peer.bytes(2).await, b"a\n");
        assert_eq!(peer.line().await, format!(" {HEAD} {{1+}}"));
        assert_eq!(peer.bytes(3).await, b"b\r\n");
        peer.say(format!("{tag} OK [APPENDUID 9 4,6] done\r\n").as_bytes())
            .await;
        peer.line().await;
        peer.bytes(5).await;
        peer.bytes(0).await;
        peer.hang_up().await;
    })
    .await;
    assert_eq!(session.append_way(), AppendWay::Multi);
    let mut odd = message("c");
    odd.flags = vec![Flag::from("a b")];
    let batch = vec![message("a\n"), odd, message("b")];
    let results = session.append(&name("x"), batch).await;
    assert_eq!(results[0], at(4));
    assert!(matches!(results[1], Err(Error::Unsendable { .. })));
    assert_eq!(results[2], at(6));
    // The tagged OK is lost: each is in doubt.
    let results = session
        .append(&name("x"), vec![message("abc"), message("b")])
        .await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(Error::Lost { .. }))),
        "{results:?}"
    );
    assert_ended(&mut session).await;
}

#[tokio::test]
async fn commands_in_a_pipeline_fail_one_by_one() {
    let mut session = session("LITERAL- UIDPLUS", async |mut peer: Peer| {
        let mut tags = Vec::new();
        for _ in 0..3 {
            tags.push(peer.command(&format!("APPEND \"x\" {HEAD} {{1+}}")).await);
            peer.bytes(3).await;
        }
        // A large one has to wait for the others.
        tags.push(peer.command(&format!("APPEND \"x\" {HEAD} {{5000}}")).await);
        for (tag, said) in tags
            .iter()
            .zip(["OK [APPENDUID 9 4]", "NO [OVERQUOTA] full", "OK"])
        {
            peer.say(format!("{tag} {said}\r\n").as_bytes()).await;
        }
        peer.say(b"+ go\r\n").await;
        peer.bytes(5002).await;
        let noop = peer.command("NOOP").await;
        peer.say(format!("{} OK [APPENDUID 9 5]\r\n{noop} OK\r\n", tags[3]).as_bytes())
            .await;
    })
    .await;
    assert_eq!(session.append_way(), AppendWay::Pipelined);
    let large = "x".repeat(5000);
    let batch = ["a", "b", "c", &large].map(message).into();
    let results = session.append(&name("x"), batch).await;
    assert_eq!(results[0], at(4));
    let refusal = results[1].as_ref().unwrap_err();
    assert_eq!(refusal.code(), Some(&crate::imap::Code::OverQuota));
    let unknown = Appended {
        uid: None,
        uidvalidity: None,
    };
    assert_eq!(results[2], Ok(unknown));
    assert_eq!(results[3], at(5));
}

#[tokio::test]
async fn a_refused_literal_is_not_sent() {
    let mut session = session("", async |mut peer: Peer| {
        peer.reply(
            &format!("APPEND \"x\" {HEAD} {{1}}"),
            "TAG NO [TOOBIG] no\r\n",
        )
        .await;
        let tag = peer.command(&format!("APPEND \"x\" {HEAD} {{1}}")).await;
        peer.say(b"+\r\n").await;
        assert_eq!(peer.bytes(3).await, b"b\r\n");
        peer.say(format!("{tag} OK\r\n").as_bytes()).await;
        peer.reply(
            &format!("APPEND \"x\" {HEAD} {{1}}"),
            "* BYE going down\r\n",
        )
        .await;
        peer.hang_up().await;
    })
    .await;
    assert_eq!(session.append_way(), AppendWay::OneByOne);
    let batch = ["a", "b", "c", "d"].map(message).into();
    let results = session.append(&name("x"), batch).await;
    assert!(matches!(results[0], Err(Error::No { .. })));
    assert!(results[1].is_ok());
    assert!(matches!(results[2], Err(Error::Bye { .. })));
    assert!(matches!(results[3], Err(Error::Bye { .. })));
}

#[tokio::test]
async fn a_body_of_another_length_ends_the_session() {
    for announced in [2, 4] {
        let mut session = session("LITERAL+", async |peer: Peer| {
            peer.hang_up().await;
        })
        .await;
        let mut wrong = message("abc");
        wrong.size = announced;
        let results = session.append(&name("x"), vec![wrong]).await;
        assert!(
            matches!(results[0], Err(Error::Local { .. })),
            "{results:?}"
        );
        assert_ended(&mut session).await;
    }
}

#[tokio::test]
async fn a_date_that_is_none_is_not_sent() {
    let mut session = session("LITERAL+ APPENDLIMIT=3", async |peer: Peer| {
        peer.hang_up().await;
    })
    .await;
    let dates = [
        "",
        "1-Jan-2026 00:00:00 +0000",
        " 1-Jan-2026 00:00:00 +000\"",
        "x",
    ];
    for date in dates {
        let mut wrong = message("abc");
        wrong.internaldate = Some(date.into());
        let results = session.append(&name("x"), vec![wrong]).await;
        assert!(
            matches!(results[0], Err(Error::Unsendable { .. })),
            "{results:?}"
        );
    }
    let results = session.append(&name("x"), vec![message("abcd")]).await;
    assert!(
        matches!(results[0], Err(Error::Unsendable { .. })),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_server_that_talks_while_it_is_written_to_is_read() {
    // More than fits into the buffers of both directions at once.
    const BYTES: usize = 64 << 20;
    let mut session = session("LITERAL+", async |mut peer: Peer| {
        let tag = peer.line().await;
        let tag = tag.split(' ').next().unwrap_or_default().to_owned();
        for _ in 0..20_000 {
            peer.say(b"* OK still here, and as talkative as ever in this long line\r\n")
                .await;
        }
        for _ in 0..BYTES >> 20 {
            peer.bytes(1 << 20).await;
        }
        peer.say(format!("{tag} OK\r\n").as_bytes()).await;
    })
    .await;
    let body = "x".repeat(BYTES);
    let results = session.append(&name("x"), vec![message(&body)]).await;
    assert!(results[0].is_ok(), "{results:?}");
}
