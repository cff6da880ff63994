//! A container of keys as most senders write it, found without looking at the keys: where each ends
//! follows from its length. Whatever is written otherwise is left to the parser of JSON.

use super::Entry;
use std::borrow::Cow;

/// The entries of `text`, whose keys have `key_characters` characters each; `None` where it is
/// written otherwise, or is no container. The characters of a key were not looked at: one that is
/// no base64 may hold anything.
pub(super) fn entries(text: &[u8], key_characters: usize) -> Option<Vec<Entry<'_>>> {
    let mut rest = Rest(text);
    let mut entries = Vec::new();
    rest.take(b"{")?;
    rest.take(b"\"keys\"")?;
    rest.take(b":")?;
    rest.take(b"[")?;
    if rest.take(b"]").is_none() {
        loop {
            entries.push(entry(&mut rest, key_characters)?);
            if rest.take(b",").is_none() {
                break;
            }
        }
        rest.take(b"]")?;
    }
    rest.take(b"}")?;
    rest.is_over().then_some(entries)
}

fn entry<'a>(rest: &mut Rest<'a>, key_characters: usize) -> Option<Entry<'a>> {
    let (mut name, mut key) = (None, None);
    rest.take(b"{")?;
    for turn in 0..2 {
        if turn == 1 {
            rest.take(b",")?;
        }
        if name.is_none() && rest.take(b"\"key_ID\"").is_some() {
            rest.take(b":")?;
            name = Some(rest.name()?);
        } else if key.is_none() && rest.take(b"\"key\"").is_some() {
            rest.take(b":")?;
            key = Some(rest.key(key_characters)?);
        } else {
            return None;
        }
    }
    rest.take(b"}")?;
    Some(Entry { name: Cow::Borrowed(name?), key: key? })
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', after @ ..] = self.0 {
            self.0 = after;
        }
    }

    fn take(&mut self, token: &[u8]) -> Option<()> {
        self.skip_space();
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }

    fn is_over(&mut self) -> bool {
        self.skip_space();
        self.0.is_empty()
    }

    /// A text without escapes.
    fn name(&mut self) -> Option<&'a str> {
        self.take(b"\"")?;
        let end = self.0.iter().take(NAME_BYTES_MAX).position(|byte| *byte == b'"')?;
        let (name, after) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = after;
        str::from_utf8(name).ok().filter(|name| !name.contains('\\'))
    }

    /// A text of so many characters, with its quotes.
    fn key(&mut self, characters: usize) -> Option<&'a [u8]> {
        self.skip_space();
        let (key, after) = self.0.split_at_checked(characters.checked_add(2)?)?;
        self.0 = after;
        (key.starts_with(b"\"") && key.ends_with(b"\"")).then_some(key)
    }
}

/// No name that counts is longer.
const NAME_BYTES_MAX: usize = 64;
