//! Real clients deliver to the relay, each with all that it can, and every byte arrives. What
//! each one used is written down in the manual's page on the receiver, by this test:
//! `RELAY_WRITE_TABLES=1 cargo test --test clients`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

#[path = "../support/mod.rs"]
mod support;
mod tap;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use support::{
    client::Client,
    mailbox::{same, strip_fields},
    peers::{self, Peer},
    poll,
    relay::{Relay, Settings},
    temp,
};
use tap::Tap;

const HEAD: &str = "From: Alice <alice@sender.example>\r\nTo: bob@corp.example\r\n\
     Date: Mon, 23 Nov 2026 10:00:01 +0000\r\nMessage-ID: <1@sender.example>\r\n";

/// What a client is asked to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Only ASCII; dots where they hurt.
    Plain,
    /// 8-bit content, and said to be so.
    EightBit,
    /// Addresses and a header beyond ASCII.
    Utf8,
}

const KINDS: [Kind; 3] = [Kind::Plain, Kind::EightBit, Kind::Utf8];

impl Kind {
    fn addresses(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain | Self::EightBit => ("alice@sender.example", "bob@corp.example"),
            Self::Utf8 => ("élise@sender.example", "bøb@corp.example"),
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::EightBit => &["BODY=8BITMIME"],
            Self::Utf8 => &["BODY=8BITMIME", "SMTPUTF8"],
        }
    }

    fn message(self) -> Vec<u8> {
        let (subject, body) = match self {
            Self::Plain => ("dots", "one\r\n.\r\n..two\r\n.three\r\n\r\n. \r\n"),
            Self::EightBit => ("eight bits", "Grüße, naïve café\r\n.\r\n"),
            Self::Utf8 => ("élise écrit", "Grüße\r\n"),
        };
        let more = "0123456789".repeat(90) + "\r\n";
        format!("{HEAD}Subject: {subject}\r\n\r\n{body}{}", more.repeat(50)).into_bytes()
    }
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sender {
    Swaks,
    Smtplib,
    Aiosmtplib,
    Nodemailer,
    Postfix,
    Exim,
    OpenSmtpd,
}

const SENDERS: [Sender; 7] = [
    Sender::Swaks,
    Sender::Smtplib,
    Sender::Aiosmtplib,
    Sender::Nodemailer,
    Sender::Postfix,
    Sender::Exim,
    Sender::OpenSmtpd,
];

/// Whether the relay offers TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cover {
    Plain,
    Tls,
}

/// What a client has used.
#[derive(Default)]
struct Used {
    pipelining: bool,
    chunking: bool,
    eight_bit: bool,
    utf8: bool,
    tls: Option<String>,
}

impl Sender {
    fn name(self) -> &'static str {
        match self {
            Self::Swaks => "swaks",
            Self::Smtplib => "Python's smtplib",
            Self::Aiosmtplib => "aiosmtplib",
            Self::Nodemailer => "nodemailer",
            Self::Postfix => "Postfix",
            Self::Exim => "Exim",
            Self::OpenSmtpd => "OpenSMTPD",
        }
    }

    /// Whether it knows how to send that.
    fn can(self, kind: Kind) -> bool {
        match self {
            // It has no parameters for MAIL.
            Self::Swaks => kind == Kind::Plain,
            Self::OpenSmtpd => kind != Kind::Utf8,
            _ => true,
        }
    }

    /// Trace fields that it puts in front.
    fn trace(self) -> &'static [&'static str] {
        match self {
            Self::Postfix | Self::Exim | Self::OpenSmtpd => &["Received"],
            _ => &[],
        }
    }

    /// What it is given, to send the message.
    fn input(self, message: &[u8]) -> &[u8] {
        match self {
            // It ends the last line by itself, whether it was ended or not.
            Self::Swaks => message.strip_suffix(b"\r\n").unwrap(),
            _ => message,
        }
    }

    /// A server that passes on to this port; none for a client that does so itself.
    fn server(self, directory: &Path, port: u16) -> Option<Peer> {
        let kind = match self {
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::OpenSmtpd => "opensmtpd",
            _ => return None,
        };
        Some(Peer::sending(kind, directory, port))
    }

    /// The command line of a client.
    fn command(self, port: u16, kind: Kind, cover: Cover) -> Command {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let (from, to) = kind.addresses();
        let cache = peers::cache();
        let (program, script): (PathBuf, _) = match self {
            Self::Swaks => ("swaks".into(), None),
            Self::Smtplib => ("python3".into(), Some("smtplib_client.py")),
            Self::Aiosmtplib => {
                let python = cache.join("python/bin/python");
                (python, Some("aiosmtplib_client.py"))
            }
            Self::Nodemailer => ("node".into(), Some("nodemailer_client.js")),
            Self::Postfix | Self::Exim | Self::OpenSmtpd => panic!("{self:?} is a server"),
        };
        let mut command = Command::new(program);
        let Some(script) = script else {
            command.args(["--server", "127.0.0.1", "--port", &port.to_string()]);
            command.args(["--from", from, "--to", to, "--data", "-", "--pipeline"]);
            command.args((cover == Cover::Tls).then_some("--tls"));
            return command;
        };
        command.env("NODE_PATH", cache.join("node/node_modules"));
        command.arg(directory.join(script));
        command.args([&port.to_string(), from, to]);
        command.arg(if cover == Cover::Tls { "tls" } else { "plain" });
        command.args(kind.options());
        command
    }
}

