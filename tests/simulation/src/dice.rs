//! The one source of everything that is not determined: numbers from a seed.

use std::io;
use std::sync::{Mutex, PoisonError};
use warifu_keystore::Entropy;
use warifu_pipeline::driver::Chooser;

/// Numbers from a seed (`SplitMix64`): good enough to choose by, and never the same twice in a
/// row of 2^64, so that no key, nonce or identifier repeats by accident.
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    /// The numbers of `seed`.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// Dice of their own, so that what they throw does not shift what these throw.
    #[must_use]
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next())
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`; 0 where that is 0.
    pub(crate) fn below(&self, count: usize) -> usize {
        usize::try_from(self.next() % (count.max(1) as u64)).unwrap_or(0)
    }

    /// True so many times in a thousand.
    pub(crate) fn permille(&self, chances: u32) -> bool {
        self.below(1000) < chances as usize
    }
}

impl Chooser for Dice {
    fn choose(&self, count: usize) -> usize {
        self.below(count)
    }
}

impl Entropy for Dice {
    fn fill(&self, target: &mut [u8]) -> io::Result<()> {
        for part in target.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}
