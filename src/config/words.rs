//! The values that are words, in both directions.

use super::{
    BareNewline, DestinationProtocol, DestinationTls, DestinationXclient, Expunged, ImapTls,
    InDoubtPolicy, ListenTls, ReleaseGate, ReleaseOrder,
};

/// A type whose values are written as one word each.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Every value with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The value that `text` is the word of.
    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
    }

    /// Its word.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }

    /// The words as an error lists them.
    fn allowed() -> String {
        let quoted: Vec<_> = Self::WORDS
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        quoted.join(", ")
    }
}

impl Word for ListenTls {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("starttls", Self::Starttls),
        ("implicit", Self::Implicit),
    ];
}

impl Word for DestinationProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("smtp", Self::Smtp), ("lmtp", Self::Lmtp)];
}

impl Word for Expunged {
    const WORDS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("mirror", Self::Mirror)];
}

impl Word for DestinationTls {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("opportunistic", Self::Opportunistic),
        ("required", Self::Required),
        ("verified", Self::Verified),
    ];
}

impl Word for DestinationXclient {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("off", Self::Off),
        ("require", Self::Require),
    ];
}

impl Word for InDoubtPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("resend", Self::Resend), ("park", Self::Park)];
}

impl Word for ReleaseOrder {
    const WORDS: &'static [(&'static str, Self)] =
        &[("mailbox", Self::Mailbox), ("strict", Self::Strict)];
}

impl Word for ReleaseGate {
    const WORDS: &'static [(&'static str, Self)] =
        &[("domain", Self::Domain), ("mailbox", Self::Mailbox)];
}

impl Word for BareNewline {
    const WORDS: &'static [(&'static str, Self)] =
        &[("normalize", Self::Normalize), ("reject", Self::Reject)];
}

impl Word for ImapTls {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("implicit", Self::Implicit),
        ("starttls", Self::Starttls),
        ("none", Self::None),
    ];
}
