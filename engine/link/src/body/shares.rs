//! Bodies about shares: begin, commit, stat.

use super::{
    ATTEMPT_BYTES, ATTEMPTS_MAX, COMMIT_HEAD_BYTES, HELD_RUN_BYTES, HELD_RUNS_MAX,
    SHARE_STAT_BYTES, SHARE_STATS_MAX, put_u32, put_u64, records,
};
use crate::error::MessageError;
use crate::fields::Fields;
use crate::message::ShareClass;
use warifu_core::geometry::PAYLOAD_BYTES_MAX as OBJECT_BYTES_MAX;
use warifu_core::{ObjectId, Threshold, XCoord};

/// Slots of an unfinished share that the site holds, all of one attempt and without a gap: a run in
/// the answer to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldRun {
    /// Chunks, masks, or pieces of the capsule.
    pub class: ShareClass,
    /// The attempt that is held.
    pub attempt: u32,
    /// The first slot.
    pub start: u64,
    /// One past the last.
    pub end: u64,
}

impl HeldRun {
    /// Appends this run to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(&[self.class.number(), 0, 0, 0]);
        put_u32(target, self.attempt);
        put_u64(target, self.start);
        put_u64(target, self.end);
    }

    /// Reads a whole body: all runs in it.
    ///
    /// # Errors
    /// Where the list is cut or too long, a run is empty or of no known class, a zero field is not
    /// zero, or a run does not begin at or after the end of the one before, by class and slot.
    pub fn decode_all(body: &[u8]) -> Result<Vec<Self>, MessageError> {
        let malformed = |field| MessageError::Malformed { field };
        let mut runs: Vec<Self> = Vec::with_capacity(body.len() / HELD_RUN_BYTES);
        for mut fields in records("an answer to begin", body, HELD_RUN_BYTES, HELD_RUNS_MAX)? {
            let class = ShareClass::from_number(fields.u8()?).ok_or(malformed("class"))?;
            if fields.array()? != [0; 3] {
                return Err(malformed("zero"));
            }
            let (attempt, start, end) = (fields.u32()?, fields.u64()?, fields.u64()?);
            let ascends = runs.last().is_none_or(|last| (last.class, last.end) <= (class, start));
            if start >= end || !ascends {
                return Err(malformed("runs of slots"));
            }
            runs.push(Self { class, attempt, start, end });
        }
        Ok(runs)
    }
}

/// First argument of a discard that leaves a completed share alone; 0 where it may go too.
pub const UNFINISHED_ONLY: u64 = 1;

/// The attempt under which a chunk was kept, where it is not 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The chunk; mask `m` is chunk `N + m`.
    pub chunk: u64,
    /// Its attempt, at least 1.
    pub attempt: u32,
}

/// Body of a commit request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Bytes of the capsule's head part.
    pub head_bytes: u32,
    /// Bytes of each of the capsule's verdict parts.
    pub verdict_bytes: u32,
    /// The attempts that are not 0, ascending by chunk; at most [`ATTEMPTS_MAX`].
    pub attempts: Vec<Attempt>,
}

impl Commit {
    /// Appends the body to `target`. What is out of order or too long, [`Commit::decode`] or the
    /// message's limit will refuse.
    pub fn encode(&self, target: &mut Vec<u8>) {
        put_u32(target, self.head_bytes);
        put_u32(target, self.verdict_bytes);
        for attempt in &self.attempts {
            put_u64(target, attempt.chunk);
            put_u32(target, attempt.attempt);
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Where the list is cut or too long, not strictly ascending, or names an attempt 0.
    pub fn decode(body: &[u8]) -> Result<Self, MessageError> {
        let short = MessageError::Size { what: "a commit", bytes: body.len() };
        let (head, list) = body.split_at_checked(COMMIT_HEAD_BYTES).ok_or(short)?;
        let mut head = Fields::of(head);
        let (head_bytes, verdict_bytes) = (head.u32()?, head.u32()?);
        let records = records("a commit", list, ATTEMPT_BYTES, ATTEMPTS_MAX)?;
        let mut attempts: Vec<Attempt> = Vec::with_capacity(list.len() / ATTEMPT_BYTES);
        for mut fields in records {
            let attempt = Attempt { chunk: fields.u64()?, attempt: fields.u32()? };
            let ascends = attempts.last().is_none_or(|last| last.chunk < attempt.chunk);
            if attempt.attempt == 0 || !ascends {
                return Err(MessageError::Malformed { field: "attempts" });
            }
            attempts.push(attempt);
        }
        Ok(Self { head_bytes, verdict_bytes, attempts })
    }
}

/// One share in the answer to stat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareStat {
    /// The object.
    pub object: ObjectId,
    /// Which share of it.
    pub x: XCoord,
    /// The object's k and n.
    pub threshold: Threshold,
    /// Whether the share was computed; else it is a pad.
    pub computed: bool,
    /// Whether the share was committed.
    pub committed: bool,
    /// Payload bytes of the object; of an uncommitted share 0 where not yet known.
    pub payload_bytes: u64,
    /// Masks of the share.
    pub masks: u32,
    /// Bytes of the capsule's head part.
    pub head_bytes: u32,
    /// Bytes of each of the capsule's verdict parts.
    pub verdict_bytes: u32,
}

impl ShareStat {
    /// Appends this share to `target`.
    pub fn encode(&self, target: &mut Vec<u8>) {
        target.extend_from_slice(self.object.bytes());
        target.extend_from_slice(&[
            self.x.get(),
            self.threshold.k_byte(),
            self.threshold.n_byte(),
            u8::from(self.computed),
            u8::from(self.committed),
            0,
            0,
            0,
        ]);
        put_u64(target, self.payload_bytes);
        put_u32(target, self.masks);
        put_u32(target, self.head_bytes);
        put_u32(target, self.verdict_bytes);
    }

    /// Reads a whole body: all shares in it.
    ///
    /// # Errors
    /// Where the list is cut or too long, or a share has an x of 0, no k of n, a flag that is
    /// neither 0 nor 1, a zero field that is not, or a payload longer than the formats admit.
    pub fn decode_all(body: &[u8]) -> Result<Vec<Self>, MessageError> {
        records("a stat answer", body, SHARE_STAT_BYTES, SHARE_STATS_MAX)?
            .map(|mut fields| Self::read(&mut fields))
            .collect()
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self, MessageError> {
        let malformed = |field| MessageError::Malformed { field };
        let object = ObjectId::from_bytes(fields.array()?);
        let x = XCoord::new(fields.u8()?).ok_or(malformed("x"))?;
        let (k, n) = (u32::from(fields.u8()?), u32::from(fields.u8()?));
        let threshold = Threshold::new(k, n).map_err(|_| malformed("k and n"))?;
        let computed = flag(fields, "role")?;
        let committed = flag(fields, "committed")?;
        if fields.array()? != [0; 3] {
            return Err(malformed("zero"));
        }
        let payload_bytes = fields.u64()?;
        if payload_bytes > OBJECT_BYTES_MAX {
            return Err(malformed("payload bytes"));
        }
        let (masks, head_bytes, verdict_bytes) = (fields.u32()?, fields.u32()?, fields.u32()?);
        Ok(Self {
            object,
            x,
            threshold,
            computed,
            committed,
            payload_bytes,
            masks,
            head_bytes,
            verdict_bytes,
        })
    }
}

fn flag(fields: &mut Fields<'_>, field: &'static str) -> Result<bool, MessageError> {
    match fields.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(MessageError::Malformed { field }),
    }
}
