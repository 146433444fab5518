//! How the copying of mailboxes stands: in the status of each domain, and in full.

use crate::ledger::{AccountState, Moved, MovedAccount, Part};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Accounts in trouble that a status names; the others are counted.
const NAMED_MAX: usize = 20;

/// `GET /v1/mover`: what the mover says of itself, every account with it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MovedView {
    /// Whether a mover is at work now.
    pub at_work: bool,
    /// What it wrote last.
    #[serde(flatten, with = "shared")]
    pub moved: Arc<Moved>,
}

/// A value in an [`Arc`] as the value itself.
mod shared {
    use super::Arc;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(value, to)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<Arc<T>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        T::deserialize(from).map(Arc::new)
    }
}

/// How the copying of one domain's mailboxes stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MoverView {
    /// Whether a mover is at work now.
    pub at_work: bool,
    /// When it last said how it stands.
    pub updated_ms: u64,
    /// Passes begun.
    pub passes: u64,
    /// Messages copied or known to be there, of those at the source.
    pub messages: Part,
    /// The same in bytes.
    pub bytes: Part,
    /// Messages copied a second, in all accounts, over the last seconds.
    pub rate_per_s: f64,
    /// How long the rest of the pass will take at this rate, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
    /// What slows it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<String>,
    /// Since when all accounts have converged, if they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converged_ms: Option<u64>,
    /// Why they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_yet: Option<String>,
    /// How many accounts are where.
    pub accounts: AccountsView,
    /// Accounts that failed or wait, by name: the first ones.
    pub troubled: Vec<TroubledView>,
    /// Messages that the target does not take.
    pub refused: u64,
    /// Messages that are another one at the target.
    pub altered: u64,
}

/// Accounts by their state; `total` is the sum of the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountsView {
    /// All.
    pub total: u64,
    /// Nothing new is left to copy.
    pub converged: u64,
    /// A pass went through.
    pub copied: u64,
    /// Being copied.
    pub copying: u64,
    /// Their turn has not come.
    pub waiting: u64,
    /// Cannot go on for now.
    pub paused: u64,
    /// Failed.
    pub failed: u64,
}

/// An account in trouble.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TroubledView {
    /// Its name at the target.
    pub account: String,
    /// `failed` or `paused`.
    pub state: AccountState,
    /// Why.
    pub reason: String,
}

impl AccountsView {
    /// Counts an account.
    pub fn count(&mut self, state: AccountState) {
        self.total += 1;
        *match state {
            AccountState::Waiting => &mut self.waiting,
            AccountState::Copying => &mut self.copying,
            AccountState::Copied => &mut self.copied,
            AccountState::Converged => &mut self.converged,
            AccountState::Paused => &mut self.paused,
            AccountState::Failed => &mut self.failed,
        } += 1;
    }

    /// Each state with its count, in the order of a mailbox's way.
    #[must_use]
    pub fn by_state(&self) -> [(&'static str, u64); 6] {
        [
            ("converged", self.converged),
            ("copied", self.copied),
            ("copying", self.copying),
            ("waiting", self.waiting),
            ("paused", self.paused),
            ("failed", self.failed),
        ]
    }
}

/// Whose accounts are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose<'a> {
    /// All: there is one domain.
    All,
    /// Those with an address in this domain, or with a name that tells no domain.
    Of(&'a str),
}

impl Whose<'_> {
    fn has(self, account: &MovedAccount) -> bool {
        let Self::Of(domain) = self else { return true };
        // Either side may know it by a bare user name.
        let domains = [&account.target, &account.source].map(|name| name.rsplit_once('@'));
        let mut known = domains.iter().flatten().peekable();
        known.peek().is_none() || known.any(|(_, of)| of.eq_ignore_ascii_case(domain))
    }
}

