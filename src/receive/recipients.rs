//! Whose mail is taken.

use super::answers;
use crate::{
    config::{self, Config, Domain, Recipients, Stamp},
    mail::Address,
    smtp::{ForwardPath, Reply},
};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A file that was written to less than this ago may be written to again.
const REST: Duration = Duration::from_secs(1);

/// A list of recipients cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipientsError {
    /// The file cannot be read.
    #[error("{path:?}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no recipient in the file.
    #[error("{path:?}: names no recipient")]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// A line is no address.
    #[error("{path:?}:{line}: `{text}` is neither an address nor @domain")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
}

/// All domains and their recipients.
#[derive(Debug)]
pub(super) struct Directory {
    domains: HashMap<String, Known>,
    postmaster: Option<Address>,
}

#[derive(Debug)]
enum Known {
    Any,
    Listed(ListFile),
    Verified,
}

/// A mailbox of ours.
#[derive(Debug)]
pub(super) enum Found {
    /// There is such a one.
    Mailbox(Address),
    /// Its destination knows whether there is.
    Asked(Address),
}

impl Directory {
    pub(super) fn new(config: &Config) -> Result<Self, RecipientsError> {
        let known = |domain: &Domain| match &domain.recipients {
            Recipients::Any => Ok(Known::Any),
            Recipients::File(path) => ListFile::open(path).map(Known::Listed),
            Recipients::Verify => Ok(Known::Verified),
        };
        let domains = config
            .domains
            .iter()
            .map(|domain| Ok((domain.name.clone(), known(domain)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            domains,
            postmaster: config::postmaster(&config.domains),
        })
    }

    /// All names of ours.
    pub(super) fn domains(&self) -> impl ExactSizeIterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }

    /// The mailbox that `to` stands for, if its mail is taken; else what to answer, and
    /// whom it was for.
    pub(super) fn find(&self, to: ForwardPath) -> Result<Found, (Reply, String)> {
        let address = match (to, &self.postmaster) {
            (ForwardPath::Mailbox(address), _) => address,
            // RFC 5321 §4.5.1: always there.
            (ForwardPath::Postmaster, Some(postmaster)) => {
                return Ok(Found::Mailbox(postmaster.clone()));
            }
            (ForwardPath::Postmaster, None) => {
                let reply = Reply::new(550, "5.1.1", "<postmaster>: User unknown");
                return Err((reply, "postmaster".into()));
            }
        };
        let domain = address.domain();
        let known = match self.domains.get(&domain) {
            None => return Err((answers::relay_denied(&address), address.into())),
            Some(Known::Any) => true,
            // RFC 5321 §4.5.1.
            Some(_) if address.local_part().eq_ignore_ascii_case("postmaster") => true,
            Some(Known::Verified) => return Ok(Found::Asked(address)),
            Some(Known::Listed(file)) => file.current().has(&address, &domain),
        };
        if known {
            Ok(Found::Mailbox(address))
        } else {
            Err((answers::unknown_user(&address), address.into()))
        }
    }
}

/// A file with an address or `@domain` a line, read again when it changes.
#[derive(Debug)]
struct ListFile {
    path: PathBuf,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    stamp: Stamp,
    list: Arc<List>,
}

impl ListFile {
    fn open(path: &Path) -> Result<Self, RecipientsError> {
        let file_error = |error| RecipientsError::File {
            path: path.to_owned(),
            error,
        };
        // The stamp first: a change while the file is read is seen the next time.
        let stamp = Stamp::of(path).map_err(file_error)?;
        let list = Arc::new(List::read(path)?);
        Ok(Self {
            path: path.to_owned(),
            loaded: Mutex::new(Loaded { stamp, list }),
        })
    }

