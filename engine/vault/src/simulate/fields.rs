//! Reads tables of TOML field by field, and gathers every mistake with its line.

use crate::config::{Gathered, meant};
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A kind of value: how it is read, and a sample to write in its place.
pub(super) struct Kind<T, F: Fn(&DeValue<'_>) -> Result<T, String>> {
    pub(super) read: F,
    pub(super) sample: &'static str,
}

/// One table, and which of its fields have been asked for.
pub(super) struct Fields<'a> {
    table: &'a DeTable<'a>,
    path: String,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of a table that stands at `span` under the name `path`.
    pub(super) fn new(table: &'a DeTable<'a>, path: String, span: Range<usize>) -> Self {
        Self { table, path, span, known: Vec::new() }
    }

    /// Where the table stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A field's name with its table's before it.
    pub(super) fn full(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// Where a field stands; the table where there is no such field.
    pub(super) fn span_of(&self, key: &str) -> Range<usize> {
        self.table.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    /// Whether a field is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Reads a field that may be missing.
    pub(super) fn get<T, F: Fn(&DeValue<'_>) -> Result<T, String>>(
        &mut self,
        found: &mut Gathered<'_>,
        key: &'static str,
        kind: Kind<T, F>,
    ) -> Option<T> {
        let value = self.value(key)?;
        match (kind.read)(value.get_ref()) {
            Ok(read) => Some(read),
            Err(what) => {
                let mend = format!("write for example {key} = {}", kind.sample);
                found.add(&value.span(), &self.full(key), what, mend);
                None
            }
        }
    }

    /// Reads a field that must be there.
    pub(super) fn need<T, F: Fn(&DeValue<'_>) -> Result<T, String>>(
        &mut self,
        found: &mut Gathered<'_>,
        key: &'static str,
        kind: Kind<T, F>,
    ) -> Option<T> {
        if !self.has(key) {
            self.known.push(key);
            let mend = format!("add {key} = {}", kind.sample);
            found.add(&self.span, &self.full(key), "is missing".to_owned(), mend);
            return None;
        }
        self.get(found, key, kind)
    }

    /// A table below this one, where it is there and is one.
    pub(super) fn table(
        &mut self,
        found: &mut Gathered<'_>,
        key: &'static str,
    ) -> Option<Fields<'a>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            let mend = format!("write [{}] on a line of its own, and its fields below", key);
            found.add(&value.span(), &self.full(key), "must be a table".to_owned(), mend);
            return None;
        };
        Some(Fields::new(table, self.full(key), value.span()))
    }

    /// A list of tables below this one, `most` of them at most; none where it is missing.
    pub(super) fn tables(
        &mut self,
        found: &mut Gathered<'_>,
        key: &'static str,
        most: usize,
    ) -> Vec<Fields<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let mend = || format!("write [[{key}]] before each, or {key} = [{{ ... }}, {{ ... }}]");
        let Some(list) = value.get_ref().as_array() else {
            let what = "must be a list of tables".to_owned();
            found.add(&value.span(), &self.full(key), what, mend());
            return Vec::new();
        };
        if list.len() > most {
            let what = format!("has {} entries and may have {most}", list.len());
            found.add(&value.span(), &self.full(key), what, "leave some out".to_owned());
            return Vec::new();
        }
        let mut tables = Vec::new();
        for (at, entry) in list.iter().enumerate() {
            let path = format!("{}[{}]", self.full(key), at + 1);
            match entry.get_ref().as_table() {
                Some(table) => tables.push(Fields::new(table, path, entry.span())),
                None => found.add(&entry.span(), &path, "must be a table".to_owned(), mend()),
            }
        }
        tables
    }

    /// Tells of fields that nobody asked for.
    pub(super) fn end(self, found: &mut Gathered<'_>) {
        for (key, _) in self.table {
            let name: &Cow<'_, str> = key.get_ref();
            if self.known.iter().any(|known| known == name) {
                continue;
            }
            let mend = match meant(name, self.known.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("leave it out; here may stand {}", self.known.join(", ")),
            };
            found.add(&key.span(), &self.full(name), "is no field".to_owned(), mend);
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }
}
