//! All settings as TOML, each with a word on where its value came from.

use super::settings::{Kind, PLACEMENTS, Setting, of_table};
use super::value::size_text;
use super::{Config, check};
use std::fmt::Write;

/// Column at which the words begin, where the setting leaves room.
const WORDS_AT: usize = 36;

/// The settings of `config`, as read from `text`.
pub(super) fn show(config: &Config, text: &str) -> Result<String, toml::ser::Error> {
    let values = toml::Table::try_from(config)?;
    let lines = check::check(text).lines;
    let mut shown = Shown { lines, text: String::new() };
    shown.table("", "", &values);
    for table in ["site", "limits", "pipeline", "placement", "restore", "batch", "consent"] {
        if let Some(values) = values.get(table).and_then(toml::Value::as_table) {
            shown.head(table);
            shown.table(table, table, values);
        }
        for kind in PLACEMENTS.into_iter().filter(|_| table == "placement") {
            shown.named(kind, &values);
        }
    }
    for kind in ["profile", "kme"] {
        shown.named(kind, &values);
    }
    Ok(shown.text)
}

struct Shown {
    lines: Vec<(String, usize)>,
    text: String,
}

impl Shown {
    fn head(&mut self, path: &str) {
        self.text += &format!("\n[{path}]\n");
    }

    /// All tables of a kind that have names of their own.
    fn named(&mut self, kind: &'static str, values: &toml::Table) {
        let mut parts = kind.split('.');
        let first = parts.next().and_then(|part| values.get(part));
        let tables = parts.fold(first, |table, part| table?.get(part));
        for (name, values) in tables.and_then(toml::Value::as_table).into_iter().flatten() {
            let path = format!("{kind}.{name}");
            let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            match !name.is_empty() && name.chars().all(is_bare) {
                true => self.head(&path),
                false => self.head(&format!("{kind}.{}", toml::Value::from(name.as_str()))),
            }
            self.table(kind, &path, values.as_table().unwrap_or(&toml::Table::new()));
        }
    }

    fn table(&mut self, table: &'static str, path: &str, values: &toml::Table) {
        for setting in of_table(table) {
            let Some(value) = values.get(setting.key) else { continue };
            let full = match path {
                "" => setting.key.to_owned(),
                path => format!("{path}.{}", setting.key),
            };
            let line = self.lines.iter().find(|(key, _)| *key == full);
            let words = line.map_or_else(|| "default".to_owned(), |(_, at)| format!("line {at}"));
            let entry = format!("{} = {}", setting.key, written(setting, value));
            // Writing to a text does not fail.
            let _done = writeln!(self.text, "{entry:<WORDS_AT$}  # {words}");
        }
    }
}

/// A value as a person would write it: sizes with their unit.
fn written(setting: &Setting, value: &toml::Value) -> String {
    let bytes = value.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
    match (setting.kind, bytes) {
        (Kind::Bytes(..), Some(bytes)) => format!("{:?}", size_text(bytes)),
        _ => value.to_string(),
    }
}
