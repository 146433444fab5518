//! The course of one domain's release, from its start to its end.

use super::problem::Problem;
use crate::{
    cli::{
        client::{Client, escape},
        human,
    },
    control::view::{DomainEventView, DomainView},
    spool::{Phase, State},
};
use std::time::{Duration, Instant};

/// Reasons are asked for at most this often.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// States that have a reason.
const TROUBLED: [State; 3] = [State::Deferred, State::InDoubt, State::Parked];

/// A release under way.
pub struct Course {
    before: DomainView,
    /// The daemon's clock at the start.
    started_ms: u64,
    /// How it stood when last looked at.
    pub now: DomainView,
    /// What went wrong so far.
    pub problems: Vec<Problem>,
    asked: Option<Instant>,
    /// How it ended.
    pub end: Option<End>,
}

/// How a release ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Nothing is left in the backlog.
    Drained,
    /// Somebody put the domain back to hold.
    Held,
    /// The messages of its canary have gone, and it stands.
    Canary,
    /// It was paused, by a person or by the breaker.
    Paused {
        /// Why.
        reason: String,
    },
}

impl End {
    /// Its name in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::Held => "held",
            Self::Canary => "canary_sent",
            Self::Paused { .. } => "paused",
        }
    }
}

impl Course {
    /// A release of a domain that stood as in `before` at `started_ms`.
    pub fn new(before: DomainView, started_ms: u64) -> Self {
        Self {
            now: before.clone(),
            before,
            started_ms,
            problems: Vec::new(),
            asked: None,
            end: None,
        }
    }

    /// Deliveries that came to an end, or were parked, since the start.
    pub fn done(&self) -> u64 {
        let settled = self.now.states.settled();
        settled.saturating_sub(self.before.states.settled())
    }

    /// Those and what is left.
    pub fn total(&self) -> u64 {
        self.done() + self.now.backlog
    }

    /// Takes how the domain stands now, and asks for reasons where something is wrong.
    ///
    /// # Errors
    /// Those of the daemon.
    pub async fn look(&mut self, client: &Client, now: DomainView) -> anyhow::Result<()> {
        self.now = now;
        self.end = self.find_end(client).await?;
        let due = self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY);
        if due || self.end.is_some() {
            self.asked = Some(Instant::now());
            self.problems.clear();
            for (state, count) in self.troubled() {
                let found = Problem::find(client, &self.now, state, count, self.started_ms).await?;
                self.problems.push(found);
            }
        }
        Ok(())
    }

    /// What is deferred or in doubt now, and what was parked since the start.
    fn troubled(&self) -> Vec<(State, u64)> {
        let count = |state| match state {
            State::Parked => {
                let before = self.before.states.parked.count;
                self.now.states.parked.count.saturating_sub(before)
            }
            _ => self.now.states.get(state).count,
        };
        let counts = TROUBLED.map(|state| (state, count(state)));
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    async fn find_end(&self, client: &Client) -> anyhow::Result<Option<End>> {
        if self.now.canary.as_ref().is_some_and(|canary| canary.sent) {
            return Ok(Some(End::Canary));
        }
        if let Some(reason) = &self.now.paused {
            let reason = reason.clone();
            return Ok(Some(End::Paused { reason }));
        }
        match self.now.phase {
            Phase::Release => Ok(None),
            Phase::Forward => Ok(Some(End::Drained)),
            // Mail that arrived since may be held already, so that the backlog tells nothing.
            Phase::Hold => {
                let path = format!("/v1/domains/{}/events", escape(&self.now.name));
                let mut by_person = false;
                let mut take = |event: DomainEventView| {
                    if event.what.starts_with("phase ") {
                        by_person = event.cause.starts_with("operator");
                    }
                    Ok(())
                };
                client.lines(&path, &mut take).await?;
                Ok(Some(if by_person { End::Held } else { End::Drained }))
            }
        }
    }

    /// The closing account.
    pub fn closing(&self, end: &End) -> Vec<String> {
        let name = &self.now.name;
        let since = |state: State| {
            let before = self.before.states.get(state).count;
            self.now.states.get(state).count.saturating_sub(before)
        };
        let (first, then) = match end {
            End::Drained => (
                format!("backlog empty: {name} is now in {}", self.now.phase),
                None,
            ),
            End::Held => (
                format!("{name} was put back to hold; what is delivered stays delivered"),
                Some(format!("to go on: `relay release {name}`")),
            ),
            End::Canary => (
                format!("{name} is paused behind its canary"),
                Some(format!(
                    "nothing is lost; next: {}",
                    human::printable(&self.now.next)
                )),
            ),
            End::Paused { reason } => (
                format!("{name} is paused: {}", human::printable(reason)),
                Some(format!(
                    "nothing is lost; next: {}",
                    human::printable(&self.now.next)
                )),
            ),
        };
        let mut lines = vec![first];
        lines.push(format!(
            "  {} delivered, {} parked, {} left",
            human::count(since(State::Delivered)),
            human::count(since(State::Parked)),
            human::count(self.now.backlog)
        ));
        for problem in &self.problems {
            lines.extend(problem.lines(name));
        }
        lines.extend(then.map(|then| format!("  {then}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{fixture, view::Live};

    fn view(phase: Phase, queued: u64, delivered: u64, parked: u64) -> DomainView {
        let mut status = fixture::domain("corp.example", phase);
        status.ledger.accepted = fixture::tally(queued + delivered + parked);
        status.ledger.waiting = fixture::tally(queued);
        status.ledger.delivered = fixture::tally(delivered);
        status.ledger.parked = fixture::tally(parked);
        DomainView::of(&status, Live::default(), 0)
    }

    #[test]
    fn counts_from_its_own_start_and_with_what_arrives() {
        let mut course = Course::new(view(Phase::Hold, 10, 5, 1), 0);
        assert_eq!((course.done(), course.total()), (0, 10));
        // Four delivered, one parked, and two arrived meanwhile.
        course.now = view(Phase::Release, 7, 9, 2);
        assert_eq!((course.done(), course.total()), (5, 12));
        assert_eq!(course.troubled(), [(State::Parked, 1)]);
    }

    #[test]
    fn says_what_became_of_it() {
        let mut course = Course::new(view(Phase::Hold, 10, 5, 0), 0);
        course.now = view(Phase::Forward, 0, 1_015, 0);
        course.now.next = "settle it".into();
        assert_eq!(
            course.closing(&End::Drained),
            [
                "backlog empty: corp.example is now in forward",
                "  1,010 delivered, 0 parked, 0 left",
            ]
        );
        let reason = "10 refusals in a row".into();
        let lines = course.closing(&End::Paused { reason });
        assert_eq!(lines[0], "corp.example is paused: 10 refusals in a row");
        assert_eq!(lines[2], "  nothing is lost; next: settle it");
    }
}
