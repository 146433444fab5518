//! `[hooks]` from outside: what is told, in its order; a veto; a hook that hangs keeps no mail
//! waiting.

#[path = "support/pki.rs"]
mod pki;
mod support;

use pki::Authority;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};
use support::{
    client::Client,
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

fn script(directory: &Path, name: &str, lines: &str) -> PathBuf {
    let program = directory.join(name);
    fs::write(&program, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn start(directory: &Path, port: u16, hooks: &str) -> Relay {
    let mut relay = Relay::configured(directory, &Settings::to(port));
    relay.configure(&format!("\n[hooks]\n{hooks}\n"));
    relay.run();
    relay
}

fn send(relay: &Relay, to: &str, count: usize) {
    for number in 0..count {
        let message = format!("Subject: {number}\r\n\r\nx\r\n");
        let to = format!("{to}{number}@{DOMAIN}");
        Client::deliver(relay.port(), "a@example.org", &[&to], message.as_bytes()).unwrap();
    }
}

/// A server on the web that keeps what it is told.
struct Web {
    port: u16,
    told: Arc<Mutex<Vec<Value>>>,
    /// Its status line.
    answer: Arc<Mutex<&'static str>>,
}

const YES: &str = "204 No Content";

impl Web {
    /// Says yes to everything, over TLS where it has a certificate.
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Self {
            port: listener.local_addr().unwrap().port(),
            told: Arc::default(),
            answer: Arc::new(Mutex::new(YES)),
        };
        let (told, answer) = (web.told.clone(), web.answer.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let answer = *answer.lock().unwrap();
                let event = match &tls {
                    None => exchange(stream, answer),
                    Some(tls) => {
                        let server = ServerConnection::new(tls.clone()).unwrap();
                        exchange(StreamOwned::new(server, stream), answer)
                    }
                };
                // One that does not believe the certificate tells nothing.
                told.lock().unwrap().extend(event);
            }
        });
        web
    }

    fn say(&self, answer: &'static str) {
        *self.answer.lock().unwrap() = answer;
    }
}

/// Reads a request, and answers it. Its body.
fn exchange(mut stream: impl Read + Write, answer: &str) -> Option<Value> {
    let mut bytes = Vec::new();
    let body = loop {
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
        let all = text(&bytes);
        let Some((head, body)) = all.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            break body.to_owned();
        }
    };
    let reason = "the window is closed";
    let body_of = |answer: &str| if answer == YES { "" } else { reason };
    let (said, length) = (body_of(answer), body_of(answer).len());
    let length = match answer {
        YES => String::new(),
        _ => format!("Content-Length: {length}\r\n"),
    };
    let _ = write!(stream, "HTTP/1.1 {answer}\r\n{length}\r\n{said}");
    let _ = stream.flush();
    Some(serde_json::from_str(&body).unwrap())
}

fn whats(told: &[Value]) -> Vec<String> {
    let what = |event: &Value| format!("{} {}", event["event"], event["what"]).replace('"', "");
    told.iter().map(what).collect()
}

#[test]
fn each_step_is_told_in_its_order_by_command_and_web() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::healthy();
    let log = path.join("told");
    let command = script(path, "hook", &format!("cat >> {0:?}; echo >> {0:?}", log));
    let web = Web::start(None);
    let (port, told) = (web.port, &web.told);
    let hooks = format!("command = {command:?}\nwebhook = \"http://127.0.0.1:{port}/hook\"");
    let relay = start(path, peer.port, &hooks);
    send(&relay, "bob", 3);
    relay.ok(&["pause", DOMAIN, "--reason", "lunch"]);
    relay.ok(&["resume", DOMAIN]);
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    let expected = [
        "paused paused: lunch",
        "resumed resumed",
        "phase phase hold -> release",
        "phase phase release -> forward",
    ];
    poll("the web to be told", || {
        (told.lock().unwrap().len() >= expected.len()).then_some(())
    });
    let by_web = told.lock().unwrap().clone();
    assert_eq!(whats(&by_web), expected);
    let last = &by_web[3];
    assert_eq!(last["domain"], DOMAIN);
    assert_eq!(last["hostname"], "hold.example.net");
    assert_eq!(last["account"]["delivered"], 3);
    assert_eq!(last["cause"], "policy: the backlog is empty");
    let by_command = poll("the command to be told", || {
        let lines = fs::read_to_string(&log).ok()?;
        let lines: Vec<Value> = lines
            .lines()
            .map_while(|line| serde_json::from_str(line).ok())
            .collect();
        (lines.len() >= expected.len()).then_some(lines)
    });
    assert_eq!(by_command, by_web);
}

