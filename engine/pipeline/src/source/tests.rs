//! The source: one stream gives one payload, however it is read.

use super::*;
use crate::driver::{Chooser, Driver};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use warifu_core::payload::{Prologue, TRAILER_BYTES};

const ZSTD: Shape = Shape { encoding: Encoding::ZstdFrames, pad: false };

/// Gives so many bytes at a time, and is interrupted in between.
struct Trickle<'a> {
    rest: &'a [u8],
    step: usize,
    interrupted: Cell<bool>,
}

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if !self.interrupted.replace(true) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.interrupted.set(false);
        let step = self.step.min(target.len());
        self.rest.read(&mut target[..step])
    }
}

fn payload<R: Read>(stream: R, shape: Shape) -> Vec<u8> {
    payload_with(stream, shape, frames_max())
}

fn payload_with<R: Read>(stream: R, shape: Shape, frames: usize) -> Vec<u8> {
    let attributes = Attributes { name: Some(b"a.fq".to_vec()), ..Attributes::default() };
    let source = PayloadSource::new(stream, &attributes, shape).unwrap();
    let mut source = source.with_frames(frames);
    let mut payload = Vec::new();
    while let Some(chunk) = source.next_chunk().unwrap() {
        assert!(payload.len().is_multiple_of(CHUNK_BYTES as usize), "a short chunk ends it");
        payload.extend_from_slice(&chunk);
    }
    assert!(source.next_chunk().unwrap().is_none());
    assert_eq!(payload.len() as u64, source.payload_bytes());
    payload
}

fn reads(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"ACGT"[(state & 3) as usize]
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn the_same_stream_gives_the_same_payload_however_it_trickles() {
    let data = reads((5 << 20) + 12_345);
    for shape in [Shape::PLAIN, ZSTD, Shape { pad: true, ..Shape::PLAIN }] {
        let whole = payload(&data[..], shape);
        for step in [1_000_003, 4096, 65_537] {
            let trickle = Trickle { rest: &data, step, interrupted: Cell::new(false) };
            assert!(payload(trickle, shape) == whole, "{shape:?} in steps of {step}");
        }
        for frames in [0, 1, 2, 9] {
            assert!(payload_with(&data[..], shape, frames) == whole, "{frames} frames at a time");
        }
    }
}

#[test]
fn compressed_reads_take_a_third_and_no_more_than_was_planned_for() {
    let data = reads(3 << 20);
    let longest = |data: &[u8]| PayloadLayout::longest(10, data.len() as u64, ZSTD).unwrap();
    let compressed = payload(&data[..], ZSTD);
    assert!(compressed.len() < data.len() / 3, "{} bytes", compressed.len());
    assert!(compressed.len() as u64 <= longest(&data).payload_bytes);
    let mut noise = vec![0; 3 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    assert_eq!(payload(&noise[..], ZSTD).len() as u64, longest(&noise).payload_bytes);
}

#[test]
fn nothing_but_zeros_stands_between_data_and_tail() {
    for shape in [Shape::PLAIN, ZSTD, Shape { pad: true, ..Shape::PLAIN }] {
        for bytes in [0, 1, 4096, (1 << 20) - 170, (1 << 20) + 70_000] {
            let data = reads(bytes);
            let whole = payload(&data[..], shape);
            let (_, end) = whole.split_last_chunk::<{ TRAILER_BYTES as usize }>().unwrap();
            let layout = Trailer::decode(end, whole.len() as u64).unwrap().layout;
            assert_eq!(Prologue::decode(&whole).unwrap().data_offset(), layout.data_offset);
            let zeros = layout.zeros().start as usize..layout.zeros().end as usize;
            assert!(whole[zeros].iter().all(|byte| *byte == 0), "{shape:?}, {bytes} bytes");
            if shape == Shape::PLAIN {
                let place = layout.data().start as usize..layout.data().end as usize;
                assert!(whole[place] == data);
            }
        }
    }
}

#[test]
fn a_stream_that_fails_fails_the_source() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("on purpose"))
        }
    }
    for shape in [Shape::PLAIN, ZSTD] {
        let stream = io::repeat(7).take(3 << 20).chain(Failing);
        let mut source = PayloadSource::new(stream, &Attributes::default(), shape).unwrap();
        let failed = (0..8).find_map(|_| source.next_chunk().err());
        assert_eq!(failed.unwrap().to_string(), "on purpose", "{shape:?}");
    }
}

