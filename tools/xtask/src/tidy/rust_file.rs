//! A Rust source as the rules see it: lines without their comments, test code told apart.
//!
//! This is no parser. It relies on rustfmt's layout (an item ends with a `}` or a `;` at the
//! indentation at which it began), which the suite checks before.

/// A source file, cut into lines.
pub(crate) struct RustFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) lines: Vec<Line<'a>>,
}

/// One line.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    /// All of it.
    pub(crate) text: &'a str,
    /// The part that is not a line comment.
    pub(crate) code: &'a str,
    /// Does it belong to a test?
    pub(crate) in_test: bool,
}

impl<'a> RustFile<'a> {
    /// Cuts `text`, the content of the file at `path` (from the workspace root).
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let all_test = is_test_path(path);
        let mut region = Region::Product;
        let mut lines = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let code = without_comment(text);
            let (next, in_region) = region.step(code);
            region = next;
            lines.push(Line { number: index + 1, text, code, in_test: all_test || in_region });
        }
        Self { path, lines }
    }

    /// Is this the root module of a library or a program?
    pub(crate) fn is_crate_root(&self) -> bool {
        let in_src = self.path.ends_with("/src/lib.rs") || self.path.ends_with("/src/main.rs");
        in_src || self.path.contains("/src/bin/")
    }
}

fn is_test_path(path: &str) -> bool {
    let in_folder = |folder: &str| path.starts_with(folder) || path.contains(&format!("/{folder}"));
    in_folder("tests/") || in_folder("benches/") || path.ends_with("/tests.rs")
}

fn without_comment(text: &str) -> &str {
    match text.trim_start().starts_with("//") {
        true => "",
        false => text.split(" // ").next().unwrap_or(text),
    }
}

/// Where in the file the reader stands.
#[derive(Clone, Copy)]
enum Region {
    Product,
    /// After `#[cfg(test)]`, before the item that it belongs to.
    Awaited {
        indent: usize,
    },
    /// Inside that item.
    Test {
        indent: usize,
    },
}

impl Region {
    /// The region after a line of `code`, and whether that line belongs to a test.
    fn step(self, code: &str) -> (Self, bool) {
        let trimmed = code.trim();
        let indent = code.len() - code.trim_start().len();
        match self {
            Self::Product => match trimmed.starts_with("#[cfg(test)]") {
                true => (Self::Awaited { indent }, true),
                false => (Self::Product, false),
            },
            Self::Awaited { indent } => {
                let attribute = trimmed.starts_with("#[") || trimmed.is_empty();
                let one_line = trimmed.ends_with(';') || trimmed.ends_with('}');
                match (attribute, one_line) {
                    (true, _) => (self, true),
                    (false, true) => (Self::Product, true),
                    (false, false) => (Self::Test { indent }, true),
                }
            }
            Self::Test { indent: began } => {
                let ended = indent == began && trimmed.starts_with('}');
                (if ended { Self::Product } else { self }, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests_in(path: &str, text: &str) -> Vec<usize> {
        let file = RustFile::new(path, text);
        file.lines.iter().filter(|line| line.in_test).map(|line| line.number).collect()
    }

    #[test]
    fn test_items_are_told_apart() {
        let text = "\
fn product() {
}
#[cfg(test)]
#[expect(dead_code)]
mod tests {
    fn a() {
    }
}
fn after() {}
#[cfg(test)]
use x::y;
fn end() {}
";
        assert_eq!(tests_in("engine/core/src/a.rs", text), [3, 4, 5, 6, 7, 8, 10, 11]);
    }

    #[test]
    fn test_folders_are_tests_throughout() {
        for path in ["tests/e2e/src/lib.rs", "engine/a/tests/b.rs", "engine/a/src/tests.rs"] {
            assert_eq!(tests_in(path, "fn a() {}\n"), [1], "{path}");
        }
        assert!(tests_in("engine/a/src/attests.rs", "fn a() {}\n").is_empty());
    }

    #[test]
    fn comments_are_not_code() {
        let file = RustFile::new("a.rs", "    /// std::fs\nlet a = 1; // std::fs\nlet b = 2;\n");
        let code: Vec<&str> = file.lines.iter().map(|line| line.code).collect();
        assert_eq!(code, ["", "let a = 1;", "let b = 2;"]);
    }

    #[test]
    fn crate_roots_are_known() {
        for (path, root) in [
            ("engine/a/src/lib.rs", true),
            ("tools/a/src/main.rs", true),
            ("tools/a/src/bin/b.rs", true),
            ("engine/a/src/c.rs", false),
            ("engine/a/src/c/lib.rs", false),
        ] {
            assert_eq!(RustFile::new(path, "").is_crate_root(), root, "{path}");
        }
    }
}
