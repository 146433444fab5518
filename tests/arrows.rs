//! The dependency arrows of the architecture, checked over `src/`.
//!
//! Data flows one way: `net -> smtp -> receive -> spool -> release -> net`. The table
//! below says what each top-level module may name. A module that is not in the table is
//! an error too: whoever adds one says first where it stands.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A module, the modules that it may name (each in a row above its own, so that there is
/// no circle), and the crates that it may not name.
struct Row {
    module: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// Only `spool` knows the engine, and the mover's own state.
const ROCKSDB: &str = "rocksdb";
/// The one part of a module that may name what the rest of it may not.
const MOVER_STATE: &str = "mover/state";

const TABLE: &[Row] = &[
    // Only text.
    Row {
        module: "manual",
        may_use: &[],
        never: &["tokio", ROCKSDB],
    },
    // Steps at which a test ends the process.
    Row {
        module: "failpoint",
        may_use: &[],
        never: &["tokio", ROCKSDB],
    },
    // What the mover tells everybody else.
    Row {
        module: "ledger",
        may_use: &[],
        never: &["tokio", ROCKSDB],
    },
    // The leaves: values and protocol, no socket, no clock, no storage.
    Row {
        module: "mail",
        may_use: &[],
        never: &["tokio", ROCKSDB],
    },
    Row {
        module: "smtp",
        may_use: &["mail"],
        never: &["tokio", ROCKSDB],
    },
    Row {
        module: "config",
        may_use: &["mail"],
        never: &["tokio", ROCKSDB],
    },
    Row {
        module: "log",
        may_use: &["config"],
        never: &["tokio", ROCKSDB],
    },
    // Certificates that a client believes.
    Row {
        module: "trust",
        may_use: &[],
        never: &["tokio", ROCKSDB],
    },
    // A secret from a program, whoever needs it.
    Row {
        module: "token",
        may_use: &[],
        never: &[ROCKSDB],
    },
    // A client on its own, whoever calls it.
    Row {
        module: "imap",
        may_use: &["trust"],
        never: &[ROCKSDB],
    },
    // Questions to the DNS, whoever asks.
    Row {
        module: "dns",
        may_use: &["config"],
        never: &[ROCKSDB],
    },
    // Neither SMTP nor the network nor who reads it.
    Row {
        module: "spool",
        may_use: &["failpoint", "mail", "config"],
        never: &[],
    },
    Row {
        module: "net",
        may_use: &["config"],
        never: &[ROCKSDB],
    },
    Row {
        module: "receive",
        may_use: &["mail", "smtp", "config", "log", "dns", "spool", "net"],
        never: &[ROCKSDB],
    },
    // It does not know who received.
    Row {
        module: "release",
        may_use: &[
            "failpoint",
            "mail",
            "smtp",
            "config",
            "log",
            "trust",
            "token",
            "spool",
        ],
        never: &[ROCKSDB],
    },
    // The steps of a move and their record; who carries them out is the command line's.
    Row {
        module: "cutover",
        may_use: &["ledger", "config"],
        never: &["tokio", ROCKSDB],
    },
    Row {
        module: "control",
        may_use: &["failpoint", "ledger", "mail", "config", "spool"],
        never: &[ROCKSDB],
    },
    // It copies mailboxes and shares no state with the spool; its own is in `mover/state`.
    Row {
        module: "mover",
        may_use: &["failpoint", "ledger", "config", "trust", "token", "imap"],
        never: &[ROCKSDB],
    },
    // The account of a cutover, from what the control socket answers.
    Row {
        module: "report",
        may_use: &["ledger", "spool", "control"],
        never: &["tokio", ROCKSDB],
    },
    // Old, spool and new compared: it reads all of them and changes none.
    Row {
        module: "verify",
        may_use: &[
            "ledger", "mail", "config", "imap", "spool", "control", "mover",
        ],
        never: &[ROCKSDB],
    },
    // Tells other programs what happens, and asks one before a release.
    Row {
        module: "hooks",
        may_use: &["ledger", "config", "trust", "spool", "control"],
        never: &[ROCKSDB],
    },
    // Opens the gates of releases by what the mover says.
    Row {
        module: "gates",
        may_use: &["ledger", "mail", "spool", "control", "release"],
        never: &[ROCKSDB],
    },
    // What goes wrong in migrations, looked at before: it asks everybody and changes nothing.
    Row {
        module: "check",
        may_use: &[
            "ledger", "mail", "config", "trust", "imap", "dns", "release", "mover",
        ],
        never: &[ROCKSDB],
    },
    // It answers what a release asks, by what a verification knows a message by.
    Row {
        module: "witness",
        may_use: &[
            "mail", "config", "token", "imap", "release", "mover", "verify",
        ],
        never: &[ROCKSDB],
    },
    // The same calls for a browser, and the figures of all parts.
    Row {
        module: "web",
        may_use: &["ledger", "config", "spool", "receive", "release", "control"],
        never: &[ROCKSDB],
    },
    // Commands, `serve` among them, which wires the rest together.
    Row {
        module: "cli",
        may_use: &[
            "failpoint",
            "ledger",
            "trust",
            "mail",
            "smtp",
            "config",
            "log",
            "spool",
            "net",
            "receive",
            "release",
            "control",
            "dns",
            "cutover",
            "imap",
            "web",
            "mover",
            "verify",
            "report",
            "hooks",
            "gates",
            "check",
            "witness",
        ],
        never: &[ROCKSDB],
    },
];

#[test]
fn source_follows_the_arrows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 10, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        wrong.extend(check(path, &text));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    for (place, row) in TABLE.iter().enumerate() {
        for used in row.may_use {
            let found = TABLE.iter().position(|other| other.module == *used);
            assert!(found < Some(place), "{} -> {used}", row.module);
            assert!(found.is_some(), "{} -> {used}", row.module);
        }
    }
}

