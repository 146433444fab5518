//! OAuth 2 access tokens, from a command of the administrator's: they live for an hour or so, so
//! that each login asks for one.

use std::{process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// A command that asks a person, or a server that does not answer, is not waited for.
const SECONDS_MAX: u64 = 60;
/// Of what it says when it fails.
const SAID_BYTES_MAX: usize = 500;
/// The variable in which it finds whose token is wanted.
pub const USER: &str = "RELAY_USER";

/// Why there is no token. It never holds one.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It could not be run.
    #[error("token_command cannot be run: {0}")]
    NotRun(#[from] std::io::Error),
    /// It failed.
    #[error("token_command ended with {code}: {said}")]
    Failed {
        /// Its exit code or signal.
        code: String,
        /// What it said on standard error.
        said: String,
    },
    /// It said nothing.
    #[error("token_command gave no token")]
    Empty,
    /// It did not end.
    #[error("token_command takes longer than {SECONDS_MAX} s")]
    Slow,
}

/// The first line that the command writes for this user. It is a secret.
///
/// # Errors
/// [`TokenError`].
pub async fn token(command: &str, user: &str) -> Result<String, TokenError> {
    let run = Command::new("/bin/sh")
        .args(["-c", command])
        // In no argument: everybody can list these.
        .env(USER, user)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(SECONDS_MAX), run);
    let output = output.await.map_err(|_| TokenError::Slow)??;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(TokenError::Failed {
            code: output.status.to_string(),
            said: said.trim().chars().take(SAID_BYTES_MAX).collect(),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().map(str::trim) {
        None | Some("") => Err(TokenError::Empty),
        Some(token) => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_line_is_the_token_and_a_failure_is_told() {
        let given = token("echo \"for $RELAY_USER\"; echo more", "bob").await;
        assert_eq!(given.unwrap(), "for bob");
        let failed = token("echo secret; echo expired >&2; exit 3", "bob").await;
        let text = failed.unwrap_err().to_string();
        assert!(
            text.contains("3: expired") && !text.contains("secret"),
            "{text}"
        );
        assert!(matches!(token("true", "bob").await, Err(TokenError::Empty)));
    }
}
