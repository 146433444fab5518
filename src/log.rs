//! The mail log: one line an event of a message's life, in Postfix's own format, so that
//! pflogsumm, fail2ban and years of habit go on working.

use std::fmt;

/// The Postfix daemon in whose name a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Receiving: connections, clients, refusals.
    Smtpd,
    /// A message's header: its message-id.
    Cleanup,
    /// The queue: from, size, number of recipients, removal.
    Qmgr,
    /// Delivery to an SMTP destination.
    Smtp,
    /// Delivery to an LMTP destination.
    Lmtp,
}

/// Writes a line such as `postfix-relay/smtpd[4242]: 01KAR6Q8ZJ5V: client=...`. Control
/// characters in `line` are shown as `?`, as Postfix does, so that no client can forge one.
pub fn mail(service: Service, line: fmt::Arguments<'_>) {
    let line = line.to_string();
    match service {
        Service::Smtpd => tracing::info!(target: "mail::smtpd", "{line}"),
        Service::Cleanup => tracing::info!(target: "mail::cleanup", "{line}"),
        Service::Qmgr => tracing::info!(target: "mail::qmgr", "{line}"),
        Service::Smtp => tracing::info!(target: "mail::smtp", "{line}"),
        Service::Lmtp => tracing::info!(target: "mail::lmtp", "{line}"),
    }
}
