//! Since when each domain is held: `holds.json` below the spool's path. A release forgets it, and
//! a gate has to know it, also after a restart.

use crate::spool::{DomainStatus, Phase};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Since when each domain is held, or was before it was released; milliseconds since 1970.
#[derive(Debug)]
pub struct Holds {
    path: PathBuf,
    since: BTreeMap<String, u64>,
    is_kept: bool,
}

impl Holds {
    /// Reads what is known. A file that cannot be read is as if it were not there: what nobody
    /// knows opens no gate.
    #[must_use]
    pub fn load(spool: &Path) -> Self {
        let path = spool.join("holds.json");
        let since = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) => BTreeMap::new(),
        };
        Self {
            path,
            since,
            is_kept: true,
        }
    }

    /// Takes note of the domains that are held now.
    ///
    /// # Errors
    /// Those of the file system; it is tried again the next time.
    pub fn note(&mut self, domains: &[DomainStatus]) -> io::Result<()> {
        for domain in domains.iter().filter(|one| one.phase == Phase::Hold) {
            let before = self
                .since
                .insert(domain.name.clone(), domain.phase_since_ms);
            self.is_kept &= before == Some(domain.phase_since_ms);
        }
        if self.is_kept {
            return Ok(());
        }
        let new = self.path.with_extension("json.new");
        let mut file = fs::File::create(&new)?;
        serde_json::to_writer(&mut file, &self.since)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.is_kept = true;
        Ok(())
    }

    /// Since when it is held.
    #[must_use]
    pub fn since(&self, domain: &str) -> Option<u64> {
        self.since.get(domain).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn a_hold_is_remembered_through_its_release_and_a_restart() {
        let spool = tempfile::tempdir().unwrap();
        let mut holds = Holds::load(spool.path());
        let mut domain = fixture::domain("corp.example", Phase::Hold);
        domain.phase_since_ms = 5;
        holds.note(&[domain.clone()]).unwrap();
        domain.phase = Phase::Release;
        domain.phase_since_ms = 9;
        holds.note(&[domain.clone()]).unwrap();
        let mut again = Holds::load(spool.path());
        assert_eq!(again.since("corp.example"), Some(5));
        assert_eq!(again.since("other.example"), None);
        domain.phase = Phase::Hold;
        again.note(&[domain]).unwrap();
        assert_eq!(again.since("corp.example"), Some(9));
        fs::write(spool.path().join("holds.json"), "[").unwrap();
        assert_eq!(Holds::load(spool.path()).since("corp.example"), None);
    }
}
