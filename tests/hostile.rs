//! Peers that mean harm: the service goes on, its memory stays bounded, and what was accepted
//! is untouched.

mod support;

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};
use support::{
    Random,
    client::Client,
    relay::{DOMAIN, Relay, Settings},
    scripted::Scripted,
    temp,
};

const BOB: &str = "bob@corp.example";
/// More than this a peer never makes relay take, in KiB.
const KIB_MAX: u64 = 64 * 1024;

fn resident_kib(relay: &Relay) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

/// Somebody else is served, and the books balance.
fn assert_serves(relay: &Relay) {
    Client::deliver(
        relay.port(),
        "a@example.org",
        &[BOB],
        b"Subject: x\r\n\r\nx\r\n",
    )
    .unwrap();
    relay.assert_clean();
}

#[test]
fn a_hundred_thousand_recipients_are_taken_as_far_as_the_limit() {
    const RECIPIENTS: u32 = 100_000;
    let directory = temp();
    let settings = Settings {
        limits: "recipients = 200",
        ..Settings::default()
    };
    let relay = Relay::start(directory.path(), &settings);
    let before = resident_kib(&relay);
    let mut client = Client::hello(relay.port()).unwrap();
    client.expect("MAIL FROM:<a@example.org>", 250).unwrap();
    let mut codes = [0_u32; 2];
    for number in (0..RECIPIENTS).step_by(1000) {
        let group: String = (number..number + 1000)
            .map(|number| format!("RCPT TO:<user{number}@{DOMAIN}>\r\n"))
            .collect();
        client.raw(group.as_bytes()).unwrap();
        for _ in 0..1000 {
            match client.reply().unwrap().code {
                250 => codes[0] += 1,
                452 => codes[1] += 1,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(codes, [200, RECIPIENTS - 200]);
    client.expect("DATA", 354).unwrap();
    client.raw(b"Subject: many\r\n\r\n.\r\n").unwrap();
    assert_eq!(client.reply().unwrap().code, 250);
    client.quit().unwrap();
    assert_eq!(relay.accepted(), 200);
    let grown = resident_kib(&relay) - before;
    assert!(grown < KIB_MAX, "{grown} KiB more");
    assert_serves(&relay);
}

#[test]
fn a_header_without_end_goes_through_byte_for_byte() {
    const BYTES: usize = 20 << 20;
    let directory = temp();
    let peer = Scripted::healthy();
    let relay = Relay::start(directory.path(), &Settings::to(peer.port));
    let before = resident_kib(&relay);
    let lines = b"X-Bomb: 0123456789012345678901234567890123456789\r\n";
    let many = [lines.repeat(BYTES / lines.len()), b"\r\nbody\r\n".to_vec()].concat();
    let long = [
        b"X-Bomb: ".to_vec(),
        vec![b'x'; BYTES],
        b"\r\n\r\nbody\r\n".to_vec(),
    ]
    .concat();
    let folded = b"\t0123456789012345678901234567890123456789\r\n";
    let folded = [
        b"X-Bomb: x\r\n".to_vec(),
        folded.repeat(BYTES / folded.len()),
        b"\r\n".to_vec(),
    ];
    let messages = [many, long, folded.concat()];
    for message in &messages {
        Client::deliver(relay.port(), "a@example.org", &[BOB], message).unwrap();
    }
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    peer.await_arrivals("all three", |arrivals| arrivals.len() == messages.len());
    let grown = resident_kib(&relay) - before;
    for (arrival, message) in peer.stored().iter().zip(&messages) {
        let at = arrival.message.len() - message.len();
        assert!(arrival.message[at..] == message[..], "changed");
        assert!(at < 1000, "{at} bytes in front");
    }
    assert!(grown < KIB_MAX, "{grown} KiB more");
    relay.await_forward();
    assert_serves(&relay);
}

/// STARTTLS, and then no handshake: noise, or nothing.
#[test]
fn handshakes_that_come_to_nothing_keep_nobody_out() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let before = resident_kib(&relay);
    let mut random = Random::new(3);
    let mut silent = Vec::new();
    for number in 0..400 {
        let mut client = Client::hello(relay.port()).unwrap();
        client.expect("STARTTLS", 220).unwrap();
        if number % 2 == 0 {
            let noise: Vec<u8> = (0..500).map(|_| random.next() as u8).collect();
            // It may be cut off before all is written.
            let _ = client.raw(&noise);
        } else {
            silent.push(client);
        }
    }
    let grown = resident_kib(&relay) - before;
    assert!(grown < KIB_MAX, "{grown} KiB more");
    assert_serves(&relay);
    drop(silent);
}

/// Whatever a program with the right to call sends: an answer, and never that relay is at fault.
#[test]
fn nonsense_to_the_interface_is_the_callers_fault() {
    let directory = temp();
    let relay = Relay::start(directory.path(), &Settings::default());
    let id = Client::deliver(relay.port(), "a@example.org", &[BOB], b"x\r\n").unwrap();
    let socket = directory.path().join("control.sock");
    let mut random = Random::new(11);
    let mut pick = |of: &[&str]| {
        let place = random.below(of.len() as u64);
        of[usize::try_from(place).unwrap()].to_owned()
    };
    let names = [
        DOMAIN,
        "nobody.example",
        "..",
        "%2e%2e%2f",
        "%00",
        "%ff",
        "*",
        "a%20b",
        &id,
        "0",
    ];
    let calls = [
        "", "/events", "/hold", "/pause", "/resume", "/canary", "/raw", "/nothing",
    ];
    let values = [
        "",
        "0",
        "-1",
        "18446744073709551616",
        "1e400",
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\"x\"",
        "%ff",
        "\u{0}",
        "@",
        "held",
        "all",
        "2026-11-27T00:00:00Z",
    ];
    let keys = [
        "limit",
        "after",
        "state",
        "domain",
        "recipient",
        "sender",
        "since",
        "reason",
        "to",
    ];
    for number in 0..2000 {
        let method = pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]);
        let part = pick(&[
            "domains",
            "messages",
            "deliveries",
            "status",
            "log",
            "fsck",
            "x",
        ]);
        let path = format!("/v1/{part}/{}{}", pick(&names), pick(&calls));
        let query = format!(
            "?{}={}&{}={}",
            pick(&keys),
            pick(&values),
            pick(&keys),
            pick(&values)
        );
        let query: String = query.chars().filter(|c| !c.is_control()).collect();
        let body = format!(
            "{{{:?}:{},{:?}:{}}}",
            pick(&keys),
            pick(&values),
            pick(&keys),
            pick(&values)
        );
        let body = if number % 3 == 0 { pick(&values) } else { body };
        let code = call(&socket, &method, &format!("{path}{query}"), &body);
        assert!(
            (200..500).contains(&code),
            "{method} {path}{query} {body}: {code}"
        );
    }
    let shown = relay.json(&["show", &id]);
    assert_eq!(shown["queue_id"], id.as_str(), "{shown}");
    assert_serves(&relay);
}

