//! Bad input gets a clear error, the one who caused it gets it, and nothing that was
//! accepted is touched.

mod support;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    Random,
    client::{Client, Reply, queue_id, wire},
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::Scripted,
    temp,
};

const BOB: &str = "bob@corp.example";
const MESSAGE: &[u8] = b"Subject: kept\r\n\r\ntext\r\n";

/// A relay that has accepted one message, which must survive whatever follows.
struct Kept {
    relay: Relay,
    id: String,
}

impl Kept {
    fn new(directory: &Path, settings: &Settings) -> Self {
        let relay = Relay::start(directory, settings);
        let id = send(relay.port()).unwrap();
        Self { relay, id }
    }

    fn client(&self) -> Client {
        Client::hello(self.relay.port()).unwrap()
    }

    /// The one message is there, alone and whole, and mail is still taken and counted.
    fn assert_untouched(&self) {
        assert_eq!(self.relay.accepted(), 1);
        assert_eq!(self.relay.list().len(), 1);
        assert_eq!(self.relay.ok(&["show", &self.id, "--raw"]), MESSAGE);
        self.relay.assert_clean();
        let next = send(self.relay.port()).unwrap();
        assert!(next > self.id);
        assert_eq!(self.relay.accepted(), 2);
    }
}

fn send(port: u16) -> std::io::Result<String> {
    Client::deliver(port, "alice@example.org", &[BOB], MESSAGE)
}

#[track_caller]
fn assert_reply(reply: &Reply, code: u16, starts: &str) {
    assert!(
        reply.code == code && reply.text.starts_with(starts),
        "{code} {starts}: {reply:?}"
    );
}

#[test]
fn garbage_is_refused_and_ends_with_421() {
    let directory = temp();
    let kept = Kept::new(
        directory.path(),
        &Settings {
            limits: "errors = 5",
            ..Settings::default()
        },
    );
    let mut client = kept.client();
    for line in ["", " ", "\u{fc}\u{df}", "HELP\0ME", "GET / HTTP/1.1"] {
        let reply = client.command(line).unwrap();
        assert!((500..=502).contains(&reply.code), "{line:?}: {reply:?}");
    }
    let last = client.command("XYZZY").unwrap();
    assert_reply(&last, 421, "4.7.0");
    assert_eq!(client.rest().unwrap(), b"");

    // Bytes that are no lines at all.
    let mut random = Random::new(1);
    for _ in 0..10 {
        let noise: Vec<u8> = (0..20_000).map(|_| random.next() as u8).collect();
        let mut client = kept.client();
        // It may be cut off before all is written.
        let _ = client.raw(&noise);
        let _ = client.rest();
    }
    kept.assert_untouched();
}

