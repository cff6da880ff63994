//! What `weave` makes of a chunk at 3 of 5 with pad roles: three shares computed and added to
//! their pads, all five hashed at rest, the three that are sent tagged.
//!
//! ```text
//! cargo bench -p warifu-bench-kernels --bench fused
//! ```
//!
//! `apart` is the same by `dot` and one pass for each hash, `copy` is a copy of the secret, `visit`
//! reads and writes the same lines and computes nothing. GB/s are of secret, by the processor time
//! of the thread, the median of 15 rounds in turn. `roof` is the lesser of the visit's rate and
//! what the units can do, which is told of `avx512` only.

use std::io::{self, Write};
use std::sync::Barrier;
use warifu_bench_kernels::{Arena, Clock, Contender, Level, Shape, Turns, median, timed, touch};
use warifu_kernels::{Isa, PolyHash, Stream, StreamHash, dot, weave};

const ROUNDS: usize = 15;
const LEAST_S: f64 = 2e-3;

/// At 3 of 5: three rows, and the secret and two pads.
const ROWS: usize = 3;
const COLUMNS: usize = 3;

/// Each share's hash, also those of the pads; and a tag of each target.
const HASHED: [Stream; 8] = [
    Stream::Product(0),
    Stream::Product(1),
    Stream::Product(2),
    Stream::Target(0),
    Stream::Target(1),
    Stream::Target(2),
    Stream::Source(1),
    Stream::Source(2),
];

fn main() -> io::Result<()> {
    let isa = Isa::best();
    let mut out = io::stdout().lock();
    let clock = Clock::measure();
    check(isa);
    let ghz = clock.map_or(0.0, |clock| clock.hertz / 1e9);
    writeln!(out, "{}, {ghz:.2} GHz, outputs equal to the scalar twin's", isa.name())?;
    writeln!(out, "level,weave,apart,copy,visit,units,weave/roof,weave/copy,weave/apart")?;
    for level in [Level::L2, Level::Dram] {
        let len = level.stream_bytes(ROWS + COLUMNS);
        let turns = measure(isa, len);
        let rate = |name| len as f64 / turns.seconds(name) / 1e9;
        let units = clock.and_then(|clock| clock.units(isa, cycles())).map(|bytes| bytes / 1e9);
        let weave = rate("weave");
        let visit = weave / turns.ratio("weave", "visit");
        writeln!(
            out,
            "{},{weave:.2},{:.2},{:.2},{:.2},{},{:.2},{:.3},{:.2}",
            level.name(),
            rate("apart"),
            rate("copy"),
            rate("visit"),
            units.map_or(String::new(), |units| format!("{units:.2}")),
            weave / units.map_or(visit, |units| units.min(visit)),
            turns.ratio("weave", "copy"),
            turns.ratio("weave", "apart"),
        )?;
    }
    writeln!(out, "two threads over one, DRAM: {:.2}", two_threads(isa))
}

/// Cycles that a column of 64 bytes takes at least on a core that multiplies one vector in GF(2^8)
/// and one without carry a cycle, and starts two vector operations: the products, sums of two and
/// three and the pads; for each hash three products, half a block's sum, and three sums of three
/// for two vectors.
fn cycles() -> f64 {
    let hashes = HASHED.len() as f64;
    let dot = (ROWS * COLUMNS + ROWS * COLUMNS.div_ceil(2) + ROWS) as f64;
    f64::max(3.0 * hashes, (dot + 5.5 * hashes) / 2.0)
}

fn keys(isa: Isa) -> Vec<PolyHash> {
    (1..).take(HASHED.len()).map(|seed| PolyHash::new(isa, &[seed; 16])).collect()
}

fn hashes(keys: &[PolyHash]) -> Vec<StreamHash<'_>> {
    keys.iter().zip(HASHED).map(|(key, of)| StreamHash::new(key, of)).collect()
}

