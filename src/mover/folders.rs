//! The folders of both sides of an account, and which becomes which.

use super::{
    mapping::{Left, Listed, Mapped, Mapping, Names, Style, Use},
    plan::{Place, Standing},
    state::{FolderRecord, State, StateError},
};
use crate::{
    config::Rename,
    imap::{Folder, Name, Namespace, Namespaces, SpecialUse},
};
use std::collections::HashMap;

/// The rules of the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `mover.exclude`
    pub exclude: Vec<String>,
    /// `mover.rename`
    pub rename: Vec<Rename>,
}

/// What a server has.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its own folders: neither other users' nor shared ones.
    pub folders: Vec<Folder>,
    /// How it names them.
    pub style: Style,
    /// Whether its folders are labels (Gmail's X-GM-EXT-1), so that a message that was archived
    /// stands in the view of all alone.
    pub has_labels: bool,
}

impl Side {
    /// From what the server told.
    #[must_use]
    pub fn new(folders: Vec<Folder>, namespaces: &Namespaces) -> Self {
        let personal = namespaces.personal.first();
        let separator = personal
            .and_then(|personal| personal.separator)
            .or_else(|| folders.iter().find_map(|folder| folder.separator));
        let below_inbox = personal.is_some_and(|personal| is_inbox(&personal.prefix));
        let foreign: Vec<&[u8]> = (namespaces.other_users.iter())
            .chain(&namespaces.shared)
            .map(|namespace| &namespace.prefix[..])
            .filter(|prefix| !prefix.is_empty())
            .collect();
        let own = |folder: &Folder| {
            let name = folder.name.raw();
            !foreign.iter().any(|prefix| name.starts_with(prefix))
        };
        Self {
            folders: folders.into_iter().filter(own).collect(),
            style: Style {
                separator: separator.map(char::from),
                below_inbox,
            },
            has_labels: false,
        }
    }

    fn listed(&self, folder: &Folder) -> Listed {
        let separator = folder.separator;
        let decoded = folder.name.decode().is_some();
        let parts = folder.name.parts(separator);
        Listed {
            parts: parts.iter().map(ToString::to_string).collect(),
            purpose: folder.special_use.and_then(purpose),
            decoded,
            kept: None,
        }
    }
}

/// `INBOX` and a separator, as Courier and Cyrus prefix all folders.
fn is_inbox(prefix: &[u8]) -> bool {
    prefix.len() == 6
        && prefix
            .get(..5)
            .is_some_and(|head| head.eq_ignore_ascii_case(b"INBOX"))
}

/// Where a folder goes.
#[derive(Clone, Debug)]
pub struct Pair {
    /// At the source.
    pub source: Folder,
    /// Its name at the target.
    pub target: Name,
    /// The same for people, with `/` between the parts.
    pub shown: String,
    /// The folder there, if it exists.
    pub existing: Option<Folder>,
    /// What a person should know.
    pub mapped: Mapped,
    /// The target's words, where it refused to make the folder.
    pub not_made: Option<String>,
}

impl Pair {
    /// How it stands at the source, where STATUS told.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let status = self.source.status?;
        Some(Standing {
            uidvalidity: status.uidvalidity?,
            uidnext: status.uidnext?,
            messages: status.messages?,
            highestmodseq: status.highestmodseq,
        })
    }

    /// Where it goes, as far as STATUS told, in this mailbox.
    #[must_use]
    pub fn place<'a>(&'a self, mailbox: &'a str) -> Place<'a> {
        let status = self.existing.as_ref().and_then(|existing| existing.status);
        Place {
            mailbox,
            name: self.target.raw(),
            uidvalidity: status.and_then(|status| status.uidvalidity),
            uidnext: status.and_then(|status| status.uidnext),
        }
    }

    /// The folder at the source for people, with `/` between the parts.
    #[must_use]
    pub fn source_shown(&self) -> String {
        shown(&self.source)
    }
}

/// A folder's name for people.
#[must_use]
pub fn shown(folder: &Folder) -> String {
    let parts = folder.name.parts(folder.separator);
    let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    parts.join("/")
}

/// Of a folder without messages of its own.
const VIEW: &str = "is a view of messages that stand in other folders";
/// Of Gmail's All Mail. Copied whole it would double every message.
const ARCHIVED: &str = "is a view of messages that stand in other folders, and of archived ones \
    without a label, which stand in no other: give those a label first (search for \
    has:nouserlabels -in:inbox -in:sent -in:drafts)";

/// A folder that is not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotCopied {
    /// At the source.
    pub source: Name,
    /// The same for people, with `/` between the parts.
    pub shown: String,
    /// Why.
    pub why: String,
    /// Messages that stay behind with it: none in a view, and one at least where the source does
    /// not tell how many there are.
    pub stranded: u64,
}

impl NotCopied {
    fn view(folder: &Folder, why: &str) -> Self {
        Self {
            source: folder.name.clone(),
            shown: shown(folder),
            why: why.to_owned(),
            stranded: 0,
        }
    }

