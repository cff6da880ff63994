//! The gateway's own random numbers, drawn from the `random` pool under leases.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_core::{Kept, KeyClass};
use warifu_keystore::{Claim, KeyError, Lease};
use zeroize::Zeroizing;

/// Adds to what is leased, so that a message of this many bytes fits in one piece.
pub type Refill = Box<dyn FnMut(&mut Vec<Lease>, u64) -> Result<(), KeyError> + Send>;

/// Leases of the `random` pool that the lanes of one object share. More is leased when it is
/// needed: how much an object takes is not known before it is compressed.
#[derive(Clone)]
pub struct RandomSource {
    state: Arc<Mutex<State>>,
}

struct State {
    leases: Vec<Lease>,
    /// `None` once it was released, or where there is no more.
    refill: Option<Refill>,
    drawn_bytes: u64,
    class: KeyClass,
}

impl RandomSource {
    /// Draws from `leases`, and from what `refill` adds to them.
    #[must_use]
    pub fn new(leases: Vec<Lease>, refill: Option<Refill>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                leases,
                refill,
                drawn_bytes: 0,
                class: KeyClass::InformationTheoretic,
            })),
        }
    }

    /// Bytes drawn so far.
    #[must_use]
    pub fn drawn_bytes(&self) -> u64 {
        self.lock().drawn_bytes
    }

    /// The worst class of what was drawn so far.
    #[must_use]
    pub fn class(&self) -> KeyClass {
        self.lock().class
    }

    /// `bytes` random bytes for one use.
    ///
    /// # Errors
    /// Where the leases hold fewer in one piece and no more can be had.
    pub fn draw(&self, bytes: usize) -> Result<Kept, KeyError> {
        let wanted = bytes as u64;
        // Others draw while this is read.
        let pad = self.claim(wanted)?.read()?;
        let mut state = self.lock();
        state.drawn_bytes += wanted;
        state.class = state.class.max(pad.class());
        let (_, key) = pad.into_parts();
        Ok(Kept::tail(key, 0))
    }

    fn claim(&self, wanted: u64) -> Result<Claim, KeyError> {
        let mut state = self.lock();
        let State { leases, refill, .. } = &mut *state;
        if longest(leases) < wanted
            && let Some(refill) = refill
        {
            refill(leases, wanted)?;
        }
        let left = longest(leases);
        let fitting = leases.iter_mut().find(|lease| lease.left_in_one_piece() >= wanted);
        fitting.ok_or(KeyError::LeaseEmpty { wanted, left })?.claim(wanted)
    }

    /// Sixteen random bytes for one use.
    ///
    /// # Errors
    /// Where the lease holds fewer.
    pub fn block(&self) -> Result<Zeroizing<[u8; 16]>, KeyError> {
        let drawn = self.draw(16)?;
        let mut block = Zeroizing::new([0; 16]);
        block.copy_from_slice(&drawn);
        Ok(block)
    }

    /// The leases with what was not drawn of them. Nothing can be drawn any more, by whoever shares
    /// this source.
    #[must_use]
    pub fn take_rest(&self) -> Vec<Lease> {
        let mut state = self.lock();
        state.refill = None;
        std::mem::take(&mut state.leases)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn longest(leases: &[Lease]) -> u64 {
    leases.iter().map(Lease::left_in_one_piece).max().unwrap_or(0)
}
