//! Power cuts on ext4 and xfs, at random moments, at every named step, and up to three
//! times in a row while the spool recovers from the cut before. The same with `kill -9`
//! alone, which needs no root.
//!
//! `RELAY_POWER_CUTS` says how often the power is cut in all, and `RELAY_CRASH_CYCLES` how
//! often the process is killed; the default is short.

use crate::{
    client::{Difference, Log, Sent, compare, seed, tag},
    support::{
        Random,
        image::Image,
        poll,
        relay::{DOMAIN, Relay, Settings, text},
        scripted::{Act, Arrival, Ask, Scripted},
        temp,
    },
};
use relay::failpoint::{Failpoint, SYNC_VARIABLE, VARIABLE};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::Write as _,
    path::PathBuf,
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// Every cut looks at all that the spool holds, so a spool serves for so many.
const CUTS_OF_A_SPOOL: u64 = 10;
/// A step that is not reached within this time is none of this load's.
const STEP_PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn every_250_survives_power_cuts_on_ext4() {
    Run::new(EXT4).receive(share(POWER, 6, 12));
}

#[test]
fn every_250_survives_power_cuts_on_xfs() {
    Run::new(XFS).receive(share(POWER, 6, 8));
}

#[test]
fn a_release_and_its_removals_survive_power_cuts_on_ext4() {
    Run::new(EXT4).forward(share(POWER, 6, 10));
}

#[test]
fn a_release_and_its_removals_survive_power_cuts_on_xfs() {
    Run::new(XFS).forward(share(POWER, 6, 8));
}

#[test]
fn every_250_survives_kills_at_every_step() {
    Run::new(KILL).receive(share(KILLS, 3, 10));
}

#[test]
fn a_release_and_its_removals_survive_kills_at_every_step() {
    Run::new(KILL).forward(share(KILLS, 3, 10));
}

/// That the tests above can fail: without syncs the same cuts lose mail, and they say so.
#[test]
fn without_syncs_the_losses_are_reported() {
    let mut run = Run::new(EXT4);
    let mut reported = Vec::new();
    for cut in 1..=10 {
        let mut bench = Bench::new(EXT4, &Settings::default());
        bench.relay.set(SYNC_VARIABLE, Some("off".into()));
        bench.relay.run();
        let life = Duration::from_millis(200 + run.random.below(300));
        run.load_and_cut(&mut bench, life, 100);
        bench.relay.set(SYNC_VARIABLE, None);
        if bench.relay.begin() {
            reported = bench.compare().lost;
        } else {
            // It misses what its watermark acknowledges, or cannot read what is there.
            reported.push("relay does not start".into());
        }
        if !reported.is_empty() {
            println!(
                "without syncs: cut {cut}: {} losses reported",
                reported.len()
            );
            return;
        }
    }
    panic!("ten cuts without a single sync lost nothing: the cuts cut nothing");
}

pub const POWER: &str = "RELAY_POWER_CUTS";
pub const KILLS: &str = "RELAY_CRASH_CYCLES";

/// How many crashes a test does that is one of so many.
pub fn share(variable: &str, tests: u64, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => {
            let all: u64 = number.parse().expect("it is a number");
            all.div_ceil(tests)
        }
        Err(_) => default,
    }
}

/// What is done to a relay.
#[derive(Clone, Copy)]
pub enum Crash {
    /// The power of this file system is cut.
    Power(&'static str),
    /// The process is killed.
    Kill,
}

impl Crash {
    /// Makes the moments of the tests differ that share a seed.
    pub fn salt(self) -> u64 {
        match self {
            Self::Power(kind) => kind.len() as u64,
            Self::Kill => 0,
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power(kind) => write!(f, "power cuts on {kind}"),
            Self::Kill => f.write_str("kill -9"),
        }
    }
}

pub const EXT4: Crash = Crash::Power("ext4");
pub const XFS: Crash = Crash::Power("xfs");
pub const KILL: Crash = Crash::Kill;

/// The steps that a start meets, or those that a load meets.
fn steps(prefixes: &[&str]) -> Vec<Failpoint> {
    let all = Failpoint::ALL.iter().copied();
    all.filter(|point| {
        let name = point.name();
        prefixes.iter().any(|prefix| name.starts_with(prefix))
    })
    .collect()
}

/// A relay, whose spool may be on a file system that loses its power.
struct Bench {
    relay: Relay,
    log: Log,
    image: Option<Image>,
    spool: PathBuf,
    directory: TempDir,
}

impl Bench {
    fn new(crash: Crash, settings: &Settings) -> Self {
        let directory = temp();
        let image = match crash {
            Crash::Power(kind) => Some(Image::new(directory.path(), kind)),
            Crash::Kill => None,
        };
        let under = image.as_ref().map_or(directory.path(), Image::path);
        let spool = under.join("spool");
        let settings = Settings {
            spool: Some(spool.clone()),
            ..settings.clone()
        };
        Self {
            relay: Relay::configured(directory.path(), &settings),
            log: Log::default(),
            image,
            spool,
            directory,
        }
    }

