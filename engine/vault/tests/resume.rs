//! Interrupted backups with sites in the gateway's own room: told, gone on with, given up.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod rooms;

use rooms::Rooms;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use warifu_vault::{BackupRequest, Class, Failure, ObjectReport, Source, Vault, Watch};

const MIB: u64 = 1 << 20;

fn request(path: &Path) -> BackupRequest {
    BackupRequest::new(Source::File(path.to_owned()), "P1".parse().unwrap(), "3/5".parse().unwrap())
}

/// Backs up, and asks to stop once `stop_bytes` are done.
fn backup(vault: &Vault, path: &Path, stop_bytes: u64) -> Result<ObjectReport, Failure> {
    let stop = AtomicBool::new(false);
    let mut progress = |progress: warifu_vault::Progress| {
        stop.store(progress.done_bytes >= stop_bytes, Ordering::Relaxed);
    };
    vault.backup(&request(path), Watch { progress: &mut progress, stop: &stop })
}

/// A room with a backup that was stopped, in another process as it were.
fn stopped() -> (Rooms, Vec<u8>, PathBuf) {
    let rooms = Rooms::new(5, 256 << 20);
    let data: Vec<u8> = (0..20_u32 << 20).map(|at| (at * 7 / 3) as u8).collect();
    let path = rooms.root.path().join("input");
    std::fs::write(&path, &data).unwrap();
    let failure = backup(&rooms.gateway, &path, 6 * MIB).unwrap_err();
    assert_eq!((failure.class(), failure.code()), (Class::Temporary, "stopped"));
    assert!(failure.advice().contains("what is done is kept"), "{}", failure.advice());
    (rooms, data, path)
}

fn reopened(rooms: Rooms) -> Rooms {
    let Rooms { root, gateway, .. } = rooms;
    let dir = gateway.dir().to_owned();
    drop(gateway);
    Rooms { root, gateway: Vault::open(&dir).unwrap() }
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

/// Files of shares, whole and not, at all sites.
fn shares(rooms: &Rooms) -> (usize, usize) {
    let count =
        |folder| (0..5).map(|at| files(&rooms.folder(&format!("s{at}")).join(folder))).sum();
    (count("shares"), count("unfinished"))
}

#[test]
fn what_was_stopped_is_told_and_goes_on_in_this_process_or_another() {
    for another in [false, true] {
        let (mut rooms, data, path) = stopped();
        if another {
            rooms = reopened(rooms);
        }
        let jobs = rooms.gateway.jobs().unwrap();
        assert_eq!(jobs.len(), 1);
        assert_eq!((jobs[0].state, jobs[0].resumable), ("interrupted", true));
        assert_eq!(jobs[0].source.as_deref(), path.to_str());
        let done_bytes = jobs[0].done_bytes.unwrap();
        assert!((6 * MIB..16 * MIB).contains(&done_bytes), "{done_bytes}");
        let report = backup(&rooms.gateway, &path, u64::MAX).unwrap();
        assert_eq!((&report.object, report.resumed_bytes), (&jobs[0].object, done_bytes));
        assert!(rooms.gateway.jobs().unwrap().is_empty());
        assert_eq!(files(&rooms.gateway.dir().join("journal")), 0);
        assert_eq!(shares(&rooms), (5, 0));
        assert!(rooms.restore(&report.object).unwrap().1 == data);
    }
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let (rooms, _, path) = stopped();
    let object = rooms.gateway.jobs().unwrap()[0].object.parse().unwrap();
    assert_eq!(shares(&rooms), (0, 5));
    assert!(!rooms.gateway.cancel_job(&object).unwrap(), "it was not whole anywhere");
    assert!(rooms.gateway.jobs().unwrap().is_empty());
    assert_eq!((shares(&rooms), files(&rooms.gateway.dir().join("journal"))), ((0, 0), 0));
    let again = rooms.gateway.cancel_job(&object).unwrap_err();
    assert_eq!(again.code(), "job-unknown");
    let stop = AtomicBool::new(false);
    let watch = Watch { progress: &mut |_| (), stop: &stop };
    let none = rooms.gateway.resume_backup(&request(&path), watch).unwrap_err();
    assert_eq!((none.class(), none.code()), (Class::NotFound, "nothing-to-resume"));
}

#[test]
fn what_can_not_go_on_is_collected() {
    type Spoil = dyn Fn(&Rooms, &Path);
    let spoil: [&Spoil; 3] = [
        &|_, path| {
            let data = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, data).unwrap();
        },
        &|_, path| std::fs::write(path, b"other").unwrap(),
        &|rooms, _| {
            let folder = rooms.gateway.dir().join("journal");
            let journal = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
            let mut bytes = std::fs::read(&journal).unwrap();
            bytes[100] ^= 1;
            std::fs::write(journal, bytes).unwrap();
        },
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let (rooms, _, path) = stopped();
        assert_eq!(rooms.gateway.collect_litter().unwrap(), (0, 0), "it is kept so far");
        spoil(&rooms, &path);
        assert!(!rooms.gateway.jobs().unwrap()[0].resumable);
        assert_eq!(rooms.gateway.collect_litter().unwrap(), (1, 0), "{number}");
        assert_eq!(shares(&rooms), (0, 0));
        assert_eq!(files(&rooms.gateway.dir().join("journal")), 0);
    }
}

