//! On the real file system.

use super::below::Mounted;
use super::power::{contents_of, name, put, write};
use crate::queued::QueuedDisk;
use crate::{Engine, LocalConfig, LocalStore};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use warifu_backend::{Error, ShareStore, conformance};

/// Every engine that this system has.
pub(super) fn engines() -> Vec<Engine> {
    match QueuedDisk::probe() {
        Ok(_) => vec![Engine::Plain, Engine::Ring],
        Err(error) => {
            println!("skipped: stores over a ring, which this system refuses: {error}");
            vec![Engine::Plain]
        }
    }
}

fn store(engine: Engine) -> (TempDir, LocalStore) {
    let parent = tempfile::tempdir().unwrap();
    let store = open_at(&parent.path().join("store"), engine);
    (parent, store)
}

pub(super) fn open_at(path: &Path, engine: Engine) -> LocalStore {
    LocalStore::open(&LocalConfig { engine, ..LocalConfig::new(path) }).unwrap()
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn it_conforms() {
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let made = std::cell::Cell::new(0);
        conformance::all(&|| {
            made.set(made.get() + 1);
            Box::new(open_at(&parent.path().join(made.get().to_string()), engine))
        });
    }
}

#[test]
fn only_the_owner_may_read_and_nobody_may_write_a_share() {
    for engine in engines() {
        let (parent, store) = store(engine);
        let folder = parent.path().join("store");
        drop(store.create(&name("left")).unwrap());
        put(&store, "done").unwrap();
        assert_eq!(mode(folder.clone()), 0o700);
        assert_eq!(mode(folder.join("shares")), 0o700);
        assert_eq!(mode(folder.join("unfinished")), 0o700);
        assert_eq!(mode(folder.join("unfinished/left")), 0o600);
        assert_eq!(mode(folder.join("shares/done")), 0o400);
        assert_eq!(fs::metadata(folder.join("shares/done")).unwrap().nlink(), 1);
    }
}

#[test]
fn what_is_stored_outlives_the_store() {
    for engine in engines() {
        let (parent, store) = store(engine);
        put(&store, "done").unwrap();
        let mut upload = store.create(&name("left")).unwrap();
        write(&mut *upload, 0, b"half").unwrap();
        drop(upload);
        drop(store);
        let store = open_at(&parent.path().join("store"), engine);
        assert_eq!(store.len(&name("done")).unwrap(), 3_000);
        store.resume(&name("left")).unwrap().commit().unwrap();
        assert_eq!(store.len(&name("left")).unwrap(), 4);
    }
}

#[test]
fn two_stores_of_one_folder_keep_out_of_each_others_uploads() {
    for engine in engines() {
        let (parent, first) = store(engine);
        let second = open_at(&parent.path().join("store"), engine);
        let upload = first.create(&name("new")).unwrap();
        assert!(matches!(second.create(&name("new")), Err(Error::AlreadyExists)));
        assert!(matches!(second.resume(&name("new")), Err(Error::Busy)));
        drop(upload);
        let upload = second.resume(&name("new")).unwrap();
        assert!(matches!(first.resume(&name("new")), Err(Error::Busy)));
        upload.commit().unwrap();
        assert_eq!(first.len(&name("new")).unwrap(), 0);
    }
}

#[test]
fn a_commit_that_was_cut_off_is_settled_by_looking() {
    for engine in engines() {
        for look in 0..4 {
            let (parent, store) = store(engine);
            let folder = parent.path().join("store");
            let mut upload = store.create(&name("new")).unwrap();
            write(&mut *upload, 0, &contents_of("new")).unwrap();
            upload.sync().unwrap();
            fs::hard_link(folder.join("unfinished/new"), folder.join("shares/new")).unwrap();
            assert!(
                matches!(store.len(&name("new")), Err(Error::NotFound)),
                "its writer has it open"
            );
            assert_eq!(
                open_at(&folder, engine).list().unwrap(),
                [],
                "the other store sees the lock"
            );
            drop(upload);
            match look {
                0 => assert_eq!(store.len(&name("new")).unwrap(), 3_000),
                1 => assert_eq!(store.list().unwrap().len(), 1),
                2 => assert_eq!(store.unfinished().unwrap(), []),
                _ => assert!(matches!(store.resume(&name("new")), Err(Error::NotFound))),
            }
            assert!(!folder.join("unfinished/new").exists(), "look {look}");
            assert_eq!(store.len(&name("new")).unwrap(), 3_000);
            assert_eq!(mode(folder.join("shares/new")), 0o400);
        }
    }
}

