//! The courier's drive: both ends get the same key, once, and whatever is cut short is finished.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use warifu_core::{KeyClass, LinkId, SiteName};
use warifu_keystore::simulated::{Machine, Survives};
use warifu_keystore::{
    DeclaredRandom, Directory, Drive, DriveRefusal, FromRandomPool, Generator, KeyError, KeyStore,
    OsEntropy, PoolKind, SegmentRefusal,
};
use world::{AB, BA, Counted, Handshake, Judge, link, link_pool, name, shake_hands};

const BYTES: u64 = 5000;

/// Two vaults and a drive in a folder of the real file system.
struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn create(&self, name: &str) -> KeyStore {
        let medium = Arc::new(Directory::new(self.path(name)));
        KeyStore::create(medium, Arc::new(OsEntropy)).unwrap()
    }

    fn open(&self, name: &str) -> Result<KeyStore, KeyError> {
        KeyStore::open(Arc::new(Directory::new(self.path(name))), Arc::new(OsEntropy))
    }

    fn send(&self, store: &KeyStore, link: LinkId, to: &str) -> Result<Drive, KeyError> {
        let mut source = Generator::new(Arc::new(OsEntropy));
        let drive = self.path("drive");
        store.courier(link, &name("gate"), &name(to), BYTES, &mut source, &drive, &mut |_| ())
    }
}

