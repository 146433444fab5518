//! Real mail servers, started by `tests/peers/peers.py`. Each ends when its [`Peer`] is
//! dropped, or when this process dies.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where `.ci/install peers` has put what it does not install as a package.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
    cache.unwrap_or_else(home).join("relay/peers")
}

/// A running server.
pub struct Peer {
    child: Child,
    info: Value,
}

impl Peer {
    /// Dovecot with LMTP and IMAP. Every user exists, with the password `pw`.
    pub fn dovecot(directory: &Path) -> Self {
        Self::start("dovecot", directory, &[])
    }

    /// Dovecot as [`Peer::dovecot`], with options of `peers.py`.
    pub fn dovecot_with(directory: &Path, options: &[&str]) -> Self {
        Self::start("dovecot", directory, options)
    }

    /// Cyrus with LMTP and IMAP, with options of `peers.py`. Every user exists, with the
    /// password `pw`; `admin` with `masterpw` logs in for all.
    pub fn cyrus_with(directory: &Path, options: &[&str]) -> Self {
        Self::start("cyrus", directory, options)
    }

    /// Courier with IMAP: separator `.` and prefix `INBOX.`, users as Cyrus has them.
    pub fn courier(directory: &Path) -> Self {
        Self::start("courier", directory, &[])
    }

    /// Postfix, which delivers these mailboxes into maildirs.
    pub fn postfix(directory: &Path, mailboxes: &[String]) -> Self {
        Self::delivering("postfix", directory, mailboxes, &[])
    }

    /// The same, and 127.0.0.1 may say on whose behalf it sends.
    pub fn postfix_with_xclient(directory: &Path, mailbox: &str) -> Self {
        Self::start("postfix", directory, &["--xclient", "--mailbox", mailbox])
    }

    /// `postfix`, `exim` or `opensmtpd`, which delivers these mailboxes into maildirs, with
    /// options of `peers.py`.
    pub fn delivering(
        kind: &str,
        directory: &Path,
        mailboxes: &[String],
        options: &[&str],
    ) -> Self {
        let mailboxes = mailboxes.iter().flat_map(|one| ["--mailbox", one]);
        let arguments: Vec<&str> = options.iter().copied().chain(mailboxes).collect();
        Self::start(kind, directory, &arguments)
    }

    /// `postfix`, `exim` or `opensmtpd`, which passes all that it gets on to this port.
    pub fn sending(kind: &str, directory: &Path, port: u16) -> Self {
        let target = format!("[127.0.0.1]:{port}");
        Self::start(kind, directory, &["--relay-to", &target])
    }

    /// smtp-sink with options of its own, on this port, or on a free one for 0.
    pub fn sink(directory: &Path, port: u16, options: &[&str]) -> Self {
        let port = port.to_string();
        let mut arguments = vec!["--port", &port, "--"];
        arguments.extend(options);
        Self::start("sink", directory, &arguments)
    }

    fn start(kind: &str, directory: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/peers.py");
        // Postfix's master runs as root and nothing else.
        let mut command = if kind == "postfix" && !rustix::process::geteuid().is_root() {
            let mut command = Command::new("sudo");
            command.args(["-n", "python3"]);
            command
        } else {
            Command::new("python3")
        };
        let mut child = command
            .args([
                script.as_path(),
                Path::new(kind),
                Path::new("--dir"),
                directory,
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3, and for Postfix root or sudo");
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let info = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{kind} did not start ({error}); see above"));
        Self { child, info }
    }

    /// One of its ports: `smtp`, `lmtp` or `imap`.
    pub fn port(&self, name: &str) -> u16 {
        let port = self.info[name].as_u64().unwrap();
        u16::try_from(port).unwrap()
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.info["log"].as_str().unwrap().into()
    }

    /// Where its mailboxes are.
    pub fn mail(&self) -> PathBuf {
        self.info["mail"].as_str().unwrap().into()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its standard input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
