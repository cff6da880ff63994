//! What heads and verdicts hold: round trips, rules, and bytes that nobody wrote.

use crate::samples::{capsule, encoded, head, noise};
use proptest::prelude::*;
use warifu_core::FormatError;
use warifu_core::capsule::{
    BINDING_BYTES_MAX, Capsule, CapsuleError, CapsuleHead, LABEL_BYTES_MAX, Verdict, decode_part,
};
use warifu_core::share_file::CapsuleShape;
use warifu_core::{Channel, Geometry, LinkId, Role};
use warifu_kernels::Isa;

/// The content of a head part.
fn content(head: CapsuleHead) -> Vec<u8> {
    let capsule = capsule(head);
    let head_bytes = capsule.shape().head_bytes as usize;
    decode_part(Isa::best(), &encoded(&capsule)[..head_bytes]).unwrap().to_vec()
}

#[test]
fn heads_round_trip_whatever_they_hold() {
    let mut plain = head(2, 2, 4096, 0);
    plain.label = None;
    plain.binding.clear();
    plain.attempts.clear();
    let mut full = head(128, 255, 3 << 20, 2);
    full.label = Some("x".repeat(LABEL_BYTES_MAX));
    full.binding = noise(5, BINDING_BYTES_MAX);
    full.attempts = vec![(0, 1), (2, u32::MAX), (3, 1), (4, 7)];
    for head in [plain, full, head(3, 5, 100 << 20, 1)] {
        assert_eq!(CapsuleHead::decode(&content(head.clone())).unwrap(), head);
    }
}

#[test]
fn the_layout_of_a_head_is_the_documented_one() {
    let bytes = content(head(3, 5, 3 << 20, 1));
    assert_eq!(&bytes[..16], b"WARIFUCA\x01\0\x03\x05\0\0\0\0");
    assert_eq!(bytes[16..32], [9; 16]);
    assert_eq!(bytes[32..40], (3_u64 << 20).to_le_bytes());
    assert_eq!(bytes[40..48], [0, 0, 16, 0, 1, 0, 0, 0]);
    assert_eq!(bytes[48..56], 1_700_000_000_u64.to_le_bytes());
    assert_eq!(bytes[56..64], [2, 0, 12, 0, 3, 0, 0, 0]);
    let text = "I7サンプル\u{1}\u{2}\u{3}".as_bytes();
    assert_eq!(&bytes[64..81], text);
    assert_eq!(bytes[81..85], [1, 1, 1, 0]);
    assert_eq!(&bytes[101..124], b"\x06site-1\x06zone-1\x08domain-1");
}

fn refused(change: impl FnOnce(&mut CapsuleHead)) -> &'static str {
    let mut head = head(3, 5, 3 << 20, 1);
    let verdicts = capsule(head.clone()).into_parts().1;
    change(&mut head);
    match Capsule::new(head, verdicts).map(|_| ()).unwrap_err() {
        CapsuleError::Format(FormatError::Field { field, .. }) => field,
        other => panic!("{other}"),
    }
}

#[test]
fn heads_that_break_a_rule_are_not_made() {
    assert_eq!(refused(|head| head.label = Some(String::new())), "the label");
    assert_eq!(refused(|head| head.label = Some("a\x1b[2J".to_owned())), "the label");
    assert_eq!(refused(|head| head.label = Some("a".repeat(1025))), "the label");
    assert_eq!(refused(|head| head.binding = vec![0; 65_537]), "the length of the binding");
    let counts = "the number of shares or of pads among them";
    assert_eq!(refused(|head| _ = head.shares.pop()), counts);
    assert_eq!(refused(|head| head.shares[0].role = Role::Pad), counts);
    let twice = "an x-coordinate that occurs twice";
    assert_eq!(refused(|head| head.shares[0].x = head.shares[1].x), twice);
    let links = "a link without channel otp, or that channel without link";
    assert_eq!(refused(|head| head.shares[1].link = None), links);
    assert_eq!(refused(|head| head.shares[1].channel = Channel::Tls), links);
    let no_link = LinkId::from_bytes([0; 16]);
    assert_eq!(refused(|head| head.shares[1].link = Some(no_link)), links);
    assert_eq!(refused(|head| head.attempts = vec![(1, 1), (0, 1)]), "the attempts");
    assert_eq!(refused(|head| head.attempts = vec![(1, 1), (1, 2)]), "the attempts");
    assert_eq!(refused(|head| head.attempts = vec![(1, 0)]), "the attempts");
    assert_eq!(refused(|head| head.attempts = vec![(4, 1)]), "the attempts");
    assert_eq!(refused(|head| head.masks = 65_536), "the number of masks");
}

