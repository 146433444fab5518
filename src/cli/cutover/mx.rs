//! The MX comes here: a person changes the DNS, and the DNS is asked until it says so.

use super::{
    super::human,
    guide::{Guide, Weight},
    waiting::Waiting,
};
use crate::{cutover::plan::Dns as Watch, dns::Dns};
use std::{net::IpAddr, time::Duration};

/// How often the DNS is asked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where a domain's mail goes, as the DNS says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    /// Here and nowhere else; others may remember the old answer for so long.
    Here { ttl: Option<Duration> },
    /// Not yet, in words.
    NotYet(String),
}

/// # Errors
/// A no; those of the daemon.
pub async fn move_here(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    // Before, so that nothing that arrives early is passed on.
    super::release::hold(guide).await?;
    let names = guide.domains.join(", ");
    let here = &guide.config.hostname;
    guide.screen().remark(&format!(
        "        in the DNS: MX of {names} -> {here}, and the old MX away"
    ));
    if guide.choices.dns == Watch::Skipped {
        let question = format!("does the MX of {names} point at {here} now?");
        guide.ask(&question, Weight::Expected).await?;
        return Ok(Some("said so, not looked up".into()));
    }
    let mut waiting = Waiting::new(guide.screen());
    loop {
        let mut ttl = None;
        let mut not_yet = None;
        for domain in &guide.domains {
            match look(guide, domain).await {
                Seen::Here { ttl: own } => ttl = ttl.max(own),
                Seen::NotYet(why) => not_yet = Some(format!("{domain}: {why}")),
            }
        }
        let Some(why) = not_yet else {
            let remembered = ttl.map_or_else(String::new, |ttl| {
                let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                format!("; remembered for up to {}", human::duration(ms))
            });
            return Ok(Some(format!("the DNS says {here}{remembered}")));
        };
        waiting.show(guide.screen(), &human::printable(&why))?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks anew: what an earlier look was told is not remembered.
async fn look(guide: &Guide<'_>, domain: &str) -> Seen {
    let asked = async {
        let dns = Dns::new(&guide.config.dns)?;
        let answer = dns.mx(domain).await?;
        let here = &guide.config.hostname;
        let mut elsewhere = Vec::new();
        for mx in &answer.records {
            if !mx.host.eq_ignore_ascii_case(here) && !same_host(&dns, &mx.host, here).await {
                elsewhere.push(mx.host.clone());
            }
        }
        Ok::<_, crate::dns::DnsError>(verdict(answer.records.len(), &elsewhere, answer.ttl))
    };
    asked
        .await
        .unwrap_or_else(|error| Seen::NotYet(error.to_string()))
}

/// Another name of ours.
async fn same_host(dns: &Dns, host: &str, here: &str) -> bool {
    let addresses = async |name: &str| -> Vec<IpAddr> {
        let answer = dns.addresses(name).await;
        answer.map(|answer| answer.records).unwrap_or_default()
    };
    let ours = addresses(here).await;
    let theirs = addresses(host).await;
    !theirs.is_empty() && theirs.iter().all(|address| ours.contains(address))
}

fn verdict(records: usize, elsewhere: &[String], ttl: Option<Duration>) -> Seen {
    match (records, elsewhere) {
        (0, _) => Seen::NotYet("the DNS has no MX".into()),
        (_, []) => Seen::Here { ttl },
        (all, hosts) if hosts.len() < all => Seen::NotYet(format!(
            "the MX points here, and still at {}",
            hosts.join(", ")
        )),
        (_, hosts) => Seen::NotYet(format!("the MX still points at {}", hosts.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_mx_beside_ours_is_not_yet() {
        let ttl = Some(Duration::from_secs(300));
        let not_yet = |why: &str| Seen::NotYet(why.into());
        assert_eq!(verdict(1, &[], ttl), Seen::Here { ttl });
        assert_eq!(verdict(0, &[], None), not_yet("the DNS has no MX"));
        let old = ["mail.old.example".to_owned()];
        assert_eq!(
            verdict(2, &old, ttl),
            not_yet("the MX points here, and still at mail.old.example")
        );
        assert_eq!(
            verdict(1, &old, ttl),
            not_yet("the MX still points at mail.old.example")
        );
    }
}
