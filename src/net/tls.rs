//! The server's side of TLS: several pairs, chosen by the name that a client asks for, and
//! exchanged while connections go on.
//!
//! A session keeps the pair of its handshake to its end; new handshakes get the new one. As
//! long as new files cannot be used, the old pairs stay, all of them.

use super::pair::{self, TlsError};
use crate::config::{Stamp, Tls, TlsFiles};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Where the pairs come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sources {
    /// The configured files; none: a self-signed pair is made in `directory`.
    pub tls: Option<Tls>,
    /// For a pair that is made.
    pub directory: PathBuf,
    /// Its name.
    pub hostname: String,
}

/// The pairs in use.
pub struct Certificates {
    current: ArcSwap<ServerConfig>,
    origin: Mutex<Origin>,
}

/// What the pairs in use were made of, or were last tried to be made of.
struct Origin {
    sources: Sources,
    tried: Stamps,
    /// As they were when last looked at.
    seen: Stamps,
}

/// Of each file; none for one that is not there.
type Stamps = Vec<Option<Stamp>>;

/// What a look at the files has brought.
#[derive(Debug)]
pub enum Look {
    /// They are as they were.
    Same,
    /// They have changed, and the new pairs are in use.
    Renewed,
    /// They have changed and cannot be used; the old pairs stay.
    Kept(TlsError),
}

impl Certificates {
    /// Reads all pairs; makes one where none is configured.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(sources: Sources) -> Result<Self, TlsError> {
        let stamps = stamps(&sources);
        Ok(Self {
            current: ArcSwap::new(server_config(&sources)?),
            origin: Mutex::new(Origin {
                sources,
                tried: stamps.clone(),
                seen: stamps,
            }),
        })
    }

    /// TLS 1.2 and 1.3 with the pairs of now. Client certificates are not asked for.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Reads all pairs again, from other files perhaps.
    ///
    /// # Errors
    /// [`TlsError`]; then the old pairs and sources stay.
    pub fn replace(&self, sources: Sources) -> Result<(), TlsError> {
        let mut origin = self.origin();
        let stamps = stamps(&sources);
        let config = server_config(&sources)?;
        self.current.store(config);
        *origin = Origin {
            sources,
            tried: stamps.clone(),
            seen: stamps,
        };
        Ok(())
    }

    /// Uses the files if they have changed, and have rested since the last look: a file that
    /// is being written, or whose partner is about to follow, is left alone.
    pub fn look(&self) -> Look {
        let mut origin = self.origin();
        let stamps = stamps(&origin.sources);
        if stamps != origin.seen {
            origin.seen = stamps;
            return Look::Same;
        }
        if stamps == origin.tried {
            return Look::Same;
        }
        origin.tried = stamps;
        match server_config(&origin.sources) {
            Ok(config) => {
                self.current.store(config);
                Look::Renewed
            }
            Err(error) => Look::Kept(error),
        }
    }

    fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pair that is made does not change by itself.
fn stamps(sources: &Sources) -> Stamps {
    let tls = sources.tls.iter();
    let files = tls.flat_map(|tls| std::iter::once(&tls.default).chain(&tls.names));
    let paths = files.flat_map(|files| [&files.certificate, &files.private_key]);
    paths.map(|path| Stamp::of(path).ok()).collect()
}

fn server_config(sources: &Sources) -> Result<Arc<ServerConfig>, TlsError> {
    let Sources {
        tls,
        directory,
        hostname,
    } = sources;
    let pairs = match tls {
        Some(Tls { default, names }) => Pairs::read(default, names)?,
        None => Pairs::read(&pair::self_signed(directory, hostname)?, &[])?,
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unavailable)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(pairs));
    Ok(Arc::new(config))
}

