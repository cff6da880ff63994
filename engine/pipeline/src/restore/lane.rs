//! One site's side of a restore: asks for chunks and believes none without its hash.

use super::gather::Part;
use crate::backup::remote::Dial;
use crate::backup::weave::Slot;
use crate::peer::{Peer, PeerError, ShareAddress};
use crate::share::{ReadChunk, ShareError, ShareReader};
use std::collections::VecDeque;
use std::sync::Arc;
use warifu_backend::{ShareName, ShareStore};
use warifu_buffers::Block;
use warifu_core::SiteName;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::share_file::PAGE_BYTES;
use warifu_core::sharing::chunk_hash;
use warifu_kernels::{Isa, PolyHash};
use warifu_link::ShareClass;

/// Why a share is set aside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The content is not what was stored: forged, swapped, of another attempt, or rotten.
    #[error("chunk {index} does not match its hash")]
    WrongHash {
        /// Which chunk.
        index: u64,
    },
    /// The site itself finds its share damaged or gone.
    #[error("the site can't read chunk {index}")]
    Share {
        /// Which chunk.
        index: u64,
        /// What it met.
        source: ShareError,
    },
    /// The site is lost, or answers against the protocol.
    #[error("the site failed")]
    Peer(#[from] PeerError),
}

impl ReadError {
    /// Whether the site could merely not be reached.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Peer(error) if error.is_lost())
    }

    /// Whether the share itself is bad, rather than the way to it.
    #[must_use]
    pub fn is_bad_share(&self) -> bool {
        use warifu_backend::Error as StoreError;
        match self {
            Self::WrongHash { .. } => true,
            Self::Share { source: ShareError::Store(error), .. } => matches!(
                error,
                StoreError::NotFound | StoreError::Damaged { .. } | StoreError::Truncated { .. }
            ),
            Self::Share { .. } => true,
            Self::Peer(error) => error.is_bad_share(),
        }
    }
}

/// What the catalog knows of one share: the secret and the hash of each data chunk.
pub struct Expected {
    key: PolyHash,
    hashes: Vec<[u8; 16]>,
}

impl Expected {
    /// Expects `hashes`, made under `r`.
    #[must_use]
    pub fn new(isa: Isa, r: &[u8; 16], hashes: Vec<[u8; 16]>) -> Self {
        Self { key: PolyHash::new(isa, r), hashes }
    }

    fn check(&self, index: u64, content: &[u8], blind: &[u8; 16]) -> Result<(), ReadError> {
        let expected = usize::try_from(index).ok().and_then(|index| self.hashes.get(index));
        match expected {
            Some(hash) if *hash == chunk_hash(&self.key, content, blind) => Ok(()),
            _ => Err(ReadError::WrongHash { index }),
        }
    }
}

/// A way to read one share of one object.
pub trait ReadLane: Send {
    /// The site's name.
    fn site(&self) -> &SiteName;

    /// Asks for chunk `index` of `bytes` bytes.
    ///
    /// # Errors
    /// Where the site can't be reached.
    fn ask(&mut self, index: u64, bytes: usize) -> Result<(), ReadError>;

    /// Answers still to come.
    fn outstanding(&self) -> usize;

    /// The next answer, its hash checked.
    ///
    /// # Errors
    /// Where the share is bad or the site is lost.
    fn next_part(&mut self) -> Result<(u64, Part), ReadError>;

    /// Key used so far, both directions, in bytes.
    fn key_bytes(&self) -> u64;

    /// Ends cleanly; unused key goes back.
    fn close(self: Box<Self>);
}

/// How often a connection may break before its share is set aside.
const LOSSES_MAX: u32 = 4;

/// Key that reading a chunk takes in either direction besides its bytes, leases included.
const READ_KEY_BYTES: u64 = 136;

/// Reads a share from a site daemon.
pub struct RemoteReadLane {
    site: SiteName,
    address: ShareAddress,
    expected: Expected,
    dial: Dial,
    peer: Option<Peer>,
    asked: VecDeque<(u64, usize)>,
    losses: u32,
    /// Spent over connections that broke.
    key_before_bytes: u64,
    /// Key for requests, and for their answers, that will be needed at most.
    needed_bytes: (u64, u64),
}

impl RemoteReadLane {
    /// A lane that connects by `dial` when it is first asked, and is asked for at most so many
    /// chunks of so many bytes together.
    #[must_use]
    pub fn new(
        site: SiteName,
        address: ShareAddress,
        expected: Expected,
        dial: Dial,
        (chunks, bytes): (u64, u64),
    ) -> Self {
        let frames_bytes = chunks.saturating_mul(READ_KEY_BYTES);
        Self {
            site,
            address,
            expected,
            dial,
            peer: None,
            asked: VecDeque::new(),
            losses: 0,
            key_before_bytes: 0,
            needed_bytes: (frames_bytes, bytes.saturating_add(frames_bytes)),
        }
    }

    /// Reads over a connection that is there already, if one is.
    #[must_use]
    pub fn with_peer(self, peer: Option<Peer>) -> Self {
        Self { peer, ..self }
    }
}

