//! What a server or its client said, sorted by what the caller can do.

use object_store::Error as Said;
use std::io;
use warifu_backend::Error;

/// Sorts `said`, which came while doing `what`. What nobody knows better counts as passing: a store
/// over a network comes and goes.
pub(crate) fn sorted(what: &'static str, said: Said) -> Error {
    match said {
        Said::NotFound { .. } => Error::NotFound,
        Said::AlreadyExists { .. } | Said::Precondition { .. } | Said::NotModified { .. } => {
            Error::AlreadyExists
        }
        Said::PermissionDenied { .. } | Said::Unauthenticated { .. } => {
            Error::PermissionDenied { what, source: io::Error::other(said) }
        }
        Said::InvalidPath { .. }
        | Said::NotSupported { .. }
        | Said::NotImplemented { .. }
        | Said::UnknownConfigurationKey { .. } => {
            Error::Other { what, source: io::Error::other(said) }
        }
        said => Error::Unavailable { what, source: io::Error::other(said) },
    }
}

/// The same for a request that may have been carried out although nobody told so.
pub(crate) fn in_doubt(what: &'static str, said: Said) -> Error {
    match sorted(what, said) {
        Error::Unavailable { what, source } => Error::Unknown { what, source },
        error => error,
    }
}
