//! Every server that mail is released to gets the corpus byte for byte. What one of them does
//! to a message by itself is written down here by name, and no more than that may differ.

mod support;

use std::{collections::BTreeMap, fs, path::Path};
use support::{
    client::Client,
    corpus::{Case, corpus},
    mailbox::{maildir, same, strip_fields, unix_lines},
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    temp,
};

/// What a server is known for, tried without relay as well: cases by their names.
struct Known {
    /// Kept, but not as they came.
    changed: &'static [&'static str],
    /// Not taken at all; parked here.
    refused: &'static [&'static str],
    /// The fields that it puts before ours.
    fields: &'static [&'static str],
}

#[test]
fn into_exim() {
    let directory = temp();
    let exim = Peer::delivering("exim", &directory.path().join("exim"), &mailboxes(), &[]);
    let known = Known {
        // It ends a line at a bare CR, puts a blank line between the header and what is none or
        // where none is, and drops `Return-Path`.
        changed: &[
            "bare-cr",
            "delivered",
            "dot-only",
            "dots-first",
            "empty",
            "header-only",
            "not-a-header",
        ],
        refused: &[],
        fields: &["Received"],
    };
    let settings = Settings::to(exim.port("smtp"));
    known.check(directory.path(), &settings, unix_lines, |name| {
        maildir(&exim.mail().join(format!("{name}@{DOMAIN}")))
    });
}

#[test]
fn into_opensmtpd() {
    let directory = temp();
    let opensmtpd = Peer::delivering(
        "opensmtpd",
        &directory.path().join("opensmtpd"),
        &mailboxes(),
        &[],
    );
    let known = Known {
        // It adds a Date where there is none, and drops NULs with what follows in the line.
        changed: &[
            "5000-headers",
            "edges",
            "empty",
            "line-ends",
            "multipart",
            "no-header",
            "nul",
            "one-line-end",
            "signed",
        ],
        // What does not begin with a header field, and lines beyond 64 KiB.
        refused: &["dot-only", "dots-first", "long-lines", "not-a-header"],
        fields: &["Return-Path", "Delivered-To", "Received"],
    };
    let settings = Settings::to(opensmtpd.port("smtp"));
    known.check(directory.path(), &settings, unix_lines, |name| {
        maildir(&opensmtpd.mail().join(format!("{name}@{DOMAIN}")))
    });
}

#[test]
fn into_cyrus_over_lmtp() {
    let directory = temp();
    let cyrus = Peer::cyrus_with(&directory.path().join("cyrus"), &[]);
    let known = Known {
        // It adds a Message-ID where there is none, drops bare CRs and `Return-Path`, puts X in the
        // place of 8-bit bytes of a header, and leaves a stuffed dot in a header as it is.
        changed: &[
            "5000-headers",
            "8-bit-header",
            "bare-cr",
            "delivered",
            "dot-header",
            "edges",
            "empty",
            "line-ends",
            "multipart",
            "no-header",
            "one-line-end",
            "signed",
        ],
        // What does not begin with a header field of ASCII, and NULs.
        refused: &[
            "8-bit-name",
            "dot-only",
            "dots-first",
            "not-a-header",
            "nul",
        ],
        fields: &["Return-Path", "Received", "X-Cyrus-Session-Id", "X-Sieve"],
    };
    let settings = Settings {
        protocol: "lmtp",
        ..Settings::to(cyrus.port("lmtp"))
    };
    known.check(directory.path(), &settings, <[u8]>::to_vec, |name| {
        let whose = format!("for <{name}@{DOMAIN}>");
        let mut found = Vec::new();
        files(&cyrus.mail(), &mut found);
        found.retain(|message| text(&message[..message.len().min(2000)]).contains(&whose));
        found
    });
}

impl Known {
    /// Sends the corpus through a relay, each case to a mailbox of its own name.
    fn check(
        &self,
        directory: &Path,
        settings: &Settings,
        manner: fn(&[u8]) -> Vec<u8>,
        read: impl Fn(&str) -> Vec<Vec<u8>>,
    ) {
        let relay = Relay::start(directory, settings);
        let cases: BTreeMap<_, _> = corpus().into_iter().map(|case| (case.name, case)).collect();
        let mut client = Client::hello(relay.port()).unwrap();
        for (name, case) in &cases {
            let to = format!("{name}@{DOMAIN}");
            client.send("a@example.org", &[&to], &case.message).unwrap();
        }
        client.quit().unwrap();
        // It says by its exit code that something was parked.
        relay.cli(&["release", DOMAIN, "--yes"]);
        let parked = relay.ok(&["list", "--state", "parked", "--format", "jsonl"]);
        let parked = text(&parked);
        let mut wrong = Vec::new();
        let mut taken = 0;
        for (name, case) in &cases {
            let refused = parked.contains(&format!("\"{name}@{DOMAIN}\""));
            if refused != self.refused.contains(name) {
                wrong.push(format!("{name}: refused: {refused}"));
            }
            if !refused {
                taken += 1;
                let result = self.compare(case, manner, &read);
                wrong.extend(result.err().map(|error| format!("{name}: {error}")));
            }
        }
        assert!(
            wrong.is_empty(),
            "\n{}\n{}",
            wrong.join("\n"),
            reasons(&parked)
        );
        assert_eq!(relay.count("delivered"), taken);
    }

    fn compare(
        &self,
        case: &Case,
        manner: fn(&[u8]) -> Vec<u8>,
        read: &impl Fn(&str) -> Vec<Vec<u8>>,
    ) -> Result<(), String> {
        // A 250 may say queued only; the mailbox follows.
        let stored = poll(case.name, || {
            Some(read(case.name)).filter(|found| !found.is_empty())
        });
        let [stored] = stored.as_slice() else {
            return Err(format!("{} messages", stored.len()));
        };
        let own = [self.fields, &["Received"]].concat();
        let result =
            strip_fields(stored, &own).and_then(|message| same(&manner(&case.message), message));
        match (result, self.changed.contains(&case.name)) {
            (Ok(()), true) => Err("is kept by now".into()),
            (Err(_), true) => Ok(()),
            (result, false) => result,
        }
    }
}

fn mailboxes() -> Vec<String> {
    let names = corpus().into_iter();
    names
        .map(|case| format!("{}@{DOMAIN}", case.name))
        .collect()
}

/// The messages that Cyrus has: files whose names are numbers with a dot behind.
fn files(directory: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        let number = name
            .strip_suffix('.')
            .and_then(|name| name.parse::<u32>().ok());
        if path.is_dir() {
            files(&path, found);
        } else if number.is_some() {
            found.extend(fs::read(&path));
        }
    }
}

/// Why they were parked, for whoever reads the failure.
fn reasons(parked: &str) -> String {
    let lines = parked
        .lines()
        .map(|line| line.chars().take(400).collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}