#[test]
fn a_compressor_names_its_version() {
    assert!(compressor().starts_with("zstd-1."), "{}", compressor());
}

/// A stream without end, or one that breaks, that counts what was taken of it.
struct Counted {
    left: u64,
    taken: Arc<AtomicU64>,
    breaks: bool,
}

impl Read for Counted {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let now = target.len().min(usize::try_from(self.left).unwrap());
        if now == 0 && self.breaks {
            return Err(io::Error::other("the stream broke"));
        }
        target[..now].fill(7);
        self.left -= now as u64;
        self.taken.fetch_add(now as u64, Ordering::Relaxed);
        Ok(now)
    }
}

struct First;

impl Chooser for First {
    fn choose(&self, _count: usize) -> usize {
        0
    }
}

/// Waits until another thread has taken that many bytes, as it does where it reads ahead.
fn expect_taken(taken: &AtomicU64, bytes: u64) {
    let is_there = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        taken.load(Ordering::Relaxed) >= bytes
    });
    assert!(is_there, "{} bytes are taken, and {bytes} were to be", taken.load(Ordering::Relaxed));
}

#[test]
fn reading_ahead_gives_the_same_chunks_and_no_end_before_the_end() {
    const BYTES: u64 = (5 << 20) + 99;
    for driver in [Driver::Threads, Driver::Steps(Arc::new(First))] {
        let taken = Arc::new(AtomicU64::new(0));
        let source = |breaks, taken: &Arc<AtomicU64>| {
            let stream = Counted { left: BYTES, taken: taken.clone(), breaks };
            PayloadSource::new(stream, &Attributes::default(), Shape::PLAIN).unwrap()
        };
        let mut expected = source(false, &Arc::default());
        let (mut ahead, mut bytes) = (source(false, &taken), 0);
        ahead.ahead(&driver, |read| {
            while let Some(next) = read().unwrap() {
                let chunk = expected.next_chunk().unwrap().unwrap();
                bytes += chunk.len() as u64;
                assert!(next.chunk[..] == chunk[..]);
                if matches!(driver, Driver::Threads) {
                    expect_taken(&taken, (bytes + u64::from(CHUNK_BYTES)).min(BYTES));
                }
                assert_eq!(next.payload_bytes, bytes);
                assert_eq!(next.data_bytes, expected.data_bytes());
            }
        });
        assert_eq!((bytes, ahead.data_bytes()), (expected.payload_bytes(), BYTES));
        // A stream that breaks ends in its failure, however often it is asked.
        source(true, &taken).ahead(&driver, |read| {
            let told = (0..6).find_map(|_| read().err());
            assert_eq!(told.unwrap().to_string(), "the stream broke");
            assert!(read().is_err());
        });
    }
}

#[test]
fn no_more_is_read_ahead_than_there_is_memory_for() {
    let taken = Arc::new(AtomicU64::new(0));
    let stream = Counted { left: u64::MAX >> 1, taken: taken.clone(), breaks: false };
    let mut source = PayloadSource::new(stream, &Attributes::default(), Shape::PLAIN).unwrap();
    source.ahead(&Driver::Threads, |read| {
        (0..3).for_each(|_| assert!(read().unwrap().is_some()));
        expect_taken(&taken, (3 + READ_AHEAD as u64) * u64::from(CHUNK_BYTES));
    });
    // What was taken, what waited, and what was being read.
    let chunks_max = 3 + READ_AHEAD as u64 + 1;
    assert!(taken.load(Ordering::Relaxed) <= chunks_max * u64::from(CHUNK_BYTES));
}
