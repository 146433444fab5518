//! Refusals and failures as the socket answers them: JSON with a word and a sentence.

use crate::spool::SpoolError;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// Why a request was not carried out, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is malformed (400).
    BadRequest,
    /// There is no such path (404), or not with this method (405).
    NoSuchCall,
    /// Nobody is logged in (401); on the web page only.
    NotLoggedIn,
    /// Whoever is logged in may only look, or another site asks (403); on the web page only.
    NotAllowed,
    /// The domain is not configured (404).
    UnknownDomain,
    /// There is no such message (404).
    UnknownMessage,
    /// The message has no such recipient (404).
    UnknownDelivery,
    /// The delivery's state does not allow the step (409).
    Conflict,
    /// There is no `[bounce]` in the configuration, so no report could leave (409).
    NoWayOut,
    /// A hook of the configuration refuses the release (409).
    Vetoed,
    /// The message's bytes were removed after their retention (410).
    NoBody,
    /// The spool is full, failed or closing: try again later (503).
    TryAgain,
    /// Another process holds the spool (503).
    InUse,
    /// A record, a body or the whole spool is damaged or of another version (500).
    Damaged,
    /// The files below failed (500).
    Io,
}

/// The body of every answer that is not a success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    /// Which kind.
    pub error: ErrorKind,
    /// What is wrong, for a person.
    pub detail: String,
}

impl ApiError {
    /// The request is malformed, in these words.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self {
            error: ErrorKind::BadRequest,
            detail: detail.into(),
        }
    }
}

impl ErrorKind {
    /// The kind of a spool's error.
    #[must_use]
    pub fn of(error: &SpoolError) -> Self {
        match error {
            SpoolError::Full { .. }
            | SpoolError::Failed { .. }
            | SpoolError::Stalled { .. }
            | SpoolError::Closed => Self::TryAgain,
            SpoolError::InUse { .. } => Self::InUse,
            SpoolError::Version { .. } | SpoolError::Corrupt { .. } | SpoolError::Lost { .. } => {
                Self::Damaged
            }
            SpoolError::UnknownMessage(_) => Self::UnknownMessage,
            SpoolError::UnknownDelivery(_) => Self::UnknownDelivery,
            SpoolError::NoBody(_) => Self::NoBody,
            SpoolError::UnknownDomain(_) => Self::UnknownDomain,
            SpoolError::Conflict { .. } => Self::Conflict,
            SpoolError::Io { .. } => Self::Io,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotLoggedIn => StatusCode::UNAUTHORIZED,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NoSuchCall
            | Self::UnknownDomain
            | Self::UnknownMessage
            | Self::UnknownDelivery => StatusCode::NOT_FOUND,
            Self::Conflict | Self::NoWayOut | Self::Vetoed => StatusCode::CONFLICT,
            Self::NoBody => StatusCode::GONE,
            Self::TryAgain | Self::InUse => StatusCode::SERVICE_UNAVAILABLE,
            Self::Damaged | Self::Io => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<SpoolError> for ApiError {
    fn from(error: SpoolError) -> Self {
        Self {
            error: ErrorKind::of(&error),
            detail: error.to_string(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.error.status(), axum::Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_word_sentence_and_status() {
        let error = ApiError::from(SpoolError::UnknownDomain("x.example".into()));
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({
                "error": "unknown_domain",
                "detail": "the domain x.example is not configured",
            })
        );
        assert_eq!(error.into_response().status(), StatusCode::NOT_FOUND);
    }
}
