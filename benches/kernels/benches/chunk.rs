//! What a gateway computes over a chunk, and in which order it had best do so.
//!
//! ```text
//! cargo bench -p warifu-bench-kernels --bench chunk
//! ```
//!
//! Streams are cut into chunks of 1 MiB, one after the other. GB/s are of secret, by the processor
//! time of the thread, the median of 15 rounds; ratios to the first of a group are medians over the
//! rounds. `L2` is 512 KiB in all streams, `ring` 8 chunks of each, about as many as a backup has
//! on their way, and `DRAM` 128 of each.

use std::hint::black_box;
use std::io::{self, Write as _};
use std::ops::Range;
use warifu_bench_kernels::{Arena, Contender, Level, Shape, Turns, check};
use warifu_kernels::{Isa, PolyHash, Write, dot, dot_into, xor};

const ROUNDS: usize = 15;
const LEAST_S: f64 = 2e-3;
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes of each stream that are done with before going on, where shares are hashed by tiles.
const TILE_BYTES: usize = 64 << 10;

/// As above, where they go through a scratch on their way to the pads of their links.
const SCRATCH_BYTES: usize = 8 << 10;

fn main() -> io::Result<()> {
    let isa = Isa::best();
    let mut out = io::stdout().lock();
    writeln!(out, "isa,shape,streams,contender,gb_s,by_the_first")?;
    for shape in [Shape::split_on_pads(2, 3), Shape::split_on_pads(3, 5), Shape::join(3)] {
        let streams = shape.streams() + shape.matrix.rows();
        let in_cache = Level::L2.stream_bytes(streams);
        for (level, len) in
            [("L2", in_cache), ("ring", 8 * CHUNK_BYTES), ("DRAM", 128 * CHUNK_BYTES)]
        {
            let places = format!("{},{},{level}", isa.name(), shape.name);
            compare(&mut out, &places, &shape, len, made(isa, &shape))?;
            if shape.matrix.rows() > 1 {
                compare(&mut out, &places, &shape, len, sealed(isa, &shape))?;
            }
        }
    }
    Ok(())
}

/// Lets them take turns and writes a line for each.
fn compare(
    out: &mut impl io::Write,
    places: &str,
    shape: &Shape,
    len: usize,
    mut contenders: Vec<Contender<'_>>,
) -> io::Result<()> {
    let (rows, columns) = (shape.matrix.rows(), shape.matrix.columns());
    let streams = rows + columns + rows;
    let Some(mut arena) = Arena::new(streams, len) else { panic!("no memory") };
    let (mut targets, sources) = arena.streams(streams, rows, len);
    check(shape, Isa::best(), Write::Cached, &mut targets, &sources[..columns]);
    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let turns = Turns::measure(ROUNDS, LEAST_S, &mut contenders, &mut targets, &sources);
    for name in &names {
        let rate = len as f64 / turns.seconds(name) / 1e9;
        writeln!(out, "{places},{name},{rate:.2},{:.2}", turns.ratio(name, names[0]))?;
    }
    Ok(())
}

/// Ways to shares and their hashes; then the targets are wiped, as buffers of the pool are.
fn made(isa: Isa, shape: &Shape) -> Vec<Contender<'_>> {
    let matrix = &shape.matrix;
    let ways = [
        ("added to zeros then hashed", None),
        ("overwritten then hashed", Some(Write::Cached)),
        ("overwritten past the caches then hashed", Some(Write::Streamed)),
    ];
    let whole = ways.map(|(name, write)| {
        let keys = keys(isa, shape, 1);
        each_chunk(name, move |targets, sources| {
            let sources = &sources[..matrix.columns()];
            match write {
                None => dot(isa, matrix, targets, sources),
                Some(write) => dot_into(isa, matrix, targets, sources, write),
            }
            for (target, key) in targets.iter_mut().zip(&keys) {
                black_box(key.poly(&[target]));
                target.fill(0);
            }
        })
    });
    let keys = keys(isa, shape, 1);
    let tiled = each_chunk("overwritten and hashed by tiles", move |targets, sources| {
        let sources = &sources[..matrix.columns()];
        let mut sums = vec![[0; 16]; targets.len()];
        for tile in backwards(sources[0].len(), TILE_BYTES) {
            let (mut targets, sources) = cut(targets, sources, &tile);
            dot_into(isa, matrix, &mut targets, &sources, Write::Cached);
            for ((sum, target), key) in sums.iter_mut().zip(&targets).zip(&keys) {
                *sum = key.poly_before(&[target], sum);
            }
        }
        black_box(sums);
        targets.iter_mut().for_each(|target| target.fill(0));
    });
    whole.into_iter().chain([tiled]).collect()
}

