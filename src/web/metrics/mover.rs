//! The figures of the mover.

use super::{Accounts, Level};
use crate::{
    control::view::{AccountsView, MovedView},
    ledger::{Moved, MovedAccount},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Accounts with figures of their own; more series than this would burden whoever keeps
/// them. The sums have all.
pub const ACCOUNTS_MAX: usize = 1_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfAccount {
    account: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

/// Adds them; without a mover there are none.
pub fn register(registry: &mut Registry, view: Option<&MovedView>, names: Accounts, now_ms: u64) {
    let Some(view) = view else { return };
    let moved = &*view.moved;
    match names {
        Accounts::Named => messages(registry, moved),
        Accounts::Summed => summed(registry, moved),
    }
    let bytes: Counter = Counter::default();
    bytes.inc_by(moved.bytes.done);
    let help = "Bytes of the messages that are copied, in all accounts";
    registry.register("move_bytes", help, bytes);
    accounts(registry, moved);
    let level = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let level = Level::default();
        level.set(value);
        registry.register(name, help, level);
    };
    let at_work = "1 while a mover is at work";
    level(registry, "move_at_work", at_work, u64::from(view.at_work));
    let converged = "1 when nothing new is left to copy in any account";
    let is = u64::from(moved.converged_ms.is_some());
    level(registry, "move_converged", converged, is);
    let passes = "Passes begun";
    let counter: Counter = Counter::default();
    counter.inc_by(moved.passes);
    registry.register("move_passes", passes, counter);
    let rate = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    rate.set(moved.rate_per_s);
    let help = "Messages copied a second, over the last seconds";
    registry.register("move_rate", help, rate);
    let age = Level::default();
    age.set(now_ms.saturating_sub(moved.updated_ms) / 1000);
    let help = "How long ago the mover last said how it stands";
    registry.register_with_unit("move_age", help, Unit::Seconds, age);
}

/// Copied and pending make up what the source has.
fn messages(registry: &mut Registry, moved: &Moved) {
    let messages = Family::<OfAccount, Counter>::default();
    for account in moved.accounts.iter().take(ACCOUNTS_MAX) {
        for (state, count) in states(account) {
            let labels = OfAccount {
                account: account.target.clone(),
                state,
            };
            messages.get_or_create(&labels).inc_by(count);
        }
    }
    let help = "Messages of the source in each account";
    registry.register("move_messages", help, messages);
}

/// The same of all accounts together.
fn summed(registry: &mut Registry, moved: &Moved) {
    let messages = Family::<OfState, Counter>::default();
    for account in &moved.accounts {
        for (state, count) in states(account) {
            messages.get_or_create(&OfState { state }).inc_by(count);
        }
    }
    let help = "Messages of the source in all accounts";
    registry.register("move_messages", help, messages);
}

fn states(account: &MovedAccount) -> [(&'static str, u64); 4] {
    let messages = account.messages;
    [
        ("copied", messages.done),
        ("pending", messages.total.saturating_sub(messages.done)),
        ("refused", account.refused),
        ("altered", account.altered),
    ]
}

fn accounts(registry: &mut Registry, moved: &Moved) {
    let mut sums = AccountsView::default();
    for account in &moved.accounts {
        sums.count(account.state);
    }
    let accounts = Family::<OfState, Level>::default();
    for (state, count) in sums.by_state() {
        accounts.get_or_create(&OfState { state }).set(count);
    }
    registry.register("move_accounts", "Accounts in each state", accounts);
}
