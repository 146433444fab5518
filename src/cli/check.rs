//! `relay check`: a line a check, ok, WARN or FAIL, each with its fix. Needs no daemon; one
//! that runs is asked for what is held, and how fast it grows.

mod known;
mod show;

pub use known::{held, newest_ms};

use super::{Context, Exit, exit::Code, human, source::Source};
use crate::{
    check::{Checker, Depth, Known},
    config::{Config, Domain},
    ledger::{Checked, Finding, Verdict},
};
use clap::Args;
use show::Show;
use std::sync::Arc;

/// Which domains.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only these domains [default: all configured ones].
    #[arg(value_name = "DOMAIN")]
    domains: Vec<String>,
}

/// # Errors
/// A domain that is not configured (65); a check that failed: 75 where all that failed may
/// pass by itself, else 69.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let config = Arc::new(context.config()?);
    let domains = chosen(&config, &arguments.domains)?;
    verdict(&look(context, &config, &domains).await?)
}

/// Makes every check about these domains and what they need, and shows each.
///
/// # Errors
/// No resolvers, no authorities, no standard output: no check could be made or shown.
pub async fn look(
    context: &Context,
    config: &Arc<Config>,
    domains: &[Domain],
) -> anyhow::Result<Vec<Finding>> {
    let known = match Source::open(context).await {
        Ok(source) => known::all(&source, domains).await,
        Err(error) => {
            let text = format!("relay: what is held is not known: {error}");
            context.screen.remark(&human::printable(&text));
            Known::default()
        }
    };
    let checker = Arc::new(Checker::new(config.clone(), known, Depth::Full)?);
    let mut show = Show::new(&context.screen);
    let (findings, relay) = checker.relay().await;
    show.group(&config.hostname, findings)?;
    let mut take = |name: &str, findings| show.group(name, findings);
    let mut told = checker.domains(domains, &relay, &mut take).await?;
    told.sort_unstable();
    show.group("mailboxes", checker.mailboxes().await)?;
    show.group("clock", checker.clock(&told))?;
    let findings = show.end()?;
    if let Err(error) = record(config, &findings) {
        let text = format!("relay: the results are not kept for `relay status`: {error}");
        context.screen.remark(&text);
    }
    Ok(findings)
}

/// The configured domains of these names, each once; all of them without a name.
///
/// # Errors
/// One that is not configured (65).
pub fn chosen(config: &Config, names: &[String]) -> anyhow::Result<Vec<Domain>> {
    if names.is_empty() {
        return Ok(config.domains.clone());
    }
    let mut chosen: Vec<Domain> = Vec::new();
    for name in names {
        let name = name.trim_end_matches('.').to_lowercase();
        let known = config.domains.iter().find(|domain| domain.name == name);
        let Some(known) = known else {
            let text = format!("the domain {name} is not configured");
            return Err(Exit::new(Code::Data, text).into());
        };
        if !chosen.contains(known) {
            chosen.push(known.clone());
        }
    }
    Ok(chosen)
}

/// For the status and the page.
///
/// # Errors
/// Those of the file system: the spool is not made yet, or another user's.
pub fn record(config: &Config, findings: &[Finding]) -> std::io::Result<()> {
    let spool = &config.spool.path;
    let mut checked = Checked::read(spool)?.unwrap_or_default();
    let domains: Vec<&str> = config.domains.iter().map(|one| one.name.as_str()).collect();
    checked.record(findings);
    checked.keep(&domains);
    checked.write(spool)
}

fn verdict(findings: &[Finding]) -> anyhow::Result<()> {
    let failed = findings.iter();
    let failed: Vec<&Finding> = failed.filter(|one| one.verdict == Verdict::Fail).collect();
    failure(&failed).map_or(Ok(()), |exit| Err(exit.into()))
}

/// How a command ends for which these checks have failed.
pub fn failure(failed: &[&Finding]) -> Option<Exit> {
    if failed.is_empty() {
        return None;
    }
    let code = match failed.iter().all(|one| one.temporary) {
        true => Code::TryAgain,
        false => Code::Unavailable,
    };
    let count = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    let mut names: Vec<&str> = failed.iter().map(|one| one.name.as_str()).collect();
    names.dedup();
    let text = format!(
        "{} failed: {}",
        human::counted(count, "check", "checks"),
        names.join(", ")
    );
    Some(Exit::new(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(temporary: bool) -> Finding {
        Finding {
            name: "mx".into(),
            domain: None,
            verdict: Verdict::Fail,
            found: String::new(),
            fix: None,
            temporary,
            at_ms: 0,
        }
    }

    #[test]
    fn what_may_pass_is_75_and_what_stays_69() {
        let of = |findings: &[Finding]| {
            let error = verdict(findings).err();
            error.map(|error| super::super::exit::code(&error))
        };
        let warned = Finding {
            verdict: Verdict::Warn,
            ..failed(true)
        };
        assert_eq!(of(&[warned]), None);
        assert_eq!(of(&[failed(true), failed(true)]), Some(Code::TryAgain));
        assert_eq!(of(&[failed(true), failed(false)]), Some(Code::Unavailable));
    }
}
