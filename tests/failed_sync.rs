//! A disk that fails: a sync that returns an error is never followed by a 250, nothing is
//! taken any more until the spool has been opened again, which it does by itself; the
//! operator is told, and what was accepted before is there afterwards. And a disk that does
//! not answer.

mod support;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use support::{
    client::{Client, wire},
    poll,
    relay::{Relay, Settings},
    strace::Strace,
    temp,
};

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
    let refused = client.command("MAIL FROM:<a@example.org>").unwrap();
    assert_eq!(refused.code, 451, "{}", refused.text);
    let status = relay.json(&["status"]);
    let reason = status["refusing"].as_str().expect("the operator is told");
    assert!(
        reason.contains("refuses writes") && reason.contains("opened again in"),
        "{reason}"
    );
    // What was accepted can be read meanwhile.
    assert_eq!(relay.ok(&["show", &kept, "--raw"]), before);

    // The cause goes, and the same process takes mail again.
    drop(fault);
    let pid = relay.pid();
    poll("the spool is open again", || {
        relay.json(&["status"])["refusing"].is_null().then_some(())
    });
    let (code, text) = attempt(&mut client, message);
    assert_eq!(code, 250, "{text}");
    let whole = |relay: &Relay| {
        assert_eq!(relay.ok(&["show", &kept, "--raw"]), before);
        let listed = relay.list();
        for line in &listed {
            let id = line["queue_id"].as_str().unwrap();
            let bytes = relay.ok(&["show", id, "--raw"]);
            assert!(bytes == before || bytes == message, "{id} is not whole");
        }
        // What was refused may be there; then it is counted.
        assert!((2..=3).contains(&listed.len()), "{listed:?}");
        assert_eq!(relay.accepted(), listed.len() as u64);
        relay.assert_clean();
        listed.len()
    };
    let there = whole(&relay);
    assert_eq!(relay.pid(), pid);

    relay.kill();
    relay.run();
    assert_eq!(whole(&relay), there);
}

#[test]
fn a_failed_sync_of_the_log_stops_the_intake() {
    fails("fdatasync", b"Subject: small\r\n\r\nx\r\n");
}

/// The client has its 451 in time, and no 250 for the same message ever; when the disk
/// answers again, so does relay.
#[test]
fn a_disk_that_does_not_answer_is_a_451_within_30_seconds() {
    let directory = temp();
    let mut relay = Relay::start(directory.path(), &Settings::default());
    let mut client = Client::hello(relay.port()).unwrap();
    let delay = "inject=fdatasync:delay_enter=600000000";
    let hung = Strace::attach(relay.pid(), &["-e", "trace=fdatasync", "-e", delay]);
    let before = Instant::now();
    let (code, text) = attempt(&mut client, b"Subject: hung\r\n\r\nx\r\n");
    assert_eq!(code, 451, "{text}");
    assert!(before.elapsed() < Duration::from_secs(30));
    // From now on there is no need to wait for that.
    let before = Instant::now();
    let refused = client.command("MAIL FROM:<a@example.org>").unwrap();
    assert_eq!(refused.code, 451, "{}", refused.text);
    assert!(before.elapsed() < Duration::from_secs(10));
    let status = relay.json(&["status"]);
    let reason = status["refusing"].as_str().expect("the operator is told");
    assert!(reason.contains("has not answered for"), "{reason}");

    drop(hung);
    poll("the disk answers", || {
        relay.json(&["status"])["refusing"].is_null().then_some(())
    });
    // The next reply is to the next command: no late 250.
    let reply = client.command("NOOP").unwrap();
    assert!(!reply.text.contains("queued"), "{reply:?}");
    let (code, text) = attempt(&mut client, b"Subject: after\r\n\r\nx\r\n");
    assert_eq!(code, 250, "{text}");
    let there = relay.list().len();
    relay.assert_clean();
    relay.kill();
    relay.run();
    assert_eq!(relay.list().len(), there);
    relay.assert_clean();
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
    let calls = "trace=fdatasync,recvfrom,sendto";
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
    let Order { syncs, replies } = Order::of(&trace);
    assert_eq!(replies, senders * each);
    // Two syncs a batch: the log's, and the watermark's.
    assert!(
        syncs > 0 && syncs / 2 < replies,
        "{syncs} syncs for {replies} messages"
    );
}

/// What a trace shows of messages, syncs and replies, in the order in which the kernel saw
/// them.
#[derive(Default)]
struct Order {
    syncs: usize,
    replies: usize,
}

impl Order {
    /// Fails where a reply was sent although no sync has begun and ended since the end of its
    /// message came in.
    fn of(trace: &str) -> Self {
        let mut order = Self::default();
        // By thread: the call that it is in, and when it began.
        let mut calls: HashMap<&str, (String, usize)> = HashMap::new();
        // By descriptor: when the end of its message came in.
        let mut ends: HashMap<String, usize> = HashMap::new();
        let mut last_sync_began = 0;
        for (now, line) in trace.lines().enumerate() {
            let (thread, rest) = line.split_once(' ').unwrap();
            let rest = rest.trim_start();
            // A call that another thread interrupts in the trace ends in a line of its own.
            let resumed = rest
                .split_once(" resumed>")
                .filter(|_| rest.starts_with("<... "));
            let (call, began) = match resumed {
                Some((_, more)) => {
                    let (call, began) = calls.remove(thread).unwrap_or_default();
                    (call + more, began)
                }
                None => (rest.to_owned(), now),
            };
            // A reply counts from its beginning, everything else from its end.
            let is_reply = call.starts_with("sendto(") && call.contains("250 2.0.0 Ok: queued as");
            if is_reply && resumed.is_none() {
                order.replies += 1;
                let end = ends
                    .remove(descriptor(&call))
                    .expect("a message before its reply");
                assert!(last_sync_began > end, "no sync before this:\n{line}");
            }
            if let Some((begun, _)) = call.split_once(" <unfinished") {
                calls.insert(thread, (begun.to_owned(), began));
            } else if call.starts_with("fdatasync(") {
                order.syncs += 1;
                last_sync_began = last_sync_began.max(began);
            } else if call.starts_with("recvfrom(") && call.contains(r"x\r\n.\r\n") {
                ends.insert(descriptor(&call).to_owned(), now);
            }
        }
        order
    }
}

/// `12` in `recvfrom(12, "...`.
fn descriptor(call: &str) -> &str {
    let inner = call.split_once('(').map_or("", |(_, inner)| inner);
    inner.split([',', ')']).next().unwrap_or("")
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
