//! What this machine allows: the clock, what one visit of the streams costs, and how many vectors a
//! core can multiply meanwhile.

use warifu_kernels::Isa;

/// Bytes of a vector of `avx512`, the only instruction set whose units are reckoned with.
const VECTOR_BYTES: f64 = 64.0;

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

    /// Bytes of one stream in a second, where a column of vectors takes so many cycles of the
    /// units. `None` but for `avx512`: [`Ports`] tells nothing of other instruction sets.
    #[must_use]
    pub fn units(self, isa: Isa, cycles: f64) -> Option<f64> {
        (isa.name() == "avx512").then(|| VECTOR_BYTES * self.hertz / cycles)
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
/// sources, past the caches if `streamed`, and of what it was, if it `adds`. This is the roof that
/// memory sets for the same streams.
///
/// # Panics
/// If streams differ in length, are no whole vectors, or, if `streamed`, targets don't begin on a
/// cache line; on a core with AVX-512 also if there are targets, but not two to six sources.
pub fn touch(targets: &mut [&mut [u8]], sources: &[&[u8]], streamed: bool, adds: bool) {
    let len = sources.first().map_or(0, |source| source.len());
    assert!(
        sources.iter().all(|source| source.len() == len) && len.is_multiple_of(64),
        "whole vectors"
    );
    for target in &*targets {
        assert!(target.len() == len, "streams of one length");
        assert!(!streamed || target.as_ptr().addr().is_multiple_of(64), "targets on lines");
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512f") {
        let put = match (adds, streamed) {
            (true, _) => x86_64::Put::Add,
            (false, true) => x86_64::Put::Stream,
            (false, false) => x86_64::Put::Replace,
        };
        // SAFETY: the feature was found, and what the function asks of streams was checked.
        return unsafe { x86_64::touch(targets, sources, len, put) };
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
    use std::ops::Range;

    /// Takes a cycle for each of `steps`, at least one.
    pub(super) fn chain(steps: u64) {
        // SAFETY: it counts a register down to 0 and touches nothing else.
        unsafe {
            asm!("2:", "dec {0}", "jnz 2b", inout(reg) steps => _, options(nomem, nostack));
        }
    }

    /// How targets are written.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Put {
        Add,
        Replace,
        Stream,
    }

    /// Bytes that are done with before going on, where more targets are asked for than there are
    /// registers for their pointers.
    const TILE_BYTES: usize = 4096;

    /// At most so many targets in one go.
    const TARGETS_MAX: usize = 5;

    /// # Safety
    /// All streams have `len` bytes, whole vectors; to be streamed to, targets are aligned to them.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn touch(targets: &mut [&mut [u8]], sources: &[&[u8]], len: usize, put: Put) {
        let tile = if targets.len() <= TARGETS_MAX { len } else { TILE_BYTES };
        for start in (0..len).step_by(tile.max(1)) {
            let end = len.min(start + tile);
            for some in targets.chunks_mut(TARGETS_MAX) {
                let to = some.iter_mut().map(|target| target.as_mut_ptr()).collect::<Vec<_>>();
                let from = sources.iter().map(|source| source.as_ptr()).collect::<Vec<_>>();
                match put {
                    // SAFETY: the caller's promise, here and below.
                    Put::Add => unsafe { some_sources::<0>(&to, &from, start..end) },
                    // SAFETY: as above.
                    Put::Replace => unsafe { some_sources::<1>(&to, &from, start..end) },
                    // SAFETY: as above.
                    Put::Stream => unsafe { some_sources::<2>(&to, &from, start..end) },
                }
            }
        }
        _mm_sfence();
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn some_sources<const PUT: u8>(to: &[*mut u8], from: &[*const u8], part: Range<usize>) {
        match *from {
            // SAFETY: the caller's promise, here and below.
            [a, b] => unsafe { some_targets::<PUT, 2>(to, [a, b], part) },
            // SAFETY: as above.
            [a, b, c] => unsafe { some_targets::<PUT, 3>(to, [a, b, c], part) },
            // SAFETY: as above.
            [a, b, c, d] => unsafe { some_targets::<PUT, 4>(to, [a, b, c, d], part) },
            // SAFETY: as above.
            [a, b, c, d, e] => unsafe { some_targets::<PUT, 5>(to, [a, b, c, d, e], part) },
            // SAFETY: as above.
            [a, b, c, d, e, f] => unsafe { some_targets::<PUT, 6>(to, [a, b, c, d, e, f], part) },
            _ => panic!("2 to 6 sources"),
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn some_targets<const PUT: u8, const READS: usize>(
        to: &[*mut u8],
        from: [*const u8; READS],
        part: Range<usize>,
    ) {
        match *to {
            // SAFETY: the caller's promise, here and below.
            [a] => unsafe { visit::<PUT, READS, 1>([a], from, part) },
            // SAFETY: as above.
            [a, b] => unsafe { visit::<PUT, READS, 2>([a, b], from, part) },
            // SAFETY: as above.
            [a, b, c] => unsafe { visit::<PUT, READS, 3>([a, b, c], from, part) },
            // SAFETY: as above.
            [a, b, c, d] => unsafe { visit::<PUT, READS, 4>([a, b, c, d], from, part) },
            // SAFETY: as above.
            [a, b, c, d, e] => unsafe { visit::<PUT, READS, 5>([a, b, c, d, e], from, part) },
            _ => panic!("1 to 5 targets"),
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn visit<const PUT: u8, const READS: usize, const WRITES: usize>(
        to: [*mut u8; WRITES],
        from: [*const u8; READS],
        part: Range<usize>,
    ) {
        for at in part.step_by(64) {
            let mut sum = _mm512_setzero_si512();
            for source in from {
                let line = source.wrapping_add(at);
                if PUT != 1 {
                    _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(1024).cast());
                }
                // SAFETY: a whole vector is left.
                sum = _mm512_xor_si512(sum, unsafe { _mm512_loadu_si512(line.cast()) });
            }
            let mut sums = [sum; WRITES];
            if PUT == 0 {
                for (sum, target) in sums.iter_mut().zip(to) {
                    // SAFETY: a whole vector is left.
                    let before = unsafe { _mm512_loadu_si512(target.wrapping_add(at).cast()) };
                    *sum = _mm512_xor_si512(*sum, before);
                }
            }
            for (sum, target) in sums.into_iter().zip(to) {
                let line = target.wrapping_add(at);
                match PUT {
                    // SAFETY: a whole vector is left, and it is aligned.
                    2 => unsafe { _mm512_stream_si512(line.cast(), sum) },
                    // SAFETY: a whole vector is left.
                    _ => unsafe { _mm512_storeu_si512(line.cast(), sum) },
                }
            }
        }
    }
}
