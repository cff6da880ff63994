//! The way to other sites.

use warifu_core::SiteName;
use warifu_pipeline::peer::{Peer, PeerError};

/// Connects a site to others, over links of which it has end A.
pub trait Neighbourhood: Send + Sync {
    /// A connection to a site that this one's operator has named.
    ///
    /// # Errors
    /// Where there is no link to it, or it is away or not genuine.
    fn dial(&self, site: &SiteName) -> Result<Peer, PeerError>;
}
