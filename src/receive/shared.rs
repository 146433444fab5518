//! What the connections of a receiver share.

use super::{
    Callout, Counters, answers,
    recipients::{Directory, Found},
    verify::{Verdict, Verifier},
};
use crate::{
    config::{BareNewline, Config, Limits},
    dns::Dns,
    mail::{Address, Recipient},
    net::{Certificates, Gate, Rate, Rates},
    smtp::{ForwardPath, Mail, Offer, Reply, SessionLimits},
    spool::Spool,
};
use arc_swap::ArcSwap;
use mail_parser::{HeaderName, MessageParser};
use std::{sync::Arc, time::Duration};
use tokio_rustls::rustls::ServerConfig;

/// What connections share; one that a reload has found open keeps what it began with.
pub(super) struct Shared {
    pub(super) limits: SessionLimits,
    pub(super) bare_newline: BareNewline,
    pub(super) command_timeout: Duration,
    pub(super) retry_window: Duration,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) counters: Arc<Counters>,
    pub(super) common: Arc<Common>,
}

/// What also connections share between which the configuration was changed.
pub(super) struct Common {
    /// Of now: what is no longer taken is not taken from open sessions either.
    pub(super) directory: ArcSwap<Directory>,
    /// None where no listener speaks TLS.
    pub(super) certificates: Option<Certificates>,
    pub(super) gate: Arc<Gate>,
    pub(super) messages: Rates,
    pub(super) recipients: Rates,
    /// For the names of clients; none where they are not wanted.
    pub(super) dns: Option<Dns>,
    /// None where nobody is there to ask.
    verifier: Option<Arc<Verifier>>,
    parser: MessageParser,
}

impl Common {
    pub(super) fn new(
        config: &Config,
        directory: Directory,
        certificates: Option<Certificates>,
        callout: Option<Arc<dyn Callout>>,
    ) -> Self {
        let limits = &config.limits;
        let (messages, recipients) = rates(limits);
        Self {
            directory: ArcSwap::from_pointee(directory),
            certificates,
            gate: Gate::new(limits.connections, limits.connections_per_ip),
            messages: Rates::new(messages),
            recipients: Rates::new(recipients),
            dns: dns(config),
            verifier: callout.map(|callout| Verifier::new(callout, config.verify.clone())),
            parser: MessageParser::new().header_id(HeaderName::MessageId),
        }
    }

    /// Other limits from now on.
    pub(super) fn set_limits(&self, limits: &Limits) {
        self.gate
            .set_limits(limits.connections, limits.connections_per_ip);
        let (messages, recipients) = rates(limits);
        self.messages.set_rate(messages);
        self.recipients.set_rate(recipients);
    }
}

/// Without names a session is as good as with them.
fn dns(config: &Config) -> Option<Dns> {
    if !config.dns.client_names {
        return None;
    }
    let dns = Dns::new(&config.dns);
    dns.inspect_err(|error| tracing::warn!("clients have no names: {error}"))
        .ok()
}

/// Of messages, and of recipients.
fn rates(limits: &Limits) -> (Rate, Rate) {
    let period = limits.rate_period;
    let rate = |count| Rate { count, period };
    (rate(limits.messages_per_ip), rate(limits.recipients_per_ip))
}

impl Shared {
    pub(super) fn new(
        config: &Config,
        spool: Arc<dyn Spool>,
        counters: Arc<Counters>,
        common: Arc<Common>,
    ) -> Self {
        let limits = &config.limits;
        Self {
            limits: SessionLimits {
                hostname: config.hostname.clone(),
                message_size_bytes: limits.message_size_bytes,
                recipients: limits.recipients,
                errors: limits.errors,
            },
            bare_newline: limits.bare_newline,
            command_timeout: limits.command_timeout,
            retry_window: limits.retry_window,
            spool,
            counters,
            common,
        }
    }

    /// The Message-ID in a message's header, without its angle brackets.
    pub(super) fn message_id(&self, head: &[u8]) -> Option<String> {
        let message = self.common.parser.parse_headers(head)?;
        message.message_id().map(str::to_owned)
    }

    /// The mailbox that `to` stands for, if mail like this is taken for it; else what to
    /// answer, and whom it was for.
    pub(super) async fn find(
        &self,
        to: ForwardPath,
        mail: Option<&Mail>,
    ) -> Result<Address, (Reply, String)> {
        let directory = self.common.directory.load_full();
        let address = match directory.find(to)? {
            Found::Mailbox(address) => address,
            Found::Asked(address) => self.ask(address).await?,
        };
        let refusal = mail.and_then(|mail| self.offer(&address.domain()).refusal(mail));
        match refusal {
            Some(reply) => Err((reply, address.into())),
            None => Ok(address),
        }
    }

    async fn ask(&self, address: Address) -> Result<Address, (Reply, String)> {
        let verdict = match &self.common.verifier {
            Some(verifier) => verifier.verdict(&address).await,
            None => Verdict::Unreachable("nobody to ask".to_owned()),
        };
        match verdict {
            Verdict::Known => Ok(address),
            Verdict::Unknown => Err((answers::unknown_user(&address), address.into())),
            Verdict::Unclear(_) | Verdict::Unreachable(_) => {
                Err((answers::unverified(&address), address.into()))
            }
        }
    }

    /// What is offered to a client that has not named a recipient: what one of the
    /// destinations takes.
    pub(super) fn offer_to_all(&self) -> Offer {
        let directory = self.common.directory.load();
        let known = self
            .common
            .verifier
            .as_ref()
            .map(|verifier| verifier.offers());
        // Of one domain at least nothing is known.
        if known.unwrap_or(0) < directory.domains().len() {
            return Offer::ALL;
        }
        let offers = directory.domains().map(|domain| self.offer(domain));
        offers.reduce(Offer::or).unwrap_or(Offer::ALL)
    }

    /// The largest message that all of these take.
    pub(super) fn message_size_bytes(&self, recipients: &[Recipient]) -> u64 {
        let domains = recipients.iter().map(|to| to.address.domain());
        let sizes = domains.filter_map(|domain| self.offer(&domain).size_bytes_max);
        sizes.fold(self.limits.message_size_bytes, u64::min)
    }

    fn offer(&self, domain: &str) -> Offer {
        let verifier = self.common.verifier.as_ref();
        verifier.map_or(Offer::ALL, |verifier| verifier.offer(domain))
    }

    /// For the next handshake.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.common.certificates.as_ref().map(Certificates::current)
    }

    /// Whether there is TLS at all.
    pub(super) fn has_tls(&self) -> bool {
        self.common.certificates.is_some()
    }
}
