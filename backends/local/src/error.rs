//! What the system says about a file, sorted by what the caller can do.

use std::io::{self, ErrorKind};
use warifu_backend::Error;

/// Sorts `source`, which came while doing `what`.
pub(crate) fn sorted(what: &'static str, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::AlreadyExists => Error::AlreadyExists,
        ErrorKind::NotFound => Error::NotFound,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::PermissionDenied { what, source }
        }
        ErrorKind::FileTooLarge => Error::Limit { what: "a file as long as that" },
        ErrorKind::StaleNetworkFileHandle | ErrorKind::HostUnreachable | ErrorKind::TimedOut => {
            Error::Unavailable { what, source }
        }
        _ => Error::Other { what, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn each_number_has_its_place() {
        let place = |errno: Errno| sorted("x", errno.into());
        assert!(matches!(place(Errno::EXIST), Error::AlreadyExists));
        assert!(matches!(place(Errno::NOENT), Error::NotFound));
        assert!(matches!(place(Errno::NOSPC), Error::NoSpace));
        assert!(matches!(place(Errno::DQUOT), Error::NoSpace));
        assert!(matches!(place(Errno::ACCESS), Error::PermissionDenied { .. }));
        assert!(matches!(place(Errno::PERM), Error::PermissionDenied { .. }));
        assert!(matches!(place(Errno::ROFS), Error::PermissionDenied { .. }));
        assert!(matches!(place(Errno::FBIG), Error::Limit { .. }));
        assert!(matches!(place(Errno::STALE), Error::Unavailable { .. }));
        assert!(matches!(place(Errno::IO), Error::Other { .. }));
    }
}
