//! How near `dot` comes to what memory and multipliers allow, shape by shape.
//!
//! ```text
//! warifu-bench-kernels [--rounds N] [--isa NAME] [--csv]
//! ```
//!
//! In each round the kernel and the bare visit of the same streams take turns. `GB/s` is bytes of
//! secret; `roof` is the lesser of the visit's rate and what the units of a core can do at the
//! clock of this run; `fraction` is the kernel's rate by the roof.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write as _;
use warifu_bench_kernels::{Arena, Clock, Contender, Level, Shape, Turns, check, touch};
use warifu_kernels::{Isa, Write};

struct Settings {
    rounds: usize,
    isa: Isa,
    csv: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let settings = parse(std::env::args().skip(1))?;
    let clock = Clock::measure();
    let mut out = std::io::stdout().lock();
    let comma = if settings.csv { "," } else { "  " };
    if !settings.csv {
        let hertz = clock.map_or(0.0, |clock| clock.hertz);
        writeln!(out, "isa {}, clock {:.2} GHz", settings.isa.name(), hertz / 1e9)?;
    }
    let titles = ["shape", "level", "GB/s", "memory", "units", "fraction"];
    writeln!(out, "{}", titles.map(|title| format!("{title:>13}")).join(comma))?;
    for level in [Level::L1, Level::L2, Level::Dram] {
        for shape in shapes() {
            let found = measure(&settings, clock, &shape, level).ok_or("no memory")?;
            let figures = found.map(|figure| format!("{figure:>13.3}"));
            let names = [shape.name.clone(), level.name().to_owned()];
            let names = names.map(|name| format!("{name:>13}"));
            writeln!(out, "{}{comma}{}", names.join(comma), figures.join(comma))?;
        }
    }
    Ok(())
}

fn shapes() -> Vec<Shape> {
    let schemes = [(2, 3), (3, 5), (4, 7), (6, 10)];
    let splits = schemes.map(|(k, n)| Shape::split(k, n));
    let weaves = schemes.map(|(k, n)| Shape::weave(k, n));
    splits.into_iter().chain(weaves).chain((2..=6).map(Shape::join)).collect()
}

/// GB/s of secret, what a bare visit does, what the units could do, and the fraction of the lesser.
fn measure(
    settings: &Settings,
    clock: Option<Clock>,
    shape: &Shape,
    level: Level,
) -> Option<[f64; 4]> {
    let len = level.stream_bytes(shape.streams());
    let mut arena = Arena::new(shape.streams(), len)?;
    let (mut targets, sources) = arena.streams(shape.streams(), shape.matrix.rows(), len);
    let write = if level == Level::Dram { Write::Streamed } else { Write::Cached };
    check(shape, settings.isa, write, &mut targets, &sources);
    let streamed = write == Write::Streamed && !shape.adds;
    let mut contenders = [
        Contender {
            name: "dot",
            work: Box::new(|targets, sources| shape.run(settings.isa, write, targets, sources)),
        },
        Contender {
            name: "visit",
            work: Box::new(|targets, sources| touch(targets, sources, streamed, shape.adds)),
        },
    ];
    let turns = Turns::measure(settings.rounds, 2e-3, &mut contenders, &mut targets, &sources);
    let rate = len as f64 / turns.seconds("dot") / 1e9;
    let units =
        clock.map_or(f64::INFINITY, |clock| 64.0 * clock.hertz / shape.ports().cycles() / 1e9);
    let memory = rate / turns.ratio("dot", "visit");
    Some([rate, memory, units, rate / memory.min(units)])
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Settings, Box<dyn Error>> {
    let mut settings = Settings { rounds: 15, isa: Isa::best(), csv: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--rounds" => settings.rounds = value()?.parse()?,
            "--isa" => settings.isa = Isa::named(&value()?)?,
            "--csv" => settings.csv = true,
            _ => return Err(format!("unknown argument {word}").into()),
        }
    }
    Ok(settings)
}
