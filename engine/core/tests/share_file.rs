//! The share file: offsets tile it, and rot in any byte of it is found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::checksum::crc64;
use warifu_core::share_file::{
    CapsuleShape, Foot, MASKS_MAX, ShareHeader, SlotClass, capsule_area, capsule_area_bytes,
    data_slot_offset, decode_capsule_area, mask_slot_offset, parse_share_file_name,
    share_file_name,
};
use warifu_core::{FormatError, Geometry, LinkId, ObjectId, Role, Threshold, XCoord};

const PAGE: usize = 4096;

fn header(payload_bytes: u64, masks: u32) -> ShareHeader {
    let geometry = Geometry::new(payload_bytes).unwrap();
    ShareHeader {
        x: XCoord::new(0xAB).unwrap(),
        threshold: Threshold::new(3, 5).unwrap(),
        role: Role::Computed,
        object: ObjectId::from_bytes(*b"0123456789abcdef"),
        link: Some(LinkId::from_bytes([0x4C; 16])),
        geometry,
        masks,
        capsule: CapsuleShape::new(16 * 19, &geometry, masks).unwrap(),
    }
}

/// Puts the right checksum under altered bytes of a header.
fn resealed(mut page: [u8; PAGE]) -> [u8; PAGE] {
    let checksum = crc64(&[&page[..PAGE - 8]]);
    page[PAGE - 8..].copy_from_slice(&checksum.to_le_bytes());
    page
}

fn foot(class: SlotClass, content_bytes: u32) -> Foot {
    Foot { class, attempt: 3, index: 0x0102_0304, content_bytes, blind: [0xB1; 16] }
}

fn page(bytes: &[u8]) -> [u8; PAGE] {
    bytes.try_into().unwrap()
}

#[test]
fn the_layout_of_a_header_is_the_documented_one() {
    let page = header(3 << 20, 1).encode();
    assert_eq!(&page[..16], b"WARIFUSH\x01\0\xAB\x03\x05\x01\0\0");
    assert_eq!(&page[16..32], b"0123456789abcdef");
    assert_eq!(page[32..48], [0x4C; 16]);
    assert_eq!(page[48..56], (3_u64 << 20).to_le_bytes());
    assert_eq!(page[56..64], [0, 0, 16, 0, 1, 0, 0, 0]);
    assert_eq!(page[64..68], 304_u32.to_le_bytes());
    // x and r, 3 + 1 hashes, filled up to 7 blocks, 2 for the code.
    assert_eq!(page[68..72], 144_u32.to_le_bytes());
    assert!(page[72..4088].iter().all(|byte| *byte == 0));
    assert_eq!(page[4088..], crc64(&[&page[..4088]]).to_le_bytes());
}

#[test]
fn headers_round_trip() {
    let mut other = header(1 << 40, MASKS_MAX);
    other.link = None;
    other.role = Role::Pad;
    for header in [header(4096, 0), header((70 << 20) + 4096, 1), other] {
        assert_eq!(ShareHeader::decode(&header.encode()), Ok(header));
    }
}

#[test]
fn every_altered_byte_of_a_header_is_found() {
    let page = header(3 << 20, 1).encode();
    for at in 0..PAGE {
        for error in [1, 0x80, 0xFF] {
            let mut altered = page;
            altered[at] ^= error;
            assert!(ShareHeader::decode(&altered).is_err(), "byte {at}");
        }
    }
}

#[test]
fn fields_that_nobody_writes_are_refused_under_a_right_checksum() {
    let page = header(3 << 20, 1).encode();
    let refused = |at: usize, value: u8| {
        let mut altered = page;
        assert_ne!(altered[at], value);
        altered[at] = value;
        ShareHeader::decode(&resealed(altered)).unwrap_err()
    };
    assert_eq!(refused(0, b'w'), FormatError::Magic { what: "share header" });
    assert_eq!(refused(8, 2), FormatError::Version { what: "share header", version: 2 });
    let zeros = [14, 15].into_iter().chain(72..4088);
    // x, k, n, role, payload bytes, chunk bytes, masks (the verdict would be longer), head, verdict
    let fields = [(10, 0), (11, 1), (11, 6), (12, 2), (13, 2), (48, 1), (53, 2), (57, 1), (60, 4)];
    let lengths = [(63, 1), (64, 49), (64, 32), (67, 2), (68, 160), (71, 1)];
    for (at, value) in fields.into_iter().chain(lengths).chain(zeros.map(|at| (at, 1))) {
        assert!(matches!(refused(at, value), FormatError::Field { .. }), "byte {at}");
    }
}

