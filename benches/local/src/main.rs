//! Processor time that a local store takes for each GiB of shares, by the ring and by plain calls.
//!
//! ```text
//! warifu-bench-local [--gib N] [--pairs N] [--folder DIR] [--json]
//! ```
//!
//! Each pair writes and reads one share by either engine, in turn, so that whatever else the
//! machine does meets both. What is written has the shape of a share: slots of 1 MiB with a page
//! behind, synced every 64 MiB, committed. Before it is read the system's cache is emptied of it.
//! The time is that of the process, all its threads included; what the system's own threads do for
//! it is in neither figure. Every byte of every share is compared, outside the measurement. Bare
//! calls on a file, in no store, tell what none could do without.

#![forbid(unsafe_code)]

mod measure;
mod report;

use measure::{Pair, file_system, measure_pairs};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

/// What is measured, as the command line says.
struct Settings {
    bytes: u64,
    pairs: usize,
    folder: PathBuf,
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let pairs = measure_pairs(settings.bytes, settings.pairs, &settings.folder)?;
    let on = file_system(&settings.folder)?;
    let text = match settings.json {
        true => report::json(settings.bytes, &on, &pairs),
        false => report::text(settings.bytes, &on, &pairs),
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
    let folder = std::env::temp_dir();
    let mut settings = Settings { bytes: 1 << 30, pairs: 7, folder, json: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--gib" => settings.bytes = number(value()?)? << 30,
            "--pairs" => settings.pairs = number(value()?)? as usize,
            "--folder" => settings.folder = value()?.into(),
            "--json" => settings.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    match settings.bytes > 0 && settings.pairs > 0 {
        true => Ok(settings),
        false => Err("at least one GiB and one pair".to_owned()),
    }
}
