//! How fast key goes through a key store, and where the time goes.
//!
//! ```text
//! warifu-bench-ledger [--mib N] [--rounds N] [--folder DIR] [--json]
//! ```
//!
//! Each round makes a key store with one link, whose segments hold `--mib` MiB in each direction,
//! and takes it all: one lease after another, frame by frame, each pad consumed and its key
//! overwritten on the medium; then the other direction, as the end that opens. Before and after
//! come the steps that no store can do without, by bare calls on a file of the same length, and
//! what the memory itself can do: `memcpy` and `memset` of as many bytes. Everything is set
//! against those of the same round, so that whatever else the machine does meets all.
//!
//! The figure is bytes of key by processor time of the whole process, its other threads and the
//! system's work for it included: what one core could do. Beside it stands the clock on the wall.
//! What was taken is compared with what was put in, and that it is gone from the medium is looked
//! at, outside the measurement.

#![forbid(unsafe_code)]

mod bare;
mod cost;
mod report;
mod store;

use cost::Round;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is measured, as the command line says.
struct Settings {
    bytes: u64,
    rounds: usize,
    folder: PathBuf,
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let rounds = (0..settings.rounds).map(|_| round(settings.bytes, &settings.folder));
    let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
    let on = cost::file_system(&settings.folder)?;
    let text = match settings.json {
        true => report::json(settings.bytes, &on, &rounds),
        false => report::text(settings.bytes, &on, &rounds),
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn round(bytes: u64, folder: &Path) -> Result<Round, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut round = Round::default();
    bare::measure(bytes, &folder.path().join("bare"), &mut round)?;
    store::measure(bytes, &folder.path().join("store"), &mut round)?;
    Ok(round)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let mut settings = Settings { bytes: 256 << 20, rounds: 15, folder, json: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--mib" => settings.bytes = number(value()?)? << 20,
            "--rounds" => settings.rounds = number(value()?)? as usize,
            "--folder" => settings.folder = value()?.into(),
            "--json" => settings.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    match settings.bytes > 0 && settings.rounds > 0 {
        true => Ok(settings),
        false => Err("at least one MiB and one round".to_owned()),
    }
}