#[test]
fn slots_tile_the_file() {
    for (payload_bytes, masks) in [(4096, 0), (1 << 20, 0), ((65 << 20) - 4096, 1), (3 << 20, 3)] {
        let header = header(payload_bytes, masks);
        let chunks = (0..header.geometry.chunk_count()).map(|i| (SlotClass::Data, i));
        let masks = (0..u64::from(masks)).map(|i| (SlotClass::Mask, i));
        let mut at = 4096;
        for (class, index) in chunks.chain(masks) {
            assert_eq!(header.slot_offset(class, index), Some(at));
            at += header.content_bytes(class, index).unwrap();
            assert_eq!(header.foot_offset(class, index), Some(at));
            at += 4096;
        }
        assert_eq!(header.capsule_offset(), at);
        assert_eq!(header.capsule_bytes(), 304 + 5 * u64::from(header.capsule.verdict_bytes));
        assert_eq!(header.file_bytes(), at + capsule_area_bytes(header.capsule_bytes()));
        assert!(header.file_bytes().is_multiple_of(4096));
    }
}

#[test]
fn slots_that_do_not_exist_have_no_offset() {
    let header = header((1 << 20) + 4096, 1);
    for (class, index) in [
        (SlotClass::Data, 2),
        (SlotClass::Data, u64::MAX),
        (SlotClass::Mask, 1),
        (SlotClass::Mask, u64::MAX),
    ] {
        assert_eq!(header.slot_offset(class, index), None);
        assert_eq!(header.foot_offset(class, index), None);
        assert_eq!(header.content_bytes(class, index), None);
    }
    assert_eq!(data_slot_offset((1 << 20) - 1), Some(4096 + ((1 << 20) - 1) * ((1 << 20) + 4096)));
    assert_eq!(data_slot_offset(1 << 20), None);
    assert_eq!(data_slot_offset(u64::MAX), None);
    let full = Geometry::new(2 << 20).unwrap();
    assert_eq!(mask_slot_offset(&full, 0), data_slot_offset(2));
    assert_eq!(mask_slot_offset(&full, u64::MAX), None);
}

