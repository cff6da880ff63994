//! Reproducible bytes and numbers.

/// Numbers that look random and follow from a seed (SplitMix64).
pub struct Dice {
    state: u64,
}

impl Dice {
    /// Dice that fall the same way for the same `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    ///
    /// # Panics
    /// For a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }
}

/// `bytes` bytes that follow from `seed` and do not repeat.
#[must_use]
pub fn sample(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        data.extend_from_slice(&dice.roll().to_le_bytes());
    }
    data.truncate(bytes);
    data
}

/// The seed of this run: `WARIFU_TEST_SEED`, else the clock. It is printed, so that a failure can
/// be had again.
///
/// # Panics
/// Where the variable is no number.
#[must_use]
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("WARIFU_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_secs()
        }
    };
    announce(&format!("{test}: WARIFU_TEST_SEED={seed}"));
    seed
}

/// Tells something that belongs in the log of the run.
#[expect(clippy::print_stdout, reason = "the log of a test run is its standard output")]
pub(crate) fn announce(text: &str) {
    println!("{text}");
}
