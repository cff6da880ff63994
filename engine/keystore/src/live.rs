//! Which processes have this key store open.

use crate::error::KeyError;
use crate::medium::Opening;
use crate::store::KeyStore;
use std::io;
use std::path::Path;
use warifu_core::id::Incarnation;

impl KeyStore {
    /// Whether the process that made this opening still lives. Its lock tells, so a process that
    /// was killed is known to be dead at once.
    ///
    /// # Errors
    /// I/O.
    pub fn is_live(&self, incarnation: Incarnation) -> Result<bool, KeyError> {
        if incarnation == self.incarnation() {
            return Ok(true);
        }
        let path = Path::new("live").join(incarnation.to_string());
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
