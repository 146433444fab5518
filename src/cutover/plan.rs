//! The steps of a move: what each does here, and why one is left out.

use crate::{
    config::{Config, units},
    ledger::cutover::Step,
};
use std::{path::PathBuf, time::Duration};

/// How the steps are gone through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choices {
    /// Whether the DNS is watched.
    pub dns: Dns,
    /// Messages that go first; 0: none do.
    pub canary: u32,
    /// The tail is over when nothing has arrived for so long.
    pub quiet: Duration,
    /// Where the report is written.
    pub report: PathBuf,
    /// Whether somebody has said already that the mailboxes are copied; asked for where there
    /// is no mover to know.
    pub copied: Copied,
    /// Checks that may fail, by name; [`DESPITE_ALL`] stands for any.
    pub despite: Vec<String>,
}

/// In the place of a check's name: every check.
pub const DESPITE_ALL: &str = "all";

/// Whether mailboxes that relay does not copy are copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copied {
    /// Somebody has said so.
    Said,
    /// Nobody has: it is asked.
    Asked,
}

/// Who says that the MX points here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dns {
    /// The DNS.
    Watched,
    /// A person.
    Skipped,
}

/// A step of this move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Which.
    pub step: Step,
    /// What it does, in words.
    pub does: String,
    /// Why it is left out, where it is.
    pub skipped: Option<String>,
}

/// All steps of the move of `domains`, in order.
#[must_use]
pub fn plan(config: &Config, domains: &[String], choices: &Choices) -> Vec<Planned> {
    Step::ALL
        .into_iter()
        .map(|step| Planned {
            step,
            does: does(step, config, domains, choices),
            skipped: skipped(step, config, choices),
        })
        .collect()
}

fn does(step: Step, config: &Config, domains: &[String], choices: &Choices) -> String {
    let names = domains.join(", ");
    let here = &config.hostname;
    match step {
        Step::Check => {
            let mut does =
                "look at DNS, certificates, both servers, accounts and the disk, before \
                            anything is changed"
                    .to_owned();
            if !choices.despite.is_empty() {
                does += &format!("; go on despite {}", choices.despite.join(", "));
            }
            does
        }
        Step::FirstPass => {
            "copy the mailboxes a first time; mail still goes to the old server".into()
        }
        Step::Mx => match choices.dns {
            Dns::Watched => {
                format!("point the MX of {names} at {here}; goes on when the DNS says so")
            }
            Dns::Skipped => format!("point the MX of {names} at {here}; goes on when you say so"),
        },
        Step::Hold => format!("hold all mail for {names}; nothing is delivered"),
        Step::Converge => {
            "copy again and again, until a pass finds nothing new at the old server".into()
        }
        Step::Gate => "see whether everything is there that the release waits for".into(),
        Step::Canary => format!(
            "deliver {} first, and look at the new server's replies",
            messages(choices.canary)
        ),
        Step::Release => "deliver all that is held, each mailbox in the order of arrival".into(),
        Step::Verify => "compare old server, spool and new server, message by message".into(),
        Step::Tail => format!(
            "point the MX of {names} at the new server; pass on late mail until none has come for {}",
            units::format_duration(choices.quiet)
        ),
        Step::Report => format!(
            "write the account of it all to {}",
            choices.report.display()
        ),
    }
}

fn messages(count: u32) -> String {
    match count {
        1 => "1 message".into(),
        _ => format!("{count} messages"),
    }
}

fn skipped(step: Step, config: &Config, choices: &Choices) -> Option<String> {
    match step {
        Step::FirstPass | Step::Converge | Step::Verify if config.mover.is_none() => {
            Some("the configuration has no [mover]: mailboxes are copied by other means".into())
        }
        Step::Canary if choices.canary == 0 => Some("--canary 0".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn planned(more: &str, choices: &Choices) -> Vec<Planned> {
        let text = format!(
            "hostname = \"hold.example\"\n[[domain]]\nname = \"a.example\"\n\
             destination = {{ host = \"b.example\" }}\n{more}"
        );
        let config = Config::parse(&text, Path::new("relay.toml")).unwrap();
        plan(&config, &["a.example".into()], choices)
    }

    fn choices() -> Choices {
        Choices {
            dns: Dns::Watched,
            canary: 5,
            quiet: Duration::from_secs(7 * 86_400),
            report: "cutover.html".into(),
            copied: Copied::Asked,
            despite: Vec::new(),
        }
    }

    #[test]
    fn without_a_mover_the_mailboxes_are_somebody_elses() {
        let left_out = |more: &str, choices: &Choices| {
            let plan = planned(more, choices);
            let steps = plan.iter().filter(|planned| planned.skipped.is_some());
            steps.map(|planned| planned.step).collect::<Vec<_>>()
        };
        assert_eq!(
            left_out("", &choices()),
            [Step::FirstPass, Step::Converge, Step::Verify]
        );
        let mover = "[mover]\nsource = { host = \"o.example\" }\ntarget = { host = \"n.example\" }";
        assert_eq!(left_out(mover, &choices()), []);
        let none = Choices {
            canary: 0,
            ..choices()
        };
        assert_eq!(left_out(mover, &none), [Step::Canary]);
    }

    #[test]
    fn each_step_says_what_it_does_here() {
        let plan = planned("", &choices());
        let does = |step| {
            let found = plan.iter().find(|planned| planned.step == step);
            found.unwrap().does.clone()
        };
        assert_eq!(
            does(Step::Mx),
            "point the MX of a.example at hold.example; goes on when the DNS says so"
        );
        assert!(does(Step::Tail).ends_with("none has come for 7d"));
        assert!(does(Step::Canary).contains("5 messages"));
    }
}
