//! `relay verify` over two real Dovecots: all `=` after a whole move, and everything that is
//! then put wrong by hand is named.

mod support;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use support::{
    client::Client,
    peers::Peer,
    relay::{Relay, Settings, text},
    temp,
};
use tempfile::TempDir;

const BOB: &str = "bob@corp.example";

/// An old and a new Dovecot, and relay between them.
struct Scene {
    directory: TempDir,
    old: Peer,
    new: Peer,
    relay: Relay,
}

impl Scene {
    fn start(users: &[&str]) -> Self {
        let directory = temp();
        let path = directory.path();
        let old = Peer::dovecot(&path.join("old"));
        let new = Peer::dovecot(&path.join("new"));
        let settings = Settings {
            protocol: "lmtp",
            ..Settings::to(new.port("lmtp"))
        };
        let mut relay = Relay::configured(path, &settings);
        let mut accounts = "source_user,source_password,target_user,target_password\n".to_owned();
        for user in users {
            accounts += &format!("{user},pw,{user}@corp.example,pw\n");
        }
        fs::write(path.join("accounts.csv"), accounts).unwrap();
        relay.configure(&format!(
            "\n[mover]\naccounts = {:?}\n\
             source = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n\
             target = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n",
            path.join("accounts.csv"),
            old.port("imap"),
            new.port("imap"),
        ));
        relay.run();
        Self {
            directory,
            old,
            new,
            relay,
        }
    }

    fn send(&self, to: &str, message: &str) -> String {
        Client::deliver(
            self.relay.port(),
            "alice@example.org",
            &[to],
            message.as_bytes(),
        )
        .unwrap()
    }
}

fn verify(relay: &Relay, arguments: &[&str]) -> Found {
    let mut all = vec!["--json", "verify"];
    all.extend(arguments);
    Found::of(&relay.cli(&all))
}

/// What a verification said.
struct Found {
    code: Option<i32>,
    mailboxes: Vec<Value>,
    messages: Vec<Value>,
    totals: Value,
    errors: String,
}

impl Found {
    fn of(output: &Output) -> Self {
        let errors = text(&output.stderr);
        let lines = text(&output.stdout);
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let event = |name: &str| -> Vec<Value> {
            let some = lines.iter().filter(|line| line["event"] == name);
            some.cloned().collect()
        };
        Self {
            code: output.status.code(),
            mailboxes: event("mailbox"),
            messages: event("message"),
            totals: event("verified").pop().unwrap_or_default(),
            errors,
        }
    }

    /// `mark kind` of each message, with what it is called.
    fn named(&self) -> BTreeMap<String, String> {
        let named = self.messages.iter().map(|message| {
            let field = |name: &str| message[name].as_str().unwrap_or("");
            let id = field("message_id");
            let id = if id.is_empty() { field("queue_id") } else { id };
            (format!("{id} {}", field("mark")), field("kind").to_owned())
        });
        named.collect()
    }

    fn count(&self, name: &str) -> u64 {
        let count = self.totals[name].as_u64();
        count.unwrap_or_else(|| panic!("{name}: {} {}", self.totals, self.errors))
    }

    fn assert_all_there(&self, messages: u64) {
        assert_eq!(self.code, Some(0), "{:?} {}", self.messages, self.errors);
        assert_eq!(self.count("there"), messages, "{}", self.totals);
        assert!(self.messages.is_empty(), "{:?}", self.messages);
    }
}

fn script(server: &Peer, what: &str, user: &str, arguments: &[&str], input: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
    let mut child = Command::new("python3")
        .arg(script)
        .args([what, &server.port("imap").to_string(), user])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success(), "{what} {arguments:?}");
}

fn message(name: &str) -> String {
    format!(
        "Message-ID: <{name}@test>\r\nSubject: about {name}\r\nFrom: alice@example.org\r\n\r\n\
         This is {name}.\r\n"
    )
}

/// Changes a letter of a message on the disk of a server, as a fault there would.
fn rot(server: &Peer, name: &str) {
    let mut changed = 0;
    let mut directories: Vec<PathBuf> = vec![server.mail()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let Ok(content) = fs::read_to_string(&path) else {
                continue;
            };
            if content.contains(&format!("This is {name}.")) {
                let other =
                    content.replace(&format!("This is {name}."), &format!("Th1s is {name}."));
                fs::write(&path, other).unwrap();
                changed += 1;
            }
        }
    }
    assert_eq!(changed, 1, "{name}");
}

