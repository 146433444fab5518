//! One value of the file: what it may be, and what is said when it is something else.

use super::{ProblemKind, default::Bounds, measure::Measure, paths, problems::Problems};
use std::{
    collections::HashMap,
    hash::Hash,
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// One key with its value.
pub(super) struct Entry<'t> {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) value: &'t DeValue<'t>,
    pub(super) problems: &'t Problems,
}

impl<'t> Entry<'t> {
    /// A text without control characters.
    pub(super) fn text(&self) -> Option<&'t str> {
        let DeValue::String(text) = self.value else {
            return self.wrong_type("a text in quotes");
        };
        if text.contains(char::is_control) {
            return self.invalid(format!("{:?} holds a control character", shown(text)));
        }
        Some(text)
    }

    /// A path, seen from `base` if it is relative.
    pub(super) fn path(&self, base: &Path) -> Option<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return self.invalid("is empty; a path is expected".to_owned());
        }
        Some(paths::resolve(base, text))
    }

    /// The SHA-256 of a certificate, in lower case hexadecimal digits; colons may stand
    /// between them.
    pub(super) fn fingerprint(&self) -> Option<String> {
        let text = self.text()?;
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let why = "is no SHA-256 of a certificate: 64 hexadecimal digits are expected";
            return self.invalid(quoted(text, why));
        }
        Some(digits.to_lowercase())
    }

    /// The line of the value, from 1.
    pub(super) fn line(&self) -> usize {
        self.problems.line_of(&self.span)
    }

    /// Notes that the value is none of the allowed ones.
    pub(super) fn not_allowed(&self, value: &str, allowed: String) {
        let value = shown(value);
        self.note(ProblemKind::NotAllowed { value, allowed });
    }

    /// Notes that the value makes no sense, and why.
    pub(super) fn invalid<T>(&self, why: String) -> Option<T> {
        self.note(ProblemKind::Invalid { why });
        None
    }

    /// Notes any problem with this value.
    pub(super) fn note(&self, kind: ProblemKind) {
        self.problems.add(self.key.clone(), &self.span, kind);
    }

    /// The items of a list; `expected` says of what.
    pub(super) fn items(&self, expected: &'static str) -> Vec<Entry<'t>> {
        let DeValue::Array(items) = self.value else {
            self.wrong_type::<()>(expected);
            return Vec::new();
        };
        let items = items.iter().map(|item| Entry {
            key: self.key.clone(),
            span: item.span(),
            value: item.get_ref(),
            problems: self.problems,
        });
        items.collect()
    }

    pub(super) fn table(&self) -> Option<&'t DeTable<'t>> {
        match self.value {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type("a table"),
        }
    }

    pub(super) fn wrong_type<T>(&self, expected: &'static str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.note(ProblemKind::WrongType { expected, found });
        None
    }

    pub(super) fn measure<T: Measure>(&self, bounds: &Bounds<T>) -> Option<T> {
        let amount = match self.value {
            DeValue::String(text) => match T::parse(text) {
                Some(Ok(amount)) => amount,
                Some(Err(error)) => return self.invalid(error.to_string()),
                None => return self.wrong_type(T::EXPECTED),
            },
            DeValue::Integer(number) if T::TAKES_NUMBERS => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(amount) => amount,
                    // Beyond any bound, on the side that its sign says.
                    Err(_) if number.as_str().starts_with('-') => i128::MIN,
                    Err(_) => i128::MAX,
                }
            }
            _ => return self.wrong_type(T::EXPECTED),
        };
        let (min, max) = (bounds.min.amount(), bounds.max.amount());
        if (min..=max).contains(&amount) {
            return T::from_amount(amount);
        }
        self.note(ProblemKind::OutOfBounds {
            value: self.written(),
            side: if amount < min { T::BELOW } else { T::ABOVE },
            min: bounds.min.show(),
            max: bounds.max.show(),
            rule: bounds.rule,
        });
        None
    }

    /// The value as it stands in the file.
    fn written(&self) -> String {
        match self.value {
            DeValue::String(text) => shown(text),
            DeValue::Integer(number) => shown(&number.to_string()),
            _ => String::new(),
        }
    }
}

/// The lines on which values were first seen.
pub(super) struct Seen<T>(HashMap<T, usize>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash + ToString> Seen<T> {
    /// Whether `value` is new; if it is not, that is noted.
    pub(super) fn first(&mut self, entry: &Entry<'_>, value: T) -> bool {
        if let Some(first_line) = self.0.get(&value) {
            entry.note(ProblemKind::Duplicate {
                value: value.to_string(),
                first_line: *first_line,
            });
            return false;
        }
        self.0.insert(value, entry.line());
        true
    }
}

/// Someone else's text for a message: bounded, and without control characters, which could
/// forge a line of the message.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Such a text in quotes, and what is wrong with it.
pub(super) fn quoted(text: &str, why: &str) -> String {
    format!("{:?} {why}", shown(text))
}
