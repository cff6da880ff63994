//! What this machine allows: the clock, what one visit of the streams costs, and how many vectors a
//! core can multiply meanwhile.

/// How fast the core runs.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Cycles in a second.
    pub hertz: f64,
}

impl Clock {
    /// Measures it by a chain of subtractions of which each waits for the one before. `None` where
    /// no such chain is known.
    #[must_use]
    pub fn measure() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            const STEPS: u64 = 4_000_000;
            let hertz = (0..15).map(|_| STEPS as f64 / crate::pace::timed(|| x86_64::chain(STEPS)));
            Some(Self { hertz: crate::median(hertz.collect()) })
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// The instructions that a column of one vector of each stream can't do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// Vectors loaded.
    pub loads: usize,
    /// Vectors stored.
    pub stores: usize,
    /// Products.
    pub products: usize,
    /// Sums of two or of three.
    pub sums: usize,
}

impl Ports {
    /// Cycles at least, for vectors of 64 bytes: two loads, one store and one product in each, and
    /// two of products and sums together.
    ///
    /// Those are the units of Intel's cores since Ice Lake. Zen 4 has half the loads and stores.
    #[must_use]
    pub fn cycles(self) -> f64 {
        let bounds = [
            self.loads as f64 / 2.0,
            self.stores as f64,
            self.products as f64,
            (self.products + self.sums) as f64 / 2.0,
        ];
        bounds.into_iter().fold(0.0, f64::max)
    }
}

/// Visits each line of all streams once and multiplies nothing: every target becomes the sum of all
/// sources, past the caches if `streamed`, and of what it was, if it `adds`. This is the roof that memory sets for the same streams.
///
/// # Panics
/// If streams differ in length, are no whole vectors, or, if `streamed`, targets don't begin on a
/// cache line.
pub fn touch(targets: &mut [&mut [u8]], sources: &[&[u8]], streamed: bool, adds: bool) {
    let len = sources.first().map_or(0, |source| source.len());
    assert!(sources.iter().all(|source| source.len() == len) && len % 64 == 0, "whole vectors");
    for target in &*targets {
        assert!(target.len() == len, "streams of one length");
        assert!(!streamed || target.as_ptr().addr().is_multiple_of(64), "targets on lines");
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the feature was found, and what the function asks of streams was checked.
        return unsafe { x86_64::touch(targets, sources, len, streamed, adds) };
    }
    for at in 0..len {
        let sum = sources.iter().fold(0, |sum, source| sum ^ source[at]);
        for target in &mut *targets {
            target[at] = if adds { target[at] ^ sum } else { sum };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::arch::x86_64::{
        _MM_HINT_T1, _mm_prefetch, _mm_sfence, _mm512_loadu_si512, _mm512_setzero_si512,
        _mm512_storeu_si512, _mm512_stream_si512, _mm512_xor_si512,
    };

    /// Takes a cycle for each of `steps`, at least one.
    pub(super) fn chain(steps: u64) {
        // SAFETY: it counts a register down to 0 and touches nothing else.
        unsafe {
            asm!("2:", "dec {0}", "jnz 2b", inout(reg) steps => _, options(nomem, nostack));
        }
    }

    /// # Safety
    /// All streams have `len` bytes, whole vectors; where `streamed`, targets are aligned to them.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn touch(
        targets: &mut [&mut [u8]],
        sources: &[&[u8]],
        len: usize,
        streamed: bool,
        adds: bool,
    ) {
        for at in (0..len).step_by(64) {
            let mut sum = _mm512_setzero_si512();
            for source in sources {
                let line = source.as_ptr().wrapping_add(at);
                // SAFETY: a prefetch touches nothing.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(1024).cast()) }
                // SAFETY: a whole vector is left.
                sum = _mm512_xor_si512(sum, unsafe { _mm512_loadu_si512(line.cast()) });
            }
            for target in &mut *targets {
                let line = target.as_mut_ptr().wrapping_add(at);
                let sum = match adds {
                    // SAFETY: a whole vector is left.
                    true => _mm512_xor_si512(sum, unsafe { _mm512_loadu_si512(line.cast()) }),
                    false => sum,
                };
                match streamed {
                    // SAFETY: a whole vector is left, and it is aligned.
                    true => unsafe { _mm512_stream_si512(line.cast(), sum) },
                    // SAFETY: a whole vector is left.
                    false => unsafe { _mm512_storeu_si512(line.cast(), sum) },
                }
            }
        }
        _mm_sfence();
    }
}
