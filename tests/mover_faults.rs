//! `relay move` while connections tear, replies are lost and servers say no, between two real
//! Dovecots with a man in the middle: each message is there exactly once all the same.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use support::{
    between::{Deed, From},
    migration::{QUOTA, SLASH, Scene, Server, assert_same_messages, said},
};

const BODIES: &str = "BODY.PEEK[])";

fn scene(messages: u32) -> Scene {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    scene.source.fill("bob", 4, messages);
    scene
}

/// One run gets over it by itself, and another one finds nothing to do.
fn assert_got_over(scene: &Scene) {
    let before = scene.source.dump("bob");
    scene.pass();
    scene.assert_equal("bob");
    assert_eq!(scene.source.dump("bob"), before);
    let account = &scene.pass()[0];
    assert_eq!(
        [&account["copied"], &account["adopted"]],
        [0, 0],
        "{account}"
    );
    scene.assert_equal("bob");
}

/// A message of the source on its way.
fn is_body(from: From, line: &str) -> bool {
    from == From::Server && line.contains(" FETCH (") && line.contains("BODY[] {")
}

/// A message on its way to the target: its command, or where it goes on in one.
fn is_append(from: From, line: &str) -> bool {
    from == From::Client && line.ends_with("+}") && line.contains("\" {")
}

/// Does it at these occurrences only, counted from 0 over all connections.
fn at(
    places: &'static [u32],
    is_it: fn(From, &str) -> bool,
    deed: Deed,
) -> impl FnMut(From, &str) -> Deed + Send + 'static {
    let mut seen = 0;
    move |from, line| {
        if !is_it(from, line) {
            return Deed::Pass;
        }
        seen += 1;
        match places.contains(&(seen - 1)) {
            true => deed.clone(),
            false => Deed::Pass,
        }
    }
}

#[test]
fn torn_literals() {
    let scene = scene(300);
    scene.between(&scene.source, at(&[0, 40, 41, 150], is_body, Deed::Torn));
    scene.between(&scene.target, at(&[1, 60, 200], is_append, Deed::Torn));
    assert_got_over(&scene);
}

#[test]
fn byes() {
    let scene = scene(300);
    let bye = || Deed::End("* BYE [UNAVAILABLE] shutting down\r\n".into());
    scene.between(&scene.source, at(&[3, 70], is_body, bye()));
    let is_reply = |from, line: &str| from == From::Server && line.contains("APPENDUID");
    scene.between(&scene.target, at(&[0, 3], is_reply, bye()));
    assert_got_over(&scene);
}

/// The target has the messages, and its OK does not arrive; or only a part of it does.
#[test]
fn lost_replies() {
    let scene = scene(300);
    let is_reply = |from, line: &str| from == From::Server && line.contains("APPENDUID");
    scene.between(
        &scene.target,
        at(&[0, 2, 4], is_reply, Deed::End(String::new())),
    );
    assert_got_over(&scene);
}

/// The same at a server that tells no UIDs: they are looked for by their bytes.
#[test]
fn lost_replies_without_uidplus() {
    let scene = scene(300);
    let mut replies = 0;
    scene.between(&scene.target, move |from, line| {
        if from == From::Client {
            return Deed::Pass;
        }
        if let Some((head, rest)) = line.split_once("[APPENDUID ") {
            replies += 1;
            if replies == 2 || replies == 4 {
                return Deed::End(head.into());
            }
            let (_, rest) = rest.split_once("] ").unwrap();
            return Deed::Instead(format!("{head}{rest}"));
        }
        Deed::Instead(line.replace(" UIDPLUS", ""))
    });
    assert_got_over(&scene);
}

/// After half of the messages of a FETCH the source says NO.
#[test]
fn a_no_in_the_middle_of_a_fetch() {
    let scene = scene(300);
    scene.configure("connections = 1");
    let (mut times, mut refused) = (0, None);
    scene.between(&scene.source, move |from, line| {
        let (tag, rest) = line.split_once(' ').unwrap_or_default();
        if from == From::Client && rest.contains(BODIES) && rest.contains(':') {
            times += 1;
            if times == 1 || times == 3 {
                refused = Some(tag.to_owned());
                let set = rest.split(' ').nth(2).unwrap();
                let first = set.split(':').next().unwrap();
                let few = format!("{first}:{}", first.parse::<u32>().unwrap() + 5);
                return Deed::Instead(line.replacen(set, &few, 1));
            }
        }
        if from == From::Server && refused.as_deref() == Some(tag) {
            refused = None;
            return Deed::Instead(format!("{tag} NO [SERVERBUG] a message cannot be read"));
        }
        Deed::Pass
    });
    assert_got_over(&scene);
}

/// The source says OK and gives only some of the messages that it was asked for.
#[test]
fn an_ok_that_is_short() {
    let scene = scene(300);
    let mut times = 0;
    scene.between(&scene.source, move |from, line| {
        if from == From::Client && line.contains(BODIES) && line.contains(':') {
            times += 1;
            if times == 1 || times == 3 {
                let set = line.split(' ').nth(3).unwrap();
                let first = set.split(':').next().unwrap();
                return Deed::Instead(line.replacen(set, first, 1));
            }
        }
        Deed::Pass
    });
    assert_got_over(&scene);
}

