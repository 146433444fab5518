//! The real `relay`: a daemon on a configuration and a spool of its own, and its command
//! line.

use super::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

/// The domain that most tests use.
pub const DOMAIN: &str = "corp.example";

/// What a test wants in `relay.toml`. The rest are values that suit tests: short waits,
/// little free space asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub domains: Vec<String>,
    /// The port of the new server on loopback.
    pub port: u16,
    /// `smtp` or `lmtp`.
    pub protocol: &'static str,
    pub connections: usize,
    /// Of the listener.
    pub tls: &'static str,
    /// Of each domain.
    pub recipients: &'static str,
    pub spool: Option<PathBuf>,
    pub min_free: String,
    /// More lines of `[spool]`.
    pub spool_more: &'static str,
    /// More lines of `[limits]`.
    pub limits: &'static str,
    /// More lines of `[release]`.
    pub release: &'static str,
    /// The lines of `[check]`: no looks in the background, unless a test is about them.
    pub check: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domains: vec![DOMAIN.into()],
            // The discard port: nobody answers there.
            port: 9,
            protocol: "smtp",
            connections: 20,
            tls: "starttls",
            recipients: "any",
            spool: None,
            min_free: "1 MiB".into(),
            spool_more: "",
            limits: "",
            release: "retry_min = \"200ms\"\nretry_max = \"1s\"\nin_doubt_after = \"500ms\"",
            check: "every = \"0s\"".into(),
        }
    }
}

impl Settings {
    /// For this destination.
    pub fn to(port: u16) -> Self {
        Self {
            port,
            ..Self::default()
        }
    }

    fn text(&self, directory: &Path) -> String {
        let spool = self.spool.clone().unwrap_or(directory.join("spool"));
        let mut text = format!(
            "hostname = \"hold.example.net\"\n\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = {:?}\n\n\
             [spool]\npath = {spool:?}\nmin_free = {:?}\n{}\n\n\
             [limits]\nconnections_per_ip = 1000\n{}\n\n\
             [release]\n{}\n\n[check]\n{}\n\n\
             [control]\nsocket = {:?}\n",
            self.tls,
            self.min_free,
            self.spool_more,
            self.limits,
            self.release,
            self.check,
            directory.join("control.sock")
        );
        for domain in &self.domains {
            text += &format!(
                "\n[[domain]]\nname = {domain:?}\nrecipients = {:?}\n\
                 destination = {{ host = \"127.0.0.1\", port = {}, protocol = {:?}, \
                 connections = {} }}\n",
                self.recipients, self.port, self.protocol, self.connections
            );
        }
        text
    }
}

/// A daemon, or the place where one was.
pub struct Relay {
    config: PathBuf,
    /// While it runs.
    child: Option<Child>,
    port: u16,
    /// Of the web page, where there is one.
    web: u16,
    output: Arc<Mutex<Vec<String>>>,
    /// Of the daemons to come.
    environment: Vec<(&'static str, String)>,
    /// What starts them; nothing: they are started as they are.
    wrapper: Vec<String>,
}

impl Relay {
    /// Writes the configuration into a directory and starts on it.
    pub fn start(directory: &Path, settings: &Settings) -> Self {
        let mut relay = Self::configured(directory, settings);
        relay.run();
        relay
    }

    /// Adds to the configuration; for the next start.
    pub fn configure(&self, more: &str) {
        let mut config = fs::read_to_string(&self.config).unwrap();
        config += more;
        fs::write(&self.config, config).unwrap();
    }

    /// Only writes the configuration.
    pub fn configured(directory: &Path, settings: &Settings) -> Self {
        let config = directory.join("relay.toml");
        fs::write(&config, settings.text(directory)).unwrap();
        Self {
            config,
            child: None,
            port: 0,
            web: 0,
            output: Arc::default(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Sets a variable of its environment, for the starts to come; `None` removes it.
    pub fn set(&mut self, name: &'static str, value: Option<String>) {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.extend(value.map(|value| (name, value)));
    }

    /// A command line that starts the daemons to come, in its own place.
    pub fn wrap(&mut self, wrapper: &[&str]) {
        self.wrapper = wrapper.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts, and waits until it is ready.
    pub fn run(&mut self) {
        assert!(self.begin(), "relay did not become ready:\n{}", self.log());
    }

    /// Starts, and waits until it is ready or has ended. Whether it is ready.
    pub fn begin(&mut self) -> bool {
        assert!(self.child.is_none(), "it runs");
        let mut command = self.command();
        if let Some((program, arguments)) = self.wrapper.split_first() {
            command = Command::new(program);
            let relay = self.command();
            command
                .args(arguments)
                .arg(relay.get_program())
                .args(relay.get_args());
        }
        let mut child = command
            .arg("serve")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        self.read(child.stdout.take().unwrap(), sender.clone());
        self.read(child.stderr.take().unwrap(), sender);
        self.child = Some(child);
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match lines.recv_timeout(left) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Timeout) => return false,
                // Both of its outputs are closed.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let _ = self.child.take().unwrap().wait();
                    return false;
                }
            };
            if let Some(rest) = line.strip_prefix("relay: listening on 127.0.0.1:") {
                let (port, protocol) = rest.split_once(' ').unwrap();
                let place = match protocol {
                    "(http)" => &mut self.web,
                    _ => &mut self.port,
                };
                *place = port.parse().unwrap();
            }
            if line == "relay: ready" {
                assert_ne!(self.port, 0, "no listener was named:\n{}", self.log());
                return true;
            }
        }
    }

