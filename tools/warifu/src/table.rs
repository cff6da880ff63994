//! Aligned columns of text.

use std::fmt;

/// A column: its head, and the side to which its cells lean.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    leans_right: bool,
}

/// A column of words.
pub(crate) const fn words(head: &'static str) -> Column {
    Column { head, leans_right: false }
}

/// A column of numbers.
pub(crate) const fn numbers(head: &'static str) -> Column {
    Column { head, leans_right: true }
}

/// Rows under heads. Control characters in cells are escaped.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these columns and one row for each of `items`.
    pub(crate) fn new<T>(
        columns: [Column; N],
        items: impl IntoIterator<Item = T>,
        row: impl Fn(T) -> [String; N],
    ) -> Self {
        let rows = items.into_iter().map(|item| row(item).map(|cell| printable(&cell)));
        Self { columns, rows: rows.collect() }
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = self.columns.map(|column| column.head.chars().count());
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |cells: &[String; N]| {
            let mut text = String::new();
            for ((cell, width), column) in cells.iter().zip(widths).zip(self.columns) {
                text += &match column.leans_right {
                    true => format!("{cell:>width$}  "),
                    false => format!("{cell:<width$}  "),
                };
            }
            text
        };
        writeln!(f, "{}", line(&self.columns.map(|column| column.head.to_owned())).trim_end())?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{}", line(row).trim_end()))
    }
}

/// `text` with control characters escaped: nothing that was stored may steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_text() {
        let rows = [("sendai", 5), ("é", 12345)];
        let columns = [words("site"), numbers("key"), words("")];
        let table = Table::new(columns, rows, |(site, key)| {
            [site.to_owned(), key.to_string(), String::new()]
        });
        assert_eq!(table.to_string(), "site      key\nsendai      5\né       12345\n");
    }

    #[test]
    fn control_characters_are_escaped() {
        let table = Table::new([words("label")], ["a\u{1b}[2J\nb\u{9b}"], |cell| [cell.to_owned()]);
        assert_eq!(table.to_string(), "label\na\\u{1b}[2J\\nb\\u{9b}\n");
        assert_eq!(printable("東北 é"), "東北 é");
    }
}
