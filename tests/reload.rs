//! SIGHUP, and certificates that change, as a client and an operator see them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // A test fails by panicking.

mod support;

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};
use support::{
    client::Client,
    peers::Peer,
    poll,
    relay::{DOMAIN, Relay, Settings},
    temp,
};

/// Writes a pair for this name into the directory, and returns the serial number of its
/// certificate as openssl shows it.
fn make_pair(directory: &Path, stem: &str, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(directory.join(format!("{stem}.pem")), made.cert.pem()).unwrap();
    let key = directory.join(format!("{stem}-key.pem"));
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
    fingerprint(made.cert.pem().as_bytes())
}

/// The SHA-256 of the first certificate in a text, by openssl.
fn fingerprint(pem: &[u8]) -> String {
    let output = openssl(&["x509", "-noout", "-fingerprint", "-sha256"], pem);
    let (_, fingerprint) = output.split_once('=').expect("a fingerprint");
    fingerprint.trim().to_owned()
}

fn openssl(arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a new client gets that asks for this name, or for none.
fn served(port: u16, name: Option<&str>, version: &str) -> String {
    let address = format!("127.0.0.1:{port}");
    let mut arguments = vec![
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        &address,
        version,
    ];
    match name {
        Some(name) => arguments.extend(["-servername", name]),
        None => arguments.push("-noservername"),
    }
    fingerprint(openssl(&arguments, b"QUIT\r\n").as_bytes())
}

fn hang_up(relay: &Relay) {
    let pid = Pid::from_raw(i32::try_from(relay.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

fn await_log(relay: &Relay, text: &str, times: usize) {
    poll(text, || {
        (relay.log().matches(text).count() >= times).then_some(())
    });
}

/// Replaces a text in the configuration, where it must be.
fn edit(relay: &Relay, from: &str, to: &str) {
    let text = fs::read_to_string(relay.config()).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(relay.config(), text.replace(from, to)).unwrap();
}

const READ_AGAIN: &str = "the configuration and the certificates were read again";

#[test]
fn certificates_change_under_open_sessions() {
    let directory = temp();
    let path = directory.path();
    let first = make_pair(path, "pair", "hold.example.net");
    let other = make_pair(path, "other", "other.example");
    let mut relay = Relay::configured(path, &Settings::default());
    let text = fs::read_to_string(relay.config()).unwrap();
    let tls = "\n[tls]\ncertificate = \"pair.pem\"\nprivate_key = \"pair-key.pem\"\n\
               [[tls.name]]\ncertificate = \"other.pem\"\nprivate_key = \"other-key.pem\"\n";
    fs::write(relay.config(), text + tls).unwrap();
    relay.run();
    let port = relay.port();
    for version in ["-tls1_2", "-tls1_3"] {
        assert_eq!(served(port, None, version), first);
        assert_eq!(served(port, Some("hold.example.net"), version), first);
        assert_eq!(served(port, Some("unknown.example"), version), first);
        assert_eq!(served(port, Some("other.example"), version), other);
    }

    // A client in the middle of a session under TLS.
    let mut open = Encrypted::connect(port);
    open.ask("EHLO client.example\r\n", "250 ");

    // By itself, when the files change.
    let second = make_pair(path, "pair", "hold.example.net");
    await_log(
        &relay,
        "the certificates have changed and were read again",
        1,
    );
    assert_ne!(second, first);
    assert_eq!(served(port, None, "-tls1_3"), second);
    assert_eq!(served(port, Some("other.example"), "-tls1_3"), other);

    // What cannot be used is named, and changes nothing.
    let sound = fs::read(path.join("pair.pem")).unwrap();
    fs::write(path.join("pair.pem"), "broken").unwrap();
    await_log(
        &relay,
        "the certificates have changed, and the old ones stay: ",
        1,
    );
    await_log(&relay, "pair.pem\" holds no certificate in PEM form", 1);
    hang_up(&relay);
    await_log(&relay, "the configuration stays as it was: ", 1);
    assert_eq!(served(port, None, "-tls1_2"), second);

    // By the signal.
    fs::write(path.join("pair.pem"), sound).unwrap();
    let third = make_pair(path, "pair", "hold.example.net");
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 1);
    assert_eq!(served(port, None, "-tls1_3"), third);

    // The session that was open all the time goes on.
    open.ask("MAIL FROM:<alice@example.org>\r\n", "250 ");
    open.ask(&format!("RCPT TO:<bob@{DOMAIN}>\r\n"), "250 ");
    open.ask("DATA\r\n", "354 ");
    open.ask("Subject: x\r\n\r\nx\r\n.\r\n", "250 ");
    open.ask("QUIT\r\n", "221 ");
    assert_eq!(relay.count("held"), 1);
    relay.stop();
}

/// A session by openssl, which goes on for as long as its input does.
struct Encrypted {
    child: std::process::Child,
    replies: std::io::BufReader<std::process::ChildStdout>,
}

impl Encrypted {
    fn connect(port: u16) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_client", "-quiet", "-starttls", "smtp", "-connect"])
            .arg(format!("127.0.0.1:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let replies = std::io::BufReader::new(child.stdout.take().unwrap());
        Self { child, replies }
    }

    fn ask(&mut self, command: &str, code: &str) {
        use std::io::{BufRead as _, Write as _};
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(command.as_bytes()).unwrap();
        input.flush().unwrap();
        loop {
            let mut line = String::new();
            assert!(self.replies.read_line(&mut line).unwrap() > 0, "closed");
            // openssl shows the last line of the reply to its own EHLO.
            if line.starts_with("250 CHUNKING") && code != "250 " {
                continue;
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                assert!(line.starts_with(code), "{command}: {line}");
                return;
            }
        }
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is held goes to where the configuration says at the time of its release.
#[test]
fn a_reload_retargets_what_is_held() {
    let directory = temp();
    let path = directory.path();
    let peer = Peer::dovecot(&path.join("new"));
    // At first the destination is a port where nobody is.
    let mut relay = Relay::start(path, &Settings::default());
    let port = relay.port();
    let message = b"Subject: held\r\n\r\nheld\r\n";
    let to = format!("bob@{DOMAIN}");
    Client::deliver(port, "alice@example.org", &[&to], message).unwrap();
    relay.ok(&["release", DOMAIN, "--detach", "--yes"]);
    poll("a refused connection", || {
        relay.domain(DOMAIN)["release"]["blocked"]
            .as_str()
            .map(drop)
    });

    let old = "port = 9, protocol = \"smtp\"";
    let new = format!("port = {}, protocol = \"lmtp\"", peer.port("lmtp"));
    edit(&relay, old, &new);
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 1);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 1);
    let delivered = support::mailbox::maildir(&peer.mail().join(&to).join("Maildir"));
    assert_eq!(delivered.len(), 1);
    relay.stop();
}

#[test]
fn a_reload_changes_domains_and_limits() {
    let directory = temp();
    let mut relay = Relay::start(directory.path(), &Settings::default());
    let port = relay.port();
    let mut open = Client::hello(port).unwrap();
    open.expect("MAIL FROM:<alice@example.org>", 250).unwrap();
    open.expect("RCPT TO:<bob@more.example>", 554).unwrap();

    let domain = "[[domain]]\nname = \"more.example\"\ndestination = { host = \"127.0.0.1\" }\n\
                  [[domain]]";
    edit(&relay, "[[domain]]", domain);
    edit(&relay, "[limits]", "[limits]\nmessage_size = \"100 kB\"");
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 1);
    // Domains also in open sessions, limits with the next one.
    open.expect("RCPT TO:<bob@more.example>", 250).unwrap();
    let mut next = Client::hello(port).unwrap();
    next.expect("MAIL FROM:<alice@example.org> SIZE=100001", 552)
        .unwrap();
    relay.domain("more.example");

    // And back.
    edit(&relay, domain, "[[domain]]");
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 2);
    await_log(&relay, "more.example is no longer configured", 1);
    open.expect("RCPT TO:<eve@more.example>", 554).unwrap();
    relay.stop();
}

#[test]
fn what_cannot_be_reloaded_is_named() {
    let directory = temp();
    let mut relay = Relay::start(directory.path(), &Settings::default());
    let port = relay.port();
    edit(&relay, "tls = \"starttls\"", "tls = \"none\"");
    edit(&relay, "min_free = \"1 MiB\"", "min_free = \"2 MiB\"");
    edit(&relay, "hold.example.net", "other.example.net");
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 1);
    for key in ["hostname", "[[listen]]", "[spool]"] {
        await_log(
            &relay,
            &format!("{key} has changed, which needs a restart: the old value stays"),
            1,
        );
    }
    assert!(
        Client::hello(port)
            .unwrap()
            .greeting
            .text
            .starts_with("hold.example.net ")
    );

    // A mistake is named with its place, and changes nothing.
    edit(
        &relay,
        "[limits]",
        "[limits]\nmesage_size = 1\nmessage_size = 1",
    );
    let text = fs::read_to_string(relay.config()).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line == "mesage_size = 1")
        .unwrap();
    hang_up(&relay);
    let problem = format!(
        "the configuration stays as it was: {}:{line}: limits.mesage_size: unknown key",
        relay.config().display()
    );
    await_log(&relay, &problem, 1);
    Client::deliver(
        port,
        "alice@example.org",
        &[&format!("bob@{DOMAIN}")],
        b"x\r\n",
    )
    .unwrap();
    relay.stop();
}

