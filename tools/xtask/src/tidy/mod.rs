//! The house style, as far as a tool can see it.
//!
//! Rules on Rust sources are in [`source`], rules on the shape of the tree in [`shape`], rules on
//! any text in [`words`]; [`promises`] compares the page of invariants with the tests. Each has
//! tests in which it fires on a planted sample.

mod promises;
mod rust_file;
mod shape;
mod source;
mod words;

use crate::tree::tracked_files;
use crate::{CheckError, Report};
use rust_file::RustFile;
use std::path::Path;

/// Crates that may hold `unsafe`, by where their sources or roots lie. Every other one forbids it;
/// of the kernels' bench only the library may hold it, and its program forbids it.
const UNSAFE_FOLDERS: &[&str] =
    &["engine/kernels/", "benches/kernels/src/lib.rs", "benches/compare/"];

/// Single files that may hold `unsafe`. The root of their crate denies it, so that nothing else
/// there does.
const UNSAFE_FILES: &[&str] = &["backends/local/src/ring.rs", "plugins/host/src/library.rs"];

/// Reads every tracked file under `root` and applies every rule.
///
/// # Errors
/// Where the files can't be listed or read.
pub(crate) fn check(root: &Path) -> Result<Report, CheckError> {
    let files = tracked_files(root)?;
    let home = std::env::var("HOME").unwrap_or_default();
    let places = words::machine_places(root, &home);
    let mut findings = shape::check(&files);
    findings.extend(promises::check(&files));
    for file in &files {
        let Some(text) = &file.text else { continue };
        words::check(&file.path, text, &places, &mut findings);
        if file.path.ends_with(".rs") {
            source::check(&RustFile::new(&file.path, text), &mut findings);
        }
    }
    findings.sort_by(|a, b| (&a.place, a.line).cmp(&(&b.place, b.line)));
    Ok(Report { looked_at_count: files.len(), unit: "files", findings })
}
