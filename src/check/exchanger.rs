//! Who takes a domain's mail, as its authoritative servers and the resolvers say it: whether
//! that is the relay, who else it is, and who remembers otherwise for how long.

use super::{Checker, counted, fail, listed, moment, now_ms, ok, time, together, unanswered, warn};
use crate::{
    dns::{Answer, Ask, Dns, DnsError, Mx},
    ledger::Finding,
};
use std::{net::SocketAddr, time::Duration};

/// With longer ones, the old server gets mail for hours behind the move.
const TTL_LONG: Duration = Duration::from_secs(3_600);
/// Labels above a domain that are looked at for its zone.
const PARENTS_MAX: usize = 8;

/// What one server said.
struct Told {
    /// Its name and address.
    server: String,
    answer: Result<Answer<Mx>, DnsError>,
}

pub(super) async fn check(checker: &Checker, domain: &str) -> Vec<Finding> {
    let hostname = checker.config.hostname.to_lowercase();
    let servers = match authorities(checker, domain).await {
        Ok(servers) => servers,
        Err(error) => return vec![unanswered("mx", &error)],
    };
    let resolvers = (checker.dns.servers().iter())
        .map(|server| (server.to_string(), *server))
        .collect();
    let (told, remembered) = tokio::join!(
        ask(servers, Ask::Itself, domain),
        ask(resolvers, Ask::Recurse, domain)
    );
    let view = View {
        domain,
        hostname: &hostname,
        told: &told,
    };
    let mut findings = vec![view.mx()];
    if view.answers().next().is_some() {
        findings.push(view.others());
        findings.push(view.caches(&remembered));
    }
    findings
}

/// The servers of the zone that the domain is in, with their names.
async fn authorities(
    checker: &Checker,
    domain: &str,
) -> Result<Vec<(String, SocketAddr)>, DnsError> {
    let within = |zone: &str| domain == zone || domain.ends_with(&format!(".{zone}"));
    let zones = &checker.config.dns.zones;
    let configured = zones.iter().filter(|zone| within(&zone.name));
    if let Some(zone) = configured.max_by_key(|zone| zone.name.len()) {
        let servers = zone.servers.iter();
        return Ok(servers.map(|one| (one.to_string(), *one)).collect());
    }
    let mut zone = domain;
    for _ in 0..PARENTS_MAX {
        let names = checker.dns.ns(zone).await?.records;
        if !names.is_empty() {
            let mut servers = Vec::new();
            for name in names {
                // One without an address is as good as none; the others are asked.
                let addresses = checker
                    .dns
                    .addresses(&name)
                    .await
                    .map(|found| found.records);
                for ip in addresses.unwrap_or_default() {
                    servers.push((format!("{name} ({ip})"), SocketAddr::new(ip, 53)));
                }
            }
            return Ok(servers);
        }
        let Some((_, parent)) = zone.split_once('.') else {
            break;
        };
        zone = parent;
    }
    Ok(Vec::new())
}

async fn ask(servers: Vec<(String, SocketAddr)>, ask: Ask, domain: &str) -> Vec<Told> {
    let work = servers.into_iter().map(|(server, address)| {
        let domain = domain.to_owned();
        async move {
            let answer = match Dns::at(address, ask) {
                Ok(dns) => dns.mx(&domain).await,
                Err(error) => Err(error),
            };
            Told { server, answer }
        }
    });
    together(work).await
}

/// What the authoritative servers say about a domain.
struct View<'a> {
    domain: &'a str,
    hostname: &'a str,
    told: &'a [Told],
}