/// A certificate that does not fit stops a release before a message is risked; once it is
/// known (here by its pin), what is held goes on after a reload.
#[test]
fn a_certificate_that_does_not_fit_stops_a_release_until_it_is_put_right() {
    let directory = temp();
    let path = directory.path();
    let pin = make_pair(path, "other", "mail.other.example");
    let to = format!("bob@{DOMAIN}");
    let files = ["cert_file=other.pem", "key_file=other-key.pem"];
    let files = files.map(|file| {
        let (key, name) = file.split_once('=').unwrap();
        format!("smtpd_tls_{key}={}", path.join(name).display())
    });
    let level = "smtpd_tls_security_level=may";
    let options = ["--set", &files[0], "--set", &files[1], "--set", level];
    let postfix = Peer::delivering(
        "postfix",
        &path.join("new"),
        std::slice::from_ref(&to),
        &options,
    );
    let mut relay = Relay::configured(path, &Settings::to(postfix.port("smtp")));
    edit(
        &relay,
        "connections = 20",
        "connections = 20, tls = \"verified\"",
    );
    relay.run();
    for number in 0..20 {
        let message = format!("Subject: {number}\r\n\r\nheld\r\n");
        Client::deliver(
            relay.port(),
            "alice@example.org",
            &[&to],
            message.as_bytes(),
        )
        .unwrap();
    }
    let output = relay.cli(&["release", DOMAIN, "--yes"]);
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let domain = relay.domain(DOMAIN);
    let reason = domain["paused"].as_str().unwrap();
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(domain["states"]["queued"]["count"], 20, "{domain}");

    let pinned = format!("tls = \"verified\", pin = {pin:?}");
    edit(&relay, "tls = \"verified\"", &pinned);
    hang_up(&relay);
    await_log(&relay, READ_AGAIN, 1);
    relay.ok(&["resume", DOMAIN]);
    relay.await_forward();
    assert_eq!(relay.count("delivered"), 20);
    let log = fs::read_to_string(postfix.log()).unwrap();
    assert_eq!(log.matches("status=sent").count(), 20, "{log}");
    relay.stop();
}
