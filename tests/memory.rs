//! What a thousand clients at once cost, measured from outside: resident memory and file
//! descriptors of the real process.

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
    thread,
};
use support::{
    client::Client,
    poll,
    relay::{Relay, Settings},
    temp,
};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring,
};

const CLIENTS: usize = 1000;
/// A part of each message that is far longer than anything that is kept in memory.
const PART_BYTES: usize = 2 << 20;
const KIB: u64 = 1024;

/// What a system grants by default is too little for a thousand connections and their
/// files. It is relay's own matter to ask for what it may have.
fn start(directory: &Path) -> Relay {
    let granted = getrlimit(Resource::Nofile);
    let usual = Rlimit {
        current: Some(1024),
        maximum: granted.maximum,
    };
    setrlimit(Resource::Nofile, usual).unwrap();
    let settings = Settings {
        limits: "connections = 2000\nmessage_size = \"50 MiB\"",
        ..Settings::default()
    };
    let relay = Relay::start(directory, &settings);
    let all = Rlimit {
        current: granted.maximum,
        maximum: granted.maximum,
    };
    setrlimit(Resource::Nofile, all).unwrap();
    relay
}

/// Resident bytes now.
fn resident(relay: &Relay) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * KIB
}

/// Bytes in the files of messages that are coming in.
fn written(directory: &Path) -> u64 {
    let files = fs::read_dir(directory.join("spool/bodies")).unwrap();
    files
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|file| file.len())
        .sum()
}

#[test]
fn a_thousand_large_messages_at_once_take_256_mib_at_most() {
    let directory = temp();
    let relay = start(directory.path());
    let port = relay.port();
    let line = [b"x".repeat(998), b"\r\n".to_vec()].concat();
    let part: Arc<Vec<u8>> = Arc::new(line.repeat(PART_BYTES / line.len()));
    let senders: Vec<_> = (0..10)
        .map(|_| {
            let part = Arc::clone(&part);
            thread::spawn(move || {
                let clients = (0..CLIENTS / 10).map(|_| {
                    let mut client = Client::hello(port).unwrap();
                    let size = 25 << 20;
                    client
                        .expect(&format!("MAIL FROM:<a@example.org> SIZE={size}"), 250)
                        .unwrap();
                    client.expect("RCPT TO:<b@corp.example>", 250).unwrap();
                    client.expect("DATA", 354).unwrap();
                    client
                });
                let mut clients: Vec<Client> = clients.collect();
                // In turns, so that all of them are in the middle all the time.
                for piece in part.chunks(64 << 10) {
                    for client in &mut clients {
                        client.raw(piece).unwrap();
                    }
                }
                clients
            })
        })
        .collect();
    let clients: Vec<Client> = senders
        .into_iter()
        .flat_map(|sender| sender.join().unwrap())
        .collect();
    // All but what a session still gathers is in its file.
    let enough = (CLIENTS * (part.len() - (256 << 10))) as u64;
    poll("the parts in their files", || {
        (written(directory.path()) >= enough).then_some(())
    });
    let bytes = resident(&relay);
    println!("{CLIENTS} messages: {} KiB resident", bytes / KIB);
    assert!(bytes <= 256 << 20, "{} KiB", bytes / KIB);
    drop(clients);
}

#[test]
fn an_idle_session_costs_64_kib_at_most() {
    let idle = |relay: &Relay, _: &Path| Client::hello(relay.port()).unwrap();
    check("plain", idle);
    check("TLS", encrypted);
}

fn check<T>(kind: &str, session: impl Fn(&Relay, &Path) -> T) {
    let directory = temp();
    let relay = start(directory.path());
    // Once round, so that what is made at the first use is there.
    drop(session(&relay, directory.path()));
    let before = resident(&relay);
    let sessions = (0..CLIENTS).map(|_| session(&relay, directory.path()));
    let sessions: Vec<T> = sessions.collect();
    let each = resident(&relay).saturating_sub(before) / CLIENTS as u64;
    drop(sessions);
    println!("an idle {kind} session: {each} bytes");
    assert!(each <= 64 * KIB, "{kind}: {each} bytes");
}

/// A session behind STARTTLS and EHLO.
fn encrypted(relay: &Relay, directory: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let pem = fs::read(directory.join("spool/tls-certificate.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut &pem[..]) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Client::hello(relay.port()).unwrap();
    client.expect("STARTTLS", 220).unwrap();
    let name = "hold.example.net".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, client.into_stream());
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n") || !said.windows(4).any(|line| line == b"250 ") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "closed");
        said.extend_from_slice(&bytes[..count]);
    }
    stream
}
