//! Reading ahead: the chunks of a payload are read and digested while those before them are split
//! and stored.

use super::PayloadSource;
use crate::driver::Driver;
use crossbeam_channel::bounded;
use std::io::{self, Read};
use warifu_buffers::Block;

/// Chunks that wait for their turn at most, besides the one being read.
pub const READ_AHEAD: usize = 1;

/// A chunk, and how far the source had been read with it.
pub struct Ahead {
    /// The chunk.
    pub chunk: Block,
    /// Bytes of the stream up to its end.
    pub data_bytes: u64,
    /// Bytes of the payload up to its end.
    pub payload_bytes: u64,
}

impl<R: Read + Send> PayloadSource<R> {
    /// Does `work`, which takes the chunks one after the other: as
    /// [`next_chunk`](Self::next_chunk) gives them, but read ahead by another thread where the
    /// driver has threads. What `work` leaves is read no further, but for what is being read then.
    ///
    /// # Panics
    /// Where reading panics.
    pub fn ahead<T>(
        &mut self,
        driver: &Driver,
        work: impl FnOnce(&mut dyn FnMut() -> io::Result<Option<Ahead>>) -> T,
    ) -> T {
        match driver {
            Driver::Steps(_) => work(&mut || self.next_ahead()),
            Driver::Threads => std::thread::scope(|scope| {
                let (chunks, read) = bounded(READ_AHEAD);
                scope.spawn(move || {
                    loop {
                        let next = self.next_ahead();
                        let is_last = !matches!(next, Ok(Some(_)));
                        if chunks.send(next).is_err() || is_last {
                            return;
                        }
                    }
                });
                work(&mut move || read.recv().unwrap_or_else(|_| Err(is_over())))
            }),
        }
    }

    fn next_ahead(&mut self) -> io::Result<Option<Ahead>> {
        let chunk = self.next_chunk()?;
        let (data_bytes, payload_bytes) = (self.data_bytes(), self.payload_bytes());
        Ok(chunk.map(|chunk| Ahead { chunk, data_bytes, payload_bytes }))
    }
}

/// Asked for more after the end, or the reading thread panicked, which the scope tells on.
fn is_over() -> io::Error {
    io::Error::other("nothing more is read")
}
