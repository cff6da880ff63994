//! The (k, n) of an object and the x-coordinates of its shares, parsed once.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// Why a scheme is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// With k = 1 every share is the plaintext.
    #[error("k must be at least 2 (got {k}): with k = 1 every single share is the plaintext")]
    TooSmall {
        /// The k given.
        k: u32,
    },
    /// More shares needed than exist.
    #[error("k = {k} shares can never be found among n = {n}")]
    KAboveN {
        /// The k given.
        k: u32,
        /// The n given.
        n: u32,
    },
    /// GF(2^8) has 255 non-zero points.
    #[error("n must be at most 255 (got {n}): GF(2^8) has 255 non-zero x-coordinates")]
    TooMany {
        /// The n given.
        n: u32,
    },
    /// Not of the form K/N.
    #[error("a scheme is written K/N, such as 3/5")]
    Syntax,
}

/// `k` of `n`: any `k` shares rebuild, any `k - 1` say nothing. `2 <= k <= n <= 255` always holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Threshold {
    k: u8,
    n: u8,
}

impl Threshold {
    /// Checks and makes a threshold.
    ///
    /// # Errors
    /// Where `2 <= k <= n <= 255` does not hold.
    pub fn new(k: u32, n: u32) -> Result<Self, ThresholdError> {
        if k < 2 {
            return Err(ThresholdError::TooSmall { k });
        }
        let narrow_n = u8::try_from(n).map_err(|_| ThresholdError::TooMany { n })?;
        match u8::try_from(k) {
            Ok(narrow_k) if narrow_k <= narrow_n => Ok(Self { k: narrow_k, n: narrow_n }),
            _ => Err(ThresholdError::KAboveN { k, n }),
        }
    }

    /// Shares needed to rebuild.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k as usize
    }

    /// Shares made.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.n as usize
    }

    /// `k` as it is stored.
    #[must_use]
    pub const fn k_byte(&self) -> u8 {
        self.k
    }

    /// `n` as it is stored.
    #[must_use]
    pub const fn n_byte(&self) -> u8 {
        self.n
    }

    /// Pad shares: `k - 1`.
    #[must_use]
    pub const fn pads(&self) -> usize {
        self.k() - 1
    }

    /// Computed shares: `n - k + 1`.
    #[must_use]
    pub const fn computed(&self) -> usize {
        self.n() - self.pads()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let (k, n) = text.split_once('/').ok_or(ThresholdError::Syntax)?;
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().map_err(|_| ThresholdError::Syntax),
            false => Err(ThresholdError::Syntax),
        };
        Self::new(number(k)?, number(n)?)
    }
}

/// The x-coordinate of a share: never 0, which is where the secret lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XCoord(NonZeroU8);

impl XCoord {
    /// The coordinate `x`, or `None` for 0.
    #[must_use]
    pub const fn new(x: u8) -> Option<Self> {
        match NonZeroU8::new(x) {
            Some(x) => Some(Self(x)),
            None => None,
        }
    }

    /// The coordinate as a field element.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Debug for XCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x={}", self.0)
    }
}

impl fmt::Display for XCoord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_parse_or_say_why() {
        assert_eq!("3/5".parse::<Threshold>().unwrap().to_string(), "3/5");
        assert_eq!("255/255".parse::<Threshold>().unwrap().pads(), 254);
        assert_eq!("1/3".parse::<Threshold>(), Err(ThresholdError::TooSmall { k: 1 }));
        assert_eq!("0/0".parse::<Threshold>(), Err(ThresholdError::TooSmall { k: 0 }));
        assert_eq!("4/3".parse::<Threshold>(), Err(ThresholdError::KAboveN { k: 4, n: 3 }));
        assert_eq!("3/256".parse::<Threshold>(), Err(ThresholdError::TooMany { n: 256 }));
        assert_eq!("300/200".parse::<Threshold>(), Err(ThresholdError::KAboveN { k: 300, n: 200 }));
        for bad in ["", "3", "3/", "/5", "+3/5", "3/5/7", "3/-5", "99999999999/5", "a/b"] {
            assert_eq!(bad.parse::<Threshold>(), Err(ThresholdError::Syntax), "{bad}");
        }
    }
}
