//! How far an interrupted backup is.

use super::{Header, JournalError, Record, Sealed};
use bitvec::vec::BitVec;
use std::collections::BTreeMap;
use warifu_core::Geometry;
use warifu_core::KeyClass;
use warifu_core::geometry::{CHUNK_BYTES, PAYLOAD_BYTES_MAX};
use warifu_link::ShareClass;
use warifu_link::body::ATTEMPTS_MAX;
use warifu_pipeline::backup::lane::Spent;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::held::Held;

/// Chunks of the largest object there is.
const CHUNKS_MAX: u64 = PAYLOAD_BYTES_MAX / CHUNK_BYTES as u64;

/// Pieces of a capsule that are believed.
const PIECES_MAX: u64 = 4096;

/// Attempts left free for what is lost on the way to the end.
const ATTEMPTS_SPARE: usize = 4096;

/// Generations that a site may be ahead of a journal which is an older copy. One site's word must
/// not use up all that there are.
const GENERATIONS_AHEAD_MAX: u32 = 64;

/// Why an interrupted backup can't go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hindrance {
    /// It was begun too often, or too much of it is in doubt: it is better begun afresh.
    Worn,
    /// The site of this share, in order of x, claims what it can't have been sent.
    Claims { share: usize },
}

/// Which slots are done, and which may have reached anyone.
pub(crate) struct Standing {
    planned: Geometry,
    /// The highest generation opened.
    generation: Option<u16>,
    /// What is claimed of all key used so far.
    pub(crate) class: KeyClass,
    /// Data chunks below this may have been sent.
    admitted: u64,
    chunks: BitVec,
    masks: BitVec,
    /// Pieces of the capsule that all sites acknowledged, by index.
    pieces: BTreeMap<u64, u32>,
    /// The attempt of what is done, chunks and masks, where it is not 0.
    attempts: BTreeMap<Slot, u32>,
    /// Spent by all processes so far, by share.
    pub(crate) spent: Vec<Spent>,
    /// Random numbers drawn by all processes so far, in bytes.
    pub(crate) random_bytes: u64,
    /// Set when all is stored; anything that is done later unsets it.
    pub(crate) sealed: Option<Sealed>,
}

impl Standing {
    /// Nothing is done.
    pub(crate) fn new(header: &Header) -> Self {
        Self {
            planned: header.geometry,
            generation: None,
            class: header.class,
            admitted: 0,
            chunks: BitVec::new(),
            masks: BitVec::new(),
            pieces: BTreeMap::new(),
            attempts: BTreeMap::new(),
            spent: vec![Spent::default(); header.shares.len()],
            random_bytes: 0,
            sealed: None,
        }
    }

