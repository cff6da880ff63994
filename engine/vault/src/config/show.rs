//! All settings as TOML, each with a word on where its value came from.

use super::settings::{Kind, Setting, of_table};
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
    for table in ["site", "limits", "placement", "restore", "batch", "consent"] {
        if let Some(values) = values.get(table).and_then(toml::Value::as_table) {
            shown.head(table);
            shown.table(table, table, values);
        }
    }
    for kind in ["profile", "kme"] {
        let tables = values.get(kind).and_then(toml::Value::as_table);
        for (name, values) in tables.into_iter().flatten() {
            let path = format!("{kind}.{name}");
            shown.head(&path);
            shown.table(kind, &path, values.as_table().unwrap_or(&toml::Table::new()));
        }
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