    fn cut(&self) {
        if let Some(image) = &self.image {
            image.cut();
        }
    }

    fn restore(&self) {
        if let Some(image) = &self.image {
            image.restore();
        }
    }

    fn compare(&self) -> Difference {
        compare(&self.relay, self.directory.path(), &self.log.sent())
    }

    /// What a torn write leaves behind the last record of the log.
    fn tear(&self) {
        let logs = fs::read_dir(self.spool.join("db")).unwrap();
        let newest = logs
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .max();
        if let Some(newest) = newest {
            let mut file = fs::File::options().append(true).open(newest).unwrap();
            file.write_all(&[0x5a; 61]).unwrap();
            file.sync_all().unwrap();
        }
    }
}

/// The cuts of a test, and what they struck.
struct Run {
    crash: Crash,
    random: Random,
    accepted: usize,
    cuts: u64,
    open_commits: u64,
    /// How often a step was reached, by name.
    steps: BTreeMap<&'static str, u64>,
}

impl Run {
    fn new(crash: Crash) -> Self {
        Self {
            random: Random::new(seed().wrapping_add(crash.salt())),
            crash,
            accepted: 0,
            cuts: 0,
            open_commits: 0,
            steps: BTreeMap::new(),
        }
    }

    /// Mail comes in and is held.
    fn receive(&mut self, cuts: u64) {
        let steps = steps(&["body.", "commit."]);
        while self.cuts < cuts {
            let mut bench = Bench::new(self.crash, &Settings::default());
            let end = cuts.min(self.cuts + CUTS_OF_A_SPOOL);
            while self.cuts < end {
                self.strike(&mut bench, &steps, 30);
                self.recover(&mut bench);
                bench.relay.run();
                bench.compare().assert_none();
                bench.relay.kill();
            }
            self.accepted += bench.log.accepted();
        }
        self.summary("receive");
    }

    /// Mail comes in, is passed on at once, and its bytes are removed.
    fn forward(&mut self, cuts: u64) {
        let steps = steps(&["release.", "purge.", "commit."]);
        while self.cuts < cuts {
            // Slow enough that deliveries are under way at every moment.
            let peer = Scripted::new(|ask| match ask {
                Ask::Dot(..) => Act::Wait(Duration::from_millis(3)),
                _ => Act::Go,
            });
            let settings = Settings {
                spool_more: "retain_delivered = \"0s\"",
                ..Settings::to(peer.port)
            };
            let mut bench = Bench::new(self.crash, &settings);
            bench.relay.run();
            bench.relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
            bench.relay.kill();
            let end = cuts.min(self.cuts + CUTS_OF_A_SPOOL);
            while self.cuts < end {
                self.strike(&mut bench, &steps, 5);
                self.recover(&mut bench);
                bench.relay.run();
                bench.relay.assert_clean();
                bench.relay.kill();
            }
            bench.relay.run();
            poll("everything delivered", || {
                let domain = bench.relay.domain(DOMAIN);
                let open = domain["states"]["in_doubt"]["count"].as_u64().unwrap();
                (domain["backlog"] == 0 && open == 0).then_some(())
            });
            delivered(&bench, &peer.stored()).assert_none();
            self.accepted += bench.log.accepted();
        }
        self.summary("release");
    }

    /// A life under load, ended by a cut: every other time at a named step, each in turn.
    fn strike(&mut self, bench: &mut Bench, steps: &[Failpoint], long_every: u64) {
        let turn = usize::try_from(self.cuts / 2).unwrap();
        let step = (self.cuts % 2 == 1).then(|| steps[turn % steps.len()]);
        // Not at the first time: that belongs to the start.
        let at = 3 + self.random.below(20);
        bench
            .relay
            .set(VARIABLE, step.map(|step| format!("{}@{at}", step.name())));
        if bench.relay.begin() {
            let life = match step {
                Some(_) => STEP_PATIENCE,
                None => Duration::from_millis(20 + self.random.below(400)),
            };
            let reached = self.load_and_cut(bench, life, long_every);
            if let (Some(step), true) = (step, reached) {
                *self.steps.entry(step.name()).or_default() += 1;
            }
        } else {
            bench.cut();
            bench.restore();
            self.cuts += 1;
        }
        bench.relay.set(VARIABLE, None);
    }

