//! Why deliveries are not delivered: the destination's replies, counted.

use crate::{
    cli::{client::Client, human, source::messages_path},
    control::{
        Filter, StateFilter,
        view::{DomainView, MessageView},
    },
    spool::State,
};

/// Messages looked at for their reasons.
const LOOKED_AT_MAX: u64 = 50;
/// Mailboxes named with a reason.
const NAMED_MAX: usize = 3;
/// Characters of a reason in a line of progress.
const REASON_CHARS: usize = 60;

/// Deliveries in one state, with the reasons that were found for some of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// `deferred`, `in_doubt` or `parked`.
    pub state: State,
    /// How many there are.
    pub count: u64,
    /// The reason, and mailboxes that share it; the most frequent first.
    pub reasons: Vec<(String, Vec<String>)>,
}

impl Problem {
    /// Asks the daemon why `count` deliveries of `domain` are in `state`; only changes
    /// since `since_ms` matter.
    ///
    /// # Errors
    /// Those of the daemon.
    pub async fn find(
        client: &Client,
        domain: &DomainView,
        state: State,
        count: u64,
        since_ms: u64,
    ) -> anyhow::Result<Self> {
        let filter = Filter {
            domain: Some(domain.name.clone()),
            state: Some(StateFilter::One(state)),
            // Not more than there are, since a search for more walks the whole backlog.
            limit: Some(domain.states.get(state).count.min(LOOKED_AT_MAX)),
            ..Filter::default()
        };
        let mut problem = Self {
            state,
            count,
            reasons: Vec::new(),
        };
        let mut take = |message: MessageView| {
            problem.add(&message, since_ms);
            Ok(())
        };
        client.lines(&messages_path(&filter), &mut take).await?;
        problem
            .reasons
            .sort_by_key(|(_, who)| std::cmp::Reverse(who.len()));
        Ok(problem)
    }

    fn add(&mut self, message: &MessageView, since_ms: u64) {
        for recipient in &message.recipients {
            if recipient.since_ms < since_ms {
                continue;
            }
            let reason = human::printable(recipient.reply.as_deref().unwrap_or("no reply"));
            let mailbox = human::printable(&recipient.address);
            match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, who)) if who.contains(&mailbox) => {}
                Some((_, who)) => who.push(mailbox),
                None => self.reasons.push((reason, vec![mailbox])),
            }
        }
    }

    /// `2 deferred (452 mailbox full: eve)`
    #[must_use]
    pub fn short(&self) -> String {
        let count = human::count(self.count);
        let Some((reason, who)) = self.reasons.first() else {
            return format!("{count} {}", self.state);
        };
        let mut short: String = reason.chars().take(REASON_CHARS).collect();
        if short.len() < reason.len() {
            short.push_str("...");
        }
        let who: Vec<&str> = named(who)
            .into_iter()
            .map(|mailbox| mailbox.rsplit_once('@').map_or(mailbox, |(user, _)| user))
            .collect();
        format!("{count} {} ({short}: {})", self.state, who.join(", "))
    }

    /// The count, and a line for each reason.
    #[must_use]
    pub fn lines(&self, domain: &str) -> Vec<String> {
        let state = self.state;
        let mut lines = vec![format!(
            "  {} {state}: `relay list --domain {domain} --state {state}`",
            human::count(self.count)
        )];
        lines.extend(
            self.reasons
                .iter()
                .map(|(reason, who)| format!("    {reason}: {}", named(who).join(", "))),
        );
        lines
    }
}

fn named(who: &[String]) -> Vec<&str> {
    let mut named: Vec<&str> = who.iter().take(NAMED_MAX).map(String::as_str).collect();
    if who.len() > NAMED_MAX {
        named.push("...");
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    fn problem(to: &[&str], reply: &str) -> Problem {
        let (message, deliveries) = fixture::message(1, to, State::Deferred);
        let mut view = MessageView::of(&message, &deliveries);
        for recipient in &mut view.recipients {
            recipient.reply = Some(reply.into());
        }
        let mut problem = Problem {
            state: State::Deferred,
            count: 2,
            reasons: Vec::new(),
        };
        problem.add(&view, 0);
        problem.add(&view, 0);
        problem
    }

    #[test]
    fn says_how_many_why_and_who() {
        let found = problem(&["eve@corp.example"], "452 mailbox full");
        assert_eq!(found.short(), "2 deferred (452 mailbox full: eve)");
        assert_eq!(
            found.lines("corp.example"),
            [
                "  2 deferred: `relay list --domain corp.example --state deferred`",
                "    452 mailbox full: eve@corp.example",
            ]
        );
    }

    #[test]
    fn stays_short() {
        let to = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
        let found = problem(&to, &"no ".repeat(40));
        assert!(found.short().ends_with("...: a, b, c, ...)"));
        assert!(found.short().len() < 100);
    }

    #[test]
    fn what_was_so_before_is_not_told() {
        let (message, deliveries) = fixture::message(1, &["a@x.example"], State::Parked);
        let mut found = problem(&[], "");
        found.add(&MessageView::of(&message, &deliveries), 2);
        assert_eq!(found.reasons, []);
    }
}
