//! The sink: what the source made comes back whole, in part, and after an interruption; whatever
//! else comes is refused.

use super::*;
use crate::source::PayloadSource;
use proptest::prelude::*;
use warifu_core::payload::{Encoding, PayloadLayout, Shape, TRAILER_BYTES};

const ZSTD: Shape = Shape { encoding: Encoding::ZstdFrames, pad: false };
const PADDED: Shape = Shape { encoding: Encoding::AsGiven, pad: true };
const SHAPES: [Shape; 3] = [Shape::PLAIN, PADDED, ZSTD];
const MIB: usize = 1 << 20;

fn encode(data: &[u8], shape: Shape) -> Vec<u8> {
    let attributes = Attributes { name: Some(b"a.bam".to_vec()), ..Attributes::default() };
    let mut source = PayloadSource::new(data, &attributes, shape).unwrap().with_frames(3);
    let mut payload = Vec::new();
    while let Some(chunk) = source.next_chunk().unwrap() {
        payload.extend_from_slice(&chunk);
    }
    payload
}

/// What a sink asked for, and what came of it.
struct Outcome {
    asked: Vec<u64>,
    delivered: Result<(Vec<u8>, Restored), SinkError>,
}

fn decode(payload: &[u8], output: Vec<u8>, wanted: Wanted<Vec<u8>>) -> Outcome {
    let geometry = Geometry::new(payload.len() as u64).unwrap();
    let mut sink = PayloadSink::new(output, geometry, wanted);
    let mut asked = Vec::new();
    // As a driver does it: as many as it can, then what was asked first.
    let mut underway = std::collections::VecDeque::new();
    loop {
        while underway.len() < 3
            && let Some(index) = sink.next_wanted()
        {
            assert!(!asked.contains(&index), "chunk {index} twice");
            asked.push(index);
            underway.push_back(index);
        }
        let Some(index) = underway.pop_front() else { break };
        let from = index as usize * MIB;
        let chunk = Block::copy_of(&payload[from..(from + MIB).min(payload.len())]);
        if let Err(error) = sink.take(index, chunk) {
            return Outcome { asked, delivered: Err(error) };
        }
    }
    Outcome { asked, delivered: sink.finish() }
}

fn whole(payload: &[u8]) -> Result<Vec<u8>, SinkError> {
    let outcome = decode(payload, Vec::new(), Wanted::Whole);
    let (data, restored) = outcome.delivered?;
    assert_eq!(outcome.asked.len(), payload.len().div_ceil(MIB), "every chunk, padding too");
    assert_eq!(restored.range, 0..data.len() as u64);
    match restored.attributes.name.as_deref() {
        Some(b"a.bam") => Ok(data),
        _ => Err(SinkError::Payload(PayloadError::FileName)),
    }
}

/// Compressible where `at` is in an even half mebibyte, noise elsewhere.
fn mixed(bytes: usize) -> Vec<u8> {
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut data = vec![0; bytes];
    for (number, part) in data.chunks_mut(MIB / 2).enumerate() {
        noise.fill(part);
        if number % 3 != 2 {
            part.iter_mut().for_each(|byte| *byte = b"ACGT"[usize::from(*byte & 3)]);
        }
    }
    data
}

#[test]
fn sizes_around_every_boundary_come_back() {
    let head = 64 + 6 + 5;
    let around = |size: usize| size.saturating_sub(head + 100)..=size + 3;
    let steps = (0..5).chain(around(4096)).chain(around(8192));
    let near = |size: usize| around(size).step_by(23).chain(size - 1..size + 2);
    for size in steps.chain(near(65_536)).chain(near(MIB)).chain(near(2 * MIB)) {
        let data = mixed(size);
        for shape in SHAPES {
            assert!(whole(&encode(&data, shape)).unwrap() == data, "{shape:?}, {size} bytes");
        }
    }
}

