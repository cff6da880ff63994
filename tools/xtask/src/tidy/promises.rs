//! The page that maps invariants to tests must not name a test that is not there.
//!
//! An entry of that page is ``- `FILE`: `test`, `test` `` and may go on over further lines. What
//! stands between backquotes after the file are names of test functions in it, nothing else.

use crate::finding::Finding;
use crate::tree::TrackedFile;

const PAGE: &str = "tests/INVARIANTS.md";

/// Checks every entry of the page against the files it names.
pub(crate) fn check(files: &[TrackedFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let text_of = |path: &str| {
        files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref())
    };
    let Some(page) = text_of(PAGE) else {
        let what = "is missing: each invariant names the tests that attack it".to_owned();
        return vec![Finding::whole(PAGE, "promises", what)];
    };
    let mut source: Option<(&str, &str)> = None;
    for (index, line) in page.lines().enumerate() {
        let mut found = |what| findings.push(Finding::at(PAGE, index + 1, "promises", what));
        let mut quoted = line.split('`').skip(1).step_by(2);
        if line.starts_with("- `") {
            let path = quoted.next().unwrap_or_default();
            source = text_of(path).map(|text| (path, text));
            if source.is_none() {
                found(format!("there is no file {path}"));
            }
        } else if !line.starts_with("  ") {
            source = None;
        }
        let Some((path, text)) = source else { continue };
        for test in quoted.filter(|test| !defines(text, test)) {
            found(format!("{path} has no test {test}"));
        }
    }
    findings
}

/// Does the source `text`, in Rust or Python, define a function called `name`?
fn defines(text: &str, name: &str) -> bool {
    ["fn ", "def "].iter().any(|keyword| text.contains(&format!("{keyword}{name}(")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(page: &str) -> Vec<String> {
        let file = |path: &str, text: &str| TrackedFile {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        let files = [
            file(PAGE, page),
            file("engine/a/tests/a.rs", "#[test]\nfn holds() {}\n"),
            file("tests/vectors/test_b.py", "    def test_holds(self):\n"),
        ];
        check(&files).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn tests_that_are_there_are_no_finding() {
        let page = "# Page\n\nIn `prose` anything.\n\n- `engine/a/tests/a.rs`: `holds`\n\
                    - `tests/vectors/test_b.py`:\n  `test_holds`, with a word.\n";
        assert!(findings(page).is_empty());
    }

    #[test]
    fn a_missing_test_or_file_is_found() {
        let missing = ["engine/a/tests/a.rs has no test breaks"];
        assert_eq!(findings("- `engine/a/tests/a.rs`: `holds`, `breaks`\n"), missing);
        assert_eq!(findings("- `engine/a/tests/a.rs`: `holds`,\n  `breaks`\n"), missing);
        assert_eq!(findings("- `engine/a/tests/a.rs`: `hold`\n").len(), 1);
        assert_eq!(findings("- `engine/a/tests/c.rs`: `holds`\n").len(), 1);
    }

    #[test]
    fn a_missing_page_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
