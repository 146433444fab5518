//! Who logs in where: the configuration and the accounts file, as the wire takes them.

use super::accounts::{self, AccountsError, Administered, Login, Secret};
use crate::{
    config::{Admin, ImapServer, ImapTls},
    imap::{self, Endpoint, Tls},
    token::{TokenError, token},
    trust::{Trust, TrustError},
};
use std::fmt;

/// One of the two servers, with all that a login needs beside the account.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub endpoint: Endpoint,
    admin: Option<(String, Secret)>,
    /// `token_command`
    token_command: Option<String>,
}

/// Its debug form shows no secret.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.endpoint.host, self.endpoint.port)
    }
}

/// Why a server's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The administrator's password.
    #[error(transparent)]
    Password(#[from] AccountsError),
    /// The authorities.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Server {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// [`LoginError`].
    pub fn load(config: &ImapServer) -> Result<Self, LoginError> {
        let trust = Trust::load(config.pin.as_deref(), config.ca.as_deref())?;
        let admin = match &config.admin {
            Some(Admin {
                user,
                password_file,
            }) => Some((user.clone(), accounts::password(password_file)?)),
            None => None,
        };
        let tls = match config.tls {
            ImapTls::Implicit => Tls::Implicit,
            ImapTls::Starttls => Tls::StartTls,
            ImapTls::None => Tls::Plain,
        };
        Ok(Self {
            endpoint: Endpoint {
                host: config.host.clone(),
                port: config.port,
                tls,
                trust,
                compress: config.compress,
            },
            admin,
            token_command: config.token_command.clone(),
        })
    }

    /// Whose mailbox at which server: `USER@HOST:PORT`.
    #[must_use]
    pub fn mailbox(&self, account: &Login) -> String {
        let host = self.endpoint.host.to_lowercase();
        format!("{}@{host}:{}", account.user, self.endpoint.port)
    }

    /// Logs in for an account: by its own password where it has one, else by a token or by the
    /// administrator's password.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn login(&self, account: &Login) -> Result<imap::Login, TokenError> {
        if let (None, Some(command)) = (&account.password, &self.token_command) {
            return Ok(imap::Login::XOauth2 {
                user: account.user.clone(),
                token: token(command, &account.user).await?,
            });
        }
        Ok(match (&account.password, &self.admin) {
            (None, Some((admin, password))) => imap::Login::Plain {
                authzid: account.user.clone(),
                user: admin.clone(),
                password: password.expose().to_owned(),
            },
            (password, _) => imap::Login::Password {
                user: account.user.clone(),
                password: password.as_ref().map_or("", Secret::expose).to_owned(),
            },
        })
    }
}

/// Which accounts need a password of their own.
#[must_use]
pub fn administered(source: &ImapServer, target: &ImapServer) -> Administered {
    Administered {
        source: source.admin.is_some() || source.token_command.is_some(),
        target: target.admin.is_some() || target.token_command.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_own_password_goes_before_the_administrators() {
        let directory = tempfile::tempdir().unwrap();
        let password_file = directory.path().join("pw");
        std::fs::write(&password_file, "hush\n").unwrap();
        let config = ImapServer {
            compress: false,
            host: "Old.example".into(),
            port: 993,
            tls: ImapTls::Implicit,
            admin: Some(Admin {
                user: "zimbra".into(),
                password_file,
            }),
            token_command: None,
            ca: None,
            pin: Some("0a".repeat(32)),
        };
        let server = Server::load(&config).unwrap();
        assert_eq!(server.endpoint.trust, Trust::Pin([10; 32]));
        let mut account = Login {
            user: "bob".into(),
            password: None,
        };
        assert_eq!(server.mailbox(&account), "bob@old.example:993");
        let expected = imap::Login::Plain {
            authzid: "bob".into(),
            user: "zimbra".into(),
            password: "hush".into(),
        };
        assert_eq!(server.login(&account).await.unwrap(), expected);
        account.password = Some(Secret::new("own".into()));
        let expected = imap::Login::Password {
            user: "bob".into(),
            password: "own".into(),
        };
        assert_eq!(server.login(&account).await.unwrap(), expected);
        assert!(!format!("{server:?}").contains("hush"));
        account.password = None;
        let server = Server {
            token_command: Some("echo fresh".into()),
            ..server
        };
        let expected = imap::Login::XOauth2 {
            user: "bob".into(),
            token: "fresh".into(),
        };
        assert_eq!(server.login(&account).await.unwrap(), expected);
    }
}
