//! Reading and writing of fixed layouts: what every decoder in this crate stands on.

/// Why bytes from outside are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the layout has, or more.
    #[error("{what} has the wrong length")]
    Length {
        /// What was being read.
        what: &'static str,
    },
    /// The first bytes are not those of this format.
    #[error("{what} does not begin with its magic")]
    Magic {
        /// What was being read.
        what: &'static str,
    },
    /// Written by a version that this one can't read.
    #[error("{what} has version {version}, and only 1 is known")]
    Version {
        /// What was being read.
        what: &'static str,
        /// The version found.
        version: u16,
    },
    /// A field holds what it must not.
    #[error("{what}: {field} is not allowed")]
    Field {
        /// What was being read.
        what: &'static str,
        /// Which field, and what is wrong with it.
        field: &'static str,
    },
    /// The stored checksum is that of other bytes: rot.
    #[error("{what} is damaged: its checksum differs")]
    Checksum {
        /// What was being read.
        what: &'static str,
    },
}

/// Takes fields off the front of bytes from outside. No method panics or allocates.
pub(crate) struct Fields<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Fields of `bytes`; `what` names them in errors.
    pub(crate) const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(FormatError::Length { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or(FormatError::Length { what: self.what })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn magic(&mut self, magic: &[u8; 8]) -> Result<(), FormatError> {
        match self.array::<8>()? == *magic {
            true => Ok(()),
            false => Err(FormatError::Magic { what: self.what }),
        }
    }

    pub(crate) fn version(&mut self) -> Result<(), FormatError> {
        match self.u16()? {
            1 => Ok(()),
            version => Err(FormatError::Version { what: self.what, version }),
        }
    }

    /// Skips `len` bytes that must be zero.
    pub(crate) fn zeros(&mut self, len: usize) -> Result<(), FormatError> {
        let bytes = self.slice(len)?;
        self.require(all_zero(bytes), "a byte that must be zero")
    }

    /// Refuses `field` where `allowed` is false.
    pub(crate) fn require(&self, allowed: bool, field: &'static str) -> Result<(), FormatError> {
        self.some(allowed.then_some(()), field)
    }

    /// Refuses `field` where `value` is `None`.
    pub(crate) fn some<T>(&self, value: Option<T>, field: &'static str) -> Result<T, FormatError> {
        value.ok_or(FormatError::Field { what: self.what, field })
    }

    /// What has not been taken.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Refuses what is left over, unless it is the zeros that fill a capsule part's content up to
    /// an odd number of 16-byte blocks.
    pub(crate) fn filling(&mut self) -> Result<(), FormatError> {
        let filling = self.rest.len();
        self.require(filling < 32, "what follows the last field")?;
        self.zeros(filling)
    }

    /// Refuses bytes that are left over.
    pub(crate) fn end(&self) -> Result<(), FormatError> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(FormatError::Length { what: self.what }),
        }
    }
}

/// Whether every byte is 0, found without a branch on any of them.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |any, byte| any | byte) == 0
}

/// Writes fields one after the other into memory that was sized for them.
pub(crate) struct Writer<'a> {
    target: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `target`, which holds zeros.
    pub(crate) const fn new(target: &'a mut [u8]) -> Self {
        Self { target, at: 0 }
    }

    /// Writes `bytes`; panics where `target` is full, a slip in this crate.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.target[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.skip(bytes.len())
    }

    /// Leaves `len` zero bytes.
    pub(crate) const fn skip(&mut self, len: usize) -> &mut Self {
        self.at += len;
        self
    }

    /// Bytes written and left so far.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }
}
