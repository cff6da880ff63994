//! Every set of `k` shares of an object restores it, whatever the scheme and the size; none of
//! `k - 1` does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use std::fs;
use std::path::PathBuf;
use warifu_vault::Class;

/// Share files that were taken away, and go back.
struct Away(Vec<(PathBuf, PathBuf)>);

impl Away {
    fn take(files: impl Iterator<Item = PathBuf>) -> Self {
        let moved = files.map(|file| {
            let aside = file.with_extension("aside");
            fs::rename(&file, &aside).unwrap();
            (file, aside)
        });
        Self(moved.collect())
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.0.iter().for_each(|(file, aside)| fs::rename(aside, file).unwrap());
    }
}

#[test]
fn every_set_of_k_restores_and_none_of_fewer() {
    let rooms = Rooms::new(6, 8 << 20);
    let mut restored = 0;
    for n in 3..=6_u8 {
        for k in 2..n {
            let (report, data) = rooms.store(5000 + usize::from(k), &format!("{k}/{n}"));
            for set in 0_u32..1 << n {
                if !(u32::from(k) - 1..=u32::from(k)).contains(&set.count_ones()) {
                    continue;
                }
                let gone = (1..=n).filter(|x| set >> (x - 1) & 1 == 0);
                let _away = Away::take(gone.map(|x| rooms.share_file(&report, x)));
                let outcome = rooms.restore(&report.object);
                if set.count_ones() == u32::from(k) {
                    let (told, back) = outcome.unwrap();
                    assert!(back == data, "{k} of {n}, set {set:#b}");
                    assert_eq!(told.sites.len(), usize::from(k));
                    restored += 1;
                } else {
                    let failure = outcome.unwrap_err();
                    assert_eq!(failure.class(), Class::Unrecoverable, "set {set:#b}: {failure}");
                }
            }
        }
    }
    assert_eq!(restored, 3 + 6 + 4 + 10 + 10 + 5 + 15 + 20 + 15 + 6);
}

/// Where a payload is about to need another page, or another chunk.
#[test]
fn sizes_around_every_boundary_come_back_from_any_k() {
    let rooms = Rooms::new(3, 64 << 20);
    // What a payload holds besides the data of a file named `in`: prologue, attributes, trailer.
    let beside = 64 + (6 + 2) + (6 + 8) + (6 + 4) + 96;
    let edges = [4096, 8192, 1 << 20, 2 << 20, (2 << 20) + 4096];
    let around = edges.iter().flat_map(|edge| (edge - beside - 1)..=(edge - beside + 1));
    for bytes in around.chain([0, 1, 1 << 20, (1 << 20) - 1, (1 << 20) + 1]) {
        let (report, data) = rooms.store(bytes, "2/3");
        let expected = (bytes + beside).next_multiple_of(4096) as u64;
        assert_eq!((report.bytes, report.stored_bytes), (bytes as u64, expected));
        for gone in 1..=3 {
            let _away = Away::take([rooms.share_file(&report, gone)].into_iter());
            let (_, back) = rooms.restore(&report.object).unwrap();
            assert!(back == data, "{bytes} bytes without the share at {gone}");
        }
    }
}
