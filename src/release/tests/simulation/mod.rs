//! A whole release on simulated time: the true runner, order engine, retries, breaker,
//! sessions and phases, on a [disk](spool) and against a [server](server) that exist in
//! memory alone. Hours of storm and meddling take milliseconds.
//!
//! A case is its seed: `RELAY_SEED=N cargo test --lib simulation` plays one again,
//! `RELAY_SEEDS=N` plays so many.

mod case;
mod judge;
mod server;
mod spool;

use case::Case;
use judge::Summary;
use std::panic::{catch_unwind, resume_unwind};

/// Played where nothing else is asked for.
const SEEDS: u64 = 300;

/// Plays a case to its end. Answers what was said to the server, too.
fn play(seed: u64) -> (Summary, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut case = Case::new(seed);
        case.start();
        case.storm().await;
        case.calm().await;
        case.end(true).await;
        (case.judge(), case.server.commands())
    })
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

#[test]
fn every_storm_ends_with_each_message_there_in_order_and_accounted_for() {
    let seeds = match number("RELAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RELAY_SEEDS").unwrap_or(SEEDS),
    };
    let storms = seeds.end - seeds.start;
    let mut all = Summary::default();
    for seed in seeds {
        match catch_unwind(|| play(seed)) {
            Ok((summary, _)) => all.add(&summary),
            Err(panic) => {
                eprintln!("play it again: RELAY_SEED={seed} cargo test --lib simulation");
                resume_unwind(panic);
            }
        }
    }
    println!("{storms} storms: {all:?}");
    let seen = [
        all.deferred,
        all.parked,
        all.rewound,
        all.found,
        all.resent,
        all.twice,
    ];
    assert!(storms < SEEDS || !seen.contains(&0), "calm storms: {all:?}");
}

#[test]
fn a_seed_plays_the_same_again() {
    for seed in 0..10 {
        let (once, again) = (play(seed).1, play(seed).1);
        assert!(once == again, "seed {seed}");
    }
}
