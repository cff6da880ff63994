//! What sites are asked that work a share out together, by a gateway and by each other.

use super::requests::addressed;
use super::{Peer, PeerError, Reply, ShareAddress};
use warifu_core::Kept;
use warifu_link::body::{WORK_ID_BYTES, Work};
use warifu_link::{Message, Op};

/// A step of a piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Agree on blinds with the other helpers.
    Blind = 0,
    /// At a helper: send what is blinded to the target, or have it ready where the target asks.
    Contribute = 1,
    /// At the target: ask those helpers for it that can't connect to it themselves.
    Collect = 2,
}

impl Step {
    /// The step sent as `number`, or `None`.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Blind),
            1 => Some(Self::Contribute),
            2 => Some(Self::Collect),
            _ => None,
        }
    }
}

impl Peer {
    /// Has the site add up what the helpers contribute to the share at `address`, which was begun
    /// over this connection, and keep the sums at `attempt`. What both ends keep are the blind
    /// blocks of the chunks, one after the other.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn expect(
        &mut self,
        address: ShareAddress,
        work: &Work,
        attempt: u32,
    ) -> Result<Kept, PeerError> {
        let count = u64::from(work.count);
        let message = Message { attempt, argument0: count, ..addressed(Op::Expect, address) };
        let kept_bytes = message.kept_bytes().unwrap_or(0);
        Ok(self.call_keeping(message, &encoded(work)?, kept_bytes, 0)?.1)
    }

    /// Asks the site to take part in working the share at `address` out for another site.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn work(&mut self, address: ShareAddress, work: &Work) -> Result<(), PeerError> {
        self.call(addressed(Op::Work, address), &encoded(work)?, 0).map(drop)
    }

    /// Has the site do the next step of a piece of work, and waits until it has.
    ///
    /// # Errors
    /// Where the site is lost, or could not do it: it has forgotten the work then.
    pub fn proceed(&mut self, id: &[u8; WORK_ID_BYTES], step: Step) -> Result<(), PeerError> {
        let message = Message { argument0: step as u64, ..Message::request(Op::Proceed, 0) };
        self.call(message, id, 0).map(drop)
    }

    /// Has another helper of this work keep `bytes` bytes of key, as this end does: both add them
    /// to what they contribute to chunk `index`.
    ///
    /// # Errors
    /// Where the site is lost or refuses: it was asked for another work under that name.
    pub fn blind(
        &mut self,
        address: ShareAddress,
        work: &Work,
        index: u64,
        bytes: usize,
    ) -> Result<Kept, PeerError> {
        let message = Message { index, argument0: bytes as u64, ..addressed(Op::Blind, address) };
        Ok(self.call_keeping(message, &encoded(work)?, bytes, 0)?.1)
    }

    /// Sends a blinded contribution to chunk `index` to the target of a work.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn contribute(
        &mut self,
        address: ShareAddress,
        id: &[u8; WORK_ID_BYTES],
        index: u64,
        blinded: &[u8],
    ) -> Result<(), PeerError> {
        let [argument0, argument1] = halves(id);
        let message = Message { index, argument0, argument1, ..addressed(Op::Contribute, address) };
        self.call(message, blinded, 0).map(drop)
    }

    /// Has a helper hand over its blinded contribution to chunk `index`, of `bytes` bytes.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn collect(
        &mut self,
        address: ShareAddress,
        id: &[u8; WORK_ID_BYTES],
        index: u64,
        bytes: usize,
    ) -> Result<Reply, PeerError> {
        let [argument0, argument1] = halves(id);
        let message = Message { index, argument0, argument1, ..addressed(Op::Collect, address) };
        self.call(message, &[], bytes)
    }
}

fn encoded(work: &Work) -> Result<Vec<u8>, PeerError> {
    let mut body = Vec::new();
    work.encode(&mut body)?;
    Ok(body)
}

/// The name of a work as the arguments of a contribute request carry it.
fn halves(id: &[u8; WORK_ID_BYTES]) -> [u64; 2] {
    let number = u128::from_le_bytes(*id);
    [number as u64, (number >> 64) as u64]
}

/// The name of the work that a contribute or collect request is for.
#[must_use]
pub fn work_of(contribute: &Message) -> [u8; WORK_ID_BYTES] {
    let (low, high) = (u128::from(contribute.argument0), u128::from(contribute.argument1));
    (low | high << 64).to_le_bytes()
}
