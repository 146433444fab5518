//! All accounts, several at once, and then what went to recipients without one.

use super::{
    account::{Report, Verifier},
    spooled::{Due, Elsewhere, Spooled},
};
use crate::{
    ledger::{
        Verified,
        verified::{Exception, Kind, VerifiedMailbox},
    },
    mover::run::Task,
};
use std::sync::{Arc, PoisonError};
use tokio::{sync::Semaphore, task::JoinSet};

/// Verifies all accounts, so many at once. `told` is told of each as it is done.
pub async fn run(
    verifier: &Arc<Verifier>,
    tasks: &[Task],
    mut spooled: Spooled,
    parallel: usize,
    verified: &mut Verified,
    mut told: impl FnMut(&VerifiedMailbox, &[Exception]),
) {
    *lock(verifier) = spooled.take_elsewhere();
    let slots = Arc::new(Semaphore::new(parallel.max(1)));
    let mut set = JoinSet::new();
    for (place, task) in tasks.iter().cloned().enumerate() {
        let (verifier, slots) = (Arc::clone(verifier), Arc::clone(&slots));
        let due: Vec<Due> = spooled.take(place);
        set.spawn(async move {
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            (
                place,
                verifier.account(&task.account, &due, &task.meter).await,
            )
        });
    }
    let mut reports: Vec<Option<Report>> = tasks.iter().map(|_| None).collect();
    while let Some(ended) = set.join_next().await {
        if let Ok((place, report)) = ended
            && let Some(slot) = reports.get_mut(place)
        {
            told(&report.mailbox, &report.exceptions);
            *slot = Some(report);
        }
    }
    for (report, task) in reports.into_iter().zip(tasks) {
        let report = report.unwrap_or_else(|| fault(&task.account.target.user));
        verified.exceptions_more += report.unnamed;
        verified.bytes += report.bytes;
        verified.add(report.mailbox, report.exceptions);
    }
    let elsewhere = std::mem::take(&mut *lock(verifier));
    for (mailbox, exceptions) in without_account(elsewhere) {
        told(&mailbox, &exceptions);
        verified.add(mailbox, exceptions);
    }
}

fn lock(verifier: &Verifier) -> std::sync::MutexGuard<'_, Elsewhere> {
    let elsewhere = verifier.elsewhere.lock();
    elsewhere.unwrap_or_else(PoisonError::into_inner)
}

/// A panic ended it.
fn fault(mailbox: &str) -> Report {
    let mut report = Report::default();
    mailbox.clone_into(&mut report.mailbox.mailbox);
    let why = "an internal fault ended it";
    report.add(Exception::new(mailbox, Kind::Unreadable, why));
    report
}

/// Recipients that the accounts file does not know. What an alias or a list put into a mailbox
/// was met there; the rest cannot be looked for.
fn without_account(elsewhere: Elsewhere) -> Vec<(VerifiedMailbox, Vec<Exception>)> {
    let each = elsewhere.rest().filter(|(_, _, missed)| !missed.is_empty());
    each.map(|(address, _, missed)| {
        let mut mailbox = VerifiedMailbox {
            mailbox: address.clone(),
            ..VerifiedMailbox::default()
        };
        let why = "the accounts file has no account for this recipient, and the message was met \
                   in no other mailbox";
        let exceptions = missed.iter().map(|id| {
            mailbox.counts.released += 1;
            mailbox.counts.count(Kind::Unreadable);
            let mut one = Exception::new(&address, Kind::Unreadable, why);
            one.queue_id = Some(id.to_string());
            one
        });
        let exceptions = exceptions.collect();
        (mailbox, exceptions)
    })
    .collect()
}
