//! APPEND.

/// How several messages are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendWay {
    /// One command for all of a batch, which the server takes whole or not at all
    /// (MULTIAPPEND, RFC 3502).
    Multi,
    /// A command each, without waiting between them (LITERAL+, RFC 7888).
    Pipelined,
    /// A command each, one after the other.
    OneByOne,
}