#[test]
fn a_hard_link_made_by_a_backup_tool_hides_nothing() {
    for engine in engines() {
        let (parent, store) = store(engine);
        put(&store, "done").unwrap();
        fs::hard_link(parent.path().join("store/shares/done"), parent.path().join("copy")).unwrap();
        assert_eq!(store.len(&name("done")).unwrap(), 3_000);
        store.delete(&name("done")).unwrap();
        assert!(parent.path().join("copy").exists());
    }
}

#[test]
fn a_name_committed_behind_an_upload_is_not_replaced() {
    for engine in engines() {
        let (parent, store) = store(engine);
        let folder = parent.path().join("store");
        let mut upload = store.create(&name("new")).unwrap();
        write(&mut *upload, 0, b"mine").unwrap();
        fs::write(folder.join("shares/new"), b"theirs").unwrap();
        assert!(matches!(upload.commit(), Err(Error::AlreadyExists)));
        assert_eq!(fs::read(folder.join("shares/new")).unwrap(), b"theirs");
        assert_eq!(store.unfinished().unwrap(), []);
    }
}

#[test]
fn an_upload_that_was_tampered_with_is_not_published() {
    for engine in engines() {
        let (parent, store) = store(engine);
        let path = parent.path().join("store/unfinished/new");
        let mut upload = store.create(&name("new")).unwrap();
        write(&mut *upload, 0, b"whole").unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert!(matches!(upload.commit(), Err(Error::Damaged { .. })));
        assert_eq!(store.list().unwrap(), []);

        let upload = store.create(&name("other")).unwrap();
        let path = parent.path().join("store/unfinished/other");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"").unwrap();
        assert!(matches!(upload.commit(), Err(Error::Damaged { .. })));
        assert_eq!(store.list().unwrap(), []);
    }
}

#[test]
fn links_pipes_folders_and_odd_names_are_no_shares() {
    for engine in engines() {
        let (parent, store) = store(engine);
        let secret = parent.path().join("secret");
        fs::write(&secret, b"not for you").unwrap();
        for folder in ["store/shares", "store/unfinished"].map(|folder| parent.path().join(folder))
        {
            symlink(&secret, folder.join("link")).unwrap();
            fs::create_dir(folder.join("folder")).unwrap();
            fs::write(folder.join(".hidden"), b"x").unwrap();
            fs::write(folder.join("with space"), b"x").unwrap();
            let made = Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
            assert!(made.success());
        }
        assert_eq!(store.list().unwrap(), []);
        assert_eq!(store.unfinished().unwrap(), []);
        for odd in ["link", "folder", "pipe"].map(name) {
            assert!(matches!(store.len(&odd), Err(Error::Damaged { .. })), "{odd}");
            let read = store.read_at(&odd, 0, &mut [0; 1]);
            assert!(matches!(read, Err(Error::Damaged { .. })), "{odd}: {read:?}");
            assert!(matches!(store.create(&odd), Err(Error::AlreadyExists)), "{odd}");
            assert!(matches!(store.delete(&odd), Err(Error::Damaged { .. })), "{odd}");
            assert!(matches!(store.resume(&odd), Err(Error::Damaged { .. })), "{odd}");
        }
        assert_eq!(fs::read(&secret).unwrap(), b"not for you");
    }
}

