//! The gateway's own random numbers, drawn from the `random` pool under one lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_core::{Kept, KeyClass};
use warifu_keystore::{KeyError, Lease};

/// A lease of the `random` pool that the lanes of one object share.
#[derive(Clone)]
pub struct RandomSource {
    state: Arc<Mutex<State>>,
}

struct State {
    lease: Lease,
    drawn_bytes: u64,
}

impl RandomSource {
    /// Draws from `lease`.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        Self { state: Arc::new(Mutex::new(State { lease, drawn_bytes: 0 })) }
    }

    /// Bytes drawn so far.
    #[must_use]
    pub fn drawn_bytes(&self) -> u64 {
        self.lock().drawn_bytes
    }

    /// `bytes` random bytes for one use, and what is claimed of them.
    ///
    /// # Errors
    /// Where the lease holds fewer.
    pub fn draw(&self, bytes: usize) -> Result<(Kept, KeyClass), KeyError> {
        let mut state = self.lock();
        let pad = state.lease.take(bytes as u64)?;
        state.drawn_bytes += bytes as u64;
        let class = pad.class();
        let (_, key) = pad.into_parts();
        Ok((Kept::tail(key, 0), class))
    }

    /// Sixteen random bytes for one use.
    ///
    /// # Errors
    /// Where the lease holds fewer.
    pub fn block(&self) -> Result<[u8; 16], KeyError> {
        let (drawn, _) = self.draw(16)?;
        let mut block = [0; 16];
        block.copy_from_slice(&drawn);
        Ok(block)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
