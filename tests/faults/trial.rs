//! One fault: mail before, during and after it.

use crate::support::{
    client::{Client, queue_id, wire},
    poll,
    relay::{Relay, text},
};
use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

const TO: &str = "bob@corp.example";

/// What sender and operator saw of a fault.
#[derive(Default, Debug)]
pub struct Seen {
    pub trials: u32,
    /// Codes, and `no connection`.
    pub sender: BTreeSet<String>,
    pub operator: Option<String>,
    /// How it came back: by itself, or what had to be done.
    pub back: BTreeSet<&'static str>,
    /// The longest time until it did.
    pub after: Duration,
    pub lost: usize,
}

impl Seen {
    pub fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.sender.extend(other.sender);
        self.back.extend(other.back);
        self.after = self.after.max(other.after);
        self.lost += other.lost;
        if self.operator.is_none() {
            self.operator = other.operator;
        }
    }

    /// Its cells of the table.
    pub fn cells(&self) -> String {
        let list = |words: Vec<&str>| words.join(", ");
        format!(
            "{} | {} | {} | {} (at most {} s) | {}",
            self.trials,
            list(self.sender.iter().map(String::as_str).collect()),
            self.operator
                .as_deref()
                .unwrap_or("nothing")
                .replace('|', "\\|"),
            list(self.back.iter().copied().collect()),
            self.after.as_secs_f64().ceil(),
            self.lost
        )
    }
}

/// A relay with mail in it, and what it has promised.
pub struct Trial {
    pub relay: Relay,
    kept: Vec<(String, Vec<u8>)>,
    seen: Seen,
    number: usize,
    /// How much it had said before the fault.
    said: usize,
}

impl Trial {
    /// On a relay that runs.
    pub fn new(relay: Relay) -> Self {
        let mut trial = Self {
            relay,
            kept: Vec::new(),
            seen: Seen {
                trials: 1,
                ..Seen::default()
            },
            number: 0,
            said: 0,
        };
        for _ in 0..2 {
            let code = trial.send();
            assert_eq!(code, "250", "before the fault");
        }
        trial.seen.sender.clear();
        trial.said = trial.relay.log().len();
        trial
    }

    /// Sends a message, a short one and a long one in turn; the code of the last reply.
    pub fn send(&mut self) -> String {
        self.number += 1;
        let lines = [1, 20_000][self.number % 2];
        let head = format!("Subject: {}\r\n\r\n", self.number).into_bytes();
        let message = [head, b"0123456789\r\n".repeat(lines)].concat();
        let code = match self.transact(&message) {
            Ok(code) => code.to_string(),
            Err(_) => "no connection".into(),
        };
        self.seen.sender.insert(code.clone());
        code
    }

    fn transact(&mut self, message: &[u8]) -> io::Result<u16> {
        let mut client = Client::connect(self.relay.port())?;
        if client.greeting.code != 220 {
            return Ok(client.greeting.code);
        }
        for line in [
            "EHLO client.example".to_owned(),
            "MAIL FROM:<a@example.org>".into(),
            format!("RCPT TO:<{TO}>"),
            "DATA".into(),
        ] {
            let reply = client.command(&line)?;
            if !reply.is_positive() {
                return Ok(reply.code);
            }
        }
        client.raw(&wire(message))?;
        let reply = client.reply()?;
        if reply.code == 250 {
            self.kept.push((queue_id(&reply)?, message.to_vec()));
            client.quit()?;
        }
        Ok(reply.code)
    }

    /// Sends while the fault lasts: so many messages, or until two were not taken.
    pub fn suffer(&mut self, messages: usize) {
        let mut refused = 0;
        for _ in 0..messages {
            refused += usize::from(self.send() != "250");
            self.look();
            if refused == 2 {
                break;
            }
        }
    }

    /// What the operator sees now, if nothing was seen before: status, else the log.
    pub fn look(&mut self) {
        if self.seen.operator.is_some() {
            return;
        }
        let output = self.relay.cli(&["--json", "status"]);
        let status: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        let refusing = status.and_then(|status| Some(status["refusing"].as_str()?.to_owned()));
        let log = self.relay.log();
        let grave = |line: &&str| line.contains(": error: ") || line.contains(": warning: ");
        let new = &log[self.said.min(log.len())..];
        let logged = new.lines().find(grave);
        let logged = logged.and_then(|line| Some(line.split_once("]: ")?.1.to_owned()));
        // What a start that failed says last.
        let logged = logged.or_else(|| {
            let last = new
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("relay: "))?;
            last.contains(": ").then(|| last.to_owned())
        });
        // What Rust's runtime, or C++'s, says where an allocation has failed.
        let logged = logged.or_else(|| {
            let ends = ["memory allocation of ", "terminate called "];
            let mut lines = new.lines();
            let last = lines.find(|line| ends.iter().any(|end| line.starts_with(end)))?;
            Some(last.to_owned())
        });
        self.seen.operator = refusing.map(|text| format!("status: {text}")).or(logged);
    }

    /// The cause is gone: waits until mail is taken, which must be by itself, or starts
    /// relay again when it has ended. Then looks whether everything is there, as it is and
    /// after a kill.
    pub fn recover(mut self) -> Seen {
        let begun = Instant::now();
        let saw = self.seen.sender.clone();
        if self.relay.ends_within(Duration::from_millis(1)) {
            self.look();
            self.relay.kill();
            self.relay.run();
            self.seen.back.insert("after a restart");
        } else {
            self.seen.back.insert("by itself");
        }
        poll("mail is taken again", || {
            (self.send() == "250").then_some(())
        });
        self.seen.after = begun.elapsed();
        self.seen.sender = saw;
        self.look();
        self.check();
        self.relay.kill();
        self.relay.run();
        self.check();
        self.seen
    }

    /// The same where a person restarts relay.
    pub fn restart(mut self, how: &'static str) -> Seen {
        let begun = Instant::now();
        self.relay.run();
        let saw = self.seen.sender.clone();
        assert_eq!(self.send(), "250");
        self.seen.sender = saw;
        self.seen.after = begun.elapsed();
        self.seen.back.insert(how);
        self.check();
        self.seen
    }

    fn check(&mut self) {
        self.relay.assert_clean();
        for (id, message) in &self.kept {
            let shown = self.relay.cli(&["show", id, "--raw"]);
            assert!(
                shown.stdout == *message,
                "{id} is lost: {}",
                text(&shown.stderr)
            );
        }
    }
}
