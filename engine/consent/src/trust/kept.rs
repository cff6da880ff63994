//! The folder of anchors, read again only where something in it has changed: a list of a hundred
//! thousand revoked cards takes longer to read than all else that a decision needs.

use super::{RevocationPolicy, TrustError, TrustStore, folder};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A folder of anchors whose content is kept in memory for as long as it stays the same.
pub struct TrustFolder {
    folder: PathBuf,
    policy: RevocationPolicy,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    marks: Vec<Mark>,
    store: Arc<TrustStore>,
}

/// What changes whenever a file does: none of it can be set back by writing to the file.
#[derive(PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    inode: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl TrustFolder {
    /// The folder at `folder`, there or not, to be judged by `policy`.
    #[must_use]
    pub fn new(folder: &Path, policy: RevocationPolicy) -> Self {
        Self { folder: folder.to_owned(), policy, kept: Mutex::new(None) }
    }

    /// What the folder holds now.
    ///
    /// # Errors
    /// As [`TrustStore::open`].
    pub fn now(&self) -> Result<Arc<TrustStore>, TrustError> {
        // Before the content: what changes meanwhile is read once more next time.
        let marks = marks(&self.folder)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.marks == marks) {
            return Ok(kept.store.clone());
        }
        let store = Arc::new(TrustStore::open(&self.folder)?.with_policy(self.policy.clone()));
        *kept = Some(Kept { marks, store: store.clone() });
        Ok(store)
    }
}

fn marks(root: &Path) -> Result<Vec<Mark>, TrustError> {
    let mut marks = Vec::new();
    for path in folder::all_names(root)? {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // Taken away meanwhile; whoever reads the folder sees whether that matters.
            Err(gone) if gone.kind() == ErrorKind::NotFound => continue,
            Err(source) => return Err(TrustError::Io { what: "reading", path, source }),
        };
        marks.push(Mark {
            inode: (metadata.dev(), metadata.ino()),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            path,
        });
    }
    Ok(marks)
}
