//! Which instruction sets this CPU has, as values that only detection can make.

/// An instruction set that the CPU at hand is known to have.
///
/// Nothing outside this crate can make one but by detection, so holding one is the proof that the
/// kernels compiled for it may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Isa {
    level: Level,
}

/// What an [`Isa`] stands for. A value of a level beyond `Scalar` exists only inside an [`Isa`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Bw,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Why an instruction set can't be had by name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is one of ours, but this CPU or this build lacks what it needs.
    #[error("this machine lacks what instruction set {name:?} needs")]
    Absent {
        /// The name asked for.
        name: String,
    },
    /// No instruction set has this name.
    #[error("no instruction set is named {name:?}: use scalar, avx2, avx512bw or avx512")]
    Unknown {
        /// The name asked for.
        name: String,
    },
}

/// Every name, on any architecture, in the order of [`Isa::available`].
const NAMES: [&str; 4] = ["scalar", "avx2", "avx512bw", "avx512"];

impl Isa {
    /// The fastest instruction set of this CPU.
    #[must_use]
    pub fn best() -> Self {
        let mut best = Self { level: Level::Scalar };
        for isa in Self::detected().into_iter().flatten() {
            best = isa;
        }
        best
    }

    /// All instruction sets of this CPU, `scalar` first, the fastest last. Never empty.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::detected().into_iter().flatten().collect()
    }

    /// The instruction set of that name.
    ///
    /// # Errors
    /// [`IsaError::Unknown`] if there is no such name, [`IsaError::Absent`] if this CPU lacks it.
    pub fn named(name: &str) -> Result<Self, IsaError> {
        let found = Self::detected().into_iter().flatten().find(|isa| isa.name() == name);
        match found {
            Some(isa) => Ok(isa),
            None if NAMES.contains(&name) => Err(IsaError::Absent { name: name.to_owned() }),
            None => Err(IsaError::Unknown { name: name.to_owned() }),
        }
    }

    /// The instruction set of that name if one is given, else [`Isa::best`]. Callers hand the
    /// value of the environment variable `WARIFU_ISA` here.
    ///
    /// # Errors
    /// Those of [`Isa::named`]: a name that can't be honoured is never passed over in silence.
    pub fn pinned(name: Option<&str>) -> Result<Self, IsaError> {
        name.map_or_else(|| Ok(Self::best()), Self::named)
    }

    /// `scalar`, `avx2` (AVX2 and PCLMULQDQ), `avx512bw` (those and AVX-512 F, BW and VL) or
    /// `avx512` (all that, GFNI and VPCLMULQDQ).
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self.level {
            Level::Scalar => NAMES[0],
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => NAMES[1],
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bw => NAMES[2],
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => NAMES[3],
        }
    }

    /// What to dispatch on.
    pub(crate) const fn level(self) -> Level {
        self.level
    }

    #[cfg(target_arch = "x86_64")]
    fn detected() -> [Option<Self>; 4] {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("pclmulqdq");
        let avx512bw = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vl");
        let avx512 = avx512bw && has!("gfni") && has!("vpclmulqdq");
        [
            Some(Self { level: Level::Scalar }),
            avx2.then_some(Self { level: Level::Avx2 }),
            avx512bw.then_some(Self { level: Level::Avx512Bw }),
            avx512.then_some(Self { level: Level::Avx512 }),
        ]
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected() -> [Option<Self>; 1] {
        [Some(Self { level: Level::Scalar })]
    }
}
