//! Writes that are on their way: the same bytes as by plain calls, whoever drops, ends or is
//! killed meanwhile.

use super::below::chunk;
use super::disk::{engines, open_at};
use super::power::name;
use crate::Engine;
use rustix::fs::{Advice, fadvise};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use warifu_backend::{ShareStore, Upload};
use warifu_buffers::{Block, Bytes};

const CHUNK: u64 = 1 << 20;
const SLOT: u64 = CHUNK + 4096;

/// Numbers without a short period.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn bytes(&mut self, len: u64) -> Bytes {
        let mut block = Block::zeroed(len as usize);
        let seed = self.below(1 << 40);
        block.iter_mut().zip(seed..).for_each(|(byte, at)| *byte = ((at * 151) >> 7) as u8);
        block.into_bytes()
    }
}

/// One step of a history, the same for every engine.
fn step(dice: &mut Dice, upload: &mut Box<dyn Upload>, store: &dyn ShareStore) {
    match dice.below(10) {
        0..5 => {
            let (at, len) = (dice.below(800) * 4096, dice.below(260) * 4096);
            upload.write_at(at, dice.bytes(len)).unwrap();
        }
        5 | 6 => {
            let (at, len) = (dice.below(3 << 20), dice.below(100_000));
            upload.write_at(at, dice.bytes(len)).unwrap();
        }
        7 => upload.sync().unwrap(),
        8 => upload.truncate(dice.below(5 << 20)).unwrap(),
        _ => {
            let gone = std::mem::replace(upload, store.create(&name("other")).unwrap());
            drop(gone);
            let taken_up = store.resume(&name("new")).unwrap();
            std::mem::replace(upload, taken_up).abandon().unwrap();
        }
    }
}

#[test]
fn either_engine_leaves_the_same_bytes_on_the_disk() {
    for seed in 1..=30_u64 {
        let left = engines().into_iter().map(|engine| {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("store");
            let store = open_at(&folder, engine);
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut upload = store.create(&name("new")).unwrap();
            let mut states = Vec::new();
            for _ in 0..3 {
                (0..8).for_each(|_| step(&mut dice, &mut upload, &store));
                upload.sync().unwrap();
                assert_eq!(
                    fs::metadata(folder.join("unfinished/new")).unwrap().len(),
                    upload.held_bytes()
                );
                states.push(fs::read(folder.join("unfinished/new")).unwrap());
            }
            upload.commit().unwrap();
            states.push(fs::read(folder.join("shares/new")).unwrap());
            states
        });
        let left: Vec<_> = left.collect();
        assert!(left.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
    }
}

/// A buffer that tells whether anybody still has it.
struct Watched {
    block: Block,
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.block
    }
}

