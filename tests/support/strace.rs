//! strace, to see and to spoil the calls of a running process.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// strace on a running process.
pub struct Strace(Child);

impl Strace {
    /// Returns once it sees every call.
    pub fn attach(pid: u32, arguments: &[&str]) -> Self {
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
    pub fn fail(pid: u32, call: &str) -> Self {
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
