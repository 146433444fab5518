//! How far `relay cutover` is: `cutover.json` below the spool's path. It is what makes the
//! command resumable, and where the page and `relay status` learn what was decided.
//!
//! It is written whole, synced and renamed at each change, so that after any interruption
//! the next start finds the step that was under way.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A cutover under way, or finished. Times are milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cutover {
    /// The domains that move together.
    pub domains: Vec<String>,
    /// When it was begun.
    pub began_ms: u64,
    /// Its steps, all of them, in order.
    pub steps: Vec<StepRecord>,
}

/// A step as it went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub step: Step,
    /// Whether it is over.
    #[serde(default)]
    pub state: StepState,
    /// When it was first begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// How often it was begun: more than once after an interruption.
    #[serde(default)]
    pub tries: u32,
    /// How it ended, or why it was left out, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whether a step is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Its turn has not come.
    #[default]
    Ahead,
    /// Begun and not ended: at work, or interrupted.
    Underway,
    /// Done.
    Done,
    /// Left out, for the reason in its note.
    Skipped,
}

/// The steps of a cutover.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What could go wrong is looked at first.
    Check,
    /// The bulk of the mailboxes is copied while mail still goes to the old server.
    FirstPass,
    /// The MX comes here.
    Mx,
    /// Mail is held.
    Hold,
    /// Passes until nothing new is left to copy.
    Converge,
    /// Everything that a release waits for.
    Gate,
    /// A few messages first.
    Canary,
    /// All that was held, in order.
    Release,
    /// Old, spool and new are compared.
    Verify,
    /// Late mail is passed on until none comes.
    Tail,
    /// The account of it all.
    Report,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Check,
        Self::FirstPass,
        Self::Mx,
        Self::Hold,
        Self::Converge,
        Self::Gate,
        Self::Canary,
        Self::Release,
        Self::Verify,
        Self::Tail,
        Self::Report,
    ];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::FirstPass => "first pass",
            Self::Mx => "MX",
            Self::Hold => "hold",
            Self::Converge => "converge",
            Self::Gate => "gate",
            Self::Canary => "canary",
            Self::Release => "release",
            Self::Verify => "verify",
            Self::Tail => "tail",
            Self::Report => "report",
        }
    }
}

impl StepRecord {
    /// How long it took, or has taken up to `now_ms`, interruptions included.
    #[must_use]
    pub fn took_ms(&self, now_ms: u64) -> Option<u64> {
        let began_ms = self.began_ms?;
        Some(self.ended_ms.unwrap_or(now_ms).saturating_sub(began_ms))
    }

    /// Whether nothing is left to do for it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, StepState::Done | StepState::Skipped)
    }
}

impl Cutover {
    /// One that is about to begin.
    #[must_use]
    pub fn new(domains: Vec<String>, now_ms: u64) -> Self {
        let steps = Step::ALL.map(|step| StepRecord {
            step,
            state: StepState::Ahead,
            began_ms: None,
            ended_ms: None,
            tries: 0,
            note: None,
        });
        Self {
            domains,
            began_ms: now_ms,
            steps: steps.into(),
        }
    }

    /// The same with the steps that its version did not know, as not begun.
    #[must_use]
    pub fn completed(self) -> Self {
        let mut whole = Self::new(self.domains, self.began_ms);
        for record in self.steps {
            whole.change(record.step, |known| *known = record);
        }
        whole
    }

    /// Where it is, below the spool's path.
    #[must_use]
    pub fn path(spool: &Path) -> PathBuf {
        spool.join("cutover.json")
    }

    /// Reads it; nothing where there was none.
    ///
    /// # Errors
    /// A file that is there and cannot be read, or is none of ours.
    pub fn read(spool: &Path) -> io::Result<Option<Self>> {
        match fs::read(Self::path(spool)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it in the place of the old one; it is on stable storage afterwards.
    ///
    /// # Errors
    /// Those of the file system; then the old one is still there.
    pub fn write(&self, spool: &Path) -> io::Result<()> {
        let path = Self::path(spool);
        let new = path.with_extension("json.new");
        let mut file = fs::File::create(&new)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        fs::File::open(spool)?.sync_all()
    }

    /// A step's record.
    #[must_use]
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|record| record.step == step)
    }

    /// The first step that is not over.
    #[must_use]
    pub fn next(&self) -> Option<Step> {
        let ahead = self.steps.iter().find(|record| !record.is_over());
        ahead.map(|record| record.step)
    }

    /// Whether a domain is among those that move.
    #[must_use]
    pub fn concerns(&self, domain: &str) -> bool {
        self.domains.iter().any(|name| name == domain)
    }

    /// A step begins, or begins again.
    pub fn begin(&mut self, step: Step, now_ms: u64) {
        self.change(step, |record| {
            record.state = StepState::Underway;
            record.began_ms.get_or_insert(now_ms);
            record.tries = record.tries.saturating_add(1);
        });
    }

    /// A step is over.
    pub fn finish(&mut self, step: Step, note: Option<String>, now_ms: u64) {
        self.change(step, |record| {
            record.state = StepState::Done;
            record.ended_ms = Some(now_ms);
            record.note = note;
        });
    }

    /// A step is left out.
    pub fn skip(&mut self, step: Step, why: String) {
        self.change(step, |record| {
            record.state = StepState::Skipped;
            record.began_ms = None;
            record.note = Some(why);
        });
    }

    fn change(&mut self, step: Step, change: impl FnOnce(&mut StepRecord)) {
        if let Some(record) = self.steps.iter_mut().find(|record| record.step == step) {
            change(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_found_again_after_an_interruption() {
        let spool = tempfile::tempdir().unwrap();
        assert_eq!(Cutover::read(spool.path()).unwrap(), None);
        let mut cutover = Cutover::new(vec!["corp.example".into()], 1_000);
        assert_eq!(cutover.next(), Some(Step::Check));
        cutover.begin(Step::Check, 1_000);
        cutover.finish(Step::Check, None, 4_000);
        cutover.skip(Step::FirstPass, "there is no [mover]".into());
        cutover.begin(Step::Mx, 5_000);
        cutover.write(spool.path()).unwrap();
        let mut again = Cutover::read(spool.path()).unwrap().unwrap();
        assert_eq!(again, cutover);
        assert_eq!(again.next(), Some(Step::Mx));
        again.begin(Step::Mx, 9_000);
        let mx = again.step(Step::Mx).unwrap();
        // Its time is counted from its first beginning.
        assert_eq!((mx.tries, mx.took_ms(10_000)), (2, Some(5_000)));
        assert_eq!(
            again.step(Step::Check).unwrap().took_ms(10_000),
            Some(3_000)
        );
    }

    #[test]
    fn steps_stand_in_their_order_and_the_last_ends_it() {
        assert!(Step::ALL.is_sorted());
        let mut cutover = Cutover::new(Vec::new(), 0);
        while let Some(step) = cutover.next() {
            cutover.begin(step, 1);
            cutover.finish(step, None, 2);
        }
        assert!(cutover.steps.iter().all(StepRecord::is_over));
    }
}
