//! What is accepted and what is refused.

use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;
use warifu_core::plan::{Override, Rule};

fn parse(line: &str) -> Result<Command, ErrorKind> {
    let words = std::iter::once("warifu").chain(line.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.command).map_err(|refused| refused.kind())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn help_lists_what_works_and_nothing_else() {
    let names = |command: &clap::Command| {
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        shown.map(|sub| sub.get_name().to_owned()).collect::<Vec<_>>()
    };
    let mut root = Cli::command();
    root.build();
    assert_eq!(
        names(&root),
        [
            "init",
            "site",
            "key",
            "individual",
            "card",
            "trust",
            "consent",
            "backup",
            "restore",
            "estimate",
            "plan",
            "list",
            "show",
            "find",
            "jobs",
            "worker",
            "status",
            "audit",
            "hold",
            "forget",
            "break-glass",
            "plugin",
            "simulate",
            "bench",
            "doctor",
            "config",
            "explain",
            "completions",
            "man"
        ]
    );
    let below = |name: &str| names(root.find_subcommand(name).unwrap());
    assert_eq!(
        below("key"),
        ["status", "forecast", "generate", "import", "export", "fetch", "audit", "test"]
    );
    assert_eq!(below("site"), ["add", "list", "show", "test", "drain", "remove", "serve"]);
    assert_eq!(below("individual"), ["enroll", "rebind", "list", "show"]);
    assert_eq!(below("card"), ["list", "show", "new-lab"]);
    assert_eq!(below("config"), ["show", "check"]);
    assert_eq!(below("plugin"), ["new", "info", "test"]);
    assert_eq!(below("jobs"), ["list", "show", "pause", "resume", "cancel"]);
}

#[test]
fn the_lines_of_the_lab_are_accepted() {
    for line in [
        "--vault G init",
        "init --name hospital",
        "--vault S1 init --site sendai --listen 127.0.0.1:7401",
        "--vault S1 init --site sendai --listen [::1]:0 --store file:///srv/shares",
        "site add sendai warifu://h:1 --zone tohoku --domain tohoku-univ --channel otp",
        "key generate --site sendai --bytes 2GiB --courier DRIVE",
        "plugin new DIR",
        "plugin info a.so",
        "plugin test a.so folder=/b --only put --junit out.xml",
        "key import DRIVE",
        "key fetch --site sendai --site tokyo --bytes 1GiB",
        "key fetch --watermark 2GiB --follow --accept-mismatch",
        "site serve",
        "key generate --random --bytes 1GiB",
        "key generate --random --bytes 1GiB --from /dev/hwrng --dry-run",
        "key export --site sendai --bytes 1MiB DRIVE",
        "key test",
        "key test qkd --peer sae-b --peer-kme far --json",
        "individual enroll P1",
        "--json backup a.bam --individual P1 --scheme 3/5",
        "backup a - --individual P1 --size 5GB --pin a --pin b --exclude c --name L --dry-run",
        "--json restore 000102030405060708090a0b0c0d0e0f -o a.out",
        "restore 000102030405060708090a0b0c0d0e0f -o -",
        "restore 000102030405060708090a0b0c0d0e0f -o a --resume",
        "restore 000102030405060708090a0b0c0d0e0f --resume",
        "restore 000102030405060708090a0b0c0d0e0f --range 0-1MiB -o -",
        "restore 000102030405060708090a0b0c0d0e0f --range 7- -o a",
        "backup a --individual P1 --compress zstd --pad",
        "list --json -q",
        "doctor --accept-rollback -vv",
        "completions bash",
        "show 0001",
        "restore 00ff",
        "backup a --individual P1 --profile night",
        "estimate a b/ - --size 5GB --scheme 2/3 --individual P1 --offline --profile none",
        "plan --bytes 15GB --scheme 3/5 --explain --offline --pin a --exclude b --profile none",
        "plan a b/ --manifest m.csv --override zone=lab",
        "site drain sendai",
        "site drain sendai --undo",
        "find --individual P1 --name x --site a --since 2026-07-01 --until 2026-07-02 --limit 3",
        "find --state degraded --class computational",
        "jobs cancel 0001 --dry-run",
        "jobs pause 0001",
        "backup --manifest m.tsv --wait",
        "worker --once --jobs 2 --json",
        "key forecast --days 30 -o f.svg",
        "status --watch --offline",
        "simulate --list",
        "simulate tohoku-2022 --months 3 --seed 7 --policy fixed --policy forecast -o a.svg",
        "simulate random --print --seed 9",
        "explain",
        "explain key-short",
        "explain 7",
        "man --out pages",
        "bench",
        "bench --quick --compare old.json",
        "bench kernel --isa all --rounds 9 -o a.svg --json",
        "bench pipeline --bytes 64MiB --scheme 6/10 --sites null --sites folder --folder d",
        "bench backend --folder d --bytes 1MiB --shares 3",
        "bench link --bytes 8MiB --quick",
        "bench keys --folder d",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    use ErrorKind::{
        ArgumentConflict, InvalidSubcommand, InvalidValue, MissingRequiredArgument,
        UnknownArgument, ValueValidation,
    };
    for (line, kind) in [
        ("init --site sendai", MissingRequiredArgument),
        ("init --listen 127.0.0.1:1", MissingRequiredArgument),
        ("init --store file:///x", MissingRequiredArgument),
        ("init --site a --listen h:1 --name b", ArgumentConflict),
        ("init --name b --listen h:1", ArgumentConflict),
        ("init --name b --store file:///x", ArgumentConflict),
        ("init --site a --listen 7401", ValueValidation),
        ("init --site a --listen :7401", ValueValidation),
        ("init --site a --listen h:+1", ValueValidation),
        ("init --site a --listen h:65536", ValueValidation),
        ("init --site ../a --listen h:1", ValueValidation),
        ("site add a warifu://h:1 --channel smoke", InvalidValue),
        ("key generate --bytes 1GiB", MissingRequiredArgument),
        ("key generate --site a --bytes 1GiB", MissingRequiredArgument),
        ("key generate --random --bytes 1GiB --courier D", ArgumentConflict),
        ("key generate --random --site a --courier D --bytes 1GiB", ArgumentConflict),
        ("key generate --random --bytes 0", ValueValidation),
        ("key generate --random --bytes 1.5GiB", ValueValidation),
        ("key generate --random", MissingRequiredArgument),
        ("card show --card file:k", ValueValidation),
        ("card show --card pkcs11:pin-value=1", ValueValidation),
        ("card show --pin-file p", MissingRequiredArgument),
        ("card show --card a --pin-file p --pin-fd 3", ArgumentConflict),
        ("card show --card a --card-timeout 0", ValueValidation),
        ("card new-lab --ca d --subject s", MissingRequiredArgument),
        ("card new-lab --ca d --subject s -o o --algorithm p521", InvalidValue),
        ("backup a.bam", MissingRequiredArgument),
        ("backup --individual P1", MissingRequiredArgument),
        ("backup a --individual P1 --scheme 1/5", ValueValidation),
        ("backup a --individual P1 --scheme 6/5", ValueValidation),
        ("backup a --individual ../P1", ValueValidation),
        ("backup a --individual P1 --override zone", ValueValidation),
        ("backup a --individual P1 --override zone=", ValueValidation),
        ("backup a --individual P1 --override gravity=no", ValueValidation),
        ("backup a --individual P1 --compress gzip", InvalidValue),
        ("restore 00 -o a", ValueValidation),
        ("restore 000102030405060708090a0b0c0d0e0f --range 0-1", MissingRequiredArgument),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range 0-1 --resume", ArgumentConflict),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range 5", ValueValidation),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range 5-5", ValueValidation),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range 6-5", ValueValidation),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range -5", UnknownArgument),
        ("restore 000102030405060708090a0b0c0d0e0f -o a --range 1-2-3", ValueValidation),
        ("simulate", MissingRequiredArgument),
        ("simulate national --list", ArgumentConflict),
        ("simulate national --print -o a.svg", ArgumentConflict),
        ("simulate national --policy best", ValueValidation),
        ("simulate national --months 0", ValueValidation),
        ("simulate national --months 121", ValueValidation),
        ("plan --explain", MissingRequiredArgument),
        ("plan --bytes 0", ValueValidation),
        ("backup a --individual P1 --wait --dry-run", ArgumentConflict),
        ("key forecast --days 0", ValueValidation),
        ("worker --jobs 0", ValueValidation),
        ("list -q -v", ArgumentConflict),
        ("bench kernel --rounds 2", ValueValidation),
        ("bench pipeline --sites moon", InvalidValue),
        ("bench link --folder d", UnknownArgument),
        ("bench disk", InvalidSubcommand),
        ("repair", InvalidSubcommand),
        ("help", InvalidSubcommand),
    ] {
        assert_eq!(parse(line).err(), Some(kind), "{line}");
    }
}

#[test]
fn an_override_keeps_all_of_its_reason() {
    let words =
        ["warifu", "backup", "a", "--individual", "P1", "--override", "zone= a=b, for now "];
    let Command::Backup(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("backup is backup")
    };
    let expected = Override { rule: Rule::Zone, reason: "a=b, for now".to_owned() };
    assert_eq!(args.overrides, [expected]);
    assert_eq!(args.scheme().to_string(), "3/5");
}
