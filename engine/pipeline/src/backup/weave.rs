//! The step machine of a backup: which pads to draw, when to compute, what to send again.
//!
//! It has no thread, clock or connection. A driver tells it what happened and carries out the
//! [`Order`]s that it answers; so the same machine runs on threads and in a simulation.
//!
//! A chunk is *admitted* with its payload, its pads are *drawn* at the pad lanes, the computed
//! shares are made and *stored*, and when all lanes have *acknowledged* it, it is forgotten. A
//! chunk in doubt is *redrawn*: the next attempt begins from its payload with fresh pads at every
//! lane, since the old ones may have been seen.

use std::collections::BTreeMap;
use warifu_buffers::Block;
use warifu_core::sharing::SplitPlan;
use warifu_core::{Kept, Role};
use warifu_kernels::{Isa, dot};
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

/// What a driver must do next at one lane.
pub enum Order {
    /// Draw `bytes` of pad as the share of `slot` and give them to [`Weaver::drawn`].
    Draw {
        /// Which lane.
        lane: usize,
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
        /// Length of the share in bytes.
        bytes: usize,
    },
    /// Lay down an audit mask, drawn by the lane itself.
    Mask {
        /// Which lane.
        lane: usize,
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
    },
    /// Store the share in `frame`, a frame's buffer with the content at [`CONTENT_OFFSET`].
    Store {
        /// Which lane.
        lane: usize,
        /// Which slot.
        slot: Slot,
        /// Which attempt at it.
        attempt: u32,
        /// The frame's buffer.
        frame: Block,
    },
}

impl Order {
    /// The lane that must carry it out.
    #[must_use]
    pub fn lane(&self) -> usize {
        match self {
            Self::Draw { lane, .. } | Self::Mask { lane, .. } | Self::Store { lane, .. } => *lane,
        }
    }

    /// The slot and attempt that it is about.
    #[must_use]
    pub fn about(&self) -> (Slot, u32) {
        match self {
            Self::Draw { slot, attempt, .. }
            | Self::Mask { slot, attempt, .. }
            | Self::Store { slot, attempt, .. } => (*slot, *attempt),
        }
    }
}

/// A chunk on its way.
struct Underway {
    payload: Block,
    attempt: u32,
    pads: Vec<Option<Kept>>,
    waiting: Vec<bool>,
}

/// The step machine. Lanes are numbered as in the plan, by ascending x.
pub struct Weaver {
    isa: Isa,
    split: SplitPlan,
    roles: Vec<Role>,
    underway: BTreeMap<Slot, Underway>,
    attempts: BTreeMap<Slot, u32>,
}

impl Weaver {
    /// A machine for lanes with these roles; `split` has the pad lanes and the computed lanes in
    /// lane order.
    #[must_use]
    pub fn new(isa: Isa, split: SplitPlan, roles: Vec<Role>) -> Self {
        Self { isa, split, roles, underway: BTreeMap::new(), attempts: BTreeMap::new() }
    }

    /// Number of chunks on their way.
    #[must_use]
    pub fn underway(&self) -> usize {
        self.underway.len()
    }

    /// The attempt of every slot that needed more than one, ascending.
    #[must_use]
    pub fn attempts(&self) -> &BTreeMap<Slot, u32> {
        &self.attempts
    }

    /// Takes up a slot with its payload; a mask has an empty one, every lane draws its own.
    ///
    /// # Panics
    /// Where the slot was taken up before.
    pub fn admit(&mut self, slot: Slot, payload: Block) -> Vec<Order> {
        let lanes = self.roles.len();
        let pads = (0..self.pad_lanes().count()).map(|_| None).collect();
        let waiting = vec![true; lanes];
        let before = self.underway.insert(slot, Underway { payload, attempt: 0, pads, waiting });
        assert!(before.is_none(), "{slot:?} was admitted twice");
        self.draw_orders(slot)
    }

    /// A pad lane has drawn its share; the first bytes of `pad` are the content. The answer holds
    /// the computed shares once the last pad is there.
    pub fn drawn(&mut self, lane: usize, slot: Slot, attempt: u32, pad: Kept) -> Vec<Order> {
        let position = self.pad_lanes().position(|pad_lane| pad_lane == lane);
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        let (Some(position), true) = (position, underway.attempt == attempt) else {
            return Vec::new();
        };
        underway.pads[position] = Some(pad);
        match underway.pads.iter().all(Option::is_some) {
            true => self.store_orders(slot),
            false => Vec::new(),
        }
    }

    /// A lane holds its share of `slot`. True when all lanes do and the slot is done.
    pub fn acknowledged(&mut self, lane: usize, slot: Slot, attempt: u32) -> bool {
        let Some(underway) = self.underway.get_mut(&slot) else { return false };
        if underway.attempt != attempt {
            return false;
        }
        underway.waiting[lane] = false;
        let done = !underway.waiting.iter().any(|waits| *waits);
        if done {
            self.underway.remove(&slot);
        }
        done
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
        underway.waiting.fill(true);
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
        let underway = &self.underway[&slot];
        let (attempt, bytes) = (underway.attempt, underway.payload.len());
        if slot.class == ShareClass::Mask {
            let lanes = 0..self.roles.len();
            return lanes.map(|lane| Order::Mask { lane, slot, attempt }).collect();
        }
        self.pad_lanes().map(|lane| Order::Draw { lane, slot, attempt, bytes }).collect()
    }

