//! The way in.

use super::*;
use crate::imap::{Code, Login};
use script::{connected, limits};

fn plain() -> Login {
    Login::Plain {
        authzid: "bob".into(),
        user: "admin".into(),
        password: "secret".into(),
    }
}

#[tokio::test]
async fn an_admin_logs_in_for_a_user() {
    let session = connected(plain(), limits(), async |mut peer: Peer| {
        // Before and in the login whatever text, which async-imap cannot read.
        peer.say("* OK [ALERT] h\u{e9}llo\r\n".as_bytes()).await;
        peer.reply(
            "CAPABILITY",
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK\r\n",
        )
        .await;
        let tag = peer.command("AUTHENTICATE PLAIN").await;
        peer.say(b"+ who are you?\r\n").await;
        assert_eq!(peer.line().await, "Ym9iAGFkbWluAHNlY3JldA==");
        let done = format!("* X-ODD (((\r\n{tag} OK h\u{e9}\r\n");
        peer.say(done.as_bytes()).await;
        peer.reply("CAPABILITY", "* CAPABILITY IMAP4rev1 UIDPLUS\r\nTAG OK\r\n")
            .await;
        peer.reply("LOGOUT", "* BYE\r\nTAG OK\r\n").await;
    });
    let session = session.await.unwrap();
    assert!(session.has("uidplus") && !session.has("AUTH=PLAIN"));
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_refusal_carries_the_servers_words() {
    let refused = connected(plain(), limits(), async |mut peer: Peer| {
        peer.say(b"* OK hello\r\n").await;
        peer.reply("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK\r\n")
            .await;
        let tag = peer.command("AUTHENTICATE PLAIN").await;
        peer.say(b"+\r\n").await;
        peer.line().await;
        let no = format!("{tag} NO [AUTHENTICATIONFAILED] pas autoris\u{e9}\r\n");
        peer.say(no.as_bytes()).await;
    });
    let error = refused.await.err().unwrap();
    assert_eq!(
        error,
        Error::Login {
            text: "pas autoris\u{e9}".into(),
            code: Some(Code::AuthenticationFailed),
        }
    );
    assert!(!format!("{:?} {error}", plain()).contains("secret"));
}

#[tokio::test]
async fn a_refused_token_ends_in_its_refusal() {
    let login = Login::XOauth2 {
        user: "u".into(),
        token: "t".into(),
    };
    let refused = connected(login, limits(), async |mut peer: Peer| {
        peer.say(b"* OK hello\r\n").await;
        peer.reply("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK\r\n")
            .await;
        let tag = peer.command("AUTHENTICATE XOAUTH2").await;
        peer.say(b"+ \r\n").await;
        assert_eq!(peer.line().await, "dXNlcj11AWF1dGg9QmVhcmVyIHQBAQ==");
        peer.say(b"+ eyJzdGF0dXMiOiI0MDAifQ==\r\n").await;
        assert_eq!(peer.line().await, "");
        peer.say(format!("{tag} NO expired\r\n").as_bytes()).await;
    });
    let error = refused.await.err().unwrap();
    assert!(matches!(error, Error::Login { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_sends_one_away_says_why() {
    for (said, expected) in [
        (
            "* BYE too many connections\r\n",
            "greeting: BYE too many connections",
        ),
        ("", "greeting: connection lost"),
        ("220 mail ESMTP\r\n", "greeting: not IMAP"),
        (
            "* PREAUTH welcome\r\n",
            "login refused: it lets in whoever comes",
        ),
    ] {
        let refused = connected(plain(), limits(), async move |mut peer: Peer| {
            peer.say(said.as_bytes()).await;
            peer.hang_up().await;
        });
        let error = refused.await.err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn bytes_behind_the_login_are_not_lost() {
    let login = Login::Password {
        user: "u".into(),
        password: "p".into(),
    };
    let session = connected(login, limits(), async |mut peer: Peer| {
        peer.say(b"* OK hello\r\n").await;
        peer.reply("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK\r\n")
            .await;
        // In one segment with the reply: what the session must still see.
        let welcome = "TAG OK [CAPABILITY IMAP4rev1] in\r\n* OK [ALERT] read this\r\n";
        peer.reply("LOGIN \"u\" \"p\"", welcome).await;
        peer.answer_all().await;
    });
    let mut session = session.await.unwrap();
    session.noop().await.unwrap();
    assert_eq!(session.take_alerts(), ["read this"]);
}
