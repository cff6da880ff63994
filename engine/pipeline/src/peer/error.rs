//! Why a site can't be spoken to, or doesn't do what it is asked.

use warifu_backend::TransportError;
use warifu_core::KeyRange;
use warifu_keystore::KeyError;
use warifu_link::hello::{HelloError, RefusalReason};
use warifu_link::{FrameError, MessageError, Status};

/// What went wrong between gateway and site.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// There is no connection.
    #[error("the site is not connected")]
    NotConnected,
    /// The connection broke or timed out.
    #[error("the connection to the site broke")]
    Transport(#[from] TransportError),
    /// The site's hello is not in order.
    #[error("the site's hello is refused")]
    Hello(#[from] HelloError),
    /// The site does not want to talk.
    #[error("the site refuses the connection: {reason}")]
    HelloRefused {
        /// Its reason; not authenticated.
        reason: RefusalReason,
    },
    /// A frame is forged, replayed or out of order.
    #[error("a frame from the site is refused")]
    Frame(#[from] FrameError),
    /// A message has no sense.
    #[error("a message of the site is refused")]
    Message(#[from] MessageError),
    /// The key store can't serve, or noticed a rollback.
    #[error("the key store refuses")]
    Key(#[from] KeyError),
    /// The site answered that it can't.
    #[error("the site answers {status:?}: {text}")]
    Refused {
        /// How it went.
        status: Status,
        /// The site's own words.
        text: String,
    },
    /// The site answered against the protocol.
    #[error("the site answered against the protocol: {0}")]
    Unexpected(&'static str),
    /// The hello grants key that was used before. Anybody may have sent it, so it accuses nobody.
    #[error("the site's hello grants {range}, which this vault has used")]
    HelloGrantUsed {
        /// What it granted.
        range: KeyRange,
    },
    /// The site granted key that was used before: one end was rolled back.
    #[error("the site grants {range}, which this vault has used")]
    GrantedUsed {
        /// What it granted.
        range: KeyRange,
    },
    /// The site remembers less than it granted: its key store was rolled back.
    #[error("the site's key store was rolled back: it remembers {remembers}, granted {granted}")]
    SiteRolledBack {
        /// The site's mark.
        remembers: u64,
        /// This end's mark.
        granted: u64,
    },
    /// The site has seen a later opening of this vault: this one is an older copy.
    #[error("this vault is an older copy: the site has seen its opening {known}")]
    OwnRollback {
        /// The highest opening that the site has seen.
        known: u64,
    },
    /// Another process of this vault opened a connection meanwhile; connecting again helps.
    #[error("another process of this vault was faster")]
    Superseded,
}

impl PeerError {
    /// Whether the way to the site broke, so that another connection may help.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let busy = RefusalReason::TooManyUnconfirmed;
        match self {
            Self::NotConnected | Self::Superseded | Self::Transport(_) => true,
            Self::HelloRefused { reason } => *reason == busy,
            _ => false,
        }
    }

    /// Whether the site says that its share is bad or gone.
    #[must_use]
    pub fn is_bad_share(&self) -> bool {
        let bad = [Status::Damaged, Status::NoSuchShare];
        matches!(self, Self::Refused { status, .. } if bad.contains(status))
    }

    /// Whether key store or site was rolled back.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        match self {
            Self::GrantedUsed { .. } | Self::SiteRolledBack { .. } | Self::OwnRollback { .. } => {
                true
            }
            Self::Key(error) => error.is_rollback(),
            _ => false,
        }
    }
}
