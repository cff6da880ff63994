//! What a site can be asked.

use super::{Peer, PeerError, ShareAddress};
use crate::backup::weave::{CONTENT_OFFSET, Slot};
use crate::held::Held;
use crate::share::CommitOrder;
use warifu_buffers::Block;
use warifu_core::{Kept, KeyRange, ObjectId, PoolId, Role, SiteName, Threshold};
use warifu_link::body::{
    ATTEMPTS_MAX, Attempt, Commit, Grant, HELD_RUN_BYTES, HeldRun, KEEP_FOOT_BYTES, ShareStat,
    UNFINISHED_ONLY, Witness, decode_site_name,
};
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{
    FRAME_HEADER_BYTES, Message, Op, ShareClass, Status, TAG_BYTES, key_bytes_needed,
};

/// Runs of slots that the first answer to begin may name: as many as fit where a failure would.
const FIRST_RUNS: usize = FAILURE_BYTES_MAX / HELD_RUN_BYTES;

/// Runs of slots that every further answer may name.
const RUNS_AT_A_TIME: usize = 2048;

/// Runs of slots that a share can have and still be completed: a commit names no more attempts.
const RUNS_MAX: usize = 2 * ATTEMPTS_MAX + RUNS_AT_A_TIME;

/// Second argument of an answer to ping: what is a person's is released only as they agree.
const ENFORCES: u64 = 1;

/// What a site tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pinged {
    /// Its name.
    pub site: SiteName,
    /// Bytes free in its store.
    pub room_bytes: u64,
    /// Whether it enforces consent.
    pub enforces: bool,
}

impl Peer {
    /// Begins a share, or takes it up again; answers what the site holds of it.
    ///
    /// # Errors
    /// Where the site is lost or refuses, or names slots in disorder or without end.
    pub fn begin(
        &mut self,
        address: ShareAddress,
        threshold: Threshold,
        role: Role,
    ) -> Result<Held, PeerError> {
        let scheme = u64::from(threshold.k_byte()) | u64::from(threshold.n_byte()) << 8;
        let mut held = Held::default();
        let mut from = Slot { class: ShareClass::Data, index: 0 };
        let mut runs_wanted = FIRST_RUNS;
        loop {
            let message = Message {
                class: from.class,
                index: from.index,
                argument0: scheme | u64::from(role.to_byte()) << 16,
                argument1: runs_wanted as u64,
                ..addressed(Op::Begin, address)
            };
            let reply = self.call(message, &[], runs_wanted * HELD_RUN_BYTES)?;
            let runs = HeldRun::decode_all(reply.body())?;
            let first = runs.first().map(|run| (run.class, run.start));
            if runs.len() > runs_wanted
                || first.is_some_and(|first| first < (from.class, from.index))
            {
                return Err(PeerError::Unexpected("it names other slots than were asked for"));
            }
            runs.iter().for_each(|run| held.push(run));
            if reply.message.argument0 == 0 {
                return Ok(held);
            }
            let last = runs.last().filter(|_| held.run_count() <= RUNS_MAX);
            let last = last.ok_or(PeerError::Unexpected("it names slots without end"))?;
            from = Slot { class: last.class, index: last.end };
            runs_wanted = RUNS_AT_A_TIME;
        }
    }

    /// Sends a share chunk, which stands in `frame` at `CONTENT_OFFSET`; what both ends keep is
    /// its blind block. The answer comes with [`receive`](Self::receive).
    ///
    /// # Errors
    /// Where the site is lost or key runs out.
    pub fn store(
        &mut self,
        address: ShareAddress,
        slot: Slot,
        attempt: u32,
        mut frame: Block,
    ) -> Result<Kept, PeerError> {
        let bytes = frame.len() - CONTENT_OFFSET - TAG_BYTES;
        let mut message = about(Op::Store, address, slot, attempt, bytes);
        let kept_bytes = message.kept_bytes().unwrap_or(0);
        let answer_bytes = key_bytes_needed(FAILURE_BYTES_MAX, 0);
        self.ensure(key_bytes_needed(bytes, kept_bytes), answer_bytes)?;
        message.request = self.number();
        let header = message.encode(bytes)?;
        frame[FRAME_HEADER_BYTES..CONTENT_OFFSET].copy_from_slice(&header);
        self.seal_and_send(&message, &mut frame, kept_bytes, answer_bytes)
    }

    /// Has the site keep a range of the link's key as the content of `slot`: both ends now hold
    /// `bytes` of content, the blind block, and the key of the receipt. The answer, the receipt's
    /// hash, comes with [`receive`](Self::receive).
    ///
    /// # Errors
    /// Where the site is lost or key runs out.
    pub fn keep(
        &mut self,
        address: ShareAddress,
        slot: Slot,
        attempt: u32,
        bytes: usize,
    ) -> Result<Kept, PeerError> {
        let message = about(Op::Keep, address, slot, attempt, bytes);
        self.ask(message, &[], bytes + KEEP_FOOT_BYTES, 16)
    }

