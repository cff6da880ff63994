//! The kernels: what each makes of bytes in each cache and from memory, beside `memcpy`.
//!
//! # The roofs
//! Both are limits of one core. *Memory*: the fastest of `memcpy` (two bytes moved for each byte),
//! `xor` (three) and `xor` of four pairs of streams by turns tells how many bytes move in a second
//! at that level; a kernel that reads `k` sources and changes `t` targets moves `k + 2t` for each
//! byte of secret, and `k + t` where it writes past the caches. *Multiplication*: a core multiplies
//! one vector of 64 bytes in a cycle by `gf2p8mulb`, so a row costs a cycle for each coefficient
//! that is neither 0 nor 1; all shares, made in pairs, cost one for each product that a pair of
//! rows needs. The hash takes at least three carry-less multiplications for each block of 16 bytes,
//! four of which one `vpclmulqdq` does, in two cycles on a Zen 4; elsewhere one cycle is assumed.
//! Of instruction sets but `avx512` only the first roof is told.

mod arena;
mod work;

use crate::clock::{core_hz, timed};
use crate::machine::caches;
use crate::pace::{Duel, rate};
use crate::scratch::memory_bytes;
use crate::{BenchError, Clock, Figure, Limit, Machine, Pace, Roof, Spread, Taken};
use arena::{Arena, Level};
use warifu_kernels::{Isa, Write};
use work::{Work, works};

/// Which kernels are measured.
#[derive(Clone, Debug)]
pub struct KernelSettings {
    /// On these instruction sets.
    pub isas: Vec<Isa>,
}

/// Time of one sample, in seconds.
const SAMPLE_S: f64 = 0.006;
const QUICK_SAMPLE_S: f64 = 0.0015;

/// Measures `xor`, `dot` and the polynomial hash at every level, on every instruction set asked
/// for.
///
/// # Errors
/// [`BenchError::Wrong`] where a kernel's output is not the scalar twin's; [`BenchError::Stopped`].
pub fn kernel(settings: &KernelSettings, pace: Pace<'_>) -> Result<Taken, BenchError> {
    pace.check()?;
    let levels = Level::all(caches(), memory_bytes());
    let mut arena = Arena::new(&levels)?;
    let mut taken = Taken::default();
    let mut cycles = Vec::new();
    for level in levels {
        measure(settings, pace, level, &mut arena, &mut cycles, &mut taken)?;
    }
    taken.limits.push(limit("cycles", "core", "cycles", Spread::of(&cycles)));
    roofs(&mut taken, &levels, &Machine::here());
    Ok(taken)
}

/// One kernel on one instruction set.
struct Contender {
    isa: Isa,
    work: Work,
    /// Runs over a piece in a sample.
    runs: usize,
    /// Bytes of secret in each.
    bytes: u64,
    duel: Duel,
}

/// All figures of one level, round by round.
fn measure(
    settings: &KernelSettings,
    pace: Pace<'_>,
    level: Level,
    arena: &mut Arena,
    cycles: &mut Vec<f64>,
    taken: &mut Taken,
) -> Result<(), BenchError> {
    let sample_s = if pace.quick { QUICK_SAMPLE_S } else { SAMPLE_S };
    let copy_runs = calibrated(arena, level, sample_s, None, &Work::copy())?;
    let mut contenders = Vec::new();
    for isa in &settings.isas {
        for work in works()? {
            let runs = calibrated(arena, level, sample_s, Some(*isa), &work)?;
            let duel = Duel::default();
            contenders.push(Contender { isa: *isa, work, runs, bytes: 0, duel });
        }
    }
    let copy = |arena: &mut Arena| arena.sample(level, None, &Work::copy(), copy_runs);
    let streams = Work::streams();
    let streams_runs = calibrated(arena, level, sample_s, None, &streams)?;
    let mut streamed = Vec::new();
    for round in 0..pace.rounds {
        cycles.push(core_hz());
        streamed.push(arena.sample(level, None, &streams, streams_runs).rate());
        for contender in &mut contenders {
            pace.go_on()?;
            let Contender { isa, work, runs, bytes, duel } = contender;
            let own = |arena: &mut Arena| {
                let sample = arena.sample(level, Some(*isa), work, *runs);
                *bytes = sample.bytes;
                Ok::<_, BenchError>(sample.rate())
            };
            duel.round(round, arena, own, |arena| Ok(copy(arena).rate()))?;
            work.check(*isa, level.write, round)?;
        }
    }
    let copied: Vec<f64> = contenders.iter().flat_map(|one| one.duel.other.clone()).collect();
    taken.limits.push(limit("memcpy", level.name, "bytes copied", Spread::of(&copied)));
    taken.limits.push(limit(&streams.name, level.name, streams.of, Spread::of(&streamed)));
    taken.figures.extend(contenders.iter().map(|one| figure(one, level, pace.rounds)));
    Ok(())
}

