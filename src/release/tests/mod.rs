//! The release against scripted destinations and a real spool, judged by what arrived,
//! in which order, with which bytes, and by the ledger.

mod chunking;
mod faults;
mod limits;
mod load;
mod login;
mod order;
mod plan;
mod rows;
mod session;
mod simulation;
mod witness;
mod xclient;

use super::{
    Releaser, Timeouts,
    peer::{Peer, Taken, envelope},
};
use crate::{
    config::{
        Check, Config, Control, Destination, DestinationProtocol, DestinationTls,
        DestinationXclient, DnsConfig, Domain, InDoubtPolicy, Limits, Load, Log, Recipients,
        Release, ReleaseGate, ReleaseOrder, SpoolConfig, Verify,
    },
    mail::{Envelope, QueueId},
    spool::{
        Cause, DomainCommand, DomainStatus, Event, Ledger, Phase, Spool, SpoolError,
        rocks::RocksSpool,
    },
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};

const DOMAIN: &str = "corp.example";
const HOSTNAME: &str = "hold.example.net";
/// Nothing here takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A spool and a running release.
struct World {
    spool: Arc<RocksSpool>,
    releaser: Arc<Releaser>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

fn config(directory: &std::path::Path, address: SocketAddr) -> Config {
    Config {
        hostname: HOSTNAME.into(),
        listen: Vec::new(),
        tls: None,
        dns: DnsConfig::default(),
        check: Check::default(),
        spool: SpoolConfig {
            path: directory.join("spool"),
            retain_delivered: Duration::from_secs(600),
            retain_records: Duration::from_secs(600),
            min_free_bytes: 0,
        },
        limits: Limits {
            command_timeout: Duration::from_secs(10),
            ..Limits::default()
        },
        verify: Verify::default(),
        domains: vec![Domain {
            name: DOMAIN.into(),
            recipients: Recipients::Any,
            destination: Destination {
                host: address.ip().to_string(),
                port: address.port(),
                protocol: DestinationProtocol::Smtp,
                tls: DestinationTls::Opportunistic,
                xclient: DestinationXclient::Auto,
                load: Load {
                    connections: 4,
                    ..Load::default()
                },
                ca: None,
                pin: None,
                source: None,
                login: None,
            },
        }],
        bounce: None,
        hooks: None,
        release: Release {
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_millis(100),
            order: ReleaseOrder::Mailbox,
            gate: ReleaseGate::Domain,
            in_doubt: InDoubtPolicy::Resend,
            in_doubt_after: Duration::from_millis(20),
            stop_after_refusals: 10,
            stop_after_doubts: 5,
            stop_after_wrong: 3,
        },
        control: Control {
            socket: PathBuf::from("unused"),
        },
        log: Log {
            syslog_name: "test".into(),
        },
        mover: None,
        web: None,
    }
}

fn timeouts() -> Timeouts {
    let second = Duration::from_secs(1);
    Timeouts {
        connect: 5 * second,
        greeting: 5 * second,
        hello: 5 * second,
        mail: 5 * second,
        rcpt: 5 * second,
        data: 5 * second,
        block: 5 * second,
        end_of_data: 5 * second,
        idle: 5 * second,
        shutdown: Duration::from_millis(200),
    }
}

impl World {
    /// A held domain whose destination is `peer`.
    fn new(peer: &Peer) -> Self {
        Self::with(peer.address, |_| {}, timeouts())
    }

    fn with(address: SocketAddr, change: impl FnOnce(&mut Config), timeouts: Timeouts) -> Self {
        Self::of(address, change, timeouts, |releaser| releaser)
    }

    fn of(
        address: SocketAddr,
        change: impl FnOnce(&mut Config),
        timeouts: Timeouts,
        equip: impl FnOnce(Releaser) -> Releaser,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path(), address);
        change(&mut config);
        let spool = RocksSpool::open(&config.spool).unwrap();
        let releaser = Releaser::new(Arc::new(config), spool.clone()).unwrap();
        let releaser = Arc::new(equip(releaser.with_timeouts(timeouts)));
        let (stop, stopped) = oneshot::channel();
        let running = releaser.clone();
        let domains = spool.clone();
        let task = tokio::spawn(async move {
            domains.add_domains(vec![DOMAIN.into()]).await.unwrap();
            let shutdown = async {
                let _ = stopped.await;
            };
            running.run(shutdown).await;
        });
        Self {
            spool,
            releaser,
            stop: Some(stop),
            task,
            _directory: directory,
        }
    }

    async fn accept(&self, recipients: &[&str], data: &[u8]) -> QueueId {
        self.accept_as(envelope(recipients), data).await
    }

    async fn accept_as(&self, envelope: Envelope, data: &[u8]) -> QueueId {
        self.spool.add_domains(vec![DOMAIN.into()]).await.unwrap();
        let mut draft = self.spool.begin();
        draft.append(data).await.unwrap();
        draft.commit(envelope).await.unwrap().id()
    }

    async fn release(&self) {
        let command = DomainCommand::release();
        self.command(command).await;
    }

    async fn command(&self, command: DomainCommand) {
        self.spool.add_domains(vec![DOMAIN.into()]).await.unwrap();
        let cause = Cause::Operator("test".into());
        self.spool
            .command(DOMAIN.into(), command, cause)
            .await
            .unwrap();
    }

    fn status(&self) -> DomainStatus {
        self.spool.domain(DOMAIN).unwrap()
    }

    fn ledger(&self) -> Ledger {
        let ledger = self.status().ledger;
        assert!(ledger.balances(), "{ledger:?}");
        ledger
    }

    /// Waits until it is so.
    async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !so(self) {
            let state = (self.status(), self.releaser.status(DOMAIN));
            assert!(Instant::now() < end, "still not {what}: {state:#?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until nothing is left to deliver.
    async fn drained(&self) {
        self.until("drained", |world| world.status().phase == Phase::Forward)
            .await;
    }

    async fn events(&self, id: QueueId) -> Vec<Event> {
        self.spool.events(id).await.unwrap()
    }

    /// Stops the release, as SIGTERM does.
    async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap();
    }
}

/// A message, its trace header taken off.
fn original(taken: &Taken) -> &[u8] {
    let text = &taken.data;
    assert!(
        text.starts_with(b"Received: from client.example "),
        "{taken:?}"
    );
    let mut end = 0;
    loop {
        end += memchr::memmem::find(&text[end..], b"\r\n").unwrap() + 2;
        if text.get(end) != Some(&b'\t') {
            return &text[end..];
        }
    }
}
