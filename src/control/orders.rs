//! An operator's orders on a domain, as they come over the socket.

use super::error::ApiError;
use crate::spool::{DomainCommand, Gate, Phase};
use serde::{Deserialize, Serialize};

/// The longest reason for a pause, in bytes.
const REASON_BYTES_MAX: usize = 1000;

/// The body of `POST /v1/domains/{name}/release`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseOrder {
    /// `HOST:PORT` in the place of the configured destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `forward` (the default) or `hold`: where the domain goes with an empty backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Phase>,
    /// So many messages first, after which the domain is paused until `resume`, or until
    /// it is released without this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<u32>,
    /// `open` (the default), `domain` or `mailbox`: what waits until it may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
}

/// The body of `POST /v1/domains/{name}/pause`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseOrder {
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl TryFrom<ReleaseOrder> for DomainCommand {
    type Error = ApiError;

    fn try_from(order: ReleaseOrder) -> Result<Self, ApiError> {
        if let Some(to) = &order.to {
            check_target(to)?;
        }
        if order.canary == Some(0) {
            return Err(ApiError::bad_request("`canary` is 0; it is 1 or more"));
        }
        match order.then.unwrap_or(Phase::Forward) {
            Phase::Release => Err(ApiError::bad_request(
                "`then` is `release`; a release ends in `forward` or `hold`",
            )),
            then => Ok(Self::Release {
                to: order.to,
                then,
                canary: order.canary,
                gate: order.gate.unwrap_or_default(),
            }),
        }
    }
}

impl TryFrom<PauseOrder> for DomainCommand {
    type Error = ApiError;

    fn try_from(order: PauseOrder) -> Result<Self, ApiError> {
        let reason = order
            .reason
            .filter(|reason| !reason.trim().is_empty())
            .unwrap_or_else(|| "paused by an operator".into());
        if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
            return Err(ApiError::bad_request(format!(
                "`reason` must be one line of at most {REASON_BYTES_MAX} bytes"
            )));
        }
        Ok(Self::Pause { reason })
    }
}

/// `HOST:PORT`, where an IPv6 address stands in brackets.
fn check_target(to: &str) -> Result<(), ApiError> {
    let valid = to.rsplit_once(':').is_some_and(|(host, port)| {
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host_ok = match literal {
            Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.len() <= 255
                    && host
                        .chars()
                        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
            }
        };
        host_ok && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid {
        Ok(())
    } else {
        Err(ApiError::bad_request(format!(
            "`{to}` is not HOST:PORT, such as mail.new.example:25 or [2001:db8::1]:25"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_host_and_port() {
        for good in ["mail.new.example:25", "192.0.2.1:2525", "[2001:db8::1]:24"] {
            assert_eq!(check_target(good), Ok(()), "{good}");
        }
        for bad in [
            "mail",
            "mail:",
            ":25",
            "mail:0",
            "mail:99999",
            "2001:db8::1:24",
            "a b:1",
        ] {
            assert!(check_target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_release_ends_in_forward_unless_told_otherwise() {
        let order = |json: &str| {
            let order: ReleaseOrder = serde_json::from_str(json).unwrap();
            DomainCommand::try_from(order)
        };
        assert_eq!(order("{}"), Ok(DomainCommand::release()));
        let released = DomainCommand::Release {
            to: None,
            then: Phase::Hold,
            canary: Some(5),
            gate: Gate::Mailbox,
        };
        let json = r#"{"then":"hold","canary":5,"gate":"mailbox"}"#;
        assert_eq!(order(json), Ok(released));
        assert!(order(r#"{"canary":0}"#).is_err());
        assert!(order(r#"{"then":"release"}"#).is_err());
        assert!(serde_json::from_str::<ReleaseOrder>(r#"{"too":"x:1"}"#).is_err());
    }
}
