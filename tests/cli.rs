//! The command line, as a person and a script meet it.

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use support::{
    client::Client,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

fn send(relay: &Relay, to: &str) -> String {
    let message = format!("Subject: for {to}\r\n\r\ntext\r\n");
    Client::deliver(relay.port(), "alice@example.org", &[to], message.as_bytes()).unwrap()
}

#[test]
fn usage_errors_end_with_64() {
    let directory = temp();
    let relay = Relay::configured(directory.path(), &Settings::default());
    for wrong in [
        &["frobnicate"][..],
        &["list", "--no-such"],
        &["release"],
        &["show"],
    ] {
        let output = relay.cli(wrong);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{wrong:?}: {}",
            text(&output.stderr)
        );
    }
    for right in [&["--help"][..], &["--version"], &["release", "--help"]] {
        assert!(!relay.ok(right).is_empty());
    }
}

#[test]
fn without_a_daemon_it_says_so() {
    let directory = temp();
    let mut relay = Relay::configured(directory.path(), &Settings::default());
    let output = relay.cli(&["status"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{error}");
    assert!(
        error.contains("control.sock") && error.contains("relay serve"),
        "{error}"
    );

    // The spool itself can be read.
    relay.run();
    let id = send(&relay, "bob@corp.example");
    relay.stop();
    assert_eq!(relay.list()[0]["queue_id"], *id);
    assert!(text(&relay.ok(&["show", &id])).contains("bob@corp.example"));
    relay.assert_clean();
}

#[test]
fn the_control_socket_is_private() {
    let directory = temp();
    let _relay = Relay::start(directory.path(), &Settings::default());
    let socket = fs::metadata(directory.path().join("control.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}

#[test]
fn list_looks_like_postqueue() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    assert_eq!(
        text(&relay.ok(&["list", "--format", "mailq"])),
        "Mail queue is empty\n"
    );
    let first = send(&relay, "bob@corp.example");
    let second = send(&relay, "eve@corp.example");
    let queue = text(&relay.ok(&["list", "--format", "mailq"]));
    let lines: Vec<&str> = queue.lines().collect();
    assert!(
        lines[0].starts_with("-") && lines[0].contains("Queue ID-"),
        "{queue}"
    );
    assert!(lines[1].starts_with(&format!("{first}! ")), "{queue}");
    assert!(lines[1].ends_with(" alice@example.org"), "{queue}");
    assert_eq!(lines[2].trim(), "bob@corp.example", "{queue}");
    assert!(
        lines.last().unwrap().ends_with(" in 2 Requests."),
        "{queue}"
    );

    let listed = relay.list();
    assert_eq!(listed[0]["queue_id"], *first);
    assert_eq!(listed[1]["queue_id"], *second);
    for (name, value) in [
        ("queue_name", "hold"),
        ("sender", "alice@example.org"),
        ("domain", DOMAIN),
    ] {
        assert_eq!(listed[0][name], value);
    }
    let one = relay.ok(&[
        "list",
        "--format",
        "jsonl",
        "--recipient",
        "eve@corp.example",
    ]);
    assert!(text(&one).contains(&second) && !text(&one).contains(&first));
    let after = relay.ok(&["list", "--format", "jsonl", "--after", &first]);
    assert!(text(&after).contains(&second) && !text(&after).contains(&first));
    let limited = relay.ok(&["list", "--format", "jsonl", "--limit", "1"]);
    assert!(!text(&limited).contains(&second) && text(&limited).contains(&first));
}

#[test]
fn phases_and_pauses_survive_a_restart() {
    let directory = temp();
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let peer = Scripted::new(move |ask| match ask {
        Ask::Rcpt(_) if !opened.load(Ordering::SeqCst) => Act::Say("450 4.2.1 Not yet"),
        _ => Act::Go,
    });
    let mut relay = Relay::start(directory.path(), &Settings::to(peer.port));
    send(&relay, "bob@corp.example");
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    relay.ok(&["pause", DOMAIN]);
    relay.stop();
    open.store(true, Ordering::SeqCst);
    relay.run();
    let domain = relay.domain(DOMAIN);
    assert_eq!(domain["phase"], "release", "{domain}");
    assert!(domain["paused"].is_string(), "{domain}");
    assert_eq!(relay.count("queued") + relay.count("deferred"), 1);
    assert_eq!(peer.arrivals().len(), 0, "paused");

    relay.ok(&["resume", DOMAIN]);
    relay.await_forward();
    relay.kill();
    relay.run();
    assert_eq!(relay.domain(DOMAIN)["phase"], "forward");
    // In forward new mail goes on at once, and is spooled first.
    send(&relay, "eve@corp.example");
    peer.await_arrivals("both", |arrivals| arrivals.len() == 2);
    poll("its end", || (relay.count("delivered") == 2).then_some(()));

    relay.ok(&["hold", DOMAIN]);
    send(&relay, "dan@corp.example");
    assert_eq!(relay.count("held"), 1);
    assert_eq!(peer.arrivals().len(), 2);
}

#[test]
fn hold_stops_a_release_and_keeps_the_rest() {
    let directory = temp();
    let peer = Scripted::new(|ask| match ask {
        Ask::Dot(..) => Act::Wait(Duration::from_millis(50)),
        _ => Act::Go,
    });
    let settings = Settings {
        connections: 1,
        ..Settings::to(peer.port)
    };
    let relay = Relay::start(directory.path(), &settings);
    for _ in 0..50 {
        send(&relay, "bob@corp.example");
    }
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    peer.await_arrivals("some", |arrivals| arrivals.len() >= 5);
    relay.ok(&["hold", DOMAIN]);
    // What was under way comes to its end.
    poll("rest", || {
        let domain = relay.domain(DOMAIN);
        let done = domain["states"]["delivered"]["count"].as_u64().unwrap();
        (done == peer.arrivals().len() as u64).then_some(())
    });
    let delivered = relay.count("delivered");
    assert!((5..50).contains(&delivered), "{delivered}");
    assert_eq!(relay.count("held"), 50 - delivered);

    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!(relay.count("delivered"), 50);
    assert_eq!(peer.arrivals().len(), 50, "nothing twice");
}

#[test]
fn a_refusal_parks_and_a_person_decides() {
    let directory = temp();
    let peer = Scripted::new(|ask| match ask {
        Ask::Rcpt("eve@corp.example") => Act::Say("550 5.1.1 No such user"),
        _ => Act::Go,
    });
    let relay = Relay::start(directory.path(), &Settings::to(peer.port));
    let ids: Vec<String> = ["bob", "eve", "eve", "dan"]
        .iter()
        .map(|user| send(&relay, &format!("{user}@corp.example")))
        .collect();
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!((relay.count("delivered"), relay.count("parked")), (2, 2));
    let shown = relay.json(&["show", &ids[1], "--events"]);
    assert!(
        shown.to_string().contains("550 5.1.1 No such user"),
        "{shown}"
    );

    relay.ok(&["drop", &ids[1], "--yes"]);
    assert_eq!((relay.count("dropped"), relay.count("parked")), (1, 1));
    // Delivered is delivered.
    let output = relay.cli(&["drop", &ids[0], "--yes"]);
    assert!(!output.status.success());
    // Tried again, refused again, parked again: never lost.
    relay.ok(&["retry", &ids[2]]);
    poll("parked again", || {
        let events = relay.events(&ids[2]);
        let parked = events
            .iter()
            .filter(|event| event["to"] == "parked")
            .count();
        (parked == 2).then_some(())
    });
    relay.assert_clean();
}

#[test]
fn release_to_another_place_and_back_to_hold() {
    let directory = temp();
    let peer = Scripted::healthy();
    // The configured destination answers nothing.
    let relay = Relay::start(directory.path(), &Settings::default());
    send(&relay, "bob@corp.example");
    let to = format!("127.0.0.1:{}", peer.port);
    let said = text(&relay.ok(&["release", DOMAIN, "--to", &to, "--then-hold", "--yes"]));
    assert!(said.contains("hold"), "{said}");
    assert_eq!(peer.stored().len(), 1);
    assert_eq!(relay.domain(DOMAIN)["phase"], "hold");
}

#[test]
fn a_release_says_that_it_went_to_forward() {
    let directory = temp();
    let peer = Scripted::healthy();
    let relay = Relay::start(directory.path(), &Settings::to(peer.port));
    send(&relay, "bob@corp.example");
    let said = text(&relay.ok(&["release", DOMAIN, "--yes"]));
    assert!(said.contains("forward"), "{said}");
}

#[test]
fn export_in_each_format() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let mut client = Client::hello(relay.port()).unwrap();
    let message = b"Subject: x\r\n\r\nFrom here\r\n.\r\n";
    let id = client
        .send("alice@example.org", &["bob@corp.example"], message)
        .unwrap();
    for format in ["eml", "mbox", "maildir"] {
        let to = directory.path().join(format);
        relay.ok(&["export", "--format", format, "--to", to.to_str().unwrap()]);
        let mut files = Vec::new();
        collect(&to, &mut files);
        // The envelopes, which no such format has a place for, are beside the mail.
        files.retain(|file| !file.ends_with("envelopes.jsonl"));
        assert_eq!(files.len(), 1, "{format}: {files:?}");
        let written = fs::read(&files[0]).unwrap();
        match format {
            "mbox" => assert!(text(&written).starts_with("From "), "{}", text(&written)),
            _ => assert_eq!(text(&written), text(message), "{format}"),
        }
    }
    assert_eq!(relay.ok(&["show", &id, "--raw"]), message);
}

fn collect(directory: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

#[test]
fn logs_in_postfix_format() {
    let directory = temp();
    let peer = Scripted::healthy();
    let relay = Relay::start(directory.path(), &Settings::to(peer.port));
    let id = send(&relay, "bob@corp.example");
    relay.ok(&["release", DOMAIN, "--yes"]);
    for part in [
        format!(
            "postfix-relay/smtpd[{}]: {id}: client=unknown[127.0.0.1]",
            relay.pid()
        ),
        format!(
            "postfix-relay/qmgr[{}]: {id}: from=<alice@example.org>, size=",
            relay.pid()
        ),
        format!(
            "postfix-relay/smtp[{}]: {id}: to=<bob@corp.example>, relay=",
            relay.pid()
        ),
        "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as SCRIPTED1)".to_owned(),
        format!("postfix-relay/qmgr[{}]: {id}: removed", relay.pid()),
    ] {
        poll(&part, || relay.log().contains(&part).then_some(()));
    }
}