#[test]
fn a_source_that_is_away_is_waited_for() {
    let rooms = Rooms::new(5, 256 << 20);
    let (disk, away) = (rooms.root.path().join("disk"), rooms.root.path().join("away"));
    std::fs::create_dir(&disk).unwrap();
    let (path, data) = (disk.join("input"), vec![7; 20 << 20]);
    std::fs::write(&path, &data).unwrap();
    assert_eq!(backup(&rooms.gateway, &path, 6 * MIB).unwrap_err().code(), "stopped");
    std::fs::rename(&disk, &away).unwrap();
    assert_eq!(rooms.gateway.collect_litter().unwrap(), (0, 0));
    assert!(rooms.gateway.jobs().unwrap()[0].resumable);
    let failure = backup(&rooms.gateway, &path, u64::MAX).unwrap_err();
    assert_eq!(failure.class(), Class::NotFound);
    rooms.store(1000, "2/3");
    std::fs::rename(&away, &disk).unwrap();
    let report = backup(&rooms.gateway, &path, u64::MAX).unwrap();
    assert!(report.resumed_bytes >= 6 * MIB);
    assert!(rooms.restore(&report.object).unwrap().1 == data);
}

#[test]
fn a_source_whose_times_hide_changes_is_stored_and_not_gone_on_with() {
    let rooms = Rooms::new(5, 256 << 20);
    let (path, data) = (rooms.root.path().join("input"), vec![7; 20 << 20]);
    std::fs::write(&path, &data).unwrap();
    let ahead = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(ahead).unwrap();
    let failure = backup(&rooms.gateway, &path, 6 * MIB).unwrap_err();
    assert_eq!(failure.code(), "stopped");
    assert!(rooms.gateway.jobs().unwrap().is_empty());
    assert_eq!(shares(&rooms), (0, 0), "nothing of it was kept");
    let report = backup(&rooms.gateway, &path, u64::MAX).unwrap();
    assert!(rooms.restore(&report.object).unwrap().1 == data);
}

#[test]
fn too_old_a_job_is_collected() {
    let (rooms, ..) = stopped();
    let config = rooms.gateway.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("resume_days = 7"));
    std::fs::write(&config, text.replace("resume_days = 7", "resume_days = 0")).unwrap();
    let rooms = reopened(rooms);
    // Not in the second in which it was begun.
    while rooms.gateway.jobs().unwrap()[0].resumable {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(rooms.gateway.collect_litter().unwrap(), (1, 0));
    assert_eq!(shares(&rooms), (0, 0));
}

#[test]
fn damage_in_a_journal_restarts_and_is_not_trusted() {
    let (rooms, data, path) = stopped();
    let folder = rooms.gateway.dir().join("journal");
    let journal = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&journal).unwrap();
    // The first `opened`, which an `admitted` follows.
    let first = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    bytes[first + 4] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let report = backup(&rooms.gateway, &path, u64::MAX).unwrap();
    assert_eq!(report.resumed_bytes, 0);
    assert_eq!((shares(&rooms), rooms.gateway.objects().unwrap().len()), ((5, 0), 1));
    assert!(rooms.restore(&report.object).unwrap().1 == data);
}
