//! Asks a destination whether it takes mail for a recipient: a transaction up to RCPT, then
//! RSET. What comes of it is a fact for the receiver, which does not know this module.
//!
//! A refusal for good is believed only where it is one of this mailbox. A new server that
//! does not know the domain yet, or does not like this relay, refuses every recipient, and
//! senders must not be told for that reason that their addresses are wrong. So the refusal
//! either says that the mailbox is unknown (X.1.1, X.1.10), or the same server takes mail
//! for the domain's postmaster, whom each must have (RFC 5321 §4.5.1).

use super::{
    commands::Features,
    connection::{Connection, Setup},
    reply::{Failure, Phase, Reply},
};
use crate::{mail::Address, smtp::Offer};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A connection that is not used for so long is closed; servers drop idle ones early.
const IDLE: Duration = Duration::from_secs(5);
/// How much the `Received:` field adds to a message at most, in bytes, rounded up.
const TRACE_BYTES: u64 = 1024;

/// What the destination says about a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It takes mail for it, or its mailbox is only full.
    Known,
    /// There is no such mailbox.
    Unknown,
    /// It has said neither: its reply.
    Unclear(String),
}

/// A destination that is asked about recipients.
pub struct Callouts {
    setup: Setup,
    /// The connection of the last question.
    kept: Mutex<Option<(Connection, Instant)>>,
}

impl Callouts {
    /// Nobody was asked yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            kept: Mutex::default(),
        }
    }

    /// Where it is asked.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Asks about `address`, and says what the destination takes.
    ///
    /// # Errors
    /// The [`Failure`] that kept the question from being put, or its answer from coming.
    pub async fn ask(&self, address: &Address) -> Result<(Finding, Offer), Failure> {
        let kept = self.lock().take();
        if let Some((mut connection, since)) = kept
            && since.elapsed() < IDLE
            && !connection.is_disturbed()
        {
            // It may have been closed in this moment, which says nothing about now.
            if let Ok(answer) = self.ask_on(connection, address).await {
                return Ok(answer);
            }
        }
        let connection = Connection::open(&self.setup).await?;
        self.ask_on(connection, address).await
    }

    async fn ask_on(
        &self,
        mut connection: Connection,
        address: &Address,
    ) -> Result<(Finding, Offer), Failure> {
        let finding = transaction(&mut connection, address).await?;
        let offer = offer(&connection.features);
        *self.lock() = Some((connection, Instant::now()));
        Ok((finding, offer))
    }

    /// A panic elsewhere leaves a connection or none.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Connection, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn transaction(connection: &mut Connection, address: &Address) -> Result<Finding, Failure> {
    if !address.is_ascii() && !connection.features.smtputf8 {
        // RFC 6531 §3.2: it cannot even be named. Nothing is known about it.
        return Ok(Finding::Unclear("SMTPUTF8 is not offered".to_owned()));
    }
    let timeouts = connection.timeouts;
    let utf8 = if address.is_ascii() { "" } else { " SMTPUTF8" };
    let mail = format!("MAIL FROM:<>{utf8}\r\n");
    let reply = connection
        .command(Phase::Mail, timeouts.mail, &mail)
        .await?;
    if !reply.is_positive() {
        return Ok(Finding::Unclear(reply.text));
    }
    let finding = judge(connection, address).await?;
    // An answer that is not 250 leaves a connection that is of no more use.
    let rset = connection.command(Phase::Rcpt, timeouts.hello, "RSET\r\n");
    rset.await?;
    Ok(finding)
}

async fn judge(connection: &mut Connection, address: &Address) -> Result<Finding, Failure> {
    let reply = rcpt(connection, address.as_str()).await?;
    if reply.is_positive() || is_full(&reply) {
        return Ok(Finding::Known);
    }
    if !reply.is_permanent() {
        return Ok(Finding::Unclear(reply.text));
    }
    if names_the_mailbox(&reply) {
        return Ok(Finding::Unknown);
    }
    let postmaster = format!("postmaster@{}", address.domain());
    if rcpt(connection, &postmaster).await?.is_positive() {
        return Ok(Finding::Unknown);
    }
    let text = format!("{}, and the same for the postmaster", reply.text);
    Ok(Finding::Unclear(text))
}

async fn rcpt(connection: &mut Connection, address: &str) -> Result<Reply, Failure> {
    let limit = connection.timeouts.rcpt;
    let line = format!("RCPT TO:<{address}>\r\n");
    connection.command(Phase::Rcpt, limit, &line).await
}

/// RFC 3463 §3.3, X.2.2: a mailbox that is full is there.
fn is_full(reply: &Reply) -> bool {
    matches!(reply.dsn.as_str(), "4.2.2" | "5.2.2")
}

/// RFC 3463 §3.2, X.1.1, and the code of Exchange for the same.
fn names_the_mailbox(reply: &Reply) -> bool {
    matches!(reply.dsn.as_str(), "5.1.1" | "5.1.10")
}

fn offer(features: &Features) -> Offer {
    let size = features.size.filter(|&size| size > 0);
    Offer {
        size_bytes_max: size.map(|size| size.saturating_sub(TRACE_BYTES).max(1)),
        eight_bit_mime: features.eight_bit_mime,
        smtputf8: features.smtputf8,
        chunking: features.chunking,
    }
}
