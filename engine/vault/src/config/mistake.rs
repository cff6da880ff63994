//! What is wrong with a file of settings: where, what, and how it is mended.

use serde::Serialize;
use std::fmt;
use std::ops::Range;

/// One mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Its line; the first is 1.
    pub line: usize,
    /// Its column in characters; the first is 1.
    pub column: usize,
    /// The setting, with its table; empty where the file is no TOML there.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// How it is mended.
    pub mend: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        write!(f, "{}; {}", self.what, self.mend)
    }
}

/// All mistakes of one file, by line.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

/// Line and column of a byte.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[begin..].chars().count() + 1)
}

/// Gathers mistakes of one text.
pub(crate) struct Gathered<'a> {
    pub(crate) text: &'a str,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Gathered<'_> {
    /// Adds one.
    pub(crate) fn add(&mut self, span: &Range<usize>, key: &str, what: String, mend: String) {
        let (line, column) = place(self.text, span.start);
        self.mistakes.push(Mistake { line, column, key: key.to_owned(), what, mend });
    }
}

/// The word of `known` that `given` was probably meant to be.
pub(crate) fn meant<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let worth = |word: &&str| distance(given, word);
    let nearest = known.min_by_key(worth)?;
    (distance(given, nearest) <= 1 + nearest.len().min(given.len()) / 4).then_some(nearest)
}

/// How many characters have to be put in, left out or changed.
fn distance(a: &str, b: &str) -> usize {
    // Longer words than any setting are like none.
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let text = "a = 1\né = 2\n";
        assert_eq!(place(text, 0), (1, 1));
        assert_eq!(place(text, text.find('2').unwrap()), (2, 5));
        assert_eq!(place(text, 7), (2, 1), "within a character");
        assert_eq!(place(text, 999), (3, 1));
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["lease_bytes", "memory_bytes", "patience_seconds"];
        let meant = |given| meant(given, known.into_iter());
        assert_eq!(meant("lease_byte"), Some("lease_bytes"));
        assert_eq!(meant("leasebytes"), Some("lease_bytes"));
        assert_eq!(meant("memroy_bytes"), Some("memory_bytes"));
        assert_eq!(meant("patience"), None);
        assert_eq!(meant("x"), None);
        assert_eq!(meant(&"x".repeat(10_000)), None);
    }
}
