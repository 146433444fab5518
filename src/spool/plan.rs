//! What a release waits for: its gate, and the few messages that are to go before all others.

use crate::mail::QueueId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who says that mail may go, once its domain was released.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nobody has to.
    #[default]
    Open,
    /// Nothing goes until a command opens the gate.
    Domain,
    /// Each mailbox goes when its own gate is open.
    Mailbox,
}

impl Gate {
    /// Whether it keeps nothing back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::Open
    }

    /// Its name in all outputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Domain => "domain",
            Self::Mailbox => "mailbox",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The first messages of a backlog, behind which a release stops to be looked at. It is a
/// place in the order and no count, so that a restart cannot send more of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Canary {
    /// How many messages it is.
    pub messages: u32,
    /// The first of them.
    pub first: QueueId,
    /// The last of them: nothing behind it is sent.
    pub last: QueueId,
    /// When it was ordered, milliseconds since 1970.
    pub since_ms: u64,
    /// Whether each of them was sent, or tried, and the release stands.
    pub sent: bool,
}
