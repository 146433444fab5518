//! How long the other side may take.

use std::time::Duration;

/// Each at least what RFC 5321 §4.5.3.2 asks for. Tests shorten them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// TCP connection, one address.
    pub connect: Duration,
    /// §4.5.3.2.1: the greeting.
    pub greeting: Duration,
    /// EHLO, STARTTLS and the handshake, RSET.
    pub hello: Duration,
    /// §4.5.3.2.2
    pub mail: Duration,
    /// §4.5.3.2.3
    pub rcpt: Duration,
    /// §4.5.3.2.4
    pub data: Duration,
    /// §4.5.3.2.5: one write of the message.
    pub block: Duration,
    /// §4.5.3.2.6: the reply to end-of-data.
    pub end_of_data: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a stop of the whole relay waits for replies to end-of-data. Those that
    /// are missing then are in doubt.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            hello: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end_of_data: minutes(10),
            idle: Duration::from_secs(10),
            shutdown: Duration::from_secs(15),
        }
    }
}
