//! Fields read off the front of a slice, little-endian, never beyond its end.

/// The slice ended before the field did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short;

/// What is left to read.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(*field)
    }

    /// The next `bytes` bytes.
    pub(crate) fn slice(&mut self, bytes: usize) -> Result<&'a [u8], Short> {
        let (field, rest) = self.rest.split_at_checked(bytes).ok_or(Short)?;
        self.rest = rest;
        Ok(field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    /// Whether nothing is left.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Writes fields from the front of an array of `N` bytes.
///
/// # Panics
/// Where more than `N` bytes are written, or fewer by the time of [`Layout::finish`]: layouts are
/// fixed, so that would be seen by the first test.
pub(crate) struct Layout<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Layout<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }

    pub(crate) fn put(mut self, field: &[u8]) -> Self {
        let end = self.at + field.len();
        self.bytes[self.at..end].copy_from_slice(field);
        self.at = end;
        self
    }

    pub(crate) fn put_u64(self, number: u64) -> Self {
        self.put(&number.to_le_bytes())
    }

    pub(crate) fn put_u32(self, number: u32) -> Self {
        self.put(&number.to_le_bytes())
    }

    pub(crate) fn put_u16(self, number: u16) -> Self {
        self.put(&number.to_le_bytes())
    }

    pub(crate) fn finish(self) -> [u8; N] {
        assert_eq!(self.at, N, "a layout of {N} bytes was filled to {}", self.at);
        self.bytes
    }
}
