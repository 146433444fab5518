//! `relay move` between two real Dovecots, compared by an independent client: bytes, dates,
//! flags, keywords, folders and subscriptions.

mod support;

use relay::ledger::{AccountState, Moved};
use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
    time::Duration,
};
use support::{
    Random,
    migration::{DOT, QUOTA, SLASH, Scene, renumber, said},
    poll, temp,
};

#[test]
fn all_is_as_it_was_and_the_source_is_untouched() {
    for (source, target) in [(SLASH, DOT), (DOT, SLASH)] {
        let scene = Scene::new(source, target, &["bob"]);
        scene.source.fill("bob", 40, 600);
        let before = scene.source.dump("bob");
        let account = &scene.pass()[0];
        assert_eq!(account["copied"], 600, "{account}");
        scene.assert_equal("bob");
        assert_eq!(scene.source.dump("bob"), before);
        let account = &scene.pass()[0];
        let done = ["copied", "adopted", "flagged", "expunged"].map(|key| account[key].as_u64());
        assert_eq!(done, [Some(0); 4], "{account}");
        scene.source.add("bob", 3);
        assert_eq!(scene.pass()[0]["copied"], 3);
        scene.assert_equal("bob");
    }
}

/// What gates and the page read, with a mover or without.
#[test]
fn the_ledger_tells_how_each_account_stands() {
    let scene = Scene::new(SLASH, SLASH, &["bob", "eve"]);
    scene.source.fill("bob", 3, 40);
    let read = || Moved::read(&scene.directory.path().join("spool")).unwrap();
    assert_eq!(read(), None);
    scene.pass();
    let moved = read().unwrap();
    assert_eq!((moved.running, moved.passes), (false, 1));
    assert_eq!((moved.messages.done, moved.messages.total), (40, 40));
    assert_eq!(moved.bytes.done, moved.bytes.total);
    // Nothing was new for eve; nobody holds mail here, and the newest message is old.
    let states: Vec<_> = moved.accounts.iter().map(|one| one.state).collect();
    assert_eq!(states, [AccountState::Copied, AccountState::Converged]);
    assert_eq!(moved.converged_ms, None);
    scene.pass();
    let moved = read().unwrap();
    assert_eq!(moved.account("bob").unwrap().state, AccountState::Converged);
    assert!(moved.converged_ms.is_some(), "{:?}", moved.not_yet);
    scene.source.add("bob", 1);
    let output = scene.run(&["--once", "--only", "bob"]);
    assert_eq!(output.status.code(), Some(0));
    let moved = read().unwrap();
    let states: Vec<_> = moved.accounts.iter().map(|one| one.state).collect();
    assert_eq!(states, [AccountState::Copied, AccountState::Converged]);
    assert_eq!((moved.passes, moved.converged_ms), (3, None));
}

#[test]
fn an_administrator_logs_in_and_no_password_is_shown_or_kept() {
    let passwords = temp();
    let file = passwords.path().join("admin");
    fs::write(&file, "masterpw\n").unwrap();
    let login = format!(", admin_user = \"admin\", admin_password_file = {file:?}");
    let scene = Scene::with(SLASH, SLASH, &["bob", "eve"], "", &login);
    scene.source.fill("bob", 3, 20);
    scene.source.fill("eve", 2, 10);
    let preview = said(&scene.run(&["--dry-run"]), "preview");
    assert_eq!(preview[0]["messages"], 20);
    assert_eq!(
        scene.target.dump("bob")["INBOX"]["messages"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let output = scene.run(&["--once", "--only", "eve"]);
    assert_eq!(said(&output, "account").len(), 1);
    scene.assert_equal("eve");
    scene.pass();
    scene.assert_equal("bob");
    let state = scene.directory.path().join("spool/mover/db");
    for entry in fs::read_dir(state).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"masterpw"));
    }
    let text = [output.stdout, output.stderr].concat();
    assert!(!text.windows(8).any(|window| window == b"masterpw"));
}

