//! A release that waits: for a person to look at its first messages, or for gates.

use super::*;
use crate::{
    mail::{Address, Lane},
    release::{
        Gates,
        peer::{Act, Moment},
    },
    spool::{Gate, State},
};
use std::{collections::HashSet, sync::Mutex};

fn release_with(canary: Option<u32>, gate: Gate) -> DomainCommand {
    DomainCommand::Release {
        to: None,
        then: Phase::Forward,
        canary,
        gate,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_first_and_alone() {
    let peer = Peer::start(|_, moment| match moment {
        Moment::Command(line) if line.contains("full@") => Act::Say("452 4.2.2 full"),
        _ => Act::Usual,
    })
    .await;
    let world = World::new(&peer);
    let mut ids = Vec::new();
    for to in ["full", "a", "full", "b", "c", "d"] {
        let to = format!("{to}@corp.example");
        ids.push(world.accept(&[&to], b"x\r\n").await);
    }
    world.command(release_with(Some(4), Gate::Open)).await;
    world
        .until("paused", |world| world.status().paused.is_some())
        .await;
    // New mail and what was asked for later do not go either.
    ids.push(world.accept(&["e@corp.example"], b"x\r\n").await);
    let status = world.status();
    assert!(status.canary.unwrap().sent);
    assert_eq!(status.ledger.delivered.count, 2);
    assert_eq!(peer.taken().len(), 2);
    let mut states = Vec::new();
    for id in &ids {
        states.push(world.spool.deliveries(*id).await.unwrap()[0].state);
    }
    use State::{Deferred, Delivered, Queued};
    // The first of the full mailbox was tried, and the second waits behind it.
    let expected = [
        Deferred, Delivered, Queued, Delivered, Queued, Queued, Queued,
    ];
    assert_eq!(states, expected);
    world.command(DomainCommand::Resume).await;
    world
        .until("the rest", |world| world.ledger().delivered.count == 5)
        .await;
    assert_eq!(peer.taken().len(), 5);
}

#[derive(Default)]
struct Doors(Mutex<HashSet<Lane>>);

impl Doors {
    fn open(&self, address: &str) {
        let lane = Address::parse(address).unwrap().lane();
        self.0.lock().unwrap().insert(lane);
    }
}

impl Gates for Doors {
    fn is_open(&self, domain: &str, lane: Lane) -> bool {
        assert_eq!(domain, DOMAIN);
        self.0.lock().unwrap().contains(&lane)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mailbox_waits_for_its_own_gate() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let doors = Arc::new(Doors::default());
    let gates = doors.clone();
    let world = World::of(peer.address, |_| {}, timeouts(), |r| r.with_gates(gates));
    for to in [
        &["a@corp.example", "b@corp.example"][..],
        &["b@corp.example"],
    ] {
        world.accept(to, b"x\r\n").await;
    }
    doors.open("a@corp.example");
    world.command(release_with(None, Gate::Mailbox)).await;
    let gated = |world: &World, count| {
        let status = world.releaser.status(DOMAIN);
        status.is_some_and(|status| status.mailboxes_gated == count)
    };
    world
        .until("a has its mail", |world| {
            world.ledger().delivered.count == 1 && gated(world, 1)
        })
        .await;
    doors.open("b@corp.example");
    world.releaser.gates_moved();
    world
        .until("b too", |world| world.ledger().delivered.count == 3)
        .await;
    // It waits for who arrives late, until the gate is opened for all.
    assert_eq!(world.status().phase, Phase::Release);
    world.command(DomainCommand::Open).await;
    world.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_gate_of_a_domain_nothing_goes() {
    let peer = Peer::start(|_, _| Act::Usual).await;
    let world = World::new(&peer);
    world.accept(&["a@corp.example"], b"x\r\n").await;
    world.command(release_with(None, Gate::Domain)).await;
    assert!(world.releaser.status(DOMAIN).is_none());
    world.command(DomainCommand::Open).await;
    world.drained().await;
    assert_eq!(peer.taken().len(), 1);
}
