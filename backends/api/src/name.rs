//! The name of a share in a store: short, printable, and never a way out of a folder.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is no share name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Something other than `A-Z a-z 0-9 . _ -`.
    #[error("a share name holds only letters, digits, dot, underscore and hyphen")]
    BadCharacter,
    /// Hidden files, `.` and `..` are refused by this.
    #[error("a share name does not begin with a dot")]
    LeadingDot,
    /// Empty, or longer than [`NAME_BYTES_MAX`].
    #[error("a share name has 1 to {NAME_BYTES_MAX} bytes, this one has {bytes}")]
    Length {
        /// Length of what was given, in bytes.
        bytes: usize,
    },
}

/// A name of 1 to 128 characters of `A-Z a-z 0-9 . _ -` without a leading dot.
///
/// It is a single component of a path on every system, and means the same in a URL. Names are
/// public values and differ by case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(Box<str>);

impl ShareName {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(NameError::Length { bytes: text.len() });
        }
        if text.starts_with('.') {
            return Err(NameError::LeadingDot);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(NameError::BadCharacter);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ShareName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_names_are_kept_as_they_are() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        for text in ["a", "0", "-", "_.", "00ff-2a.share", "a..b", &longest] {
            assert_eq!(ShareName::new(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn each_rule_is_named_when_broken() {
        assert_eq!(ShareName::new(""), Err(NameError::Length { bytes: 0 }));
        assert_eq!(ShareName::new(&"x".repeat(129)), Err(NameError::Length { bytes: 129 }));
        for text in [".", "..", ".hidden", "../x"] {
            assert_eq!(ShareName::new(text), Err(NameError::LeadingDot), "{text:?}");
        }
        for text in ["a/b", "/", "a\\b", "a\0", "a b", "\u{e9}", "a\n", "C:", "a%2f"] {
            assert_eq!(ShareName::new(text), Err(NameError::BadCharacter), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_name_is_one_plain_path_component(text in any::<String>()) {
            if let Ok(name) = ShareName::new(&text) {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert_eq!(path.file_name().and_then(|part| part.to_str()), Some(&*text));
            }
        }
    }
}
