//! What a frame's payload begins with: who asks what of which share.

use crate::error::MessageError;
use crate::fields::{Fields, Layout};
use crate::header::PAYLOAD_BYTES_MAX;
use crate::{body, header::KEPT_BYTES_MAX};
use std::ops::RangeInclusive;
use warifu_core::direction::Direction;
use warifu_core::{CHUNK_BYTES, ObjectId, XCoord};

/// Bytes of a payload before its body.
pub const MESSAGE_HEADER_BYTES: usize = 64;
/// Longest body in bytes.
pub const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - MESSAGE_HEADER_BYTES;
/// Longest text in bytes with which a failure is explained.
pub const FAILURE_BYTES_MAX: usize = 256;

const ANSWER: u16 = 0x8000;
const CONTENT_BYTES_MAX: usize = CHUNK_BYTES as usize;
const BLIND_BYTES: usize = 16;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident: $int:ty {
        $($(#[$each:meta])* $variant:ident = $number:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The number by which it is sent.
            #[must_use]
            pub const fn number(self) -> $int {
                match self {
                    $(Self::$variant => $number,)+
                }
            }

            /// The one sent as `number`, or `None`.
            #[must_use]
            pub const fn from_number(number: $int) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered!(
    /// What is asked.
    Op: u16 {
        /// Prove that the hellos are those of the key's holder; the first frame of both ends.
        Confirm = 1,
        /// Grant more key to each other.
        Lease = 2,
        /// Give unused key back and end.
        Release = 3,
        /// A share is about to come.
        Begin = 4,
        /// Keep this content.
        Store = 5,
        /// Keep this range of key as content.
        Keep = 6,
        /// The share is whole: make it durable.
        Commit = 7,
        /// Give back a chunk.
        Read = 8,
        /// Tell which shares are there.
        Stat = 9,
        /// Throw an uncommitted share away.
        Discard = 10,
        /// Tell who and how full.
        Ping = 11,
        /// Grant positions of this end's `random` pool.
        Witness = 12,
        /// Get the key that a deliverer has under these names.
        Offer = 13,
        /// Tell a hash of the key that was got so, to compare.
        Compare = 14,
        /// Both ends hold the same: it is key of the link from here on.
        Adopt = 15,
        /// Forget what was offered.
        Withdraw = 16,
        /// Hold this card's key as an individual's.
        Bind = 17,
        /// This object is that individual's.
        Own = 18,
        /// Draw a nonce for a card to sign.
        Challenge = 19,
        /// See what cards have signed, and release what follows from it.
        Present = 20,
        /// Tell which shares belong to the holder of a card that was present.
        Find = 21,
        /// Consents no longer hold.
        Revoke = 22,
        /// That is all I know; and where the audit logs of both ends stand.
        Contact = 23,
        /// Delete a completed share for good.
        Forget = 24,
        /// Keep an object from being forgotten, or no longer.
        Hold = 25,
        /// Other sites are going to contribute what adds up to a share.
        Expect = 26,
        /// Take part in working out a share for another site.
        Work = 27,
        /// Keep this range of key to blind contributions with.
        Blind = 28,
        /// A blinded part of a share.
        Contribute = 29,
        /// Go on with the next step of a piece of work.
        Proceed = 30,
        /// Hand over a blinded part of a share.
        Collect = 31,
    }
);

numbered!(
    /// How a request went.
    Status: u16 {
        /// As asked.
        Done = 0,
        /// The request makes no sense.
        BadRequest = 1,
        /// There is no such share.
        NoSuchShare = 2,
        /// The share exists already.
        ExistsAlready = 3,
        /// No space is left.
        NoSpace = 4,
        /// The store failed.
        Io = 5,
        /// The site's own checksum says that the content rotted.
        Damaged = 6,
        /// The site's rules forbid it.
        Refused = 7,
        /// More than this site does at a time.
        Limit = 8,
        /// Key is missing, used, or not as it should be.
        Key = 9,
        /// The person has not agreed, or what says so does not hold. The text begins with a code.
        Consent = 10,
    }
);

numbered!(
    /// Which part of a share is meant.
    ShareClass: u8 {
        /// A chunk of the payload's sharing.
        Data = 0,
        /// A mask for an audit.
        Mask = 1,
        /// A piece of the capsule.
        Capsule = 2,
    }
);

/// The header of a message; what each field says depends on the operation. The length of the
/// body is not a field: it is what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// What is asked, or was.
    pub op: Op,
    /// Whether this is the answer.
    pub reply: bool,
    /// How it went; of a request always [`Status::Done`].
    pub status: Status,
    /// The object; of the operation [`Op::Witness`] the pool, of those about delivered key the
    /// segment. Zero where there is none.
    pub object: ObjectId,
    /// Which share of the object.
    pub x: Option<XCoord>,
    /// Which part of the share.
    pub class: ShareClass,
    /// The attempt of the chunk.
    pub attempt: u32,
    /// The index of the chunk, mask, or piece of the capsule.
    pub index: u64,
    /// As the operation says.
    pub argument0: u64,
    /// As the operation says.
    pub argument1: u64,
    /// The asker's number for this request, repeated in its answer.
    pub request: u64,
}

impl Message {
    /// A request of `op` with all else zero.
    #[must_use]
    pub const fn request(op: Op, request: u64) -> Self {
        Self {
            op,
            reply: false,
            status: Status::Done,
            object: ObjectId::from_bytes([0; 16]),
            x: None,
            class: ShareClass::Data,
            attempt: 0,
            index: 0,
            argument0: 0,
            argument1: 0,
            request,
        }
    }

    /// The answer to this request: same operation, address and number, no arguments.
    #[must_use]
    pub const fn answer(&self, status: Status) -> Self {
        Self { reply: true, status, argument0: 0, argument1: 0, ..*self }
    }

    /// The 64 bytes as sent in front of a body of `body_bytes` bytes.
    ///
    /// # Errors
    /// Where no such message has a body of that length, or a request a status.
    pub fn encode(&self, body_bytes: usize) -> Result<[u8; MESSAGE_HEADER_BYTES], MessageError> {
        let stated = self.check_body(body_bytes)?;
        Ok(Layout::new()
            .put_u16(self.op.number() | if self.reply { ANSWER } else { 0 })
            .put_u16(self.status.number())
            .put_u32(stated)
            .put(self.object.bytes())
            .put(&[self.x.map_or(0, XCoord::get), self.class.number(), 0, 0])
            .put_u32(self.attempt)
            .put_u64(self.index)
            .put_u64(self.argument0)
            .put_u64(self.argument1)
            .put_u64(self.request)
            .finish())
    }

    /// Reads the header of a message, and the length in bytes that it states for its body.
    ///
    /// # Errors
    /// Where a number is not known, a zero field is not zero, a request has a status, or no such
    /// message has a body of that length.
    pub fn decode(bytes: &[u8; MESSAGE_HEADER_BYTES]) -> Result<(Self, usize), MessageError> {
        let mut fields = Fields::of(bytes);
        let op_field = fields.u16()?;
        let op = Op::from_number(op_field & !ANSWER);
        let op = op.ok_or(MessageError::UnknownOp { op: op_field })?;
        let status = Status::from_number(fields.u16()?);
        let status = status.ok_or(MessageError::Malformed { field: "status" })?;
        let body_bytes = fields.u32()? as usize;
        let object = ObjectId::from_bytes(fields.array()?);
        let x = XCoord::new(fields.u8()?);
        let class = ShareClass::from_number(fields.u8()?);
        let class = class.ok_or(MessageError::Malformed { field: "class" })?;
        if fields.u16()? != 0 {
            return Err(MessageError::Malformed { field: "zero" });
        }
        let message = Self {
            op,
            reply: op_field & ANSWER != 0,
            status,
            object,
            x,
            class,
            attempt: fields.u32()?,
            index: fields.u64()?,
            argument0: fields.u64()?,
            argument1: fields.u64()?,
            request: fields.u64()?,
        };
        message.check_body(body_bytes)?;
        Ok((message, body_bytes))
    }

    /// Bytes of key that the frame of this message has both ends keep, or `None` where its
    /// arguments ask for more than any frame may.
    #[must_use]
    pub const fn kept_bytes(&self) -> Option<usize> {
        if self.reply {
            return Some(0);
        }
        match (self.op, self.class) {
            (Op::Store, ShareClass::Data | ShareClass::Mask) => Some(BLIND_BYTES),
            (Op::Compare, _) => Some(body::COMPARE_KEY_BYTES),
            (Op::Expect, _) => match self.argument0 <= body::WORK_CHUNKS_MAX as u64 {
                true => Some(self.argument0 as usize * BLIND_BYTES),
                false => None,
            },
            (Op::Blind, _) => match self.argument0 <= CONTENT_BYTES_MAX as u64 {
                true => Some(self.argument0 as usize),
                false => None,
            },
            (Op::Keep, _) => match self.argument0 <= CONTENT_BYTES_MAX as u64 {
                true => Some(self.argument0 as usize + body::KEEP_FOOT_BYTES),
                false => None,
            },
            _ => Some(0),
        }
    }

    /// Whether its frame leaves it unmasked: the names of delivered keys are no secret, and as long
    /// as a chunk.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.op, Op::Offer) && !self.reply
    }

    /// Whether a frame in `direction` that keeps `kept_bytes` may carry this: end A asks, end B
    /// answers, and both keep what the message says.
    pub(crate) fn check_frame(
        &self,
        direction: Direction,
        kept_bytes: u32,
        is_open: bool,
    ) -> Result<(), MessageError> {
        if is_open != self.is_open() {
            return Err(MessageError::Masking { is_open });
        }
        if self.reply != (direction == Direction::BToA) {
            return Err(MessageError::WrongWay);
        }
        match self.kept_bytes() {
            Some(needed) if needed == kept_bytes as usize => Ok(()),
            Some(needed) => {
                Err(MessageError::KeptBytes { kept: u64::from(kept_bytes), needed: needed as u64 })
            }
            None => Err(MessageError::Malformed { field: "argument0" }),
        }
    }

    /// Refuses a body length that no such message has; the length as it is stated.
    fn check_body(&self, body_bytes: usize) -> Result<u32, MessageError> {
        if !self.reply && self.status != Status::Done {
            return Err(MessageError::Malformed { field: "status" });
        }
        let size = MessageError::Size { what: "the body of this message", bytes: body_bytes };
        if !self.body_bytes().contains(&body_bytes) {
            return Err(size);
        }
        if !self.reply && self.op == Op::Store && self.argument0 != body_bytes as u64 {
            return Err(MessageError::Malformed { field: "argument0" });
        }
        u32::try_from(body_bytes).map_err(|_| size)
    }

    /// The lengths that the body of this message can have.
    const fn body_bytes(&self) -> RangeInclusive<usize> {
        if !matches!(self.status, Status::Done) {
            return 0..=FAILURE_BYTES_MAX;
        }
        match (self.op, self.reply) {
            (Op::Confirm, false) => body::CONFIRM_BYTES..=body::CONFIRM_BYTES,
            (Op::Confirm, true) => body::CONFIRMED_BYTES..=body::CONFIRMED_BYTES,
            (Op::Lease, _) | (Op::Witness, true) => body::RANGE_BYTES..=body::RANGE_BYTES,
            (Op::Release, _) => 0..=body::RELEASED_RANGES_MAX * body::RANGE_BYTES,
            (Op::Store, false) => 1..=CONTENT_BYTES_MAX,
            (Op::Keep, true) => BLIND_BYTES..=BLIND_BYTES,
            (Op::Begin, true) => 0..=body::HELD_RUNS_MAX * body::HELD_RUN_BYTES,
            (Op::Commit, false) => body::COMMIT_HEAD_BYTES..=BODY_BYTES_MAX,
            (Op::Read, true) => match self.class {
                ShareClass::Data | ShareClass::Mask => {
                    BLIND_BYTES + 1..=BLIND_BYTES + CONTENT_BYTES_MAX
                }
                ShareClass::Capsule => 0..=CONTENT_BYTES_MAX,
            },
            (Op::Stat, true) => 0..=BODY_BYTES_MAX,
            (Op::Ping, true) => 1..=body::NAME_BYTES_MAX,
            (Op::Witness, false) => 8..=8,
            (Op::Offer, false) => body::OFFER_BYTES_MIN..=body::OFFER_BYTES_MAX,
            (Op::Offer, true) => body::OFFERED_HEAD_BYTES..=body::OFFERED_BYTES_MAX,
            (Op::Compare, true) | (Op::Adopt, false) => body::ADOPT_BYTES..=body::ADOPT_BYTES,
            (Op::Bind | Op::Present, false) => 1..=body::TOKENS_BYTES_MAX,
            (Op::Bind, true) => 0..=FAILURE_BYTES_MAX,
            (Op::Own, false) => 1..=body::OWN_BYTES_MAX,
            (Op::Challenge, true) => body::NONCE_BYTES..=body::NONCE_BYTES,
            (Op::Find, false) => body::SESSION_BYTES..=body::SESSION_BYTES,
            (Op::Find, true) => 0..=body::FOUND_MAX * body::SHARE_STAT_BYTES,
            (Op::Revoke, false) => 1..=body::TOKEN_BYTES_MAX,
            (Op::Contact, false) => 0..=body::CHECKPOINT_BYTES,
            (Op::Contact, true) => 0..=body::CHECKPOINTS_MAX * body::CHECKPOINT_BYTES,
            (Op::Expect | Op::Work | Op::Blind, false) => {
                body::WORK_BYTES_MIN..=body::WORK_BYTES_MAX
            }
            (Op::Contribute, false) | (Op::Collect, true) => 1..=CONTENT_BYTES_MAX,
            (Op::Proceed, false) => body::WORK_ID_BYTES..=body::WORK_ID_BYTES,
            (Op::Forget | Op::Hold, false) => 1..=body::REASON_BYTES_MAX,
            (Op::Discard | Op::Withdraw, _)
            | (Op::Store | Op::Commit | Op::Adopt, true)
            | (Op::Own | Op::Present | Op::Revoke | Op::Forget | Op::Hold, true)
            | (Op::Expect | Op::Work | Op::Blind | Op::Contribute | Op::Proceed, true)
            | (Op::Begin | Op::Keep | Op::Read | Op::Stat, false)
            | (Op::Ping | Op::Compare | Op::Challenge | Op::Collect, false) => 0..=0,
        }
    }
}

// A kept chunk, its blind block and receipt key fit into a frame, and so do a chunk read back and
// the longest release.
const _: () = assert!(CONTENT_BYTES_MAX + body::KEEP_FOOT_BYTES <= KEPT_BYTES_MAX);
const _: () = assert!(BLIND_BYTES + CONTENT_BYTES_MAX <= BODY_BYTES_MAX);
const _: () = assert!(body::RELEASED_RANGES_MAX * body::RANGE_BYTES <= BODY_BYTES_MAX);
const _: () = assert!(body::TOKENS_BYTES_MAX <= BODY_BYTES_MAX);
