//! What a site is asked about persons: their cards' keys, what is theirs, what they agreed to.

use super::{Peer, PeerError, ShareAddress};
use std::time::Duration;
use warifu_core::{IndividualId, ObjectId};
use warifu_link::body::{
    CHECKPOINT_BYTES, CHECKPOINTS_MAX, Checkpoint, FOUND_MAX, Holder, NONCE_BYTES, SESSION_BYTES,
    SHARE_STAT_BYTES, ShareStat, decode_failure_text, encode_owned, encode_tokens,
};
use warifu_link::message::FAILURE_BYTES_MAX;
use warifu_link::{Message, Op};

/// Second argument of a contact request: the checkpoints of the asking end are asked for.
pub const TELL_HELD: u64 = 1;

/// How a site holds a card's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bound {
    /// It holds it, and trusts its certificate now.
    Trusted,
    /// It holds it, and would release nothing on its word now.
    Untrusted {
        /// Code and text of the site's.
        why: String,
    },
}

impl Peer {
    /// Has the site hold a card's key as an individual's: an Enrolment; with one Rebinding by the
    /// old card or two by registrars, where the site holds another key.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn bind(&mut self, tokens: &[&str]) -> Result<Bound, PeerError> {
        let body = encode_tokens(tokens)?;
        let reply = self.call(Message::request(Op::Bind, 0), &body, FAILURE_BYTES_MAX)?;
        match reply.message.argument0 {
            1 => Ok(Bound::Trusted),
            2 => Ok(Bound::Untrusted { why: decode_failure_text(reply.body())?.to_owned() }),
            _ => {
                Err(PeerError::Unexpected("it tells neither that it trusts the card nor that not"))
            }
        }
    }

    /// Tells the site whose object it is and, where `holders` is not empty, where its shares are to
    /// lie: the first list stays. Nothing changes where it was told the same before.
    ///
    /// # Errors
    /// Where the site is lost or refuses: it does not hold that individual's key, the object is
    /// another's, or its shares lie elsewhere as was said before.
    pub fn own(
        &mut self,
        object: ObjectId,
        individual: &IndividualId,
        holders: &[Holder],
    ) -> Result<(), PeerError> {
        self.call(about(Op::Own, object), &encode_owned(individual, holders), 0).map(drop)
    }

    /// A nonce that the site draws for one presence, or for officers; `None` to find.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn challenge(&mut self, object: Option<ObjectId>) -> Result<[u8; NONCE_BYTES], PeerError> {
        let object = object.unwrap_or(ObjectId::from_bytes([0; 16]));
        let reply = self.call(about(Op::Challenge, object), &[], NONCE_BYTES)?;
        let nonce = reply.body().first_chunk().copied();
        nonce.ok_or(PeerError::Unexpected("a nonce of another length"))
    }

    /// Shows the site what cards have signed: Consent and Presence to read `object`, a Presence to
    /// find, or officers' BreakGlass. Answers for how long the site releases what follows.
    ///
    /// # Errors
    /// Where the site is lost, or says why it releases nothing.
    pub fn present(
        &mut self,
        object: Option<ObjectId>,
        tokens: &[&str],
    ) -> Result<Duration, PeerError> {
        let object = object.unwrap_or(ObjectId::from_bytes([0; 16]));
        let body = encode_tokens(tokens)?;
        let reply = self.call(about(Op::Present, object), &body, 0)?;
        Ok(Duration::from_secs(reply.message.argument0))
    }

    /// Completed shares at the site of the holder of the card whose presence named `session`, from
    /// record `from` on, at most [`FOUND_MAX`]; and how many there are.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn find(
        &mut self,
        session: [u8; SESSION_BYTES],
        from: u64,
    ) -> Result<(Vec<ShareStat>, u64), PeerError> {
        let message = Message { index: from, ..Message::request(Op::Find, 0) };
        let reply = self.call(message, &session, FOUND_MAX * SHARE_STAT_BYTES)?;
        Ok((ShareStat::decode_all(reply.body())?, reply.message.argument0))
    }

    /// Tells the site that consents no longer hold. Once it returns the site knows durably.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn revoke(&mut self, token: &str) -> Result<(), PeerError> {
        let body = encode_tokens(&[token])?;
        self.call(Message::request(Op::Revoke, 0), &body, 0).map(drop)
    }

    /// Tells the site that it has been told all that this end knows, `revocations` so far; the two
    /// ends keep each other's checkpoints.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn contact(
        &mut self,
        own: Option<&Checkpoint>,
        revocations: u64,
    ) -> Result<Option<Checkpoint>, PeerError> {
        let mut body = Vec::new();
        if let Some(own) = own {
            own.encode(&mut body);
        }
        let message = Message { argument0: revocations, ..Message::request(Op::Contact, 0) };
        let reply = self.call(message, &body, CHECKPOINT_BYTES)?;
        Ok(Checkpoint::decode(reply.body())?)
    }

    /// The checkpoints of this end's audit log that the site has held, the oldest first, some left
    /// out between where there are many.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn checkpoints_held(&mut self) -> Result<Vec<Checkpoint>, PeerError> {
        let message = Message { argument1: TELL_HELD, ..Message::request(Op::Contact, 0) };
        let reply = self.call(message, &[], CHECKPOINTS_MAX * CHECKPOINT_BYTES)?;
        Ok(Checkpoint::decode_all(reply.body())?)
    }

    /// Has the site delete a completed share for good. Nothing happens where it did before.
    ///
    /// # Errors
    /// Where the site is lost or refuses: a hold lies on the object.
    pub fn forget(&mut self, address: ShareAddress, reason: &str) -> Result<(), PeerError> {
        let message = Message { x: Some(address.x), ..about(Op::Forget, address.object) };
        self.call(message, reason.as_bytes(), 0).map(drop)
    }

    /// Lays a hold on an object, which can't be forgotten then, or lifts it.
    ///
    /// # Errors
    /// Where the site is lost or refuses.
    pub fn hold(&mut self, object: ObjectId, is_held: bool, reason: &str) -> Result<(), PeerError> {
        let message = Message { argument0: u64::from(is_held), ..about(Op::Hold, object) };
        self.call(message, reason.as_bytes(), 0).map(drop)
    }
}

fn about(op: Op, object: ObjectId) -> Message {
    Message { object, ..Message::request(op, 0) }
}
