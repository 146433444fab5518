//! `relay move` between two real Dovecots, compared by an independent client: bytes, dates,
//! flags, keywords, folders and subscriptions.

mod support;

use relay::ledger::{AccountState, Moved};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{Random, peers::Peer, poll, temp};
use tempfile::TempDir;

/// Between the parts of names, and what stands before them.
#[derive(Clone, Copy)]
struct Naming {
    separator: &'static str,
    prefix: &'static str,
}

const SLASH: Naming = Naming {
    separator: "/",
    prefix: "",
};
const DOT: Naming = Naming {
    separator: ".",
    prefix: "INBOX.",
};

struct Server {
    peer: Peer,
    naming: Naming,
}

impl Server {
    fn start(directory: &Path, naming: Naming, more: &str) -> Self {
        let mut options = vec!["--separator", naming.separator, "--more", more];
        let prefix = format!("--prefix={}", naming.prefix);
        options.push(&prefix);
        Self {
            peer: Peer::dovecot_with(directory, &options),
            naming,
        }
    }

    fn script(&self, what: &str, user: &str, arguments: &[&str]) -> Vec<u8> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
        let port = self.peer.port("imap").to_string();
        let output = Command::new("python3")
            .arg(script)
            .args([what, &port, user])
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {errors}");
        output.stdout
    }

    fn fill(&self, user: &str, folders: u32, messages: u32) {
        let Naming { separator, prefix } = self.naming;
        let (folders, messages) = (folders.to_string(), messages.to_string());
        self.script("fill", user, &[separator, prefix, &folders, &messages]);
    }

    fn add(&self, user: &str, messages: u32) {
        self.script("add", user, &[&messages.to_string()]);
    }

    /// Everything that the user has, by folder.
    fn dump(&self, user: &str) -> Value {
        let Naming { separator, prefix } = self.naming;
        let text = self.script("dump", user, &[separator, prefix]);
        serde_json::from_slice(&text).unwrap()
    }
}

struct Scene {
    source: Server,
    target: Server,
    config: PathBuf,
    directory: TempDir,
}

impl Scene {
    fn new(source: Naming, target: Naming, users: &[&str]) -> Self {
        Self::with(source, target, users, "", "")
    }

    /// With lines for the target's configuration and for what tells of the target.
    fn with(source: Naming, target: Naming, users: &[&str], more: &str, login: &str) -> Self {
        let directory = temp();
        let path = directory.path();
        let source = Server::start(&path.join("source"), source, "");
        let target = Server::start(&path.join("target"), target, more);
        let text = format!(
            "hostname = \"hold.example.net\"\n[spool]\npath = {:?}\n[control]\nsocket = {:?}\n\
             [[domain]]\nname = \"corp.example\"\ndestination = {{ host = \"127.0.0.1\" }}\n\
             [mover]\naccounts = {:?}\n\
             source = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" {login} }}\n\
             target = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" {login} }}\n",
            path.join("spool"),
            path.join("control.sock"),
            path.join("accounts.csv"),
            source.peer.port("imap"),
            target.peer.port("imap"),
        );
        let config = path.join("relay.toml");
        fs::write(&config, text).unwrap();
        let password = if login.is_empty() { "pw" } else { "" };
        let mut accounts = "source_user,source_password,target_user,target_password\n".to_owned();
        for user in users {
            accounts += &format!("{user},{password},{user},{password}\n");
        }
        fs::write(path.join("accounts.csv"), accounts).unwrap();
        Self {
            source,
            target,
            config,
            directory,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command
            .arg("--config")
            .arg(&self.config)
            .args(["--json", "move"]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A pass that must succeed: what it said of the accounts.
    fn pass(&self) -> Vec<Value> {
        let output = self.run(&["--once"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        said(&output, "account")
    }

    fn assert_equal(&self, user: &str) {
        let (source, target) = (self.source.dump(user), self.target.dump(user));
        let (source, target) = (source.as_object().unwrap(), target.as_object().unwrap());
        let names = |folders: &serde_json::Map<String, Value>| -> Vec<String> {
            folders.keys().cloned().collect()
        };
        assert_eq!(names(source), names(target));
        for (name, folder) in source {
            assert_same_messages(name, folder, &target[name]);
            assert_eq!(folder, &target[name], "{name}");
        }
    }
}

/// Names what is missing, doubled or altered, which whole folders side by side do not show.
fn assert_same_messages(folder: &str, source: &Value, target: &Value) {
    let count = |folder: &Value| {
        let mut counts = BTreeMap::<String, i64>::new();
        for message in folder["messages"].as_array().unwrap() {
            *counts.entry(message.to_string()).or_default() += 1;
        }
        counts
    };
    let (source, target) = (count(source), count(target));
    let both: BTreeSet<_> = source.keys().chain(target.keys()).collect();
    let wrong: Vec<_> = both
        .into_iter()
        .map(|message| {
            let there = |counts: &BTreeMap<String, i64>| counts.get(message).copied().unwrap_or(0);
            (there(&source), there(&target), message)
        })
        .filter(|(source, target, _)| source != target)
        .collect();
    assert!(
        wrong.is_empty(),
        "{folder}: (source, target, message) {wrong:#?}"
    );
}

/// The events of this kind.
fn said(output: &Output, event: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

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

/// Without its own files Dovecot numbers a folder anew, under another UIDVALIDITY: the time in
/// seconds, so that the second of the old one must be over.
fn renumber(server: &Server, user: &str) {
    let maildir = server.peer.mail().join(user).join("Maildir");
    let list = fs::read_to_string(maildir.join("dovecot-uidlist")).unwrap();
    let old = list
        .split_whitespace()
        .find_map(|word| word.strip_prefix('V'));
    let old: u64 = old.unwrap().parse().unwrap();
    poll("the next second", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (now.as_secs() > old).then_some(())
    });
    for entry in fs::read_dir(&maildir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("dovecot") {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn another_uidvalidity_sends_nothing_twice() {
    let scene = Scene::new(SLASH, SLASH, &["bob"]);
    scene.source.add("bob", 150);
    scene.pass();
    for server in [&scene.source, &scene.target] {
        renumber(server, "bob");
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
    let more = "mail_plugins = quota\\nprotocol imap {\\nmail_plugins = quota imap_quota\\n}\\n\
                plugin {\\nquota = maildir:User quota\\nquota_rule = *:messages=100\\n}";
    let scene = Scene::with(SLASH, SLASH, &["big", "small"], more, "");
    scene.source.add("big", 300);
    scene.source.add("small", 50);
    let output = scene.run(&["--once"]);
    assert_eq!(output.status.code(), Some(75));
    let accounts = said(&output, "account");
    let stopped = accounts[0]["stopped"].as_str().unwrap();
    assert!(stopped.to_lowercase().contains("quota"), "{stopped}");
    assert_eq!(accounts[1]["copied"], 50);
    scene.assert_equal("small");
}