#[test]
fn verdicts_that_do_not_fit_the_head_are_refused() {
    let attempt = |change: &dyn Fn(&mut CapsuleHead, &mut Vec<Verdict>)| {
        let (mut head, mut verdicts) = capsule(head(2, 3, 3 << 20, 1)).into_parts();
        change(&mut head, &mut verdicts);
        Capsule::new(head, verdicts).map(|_| ()).unwrap_err()
    };
    let contradicts = |error| matches!(error, CapsuleError::Contradiction { .. });
    assert!(contradicts(attempt(&|_, verdicts| verdicts.swap(0, 1))));
    assert!(contradicts(attempt(&|_, verdicts| _ = verdicts.pop())));
    assert!(contradicts(attempt(&|_, verdicts| _ = verdicts[1].hashes.pop())));
    assert!(contradicts(attempt(&|_, verdicts| verdicts[1].masks.clear())));
    assert!(contradicts(attempt(&|head, _| head.masks = 0)));
}

#[test]
fn every_shape_is_that_of_a_capsule() {
    let geometry = Geometry::new(4096).unwrap();
    for head_bytes in [0, 16, 32, 47, 64, 96, 128, (1 << 24) + 16, u32::MAX] {
        assert!(CapsuleShape::new(head_bytes, &geometry, 0).is_err(), "{head_bytes}");
    }
    assert!(CapsuleShape::new(48, &geometry, 65_536).is_err());
    // x and r, one hash: 3 blocks, odd already; 2 more for the code. Two hashes are filled up.
    assert_eq!(CapsuleShape::new(48, &geometry, 0).unwrap().verdict_bytes, 80);
    assert_eq!(CapsuleShape::new(48, &geometry, 1).unwrap().verdict_bytes, 112);
    assert_eq!(CapsuleShape::new(48, &geometry, 2).unwrap().verdict_bytes, 112);
}

/// Whatever a decoder accepts, it must write again just so: there is one way to say a thing.
fn check_canonical(bytes: &[u8]) {
    let Ok(head) = CapsuleHead::decode(bytes) else { return };
    if head.geometry.chunk_count() < 100 && head.masks < 100 {
        assert_eq!(content(head), bytes);
    }
}

#[test]
fn every_altered_byte_of_a_head_is_refused_or_canonical() {
    let bytes = content(head(2, 3, 3 << 20, 1));
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut altered = bytes.clone();
            altered[at] = value;
            check_canonical(&altered);
        }
    }
    for len in 0..bytes.len() - 31 {
        assert!(CapsuleHead::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    let filled = [bytes.as_slice(), &[0; 32]].concat();
    assert!(CapsuleHead::decode(&filled).is_err(), "a longer filling");
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), masks: u32,
        chunks in prop_oneof![0u64..4, 0u64..(1 << 20)],
    ) {
        let geometry = Geometry::new((chunks << 20).max(4096)).unwrap();
        let _ = CapsuleHead::decode(&bytes);
        let _ = Verdict::decode(&bytes, &geometry, masks);
        let _ = decode_part(Isa::best(), &bytes);
    }

    #[test]
    fn altered_heads_are_refused_or_canonical(
        changes in prop::collection::vec((0usize..400, any::<u8>()), 1..6), cut in 0usize..64,
    ) {
        let mut bytes = content(head(2, 3, 3 << 20, 1));
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut / 32 * cut);
        check_canonical(&bytes);
    }

    #[test]
    fn verdicts_of_another_length_or_with_dirt_are_refused(
        at in 0usize..112, value in 1u8.., masks in 0u32..5,
    ) {
        let capsule = capsule(head(2, 2, 3 << 20, 1));
        let encoded = encoded(&capsule);
        let start = capsule.shape().head_bytes as usize;
        let part = &encoded[start..start + capsule.shape().verdict_bytes as usize];
        let mut bytes = decode_part(Isa::best(), part).unwrap().to_vec();
        let geometry = capsule.head().geometry;
        // 2 blocks, 3 hashes of chunks, 1 of a mask, 1 block of filling.
        prop_assert_eq!(Verdict::decode(&bytes, &geometry, masks).is_ok(), matches!(masks, 1 | 2));
        bytes[at] ^= value;
        let must_be_zero = (1..16).contains(&at) || at >= 96;
        if must_be_zero {
            prop_assert!(Verdict::decode(&bytes, &geometry, 1).is_err());
        }
    }
}