#[test]
fn any_range_is_that_slice_and_takes_few_chunks() {
    let data = mixed(7 * MIB + 12_345);
    let edges = [0, 1, 75, MIB - 76, MIB - 75, MIB - 1, MIB, MIB + 1, 3 * MIB - 75, 3 * MIB];
    let edges = edges.into_iter().chain([5 * MIB + 17, data.len() - 1, data.len()]);
    for shape in SHAPES {
        let payload = encode(&data, shape);
        for from in edges.clone() {
            for to in edges.clone().filter(|to| *to > from).map(Some).chain([None]) {
                let end = to.unwrap_or(data.len());
                let wanted = Wanted::Range { from: from as u64, to: to.map(|to| to as u64) };
                let outcome = decode(&payload, Vec::new(), wanted);
                if from == data.len() {
                    let refused = outcome.delivered.map(|_| ()).unwrap_err();
                    assert!(matches!(refused, SinkError::BeyondEnd { .. }));
                    continue;
                }
                let (bytes, restored) = outcome.delivered.unwrap();
                assert!(bytes == data[from..end], "{shape:?}: {from} to {end}");
                assert_eq!(restored.range, from as u64..end as u64);
                if to.is_none() {
                    // Where the padding begins must not show.
                    let mut asked = outcome.asked.clone();
                    asked.sort_unstable();
                    let last = (payload.len().div_ceil(MIB) - 1) as u64;
                    assert!((asked[0]..=last).eq(asked), "{shape:?}: from {from}");
                    continue;
                }
                // The last one, those that it lies in, and for frames what lies beside.
                let beside = if shape == ZSTD { 2 } else { 0 };
                let most = 1 + (end - from).div_ceil(MIB) + 1 + beside;
                assert!(outcome.asked.len() <= most, "{shape:?}: {from} to {end}");
            }
        }
        for (from, to) in [(data.len(), data.len() + 1), (0, data.len() + 1)] {
            let wanted = Wanted::Range { from: from as u64, to: Some(to as u64) };
            let refused = decode(&payload, Vec::new(), wanted).delivered.map(|_| ()).unwrap_err();
            let told = data.len() as u64;
            assert!(matches!(refused, SinkError::BeyondEnd { data_bytes } if data_bytes == told));
        }
    }
}

/// A table so long that it lies in two chunks: the data is nothing but zeros.
#[test]
fn a_table_beyond_the_last_chunk_is_found() {
    let frame = zstd::bulk::compress(&vec![0; MIB], 3).unwrap();
    let step = frame.len();
    let frames: Vec<u32> = vec![step as u32; 150_000];
    let layout = PayloadLayout::new(0, 150_000 << 20, 150_000 * step as u64, ZSTD).unwrap();
    let mut payload = vec![0; layout.payload_bytes as usize];
    let tail = layout.table().start as usize;
    Frames::encode(&frames, &mut payload[tail..][..1_200_000]);
    let trailer = Trailer { layout, digest: [0; 32] }.encode();
    payload[tail + 1_200_000..].copy_from_slice(&trailer);
    for number in [0, 1, 149_998, 149_999] {
        payload[64 + step * number..][..step].copy_from_slice(&frame);
    }
    let last = (payload.len() as u64 - 1) / MIB as u64;
    for (from, table) in [(0, Some(last - 1)), (149_998 << 20, None)] {
        let wanted = Wanted::Range { from: from + 7, to: Some(from + (2 << 20) - 7) };
        let outcome = decode(&payload, Vec::new(), wanted);
        let (bytes, _) = outcome.delivered.unwrap();
        assert!(bytes.len() == 2 * MIB - 14 && bytes.iter().all(|byte| *byte == 0));
        let data = (64 + step as u64 * (from >> 20)) >> 20;
        let expected = std::iter::once(last).chain(table).chain([data]);
        assert_eq!(outcome.asked, expected.collect::<Vec<_>>());
    }
}

fn keep(output: &mut Vec<u8>, bytes: u64, read: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    output.truncate(bytes as usize);
    read(output);
    Ok(())
}