#[test]
fn a_share_that_became_shorter_is_truncated() {
    for engine in engines() {
        let (parent, store) = store(engine);
        put(&store, "done").unwrap();
        let path = parent.path().join("store/shares/done");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        let outcome = store.read_at(&name("done"), 0, &mut [0; 11]);
        assert!(matches!(outcome, Err(Error::Truncated { held_bytes: 10, .. })));
    }
}

#[test]
fn what_is_spared_is_not_counted_as_room() {
    for engine in engines() {
        let (parent, store) = store(engine);
        assert!(store.room_bytes().unwrap().unwrap() > 0);
        let config = LocalConfig {
            engine,
            spared_bytes: u64::MAX,
            ..LocalConfig::new(parent.path().join("store"))
        };
        assert_eq!(LocalStore::open(&config).unwrap().room_bytes().unwrap(), Some(0));
    }
}

#[test]
fn a_store_needs_a_folder_to_be_in() {
    let parent = tempfile::tempdir().unwrap();
    let missing = LocalConfig::new(parent.path().join("not/there"));
    assert!(matches!(LocalStore::open(&missing), Err(Error::NotFound)));
    fs::write(parent.path().join("file"), b"x").unwrap();
    let file = LocalConfig::new(parent.path().join("file"));
    assert!(LocalStore::open(&file).is_err());
}

/// Root may write read-only files, so what others may not is tried as another user.
#[test]
fn as_another_user() {
    const FOLDER: &str = "WARIFU_TEST_FOLDER_OF_ANOTHER_USER";
    const NOBODY: u32 = 65_534;
    if let Some(folder) = std::env::var_os(FOLDER) {
        return resumes_what_is_read_only(Path::new(&folder));
    }
    let parent = tempfile::tempdir().unwrap();
    let started = chown(parent.path(), Some(NOBODY), None).and_then(|()| {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--exact", "tests::disk::as_another_user", "--nocapture"]);
        child.env(FOLDER, parent.path()).uid(NOBODY).output()
    });
    match started {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => println!("skipped: this user can't act as another one: {error}"),
    }
}

fn resumes_what_is_read_only(parent: &Path) {
    for engine in engines() {
        resumes_what_is_read_only_over(engine, &parent.join(format!("{engine:?}")));
    }
}

fn resumes_what_is_read_only_over(engine: Engine, folder: &Path) {
    let store = open_at(folder, engine);
    put(&store, "done").unwrap();
    let path = folder.join("unfinished/new");
    fs::write(&path, contents_of("new")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    store.resume(&name("new")).unwrap().commit().unwrap();
    assert_eq!(store.len(&name("new")).unwrap(), 3_000);
    fs::set_permissions(folder.join("unfinished"), fs::Permissions::from_mode(0o500)).unwrap();
    assert!(matches!(store.create(&name("no")), Err(Error::PermissionDenied { .. })));
    fs::set_permissions(folder.join("unfinished"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// A file system of 1 MiB that really is full. Mounting one takes root.
#[test]
fn a_full_file_system_keeps_nothing_of_the_upload() {
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=700", "warifu-test"]).arg(parent.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            println!("skipped: this user can't mount a small file system");
            return;
        }
        let _mounted = Mounted(parent.path());
        let store = open_at(&parent.path().join("store"), engine);
        put(&store, "old").unwrap();
        let room = store.room_bytes().unwrap();
        let mut upload = store.create(&name("new")).unwrap();
        let piece = vec![7; 64 << 10];
        let mut offset = 0;
        let failure = loop {
            match write(&mut *upload, offset, &piece) {
                Ok(()) => offset += piece.len() as u64,
                Err(error) => break error,
            }
            assert!(offset <= 1 << 20, "it takes more than there is");
        };
        assert!(matches!(failure, Error::NoSpace), "{failure:?}");
        assert!(offset > 512 << 10);
        drop(upload);
        assert_eq!(store.unfinished().unwrap(), []);
        assert_eq!(store.room_bytes().unwrap(), room);
        put(&store, "new").unwrap();
        assert_eq!(store.list().unwrap().len(), 2);
    }
}
