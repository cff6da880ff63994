//! Splits and joins beside those of ISA-L 2.32, blahaj and reed-solomon-simd.
//!
//! ```text
//! benches/compare/run [--rounds N] [--csv]
//! ```
//!
//! ISA-L takes turns with ours on the same streams, and its rows of random bytes are given like
//! ours. blahaj draws its own and works on 64 KiB; reed-solomon-simd is an erasure code, which
//! keeps no secret. What each one made is checked: ISA-L's by its own plain C, ours by the scalar
//! twin.

mod isal;

use isal::Encoder;
use std::error::Error;
use std::io::Write as _;
use warifu_bench_kernels::{Arena, Contender, Level, Shape, Turns, check, touch};
use warifu_kernels::{Isa, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rounds, mut comma) = (15, "  ");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().ok_or("--rounds takes a value")?.parse()?,
            "--csv" => comma = ",",
            _ => return Err(format!("unknown argument {word}").into()),
        }
    }
    let mut out = std::io::stdout().lock();
    let titles = ["shape", "level", "warifu GB/s", "ISA-L GB/s", "ratio", "of a visit"];
    writeln!(out, "{}", titles.map(|title| format!("{title:>13}")).join(comma))?;
    for level in [Level::L2, Level::Dram] {
        let splits = [(2, 3), (3, 5), (4, 7), (6, 10)].map(|(k, n)| Shape::split(k, n));
        for shape in splits.into_iter().chain([2, 3, 6].map(Shape::join)) {
            let figures = beside_isal(&shape, level, rounds).ok_or("no memory")?;
            let figures = figures.map(|figure| format!("{figure:>13.3}"));
            let names = [shape.name.as_str(), level.name()].map(|name| format!("{name:>13}"));
            writeln!(out, "{}{comma}{}", names.join(comma), figures.join(comma))?;
        }
    }
    for (k, n) in [(2u8, 3usize), (3, 5), (6, 10)] {
        let rates = [blahaj(k, n, rounds), erasure(usize::from(k), n, rounds)?];
        writeln!(
            out,
            "{k} of {n}: blahaj {:.4}, reed-solomon-simd {:.2} GB/s",
            rates[0], rates[1]
        )?;
    }
    Ok(())
}

/// GB/s of secret by ours and by ISA-L, the ratio of both, and ours by a bare visit.
fn beside_isal(shape: &Shape, level: Level, rounds: usize) -> Option<[f64; 4]> {
    let isa = Isa::best();
    let (rows, columns) = (shape.matrix.rows(), shape.matrix.columns());
    let len = level.stream_bytes(rows + columns);
    let mut arena = Arena::new(rows + columns, len)?;
    let (mut targets, sources) = arena.streams(rows + columns, rows, len);
    let write = if level == Level::Dram { Write::Streamed } else { Write::Cached };
    let encoder = Encoder::new(rows, columns);
    encoder.check(&mut targets, &sources);
    check(shape, isa, write, &mut targets, &sources);
    let mut contenders = [
        Contender { name: "ours", work: Box::new(|to, from| shape.run(isa, write, to, from)) },
        Contender { name: "isal", work: Box::new(|to, from| encoder.encode(to, from)) },
        Contender {
            name: "visit",
            work: Box::new(|to, from| touch(to, from, write == Write::Streamed, false)),
        },
    ];
    let turns = Turns::measure(rounds, 2e-3, &mut contenders, &mut targets, &sources);
    let rate = |name| len as f64 / turns.seconds(name) / 1e9;
    let (ratio, visit) = (turns.ratio("ours", "isal"), turns.ratio("ours", "visit"));
    Some([rate("ours"), rate("isal"), ratio, visit])
}

/// GB/s of secret, with its own randomness.
fn blahaj(k: u8, n: usize, rounds: usize) -> f64 {
    let secret = vec![0xA5; 1 << 16];
    let scheme = blahaj::Sharks(k);
    let shares: Vec<_> = scheme.dealer(&secret).take(n).collect();
    let joined = scheme.recover(&shares[n - usize::from(k)..]);
    assert!(joined.is_ok_and(|joined| joined == secret), "blahaj joins what it split");
    let work = |_: &mut [&mut [u8]], _: &[&[u8]]| {
        std::hint::black_box(scheme.dealer(&secret).take(n).count());
    };
    let mut contenders = [Contender { name: "blahaj", work: Box::new(work) }];
    let turns = Turns::measure(rounds.min(3), 1e-2, &mut contenders, &mut [], &[]);
    secret.len() as f64 / turns.seconds("blahaj") / 1e9
}

/// GB/s of one of `k` streams of 64 KiB, to which `n` more are made.
fn erasure(k: usize, n: usize, rounds: usize) -> Result<f64, Box<dyn Error>> {
    let streams = vec![vec![0x5A; 1 << 16]; k];
    let made = reed_solomon_simd::encode(k, n, &streams)?;
    let shards = made.iter().enumerate().take(k);
    let none: [(usize, &[u8]); 0] = [];
    let back = reed_solomon_simd::decode(k, n, none, shards)?;
    assert!(back.values().all(|stream| *stream == streams[0]), "it decodes what it encoded");
    let work = |_: &mut [&mut [u8]], _: &[&[u8]]| {
        std::hint::black_box(reed_solomon_simd::encode(k, n, &streams).is_ok());
    };
    let mut contenders = [Contender { name: "erasure", work: Box::new(work) }];
    let turns = Turns::measure(rounds.min(3), 1e-2, &mut contenders, &mut [], &[]);
    Ok((1 << 16) as f64 / turns.seconds("erasure") / 1e9)
}
