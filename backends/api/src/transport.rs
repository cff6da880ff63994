//! How bytes reach a site and come back: a stream, in order, whole or failed.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What one direction of a [`memory_pair`] holds before `send` waits, in bytes.
pub const MEMORY_CAPACITY_BYTES: usize = 8 << 20;

/// Why bytes did not go through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The other end is gone, or an earlier call failed.
    #[error("the connection is closed")]
    Closed,
    /// The network failed.
    #[error("the connection failed: {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The deadline or a timeout passed. The other end may have got any part of what was sent.
    #[error("the connection timed out")]
    TimedOut,
}

/// A connection that carries bytes in order.
///
/// After any error the position in the stream is lost, so every later call answers
/// [`TransportError::Closed`].
pub trait Transport: Send {
    /// Sends all of `parts`, one after the other, as one run of bytes. `Ok` says that they were
    /// handed on, not that they arrived.
    ///
    /// # Errors
    /// [`TransportError`]; the other end may have got any part.
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), TransportError>;

    /// Fills `target` exactly. After an error its contents are unspecified.
    ///
    /// # Errors
    /// [`TransportError`]; `Closed` also where the stream ends before `target` is full.
    fn receive(&mut self, target: &mut [u8]) -> Result<(), TransportError>;

    /// Sets the moment after which `send` and `receive` give up; `None`: they follow the
    /// transport's own timeouts alone. A deadline that has passed lets nothing through.
    fn set_deadline(&mut self, deadline: Option<Instant>);
}

/// Two ends of a connection inside one process. Dropping one closes the other, which still
/// receives what was sent before.
#[must_use]
pub fn memory_pair() -> (MemoryTransport, MemoryTransport) {
    let there = Arc::new(Pipe::default());
    let back = Arc::new(Pipe::default());
    let end = |outgoing: &Arc<Pipe>, incoming: &Arc<Pipe>| MemoryTransport {
        outgoing: Arc::clone(outgoing),
        incoming: Arc::clone(incoming),
        deadline: None,
        failed: false,
    };
    (end(&there, &back), end(&back, &there))
}

/// One end of a [`memory_pair`].
pub struct MemoryTransport {
    outgoing: Arc<Pipe>,
    incoming: Arc<Pipe>,
    deadline: Option<Instant>,
    failed: bool,
}

impl MemoryTransport {
    fn once_failed<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        if self.failed {
            return Err(TransportError::Closed);
        }
        let outcome = work(self);
        self.failed = outcome.is_err();
        outcome
    }
}

impl Transport for MemoryTransport {
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), TransportError> {
        self.once_failed(|end| {
            parts.iter().try_for_each(|part| end.outgoing.push(part, end.deadline))
        })
    }

    fn receive(&mut self, target: &mut [u8]) -> Result<(), TransportError> {
        self.once_failed(|end| end.incoming.pull(target, end.deadline))
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.outgoing.close();
        self.incoming.close();
    }
}

/// One direction.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    closed: bool,
}

impl Pipe {
    fn push(&self, mut part: &[u8], deadline: Option<Instant>) -> Result<(), TransportError> {
        let mut state = self.state();
        check_deadline(deadline)?;
        while !part.is_empty() {
            if state.closed {
                return Err(TransportError::Closed);
            }
            let room = MEMORY_CAPACITY_BYTES - state.bytes.len();
            if room == 0 {
                state = self.wait(state, deadline)?;
                continue;
            }
            let (now, later) = part.split_at(room.min(part.len()));
            state.bytes.extend(now);
            part = later;
            self.changed.notify_all();
        }
        Ok(())
    }

    fn pull(&self, target: &mut [u8], deadline: Option<Instant>) -> Result<(), TransportError> {
        let mut state = self.state();
        check_deadline(deadline)?;
        let mut filled = 0;
        while filled < target.len() {
            if state.bytes.is_empty() {
                if state.closed {
                    return Err(TransportError::Closed);
                }
                state = self.wait(state, deadline)?;
                continue;
            }
            let now = state.bytes.len().min(target.len() - filled);
            let taken = state.bytes.drain(..now);
            target[filled..filled + now].iter_mut().zip(taken).for_each(|(to, byte)| *to = byte);
            filled += now;
            self.changed.notify_all();
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, PipeState>,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'a, PipeState>, TransportError> {
        let Some(deadline) = deadline else {
            return Ok(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TransportError::TimedOut);
        }
        let waited = self.changed.wait_timeout(state, left);
        Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

fn check_deadline(deadline: Option<Instant>) -> Result<(), TransportError> {
    match deadline {
        Some(deadline) if Instant::now() >= deadline => Err(TransportError::TimedOut),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn parts_arrive_as_one_run_in_both_directions() {
        let (mut left, mut right) = memory_pair();
        left.send(&[b"head", b"", b"body"]).unwrap();
        right.send(&[b"ok"]).unwrap();
        let mut target = [0; 8];
        right.receive(&mut target[..3]).unwrap();
        right.receive(&mut target[3..]).unwrap();
        assert_eq!(&target, b"headbody");
        left.receive(&mut target[..2]).unwrap();
        assert_eq!(&target[..2], b"ok");
    }

    #[test]
    fn more_than_fits_flows_through_while_the_other_end_reads() {
        let (mut left, mut right) = memory_pair();
        let sent: Vec<u8> = (0..MEMORY_CAPACITY_BYTES * 2 + 7).map(|at| (at % 251) as u8).collect();
        let mut received = vec![0; sent.len()];
        thread::scope(|scope| {
            scope.spawn(|| left.send(&[&sent]).unwrap());
            right.receive(&mut received).unwrap();
        });
        assert!(sent == received);
    }

    #[test]
    fn a_dropped_end_lets_the_rest_be_read_and_then_is_closed() {
        let (mut left, mut right) = memory_pair();
        left.send(&[b"last"]).unwrap();
        drop(left);
        let mut target = [0; 4];
        right.receive(&mut target).unwrap();
        assert!(matches!(right.receive(&mut target), Err(TransportError::Closed)));
        let (left, mut right) = memory_pair();
        drop(left);
        assert!(matches!(right.send(&[b"x"]), Err(TransportError::Closed)));
    }

    #[test]
    fn a_deadline_ends_waiting_and_the_transport() {
        let (mut left, mut right) = memory_pair();
        right.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
        left.send(&[b"ab"]).unwrap();
        let mut target = [0; 3];
        assert!(matches!(right.receive(&mut target), Err(TransportError::TimedOut)));
        right.set_deadline(None);
        left.send(&[b"c"]).unwrap();
        assert!(matches!(right.receive(&mut target), Err(TransportError::Closed)));
        left.set_deadline(Some(Instant::now()));
        assert!(matches!(left.send(&[b"x"]), Err(TransportError::TimedOut)));
    }

    #[test]
    fn a_full_pipe_times_out() {
        let (mut left, _right) = memory_pair();
        left.send(&[&vec![0; MEMORY_CAPACITY_BYTES]]).unwrap();
        left.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
        assert!(matches!(left.send(&[b"x"]), Err(TransportError::TimedOut)));
    }
}