#[test]
fn forbidden_arrows_are_found() {
    for (file, text) in [
        ("mail/a.rs", "use crate::spool::Spool;"),
        ("smtp/mod.rs", "use crate::{mail::Address, net};"),
        (
            "smtp/mod.rs",
            "use crate::{\n    mail,\n    net::{Tls, Io},\n};",
        ),
        ("smtp/a/b.rs", "fn f() -> crate::config::Config { g() }"),
        ("smtp/mod.rs", "use tokio::io::AsyncRead;"),
        (
            "smtp/mod.rs",
            "async fn f() { tokio::task::yield_now().await }",
        ),
        ("release/order.rs", "use crate :: receive :: Session;"),
        ("release/order.rs", "use super::super::receive;"),
        ("release/mod.rs", "use super::receive;"),
        ("release/mod.rs", "use super::{receive, spool};"),
        ("release/mod.rs", "mod tests { use super::super::receive; }"),
        ("spool/mod.rs", "pub(in crate::release) fn f() {}"),
        ("receive/mod.rs", "use rocksdb::DB;"),
        ("receive/mod.rs", "extern crate rocksdb;"),
        (
            "receive/mod.rs",
            "let s = \"// \"; let x = crate::release::run();",
        ),
        ("log.rs", "use crate::net;"),
        ("mover/copy.rs", "use rocksdb::DB;"),
        ("mover/state/mod.rs", "use crate::spool::Spool;"),
        ("stranger/mod.rs", ""),
        ("stranger.rs", ""),
    ] {
        assert_eq!(check(Path::new(file), text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn allowed_arrows_pass() {
    for (file, text) in [
        (
            "release/a.rs",
            "use crate::{mail::{Address, Lane}, spool::Spool};",
        ),
        ("release/a.rs", "use super::order; // not crate::receive"),
        (
            "release/a.rs",
            "mod tests { use super::*; use super::super::order; }",
        ),
        ("release/a.rs", "/// Unlike [`crate::receive`].\nfn f() {}"),
        (
            "release/a.rs",
            "/* crate::receive /* nested */ crate::receive */",
        ),
        (
            "release/a.rs",
            "let s = \"crate::receive \\\" crate::receive\";",
        ),
        (
            "release/a.rs",
            "let s = r#\"\" crate::receive\"#; let c = '\"';",
        ),
        (
            "release/a.rs",
            "fn f<'a>(x: &'a str) -> &'a str { x } use crate::spool;",
        ),
        (
            "spool/rocks/mod.rs",
            "use rocksdb::DB; use crate::spool::model;",
        ),
        ("mover/state/mod.rs", "use rocksdb::DB;"),
        ("receive/mod.rs", "use tokio::net::TcpStream;"),
        ("smtp/mod.rs", "use crate::smtp::Reply;"),
        ("main.rs", "use relay::cli;"),
        ("lib.rs", "pub mod mail;"),
    ] {
        let none: Vec<String> = Vec::new();
        assert_eq!(check(Path::new(file), text), none, "{file}: {text}");
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What is wrong with a file, given its path below `src/`.
fn check(path: &Path, text: &str) -> Vec<String> {
    let parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let own = parts[0].as_str();
    // They wire, and name what they wire.
    if path == Path::new("main.rs") || path == Path::new("lib.rs") {
        return Vec::new();
    }
    let Some(row) = TABLE.iter().find(|row| row.module == own) else {
        return vec![format!("{}: no row for module `{own}`", path.display())];
    };
    let depth = parts.iter().filter(|part| *part != "mod").count();
    let tokens = tokens(text);
    let crates = (row.never.iter())
        .filter(|name| **name != ROCKSDB || !path.starts_with(MOVER_STATE))
        .filter(|name| tokens.iter().any(|token| token == *name))
        .map(|name| format!("{}: names the crate {name}", path.display()));
    named(&tokens, depth)
        .into_iter()
        .filter(|name| name != own && !row.may_use.contains(&name.as_str()))
        .map(|name| format!("{}: {own} may not use {name}", path.display()))
        .chain(crates)
        .collect()
}

/// The top-level modules that are named by `crate::x`, `crate::{x, y}`, or by as many
/// `super::` as lead from a module at `depth` to the root.
fn named(tokens: &[String], depth: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // For each open brace: whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" => braces.push(at >= 2 && tokens[at - 2] == "mod"),
            "}" => drop(braces.pop()),
            "crate" => names.extend(heads(tokens, at + 1)),
            "super" => {
                let here = depth + braces.iter().filter(|inline| **inline).count();
                let mut climbed = 1;
                while tokens.get(at + 1).is_some_and(|token| token == "::")
                    && tokens.get(at + 2).is_some_and(|token| token == "super")
                {
                    climbed += 1;
                    at += 2;
                }
                if climbed >= here {
                    names.extend(heads(tokens, at + 1));
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// What follows at `at`: `::name`, or `::{name..., name...}`.
fn heads(tokens: &[String], at: usize) -> Vec<String> {
    let word = |token: &String| token.chars().all(|c| c.is_alphanumeric() || c == '_');
    if tokens.get(at).is_none_or(|token| token != "::") {
        return Vec::new();
    }
    match tokens.get(at + 1) {
        Some(token) if token == "{" => {}
        Some(token) if word(token) => return vec![token.clone()],
        _ => return Vec::new(),
    }
    let mut found = Vec::new();
    let mut open = 0;
    for place in at + 1..tokens.len() {
        match tokens[place].as_str() {
            "{" => open += 1,
            "}" => open -= 1,
            _ => {}
        }
        if open == 0 {
            break;
        }
        let begins = matches!(tokens[place - 1].as_str(), "{" | ",");
        if open == 1 && begins && word(&tokens[place]) {
            found.push(tokens[place].clone());
        }
    }
    found
}

/// Words, `::` and single other characters, without comments, strings and white space.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, with: &str| {
        with.chars()
            .enumerate()
            .all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            at += chars[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts(at, "/*") {
            at = end_of_comment(&chars, at);
        } else if c == '"' {
            at = end_of_string(&chars, at);
        } else if let Some(end) = end_of_raw_string(&chars, at) {
            at = end;
        } else if c == '\''
            && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\''))
        {
            // A character; anything else with this mark is a lifetime.
            let from = if chars[at + 1] == '\\' {
                at + 3
            } else {
                at + 2
            };
            at = from + chars[from..].iter().take_while(|c| **c != '\'').count() + 1;
        } else if c.is_alphanumeric() || c == '_' {
            let word: String = (chars[at..].iter())
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .collect();
            at += word.chars().count();
            found.push(word);
        } else if starts(at, "::") {
            found.push("::".into());
            at += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.into());
            }
            at += 1;
        }
    }
    found
}

fn end_of_comment(chars: &[char], mut at: usize) -> usize {
    let mut open = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (open, at) = (open + 1, at + 2),
            ('*', Some('/')) => (open, at) = (open - 1, at + 2),
            _ => at += 1,
        }
        if open == 0 {
            break;
        }
    }
    at
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Behind a raw string that begins at `at`, if one does.
fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if chars[at] != 'r' || word_before {
        return None;
    }
    let hashes = (chars[at + 1..].iter()).take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(vec!['#'; hashes]).collect();
    let length = chars[open + 1..]
        .windows(close.len())
        .position(|window| window == close)?;
    Some(open + 1 + length + close.len())
}
