//! The step machine of a backup: which pads to draw, when to compute, what to send again.
//!
//! It has no thread, clock or connection. A driver tells it what happened and carries out the
//! [`Order`]s that it answers; so the same machine runs on threads and in a simulation.
//!
//! A chunk is *admitted* with its payload under a first attempt, its pads are *drawn* at the pad
//! lanes, the computed shares are *made* and *stored*, and when all lanes have *acknowledged* it,
//! it is forgotten. A chunk in doubt is *redrawn*: the next attempt begins from its payload with
//! fresh pads at every lane, since the old ones may have been seen. What is computed is handed out
//! as a [`Split`], so that a driver may have it done beside everything else.

use super::lane::Receipt;
use std::collections::BTreeMap;
use std::sync::Arc;
use warifu_buffers::Block;
use warifu_core::sharing::SplitPlan;
use warifu_core::{Kept, Role};
use warifu_kernels::{Isa, Write, dot_into};
use warifu_link::{FRAME_HEADER_BYTES, MESSAGE_HEADER_BYTES, ShareClass, TAG_BYTES};

/// Where the content stands in a frame's buffer.
pub const CONTENT_OFFSET: usize = FRAME_HEADER_BYTES + MESSAGE_HEADER_BYTES;

/// One thing that every share holds: a data chunk, a mask, or a piece of the capsule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Slot {
    /// What it is.
    pub class: ShareClass,
    /// Which one of its class.
    pub index: u64,
}

/// A slot that is to be brought to all lanes.
pub struct Admission {
    /// Which.
    pub slot: Slot,
    /// The attempt to begin with: later than any that may have reached anyone.
    pub attempt: u32,
    /// The payload; empty for a mask, every lane draws its own.
    pub payload: Block,
}

/// A slot that all lanes hold.
pub struct Finished {
    /// Which.
    pub slot: Slot,
    /// The attempt that they hold.
    pub attempt: u32,
    /// What each lane said, in lane order.
    pub receipts: Vec<Receipt>,
}

/// What a driver must do next.
pub enum Order {
    /// Make the computed shares of a slot, anywhere, and give what comes of it to
    /// [`Weaver::made`].
    Split(Box<Split>),
    /// Carry out a task at one lane.
    At {
        /// Which lane.
        lane: usize,
        /// What to do there.
        task: Task,
    },
}

/// What is to be done at a lane.
pub enum Task {
    /// Draw `bytes` of pad as the share of `slot` and give them to [`Weaver::drawn`].
    Draw {
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
        /// Length of the share in bytes.
        bytes: usize,
    },
    /// Lay down an audit mask, drawn by the lane itself.
    Mask {
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
    },
    /// Store the share in `frame`, a frame's buffer with the content at [`CONTENT_OFFSET`].
    Store {
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
        /// The frame's buffer.
        frame: Block,
    },
}

impl Task {
    /// The slot and attempt that it is about.
    #[must_use]
    pub fn about(&self) -> (Slot, u32) {
        match self {
            Self::Draw { slot, attempt, .. }
            | Self::Mask { slot, attempt }
            | Self::Store { slot, attempt, .. } => (*slot, *attempt),
        }
    }
}

/// The payload and the pads of a slot, to be made into its computed shares.
pub struct Split {
    isa: Isa,
    plan: Arc<SplitPlan>,
    slot: Slot,
    attempt: u32,
    payload: Block,
    /// In lane order.
    pads: Vec<Kept>,
}

/// The computed shares of a slot.
pub struct Made {
    slot: Slot,
    attempt: u32,
    payload: Block,
    /// In lane order, each in the buffer of its frame.
    frames: Vec<Block>,
}

impl Split {
    /// Makes the computed shares, straight into the buffers of their frames. The pads are gone
    /// then. It takes time by the length of the payload, and nothing else.
    #[must_use]
    pub fn make(self) -> Made {
        let Self { isa, plan, slot, attempt, payload, pads } = self;
        let bytes = payload.len();
        let mut frames: Vec<Block> = (0..plan.matrix().rows()).map(|_| frame_for(bytes)).collect();
        let sources: Vec<&[u8]> =
            std::iter::once(&payload[..]).chain(pads.iter().map(|pad| &pad[..bytes])).collect();
        let mut targets: Vec<&mut [u8]> = frames
            .iter_mut()
            .map(|frame| &mut frame[CONTENT_OFFSET..CONTENT_OFFSET + bytes])
            .collect();
        dot_into(isa, plan.matrix(), &mut targets, &sources, Write::Cached);
        Made { slot, attempt, payload, frames }
    }
}