impl MoverView {
    /// The accounts of a domain, out of what the mover says; nothing when it has none.
    #[must_use]
    pub fn of(view: &MovedView, whose: Whose<'_>) -> Option<Self> {
        let moved = &*view.moved;
        let mut own = Self {
            at_work: view.at_work,
            updated_ms: moved.updated_ms,
            passes: moved.passes,
            rate_per_s: moved.rate_per_s,
            eta_s: moved.eta_s,
            slow: moved.slow.clone(),
            not_yet: moved.not_yet.clone(),
            ..Self::default()
        };
        let mut converged_ms = Some(0);
        for account in moved.accounts.iter().filter(|account| whose.has(account)) {
            own.add(account);
            // The last one decides since when.
            converged_ms = match (account.state, account.converged_ms) {
                (AccountState::Converged, Some(at_ms)) => converged_ms.max(Some(at_ms)),
                (AccountState::Converged, None) => converged_ms,
                _ => None,
            }
            .filter(|_| converged_ms.is_some());
        }
        if own.accounts.total == 0 {
            return None;
        }
        own.converged_ms = converged_ms;
        if converged_ms.is_some() {
            own.not_yet = None;
        }
        Some(own)
    }

    fn add(&mut self, account: &MovedAccount) {
        self.accounts.count(account.state);
        for (sum, part) in [
            (&mut self.messages, account.messages),
            (&mut self.bytes, account.bytes),
        ] {
            sum.done += part.done;
            sum.total += part.total;
        }
        self.refused += account.refused;
        self.altered += account.altered;
        let troubled = matches!(account.state, AccountState::Failed | AccountState::Paused);
        if troubled && self.troubled.len() < NAMED_MAX {
            self.troubled.push(TroubledView {
                account: account.target.clone(),
                state: account.state,
                reason: account.reason.clone().unwrap_or_default(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(target: &str, state: AccountState, converged_ms: Option<u64>) -> MovedAccount {
        MovedAccount {
            target: target.into(),
            state,
            converged_ms,
            messages: Part { done: 2, total: 3 },
            reason: Some("over quota".into()),
            ..MovedAccount::default()
        }
    }

    fn moved(accounts: Vec<MovedAccount>) -> MovedView {
        let moved = Moved {
            accounts,
            not_yet: Some("1 failure in the last pass".into()),
            ..Moved::default()
        };
        MovedView {
            at_work: true,
            moved: Arc::new(moved),
        }
    }

    #[test]
    fn accounts_are_the_sum_of_their_states_and_the_failed_are_named() {
        let all = moved(vec![
            account("a@corp.example", AccountState::Converged, Some(5)),
            account("b@corp.example", AccountState::Failed, None),
            account("c@corp.example", AccountState::Copying, None),
            account("d@shop.example", AccountState::Waiting, None),
        ]);
        let view = MoverView::of(&all, Whose::Of("corp.example")).unwrap();
        let sum: u64 = view
            .accounts
            .by_state()
            .iter()
            .map(|(_, count)| count)
            .sum();
        assert_eq!((view.accounts.total, sum), (3, 3));
        assert_eq!(view.messages, Part { done: 6, total: 9 });
        assert_eq!(view.troubled.len(), 1);
        assert_eq!(view.troubled[0].account, "b@corp.example");
        assert_eq!(view.converged_ms, None);
        assert!(view.not_yet.is_some());
        assert_eq!(MoverView::of(&all, Whose::All).unwrap().accounts.total, 4);
        assert_eq!(MoverView::of(&all, Whose::Of("other.example")), None);
    }

    #[test]
    fn converged_is_when_the_last_account_was() {
        let one = |at_ms| account("a", AccountState::Converged, at_ms);
        let of = |accounts| {
            MoverView::of(&moved(accounts), Whose::Of("any.example"))
                .unwrap()
                .converged_ms
        };
        assert_eq!(of(vec![one(Some(7)), one(Some(5))]), Some(7));
        let ahead = account("b", AccountState::Copied, None);
        assert_eq!(of(vec![ahead.clone(), one(Some(7))]), None);
        assert_eq!(of(vec![one(Some(7)), ahead]), None);
    }
}