    /// Loads the relay and cuts the power after this time, or when it ends before. Whether
    /// it did.
    fn load_and_cut(&mut self, bench: &mut Bench, life: Duration, long_every: u64) -> bool {
        let Bench {
            relay, log, image, ..
        } = bench;
        let (log, image) = (&*log, image.as_ref());
        let reached = thread::scope(|scope| {
            log.load(scope, relay.port(), long_every);
            let reached = relay.ends_within(life);
            self.open_commits += u64::from(log.freeze() > 0);
            image.inspect(|image| image.cut());
            relay.kill();
            reached
        });
        bench.restore();
        self.cuts += 1;
        reached
    }

    /// Up to three starts in a row that meet their end, each in a cut; after a log that was
    /// torn, so that there is something to recover.
    fn recover(&mut self, bench: &mut Bench) {
        let steps = steps(&["open.", "recover.", "swap."]);
        let deep = self.random.below(4);
        if deep > 0 {
            bench.tear();
        }
        for _ in 0..deep {
            let chosen = self.random.below(steps.len() as u64);
            let step = steps[usize::try_from(chosen).unwrap()];
            bench.relay.set(VARIABLE, Some(step.name().into()));
            if bench.relay.begin() {
                bench.cut();
                bench.relay.kill();
            } else {
                *self.steps.entry(step.name()).or_default() += 1;
                bench.cut();
            }
            bench.restore();
            self.cuts += 1;
        }
        bench.relay.set(VARIABLE, None);
    }

    fn summary(&self, what: &str) {
        let Self {
            crash,
            accepted,
            cuts,
            open_commits,
            steps,
            ..
        } = self;
        println!(
            "SUMMARY {what}: {accepted} messages accepted, {cuts} {crash}, \
             {open_commits} of them while a commit was open, 0 lost, 0 partial, 0 out of order; \
             steps reached: {steps:?}"
        );
    }
}

/// Everything acknowledged arrived, whole and each mailbox in order; what arrived twice had
/// been in doubt; and the books say the same.
fn delivered(bench: &Bench, arrivals: &[Arrival]) -> Difference {
    let mut difference = Difference::default();
    let log = bench.log.sent();
    let by_tag: BTreeMap<&str, &Sent> = log.iter().map(|sent| (sent.tag.as_str(), sent)).collect();
    let mut arrived = BTreeSet::new();
    let mut last: BTreeMap<&str, String> = BTreeMap::new();
    let mut repeated = BTreeSet::new();
    for arrival in arrivals {
        let tag = tag(&arrival.message);
        let sent = by_tag[tag.as_str()];
        let id = received_as(&arrival.message);
        difference.expect(arrival.message.ends_with(&sent.message), || {
            format!("{tag} is not whole")
        });
        let mailbox = arrival.recipients[0].as_str();
        difference.expect(mailbox == sent.mailbox, || format!("{tag} at {mailbox}"));
        let before = last.insert(mailbox, id.clone()).unwrap_or_default();
        difference.expect(before <= id, || format!("{id} after {before}"));
        if before == id {
            repeated.insert(id);
        }
        arrived.insert(tag);
    }
    for sent in &log {
        if let (Some((id, _)), false) = (&sent.acknowledged, arrived.contains(&sent.tag)) {
            difference
                .lost
                .push(format!("{} got a 250 as {id}", sent.tag));
        }
    }
    for id in repeated {
        let events = bench.relay.events(&id);
        difference.expect(events.iter().any(|event| event["to"] == "in_doubt"), || {
            format!("{id} twice and never in doubt: {events:?}")
        });
    }
    let (delivered, accepted) = (bench.relay.count("delivered"), bench.relay.accepted());
    difference.expect(
        delivered == accepted && accepted == arrived.len() as u64,
        || {
            format!(
                "{accepted} accepted, {delivered} delivered, {} arrived",
                arrived.len()
            )
        },
    );
    let recount = bench.relay.json(&["fsck"]);
    difference.expect(recount["clean"] == true, || recount.to_string());
    difference
}

/// The queue id in relay's own trace header.
fn received_as(message: &[u8]) -> String {
    let head = text(&message[..message.len().min(1000)]);
    let (_, rest) = head.split_once(" id ").unwrap();
    rest.split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap()
        .to_owned()
}