    /// Completes a share; when it returns the share is durable at the site.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn commit(
        &mut self,
        address: ShareAddress,
        order: &CommitOrder<'_>,
    ) -> Result<(), PeerError> {
        let chunks = order.geometry.chunk_count();
        let attempts = order.attempts.iter().filter_map(|(slot, &attempt)| match slot.class {
            ShareClass::Data => Some(Attempt { chunk: slot.index, attempt }),
            ShareClass::Mask => Some(Attempt { chunk: chunks + slot.index, attempt }),
            ShareClass::Capsule => None,
        });
        let commit = Commit {
            head_bytes: order.capsule.head_bytes,
            verdict_bytes: order.capsule.verdict_bytes,
            attempts: attempts.collect(),
        };
        let mut body = Vec::new();
        commit.encode(&mut body);
        let message = Message {
            attempt: order.capsule_generation << 16,
            argument0: order.geometry.payload_bytes(),
            argument1: u64::from(order.masks),
            ..addressed(Op::Commit, address)
        };
        self.call(message, &body, 0).map(drop)
    }

    /// Asks for a chunk of `bytes` bytes; the answer comes with [`receive`](Self::receive).
    ///
    /// # Errors
    /// Where the site is lost or key runs out.
    pub fn read(
        &mut self,
        address: ShareAddress,
        slot: Slot,
        bytes: usize,
    ) -> Result<(), PeerError> {
        let message = Message { argument0: 0, ..about(Op::Read, address, slot, 0, 0) };
        self.ask(message, &[], 0, bytes + 16).map(drop)
    }

    /// Reads a piece of a share's capsule at `offset` into `target`, at most 1 MiB.
    ///
    /// # Errors
    /// Where the site is lost or refuses, or the piece is of another length.
    pub fn read_capsule(
        &mut self,
        address: ShareAddress,
        offset: u64,
        target: &mut [u8],
    ) -> Result<(), PeerError> {
        let message = Message {
            class: ShareClass::Capsule,
            argument0: offset,
            argument1: target.len() as u64,
            ..addressed(Op::Read, address)
        };
        let reply = self.call(message, &[], target.len())?;
        if reply.body().len() != target.len() {
            return Err(PeerError::Unexpected("a piece of another length"));
        }
        target.copy_from_slice(reply.body());
        Ok(())
    }

    /// What the site holds of `object`; `None` for everything of this link's.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn stat(&mut self, object: ObjectId) -> Result<Vec<ShareStat>, PeerError> {
        let message = Message { object, ..Message::request(Op::Stat, 0) };
        let reply = self.call(message, &[], 16 * 1024)?;
        Ok(ShareStat::decode_all(reply.body())?)
    }

    /// Has the site throw an unfinished share away. True where nothing is left of it; false where
    /// it is complete, and stays.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn discard(&mut self, address: ShareAddress) -> Result<bool, PeerError> {
        match self.throw_away(address, UNFINISHED_ONLY) {
            Ok(()) => Ok(true),
            Err(PeerError::Refused { status: Status::ExistsAlready, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Has the site throw a share away that its gateway never listed, whether it was completed or
    /// not.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn discard_completed(&mut self, address: ShareAddress) -> Result<(), PeerError> {
        self.throw_away(address, 0)
    }

    fn throw_away(&mut self, address: ShareAddress, argument0: u64) -> Result<(), PeerError> {
        while !self.waiting.is_empty() {
            self.receive_any()?;
        }
        self.call(Message { argument0, ..addressed(Op::Discard, address) }, &[], 0).map(drop)
    }

    /// The site's name, the bytes free in its store, and whether it enforces consent.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn ping(&mut self) -> Result<Pinged, PeerError> {
        let reply = self.call(Message::request(Op::Ping, 0), &[], 0)?;
        Ok(Pinged {
            site: decode_site_name(reply.body())?,
            room_bytes: reply.message.argument0,
            enforces: reply.message.argument1 & ENFORCES != 0,
        })
    }

    /// Has the site, as the witness of this vault's `random` pool, grant `bytes` positions of it
    /// at or above `mark`.
    ///
    /// # Errors
    /// Where the site is lost or has nothing left to grant.
    pub fn witness(
        &mut self,
        pool: PoolId,
        bytes: u64,
        mark: u64,
        pool_end: u64,
    ) -> Result<KeyRange, PeerError> {
        let message = Message {
            object: ObjectId::from_bytes(*pool.bytes()),
            argument0: bytes,
            argument1: mark,
            ..Message::request(Op::Witness, 0)
        };
        let mut body = Vec::new();
        Witness { pool_end }.encode(&mut body);
        let reply = self.call(message, &body, 0)?;
        Ok(Grant::decode(reply.body())?.range)
    }
}

/// A request about a share.
pub(super) fn addressed(op: Op, address: ShareAddress) -> Message {
    Message { object: address.object, x: Some(address.x), ..Message::request(op, 0) }
}

fn about(op: Op, address: ShareAddress, slot: Slot, attempt: u32, bytes: usize) -> Message {
    Message {
        class: slot.class,
        index: slot.index,
        attempt,
        argument0: bytes as u64,
        ..addressed(op, address)
    }
}
