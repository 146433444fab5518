//! The receiver's lines in the mail log.

use super::who::Who;
use crate::{
    log::{Service, mail},
    mail::{Client, Envelope, QueueId},
    net::{ProxyError, WireError},
    smtp::{Reply, Session, Verb, VerbCounts},
    spool::{Phase, Spool},
};
use std::net::IpAddr;

pub(super) fn connect(who: &Who) {
    mail(Service::Smtpd, format_args!("connect from {who}"));
}

pub(super) fn disconnect(who: &Who, counts: &VerbCounts) {
    mail(
        Service::Smtpd,
        format_args!("disconnect from {who}{counts}"),
    );
}

/// A connection that ended without QUIT, and the command before.
pub(super) fn broken_off(error: &WireError, verb: Verb, who: &Who) {
    let after = verb.name().to_ascii_uppercase();
    let what = what(error);
    mail(
        Service::Smtpd,
        format_args!("{what} after {after} from {who}"),
    );
}

/// The same in the middle of a message.
pub(super) fn broken_off_in_data(error: &WireError, verb: Verb, bytes: u64, who: &Who) {
    let what = what(error);
    let after = verb.name().to_ascii_uppercase();
    mail(
        Service::Smtpd,
        format_args!("{what} after {after} ({bytes} bytes) from {who}"),
    );
}

/// A client that did not come along into TLS.
pub(super) fn tls_failed(error: &WireError, who: &Who) {
    mail(
        Service::Smtpd,
        format_args!("SSL_accept error from {who}: {error}"),
    );
}

/// In Postfix's words.
fn what(error: &WireError) -> &'static str {
    match error {
        WireError::Timeout => "timeout",
        WireError::Closed | WireError::Io(_) | WireError::Stopping => "lost connection",
    }
}

/// A connection that came past the load balancers.
pub(super) fn no_balancer(ip: IpAddr) {
    mail(
        Service::Smtpd,
        format_args!("warning: connection from {ip}, which is not in listen.balancers: closed"),
    );
}

/// A balancer that did not say whom it stands for.
pub(super) fn no_proxy_header(ip: IpAddr, error: &ProxyError) {
    mail(
        Service::Smtpd,
        format_args!("warning: {error} from balancer {ip}: closed"),
    );
}

/// A connection that was refused at once.
pub(super) fn connection_rejected(who: &Who, reply: &Reply) {
    mail(
        Service::Smtpd,
        format_args!("NOQUEUE: reject: CONNECT from {who}: {reply}; proto=SMTP"),
    );
}

/// A sender, recipient or message that was refused, with as much of the envelope as is
/// known.
pub(super) fn rejected(
    session: &Session<'_>,
    who: &Who,
    reply: &Reply,
    from: Option<&str>,
    to: Option<&str>,
) {
    let verb = session.verb().name().to_ascii_uppercase();
    let mut envelope = String::new();
    for (key, value) in [("from", from), ("to", to)] {
        if let Some(value) = value {
            envelope.push_str(&format!(" {key}=<{value}>"));
        }
    }
    let proto = session.protocol().keyword(false);
    mail(
        Service::Smtpd,
        format_args!(
            "NOQUEUE: reject: {verb} from {who}: {reply};{envelope} proto={} helo=<{}>",
            // Postfix knows SMTP and ESMTP here.
            proto.trim_end_matches('S'),
            session.helo()
        ),
    );
}

/// A message that is on stable storage.
pub(super) fn queued(
    id: QueueId,
    envelope: &Envelope,
    message_id: Option<&str>,
    size: u64,
    spool: &dyn Spool,
) {
    let client = &envelope.client;
    mail(Service::Smtpd, format_args!("{id}: client={client}"));
    // `<>` stands for a message without one, as in Postfix.
    let message_id = message_id.unwrap_or_default();
    mail(
        Service::Cleanup,
        format_args!("{id}: message-id=<{message_id}>"),
    );
    let held = envelope.recipients.iter().any(|recipient| {
        let domain = spool.domain(&recipient.address.domain());
        domain.is_some_and(|domain| domain.phase == Phase::Hold)
    });
    let queue = if held { "hold" } else { "active" };
    let (from, nrcpt) = (&envelope.reverse_path, envelope.recipients.len());
    mail(
        Service::Qmgr,
        format_args!("{id}: from=<{from}>, size={size}, nrcpt={nrcpt} (queue {queue})"),
    );
}

/// A message that its client sent again, having not seen the 250 of the first time.
pub(super) fn repeated(id: QueueId, client: &Client) {
    mail(
        Service::Smtpd,
        format_args!("{id}: warning: sent again by {client}, which had lost the 250: kept once"),
    );
}

/// A message whose bare CRs or LFs have become CRLF.
pub(super) fn normalized(id: QueueId, count: u64) {
    mail(
        Service::Smtpd,
        format_args!("{id}: warning: {count} bare <CR> or <LF> normalized"),
    );
}

/// A message whose last line came without its end.
pub(super) fn completed(id: QueueId) {
    mail(
        Service::Smtpd,
        format_args!("{id}: warning: <CR><LF> added to an unfinished last line"),
    );
}