/// Which pair for whom.
#[derive(Debug)]
struct Pairs {
    default: Arc<CertifiedKey>,
    /// By name in lower case, or `*.` and the rest of it.
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl Pairs {
    /// Where two are for the same name, the first one is taken, the default before all.
    fn read(default: &TlsFiles, others: &[TlsFiles]) -> Result<Self, TlsError> {
        let mut by_name = HashMap::new();
        let first = Arc::new(pair::load(default)?);
        // The default need not be for any name: it is for all that are left.
        for name in pair::names(default, &first).unwrap_or_default() {
            by_name.insert(name, first.clone());
        }
        for files in others {
            let other = Arc::new(pair::load(files)?);
            for name in pair::names(files, &other)? {
                by_name.entry(name).or_insert_with(|| other.clone());
            }
        }
        Ok(Self {
            default: first,
            by_name,
        })
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let found = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.by_name.get(&name).or_else(|| {
                // RFC 9525 §6.3: a wildcard stands for one whole label.
                let (_, rest) = name.split_once('.')?;
                self.by_name.get(&format!("*.{rest}"))
            })
        });
        found.unwrap_or(&self.default).clone()
    }
}

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    /// Writes a pair for these names.
    fn write(directory: &Path, stem: &str, names: &[&str]) -> TlsFiles {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = TlsFiles {
            certificate: directory.join(format!("{stem}.pem")),
            private_key: directory.join(format!("{stem}-key.pem")),
        };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.private_key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    fn leaf(files: &TlsFiles) -> Vec<u8> {
        let pair = pair::load(files).unwrap();
        pair.end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn each_name_has_its_pair() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let default = write(directory, "default", &["mx.test"]);
        let one = write(directory, "one", &["one.test", "Mail.One.test"]);
        let wild = write(directory, "wild", &["*.wild.test", "mx.test"]);
        let pairs = Pairs::read(&default, &[one.clone(), wild.clone()]).unwrap();
        for (name, files) in [
            (None, &default),
            (Some("mx.test"), &default),
            (Some("unknown.test"), &default),
            (Some("ONE.test"), &one),
            (Some("mail.one.test"), &one),
            (Some("x.one.test"), &default),
            (Some("a.wild.test"), &wild),
            (Some("b.a.wild.test"), &default),
            (Some("wild.test"), &default),
        ] {
            let found = pairs.find(name);
            assert_eq!(
                found.end_entity_cert().unwrap().to_vec(),
                leaf(files),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_pair_for_no_name_cannot_be_chosen() {
        let directory = tempfile::tempdir().unwrap();
        let default = write(directory.path(), "default", &["mx.test"]);
        let nameless = write(directory.path(), "nameless", &["192.0.2.1"]);
        let refused = Pairs::read(&default, std::slice::from_ref(&nameless)).unwrap_err();
        assert!(matches!(refused, TlsError::Nameless { .. }), "{refused}");
        assert!(Pairs::read(&nameless, &[]).is_ok());
    }

    #[test]
    fn a_change_is_taken_when_it_rests_and_fits() {
        let directory = tempfile::tempdir().unwrap();
        let files = write(directory.path(), "pair", &["mx.test"]);
        let certificates = Certificates::open(Sources {
            tls: Some(Tls {
                default: files.clone(),
                names: Vec::new(),
            }),
            directory: directory.path().to_owned(),
            hostname: "mx.test".into(),
        })
        .unwrap();
        let first = certificates.current();
        assert!(matches!(certificates.look(), Look::Same));
        let key = fs::read(&files.private_key).unwrap();
        write(directory.path(), "pair", &["mx.test"]);
        let new_key = fs::read(&files.private_key).unwrap();
        fs::write(&files.private_key, &key[..10]).unwrap();
        assert!(matches!(certificates.look(), Look::Same));
        assert!(matches!(certificates.look(), Look::Kept(_)));
        // It is said once.
        assert!(matches!(certificates.look(), Look::Same));
        assert!(Arc::ptr_eq(&first, &certificates.current()));
        fs::write(&files.private_key, new_key).unwrap();
        assert!(matches!(certificates.look(), Look::Same));
        assert!(matches!(certificates.look(), Look::Renewed));
        assert!(!Arc::ptr_eq(&first, &certificates.current()));
    }
}