#[test]
fn what_an_output_holds_is_read_again_and_only_the_rest_is_asked_for() {
    let data = mixed(5 * MIB + 777);
    let cuts = [0, 1, MIB - 76, MIB - 75, MIB, 2 * MIB + 5, 5 * MIB, data.len() - 1, data.len()];
    for shape in SHAPES {
        let payload = encode(&data, shape);
        let count = payload.len().div_ceil(MIB);
        for cut in cuts {
            let held = Wanted::Rest(Held { bytes: cut as u64, keep });
            let outcome = decode(&payload, data[..cut].to_vec(), held);
            let (output, restored) = outcome.delivered.unwrap();
            assert!(output == data, "{shape:?}: {cut} bytes were there");
            assert_eq!(restored.range, 0..data.len() as u64);
            assert_eq!(restored.attributes.name.as_deref(), Some(&b"a.bam"[..]));
            let saved = count - outcome.asked.len();
            assert!(shape == ZSTD || saved + 2 >= cut / MIB, "{shape:?}: {cut}: saved {saved}");
            if cut > 4 * MIB {
                assert!(saved > 0, "{shape:?}: {cut}");
            }
        }
        let mut rotten = data[..3 * MIB].to_vec();
        rotten[MIB / 2] ^= 1;
        let held = Wanted::Rest(Held { bytes: rotten.len() as u64, keep });
        let outcome = decode(&payload, rotten, held);
        assert!(matches!(outcome.delivered, Err(SinkError::Digest)), "{shape:?}");
        let longer = vec![1; data.len() + 1];
        let held = Wanted::Rest(Held { bytes: longer.len() as u64, keep });
        assert!(decode(&payload, longer, held).delivered.unwrap().0 == data, "from its start");
    }
}

#[test]
fn damage_is_refused() {
    let data = mixed(3 * MIB + 5000);
    for shape in SHAPES {
        let good = encode(&data, shape);
        let refused = |at: usize, error: u8| {
            let mut payload = good.clone();
            payload[at] ^= error;
            whole(&payload).err()
        };
        for at in (0..16).chain(63..80).chain([81, 1000, MIB - 1, MIB, MIB + 1]) {
            assert!(refused(at, 1).is_some(), "{shape:?}: byte {at}");
        }
        let tail = good.len() - TRAILER_BYTES as usize;
        for at in (tail - 40..good.len()).chain([good.len() - 1000]) {
            let refused = refused(at, 1);
            assert!(refused.is_some(), "{shape:?}: byte {at} of {}", good.len());
        }
    }
    let mut filled = encode(&data, PADDED);
    let at = filled.len() - 200;
    filled[at] = 1;
    assert!(matches!(whole(&filled), Err(SinkError::Padding)));
}

/// A payload of one frame that says it holds `data_bytes`.
fn one_frame(frame: &[u8], data_bytes: u64) -> Vec<u8> {
    let mut start = warifu_core::payload::prologue(&Attributes::default()).unwrap().to_vec();
    start.extend_from_slice(frame);
    let layout = PayloadLayout::new(0, data_bytes, frame.len() as u64, ZSTD).unwrap();
    let mut payload = start;
    payload.resize(layout.payload_bytes as usize, 0);
    let table = layout.table().start as usize;
    Frames::encode(&[frame.len() as u32], &mut payload[table..][..8]);
    let digest = *blake3::hash(&vec![0; data_bytes as usize]).as_bytes();
    payload[table + 8..].copy_from_slice(&Trailer { layout, digest }.encode());
    payload
}

