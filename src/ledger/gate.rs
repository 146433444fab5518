//! Whether the mover says that a domain's mail may go. Pure: the file is read elsewhere.
//!
//! A convergence from before the hold says nothing: until then mail still came to the old
//! server. Neither does a status that is not there, or has no account of the domain.

use super::{AccountState, Moved, MovedAccount};

/// The mailboxes of a domain that may get their mail.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    /// The accounts that have converged since the hold, by their names at the target.
    pub accounts: Vec<String>,
    /// What the others wait for; none: all have converged.
    pub waits: Option<String>,
}

/// Judges a domain that is held since `held_ms`.
#[must_use]
pub fn ready(moved: Option<&Moved>, domain: &str, held_ms: u64) -> Ready {
    let Some(moved) = moved else {
        return waiting("`relay move` has not run");
    };
    let of_domain: Vec<&MovedAccount> = moved
        .accounts
        .iter()
        .filter(|account| is_of(account, domain))
        .collect();
    if of_domain.is_empty() {
        return waiting("the mover has no account of this domain");
    }
    let mut ready = Ready::default();
    let mut open = Vec::new();
    for account in &of_domain {
        match not_yet(account, held_ms) {
            None => ready.accounts.push(account.target.clone()),
            Some(why) => open.push(format!("{}: {why}", account.target)),
        }
    }
    if let Some(first) = open.first() {
        ready.waits = Some(format!(
            "{} of {} mailboxes are copied; {first}",
            ready.accounts.len(),
            of_domain.len()
        ));
    }
    ready
}

/// An account whose name has no domain may belong to any.
fn is_of(account: &MovedAccount, domain: &str) -> bool {
    let own = account.target.rsplit_once('@').map(|(_, own)| own);
    own.is_none_or(|own| own.eq_ignore_ascii_case(domain))
}

fn not_yet(account: &MovedAccount, held_ms: u64) -> Option<String> {
    let reason = || account.reason.clone();
    Some(match (account.state, account.converged_ms) {
        (AccountState::Converged, Some(at)) if at >= held_ms => return None,
        (AccountState::Converged, _) => {
            "copied before mail was held here; `relay move --until-converged` again".to_owned()
        }
        (AccountState::Failed, _) => reason().unwrap_or_else(|| "failed".into()),
        (AccountState::Paused, _) => reason().unwrap_or_else(|| "paused".into()),
        (AccountState::Copying, _) => "being copied".into(),
        (AccountState::Waiting, _) => "its turn has not come".into(),
        (AccountState::Copied, _) => reason().unwrap_or_else(|| "not converged yet".into()),
    })
}

fn waiting(why: &str) -> Ready {
    Ready {
        accounts: Vec::new(),
        waits: Some(why.to_owned()),
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
            ..MovedAccount::default()
        }
    }

    fn moved(accounts: Vec<MovedAccount>) -> Moved {
        Moved {
            accounts,
            ..Moved::default()
        }
    }

    #[test]
    fn all_since_the_hold_and_nothing_less() {
        use AccountState::{Converged, Copying, Failed};
        let all = moved(vec![
            account("bob@corp.example", Converged, Some(100)),
            account("eve", Converged, Some(101)),
            account("x@other.example", Failed, None),
        ]);
        let ready = |moved: &Moved, held_ms| super::ready(Some(moved), "Corp.example", held_ms);
        assert_eq!(ready(&all, 100).accounts, ["bob@corp.example", "eve"]);
        assert_eq!(ready(&all, 100).waits, None);
        let stale = ready(&all, 101);
        assert_eq!(stale.accounts, ["eve"]);
        let why = stale.waits.unwrap();
        assert!(
            why.starts_with("1 of 2 mailboxes are copied; bob@corp.example: copied before"),
            "{why}"
        );
        let under_way = moved(vec![account("bob", Copying, Some(100))]);
        assert!(
            ready(&under_way, 1)
                .waits
                .unwrap()
                .ends_with("bob: being copied")
        );
        let mut failed = account("bob", Failed, None);
        failed.reason = Some("over quota".into());
        assert!(
            ready(&moved(vec![failed]), 1)
                .waits
                .unwrap()
                .ends_with("bob: over quota")
        );
    }

    #[test]
    fn nothing_known_is_nothing_ready() {
        assert!(ready(None, "corp.example", 0).waits.is_some());
        let other = moved(vec![account(
            "x@other.example",
            AccountState::Converged,
            Some(5),
        )]);
        let ready = ready(Some(&other), "corp.example", 0);
        assert!(ready.accounts.is_empty() && ready.waits.is_some());
    }
}
