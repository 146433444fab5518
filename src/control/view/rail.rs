//! The way of a domain through its move.

use serde::{Deserialize, Serialize};

/// A step on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RailView {
    /// `checked`, `MX moved`, `holding`, `synced`, `released` or `verified`.
    pub step: String,
    /// Where it stands.
    pub mark: Mark,
    /// Since when, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// More, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Where a step stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Done.
    Done,
    /// Under way.
    Now,
    /// Not yet, as far as is known.
    Ahead,
    /// It needs somebody.
    Wrong,
    /// It does not apply, or was left out.
    None,
}

impl Mark {
    /// What stands between the brackets.
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Done => 'x',
            Self::Now => '>',
            Self::Ahead => ' ',
            Self::Wrong => '!',
            Self::None => '-',
        }
    }
}
