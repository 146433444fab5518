//! Who logs in for a recipient.

use crate::{
    config::Mover,
    imap::{self, Endpoint},
    mail::Address,
    mover::{
        accounts::{self, Login},
        login::{Server, administered},
    },
    token::TokenError,
};
use std::collections::HashMap;

/// The accounts at the new server.
pub(super) struct Accounts {
    server: Server,
    /// By their names there, in lower case.
    named: HashMap<String, Login>,
    /// An administrator logs in for anybody.
    administered: bool,
}

impl Accounts {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn load(config: &Mover) -> Result<Self, String> {
        let server = Server::load(&config.target).map_err(|error| error.to_string())?;
        let admin = administered(&config.source, &config.target);
        let administered = admin.target;
        let accounts = match accounts::load(&config.accounts, admin) {
            Ok(accounts) => accounts,
            // An administrator needs no list.
            Err(accounts::AccountsError::Unreadable { .. }) if administered => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        Ok(Self {
            server,
            named: by_name(accounts.into_iter().map(|account| account.target)),
            administered,
        })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.server.endpoint
    }

    /// `imap.new.example:993`
    pub fn server(&self) -> String {
        format!("{:?}", self.server)
    }

    /// Whose mailbox a recipient's is.
    pub fn account(&self, recipient: &Address) -> Option<Login> {
        match find(&self.named, recipient) {
            Some(login) => Some(login.clone()),
            None if self.administered => Some(Login {
                user: base(recipient),
                password: None,
            }),
            None => None,
        }
    }

    /// How to log in for it.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn login(&self, account: &Login) -> Result<imap::Login, TokenError> {
        self.server.login(account).await
    }
}

fn by_name(logins: impl Iterator<Item = Login>) -> HashMap<String, Login> {
    logins
        .map(|login| (login.user.to_lowercase(), login))
        .collect()
}

/// By the whole address, else by that of the mailbox without a subaddress, else by the part
/// before the `@` where the server's names have none.
fn find<'a>(named: &'a HashMap<String, Login>, recipient: &Address) -> Option<&'a Login> {
    let whole = recipient.as_str().to_lowercase();
    let base = base(recipient);
    let user = |address: &str| address.rsplit_once('@').map(|(user, _)| user.to_owned());
    let names = [user(&whole), user(&base)];
    (named.get(&whole).or_else(|| named.get(&base))).or_else(|| {
        names
            .into_iter()
            .flatten()
            .find_map(|name| named.get(&name))
    })
}

/// `bob@corp.example` of `Bob+lists@corp.example` (RFC 5233).
fn base(recipient: &Address) -> String {
    let whole = recipient.as_str().to_lowercase();
    let Some((local, domain)) = whole.rsplit_once('@') else {
        return whole;
    };
    match local.split_once('+') {
        Some((user, _)) if !user.is_empty() && !local.starts_with('"') => {
            format!("{user}@{domain}")
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_finds_its_mailbox() {
        let named = by_name(
            ["bob@corp.example", "Bob+x@corp.example", "eve"]
                .into_iter()
                .map(|user| Login {
                    user: user.into(),
                    password: None,
                }),
        );
        let user = |text| {
            let found = find(&named, &Address::parse(text).unwrap());
            found.map(|login| login.user.as_str())
        };
        assert_eq!(user("BOB@corp.example"), Some("bob@corp.example"));
        assert_eq!(user("bob+x@corp.example"), Some("Bob+x@corp.example"));
        assert_eq!(user("bob+y@corp.example"), Some("bob@corp.example"));
        assert_eq!(user("bob@other.example"), None);
        assert_eq!(user("eve+tag@other.example"), Some("eve"));
        assert_eq!(user("+eve@other.example"), None);
    }
}