#[test]
fn an_upload_dropped_with_writes_on_their_way_loses_neither_bytes_nor_buffers() {
    for engine in engines() {
        for round in 0..20_u8 {
            let parent = tempfile::tempdir().unwrap();
            let store = open_at(&parent.path().join("store"), engine);
            let alive = Arc::new(());
            let mut upload = store.create(&name("new")).unwrap();
            for index in 0..4 {
                let mut block = Block::zeroed(CHUNK as usize);
                block.fill(round + index as u8);
                let bytes = Bytes::from_owner(Watched { block, _alive: Arc::clone(&alive) });
                upload.write_at(index * SLOT, bytes).unwrap();
            }
            drop(upload);
            assert_eq!(Arc::strong_count(&alive), 1, "{engine:?}: the kernel still has a buffer");
            let path = parent.path().join("store/unfinished/new");
            assert_eq!(fs::metadata(&path).unwrap().len(), 3 * SLOT + CHUNK, "room is given back");
            let mut upload = store.resume(&name("new")).unwrap();
            drop(store);
            for index in 0..4 {
                let mut found = Block::zeroed(CHUNK as usize);
                upload.read_at(index * SLOT, &mut found).unwrap();
                assert!(found.iter().all(|&byte| byte == round + index as u8), "{engine:?}");
            }
        }
    }
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// One that rests keeps its file and nothing else; by itself, as the descriptors of a process are
/// counted.
#[test]
fn uploads_that_rest_keep_neither_buffers_nor_rings_nor_room() {
    const RESTING: usize = 24;
    let Some((folder, engine)) = told() else {
        for engine in engines() {
            let parent = tempfile::tempdir().unwrap();
            let test = "tests::queued::uploads_that_rest_keep_neither_buffers_nor_rings_nor_room";
            let output = child(test, &parent.path().join("store"), engine).output().unwrap();
            assert!(output.status.success(), "{engine:?}: {output:?}");
        }
        return;
    };
    let store = open_at(&folder, engine);
    let (alive, before) = (Arc::new(()), open_files());
    let mut uploads: Vec<_> = (0..RESTING)
        .map(|number| {
            let share = name(&format!("share-{number}"));
            let mut upload = store.create(&share).unwrap();
            for index in 0..2 {
                let block = Block::zeroed(CHUNK as usize);
                let bytes = Bytes::from_owner(Watched { block, _alive: Arc::clone(&alive) });
                upload.write_at(index * SLOT, bytes).unwrap();
            }
            upload.settle().unwrap();
            let facts = fs::metadata(folder.join("unfinished").join(share.as_str())).unwrap();
            assert_eq!(facts.len(), SLOT + CHUNK, "room that was taken ahead is given back");
            upload
        })
        .collect();
    assert_eq!(Arc::strong_count(&alive), 1, "a buffer stays");
    let rings = open_files() - before - RESTING;
    assert!(rings <= 1, "{rings} rings for nobody");
    uploads.iter_mut().for_each(|upload| upload.write_at(2 * SLOT, chunk(1)).unwrap());
    uploads.into_iter().for_each(|upload| upload.commit().unwrap());
    assert_eq!(store.list().unwrap().len(), RESTING);
}

/// The system sends back what a thread has begun and not finished when it ends.
#[test]
fn writes_outlive_the_thread_that_began_them() {
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let store = open_at(&parent.path().join("store"), engine);
        for round in 0..20_u8 {
            let share = name(&format!("share-{round}"));
            let mut upload = store.create(&share).unwrap();
            for index in 0..6 {
                let written = std::thread::scope(|scope| {
                    let write = || upload.write_at(index * SLOT, chunk(round + index as u8));
                    scope.spawn(write).join().unwrap()
                });
                written.unwrap();
            }
            upload.commit().unwrap();
            let mut found = Block::zeroed(CHUNK as usize);
            for index in 0..6 {
                store.read_at(&share, index * SLOT, &mut found).unwrap();
                assert!(found.iter().all(|&byte| byte == round + index as u8), "{engine:?}");
            }
        }
    }
}

/// Bytes that the system has fetched from disks for this thread.
fn fetched_bytes() -> u64 {
    let told = fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = told.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap();
    line.parse().unwrap()
}

/// Whether what is dropped from the cache comes from a disk again here. Some file systems have
/// none, and what they hold is never fetched.
fn has_a_disk(folder: &Path) -> bool {
    let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
    file.write_all(&[1; 4 * 4096]).unwrap();
    file.as_file().sync_all().unwrap();
    fadvise(file.as_file(), 0, None, Advice::DontNeed).unwrap();
    let before = fetched_bytes();
    file.as_file().read_exact_at(&mut [0; 4096], 0).unwrap();
    let has_one = fetched_bytes() > before;
    if !has_one {
        println!("skipped: {} has no disk to fetch from", folder.display());
    }
    has_one
}

/// Whatever part of it the cache has: none, a beginning, an island, all but some pages, all.
#[test]
fn what_the_cache_has_is_read_from_there_and_all_else_from_the_disk() {
    const READ: usize = SLOT as usize;
    let is_on_a_disk = has_a_disk(&std::env::temp_dir());
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let store = open_at(&parent.path().join("store"), engine);
        let mut upload = store.create(&name("new")).unwrap();
        let content = Dice(77).bytes(2 * SLOT);
        upload.write_at(0, content.clone()).unwrap();
        upload.commit().unwrap();
        let file = fs::File::open(parent.path().join("store/shares/new")).unwrap();
        let mut page = [0; 4096];
        let all: Vec<u64> = (0..SLOT / 2048).collect();
        let warm = [&[][..], &all[..40], &all[300..310], &all[1..500], &all];
        for (case, pages) in warm.into_iter().enumerate() {
            // Nothing but what is read here comes into the cache.
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            fadvise(&file, 0, None, Advice::Random).unwrap();
            pages.iter().for_each(|at| file.read_exact_at(&mut page, at * 4096).unwrap());
            let before = fetched_bytes();
            for at in [0, SLOT] {
                let mut found = Block::zeroed(READ);
                store.read_at(&name("new"), at, &mut found).unwrap();
                let expected = &content[at as usize..at as usize + READ];
                assert!(found[..] == *expected, "{engine:?}, case {case}");
            }
            let fetched = fetched_bytes() - before;
            match case {
                4 => assert_eq!(fetched, 0, "{engine:?}: of a cached file"),
                _ => assert!(!is_on_a_disk || fetched > 0, "{engine:?}, case {case}: not from it"),
            }
        }
    }
}

