//! Errors of a store, sorted by what the caller can do about them.

use std::io;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[expect(
    clippy::error_impl_error,
    reason = "the architecture names it so; used as a path it is clear"
)]
#[non_exhaustive]
pub enum Error {
    /// The name is committed, or an unfinished upload of it waits for `resume`.
    #[error("the share exists already")]
    AlreadyExists,
    /// Somebody has the upload of this name open. Later it may be free.
    #[error("the upload is in use by another writer")]
    Busy,
    /// What is kept is not what was written: repair it from other shares.
    #[error("the share is damaged: {what}")]
    Damaged {
        /// What was found.
        what: &'static str,
    },
    /// More than this store ever takes: asking again is no use.
    #[error("beyond a limit of the store: {what}")]
    Limit {
        /// Which limit.
        what: &'static str,
    },
    /// No room. Nothing of the upload is left behind.
    #[error("no space left in the store")]
    NoSpace,
    /// Nothing under this name.
    #[error("no such share in the store")]
    NotFound,
    /// Anything else.
    #[error("the store failed: {what}")]
    Other {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The operator has to grant it.
    #[error("permission denied: {what}")]
    PermissionDenied {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The range asked for ends beyond the end of what is there.
    #[error("{wanted_bytes} bytes at offset {offset} reach beyond the end at {held_bytes}")]
    Truncated {
        /// First byte asked for.
        offset: u64,
        /// How many bytes were asked for.
        wanted_bytes: u64,
        /// How many bytes there are in all.
        held_bytes: u64,
    },
    /// Not reachable just now: try again later.
    #[error("the store is unavailable: {what}")]
    Unavailable {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It may have happened or not: ask (`len`, `unfinished`) before doing anything else.
    #[error("the outcome is unknown: {what}")]
    Unknown {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later without anything being changed by the caller.
    /// [`Error::Unknown`] is not among them: there, ask first.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Busy | Self::Unavailable { .. } => true,
            Self::AlreadyExists
            | Self::Damaged { .. }
            | Self::Limit { .. }
            | Self::NoSpace
            | Self::NotFound
            | Self::Other { .. }
            | Self::PermissionDenied { .. }
            | Self::Truncated { .. }
            | Self::Unknown { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn display_leaves_the_source_to_the_chain() {
        let source = || io::Error::other("the very cause");
        for error in [
            Error::Other { what: "write", source: source() },
            Error::PermissionDenied { what: "write", source: source() },
            Error::Unavailable { what: "write", source: source() },
            Error::Unknown { what: "write", source: source() },
        ] {
            assert!(!error.to_string().contains("cause"), "{error}");
            assert_eq!(error.source().unwrap().to_string(), "the very cause");
        }
    }

    #[test]
    fn only_waiting_helps_against_temporary_errors() {
        let source = || io::Error::other("x");
        assert!(Error::Busy.is_temporary());
        assert!(Error::Unavailable { what: "w", source: source() }.is_temporary());
        assert!(!Error::Unknown { what: "w", source: source() }.is_temporary());
        assert!(!Error::NoSpace.is_temporary());
    }
}
