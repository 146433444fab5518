//! What the daemon or the spool knows that checks want to know.

use super::Source;
use crate::{
    check::{Held, Known},
    config::Domain,
    control::{
        Filter,
        view::{MessageView, StatusView},
    },
    spool::DomainStatus,
};
use std::collections::HashMap;

/// Messages of a domain that are looked at.
const MESSAGES_MAX: u64 = 20_000;
/// Recipients of a domain that are remembered: more than are asked about.
const RECIPIENTS_MAX: usize = 1_100;
const MINUTES_A_DAY: f64 = 1440.0;

/// As far as it can be known: what cannot is left out.
pub async fn all(source: &Source, domains: &[Domain]) -> Known {
    let mut known = Known {
        held: held(source, domains).await,
        ..Known::default()
    };
    match source {
        Source::Daemon(client) => {
            if let Ok(status) = client.get::<StatusView>("/v1/status").await {
                known.bytes_per_day = Some(bytes_per_day(&status));
                let newest = status.domains.iter().filter_map(|one| one.last_arrival_ms);
                known.newest_ms = newest.max();
            }
        }
        Source::Spool(spool) => known.newest_ms = newest_ms(&spool.domains()),
    }
    known
}

/// When the last message arrived.
pub fn newest_ms(domains: &[DomainStatus]) -> Option<u64> {
    let newest = domains.iter().map(|one| one.last_arrival_ms).max();
    newest.filter(|newest| *newest > 0)
}

/// Deliveries a minute, each as large as those before it. A message to several counts
/// several times, so that it is rather too much than too little.
fn bytes_per_day(status: &StatusView) -> f64 {
    let rates = status.domains.iter().map(|domain| {
        let accepted = domain.accepted;
        let size = accepted.bytes as f64 / accepted.count.max(1) as f64;
        domain.arrivals_per_min.unwrap_or_default() * size
    });
    rates.sum::<f64>() * MINUTES_A_DAY
}

/// What is held of each domain that the spool knows.
pub async fn held(source: &Source, domains: &[Domain]) -> HashMap<String, Held> {
    let mut all = HashMap::new();
    for domain in domains {
        let filter = Filter {
            domain: Some(domain.name.clone()),
            limit: Some(MESSAGES_MAX),
            ..Filter::default()
        };
        let mut held = Held::default();
        let mut take = |message: MessageView| {
            add(&mut held, &message);
            Ok(())
        };
        // A domain that no daemon has seen yet holds nothing.
        if source.list(filter, &mut take).await.is_ok() {
            all.insert(domain.name.clone(), held);
        }
    }
    all
}

fn add(held: &mut Held, message: &MessageView) {
    held.largest_bytes = held.largest_bytes.max(message.message_size);
    let ascii = message.sender.is_ascii()
        && (message.recipients.iter()).all(|recipient| recipient.address.is_ascii());
    held.smtputf8 += u64::from(message.smtputf8 || !ascii);
    held.eight_bit += u64::from(message.body == "8BITMIME");
    held.binary += u64::from(message.body == "BINARYMIME");
    for recipient in &message.recipients {
        if held.recipients.len() < RECIPIENTS_MAX {
            held.recipients.insert(recipient.address.clone());
        }
    }
}
