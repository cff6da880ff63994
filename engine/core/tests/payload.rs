//! The payload: what is written is read, and whatever else is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::payload::{
    ATTRIBUTE_BYTES_MAX, Attributes, FILE_NAME_BYTES_MAX, PayloadError, PayloadLayout, Prologue,
    Trailer, prologue,
};
use warifu_core::{FormatError, Geometry};

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
    let layout = PayloadLayout::new(block.len() as u64 - 64, 9).unwrap();
    let (data_offset, data_bytes) = (layout.data_offset, layout.data_bytes);
    let trailer = Trailer { data_offset, data_bytes, digest: [0; 32] };
    for at in 0..64 {
        for error in 1..=255 {
            let mut altered = block.to_vec();
            altered[at] ^= error;
            // A shorter length may end between two records: then the trailer disagrees.
            let read = Prologue::decode(&altered).and_then(|first| {
                PayloadLayout::of_received(&first, &trailer, layout.payload_bytes)
            });
            assert!(read.is_err(), "byte {at} ^ {error}");
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
        let layout = PayloadLayout::new(attribute_bytes, data_bytes).unwrap();
        assert_eq!(layout.payload_bytes, payload_bytes);
        assert_eq!(layout.geometry(), Geometry::new(payload_bytes).unwrap());
        assert_eq!(layout.data(), 64 + attribute_bytes..64 + attribute_bytes + data_bytes);
        assert_eq!(layout.zeros(), layout.data().end..payload_bytes - 96);
        assert!(layout.zeros().end - layout.zeros().start < 4096);
    }
    for data_bytes in [(1 << 40) - 159, u64::MAX - 200, u64::MAX] {
        assert_eq!(PayloadLayout::new(0, data_bytes), Err(PayloadError::TooLong { data_bytes }));
    }
    for attribute_bytes in [ATTRIBUTE_BYTES_MAX + 1, u64::MAX] {
        let refused = Err(PayloadError::Attributes { attribute_bytes });
        assert_eq!(PayloadLayout::new(attribute_bytes, 0), refused);
    }
}

#[test]
fn every_altered_byte_of_a_trailer_is_refused_or_in_the_digest() {
    let start = prologue(&attributes(Some(b"a.bam"), None, None)).unwrap();
    let first = Prologue::decode(&start).unwrap();
    let layout = PayloadLayout::new(first.attribute_bytes, 5000).unwrap();
    let (data_offset, data_bytes) = (layout.data_offset, layout.data_bytes);
    let trailer = Trailer { data_offset, data_bytes, digest: [7; 32] };
    let bytes = trailer.encode();
    let received = PayloadLayout::of_received(&first, &trailer, layout.payload_bytes);
    assert_eq!(received, Ok(layout));
    for other in [layout.payload_bytes - 4096, layout.payload_bytes + 4096] {
        let refused = PayloadLayout::of_received(&first, &trailer, other);
        assert_eq!(refused, Err(PayloadError::Contradiction));
    }
    for at in 0..96 {
        for error in [1, 0x10, 0x80, 0xFF] {
            let mut altered = bytes;
            altered[at] ^= error;
            let read = Trailer::decode(&altered).and_then(|trailer| {
                PayloadLayout::of_received(&first, &trailer, layout.payload_bytes)?;
                Ok(trailer.digest)
            });
            match at {
                48..80 => assert!(read.unwrap() != [7; 32]),
                _ => assert!(read.is_err(), "byte {at} ^ {error}"),
            }
        }
    }
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
        tags in prop::collection::vec((0u16..5, 0u32..12), 0..20), payload_bytes: u64,
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
        let _ = Trailer::decode(&trailer);
        trailer[..8].copy_from_slice(b"WARIFUPT");
        trailer.copy_within(16..24, 24);
        trailer[32..48].fill(0);
        trailer[80..].fill(0);
        let trailer = Trailer::decode(&trailer).unwrap();
        let first = Prologue::decode(&prologue(&Attributes::default()).unwrap()).unwrap();
        let _ = PayloadLayout::of_received(&first, &trailer, payload_bytes);
    }
}
