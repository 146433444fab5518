//! Who somebody is: tokens, sessions, and what each may do.

use crate::config::Web;
use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A session's life.
const SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// More at once than a team has browsers; the oldest goes first.
const SESSIONS_MAX: usize = 256;
/// Fewer characters could be guessed.
const TOKEN_CHARS_MIN: usize = 16;
/// No token is longer; a wrong file named by mistake is not read whole.
const TOKEN_FILE_BYTES_MAX: u64 = 4096;

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read {file:?} (web.{key}): {source}")]
    Unreadable {
        /// Which key named it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could be guessed.
    #[error(
        "the first line of {file:?} (web.{key}) has {chars} characters; a token has \
         {TOKEN_CHARS_MIN} or more (`openssl rand -hex 24` makes one)"
    )]
    TooShort {
        /// Which key named it.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Its length.
        chars: usize,
    },
}

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and act.
    Operator,
}

impl Role {
    /// Its name on the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// A logged-in browser.
#[derive(Clone, Debug)]
pub struct Session {
    /// What it may do.
    pub role: Role,
    /// What it has to show with everything that changes something.
    pub csrf: String,
    until: Instant,
}

/// The tokens and the sessions that they opened. Only digests are kept, so that comparing
/// them takes the same time whatever is right about a guess.
pub struct Access {
    tokens: Vec<(blake3::Hash, Role)>,
    sessions: Mutex<HashMap<blake3::Hash, Session>>,
}

impl Access {
    /// Reads the tokens.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn new(config: &Web) -> Result<Self, TokenError> {
        let mut tokens = Vec::new();
        let files = [
            ("token_file", &config.token_file, Role::Operator),
            ("read_token_file", &config.read_token_file, Role::Viewer),
        ];
        for (key, file, role) in files {
            if let Some(file) = file {
                tokens.push((token(key, file)?, role));
            }
        }
        Ok(Self {
            tokens,
            sessions: Mutex::default(),
        })
    }

    /// Whose token it is. Where both files hold the same, it is the operator's.
    pub fn role(&self, token: &str) -> Option<Role> {
        let given = blake3::hash(token.trim().as_bytes());
        let known = self.tokens.iter().find(|(known, _)| *known == given);
        known.map(|(_, role)| *role)
    }

    /// Opens a session; returns what its cookie holds.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn open(&self, role: Role, now: Instant) -> Result<String, getrandom::Error> {
        let id = secret()?;
        let session = Session {
            role,
            csrf: secret()?,
            until: now + SESSION_LIFE,
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.until > now);
        if sessions.len() >= SESSIONS_MAX {
            let first = sessions.iter().min_by_key(|(_, session)| session.until);
            if let Some(key) = first.map(|(key, _)| *key) {
                sessions.remove(&key);
            }
        }
        sessions.insert(blake3::hash(id.as_bytes()), session);
        Ok(id)
    }

    /// The session that a cookie names.
    pub fn session(&self, id: &str, now: Instant) -> Option<Session> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&blake3::hash(id.as_bytes()))?;
        (session.until > now).then(|| session.clone())
    }

    /// Ends a session.
    pub fn close(&self, id: &str) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&blake3::hash(id.as_bytes()));
    }
}

fn token(key: &'static str, file: &Path) -> Result<blake3::Hash, TokenError> {
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(TOKEN_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|source| TokenError::Unreadable {
            key,
            file: file.to_owned(),
            source,
        })?;
    let token = text.lines().next().unwrap_or_default().trim();
    let chars = token.chars().count();
    if chars < TOKEN_CHARS_MIN {
        return Err(TokenError::TooShort {
            key,
            file: file.to_owned(),
            chars,
        });
    }
    Ok(blake3::hash(token.as_bytes()))
}

/// 256 bits in hexadecimal digits.
fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(blake3::Hash::from_bytes(bytes).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const TOKEN: &str = "0123456789abcdef";

    fn access(operator: &str, viewer: Option<&str>) -> Result<Access, TokenError> {
        let write = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        let operator = write(operator);
        let viewer = viewer.map(write);
        Access::new(&Web {
            address: "127.0.0.1:0".parse().unwrap(),
            token_file: Some(operator.path().to_owned()),
            read_token_file: viewer.as_ref().map(|file| file.path().to_owned()),
        })
    }

    #[test]
    fn each_token_has_its_role_and_nothing_else_has_one() {
        let access = access(&format!("{TOKEN}\n"), Some("another token of 28 bytes\n")).unwrap();
        assert_eq!(access.role(TOKEN), Some(Role::Operator));
        assert_eq!(access.role("another token of 28 bytes"), Some(Role::Viewer));
        for wrong in ["", "0123456789abcde", "0123456789abcdeff"] {
            assert_eq!(access.role(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_short_or_absent_token_is_refused() {
        assert!(matches!(
            access("short\n", None),
            Err(TokenError::TooShort { chars: 5, .. })
        ));
        let absent = Web {
            address: "127.0.0.1:0".parse().unwrap(),
            token_file: Some("/absent/token".into()),
            read_token_file: None,
        };
        assert!(matches!(
            Access::new(&absent),
            Err(TokenError::Unreadable {
                key: "token_file",
                ..
            })
        ));
    }

    #[test]
    fn a_session_ends_by_time_by_logout_and_by_too_many() {
        let access = access(TOKEN, None).unwrap();
        let now = Instant::now();
        let id = access.open(Role::Operator, now).unwrap();
        assert!(access.session(&id, now).is_some());
        assert!(access.session(&id, now + SESSION_LIFE).is_none());
        access.close(&id);
        assert!(access.session(&id, now).is_none());
        let first = access.open(Role::Operator, now).unwrap();
        for later in 1..=SESSIONS_MAX as u64 {
            let at = now + Duration::from_secs(later);
            access.open(Role::Viewer, at).unwrap();
        }
        assert!(access.session(&first, now).is_none());
    }
}
