//! Since when mail is held, as the daemon tells.

use crate::{cli::Context, control::view::StatusView};
use std::collections::BTreeMap;

/// What the daemon said last.
#[derive(Debug, Default)]
pub struct Hold {
    /// When each domain's phase began, in milliseconds since 1970.
    since_ms: BTreeMap<String, u64>,
}

impl Hold {
    /// Asks again. A daemon that does not answer now has not begun to hold: what it said
    /// before stays.
    pub async fn ask(&mut self, context: &Context) {
        let Ok(client) = context.daemon().await else {
            return;
        };
        let Ok(status) = client.get::<StatusView>("/v1/status").await else {
            return;
        };
        let domains = status.domains.into_iter();
        self.since_ms = domains
            .map(|domain| (domain.name.to_lowercase(), domain.phase_since_ms))
            .collect();
    }

    /// Since when an account's mail does not reach the old server: that of its domain, where
    /// its name tells, else that of the last of all. A release began after its hold, so that
    /// its beginning is late enough too. Without a daemon nobody holds mail.
    pub fn began_ms(&self, target_user: &str) -> Option<u64> {
        let domain = target_user.rsplit_once('@').map(|(_, domain)| domain);
        let own = domain.and_then(|domain| self.since_ms.get(&domain.to_lowercase()));
        own.or_else(|| self.since_ms.values().max()).copied()
    }

    /// The same for all accounts together.
    pub fn all_began_ms(&self) -> Option<u64> {
        self.since_ms.values().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_waits_for_its_own_domain() {
        let mut hold = Hold::default();
        assert_eq!(hold.began_ms("bob@corp.example"), None);
        hold.since_ms.insert("corp.example".into(), 5);
        hold.since_ms.insert("other.example".into(), 9);
        assert_eq!(hold.began_ms("bob@Corp.example"), Some(5));
        assert_eq!(hold.began_ms("bob"), Some(9));
        assert_eq!(hold.all_began_ms(), Some(9));
    }
}
