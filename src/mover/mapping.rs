//! Which folder of the source becomes which folder of the target.
//!
//! Names are mapped part by part, never as one string, since one server's separator may
//! stand inside a name of the other. In this order: the source's prefix (`INBOX.`) is taken
//! off; excluded folders are left out; a rule renames, else a folder with a special use
//! (RFC 6154) goes to the target's folder of that use, else it keeps its name; what is
//! illegal at the target is replaced; the target's prefix is put in front. A folder that was
//! copied before and that no rule renames stays where it is: a folder with a special use that
//! comes into being at the target would have all of it copied once more. Every change is
//! reported, and of two folders that would meet in one the second is refused, since merging
//! them could not be undone.
//!
//! Pure: it asks no server, and gives the same answer in every pass for the same folders.

use crate::config::Rename;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// The longest name of a folder at the target, in characters: Zimbra's bound.
const PART_CHARS_MAX: usize = 128;
/// The longest path at the target, in bytes.
const PATH_BYTES_MAX: usize = 255;

/// What a folder is for, where that decides where it goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Use {
    /// Archive.
    Archive,
    /// Drafts.
    Drafts,
    /// Junk.
    Junk,
    /// Sent.
    Sent,
    /// Trash.
    Trash,
}

/// A folder as a server lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its parts, decoded; for one that cannot be decoded whatever shows it best.
    pub parts: Vec<String>,
    /// What it is for.
    pub purpose: Option<Use>,
    /// Whether its name could be decoded.
    pub decoded: bool,
    /// The parts of the target's folder that it was copied into before, where that is still there.
    pub kept: Option<Vec<String>>,
}

/// How a server's own folders are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Between the parts; none for a server without a hierarchy.
    pub separator: Option<char>,
    /// Whether other folders than INBOX are named `INBOX`, separator, name.
    pub below_inbox: bool,
}

/// What a target takes as a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// Nearly everything: Dovecot.
    Liberal,
    /// Cyrus: not all of ASCII's signs.
    Cyrus,
    /// Courier: no `/`, and no character beyond the basic plane (emoji).
    Courier,
    /// Zimbra and Carbonio: no `:`, `/`, `"`, no space at the end.
    Zimbra,
}

impl Names {
    /// From what the server says that it can do: each has words of its own.
    #[must_use]
    pub fn of(has: impl Fn(&str) -> bool) -> Self {
        if has("X-SIEVE-MAILBOX") || has("X-REPLICATION") {
            Self::Cyrus
        } else if has("ACL2=UNION") {
            Self::Courier
        } else {
            Self::Liberal
        }
    }

    /// Whether a name with this character is refused.
    fn refuse(self, c: char) -> bool {
        match self {
            Self::Liberal => false,
            Self::Zimbra => matches!(c, ':' | '/' | '"'),
            Self::Cyrus => r#"!";<>\^`{|}"#.contains(c),
            Self::Courier => c == '/' || c > '\u{FFFF}',
        }
    }
}

/// What becomes of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Its parts at the target, the target's prefix among them.
    pub parts: Vec<String>,
    /// What was changed, for the report.
    pub notes: Vec<Note>,
}

/// A folder that is not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Left {
    /// The configuration excludes it.
    Excluded,
    /// Its name at the target is another folder's already.
    Collision {
        /// The path of the folder that was first, at the source.
        with: String,
    },
    /// No server would take its name.
    TooLong {
        /// Of the path at the target.
        bytes: usize,
    },
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded => f.write_str("excluded by mover.exclude"),
            Self::Collision { with } => write!(
                f,
                "would be the same folder as {with:?} at the target; add a [[mover.rename]]"
            ),
            Self::TooLong { bytes } => write!(
                f,
                "its name would have {bytes} bytes at the target, more than {PATH_BYTES_MAX}; \
                 add a [[mover.rename]]"
            ),
        }
    }
}

/// Something that a person should know about a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// A rule of the configuration applied.
    Renamed,
    /// It goes to the target's folder of the same use.
    Special(Use),
    /// A part held what the target does not take.
    Escaped {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// The source's bytes are no valid modified UTF-7.
    Undecodable,
    /// It was copied there before.
    Kept,
}

/// The rules of the configuration and both servers' ways.
#[derive(Debug)]
pub struct Mapping<'c> {
    /// `mover.exclude`
    pub exclude: &'c [String],
    /// `mover.rename`
    pub rename: &'c [Rename],
    /// How the source names folders.
    pub source: Style,
    /// How the target does.
    pub target: Style,
    /// What the target takes.
    pub names: Names,
}

