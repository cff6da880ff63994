//! Identifiers. All are public values: they may be printed, compared and stored anywhere.

use std::fmt;
use std::str::FromStr;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not 32 hexadecimal digits.
    #[error("{what} must be 32 hexadecimal digits, got {text:?}")]
    NotHex {
        /// Which identifier was parsed.
        what: &'static str,
        /// What was given, shortened to 64 characters.
        text: String,
    },
    /// A name outside the allowed alphabet or length.
    #[error("{what} must be {rule}, got {text:?}")]
    BadName {
        /// Which identifier was parsed.
        what: &'static str,
        /// The rule that the name breaks.
        rule: &'static str,
        /// What was given, shortened to 64 characters.
        text: String,
    },
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The identifier with these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The sixteen bytes, in the order in which they are stored and printed.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let refused = || IdError::NotHex { what: $what, text: shortened(text) };
                if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(refused());
                }
                let number = u128::from_str_radix(text, 16).map_err(|_| refused())?;
                Ok(Self(number.to_be_bytes()))
            }
        }
    };
}

id16!(/// One stored stream.
    ObjectId, "object");
id16!(/// A pair of parties that share a pool; both name it so.
    LinkId, "link");
id16!(/// One pool of key material. A link's pool has the link's own bytes.
    PoolId, "pool");
id16!(/// One segment of key material.
    SegmentId, "segment");
id16!(/// One opening of a vault by one process, drawn afresh each time.
    Incarnation, "incarnation");

impl From<LinkId> for PoolId {
    fn from(link: LinkId) -> Self {
        Self(link.0)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let allowed: fn(&str) -> bool = $allowed;
                if (1..=64).contains(&text.len()) && allowed(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(IdError::BadName { what: $what, rule: $rule, text: shortened(text) })
            }
        }
    };
}

name!(
    /// The name of a site, a zone, a domain or a vault.
    SiteName,
    "site name",
    "1 to 64 of a-z, 0-9 and '-', beginning with a letter or digit",
    |text| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
);
name!(
    /// A person's pseudonymous identifier.
    IndividualId,
    "individual",
    "1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
    |text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && text.as_bytes()[0].is_ascii_alphanumeric()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_round_trip_and_refuse() {
        let id: ObjectId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        assert_eq!(id.bytes()[15], 15);
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
        for bad in
            ["", "00", "+00102030405060708090a0b0c0d0e0f", "g00102030405060708090a0b0c0d0e0f"]
        {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_safe_in_paths() {
        assert!("tohoku-univ".parse::<SiteName>().is_ok());
        assert!("P1.a_b-c".parse::<IndividualId>().is_ok());
        let long = "a".repeat(65);
        for bad in ["", "-a", "A", "a/b", "a.b", "é", long.as_str()] {
            assert!(bad.parse::<SiteName>().is_err(), "{bad}");
        }
        for bad in ["", ".", "..", ".a", "a/b", "a b"] {
            assert!(bad.parse::<IndividualId>().is_err(), "{bad}");
        }
    }
}
