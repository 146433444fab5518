//! LIMITS (RFC 9422): how much of one session and one transaction a destination lets be used.

use super::connection::Connection;
use crate::mail::{Address, Envelope};
use std::collections::BTreeSet;

/// What a destination announces; nothing where it does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// §4.1: MAIL commands in a session, refused ones too.
    pub mail_max: Option<usize>,
    /// §4.2: RCPT commands in a transaction.
    pub rcpt_max: Option<usize>,
    /// §4.3: different domains of recipients in a session.
    pub rcpt_domain_max: Option<usize>,
}

impl Limits {
    /// Reads what stands behind `LIMITS`. What is not known, or makes no sense, is passed over
    /// (§3): so is a 0, with which nothing could be sent.
    #[must_use]
    pub fn parse<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut limits = Self::default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().ok().filter(|value| *value > 0);
            match name.to_ascii_uppercase().as_str() {
                "MAILMAX" => limits.mail_max = value,
                "RCPTMAX" => limits.rcpt_max = value,
                "RCPTDOMAINMAX" => limits.rcpt_domain_max = value,
                _ => {}
            }
        }
        limits
    }
}

/// What of a session was used.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// MAIL commands.
    pub mails: usize,
    /// Domains of recipients, where they are counted.
    domains: BTreeSet<String>,
}

impl Connection {
    /// Whether another transaction may be begun.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room_behind(0)
    }

    /// Whether another one may be begun behind so many.
    #[must_use]
    pub fn has_room_behind(&self, transactions: usize) -> bool {
        let mail_max = self.features.limits.mail_max;
        mail_max.is_none_or(|max| self.used.mails + transactions < max)
    }

    /// How many of these recipients, from the first, may stand in one transaction now; the
    /// others have to wait for the next one.
    #[must_use]
    pub fn room_for(&self, envelope: &Envelope, places: &[u32]) -> usize {
        let Limits {
            rcpt_max,
            rcpt_domain_max,
            ..
        } = self.features.limits;
        let most = rcpt_max.unwrap_or(usize::MAX).min(places.len());
        let Some(domain_max) = rcpt_domain_max else {
            return most;
        };
        let mut domains = self.used.domains.clone();
        addresses(envelope, places)
            .take(most)
            .take_while(|address| {
                domains.insert(address.domain());
                domains.len() <= domain_max
            })
            .count()
    }

    /// These recipients are named in this session.
    pub fn use_for(&mut self, envelope: &Envelope, places: &[u32]) {
        if self.features.limits.rcpt_domain_max.is_some() {
            let domains = addresses(envelope, places).map(Address::domain);
            self.used.domains.extend(domains);
        }
    }
}

fn addresses<'e>(envelope: &'e Envelope, places: &[u32]) -> impl Iterator<Item = &'e Address> {
    let recipients = |place: &u32| envelope.recipients.get(*place as usize);
    places
        .iter()
        .filter_map(recipients)
        .map(|recipient| &recipient.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let parse = |text: &str| Limits::parse(text.split_whitespace());
        let expected = Limits {
            mail_max: Some(20),
            rcpt_max: Some(100),
            rcpt_domain_max: None,
        };
        assert_eq!(parse("RCPTMAX=100 mailmax=20"), expected);
        assert_eq!(parse("MAILMAX=20 X=1 RCPTDOMAINMAX RCPTMAX=100"), expected);
        assert_eq!(
            parse("MAILMAX=0 RCPTMAX=-1 RCPTDOMAINMAX=many"),
            Limits::default()
        );
    }
}
