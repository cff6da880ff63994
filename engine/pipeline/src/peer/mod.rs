//! A gateway's connection to one site: what can be asked of it, and the key that it takes.
//!
//! Requests may be in flight together; answers come in their order. Every request makes sure
//! beforehand that this end has key to ask and the other end key to answer.

mod connect;
mod consent;
mod error;
mod leases;
mod pairing;
mod requests;
mod work;

pub use consent::{Bound, TELL_HELD};
pub use error::PeerError;
pub use leases::{RELEASED_RUNS_MAX, SendKey, grant_for_hello, grant_for_lease};
pub use pairing::Withdrawal;
pub use requests::Pinged;
pub use work::{Step, work_of};

use crate::backup::weave::CONTENT_OFFSET;
use leases::{AnswerKey, CONTROL_KEY_BYTES, lease_limit};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warifu_backend::Transport;
use warifu_buffers::Block;
use warifu_core::{Direction, Kept, KeyClass, KeyRange, ObjectId, PoolId, XCoord};
use warifu_keystore::{Confirmation, GrantedKey, KeyError, KeyStore};
use warifu_link::body::{Grant, RANGE_BYTES, Release, decode_failure_text};
use warifu_link::hello::PoolEnds;
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{
    FRAME_HEADER_BYTES, GRANT_STEP_BYTES, Message, Op, Session, Status, TAG_BYTES,
    key_bytes_needed, key_bytes_of,
};

/// Leases asked for in a row before it is given up: grants may fall on burned positions.
const LEASE_TRIES_MAX: usize = 4;

/// Which share of which object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ShareAddress {
    /// The object.
    pub object: ObjectId,
    /// Its share.
    pub x: XCoord,
}

/// How much is leased, and how long to wait.
#[derive(Clone, Copy, Debug)]
pub struct PeerSettings {
    /// Key leased for sending with the first frames, in bytes.
    pub first_lease_bytes: u64,
    /// Key leased for sending at a time, in bytes.
    pub lease_bytes: u64,
    /// Key leased to the site with the hello, for its first answers, in bytes: a multiple of 512.
    /// It lies above both ends' marks, so a link that is full has room for few.
    pub first_answer_bytes: u64,
    /// Key leased to the site for its answers at a time, in bytes.
    pub answer_lease_bytes: u64,
    /// How long to wait for one answer.
    pub patience: Duration,
}

/// Key and bytes that a connection has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSpent {
    /// Key of both directions, in bytes.
    pub key_bytes: u64,
    /// Of these, key used for sending.
    pub sent_key_bytes: u64,
    /// Bytes sent to the site.
    pub sent_bytes: u64,
    /// The worst class of the key used for sending.
    pub class: KeyClass,
}

impl Default for LinkSpent {
    fn default() -> Self {
        let class = KeyClass::InformationTheoretic;
        Self { key_bytes: 0, sent_key_bytes: 0, sent_bytes: 0, class }
    }
}

/// An answer, opened.
pub struct Reply {
    message: Message,
    frame: Block,
}

impl Reply {
    /// What follows the message header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.frame[CONTENT_OFFSET..self.frame.len() - TAG_BYTES]
    }

    /// The frame's buffer, and where in it the body begins.
    #[must_use]
    pub fn into_frame(self) -> (Block, usize) {
        (self.frame, CONTENT_OFFSET)
    }

    fn check(&self, op: Op) -> Result<(), PeerError> {
        if self.message.op != op {
            return Err(PeerError::Unexpected("it answers another question"));
        }
        self.expect_done()
    }

    fn expect_done(&self) -> Result<(), PeerError> {
        if self.message.status != Status::Done {
            let text = decode_failure_text(self.body())?.to_owned();
            return Err(PeerError::Refused { status: self.message.status, text });
        }
        Ok(())
    }
}

/// A request that is not answered yet.
struct Waiting {
    op: Op,
    request: u64,
    answer_bytes: u64,
}

