//! `xor` against the definition.

use crate::samples::{self, Guarded};
use warifu_kernels::xor;

#[test]
fn every_length_at_every_alignment() {
    let lens = (0..=300).chain([511, 512, 513, 1000, 4095, 4096, 4097, 1 << 20]);
    for len in lens {
        let (target, source) = (samples::bytes(1, len), samples::bytes(2, len));
        let expected: Vec<u8> = target.iter().zip(&source).map(|(t, s)| t ^ s).collect();
        let skews = if len > 5000 { 0..2 } else { 0..64 };
        for skew in skews {
            for isa in samples::isas() {
                let mut to = Guarded::new(&target, skew);
                let from = Guarded::new(&source, (skew * 7) % 64);
                xor(isa, to.stream_mut(), from.stream());
                assert!(to.stream() == expected, "{isa:?}, {len} bytes, skew {skew}");
                to.assert_guards();
                assert!(from.stream() == source);
            }
        }
    }
}

#[test]
fn lengths_that_differ_panic() {
    for isa in samples::isas() {
        for (a, b) in [(0, 1), (64, 63), (100, 200)] {
            let mut target = vec![0; a];
            let source = vec![0; b];
            let call = std::panic::AssertUnwindSafe(|| xor(isa, &mut target, &source));
            assert!(std::panic::catch_unwind(call).is_err());
        }
    }
}
