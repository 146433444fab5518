//! `relay release --again`: what was delivered to a server that has lost it is looked for
//! there, and sent again.

use crate::{
    cli::{Exit, client::Client, domains::order, exit::Code, human, screen::Screen},
    config::units::parse_duration,
    control::{RewindOrder, Rewound, view::DomainView},
};
use jiff::Timestamp;

/// Messages that are named one by one.
const NAMED_MAX: usize = 20;

/// A time: `2026-11-27T03:00:00Z`, or `2h` for two hours ago. In milliseconds since 1970.
///
/// # Errors
/// What is wrong with it, in words.
pub fn time(text: &str) -> Result<u64, String> {
    let now_ms = Timestamp::now().as_millisecond();
    let at_ms = match (text.parse::<Timestamp>(), parse_duration(text)) {
        (Ok(time), _) => time.as_millisecond(),
        (Err(_), Ok(ago)) => {
            now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
        }
        (Err(_), Err(_)) => {
            return Err("a time as 2026-11-27T03:00:00Z, or as 2h for two hours ago".into());
        }
    };
    if at_ms > now_ms {
        return Err("that time has not come".into());
    }
    Ok(u64::try_from(at_ms).unwrap_or(0))
}

/// Counts, asks, holds the domains and puts back what was delivered since. Behind it they
/// are in hold, ready for a release.
///
/// # Errors
/// A no; no terminal to ask on; those of the daemon.
pub async fn rewind(
    screen: &Screen,
    client: &Client,
    domains: &[DomainView],
    since_ms: u64,
    yes: bool,
) -> anyhow::Result<()> {
    let mut all = Rewound::default();
    for domain in domains {
        add(&mut all, walk(client, &domain.name, since_ms, true).await?);
    }
    tell_gone(screen, &all)?;
    let what = human::counted(all.deliveries, "delivery", "deliveries");
    let since = human::time(since_ms);
    if all.deliveries == 0 {
        let text = format!("nothing that is still kept was delivered since {since}");
        return Err(Exit::new(Code::Data, text).into());
    }
    if !yes {
        let question = format!(
            "look for {what}, made since {since}, at the new server and send again what is not \
             found there?"
        );
        match screen.ask(&question) {
            Some(true) => {}
            Some(false) => return Err(Exit::new(Code::TryAgain, "nothing was changed").into()),
            None => {
                let text = "`relay release --again` may send mail a second time and asks first; \
                            without a terminal say --yes";
                return Err(Exit::new(Code::Usage, text).into());
            }
        }
    }
    for domain in domains {
        // In hold nothing new goes between what is sent again.
        order(client, &domain.name, "hold", &serde_json::json!({})).await?;
        let done = walk(client, &domain.name, since_ms, false).await?;
        let what = human::counted(done.deliveries, "delivery", "deliveries");
        let name = &domain.name;
        if screen.json {
            let line = serde_json::json!({
                "event": "rewound", "domain": name, "deliveries": done.deliveries,
                "gone": done.gone,
            });
            screen.json(&line)?;
        } else {
            screen.remark(&format!("{name}: {what} put back to their places"));
        }
    }
    Ok(())
}

async fn walk(
    client: &Client,
    domain: &str,
    since_ms: u64,
    dry_run: bool,
) -> anyhow::Result<Rewound> {
    let mut all = Rewound::default();
    let mut body = RewindOrder {
        since_ms,
        after: None,
        dry_run,
    };
    loop {
        let done: Rewound = client
            .post(
                &format!("/v1/domains/{}/rewind", crate::cli::client::escape(domain)),
                &body,
            )
            .await?;
        body.after.clone_from(&done.next);
        add(&mut all, done);
        if body.after.is_none() {
            return Ok(all);
        }
    }
}

fn add(all: &mut Rewound, step: Rewound) {
    all.deliveries += step.deliveries;
    all.gone.extend(step.gone);
}

fn tell_gone(screen: &Screen, all: &Rewound) -> anyhow::Result<()> {
    if all.gone.is_empty() || screen.json {
        return Ok(());
    }
    let number = u64::try_from(all.gone.len()).unwrap_or(u64::MAX);
    screen.line(&format!(
        "{} cannot be sent again, since the bytes were removed after spool.retain_delivered:",
        human::counted(number, "message", "messages")
    ))?;
    for id in all.gone.iter().take(NAMED_MAX) {
        screen.line(&format!("  {id}"))?;
    }
    if all.gone.len() > NAMED_MAX {
        screen.line("  ...; with --json all are named")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_time_or_so_long_ago() {
        assert_eq!(time("2026-01-02T03:04:05Z"), Ok(1_767_323_045_000));
        assert_eq!(time("2026-01-02T04:04:05+01:00"), Ok(1_767_323_045_000));
        let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
        let ago = now_ms - time("2h").unwrap();
        assert!((7_100_000..7_300_000).contains(&ago), "{ago}");
        for bad in ["yesterday", "", "9999-01-01T00:00:00Z"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
