//! A lane to a site daemon over its link: channel `otp`.

use super::lane::{Lane, LaneError, Receipt, Spent};
use super::weave::{CONTENT_OFFSET, Slot};
use crate::clock::{Clock, SystemClock};
use crate::hashes::ShareHashes;
use crate::held::Held;
use crate::peer::{Peer, PeerError, ShareAddress};
use crate::share::CommitOrder;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use warifu_buffers::Block;
use warifu_core::capsule::Verdict;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::sharing::chunk_hash;
use warifu_core::{Kept, KeyClass, Role, SiteName, Threshold};
use warifu_kernels::{Isa, PolyHash};
use warifu_link::{ShareClass, Status, TAG_BYTES};
use zeroize::Zeroizing;

/// Makes a connection to the site; called again when one is lost.
pub type Dial = Box<dyn FnMut() -> Result<Peer, PeerError> + Send>;

/// How often a site may be lost while one object is stored.
const LOSSES_MAX: u32 = 6;

/// How long to wait after the first loss; after the second twice as long, and so on.
const PAUSE_AFTER_LOSS: Duration = Duration::from_millis(200);

/// Key leased at a time once a site was lost, in bytes.
const LEASE_AFTER_LOSS_BYTES: u64 = 4 << 20;

/// How often a commit is asked for when its answer is lost.
const COMMIT_TRIES: u32 = 4;

/// A message whose answer is still to come.
struct Sent {
    slot: Slot,
    attempt: u32,
    receipt: Option<[u8; 16]>,
}

/// Moves one share to its site in sealed frames.
pub struct RemoteLane {
    site: SiteName,
    address: ShareAddress,
    threshold: Threshold,
    role: Role,
    isa: Isa,
    dial: Dial,
    clock: Arc<dyn Clock>,
    peer: Option<Peer>,
    sent: VecDeque<Sent>,
    /// What the site held when this lane was begun.
    held_before: Held,
    /// What the site has acknowledged, here or to an earlier process.
    acknowledged: Held,
    losses: u32,
    hashes: ShareHashes,
    spent_before: Spent,
}

impl RemoteLane {
    /// A lane for the share `address`, over the connection `peer`; `dial` makes another one.
    ///
    /// # Errors
    /// Where the site does not begin the share.
    pub fn begin(
        site: SiteName,
        peer: Peer,
        dial: Dial,
        address: ShareAddress,
        (threshold, role): (Threshold, Role),
        (isa, hashes): (Isa, ShareHashes),
    ) -> Result<Self, LaneError> {
        let mut lane = Self {
            site,
            address,
            threshold,
            role,
            isa,
            dial,
            clock: Arc::new(SystemClock::new()),
            peer: Some(peer),
            sent: VecDeque::new(),
            held_before: Held::default(),
            acknowledged: Held::default(),
            losses: 0,
            hashes,
            spent_before: Spent::default(),
        };
        lane.held_before = lane.begin_share()?;
        Ok(lane)
    }

    /// Waits by this clock after a loss, and not by the system's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    fn peer(&mut self) -> Result<&mut Peer, LaneError> {
        self.peer.as_mut().ok_or(LaneError::Peer(PeerError::NotConnected))
    }

    /// Begins or takes up the share at the site; answers what it holds.
    fn begin_share(&mut self) -> Result<Held, LaneError> {
        let (address, threshold, role) = (self.address, self.threshold, self.role);
        Ok(self.peer()?.begin(address, threshold, role)?)
    }

    /// Connects again. A loss costs the rest of a lease and the chunks that were under way, at all
    /// sites, so losses are counted, waited after, and followed by small leases.
    fn redial(&mut self) -> Result<(), LaneError> {
        self.spent_before = self.spent();
        self.peer = None;
        self.losses += 1;
        if self.losses > LOSSES_MAX {
            return Err(LaneError::LostTooOften { losses: self.losses });
        }
        self.clock.pause(PAUSE_AFTER_LOSS * self.losses);
        let mut peer = (self.dial)()?;
        peer.lease_at_most(LEASE_AFTER_LOSS_BYTES);
        self.peer = Some(peer);
        Ok(())
    }

    /// Connects again. A site that was restarted takes the unfinished share up from its store;
    /// one that had completed it says that it is there already.
    fn take_up_again(&mut self) -> Result<(), LaneError> {
        self.redial()?;
        match self.begin_share() {
            Err(LaneError::Peer(PeerError::Refused { status: Status::ExistsAlready, .. })) => {
                Ok(())
            }
            begun => self.expect_remembered(&begun?, &[]),
        }
    }

    /// Whether the site holds all that it acknowledged, but for what is in doubt anyway. Loss of
    /// power may take from it what it had not synced.
    fn expect_remembered(&self, held: &Held, doubtful: &[(Slot, u32)]) -> Result<(), LaneError> {
        let in_doubt = |slot: &Slot| doubtful.iter().any(|(doubted, _)| doubted == slot);
        match self.acknowledged.lacking(held).filter(|slot| !in_doubt(slot)).count() {
            0 => Ok(()),
            lost => Err(LaneError::Forgot { lost: lost as u64 }),
        }
    }

    fn keep(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError> {
        let (isa, address) = (self.isa, self.address);
        let kept = self.peer()?.keep(address, slot, attempt, bytes)?;
        let (content, rest) = kept.split_at(bytes);
        let (blind, receipt_key) = two_blocks(rest);
        if slot.class != ShareClass::Capsule {
            self.hashes.record(slot, content, &blind);
        }
        let receipt = chunk_hash(&PolyHash::new(isa, &receipt_key), content, &blind);
        self.sent.push_back(Sent { slot, attempt, receipt: Some(receipt) });
        Ok(kept)
    }
}

