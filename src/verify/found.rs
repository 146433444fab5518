//! What is in a mailbox at the new server: every message of it, read once.

use super::{
    expected::half,
    facts::{Facts, short_of},
    fit::judge,
    matching::{Fit, Found},
    reader::{Reader, Take},
    spooled::{Due, Originals},
};
use crate::{imap::Name, mail::QueueId};
use std::collections::{BTreeSet, HashMap};

/// What is odd about a message is kept of so many.
const ODD_MAX: usize = 10_000;
/// Names of fields that the new server adds.
const FIELDS_MAX: usize = 20;

/// A mailbox at the new server.
#[derive(Debug, Default)]
pub struct Mailbox {
    /// Its folders, and those that should be there.
    pub folders: Vec<Folder>,
    /// Its messages, by folder and UID.
    pub found: Vec<Found>,
    /// Those that are there and could not be read: folder, UID, why.
    pub unreadable: Vec<(usize, u32, String)>,
    /// What differs in a message, by its folder and UID.
    pub odd: HashMap<(u32, u32), String>,
    /// Fields that the new server added to released messages.
    pub fields: BTreeSet<String>,
    /// Bytes that were read.
    pub bytes: u64,
}

/// A folder at the new server.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Its name.
    pub name: Name,
    /// The same for people.
    pub shown: String,
    /// How many messages it should have.
    pub messages: u32,
    /// Whether it is there.
    pub exists: bool,
    /// How its UIDs are to be understood.
    pub uidvalidity: Option<u32>,
    /// Why it could not be read.
    pub trouble: Option<String>,
}

impl Mailbox {
    /// With these folders.
    #[must_use]
    pub fn new(folders: Vec<Folder>) -> Self {
        Self {
            folders,
            ..Self::default()
        }
    }

    /// The place of a folder; one that is not there is added as such.
    pub fn place(&mut self, name: &Name) -> usize {
        let known = self.folders.iter().position(|folder| folder.name == *name);
        known.unwrap_or_else(|| {
            self.folders.push(Folder {
                name: name.clone(),
                shown: name.to_string(),
                messages: 0,
                exists: false,
                uidvalidity: None,
                trouble: None,
            });
            self.folders.len() - 1
        })
    }

    /// Reads all of it.
    pub async fn read(&mut self, reader: &mut Reader<'_>, due: &[Due], originals: &dyn Originals) {
        let digests: HashMap<QueueId, [u8; 16]> =
            due.iter().map(|one| (one.id, one.digest)).collect();
        for place in 0..self.folders.len() {
            let Some(folder) = self.folders.get(place).filter(|folder| folder.exists) else {
                continue;
            };
            let name = folder.name.clone();
            let mut take = Taken {
                folder: u32::try_from(place).unwrap_or(u32::MAX),
                digests: &digests,
                originals,
                mailbox: &mut *self,
            };
            let read = match reader.look(&name).await {
                Ok((selected, uids)) => {
                    let read = reader.read(&name, &uids, &mut take).await;
                    read.map(|failed| (selected.uidvalidity, failed))
                }
                Err(why) => Err(why),
            };
            let Some(folder) = self.folders.get_mut(place) else {
                continue;
            };
            match read {
                Ok((uidvalidity, failed)) => {
                    folder.uidvalidity = uidvalidity;
                    let failed = failed.into_iter().map(|(uid, why)| (place, uid, why));
                    self.unreadable.extend(failed);
                }
                Err(why) => folder.trouble = Some(why),
            }
        }
        self.found.sort_unstable_by_key(|one| (one.folder, one.uid));
    }

    /// A folder's name for people.
    #[must_use]
    pub fn shown(&self, folder: u32) -> &str {
        let folder = self.folders.get(folder as usize);
        folder.map_or("", |folder| &folder.shown)
    }
}

/// Takes the messages of a folder.
struct Taken<'a> {
    folder: u32,
    digests: &'a HashMap<QueueId, [u8; 16]>,
    originals: &'a dyn Originals,
    mailbox: &'a mut Mailbox,
}

impl Take for Taken<'_> {
    async fn take(&mut self, uid: u32, bytes: u64, facts: Facts) {
        let mut fit = Fit::Same;
        if let Some(released) = &facts.released
            && let Some(digest) = self.digests.get(&released.id)
            && *digest != half(&released.digest)
        {
            let odd = match self.originals.facts(released.id).await {
                Ok(original) => {
                    let judged = judge(&facts, released, &original);
                    fit = judged.fit;
                    judged.odd
                }
                Err(why) => {
                    fit = Fit::Other;
                    vec![format!("its bytes are not those of the receipt ({why})")]
                }
            };
            self.note(uid, fit, odd);
        }
        self.mailbox.bytes += bytes;
        self.mailbox.found.push(Found {
            folder: self.folder,
            uid,
            hash: half(&facts.whole.hash),
            core: facts.core(),
            message_id: facts.message_id().map(|id| short_of(&id)),
            queue_id: facts.released.map(|released| released.id),
            fit,
        });
    }
}

impl Taken<'_> {
    fn note(&mut self, uid: u32, fit: Fit, odd: Vec<String>) {
        let mailbox = &mut *self.mailbox;
        match fit {
            Fit::Same => {}
            Fit::Fields => {
                let room = FIELDS_MAX.saturating_sub(mailbox.fields.len());
                mailbox.fields.extend(odd.into_iter().take(room));
            }
            Fit::Other if mailbox.odd.len() < ODD_MAX => {
                mailbox.odd.insert((self.folder, uid), odd.join("; "));
            }
            Fit::Other => {}
        }
    }
}
