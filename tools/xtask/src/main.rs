//! Checks that the compiler does not make: the house style and the direction of dependencies.
//!
//! `cargo run -p xtask -- tidy` reads every tracked file, `cargo run -p xtask -- layers` reads
//! what `cargo metadata` says. Both print one line for each finding, then a summary, and end
//! with 0 where there is none, 1 where there are some, 2 where the check itself could not run.

#![forbid(unsafe_code)]

mod finding;
mod layers;
mod tidy;
mod tree;

use finding::Finding;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo run -p xtask -- tidy|layers";

/// Why a check could not run at all.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    /// A tool that the check reads from failed, with what it said.
    #[error("{tool} failed: {what}")]
    Tool { tool: &'static str, what: String },
    /// A tool answered something that is not what it promises.
    #[error("{tool} answered without {what}")]
    Answer { tool: &'static str, what: &'static str },
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = match (arguments.next(), arguments.next()) {
        (Some(name), None) => name,
        _ => return usage(),
    };
    let root = workspace_root();
    let outcome = match name.as_str() {
        "layers" => layers::check(&root),
        "tidy" => tidy::check(&root),
        _ => return usage(),
    };
    report(&name, outcome)
}

/// The folder of the workspace: two above this crate's manifest.
fn workspace_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_path_buf()
}

#[expect(clippy::print_stderr, reason = "this is a command line tool, and this is its help")]
fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "its findings are its output")]
fn report(name: &str, outcome: Result<Report, CheckError>) -> ExitCode {
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            eprintln!("xtask {name}: {error}");
            return ExitCode::from(2);
        }
    };
    for finding in &report.findings {
        println!("{finding}");
    }
    let (looked, unit) = (report.looked_at_count, report.unit);
    println!("xtask {name}: {looked} {unit} read, {} findings", report.findings.len());
    if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a check saw.
struct Report {
    looked_at_count: usize,
    unit: &'static str,
    findings: Vec<Finding>,
}
