//! The header and the Rust types agree, as the C compiler of this machine sees the header.

#![allow(clippy::unwrap_used, reason = "a test that can't go on says so by panicking")]

use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;
use warifu_plugin_abi::{About, Call, Entry, Functions, Setting, status};

/// Compiles a program that prints these expressions, one in a line, and runs it.
fn in_c(expressions: &[&str]) -> Vec<u64> {
    let room = tempfile::tempdir().unwrap();
    let (source, program) = (room.path().join("a.c"), room.path().join("a"));
    let print = |text: &&str| format!("printf(\"%llu\\n\", (unsigned long long)({text}));");
    let body: String = expressions.iter().map(print).collect();
    let text =
        format!("#include <stdio.h>\n#include \"warifu_plugin.h\"\nint main(void) {{{body}}}");
    std::fs::write(&source, text).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let strict = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
    let mut cc = Command::new("cc");
    cc.args(strict).arg("-I").arg(folder).arg(&source).arg("-o").arg(&program);
    assert!(cc.status().unwrap().success());
    let answer = Command::new(&program).output().unwrap().stdout;
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().map(|line| line.parse().unwrap()).collect()
}

macro_rules! agree {
    ($($rust:ty = $c:literal: $($member:ident)+;)+) => {{
        let mut expressions = Vec::new();
        let mut expected: Vec<u64> = Vec::new();
        $(
            expressions.push(concat!("sizeof(struct ", $c, ")"));
            expected.push(size_of::<$rust>() as u64);
            $(
                expressions.push(
                    concat!("offsetof(struct ", $c, ", ", stringify!($member), ")"));
                expected.push(offset_of!($rust, $member) as u64);
            )+
        )+
        let found = in_c(&expressions);
        for ((expression, found), expected) in expressions.iter().zip(&found).zip(&expected) {
            assert_eq!(found, expected, "{expression}");
        }
        assert_eq!(found.len(), expected.len());
    }};
}

#[test]
fn sizes_and_offsets_agree() {
    agree! {
        About = "warifu_about": struct_size abi capabilities name version;
        Setting = "warifu_setting": name value;
        Call = "warifu_call": struct_size reserved deadline_ns cancelled message message_size;
        Entry = "warifu_entry": bytes name;
        Functions = "warifu_functions": struct_size reserved open close put_begin put_write
            put_finish put_abort read length list remove room;
    }
}

#[test]
fn numbers_agree() {
    let expressions = [
        "WARIFU_PLUGIN_ABI",
        "WARIFU_NAME_MAX",
        "WARIFU_CREATE_ONLY",
        "WARIFU_DURABLE",
        "WARIFU_OK",
        "WARIFU_NOT_FOUND",
        "WARIFU_EXISTS",
        "WARIFU_NO_SPACE",
        "WARIFU_DENIED",
        "WARIFU_UNAVAILABLE",
        "WARIFU_UNKNOWN",
        "WARIFU_LIMIT",
        "WARIFU_DAMAGED",
        "WARIFU_TRUNCATED",
        "WARIFU_FAILED",
    ];
    let ours = [
        status::OK,
        status::NOT_FOUND,
        status::EXISTS,
        status::NO_SPACE,
        status::DENIED,
        status::UNAVAILABLE,
        status::UNKNOWN,
        status::LIMIT,
        status::DAMAGED,
        status::TRUNCATED,
        status::FAILED,
    ];
    let constants = [
        u64::from(warifu_plugin_abi::ABI),
        warifu_plugin_abi::NAME_MAX as u64,
        warifu_plugin_abi::CREATE_ONLY,
        warifu_plugin_abi::DURABLE,
    ];
    let ours = constants.into_iter().chain(ours.map(|number| number as u64));
    assert_eq!(in_c(&expressions), ours.collect::<Vec<_>>());
}
