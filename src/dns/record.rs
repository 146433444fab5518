//! Records as values.

use hickory_resolver::proto::rr::{Name, RData};
use std::{net::IpAddr, time::Duration};

/// The records of one kind that a name has; none is an answer too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<T> {
    /// Them.
    pub records: Vec<T>,
    /// How long whoever gave this answer lets it be remembered; none without records.
    pub ttl: Option<Duration>,
    /// Whether the server answers for the zone itself (RFC 1035 §4.1.1, AA). Only told
    /// where there are records.
    pub authoritative: bool,
}

impl<T> Answer<T> {
    /// Both together.
    pub(super) fn join(&mut self, other: Self) {
        self.records.extend(other.records);
        self.ttl = [self.ttl, other.ttl].into_iter().flatten().min();
        self.authoritative &= other.authoritative;
    }
}

/// A host that takes a domain's mail. The order is that of the preferences.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mx {
    /// Lower ones are tried first (RFC 5321 §5.1).
    pub preference: u16,
    /// In lower case, without a final dot; empty for a null MX (RFC 7505).
    pub host: String,
}

/// What a service's certificate must be (RFC 6698 §2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tlsa {
    /// 0 to 3: PKIX-TA, PKIX-EE, DANE-TA, DANE-EE.
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 the bytes, 1 their SHA-256, 2 their SHA-512.
    pub matching: u8,
    /// The bytes or the digest.
    pub data: Vec<u8>,
}

pub(super) fn mx(data: &RData) -> Option<Mx> {
    match data {
        RData::MX(mx) => Some(Mx {
            preference: mx.preference,
            host: name(&mx.exchange),
        }),
        _ => None,
    }
}

pub(super) fn address(data: &RData) -> Option<IpAddr> {
    data.ip_addr()
}

pub(super) fn host(data: &RData) -> Option<String> {
    match data {
        RData::PTR(host) => Some(name(host)),
        RData::NS(host) => Some(name(host)),
        RData::CNAME(host) => Some(name(host)),
        _ => None,
    }
}

pub(super) fn txt(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else {
        return None;
    };
    let bytes: Vec<u8> = txt.txt_data.concat();
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn tlsa(data: &RData) -> Option<Tlsa> {
    match data {
        RData::TLSA(tlsa) => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    }
}

fn name(name: &Name) -> String {
    name.to_utf8().trim_end_matches('.').to_lowercase()
}
