//! A TCP connection as a [`Transport`].

use crate::Timeouts;
use crate::error::sorted;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use warifu_backend::{Transport, TransportError};

/// A TCP connection. Small messages leave at once (`TCP_NODELAY`); dropping it closes it.
#[derive(Debug)]
pub struct TcpTransport {
    stream: TcpStream,
    timeouts: Timeouts,
    deadline: Option<Instant>,
    failed: bool,
    read_timeout_set: Option<Duration>,
    write_timeout_set: Option<Duration>,
}

impl TcpTransport {
    /// Connects to `address`, `host:port` with a name or a number as host. The addresses of a
    /// name are tried in turn.
    ///
    /// # Errors
    /// [`TransportError::TimedOut`], or [`TransportError::Io`] with what the last address said.
    pub fn connect(address: &str, timeouts: Timeouts) -> Result<Self, TransportError> {
        let give_up = Instant::now().checked_add(timeouts.connect);
        let addresses =
            address.to_socket_addrs().map_err(|error| sorted("look up the address", error))?;
        let nowhere = io::Error::new(ErrorKind::NotFound, "the name has no address");
        let mut failure = TransportError::Io { what: "look up the address", source: nowhere };
        for address in addresses {
            let left = time_left(timeouts.connect, give_up)?;
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Self::from_stream(stream, timeouts),
                Err(error) => failure = sorted("connect", error),
            }
        }
        Err(failure)
    }

    /// Takes over a connected stream.
    ///
    /// # Errors
    /// [`TransportError`] if the stream can't be set up.
    pub fn from_stream(stream: TcpStream, timeouts: Timeouts) -> Result<Self, TransportError> {
        let set_up = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        set_up.map_err(|error| sorted("set up the connection", error))?;
        Ok(Self {
            stream,
            timeouts,
            deadline: None,
            failed: false,
            read_timeout_set: None,
            write_timeout_set: None,
        })
    }

    fn once_failed(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        if self.failed {
            return Err(TransportError::Closed);
        }
        let outcome = work(self);
        self.failed = outcome.is_err();
        outcome
    }

    fn send_all(&mut self, parts: &[&[u8]]) -> Result<(), TransportError> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            self.limit_write()?;
            match self.stream.write_vectored(rest) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(sorted("send", error)),
            }
        }
        Ok(())
    }

    fn receive_all(&mut self, target: &mut [u8]) -> Result<(), TransportError> {
        let mut filled = 0;
        while filled < target.len() {
            self.limit_read()?;
            match self.stream.read(&mut target[filled..]) {
                Ok(0) => return Err(TransportError::Closed),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(sorted("receive", error)),
            }
        }
        Ok(())
    }

    fn limit_read(&mut self) -> Result<(), TransportError> {
        let limit = Some(time_left(self.timeouts.read, self.deadline)?);
        if limit != self.read_timeout_set {
            let set = self.stream.set_read_timeout(limit);
            set.map_err(|error| sorted("set the read timeout", error))?;
            self.read_timeout_set = limit;
        }
        Ok(())
    }

    fn limit_write(&mut self) -> Result<(), TransportError> {
        let limit = Some(time_left(self.timeouts.write, self.deadline)?);
        if limit != self.write_timeout_set {
            let set = self.stream.set_write_timeout(limit);
            set.map_err(|error| sorted("set the write timeout", error))?;
            self.write_timeout_set = limit;
        }
        Ok(())
    }
}

impl Transport for TcpTransport {
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), TransportError> {
        self.once_failed(|transport| transport.send_all(parts))
    }

    fn receive(&mut self, target: &mut [u8]) -> Result<(), TransportError> {
        self.once_failed(|transport| transport.receive_all(target))
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }
}

/// How long the next step may wait; never zero, which the system would take for "for ever".
fn time_left(step: Duration, deadline: Option<Instant>) -> Result<Duration, TransportError> {
    let left = match deadline {
        Some(deadline) => step.min(deadline.saturating_duration_since(Instant::now())),
        None => step,
    };
    if left.is_zero() { Err(TransportError::TimedOut) } else { Ok(left) }
}
