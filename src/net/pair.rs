//! A certificate with its key: from configured files, or made by ourselves and kept in the
//! spool's directory.
//!
//! The only user of `rustls-pemfile`, which is no longer maintained upstream, and thin.

use crate::config::TlsFiles;
use rustls_pemfile::Item;
use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use tokio_rustls::rustls::{
    self,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

/// Of the pair that is made when none is configured, in the spool's directory.
const SELF_SIGNED_CERTIFICATE: &str = "tls-certificate.pem";
const SELF_SIGNED_KEY: &str = "tls-private-key.pem";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path:?}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file holds no certificate or no key.
    #[error("{path:?} holds no {what} in PEM form")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// A certificate for one of several names holds none.
    #[error("{certificate:?} is for no DNS name that a client could ask for")]
    Nameless {
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// Key and certificate do not fit each other, or are of an unknown kind.
    #[error("{certificate:?} and {private_key:?} cannot be used: {error}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up: {0}")]
    Unavailable(rustls::Error),
    /// No pair could be made for this host name.
    #[error("no self-signed certificate can be made for {hostname}: {error}")]
    SelfSigned {
        /// `hostname` of the configuration.
        hostname: String,
        /// What rcgen says.
        error: rcgen::Error,
    },
}

/// The pair in these files.
///
/// # Errors
/// [`TlsError`]: a file cannot be read, or the two do not fit each other.
pub(super) fn load(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key = private_key(&files.private_key)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| unusable(files, error))
}

/// The DNS names that the pair's certificate is for, in lower case; a wildcard as it is.
///
/// # Errors
/// [`TlsError`]: the certificate cannot be understood, or is for none.
pub(super) fn names(files: &TlsFiles, pair: &CertifiedKey) -> Result<Vec<String>, TlsError> {
    let certificate = pair
        .end_entity_cert()
        .map_err(|error| unusable(files, error))?;
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| unusable(files, rustls::Error::General(error.to_string())))?;
    let names: Vec<_> = parsed
        .valid_dns_names()
        .map(str::to_ascii_lowercase)
        .collect();
    if names.is_empty() {
        return Err(TlsError::Nameless {
            certificate: files.certificate.clone(),
        });
    }
    Ok(names)
}

pub(super) fn unusable(files: &TlsFiles, error: rustls::Error) -> TlsError {
    TlsError::Unusable {
        certificate: files.certificate.clone(),
        private_key: files.private_key.clone(),
        error,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, error: io::Error) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        error,
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain = rustls_pemfile::certs(&mut &pem[..])
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| file_error(path, error))?;
    if chain.is_empty() {
        return Err(TlsError::Missing {
            path: path.to_owned(),
            what: "certificate",
        });
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(path)?;
    for item in rustls_pemfile::read_all(&mut &pem[..]) {
        match item.map_err(|error| file_error(path, error))? {
            Item::Pkcs1Key(key) => return Ok(key.into()),
            Item::Pkcs8Key(key) => return Ok(key.into()),
            Item::Sec1Key(key) => return Ok(key.into()),
            _ => {}
        }
    }
    Err(TlsError::Missing {
        path: path.to_owned(),
        what: "private key",
    })
}

/// The pair in `directory`, made if it is not there. The key is written first: where
/// the certificate is, there is the key.
pub(super) fn self_signed(directory: &Path, hostname: &str) -> Result<TlsFiles, TlsError> {
    let files = TlsFiles {
        certificate: directory.join(SELF_SIGNED_CERTIFICATE),
        private_key: directory.join(SELF_SIGNED_KEY),
    };
    if files.certificate.exists() && files.private_key.exists() {
        return Ok(files);
    }
    let pair = rcgen::generate_simple_self_signed([hostname.to_owned()]).map_err(|error| {
        TlsError::SelfSigned {
            hostname: hostname.to_owned(),
            error,
        }
    })?;
    fs::create_dir_all(directory).map_err(|error| file_error(directory, error))?;
    write(&files.private_key, &pair.signing_key.serialize_pem())?;
    write(&files.certificate, &pair.cert.pem())?;
    Ok(files)
}

/// Puts a file there whole or not at all, readable for nobody else.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    let draft = path.with_extension("pem.new");
    let put = || -> io::Result<()> {
        // One left behind by a crash may have another mode.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    put().map_err(|error| file_error(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_pair_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        self_signed(directory.path(), "mx.test").unwrap();
        let key = directory.path().join(SELF_SIGNED_KEY);
        let first = fs::read(&key).unwrap();
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        self_signed(directory.path(), "mx.test").unwrap();
        assert_eq!(fs::read(&key).unwrap(), first);
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        self_signed(directory.path(), "mx.test").unwrap();
        let certificate = directory.path().join(SELF_SIGNED_CERTIFICATE);
        let attempt = |private_key: &Path| {
            let files = TlsFiles {
                certificate: certificate.clone(),
                private_key: private_key.to_owned(),
            };
            let error = load(&files).unwrap_err();
            assert!(error.to_string().contains(private_key.to_str().unwrap()));
            error
        };
        let absent = directory.path().join("absent.pem");
        assert!(matches!(attempt(&absent), TlsError::File { .. }));
        assert!(matches!(attempt(&certificate), TlsError::Missing { .. }));
        let other = directory.path().join("other.pem");
        fs::write(&other, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(attempt(&other), TlsError::Unusable { .. }));
    }
}
