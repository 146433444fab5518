//! The certificate that the relay shows: its names, its dates, who signed it, and whether
//! the DNS says the same of it (TLSA).

mod der;

use super::{CheckError, Checker, Relay, fail, ok, probe::Chain, time, unanswered, warn};
use crate::{dns::Tlsa, ledger::Finding, trust::authorities};
use ring::digest::{SHA256, SHA512, digest};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring::default_provider,
    pki_types::{ServerName, UnixTime},
};
use std::{path::Path, sync::Arc, time::Duration};

/// Certificates of 90 days are renewed 30 days before; then something is wrong.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// The authorities that are believed.
#[derive(Clone)]
pub(super) struct Trust(Arc<RootCertStore>);

impl Trust {
    /// Those of a file, else those of the system.
    ///
    /// # Errors
    /// [`CheckError::Authorities`]: none can be read.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, CheckError> {
        let roots = match file {
            Some(file) => {
                let shown = file.display().to_string();
                let pem = std::fs::read(file).map_err(|error| error.to_string());
                pem.and_then(|pem| authorities(&pem).map_err(|error| error.to_string()))
                    .map_err(|detail| CheckError::Authorities {
                        file: shown,
                        detail,
                    })?
            }
            None => {
                // A host without any still checks all the rest.
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        Ok(Self(Arc::new(roots)))
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.0.clone()
    }

    /// Whether a client that knows these authorities would take `chain` for `name`; else why
    /// not.
    pub(super) fn verify(&self, chain: &Chain, name: &str) -> Result<(), String> {
        let builder =
            WebPkiServerVerifier::builder_with_provider(self.roots(), default_provider().into());
        let verifier = builder.build().map_err(|error| error.to_string())?;
        let (own, rest) = chain.split_first().ok_or("no certificate")?;
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        (verifier.verify_server_cert(own, rest, &name, &[], UnixTime::now()))
            .map_err(|error| error.to_string())?;
        Ok(())
    }
}

/// What is wrong with a certificate's dates now, and whether it is too late already.
pub(super) fn dates(certificate: &[u8], now_s: i64) -> Dates {
    let Some((from, until)) = der::validity(certificate) else {
        return Dates::Unreadable;
    };
    let left = Duration::from_secs(u64::try_from(until - now_s).unwrap_or(0));
    match now_s {
        _ if now_s > until => Dates::Expired,
        _ if now_s < from => Dates::NotYet,
        _ if left < SOON => Dates::Soon(left),
        _ => Dates::Good(left),
    }
}

/// See [`dates`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dates {
    Good(Duration),
    Soon(Duration),
    Expired,
    NotYet,
    Unreadable,
}

impl Dates {
    pub(super) fn words(self) -> String {
        match self {
            Self::Good(left) | Self::Soon(left) => format!("it ends in {}", time(left)),
            Self::Expired => "it has expired".into(),
            Self::NotYet => "it is not valid yet".into(),
            Self::Unreadable => "it cannot be read".into(),
        }
    }
}

/// What the relay shows at its port, and what the DNS says it would.
pub(super) async fn check(checker: &Checker, shown: Option<Chain>) -> (Vec<Finding>, Relay) {
    let hostname = &checker.config.hostname;
    let Some(chain) = shown else {
        let findings = vec![tlsa(checker, hostname, None).await];
        return (findings, Relay::default());
    };
    let trusted = checker.trust.verify(&chain, hostname);
    let relay = Relay {
        trusted: Some(trusted.is_ok()),
    };
    let findings = vec![
        own(hostname, &chain, trusted),
        tlsa(checker, hostname, Some(&chain)).await,
    ];
    (findings, relay)
}

fn own(hostname: &str, chain: &Chain, trusted: Result<(), String>) -> Finding {
    const NAME: &str = "certificate";
    let now_s = UnixTime::now().as_secs().cast_signed();
    let dates = chain
        .first()
        .map_or(Dates::Unreadable, |own| dates(own, now_s));
    let renew = "renew it, and have the renewal write the files of [tls]: relay reads them again \
                 by itself";
    match (dates, trusted) {
        (Dates::Expired | Dates::NotYet | Dates::Unreadable, _) => {
            fail(NAME, format!("{hostname}: {}", dates.words()), renew)
        }
        (Dates::Soon(_), _) => warn(NAME, format!("{hostname}: {}", dates.words()), renew),
        (Dates::Good(_), Ok(())) => ok(
            NAME,
            format!("{hostname}: of a known authority, {}", dates.words()),
        ),
        (Dates::Good(_), Err(why)) => warn(
            NAME,
            format!("{hostname}: {why}; senders without MTA-STS or DANE do not mind"),
            format!("put a certificate of a public authority for {hostname} in [tls]"),
        ),
    }
}

/// RFC 7672.
async fn tlsa(checker: &Checker, hostname: &str, chain: Option<&Chain>) -> Finding {
    const NAME: &str = "tlsa";
    let owner = format!("_25._tcp.{hostname}");
    let records = match checker.dns.tlsa(&owner).await {
        Ok(answer) => answer.records,
        Err(error) => return unanswered(NAME, &error),
    };
    if records.is_empty() {
        return ok(NAME, format!("none at {owner}: nobody expects DANE"));
    }
    let fix = format!(
        "publish `{owner} TLSA 3 1 1 {}`, or take the records away before the MX moves here",
        chain.and_then(spki_digest).unwrap_or_default()
    );
    let Some(chain) = chain else {
        let found = format!("{owner} promises TLS, and the relay showed none");
        return fail(NAME, found, fix);
    };
    let count = super::counted(records.len(), "record");
    if records.iter().any(|record| matches(record, chain)) {
        return ok(
            NAME,
            format!("{count} at {owner}, of the certificate shown"),
        );
    }
    let found =
        format!("{count} at {owner}, none of the certificate shown: senders with DANE wait");
    fail(NAME, found, fix)
}

fn matches(record: &Tlsa, chain: &Chain) -> bool {
    // RFC 7672 §3.1.3: 0 and 1 are not for mail.
    let candidates = match record.usage {
        2 => chain.as_slice(),
        3 => chain.get(..1).unwrap_or_default(),
        _ => return false,
    };
    candidates.iter().any(|certificate| {
        let selected = match record.selector {
            0 => Some(certificate.to_vec()),
            1 => der::public_key(certificate).map(<[u8]>::to_vec),
            _ => None,
        };
        let expected = selected.and_then(|bytes| match record.matching {
            0 => Some(bytes),
            1 => Some(digest(&SHA256, &bytes).as_ref().to_vec()),
            2 => Some(digest(&SHA512, &bytes).as_ref().to_vec()),
            _ => None,
        });
        expected.as_ref() == Some(&record.data)
    })
}

fn spki_digest(chain: &Chain) -> Option<String> {
    let key = der::public_key(chain.first()?)?;
    let bytes = digest(&SHA256, key);
    Some(
        bytes
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
