//! Reads the keys of one table. Whatever is wrong is noted and the default taken in its
//! place, so that reading goes on and the next problem is found too.

use super::{
    ProblemKind,
    default::Bounds,
    entry::{Entry, shown},
    keys,
    measure::Measure,
    problems::Problems,
    words::Word,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// One table of the file; an absent one has no keys.
pub(super) struct Section<'t> {
    /// What stands before its keys in messages: empty or `limits.`.
    prefix: String,
    /// Its header in the text.
    span: Range<usize>,
    table: Option<&'t DeTable<'t>>,
    problems: &'t Problems,
}

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(table: &'t DeTable<'t>, problems: &'t Problems) -> Self {
        Self::new(String::new(), 0..0, Some(table), keys::ROOT, problems)
    }

    fn new(
        prefix: String,
        span: Range<usize>,
        table: Option<&'t DeTable<'t>>,
        allowed: &'static [&'static str],
        problems: &'t Problems,
    ) -> Self {
        for (key, _) in table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !allowed.contains(&name) {
                let nearest = keys::nearest(name, allowed);
                problems.add(
                    format!("{prefix}{}", shown(name)),
                    &key.span(),
                    ProblemKind::UnknownKey { nearest, allowed },
                );
            }
        }
        Self {
            prefix,
            span,
            table,
            problems,
        }
    }

    /// The key's value, if it is there.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'t>> {
        let (_, value) = self
            .table?
            .iter()
            .find(|(candidate, _)| candidate.get_ref() == key)?;
        Some(Entry {
            key: format!("{}{key}", self.prefix),
            span: value.span(),
            value: value.get_ref(),
            problems: self.problems,
        })
    }

    /// The same; an empty text is as good as none.
    pub(super) fn filled(&self, key: &str) -> Option<Entry<'t>> {
        let empty =
            |entry: &Entry<'_>| matches!(entry.value, DeValue::String(text) if text.is_empty());
        self.entry(key).filter(|entry| !empty(entry))
    }

    /// Whether the table is there at all.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Notes that a key without a default is not there.
    pub(super) fn missing(&self, key: &str, needed: &'static str) {
        self.problems.add(
            format!("{}{key}", self.prefix),
            &self.span,
            ProblemKind::Missing { needed },
        );
    }

    /// The key's value, which must be there.
    pub(super) fn required(&self, key: &str, needed: &'static str) -> Option<Entry<'t>> {
        let entry = self.entry(key);
        if entry.is_none() {
            self.missing(key, needed);
        }
        entry
    }

    /// The table under `key`; an absent one if it is not there or is none.
    pub(super) fn section(&self, key: &str, allowed: &'static [&'static str]) -> Section<'t> {
        let entry = self.entry(key);
        let found = entry.and_then(|entry| Some((entry.table()?, entry.span)));
        let (table, span) = match found {
            Some((table, span)) => (Some(table), span),
            None => (None, self.span.clone()),
        };
        let prefix = format!("{}{key}.", self.prefix);
        Section::new(prefix, span, table, allowed, self.problems)
    }

    /// The tables `[[key]]`, or `None` where the key is not there. An empty list is a
    /// problem: `needed` says what has to be in it.
    pub(super) fn sections(
        &self,
        key: &str,
        allowed: &'static [&'static str],
        needed: &'static str,
    ) -> Option<Vec<Section<'t>>> {
        let entry = self.entry(key)?;
        let DeValue::Array(items) = entry.value else {
            entry.wrong_type::<()>("a list of tables, each under a [[double]] header");
            return Some(Vec::new());
        };
        if items.is_empty() {
            entry.note(ProblemKind::Missing { needed });
        }
        let sections = items.iter().filter_map(|item| {
            let item = Entry {
                key: entry.key.clone(),
                span: item.span(),
                value: item.get_ref(),
                problems: self.problems,
            };
            let prefix = format!("{}.", item.key);
            let table = item.table()?;
            let span = item.span;
            Some(Section::new(
                prefix,
                span,
                Some(table),
                allowed,
                self.problems,
            ))
        });
        Some(sections.collect())
    }

    /// A count, size or duration within `bounds`.
    pub(super) fn measure<T: Measure>(&self, key: &str, default: T, bounds: &Bounds<T>) -> T {
        self.entry(key)
            .and_then(|entry| entry.measure(bounds))
            .unwrap_or(default)
    }

    /// One of a type's words.
    pub(super) fn word<W: Word>(&self, key: &str, default: W) -> W {
        self.entry(key)
            .and_then(|entry| {
                let text = entry.text()?;
                let word = W::from_word(text);
                if word.is_none() {
                    entry.not_allowed(text, W::allowed());
                }
                word
            })
            .unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        let entry = self.entry(key);
        let flag = entry.and_then(|entry| match entry.value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => entry.wrong_type("true or false"),
        });
        flag.unwrap_or(default)
    }

    /// A path, seen from `base` if it is relative.
    pub(super) fn path(&self, key: &str, default: PathBuf, base: &Path) -> PathBuf {
        self.entry(key)
            .and_then(|entry| entry.path(base))
            .unwrap_or(default)
    }
}
