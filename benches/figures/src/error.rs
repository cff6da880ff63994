//! Why a bench gives no figure.

use warifu_backend::{Error as StoreError, TransportError};
use warifu_core::threshold::ThresholdError;
use warifu_keystore::KeyError;
use warifu_link::FrameError;
use warifu_vault::Failure;

/// Why a bench gives no figure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// It was asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// What was made is not what it must be: a figure of it would mean nothing.
    #[error("{figure} made something else than it must: its time means nothing")]
    Wrong {
        /// Whose output.
        figure: String,
    },
    /// There is less room than the bench takes.
    #[error("{what} has room for {left_bytes} bytes, and {needed_bytes} are needed")]
    Room {
        /// Where.
        what: String,
        /// How much there is.
        left_bytes: u64,
        /// How much there should be.
        needed_bytes: u64,
    },
    /// A setting lies outside of what can be measured.
    #[error("{what} must be {least} to {most}")]
    Setting {
        /// Which.
        what: &'static str,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// The system refused.
    #[error("can't {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key store refused.
    #[error("the key store failed")]
    Keys(#[from] KeyError),
    /// A frame was refused.
    #[error("a frame was refused")]
    Frame(#[from] FrameError),
    /// A store of shares refused.
    #[error("the store of shares failed")]
    Store(#[from] StoreError),
    /// A connection failed.
    #[error("the connection failed")]
    Transport(#[from] TransportError),
    /// A scheme is none.
    #[error("there is no such scheme")]
    Scheme(#[from] ThresholdError),
    /// A vault's operation failed.
    #[error("a backup or restore failed")]
    Vault(#[from] Failure),
}

impl BenchError {
    /// What was tried when the system refused, for `map_err`.
    pub(crate) fn io(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { what, source }
    }

    /// The output of `figure` was wrong.
    pub(crate) fn wrong(figure: &str) -> Self {
        Self::Wrong { figure: figure.to_owned() }
    }
}