    /// Starts with a failpoint armed, which must not be met before it is ready.
    pub fn run_with(&mut self, failpoint: &str) {
        self.set(relay::failpoint::VARIABLE, Some(failpoint.to_owned()));
        self.run();
        self.set(relay::failpoint::VARIABLE, None);
    }

    /// Starts with a failpoint armed, and returns when it has died there.
    pub fn run_to_death(&mut self, failpoint: &str) {
        self.set(relay::failpoint::VARIABLE, Some(failpoint.to_owned()));
        if self.begin() {
            self.await_death();
        }
        self.set(relay::failpoint::VARIABLE, None);
        let died = format!("died at {}", failpoint.split('@').next().unwrap());
        assert!(self.log().contains(&died), "{failpoint}:\n{}", self.log());
    }

    /// Waits until it has died at its failpoint.
    pub fn await_death(&mut self) {
        let status = wait(self.child.as_mut().unwrap());
        self.child = None;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{status}:\n{}", self.log());
    }

    /// Keeps every line, and passes those on for which somebody still listens.
    fn read(&self, from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
        let output = Arc::clone(&self.output);
        thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                output.lock().unwrap().push(line.clone());
                let _ = to.send(line);
            }
        });
    }

    /// Its SMTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of its web page.
    pub fn web(&self) -> u16 {
        assert_ne!(self.web, 0, "no web page was named:\n{}", self.log());
        self.web
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Everything it has said since the first start.
    pub fn log(&self) -> String {
        self.output.lock().unwrap().join("\n")
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// `kill -9`. Returns when the process is gone.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return; // It has ended by itself.
        };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Whether the process has ended by itself within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// SIGTERM, which must end it cleanly.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = wait(&mut child);
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command.arg("--config").arg(&self.config);
        command
    }

    /// `relay --config FILE ARGUMENTS`, whatever comes of it.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The same when it must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "relay {arguments:?}: {}\n{}{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        output.stdout
    }

    /// The same with `--json`; the one document that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.ok(&all);
        serde_json::from_slice(&output)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", text(&output)))
    }

    /// The queue, one JSON line a message, in the order in which it is listed.
    pub fn list(&self) -> Vec<Value> {
        text(&self.ok(&["list", "--format", "jsonl"]))
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What `relay status` says about a domain.
    pub fn domain(&self, name: &str) -> Value {
        let status = self.json(&["status"]);
        let domains = status["domains"].as_array().unwrap();
        let domain = domains.iter().find(|domain| domain["name"] == name);
        domain
            .unwrap_or_else(|| panic!("no {name} in {status}"))
            .clone()
    }

    /// How many deliveries of [`DOMAIN`] are in a state, by the counters.
    pub fn count(&self, state: &str) -> u64 {
        let domain = self.domain(DOMAIN);
        assert_eq!(domain["balanced"], true, "{domain}");
        domain["states"][state]["count"].as_u64().unwrap()
    }

    /// How many deliveries of [`DOMAIN`] were ever accepted, by the counters.
    pub fn accepted(&self) -> u64 {
        let domain = self.domain(DOMAIN);
        domain["accepted"]["count"].as_u64().unwrap()
    }

    /// The history of a message's deliveries.
    pub fn events(&self, id: &str) -> Vec<Value> {
        let shown = self.json(&["show", id, "--events"]);
        shown["events"].as_array().unwrap().clone()
    }

    /// A full recount, which must find nothing.
    pub fn assert_clean(&self) {
        let recount = self.json(&["fsck"]);
        assert_eq!(recount["clean"], true, "{recount}");
    }

    /// Waits until [`DOMAIN`]'s backlog is empty.
    pub fn await_forward(&self) {
        super::poll("an empty backlog", || {
            (self.domain(DOMAIN)["phase"] == "forward").then_some(())
        });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(6000);
            let tail = String::from_utf8_lossy(&log.as_bytes()[from..]);
            eprintln!("---- relay said last ----\n{tail}\n----");
        }
    }
}

/// Waits for the end of a process that was told to end.
pub fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "process {} does not end", child.id());
        thread::sleep(Duration::from_millis(10));
    }
}

/// What was printed, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
