//! A whole migration on loopback in which all is well: DNS, MTA-STS, the relay with held
//! mail, the new server, both IMAP servers with accounts. Tests break one thing at a time.

use crate::{
    pki::{Authority, Pair},
    policy::{Answer, Web},
    smtp::{Conduct, Server},
    support::{
        client::Client,
        dns::DnsServer,
        peers::Peer,
        relay::{Relay, Settings, text},
        temp,
    },
};
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};
use tempfile::TempDir;

pub const HOSTNAME: &str = "hold.example.net";
pub const NEW: &str = "new.corp.example";

/// The zone of the domain, as each of its two servers has it.
pub const ZONE: &str = "\
corp.example 300 MX 10 hold.example.net
corp.example 300 NS ns1.example.net
";

/// All else, as the resolver has it. The relay's address is this host's as 0.0.0.0, which
/// Linux takes for loopback: a resolver library answers for 127/8 itself (RFC 6761 §6.3).
const REST: &str = "\
hold.example.net 300 A 0.0.0.0
0.0.0.0.in-addr.arpa 300 PTR hold.example.net
_mta-sts.corp.example 300 TXT v=STSv1; id=1
corp.example 300 TXT v=spf1 mx -all
_dmarc.corp.example 300 TXT v=DMARC1; p=reject
";

pub struct World {
    /// ns1, ns2.
    pub authorities: [DnsServer; 2],
    pub resolver: DnsServer,
    pub web: Web,
    pub new: Server,
    /// A server that could be the relay: with another certificate than its.
    pub front: Server,
    pub authority: Authority,
    pub old_imap: Peer,
    pub relay: Relay,
    pub directory: TempDir,
    /// What is to be replaced in the configuration, and by what.
    pub edits: Vec<(String, String)>,
    records: String,
    _new_imap: Peer,
}

/// The findings of a run, and how it ended.
pub struct Run {
    pub findings: Vec<Value>,
    pub code: Option<i32>,
}

