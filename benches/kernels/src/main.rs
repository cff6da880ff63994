//! How near `dot` comes to what memory and multipliers allow, shape by shape.
//!
//! ```text
//! warifu-bench-kernels [--rounds N] [--isa NAME] [--csv]
//! ```
//!
//! In each round the kernel and the bare visit of the same streams take turns. `GB/s` is bytes of
//! secret; the roof is the lesser of the visit's rate, `memory`, and what the units of a core can
//! do at the clock of this run, `units`; `fraction` is the kernel's rate by the roof. The units are
//! those of Intel's cores since Ice Lake with vectors of 64 bytes. Of instruction sets but `avx512`
//! they are not told, and the roof is the visit's rate.

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
        writeln!(out, "units, of avx512 only: those of Intel's cores since Ice Lake")?;
    }
    let titles = ["level", "GB/s", "memory", "units", "fraction"];
    let titles = titles.map(|title| format!("{title:>13}"));
    writeln!(out, "{:>21}{comma}{}", "shape", titles.join(comma))?;
    for level in [Level::L1, Level::L2, Level::Dram] {
        for shape in shapes() {
            let found = measure(&settings, clock, &shape, level).ok_or("no memory")?;
            let told = |figure| format!("{figure:>13.3}");
            let figures = found.map(|figure| figure.map_or(format!("{:>13}", ""), told));
            let names = format!("{:>21}{comma}{:>13}", shape.name, level.name());
            writeln!(out, "{names}{comma}{}", figures.join(comma))?;
        }
    }
    Ok(())
}

fn shapes() -> Vec<Shape> {
    let schemes = [(2, 3), (3, 5), (4, 7), (6, 10)];
    let splits = schemes.map(|(k, n)| Shape::split(k, n));
    let on_pads = schemes.map(|(k, n)| Shape::split_on_pads(k, n));
    splits.into_iter().chain(on_pads).chain((2..=6).map(Shape::join)).collect()
}

/// GB/s of secret, what a bare visit does, what the units could do as far as that is known, and the
/// fraction of the lesser.
fn measure(
    settings: &Settings,
    clock: Option<Clock>,
    shape: &Shape,
    level: Level,
) -> Option<[Option<f64>; 4]> {
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
    let units = clock.and_then(|clock| clock.units(settings.isa, shape.ports().cycles()));
    let units = units.map(|bytes| bytes / 1e9);
    let memory = rate / turns.ratio("dot", "visit");
    let roof = units.map_or(memory, |units| units.min(memory));
    Some([Some(rate), Some(memory), units, Some(rate / roof)])
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
