//! A part: what a restore has written so far under a name of its own, for a later one to use.
//!
//! What is written is synced now and then, and how far stands in an extended attribute of the file,
//! together with the boot in which that was noted. In the same boot nothing that was written is
//! lost; in a later one only what was synced is there for sure, and the rest is cut off.

use crate::failure::{Class, Failure};
use rustix::fs::{
    CWD, Mode, OFlags, RenameFlags, XattrFlags, fgetxattr, fsetxattr, open, renameat_with,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::cell::Cell;
use std::fs::{File, Metadata, Permissions, TryLockError};
use std::io::{self, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use warifu_core::ObjectId;

/// Bytes after which a part is synced while it grows.
const SYNC_STEP_BYTES: u64 = 256 << 20;

/// The attribute that says how far a part is synced, and in which boot: the number of bytes, and
/// what the system calls the boot.
const SYNCED: &str = "user.warifu.synced";

/// A private file with a name, held by one process at a time.
pub(crate) struct PartFile {
    path: PathBuf,
    file: File,
    held_bytes: u64,
    /// Bytes written since it was last synced.
    unsynced_bytes: Cell<u64>,
}

impl PartFile {
    /// What an earlier restore of `object` left in `folder`, or an empty file of that name.
    ///
    /// # Errors
    /// Where another process uses it, it is not this user's own, or can't be opened.
    pub(super) fn open(folder: &Path, object: ObjectId) -> Result<Self, Failure> {
        let path = folder.join(format!(".warifu-restore-{object}.part"));
        let what = || format!("can't use {}", path.display());
        let failed = |error| Failure::new(Class::Other, "output", what()).because(error);
        loop {
            let file = open_or_make(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let what = format!("another restore is writing {}", path.display());
                    return Err(Failure::new(Class::Busy, "restore-running", what)
                        .next("wait until it has ended"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let metadata = file.metadata().map_err(failed)?;
            // The one who held the lock may have given the file its last name meanwhile.
            if !is_named(&path, &metadata) {
                continue;
            }
            if !is_own(&metadata) {
                return Err(Failure::new(Class::Other, "part-not-own", what())
                    .next("it is not a file of this user alone: look at it, and remove it"));
            }
            // One that was killed just before its end may have given it its last mode already.
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            let held_bytes = held_for_sure(&file, metadata.len());
            if held_bytes < metadata.len() {
                file.set_len(held_bytes).map_err(failed)?;
            }
            return Ok(Self { path, file, held_bytes, unsynced_bytes: Cell::new(0) });
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes that an earlier restore left and that can be trusted to be what it wrote.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Counts what was written, and syncs it now and then.
    ///
    /// # Errors
    /// Where it can't be synced.
    pub(super) fn written(&self, bytes: u64) -> io::Result<()> {
        self.unsynced_bytes.set(self.unsynced_bytes.get() + bytes);
        if self.unsynced_bytes.get() >= SYNC_STEP_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.unsynced_bytes.set(0);
        note_synced(&self.file, (&self.file).stream_position()?);
        Ok(())
    }

    /// Gives it its name, durably; an older file of that name goes only where `replace` says so.
    ///
    /// # Errors
    /// Where it can't be named so, or something else stands under the part's own name.
    pub(super) fn put(self, target: &Path, replace: bool) -> io::Result<()> {
        if !self.is_still_named()? {
            return Err(io::Error::other("the part has lost its name to another file"));
        }
        // What has its last name tells nothing of how it came there.
        let _none = rustix::fs::fremovexattr(&self.file, SYNCED);
        self.file.sync_all()?;
        if replace {
            std::fs::rename(&self.path, target)?;
        } else {
            match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => {
                    std::fs::hard_link(&self.path, target)?;
                    std::fs::remove_file(&self.path)?;
                }
                outcome => outcome?,
            }
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    /// What becomes of it when the restore failed: what proved right is kept.
    pub(super) fn given_up(self, is_wrong: bool, failure: Failure) -> Failure {
        let kept_bytes = self.file.metadata().map_or(0, |metadata| metadata.len());
        if !is_wrong && kept_bytes > 0 {
            let synced = self.sync();
            drop(synced.inspect_err(|error| tracing::warn!(%error, "the part may lack its end")));
            let advice = format!(
                "{kept_bytes} bytes are kept in {}: run it again with --resume, or remove it",
                self.path.display()
            );
            return match failure.advice() {
                "" => failure.next(advice),
                earlier => {
                    let both = format!("{earlier}; {advice}");
                    failure.next(both)
                }
            };
        }
        if !self.is_still_named().unwrap_or(false) {
            tracing::warn!(path = %self.path.display(), "what stands there is no longer the part");
            return failure;
        }
        let removed = std::fs::remove_file(&self.path);
        match (removed, is_wrong) {
            (Err(error), _) => {
                tracing::error!(path = %self.path.display(), %error, "can't remove the part");
                let path = self.path.display();
                failure.next(format!("remove {path}: what is in it is not the object"))
            }
            (Ok(()), true) if self.held_bytes > 0 => {
                failure.next("what an earlier restore had left is removed: restore it afresh")
            }
            (Ok(()), _) => failure,
        }
    }

    /// Whether what stands under its name is this file.
    fn is_still_named(&self) -> io::Result<bool> {
        Ok(is_named(&self.path, &self.file.metadata()?))
    }
}

impl Drop for PartFile {
    /// Of a restore that wrote nothing, nothing stays.
    fn drop(&mut self) {
        let is_empty = self.file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if is_empty && self.is_still_named().unwrap_or(false) {
            let removed = std::fs::remove_file(&self.path);
            drop(removed.inspect_err(|error| tracing::warn!(%error, "an empty part stays behind")));
        }
    }
}

/// Opens a part or makes it. One that was killed just before its end may have given it a mode
/// already that keeps its own user out.
fn open_or_make(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = || open(path, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR);
    match opened() {
        Err(Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = File::from(open(path, flags, Mode::empty())?);
            if !is_own(&place.metadata()?) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let place = format!("/proc/self/fd/{}", place.as_raw_fd());
            std::fs::set_permissions(place, Permissions::from_mode(0o600))?;
            Ok(File::from(opened()?))
        }
        outcome => Ok(File::from(outcome?)),
    }
}

/// Whether what stands at `path` is the file of this description.
fn is_named(path: &Path, file: &Metadata) -> bool {
    let named = std::fs::symlink_metadata(path);
    named.is_ok_and(|named| (named.dev(), named.ino()) == (file.dev(), file.ino()))
}

fn is_own(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.nlink() == 1
}

/// Which boot of the system this is.
fn boot() -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(boot.trim().to_owned())
}

/// Notes how far a part is synced. Where the file system can't, the digest at the end decides.
fn note_synced(file: &File, bytes: u64) {
    let noted = boot().and_then(|boot| {
        let told = format!("{bytes} {boot}");
        Ok(fsetxattr(file, SYNCED, told.as_bytes(), XattrFlags::empty())?)
    });
    drop(noted.inspect_err(|error| tracing::debug!(%error, "how far it is synced is not noted")));
}

/// How much of a part of `bytes` bytes is there for sure.
fn held_for_sure(file: &File, bytes: u64) -> u64 {
    let mut told = [0; 128];
    let length = match fgetxattr(file, SYNCED, &mut told) {
        Ok(length) => length,
        Err(error) => {
            tracing::debug!(%error, "how far the part is synced is not known");
            note_synced(file, 0);
            return bytes;
        }
    };
    let told = std::str::from_utf8(&told[..length]).unwrap_or_default();
    match (told.split_once(' '), boot()) {
        (Some((_, noted)), Ok(now)) if noted == now => bytes,
        (synced, _) => {
            let synced = synced.and_then(|(synced, _)| synced.parse().ok());
            let held = synced.map_or(0, |synced: u64| synced.min(bytes));
            note_synced(file, held);
            held
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TargetFile;
    use super::*;
    use std::io::Write;

    const OBJECT: ObjectId = ObjectId::from_bytes([7; 16]);

    fn refusal(folder: &Path) -> Failure {
        TargetFile::part(folder, OBJECT).err().unwrap()
    }

    #[test]
    fn a_part_has_one_writer_and_stays_until_it_is_put_or_proved_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let open = || TargetFile::part(dir.path(), OBJECT).unwrap();
        let give_up = |file: TargetFile, is_wrong| {
            file.given_up(is_wrong, Failure::new(Class::Temporary, "code", "what").next("wait"))
        };
        let failure = give_up(open(), false);
        assert_eq!((names(), failure.advice()), (0, "wait"), "nothing is kept of nothing");

        let file = open();
        (&file).write_all(b"hello world").unwrap();
        assert_eq!(refusal(dir.path()).class(), Class::Busy);
        let failure = give_up(file, false);
        assert!(failure.advice().starts_with("wait; 11 bytes are kept"), "{}", failure.advice());

        let file = open();
        assert_eq!((file.held_bytes(), names()), (11, 1));
        let mut read = Vec::new();
        let mut take = |bytes: &[u8]| {
            read.extend_from_slice(bytes);
            true
        };
        file.keep(5, &mut take).unwrap();
        (&file).write_all(b", you").unwrap();
        assert_eq!(read, b"hello");
        let target = dir.path().join("out");
        file.put(&target, false, |_| Ok(())).unwrap();
        assert_eq!((names(), std::fs::read(&target).unwrap()), (1, b"hello, you".to_vec()));

        let file = open();
        assert_eq!(file.held_bytes(), 0, "what has its last name is no part any more");
        (&file).write_all(b"again").unwrap();
        let mode = file.file().metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(file.put(&target, false, |_| Ok(())).is_err(), "nothing is replaced");
        let file = open();
        let stopped = file.keep(5, &mut |_| false).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::Interrupted);
        assert!(file.keep(5, &mut |_| true).is_ok());
        file.put(&target, true, |_| Ok(())).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"again");

        let file = open();
        (&file).write_all(b"wrong").unwrap();
        drop(give_up(file, true));
        assert_eq!(names(), 1, "what is proved wrong is removed");
    }

    #[test]
    fn a_part_is_one_users_own_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        let part = dir.path().join(format!(".warifu-restore-{OBJECT}.part"));
        let elsewhere = dir.path().join("elsewhere");
        std::fs::write(&elsewhere, b"precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "output");
        std::fs::remove_file(&part).unwrap();
        std::fs::hard_link(&elsewhere, &part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "part-not-own");
        std::fs::remove_file(&part).unwrap();
        std::fs::create_dir(&part).unwrap();
        assert_eq!(refusal(dir.path()).code(), "output");
        assert_eq!(std::fs::read(&elsewhere).unwrap(), b"precious");
    }

    #[test]
    fn after_a_loss_of_power_only_what_was_synced_counts() {
        let dir = tempfile::tempdir().unwrap();
        let open = || PartFile::open(dir.path(), OBJECT).unwrap();
        let part = open();
        part.file().write_all(b"hello").unwrap();
        part.sync().unwrap();
        part.file().write_all(b" world").unwrap();
        drop(part);
        let part = open();
        assert_eq!(part.held_bytes(), 11, "in the same boot nothing is lost");
        let other_boot = |synced: &str| {
            let told = format!("{synced} 00000000-0000-0000-0000-000000000000");
            fsetxattr(part.file(), SYNCED, told.as_bytes(), XattrFlags::empty())
        };
        if other_boot("5").is_err() {
            return; // A file system without attributes: the digest decides.
        }
        let path = part.path.clone();
        drop(part);
        let part = open();
        assert_eq!((part.held_bytes(), std::fs::read(&path).unwrap()), (5, b"hello".to_vec()));
        let told = fsetxattr(part.file(), SYNCED, b"nonsense", XattrFlags::empty());
        told.unwrap();
        drop(part);
        assert_eq!(open().held_bytes(), 0);
        assert!(!path.exists(), "an empty part does not stay behind");
    }

    #[test]
    fn a_part_that_lost_its_name_touches_nothing_of_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        let failure = || Failure::new(Class::Temporary, "code", "what");
        for ends in [false, true] {
            let part = PartFile::open(dir.path(), OBJECT).unwrap();
            part.file().write_all(b"data").unwrap();
            std::fs::remove_file(&part.path).unwrap();
            let path = part.path.clone();
            std::fs::write(&path, b"another's").unwrap();
            match ends {
                true => assert!(part.put(&target, true).is_err()),
                false => drop(part.given_up(true, failure())),
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"another's");
            std::fs::remove_file(&path).unwrap();
            assert!(!target.exists());
        }
    }

    #[test]
    fn a_part_that_its_user_may_not_write_is_opened_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let part = PartFile::open(dir.path(), OBJECT).unwrap();
        part.file().write_all(b"data").unwrap();
        part.file().set_permissions(Permissions::from_mode(0o444)).unwrap();
        drop(part);
        let part = PartFile::open(dir.path(), OBJECT).unwrap();
        assert_eq!(part.held_bytes(), 4);
        assert_eq!(part.file().metadata().unwrap().mode() & 0o777, 0o600);
    }
}