    /// One that has no place of its own at the target.
    fn stranded(folder: &Folder, why: &Left) -> Self {
        let messages = folder.status.and_then(|status| status.messages);
        Self {
            why: why.to_string(),
            stranded: messages.map_or(1, u64::from),
            ..Self::view(folder, "")
        }
    }
}

/// Where folders were copied to before: names at the target by those at the source, each as its
/// server sends it.
pub type Kept = HashMap<Vec<u8>, Vec<u8>>;

/// Where the folders of an account were copied to in this mailbox.
///
/// # Errors
/// [`StateError`].
pub fn kept(state: &State, account: &str, mailbox: &str) -> Result<Kept, StateError> {
    let there = |record: &FolderRecord| {
        let known = record.target_mailbox.as_deref();
        known.is_none_or(|known| known == mailbox)
    };
    let folders = state.folders(account)?.into_iter();
    Ok(folders
        .filter(|(_, record)| there(record))
        .map(|(source, record)| (source, record.target_name))
        .collect())
}

/// Maps all folders that hold messages.
#[must_use]
pub fn pairs(
    source: &Side,
    target: &Side,
    rules: &Rules,
    names: Names,
    kept: &Kept,
) -> (Vec<Pair>, Vec<NotCopied>) {
    let (mut folders, mut left) = (Vec::new(), Vec::new());
    for folder in source
        .folders
        .iter()
        .filter(|folder| folder.is_selectable())
    {
        match folder.special_use {
            Some(SpecialUse::All) if source.has_labels => {
                left.push(NotCopied::view(folder, ARCHIVED));
            }
            // What is in it is in other folders too.
            Some(SpecialUse::All | SpecialUse::Flagged) => {
                left.push(NotCopied::view(folder, VIEW));
            }
            _ => folders.push(folder),
        }
    }
    // INBOX first, and a folder before what is in it.
    folders.sort_by_key(|folder| {
        let parts = folder.name.parts(folder.separator).len();
        (folder.name.raw() != b"INBOX", parts, folder.name.clone())
    });
    let mapping = Mapping {
        exclude: &rules.exclude,
        rename: &rules.rename,
        source: source.style,
        target: target.style,
        names,
    };
    let kept = |folder: &Folder| {
        let name = Name::from_raw(kept.get(folder.name.raw())?);
        let there =
            (target.folders.iter()).find(|there| there.name == name && there.is_selectable())?;
        Some(target.listed(there).parts)
    };
    let listed: Vec<Listed> = (folders.iter())
        .map(|folder| Listed {
            kept: kept(folder),
            ..source.listed(folder)
        })
        .collect();
    let there: Vec<Listed> = (target.folders.iter())
        .map(|folder| target.listed(folder))
        .collect();
    let existing: HashMap<&[String], &Folder> = (there.iter())
        .map(|listed| &listed.parts[..])
        .zip(&target.folders)
        .collect();
    let mut pairs = Vec::new();
    for (folder, mapped) in folders.into_iter().zip(mapping.map(&listed, &there)) {
        match mapped {
            Ok(mapped) => {
                let existing = existing.get(&mapped.parts[..]).copied().cloned();
                let name = || encoded(&mapped.parts, target.style.separator);
                pairs.push(Pair {
                    source: folder.clone(),
                    target: existing
                        .as_ref()
                        .map_or_else(name, |there| there.name.clone()),
                    shown: mapped.parts.join("/"),
                    existing,
                    mapped,
                    not_made: None,
                });
            }
            Err(Left::Excluded) => {}
            Err(why) => left.push(NotCopied::stranded(folder, &why)),
        }
    }
    (pairs, left)
}

/// The parts as one name of the target.
fn encoded(parts: &[String], separator: Option<char>) -> Name {
    let separator = separator.unwrap_or('/').to_string();
    let raw = |part: &String| match part.eq_ignore_ascii_case("INBOX") {
        // Only a whole name has no case, not a part of one.
        true => part.clone().into_bytes(),
        false => Name::encode(part).raw().to_vec(),
    };
    let parts: Vec<Vec<u8>> = parts.iter().map(raw).collect();
    Name::from_raw(&parts.join(separator.as_bytes()))
}

fn purpose(purpose: SpecialUse) -> Option<Use> {
    Some(match purpose {
        SpecialUse::Archive => Use::Archive,
        SpecialUse::Drafts => Use::Drafts,
        SpecialUse::Junk => Use::Junk,
        SpecialUse::Sent => Use::Sent,
        SpecialUse::Trash => Use::Trash,
        SpecialUse::All | SpecialUse::Flagged => return None,
    })
}

