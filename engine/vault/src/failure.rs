//! Why an operation did not do what was asked: its class, a stable code, and what to do next.

use std::error::Error as StdError;
use std::fmt;
use warifu_core::ObjectId;

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $word:literal $retryable:literal,)+) => {
        /// What a script can do about a failure; its number is the exit code.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Class {
            $($(#[$doc])* $name,)+
        }

        impl Class {
            /// The exit code.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// The word in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            /// Whether the same command may succeed later, unchanged.
            #[must_use]
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$name => $retryable,)+
                }
            }
        }
    };
}

classes!(
    /// Anything else.
    Other = 1 "other" false,
    /// The request makes no sense.
    Usage = 2 "usage" false,
    /// Damage was found that can be repaired.
    Damage = 4 "damage" false,
    /// Fewer than k good shares.
    Unrecoverable = 5 "unrecoverable" false,
    /// A site is away, or a stop was asked for.
    Temporary = 6 "temporary" true,
    /// The key budget does not cover it.
    Key = 7 "key-budget" true,
    /// There is no consent, or it does not suffice.
    Consent = 8 "consent" false,
    /// A card or token failed.
    Card = 9 "card" false,
    /// A vault, site, object or individual is not there.
    NotFound = 10 "not-found" false,
    /// Another process holds it.
    Busy = 11 "busy" true,
    /// The peer is not who it should be.
    Authentication = 12 "authentication" false,
    /// Forged or corrupt shares were seen and nothing was delivered.
    Forged = 13 "forged" false,
    /// A key store or catalog was rolled back.
    Rollback = 14 "rollback" false,
    /// A format of another version.
    Incompatible = 15 "incompatible" false,
    /// A limit is reached.
    Limit = 16 "limit" false,
    /// The audit log can't be written.
    Audit = 17 "audit-log" true,
);

/// An operation that failed: what, why (its source), and what to do next.
#[derive(Debug)]
pub struct Failure {
    class: Class,
    code: &'static str,
    what: String,
    next: String,
    wait_s: Option<u64>,
    is_retryable: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure of `class` with a stable `code` such as `site-unknown`.
    #[must_use]
    pub fn new(class: Class, code: &'static str, what: impl Into<String>) -> Self {
        let (what, next, is_retryable) = (what.into(), String::new(), class.is_retryable());
        Self { class, code, what, next, wait_s: None, is_retryable, source: None }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Says in how many seconds the same is expected to go through; `None`: time alone does not
    /// help.
    #[must_use]
    pub(crate) fn expected_in(mut self, wait_s: Option<u64>) -> Self {
        (self.wait_s, self.is_retryable) = (wait_s, wait_s.is_some());
        self
    }

    /// Says that what is done of the backup of `object` is kept, and how to go on.
    #[must_use]
    pub(crate) fn kept(mut self, object: ObjectId) -> Self {
        if !self.next.is_empty() {
            self.next += "; ";
        }
        self.next += &format!(
            "what is done is kept: run the same backup again and it goes on (`warifu jobs cancel \
             {object}` gives it up)"
        );
        self
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What a script can do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// In how many seconds the same is expected to go through, by what the forecast says of key.
    #[must_use]
    pub fn wait_s(&self) -> Option<u64> {
        self.wait_s
    }

    /// Whether the same command may succeed later, unchanged, without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// What to do next; empty where nothing is known.
    #[must_use]
    pub fn advice(&self) -> &str {
        &self.next
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