#[test]
fn a_hole_before_a_far_write_stays_a_hole() {
    use std::os::unix::fs::MetadataExt;
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let store = open_at(&parent.path().join("store"), engine);
        let mut upload = store.create(&name("new")).unwrap();
        upload.write_at(1 << 40, chunk(1)).unwrap();
        upload.sync().unwrap();
        let facts = fs::metadata(parent.path().join("store/unfinished/new")).unwrap();
        assert_eq!(facts.len(), (1 << 40) + CHUNK);
        assert!(facts.blocks() * 512 < 64 << 20, "{engine:?} takes {} blocks", facts.blocks());
    }
}

const FOLDER: &str = "WARIFU_TEST_FOLDER_OF_A_CHILD";
const ENGINE: &str = "WARIFU_TEST_ENGINE_OF_A_CHILD";
const KILLED_SLOTS: u64 = 6;

/// This very test in another process, with a folder and an engine to use.
fn child(test: &str, folder: &Path, engine: Engine) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]);
    child.env(FOLDER, folder).env(ENGINE, format!("{engine:?}"));
    child
}

/// What a child was told.
fn told() -> Option<(std::path::PathBuf, Engine)> {
    let folder = std::env::var_os(FOLDER)?;
    let engine =
        if std::env::var(ENGINE).unwrap() == "Ring" { Engine::Ring } else { Engine::Plain };
    Some((folder.into(), engine))
}

/// Whoever takes up the upload of a process that was killed finds nothing of that process's
/// writes coming in later.
#[test]
fn killed_with_writes_on_their_way() {
    if let Some((folder, engine)) = told() {
        let store = open_at(&folder, engine);
        let mut upload = store.create(&name("new")).unwrap();
        for round in 0_u64.. {
            upload.write_at(round % KILLED_SLOTS * SLOT, chunk(0xEE)).unwrap();
            if round == KILLED_SLOTS {
                println!("writing");
            }
        }
    }
    for (engine, successor) in
        engines().into_iter().flat_map(|one| engines().into_iter().map(move |two| (one, two)))
    {
        for round in 0..5_u8 {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("store");
            let mut child =
                child("tests::queued::killed_with_writes_on_their_way", &folder, engine);
            let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line.contains("writing")));
            child.kill().unwrap();
            child.wait().unwrap();
            let store = open_at(&folder, successor);
            let mut upload = store.resume(&name("new")).unwrap();
            assert!(upload.held_bytes() >= KILLED_SLOTS * SLOT - 4096);
            for index in 0..KILLED_SLOTS {
                upload.write_at(index * SLOT, chunk(round)).unwrap();
            }
            upload.truncate(KILLED_SLOTS * SLOT - 4096).unwrap();
            upload.commit().unwrap();
            let found = fs::read(folder.join("shares/new")).unwrap();
            assert_eq!(found.len() as u64, KILLED_SLOTS * SLOT - 4096);
            let whole = found
                .chunks(SLOT as usize)
                .all(|slot| slot[..CHUNK as usize].iter().all(|&byte| byte == round));
            assert!(whole, "{engine:?}, then {successor:?}: a dead process has written");
        }
    }
}

/// Where no memory may be locked, buffers are not registered, and all goes on.
#[test]
fn without_memory_to_lock() {
    const NOBODY: u32 = 65_534;
    if let Some((folder, engine)) = told() {
        // Enough for the ring itself, not for one slot of the pool.
        let bytes = Some(512 << 10);
        setrlimit(Resource::Memlock, Rlimit { current: bytes, maximum: bytes }).unwrap();
        let store = open_at(&folder, engine);
        let mut upload = store.create(&name("new")).unwrap();
        (0..6).for_each(|index| upload.write_at(index * SLOT, chunk(7)).unwrap());
        upload.commit().unwrap();
        let mut found = Block::zeroed(CHUNK as usize);
        store.read_at(&name("new"), 5 * SLOT, &mut found).unwrap();
        assert!(found.iter().all(|&byte| byte == 7));
        return;
    }
    for engine in engines() {
        let parent = tempfile::tempdir().unwrap();
        let mut child =
            child("tests::queued::without_memory_to_lock", &parent.path().join("store"), engine);
        let started =
            chown(parent.path(), Some(NOBODY), None).and_then(|()| child.uid(NOBODY).output());
        match started {
            Ok(output) => assert!(output.status.success(), "{engine:?}: {output:?}"),
            Err(error) => println!("skipped: this user can't act as another one: {error}"),
        }
    }
}
