//! The key with which a vault signs where its log stands: made when first needed, a file of its
//! own. It proves nothing to whoever can read the vault; the proof is that others have seen it.

use crate::Vault;
use crate::failure::{Class, Failure};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use tempfile::NamedTempFile;
use warifu_catalog::AuditKey;
use zeroize::Zeroizing;

/// The file within the vault: 32 bytes, readable by its owner alone.
const AUDIT_KEY_FILE: &str = "audit.key";

impl Vault {
    /// The key that signs this vault's checkpoints and reports.
    pub(crate) fn audit_key(&self) -> Result<AuditKey, Failure> {
        let path = self.dir.join(AUDIT_KEY_FILE);
        let seed = match read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_seed(&path).and_then(|()| read(&path))
            }
            read => read,
        };
        let failed = |what: String| Failure::new(Class::Other, "audit-key", what);
        let seed = seed.map_err(|error| {
            failed(format!("the key of the audit log, {}, can't be used", path.display()))
                .because(error)
        })?;
        AuditKey::from_seed(&seed).ok_or_else(|| failed(format!("{} holds no key", path.display())))
    }

    /// Makes the file whole or not at all; where another process was faster, its key stays.
    fn make_seed(&self, path: &Path) -> io::Result<()> {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *seed)?;
        let mut file = NamedTempFile::with_prefix_in(".audit-", &self.dir)?;
        file.write_all(&*seed)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => File::open(&self.dir)?.sync_all(),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
        }
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(fs::read(path)?);
    let mut seed = Zeroizing::new([0; 32]);
    if bytes.len() != seed.len() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is not 32 bytes long"));
    }
    seed.copy_from_slice(&bytes);
    Ok(seed)
}
