//! The way to other sites.

use warifu_catalog::CatalogError;
use warifu_core::SiteName;
use warifu_keystore::KeyError;
use warifu_pipeline::peer::{Peer, PeerError};

/// Connects a site to others, over links of which it has end A.
pub trait Neighbourhood: Send + Sync {
    /// A connection to a site that this one's operator has named.
    ///
    /// # Errors
    /// Where there is no link to it, or it is away or not genuine.
    fn dial(&self, site: &SiteName) -> Result<Peer, DialError>;
}

/// Why there is no connection to another site.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The operator has named no such site.
    #[error("no such site is known here")]
    Unknown,
    /// No link to it ends in A here: it connects, or nobody does.
    #[error("no link to it begins here")]
    NotOurs,
    /// What is noted of where it is names no place.
    #[error("{url:?} is no URL of a site daemon")]
    Url {
        /// What is noted.
        url: String,
    },
    /// This site's register can't be asked about it.
    #[error("this site's own register can't be read")]
    Register(#[source] CatalogError),
    /// This site's key store can't be asked about it.
    #[error("this site's own key store can't be read")]
    Keys(#[source] KeyError),
    /// It is away, refuses, or is not genuine.
    #[error("it can't be connected to")]
    Peer(#[source] PeerError),
}