/// Ways to frames that are hashed at rest, masked and tagged: in passes, with the pads of the links
/// beside, and in one visit of each line, where the targets are those pads.
fn sealed(isa: Isa, shape: &Shape) -> Vec<Contender<'_>> {
    let matrix = &shape.matrix;
    let (at_rest, tags) = (keys(isa, shape, 1), keys(isa, shape, 101));
    let passes = each_chunk("sealed in passes", move |targets, sources| {
        let (sources, pads) = sources.split_at(matrix.columns());
        dot_into(isa, matrix, targets, sources, Write::Cached);
        for (target, key) in targets.iter().zip(&at_rest) {
            black_box(key.poly(&[target]));
        }
        for ((target, pad), key) in targets.iter_mut().zip(pads).zip(&tags) {
            xor(isa, target, pad);
            black_box(key.poly(&[target]));
        }
    });
    let (at_rest, tags) = (keys(isa, shape, 1), keys(isa, shape, 101));
    let mut scratch = vec![vec![0; SCRATCH_BYTES + 64]; matrix.rows()];
    let visit = each_chunk("sealed in one visit", move |targets, sources| {
        let sources = &sources[..matrix.columns()];
        let mut sums = vec![[[0; 16]; 2]; targets.len()];
        for tile in backwards(sources[0].len(), SCRATCH_BYTES) {
            let (targets, sources) = cut(targets, sources, &tile);
            let mut clear: Vec<_> =
                scratch.iter_mut().map(|scratch| &mut scratch[..tile.len()]).collect();
            dot_into(isa, matrix, &mut clear, &sources, Write::Cached);
            for (row, target) in targets.into_iter().enumerate() {
                let [rest, tag] = sums[row];
                let rest = at_rest[row].poly_before(&[&*clear[row]], &rest);
                xor(isa, target, clear[row]);
                sums[row] = [rest, tags[row].poly_before(&[target], &tag)];
            }
        }
        black_box(sums);
    });
    vec![passes, visit]
}

/// A key for each row, all different.
fn keys(isa: Isa, shape: &Shape, first: u8) -> Vec<PolyHash> {
    (first..).take(shape.matrix.rows()).map(|seed| PolyHash::new(isa, &[seed; 16])).collect()
}

/// A contender that works on one chunk of all streams after the other.
fn each_chunk<'a>(
    name: &'static str,
    mut work: impl FnMut(&mut [&mut [u8]], &[&[u8]]) + 'a,
) -> Contender<'a> {
    let work = Box::new(move |targets: &mut [&mut [u8]], sources: &[&[u8]]| {
        for chunk in backwards(sources[0].len(), CHUNK_BYTES) {
            let (mut targets, sources) = cut(targets, sources, &chunk);
            work(&mut targets, &sources);
        }
    });
    Contender { name, work }
}

/// Parts of at most `part` bytes, the last one first, as a hash takes them.
fn backwards(len: usize, part: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len.div_ceil(part)).rev().map(move |i| i * part..len.min((i + 1) * part))
}

/// That part of all streams.
fn cut<'a>(
    targets: &'a mut [&mut [u8]],
    sources: &[&'a [u8]],
    part: &Range<usize>,
) -> (Vec<&'a mut [u8]>, Vec<&'a [u8]>) {
    let targets = targets.iter_mut().map(|target| &mut target[part.clone()]).collect();
    (targets, sources.iter().map(|source| &source[part.clone()]).collect())
}