fn two_blocks(bytes: &[u8]) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
    let mut blocks = (Zeroizing::new([0; 16]), Zeroizing::new([0; 16]));
    blocks.0.copy_from_slice(&bytes[..16]);
    blocks.1.copy_from_slice(&bytes[16..32]);
    blocks
}

impl Lane for RemoteLane {
    fn site(&self) -> &SiteName {
        &self.site
    }

    fn draw(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError> {
        self.keep(slot, attempt, bytes)
    }

    fn store(&mut self, slot: Slot, attempt: u32, frame: Block) -> Result<(), LaneError> {
        let content = &frame[CONTENT_OFFSET..frame.len() - TAG_BYTES];
        let begun = (slot.class != ShareClass::Capsule).then(|| self.hashes.begin(content));
        let address = self.address;
        let kept = self.peer()?.store(address, slot, attempt, frame)?;
        if let Some(begun) = begun {
            let mut blind = [0; 16];
            blind.copy_from_slice(&kept[..16]);
            self.hashes.finish(slot, begun, &blind);
        }
        self.sent.push_back(Sent { slot, attempt, receipt: None });
        Ok(())
    }

    fn mask(&mut self, index: u64, attempt: u32) -> Result<(), LaneError> {
        let slot = Slot { class: ShareClass::Mask, index };
        self.keep(slot, attempt, CHUNK_BYTES as usize).map(drop)
    }

    fn outstanding(&self) -> usize {
        self.sent.len()
    }

    fn held(&self) -> &Held {
        &self.held_before
    }

    fn take_up(&mut self, slot: Slot, attempt: u32, hash: [u8; 16]) {
        self.hashes.restore(slot, hash);
        self.acknowledged.insert(slot, attempt);
    }

    fn settle(&mut self) -> Result<Receipt, LaneError> {
        let reply = self.peer()?.receive()?;
        let sent = self.sent.pop_front().ok_or(PeerError::Unexpected("an answer to nothing"))?;
        if let Some(expected) = sent.receipt
            && reply.body() != expected
        {
            return Err(LaneError::KeyDiverged { slot: sent.slot });
        }
        let (slot, attempt) = (sent.slot, sent.attempt);
        self.acknowledged.insert(slot, attempt);
        Ok(Receipt { slot, attempt, hash: self.hashes.of(slot), spent: self.spent() })
    }

    fn recover(&mut self, about: Option<(Slot, u32)>) -> Result<Vec<(Slot, u32)>, LaneError> {
        let held = loop {
            self.redial()?;
            match self.begin_share() {
                Err(error) if error.is_lost() => {}
                outcome => break outcome?,
            }
        };
        let mut doubtful: Vec<(Slot, u32)> =
            self.sent.drain(..).map(|sent| (sent.slot, sent.attempt)).collect();
        doubtful.extend(about);
        self.expect_remembered(&held, &doubtful)?;
        Ok(doubtful)
    }

    fn verdict(&self, chunks: u64, masks: u32) -> Verdict {
        self.hashes.verdict(chunks, masks)
    }

    fn commit(&mut self, order: &CommitOrder<'_>) -> Result<(), LaneError> {
        let address = self.address;
        let mut tries_left = COMMIT_TRIES;
        loop {
            tries_left -= 1;
            match self.peer()?.commit(address, order) {
                Err(error) if error.is_lost() && tries_left > 0 => self.take_up_again()?,
                outcome => return Ok(outcome?),
            }
        }
    }

    fn abandon(&mut self) {
        let (address, site) = (self.address, self.site.clone());
        if let Ok(peer) = self.peer()
            && let Err(error) = peer.discard(address)
        {
            tracing::warn!(%site, %error, "the site keeps an unfinished share for now");
        }
    }

    fn spent(&self) -> Spent {
        let now = self.peer.as_ref().map(Peer::spent).unwrap_or_default();
        Spent {
            key_bytes: self.spent_before.key_bytes + now.key_bytes,
            sent_bytes: self.spent_before.sent_bytes + now.sent_bytes,
            random_bytes: 0,
            is_computational: self.spent_before.is_computational
                || now.class == KeyClass::Computational,
        }
    }

    fn close(self: Box<Self>) {
        if let Some(peer) = self.peer
            && let Err(error) = peer.close()
        {
            tracing::warn!(site = %self.site, %error, "the unused rest of a lease is burned");
        }
    }

    fn into_peer(self: Box<Self>) -> Option<Peer> {
        self.peer.filter(Peer::is_idle)
    }
}