    /// Follows the journal.
    ///
    /// # Errors
    /// Where the record contradicts the header or those before it.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<(), JournalError> {
        let wrong = |why| Err(JournalError::Damaged { why });
        match record {
            Record::Opened { generation, class } => {
                if self.generation.is_some_and(|before| before >= *generation) {
                    return wrong("its generations do not ascend");
                }
                self.generation = Some(*generation);
                self.class = self.class.max(*class);
                self.sealed = None;
                // The capsule is drawn anew whole in each generation.
                self.pieces.clear();
            }
            Record::Admitted { end } if *end > 2 * CHUNKS_MAX => {
                return wrong("it admits more chunks than any object has");
            }
            Record::Admitted { end } => self.admitted = self.admitted.max(*end),
            Record::Done { slot, attempt, class, .. } => {
                if self.generation.is_none_or(|generation| attempt >> 16 > u32::from(generation)) {
                    return wrong("an attempt is of no generation");
                }
                self.finish(*slot, *attempt)?;
                self.class = self.class.max(*class);
            }
            Record::Spent { random_bytes, shares } => {
                self.random_bytes = *random_bytes;
                for (spent, (key_bytes, sent_bytes)) in self.spent.iter_mut().zip(shares) {
                    (spent.key_bytes, spent.sent_bytes) = (*key_bytes, *sent_bytes);
                }
            }
            Record::Sealed(sealed) => {
                self.class = self.class.max(sealed.class);
                self.sealed = Some(*sealed);
            }
        }
        Ok(())
    }

    fn finish(&mut self, slot: Slot, attempt: u32) -> Result<(), JournalError> {
        let (bits, count) = match slot.class {
            ShareClass::Data => (&mut self.chunks, self.planned.chunk_count()),
            ShareClass::Mask => (&mut self.masks, u64::from(self.planned.mask_count())),
            ShareClass::Capsule if slot.index < PIECES_MAX => {
                self.pieces.insert(slot.index, attempt);
                return Ok(());
            }
            ShareClass::Capsule => {
                return Err(JournalError::Damaged { why: "no capsule is so long" });
            }
        };
        if slot.index >= count {
            return Err(JournalError::Damaged { why: "a slot is not of this object" });
        }
        if bits.len() as u64 <= slot.index {
            bits.resize(slot.index as usize + 1, false);
        }
        bits.set(slot.index as usize, true);
        match attempt {
            0 => drop(self.attempts.remove(&slot)),
            _ => drop(self.attempts.insert(slot, attempt)),
        }
        Ok(())
    }

    pub(crate) fn is_opened(&self) -> bool {
        self.generation.is_some()
    }

    /// The generation that was opened last.
    pub(crate) fn generation(&self) -> u16 {
        self.generation.unwrap_or(0)
    }

    /// Data chunks below this may have been sent.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted
    }

    /// The attempt under which a slot is done, if it is.
    pub(crate) fn done(&self, slot: Slot) -> Option<u32> {
        let bits = match slot.class {
            ShareClass::Data => &self.chunks,
            ShareClass::Mask => &self.masks,
            ShareClass::Capsule => return self.pieces.get(&slot.index).copied(),
        };
        let is_done = bits.get(slot.index as usize).is_some_and(|bit| *bit);
        is_done.then(|| self.attempts.get(&slot).copied().unwrap_or(0))
    }

    /// Chunks and masks that are done, ascending, with their attempts.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Slot, u32)> + '_ {
        let of = |class, bits: &'_ BitVec| {
            let indices: Vec<usize> = bits.iter_ones().collect();
            indices.into_iter().map(move |index| Slot { class, index: index as u64 })
        };
        let slots = of(ShareClass::Data, &self.chunks).chain(of(ShareClass::Mask, &self.masks));
        slots.filter_map(|slot| Some((slot, self.done(slot)?)))
    }

    /// All that every site must hold before it can complete its share.
    pub(crate) fn whole(&self) -> Held {
        let pieces = self.pieces.iter();
        let pieces = pieces
            .map(|(index, attempt)| (Slot { class: ShareClass::Capsule, index: *index }, *attempt));
        self.slots().chain(pieces).collect()
    }

    /// Payload bytes that are done.
    pub(crate) fn done_bytes(&self) -> u64 {
        let chunks = self.chunks.count_ones() as u64 * u64::from(CHUNK_BYTES);
        chunks.min(self.planned.payload_bytes())
    }

    /// Goes on in a further generation: only what all sites hold as the journal says stays done,
    /// and what any site holds beyond counts as sent.
    ///
    /// # Errors
    /// Where no generation is left, more chunks are in doubt than a commit can name, or a site
    /// claims what this backup can't have sent it.
    pub(crate) fn go_on(mut self, held: &[&Held]) -> Result<Self, Hindrance> {
        if let Some(share) = held.iter().position(|held| self.is_beyond(held)) {
            return Err(Hindrance::Claims { share });
        }
        let highest = held.iter().filter_map(|held| held.highest_attempt()).max().unwrap_or(0);
        let known = u32::from(self.generation()).max(highest >> 16);
        self.generation = Some(u16::try_from(known + 1).map_err(|_| Hindrance::Worn)?);
        let lost: Vec<Slot> = self
            .slots()
            .filter(|(slot, attempt)| held.iter().any(|held| held.attempt(*slot) != Some(*attempt)))
            .map(|(slot, _)| slot)
            .collect();
        for slot in lost {
            let bits = match slot.class {
                ShareClass::Mask => &mut self.masks,
                ShareClass::Data | ShareClass::Capsule => &mut self.chunks,
            };
            bits.set(slot.index as usize, false);
            self.attempts.remove(&slot);
        }
        self.pieces.clear();
        self.sealed = None;
        if !self.can_be_named() {
            return Err(Hindrance::Worn);
        }
        let ends = held.iter().map(|held| held.end(ShareClass::Data)).enumerate();
        if let Some((share, sent)) = ends.max_by_key(|(_, end)| *end) {
            self.admitted = self.admitted.max(sent);
            if !self.can_be_named() {
                return Err(Hindrance::Claims { share });
            }
        }
        Ok(self)
    }

    /// Whether a commit can name all attempts that are not 0, as far as can be foreseen.
    fn can_be_named(&self) -> bool {
        let in_doubt = self.admitted.min(self.planned.chunk_count()) as usize;
        let in_doubt = in_doubt.saturating_sub(self.chunks.count_ones());
        let named = self.attempts.len() + in_doubt + self.planned.mask_count() as usize;
        named + ATTEMPTS_SPARE <= ATTEMPTS_MAX
    }

    /// Whether a site claims more than was ever planned for it, or generations that no older copy
    /// of this journal explains.
    fn is_beyond(&self, held: &Held) -> bool {
        let generation = held.highest_attempt().map_or(0, |attempt| attempt >> 16);
        held.end(ShareClass::Data) > self.planned.chunk_count()
            || held.end(ShareClass::Mask) > u64::from(self.planned.mask_count())
            || generation > u32::from(self.generation()) + GENERATIONS_AHEAD_MAX
    }

    /// The attempt with which a slot that is not done begins: later than any that may have reached
    /// anyone.
    pub(crate) fn first_attempt(&self, slot: Slot) -> u32 {
        let never_sent = slot.class == ShareClass::Data && slot.index >= self.admitted;
        if never_sent { 0 } else { u32::from(self.generation()) << 16 }
    }
}
