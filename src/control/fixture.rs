//! Values for the tests of `control` and `cli`.

use crate::{
    config::LoadSet,
    mail::{
        Address, BodyKind, Client, DeliveryId, Digest, Envelope, Protocol, QueueId, Recipient,
        ReversePath,
    },
    spool::{Delivery, DomainStatus, Gate, Ledger, Phase, Standing, State, StoredMessage, Tally},
};

/// A domain that never had mail.
pub fn domain(name: &str, phase: Phase) -> DomainStatus {
    DomainStatus {
        name: name.into(),
        phase,
        phase_since_ms: 0,
        paused: None,
        then: Phase::Forward,
        to: None,
        canary: None,
        gate: Gate::Open,
        load: LoadSet::default(),
        last_arrival_ms: 0,
        ledger: Ledger::default(),
    }
}

/// So many deliveries of 100 bytes each.
pub fn tally(count: u64) -> Tally {
    Tally {
        count,
        bytes: count * 100,
    }
}

/// What alice@example.org writes to each of `to`.
pub fn envelope(to: &[&str]) -> Envelope {
    Envelope {
        reverse_path: ReversePath::Address(Address::parse("alice@example.org").unwrap()),
        recipients: to
            .iter()
            .map(|to| Recipient::plain(Address::parse(to).unwrap()))
            .collect(),
        body: BodyKind::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        client: Client {
            ip: "203.0.113.9".parse().unwrap(),
            port: 4,
            name: Some("mx.example.org".into()),
            helo: "mx.example.org".into(),
            protocol: Protocol::Esmtp,
            tls: None,
        },
        received_ms: 1_795_428_001_500,
    }
}

/// A message of 4096 bytes, each of its deliveries in `state`.
pub fn message(number: u64, to: &[&str], state: State) -> (StoredMessage, Vec<Delivery>) {
    let id = QueueId::new(number).unwrap();
    let message = StoredMessage {
        id,
        envelope: envelope(to),
        size: 4096,
        digest: Digest::of(b"x"),
        has_body: true,
    };
    let deliveries = (0..).zip(to).map(|(recipient, _)| Delivery {
        id: DeliveryId {
            message: id,
            recipient,
        },
        standing: standing(state),
        state,
        attempts: 0,
        changed_ms: 1,
        attempting: false,
        last: None,
    });
    (message, deliveries.collect())
}

fn standing(state: State) -> Standing {
    match state {
        State::Held | State::Queued => Standing::Waiting,
        State::Deferred => Standing::Deferred { due_ms: 9 },
        State::InDoubt => Standing::InDoubt { due_ms: 9 },
        State::Delivered => Standing::Delivered,
        State::Parked => Standing::Parked,
        State::Bounced => Standing::Bounced,
        State::Dropped => Standing::Dropped,
    }
}
