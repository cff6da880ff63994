//! What a site is asked about key that a deliverer gives to both ends.

use super::{Peer, PeerError, Reply};
use warifu_core::{Direction, Kept, ObjectId, SegmentId};
use warifu_keystore::Adopted;
use warifu_link::body::{
    ADOPT_BYTES, Adopt, COMPARE_KEY_BYTES, Compared, OFFERED_BYTES_MAX, Offer, Offered,
};
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{Message, Op, key_bytes_needed, key_bytes_of};

/// Why a site is told to forget a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Withdrawal {
    /// It can't be had whole.
    GivenUp = 0,
    /// The two ends got different key.
    Differs = 1,
}

impl Withdrawal {
    /// The reason sent as `number`, or `None`.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::GivenUp),
            1 => Some(Self::Differs),
            _ => None,
        }
    }
}

impl Peer {
    /// Has the site get the keys of a segment by name. The names go unmasked, so this takes no more
    /// key than a tag.
    ///
    /// # Errors
    /// Where the site is lost or refuses: with status `Key` where it never can get them.
    pub fn offer(&mut self, segment: SegmentId, offer: &Offer) -> Result<Offered, PeerError> {
        let mut body = Vec::new();
        offer.encode(&mut body);
        let message = about(Op::Offer, segment);
        let (reply, _) = self.call_sparingly(message, &body, 0, OFFERED_BYTES_MAX)?;
        Ok(Offered::decode(reply.body())?)
    }

    /// The site's hash of a segment that it holds, under two secrets that both ends now keep: `r`,
    /// then `s`.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn compare(&mut self, segment: SegmentId) -> Result<(Compared, Kept), PeerError> {
        let message = about(Op::Compare, segment);
        let (reply, kept) = self.call_sparingly(message, &[], COMPARE_KEY_BYTES, ADOPT_BYTES)?;
        Ok((Compared::decode(reply.body())?, kept))
    }

    /// Has the site add a segment where this end has added it.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn adopt(&mut self, segment: SegmentId, adopt: &Adopt) -> Result<Adopted, PeerError> {
        let mut body = Vec::new();
        adopt.encode(&mut body);
        let (reply, _) = self.call_sparingly(about(Op::Adopt, segment), &body, 0, 0)?;
        let end = match adopt.direction {
            Direction::AToB => &mut self.ends.a_to_b,
            Direction::BToA => &mut self.ends.b_to_a,
        };
        *end = (*end).max(adopt.range.end());
        self.is_dry &= adopt.direction == Direction::BToA;
        match reply.message.argument0 {
            0 => Ok(Adopted::Added),
            1 => Ok(Adopted::Burned),
            _ => Err(PeerError::Unexpected("it tells neither that it has the key nor that not")),
        }
    }

    /// Has the site forget a segment that is not key of the link.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn withdraw(&mut self, segment: SegmentId, why: Withdrawal) -> Result<(), PeerError> {
        let message = Message { argument0: why as u64, ..about(Op::Withdraw, segment) };
        self.call_sparingly(message, &[], 0, 0).map(drop)
    }

    /// Asks even where a link is so short of key that no more can be leased: what a hello brings is
    /// enough to add a segment, and then there is key again.
    fn call_sparingly(
        &mut self,
        message: Message,
        body: &[u8],
        kept_bytes: usize,
        answer_body_bytes: usize,
    ) -> Result<(Reply, Kept), PeerError> {
        let send = key_bytes_of(&message, body.len(), kept_bytes);
        let answer = key_bytes_needed(answer_body_bytes.max(FAILURE_BYTES_MAX), 0);
        let suffices = self.send_key.has(send) && self.answer_key.covers(answer);
        if !suffices || !self.is_dry {
            self.ensure(send, answer)?;
        }
        let op = message.op;
        let kept = self.send_request(message, body, kept_bytes, answer)?;
        let reply = self.answer_to_last()?;
        reply.check(op)?;
        Ok((reply, kept))
    }
}

fn about(op: Op, segment: SegmentId) -> Message {
    Message { object: ObjectId::from_bytes(*segment.bytes()), ..Message::request(op, 0) }
}