fn call(socket: &Path, method: &str, path: &str, body: &str) -> u16 {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    let text = std::str::from_utf8(&answer).unwrap();
    text[9..].parse().unwrap()
}

/// An IMAP server that answers LIST with a line, or a literal, of a gigabyte; squeezed to a
/// megabyte where it is told to.
const BOMB: &str = r#"
import socketserver, sys, zlib
CAPABILITY = b"* CAPABILITY IMAP4rev1 LITERAL+ COMPRESS=DEFLATE\r\n"
class Handler(socketserver.StreamRequestHandler):
    deflate = inflate = None
    def say(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.wfile.write(data)
    def commands(self):
        unread = b""
        while data := self.request.recv(4096):
            unread += self.inflate.decompress(data) if self.inflate else data
            while b"\n" in unread:
                line, unread = unread.split(b"\n", 1)
                yield line
    def handle(self):
        self.say(b"* OK ready\r\n")
        for line in self.commands():
            tag, command = line.split()[:2]
            if command.upper() in (b"LIST", b"XLIST"):
                self.say(b'* LIST () "/" ' + (b'"' if sys.argv[1] == "line" else b"{1073741824}\r\n"))
                for _ in range(1024):
                    self.say(b"x" * (1 << 20))
            if command.upper() == b"CAPABILITY":
                self.say(CAPABILITY)
            self.say(tag + b" OK done\r\n")
            if command.upper() == b"COMPRESS":
                print("squeezed", flush=True)
                self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
                self.inflate = zlib.decompressobj(-15)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Runs a command, and says on its standard error what was resident at most, in KiB.
const MEASURE: &str = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; \
     print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)";

struct Bomb {
    child: Child,
    port: u16,
    said: BufReader<ChildStdout>,
}

impl Bomb {
    fn start(kind: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", BOMB, kind]).stdout(Stdio::piped());
        // It is cut off in the middle, and says so.
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        said.read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        Self { child, port, said }
    }

    /// Ends it; whether it had squeezed anything.
    fn end(&mut self) -> bool {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        rest.contains("squeezed")
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_line_of_a_gigabyte_does_not_fill_the_movers_memory() {
    blow_up("line", false);
}

#[test]
fn a_literal_of_a_gigabyte_does_not_fill_the_movers_memory() {
    blow_up("literal", false);
}

/// A megabyte on the way.
#[test]
fn a_line_that_was_squeezed_does_not_fill_the_movers_memory() {
    blow_up("line", true);
}

#[test]
fn a_literal_that_was_squeezed_does_not_fill_the_movers_memory() {
    blow_up("literal", true);
}

fn blow_up(kind: &str, squeezed: bool) {
    let directory = temp();
    let path = directory.path();
    let mut bomb = Bomb::start(kind);
    let server = format!(
        "{{ host = \"127.0.0.1\", port = {}, tls = \"none\", compress = {squeezed} }}",
        bomb.port
    );
    let text = format!(
        "hostname = \"hold.example.net\"\n[spool]\npath = {:?}\n[control]\nsocket = {:?}\n\
             [[domain]]\nname = \"corp.example\"\ndestination = {{ host = \"127.0.0.1\" }}\n\
             [mover]\naccounts = {:?}\nsource = {server}\ntarget = {server}\n",
        path.join("spool"),
        path.join("control.sock"),
        path.join("accounts.csv"),
    );
    fs::write(path.join("relay.toml"), text).unwrap();
    fs::write(
        path.join("accounts.csv"),
        "source_user,source_password,target_user,target_password\nbob,pw,bob,pw\n",
    )
    .unwrap();
    let output = File::create(path.join("output")).unwrap();
    let status = Command::new("python3")
        .args(["-c", MEASURE, env!("CARGO_BIN_EXE_relay"), "--config"])
        .arg(path.join("relay.toml"))
        .args(["move", "--once"])
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .status()
        .unwrap();
    let said = fs::read_to_string(path.join("output")).unwrap();
    assert!(!status.success(), "{kind}: {said}");
    assert!(said.contains("LIST"), "{kind}: no reason: {said}");
    let kib: u64 = said.lines().next_back().unwrap().parse().unwrap();
    assert!(kib < KIB_MAX, "{kind}: {kib} KiB resident: {said}");
    assert_eq!(bomb.end(), squeezed, "{kind}: {said}");
}