/// A server without NAMESPACE: no prefix, and the separator of its folders.
#[must_use]
pub fn no_namespaces(folders: &[Folder]) -> Namespaces {
    let personal = Namespace {
        prefix: Vec::new(),
        separator: folders.iter().find_map(|folder| folder.separator),
    };
    Namespaces {
        personal: vec![personal],
        ..Namespaces::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Status;

    fn folder(name: &str, separator: u8) -> Folder {
        Folder {
            name: Name::encode(name),
            separator: Some(separator),
            attributes: Vec::new(),
            special_use: None,
            subscribed: false,
            status: None,
        }
    }

    fn side(prefix: &str, separator: u8, names: &[&str]) -> Side {
        let namespace = |prefix: &str| Namespace {
            prefix: prefix.as_bytes().to_vec(),
            separator: Some(separator),
        };
        let namespaces = Namespaces {
            personal: vec![namespace(prefix)],
            other_users: vec![namespace("Other Users/")],
            shared: Vec::new(),
        };
        let folders = names.iter().map(|name| folder(name, separator)).collect();
        Side::new(folders, &namespaces)
    }

    fn mapped(source: &Side, target: &Side) -> Vec<(String, String, bool)> {
        let rules = Rules {
            exclude: vec!["Spam".into()],
            rename: Vec::new(),
        };
        let (pairs, _) = pairs(source, target, &rules, Names::Liberal, &Kept::new());
        (pairs.iter())
            .map(|pair| {
                let target = pair.target.to_string();
                (pair.source_shown(), target, pair.existing.is_some())
            })
            .collect()
    }

    #[test]
    fn archived_mail_of_gmail_is_told_of() {
        let target = side("", b'/', &["INBOX"]);
        let mut source = side("", b'/', &["INBOX", "[Gmail]/All Mail"]);
        source.folders[1].special_use = Some(SpecialUse::All);
        let rules = Rules {
            exclude: Vec::new(),
            rename: Vec::new(),
        };
        for (has_labels, why) in [(false, VIEW), (true, ARCHIVED)] {
            source.has_labels = has_labels;
            let (pairs, left) = pairs(&source, &target, &rules, Names::Liberal, &Kept::new());
            assert_eq!(pairs.len(), 1);
            assert_eq!(left, [NotCopied::view(&source.folders[1], why)]);
        }
    }

    #[test]
    fn mail_in_a_folder_without_a_place_at_the_target_is_counted() {
        let mut target = side("", b'/', &["INBOX", "Sent"]);
        target.folders[1].special_use = Some(SpecialUse::Sent);
        let mut source = side("", b'/', &["INBOX", "Sent", "Sent Items"]);
        source.folders[2].special_use = Some(SpecialUse::Sent);
        let rules = Rules {
            exclude: Vec::new(),
            rename: Vec::new(),
        };
        for (messages, stranded) in [(Some(7), 7), (Some(0), 0), (None, 1)] {
            source.folders[2].status = Some(Status {
                messages,
                ..Status::default()
            });
            let (pairs, left) = pairs(&source, &target, &rules, Names::Liberal, &Kept::new());
            assert_eq!(pairs.len(), 2);
            let left: Vec<_> = (left.iter())
                .map(|one| (&*one.shown, one.stranded))
                .collect();
            assert_eq!(left, [("Sent Items", stranded)]);
        }
    }

    #[test]
    fn a_folder_that_was_copied_before_keeps_its_place() {
        let source = {
            let mut side = side("", b'/', &["Sent"]);
            side.folders[0].special_use = Some(SpecialUse::Sent);
            side
        };
        let mut target = side("", b'/', &["Sent", "Sent Items"]);
        target.folders[1].special_use = Some(SpecialUse::Sent);
        let rules = Rules {
            exclude: Vec::new(),
            rename: Vec::new(),
        };
        let went = |kept: &Kept, target: &Side| {
            let (pairs, _) = pairs(&source, target, &rules, Names::Liberal, kept);
            (pairs[0].target.to_string(), renamed(&pairs[0]))
        };
        fn renamed(pair: &Pair) -> bool {
            !pair.mapped.notes.is_empty()
        }
        let sent = Kept::from([(b"Sent".to_vec(), b"Sent".to_vec())]);
        assert_eq!(went(&sent, &target), ("Sent".into(), false));
        assert_eq!(went(&Kept::new(), &target), ("Sent Items".into(), true));
        // It is there no more.
        target.folders.remove(0);
        assert_eq!(went(&sent, &target), ("Sent Items".into(), true));
    }

    #[test]
    fn prefixes_and_separators_are_each_servers_own() {
        let names = ["INBOX.Entwürfe.ä/b", "INBOX", "INBOX.Spam"];
        let courier = side("INBOX.", b'.', &names);
        let slash = side("", b'/', &["INBOX", "Other Users/eve/INBOX"]);
        let expected = [
            ("INBOX".into(), "INBOX".into(), true),
            ("INBOX/Entwürfe/ä/b".into(), "Entwürfe/ä_b".into(), false),
        ];
        assert_eq!(mapped(&courier, &slash), expected);
        let slash = side("", b'/', &["INBOX", "a.b/c", "Other Users/eve/INBOX"]);
        let expected = [
            ("INBOX".into(), "INBOX".into(), true),
            ("a.b/c".into(), "INBOX.a_b.c".into(), false),
        ];
        assert_eq!(mapped(&slash, &courier), expected);
    }
}