/// A connection to one site.
pub struct Peer {
    transport: Box<dyn Transport>,
    keys: Arc<KeyStore>,
    pool: PoolId,
    session: Session,
    send_key: SendKey,
    answers: GrantedKey,
    answer_key: AnswerKey,
    settings: PeerSettings,
    /// Key that will be used for sending, in bytes, as far as is known.
    expected_bytes: u64,
    /// Key that the site will use for its answers, in bytes, as far as is known.
    expected_answer_bytes: u64,
    /// The lowest position that a lease for sending may have.
    lease_floor: u64,
    /// The lowest position that a lease for answers may have.
    offer_floor: u64,
    /// Where the site's key ended when it was connected to.
    ends: PoolEnds,
    next_request: u64,
    waiting: VecDeque<Waiting>,
    ready: VecDeque<Reply>,
    spent: LinkSpent,
    /// The site had no key to lease when it was last asked.
    is_dry: bool,
    /// An answer did not come, or was none: no other is waited for.
    is_broken: bool,
}

impl Peer {
    /// Key and bytes used so far.
    #[must_use]
    pub fn spent(&self) -> LinkSpent {
        self.spent
    }

    /// Where the site's key ended when it was connected to: what a courier still has counts here
    /// and not there.
    #[must_use]
    pub fn ends(&self) -> PoolEnds {
        self.ends
    }

    /// Key that this connection has used and what it holds, in bytes: for sending, and for answers.
    #[must_use]
    pub fn taken_bytes(&self) -> (u64, u64) {
        let answers = self.answer_key.left() + self.answer_key.promised();
        (self.spent.sent_key_bytes + self.send_key.left(), self.answered_key_bytes() + answers)
    }

    /// No more than about `bytes` of key will be needed for sending over this connection: nothing
    /// is leased beyond that only to be given back.
    pub fn expect_to_send(&mut self, bytes: u64) {
        self.expected_bytes = self.spent.sent_key_bytes.saturating_add(bytes);
    }

    /// The same of the site's answers. What a connection gives back lies below the mark, and the
    /// next hello above it: so what was leased in vain becomes a piece of its own.
    pub fn expect_answers(&mut self, bytes: u64) {
        self.expected_answer_bytes = self.answered_key_bytes().saturating_add(bytes);
    }

    const fn answered_key_bytes(&self) -> u64 {
        self.spent.key_bytes - self.spent.sent_key_bytes
    }

    /// Counts what is spent from nothing again, since another object goes over this connection
    /// now; until more is known about it, little is leased.
    pub fn count_anew(&mut self) {
        self.spent = LinkSpent::default();
        self.expected_bytes = self.settings.first_lease_bytes;
        self.expected_answer_bytes = self.settings.first_answer_bytes;
    }

