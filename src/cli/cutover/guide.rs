//! What every step needs: the daemon, the configuration, and a person to ask.

use super::super::{Context, Exit, client::Client, exit::Code, screen::Screen};
use crate::{
    config::Config,
    control::view::{DomainView, StatusView},
    cutover::plan::Choices,
    ledger::Verified,
};
use std::io::IsTerminal as _;

/// Leads through the steps.
pub struct Guide<'a> {
    pub context: &'a Context,
    pub config: Config,
    pub client: Client,
    pub domains: Vec<String>,
    pub choices: Choices,
    answers: Answers,
}

/// Who answers questions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    /// A person at a terminal.
    Person,
    /// `--yes`.
    Yes,
}

/// What is asked: what unattended would be answered with yes, or must be decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// It is what was asked for.
    Expected,
    /// Something is not as it should be.
    Serious,
}

impl<'a> Guide<'a> {
    /// # Errors
    /// Nobody could answer: no terminal, and no `--yes`.
    pub fn new(
        context: &'a Context,
        config: Config,
        client: Client,
        domains: Vec<String>,
        choices: Choices,
        yes: bool,
    ) -> anyhow::Result<Self> {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !yes && !terminal {
            let text = "`relay cutover` asks before each step that matters: run it on a \
                        terminal, or unattended with --yes";
            return Err(Exit::new(Code::Usage, text).into());
        }
        Ok(Self {
            context,
            config,
            client,
            domains,
            choices,
            answers: if yes { Answers::Yes } else { Answers::Person },
        })
    }

    /// Whether a person answers.
    pub fn attended(&self) -> bool {
        self.answers == Answers::Person
    }

    pub fn screen(&self) -> &Screen {
        &self.context.screen
    }

    /// Returns when the answer is yes.
    ///
    /// # Errors
    /// The answer is no (75); unattended, also to what is serious.
    pub async fn ask(&self, question: &str, weight: Weight) -> anyhow::Result<()> {
        let yes = match (self.answers, weight) {
            (Answers::Yes, Weight::Expected) => true,
            (Answers::Yes, Weight::Serious) => {
                let text = format!("unattended it stops here: {question}");
                return Err(Exit::new(Code::TryAgain, text).into());
            }
            (Answers::Person, _) => {
                let asked = self.screen().asked(question.to_owned()).await;
                asked.unwrap_or(false)
            }
        };
        if yes {
            return Ok(());
        }
        Err(Exit::new(Code::TryAgain, "not gone on with, as you wish").into())
    }

    /// How the domains that move stand now.
    ///
    /// # Errors
    /// Those of the daemon.
    pub async fn status(&self) -> anyhow::Result<(StatusView, Vec<DomainView>)> {
        let status: StatusView = self.client.get("/v1/status").await?;
        let moving = status.domains.iter();
        let moving = moving.filter(|domain| self.domains.contains(&domain.name));
        let moving = moving.cloned().collect();
        Ok((status, moving))
    }

    /// The last verification, where there was one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn verified(&self) -> anyhow::Result<Option<Verified>> {
        Ok(Verified::read(&self.config.spool.path)?)
    }

    /// What is not as it must be at the end, in words.
    ///
    /// # Errors
    /// Those of the daemon and of files.
    pub async fn wrong(&self) -> anyhow::Result<Vec<String>> {
        let (_, domains) = self.status().await?;
        let mut wrong = Vec::new();
        for domain in &domains {
            let name = &domain.name;
            if !domain.balanced {
                wrong.push(format!("{name} does not balance: run `relay fsck`"));
            }
            let states = [
                ("parked", domain.states.parked.count),
                ("in doubt", domain.states.in_doubt.count),
            ];
            let states = states.into_iter().filter(|(_, count)| *count > 0);
            wrong.extend(states.map(|(state, count)| format!("{name}: {count} {state}")));
        }
        if self.config.mover.is_some()
            && let Some(verified) = self.verified()?
            && !verified.totals.all_there()
        {
            wrong.push(super::verify::verdict(&verified.totals));
        }
        Ok(wrong)
    }
}
