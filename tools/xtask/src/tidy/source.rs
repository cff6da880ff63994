//! Rules on Rust sources.

use super::rust_file::{Line, RustFile};
use super::{UNSAFE_FILES, UNSAFE_FOLDERS};
use crate::finding::Finding;

const COLUMNS_MAX: usize = 100;
const LINES_MAX: usize = 600;

/// Words that mean unfinished work. They are put together here so that this file has none.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("db", "g!("),
];

/// Rooms without I/O, clock and randomness: there, what is not deterministic is handed in.
const PURE_FOLDERS: &[&str] =
    &["engine/core/", "engine/kernels/", "engine/link/", "engine/vault/src/simulate/"];

/// Modules of the standard library that would break that.
const IMPURE_MODULES: &[&str] = &["env", "fs", "net", "process", "thread", "time"];

/// Who may make pads: the key store, which has burned their range before.
const PAD_MAKER: &str = "engine/keystore/";
const PAD_MADE: &str = concat!("from_", "burned(");

/// Applies every rule of this module to `file`.
pub(crate) fn check(file: &RustFile, findings: &mut Vec<Finding>) {
    if file.lines.len() > LINES_MAX {
        let what = format!("{} lines, at most {LINES_MAX}: split it", file.lines.len());
        findings.push(Finding::whole(file.path, "file-length", what));
    }
    forbids_unsafe(file, findings);
    for line in &file.lines {
        any_line(file.path, line, findings);
        if !line.in_test {
            product_line(file.path, line, findings);
        }
    }
    if lies_in(file.path, PURE_FOLDERS) {
        stays_pure(file, findings);
    }
}

fn lies_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn forbids_unsafe(file: &RustFile, findings: &mut Vec<Finding>) {
    if lies_in(file.path, UNSAFE_FOLDERS) {
        return;
    }
    let src = &file.path[..file.path.rfind('/').map_or(0, |end| end + 1)];
    let attribute = match UNSAFE_FILES.iter().any(|allowed| allowed.starts_with(src)) {
        true => "#![deny(unsafe_code)]",
        false => "#![forbid(unsafe_code)]",
    };
    if file.is_crate_root() && !file.lines.iter().any(|line| line.code == attribute) {
        let what = format!("a crate's root must say {attribute}");
        findings.push(Finding::whole(file.path, "forbid-unsafe", what));
    }
    if UNSAFE_FILES.contains(&file.path) {
        return;
    }
    let excuse = concat!("allow(unsafe", "_code");
    for line in file.lines.iter().filter(|line| line.code.contains(excuse)) {
        let what = "unsafe code has its own crates: see ARCHITECTURE.md".to_owned();
        findings.push(Finding::at(file.path, line.number, "forbid-unsafe", what));
    }
}

fn any_line(path: &str, line: &Line, findings: &mut Vec<Finding>) {
    let mut found = |rule, what| findings.push(Finding::at(path, line.number, rule, what));
    let columns = line.text.chars().count();
    if columns > COLUMNS_MAX {
        found("line-length", format!("{columns} columns, at most {COLUMNS_MAX}"));
    }
    for word in UNFINISHED.iter().filter(|word| line.text.contains(*word)) {
        found("unfinished", format!("{word:?}: finish it, or file it where work is planned"));
    }
}

fn product_line(path: &str, line: &Line, findings: &mut Vec<Finding>) {
    let mut found = |rule, what| findings.push(Finding::at(path, line.number, rule, what));
    let code = line.code.trim();
    let definition = format!("fn {PAD_MADE}");
    if code.contains(PAD_MADE) && !code.contains(&definition) && !path.starts_with(PAD_MAKER) {
        found("pad-maker", "only the key store makes pads: it burns their range first".to_owned());
    }
    let import = code.trim_start_matches("pub ");
    let local = ["use super::", "use crate::", "use self::"];
    if local.iter().any(|start| import.starts_with(start)) && import.ends_with("*;") {
        found("glob-import", "name what is used: globs are for tests".to_owned());
    }
}

fn stays_pure(file: &RustFile, findings: &mut Vec<Finding>) {
    let mut found = |number, name: &str| {
        let what = format!("{name}: no I/O, clock or randomness in this room; take a value");
        findings.push(Finding::at(file.path, number, "pure", what));
    };
    let mut in_group = false;
    for line in file.lines.iter().filter(|line| !line.in_test) {
        if let Some(module) = IMPURE_MODULES.iter().find(|module| names(line.code, module)) {
            found(line.number, &format!("std::{module}"));
        }
        let entropy = concat!("get", "random");
        if line.code.contains(entropy) {
            found(line.number, entropy);
        }
        let opens = line.code.contains("std::{");
        if (in_group || opens)
            && let Some(module) = IMPURE_MODULES.iter().find(|module| lists(line.code, module))
        {
            found(line.number, &format!("std::{module}"));
        }
        in_group = (in_group || opens) && !line.code.contains("};");
    }
}

/// Does `code` contain the path `std::MODULE`, not merely a longer name?
fn names(code: &str, module: &str) -> bool {
    let path = format!("std::{module}");
    code.match_indices(&path).any(|(at, _)| !continues(&code[at + path.len()..]))
}

/// Does `code`, a line of a group after `use std::{`, list `module`?
fn lists(code: &str, module: &str) -> bool {
    code.match_indices(module).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let starts = before.is_none_or(|c| c == '{' || c == ' ' || c == ',');
        starts && !continues(&code[at + module.len()..])
    })
}