#[test]
fn after_a_whole_move_everything_is_there_once() {
    let scene = Scene::start(&["bob", "eve"]);
    for user in ["bob", "eve"] {
        script(&scene.old, "fill", user, &["/", "", "12", "150"], "");
    }
    scene.relay.ok(&["move", "--once"]);
    verify(&scene.relay, &[]).assert_all_there(300);
    for number in 0..20 {
        let to = ["Bob@corp.example", "eve+news@corp.example"][number % 2];
        scene.send(to, &message(&format!("sent-{number}")));
    }
    // Bytes that a server stores in its own manner, and none of the sender's last line end.
    scene.send(BOB, "Subject: odd\r\n\r\na\rb\r\n");
    let held = verify(&scene.relay, &[]);
    held.assert_all_there(300);
    assert_eq!(held.count("waiting"), 21);
    scene.relay.ok(&["release", "corp.example", "--yes"]);
    scene.relay.await_forward();
    for arguments in [&[][..], &["--source"], &["--no-source"], &["corp.example"]] {
        verify(&scene.relay, arguments).assert_all_there(321);
    }
    let bob = verify(&scene.relay, &["--only", "bob"]);
    assert_eq!(bob.mailboxes.len(), 1);
    bob.assert_all_there(161);
    // Without the old server, and without a daemon.
    drop(scene.old);
    let mut relay = scene.relay;
    relay.stop();
    let found = verify(&relay, &[]);
    found.assert_all_there(321);
    let remarks = found.mailboxes[0]["remarks"].as_array().unwrap();
    assert!(
        remarks[0].as_str().unwrap().contains("cannot be asked"),
        "{remarks:?}"
    );
    let kept = fs::read(scene.directory.path().join("spool/verify.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept["totals"]["there"], 321);
}

/// Each fault with its name, by `verify` and by `report`.
#[test]
fn what_is_put_wrong_by_hand_is_named() {
    let scene = Scene::start(&["bob"]);
    let copied = ["kept", "lost", "rotten", "replaced", "doubled", "late"];
    for name in &copied[..5] {
        script(&scene.old, "put", "bob", &["INBOX"], &message(name));
    }
    // The sender reached both servers: the old one put a trace field of its own in front.
    let split = format!("Received: by old.example; today\r\n{}", message("split"));
    script(&scene.old, "put", "bob", &["INBOX"], &split);
    let tail = format!("Received: by old.example; today\r\n{}", message("tail"));
    script(&scene.old, "put", "bob", &["INBOX"], &tail);
    scene.relay.ok(&["move", "--once"]);
    script(&scene.old, "put", "bob", &["INBOX"], &message("late"));
    let mut ids = BTreeMap::new();
    for name in ["r-kept", "r-lost", "r-rotten", "r-doubled", "split"] {
        ids.insert(name, scene.send(BOB, &message(name)));
    }
    let alias = scene.send("all@corp.example", &message("alias"));
    scene.relay.ok(&["release", "corp.example", "--yes"]);
    scene.relay.await_forward();
    scene.relay.ok(&["hold", "corp.example"]);
    let tail_id = scene.send(BOB, &message("tail"));

    for name in ["lost", "replaced", "r-lost"] {
        script(
            &scene.new,
            "remove",
            BOB,
            &["INBOX", &format!("<{name}@test>")],
            "",
        );
    }
    let replaced = message("replaced").replace("This is", "This was");
    script(&scene.new, "put", BOB, &["INBOX"], &replaced);
    script(&scene.new, "put", BOB, &["INBOX"], &message("doubled"));
    script(&scene.new, "put", BOB, &["INBOX"], &message("stranger"));
    script(&scene.new, "put", BOB, &["INBOX"], &message("r-doubled"));
    rot(&scene.new, "rotten");
    rot(&scene.new, "r-rotten");

    let found = verify(&scene.relay, &[]);
    assert_eq!(found.code, Some(65), "{}", found.errors);
    let expected = [
        ("<lost@test> -", "missing_copy"),
        ("<late@test> -", "missing_copy"),
        ("<r-lost@test> -", "missing_delivery"),
        ("<rotten@test> *", "altered"),
        ("<replaced@test> *", "altered"),
        ("<r-rotten@test> *", "altered"),
        ("<doubled@test> +", "doubled"),
        ("<r-doubled@test> +", "doubled"),
        ("<stranger@test> +", "unknown"),
        ("<split@test> +", "split"),
        ("<tail@test> +", "split"),
        (&*format!("{alias} !"), "unreadable"),
    ];
    let expected: BTreeMap<String, String> = expected
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
        .collect();
    assert_eq!(found.named(), expected, "{:#?}", found.messages);
    // kept, doubled, split, tail; r-kept, r-doubled, split.
    assert_eq!(found.count("there"), 7);
    assert_eq!(found.count("waiting"), 1);
    let by_id = |id: &str| {
        let mut messages = found.messages.iter();
        messages.find(|one| one["queue_id"] == id).unwrap().clone()
    };
    assert_eq!(by_id(&ids["r-lost"])["subject"], "about r-lost");
    assert!(
        by_id(&tail_id)["reason"]
            .as_str()
            .unwrap()
            .contains("is held here")
    );
    let human = text(&scene.relay.cli(&["verify"]).stdout);
    assert!(human.contains("NOT all there, once"), "{human}");
    let report = text(&scene.relay.ok(&["report"]));
    if let Ok(to) = std::env::var("RELAY_SCREENSHOTS") {
        let to = Path::new(&to).join("faults.html");
        scene.relay.ok(&["report", "--to", to.to_str().unwrap()]);
    }
    for name in expected.keys() {
        let name = name.split(' ').next().unwrap();
        assert!(human.contains(name), "{name}: {human}");
        assert!(report.contains(name), "{name}: {report}");
    }
}

#[test]
fn one_that_cannot_be_read_is_not_all_there() {
    let scene = Scene::start(&["bob"]);
    script(&scene.old, "put", "bob", &["INBOX"], &message("one"));
    scene.relay.ok(&["move", "--once"]);
    drop(scene.new);
    let found = verify(&scene.relay, &["--no-source"]);
    assert_eq!(found.code, Some(75), "{}", found.errors);
    assert_eq!(found.count("unreadable"), 1);
}
