//! Collects what is wrong while a configuration is read, so that one run reports it all.

use super::{ConfigError, Problem, ProblemKind};
use std::{
    cell::RefCell,
    ops::Range,
    path::{Path, PathBuf},
};

/// More are counted, not listed.
const LISTED_MAX: usize = 100;

/// What has been found so far.
pub(super) struct Problems {
    file: PathBuf,
    /// Byte offset at which each line begins.
    line_starts: Vec<usize>,
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    pub(super) fn new(text: &str, file: &Path) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            file: file.to_owned(),
            line_starts: std::iter::once(0).chain(after_breaks).collect(),
            found: RefCell::default(),
        }
    }

    /// Notes a problem with `key` at the start of `span`, in bytes of the text.
    pub(super) fn add(&self, key: impl Into<String>, span: &Range<usize>, kind: ProblemKind) {
        self.found.borrow_mut().push(Problem {
            file: self.file.clone(),
            line: self.line_of(span),
            key: key.into(),
            kind,
        });
    }

    /// The line that `span` starts in, from 1.
    pub(super) fn line_of(&self, span: &Range<usize>) -> usize {
        self.line_starts
            .partition_point(|start| *start <= span.start)
    }

    /// Whether nothing was wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// All of them, in the order of their lines.
    pub(super) fn into_error(self) -> ConfigError {
        let mut problems = self.found.into_inner();
        problems.sort_by_key(|problem| problem.line);
        let count = problems.len().saturating_sub(LISTED_MAX);
        problems.truncate(LISTED_MAX);
        if count > 0
            && let Some(last) = problems.last().cloned()
        {
            problems.push(Problem {
                key: String::new(),
                kind: ProblemKind::More { count },
                ..last
            });
        }
        ConfigError::Invalid { problems }
    }
}
