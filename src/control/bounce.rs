//! `bounce`: deliveries are given up, and their senders get a report. Both are one write,
//! so that no report is lost and none is made twice.

use super::{
    decision::{self, Decision, Ids},
    error::{ApiError, ErrorKind},
    view::MessageView,
};
use crate::{
    mail::{
        BodyKind, Client, Envelope, Protocol, QueueId, Recipient, Ret, ReversePath,
        report::{self, Failed, Kind, Returned},
    },
    spool::{Delivery, Report, Spool, SpoolError, StoredMessage},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// Messages in one request: their reports are in memory together.
pub const BOUNCES_MAX: usize = 500;
/// A longer message is not returned whole, whatever RET says.
const FULL_BYTES_MAX: u64 = 48 * 1024;
/// What is returned of a longer header.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// The answer to `POST /v1/deliveries/bounce`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bounced {
    /// The messages concerned, each with the deliveries that were changed, as they now are.
    pub messages: Vec<MessageView>,
    /// What their senders hear, an entry for each message.
    pub reports: Vec<Reported>,
}

/// What a sender hears about one message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reported {
    /// The message that was bounced.
    pub queue_id: String,
    /// The report's own queue id; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<String>,
    /// Who gets it; empty for the null sender.
    pub sender: String,
    /// Recipients that it does not tell of, since their NOTIFY asked for silence.
    pub silent: Vec<String>,
}

/// Bounces all deliveries named, or none.
///
/// # Errors
/// [`ErrorKind::NoWayOut`] without a `reporter`, the name of this host; those of
/// [`decision::decide`].
pub(super) async fn bounce(
    spool: &dyn Spool,
    reporter: Option<&str>,
    ids: &Ids,
    now_ms: u64,
) -> Result<Bounced, ApiError> {
    let Some(hostname) = reporter else {
        return Err(ApiError {
            error: ErrorKind::NoWayOut,
            detail: "a report could not leave: the configuration has no [bounce]; set \
                     `via = { host = \"...\" }` there and restart, or use `relay drop`. \
                     Nothing was changed"
                .into(),
        });
    };
    let meant = decision::meant(spool, Decision::Bounce, ids).await?;
    if meant.len() > BOUNCES_MAX {
        return Err(ApiError::bad_request(format!(
            "{} messages; at most {BOUNCES_MAX} are bounced at once",
            meant.len()
        )));
    }
    let mut reports = Vec::new();
    let mut told = Vec::with_capacity(meant.len());
    for (&id, places) in &meant {
        let message = spool.message(id).await?;
        let message = message.ok_or(SpoolError::UnknownMessage(id))?;
        let deliveries = spool.deliveries(id).await?;
        let about = (Kind::Failed, hostname);
        let report = write(spool, about, &message, &deliveries, places, now_ms).await?;
        told.push((reported(&message, places), report.is_some()));
        reports.extend(report);
    }
    let bytes = reports.iter().map(|report| report.bytes.len() as u64).sum();
    if !reports.is_empty() {
        spool.admit(bytes)?;
    }
    let steps = decision::transitions(&meant, Decision::Bounce, now_ms);
    let mut made = spool.bounce(steps, reports).await?.into_iter();
    let reports = told.into_iter().map(|(told, has_report)| Reported {
        report: has_report
            .then(|| made.next())
            .flatten()
            .as_ref()
            .map(QueueId::to_string),
        ..told
    });
    Ok(Bounced {
        reports: reports.collect(),
        messages: decision::views(spool, &meant).await?,
    })
}

fn reported(message: &StoredMessage, places: &BTreeSet<u32>) -> Reported {
    let silent = meant(message, places).filter(|(_, recipient)| !Kind::Failed.is_wanted(recipient));
    Reported {
        queue_id: message.id.to_string(),
        report: None,
        sender: message.envelope.reverse_path.to_string(),
        silent: silent
            .map(|(_, recipient)| recipient.address.to_string())
            .collect(),
    }
}

