//! What is wrong with a configuration: a list of problems, each with file, line and key.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why there is no [`Config`](super::Config).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// None was named and none is at the usual places.
    #[error("no configuration file: {} not found; name one with --config FILE", list(.tried))]
    NotFound {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More bytes than a configuration may have.
    #[error("{}: has more than the {bytes_max} bytes that are read", .file.display())]
    TooLarge {
        /// Which one.
        file: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// It was read and is wrong: everything that was found, in the order of the lines.
    #[error("{}", lines(.problems))]
    Invalid {
        /// At least one.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong, displayed as `FILE:LINE: KEY: what is wrong; what is allowed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// The key with the names of its tables, such as `limits.recipients`; empty where the
    /// text is not even TOML.
    pub key: String,
    /// What.
    pub kind: ProblemKind,
}

/// What is wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// The text is not TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// There is no such key.
    #[error("unknown key; {}allowed are {}", suggestion(.nearest), .allowed.join(", "))]
    UnknownKey {
        /// The known key that is most like it, if any is.
        nearest: Option<String>,
        /// All that may stand in this table.
        allowed: &'static [&'static str],
    },
    /// A key without a default is not there.
    #[error("missing; {needed}")]
    Missing {
        /// What has to be written.
        needed: &'static str,
    },
    /// The value is of another type.
    #[error("is {found}; {expected} is expected")]
    WrongType {
        /// What belongs there.
        expected: &'static str,
        /// What was written.
        found: &'static str,
    },
    /// The value is none of those that may stand there.
    #[error("{value:?} is not allowed; allowed are {allowed}")]
    NotAllowed {
        /// What was written.
        value: String,
        /// What may be.
        allowed: String,
    },
    /// A number, size or duration out of its bounds.
    #[error("{value} is too {}; allowed are {min} to {max}{}", .side, note(.rule))]
    OutOfBounds {
        /// What was written.
        value: String,
        /// Below or above.
        side: Side,
        /// The smallest allowed.
        min: String,
        /// The largest allowed.
        max: String,
        /// Whose rule that is; empty where it is only ours.
        rule: &'static str,
    },
    /// The value cannot be understood or contradicts another one.
    #[error("{why}")]
    Invalid {
        /// What is wrong and what would be right.
        why: String,
    },
    /// Written twice.
    #[error("{value:?} is there already, at line {first_line}; each may be there once")]
    Duplicate {
        /// What.
        value: String,
        /// Where first.
        first_line: usize,
    },
    /// There were more problems than are listed.
    #[error("{count} more problems are not listed")]
    More {
        /// How many.
        count: usize,
    },
}

/// On which side of its bounds a value is, worded for what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A count below.
    Few,
    /// A count above.
    Many,
    /// A size below.
    Small,
    /// A size above.
    Large,
    /// A duration below.
    Short,
    /// A duration above.
    Long,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Few => "few",
            Self::Many => "many",
            Self::Small => "small",
            Self::Large => "large",
            Self::Short => "short",
            Self::Long => "long",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            key,
            kind,
        } = self;
        write!(f, "{}:{line}: ", file.display())?;
        if !key.is_empty() {
            write!(f, "{key}: ")?;
        }
        write!(f, "{kind}")
    }
}

impl ConfigError {
    /// What is wrong inside the file; empty where it could not be read at all.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            _ => &[],
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths.iter().map(|p| Path::display(p).to_string()).collect();
    names.join(" and ")
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|key| format!("did you mean `{key}`? "))
        .unwrap_or_default()
}

fn note(rule: &str) -> String {
    if rule.is_empty() {
        String::new()
    } else {
        format!(" ({rule})")
    }
}
