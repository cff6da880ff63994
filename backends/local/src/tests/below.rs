//! Real file systems that are full, or fail, below either engine: nothing is half published, and
//! what comes later is right. Mounting one takes root, and FUSE takes Python with fusepy.

use super::disk::{engines, open_at};
use super::power::{contents_of, name, put};
use crate::{Engine, LocalStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use warifu_backend::{Error, ShareStore, Upload};
use warifu_buffers::{Block, Bytes};

const CHUNK: usize = 1 << 20;

/// A chunk's content in memory that can go past the cache.
pub(super) fn chunk(mark: u8) -> Bytes {
    let mut block = Block::zeroed(CHUNK);
    block.fill(mark);
    block.into_bytes()
}

pub(super) struct Mounted<'a>(pub(super) &'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

pub(super) fn is_done(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Fills the file system by an upload, which must leave nothing behind.
fn fill_up(store: &LocalStore) {
    let mut upload = store.create(&name("new")).unwrap();
    let mut written = 0;
    let failure = loop {
        match upload.write_at(written << 20, chunk(written as u8)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 64, "it takes more than there is");
    };
    assert!(matches!(failure, Error::NoSpace), "{failure:?}");
    assert!(written > 4, "only {written} MiB were taken");
    assert!(upload.write_at(0, chunk(0)).is_err(), "it goes on without what was lost");
    assert!(upload.commit().is_err());
    assert_eq!(store.unfinished().unwrap(), [name("waiting")]);
}

#[test]
fn a_full_disk_keeps_nothing_of_an_upload_in_chunks() {
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let image = parent.path().join("image");
        fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
        let folder = parent.path().join("mount");
        fs::create_dir(&folder).unwrap();
        let made = is_done(Command::new("mkfs.ext4").arg("-q").arg(&image))
            && is_done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder));
        if !made {
            println!("skipped: this user can't mount a small ext4");
            return;
        }
        let _mounted = Mounted(&folder);
        let store = open_at(&folder.join("store"), engine);
        put(&store, "old").unwrap();
        let mut waiting = store.create(&name("waiting")).unwrap();
        waiting.write_at(0, chunk(9)).unwrap();
        fill_up(&store);
        put(&store, "next").unwrap();
        waiting.write_at(1 << 20, chunk(8)).unwrap();
        waiting.commit().unwrap();
        let mut found = vec![0; 2 << 20];
        store.read_at(&name("waiting"), 0, &mut found).unwrap();
        assert!(found == [vec![9; CHUNK], vec![8; CHUNK]].concat(), "{engine:?}");
        assert_eq!(store.list().unwrap().len(), 3);
    }
}

/// A folder seen through a file system that fails as its plan says.
struct Failing {
    root: TempDir,
    server: Child,
}

