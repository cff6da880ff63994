//! How long a connection waits.

use std::time::Duration;

/// Limits on single waits. They bound each step, not a whole message: a peer that sends a byte
/// now and then is ended by [`warifu_backend::Transport::set_deadline`] alone.
///
/// A zero is no wait at all, so that the call times out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For `connect`, all addresses of the name together (the look-up of the name aside).
    pub connect: Duration,
    /// For the next bytes to arrive.
    pub read: Duration,
    /// For the next bytes to be taken by the network.
    pub write: Duration,
}

impl Default for Timeouts {
    /// 10 seconds to connect, 30 for each step of reading and writing.
    fn default() -> Self {
        let step = Duration::from_secs(30);
        Self { connect: Duration::from_secs(10), read: step, write: step }
    }
}
