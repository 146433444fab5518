//! A disk that fails: a sync that returns an error is never followed by a 250, nothing is
//! taken any more, the operator is told, and what was accepted before is there afterwards.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use support::{
    client::{Client, wire},
    relay::{Relay, Settings},
    temp,
};

/// strace on a running process.
struct Strace(Child);

impl Strace {
    /// Returns once it sees every call.
    fn attach(pid: u32, arguments: &[&str]) -> Self {
        let mut child = Command::new("strace")
            .arg("-f")
            .args(arguments)
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let stderr = child.stderr.take().unwrap();
        // Owned from here on, so that it is ended whatever comes.
        let strace = Self(child);
        let mut said = String::new();
        let mut lines = BufReader::new(stderr).lines();
        while let Some(Ok(line)) = lines.next() {
            said += &line;
            if line.contains("attached") {
                // Read on, so that it never waits for us.
                std::thread::spawn(move || lines.for_each(drop));
                return strace;
            }
        }
        panic!("strace cannot attach: {said}");
    }

    /// From its return on every such call fails.
    fn fail(pid: u32, call: &str) -> Self {
        let inject = format!("inject={call}:error=EIO");
        Self::attach(pid, &["-e", &format!("trace={call}"), "-e", &inject])
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Interrupted it lets go of the process and writes what it has.
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        let _ = self.0.wait();
    }
}

/// The reply to end-of-data.
fn attempt(client: &mut Client, message: &[u8]) -> (u16, String) {
    client
        .envelope("a@example.org", &["bob@corp.example"])
        .unwrap();
    client.raw(&wire(message)).unwrap();
    let reply = client.reply().unwrap();
    (reply.code, reply.text)
}

fn fails(call: &str, message: &[u8]) {
    let directory = temp();
    let mut relay = Relay::start(directory.path(), &Settings::default());
    let mut client = Client::hello(relay.port()).unwrap();
    let before = b"Subject: before\r\n\r\nkept\r\n";
    let kept = client
        .send("a@example.org", &["bob@corp.example"], before)
        .unwrap();

    let fault = Strace::fail(relay.pid(), call);
    let (code, text) = attempt(&mut client, message);
    assert_eq!(code, 451, "{text}");
    assert!(
        !text.contains("EIO") && !text.contains("error"),
        "the peer gets a bland text: {text}"
    );
    // Not even once the disk works again: nobody knows what the failed sync left.
    drop(fault);
    let refused = client.command("MAIL FROM:<a@example.org>").unwrap();
    assert_eq!(refused.code, 451, "{}", refused.text);
    let status = relay.json(&["status"]);
    let reason = status["refusing"].as_str().expect("the operator is told");
    assert!(reason.contains("refuses writes"), "{reason}");

    relay.kill();
    relay.run();
    assert_eq!(relay.ok(&["show", &kept, "--raw"]), before);
    for line in relay.list() {
        let id = line["queue_id"].as_str().unwrap();
        let bytes = relay.ok(&["show", id, "--raw"]);
        assert!(bytes == before || bytes == message, "{id} is not whole");
    }
    relay.assert_clean();
    let mut client = Client::hello(relay.port()).unwrap();
    let (code, text) = attempt(&mut client, message);
    assert_eq!(code, 250, "{text}");
}

#[test]
fn a_failed_sync_of_the_log_stops_the_intake() {
    fails("fdatasync", b"Subject: small\r\n\r\nx\r\n");
}

#[test]
fn a_large_body_whose_file_does_not_sync_is_refused_alone() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let mut client = Client::hello(relay.port()).unwrap();
    let large = [
        b"Subject: large\r\n\r\n".as_slice(),
        &b"0123456789\r\n".repeat(50_000),
    ]
    .concat();
    let fault = Strace::fail(relay.pid(), "fsync");
    let (code, text) = attempt(&mut client, &large);
    assert_eq!(code, 451, "{text}");
    drop(fault);
    // Nothing was promised and nothing of the database is in doubt: the next one is taken.
    let (code, text) = attempt(&mut client, &large);
    assert_eq!(code, 250, "{text}");
    assert_eq!(relay.list().len(), 1);
    relay.assert_clean();
}

#[test]
fn one_sync_serves_many_250s() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let trace = directory.path().join("trace");
    let calls = "trace=fdatasync,sendto,write,writev";
    let file = trace.to_str().unwrap();
    let strace = Strace::attach(relay.pid(), &["-s", "80", "-e", calls, "-o", file]);
    let (senders, each) = (20, 10);
    std::thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                let mut client = Client::hello(relay.port()).unwrap();
                for _ in 0..each {
                    let (code, text) = attempt(&mut client, b"Subject: x\r\n\r\nx\r\n");
                    assert_eq!(code, 250, "{text}");
                }
            });
        }
    });
    drop(strace);

    let trace = std::fs::read_to_string(trace).unwrap();
    // A call that another thread interrupts in the trace ends in a line of its own.
    let ended = |line: &&str| line.contains("fdatasync") && !line.contains("<unfinished");
    let syncs = trace.lines().filter(ended).count();
    let told = |line: &&str| line.contains("250 2.0.0 Ok: queued as");
    let replies = trace.lines().filter(told).count();
    assert_eq!(replies, senders * each);
    // Two syncs a batch: the log's, and the watermark's.
    assert!(
        syncs > 0 && syncs / 2 < replies,
        "{syncs} syncs for {replies} messages"
    );
}

/// A 250 is never sooner than its own sync: where syncs take long, so do the replies.
#[test]
fn no_250_leaves_before_its_sync() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let mut client = Client::hello(relay.port()).unwrap();
    let delay = "inject=fdatasync:delay_enter=400000";
    let _strace = Strace::attach(relay.pid(), &["-e", "trace=fdatasync", "-e", delay]);
    for _ in 0..3 {
        let before = Instant::now();
        let (code, text) = attempt(&mut client, b"Subject: slow\r\n\r\nx\r\n");
        assert_eq!(code, 250, "{text}");
        // Log and watermark, one after the other.
        assert!(before.elapsed() >= Duration::from_millis(800));
    }
}
