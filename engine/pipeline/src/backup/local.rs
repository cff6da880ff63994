//! A lane to a store in the gateway's own trusted room: channel `local`.

use super::lane::{Lane, LaneError, Receipt, Spent};
use super::weave::{CONTENT_OFFSET, Slot};
use crate::hashes::ShareHashes;
use crate::held::Held;
use crate::peer::Peer;
use crate::random::RandomSource;
use crate::share::{CommitOrder, ShareWriter};
use std::collections::VecDeque;
use warifu_buffers::{Block, Bytes};
use warifu_core::capsule::Verdict;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::{Kept, SiteName};
use warifu_link::{ShareClass, TAG_BYTES};
use zeroize::Zeroizing;

/// Writes one share into a local store; its pads and blind blocks come from the `random` pool.
pub struct LocalLane {
    site: SiteName,
    writer: Option<ShareWriter>,
    random: RandomSource,
    hashes: ShareHashes,
    held_before: Held,
    written: VecDeque<(Slot, u32)>,
    spent: Spent,
}

impl LocalLane {
    /// A lane that completes `writer`.
    #[must_use]
    pub fn new(
        site: SiteName,
        writer: ShareWriter,
        random: RandomSource,
        hashes: ShareHashes,
    ) -> Self {
        let spent = Spent::default();
        let slots = writer.written().iter();
        let held_before = slots.map(|(slot, written)| (*slot, written.attempt)).collect();
        let written = VecDeque::new();
        Self { site, writer: Some(writer), random, hashes, held_before, written, spent }
    }

    fn put(&mut self, slot: Slot, attempt: u32, content: Bytes) -> Result<(), LaneError> {
        let mut blind = Zeroizing::new([0; 16]);
        if slot.class != ShareClass::Capsule {
            blind = self.random.block()?;
            self.spent.random_bytes += 16;
            self.hashes.record(slot, &content, &blind);
        }
        let writer = self.writer.as_mut().ok_or_else(finished)?;
        let bytes = content.len() as u64;
        writer.put(slot, attempt, &blind, content)?;
        self.spent.sent_bytes += bytes;
        self.written.push_back((slot, attempt));
        Ok(())
    }
}

fn finished() -> LaneError {
    LaneError::Share(warifu_backend::Error::NotFound.into())
}

impl Lane for LocalLane {
    fn site(&self) -> &SiteName {
        &self.site
    }

    fn draw(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError> {
        let pad = self.random.draw(bytes)?;
        self.spent.random_bytes += bytes as u64;
        self.put(slot, attempt, pad.share(bytes))?;
        Ok(pad)
    }

    fn store(&mut self, slot: Slot, attempt: u32, frame: Block) -> Result<(), LaneError> {
        let end = frame.len() - TAG_BYTES;
        self.put(slot, attempt, frame.into_bytes().slice(CONTENT_OFFSET..end))
    }

    fn mask(&mut self, index: u64, attempt: u32) -> Result<(), LaneError> {
        let slot = Slot { class: ShareClass::Mask, index };
        self.draw(slot, attempt, CHUNK_BYTES as usize).map(drop)
    }

    fn outstanding(&self) -> usize {
        self.written.len()
    }

    fn settle(&mut self) -> Result<Receipt, LaneError> {
        let (slot, attempt) = self.written.pop_front().ok_or_else(finished)?;
        Ok(Receipt { slot, attempt, hash: self.hashes.of(slot), spent: self.spent })
    }

    fn held(&self) -> &Held {
        &self.held_before
    }

    fn take_up(&mut self, slot: Slot, _attempt: u32, hash: [u8; 16]) {
        self.hashes.restore(slot, hash);
    }

    fn recover(&mut self, _about: Option<(Slot, u32)>) -> Result<Vec<(Slot, u32)>, LaneError> {
        Ok(Vec::new())
    }

    fn verdict(&self, chunks: u64, masks: u32) -> Verdict {
        self.hashes.verdict(chunks, masks)
    }

    fn commit(&mut self, order: &CommitOrder<'_>) -> Result<(), LaneError> {
        let writer = self.writer.take().ok_or_else(finished)?;
        Ok(writer.commit(order)?)
    }

    fn abandon(&mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.abandon()
        {
            tracing::warn!(site = %self.site, %error, "an unfinished share stays behind");
        }
    }

    fn spent(&self) -> Spent {
        self.spent
    }

    fn close(self: Box<Self>) {}

    fn into_peer(self: Box<Self>) -> Option<Peer> {
        None
    }
}
