//! How fast key comes from a KME to both ends of a link.
//!
//! ```text
//! warifu-bench-keys [--limits large|example] [--mib N] [--rounds N] [--folder DIR] [--json]
//! ```
//!
//! Each round makes a gateway, a site and the pair of KMEs that the project ships, all as processes
//! of their own on this machine, and runs one `warifu key fetch`. The figure is key that both ends
//! hold and count, in bits, by the time that the command took, its start and its end included.
//! Beside it stands the processor time of each of the parties: they share this machine's cores,
//! which in earnest are three machines. Afterwards the segments of both ends are compared byte for
//! byte and `key audit` looks at both ledgers, outside the measurement.
//!
//! `large` has keys of 1 MiB, `example` the limits of the specification's example: 128 keys of
//! 1024 bits a request. The programs are those beside this one; build them first.

#![forbid(unsafe_code)]

mod lab;
mod measure;
mod report;

use lab::Lab;
use measure::{Round, measure};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

/// The limits of the KMEs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limits {
    Large,
    Example,
}

impl Limits {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Example => "example",
        }
    }

    /// Key fetched where nothing is said, in MiB.
    const fn mib(self) -> u64 {
        match self {
            Self::Large => 1024,
            Self::Example => 128,
        }
    }
}

/// What is measured, as the command line says.
struct Settings {
    limits: Vec<Limits>,
    mib: Option<u64>,
    rounds: usize,
    folder: PathBuf,
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    for limits in &settings.limits {
        let bytes = settings.mib.unwrap_or(limits.mib()) << 20;
        let mut rounds: Vec<Round> = Vec::new();
        for _ in 0..settings.rounds {
            let mut lab = Lab::start(&settings.folder, *limits == Limits::Large)?;
            rounds.push(measure(&mut lab, bytes)?);
            lab.expect_equal_ends(bytes)?;
        }
        let text = match settings.json {
            true => report::json(limits.as_str(), bytes, &rounds),
            false => report::text(limits.as_str(), bytes, &rounds),
        };
        writeln!(std::io::stdout(), "{text}")?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, String> {
    let (limits, folder) = (vec![Limits::Large, Limits::Example], std::env::temp_dir());
    let mut settings = Settings { limits, mib: None, rounds: 3, folder, json: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--limits" => match value()?.as_str() {
                "large" => settings.limits = vec![Limits::Large],
                "example" => settings.limits = vec![Limits::Example],
                other => return Err(format!("{other} are no limits: large or example")),
            },
            "--mib" => settings.mib = Some(number(value()?)?),
            "--rounds" => settings.rounds = number(value()?)? as usize,
            "--folder" => settings.folder = value()?.into(),
            "--json" => settings.json = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    match settings.mib != Some(0) && settings.rounds > 0 {
        true => Ok(settings),
        false => Err("at least one MiB and one round".to_owned()),
    }
}