/// The seconds of all contenders, on this thread.
fn measure(isa: Isa, len: usize) -> Turns {
    let shape = Shape::split_on_pads(3, 5);
    let Some(mut arena) = Arena::new(ROWS + COLUMNS, len) else { panic!("no memory") };
    let (mut targets, sources) = arena.streams(ROWS + COLUMNS, ROWS, len);
    let keys = keys(isa);
    let mut woven = hashes(&keys);
    let mut copy = vec![1; len];
    let matrix = &shape.matrix;
    let mut contenders = [
        Contender {
            name: "weave",
            work: Box::new(|targets, sources| weave(isa, matrix, targets, sources, &mut woven)),
        },
        Contender {
            name: "apart",
            work: Box::new(|targets, sources| {
                dot(isa, matrix, targets, sources);
                for (key, of) in keys.iter().zip(HASHED) {
                    let stream = match of {
                        Stream::Source(i) => sources[i],
                        Stream::Product(i) | Stream::Target(i) => &*targets[i],
                    };
                    std::hint::black_box(key.poly(&[stream]));
                }
            }),
        },
        Contender {
            name: "copy",
            work: Box::new(|_, sources| {
                copy.copy_from_slice(sources[0]);
                std::hint::black_box(&copy);
            }),
        },
        Contender {
            name: "visit",
            work: Box::new(|targets, sources| touch(targets, sources, false, true)),
        },
    ];
    Turns::measure(ROUNDS, LEAST_S, &mut contenders, &mut targets, &sources)
}

/// How much more two threads do than one, each on memory of its own: by the processor time that
/// `weave` alone takes of each while the other is at it too. Both begin every round together.
fn two_threads(isa: Isa) -> f64 {
    let len = Level::Dram.stream_bytes(ROWS + COLUMNS) / 4;
    let alone = woven_s(isa, len, &Barrier::new(1));
    let together = Barrier::new(2);
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| woven_s(isa, len, &together));
        let here = woven_s(isa, len, &together);
        let Ok(there) = other.join() else { panic!("the other thread panicked") };
        Some([here?, there?])
    });
    let (Some(alone), Some(both)) = (alone, both) else { panic!("no memory") };
    both.iter().map(|seconds| alone / seconds).sum()
}

/// Seconds of this thread's processor time that `weave` takes, the median of all rounds; who else
/// comes to the barrier works in the same rounds. `None` where there is no memory, of which the
/// others notice nothing.
fn woven_s(isa: Isa, len: usize, together: &Barrier) -> Option<f64> {
    let matrix = Shape::split_on_pads(3, 5).matrix;
    let mut arena = Arena::new(ROWS + COLUMNS, len);
    let mut streams = arena.as_mut().map(|arena| arena.streams(ROWS + COLUMNS, ROWS, len));
    let keys = keys(isa);
    let mut woven = hashes(&keys);
    let mut seconds = Vec::new();
    for _ in 0..=ROUNDS {
        together.wait();
        let work = streams
            .as_mut()
            .map(|(targets, sources)| timed(|| weave(isa, &matrix, targets, sources, &mut woven)));
        seconds.push(work);
    }
    // The first one warms up.
    seconds.into_iter().skip(1).collect::<Option<Vec<f64>>>().map(median)
}

/// Compares everything that `weave` makes with the scalar twin.
fn check(isa: Isa) {
    const LEN: usize = 100_000;
    let twin = Isa::available()[0];
    let made = [isa, twin].map(|isa| {
        let Some(mut arena) = Arena::new(ROWS + COLUMNS, LEN) else { panic!("no memory") };
        let (mut targets, sources) = arena.streams(ROWS + COLUMNS, ROWS, LEN);
        let keys = keys(isa);
        let mut hashes = hashes(&keys);
        weave(isa, &Shape::split_on_pads(3, 5).matrix, &mut targets, &sources, &mut hashes);
        let sums: Vec<_> = hashes.iter().map(StreamHash::sum).collect();
        (targets.iter().map(|target| target.to_vec()).collect::<Vec<_>>(), sums)
    });
    assert!(made[0] == made[1], "what weave makes differs from the scalar twin's");
}
