//! Rules on any text in the tree: nothing that ties it to one machine or one mirror.

use crate::finding::Finding;
use std::path::Path;

/// Hosts of package registries. People have mirrors: packages are named, never their hosts.
/// They are put together here so that this file has none.
const REGISTRY_HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("deb.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("proxy.", "golang.org"),
];

/// Cargo writes files of this name, and the registry's name into it.
const LOCK_FILE: &str = "Cargo.lock";

/// First parts of absolute paths that are the same on every machine.
const COMMON_ROOTS: &[&str] = &[
    "bin", "boot", "dev", "etc", "lib", "media", "mnt", "opt", "proc", "run", "sbin", "srv", "sys",
    "tmp", "usr", "var",
];

/// Paths that exist on this machine only, each with a `/` at its end: the work tree, the folder
/// around it where that is no usual one, the user's home, and homes as such.
pub(crate) fn machine_places(root: &Path, home: &str) -> Vec<String> {
    let mut places = vec![concat!("/ho", "me/").to_owned(), concat!("/Us", "ers/").to_owned()];
    let mut add = |path: &str| {
        let path = path.trim_end_matches('/');
        let first = path.trim_start_matches('/');
        if path.starts_with('/') && !COMMON_ROOTS.contains(&first) {
            places.push(format!("{path}/"));
        }
    };
    add(home);
    add(&root.to_string_lossy());
    if let Some(around) = root.parent() {
        add(&around.to_string_lossy());
    }
    places
}

/// Applies every rule of this module to the text of one file.
pub(crate) fn check(path: &str, text: &str, places: &[String], findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        let mut found = |rule, what| findings.push(Finding::at(path, index + 1, rule, what));
        if path.rsplit('/').next() != Some(LOCK_FILE)
            && let Some(host) = REGISTRY_HOSTS.iter().find(|host| line.contains(*host))
        {
            found("registry-host", format!("names {host}: name the package only"));
        }
        if let Some(place) = places.iter().find(|place| holds_path(line, place)) {
            found("machine-path", format!("names {place}, which is on one machine only"));
        }
    }
}

/// Is `place` in `line` as the start of a path, not as the middle of a longer one?
fn holds_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "_-.*~$})/".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let places = machine_places(Path::new("/nest/egg"), "/burrow");
        let mut findings = Vec::new();
        check(path, text, &places, &mut findings);
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn registry_hosts_are_found() {
        for host in REGISTRY_HOSTS {
            let text = format!("see https://{host}/project\n");
            assert_eq!(rules("README.md", &text), ["registry-host"], "{host}");
            assert!(rules(LOCK_FILE, &text).is_empty(), "{host}");
        }
        assert!(rules("README.md", "the crate blake3 from its registry\n").is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let homes = [concat!("/ho", "me/ann/x"), concat!("/Us", "ers/ann/x")];
        for path in ["/nest/egg/target", "/nest/other", "/burrow/.cache"].iter().chain(&homes) {
            assert_eq!(rules("tools/test", &format!("cd {path}\n")), ["machine-path"], "{path}");
            assert_eq!(rules("a.md", &format!("`{path}`\n")), ["machine-path"], "{path}");
        }
    }

    #[test]
    fn paths_of_every_machine_are_not() {
        for path in ["/usr/bin/env", "/tmp/x", "target/nest/x", "$T/nest/x", "file:///nest"] {
            assert!(rules("tools/test", &format!("cd {path}\n")).is_empty(), "{path}");
        }
    }

    #[test]
    fn a_tree_in_a_usual_folder_does_not_ban_that_folder() {
        let places = machine_places(Path::new("/tmp/tree-of-a-test"), "/");
        assert!(places.contains(&"/tmp/tree-of-a-test/".to_owned()));
        assert!(!places.contains(&"/tmp/".to_owned()) && !places.contains(&"/".to_owned()));
    }
}
