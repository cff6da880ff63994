//! What the system says about a socket, sorted by what the caller can do.

use std::io::{self, ErrorKind};
use warifu_backend::TransportError;

/// Sorts `source`, which came while doing `what`.
pub(crate) fn sorted(what: &'static str, source: io::Error) -> TransportError {
    match source.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => TransportError::TimedOut,
        ErrorKind::BrokenPipe
        | ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionReset
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => TransportError::Closed,
        _ => TransportError::Io { what, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        let place = |kind: ErrorKind| sorted("x", kind.into());
        assert!(matches!(place(ErrorKind::WouldBlock), TransportError::TimedOut));
        assert!(matches!(place(ErrorKind::TimedOut), TransportError::TimedOut));
        assert!(matches!(place(ErrorKind::BrokenPipe), TransportError::Closed));
        assert!(matches!(place(ErrorKind::ConnectionReset), TransportError::Closed));
        let refused = place(ErrorKind::ConnectionRefused);
        assert!(matches!(refused, TransportError::Io { what: "x", .. }));
    }
}
