//! The limits of a domain's destination: what is configured, what an operator has set, and
//! the order to set it.

use super::error::ApiError;
use crate::config::{
    Load, LoadChange, LoadSet,
    load::{self, LoadError, Setting},
};
use serde::{Deserialize, Deserializer, Serialize};

/// The answer of `GET /v1/domains/{name}/load`, and of the order that changes it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LoadView {
    /// The limits that hold.
    pub now: LimitsView,
    /// Those of the configuration.
    pub configured: LimitsView,
    /// Those that an operator has set, and only those.
    #[serde(default)]
    pub set: SetView,
}

/// Limits, each in the words of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LimitsView {
    /// Connections at once.
    pub connections: u64,
    /// Messages in a time: `600/m`, `none`.
    pub rate: String,
    /// Bytes in a time: `5 MiB/s`, `none`.
    pub bytes_rate: String,
}

/// What an operator has set in the place of the configured limits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SetView {
    /// As [`LimitsView::connections`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// As [`LimitsView::rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// As [`LimitsView::bytes_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_rate: Option<String>,
}

/// The body of `PUT /v1/domains/{name}/load`. A limit that is left out stays as it is, and
/// `null` puts it back to the configuration (RFC 7396).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadOrder {
    /// 1 to 1000.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub connections: Option<Option<u64>>,
    /// `600/m`, `none`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub rate: Option<Option<String>>,
    /// `5 MiB/s`, `none`.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub bytes_rate: Option<Option<String>>,
}

/// Tells a `null` from what is not there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl LoadView {
    /// Of these two.
    #[must_use]
    pub fn of(configured: Load, set: LoadSet) -> Self {
        Self {
            now: set.over(configured).into(),
            configured: configured.into(),
            set: SetView {
                connections: set.connections.map(u64::from),
                rate: set.rate.map(|rate| rate.to_string()),
                bytes_rate: set.bytes_rate.map(|rate| rate.to_string()),
            },
        }
    }
}

impl From<Load> for LimitsView {
    fn from(load: Load) -> Self {
        Self {
            connections: u64::try_from(load.connections).unwrap_or(u64::MAX),
            rate: load.rate.to_string(),
            bytes_rate: load.bytes_rate.to_string(),
        }
    }
}

impl TryFrom<LoadOrder> for LoadChange {
    type Error = ApiError;

    fn try_from(order: LoadOrder) -> Result<Self, ApiError> {
        let connections = order.connections.map(|to| to.map(|to| to.to_string()));
        Ok(Self {
            connections: setting("connections", connections, load::connections)?,
            rate: setting("rate", order.rate, str::parse)?,
            bytes_rate: setting("bytes_rate", order.bytes_rate, str::parse)?,
        })
    }
}

fn setting<T>(
    name: &str,
    to: Option<Option<String>>,
    read: impl Fn(&str) -> Result<T, LoadError>,
) -> Result<Setting<T>, ApiError> {
    match to {
        None => Ok(Setting::Same),
        Some(None) => Ok(Setting::Configured),
        Some(Some(text)) => read(&text)
            .map(Setting::To)
            .map_err(|error| ApiError::bad_request(format!("`{name}`: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(json: &str) -> Result<LoadChange, String> {
        let order: LoadOrder = serde_json::from_str(json).map_err(|error| error.to_string())?;
        order.try_into().map_err(|error: ApiError| error.detail)
    }

    #[test]
    fn what_is_left_out_stays_and_null_is_the_configured() {
        assert_eq!(change("{}"), Ok(LoadChange::default()));
        let order = r#"{"connections":5,"rate":null,"bytes_rate":"none"}"#;
        let expected = LoadChange {
            connections: Setting::To(5),
            rate: Setting::Configured,
            bytes_rate: Setting::To("none".parse().unwrap()),
        };
        assert_eq!(change(order), Ok(expected));
        let sent: LoadOrder = serde_json::from_str(order).unwrap();
        assert_eq!(serde_json::to_string(&sent).unwrap(), order);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (order, says) in [
            (r#"{"connections":0}"#, "`connections`: \"0\" is no number"),
            (r#"{"rate":"600"}"#, "`rate`: \"600\" says no time"),
            (
                r#"{"bytes_rate":"5/s"}"#,
                "`bytes_rate`: \"5/s\" is too little",
            ),
            (r#"{"byte_rate":"5/s"}"#, "unknown field"),
        ] {
            let error = change(order).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_view_says_where_each_limit_comes_from() {
        let set = LoadSet::default().with(change(r#"{"rate":"60/m"}"#).unwrap());
        let view = LoadView::of(Load::default(), set);
        let json = serde_json::to_value(&view).unwrap();
        let expected = serde_json::json!({
            "now": {"connections": 20, "rate": "60/m", "bytes_rate": "none"},
            "configured": {"connections": 20, "rate": "none", "bytes_rate": "none"},
            "set": {"rate": "60/m"},
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<LoadView>(json).unwrap(), view);
    }
}