#[test]
fn a_frame_gives_what_it_must_and_no_byte_more() {
    let zeros = vec![0; 64 * MIB];
    let frame = |bytes: usize| zstd::bulk::compress(&zeros[..bytes], 3).unwrap();
    let deliver = |frame: &[u8], data_bytes: usize| {
        let payload = one_frame(frame, data_bytes as u64);
        decode(&payload, Vec::new(), Wanted::Whole).delivered.map(|(data, _)| data)
    };
    assert!(deliver(&frame(MIB), MIB).unwrap() == zeros[..MIB]);
    let twice = [frame(MIB), frame(MIB)].concat();
    let halves = [frame(MIB / 2), frame(MIB / 2)].concat();
    // Nine bytes that a decoder of streams passes over.
    let skipped = [&[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 7][..], &frame(MIB)].concat();
    let followed = [&frame(MIB)[..], &[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 7]].concat();
    let mut sizeless = zstd::bulk::Compressor::new(3).unwrap();
    sizeless.include_contentsize(false).unwrap();
    let sizeless = sizeless.compress(&zeros[..MIB]).unwrap();
    let loose = [halves, skipped, followed, sizeless];
    let bombs = [frame(MIB + 1), frame(64 * MIB), frame(MIB - 1), twice, vec![0; 100]];
    for bomb in bombs.into_iter().chain(loose) {
        assert!(matches!(deliver(&bomb, MIB), Err(SinkError::Frame { frame: 0 })));
    }
    // It asks for a window of two gigabytes, which a reader of streams would have to allocate.
    let window = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8, 0x01, 0x00, 0x00];
    assert!(matches!(deliver(&window, MIB), Err(SinkError::Frame { frame: 0 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_payloads_never_panic(
        pages in 1_usize..600, seed: u64, shape in 0_usize..3, tail in 0_usize..2000,
    ) {
        // A right trailer over wrong bytes reaches further than wrong bytes alone.
        let mut payload = encode(&mixed(pages * 4096), SHAPES[shape]);
        let from = payload.len() - 96 - tail.min(payload.len() - 96);
        let mut noise = blake3::Hasher::new_derive_key("payloads");
        noise.update(&seed.to_le_bytes());
        let keeps_trailer = seed % 2 == 0;
        let to = payload.len() - if keeps_trailer { 96 } else { 0 };
        noise.finalize_xof().fill(&mut payload[from..to]);
        let outcome = decode(&payload, Vec::new(), Wanted::Whole).delivered;
        prop_assert!(outcome.is_err() || tail == 0 && keeps_trailer);
        let range = Wanted::Range { from: seed % 10_000, to: None };
        let _ = decode(&payload, Vec::new(), range).delivered;
    }

    #[test]
    fn any_payload_comes_back(bytes in 0_usize..3 * MIB, shape in 0_usize..3, from: u64, to: u64) {
        let data = mixed(bytes);
        let payload = encode(&data, SHAPES[shape]);
        prop_assert!(whole(&payload).unwrap() == data);
        let (from, to) = (from % (bytes as u64 + 1), to % (bytes as u64 + 1));
        let outcome = decode(&payload, Vec::new(), Wanted::Range { from, to: Some(to) }).delivered;
        match outcome {
            Ok((part, _)) => prop_assert!(part == data[from as usize..to as usize]),
            Err(SinkError::BeyondEnd { .. }) => prop_assert!(from >= to),
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn a_name_that_is_not_taken_is_found_before_anything_is_written() {
    let payload = encode(&mixed(3 * MIB), Shape::PLAIN);
    let chunk = |index: usize| {
        Block::copy_of(&payload[index * MIB..((index + 1) * MIB).min(payload.len())])
    };
    let geometry = Geometry::new(payload.len() as u64).unwrap();
    let check = |attributes: &Attributes| match attributes.name.as_deref() {
        Some(b"a.bam") => Err(io::ErrorKind::AlreadyExists.into()),
        _ => Ok(()),
    };
    let mut output = Vec::new();
    let mut sink = PayloadSink::new(&mut output, geometry, Wanted::Whole).with_check(&check);
    sink.take(3, chunk(3)).unwrap();
    assert!(matches!(sink.take(0, chunk(0)), Err(SinkError::Name(_))));
    drop(sink);
    assert!(output.is_empty());
}