#[test]
fn the_layout_of_a_foot_is_the_documented_one() {
    let content = [5; 8192];
    let page = foot(SlotClass::Mask, 8192).encode(&content);
    assert_eq!(&page[..16], b"WARIFUSL\x01\0\0\0\x03\0\0\0");
    assert_eq!(page[16..24], [4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(page[24..32], [0, 32, 0, 0, 0, 0, 0, 0]);
    assert_eq!(page[32..48], [0xB1; 16]);
    assert_eq!(page[48..56], crc64(&[&content, &page[..48]]).to_le_bytes());
    assert!(page[56..].iter().all(|byte| *byte == 0));
}

#[test]
fn every_altered_byte_of_a_slot_is_found() {
    let mut content = vec![0x33; PAGE];
    let bytes = page(&foot(SlotClass::Data, PAGE as u32).encode(&content));
    let read = Foot::decode(&content, &bytes).unwrap();
    assert!(read.class == SlotClass::Data && read.attempt == 3 && read.index == 0x0102_0304);
    assert!(read.content_bytes == PAGE as u32 && read.blind == [0xB1; 16]);
    for at in 0..PAGE {
        for error in [1, 0x80, 0xFF] {
            let mut altered = bytes;
            altered[at] ^= error;
            assert!(Foot::decode(&content, &altered).is_err(), "foot byte {at}");
            content[at] ^= error;
            assert!(Foot::decode(&content, &bytes).is_err(), "content byte {at}");
            content[at] ^= error;
        }
    }
    assert!(Foot::decode(&content[..PAGE - 1], &bytes).is_err());
    assert!(Foot::decode(&[], &bytes).is_err());
    assert!(Foot::decode(&[content.as_slice(), &[0]].concat(), &bytes).is_err());
}

#[test]
fn contents_of_lengths_that_no_slot_has_are_refused() {
    for len in [0, 1, 4095, 4097, (1 << 20) + 4096] {
        let content = vec![1; len];
        let bytes = page(&foot(SlotClass::Data, len as u32).encode(&content));
        assert!(matches!(Foot::decode(&content, &bytes), Err(FormatError::Field { .. })), "{len}");
    }
    let content = vec![1; 1 << 20];
    let bytes = page(&foot(SlotClass::Data, 1 << 20).encode(&content));
    assert!(Foot::decode(&content, &bytes).is_ok());
}

#[test]
#[should_panic(expected = "a foot for other content")]
fn a_foot_is_not_made_for_other_content() {
    let _ = foot(SlotClass::Data, 8192).encode(&[0; 4096]);
}

#[test]
fn every_altered_byte_of_a_capsule_area_is_found() {
    for len in [0, 1, 4087, 4088, 4089, 5000] {
        let share: Vec<u8> = (0..len).map(|i: usize| i as u8).collect();
        let mut area = capsule_area(&share).to_vec();
        let stated = len as u64;
        assert_eq!(area.len() as u64, capsule_area_bytes(stated));
        assert_eq!(area.len(), if len + 8 <= PAGE { PAGE } else { 2 * PAGE });
        assert_eq!(decode_capsule_area(&area, stated), Ok(share.as_slice()));
        for at in 0..area.len() {
            area[at] ^= 0x20;
            assert!(decode_capsule_area(&area, stated).is_err(), "length {len}, byte {at}");
            area[at] ^= 0x20;
        }
        for other in [stated + 1, stated + 4096, u64::MAX, u64::MAX - 4000] {
            assert!(decode_capsule_area(&area, other).is_err(), "length {len} as {other}");
        }
        let longer = [area.as_slice(), &[0; PAGE]].concat();
        let wrong = FormatError::Length { what: "capsule area" };
        assert_eq!(decode_capsule_area(&longer, stated), Err(wrong));
        assert!(decode_capsule_area(&area[..area.len() - 1], stated).is_err());
    }
}

#[test]
fn names_of_share_files_round_trip_and_are_canonical() {
    let (object, x) = (ObjectId::from_bytes([0xA0; 16]), XCoord::new(7).unwrap());
    let name = share_file_name(object, x);
    assert_eq!(name, "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0-07.share");
    assert_eq!(parse_share_file_name(&name), Some((object, x)));
    let stem = &name[..32];
    for bad in ["-00.share", "-7.share", "-+7.share", "-007.share", "-07.SHARE", "-0G.share", "-07"]
    {
        assert_eq!(parse_share_file_name(&format!("{stem}{bad}")), None, "{bad}");
    }
    for bad in ["", ".share", "-07.share", &name.to_uppercase(), &format!("../{name}")] {
        assert_eq!(parse_share_file_name(bad), None, "{bad}");
    }
    assert_eq!(parse_share_file_name(&name.replace('a', "A")), None);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), PAGE),
        content in prop::collection::vec(any::<u8>(), 0..100),
        stated: u64, name: String,
    ) {
        let _ = ShareHeader::decode(&page(&bytes));
        let _ = Foot::decode(&content, &page(&bytes));
        let _ = decode_capsule_area(&bytes, stated);
        let _ = parse_share_file_name(&name);
    }

    #[test]
    fn altered_headers_under_a_right_checksum_are_refused_or_canonical(
        changes in prop::collection::vec((8usize..80, any::<u8>()), 1..5),
    ) {
        let mut bytes = header(3 << 20, 1).encode();
        changes.into_iter().for_each(|(at, value)| bytes[at] = value);
        let bytes = resealed(bytes);
        if let Ok(header) = ShareHeader::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
            prop_assert!(header.file_bytes() > header.capsule_offset());
        }
    }

    #[test]
    fn altered_feet_are_refused(changes in prop::collection::btree_map(0usize..60, 1u8.., 1..5)) {
        let content = vec![0x77; PAGE];
        let mut bytes = page(&foot(SlotClass::Data, PAGE as u32).encode(&content));
        changes.into_iter().for_each(|(at, error)| bytes[at] ^= error);
        prop_assert!(Foot::decode(&content, &bytes).is_err());
    }
}
