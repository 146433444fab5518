//! Exit codes after sysexits.h, and which failure ends in which.

use super::client::ClientError;
use crate::{
    check::CheckError,
    config::ConfigError,
    control::{ApiError, ErrorKind, FilterError, SocketError},
    cutover::journal::JournalError,
    mover::{accounts::AccountsError, login::LoginError, state::StateError},
    spool::SpoolError,
    trust::TrustError,
};
use std::io;

/// The codes that `relay` ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// What was named does not exist or does not fit; damaged data.
    Data = 65,
    /// No daemon answers, or another holds what is needed.
    Unavailable = 69,
    /// A fault of relay itself.
    Internal = 70,
    /// An output file cannot be made.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Not done, for a reason that may pass.
    TryAgain = 75,
    /// The system's permissions forbid it.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
}

/// The end of a command that failed: what is wrong, where, what to do; and the code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Exit {
    /// The code.
    pub code: Code,
    /// For standard error.
    pub text: String,
}

impl Exit {
    /// An end with this code and text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

/// The code for an error: that of the first cause that has one.
#[must_use]
pub fn code(error: &anyhow::Error) -> Code {
    error.chain().find_map(known).unwrap_or(Code::Internal)
}

/// Whether the reader of our output has gone, which is not worth a word.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn known(cause: &(dyn std::error::Error + 'static)) -> Option<Code> {
    if let Some(exit) = cause.downcast_ref::<Exit>() {
        Some(exit.code)
    } else if let Some(error) = cause.downcast_ref::<ApiError>() {
        Some(of_kind(error.error))
    } else if let Some(error) = cause.downcast_ref::<SpoolError>() {
        Some(of_kind(ErrorKind::of(error)))
    } else if let Some(error) = cause.downcast_ref::<ClientError>() {
        Some(of_client(error))
    } else if let Some(error) = cause.downcast_ref::<SocketError>() {
        Some(of_socket(error))
    } else if let Some(error) = cause.downcast_ref::<StateError>() {
        Some(of_mover(error))
    } else if let Some(error) = cause.downcast_ref::<JournalError>() {
        Some(match error {
            JournalError::InUse { .. } => Code::Unavailable,
            JournalError::Another { .. } => Code::Data,
            JournalError::Io { source, .. } => of_io(source),
        })
    } else if let Some(error) = cause.downcast_ref::<AccountsError>() {
        Some(of_accounts(error))
    } else if let Some(error) = cause.downcast_ref::<LoginError>() {
        Some(match error {
            LoginError::Password(error) => of_accounts(error),
            LoginError::Trust(TrustError::Unreadable { source, .. }) => of_io(source),
            LoginError::Trust(TrustError::Unusable { .. }) => Code::Config,
        })
    } else if cause.is::<CheckError>() || cause.is::<ConfigError>() {
        Some(Code::Config)
    } else if cause.is::<FilterError>() {
        Some(Code::Usage)
    } else {
        cause.downcast_ref::<io::Error>().map(of_io)
    }
}

fn of_kind(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::BadRequest => Code::Usage,
        ErrorKind::UnknownDomain
        | ErrorKind::UnknownMessage
        | ErrorKind::UnknownDelivery
        | ErrorKind::NoWayOut
        | ErrorKind::Conflict
        | ErrorKind::NoBody
        | ErrorKind::Damaged => Code::Data,
        ErrorKind::TryAgain | ErrorKind::Vetoed => Code::TryAgain,
        ErrorKind::NotLoggedIn | ErrorKind::NotAllowed => Code::Permission,
        // The daemon is of another version than this command.
        ErrorKind::NoSuchCall | ErrorKind::InUse => Code::Unavailable,
        ErrorKind::Io => Code::Io,
    }
}

fn of_client(error: &ClientError) -> Code {
    match error {
        ClientError::NoDaemon { .. } | ClientError::Broken { .. } => Code::Unavailable,
        ClientError::Connect { source, .. } => of_io(source),
        ClientError::Strange { .. } => Code::Internal,
    }
}

fn of_socket(error: &SocketError) -> Code {
    match error {
        SocketError::InUse { .. } => Code::Unavailable,
        SocketError::NotASocket { .. } => Code::CannotCreate,
        SocketError::Io { source, .. } => match of_io(source) {
            Code::Permission => Code::Permission,
            _ => Code::CannotCreate,
        },
    }
}

fn of_mover(error: &StateError) -> Code {
    match error {
        StateError::InUse { .. } => Code::Unavailable,
        StateError::Corrupt { .. } => Code::Data,
        StateError::Io { .. } => Code::Io,
    }
}

fn of_accounts(error: &AccountsError) -> Code {
    match error {
        AccountsError::Unreadable { source, .. } => of_io(source),
        AccountsError::Invalid { .. } => Code::Data,
    }
}

fn of_io(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Code::Permission,
        io::ErrorKind::AddrInUse => Code::Unavailable,
        _ => Code::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_first_cause_with_a_code_decides() {
        let of = |error: anyhow::Error| code(&error);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(of(denied.into()), Code::Permission);
        assert_eq!(of(SpoolError::Closed.into()), Code::TryAgain);
        let wrapped = Err::<(), _>(SpoolError::UnknownDomain("x".into())).context("status");
        assert_eq!(of(wrapped.unwrap_err()), Code::Data);
        assert_eq!(of(Exit::new(Code::Usage, "no").into()), Code::Usage);
        assert_eq!(of(anyhow::anyhow!("?")), Code::Internal);
    }
}
