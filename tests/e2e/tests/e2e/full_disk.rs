//! A site whose disk is full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use warifu_e2e::{Backup, Fault, Flow, Lab, LabShape, Persons, Strike, sample};

/// Room in the small file system, in bytes.
const ROOM_BYTES: u64 = 48 << 20;

/// A small file system of its own, where that is allowed; unmounted when it is dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let mount = |program: &str, words: &[&str]| {
            let done = Command::new(program).args(words).arg(folder).output();
            done.is_ok_and(|done| done.status.success())
        };
        let size = format!("size={ROOM_BYTES}");
        match mount("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"]) {
            true => Some(Self { folder: folder.to_owned() }),
            false => None,
        }
    }

    /// Leaves `left` bytes of room. Answers the file that takes all others.
    fn fill(folder: &Path, left: u64) -> PathBuf {
        let path = folder.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - left).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _left = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}

#[test]
fn a_full_disk_ends_a_backup_and_leaves_nothing() {
    let mut lab = Lab::new(LabShape { sites: 3, proxied: true, ..LabShape::default() });
    let data = sample(30, 6 << 20);
    let path = lab.file("in", &data);
    let first = lab.store(&path, "2/3");
    let store = lab.sites[0].store();
    lab.sites[0].stop();
    let aside = lab.path("aside");
    std::fs::rename(&store, &aside).unwrap();
    std::fs::create_dir(&store).unwrap();
    let Some(_disk) = SmallDisk::mount(&store) else {
        println!("skipped: a full disk at a site, as no small file system may be mounted here");
        return;
    };
    warifu_e2e::tree_copy(&aside, &store);
    lab.sites[0].start();
    full_before_it_starts(&lab, &path);
    full_on_the_way(&lab, &path);
    let second = lab.store(&path, "2/3");
    for object in [&first, &second] {
        lab.expect_back(object, &data);
    }
    let _summary = lab.expect_key_used_once();
    lab.sites[0].stop();
}

#[test]
fn a_gateway_whose_disk_is_full_releases_nothing_and_still_tells_what_is_stored() {
    let shape = LabShape { sites: 3, key_bytes: 6 << 20, ..LabShape::default() };
    let persons = Persons::new(shape);
    let data = sample(31, 200_000);
    let object = persons.lab.store(&persons.lab.file("in", &data), "2/3");
    let consent = persons.grant(("P1", &object), "gateway", "c.jws", &[]);
    let (vault, aside) = (&persons.lab.gateway, persons.lab.path("aside"));
    std::fs::rename(vault, &aside).unwrap();
    std::fs::create_dir(vault).unwrap();
    let Some(_disk) = SmallDisk::mount(vault) else {
        println!("skipped: a full disk at a gateway, as no small file system may be mounted here");
        return;
    };
    warifu_e2e::tree_copy(&aside, vault);
    let filler = SmallDisk::fill(vault, 0);
    let (done, none) = persons.restore(&object, &consent, "P1", &[]);
    assert!(none.is_none(), "something was delivered");
    let done = done.exits(17);
    assert!(done.stderr.contains("error[audit-unwritable]"), "{done:?}");
    assert_eq!(persons.lab.listed(), std::slice::from_ref(&object));
    for words in [&["show", &object][..], &["audit", "show"], &["status", "--offline"]] {
        let _read = persons.lab.run(words).ok();
    }
    std::fs::remove_file(filler).unwrap();
    let (done, got) = persons.restore(&object, &consent, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
}

fn full_before_it_starts(lab: &Lab, path: &Path) {
    let filler = SmallDisk::fill(&lab.sites[0].store(), 1 << 20);
    let before = lab.pool("s0/to")["bytes_left"].as_u64().unwrap();
    expect_refused(lab, path);
    let after = lab.pool("s0/to")["bytes_left"].as_u64().unwrap();
    assert!(before - after < 64 << 10, "no share was begun: {before} and {after} bytes left");
    std::fs::remove_file(filler).unwrap();
}

/// The disk fills up while the share is on its way.
fn full_on_the_way(lab: &Lab, path: &Path) {
    let (folder, (told, filled)) = (lab.sites[0].store(), std::sync::mpsc::channel());
    let call = Box::new(move || {
        told.send(SmallDisk::fill(&folder, 64 << 10)).unwrap();
    });
    lab.sites[0].proxy().arm(Fault { flow: Flow::Up, at: 1100, strike: Strike::Call(call) });
    expect_refused(lab, path);
    std::fs::remove_file(filled.try_recv().unwrap()).unwrap();
}

fn expect_refused(lab: &Lab, path: &Path) {
    let listed = lab.listed();
    let done = lab.backup(Backup::of(path, "2/3")).exits(16);
    assert_eq!(done.exit_line()["code"], 16);
    assert_eq!(lab.listed(), listed);
    for site in &lab.sites {
        assert!(site.files("unfinished").is_empty(), "litter at {}", site.name);
        assert_eq!(site.files("shares").len(), listed.len(), "litter at {}", site.name);
    }
}
