//! `bench`

mod plot;
mod told;

use super::Context;
use crate::args::{
    BackendArgs, BenchArgs, BenchCommand, KernelArgs, KeysArgs, LinkArgs, PipelineArgs,
    built_in_scheme,
};
use crate::exit::Ending;
use crate::signals::Stop;
use crate::size::Size;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use warifu_figures::{
    BackendSettings, BenchError, Comparison, KernelSettings, KeysSettings, LinkSettings, Machine,
    Pace, PipelineSettings, Report, Sites, Taken, backend, compare, kernel, keys, link, pipeline,
};
use warifu_kernels::Isa;
use warifu_vault::{Class, Failure};

/// Samples of each figure.
const ROUNDS: usize = 7;
const KERNEL_ROUNDS: usize = 15;
const QUICK_ROUNDS: usize = 5;

/// A report is at most this long, in bytes.
const REPORT_BYTES_MAX: u64 = 16 << 20;

/// What is answered.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plot: Option<String>,
}

/// Measures what was asked for, all of it where nothing was.
pub(super) fn bench(context: &Context, args: BenchArgs) -> Result<(), Ending> {
    let before = args.compare.as_deref().map(earlier).transpose()?;
    args.out.as_deref().map_or(Ok(()), crate::plot::expect_writable)?;
    let stop = Stop::install()?;
    let machine = Machine::here();
    if machine.build != "release" {
        context.output.note("note: this is a debug build; its figures tell nothing of the product");
    }
    let benches = args.bench.map_or_else(all, |bench| vec![bench]);
    let mut taken = Vec::new();
    for bench in benches {
        context.output.note(&format!("measuring: {}", name(&bench)));
        let rounds = match (args.rounds, args.quick, &bench) {
            (Some(rounds), _, _) => rounds as usize,
            (None, true, _) => QUICK_ROUNDS,
            (None, false, BenchCommand::Kernel(_)) => KERNEL_ROUNDS,
            (None, false, _) => ROUNDS,
        };
        let pace = Pace { rounds, quick: args.quick, stop: stop.flag() };
        let outcome = measure(bench, pace).map_err(|failure| stop.ending(failure))?;
        taken.push(outcome);
    }
    let report = Report::new(machine, args.quick, taken);
    let comparison = before.map(|before| compare(&report, &before));
    if let Some(path) = &args.out {
        crate::plot::save(plot::svg(&report), path)?;
    }
    let plot = args.out.as_ref().map(|path| path.display().to_string());
    let answer = Answer { report: &report, comparison: comparison.as_ref(), plot };
    context.output.answer(&answer, || told::told(&report, comparison.as_ref()))
}

fn all() -> Vec<BenchCommand> {
    vec![
        BenchCommand::Kernel(KernelArgs::default()),
        BenchCommand::Pipeline(PipelineArgs::default()),
        BenchCommand::Backend(BackendArgs::default()),
        BenchCommand::Link(LinkArgs::default()),
        BenchCommand::Keys(KeysArgs::default()),
    ]
}

fn name(bench: &BenchCommand) -> &'static str {
    match bench {
        BenchCommand::Kernel(_) => "kernel",
        BenchCommand::Pipeline(_) => "pipeline",
        BenchCommand::Backend(_) => "backend",
        BenchCommand::Link(_) => "link",
        BenchCommand::Keys(_) => "keys",
    }
}

fn measure(bench: BenchCommand, pace: Pace<'_>) -> Result<Taken, Failure> {
    let bytes = |asked: Option<Size>, usual_mib: u64, quick_mib: u64| {
        let usual = if pace.quick { quick_mib } else { usual_mib } << 20;
        asked.map_or(usual, |size| size.bytes)
    };
    let folder = |asked: Option<PathBuf>| asked.unwrap_or_else(std::env::temp_dir);
    let taken = match bench {
        BenchCommand::Kernel(args) => kernel(&KernelSettings { isas: isas(&args.isas)? }, pace),
        BenchCommand::Pipeline(args) => {
            let mut sites: Vec<Sites> = args.sites.into_iter().map(Sites::from).collect();
            if sites.is_empty() {
                sites = vec![Sites::Null, Sites::Memory];
            }
            let settings = PipelineSettings {
                bytes: bytes(args.bytes, 128, 8),
                threshold: args.scheme.unwrap_or_else(built_in_scheme),
                sites,
                folder: folder(args.folder),
            };
            pipeline(&settings, pace)
        }
        BenchCommand::Backend(args) => {
            let settings = BackendSettings {
                folder: folder(args.folder),
                share_bytes: bytes(args.bytes, 8, 1),
                shares: args.shares.unwrap_or(16),
            };
            backend(&settings, pace)
        }
        BenchCommand::Link(args) => {
            link(&LinkSettings { bytes: bytes(args.bytes, 64, 8), isa: pinned()? }, pace)
        }
        BenchCommand::Keys(args) => {
            keys(&KeysSettings { bytes: bytes(args.bytes, 128, 16), folder: args.folder }, pace)
        }
    };
    taken.map_err(refused)
}

