//! Values that settings hold: sizes as numbers or texts, and everything that is written as a text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Display;
use std::str::FromStr;

/// Suffixes of sizes, and how many bytes each means.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// A number of bytes from `"256MiB"`, `"1GB"` or `"4096"`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, unit_bytes) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(unit_bytes)
}

/// `bytes` as a setting's text, exactly.
pub(super) fn size_text(bytes: u64) -> String {
    let binary = UNITS[1..5].iter().rev();
    match binary.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

fn read<E: serde::de::Error>(written: Written) -> Result<u64, E> {
    match written {
        Written::Number(bytes) => Ok(bytes),
        Written::Text(text) => size(&text).ok_or_else(|| E::custom("no size")),
    }
}

/// A size that must be there.
pub(super) mod bytes {
    use super::{Deserialize, Deserializer, Serializer, Written, read};

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        read(Written::deserialize(from)?)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &u64,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_u64(*bytes)
    }
}

/// A size that may be missing.
pub(super) fn optional_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    read(Written::deserialize(from)?).map(Some)
}

/// Something that is written as a text and may be missing.
pub(super) mod text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serialize, Serializer};

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let text = String::deserialize(from)?;
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }

    pub(in super::super) fn serialize<S, T>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Display,
    {
        value.as_ref().map(ToString::to_string).serialize(to)
    }
}

/// A list of things that are written as texts, and may be missing.
pub(super) mod texts {
    use super::{Deserialize, Deserializer, Display, FromStr, Serialize, Serializer};

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        let parsed = texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom));
        parsed.collect::<Result<Vec<T>, _>>().map(Some)
    }

    pub(in super::super) fn serialize<S, T>(
        values: &Option<Vec<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Display,
    {
        let texts = values.as_ref().map(|values| values.iter().map(ToString::to_string));
        texts.map(Iterator::collect::<Vec<String>>).serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_exactly() {
        let cases = [("4096", 4096), ("256MiB", 256 << 20), ("1GB", 1_000_000_000), ("0TiB", 0)];
        for (text, bytes) in cases {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5GiB", "1 GiB", "-1", "1gib", "99999999TiB"] {
            assert_eq!(size(text), None, "{text}");
        }
        for bytes in [0, 1, 1023, 1024, 32 << 20, (1 << 40) + 1024, u64::MAX] {
            assert_eq!(size(&size_text(bytes)), Some(bytes));
        }
        assert_eq!(size_text(32 << 20), "32MiB");
    }
}