#[test]
fn an_over_long_line_is_refused_in_bounded_memory() {
    let directory = temp();
    let kept = Kept::new(directory.path(), &Settings::default());
    let mut client = kept.client();
    // RFC 5321 §4.5.3.1.4 asks for 512 octets at least.
    let reply = client
        .command(&format!("NOOP {}", "x".repeat(490)))
        .unwrap();
    assert_eq!(reply.code, 250, "{reply:?}");
    let reply = client
        .command(&format!("NOOP {}", "x".repeat(100_000)))
        .unwrap();
    assert_reply(&reply, 500, "5.5.2");
    // One line gave one reply, and the session goes on behind it.
    client.expect("NOOP", 250).unwrap();

    // A line without an end is cut off, or swallowed; never kept.
    let before = resident_kib(kept.relay.pid());
    let block = vec![b'x'; 1 << 20];
    let _ = (0..64).try_for_each(|_| client.raw(&block));
    let grown = resident_kib(kept.relay.pid()).saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    drop(client);
    kept.assert_untouched();
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn commands_out_of_order_are_refused() {
    let directory = temp();
    let kept = Kept::new(directory.path(), &Settings::default());
    let mut client = Client::connect(kept.relay.port()).unwrap();
    for (line, code) in [
        ("MAIL FROM:<a@example.org>", 503),
        ("EHLO client.example", 250),
        ("RCPT TO:<bob@corp.example>", 503),
        ("DATA", 503),
        ("MAIL FROM:<a@example.org>", 250),
        ("MAIL FROM:<a@example.org>", 503),
        // RFC 5321 §3.3: no recipients.
        ("DATA", 554),
        ("RCPT TO:<bob@corp.example>", 250),
        ("RSET", 250),
        ("DATA", 503),
        ("QUIT", 221),
    ] {
        client.expect(line, code).unwrap();
    }
    kept.assert_untouched();
}

#[test]
fn an_unknown_domain_is_refused_and_logged() {
    let directory = temp();
    let kept = Kept::new(directory.path(), &Settings::default());
    let mut client = kept.client();
    client.expect("MAIL FROM:<a@example.org>", 250).unwrap();
    for address in [
        "x@else.example",
        "x@sub.corp.example",
        "x@corp.example.evil",
        "x%else.example@other.example",
        "@corp.example:x@else.example",
    ] {
        let reply = client.command(&format!("RCPT TO:<{address}>")).unwrap();
        assert!((500..=554).contains(&reply.code), "{address}: {reply:?}");
    }
    let reply = client.command("RCPT TO:<x@else.example>").unwrap();
    assert_reply(&reply, 554, "5.7.1");
    client.expect("DATA", 554).unwrap();
    let line = "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <x@else.example>: \
         Relay access denied; from=<a@example.org> to=<x@else.example> proto=ESMTP \
         helo=<client.example>";
    poll("the log line", || {
        kept.relay.log().contains(line).then_some(())
    });
    kept.assert_untouched();
}

#[test]
fn too_large_is_refused_by_size_and_by_count() {
    let directory = temp();
    let settings = Settings {
        limits: "message_size = \"1 MiB\"",
        ..Settings::default()
    };
    let kept = Kept::new(directory.path(), &settings);
    let mut client = kept.client();
    let reply = client
        .command("MAIL FROM:<a@example.org> SIZE=1048577")
        .unwrap();
    assert_reply(&reply, 552, "5.3.4");

    // What it says is not what it sends.
    client
        .expect("MAIL FROM:<a@example.org> SIZE=100", 250)
        .unwrap();
    client.expect("RCPT TO:<bob@corp.example>", 250).unwrap();
    client.expect("DATA", 354).unwrap();
    let line = [b"x".repeat(78), b"\r\n".to_vec()].concat();
    client.raw(&wire(&line.repeat((1 << 20) / 80 + 1))).unwrap();
    assert_reply(&client.reply().unwrap(), 552, "5.3.4");

    // The limit itself is allowed, and the session has gone on.
    let mut full = line.repeat((1 << 20) / 80);
    full.extend(vec![b'y'; (1 << 20) - full.len() - 2]);
    full.extend(b"\r\n");
    assert_eq!(full.len(), 1 << 20);
    let id = client.send("a@example.org", &[BOB], &full).unwrap();
    assert_eq!(kept.relay.accepted(), 2);
    assert_eq!(kept.relay.ok(&["show", &id, "--raw"]), full);
    kept.relay.assert_clean();
}

#[test]
fn a_client_that_vanishes_leaves_nothing() {
    let directory = temp();
    let kept = Kept::new(directory.path(), &Settings::default());
    for size in [0, 1, 5000, 3 << 20] {
        for ending in [&b""[..], b"\r\n", b"\r\n.", b"\r\n.\r"] {
            let mut client = kept.client();
            client.envelope("a@example.org", &[BOB]).unwrap();
            client.raw(&vec![b'x'; size]).unwrap();
            client.raw(ending).unwrap();
            // Closing both directions is what a lost client looks like.
            drop(client);
        }
    }
    kept.assert_untouched();
    // No half body is left beside the database either, once all sessions have ended.
    let bodies = directory.path().join("spool/bodies");
    poll("an empty directory", || {
        let left = fs::read_dir(&bodies).map_or(0, Iterator::count);
        (left == 0).then_some(())
    });
}

#[test]
fn a_wrong_configuration_names_file_line_and_key() {
    let directory = temp();
    let relay = Relay::configured(directory.path(), &Settings::default());
    let good = fs::read_to_string(relay.config()).unwrap();
    for (from, to, line_with, expected) in [
        (
            "connections_per_ip",
            "connections_per_pi",
            "connections_per_pi",
            "connections_per_pi",
        ),
        (
            "min_free = \"1 MiB\"",
            "min_free = \"1 parsec\"",
            "parsec",
            "min_free",
        ),
        (
            "tls = \"starttls\"",
            "tls = \"startls\"",
            "startls",
            "starttls",
        ),
        ("127.0.0.1:0", "127.0.0.1:99999", "99999", "address"),
        (
            "name = \"corp.example\"",
            "name = \"corp example\"",
            "corp example",
            "name",
        ),
        ("[spool]", "[spool", "[spool", "unclosed table"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        fs::write(relay.config(), &bad).unwrap();
        let line = 1 + bad
            .lines()
            .position(|line| line.contains(line_with))
            .unwrap();
        let place = format!("{}:{line}:", relay.config().display());
        for command in [&["serve"][..], &["config", "check"]] {
            let output = relay.cli(command);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{to}: {error}");
            assert!(
                error.contains(&place) && error.contains(expected),
                "{place} {expected}: {error}"
            );
        }
    }
    assert!(!directory.path().join("spool").exists(), "nothing was made");
}

#[test]
fn a_missing_configuration_is_named() {
    let directory = temp();
    let relay = Relay::configured(directory.path(), &Settings::default());
    fs::remove_file(relay.config()).unwrap();
    let output = relay.cli(&["serve"]);
    assert_eq!(output.status.code(), Some(78));
    let error = text(&output.stderr);
    assert!(error.contains(relay.config().to_str().unwrap()), "{error}");
}

#[test]
fn a_spool_in_use_names_its_holder() {
    let directory = temp();
    let kept = Kept::new(directory.path(), &Settings::default());
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    let settings = Settings {
        spool: Some(directory.path().join("spool")),
        ..Settings::default()
    };
    let second = Relay::configured(&other, &settings);
    let output = second.cli(&["serve"]);
    let error = text(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("in use"), "{error}");
    assert!(error.contains(&kept.relay.pid().to_string()), "{error}");
    kept.assert_untouched();
}

#[test]
fn below_min_free_mail_is_refused_for_now() {
    let directory = temp();
    let settings = Settings {
        min_free: "1000 TiB".into(),
        ..Settings::default()
    };
    let relay = Relay::start(directory.path(), &settings);
    let mut client = Client::hello(relay.port()).unwrap();
    let reply = client.command("MAIL FROM:<a@example.org>").unwrap();
    assert_reply(&reply, 452, "4.3.1");
    client.expect("NOOP", 250).unwrap();
    assert_eq!(relay.accepted(), 0);
    let line = "NOQUEUE: reject: MAIL from unknown[127.0.0.1]: 452 4.3.1";
    poll("the log line", || relay.log().contains(line).then_some(()));
}

/// Sends a message; its queue id, or the reply that refused it.
fn attempt(port: u16, message: &[u8]) -> std::io::Result<Result<String, Reply>> {
    let mut client = Client::hello(port)?;
    for line in [
        "MAIL FROM:<a@example.org>",
        "RCPT TO:<bob@corp.example>",
        "DATA",
    ] {
        let reply = client.command(line)?;
        if !reply.is_positive() {
            return Ok(Err(reply));
        }
    }
    client.raw(&wire(message))?;
    let reply = client.reply()?;
    if reply.is_positive() {
        return queue_id(&reply).map(Ok);
    }
    Ok(Err(reply))
}

/// A small file system of its own, gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir(&path).unwrap();
        let options = format!("size={size},mode=755");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "relay-test"])
            .arg(&path);
        assert!(mount.status().unwrap().success());
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is just dying may still be in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root can mount a small disk");
        return;
    }
    let directory = temp();
    let disk = SmallDisk::mount(directory.path().join("disk"), "64m");
    let settings = Settings {
        spool: Some(disk.0.join("spool")),
        // So that it is the disk that says no.
        min_free: "0".into(),
        ..Settings::default()
    };
    let mut relay = Relay::start(directory.path(), &settings);
    let mut accepted = Vec::new();
    let mut random = Random::new(9);
    // First what fills it with large bodies, then with small ones.
    for size in [4 << 20, 300_000, 3000] {
        let refused = (0..10_000).find_map(|_| {
            let body = format!("{:016x}", random.next()).repeat(size / 16);
            let message = format!("Subject: full\r\n\r\n{body}\r\n").into_bytes();
            match attempt(relay.port(), &message).unwrap() {
                Ok(id) => {
                    accepted.push((id, message));
                    None
                }
                Err(reply) => Some(reply),
            }
        });
        let refused = refused.expect("the disk is small");
        assert!(matches!(refused.code, 451 | 452), "{refused:?}");
        assert!(refused.text.starts_with("4.3."), "{refused:?}");
    }
    assert!(accepted.len() > 10);
    relay.kill();
    // With a little room again it opens, and everything that got a 250 is there.
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,size=128m"]).arg(&disk.0);
    assert!(remount.status().unwrap().success());
    relay.run();
    for (id, message) in &accepted {
        assert!(relay.ok(&["show", id, "--raw"]) == *message, "{id}");
    }
    relay.assert_clean();
    send(relay.port()).unwrap();
    relay.stop();
}