    /// Whether nothing is on its way and nothing went wrong: another object may go over it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.is_broken && self.waiting.is_empty() && self.ready.is_empty()
    }

    /// Leases no more than `bytes` at a time from now on.
    pub fn lease_at_most(&mut self, bytes: u64) {
        self.settings.lease_bytes = self.settings.lease_bytes.min(bytes);
    }

    /// The next answer to `store`, `keep` or `read`, in their order.
    ///
    /// # Errors
    /// Where the site is lost, forged something, or refuses.
    pub fn receive(&mut self) -> Result<Reply, PeerError> {
        let reply = match self.ready.pop_front() {
            Some(reply) => reply,
            None => self.receive_any()?,
        };
        reply.expect_done()?;
        Ok(reply)
    }

    /// Gives unused key back, durably at both ends, and ends the connection.
    ///
    /// # Errors
    /// Where the site is lost meanwhile; the rest of the leases is then burned.
    pub fn close(mut self) -> Result<(), PeerError> {
        if self.is_broken {
            return Err(PeerError::NotConnected);
        }
        while !self.waiting.is_empty() {
            self.receive_any()?;
        }
        let longest = key_bytes_needed(RELEASED_RUNS_MAX * RANGE_BYTES, 0);
        let pad = self.send_key.take(longest)?;
        let unused = self.send_key.release(RELEASED_RUNS_MAX)?;
        let mut body = Vec::new();
        Release { unused }.encode(&mut body);
        let pad = pad.shortened(key_bytes_needed(body.len(), 0));
        let message = Message::request(Op::Release, self.number());
        let (frame, _) = self.session.seal_message(pad, &message, &body, 0)?;
        self.send_frame(&message, &frame, 0)?;
        let reply = self.receive_any()?;
        reply.check(Op::Release)?;
        let returned = Release::decode(reply.body())?;
        let unused: Vec<KeyRange> = returned.unused.iter().collect();
        self.keys.regain(self.pool, Direction::BToA, &unused)?;
        Ok(())
    }

    /// Asks and waits for this very answer; answers to earlier requests are kept for `receive`.
    fn call(
        &mut self,
        message: Message,
        body: &[u8],
        answer_body_bytes: usize,
    ) -> Result<Reply, PeerError> {
        Ok(self.call_keeping(message, body, 0, answer_body_bytes)?.0)
    }

    /// The same of a request with which both ends keep key.
    fn call_keeping(
        &mut self,
        message: Message,
        body: &[u8],
        kept_bytes: usize,
        answer_body_bytes: usize,
    ) -> Result<(Reply, Kept), PeerError> {
        let op = message.op;
        let kept = self.ask(message, body, kept_bytes, answer_body_bytes)?;
        let reply = self.answer_to_last()?;
        reply.check(op)?;
        Ok((reply, kept))
    }

    /// The answer to the request that was sent last, however it went.
    fn answer_to_last(&mut self) -> Result<Reply, PeerError> {
        let request = self.next_request - 1;
        loop {
            let reply = self.receive_any()?;
            if reply.message.request == request {
                return Ok(reply);
            }
            self.ready.push_back(reply);
        }
    }

    /// Sends a request once there is key for it and for its answer.
    fn ask(
        &mut self,
        message: Message,
        body: &[u8],
        kept_bytes: usize,
        answer_body_bytes: usize,
    ) -> Result<Kept, PeerError> {
        let answer = key_bytes_needed(answer_body_bytes.max(FAILURE_BYTES_MAX), 0);
        self.ensure(key_bytes_needed(body.len(), kept_bytes), answer)?;
        self.send_request(message, body, kept_bytes, answer)
    }

    fn send_request(
        &mut self,
        message: Message,
        body: &[u8],
        kept_bytes: usize,
        answer_bytes: u64,
    ) -> Result<Kept, PeerError> {
        let message = Message { request: self.number(), ..message };
        let header = message.encode(body.len())?;
        let mut frame = Block::zeroed(CONTENT_OFFSET + body.len() + TAG_BYTES);
        frame[FRAME_HEADER_BYTES..CONTENT_OFFSET].copy_from_slice(&header);
        frame[CONTENT_OFFSET..CONTENT_OFFSET + body.len()].copy_from_slice(body);
        self.seal_and_send(&message, &mut frame, kept_bytes, answer_bytes)
    }

    fn seal_and_send(
        &mut self,
        message: &Message,
        frame: &mut Block,
        kept_bytes: usize,
        answer_bytes: u64,
    ) -> Result<Kept, PeerError> {
        let body_bytes = frame.len() - CONTENT_OFFSET - TAG_BYTES;
        let pad = self.send_key.take(key_bytes_of(message, body_bytes, kept_bytes))?;
        self.spent.key_bytes += pad.range().len();
        self.spent.sent_key_bytes += pad.range().len();
        self.spent.class = self.spent.class.max(pad.class());
        let kept = self.session.seal(pad, kept_bytes, frame)?;
        self.send_frame(message, frame, answer_bytes)?;
        Ok(kept)
    }

    fn send_frame(
        &mut self,
        message: &Message,
        frame: &Block,
        answer_bytes: u64,
    ) -> Result<(), PeerError> {
        self.transport.set_deadline(Some(Instant::now() + self.settings.patience));
        self.transport.send(&[frame])?;
        self.spent.sent_bytes += frame.len() as u64;
        self.answer_key.promise(answer_bytes);
        let (op, request) = (message.op, message.request);
        self.waiting.push_back(Waiting { op, request, answer_bytes });
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request - 1
    }

    /// Makes sure that `send` bytes of key are there to ask with, and `answer` bytes to answer
    /// with, whatever is on its way; else leases more.
    fn ensure(&mut self, send: u64, answer: u64) -> Result<(), PeerError> {
        for _ in 0..LEASE_TRIES_MAX {
            if self.send_key.covers(send) && self.answer_key.covers(answer) {
                return Ok(());
            }
            self.lease(send, answer)?;
        }
        let (wanted, left) = match self.send_key.covers(send) {
            true => (answer, self.answer_key.left()),
            false => (send, self.send_key.left()),
        };
        Err(KeyError::LeaseEmpty { wanted, left }.into())
    }

    /// Leases more in whole multiples of what is needed, so that little is left over at the end of
    /// a lease.
    fn lease(&mut self, send: u64, answer: u64) -> Result<(), PeerError> {
        let may_send = self.send_key.covers(send);
        let may_answer = self.answer_key.covers(answer);
        let wanted = match may_send {
            true => 0,
            false => {
                let left = self.expected_bytes.saturating_sub(self.spent.sent_key_bytes);
                let multiple = whole_multiple(self.settings.lease_bytes, send);
                multiple.min(left.max(send)) + CONTROL_KEY_BYTES
            }
        };
        let offered = match may_answer {
            true => KeyRange::between(0, 0),
            false => {
                let coming = self.answered_key_bytes() + self.answer_key.promised();
                let left = self.expected_answer_bytes.saturating_sub(coming);
                let bytes = whole_multiple(self.settings.answer_lease_bytes, answer);
                let sizes = [bytes.min(left.max(answer)), answer];
                let [bytes, enough] = sizes.map(|bytes| bytes + 2 * CONTROL_KEY_BYTES);
                let place = (self.offer_floor, self.ends.b_to_a);
                connect::offer(&self.keys, self.pool, (bytes, enough), place)?
            }
        };
        if !offered.is_empty() {
            self.session.granted(Direction::BToA, offered)?;
            self.answers.extend(offered)?;
        }
        let mut body = Vec::new();
        Grant { range: offered }.encode(&mut body);
        let (argument0, argument1) = self.lowest_free(wanted, send)?;
        let message = Message { argument0, argument1, ..Message::request(Op::Lease, 0) };
        let answer_bytes = key_bytes_needed(FAILURE_BYTES_MAX, 0);
        self.send_request(message, &body, 0, answer_bytes)?;
        let reply = self.answer_to_last()?;
        if reply.message.status == Status::Key && !offered.is_empty() {
            // What is offered may be burned at the site: next time above all of that.
            self.offer_floor = self.keys.mark(self.pool, Direction::BToA)?;
            return Ok(());
        }
        reply.check(Op::Lease)?;
        let granted = Grant::decode(reply.body())?.range;
        if !offered.is_empty() {
            self.answer_key.push(offered);
        }
        if wanted > 0 {
            self.is_dry = granted.is_empty();
        }
        let passed_over = KeyRange::between(argument1, granted.start());
        if !granted.is_empty() && !passed_over.is_empty() {
            self.keys.give_up_passed_over(self.pool, Direction::AToB, passed_over)?;
        }
        self.take_grant(granted)
    }

    /// How much of `wanted` to ask for, and from which position on: what lies free at this end in
    /// one run, for frames of `send` bytes at most. The site does not know what this end's crashes
    /// have burned.
    fn lowest_free(&self, wanted: u64, send: u64) -> Result<(u64, u64), PeerError> {
        let (direction, floor) = (Direction::AToB, self.lease_floor);
        let sizes = [wanted, send.saturating_add(CONTROL_KEY_BYTES)];
        let [bytes, enough] = sizes.map(|bytes| bytes.saturating_add(2 * GRANT_STEP_BYTES));
        let limit = lease_limit(&self.keys, self.pool, direction, self.ends.a_to_b)?;
        let within = KeyRange::between(floor, limit);
        let run = match wanted {
            0 => None,
            _ => self.keys.free_run(self.pool, direction, (bytes, enough), within)?,
        };
        // The site adds a step less one byte, so that its grant can begin on one.
        let fits = run.map_or(0, |run| run.len().saturating_sub(GRANT_STEP_BYTES - 1));
        match (run, fits) {
            (Some(run), 1..) => Ok((wanted.min(fits), run.start())),
            _ => Ok((wanted, floor)),
        }
    }

    /// Takes key that the site has granted, up to the first position that this end has burned
    /// meanwhile: a grant is used without gaps. Where nothing is left so, the next grant is asked
    /// for above all that is burned.
    fn take_grant(&mut self, granted: KeyRange) -> Result<(), PeerError> {
        if granted.is_empty() {
            return Ok(());
        }
        let authenticated = Confirmation::Authenticated;
        let accepted = self.keys.accept(self.pool, Direction::AToB, granted, authenticated);
        match accepted {
            Ok(mut lease) if lease.left_ranges().contains(&first_block(granted)) => {
                lease.keep_first_piece();
                for piece in lease.left_ranges().iter() {
                    self.session.granted(Direction::AToB, piece)?;
                }
                self.send_key.push(lease);
                Ok(())
            }
            Ok(_) | Err(KeyError::GrantBurned { .. }) => {
                // Once from what this end knows; then above all that either end knows, as there is
                // little key to ask with.
                self.lease_floor = match self.lease_floor {
                    0 => granted.end(),
                    _ => self.keys.mark(self.pool, Direction::AToB)?.max(granted.end()),
                };
                Ok(())
            }
            Err(KeyError::AlreadyUsed { range, .. }) => Err(PeerError::GrantedUsed { range }),
            Err(error) => Err(error.into()),
        }
    }

    /// The next answer, whatever it answers; it must be to the oldest request.
    fn receive_any(&mut self) -> Result<Reply, PeerError> {
        let reply = self.receive_next();
        self.is_broken |= reply.is_err();
        reply
    }

    fn receive_next(&mut self) -> Result<Reply, PeerError> {
        self.transport.set_deadline(Some(Instant::now() + self.settings.patience));
        let mut first = [0; FRAME_HEADER_BYTES];
        self.transport.receive(&mut first)?;
        let header = self.session.expect(&first)?;
        let mut frame = Block::aligned_at(header.frame_bytes(), CONTENT_OFFSET + 16);
        frame[..FRAME_HEADER_BYTES].copy_from_slice(&first);
        self.transport.receive(&mut frame[FRAME_HEADER_BYTES..])?;
        let range = header.key_range();
        let pad = self.answers.open(range)?;
        let (message, _) = self.session.open(&header, pad, &mut frame)?;
        self.spent.key_bytes += range.len();
        let waiting = self.waiting.pop_front();
        let waiting = waiting.ok_or(PeerError::Unexpected("an answer to nothing"))?;
        if (waiting.op, waiting.request) != (message.op, message.request) {
            return Err(PeerError::Unexpected("answers came out of order"));
        }
        self.answer_key.used(&range, waiting.answer_bytes);
        Ok(Reply { message, frame })
    }
}

/// The largest multiple of `unit` within `about`, at least one unit.
fn whole_multiple(about: u64, unit: u64) -> u64 {
    (about / unit).max(1) * unit
}

/// The shortest beginning of a grant that is worth taking.
fn first_block(granted: KeyRange) -> KeyRange {
    granted.split_at(granted.len().min(2 * CONTROL_KEY_BYTES)).0
}
