//! The payload: what is written is read, and whatever else is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::payload::{
    ATTRIBUTE_BYTES_MAX, Attributes, DATA_BYTES_MAX, Encoding, FILE_NAME_BYTES_MAX, Frames,
    PayloadError, PayloadLayout, Prologue, Shape, Trailer, padded_bytes, prologue,
};
use warifu_core::{FormatError, Geometry};

const ZSTD: Shape = Shape { encoding: Encoding::ZstdFrames, pad: false };
const PADDED: Shape = Shape { encoding: Encoding::AsGiven, pad: true };

const MIB: u64 = 1 << 20;

fn attributes(name: Option<&[u8]>, modified_ns: Option<i64>, mode: Option<u32>) -> Attributes {
    Attributes { name: name.map(<[u8]>::to_vec), modified_ns, mode }
}

fn record(tag: u16, value: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &(value.len() as u32).to_le_bytes(), value].concat()
}

/// Why these bytes are no attributes.
fn refusal(bytes: &[u8]) -> PayloadError {
    Attributes::decode(bytes).map(|_| ()).unwrap_err()
}

#[test]
fn the_layout_of_a_prologue_is_the_documented_one() {
    let block = prologue(&attributes(Some(b"a.bam"), Some(-2), Some(0o640))).unwrap();
    let records =
        [record(1, b"a.bam"), record(2, &(-2_i64).to_le_bytes()), record(3, &[160, 1, 0, 0])];
    let records = records.concat();
    assert_eq!(&block[..12], b"WARIFUPL\x01\0\0\0");
    assert_eq!(block[12..16], (records.len() as u32).to_le_bytes());
    assert_eq!(block[16..64], [0; 48]);
    assert_eq!(block[64..], records);
}