impl View<'_> {
    fn answers(&self) -> impl Iterator<Item = (&str, &Answer<Mx>)> {
        let told = self.told.iter();
        told.filter_map(|one| Some((&*one.server, one.answer.as_ref().ok()?)))
    }

    fn lists(&self, answer: &Answer<Mx>) -> bool {
        answer.records.iter().any(|mx| mx.host == self.hostname)
    }

    fn mx(&self) -> Finding {
        const NAME: &str = "mx";
        let domain = self.domain;
        let Some((_, first)) = self.answers().next() else {
            return self.nobody();
        };
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.answers().partition(|(_, answer)| self.lists(answer));
        let count = self.told.len();
        let silent = self.told.iter().filter_map(|one| one.answer.as_ref().err());
        let silent: Vec<String> = silent.map(ToString::to_string).collect();
        let hostname = self.hostname;
        if here.is_empty() {
            let fix = format!(
                "when all else is ok: `{domain}. 300 IN MX 10 {hostname}.` in the place of it"
            );
            return warn(NAME, format!("mail still goes to {}", shown(first)), fix);
        }
        if !elsewhere.is_empty() {
            let others = elsewhere.iter();
            let others: Vec<String> = others
                .map(|(server, answer)| format!("{server} says {}", shown(answer)))
                .collect();
            let fix = "have the zone transferred to all its servers: raise its serial, look at \
                       their logs";
            let found = format!(
                "the authoritative servers do not agree: {}",
                listed(&others)
            );
            return fail(NAME, found, fix);
        }
        let found = format!(
            "{} at {} of {count} authoritative servers",
            shown(first),
            here.len()
        );
        if silent.is_empty() {
            return ok(NAME, found);
        }
        let fix = "mend the server, or take its NS record away: senders lose time with it";
        warn(NAME, format!("{found}; {}", listed(&silent)), fix)
    }

    fn nobody(&self) -> Finding {
        const NAME: &str = "mx";
        let errors = self.told.iter().filter_map(|one| one.answer.as_ref().err());
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        if errors.is_empty() {
            let found = format!("no authoritative server of {} is known", self.domain);
            let fix = "is the domain delegated? else name its servers in [[dns.zone]]";
            return fail(NAME, found, fix);
        }
        let fix = "see to the zone's servers: senders that cannot ask them wait";
        Finding {
            temporary: true,
            ..fail(
                NAME,
                format!("no authoritative server answers: {}", listed(&errors)),
                fix,
            )
        }
    }

    /// Hosts beside the relay.
    fn others(&self) -> Finding {
        const NAME: &str = "mx-others";
        let own = |answer: &Answer<Mx>| {
            let own = answer.records.iter().find(|mx| mx.host == self.hostname);
            own.map(|mx| mx.preference)
        };
        let mut past = Vec::new();
        let mut behind = Vec::new();
        for (_, answer) in self.answers() {
            let Some(own) = own(answer) else { continue };
            for mx in answer.records.iter().filter(|mx| mx.host != self.hostname) {
                let list = match mx.preference <= own {
                    true => &mut past,
                    false => &mut behind,
                };
                let text = format!("{} {}", mx.preference, mx.host);
                if !list.contains(&text) {
                    list.push(text);
                }
            }
        }
        let fix = "take it out of the MX records for the time of the move: what it takes is not \
                   held here, and comes late or not at all";
        if !past.is_empty() {
            let found = format!("mail goes past the relay to {}", listed(&past));
            return fail(NAME, found, fix);
        }
        if !behind.is_empty() {
            let found = format!("a second way beside the relay: {}", listed(&behind));
            return warn(NAME, found, fix);
        }
        ok(NAME, "none beside the relay")
    }

    /// How long resolvers may remember what was.
    fn caches(&self, remembered: &[Told]) -> Finding {
        const NAME: &str = "mx-caches";
        let here = self.answers().any(|(_, answer)| self.lists(answer));
        let ttl = self.answers().filter_map(|(_, answer)| answer.ttl).max();
        let ttl = ttl.unwrap_or_default();
        if here {
            let stale: Vec<String> = (remembered.iter())
                .filter_map(|one| {
                    let answer = one.answer.as_ref().ok()?;
                    let left = answer.ttl.unwrap_or_default();
                    let until = now_ms().saturating_add(millis(left));
                    let text = format!(
                        "{} still says {} until {}",
                        one.server,
                        shown(answer),
                        moment(until)
                    );
                    (!self.lists(answer)).then_some(text)
                })
                .collect();
            if !stale.is_empty() {
                let fix = "wait: mail of those who remember comes by the old server until then; \
                           keep the mover at work on its mailboxes";
                return warn(NAME, listed(&stale), fix);
            }
        }
        let found = match here {
            true => format!(
                "the resolvers know the relay (TTL {}); one that asked just before a change \
                 forgets by {}",
                time(ttl),
                moment(now_ms().saturating_add(millis(ttl)))
            ),
            false => format!("a move of the MX is known everywhere after {}", time(ttl)),
        };
        if ttl > TTL_LONG {
            let fix = format!(
                "lower the TTL of the MX records to 300 now, and move them {} later at the \
                 earliest",
                time(ttl)
            );
            return warn(NAME, found, fix);
        }
        let silent = remembered.iter().filter(|one| one.answer.is_err()).count();
        if silent > 0 {
            let found = format!("{found}; {} did not answer", counted(silent, "resolver"));
            return warn(NAME, found, "see to [dns] servers, or to /etc/resolv.conf");
        }
        ok(NAME, found)
    }
}

/// `10 relay.example (TTL 300)`
fn shown(answer: &Answer<Mx>) -> String {
    let hosts: Vec<String> = (answer.records.iter())
        .map(|mx| match &*mx.host {
            // RFC 7505.
            "" => format!("{} . (no mail at all)", mx.preference),
            host => format!("{} {host}", mx.preference),
        })
        .collect();
    match answer.ttl {
        Some(ttl) => format!("{} (TTL {})", listed(&hosts), ttl.as_secs()),
        // RFC 5321 §5.1: the domain's own address then.
        None => "no MX, and so to the domain's own address".into(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