impl Run {
    pub fn of(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|one| one["name"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {:#?}", self.findings))
    }

    /// Those that are not ok.
    pub fn wrong(&self) -> Vec<&Value> {
        let findings = self.findings.iter();
        findings.filter(|one| one["verdict"] != "ok").collect()
    }
}

impl World {
    /// The daemon runs, holds two messages, and has more lines of `[check]`.
    pub fn start(check: &str) -> Self {
        let directory = temp();
        let path = directory.path();
        let authority = Authority::new();
        let (own, there) = (authority.sign(HOSTNAME, 2100), authority.sign(NEW, 2100));
        let records = format!(
            "{REST}_25._tcp.{HOSTNAME} 300 TLSA 3 0 1 {}\n",
            own.digest()
        );
        let web = Web::start(
            "mta-sts.corp.example",
            authority.sign("mta-sts.corp.example", 2100).server(),
            Answer {
                status: "200 OK",
                body: policy(HOSTNAME),
                behind: Duration::ZERO,
            },
        );
        let new = Server::start(Conduct {
            name: NEW,
            features: FEATURES.to_vec(),
            tls: Some(there.server()),
            refused: Vec::new(),
            xclient: "220 new.corp.example ESMTP",
        });
        let expired = authority.sign(HOSTNAME, 2021);
        let front = Server::start(Conduct {
            name: HOSTNAME,
            features: Vec::new(),
            tls: Some(expired.server()),
            refused: Vec::new(),
            xclient: "",
        });
        let authorities = [DnsServer::start(ZONE), DnsServer::start(ZONE)];
        let resolver = DnsServer::start(&(ZONE.to_owned() + &records));
        let old_imap = Peer::dovecot(&path.join("old"));
        let new_imap = Peer::dovecot_with(&path.join("new"), &["--more", QUOTA]);
        let settings = Settings {
            check: format!(
                "https_proxy = \"127.0.0.1:{}\"\nca = \"ca.pem\"\nport = 25\n{check}",
                web.port
            ),
            ..Settings::to(new.port)
        };
        let mut relay = Relay::configured(path, &settings);
        let world = [
            files(path, &authority, &own),
            dns(&authorities, &resolver),
            mover(path, &old_imap, &new_imap),
        ];
        relay.configure(&world.concat());
        relay.run();
        // It is known only now.
        let config = fs::read_to_string(relay.config()).unwrap();
        let own = format!("\nport = {}\n", relay.port());
        fs::write(relay.config(), config.replace("\nport = 25\n", &own)).unwrap();
        hold(relay.port());
        let world = Self {
            authorities,
            resolver,
            web,
            new,
            front,
            authority,
            old_imap,
            relay,
            directory,
            edits: Vec::new(),
            records,
            _new_imap: new_imap,
        };
        for user in ["bob", "eve"] {
            world.mailbox("fill", user, &["/", "", "2", "4"], b"");
        }
        world
    }

    /// What the resolver knows beside the zone, with some replaced.
    pub fn resolver_with(&self, edits: &[(&str, &str)]) {
        let mut records = ZONE.to_owned() + &self.records;
        for (from, to) in edits {
            assert!(records.contains(from), "{from}");
            records = records.replace(from, to);
        }
        self.resolver.set(&records);
    }

    /// All servers of the zone, and the resolver.
    pub fn zone(&self, zone: &str) {
        self.authorities.iter().for_each(|one| one.set(zone));
        self.resolver.set(&(zone.to_owned() + &self.records));
    }

    /// In the configuration of the next run.
    pub fn edit(&mut self, from: &str, to: &str) {
        self.edits.push((from.to_owned(), to.to_owned()));
    }

    /// `relay check ARGUMENTS`, with the edits.
    pub fn cli(&self, arguments: &[&str]) -> std::process::Output {
        let mut config = fs::read_to_string(self.relay.config()).unwrap();
        for (from, to) in &self.edits {
            assert!(config.contains(from), "{from} is not in\n{config}");
            config = config.replace(from, to);
        }
        let file = self.directory.path().join("edited.toml");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command.arg("--config").arg(&file).args(arguments);
        command.output().unwrap()
    }

    pub fn check(&self) -> Run {
        let output = self.cli(&["check", "--json"]);
        let said = text(&output.stdout);
        let finding = |line: &str| {
            let errors = text(&output.stderr);
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line} {errors}"))
        };
        let findings: Vec<Value> = said.lines().map(finding).collect();
        assert!(!findings.is_empty(), "{}", text(&output.stderr));
        Run {
            findings,
            code: output.status.code(),
        }
    }

    /// A script of `tests/peers/mailboxes.py` at the old server.
    pub fn mailbox(&self, what: &str, user: &str, arguments: &[&str], input: &[u8]) {
        use std::{io::Write as _, process::Stdio};
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/mailboxes.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([what, &self.old_imap.port("imap").to_string(), user])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(child.wait().unwrap().success(), "{what} {user}");
    }
}

/// What the new server offers while all is well.
pub const FEATURES: [&str; 5] = [
    "PIPELINING",
    "SIZE 104857600",
    "8BITMIME",
    "SMTPUTF8",
    "XCLIENT NAME ADDR PORT PROTO HELO",
];

const QUOTA: &str = "mail_plugins = quota\\nprotocol imap {\\n mail_plugins = quota imap_quota\\n}\\n\
                     plugin {\\n quota = count:user\\n quota_vsizes = yes\\n \
                     quota_rule = *:storage=200K\\n}";

/// A policy that lists this host.
pub fn policy(host: &str) -> String {
    format!("version: STSv1\r\nmode: enforce\r\nmx: {host}\r\nmax_age: 604800\r\n")
}

fn files(path: &Path, authority: &Authority, own: &Pair) -> String {
    fs::write(path.join("ca.pem"), authority.pem()).unwrap();
    fs::write(path.join("own.pem"), &own.pem).unwrap();
    fs::write(path.join("own.key"), own.key.serialize_pem()).unwrap();
    "\n[tls]\ncertificate = \"own.pem\"\nprivate_key = \"own.key\"\n".into()
}

fn dns(authorities: &[DnsServer; 2], resolver: &DnsServer) -> String {
    let [first, second] = authorities;
    format!(
        "\n[dns]\nservers = [\"{}\"]\n[[dns.zone]]\nname = \"corp.example\"\n\
         servers = [\"{}\", \"{}\"]\n",
        resolver.address, first.address, second.address
    )
}

fn mover(path: &Path, old: &Peer, new: &Peer) -> String {
    let accounts = "source_user,source_password,target_user,target_password\n\
                    bob,pw,bob,pw\neve,pw,eve,pw\n";
    fs::write(path.join("accounts.csv"), accounts).unwrap();
    format!(
        "\n[mover]\naccounts = \"accounts.csv\"\n\
         source = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n\
         target = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n",
        old.port("imap"),
        new.port("imap")
    )
}

/// An ordinary message to bob, and one that needs SMTPUTF8 to eve.
fn hold(port: u16) {
    let mut client = Client::hello(port).unwrap();
    let body = "y".repeat(900);
    for (from, to, body) in [
        ("<a@example.org>", "bob", body.as_str()),
        ("<grüße@example.org> SMTPUTF8", "eve", "z"),
    ] {
        client.expect(&format!("MAIL FROM:{from}"), 250).unwrap();
        let to = format!("RCPT TO:<{to}@corp.example>");
        client.expect(&to, 250).unwrap();
        client.expect("DATA", 354).unwrap();
        let message = format!("Subject: x\r\n\r\n{body}\r\n.\r\n");
        client.raw(message.as_bytes()).unwrap();
        assert_eq!(client.reply().unwrap().code, 250);
    }
    client.quit().unwrap();
}