#[test]
fn the_breaker_is_told_and_a_hook_that_hangs_keeps_nothing_waiting() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::new(|ask| match ask {
        Ask::Rcpt(to) if to.starts_with("no") => Act::Say("550 5.7.1 no"),
        _ => Act::Go,
    });
    let web = Web::start(None);
    let (port, told) = (web.port, &web.told);
    let command = script(path, "hook", "exec sleep 600");
    let hooks = format!(
        "command = {command:?}\nwebhook = \"http://127.0.0.1:{port}/\"\ntimeout = \"200ms\""
    );
    let relay = start(path, peer.port, &hooks);
    send(&relay, "bob", 2);
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    send(&relay, "no", 12);
    let breaker = poll("the breaker", || {
        let told = told.lock().unwrap();
        told.iter()
            .find(|event| event["event"] == "breaker")
            .cloned()
    });
    assert!(
        breaker["what"].as_str().unwrap().starts_with("paused: "),
        "{breaker}"
    );
    poll("the log of what failed", || {
        relay.log().contains("no end within 0.2 s").then_some(())
    });
}

#[test]
fn a_veto_refuses_with_its_words_and_a_silent_one_too() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::healthy();
    let asked = path.join("asked");
    let yes = path.join("yes");
    let lines = format!(
        "cat > {asked:?}\ntest -e {yes:?} || {{ echo the change window is closed; exit 1; }}"
    );
    let veto = script(path, "veto", &lines);
    let relay = start(path, peer.port, &format!("veto = {veto:?}"));
    send(&relay, "bob", 1);
    let refused = relay.cli(&["release", DOMAIN, "--yes"]);
    assert_eq!(refused.status.code(), Some(75));
    let why = text(&refused.stderr);
    assert!(why.contains("the change window is closed"), "{why}");
    assert_eq!(relay.domain(DOMAIN)["phase"], "hold");
    let question: Value = serde_json::from_slice(&fs::read(&asked).unwrap()).unwrap();
    assert_eq!(
        (&question["event"], &question["domain"]),
        (&"release".into(), &DOMAIN.into())
    );
    assert_eq!(question["account"]["backlog"], 1);
    fs::write(&yes, "").unwrap();
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    relay.ok(&["hold", DOMAIN]);
    fs::remove_file(&veto).unwrap();
    let refused = relay.cli(&["release", DOMAIN, "--yes"]);
    assert_eq!(refused.status.code(), Some(75));
    let why = text(&refused.stderr);
    assert!(why.contains("cannot be asked"), "{why}");
}

#[test]
fn a_veto_by_https_is_believed_by_its_authority_alone() {
    let directory = temp();
    let path = directory.path();
    let peer = Scripted::healthy();
    let authority = Authority::new();
    fs::write(path.join("ca.pem"), authority.pem()).unwrap();
    let web = Web::start(Some(authority.sign("127.0.0.1", 2100).server()));
    let url = format!("https://127.0.0.1:{}/T0/s3cret", web.port);
    let hooks = format!("veto_webhook = {url:?}\nwebhook = {url:?}\nca = \"ca.pem\"");
    let mut relay = start(path, peer.port, &hooks);
    send(&relay, "bob", 1);
    web.say("403 Forbidden");
    let refused = relay.cli(&["release", DOMAIN, "--yes"]);
    assert_eq!(refused.status.code(), Some(75));
    let why = text(&refused.stderr);
    assert!(why.contains("the window is closed"), "{why}");
    assert_eq!(relay.domain(DOMAIN)["phase"], "hold");
    web.say(YES);
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    let expected = [
        "release release of corp.example",
        "release release of corp.example",
        "phase phase hold -> release",
        "phase phase release -> forward",
    ];
    poll("the web to be told", || {
        (web.told.lock().unwrap().len() >= expected.len()).then_some(())
    });
    assert_eq!(whats(&web.told.lock().unwrap()), expected);

    // The public authorities have not signed it: nobody is told, and silence is no.
    relay.ok(&["hold", DOMAIN]);
    relay.stop();
    let config = fs::read_to_string(relay.config()).unwrap();
    fs::write(relay.config(), config.replace("ca = \"ca.pem\"", "")).unwrap();
    relay.run();
    let before = web.told.lock().unwrap().len();
    let refused = relay.cli(&["release", DOMAIN, "--yes"]);
    assert_eq!(refused.status.code(), Some(75));
    let why = text(&refused.stderr);
    assert!(
        why.contains("cannot be asked") && why.contains("certificate"),
        "{why}"
    );
    assert_eq!(web.told.lock().unwrap().len(), before);
    // What is behind the host may be a secret.
    let shown = text(&relay.ok(&["config", "show"]));
    assert!(shown.contains("/(masked)"), "{shown}");
    for said in [shown, why, relay.log()] {
        assert!(!said.contains("s3cret"), "{said}");
    }
}
