//! Sizes as people write and read them.

use std::str::FromStr;

/// The largest size that is taken, in bytes: sums of a few such sizes stay within 64 bits.
const BYTES_MAX: u64 = 1 << 60;

/// What may follow the digits, and how many bytes it means.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
];

/// A number of bytes, read from `4096`, `500MB`, `64MiB` and the like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    /// How many.
    pub(crate) bytes: u64,
}

/// Why a text is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum SizeError {
    /// It does not begin with a digit.
    #[error("a size is a whole number with or without a unit, such as 64MiB, 500MB or 4096")]
    NotANumber,
    /// What follows the digits is no unit.
    #[error("unknown unit {0:?}: the units are B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB and PiB")]
    UnknownUnit(String),
    /// More than 1 EiB.
    #[error("at most 1024PiB")]
    TooLarge,
    /// Nothing at all, where something is needed.
    #[error("must be more than 0")]
    Zero,
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(SizeError::NotANumber);
        }
        let Some((_, unit_bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(SizeError::UnknownUnit(unit.chars().take(16).collect()));
        };
        let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
        match number.checked_mul(*unit_bytes) {
            Some(bytes) if bytes <= BYTES_MAX => Ok(Self { bytes }),
            _ => Err(SizeError::TooLarge),
        }
    }
}

/// Reads a size that is not nothing.
pub(crate) fn some_size(text: &str) -> Result<Size, SizeError> {
    match text.parse()? {
        Size { bytes: 0 } => Err(SizeError::Zero),
        size => Ok(size),
    }
}

/// `bytes` with one decimal and a binary unit, rounded down: what is left is never overstated.
pub(crate) fn human(bytes: u64) -> String {
    const NAMES: [(&str, u32); 6] =
        [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match NAMES.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        None => format!("{bytes} B"),
        Some((name, bits)) => {
            let tenths = (u128::from(bytes) * 10) >> bits;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

/// A rate in bytes a second, as [`human`] writes sizes.
pub(crate) fn human_rate(bytes_per_second: f64) -> String {
    format!("{}/s", human(bytes_per_second as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Result<u64, SizeError> {
        text.parse().map(|size: Size| size.bytes)
    }

    #[test]
    fn sizes_mean_what_they_say() {
        let cases = [
            ("0", 0),
            ("4096", 4096),
            ("7B", 7),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("500MB", 500_000_000),
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
            ("2GB", 2_000_000_000),
            ("3TiB", 3 << 40),
            ("5TB", 5_000_000_000_000),
            ("6PB", 6_000_000_000_000_000),
            ("1024PiB", 1 << 60),
            ("0001GiB", 1 << 30),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for text in ["", " 1", "-1", "+1", "GiB", ".5GiB", "x", "½", "０"] {
            assert_eq!(bytes(text), Err(SizeError::NotANumber), "{text}");
        }
        for text in ["1.5GiB", "1 GiB", "1G", "1gib", "1Gib", "1_000", "0x10", "1GiBs", "1e3"] {
            assert!(matches!(bytes(text), Err(SizeError::UnknownUnit(_))), "{text}");
        }
        for text in ["1025PiB", "1152921504606846977", "18446744073709551616", "99999999999PB"] {
            assert_eq!(bytes(text), Err(SizeError::TooLarge), "{text}");
        }
        assert_eq!(some_size("0GiB"), Err(SizeError::Zero));
        assert_eq!(some_size("1"), Ok(Size { bytes: 1 }));
    }

    #[test]
    fn sizes_are_written_short_and_never_overstated() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            ((3 << 30) + (1 << 29), "3.5 GiB"),
            (1 << 50, "1.0 PiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text);
        }
        assert_eq!(human_rate(2048.7), "2.0 KiB/s");
        assert_eq!(human_rate(f64::NAN), "0 B/s");
        assert_eq!(human_rate(-1.0), "0 B/s");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            if let Ok(size) = bytes(&text) {
                prop_assert!(size <= BYTES_MAX);
            }
        }

        #[test]
        fn any_number_with_any_unit_is_exact_or_refused(
            number in any::<u64>(),
            unit in proptest::sample::select(UNITS),
        ) {
            let exact = u128::from(number) * u128::from(unit.1);
            let expected = match exact <= u128::from(BYTES_MAX) {
                true => Ok(exact as u64),
                false => Err(SizeError::TooLarge),
            };
            prop_assert_eq!(bytes(&format!("{number}{}", unit.0)), expected);
        }
    }
}
