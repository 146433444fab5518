//! What a person calls a message: its Message-ID and its subject.

use super::{
    facts::Facts,
    reader::{Reader, Take},
};
use crate::imap::{Name, UidSet};
use mail_parser::MessageParser;
use std::collections::HashMap;

/// Messages of a mailbox that are read again for their names.
pub const READ_MAX: usize = 1_000;
const SUBJECT_CHARS_MAX: usize = 100;

/// What a message is called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Label {
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Its subject, decoded and cut.
    pub subject: Option<String>,
    /// Its length in bytes.
    pub size: Option<u64>,
}

impl Label {
    /// Of a message.
    #[must_use]
    pub fn of(facts: &Facts, size: u64) -> Self {
        let parsed = MessageParser::default().parse_headers(&facts.head[..]);
        let subject = parsed.as_ref().and_then(|message| message.subject());
        let cut = |text: &str| {
            text.trim()
                .chars()
                .take(SUBJECT_CHARS_MAX)
                .collect::<String>()
        };
        Self {
            message_id: facts.message_id(),
            subject: subject.map(cut).filter(|text| !text.is_empty()),
            size: Some(size),
        }
    }
}

/// What messages are called, by folder and UID. A folder is a place in somebody's list.
#[derive(Debug, Default)]
pub struct Names {
    labels: HashMap<(usize, u32), Label>,
}

impl Names {
    /// What this one is called; empty where it could not be read.
    #[must_use]
    pub fn get(&self, folder: usize, uid: u32) -> Label {
        self.labels.get(&(folder, uid)).cloned().unwrap_or_default()
    }

    /// Reads these messages for their names, a folder after the other; the first
    /// [`READ_MAX`] of them. What cannot be read stays without a name.
    pub async fn read(
        &mut self,
        reader: &mut Reader<'_>,
        wanted: impl IntoIterator<Item = (usize, u32)>,
        name_of: impl Fn(usize) -> Option<Name>,
    ) {
        let mut by_folder: HashMap<usize, UidSet> = HashMap::new();
        for (folder, uid) in wanted.into_iter().take(READ_MAX) {
            by_folder.entry(folder).or_default().insert(uid);
        }
        for (folder, uids) in by_folder {
            if let Some(name) = name_of(folder) {
                let mut take = Labels {
                    folder,
                    labels: &mut self.labels,
                };
                // Without a name it is still known by its folder and UID.
                let _ = reader.read(&name, &uids, &mut take).await;
            }
        }
    }
}

struct Labels<'a> {
    folder: usize,
    labels: &'a mut HashMap<(usize, u32), Label>,
}

impl Take for Labels<'_> {
    async fn take(&mut self, uid: u32, bytes: u64, facts: Facts) {
        let label = Label::of(&facts, bytes);
        self.labels.insert((self.folder, uid), label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::facts::facts;

    #[test]
    fn a_message_is_called_by_message_id_and_subject() {
        let message = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <a@b>\r\n\r\n";
        let label = Label::of(&facts(message), 9);
        assert_eq!(label.message_id.as_deref(), Some("<a@b>"));
        assert_eq!(label.subject.as_deref(), Some("Grüße"));
        assert_eq!(Label::of(&facts(b"x\r\n"), 3).subject, None);
    }
}
