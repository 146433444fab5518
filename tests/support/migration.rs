//! `relay move` between two real Dovecots: the scene, and comparing both sides by an independent
//! client.

use super::{
    between::{Between, Deed, From},
    peers::Peer,
    poll, temp,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// Between the parts of names, and what stands before them.
#[derive(Clone, Copy)]
pub struct Naming {
    pub separator: &'static str,
    pub prefix: &'static str,
}

pub const SLASH: Naming = Naming {
    separator: "/",
    prefix: "",
};
pub const DOT: Naming = Naming {
    separator: ".",
    prefix: "INBOX.",
};

/// Lines for a Dovecot that takes 100 messages of a user.
pub const QUOTA: &str = "mail_plugins = quota\\nprotocol imap {\\nmail_plugins = quota imap_quota\\n}\\n\
     plugin {\\nquota = maildir:User quota\\nquota_rule = *:messages=100\\n}";

pub struct Server {
    pub peer: Peer,
    pub naming: Naming,
}

impl Server {
    pub fn start(directory: &Path, naming: Naming, more: &str) -> Self {
        let mut options = vec!["--separator", naming.separator, "--more", more];
        let prefix = format!("--prefix={}", naming.prefix);
        options.push(&prefix);
        Self {
            peer: Peer::dovecot_with(directory, &options),
            naming,
        }
    }

    fn script(&self, what: &str, user: &str, arguments: &[&str]) -> Vec<u8> {
        Self::script_at(self.peer.port("imap"), what, user, arguments)
    }

    /// Another client at this port.
    pub fn script_at(port: u16, what: &str, user: &str, arguments: &[&str]) -> Vec<u8> {
        Self::script_with(port, what, user, arguments, "")
    }

    fn script_with(port: u16, what: &str, user: &str, more: &[&str], input: &str) -> Vec<u8> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([what, &port.to_string(), user])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{what}: see above");
        output.stdout
    }

    pub fn fill(&self, user: &str, folders: u32, messages: u32) {
        let Naming { separator, prefix } = self.naming;
        let (folders, messages) = (folders.to_string(), messages.to_string());
        self.script("fill", user, &[separator, prefix, &folders, &messages]);
    }

    pub fn add(&self, user: &str, messages: u32) {
        self.script("add", user, &[&messages.to_string()]);
    }

    pub fn put(&self, user: &str, folder: &str, message: &str) {
        let port = self.peer.port("imap");
        Self::script_with(port, "put", user, &[folder], message);
    }

    pub fn remove(&self, user: &str, folder: &str, message_id: &str) {
        self.script("remove", user, &[folder, message_id]);
    }

    pub fn maildir(&self, user: &str) -> PathBuf {
        self.peer.mail().join(user).join("Maildir")
    }

    /// Everything that the user has, by folder.
    pub fn dump(&self, user: &str) -> Value {
        let Naming { separator, prefix } = self.naming;
        let text = self.script("dump", user, &[separator, prefix]);
        serde_json::from_slice(&text).unwrap()
    }
}

pub struct Scene {
    pub source: Server,
    pub target: Server,
    pub config: PathBuf,
    pub directory: TempDir,
}

impl Scene {
    pub fn new(source: Naming, target: Naming, users: &[&str]) -> Self {
        Self::with(source, target, users, "", "")
    }

    /// With lines for the target's configuration and for what tells of the target.
    pub fn with(source: Naming, target: Naming, users: &[&str], more: &str, login: &str) -> Self {
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

    /// Puts a man between relay and this server of the scene.
    pub fn between(
        &self,
        server: &Server,
        script: impl FnMut(From, &str) -> Deed + Send + 'static,
    ) {
        let port = server.peer.port("imap");
        let between = Between::start(port, script);
        let text = fs::read_to_string(&self.config).unwrap();
        let (old, new) = (
            format!("port = {port},"),
            format!("port = {},", between.port),
        );
        assert_eq!(text.matches(&old).count(), 1);
        fs::write(&self.config, text.replace(&old, &new)).unwrap();
    }

    /// One more line of `[mover]`.
    pub fn configure(&self, line: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        let with = format!("[mover]\n{line}\n");
        fs::write(&self.config, text.replace("[mover]\n", &with)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command
            .arg("--config")
            .arg(&self.config)
            .args(["--json", "move"]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A pass that must succeed: what it said of the accounts.
    pub fn pass(&self) -> Vec<Value> {
        let output = self.run(&["--once"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        said(&output, "account")
    }

    pub fn assert_equal(&self, user: &str) {
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
pub fn assert_same_messages(folder: &str, source: &Value, target: &Value) {
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
pub fn said(output: &Output, event: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["event"] == event)
        .collect()
}

/// Without its own files Dovecot numbers a folder anew, under another UIDVALIDITY: the time in
/// seconds, so that the second of the old one must be over.
pub fn renumber(maildir: &Path) {
    let list = fs::read_to_string(maildir.join("dovecot-uidlist")).unwrap();
    let old = list
        .split_whitespace()
        .find_map(|word| word.strip_prefix('V'));
    let old: u64 = old.unwrap().parse().unwrap();
    poll("the next second", || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (now.as_secs() > old).then_some(())
    });
    for entry in fs::read_dir(maildir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("dovecot") {
            fs::remove_file(path).unwrap();
        }
    }
}
