//! What `relay check` has found, and what the daemon's own looks in the background find
//! since: a file of its own, `checked.json` below the spool's path, so that the status and
//! the page show it, and what has changed.

use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Changes that are remembered.
const CHANGES_MAX: usize = 100;

/// One check with its result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The check's name, which stays the same.
    pub name: String,
    /// The domain that it is about; absent for the relay itself and for the mailboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; absent when it is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Whether it may pass by itself: no answer in time, a refusal for now.
    #[serde(default)]
    pub temporary: bool,
    /// When it was looked at, in milliseconds since 1970.
    #[serde(default)]
    pub at_ms: u64,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It will do, or it depends.
    Warn,
    /// Mail would go astray, or not go.
    Fail,
}

/// A check that went otherwise than the time before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The check.
    pub name: String,
    /// The domain that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// When it was seen.
    pub at_ms: u64,
    /// How it had gone.
    pub from: Verdict,
    /// How it goes now.
    pub to: Verdict,
}

/// The last result of each check.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// When something was looked at last.
    pub at_ms: u64,
    /// Each check's last result, in the order in which they were first seen.
    pub findings: Vec<Finding>,
    /// What has changed, the newest last.
    pub changes: Vec<Change>,
}

impl Verdict {
    /// As people read it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

impl Checked {
    /// Where it is, below the spool's path.
    #[must_use]
    pub fn path(spool: &Path) -> PathBuf {
        spool.join("checked.json")
    }

    /// Reads it; nothing where nothing was ever checked.
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

    /// Puts new results in the place of the old ones, and notes which have changed.
    pub fn record(&mut self, findings: &[Finding]) {
        for new in findings {
            self.at_ms = self.at_ms.max(new.at_ms);
            let same = |old: &&mut Finding| old.name == new.name && old.domain == new.domain;
            let Some(old) = self.findings.iter_mut().find(same) else {
                self.findings.push(new.clone());
                continue;
            };
            if old.verdict != new.verdict {
                self.changes.push(Change {
                    name: new.name.clone(),
                    domain: new.domain.clone(),
                    at_ms: new.at_ms,
                    from: old.verdict,
                    to: new.verdict,
                });
            }
            *old = new.clone();
        }
        let surplus = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..surplus);
    }

    /// Forgets domains that are not among these.
    pub fn keep(&mut self, domains: &[&str]) {
        let known = |domain: &Option<String>| {
            let name = domain.as_deref();
            name.is_none_or(|name| domains.contains(&name))
        };
        self.findings.retain(|finding| known(&finding.domain));
        self.changes.retain(|change| known(&change.domain));
    }

    /// The same without what went well, and without what `holds` no longer.
    #[must_use]
    pub fn unwell(&self, holds: impl Fn(&Finding) -> bool) -> Self {
        let wrong = |one: &&Finding| one.verdict != Verdict::Ok && holds(one);
        Self {
            findings: self.findings.iter().filter(wrong).cloned().collect(),
            ..self.clone()
        }
    }

    /// Writes it in the place of the old one.
    ///
    /// # Errors
    /// Those of the file system; then the old one is still there.
    pub fn write(&self, spool: &Path) -> io::Result<()> {
        let path = Self::path(spool);
        // Two may write at once, the daemon and a person's `relay check`.
        let new = path.with_extension(format!("json.{}", std::process::id()));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, verdict: Verdict, at_ms: u64) -> Finding {
        Finding {
            name: name.into(),
            domain: Some("a.example".into()),
            verdict,
            found: "so".into(),
            fix: None,
            temporary: false,
            at_ms,
        }
    }

    #[test]
    fn a_change_is_noted_and_what_is_not_looked_at_stays() {
        let mut checked = Checked::default();
        checked.record(&[
            finding("mx", Verdict::Ok, 1),
            finding("tlsa", Verdict::Ok, 1),
        ]);
        checked.record(&[finding("mx", Verdict::Ok, 2)]);
        assert_eq!(checked.changes, []);
        checked.record(&[finding("mx", Verdict::Fail, 3)]);
        let change = &checked.changes[0];
        assert_eq!(
            (change.from, change.to, change.at_ms),
            (Verdict::Ok, Verdict::Fail, 3)
        );
        assert_eq!((checked.findings.len(), checked.at_ms), (2, 3));
        assert_eq!(checked.findings[1].at_ms, 1);
        checked.keep(&["b.example"]);
        assert_eq!((checked.findings.len(), checked.changes.len()), (0, 0));
    }

    #[test]
    fn it_reads_back_and_nothing_is_nothing() {
        let spool = tempfile::tempdir().unwrap();
        assert_eq!(Checked::read(spool.path()).unwrap(), None);
        let mut checked = Checked::default();
        checked.record(&[finding("mx", Verdict::Warn, 1)]);
        checked.write(spool.path()).unwrap();
        assert_eq!(Checked::read(spool.path()).unwrap(), Some(checked));
    }
}