fn continues(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check(&RustFile::new(path, text), &mut findings);
        findings.iter().map(|finding| finding.rule).collect()
    }

    const MODULE: &str = "engine/site/src/part.rs";
    const PURE: &str = "engine/core/src/part.rs";

    #[test]
    fn a_clean_file_has_no_finding() {
        let text = "//! A part.\n\nuse std::fs;\n\n/// Adds.\npub fn add() {}\n";
        assert!(rules(MODULE, text).is_empty());
        assert!(rules("engine/site/src/lib.rs", "#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn a_crate_root_without_forbid_is_found() {
        for root in ["engine/core/src/lib.rs", "tools/warifu/src/main.rs"] {
            assert_eq!(rules(root, "//! A crate.\n"), ["forbid-unsafe"], "{root}");
            assert_eq!(rules(root, "// #![forbid(unsafe_code)]\n"), ["forbid-unsafe"], "{root}");
        }
        assert!(rules("engine/kernels/src/lib.rs", "//! Kernels.\n").is_empty());
        assert!(rules(MODULE, "//! A module.\n").is_empty());
    }

    #[test]
    fn an_allowance_of_unsafe_is_found_even_in_tests() {
        let text = concat!("#![allow(unsafe", "_code, reason = \"speed\")]\n");
        assert_eq!(rules(MODULE, text), ["forbid-unsafe"]);
        assert_eq!(rules("engine/site/tests/a.rs", text), ["forbid-unsafe"]);
        assert_eq!(rules("backends/local/src/queued.rs", text), ["forbid-unsafe"]);
        assert!(rules("backends/local/src/ring.rs", text).is_empty());
        let root = |attribute: &str| rules("backends/local/src/lib.rs", attribute);
        assert!(root("#![deny(unsafe_code)]\n").is_empty());
        assert_eq!(root("//! A crate.\n"), ["forbid-unsafe"]);
        assert!(rules("engine/kernels/src/lib.rs", text).is_empty());
    }

    #[test]
    fn lengths_have_limits() {
        let column = |count: usize| format!("//{}\n", "é".repeat(count - 2));
        assert!(rules(MODULE, &column(100)).is_empty());
        assert_eq!(rules(MODULE, &column(101)), ["line-length"]);
        assert!(rules(MODULE, &"//\n".repeat(600)).is_empty());
        assert_eq!(rules(MODULE, &"//\n".repeat(601)), ["file-length"]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_tests_and_comments() {
        for word in UNFINISHED {
            assert_eq!(rules(MODULE, &format!("{word}\n")), ["unfinished"], "{word}");
            assert_eq!(rules(MODULE, &format!("// {word}\n")), ["unfinished"], "{word}");
            assert_eq!(
                rules("tests/e2e/src/lib.rs", &format!("#![forbid(unsafe_code)]\n{word}\n")),
                ["unfinished"]
            );
        }
    }

    #[test]
    fn pads_are_made_by_the_key_store_alone() {
        let call = format!("let pad = SealPad::{PAD_MADE}range, class, key);\n");
        assert_eq!(rules(MODULE, &call), ["pad-maker"]);
        assert_eq!(rules("engine/link/src/session.rs", &call), ["pad-maker"]);
        assert!(rules("engine/keystore/src/lease.rs", &call).is_empty());
        assert!(rules("engine/link/tests/session.rs", &call).is_empty());
        let in_test = format!("#[cfg(test)]\nmod tests {{\n    {call}}}\n");
        assert!(rules(MODULE, &in_test).is_empty());
        let after_test = format!("{in_test}fn late() {{\n    {call}}}\n");
        assert_eq!(rules(MODULE, &after_test), ["pad-maker"]);
        let definition = format!("            pub fn {PAD_MADE}range: KeyRange) -> Self {{\n");
        assert!(rules("engine/core/src/pad.rs", &definition).is_empty());
    }

    #[test]
    fn globs_of_our_own_modules_are_for_tests() {
        for import in ["use super::*;", "use crate::pad::*;", "pub use self::frame::*;"] {
            assert_eq!(rules(MODULE, &format!("{import}\n")), ["glob-import"], "{import}");
            assert!(rules("tests/e2e/tests/a.rs", &format!("{import}\n")).is_empty());
        }
        assert!(rules(MODULE, "use core::arch::x86_64::*;\n").is_empty());
    }

    #[test]
    fn pure_rooms_have_no_clock_files_network_or_randomness() {
        for code in [
            "use std::fs;",
            "use std::time::Instant;",
            "let now = std::time::SystemTime::now();",
            "std::net::TcpStream::connect(a)",
            "use std::{fmt, fs};",
            "use std::{\n    fmt,\n    time::Instant,\n};",
            concat!("get", "random::fill(&mut bytes)"),
        ] {
            let text = format!("{code}\n");
            assert_eq!(rules(PURE, &text), ["pure"], "{code}");
            assert_eq!(rules("engine/link/src/a.rs", &text), ["pure"], "{code}");
            assert_eq!(rules("engine/kernels/src/a.rs", &text), ["pure"], "{code}");
            assert!(rules(MODULE, &text).is_empty(), "{code}");
            assert!(rules("engine/core/tests/a.rs", &text).is_empty(), "{code}");
        }
        for code in ["use std::fmt;", "use std::fsx;", "use std::{fmt, ops};", "// std::fs"] {
            assert!(rules(PURE, &format!("{code}\nlet fs = 1;\n")).is_empty(), "{code}");
        }
    }
}