impl RemoteReadLane {
    /// Connects and asks for all that is not answered yet.
    fn connect(&mut self) -> Result<(), ReadError> {
        let mut peer = (self.dial)()?;
        peer.expect_to_send(self.needed_bytes.0);
        peer.expect_answers(self.needed_bytes.1);
        for (index, bytes) in &self.asked {
            peer.read(self.address, slot(*index), *bytes)?;
        }
        self.peer = Some(peer);
        Ok(())
    }

    /// As `connect`, after a connection broke; a share is not set aside for a short interruption.
    fn connect_again(&mut self, lost: PeerError) -> Result<(), ReadError> {
        self.losses += 1;
        let broken = self.peer.take();
        self.key_before_bytes += broken.map_or(0, |peer| peer.spent().key_bytes);
        if self.losses > LOSSES_MAX {
            return Err(lost.into());
        }
        self.connect()
    }
}

fn slot(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

impl ReadLane for RemoteReadLane {
    fn site(&self) -> &SiteName {
        &self.site
    }

    fn ask(&mut self, index: u64, bytes: usize) -> Result<(), ReadError> {
        self.asked.push_back((index, bytes));
        match &mut self.peer {
            None => self.connect(),
            Some(peer) => match peer.read(self.address, slot(index), bytes) {
                Err(error) if error.is_lost() => self.connect_again(error),
                outcome => Ok(outcome?),
            },
        }
    }

    fn outstanding(&self) -> usize {
        self.asked.len()
    }

    fn next_part(&mut self) -> Result<(u64, Part), ReadError> {
        let reply = loop {
            let peer = self.peer.as_mut().ok_or(PeerError::NotConnected)?;
            match peer.receive() {
                Err(error) if error.is_lost() => self.connect_again(error)?,
                outcome => break outcome?,
            }
        };
        let asked = self.asked.pop_front();
        let (index, bytes) = asked.ok_or(PeerError::Unexpected("an answer to nothing"))?;
        let Some((blind, content)) = reply.body().split_first_chunk::<16>() else {
            return Err(ReadError::WrongHash { index });
        };
        if content.len() != bytes {
            return Err(ReadError::WrongHash { index });
        }
        self.expected.check(index, content, blind)?;
        let (frame, body_from) = reply.into_frame();
        Ok((index, Part { frame, from: body_from + 16, bytes }))
    }

    fn key_bytes(&self) -> u64 {
        self.key_before_bytes + self.peer.as_ref().map_or(0, |peer| peer.spent().key_bytes)
    }

    fn close(self: Box<Self>) {
        if let Some(peer) = self.peer
            && let Err(error) = peer.close()
        {
            tracing::warn!(site = %self.site, %error, "the unused rest of a lease is burned");
        }
    }
}

/// Opens the store of a `local` site.
pub type OpenStore = Box<dyn FnMut() -> Result<Arc<dyn ShareStore>, warifu_backend::Error> + Send>;

/// Reads a share from a store in the gateway's own room.
pub struct LocalReadLane {
    site: SiteName,
    open: OpenStore,
    store: Option<Arc<dyn ShareStore>>,
    name: ShareName,
    expected: Expected,
    asked: VecDeque<u64>,
}

impl LocalReadLane {
    /// A lane to the share `name` in the store that `open` opens when it is first asked.
    #[must_use]
    pub fn new(site: SiteName, open: OpenStore, name: ShareName, expected: Expected) -> Self {
        Self { site, open, store: None, name, expected, asked: VecDeque::new() }
    }

    fn read(&mut self, index: u64, frame: &mut Block) -> Result<ReadChunk, ShareError> {
        let store = match &mut self.store {
            Some(store) => store,
            None => self.store.insert((self.open)()?),
        };
        let reader = ShareReader::open(store.as_ref(), &self.name)?;
        reader.chunk(Slot { class: ShareClass::Data, index }, frame)
    }
}

impl ReadLane for LocalReadLane {
    fn site(&self) -> &SiteName {
        &self.site
    }

    fn ask(&mut self, index: u64, _bytes: usize) -> Result<(), ReadError> {
        self.asked.push_back(index);
        Ok(())
    }

    fn outstanding(&self) -> usize {
        self.asked.len()
    }

    fn next_part(&mut self) -> Result<(u64, Part), ReadError> {
        let asked = self.asked.pop_front();
        let index = asked.ok_or(PeerError::Unexpected("an answer to nothing"))?;
        let mut frame = Block::zeroed(CHUNK_BYTES as usize + PAGE_BYTES as usize);
        let read = self.read(index, &mut frame);
        let read = read.map_err(|source| ReadError::Share { index, source })?;
        self.expected.check(index, &frame[..read.bytes], &read.blind)?;
        Ok((index, Part { frame, from: 0, bytes: read.bytes }))
    }

    fn key_bytes(&self) -> u64 {
        0
    }

    fn close(self: Box<Self>) {}
}