    /// The list as the file has it now. While a changed file is being written, cannot be
    /// read, or has a bad line, the list stays as it was: nobody's mail is bounced for half a
    /// file or a typing error.
    fn current(&self) -> Arc<List> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(stamp) = Stamp::of(&self.path)
            && stamp != loaded.stamp
            && stamp.has_rested(REST)
        {
            loaded.stamp = stamp;
            match List::read(&self.path) {
                Ok(list) => {
                    tracing::info!(path = %self.path.display(), "recipients read again");
                    loaded.list = Arc::new(list);
                }
                Err(error) => tracing::error!(%error, "the old list of recipients stays"),
            }
        }
        Arc::clone(&loaded.list)
    }
}

/// Addresses and `@domain`s in lower case.
#[derive(Debug)]
struct List(HashSet<String>);

impl List {
    fn read(path: &Path) -> Result<Self, RecipientsError> {
        let text = fs::read_to_string(path).map_err(|error| RecipientsError::File {
            path: path.to_owned(),
            error,
        })?;
        let mut entries = HashSet::new();
        for (number, line) in text.lines().enumerate() {
            let entry = line.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let probe = match entry.strip_prefix('@') {
                Some(domain) => Address::parse(&format!("any@{domain}")),
                None => Address::parse(entry),
            };
            if probe.is_err() {
                return Err(RecipientsError::Line {
                    path: path.to_owned(),
                    line: number + 1,
                    text: entry.chars().take(100).collect(),
                });
            }
            entries.insert(entry.to_lowercase());
        }
        // Written by a script that has failed, most likely; it would refuse everybody.
        if entries.is_empty() {
            return Err(RecipientsError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self(entries))
    }

    /// The address itself, without its `+` extension, or its whole domain.
    fn has(&self, address: &Address, domain: &str) -> bool {
        let local = address.local_part().to_lowercase();
        let user = match local.split_once('+') {
            Some((user, _)) if !user.is_empty() && !local.starts_with('"') => user,
            _ => &local,
        };
        self.0.contains(&format!("{local}@{domain}"))
            || self.0.contains(&format!("{user}@{domain}"))
            || self.0.contains(&format!("@{domain}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> (tempfile::NamedTempFile, Result<ListFile, RecipientsError>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let list = ListFile::open(file.path());
        (file, list)
    }

    fn has(list: &ListFile, address: &str) -> bool {
        let address = Address::parse(address).unwrap();
        list.current().has(&address, &address.domain())
    }

    #[test]
    fn addresses_extensions_and_whole_domains() {
        let (_file, list) = list("# staff\nBob@Corp.example\n\n @all.example \n");
        let list = list.unwrap();
        for known in [
            "bob@corp.example",
            "BOB@CORP.EXAMPLE",
            "bob+list@corp.example",
            "x@all.example",
        ] {
            assert!(has(&list, known), "{known}");
        }
        for unknown in ["eve@corp.example", "bob@other.example", "bo@corp.example"] {
            assert!(!has(&list, unknown), "{unknown}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let (_file, list) = list("bob@corp.example\nnonsense\n");
        let error = list.unwrap_err().to_string();
        assert!(error.ends_with(":2: `nonsense` is neither an address nor @domain"));
    }

    #[test]
    fn a_change_is_seen_and_a_mistake_changes_nothing() {
        let (file, list) = list("bob@corp.example\n");
        let list = list.unwrap();
        let write = |text: &str| {
            fs::write(file.path(), text).unwrap();
            let opened = fs::File::options().append(true).open(file.path()).unwrap();
            let before = std::time::SystemTime::now() - 3 * REST;
            opened.set_modified(before).unwrap();
        };
        write("bob@corp.example\neve@corp.example\n");
        assert!(has(&list, "eve@corp.example"));
        for mistake in ["nonsense\n", "", "# nobody\n"] {
            write(mistake);
            assert!(has(&list, "eve@corp.example"), "{mistake:?}");
        }
        write("eve@corp.example\n");
        assert!(!has(&list, "bob@corp.example"));
        // Perhaps it is not written to its end.
        fs::write(file.path(), "bob@corp.example\n").unwrap();
        assert!(has(&list, "eve@corp.example"));
        fs::remove_file(file.path()).unwrap();
        assert!(has(&list, "eve@corp.example"));
    }
}
