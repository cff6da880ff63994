//! What a share is in the sharing, and how it reaches its site.

use std::fmt;
use std::str::FromStr;

/// A word that names no role or no channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be one of {expected}, got {text:?}")]
pub struct WordError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

macro_rules! word {
    (
        $(#[$doc:meta])* $name:ident, $what:literal, $expected:literal,
        $($(#[$case_doc:meta])* $case:ident = $byte:literal $text:literal,)+
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        pub enum $name {
            $($(#[$case_doc])* $case,)+
        }

        impl $name {
            /// The byte by which it is stored.
            #[must_use]
            pub const fn to_byte(self) -> u8 {
                match self {
                    $(Self::$case => $byte,)+
                }
            }

            /// What is stored as `byte`, or `None`.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$case),)+
                    _ => None,
                }
            }

            /// The word used in configuration, listings and reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($text => Ok(Self::$case),)+
                    _ => {
                        let text = text.chars().take(64).collect();
                        Err(WordError { what: $what, expected: $expected, text })
                    }
                }
            }
        }
    };
}

word!(
    /// How the bytes of a share come to be.
    Role, "role", "pad, computed",
    /// Drawn uniformly: for a site on a link, its share is a range of the link's own key.
    Pad = 0 "pad",
    /// The Lagrange evaluation through the secret and the pad shares.
    Computed = 1 "computed",
);

word!(
    /// How a share reaches its site.
    Channel, "channel", "otp, local, tls",
    /// Under one-time pad, over a link.
    Otp = 0 "otp",
    /// Within one trusted room, in the clear.
    Local = 1 "local",
    /// To a store without a link: as secret as TLS, which counts against the threshold.
    Tls = 2 "tls",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_words_round_trip_and_refuse() {
        for role in [Role::Pad, Role::Computed] {
            assert_eq!(Role::from_byte(role.to_byte()), Some(role));
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for channel in [Channel::Otp, Channel::Local, Channel::Tls] {
            assert_eq!(Channel::from_byte(channel.to_byte()), Some(channel));
            assert_eq!(channel.as_str().parse(), Ok(channel));
        }
        assert_eq!(Role::from_byte(2), None);
        assert_eq!(Channel::from_byte(3), None);
        assert_eq!((Role::Pad.to_byte(), Channel::Otp.to_byte()), (0, 0));
        for bad in ["", "PAD", " pad", "otp"] {
            assert!(bad.parse::<Role>().is_err(), "{bad}");
        }
        let shown = "smoke".parse::<Channel>().unwrap_err().to_string();
        assert_eq!(shown, "channel must be one of otp, local, tls, got \"smoke\"");
    }
}