#[test]
fn every_altered_byte_of_the_fixed_prologue_is_refused() {
    let block = prologue(&attributes(Some(b"a.bam"), None, Some(0o640))).unwrap();
    let data_offset = block.len() as u64;
    for at in 0..64 {
        for error in 1..=255 {
            let mut altered = block.to_vec();
            altered[at] ^= error;
            // A shorter length may end between two records: then the trailer disagrees.
            let read = Prologue::decode(&altered);
            let agrees = read.is_ok_and(|first| first.data_offset() == data_offset);
            assert!(!agrees, "byte {at} ^ {error}");
        }
    }
    for len in 0..block.len() {
        assert!(Prologue::decode(&block[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn a_prologue_announces_no_more_than_the_limit() {
    let mut block = prologue(&attributes(None, None, None)).unwrap().to_vec();
    let limit = ATTRIBUTE_BYTES_MAX as u32;
    block.resize(64 + ATTRIBUTE_BYTES_MAX as usize, 0);
    let filling = record(900, &vec![0; ATTRIBUTE_BYTES_MAX as usize - 6]);
    block[64..].copy_from_slice(&filling);
    block[12..16].copy_from_slice(&limit.to_le_bytes());
    assert_eq!(Prologue::decode(&block).unwrap().data_offset(), 65_536);
    block.push(0);
    for beyond in [limit + 1, u32::MAX] {
        block[12..16].copy_from_slice(&beyond.to_le_bytes());
        assert!(Prologue::decode(&block).is_err());
    }
}

#[test]
fn attributes_are_strict() {
    let known = [record(1, b"x"), record(2, &[0; 8]), record(3, &[0; 4])];
    for tag in &known {
        assert!(Attributes::decode(tag).is_ok());
        assert!(Attributes::decode(&[tag.as_slice(), tag].concat()).is_err(), "twice");
    }
    let unknown = record(77, b"later");
    let read = Attributes::decode(&[unknown.clone(), known[2].clone()].concat()).unwrap();
    assert_eq!((read.name.as_deref(), read.mode), (None, Some(0)));
    let twice = FormatError::Field { what: "attributes", field: "a tag that occurs twice" };
    assert_eq!(refusal(&[unknown.clone(), unknown].concat()), PayloadError::Format(twice));
    for bad in [record(2, &[0; 7]), record(2, &[0; 9]), record(3, &[0; 3]), record(3, &[0; 5])] {
        assert!(matches!(refusal(&bad), PayloadError::Format(FormatError::Length { .. })));
    }
    let announced = [&1_u16.to_le_bytes()[..], &u32::MAX.to_le_bytes(), b"name"].concat();
    assert!(matches!(refusal(&announced), PayloadError::Format(FormatError::Length { .. })));
}

#[test]
fn names_that_could_escape_a_folder_are_neither_read_nor_written() {
    let longest = vec![b'a'; FILE_NAME_BYTES_MAX];
    for good in [b"a".as_slice(), b"...", b".hidden", b"\xff\xfe", "名".as_bytes(), &longest] {
        let written = attributes(Some(good), None, None).encode().unwrap();
        assert_eq!(Attributes::decode(&written).unwrap().name.as_deref(), Some(good));
    }
    let long = vec![b'a'; FILE_NAME_BYTES_MAX + 1];
    for bad in [b"".as_slice(), b".", b"..", b"/", b"../x", b"a/b", b"a\0", &long] {
        assert_eq!(refusal(&record(1, bad)), PayloadError::FileName);
        assert!(attributes(Some(bad), None, None).encode().is_err());
        assert!(prologue(&attributes(Some(bad), None, None)).is_err());
    }
}

#[test]
fn layouts_are_padded_to_pages_and_bounded() {
    for (attribute_bytes, data_bytes, payload_bytes) in [
        (0, 0, 4096),
        (0, 4096 - 160, 4096),
        (0, 4096 - 159, 8192),
        (1, 4096 - 160, 8192),
        (ATTRIBUTE_BYTES_MAX, 0, 65_536 + 4096),
        (0, (1 << 40) - 160, 1 << 40),
    ] {
        let layout = PayloadLayout::longest(attribute_bytes, data_bytes, Shape::PLAIN).unwrap();
        assert_eq!(layout.payload_bytes, payload_bytes);
        assert_eq!(layout.geometry(), Geometry::new(payload_bytes).unwrap());
        assert_eq!(layout.data(), 64 + attribute_bytes..64 + attribute_bytes + data_bytes);
        assert_eq!(layout.zeros(), layout.data().end..payload_bytes - 96);
        assert!(layout.zeros().end - layout.zeros().start < 4096);
        assert!(layout.table().is_empty() && layout.frame_count() == 0);
    }
    for data_bytes in [(1 << 40) - 159, (1 << 40) + 1, u64::MAX - 200, u64::MAX] {
        for shape in [Shape::PLAIN, PADDED, ZSTD] {
            let refused = Err(PayloadError::TooLong { data_bytes });
            assert_eq!(PayloadLayout::longest(0, data_bytes, shape), refused);
        }
    }
    for attribute_bytes in [ATTRIBUTE_BYTES_MAX + 1, u64::MAX] {
        let refused = Err(PayloadError::Attributes { attribute_bytes });
        assert_eq!(PayloadLayout::longest(attribute_bytes, 0, Shape::PLAIN), refused);
    }
    let longer = PayloadLayout::new(0, 10, 11, ZSTD);
    assert_eq!(longer, Err(PayloadError::TooLong { data_bytes: 10 }), "encoded, it got longer");
}

#[test]
fn compressed_layouts_have_a_table_before_the_trailer_and_are_padded() {
    let layout = PayloadLayout::new(36, 5 * MIB + 1, 2 * MIB, ZSTD).unwrap();
    assert_eq!((layout.frame_count(), layout.data()), (6, 100..100 + 2 * MIB));
    assert_eq!(layout.payload_bytes, 2 * MIB + (64 << 10));
    assert_eq!(layout.table(), layout.payload_bytes - 96 - 48..layout.payload_bytes - 96);
    assert_eq!(layout.zeros(), layout.data().end..layout.table().start);
    // What compresses well enough may be longer than any payload, but not than 2^40 bytes.
    let layout = PayloadLayout::new(0, DATA_BYTES_MAX, 1 << 30, ZSTD).unwrap();
    assert_eq!(layout.frame_count(), 1 << 20);
    assert_eq!(PayloadLayout::new(0, 0, 0, ZSTD).unwrap().payload_bytes, 64 << 10);
}

/// By another way than the code's: the length keeps its leading bits and the rest is filled up.
#[test]
fn coarse_padding_is_padme_in_steps_of_64_kib() {
    for (bytes, padded) in [
        (0, 0),
        (1, 64 << 10),
        (64 << 10, 64 << 10),
        ((64 << 10) + 1, 128 << 10),
        (MIB + 1, MIB + (64 << 10)),
        ((1 << 30) + 1, (1 << 30) + (32 << 20)),
        ((1 << 40) - 1, 1 << 40),
        (1 << 40, 1 << 40),
    ] {
        assert_eq!(padded_bytes(bytes), Some(padded), "{bytes}");
    }
    assert_eq!(padded_bytes(u64::MAX), None);
    for exponent in 21..40_u32 {
        let kept_bits = f64::from(exponent).log2().floor() as u32 + 1;
        let step = (1_u64 << (exponent - kept_bits)).max(64 << 10);
        for bytes in [(1 << exponent) + 1, (1 << exponent) + step, (2 << exponent) - 1] {
            let padded = padded_bytes(bytes).unwrap();
            assert!(
                padded >= bytes && padded - bytes < step && padded.is_multiple_of(step),
                "{bytes}"
            );
            assert!((padded - bytes) <= bytes / 32, "{bytes}");
        }
    }
}

#[test]
fn every_altered_byte_of_a_trailer_is_refused_or_in_the_digest_or_elsewhere() {
    for (shape, encoded_bytes) in [(Shape::PLAIN, 2 * MIB + 5), (PADDED, 2 * MIB + 5), (ZSTD, MIB)]
    {
        let layout = PayloadLayout::new(36, 2 * MIB + 5, encoded_bytes, shape).unwrap();
        let bytes = Trailer { layout, digest: [7; 32] }.encode();
        let read = Trailer::decode(&bytes, layout.payload_bytes).unwrap();
        assert_eq!((read.layout, read.digest), (layout, [7; 32]));
        for other in [0, 4096, MIB, layout.payload_bytes - 1, (1 << 40) + 4096, u64::MAX] {
            assert!(Trailer::decode(&bytes, other).is_err(), "a payload of {other} bytes");
        }
        for at in 0..96 {
            for error in [1, 0x10, 0x80, 0xFF] {
                let mut altered = bytes;
                altered[at] ^= error;
                match (at, Trailer::decode(&altered, layout.payload_bytes)) {
                    (56..88, read) => assert!(read.unwrap().digest != [7; 32]),
                    // Offset and lengths may be those of another payload; its digest will tell.
                    (16..40, read) => assert!(!read.is_ok_and(|read| read.layout == layout)),
                    (_, read) => assert!(read.is_err(), "{shape:?}: byte {at} ^ {error}"),
                }
            }
        }
    }
}

/// The table of frames that take so many bytes.
fn table(lengths: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; Frames::table_bytes(lengths.len())];
    Frames::encode(lengths, &mut bytes);
    bytes
}

#[test]
fn frames_are_found_by_any_part_of_their_table() {
    let lengths = [400_000, 1, 1 << 20, 77, 300];
    let encoded_bytes = lengths.iter().map(|length| u64::from(*length)).sum();
    let layout = PayloadLayout::new(36, 4 * MIB + 301, encoded_bytes, ZSTD).unwrap();
    let whole = table(&lengths);
    for first in 0..5 {
        for end in first + 1..=5 {
            let at = Frames::entries(&layout, &(first..end));
            let at = (at.start - layout.table().start) as usize
                ..(at.end - layout.table().start) as usize;
            let frames = Frames::decode(&layout, first..end, &whole[at.clone()]).unwrap();
            assert_eq!(frames.frames(), first..end);
            for frame in first..end {
                let before: u32 = lengths[..frame as usize].iter().sum();
                let start = 100 + u64::from(before);
                let length = u64::from(lengths[frame as usize]);
                assert_eq!(frames.place(frame), start..start + length);
            }
            assert_eq!(frames.data_of(4), 4 * MIB..4 * MIB + 301);
            assert!(Frames::decode(&layout, first..end, &whole[at.start..at.end - 1]).is_err());
        }
    }
    assert_eq!(Frames::covering(&(MIB - 1..MIB)), 0..1);
    assert_eq!(Frames::covering(&(MIB - 1..MIB + 1)), 0..2);
    assert_eq!(Frames::covering(&(MIB..2 * MIB)), 1..2);
}

#[test]
fn frames_that_no_encoder_writes_are_refused() {
    let layout = PayloadLayout::new(0, 2 * MIB + 10, MIB, ZSTD).unwrap();
    let read = |lengths: &[u32]| Frames::decode(&layout, 0..3, &table(lengths)).map(|_| ());
    let (half, refused) = (MIB as u32 / 2, Err(PayloadError::FrameTable));
    assert_eq!(read(&[half, half - 10, 10]), Ok(()));
    // One that grew, one of nothing, more and less than there is.
    for lengths in [
        [half, half - 11, 11],
        [half, half, 0],
        [0, half - 10, half + 10],
        [half, half - 10, 11],
        [half, half - 11, 10],
        [MIB as u32 + 1, half, 10],
    ] {
        assert_eq!(read(&lengths), refused, "{lengths:?}");
    }
    let falling: Vec<u8> = [half * 2, half, half].map(u64::from).map(u64::to_le_bytes).concat();
    assert!(Frames::decode(&layout, 0..3, &falling).is_err());
    // In part of a table: what lies before and behind must have room.
    for (before, end) in [(0, 7), (MIB + 1, MIB + 2), (1, MIB), (7, u64::MAX), (MIB, MIB)] {
        let part = [before, end].map(u64::to_le_bytes).concat();
        assert!(Frames::decode(&layout, 1..2, &part).is_err(), "{before} to {end}");
    }
    for frames in [0..0, 0..4, 3..4, 7..9] {
        assert!(Frames::decode(&layout, frames, &table(&[half])).is_err());
    }
    let plain = PayloadLayout::longest(0, 10, Shape::PLAIN).unwrap();
    assert!(Frames::decode(&plain, 0..1, &table(&[10])).is_err());
}

proptest! {
    #[test]
    fn prologues_round_trip(
        name in prop::option::of(prop::collection::vec(b'0'..=b'z', 1..300)),
        modified_ns: Option<i64>, mode: Option<u32>,
        behind in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let block = prologue(&attributes(name.as_deref(), modified_ns, mode)).unwrap();
        let first = [&block[..], &behind].concat();
        let read = Prologue::decode(&first).unwrap();
        prop_assert_eq!(read.data_offset(), block.len() as u64);
        prop_assert_eq!(&read.attributes.name, &name);
        prop_assert_eq!((read.attributes.modified_ns, read.attributes.mode), (modified_ns, mode));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        trailer in prop::collection::vec(any::<u8>(), 96),
        tags in prop::collection::vec((0u16..5, 0u32..12), 0..20),
        payload_bytes: u64, frames in 1u64..40,
    ) {
        let _ = Attributes::decode(&bytes);
        let value = |len: u32| vec![b'a'; len as usize];
        let records: Vec<_> = tags.iter().map(|(tag, len)| record(*tag, &value(*len))).collect();
        let _ = Attributes::decode(&records.concat());
        let attribute_bytes = (bytes.len() as u32).to_le_bytes();
        let start = b"WARIFUPL\x01\0\0\0".as_slice();
        let _ = Prologue::decode(&[start, &attribute_bytes, &[0; 48], &bytes].concat());
        let _ = Prologue::decode(&bytes);
        let mut trailer: [u8; 96] = trailer.try_into().unwrap();
        let _ = Trailer::decode(&trailer, payload_bytes);
        trailer[..8].copy_from_slice(b"WARIFUPT");
        trailer[8] &= 1;
        trailer[9..12].fill(0);
        for high in [22, 30, 38] {
            trailer[high..high + 2].fill(0);
        }
        let payload_bytes = payload_bytes % (1 << 41);
        for payload_bytes in [payload_bytes, payload_bytes.next_multiple_of(4096)] {
            if let Ok(trailer) = Trailer::decode(&trailer, payload_bytes) {
                prop_assert!(trailer.layout.payload_bytes == payload_bytes);
            }
        }
        let layout = PayloadLayout::new(0, frames * MIB, frames * (MIB / 2), ZSTD).unwrap();
        let _ = Frames::decode(&layout, 0..frames, &bytes);
        let _ = Frames::decode(&layout, frames - 1..frames, &bytes[..bytes.len().min(16)]);
    }
}
