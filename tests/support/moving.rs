//! Two Dovecots with a mailbox that grows, for a mover between them.

use super::peers::Peer;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const USER: &str = "bob";

/// An old server and a new one.
pub struct Servers {
    source: Peer,
    target: Peer,
    accounts: PathBuf,
}

impl Servers {
    /// Starts them below a directory, with a few messages in folders of the old one.
    pub fn start(directory: &Path) -> Self {
        let (source, target) = (directory.join("source"), directory.join("target"));
        let servers = Self {
            source: Peer::dovecot(&source),
            target: Peer::dovecot(&target),
            accounts: directory.join("accounts.csv"),
        };
        let header = "source_user,source_password,target_user,target_password";
        fs::write(
            &servers.accounts,
            format!("{header}\n{USER},pw,{USER},pw\n"),
        )
        .unwrap();
        script("fill", &servers.source, &["/", "", "4", "60"]);
        servers
    }

    /// The section `[mover]`.
    pub fn section(&self) -> String {
        let server = |peer: &Peer| {
            let port = peer.port("imap");
            format!("{{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}")
        };
        format!(
            "\n[mover]\naccounts = {:?}\nsource = {}\ntarget = {}\n",
            self.accounts,
            server(&self.source),
            server(&self.target)
        )
    }

    /// New mail on the old server.
    pub fn grow(&self, messages: u32) {
        script("add", &self.source, &[&messages.to_string()]);
    }

    /// Each message of the old server, with its date and flags, is in the new one, once. How
    /// many there are.
    pub fn assert_same(&self) -> usize {
        let dump = |server| -> Value {
            serde_json::from_slice(&script("dump", server, &["/", ""])).unwrap()
        };
        let (source, target) = (dump(&self.source), dump(&self.target));
        let folders = source.as_object().unwrap();
        let counts = folders.iter().map(|(name, folder)| {
            let (expected, found) = (sorted(folder), sorted(&target[name]));
            let (had, has) = (expected.len(), found.len());
            assert!(expected == found, "{name}: {had} there, {has} here");
            had
        });
        counts.sum()
    }
}

fn sorted(folder: &Value) -> Vec<String> {
    let messages = folder["messages"].as_array().unwrap();
    let mut texts: Vec<String> = messages.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

/// What a pass with `--json move --once` said of its account: how many messages it copied.
pub fn copied(output: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let account = lines.rfind(|line: &Value| line["event"] == "account");
    account.unwrap_or_else(|| panic!("no account in {text}"))["copied"]
        .as_u64()
        .unwrap()
}

fn script(what: &str, server: &Peer, arguments: &[&str]) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
    let output = Command::new("python3")
        .arg(script)
        .args([what, &server.port("imap").to_string(), USER])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    output.stdout
}