/// How many runs over a piece take about `sample_s`, found by doubling.
fn calibrated(
    arena: &mut Arena,
    level: Level,
    sample_s: f64,
    isa: Option<Isa>,
    work: &Work,
) -> Result<usize, BenchError> {
    let mut runs = 1;
    while runs < 1 << 24 {
        let (_, took) = timed(|| arena.sample(level, isa, work, runs));
        if took.thread_s >= sample_s / 2.0 {
            break;
        }
        runs *= 2;
    }
    Ok(runs)
}

fn figure(contender: &Contender, level: Level, rounds: usize) -> Figure {
    Figure {
        bench: "kernel".to_owned(),
        figure: contender.work.name.clone(),
        at: level.name.to_owned(),
        isa: contender.isa.name().to_owned(),
        of: contender.work.of.to_owned(),
        bytes: contender.bytes,
        rounds,
        clock: Clock::Thread,
        gb_per_s: contender.duel.rate().in_giga(),
        divided_by: format!("memcpy of as many bytes, in {}", level.name),
        ratio: contender.duel.ratio(),
        roof: None,
        latency: None,
        processor_s_per_gb: None,
        copied_bytes: None,
    }
}

fn limit(name: &str, at: &str, of: &str, per_s: Spread) -> Limit {
    Limit {
        bench: "kernel".to_owned(),
        limit: name.to_owned(),
        at: at.to_owned(),
        of: of.to_owned(),
        g_per_s: per_s.in_giga(),
    }
}

/// Adds to each figure what the machine lets through at most.
fn roofs(taken: &mut Taken, levels: &[Level], machine: &Machine) {
    let limit = |name: &str, at: &str| {
        let found = taken.limits.iter().find(|limit| limit.limit == name && limit.at == at);
        found.map_or(0.0, |limit| limit.g_per_s.median)
    };
    let streams = Work::streams();
    let giga_hz = limit("cycles", "core");
    let moved = |at: &str| {
        let xors = taken.figures.iter().filter(|one| one.figure == "xor" && one.at == at);
        let fastest = xors.map(|one| one.gb_per_s.median).fold(0.0, f64::max);
        let several = limit(&streams.name, at);
        (2.0 * limit("memcpy", at))
            .max(3.0 * fastest)
            .max(streams.moved_per_byte(Write::Cached) * several)
    };
    let levels: Vec<(Level, f64)> =
        levels.iter().map(|level| (*level, moved(level.name))).collect();
    let clmul_cycles = if machine.is_amd() { 2.0 } else { 1.0 };
    for figure in &mut taken.figures {
        let Ok(works) = works() else { continue };
        let Some(work) = works.iter().find(|work| work.name == figure.figure) else { continue };
        let Some((level, moved)) = levels.iter().find(|(level, _)| level.name == figure.at) else {
            continue;
        };
        let per_byte = work.moved_per_byte(level.write);
        let memory = moved / per_byte;
        let mut roof = (memory, format!("{moved:.1} GB/s moved / {per_byte} moved for each byte"));
        let cycles = work.multiply_cycles(clmul_cycles);
        if figure.isa == "avx512" && cycles > 0.0 && giga_hz * 64.0 / cycles < memory {
            let text = format!("64 bytes in {cycles} cycles of multiplication at {giga_hz:.2} GHz");
            roof = (giga_hz * 64.0 / cycles, text);
        }
        let (gb_per_s, formula) = roof;
        let reached = figure.gb_per_s.median / gb_per_s.max(1e-9);
        figure.roof = Some(Roof { gb_per_s, formula, reached });
    }
}

/// What one sample gave.
#[derive(Clone, Copy)]
struct Sample {
    bytes: u64,
    seconds: f64,
}

impl Sample {
    fn rate(self) -> f64 {
        rate(self.bytes, self.seconds)
    }
}
