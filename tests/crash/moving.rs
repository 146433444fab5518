//! Power cuts and kills under the mover: its state is on a file system that loses its power,
//! the two servers are not. Whatever was lost of the state, each message is in the target once.

use crate::{
    client::seed,
    power::{Crash, EXT4, KILL, KILLS, POWER, XFS, share},
    support::{
        Random,
        image::Image,
        moving::{Servers, copied},
        temp,
    },
};
use relay::failpoint::{Failpoint, VARIABLE};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Every series begins with empty mailboxes.
const CUTS_OF_A_SERIES: u64 = 10;
/// A pass that has not reached its step by then is cut anyway.
const PASS_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn mailboxes_are_copied_once_over_power_cuts_on_ext4() {
    copy_over(EXT4, share(POWER, 6, 6));
}

#[test]
fn mailboxes_are_copied_once_over_power_cuts_on_xfs() {
    copy_over(XFS, share(POWER, 6, 4));
}

#[test]
fn mailboxes_are_copied_once_over_kills_at_every_step() {
    copy_over(KILL, share(KILLS, 3, 6));
}

fn copy_over(crash: Crash, cuts: u64) {
    let mut random = Random::new(seed().wrapping_add(crash.salt()));
    let steps: Vec<Failpoint> = (Failpoint::ALL.iter().copied())
        .filter(|point| point.name().starts_with("move."))
        .collect();
    let (mut done, mut arrived) = (0, 0);
    let mut reached = BTreeMap::<&str, u64>::new();
    while done < cuts {
        let scene = Scene::new(crash);
        let end = cuts.min(done + CUTS_OF_A_SERIES);
        while done < end {
            scene.servers.grow(30);
            let turn = usize::try_from(done / 2).unwrap();
            let step = (done % 2 == 1).then(|| steps[turn % steps.len()]);
            let life = match step {
                Some(_) => PASS_PATIENCE,
                None => Duration::from_millis(50 + random.below(1_500)),
            };
            if scene.pass_and_cut(step, life)
                && let Some(step) = step
            {
                *reached.entry(step.name()).or_default() += 1;
            }
            done += 1;
        }
        arrived += scene.assert_whole();
    }
    println!(
        "SUMMARY move: {arrived} messages copied, {cuts} {crash}, 0 lost, 0 twice; steps reached: \
         {reached:?}"
    );
}

/// Two servers, and a mover whose spool may lose its power.
struct Scene {
    servers: Servers,
    config: PathBuf,
    image: Option<Image>,
    _directory: TempDir,
}

impl Scene {
    fn new(crash: Crash) -> Self {
        let directory = temp();
        let path = directory.path();
        let image = match crash {
            Crash::Power(kind) => Some(Image::new(path, kind)),
            Crash::Kill => None,
        };
        let spool = image.as_ref().map_or(path, Image::path).join("spool");
        let servers = Servers::start(path);
        let text = format!(
            "hostname = \"hold.example.net\"\n[spool]\npath = {spool:?}\nmin_free = \"1 MiB\"\n\
             [control]\nsocket = {:?}\n[[domain]]\nname = \"corp.example\"\n\
             destination = {{ host = \"127.0.0.1\" }}\n{}",
            path.join("control.sock"),
            servers.section()
        );
        let config = path.join("relay.toml");
        fs::write(&config, text).unwrap();
        Self {
            servers,
            config,
            image,
            _directory: directory,
        }
    }

    fn mover(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
        command.arg("--config").arg(&self.config);
        command.args(["--json", "move", "--once"]);
        command
    }

    /// A pass, ended by a cut after this time, or when the process has ended. Whether it died at
    /// its step.
    fn pass_and_cut(&self, step: Option<Failpoint>, life: Duration) -> bool {
        let mut command = self.mover();
        command.envs(step.map(|step| (VARIABLE, step.name())));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + life;
        let mut ended = None;
        while ended.is_none() && Instant::now() < end {
            // The moment is what is random here: nothing is waited for.
            thread::sleep(Duration::from_millis(2));
            ended = child.try_wait().unwrap();
        }
        if let Some(image) = &self.image {
            image.cut();
        }
        let _ = child.kill();
        child.wait().unwrap();
        if let Some(image) = &self.image {
            image.restore();
        }
        ended.is_some_and(|status| status.signal().is_some())
    }

    /// After a pass that nothing disturbs: each message of the source is in the target once,
    /// and the next pass finds nothing. How many there are.
    fn assert_whole(&self) -> usize {
        let pass = || {
            let output = self.mover().output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{errors}");
            copied(&output.stdout)
        };
        pass();
        let count = self.servers.assert_same();
        assert_eq!(pass(), 0);
        count
    }
}