impl Mapping<'_> {
    /// Maps all folders of an account at once, in the order of `folders`. `existing` are
    /// the folders that the target has.
    #[must_use]
    pub fn map(&self, folders: &[Listed], existing: &[Listed]) -> Vec<Result<Mapped, Left>> {
        let special: BTreeMap<Use, Vec<String>> = existing
            .iter()
            .filter_map(|folder| Some((folder.purpose?, self.inside(&folder.parts, self.target))))
            .collect();
        let mut used: HashSet<Use> = HashSet::new();
        // Two source folders of one use: only the first goes to the target's folder.
        let purposes: Vec<Option<Use>> = folders
            .iter()
            .map(|folder| folder.purpose.filter(|purpose| used.insert(*purpose)))
            .collect();
        let mut taken: HashMap<String, String> = HashMap::new();
        let mut all: Vec<(&Listed, Vec<String>, Result<Mapped, Left>)> = (folders.iter())
            .zip(purposes)
            .map(|(folder, purpose)| {
                let own = self.inside(&folder.parts, self.source);
                let mapped = self.one(folder, &own, purpose, &special);
                let mapped = mapped.map(|mapped| self.keep(folder, &own, mapped));
                (folder, own, mapped)
            })
            .collect();
        // What was copied before has its place before what is new.
        for before in [true, false] {
            for (folder, own, result) in &mut all {
                let Ok(mapped) = result else { continue };
                if (folder.kept.as_ref() == Some(&mapped.parts)) != before {
                    continue;
                }
                // Zimbra and some file systems do not tell `a` from `A`.
                let key = mapped.parts.join("\0").to_lowercase();
                if let Some(with) = taken.get(&key) {
                    let with = with.clone();
                    *result = Err(Left::Collision { with });
                } else {
                    taken.insert(key, own.join("/"));
                }
            }
        }
        all.into_iter().map(|(_, _, result)| result).collect()
    }

    /// Where it was copied before, unless a rule of the configuration says otherwise.
    fn keep(&self, folder: &Listed, own: &[String], mapped: Mapped) -> Mapped {
        let kept = folder.kept.as_ref().filter(|kept| **kept != mapped.parts);
        let Some(kept) = kept.filter(|_| !mapped.notes.contains(&Note::Renamed)) else {
            return mapped;
        };
        let notes = match self.inside(kept, self.target) == own {
            true => Vec::new(),
            false => vec![Note::Kept],
        };
        Mapped {
            parts: kept.clone(),
            notes,
        }
    }

    /// A path as the configuration writes it: without the prefix of the namespace.
    fn inside(&self, parts: &[String], style: Style) -> Vec<String> {
        match parts {
            [first, rest @ ..]
                if style.below_inbox && !rest.is_empty() && first.eq_ignore_ascii_case("INBOX") =>
            {
                rest.to_vec()
            }
            [first, rest @ ..] if first.eq_ignore_ascii_case("INBOX") => {
                let inbox = std::iter::once("INBOX".to_owned());
                inbox.chain(rest.iter().cloned()).collect()
            }
            _ => parts.to_vec(),
        }
    }

    fn one(
        &self,
        folder: &Listed,
        own: &[String],
        purpose: Option<Use>,
        special: &BTreeMap<Use, Vec<String>>,
    ) -> Result<Mapped, Left> {
        if self.exclude.iter().any(|pattern| matches(pattern, own)) {
            return Err(Left::Excluded);
        }
        let mut notes = Vec::new();
        if !folder.decoded {
            notes.push(Note::Undecodable);
        }
        let parts = if let Some(renamed) = self.renamed(own) {
            notes.push(Note::Renamed);
            renamed
        } else if let Some((purpose, there)) = purpose.and_then(|p| Some((p, special.get(&p)?))) {
            if there != own {
                notes.push(Note::Special(purpose));
            }
            there.clone()
        } else {
            own.to_vec()
        };
        let parts = parts.iter().map(|part| self.legal(part, &mut notes));
        let parts = self.outside(parts.collect());
        let bytes = parts.iter().map(|part| part.len() + 1).sum::<usize>() - 1;
        if bytes > PATH_BYTES_MAX {
            return Err(Left::TooLong { bytes });
        }
        Ok(Mapped { parts, notes })
    }

    /// By the first rule that names the folder or one that it is in.
    fn renamed(&self, own: &[String]) -> Option<Vec<String>> {
        self.rename.iter().find_map(|rule| {
            let from: Vec<&str> = rule.from.split('/').collect();
            let rest = own.get(from.len()..)?;
            let head = own.iter().take(from.len());
            let named = head.zip(&from).all(|(part, wanted)| part == wanted);
            named.then(|| {
                let to = rule.to.split('/').map(str::to_owned);
                to.chain(rest.iter().cloned()).collect()
            })
        })
    }

    /// A part without what the target refuses.
    fn legal(&self, part: &str, notes: &mut Vec<Note>) -> String {
        let illegal = |c: char| {
            c.is_control()
                || self.target.separator == Some(c)
                || self.names.refuse(c)
                // RFC 3501 §5.1: wildcards of LIST.
                || matches!(c, '*' | '%')
        };
        let mut legal: String = part
            .chars()
            .take(PART_CHARS_MAX)
            .map(|c| if illegal(c) { '_' } else { c })
            .collect();
        if self.names == Names::Liberal && legal.starts_with('~') {
            // Dovecot's way to other users' home directories.
            legal.replace_range(..1, "_");
        }
        if self.names == Names::Zimbra {
            let kept = legal.trim_end_matches(' ').len();
            legal.truncate(kept);
        }
        if legal.is_empty() || legal == "." || legal == ".." {
            legal.push('_');
        }
        if legal != part {
            notes.push(Note::Escaped {
                from: part.to_owned(),
                to: legal.clone(),
            });
        }
        legal
    }

    /// With the target's prefix, and flat where the target has no hierarchy.
    fn outside(&self, mut parts: Vec<String>) -> Vec<String> {
        let inbox = parts.first().is_some_and(|part| part == "INBOX");
        if self.target.below_inbox && !inbox {
            parts.insert(0, "INBOX".to_owned());
        }
        if self.target.separator.is_none() && parts.len() > 1 {
            parts = vec![parts.join("_")];
        }
        parts
    }
}

/// Whether a pattern of `mover.exclude` names this folder or one that it is in.
fn matches(pattern: &str, own: &[String]) -> bool {
    let path = own.join("/");
    match pattern.strip_suffix('*') {
        Some(head) => path.starts_with(head),
        None => path == pattern || path.starts_with(&format!("{pattern}/")),
    }
}

#[cfg(test)]
mod tests;
