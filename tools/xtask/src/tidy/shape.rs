//! Rules on the shape of the tree: folders, crates, names of files.

use crate::finding::Finding;
use crate::tree::TrackedFile;

/// The rooms, and the folder in which a build server looks for what to run.
const TOP_FOLDERS: &[&str] = &["engine", "backends", "plugins", "benches", "tests", "tools", ".ci"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common.rs", "helpers.rs", "manager.rs", "misc.rs", "utils.rs"];

const MANIFEST: &str = "Cargo.toml";

/// Applies every rule of this module to the tree made of `files`.
pub(crate) fn check(files: &[TrackedFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        top_folder(&file.path, &mut findings);
        if EMPTY_NAMES.contains(&file.name()) {
            let what = "name the file after what is in it".to_owned();
            findings.push(Finding::whole(&file.path, "empty-name", what));
        }
    }
    match files.iter().find(|file| file.path == MANIFEST).and_then(|file| file.text.as_ref()) {
        Some(manifest) => members(manifest, files, &mut findings),
        None => findings.push(Finding::whole(MANIFEST, "members", "is missing".to_owned())),
    }
    findings
}

fn top_folder(path: &str, findings: &mut Vec<Finding>) {
    if let Some((folder, _)) = path.split_once('/')
        && !TOP_FOLDERS.contains(&folder)
    {
        let what = format!("{folder}/ is no room of this house: see ARCHITECTURE.md");
        findings.push(Finding::whole(path, "top-folder", what));
    }
}

/// The root manifest is the table of contents: every member by name, with a word on what it is,
/// and every crate that is none, with a word on why.
fn members(manifest: &str, files: &[TrackedFile], findings: &mut Vec<Finding>) {
    let mut listed = listed(manifest, "members = [", findings);
    listed.extend(self::listed(manifest, "exclude = [", findings));
    for file in files.iter().filter(|file| file.path.ends_with(&format!("/{MANIFEST}"))) {
        if !listed.contains(&file.path) {
            let what = "a crate that is no member of the workspace".to_owned();
            findings.push(Finding::whole(&file.path, "members", what));
        }
    }
}

/// The manifests of the crates in the list that begins with the line `opening`.
fn listed(manifest: &str, opening: &str, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut listed = Vec::new();
    let inside = manifest.lines().enumerate().skip_while(|(_, line)| *line != opening);
    for (index, line) in inside.skip(1).take_while(|(_, line)| *line != "]") {
        let mut found = |what| findings.push(Finding::at(MANIFEST, index + 1, "members", what));
        let Some((member, rest)) = line.trim().strip_prefix('"').and_then(|l| l.split_once('"'))
        else {
            found("one member a line, as \"folder\", # what it is".to_owned());
            continue;
        };
        let comment = rest.split_once('#').map_or("", |(_, comment)| comment.trim());
        if comment.is_empty() {
            found(format!("{member} has no comment that says what it is"));
        }
        if member.contains('*') {
            found(format!("{member}: list members one by one"));
        }
        listed.push(format!("{member}/{MANIFEST}"));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(manifest: &str, paths: &[&str]) -> Vec<&'static str> {
        let file = |path: &str, text: &str| TrackedFile {
            path: path.to_owned(),
            text: Some(text.to_owned()),
        };
        let mut files: Vec<TrackedFile> = paths.iter().map(|path| file(path, "")).collect();
        files.push(file(MANIFEST, manifest));
        check(&files).iter().map(|finding| finding.rule).collect()
    }

    const GOOD: &str = "[workspace]\nmembers = [\n    \"engine/a\", # what a is\n]\n";

    #[test]
    fn a_good_tree_has_no_finding() {
        let paths = ["README.md", ".ci/run", "engine/a/Cargo.toml", "engine/a/src/lib.rs"];
        assert!(rules(GOOD, &paths).is_empty());
    }

    #[test]
    fn another_top_folder_is_found() {
        for path in ["docs/page.md", "src/lib.rs", ".config/x.toml", "scripts/a"] {
            assert_eq!(rules(GOOD, &[path]), ["top-folder"], "{path}");
        }
    }

    #[test]
    fn members_carry_a_comment_and_a_name() {
        let manifest = |line: &str| format!("[workspace]\nmembers = [\n{line}\n]\n");
        for line in ["    \"engine/a\",", "    \"engine/a\", #", "    \"engine/*\", # all of them"]
        {
            assert_eq!(rules(&manifest(line), &[]), ["members"], "{line}");
        }
        assert_eq!(rules(&manifest("    # \"engine/a\" was here"), &[]), ["members"]);
    }

    #[test]
    fn a_crate_that_is_no_member_is_found() {
        assert_eq!(rules(GOOD, &["engine/b/Cargo.toml"]), ["members"]);
    }

    #[test]
    fn a_crate_apart_is_listed_with_the_reason() {
        let apart = |line: &str| format!("{GOOD}exclude = [\n    {line}\n]\n");
        assert!(rules(&apart("\"tests/b\", # why"), &["tests/b/Cargo.toml"]).is_empty());
        assert_eq!(rules(&apart("\"tests/b\","), &["tests/b/Cargo.toml"]), ["members"]);
        assert_eq!(rules(&apart("\"tests/b\", # why"), &["tests/c/Cargo.toml"]), ["members"]);
    }

    #[test]
    fn a_tree_without_a_manifest_is_found() {
        assert_eq!(check(&[])[0].rule, "members");
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        for name in EMPTY_NAMES {
            assert_eq!(rules(GOOD, &[&format!("engine/a/src/{name}")]), ["empty-name"]);
        }
        assert!(rules(GOOD, &["engine/a/src/ledger.rs"]).is_empty());
    }
}
