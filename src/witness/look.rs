//! One look into one mailbox.

use crate::{
    imap::{BodySink, Error, Fetched, Folder, Meta, Namespaces, Session, SpecialUse, UidSet},
    release::Question,
    verify::{facts::Gauge, header},
};
use std::io;

/// Candidates that are read in one folder, the newest first. Only copies of one message have
/// its queue id or its Message-ID.
const CANDIDATES_MAX: usize = 50;

/// What is in a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mailbox {
    /// The message, in this place.
    Has(String),
    /// All of it was searched, and the message is not there.
    Lacks,
    /// A part of it could not be searched.
    Unclear(String),
}

/// Looks for the message of a question.
pub(super) async fn look(session: &mut Session, question: &Question) -> Result<Mailbox, Error> {
    let namespaces = session.namespaces().await?;
    let mut folders = session.folders().await?;
    folders.retain(|folder| is_own(folder, &namespaces) && may_hold(folder));
    folders.sort_by_key(rank);
    let mut unclear = None;
    for folder in folders {
        match look_into(session, &folder, question).await {
            Ok(Some(place)) => return Ok(Mailbox::Has(place)),
            Ok(None) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                let reason = format!("the folder {} cannot be searched: {error}", folder.name);
                unclear = Some(reason);
            }
        }
    }
    Ok(unclear.map_or(Mailbox::Lacks, Mailbox::Unclear))
}

async fn look_into(
    session: &mut Session,
    folder: &Folder,
    question: &Question,
) -> Result<Option<String>, Error> {
    session.examine(&folder.name).await?;
    let id = question.message.to_string();
    let mut wanted = vec![("Received", id.as_str())];
    // Some servers search some fields only.
    let message_id = message_id(&question.head);
    wanted.extend(message_id.as_deref().map(|id| ("Message-ID", id)));
    let found = session.uids_with(&wanted).await?;
    let mut newest: Vec<u32> = found.iter().collect();
    newest.reverse();
    newest.truncate(CANDIDATES_MAX);
    let candidates: UidSet = newest.into_iter().collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    let mut sink = Candidates {
        question,
        gauge: Gauge::default(),
        found: None,
    };
    session.fetch(&candidates, &mut sink).await?;
    Ok(sink.found.map(|(uid, intact)| {
        let bytes = match intact {
            true => "its bytes unchanged",
            false => "its bytes changed on the way into the mailbox",
        };
        format!("{} (UID {uid}), {bytes}", folder.name)
    }))
}

/// The message's own Message-ID, if it can be asked for.
fn message_id(head: &[u8]) -> Option<String> {
    let text = header::fields(head)
        .find(|field| field.is("message-id"))?
        .text();
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"\\\\".contains(&b));
    (plain && (3..500).contains(&text.len())).then_some(text)
}

/// Reads candidates, and knows the message by relay's own field.
struct Candidates<'a> {
    question: &'a Question,
    gauge: Gauge,
    /// Its UID, and whether its bytes are those that were sent.
    found: Option<(u32, bool)>,
}

impl BodySink for Candidates<'_> {
    async fn begin(&mut self, _: Fetched) -> io::Result<()> {
        self.gauge = Gauge::default();
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.gauge.update(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let facts = std::mem::take(&mut self.gauge).finish();
        if let Some(released) = facts.released
            && released.id == self.question.message
        {
            let intact = released.digest == self.question.digest.0;
            let better = self.found.is_none_or(|(_, before)| intact && !before);
            if better {
                self.found = Some((meta.uid, intact));
            }
        }
        Ok(())
    }
}

/// Whether mail for this user could be delivered there.
fn is_own(folder: &Folder, namespaces: &Namespaces) -> bool {
    let others = namespaces.other_users.iter().chain(&namespaces.shared);
    let mut prefixes = others.filter(|other| !other.prefix.is_empty());
    !prefixes.any(|other| folder.name.raw().starts_with(&other.prefix))
}

fn may_hold(folder: &Folder) -> bool {
    let messages = folder.status.and_then(|status| status.messages);
    folder.is_selectable() && messages != Some(0)
}

/// Where mail is put first.
fn rank(folder: &Folder) -> u8 {
    match folder.special_use {
        _ if folder.name.raw().eq_ignore_ascii_case(b"INBOX") => 0,
        Some(SpecialUse::Junk) => 1,
        Some(SpecialUse::All | SpecialUse::Flagged) => 3,
        _ => 2,
    }
}
