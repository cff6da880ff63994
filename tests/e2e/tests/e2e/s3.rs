//! Sites whose shares lie in S3, at real servers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use warifu_backend::{SpooledStore, conformance};
use warifu_backend_local::{LocalConfig, LocalStore};
use warifu_backend_s3::{Credentials, S3Config, S3Objects};
use warifu_e2e::{Backup, Bucket, Lab, LabShape, Running, ServerKind, sample};

fn shape(key_bytes: u64) -> LabShape {
    LabShape { sites: 0, key_bytes, random_bytes: 4 << 20, ..LabShape::default() }
}

/// Runs the suite that every store passes, each case under a prefix of its own.
fn conforms(kind: ServerKind) {
    let Some(bucket) = Bucket::start(kind) else { return };
    let (id, secret) = bucket.key();
    let (rooms, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    conformance::all(&|| {
        let room = tempfile::tempdir().unwrap();
        let config = S3Config::parse(&bucket.url(&format!("case{}", next.fetch_add(1, Relaxed))));
        let credentials = Credentials::Key { id, secret };
        let notes = room.path().join("uploads");
        let objects = S3Objects::open(&config.unwrap(), credentials, &notes).unwrap();
        let spool = LocalStore::open(&LocalConfig::new(room.path().join("spool"))).unwrap();
        rooms.lock().unwrap().push(room);
        Box::new(SpooledStore::new(objects, std::sync::Arc::new(spool)))
    });
    assert_eq!(bucket.unfinished_uploads(), 0, "an upload is left");
}

#[test]
fn seaweed_conforms() {
    conforms(ServerKind::Seaweed);
}

#[test]
fn s3s_fs_conforms() {
    conforms(ServerKind::S3sFs);
}

/// A local site, and four at two servers; any two are lost.
#[test]
fn shares_in_buckets_come_back_without_any_two_sites() {
    let Some(seaweed) = Bucket::start(ServerKind::Seaweed) else { return };
    let Some(s3s) = Bucket::start(ServerKind::S3sFs) else { return };
    let shape = shape(64 << 20);
    let mut lab = Lab::new(shape);
    for bucket in [None, Some(&seaweed), Some(&seaweed), Some(&s3s), Some(&s3s)] {
        lab.add_site_at(&shape, bucket);
    }
    // More than a part at each site.
    let data = sample(5, (25 << 20) + 77);
    let file = lab.file("in", &data);
    let object = lab.store(&file, "3/5");
    assert_eq!(seaweed.unfinished_uploads() + s3s.unfinished_uploads(), 0);
    for lost in [[0, 1], [1, 3], [2, 4]] {
        for site in lost {
            lab.sites[site].stop();
        }
        let _report = lab.expect_back(&object, &data);
        for site in lost {
            lab.sites[site].start();
        }
    }
    let _audit = lab.expect_key_used_once();
}

/// The server dies while a share is put; the backup goes on when it is back.
#[test]
fn a_server_killed_during_an_upload_loses_nothing() {
    let Some(mut bucket) = Bucket::start(ServerKind::Seaweed) else { return };
    let shape = shape(256 << 20);
    let mut lab = Lab::new(shape);
    lab.add_site_at(&shape, None);
    lab.add_site_at(&shape, Some(&bucket));
    lab.add_site_at(&shape, None);
    let data = sample(6, (64 << 20) + 1);
    let file = lab.file("in", &data);
    let mut backup = lab.spawn_backup(Backup::of(&file, "2/3"));
    let notes = lab.sites[1].vault.join("spool/uploads");
    let is_under_way = || std::fs::read_dir(&notes).is_ok_and(|notes| notes.count() > 0);
    while !is_under_way() {
        assert!(!backup.has_ended(), "the share was put before the server could be killed");
        std::thread::yield_now();
    }
    bucket.kill_nine();
    let ended = backup.wait();
    bucket.restart();
    if ended.code != 0 {
        let _resumed = lab.backup(Backup::of(&file, "2/3")).ok();
    }
    let objects = lab.listed();
    lab.sites[0].stop();
    let _report = lab.expect_back(&objects[0], &data);
    // What could not be aborted while the server was away is aborted when the site opens.
    lab.sites[1].stop();
    lab.sites[1].start();
    assert_eq!(bucket.unfinished_uploads(), 0, "an upload is left");
    let _audit = lab.expect_key_used_once();
}

#[test]
fn a_gateway_puts_nothing_into_a_bucket_by_itself() {
    let lab = Lab::new(shape(1 << 20));
    let added = lab.run(&["--json", "site", "add", "s3", "s3://genomes/a"]).exits(2);
    assert!(added.stderr.contains("no one-time pad"), "{}", added.stderr);
    assert!(added.stderr.contains("site serve"), "{}", added.stderr);
}

#[test]
fn credentials_in_a_url_are_refused_before_anything_is_made() {
    let room = tempfile::tempdir().unwrap();
    let vault = room.path().join("site");
    let words = ["init", "--site", "a", "--listen", "127.0.0.1:0", "--store"];
    let words = [&words[..], &["s3://b/a?secret_access_key=HUSH"]].concat();
    let done = Running::start(&vault, &words).wait().exits(2);
    assert!(done.stderr.contains("AWS_SECRET_ACCESS_KEY"), "{}", done.stderr);
    assert!(!done.stderr.contains("HUSH"), "{}", done.stderr);
    assert!(!vault.exists());
}
