//! The login at a destination that asks for one (RFC 4954): PLAIN (RFC 4616), LOGIN, or
//! XOAUTH2 with an access token. The configuration sees to it that no secret leaves in the
//! clear unless the operator wants just that. Secrets are in no reply, log or event.

use super::{
    connection::Connection,
    reply::{Failure, FailureKind, Phase, Reply},
};
use crate::{
    config::{DestinationLogin, DestinationSecret},
    token::token,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::path::Path;

/// Longer first lines are no password and no token.
const SECRET_BYTES_MAX: usize = 16 * 1024;

impl Connection {
    /// Logs in.
    ///
    /// # Errors
    /// Any [`Failure`]: a destination that does not offer it, a secret that cannot be read
    /// ([`FailureKind::Login`]), a refusal as it was said.
    pub(super) async fn log_in(&mut self, login: &DestinationLogin) -> Result<(), Failure> {
        let user = &login.user;
        let reply = match &login.secret {
            DestinationSecret::Token(_) | DestinationSecret::TokenCommand(_) => {
                let token = self.token(login).await?;
                self.offered("XOAUTH2")?;
                let response = format!("user={user}\x01auth=Bearer {token}\x01\x01");
                let reply = self.auth("AUTH XOAUTH2 ", response.as_bytes()).await?;
                // The reason stands in a challenge, which wants an empty answer.
                match reply.code {
                    334 => self.auth("", b"").await?,
                    _ => reply,
                }
            }
            DestinationSecret::Password(file) => {
                let password = self.secret(file)?;
                if self.offers("PLAIN") || !self.offers("LOGIN") {
                    self.offered("PLAIN")?;
                    let response = format!("\0{user}\0{password}");
                    self.auth("AUTH PLAIN ", response.as_bytes()).await?
                } else {
                    self.auth_login(user, &password).await?
                }
            }
        };
        // RFC 4954 §6: 235 and nothing else is a success.
        if reply.code == 235 {
            return Ok(());
        }
        Err(self.failure(Phase::Auth, FailureKind::Said(reply)))
    }

    /// User name and password, each asked for by a challenge whose text is not looked at.
    async fn auth_login(&mut self, user: &str, password: &str) -> Result<Reply, Failure> {
        let mut reply = self
            .command(Phase::Auth, self.timeouts.hello, "AUTH LOGIN\r\n")
            .await?;
        for answer in [user, password] {
            if reply.code != 334 {
                break;
            }
            reply = self.auth("", answer.as_bytes()).await?;
        }
        Ok(reply)
    }

    async fn auth(&mut self, command: &str, response: &[u8]) -> Result<Reply, Failure> {
        let line = format!("{command}{}\r\n", STANDARD.encode(response));
        self.command(Phase::Auth, self.timeouts.hello, &line).await
    }

    fn offers(&self, mechanism: &str) -> bool {
        self.features
            .auth
            .iter()
            .any(|offered| offered == mechanism)
    }

    fn offered(&self, mechanism: &str) -> Result<(), Failure> {
        if self.offers(mechanism) {
            return Ok(());
        }
        let offered = match self.features.auth.as_slice() {
            [] => "no AUTH at all".to_owned(),
            mechanisms => format!("AUTH {} only", mechanisms.join(" ")),
        };
        let detail = format!("AUTH {mechanism} is needed, and the destination offers {offered}");
        Err(self.failure(Phase::Auth, FailureKind::Login { detail }))
    }

    async fn token(&self, login: &DestinationLogin) -> Result<String, Failure> {
        match &login.secret {
            DestinationSecret::Password(file) | DestinationSecret::Token(file) => self.secret(file),
            DestinationSecret::TokenCommand(command) => {
                token(command, &login.user).await.map_err(|error| {
                    let detail = error.to_string();
                    self.failure(Phase::Auth, FailureKind::Login { detail })
                })
            }
        }
    }

    fn secret(&self, file: &Path) -> Result<String, Failure> {
        let read = || {
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
            match text.lines().next().unwrap_or_default() {
                "" => Err("its first line is empty".to_owned()),
                line if line.len() > SECRET_BYTES_MAX => Err("its first line is too long".into()),
                line => Ok(line.to_owned()),
            }
        };
        read().map_err(|why| {
            let detail = format!("{}: {why}", file.display());
            self.failure(Phase::Auth, FailureKind::Login { detail })
        })
    }
}
