//! Capsules to attack, and their shares.

use warifu_core::capsule::{Capsule, CapsuleHead, ShareEntry, Verdict};
use warifu_core::sharing::SplitPlan;
use warifu_core::{Channel, Geometry, KeyClass, LinkId, ObjectId, Role, Threshold, XCoord};
use warifu_kernels::{Isa, dot};

pub(crate) fn x(value: u8) -> XCoord {
    XCoord::new(value).unwrap()
}

/// Bytes that differ from seed to seed (SplitMix).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mix = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56
    };
    (0..len as u64).map(|i| mix(i) as u8).collect()
}

pub(crate) fn block(seed: u64) -> [u8; 16] {
    noise(seed, 16).try_into().unwrap()
}

/// A head whose pads lie at the last k - 1 coordinates.
pub(crate) fn head(k: usize, n: usize, payload_bytes: u64, masks: u32) -> CapsuleHead {
    let entry = |i: usize| ShareEntry {
        x: x(i as u8),
        role: if i > n - k + 1 { Role::Pad } else { Role::Computed },
        channel: if i == 1 { Channel::Local } else { Channel::Otp },
        link: (i != 1).then(|| LinkId::from_bytes([i as u8; 16])),
        site: format!("site-{i}").parse().unwrap(),
        zone: format!("zone-{i}").parse().unwrap(),
        domain: format!("domain-{i}").parse().unwrap(),
    };
    CapsuleHead {
        threshold: Threshold::new(k as u32, n as u32).unwrap(),
        class: KeyClass::InformationTheoretic,
        object: ObjectId::from_bytes([9; 16]),
        geometry: Geometry::new(payload_bytes).unwrap(),
        masks,
        created_unix_s: 1_700_000_000,
        individual: "I7".parse().unwrap(),
        label: Some("サンプル".to_owned()),
        binding: vec![1, 2, 3],
        shares: (1..=n).map(entry).collect(),
        attempts: vec![(0, 2)],
    }
}

/// A capsule that fits `head`, with hashes made up.
pub(crate) fn capsule(head: CapsuleHead) -> Capsule {
    let hashes = |seed: u64, count: u64| (0..count).map(|i| block(seed + i)).collect::<Vec<_>>();
    let chunks = head.geometry.chunk_count();
    let verdict = |x: XCoord| {
        let seed = u64::from(x.get()) << 20;
        Verdict {
            x,
            r: block(seed),
            hashes: hashes(seed + 1, chunks),
            masks: hashes(seed + 1 + chunks, u64::from(head.masks)),
        }
    };
    let verdicts = head.shares.iter().map(|share| verdict(share.x)).collect();
    Capsule::new(head, verdicts).unwrap()
}

/// The bytes of a capsule.
pub(crate) fn encoded(capsule: &Capsule) -> Vec<u8> {
    let points: Vec<_> =
        (0..=capsule.verdicts().len() as u64).map(|i| block(0xA3D_0000 + i)).collect();
    capsule.encode(Isa::best(), &points).to_vec()
}

/// The n shares of `secret`, in the order of x.
pub(crate) fn shares(k: usize, n: usize, secret: &[u8]) -> Vec<Vec<u8>> {
    let pads: Vec<Vec<u8>> = (1..k as u64).map(|i| noise(77 + i, secret.len())).collect();
    let computed = n - k + 1;
    let xs: Vec<_> = (1..=n as u8).map(x).collect();
    let threshold = Threshold::new(k as u32, n as u32).unwrap();
    let plan = SplitPlan::new(threshold, &xs[computed..], &xs[..computed]).unwrap();
    let mut shares = vec![vec![0; secret.len()]; computed];
    let sources: Vec<&[u8]> =
        std::iter::once(secret).chain(pads.iter().map(Vec::as_slice)).collect();
    let mut targets: Vec<&mut [u8]> = shares.iter_mut().map(Vec::as_mut_slice).collect();
    dot(Isa::best(), plan.matrix(), &mut targets, &sources);
    shares.into_iter().chain(pads).collect()
}

/// Shares with their coordinates, as recovery takes them.
pub(crate) fn paired(shares: &[Vec<u8>]) -> Vec<(XCoord, &[u8])> {
    shares.iter().enumerate().map(|(i, share)| (x(i as u8 + 1), share.as_slice())).collect()
}

/// A part whose content is 3 blocks, and its n shares.
pub(crate) fn part(k: usize, n: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let capsule = capsule(head(2, 2, 4096, 0));
    let verdict_bytes = capsule.shape().verdict_bytes as usize;
    let bytes = encoded(&capsule);
    let part = bytes[bytes.len() - verdict_bytes..].to_vec();
    let content = part[..part.len() - 32].to_vec();
    (content, shares(k, n, &part))
}
