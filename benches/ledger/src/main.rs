//! How fast key goes through a key store, and where the time goes.
//!
//! ```text
//! warifu-bench-ledger [--mib N] [--rounds N] [--folder DIR] [--json]
//! ```
//!
//! Each round makes a key store with one link, whose segments hold `--mib` MiB in each direction,
//! and takes it all: one lease after another, frame by frame, each pad consumed and its key
//! destroyed on the medium; then the other direction, as the end that opens. Before that come the
//! steps that no store can do without, asked of the medium itself, and what memory can do: `memcpy`
//! and `memset` of as many bytes. Everything is set against those of the same round, so that
//! whatever else the machine does meets all.
//!
//! The medium is memory, behind the trait that a folder stands behind: what the store itself costs.
//! With `--folder` it is that folder, which says what the system adds.
//!
//! The figure is bytes of key by processor time of the whole process, its other threads and the
//! system's work for it included: what one core could do. Beside it stands the clock on the wall.
//! The first word of each pad is compared with what was put in, and that nothing is left on the
//! medium is looked at, outside the measurement.

#![forbid(unsafe_code)]

mod bare;
mod cost;
mod memory;
mod report;
mod store;

use cost::Round;
use memory::Memory;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use warifu_keystore::{Directory, Medium};

/// What is measured, as the command line says.
struct Settings {
    bytes: u64,
    rounds: usize,
    /// `None`: memory.
    folder: Option<PathBuf>,
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let rounds: Result<Vec<_>, _> = (0..settings.rounds).map(|_| round(&settings)).collect();
    let (bytes, rounds) = (settings.bytes, rounds?);
    let medium = match &settings.folder {
        Some(folder) => cost::file_system(folder)?,
        None => "memory".to_owned(),
    };
    let text = match settings.json {
        true => report::json(bytes, &medium, &rounds),
        false => report::text(bytes, &medium, &rounds),
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn round(settings: &Settings) -> Result<Round, Box<dyn Error>> {
    let mut round = Round::default();
    let folder = settings.folder.as_ref().map(tempfile::tempdir_in).transpose()?;
    let medium: Arc<dyn Medium> = match &folder {
        Some(folder) => Arc::new(Directory::new(folder.path())),
        None => Arc::new(Memory::default()),
    };
    bare::measure(settings.bytes, &*medium, &mut round)?;
    store::measure(settings.bytes, &medium, &mut round)?;
    Ok(round)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
    let mut settings = Settings { bytes: 256 << 20, rounds: 15, folder: None, json: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--mib" => settings.bytes = number(value()?)? << 20,
            "--rounds" => settings.rounds = number(value()?)? as usize,
            "--folder" => settings.folder = Some(value()?.into()),
            "--json" => settings.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    match settings.bytes > 0 && settings.rounds > 0 {
        true => Ok(settings),
        false => Err("at least one MiB and one round".to_owned()),
    }
}