impl Failing {
    /// `None`, with the reason printed, where it can't be had here.
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let at = |text: &str| root.path().join(text);
        fs::create_dir(at("folder")).unwrap();
        fs::create_dir(at("mount")).unwrap();
        fs::write(at("plan"), "").unwrap();
        let python = std::env::var_os("WARIFU_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eiofs.py");
        let mut command = Command::new(python);
        command.arg(script).args([at("folder"), at("mount"), at("plan")]);
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut server) = started else {
            println!("skipped: no Python here for a failing file system");
            return None;
        };
        let mount = at("mount").canonicalize().unwrap();
        loop {
            let mounts = fs::read_to_string("/proc/mounts").unwrap();
            if mounts.contains(mount.to_str().unwrap()) {
                return Some(Self { root, server });
            }
            if server.try_wait().unwrap().is_some() {
                println!("skipped: a failing file system, for want of fusepy, libfuse2 or root");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn at(&self, text: &str) -> PathBuf {
        self.root.path().join(text)
    }

    fn plan(&self, plan: &str) {
        fs::write(self.at("plan"), plan).unwrap();
    }

    /// Under the final names, below the failing file system.
    fn published(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("folder/store/shares")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        if !is_done(Command::new("umount").arg("-l").arg(self.at("mount"))) {
            let _gone = Command::new("fusermount").arg("-uz").arg(self.at("mount")).output();
        }
        let _dead = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// Three chunks, each with a page behind it, as the data path writes them.
fn put_chunks(upload: &mut dyn Upload) -> Result<(), Error> {
    for index in 0..3 {
        let at = index * (CHUNK as u64 + 4096);
        upload.write_at(at, chunk(index as u8 + 1))?;
        upload.write_at(at + CHUNK as u64, chunk(0xF0).slice(..4096))?;
    }
    Ok(())
}

fn expected() -> Vec<u8> {
    let slot = |mark| [vec![mark; CHUNK], vec![0xF0; 4096]].concat();
    [slot(1), slot(2), slot(3)].concat()
}

fn put_new(store: &LocalStore) -> Result<(), Error> {
    let mut upload = match store.resume(&name("new")) {
        Err(Error::NotFound) => store.create(&name("new"))?,
        taken => taken?,
    };
    put_chunks(&mut *upload)?;
    upload.commit()
}

fn endures(engine: Engine, plan: &str) {
    let Some(failing) = Failing::mount() else { return };
    let store = open_at(&failing.at("mount/store"), engine);
    put(&store, "old").unwrap();
    failing.plan(plan);
    let outcome = put_new(&store);
    let is_harmless = plan.contains("SHORT");
    assert_eq!(outcome.is_ok(), is_harmless, "{engine:?}, {plan}: {outcome:?}");
    if !is_harmless && !plan.contains("fsyncdir") {
        assert_eq!(failing.published(), ["old"], "{engine:?}, {plan}");
    }
    failing.plan("");
    drop(store);
    let store = open_at(&failing.at("mount/store"), engine);
    if store.len(&name("new")).is_err() {
        put_new(&store).unwrap();
    }
    let mut found = Block::zeroed(expected().len());
    store.read_at(&name("new"), 0, &mut found).unwrap();
    assert!(found[..] == expected()[..], "{engine:?}, {plan}");
    let mut found = vec![0; 3_000];
    store.read_at(&name("old"), 0, &mut found).unwrap();
    assert!(found == contents_of("old"), "{engine:?}, {plan}");
    assert_eq!(store.unfinished().unwrap(), [], "{engine:?}, {plan}");
    assert_eq!(failing.published(), ["new", "old"]);
}

#[test]
fn a_disk_that_fails_publishes_nothing_and_serves_again_when_mended() {
    for engine in engines() {
        for plan in [
            "write 0 EIO",
            "write 9 EIO",
            "write 3 ENOSPC",
            "write 1 SHORT",
            "fsync 0 EIO",
            "fsyncdir 0 EIO",
            "link 0 EIO",
            "create 0 ENOSPC",
        ] {
            endures(engine, plan);
        }
    }
}

/// The system tells a failed sync once, and then takes what was lost for written: whatever the
/// error is called, asking again proves nothing.
#[test]
fn a_sync_that_failed_once_is_not_tried_again() {
    const WHATS: [&str; 8] =
        ["EIO", "ENOMEM", "EAGAIN", "EINVAL", "ECANCELED", "EOPNOTSUPP", "EINTR", "ENOSPC"];
    for engine in engines() {
        let Some(failing) = Failing::mount() else { return };
        let store = open_at(&failing.at("mount/store"), engine);
        put(&store, "old").unwrap();
        for what in WHATS {
            for commits in [false, true] {
                let mut upload = store.create(&name("new")).unwrap();
                put_chunks(&mut *upload).unwrap();
                failing.plan(&format!("fsync 0 {what} ONCE"));
                if !commits {
                    let outcome = upload.sync();
                    assert!(outcome.is_err(), "{engine:?}: a sync over {what}");
                    assert!(upload.write_at(0, chunk(1)).is_err(), "{engine:?}, {what}: spent");
                    assert!(upload.sync().is_err(), "{engine:?}, {what}: spent");
                }
                assert!(upload.commit().is_err(), "{engine:?}: a commit over {what}");
                failing.plan("");
                assert_eq!(failing.published(), ["old"], "{engine:?}, {what}");
                assert_eq!(
                    store.unfinished().unwrap(),
                    [],
                    "{engine:?}, {what}: nothing to resume"
                );
            }
        }
        put_new(&store).unwrap();
    }
}

#[test]
fn a_chunk_that_the_disk_can_not_read_is_damaged() {
    for engine in engines() {
        let Some(failing) = Failing::mount() else { return };
        let store = open_at(&failing.at("mount/store"), engine);
        put_new(&store).unwrap();
        failing.plan("read 0 EIO");
        let mut found = Block::zeroed(CHUNK);
        let outcome = store.read_at(&name("new"), 0, &mut found);
        assert!(matches!(outcome, Err(Error::Damaged { .. })), "{engine:?}: {outcome:?}");
        failing.plan("");
        store.read_at(&name("new"), 0, &mut found).unwrap();
        assert!(found[..] == expected()[..CHUNK]);
    }
}
