//! Where a server is, who logs in, and what is put up with.

use crate::trust::Trust;
use std::{fmt, time::Duration};

/// An IMAP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address; with TLS also the name that the certificate must have.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Whether COMPRESS=DEFLATE (RFC 4978) is used where offered. Worth it on slow lines.
    pub compress: bool,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// At once (port 993).
    Implicit,
    /// After STARTTLS, without which there is no login (port 143).
    StartTls,
    /// Never: the password is readable on the way. For loopback and those who ask for it.
    Plain,
}

/// How to log in. Its debug form shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// SASL PLAIN where it is offered, else LOGIN.
    Password {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// SASL PLAIN of one user for another: an administrator, a master user (RFC 4616).
    Plain {
        /// Whose mailbox it is.
        authzid: String,
        /// Who logs in.
        user: String,
        /// The password of who logs in.
        password: String,
    },
    /// An OAuth 2 access token, as Gmail and Exchange take it.
    XOauth2 {
        /// User name.
        user: String,
        /// Bearer token.
        token: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::Plain { authzid, user, .. } => {
                write!(f, "Plain {{ authzid: {authzid:?}, user: {user:?}, .. }}")
            }
            Self::XOauth2 { user, .. } => write!(f, "XOauth2 {{ user: {user:?}, .. }}"),
        }
    }
}

/// What is put up with. [`Limits::default`] fits ordinary servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For TCP, TLS and the login, each.
    pub connect: Duration,
    /// Without a single byte from a server that owes one, or taken by one that should.
    pub idle: Duration,
    /// The longest response, in bytes, without the bodies that are streamed.
    pub response_bytes: usize,
    /// The longest command line, in bytes. Zimbra takes 10 KiB.
    pub command_bytes: usize,
    /// UIDs in a window of a scan.
    pub window_uids: u32,
    /// APPEND commands in flight.
    pub pipeline_commands: usize,
    /// Bytes of APPEND commands in flight; one message may exceed it alone.
    pub pipeline_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            // RFC 9051 §5.4 lets a server hang up after 30 minutes; a search in a cold
            // mailbox may well take some.
            idle: Duration::from_secs(300),
            response_bytes: 1 << 20,
            command_bytes: 8000,
            window_uids: 10_000,
            pipeline_commands: 64,
            pipeline_bytes: 4 << 20,
        }
    }
}