/// Killed at random moments, it goes on, and each message is there exactly once.
#[test]
fn killed_at_any_time_each_message_arrives_once() {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    scene.source.fill("bob", 5, 1500);
    let mut random = Random::new(7);
    for _ in 0..12 {
        let mut child = (scene.command(&["--once"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is what is random here: nothing is waited for.
        // It may fall into the time in which the folder has to stand still, or behind it.
        std::thread::sleep(Duration::from_millis(20 + random.below(3_500)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    scene.pass();
    scene.assert_equal("bob");
    assert_eq!(scene.pass()[0]["copied"], 0);
}

/// Killed between any two calls that exactly-once rests on.
#[test]
fn killed_at_each_step_each_message_arrives_once() {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    scene.source.fill("bob", 4, 60);
    for point in [
        "move.intended",
        "move.appended",
        "move.settled",
        "move.passed",
    ] {
        scene.source.add("bob", 20);
        let output = scene
            .command(&["--once"])
            .env("RELAY_FAILPOINT", point)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{point}: {output:?}");
    }
    scene.pass();
    scene.assert_equal("bob");
    assert_eq!(scene.pass()[0]["copied"], 0);
}

#[test]
fn another_uidvalidity_sends_nothing_twice() {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    scene.source.add("bob", 150);
    scene.pass();
    for server in [&scene.source, &scene.target] {
        renumber(&server.maildir("bob"));
        let account = &scene.pass()[0];
        assert_eq!(
            (&account["copied"], &account["adopted"]),
            (&0.into(), &150.into())
        );
        assert_eq!(scene.pass()[0]["adopted"], 0);
        let messages = &scene.target.dump("bob")["INBOX"]["messages"];
        assert_eq!(messages.as_array().unwrap().len(), 150);
    }
}

#[test]
fn over_quota_stops_that_account_only() {
    let scene = Scene::with(SLASH, SLASH, &["big", "small"], QUOTA, "");
    scene.source.add("big", 300);
    scene.source.add("small", 50);
    let output = scene.run(&["--once"]);
    assert_eq!(output.status.code(), Some(75));
    let accounts = said(&output, "account");
    let stopped = accounts[0]["stopped"].as_str().unwrap();
    assert!(stopped.to_lowercase().contains("quota"), "{stopped}");
    assert_eq!(accounts[1]["copied"], 50);
    scene.assert_equal("small");

    // With room, the rest goes, and nothing that was there already.
    let config = scene.directory.path().join("target/dovecot.conf");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("messages=100"));
    fs::write(&config, text.replace("messages=100", "messages=1000")).unwrap();
    let mut reload = Command::new("doveadm");
    assert!(
        reload
            .arg("-c")
            .arg(&config)
            .arg("reload")
            .status()
            .unwrap()
            .success()
    );
    poll("the larger quota", || {
        (scene.run(&["--once"]).status.code() == Some(0)).then_some(())
    });
    scene.assert_equal("big");
    assert_eq!(scene.pass()[0]["copied"], 0);
}

/// A target that takes little is known before anything is sent to it.
#[test]
fn a_dry_run_tells_what_the_target_will_refuse_and_how_long_it_takes() {
    let more = "imap_capability = +APPENDLIMIT=5000";
    let scene = Scene::with(SLASH, SLASH, &["bob"], more, "");
    scene.source.fill("bob", 3, 24);
    let output = scene.run(&["--dry-run"]);
    let preview = &said(&output, "preview")[0];
    // Numbers 5 and 17 have a line of 5000 characters.
    let warnings = preview["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{preview}");
    let warning = warnings[0].as_str().unwrap();
    assert!(
        warning.starts_with("2 messages larger than the 5000 bytes"),
        "{warning}"
    );
    assert!(preview["takes_s"].is_u64(), "{preview}");
    assert!(preview["bytes"].as_u64().unwrap() > 10_000, "{preview}");
    let target = scene.target.dump("bob");
    assert_eq!(target["INBOX"]["messages"].as_array().unwrap().len(), 0);
    // And so it is.
    let output = scene.run(&["--once"]);
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(said(&output, "account")[0]["refused"], 2);
}

/// What the source expunges later stays, or goes as told, and never what others have put there.
#[test]
fn what_is_expunged_later_is_kept_or_mirrored() {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    let text = |name: &str| format!("Message-ID: <{name}@test>\r\n\r\n{name}\r\n");
    for name in ["kept", "mirrored", "stays"] {
        scene.source.put("bob", "INBOX", &text(name));
    }
    scene.target.put("bob", "INBOX", &text("foreign"));
    scene.pass();
    let there = || {
        let messages = scene.target.dump("bob")["INBOX"]["messages"].clone();
        messages.as_array().unwrap().len()
    };
    scene.source.remove("bob", "INBOX", "<kept@test>");
    let account = &scene.pass()[0];
    assert_eq!(
        (&account["expunged"], &account["removed"]),
        (&1.into(), &0.into())
    );
    assert_eq!(there(), 4);
    scene.configure("expunged = \"mirror\"");
    scene.source.remove("bob", "INBOX", "<mirrored@test>");
    let account = &scene.pass()[0];
    assert_eq!(
        (&account["expunged"], &account["removed"]),
        (&0.into(), &1.into())
    );
    assert_eq!(there(), 3);
    let account = &scene.pass()[0];
    assert_eq!(
        (&account["expunged"], &account["removed"]),
        (&0.into(), &0.into())
    );
}