fn refusal(error: &KeyError) -> Option<DriveRefusal> {
    match error {
        KeyError::Drive { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn both_ends_hold_the_same_key_and_the_drive_is_empty() {
    let room = Room::new();
    let (a, b) = (room.create("a"), room.create("b"));
    let mut told = 0;
    let mut source = Generator::new(Arc::new(OsEntropy));
    let sent = a
        .courier(
            link(),
            &name("gate"),
            &name("sendai"),
            (1 << 20) + 77,
            &mut source,
            &room.path("drive"),
            &mut |bytes| told += bytes,
        )
        .unwrap();
    assert_eq!(told, 2 * ((1 << 20) + 77));
    let drive = Drive::read(&room.path("drive")).unwrap();
    assert_eq!((drive.link, &drive.from, &drive.to), (link(), &name("gate"), &name("sendai")));
    assert_eq!(drive.segments, sent.segments);
    assert_eq!(b.import_drive(&drive, &name("sendai")).unwrap(), link());
    assert_eq!(std::fs::read_dir(room.path("drive")).unwrap().count(), 0);
    let status = b.pool_status(link_pool()).unwrap();
    assert_eq!(status.peer, Some(name("gate")));
    assert_eq!(status.class, Some(KeyClass::Computational));
    assert_eq!(status.direction(BA).unwrap().bytes_left, (1 << 20) + 77);
    assert!(status.direction(BA).unwrap().is_holder);
    let Handshake::Done(mut session) =
        shake_hands(&a, &b, 900_000, 99, &mut Judge::default()).unwrap()
    else {
        panic!("an honest handshake ended early");
    };
    let (range, key) = session.a_lease.take(800_000).unwrap().into_parts();
    assert_eq!(session.b_granted.open(range).unwrap().into_parts().1[..], key[..]);
    let (range, key) = session.b_lease.take(800_000).unwrap().into_parts();
    assert_eq!(session.a_granted.open(range).unwrap().into_parts().1[..], key[..]);
    drop((session, a, b));
    assert!(room.open("a").unwrap().audit().unwrap().is_clean());
}

#[test]
fn further_drives_append_and_every_wrong_one_is_refused() {
    let room = Room::new();
    let (a, b) = (room.create("a"), room.create("b"));
    room.send(&a, link(), "sendai").unwrap();
    let first = Drive::read(&room.path("drive")).unwrap();
    assert_eq!(
        refusal(&room.send(&a, link(), "sendai").unwrap_err()),
        Some(DriveRefusal::Occupied)
    );
    let other = b.import_drive(&first, &name("tokyo")).unwrap_err();
    assert_eq!(refusal(&other), Some(DriveRefusal::OtherSite));
    let copy = room.path("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(room.path("drive")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    b.import_drive(&first, &name("sendai")).unwrap();
    let twice = b.import_drive(&Drive::read(&copy).unwrap(), &name("sendai")).unwrap_err();
    assert_eq!(refusal(&twice), Some(DriveRefusal::Twice));
    assert_eq!(std::fs::read_dir(&copy).unwrap().count(), 0, "its key is here, so it is erased");
    assert_eq!(refusal(&Drive::read(&copy).unwrap_err()), Some(DriveRefusal::Malformed));

    room.send(&a, link(), "sendai").unwrap();
    let second = Drive::read(&room.path("drive")).unwrap();
    assert_eq!(second.segments[0].range.start(), BYTES);
    b.import_drive(&second, &name("sendai")).unwrap();
    assert_eq!(b.pool_status(link_pool()).unwrap().direction(AB).unwrap().bytes_total, 2 * BYTES);

    // Another link under a name that is taken, at either end.
    let stranger = LinkId::from_bytes([9; 16]);
    let taken = room.send(&a, stranger, "sendai").unwrap_err();
    assert!(matches!(taken, KeyError::PeerNameTaken { .. }));
    let c = room.create("c");
    room.send(&c, stranger, "sendai").unwrap();
    let impostor = Drive::read(&room.path("drive")).unwrap();
    let taken = b.import_drive(&impostor, &name("sendai")).unwrap_err();
    assert!(matches!(taken, KeyError::PeerNameTaken { link: held, .. } if held == link()));
    // A known link with another peer, or at the other end.
    let back = a.import_drive(&Drive { link: link(), to: name("gate"), ..impostor }, &name("gate"));
    assert!(back.is_err());
    assert!(a.pool_status(stranger.into()).is_err());
}

#[test]
fn a_missing_drive_is_a_gap_and_nothing_is_changed_by_it() {
    let room = Room::new();
    let (a, b) = (room.create("a"), room.create("b"));
    room.send(&a, link(), "sendai").unwrap();
    std::fs::rename(room.path("drive"), room.path("late")).unwrap();
    room.send(&a, link(), "sendai").unwrap();
    let early = Drive::read(&room.path("drive")).unwrap();
    let late = Drive::read(&room.path("late")).unwrap();
    let refused = |drive: &Drive, wanted: SegmentRefusal| {
        let error = b.import_drive(drive, &name("sendai")).unwrap_err();
        assert!(matches!(error, KeyError::Segment { reason, .. } if reason == wanted), "{error:?}");
    };
    refused(&early, SegmentRefusal::Gap);
    assert_eq!(std::fs::read_dir(room.path("drive")).unwrap().count(), 3);
    b.import_drive(&late, &name("sendai")).unwrap();
    b.import_drive(&early, &name("sendai")).unwrap();
    assert_eq!(b.pool_status(link_pool()).unwrap().direction(BA).unwrap().bytes_left, 2 * BYTES);
}

#[test]
fn a_segment_is_refused_for_every_flaw() {
    let room = Room::new();
    let (a, b) = (room.create("a"), room.create("b"));
    b.create_pool(link_pool(), PoolKind::Link(warifu_core::End::B), Some(name("gate"))).unwrap();
    let drive = room.send(&a, link(), "sendai").unwrap();
    let file =
        |at: usize| room.path("drive").join(format!("{}.segment", drive.segments[at].segment));
    let whole = std::fs::read(file(0)).unwrap();
    let import = |content: &[u8]| {
        let path = room.path("one.segment");
        std::fs::write(&path, content).unwrap();
        match b.import_segment(&path).unwrap_err() {
            KeyError::SegmentFile { reason, .. } | KeyError::Segment { reason, .. } => reason,
            error => panic!("{error:?}"),
        }
    };
    assert_eq!(import(&[]), SegmentRefusal::Length);
    assert_eq!(import(&whole[..4000]), SegmentRefusal::Length);
    assert_eq!(import(&whole[..whole.len() - 1]), SegmentRefusal::Length);
    assert_eq!(import(&[&whole[..], &[0]].concat()), SegmentRefusal::Length);
    let mut flipped = whole.clone();
    flipped[50] ^= 1;
    assert_eq!(import(&flipped), SegmentRefusal::Checksum);
    flipped[0] ^= 1;
    assert_eq!(import(&flipped), SegmentRefusal::BadHeader);
    assert!(matches!(
        b.import_segment(&room.path("nothing")),
        Err(KeyError::SegmentFile { reason: SegmentRefusal::Missing, .. })
    ));
    assert_eq!(b.import_segment(&file(0)).unwrap(), drive.segments[0].segment);
    assert!(!file(0).exists(), "it was moved");
    assert_eq!(import(&whole), SegmentRefusal::Twice);
    let c = room.create("c");
    let elsewhere = c.import_segment(&file(1));
    assert!(matches!(elsewhere, Err(KeyError::NoPool { .. })));
    // The same positions under another name.
    let d = room.create("d");
    std::fs::remove_file(room.path("drive").join("courier.json")).unwrap();
    std::fs::remove_file(file(1)).unwrap();
    room.send(&d, link(), "sendai").unwrap();
    let other = Drive::read(&room.path("drive")).unwrap().segments[0].segment;
    let content = std::fs::read(room.path("drive").join(format!("{other}.segment"))).unwrap();
    assert_eq!(import(&content), SegmentRefusal::Overlap);
}

/// What a courier plants on a drive must not lead anywhere else.
#[test]
fn links_on_a_drive_are_not_followed() {
    let room = Room::new();
    let (gate, site) = (room.create("gate"), room.create("site"));
    let drive = room.path("drive");
    std::fs::create_dir(&drive).unwrap();
    let victim = room.path("victim");
    std::fs::write(&victim, b"worth keeping").unwrap();
    std::os::unix::fs::symlink(&victim, drive.join("x.filling")).unwrap();
    let key = link();
    assert!(room.send(&gate, key, "sendai").is_err());
    assert_eq!(std::fs::read(&victim).unwrap(), b"worth keeping");

    std::fs::remove_file(drive.join("x.filling")).unwrap();
    let carried = room.send(&gate, key, "sendai").unwrap();
    for one in &carried.segments {
        let path = drive.join(format!("{}.segment", one.segment));
        std::fs::rename(&path, room.path(&one.segment.to_string())).unwrap();
        std::os::unix::fs::symlink(room.path(&one.segment.to_string()), &path).unwrap();
    }
    let planted = Drive::read(&drive).unwrap();
    assert!(site.import_drive(&planted, &name("sendai")).is_err());
    assert!(site.pools().unwrap().is_empty(), "nothing was taken in");
    for one in &carried.segments {
        let moved = std::fs::read(room.path(&one.segment.to_string())).unwrap();
        assert!(moved[4096..].iter().any(|byte| *byte != 0), "and nothing was erased");
    }
}

#[test]
fn a_letter_is_parsed_strictly() {
    let room = Room::new();
    let drive = room.path("drive");
    std::fs::create_dir(&drive).unwrap();
    let read = |text: &str| {
        std::fs::write(drive.join("courier.json"), text).unwrap();
        Drive::read(&drive)
    };
    let id = "11".repeat(16);
    let letter = |file: &str, from: &str, base: u64, more: &str| {
        format!(
            r#"{{"v":1,"link":"{id}","from":"{from}","to":"sendai","created":"2026-01-01T00:00:00Z",
            "segments":[{{"file":"{file}","segment":"{id}","direction":0,
            "base":{base},"bytes":9}}]{more}}}"#
        )
    };
    let file = format!("{id}.segment");
    assert_eq!(read(&letter(&file, "gate", 0, "")).unwrap().segments.len(), 1);
    for bad in [
        letter(&format!("../{file}"), "gate", 0, ""),
        letter("/etc/passwd", "gate", 0, ""),
        letter(&file, "Gate", 0, ""),
        letter(&file, "gate", u64::MAX, ""),
        letter(&file, "gate", 0, r#","more":1"#),
        letter(&file, "gate", 0, "").replace("\"v\":1", "\"v\":2"),
        letter(&file, "gate", 0, "").replace("\"direction\":0", "\"direction\":2"),
        letter(&file, "gate", 0, "").replace("2026", "\\u001b[2J"),
        String::new(),
        " ".repeat(70_000),
        "[".repeat(10_000),
    ] {
        assert_eq!(refusal(&read(&bad).unwrap_err()), Some(DriveRefusal::Malformed), "{bad:.80}");
    }
}

#[test]
fn random_numbers_become_link_key_and_are_used_up() {
    let room = Room::new();
    let a = room.create("a");
    let pool = world::random_pool();
    let qrng = room.path("qrng");
    let mut noise = vec![0; 3 * BYTES as usize];
    warifu_keystore::Entropy::fill(&OsEntropy, &mut noise).unwrap();
    std::fs::write(&qrng, &noise).unwrap();
    a.create_pool(pool, PoolKind::Random, None).unwrap();
    let mut declared = DeclaredRandom::open(&qrng, "qrng-7").unwrap();
    a.generate_segment(pool, AB, 3 * BYTES, &mut declared, &mut |_| ()).unwrap();
    let mut source = FromRandomPool::new(a.self_lease(pool, 2 * BYTES + 10).unwrap());
    let (from, to): (SiteName, SiteName) = (name("gate"), name("sendai"));
    let drive = room.path("drive");
    a.courier(link(), &from, &to, BYTES, &mut source, &drive, &mut |_| ()).unwrap();
    let rest = source.into_lease().release().unwrap();
    assert_eq!(rest.iter().map(warifu_core::KeyRange::len).sum::<u64>(), 10);
    let status = a.pool_status(link_pool()).unwrap();
    assert_eq!(status.class, Some(KeyClass::InformationTheoretic));
    assert_eq!(status.sources, ["random-pool"]);
    let drive = Drive::read(&drive).unwrap();
    let carried = format!("{}.segment", drive.segments[0].segment);
    let key = std::fs::read(drive.path.join(carried)).unwrap();
    assert_eq!(key[4096..], noise[..BYTES as usize]);
    let random = a.pool_status(pool).unwrap();
    assert_eq!(random.direction(AB).unwrap().bytes_consumed, 2 * BYTES);
    let mut short = FromRandomPool::new(a.self_lease(pool, 100).unwrap());
    let failed = a.generate_segment(link_pool(), AB, 200, &mut short, &mut |_| ());
    assert!(matches!(failed, Err(KeyError::Source { .. })));
    let folder = room.path("a").join("pools").join(link_pool().to_string());
    let litter = std::fs::read_dir(folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with("filling"));
    assert_eq!(litter.count(), 0);
}

/// Moves what lies on one machine's drive to another machine.
fn carry(source: &Machine, target: &Machine) {
    use warifu_keystore::medium::{Medium, Opening};
    let drive = target.process();
    drive.create_dir(Path::new("/drive")).unwrap();
    drive.sync_dir(Path::new("/")).unwrap();
    for path in source.names().iter().filter(|path| path.starts_with("/drive")) {
        let file = drive.open(path, Opening::Create).unwrap();
        file.write_at(0, &source.content(path).unwrap()).unwrap();
        file.sync().unwrap();
    }
    drive.sync_dir(Path::new("/drive")).unwrap();
}

fn send(store: &KeyStore, entropy: &Arc<Counted>) -> Result<Drive, KeyError> {
    let mut source = Generator::new(entropy.clone());
    let drive = Path::new("/drive");
    store.courier(link(), &name("gate"), &name("site"), 300, &mut source, drive, &mut |_| ())
}

const SURVIVALS: [Survives; 5] = [
    Survives::Synced,
    Survives::All,
    Survives::Prefix(1),
    Survives::Torn(0, 31),
    Survives::Zeroed(0),
];

/// Cuts the power after every single step of the order and of the import, and lets more or less
/// survive: the same command again finishes, and both ends hold the same key.
#[test]
fn a_courier_cut_short_anywhere_is_finished_by_the_same_order() {
    for survives in SURVIVALS {
        let mut steps = 0;
        loop {
            let entropy = Arc::new(Counted::default());
            let machine = Machine::new();
            drop(KeyStore::create(machine.process(), entropy.clone()).unwrap());
            let (process, store) = world::open(&machine, &entropy);
            let store = store.unwrap();
            process.fail_after(steps);
            let untouched = send(&store, &entropy).is_ok();
            machine.crash(survives);
            drop(store);
            let again = world::open(&machine, &entropy).1.unwrap();
            if let Err(error) = send(&again, &entropy) {
                let occupied = refusal(&error) == Some(DriveRefusal::Occupied);
                assert!(occupied && drive_is_whole(&machine, &entropy), "{steps}: {error:?}");
            }
            import_and_compare(&machine, &entropy);
            if untouched {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps}");
    }
}

fn drive_is_whole(machine: &Machine, _entropy: &Arc<Counted>) -> bool {
    machine.names().iter().any(|path| path == Path::new("/drive/courier.json"))
}

fn letter_of(machine: &Machine) -> Drive {
    // The simulated drive, read through a real folder.
    let folder = tempfile::tempdir().unwrap();
    let text = machine.content(Path::new("/drive/courier.json")).unwrap();
    std::fs::write(folder.path().join("courier.json"), text).unwrap();
    Drive { path: "/drive".into(), ..Drive::read(folder.path()).unwrap() }
}

fn import_and_compare(at_a: &Machine, entropy: &Arc<Counted>) {
    let machine = Machine::new();
    let store = KeyStore::create(machine.process(), entropy.clone()).unwrap();
    carry(at_a, &machine);
    store.import_drive(&letter_of(&machine), &name("site")).unwrap();
    compare(at_a, &machine);
}

fn compare(at_a: &Machine, at_b: &Machine) {
    let segments = |machine: &Machine| -> Vec<(PathBuf, Vec<u8>)> {
        let names = machine.names().into_iter().filter(|path| {
            path.starts_with("pools") && path.extension().is_some_and(|end| end == "segment")
        });
        names.map(|path| (path.clone(), machine.content(&path).unwrap())).collect()
    };
    assert_eq!(segments(at_b).len(), 2);
    assert!(segments(at_a) == segments(at_b), "the two ends hold different key");
    assert!(!at_b.names().iter().any(|path| path.starts_with("/drive")), "the drive is erased");
}

#[test]
fn an_import_cut_short_anywhere_is_finished_by_another() {
    let entropy = Arc::new(Counted::default());
    let at_a = Machine::new();
    let a = KeyStore::create(at_a.process(), entropy.clone()).unwrap();
    send(&a, &entropy).unwrap();
    for survives in SURVIVALS {
        let mut steps = 0;
        loop {
            let machine = Machine::new();
            drop(KeyStore::create(machine.process(), entropy.clone()).unwrap());
            carry(&at_a, &machine);
            let drive = letter_of(&machine);
            let (process, store) = world::open(&machine, &entropy);
            let store = store.unwrap();
            process.fail_after(steps);
            let untouched = store.import_drive(&drive, &name("site")).is_ok();
            machine.crash(survives);
            drop(store);
            let again = world::open(&machine, &entropy).1.unwrap();
            if drive_is_whole(&machine, &entropy) {
                match again.import_drive(&drive, &name("site")) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(refusal(&error), Some(DriveRefusal::Twice), "{steps}"),
                }
            }
            compare(&at_a, &machine);
            if untouched {
                break;
            }
            steps += 1;
        }
        assert!(steps > 20, "{steps}");
    }
}