fn meant<'a>(
    message: &'a StoredMessage,
    places: &'a BTreeSet<u32>,
) -> impl Iterator<Item = (u32, &'a Recipient)> {
    (0..)
        .zip(&message.envelope.recipients)
        .filter(|(place, _)| places.contains(place))
}

/// The report about a message, unless nobody wants one.
pub(super) async fn write(
    spool: &dyn Spool,
    (about, hostname): (Kind, &str),
    message: &StoredMessage,
    deliveries: &[Delivery],
    places: &BTreeSet<u32>,
    now_ms: u64,
) -> Result<Option<Report>, ApiError> {
    let ReversePath::Address(sender) = &message.envelope.reverse_path else {
        return Ok(None);
    };
    let failed: Vec<Failed<'_>> = meant(message, places)
        .filter(|(_, recipient)| about.is_wanted(recipient))
        .map(|(place, recipient)| {
            let delivery = deliveries.iter().find(|d| d.id.recipient == place);
            failure(about, recipient, delivery)
        })
        .collect();
    if failed.is_empty() {
        return Ok(None);
    }
    let full = about == Kind::Failed
        && message.envelope.ret == Some(Ret::Full)
        && message.size <= FULL_BYTES_MAX;
    let content = content(spool, message.id, full).await?;
    let returned = match full {
        true => Returned::Full(&content),
        false => Returned::Headers(&content),
    };
    let written = report::report(
        about,
        hostname,
        message.id,
        &message.envelope,
        &failed,
        returned,
        now_ms,
    );
    let Some(bytes) = written else {
        return Ok(None);
    };
    let body = match bytes.is_ascii() {
        true => BodyKind::SevenBit,
        false => BodyKind::EightBitMime,
    };
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        recipients: vec![Recipient::plain(sender.clone())],
        body,
        smtputf8: !sender.is_ascii(),
        ret: None,
        envid: None,
        client: Client {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            name: Some("localhost".into()),
            helo: hostname.to_owned(),
            protocol: Protocol::Esmtp,
            tls: None,
        },
        received_ms: now_ms,
    };
    Ok(Some(Report { envelope, bytes }))
}

fn failure<'a>(
    about: Kind,
    recipient: &'a Recipient,
    delivery: Option<&'a Delivery>,
) -> Failed<'a> {
    let last = delivery.and_then(|delivery| delivery.last.as_ref());
    // What a reply has said lately stands in the report; what was never tried failed
    // by a person's decision, for which RFC 3463 has no better code.
    let status = last.map(|last| &*last.dsn);
    let status = status.filter(|dsn| dsn.starts_with(['4', '5']) && is_status(dsn));
    let host = last.map(|last| last.relay.split('[').next().unwrap_or_default());
    let other = match about {
        Kind::Failed => "5.0.0",
        Kind::Delayed => "4.0.0",
    };
    Failed {
        recipient,
        status: status.unwrap_or(other),
        host: host.filter(|host| !host.is_empty() && *host != "none"),
        reply: last.map(|last| &*last.reply),
    }
}

/// RFC 3463 §2.
fn is_status(dsn: &str) -> bool {
    let parts: Vec<&str> = dsn.split('.').collect();
    let number = |part: &&str| part.len() <= 3 && part.parse::<u16>().is_ok();
    parts.len() == 3 && parts.iter().all(number)
}

/// The whole message, or its header.
async fn content(spool: &dyn Spool, id: QueueId, full: bool) -> Result<Vec<u8>, SpoolError> {
    let mut body = spool.body(id).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await? {
        bytes.extend_from_slice(&piece);
        if !full && bytes.len() >= HEADER_BYTES_MAX {
            break;
        }
    }
    if !full {
        let end = match bytes.starts_with(b"\r\n") {
            true => Some(0),
            false => memchr::memmem::find(&bytes, b"\r\n\r\n").map(|at| at + 2),
        };
        bytes.truncate(end.unwrap_or(bytes.len()).min(HEADER_BYTES_MAX));
    }
    Ok(bytes)
}
