//! Passes, one after the other, shown and published until they end.

use super::{Until, account, hold::Hold, progress::Progress};
use crate::{
    cli::Context,
    mover::{
        account::{AccountReport, Mover, now_ms},
        converge::{NotYet, PassEnd, converged},
        publish::{Publisher, Rule},
        run::{Pass, Task, pass_end},
    },
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is published.
const PUBLISH_EVERY_MS: u64 = 1000;
/// The shortest time between two passes, so that a quiet source is not asked without end.
const BETWEEN_PASSES: Duration = Duration::from_secs(10);

/// What passes are made with.
pub struct Passes<'a> {
    pub context: &'a Context,
    pub mover: &'a Arc<Mover>,
    pub tasks: &'a [Task],
    pub parallel: usize,
    pub settle: Duration,
    pub until: Until,
}

/// With `--json`: the end of a pass.
#[derive(Serialize)]
struct PassView {
    event: &'static str,
    began_ms: u64,
    accounts: usize,
    failures: u64,
    found_new: u64,
    converged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_yet: Option<String>,
}

impl Passes<'_> {
    /// Makes passes until they may end; gives the end of the last one.
    pub async fn run(&self, publisher: &mut Publisher) -> anyhow::Result<PassEnd> {
        let mut hold = Hold::default();
        loop {
            let began_ms = now_ms();
            publisher.begin_pass(began_ms)?;
            let reports = self.one(publisher, &mut hold).await?;
            let end = pass_end(&reports, began_ms);
            let verdict = converged(&end, hold.all_began_ms(), self.settle);
            for report in &reports {
                account::show(&self.context.screen, report)?;
            }
            let goes_on = match self.until {
                Until::Once => false,
                Until::Converged => verdict.is_err_and(NotYet::may_pass),
                Until::Stopped => true,
            };
            self.closing(&reports, &end, verdict, goes_on)?;
            if !goes_on {
                return Ok(end);
            }
            let wait = match verdict {
                Err(NotYet::Unsettled { wait }) if self.until == Until::Converged => wait,
                _ => Duration::ZERO,
            };
            tokio::time::sleep(wait.max(BETWEEN_PASSES)).await;
        }
    }

    async fn one(
        &self,
        publisher: &mut Publisher,
        hold: &mut Hold,
    ) -> anyhow::Result<Vec<AccountReport>> {
        let mut progress = Progress::new();
        let mut pass = Pass::start(self.mover, self.tasks, self.parallel);
        let mut published_ms = 0;
        loop {
            tokio::select! {
                report = pass.next() => {
                    let Some(report) = report else { break };
                    self.ended(report, publisher, hold).await?;
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    progress.show(&self.context.screen, self.tasks)?;
                }
            }
            let now_ms = now_ms();
            if now_ms.saturating_sub(published_ms) >= PUBLISH_EVERY_MS {
                published_ms = now_ms;
                publisher.look(self.tasks, now_ms)?;
            }
        }
        progress.clear();
        publisher.look(self.tasks, now_ms())?;
        hold.ask(self.context).await;
        Ok(pass.reports())
    }

    async fn ended(
        &self,
        report: &AccountReport,
        publisher: &mut Publisher,
        hold: &mut Hold,
    ) -> anyhow::Result<()> {
        let named = |task: &&Task| task.account.name() == report.name;
        let Some(task) = self.tasks.iter().find(named) else {
            return Ok(());
        };
        hold.ask(self.context).await;
        let rule = Rule {
            hold_began_ms: hold.began_ms(&task.account.target.user),
            settle: self.settle,
        };
        Ok(publisher.ended(report, task, rule, now_ms())?)
    }

    fn closing(
        &self,
        reports: &[AccountReport],
        end: &PassEnd,
        verdict: Result<(), NotYet>,
        goes_on: bool,
    ) -> anyhow::Result<()> {
        let screen = &self.context.screen;
        if screen.json {
            return screen.json(&PassView {
                event: "pass",
                began_ms: end.began_ms,
                accounts: reports.len(),
                failures: end.failures,
                found_new: end.found_new,
                converged: verdict.is_ok(),
                not_yet: verdict.err().map(|why| why.to_string()),
            });
        }
        for line in account::table(reports) {
            screen.line(&line)?;
        }
        let going_on = if goes_on { "; going on" } else { "" };
        screen.line(&match verdict {
            Ok(()) => format!("converged: nothing new was left to copy{going_on}"),
            Err(why) => format!("not converged: {why}{going_on}"),
        })?;
        Ok(())
    }
}
