//! One thing that is not as the house wants it.

use std::fmt;

/// A place and what is wrong there. It prints as `path:line: what [rule]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the workspace root, or the name of a crate.
    pub(crate) place: String,
    /// Line number from 1; `None` where the whole file or crate is meant.
    pub(crate) line: Option<usize>,
    /// The rule's name, to search CONTRIBUTING.md and this crate for.
    pub(crate) rule: &'static str,
    /// What is wrong, and what to do instead.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn at(place: &str, line: usize, rule: &'static str, what: String) -> Self {
        Self { place: place.to_owned(), line: Some(line), rule, what }
    }

    pub(crate) fn whole(place: &str, rule: &'static str, what: String) -> Self {
        Self { place: place.to_owned(), line: None, rule, what }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {} [{}]", self.place, self.what, self.rule),
            None => write!(f, "{}: {} [{}]", self.place, self.what, self.rule),
        }
    }
}