#[test]
fn a_damaged_body_is_reported_and_never_delivered() {
    let directory = temp();
    let peer = Scripted::healthy();
    let mut kept = Kept::new(directory.path(), &Settings::to(peer.port));
    // Above 128 KiB a body is a file of its own.
    let large = [
        b"Subject: large\r\n\r\n",
        &b"0123456789abcd\r\n".repeat(20_000)[..],
    ]
    .concat();
    let mut client = kept.client();
    let damaged = client
        .send("a@example.org", &["eve@corp.example"], &large)
        .unwrap();
    client
        .send("a@example.org", &["dan@corp.example"], MESSAGE)
        .unwrap();
    drop(client);
    kept.relay.stop();

    let bodies = directory.path().join("spool/bodies");
    let file = fs::read_dir(&bodies)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    File::create(&file).unwrap().write_all(&bytes).unwrap();

    // Without a daemon.
    let output = kept.relay.cli(&["fsck"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains(&damaged), "{said}");
    let output = kept.relay.cli(&["show", &damaged, "--raw"]);
    assert_eq!(output.status.code(), Some(65), "{}", text(&output.stderr));

    // With one: the others are delivered, and this one waits for a person.
    kept.relay.run();
    kept.relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    peer.await_arrivals("the two others", |arrivals| {
        arrivals.iter().filter(|arrival| arrival.stored).count() == 2
    });
    poll("its end", || {
        (kept.relay.count("queued") == 0).then_some(())
    });
    assert_eq!(kept.relay.count("delivered"), 2);
    let recipients: Vec<String> = (peer.stored().into_iter())
        .flat_map(|arrival| arrival.recipients)
        .collect();
    assert!(
        !recipients.contains(&"eve@corp.example".to_owned()),
        "{recipients:?}"
    );
    let shown = kept.relay.json(&["show", &damaged]);
    assert!(shown.to_string().contains("damaged"), "{shown}");
    assert_eq!(kept.relay.accepted(), 3);
}
