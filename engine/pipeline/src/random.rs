//! The gateway's own random numbers, drawn from the `random` pool under one lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_core::{Kept, KeyClass, KeyRange};
use warifu_keystore::{KeyError, Lease};
use zeroize::Zeroizing;

/// A lease of the `random` pool that the lanes of one object share.
#[derive(Clone)]
pub struct RandomSource {
    state: Arc<Mutex<State>>,
}

struct State {
    /// `None` once it was released.
    lease: Option<Lease>,
    drawn_bytes: u64,
    class: KeyClass,
}

impl RandomSource {
    /// Draws from `lease`.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                lease: Some(lease),
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
    /// Where the lease holds fewer.
    pub fn draw(&self, bytes: usize) -> Result<Kept, KeyError> {
        let mut state = self.lock();
        let lease = state.lease.as_mut();
        let lease = lease.ok_or(KeyError::LeaseEmpty { wanted: bytes as u64, left: 0 })?;
        let pad = lease.take(bytes as u64)?;
        state.drawn_bytes += bytes as u64;
        state.class = state.class.max(pad.class());
        let (_, key) = pad.into_parts();
        Ok(Kept::tail(key, 0))
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

    /// Durably gives up what was not drawn, and tells which positions that is. Nothing can be drawn
    /// any more, by whoever shares this source.
    ///
    /// # Errors
    /// Where the ledger can't be written; the rest is then burned.
    pub fn release(&self) -> Result<Vec<KeyRange>, KeyError> {
        let lease = self.lock().lease.take();
        lease.map_or(Ok(Vec::new()), Lease::release)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
