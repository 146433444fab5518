//! Which messages and deliveries a listing is asked for.

use crate::{
    mail::{Address, QueueId, ReversePath},
    spool::State,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a listing is asked for. A delivery is listed when everything given fits; a
/// message is listed when one of its deliveries is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Only deliveries of this domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Only deliveries in these states. Default: those that are not at their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateFilter>,
    /// Only this recipient: an address, or `@domain`. Case does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Only this sender: an address, `@domain`, or `<>` for the null sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// At most so many messages. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Only messages that arrived after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which states.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StateFilter {
    /// One state.
    One(State),
    /// Every state, the finished ones too.
    All,
}

/// A listing that cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilterError {
    /// `state` is none of the public states.
    #[error("`{0}` is not a state; there are: {states}, all", states = state_names())]
    State(String),
    /// `after` is not a queue id.
    #[error(transparent)]
    After(#[from] crate::mail::QueueIdError),
}

impl Filter {
    /// The message behind which the listing begins.
    ///
    /// # Errors
    /// [`FilterError::After`].
    pub fn after_id(&self) -> Result<Option<QueueId>, FilterError> {
        let id = self.after.as_deref().map(str::parse).transpose()?;
        Ok(id)
    }

    /// Whether finished deliveries can be among those asked for.
    #[must_use]
    pub fn wants_finished(&self) -> bool {
        match self.state {
            None => false,
            Some(StateFilter::All) => true,
            Some(StateFilter::One(state)) => is_finished(state),
        }
    }

    /// Whether deliveries in this state are asked for.
    #[must_use]
    pub fn takes_state(&self, state: State) -> bool {
        match self.state {
            None => !is_finished(state),
            Some(StateFilter::All) => true,
            Some(StateFilter::One(wanted)) => state == wanted,
        }
    }

    /// Whether messages of this sender are asked for.
    #[must_use]
    pub fn takes_sender(&self, sender: &ReversePath) -> bool {
        match (self.sender.as_deref(), sender) {
            (None, _) | (Some("<>"), ReversePath::Null) => true,
            (Some(_), ReversePath::Null) => false,
            (Some(wanted), ReversePath::Address(address)) => fits(wanted, address),
        }
    }

    /// Whether deliveries to this recipient are asked for.
    #[must_use]
    pub fn takes_recipient(&self, recipient: &Address) -> bool {
        let domain = self.domain.as_deref();
        domain.is_none_or(|domain| recipient.domain() == domain.to_lowercase())
            && self
                .recipient
                .as_deref()
                .is_none_or(|wanted| fits(wanted, recipient))
    }
}

/// A person who looks for `Bob@Example.com` means the mailbox, however it was written.
fn fits(wanted: &str, address: &Address) -> bool {
    match wanted.strip_prefix('@') {
        Some(domain) => address.domain() == domain.to_lowercase(),
        None => address.as_str().to_lowercase() == wanted.to_lowercase(),
    }
}

fn is_finished(state: State) -> bool {
    matches!(state, State::Delivered | State::Bounced | State::Dropped)
}

fn state_names() -> String {
    State::ALL.map(State::name).join(", ")
}

impl FromStr for StateFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text == "all" {
            return Ok(Self::All);
        }
        State::from_name(text)
            .map(Self::One)
            .ok_or_else(|| FilterError::State(text.into()))
    }
}

impl TryFrom<String> for StateFilter {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, FilterError> {
        text.parse()
    }
}

impl From<StateFilter> for String {
    fn from(filter: StateFilter) -> Self {
        filter.to_string()
    }
}

impl fmt::Display for StateFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(state) => state.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_fit_whole_or_by_domain() {
        let filter = |recipient: &str| Filter {
            recipient: Some(recipient.into()),
            ..Filter::default()
        };
        let bob = address("Bob@Example.com");
        assert!(filter("bob@example.COM").takes_recipient(&bob));
        assert!(filter("@example.com").takes_recipient(&bob));
        assert!(!filter("ob@example.com").takes_recipient(&bob));
        assert!(!filter("@le.com").takes_recipient(&bob));
    }

    #[test]
    fn the_null_sender_has_a_name() {
        let filter = |sender: &str| Filter {
            sender: Some(sender.into()),
            ..Filter::default()
        };
        assert!(filter("<>").takes_sender(&ReversePath::Null));
        assert!(!filter("a@b.example").takes_sender(&ReversePath::Null));
        assert!(!filter("<>").takes_sender(&ReversePath::Address(address("a@b.example"))));
    }

    #[test]
    fn without_a_state_the_finished_are_left_out() {
        let filter = Filter::default();
        for state in State::ALL {
            let finished = matches!(state, State::Delivered | State::Bounced | State::Dropped);
            assert_eq!(filter.takes_state(state), !finished, "{state}");
        }
        assert!(!filter.wants_finished());
        let delivered = Filter {
            state: Some("delivered".parse().unwrap()),
            ..filter
        };
        assert!(delivered.wants_finished());
    }

    #[test]
    fn an_unknown_state_is_told_which_there_are() {
        let text = "hold".parse::<StateFilter>().unwrap_err().to_string();
        assert_eq!(
            text,
            "`hold` is not a state; there are: held, queued, deferred, in_doubt, delivered, \
             parked, bounced, dropped, all"
        );
    }
}
