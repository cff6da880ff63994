//! Where a site daemon takes connections.

use crate::error::sorted;
use crate::{TcpTransport, Timeouts};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use warifu_backend::TransportError;

/// Takes connections until its [`Stopper`] says stop. Many threads may `accept` at once.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    timeouts: Timeouts,
    stopped: Arc<AtomicBool>,
    /// Becomes readable, and stays so, when the stopper closes its end.
    wake: UnixStream,
    stopper: Stopper,
}

/// Stops a [`Listener`] from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    stopped: Arc<AtomicBool>,
    waker: Arc<UnixStream>,
}

impl Stopper {
    /// From now on `accept` answers `None`, also to those who wait in it. Connections that were
    /// accepted go on.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Nothing is lost if it fails: then the other end is closed, which wakes as well.
        let _closed = self.waker.shutdown(std::net::Shutdown::Both);
    }
}

impl Listener {
    /// Listens at `address`, `host:port`; port 0 takes a free one. Connections get the default
    /// [`Timeouts`].
    ///
    /// # Errors
    /// [`TransportError::Io`] if the address is taken, not this host's, or not allowed.
    pub fn bind(address: &str) -> Result<Self, TransportError> {
        let failed = |source| TransportError::Io { what: "listen", source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let (wake, waker) = UnixStream::pair().map_err(failed)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let stopper = Stopper { stopped: Arc::clone(&stopped), waker: Arc::new(waker) };
        Ok(Self { listener, timeouts: Timeouts::default(), stopped, wake, stopper })
    }

    /// The same listener, whose connections get these timeouts.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The address that it listens at, with the port that it got.
    ///
    /// # Errors
    /// [`TransportError::Io`] if the system doesn't tell.
    pub fn local_addr(&self) -> Result<SocketAddr, TransportError> {
        let failed = |source| TransportError::Io { what: "ask for the own address", source };
        self.listener.local_addr().map_err(failed)
    }

    /// What stops this listener.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for the next connection; `None` once the listener is stopped.
    ///
    /// # Errors
    /// [`TransportError::Io`], for example when this process has too many files open. The
    /// connection then still waits: let some go before asking again.
    pub fn accept(&self) -> Result<Option<(TcpTransport, SocketAddr)>, TransportError> {
        loop {
            self.wait()?;
            if self.stopped.load(Ordering::SeqCst) {
                return Ok(None);
            }
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    let Ok(transport) = TcpTransport::from_stream(stream, self.timeouts) else {
                        continue; // It went away before it could be set up.
                    };
                    return Ok(Some((transport, peer)));
                }
                Err(error) if passes(&error) => {}
                Err(source) => return Err(TransportError::Io { what: "accept", source }),
            }
        }
    }

    /// Waits until there is a connection or the stop.
    fn wait(&self) -> Result<(), TransportError> {
        let mut waiting =
            [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(sorted("wait for a connection", error.into())),
        }
    }
}

/// Whether only that one connection failed, or another thread was faster.
fn passes(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
        ErrorKind::Interrupted,
        ErrorKind::WouldBlock,
    ];
    kinds.contains(&error.kind())
}