/// A chunk on its way.
struct Underway {
    /// `None` while its shares are being made.
    payload: Option<Block>,
    /// Bytes of payload, hence of each share.
    bytes: usize,
    attempt: u32,
    pads: Vec<Option<Kept>>,
    receipts: Vec<Option<Receipt>>,
}

/// The step machine. Lanes are numbered as in the plan, by ascending x.
pub struct Weaver {
    isa: Isa,
    split: Arc<SplitPlan>,
    roles: Vec<Role>,
    underway: BTreeMap<Slot, Underway>,
    attempts: BTreeMap<Slot, u32>,
}

impl Weaver {
    /// A machine for lanes with these roles; `split` has the pad lanes and the computed lanes in
    /// lane order.
    #[must_use]
    pub fn new(isa: Isa, split: SplitPlan, roles: Vec<Role>) -> Self {
        let (underway, attempts) = (BTreeMap::new(), BTreeMap::new());
        Self { isa, split: Arc::new(split), roles, underway, attempts }
    }

    /// Number of chunks on their way.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.underway.len()
    }

    /// The attempt of every slot where it is not 0, ascending.
    #[must_use]
    pub fn attempts(&self) -> &BTreeMap<Slot, u32> {
        &self.attempts
    }

    /// Counts a slot that all lanes have held since before.
    pub fn take_up(&mut self, slot: Slot, attempt: u32) {
        if attempt > 0 {
            self.attempts.insert(slot, attempt);
        }
    }

    /// Takes a slot in hand.
    ///
    /// # Panics
    /// Where the slot was admitted before.
    pub fn admit(&mut self, admission: Admission) -> Vec<Order> {
        let Admission { slot, attempt, payload } = admission;
        let pads = (0..self.pad_lanes().count()).map(|_| None).collect();
        let receipts = self.roles.iter().map(|_| None).collect();
        let (bytes, payload) = (payload.len(), Some(payload));
        let admitted = Underway { payload, bytes, attempt, pads, receipts };
        let before = self.underway.insert(slot, admitted);
        assert!(before.is_none(), "{slot:?} was admitted twice");
        self.take_up(slot, attempt);
        self.draw_orders(slot)
    }

    /// A pad lane has drawn its share; the first bytes of `pad` are the content. The answer is to
    /// split once the last pad is there.
    pub fn drawn(&mut self, lane: usize, slot: Slot, attempt: u32, pad: Kept) -> Vec<Order> {
        let position = self.pad_lanes().position(|pad_lane| pad_lane == lane);
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        let (Some(position), true) = (position, underway.attempt == attempt) else {
            return Vec::new();
        };
        underway.pads[position] = Some(pad);
        self.split_order(slot)
    }

    /// The computed shares of a slot are made: they are to be stored, unless the slot was redrawn
    /// meanwhile.
    pub fn made(&mut self, made: Made) -> Vec<Order> {
        let Made { slot, attempt, payload, frames } = made;
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        underway.payload = Some(payload);
        if underway.attempt != attempt {
            return self.split_order(slot);
        }
        let stores = self.lanes_of(Role::Computed).zip(frames);
        stores.map(|(lane, frame)| at(lane, Task::Store { slot, attempt, frame })).collect()
    }

    /// A lane holds its share of a slot; the slot, once all lanes do.
    pub fn acknowledged(&mut self, lane: usize, receipt: Receipt) -> Option<Finished> {
        let Receipt { slot, attempt, .. } = receipt;
        let underway = self.underway.get_mut(&slot)?;
        if underway.attempt != attempt {
            return None;
        }
        underway.receipts[lane] = Some(receipt);
        if underway.receipts.iter().any(Option::is_none) {
            return None;
        }
        let receipts = self.underway.remove(&slot)?.receipts.into_iter().flatten().collect();
        Some(Finished { slot, attempt, receipts })
    }

    /// A slot may have reached someone and its fate is not known: draws it anew everywhere. A
    /// message about an attempt that is already superseded changes nothing.
    pub fn redraw(&mut self, slot: Slot, attempt: u32) -> Vec<Order> {
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        if underway.attempt != attempt {
            return Vec::new();
        }
        underway.attempt += 1;
        underway.pads.iter_mut().for_each(|pad| *pad = None);
        underway.receipts.fill(None);
        self.attempts.insert(slot, underway.attempt);
        self.draw_orders(slot)
    }

    fn pad_lanes(&self) -> impl Iterator<Item = usize> + '_ {
        self.lanes_of(Role::Pad)
    }

    fn lanes_of(&self, role: Role) -> impl Iterator<Item = usize> + '_ {
        (0..self.roles.len()).filter(move |&lane| self.roles[lane] == role)
    }

    fn draw_orders(&self, slot: Slot) -> Vec<Order> {
        let Underway { attempt, bytes, .. } = self.underway[&slot];
        if slot.class == ShareClass::Mask {
            let lanes = 0..self.roles.len();
            return lanes.map(|lane| at(lane, Task::Mask { slot, attempt })).collect();
        }
        self.pad_lanes().map(|lane| at(lane, Task::Draw { slot, attempt, bytes })).collect()
    }

    /// The order to split, where all pads of a slot are there, and its payload: an attempt before
    /// may still be at it.
    fn split_order(&mut self, slot: Slot) -> Vec<Order> {
        let (isa, plan) = (self.isa, self.split.clone());
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        if underway.pads.iter().any(Option::is_none) {
            return Vec::new();
        }
        let Some(payload) = underway.payload.take() else { return Vec::new() };
        let pads = underway.pads.iter_mut().filter_map(Option::take).collect();
        let attempt = underway.attempt;
        vec![Order::Split(Box::new(Split { isa, plan, slot, attempt, payload, pads }))]
    }
}

