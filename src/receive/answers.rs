//! What clients are told: bland texts here, the details in the log.

use crate::{
    mail::{Address, Loop},
    smtp::Reply,
    spool::{Receipt, SpoolError},
};

/// The one place where a 250 for a message is made: from the proof that it is on stable
/// storage.
pub(super) fn accepted(receipt: &Receipt) -> Reply {
    Reply::new(250, "2.0.0", format!("Ok: queued as {}", receipt.id()))
}

/// The one place where a refusal of the spool becomes a reply. Always temporary: the
/// sender keeps the message.
pub(super) fn spool_refusal(error: &SpoolError) -> Reply {
    tracing::warn!(%error, "the spool takes no mail");
    match error {
        SpoolError::Full { .. } => Reply::new(452, "4.3.1", "Insufficient system storage"),
        _ => Reply::new(451, "4.3.0", "Temporary system problem, try again later"),
    }
}

pub(super) fn relay_denied(address: &Address) -> Reply {
    Reply::new(554, "5.7.1", format!("<{address}>: Relay access denied"))
}

pub(super) fn unknown_user(address: &Address) -> Reply {
    let text = format!("<{address}>: Recipient address rejected: User unknown");
    Reply::new(550, "5.1.1", text)
}

/// RFC 3463 §3.2: nothing is known against the address; the sender tries again.
pub(super) fn unverified(address: &Address) -> Reply {
    let text = format!("<{address}>: Recipient address cannot be verified now, try again later");
    Reply::new(450, "4.1.1", text)
}

pub(super) fn too_many_messages() -> Reply {
    Reply::new(
        450,
        "4.7.0",
        "Error: too many messages from this address, try again later",
    )
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::new(
        450,
        "4.7.0",
        "Error: too many recipients from this address, try again later",
    )
}

pub(super) fn line_too_long() -> Reply {
    Reply::new(500, "5.5.2", "Error: line too long")
}

pub(super) fn bare_lf() -> Reply {
    Reply::new(500, "5.5.2", "Error: bare <LF> received")
}

pub(super) fn bare_newline() -> Reply {
    Reply::new(550, "5.6.11", "Error: bare <CR> or <LF> received")
}

/// RFC 5321 §6.3. For good, since coming again would only go on with the loop.
pub(super) fn mail_loop(found: Loop) -> Reply {
    Reply::new(554, "5.4.6", format!("Error: {found}"))
}

pub(super) fn timeout(hostname: &str) -> Reply {
    Reply::new(421, "4.4.2", format!("{hostname} Error: timeout exceeded"))
}

/// RFC 5321 §3.8.
pub(super) fn stopping(hostname: &str) -> Reply {
    let text = format!("{hostname} Service shutting down and closing transmission channel");
    Reply::new(421, "4.3.2", text)
}

pub(super) fn crowded(hostname: &str, reason: crate::net::Crowded) -> Reply {
    Reply::new(421, "4.7.0", format!("{hostname} Error: {reason}"))
}
