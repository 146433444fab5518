//! One case: a relay that is started, stopped and killed, whoever meddles with it, and the
//! weather.

use super::{
    super::*,
    server::{Server, Weather},
    spool::Disk,
};
use crate::{
    config::{LoadChange, load::Setting},
    release::{Outside, Question, Sighting, TlsClients, Witness, dice::Dice},
    spool::{Gate, Standing, Step},
};
use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{Mutex, OnceLock},
};
use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

/// When each simulation begins, milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_795_000_000_000;
/// How long the storm lasts, and how long it may take to get through everything once it is
/// over.
const STORM: Duration = Duration::from_secs(4 * 3600);
const CALM: Duration = Duration::from_secs(48 * 3600);
pub const IN_DOUBT_AFTER: Duration = Duration::from_secs(300);

/// A case.
pub struct Case {
    dice: Dice,
    began: Instant,
    pub disk: Arc<Disk>,
    pub server: Arc<Server>,
    pub config: Arc<Config>,
    /// Whether doubts can be resolved by asking.
    pub can_ask: bool,
    mailboxes: u64,
    process: Option<Process>,
}

/// A relay that runs.
struct Process {
    releaser: Arc<Releaser>,
    stop: oneshot::Sender<()>,
    died: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Knows what the server has taken, and takes its time: it looks at so many mailboxes at once,
/// the others wait.
struct Sees {
    server: Arc<Server>,
    disk: Arc<Disk>,
    places: Semaphore,
    dice: Mutex<Dice>,
}

impl Sees {
    async fn answer(&self, question: Question) -> Sighting {
        let _place = self.places.acquire().await.unwrap();
        let pause = self.dice.lock().unwrap().roll(90_000);
        sleep(Duration::from_millis(pause)).await;
        let mut all = self.disk.standings().into_iter();
        let id = all.find(|(id, _)| {
            let address = self.disk.address(*id);
            id.message == question.message && address == question.recipient
        });
        let server = String::from("imap.new");
        match id.is_some_and(|(id, _)| self.server.has_taken(id)) {
            true => Sighting::Found {
                server,
                place: "INBOX".into(),
            },
            false => Sighting::Absent { server },
        }
    }
}

impl Witness for Sees {
    fn look(&self, question: Question) -> Pin<Box<dyn Future<Output = Sighting> + Send + '_>> {
        Box::pin(self.answer(question))
    }
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let began = Instant::now();
        let clock = move || EPOCH_MS + began.elapsed().as_millis() as u64;
        let mut config = config(
            std::path::Path::new("unused"),
            "127.0.0.1:25".parse().unwrap(),
        );
        config.release = Release {
            retry_min: Duration::from_secs(30),
            retry_max: Duration::from_secs(1800),
            in_doubt_after: IN_DOUBT_AFTER,
            in_doubt: match dice.roll(3) {
                0 => InDoubtPolicy::Park,
                _ => InDoubtPolicy::Resend,
            },
            order: match dice.roll(5) {
                0 => ReleaseOrder::Strict,
                _ => ReleaseOrder::Mailbox,
            },
            ..config.release
        };
        config.domains[0].destination.load.connections = 1 + dice.roll(8) as usize;
        if dice.roll(4) == 0 {
            config.domains[0].destination.protocol = DestinationProtocol::Lmtp;
        }
        let disk = Disk::new(DOMAIN, Dice::new(dice.number()), clock);
        Self {
            began,
            server: Server::new(Dice::new(dice.number())),
            disk,
            config: Arc::new(config),
            can_ask: dice.roll(2) == 0,
            mailboxes: 1 + dice.roll(12),
            process: None,
            dice,
        }
    }

    pub fn start(&mut self) {
        static TLS: OnceLock<TlsClients> = OnceLock::new();
        let tls = TLS.get_or_init(|| TlsClients::new().unwrap()).clone();
        let (died, dies) = watch::channel(false);
        let chance = Mutex::new(Dice::new(self.dice.number()));
        let began = self.began;
        let outside = Outside {
            clock: Arc::new(move || EPOCH_MS + began.elapsed().as_millis() as u64),
            chance: Arc::new(move || chance.lock().unwrap().number()),
            dial: self.server.lines(dies),
        };
        let spool = Arc::new(self.disk.open());
        let mut releaser = Releaser::of(self.config.clone(), spool, tls)
            .with_outside(outside)
            .with_timeouts(Timeouts::default());
        if self.can_ask {
            releaser = releaser.with_witness(Arc::new(Sees {
                server: self.server.clone(),
                disk: self.disk.clone(),
                places: Semaphore::new(2),
                dice: Mutex::new(Dice::new(self.dice.number())),
            }));
        }
        let (stop, stopped) = oneshot::channel();
        let releaser = Arc::new(releaser);
        let runs = releaser.clone();
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            runs.run(shutdown).await;
        });
        self.process = Some(Process {
            releaser,
            stop,
            died,
            task,
        });
    }

    /// By a signal, or at once and for ever.
    pub async fn end(&mut self, gently: bool) {
        let process = self.process.take().expect("it runs");
        if gently {
            process.stop.send(()).unwrap();
            process.task.await.unwrap();
        } else {
            // Its calls come to nothing from here on.
            drop(self.disk.open());
            process.task.abort();
        }
        process.died.send_replace(true);
    }

    fn accept(&mut self) {
        let count = match self.dice.roll(8) {
            0 => 2 + self.dice.roll(4),
            _ => 1,
        };
        let mut mailboxes = BTreeSet::new();
        for _ in 0..count {
            mailboxes.insert(self.dice.roll(self.mailboxes));
        }
        // A server sees by the address which recipient it is.
        let to: Vec<String> = (0..)
            .zip(mailboxes)
            .map(|(place, mailbox)| format!("m{mailbox}+r{place}@{DOMAIN}"))
            .collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut envelope = envelope(&to);
        envelope.received_ms = self.now_ms();
        let id = self.disk.next_id();
        let text = format!("Number: {}\r\n\r\n.\r\n..hello\r\n", id.number());
        assert_eq!(self.disk.accept(envelope, text.as_bytes()), id);
    }

    fn now_ms(&self) -> u64 {
        EPOCH_MS + self.began.elapsed().as_millis() as u64
    }

    fn weather(&mut self) -> Weather {
        let mut some = |most: u64| match self.dice.roll(2) {
            0 => 0,
            _ => self.dice.roll(most + 1),
        };
        Weather {
            unreachable: some(100),
            crowded: some(60),
            deferring: some(40),
            refusing: some(30),
            losing: some(20),
            silent: some(5),
        }
    }

    fn release(&mut self) {
        let command = DomainCommand::Release {
            to: None,
            then: match self.dice.roll(4) {
                0 => Phase::Hold,
                _ => Phase::Forward,
            },
            canary: (self.dice.roll(4) == 0).then(|| 1 + self.dice.roll(5) as u32),
            gate: match self.dice.roll(5) {
                0 => Gate::Domain,
                _ => Gate::Open,
            },
        };
        self.disk.order(command);
    }

    /// A person's word on one delivery, which the rules may refuse.
    fn decide(&mut self) {
        let all = self.disk.standings();
        if all.is_empty() {
            return;
        }
        let (id, _) = all[self.dice.roll(all.len() as u64) as usize];
        let step = match self.dice.roll(8) {
            0 => Step::Park,
            1 => Step::Drop,
            _ => Step::Retry,
        };
        let _ = self.disk.decide(id, step);
    }

    /// `release --again` for some: a new server may have lost them, and has not.
    fn rewind(&mut self) {
        let all = self.disk.standings();
        for (id, standing) in all {
            if standing == Standing::Delivered && self.dice.roll(4) == 0 {
                let _ = self.disk.decide(id, Step::Rewind);
            }
        }
    }

    pub async fn storm(&mut self) {
        (0..self.dice.roll(30)).for_each(|_| self.accept());
        while self.began.elapsed() < STORM {
            match self.dice.roll(21) {
                20 => self.rewind(),
                0..6 => (0..self.dice.roll(4)).for_each(|_| self.accept()),
                6..9 => self.release(),
                9 => self.disk.order(DomainCommand::Hold),
                10 => self.disk.order(DomainCommand::Pause {
                    reason: "lunch".into(),
                }),
                11..13 => self.disk.order(DomainCommand::Resume),
                13 => self.disk.order(DomainCommand::Open),
                14 => self.decide(),
                15 => {
                    let weather = self.weather();
                    self.server.set(weather);
                }
                16 => {
                    let gently = self.dice.roll(2) == 0;
                    self.end(gently).await;
                    self.rest(20).await;
                    self.start();
                }
                17 => {
                    self.disk.fail(true);
                    self.rest(60).await;
                    self.disk.fail(false);
                }
                18 => {
                    let connections = Setting::To(1 + self.dice.roll(8) as u32);
                    self.disk.order(DomainCommand::Limit(LoadChange {
                        connections,
                        ..LoadChange::default()
                    }));
                }
                _ => self.server.set(Weather::default()),
            }
            self.rest(400).await;
        }
    }

    async fn rest(&mut self, seconds: u64) {
        sleep(Duration::from_millis(self.dice.roll(seconds * 1000))).await;
    }

    /// Once all is well everything gets through.
    pub async fn calm(&mut self) {
        self.server.set(Weather::default());
        let end = Instant::now() + CALM;
        loop {
            let open: Vec<_> = (self.disk.standings().into_iter())
                .filter(|(_, standing)| !standing.is_final())
                .collect();
            if open.is_empty() {
                return;
            }
            let running = self.process.as_ref().map(|one| one.releaser.status(DOMAIN));
            assert!(
                Instant::now() < end,
                "stuck: {open:?}, {:?}, {running:?}",
                self.disk.status()
            );
            for (id, standing) in open {
                if standing == Standing::Parked {
                    self.disk.decide(id, Step::Retry).unwrap();
                }
            }
            self.disk.order(DomainCommand::release());
            sleep(Duration::from_secs(600)).await;
        }
    }
}
