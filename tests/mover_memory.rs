//! `relay move` takes little memory, whatever a mailbox holds: a long message and a long folder,
//! over several connections. `RELAY_MOVER_MESSAGES` and `RELAY_MOVER_MIB` make both longer.

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};
use support::{peers::Peer, poll, temp};

/// For one account, in bytes.
const RESIDENT_BYTES_MAX: u64 = 64 << 20;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

/// A Maildir as if it had always been there: a long folder, and a folder with a long message.
fn fill(mail: &Path, messages: u64, mib: u64) {
    let maildir = mail.join("bob/Maildir");
    let folders = [maildir.clone(), maildir.join("long message")];
    for folder in &folders {
        for name in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
    }
    for message in 0..messages {
        let text = format!("Subject: {message}\r\n\r\nbody\r\n");
        let name = format!("{}.M{message}P1.test:2,S", 1_600_000_000 + message);
        fs::write(folders[0].join("cur").join(name), text).unwrap();
    }
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    let line = [&[b'x'; 76][..], b"\r\n"].concat();
    while (long.len() as u64) < mib << 20 {
        long.extend_from_slice(&line);
    }
    fs::write(folders[1].join("cur/1600000000.M1P1.test:2,"), long).unwrap();
    let owner = fs::metadata(mail).unwrap();
    let mut left = vec![mail.join("bob")];
    while let Some(path) = left.pop() {
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        if path.is_dir() {
            left.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
    }
}

/// The most that was resident so far, in bytes; nothing once it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

#[test]
fn a_long_folder_and_a_long_message_take_little_memory() {
    let directory = temp();
    let path = directory.path();
    let source = Peer::dovecot(&path.join("source"));
    let target = Peer::dovecot(&path.join("target"));
    let messages = number("RELAY_MOVER_MESSAGES", 10_000);
    fill(&source.mail(), messages, number("RELAY_MOVER_MIB", 64));
    let config = path.join("relay.toml");
    let server = |peer: &Peer| {
        let port = peer.port("imap");
        format!("{{ host = \"127.0.0.1\", port = {port}, tls = \"none\" }}")
    };
    let text = format!(
        "hostname = \"hold.example.net\"\n[spool]\npath = {:?}\n[control]\nsocket = {:?}\n\
         [[domain]]\nname = \"corp.example\"\ndestination = {{ host = \"127.0.0.1\" }}\n\
         [mover]\naccounts = {:?}\nsource = {}\ntarget = {}\n",
        path.join("spool"),
        path.join("control.sock"),
        path.join("accounts.csv"),
        server(&source),
        server(&target),
    );
    fs::write(&config, text).unwrap();
    let accounts = "source_user,source_password,target_user,target_password\nbob,pw,bob,pw\n";
    fs::write(path.join("accounts.csv"), accounts).unwrap();

    let mut child = Command::new(env!("CARGO_BIN_EXE_relay"))
        .arg("--config")
        .arg(&config)
        .args(["--json", "move"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    // What it says would fill the pipe of a long run.
    let output = child.stdout.take().unwrap();
    let said = std::thread::spawn(move || std::io::read_to_string(output).unwrap());
    let mut most = 0;
    let status = loop {
        // The kernel keeps the peak, so that no moment is missed but the last.
        most = peak(pid).unwrap_or_default().max(most);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let said = said.join().unwrap();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(
        said.contains(&format!("\"copied\":{}", messages + 1)),
        "{said}"
    );
    println!("{messages} messages: {} MiB resident at most", most >> 20);
    assert!(
        most > 0 && most <= RESIDENT_BYTES_MAX,
        "{most} bytes resident"
    );
    let there = poll("the long message at the target", || {
        let folder = target.mail().join("bob/Maildir/long message");
        let entries = ["cur", "new"].map(|name| fs::read_dir(folder.join(name)).unwrap());
        entries.into_iter().flatten().next()
    });
    let sizes = there.unwrap().metadata().unwrap().len();
    assert!(sizes >= number("RELAY_MOVER_MIB", 64) << 20);
}
