//! What interrupted and rolled-back vaults leave behind is settled without losing anything.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod rooms;

use rooms::Rooms;
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use warifu_core::share_file::{ShareHeader, capsule_area};
use warifu_vault::{BackupRequest, Source, Vault, Watch};

fn copy_catalog(source: &Path, target: &Path) {
    std::fs::create_dir_all(target).unwrap();
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        match std::fs::copy(source.join(name), target.join(name)) {
            Ok(_) => {}
            Err(_) => drop(std::fs::remove_file(target.join(name))),
        }
    }
}

fn request(path: &Path) -> BackupRequest {
    BackupRequest::new(Source::File(path.to_owned()), "P1".parse().unwrap(), "3/5".parse().unwrap())
}

/// Backs a file up and puts the catalog back to what it was while that ran. The vault's folder,
/// and the object's identifier.
fn finish_and_forget(rooms: &Rooms, data: &[u8]) -> String {
    let path = rooms.root.path().join("input");
    std::fs::write(&path, data).unwrap();
    let aside = rooms.root.path().join("aside");
    let copied = Cell::new(false);
    let stop = AtomicBool::new(false);
    let mut progress = |_| {
        if !copied.replace(true) {
            copy_catalog(rooms.gateway.dir(), &aside);
        }
    };
    let watch = Watch { progress: &mut progress, stop: &stop };
    let report = rooms.gateway.backup(&request(&path), watch).unwrap();
    assert!(copied.get(), "the catalog was copied while the backup ran");
    report.object
}

fn roll_back(rooms: Rooms) -> Rooms {
    let Rooms { root, gateway, .. } = rooms;
    let dir = gateway.dir().to_owned();
    drop(gateway);
    copy_catalog(&root.path().join("aside"), &dir);
    Rooms { root, gateway: Vault::open(&dir).unwrap() }
}

#[test]
fn an_object_that_the_catalog_forgot_is_listed_again_and_not_wiped() {
    let rooms = Rooms::new(5, 64 << 20);
    let data: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7 / 3) as u8).collect();
    let object = finish_and_forget(&rooms, &data);
    let rooms = roll_back(rooms);
    let gateway = &rooms.gateway;
    assert!(gateway.objects().unwrap().is_empty(), "the catalog is the older one");
    assert_eq!(gateway.collect_litter().unwrap(), (1, 0));
    assert_eq!(gateway.objects().unwrap()[0].object, object);
    assert_eq!(gateway.collect_litter().unwrap(), (0, 0));
    let (_, restored) = rooms.restore(&object).unwrap();
    assert!(restored == data);
}

#[test]
fn a_half_complete_object_is_kept_for_a_person_to_decide() {
    let rooms = Rooms::new(5, 64 << 20);
    let object = finish_and_forget(&rooms, &[5; 100_000]);
    let share = format!("{object}-01.share");
    let path = walk(rooms.root.path()).into_iter().find(|path| path.ends_with(&share)).unwrap();
    std::fs::remove_file(path).unwrap();
    let rooms = roll_back(rooms);
    let gateway = &rooms.gateway;
    assert_eq!(gateway.collect_litter().unwrap(), (0, 1));
    assert!(gateway.objects().unwrap().is_empty());
    let left = walk(rooms.root.path()).into_iter().filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&object))
    });
    assert_eq!(left.count(), 4, "four shares are still there");
    // Giving it up does not remove them either, unless just that is asked for.
    let id = object.parse().unwrap();
    assert_eq!(gateway.cancel_job(&id).unwrap_err().code(), "object-half-complete");
    assert_eq!(gateway.complete_at(&id).unwrap().len(), 4);
    assert!(gateway.remove_job(&id).unwrap().is_empty());
    assert_eq!((named(&rooms, &object), gateway.jobs().unwrap().len()), (0, 0));
}

/// Files that are named by an object.
fn named(rooms: &Rooms, object: &str) -> usize {
    let found = walk(rooms.root.path()).into_iter().filter(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(object))
    });
    found.count()
}

#[test]
fn fewer_shares_than_it_takes_are_removed_once_no_more_can_be_completed() {
    let rooms = Rooms::new(5, 64 << 20);
    let object = finish_and_forget(&rooms, &[5; 100_000]);
    for x in 1..=3 {
        let share = format!("{object}-{x:02}.share");
        let path = walk(rooms.root.path()).into_iter().find(|path| path.ends_with(&share)).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let rooms = roll_back(rooms);
    assert_eq!(named(&rooms, &object), 2);
    assert_eq!(rooms.gateway.collect_litter().unwrap(), (1, 0));
    assert_eq!((named(&rooms, &object), rooms.gateway.objects().unwrap().len()), (0, 0));
}

#[test]
fn an_object_with_a_share_of_another_capsule_is_not_listed() {
    let rooms = Rooms::new(5, 64 << 20);
    let object = finish_and_forget(&rooms, &[5; 100_000]);
    let share = format!("{object}-02.share");
    let path = walk(rooms.root.path()).into_iter().find(|path| path.ends_with(&share)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let header = ShareHeader::decode(bytes.first_chunk().unwrap()).unwrap();
    let start = header.capsule_offset() as usize;
    let mut capsule = bytes[start..start + header.capsule_bytes() as usize].to_vec();
    capsule[20] ^= 1;
    let area = capsule_area(&capsule);
    bytes.truncate(start);
    bytes.extend_from_slice(&area);
    std::fs::write(&path, bytes).unwrap();
    let rooms = roll_back(rooms);
    assert_eq!(rooms.gateway.collect_litter().unwrap(), (0, 1));
    assert!(rooms.gateway.objects().unwrap().is_empty());
    let failure = rooms.gateway.cancel_job(&object.parse().unwrap()).unwrap_err();
    assert_eq!(failure.code(), "object-disputed");
    assert_eq!(named(&rooms, &object), 5, "nothing is removed");
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