#[test]
fn real_clients_deliver_and_every_byte_arrives() {
    let directory = temp();
    let mut rows = Vec::new();
    for sender in SENDERS {
        let mut used = Used::default();
        for cover in [Cover::Plain, Cover::Tls] {
            let place = directory.path().join(format!("{sender:?}-{cover:?}"));
            fs::create_dir(&place).unwrap();
            run(sender, cover, &place, &mut used);
        }
        rows.push(row(sender, &used));
    }
    compare(&rows.concat());
}

/// Everything that a client can send, and notes what it used for it.
fn run(sender: Sender, cover: Cover, directory: &Path, used: &mut Used) {
    let settings = Settings {
        tls: if cover == Cover::Tls {
            "starttls"
        } else {
            "none"
        },
        ..Settings::default()
    };
    let relay = Relay::start(directory, &settings);
    // Under TLS there is nothing to hear.
    let tap = (cover == Cover::Plain).then(|| Tap::before(relay.port()));
    let port = tap.as_ref().map_or(relay.port(), |tap| tap.port);
    let server = sender.server(&directory.join("server"), port);
    for (count, kind) in KINDS
        .into_iter()
        .filter(|&kind| sender.can(kind))
        .enumerate()
    {
        let what = format!("{sender:?} {kind:?} {cover:?}");
        tap.iter().for_each(Tap::forget);
        let message = kind.message();
        match &server {
            Some(server) => submit(server.port("smtp"), kind, &message),
            None => {
                let command = sender.command(port, kind, cover);
                hand_over(command, sender.input(&message), &what);
            }
        }
        let listed = poll(&what, || {
            Some(relay.list()).filter(|list| list.len() > count)
        });
        let id = listed[count]["queue_id"].as_str().unwrap();
        let raw = relay.ok(&["show", id, "--raw"]);
        let stored = strip_fields(&raw, sender.trace());
        same(&message, stored.unwrap()).unwrap_or_else(|why| panic!("{what}: {why}"));
        let shown = relay.json(&["show", id]);
        let (from, to) = kind.addresses();
        assert_eq!(shown["sender"], from, "{what}");
        assert_eq!(shown["recipients"][0]["address"], to, "{what}");
        match &tap {
            Some(tap) => {
                used.pipelining |= tap.client_pipelined();
                used.chunking |= tap.client_said("BDAT ");
                used.eight_bit |= tap.client_said("BODY=8BITMIME");
                used.utf8 |= tap.client_said("SMTPUTF8");
                assert_eq!(shown["smtputf8"], kind == Kind::Utf8, "{what}");
            }
            None => {
                let tls = shown["tls"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{what}: no TLS"));
                let version = tls.split(' ').next().unwrap();
                used.tls = Some(version.replace("TLSv", "TLS "));
            }
        }
    }
    relay.assert_clean();
}

/// To a server, by our own client.
fn submit(port: u16, kind: Kind, message: &[u8]) {
    let (from, to) = kind.addresses();
    let mut client = Client::hello(port).unwrap();
    let options = kind.options().join(" ");
    client
        .expect(&format!("MAIL FROM:<{from}> {options}"), 250)
        .unwrap();
    client.expect(&format!("RCPT TO:<{to}>"), 250).unwrap();
    client.expect("DATA", 354).unwrap();
    client.raw(&support::client::wire(message)).unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    client.quit().unwrap();
}

/// To a client on its standard input.
fn hand_over(mut command: Command, message: &[u8], what: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{what}: {error}; run `.ci/install peers`"));
    let mut input = child.stdin.take().unwrap();
    input.write_all(message).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{what}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn row(sender: Sender, used: &Used) -> String {
    let mark = |used| if used { "yes" } else { "" };
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        sender.name(),
        mark(used.pipelining),
        mark(used.chunking),
        mark(used.eight_bit),
        mark(used.utf8),
        used.tls.as_deref().unwrap_or("")
    )
}

/// With the table in the manual, or puts it there.
fn compare(rows: &str) {
    const BEGIN: &str = "| client | PIPELINING | BDAT | 8BITMIME | SMTPUTF8 | STARTTLS |\n\
                         |---|---|---|---|---|---|\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/receiver.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the table is there");
    let end = rest.find("\n\n").map_or(rest.len(), |end| end + 1);
    let (written, after) = rest.split_at(end);
    if std::env::var_os("RELAY_WRITE_TABLES").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{rows}{after}")).unwrap();
        return;
    }
    assert_eq!(
        written, rows,
        "the manual says something else; RELAY_WRITE_TABLES=1 writes it"
    );
}