/// The instruction sets by their names; `all`, or the one that all else of warifu would use.
fn isas(names: &[String]) -> Result<Vec<Isa>, Failure> {
    if names.is_empty() {
        return Ok(vec![pinned()?]);
    }
    let mut isas: Vec<Isa> = Vec::new();
    for name in names {
        let found = match name.as_str() {
            "all" => Isa::available(),
            name => vec![Isa::named(name).map_err(|error| isa_unknown("--isa").because(error))?],
        };
        found
            .into_iter()
            .filter(|isa| !isas.contains(isa))
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|isa| isas.push(isa));
    }
    Ok(isas)
}

fn pinned() -> Result<Isa, Failure> {
    let wanted = std::env::var("WARIFU_ISA").ok().filter(|name| !name.is_empty());
    Isa::pinned(wanted.as_deref()).map_err(|error| isa_unknown("WARIFU_ISA").because(error))
}

fn isa_unknown(what: &str) -> Failure {
    Failure::new(Class::Usage, "isa-unknown", format!("{what} can't be used"))
        .next("name one that this machine has, or none")
}

/// What the bench's error means to who asked for it.
fn refused(error: BenchError) -> Failure {
    let what = "the bench gives no figures";
    // What a vault says of going on with it is not so here: the vault is gone.
    let is_stopped = match &error {
        BenchError::Vault(failure) => failure.code() == "stopped",
        error => matches!(error, BenchError::Stopped),
    };
    match error {
        _ if is_stopped => Failure::new(Class::Temporary, "stopped", "stopped on request"),
        BenchError::Vault(failure) => failure,
        BenchError::Setting { .. } => Failure::new(Class::Usage, "bench-setting", what)
            .because(error)
            .next("see `warifu bench BENCH --help` for what can be measured"),
        BenchError::Room { .. } => Failure::new(Class::Limit, "bench-room", what)
            .because(error)
            .next("measure less with --bytes, or elsewhere with --folder"),
        error => Failure::new(Class::Other, "bench-failed", what).because(error),
    }
}

/// The report of an earlier run.
fn earlier(path: &Path) -> Result<Report, Failure> {
    let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("{} can't be compared with", path.display());
        Failure::new(Class::Usage, "bench-unreadable", what)
            .because(cause)
            .next("name a file that `warifu bench --json` of this version has written")
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(REPORT_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| unreadable(error.into()))?;
    Report::parse(&text).map_err(|error| unreadable(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_sets_are_named_once_each_and_unknown_ones_refused() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            isas(&names).map(|isas| isas.len()).map_err(|failure| failure.code())
        };
        let all = Isa::available().len();
        assert_eq!(named(&["all"]), Ok(all));
        assert_eq!(named(&["scalar", "all", "scalar"]), Ok(all));
        assert_eq!(named(&["scalar"]), Ok(1));
        assert_eq!(named(&["mmx"]), Err("isa-unknown"));
    }

    #[test]
    fn errors_have_codes_by_what_can_be_done() {
        let code = |error| {
            let failure = refused(error);
            (failure.code(), failure.class().exit_code())
        };
        let (what, least, most) = ("x", 1, 2);
        assert_eq!(code(BenchError::Setting { what, least, most }), ("bench-setting", 2));
        let what = "x".to_owned();
        let room = BenchError::Room { what, left_bytes: 1, needed_bytes: 2 };
        assert_eq!(code(room), ("bench-room", 16));
        let wrong = BenchError::Wrong { figure: "xor".to_owned() };
        assert_eq!(code(wrong), ("bench-failed", 1));
        assert_eq!(code(BenchError::Stopped), ("stopped", 6));
        let stopped = Failure::new(Class::Temporary, "stopped", "x").next("go on with it");
        assert_eq!(refused(BenchError::Vault(stopped)).advice(), "");
        let other = Failure::new(Class::Key, "key-short", "x");
        assert_eq!(code(BenchError::Vault(other)), ("key-short", 7));
    }

    #[test]
    fn what_is_no_report_is_refused_before_anything_is_measured() {
        let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        for path in [own, Path::new("/nowhere/at/all")] {
            assert_eq!(earlier(path).unwrap_err().code(), "bench-unreadable");
        }
    }
}
