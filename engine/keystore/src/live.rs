//! Which processes have this key store open.

use crate::error::KeyError;
use crate::medium::Opening;
use crate::store::KeyStore;
use std::io;
use std::path::{Path, PathBuf};
use warifu_core::id::Incarnation;

/// The folder of the files that living processes lock.
pub(crate) const LIVE: &str = "live";

pub(crate) fn live_path(incarnation: Incarnation) -> PathBuf {
    Path::new(LIVE).join(incarnation.to_string())
}

impl KeyStore {
    /// Whether another process has this key store open.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn has_company(&self) -> Result<bool, KeyError> {
        let names = self.inner.medium.list(Path::new(LIVE)).map_err(KeyError::io("list", LIVE))?;
        let known = names.iter().filter_map(|name| name.parse::<Incarnation>().ok());
        for other in known.filter(|one| *one != self.incarnation()) {
            if self.is_live(other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the process that made this opening still lives. Its lock tells, so a process that
    /// was killed is known to be dead at once.
    ///
    /// # Errors
    /// I/O.
    pub fn is_live(&self, incarnation: Incarnation) -> Result<bool, KeyError> {
        if incarnation == self.incarnation() {
            return Ok(true);
        }
        let path = live_path(incarnation);
        let failed = || KeyError::io("look at", &path);
        match self.inner.medium.open(&path, Opening::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed()(error)),
            Ok(file) => match file.try_lock().map_err(failed())? {
                true => file.unlock().map(|()| false).map_err(failed()),
                false => Ok(true),
            },
        }
    }
}