    /// Makes the computed shares, straight into the buffers of their frames.
    fn store_orders(&mut self, slot: Slot) -> Vec<Order> {
        let lanes: Vec<usize> = self.lanes_of(Role::Computed).collect();
        let Some(underway) = self.underway.get_mut(&slot) else { return Vec::new() };
        let bytes = underway.payload.len();
        let mut frames: Vec<Block> = lanes.iter().map(|_| frame_for(bytes)).collect();
        {
            let pads: Vec<Kept> = underway.pads.iter_mut().filter_map(Option::take).collect();
            let sources: Vec<&[u8]> = std::iter::once(&underway.payload[..])
                .chain(pads.iter().map(|pad| &pad[..bytes]))
                .collect();
            let mut targets: Vec<&mut [u8]> = frames
                .iter_mut()
                .map(|frame| &mut frame[CONTENT_OFFSET..CONTENT_OFFSET + bytes])
                .collect();
            dot(self.isa, self.split.matrix(), &mut targets, &sources);
        }
        let attempt = underway.attempt;
        let stores = lanes.into_iter().zip(frames);
        stores.map(|(lane, frame)| Order::Store { lane, slot, attempt, frame }).collect()
    }
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

    const SLOT: Slot = Slot { class: ShareClass::Data, index: 0 };

    fn weaver() -> Weaver {
        let x = |x| XCoord::new(x).unwrap();
        let split =
            SplitPlan::new(Threshold::new(3, 5).unwrap(), &[x(1), x(3)], &[x(2), x(4), x(5)]);
        let roles = [Role::Pad, Role::Computed, Role::Pad, Role::Computed, Role::Computed];
        Weaver::new(Isa::best(), split.unwrap(), roles.to_vec())
    }

    fn pad(seed: u8) -> Kept {
        Kept::tail(Block::copy_of(&[seed; 64]), 0)
    }

    fn draws(orders: &[Order]) -> Vec<(usize, u32)> {
        orders
            .iter()
            .map(|order| match order {
                Order::Draw { lane, attempt, bytes: 48, slot: SLOT } => (*lane, *attempt),
                _ => panic!("expected a draw of 48 bytes"),
            })
            .collect()
    }

    #[test]
    fn shares_are_made_when_the_last_pad_is_there() {
        let mut weaver = weaver();
        let orders = weaver.admit(SLOT, Block::copy_of(&[9; 48]));
        assert_eq!(draws(&orders), [(0, 0), (2, 0)]);
        assert!(weaver.drawn(2, SLOT, 0, pad(33)).is_empty());
        let stores = weaver.drawn(0, SLOT, 0, pad(11));
        assert_eq!(stores.len(), 3);
        let x = |x| XCoord::new(x).unwrap();
        for order in stores {
            let Order::Store { lane, attempt: 0, frame, .. } = order else { panic!() };
            let row = join_matrix(&[x(1), x(3), x(lane as u8 + 1)]).unwrap();
            let mut secret = [0; 48];
            let share = &frame[CONTENT_OFFSET..CONTENT_OFFSET + 48];
            dot(Isa::best(), &row, &mut [&mut secret], &[&[11; 48], &[33; 48], share]);
            assert_eq!(secret, [9; 48]);
        }
        assert!((0..4).all(|lane| !weaver.acknowledged(lane, SLOT, 0)));
        assert!(weaver.acknowledged(4, SLOT, 0));
        assert_eq!(weaver.underway(), 0);
    }

    #[test]
    fn a_redrawn_chunk_takes_no_pad_of_the_attempt_before() {
        let mut weaver = weaver();
        weaver.admit(SLOT, Block::copy_of(&[9; 48]));
        assert!(weaver.drawn(0, SLOT, 0, pad(11)).is_empty());
        assert_eq!(draws(&weaver.redraw(SLOT, 0)), [(0, 1), (2, 1)]);
        assert!(weaver.redraw(SLOT, 0).is_empty(), "the same doubt told twice");
        assert!(weaver.drawn(2, SLOT, 0, pad(33)).is_empty(), "a pad of attempt 0 came late");
        assert!(weaver.drawn(2, SLOT, 1, pad(34)).is_empty());
        assert_eq!(weaver.drawn(0, SLOT, 1, pad(12)).len(), 3);
        assert!((0..5).all(|lane| !weaver.acknowledged(lane, SLOT, 0)), "late receipts");
        assert!((0..4).all(|lane| !weaver.acknowledged(lane, SLOT, 1)));
        assert!(weaver.acknowledged(4, SLOT, 1));
        assert_eq!(weaver.attempts().get(&SLOT), Some(&1));
    }
}
