//! What the tests run on: instruction sets, bytes, and streams between guards.

use warifu_kernels::Isa;

/// Every instruction set that there is by name; says which ones this machine skips.
pub(crate) fn isas() -> Vec<Isa> {
    let found: Vec<_> =
        ["scalar", "avx2", "avx512bw", "avx512"].into_iter().filter_map(isa).collect();
    assert_eq!(found, Isa::available());
    found
}

fn isa(name: &str) -> Option<Isa> {
    let found = Isa::named(name).ok();
    if found.is_none() {
        println!("skipped: this machine has no {name}");
    }
    found
}

/// Bytes that look random and are the same each time (SplitMix64).
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0xD134_2543_DE82_EF95);
    let mut word = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| word()).take(len).collect()
}

const GUARD: u8 = 0xA5;
const GUARD_BYTES: usize = 128;

/// A stream that begins `skew` bytes after a multiple of 64, with guard bytes on both sides.
pub(crate) struct Guarded {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Guarded {
    pub(crate) fn new(content: &[u8], skew: usize) -> Self {
        let mut memory = vec![GUARD; content.len() + 64 + 2 * GUARD_BYTES];
        let start = memory.as_ptr().align_offset(64) + GUARD_BYTES + skew;
        memory[start..][..content.len()].copy_from_slice(content);
        Self { memory, start, len: content.len() }
    }

    pub(crate) fn stream(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }

    pub(crate) fn stream_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }

    /// That nothing around the stream was written to.
    pub(crate) fn assert_guards(&self) {
        let after = self.start + self.len;
        let guards = self.memory[..self.start].iter().chain(&self.memory[after..]);
        assert!(guards.into_iter().all(|&byte| byte == GUARD), "a guard byte was overwritten");
    }
}