/// A message that the source has and cannot give is named; the others go.
#[test]
fn a_message_that_cannot_be_read() {
    let scene = scene(0);
    scene.source.add("bob", 40);
    let repaired: Arc<Mutex<bool>> = Arc::default();
    let is_repaired = Arc::clone(&repaired);
    scene.between(&scene.source, move |from, line| {
        let has_it = line.contains(" 1:40 (") || line.contains(" 7 (");
        if from == From::Server || !line.contains(BODIES) || !has_it {
            return Deed::Pass;
        }
        match *is_repaired.lock().unwrap() {
            true => Deed::Pass,
            false => {
                let (tag, _) = line.split_once(' ').unwrap();
                Deed::Answer(format!("{tag} NO [SERVERBUG] Internal error"))
            }
        }
    });
    for copied in [39, 0] {
        let output = scene.run(&["--once"]);
        let account = &said(&output, "account")[0];
        assert_eq!(
            (&account["copied"], &account["unread"]),
            (&copied.into(), &1.into())
        );
        let message = &said(&output, "message")[0];
        assert_eq!(
            (&message["uid"], &message["kind"]),
            (&7.into(), &"unread".into())
        );
        assert!(message["why"].as_str().unwrap().contains("Internal error"));
        // The pass that meets with it is not a good one; later ones may be, with the message
        // named.
        let code = if copied > 0 { 75 } else { 65 };
        assert_eq!(output.status.code(), Some(code));
    }
    *repaired.lock().unwrap() = true;
    let account = &scene.pass()[0];
    assert_eq!(
        (&account["copied"], &account["unread"]),
        (&1.into(), &0.into())
    );
    // Only later than the others.
    let [source, target] = [&scene.source, &scene.target].map(|server| server.dump("bob"));
    assert_same_messages("INBOX", &source["INBOX"], &target["INBOX"]);
}

/// Another client removes messages of the folder while it is read.
#[test]
fn an_expunge_under_way() {
    let scene = scene(0);
    scene.source.add("bob", 120);
    let text = |number: u32| format!("Message-ID: <gone{number}@test>\r\n\r\nx\r\n");
    for number in 0..3 {
        scene.source.put("bob", "INBOX", &text(number));
    }
    scene.source.add("bob", 120);
    let port = scene.source.peer.port("imap");
    let mut done = false;
    scene.between(&scene.source, move |from, line| {
        if from == From::Client && line.contains(BODIES) && !done {
            done = true;
            for number in 0..3 {
                let id = format!("<gone{number}@test>");
                Server::script_at(port, "remove", "bob", &["INBOX", &id]);
            }
        }
        Deed::Pass
    });
    scene.pass();
    // Read before, or gone: the copies have no more than the source had.
    scene.pass();
    scene.assert_equal("bob");
    assert_eq!(scene.pass()[0]["copied"], 0);
}

/// The source has numbered a folder anew between its STATUS and its EXAMINE.
#[test]
fn another_uidvalidity_under_way() {
    let scene = scene(0);
    scene.source.add("bob", 50);
    scene.pass();
    scene.source.add("bob", 50);
    let mut times = 0;
    scene.between(&scene.source, move |from, line| {
        if from == From::Server && line.contains("OK [UIDVALIDITY ") {
            times += 1;
            if times == 1 {
                return Deed::Instead("* OK [UIDVALIDITY 7] UIDs valid".into());
            }
        }
        Deed::Pass
    });
    assert_got_over(&scene);
}

/// Exchange names the time; nothing is asked of it before that is over, not even whether
/// single messages can be read.
#[test]
fn a_source_that_asks_to_be_left_alone_is() {
    const ALONE: Duration = Duration::from_millis(2500);
    let scene = scene(40);
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times = Arc::clone(&asked);
    scene.between(&scene.source, move |from, line| {
        if from == From::Server || !line.contains("UID ") {
            return Deed::Pass;
        }
        let mut asked = times.lock().unwrap();
        let is_first_fetch = asked.is_empty() && line.contains(BODIES);
        if !is_first_fetch && asked.is_empty() {
            return Deed::Pass;
        }
        asked.push(Instant::now());
        if !is_first_fetch {
            return Deed::Pass;
        }
        let (tag, _) = line.split_once(' ').unwrap();
        let wait = ALONE.as_millis();
        Deed::Answer(format!(
            "{tag} NO Request is throttled. Suggested Backoff Time: {wait} milliseconds"
        ))
    });
    scene.configure("connections = 1");
    assert_got_over(&scene);
    let asked = asked.lock().unwrap();
    assert!(asked[1] - asked[0] >= ALONE, "{:?}", asked[1] - asked[0]);
}

/// Not every server says OVERQUOTA: Zimbra says nothing, Courier ALERT. The account stops all
/// the same, and no message is taken for one that the target refuses.
#[test]
fn over_quota_in_other_words() {
    for words in ["APPEND failed", "[ALERT] You exceeded your mail quota."] {
        let scene = Scene::with(SLASH, SLASH, &["bob"], QUOTA, "");
        scene.source.add("bob", 150);
        scene.between(&scene.target, move |from, line| {
            match (from, line.split_once(' ')) {
                (From::Server, Some((tag, rest))) if rest.starts_with("NO [OVERQUOTA]") => {
                    Deed::Instead(format!("{tag} NO {words}"))
                }
                _ => Deed::Pass,
            }
        });
        let output = scene.run(&["--once"]);
        let account = &said(&output, "account")[0];
        assert_eq!(output.status.code(), Some(75), "{account}");
        let stopped = account["stopped"].as_str().unwrap_or_default();
        assert!(stopped.starts_with("over quota"), "{account}");
        assert_eq!(account["refused"], 0, "{account}");
    }
}