const fn at(lane: usize, task: Task) -> Order {
    Order::At { lane, task }
}

/// The buffer of a frame for `bytes` of content, which stands on a page.
fn frame_for(bytes: usize) -> Block {
    Block::aligned_at(CONTENT_OFFSET + bytes + TAG_BYTES, CONTENT_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_core::sharing::join_matrix;
    use warifu_core::{Threshold, XCoord};
    use warifu_kernels::dot;

    const SLOT: Slot = Slot { class: ShareClass::Data, index: 0 };

    fn weaver() -> Weaver {
        let x = |x| XCoord::new(x).unwrap();
        let split =
            SplitPlan::new(Threshold::new(3, 5).unwrap(), &[x(1), x(3)], &[x(2), x(4), x(5)]);
        let roles = [Role::Pad, Role::Computed, Role::Pad, Role::Computed, Role::Computed];
        Weaver::new(Isa::best(), split.unwrap(), roles.to_vec())
    }

    fn admission(attempt: u32) -> Admission {
        Admission { slot: SLOT, attempt, payload: Block::copy_of(&[9; 48]) }
    }

    fn receipt(lane: usize, attempt: u32) -> Receipt {
        let spent = crate::backup::lane::Spent::default();
        Receipt { slot: SLOT, attempt, hash: [lane as u8; 16], spent }
    }

    fn pad(seed: u8) -> Kept {
        Kept::tail(Block::copy_of(&[seed; 64]), 0)
    }

    fn draws(orders: &[Order]) -> Vec<(usize, u32)> {
        orders
            .iter()
            .map(|order| match order {
                Order::At { lane, task: Task::Draw { attempt, bytes: 48, slot: SLOT } } => {
                    (*lane, *attempt)
                }
                _ => panic!("expected a draw of 48 bytes"),
            })
            .collect()
    }

    /// The one order that there is: to split.
    fn split(mut orders: Vec<Order>) -> Split {
        match (orders.pop(), orders.is_empty()) {
            (Some(Order::Split(split)), true) => *split,
            _ => panic!("expected to split"),
        }
    }

    #[test]
    fn shares_are_made_when_the_last_pad_is_there() {
        let mut weaver = weaver();
        let orders = weaver.admit(admission(0));
        assert_eq!(draws(&orders), [(0, 0), (2, 0)]);
        assert!(weaver.drawn(2, SLOT, 0, pad(33)).is_empty());
        let made = split(weaver.drawn(0, SLOT, 0, pad(11))).make();
        let stores = weaver.made(made);
        assert_eq!(stores.len(), 3);
        let x = |x| XCoord::new(x).unwrap();
        for order in stores {
            let Order::At { lane, task: Task::Store { attempt: 0, frame, .. } } = order else {
                panic!()
            };
            let row = join_matrix(&[x(1), x(3), x(lane as u8 + 1)]).unwrap();
            let mut secret = [0; 48];
            let share = &frame[CONTENT_OFFSET..CONTENT_OFFSET + 48];
            dot(Isa::best(), &row, &mut [&mut secret], &[&[11; 48], &[33; 48], share]);
            assert_eq!(secret, [9; 48]);
        }
        assert!((0..4).all(|lane| weaver.acknowledged(lane, receipt(lane, 0)).is_none()));
        let finished = weaver.acknowledged(4, receipt(4, 0)).unwrap();
        assert_eq!((finished.slot, finished.attempt), (SLOT, 0));
        let hashes: Vec<u8> = finished.receipts.iter().map(|receipt| receipt.hash[0]).collect();
        assert_eq!(hashes, [0, 1, 2, 3, 4], "in lane order");
        assert_eq!(weaver.underway(), 0);
        assert!(weaver.attempts().is_empty());
    }

    #[test]
    fn a_redrawn_chunk_takes_no_pad_of_the_attempt_before() {
        let mut weaver = weaver();
        weaver.admit(admission(0));
        assert!(weaver.drawn(0, SLOT, 0, pad(11)).is_empty());
        assert_eq!(draws(&weaver.redraw(SLOT, 0)), [(0, 1), (2, 1)]);
        assert!(weaver.redraw(SLOT, 0).is_empty(), "the same doubt told twice");
        assert!(weaver.drawn(2, SLOT, 0, pad(33)).is_empty(), "a pad of attempt 0 came late");
        assert!(weaver.drawn(2, SLOT, 1, pad(34)).is_empty());
        let made = split(weaver.drawn(0, SLOT, 1, pad(12))).make();
        assert_eq!(weaver.made(made).len(), 3);
        let late = |lane| receipt(lane, 0);
        assert!((0..5).all(|lane| weaver.acknowledged(lane, late(lane)).is_none()));
        assert!((0..4).all(|lane| weaver.acknowledged(lane, receipt(lane, 1)).is_none()));
        assert_eq!(weaver.acknowledged(4, receipt(4, 1)).unwrap().attempt, 1);
        assert_eq!(weaver.attempts().get(&SLOT), Some(&1));
    }

    #[test]
    fn shares_made_of_a_redrawn_chunk_are_stored_nowhere() {
        let mut weaver = weaver();
        weaver.admit(admission(0));
        assert!(weaver.drawn(0, SLOT, 0, pad(11)).is_empty());
        let old = split(weaver.drawn(2, SLOT, 0, pad(33)));
        assert_eq!(draws(&weaver.redraw(SLOT, 0)), [(0, 1), (2, 1)]);
        assert!(weaver.drawn(0, SLOT, 1, pad(12)).is_empty());
        assert!(weaver.drawn(2, SLOT, 1, pad(34)).is_empty(), "its payload is still with the old");
        let new = split(weaver.made(old.make()));
        assert_eq!((new.slot, new.attempt), (SLOT, 1));
        assert!(new.pads.iter().map(|pad| pad[0]).eq([12, 34]));
        assert_eq!(weaver.made(new.make()).len(), 3);
        // A doubt that comes before the new pads do finds the payload at home.
        assert_eq!(draws(&weaver.redraw(SLOT, 1)), [(0, 2), (2, 2)]);
        assert!(weaver.drawn(0, SLOT, 2, pad(13)).is_empty());
        assert_eq!(split(weaver.drawn(2, SLOT, 2, pad(35))).attempt, 2);
    }

    #[test]
    fn a_slot_in_doubt_begins_above_all_that_went_before() {
        let mut weaver = weaver();
        weaver.take_up(Slot { index: 7, ..SLOT }, 0);
        weaver.take_up(Slot { index: 8, ..SLOT }, 3);
        let generation = 2 << 16;
        assert_eq!(draws(&weaver.admit(admission(generation))), [(0, generation), (2, generation)]);
        assert_eq!(
            draws(&weaver.redraw(SLOT, generation)),
            [(0, generation + 1), (2, generation + 1)]
        );
        let named: Vec<_> = weaver.attempts().iter().map(|(slot, at)| (slot.index, *at)).collect();
        assert_eq!(named, [(0, generation + 1), (8, 3)]);
    }
}
