//! How identifiers and bytes stand in statements: as the texts that people see elsewhere.

use std::fmt::Write as _;

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that `text` gives, where it is exactly `N` of them in lower-case hexadecimal: one
/// spelling each, so that two texts never mean one thing.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

macro_rules! hex_of {
    ($name:ident, $bytes:literal) => {
        pub(crate) mod $name {
            use serde::de::Error as _;
            use serde::{Deserialize, Deserializer, Serializer};
            use std::borrow::Cow;

            pub(crate) fn serialize<S: Serializer>(
                bytes: &[u8; $bytes],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&super::hex(bytes))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<[u8; $bytes], D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                super::unhex(&text).ok_or_else(|| {
                    D::Error::custom(concat!(
                        "not ",
                        stringify!($bytes),
                        " bytes in lower-case hexadecimal"
                    ))
                })
            }
        }
    };
}

hex_of!(hex16, 16);
hex_of!(hex32, 32);

pub(crate) mod text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

pub(crate) mod maybe_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<Cow<'_, str>>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

pub(crate) mod x {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use warifu_core::XCoord;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde's `with` calls it with a reference"
    )]
    pub(crate) fn serialize<S: Serializer>(x: &XCoord, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(x.get())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<XCoord, D::Error> {
        XCoord::new(u8::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a share's coordinate is 1 to 255"))
    }
}
