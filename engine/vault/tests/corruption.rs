//! Stored shares that rot, are forged, swapped, cut or lost: every one is found and its site named,
//! the data comes back to the byte while `k` good shares are left, and not at all otherwise.
//!
//! `WARIFU_TEST_SEED` (a number) replays a run of the sampled tests.

#![expect(clippy::print_stdout, reason = "seeds and counts belong into the log")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;
use warifu_backend::ShareName;
use warifu_backend_local::{LocalConfig, LocalStore};
use warifu_catalog::{Catalog, ShareState};
use warifu_core::share_file::{
    CapsuleShape, Foot, PAGE_BYTES, ShareHeader, SlotClass, share_file_name,
};
use warifu_core::{Geometry, ObjectId, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::share::{ShareError, ShareReader};
use warifu_vault::{Class, ObjectReport, Rejection};

const PAGE: usize = PAGE_BYTES as usize;
/// Three chunks, the last one of four pages.
const DATA_BYTES: usize = (2 << 20) + 3 * PAGE + 100;

/// Their last one, which a restore reads first.
const LAST: u64 = 2;

/// One object at (3,5), its share files writable.
struct Bench {
    rooms: Rooms,
    report: ObjectReport,
    data: Vec<u8>,
    catalog: Catalog,
    /// Header of the share at x = 1; all have the same layout.
    layout: ShareHeader,
}

impl Bench {
    fn new() -> Self {
        let rooms = Rooms::new(5, 32 << 20);
        let (report, data) = rooms.store(DATA_BYTES, "3/5");
        let catalog = Catalog::open(&rooms.root.path().join("g/catalog.db")).unwrap();
        let layout = header(&fs::read(rooms.share_file(&report, 1)).unwrap());
        assert_eq!(layout.geometry.chunk_count(), 3);
        let bench = Self { rooms, report, data, catalog, layout };
        bench.unlock(&bench.report);
        bench
    }

    /// Another backup of the same file.
    fn store_again(&self) -> ObjectReport {
        let (report, _) = self.rooms.store(DATA_BYTES, "3/5");
        self.unlock(&report);
        report
    }

    fn unlock(&self, report: &ObjectReport) {
        for x in 1..=5 {
            let file = self.rooms.share_file(report, x);
            fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn file(&self, x: u8) -> PathBuf {
        self.rooms.share_file(&self.report, x)
    }

    fn site(&self, x: u8) -> &str {
        &self.report.shares[usize::from(x) - 1].site
    }

    fn read(&self, x: u8) -> Vec<u8> {
        fs::read(self.file(x)).unwrap()
    }

    /// Lets the catalog forget what it saw, but for the shares `last`: those are asked last.
    fn ask_last(&self, last: &[u8]) {
        let object = self.report.object.parse().unwrap();
        for x in 1..=5 {
            let bad = last.contains(&x);
            let state = if bad { ShareState::Corrupt } else { ShareState::Good };
            self.catalog.set_share_state(&object, XCoord::new(x).unwrap(), state).unwrap();
        }
    }

    /// Restores to the byte, and tells what was set aside.
    fn restore(&self) -> Vec<Rejection> {
        let (restored, back) = self.rooms.restore(&self.report.object).unwrap();
        assert!(back == self.data, "something else was delivered as the object");
        restored.rejected
    }

    /// Restores with the share at `x` among those asked, and nothing remembered from before.
    fn restore_asking(&self, x: u8) -> Vec<Rejection> {
        self.ask_last(&after(x));
        self.restore()
    }

    /// What a site finds that reads the whole of a share against its own checksums.
    fn scrub(&self, x: u8) -> Result<(), ShareError> {
        let store = LocalStore::open(&LocalConfig::new(self.rooms.folder(self.site(x)))).unwrap();
        let object: ObjectId = self.report.object.parse().unwrap();
        let name = ShareName::new(&share_file_name(object, XCoord::new(x).unwrap())).unwrap();
        let reader = ShareReader::open(&store, &name)?;
        let mut target = vec![0; 1 << 20];
        for index in 0..reader.header().geometry.chunk_count() {
            reader.chunk(Slot { class: ShareClass::Data, index }, &mut target)?;
        }
        reader.scrub_capsule()
    }

    /// Puts `image` in the place of the share at `x`, and demands that a restore which asks it
    /// names it, and no other, at `chunk`. Then all is as before.
    fn expect_named(&self, x: u8, image: &[u8], chunk: u64, what: &str) -> String {
        let good = self.read(x);
        fs::write(self.file(x), image).unwrap();
        let rejected = self.restore_asking(x);
        fs::write(self.file(x), good).unwrap();
        let named: Vec<_> = rejected.iter().map(|bad| (&bad.site[..], bad.chunk)).collect();
        assert_eq!(named, [(self.site(x), chunk)], "{what}");
        rejected[0].reason.clone()
    }
}

/// The two x that follow in a ring: with them asked last, `x` is among the first three.
fn after(x: u8) -> [u8; 2] {
    [x % 5 + 1, (x + 1) % 5 + 1]
}

fn header(image: &[u8]) -> ShareHeader {
    ShareHeader::decode(image.first_chunk().unwrap()).unwrap()
}

/// Rewrites the header under a right checksum.
fn forge_header(image: &mut [u8], change: impl FnOnce(&mut ShareHeader)) {
    let mut header = header(image);
    change(&mut header);
    image[..PAGE].copy_from_slice(&header.encode());
}

/// Rewrites a slot under a right checksum.
fn forge_slot(image: &mut [u8], index: u64, change: impl FnOnce(&mut [u8], &mut Foot)) {
    let header = header(image);
    let start = header.slot_offset(SlotClass::Data, index).unwrap() as usize;
    let end = header.foot_offset(SlotClass::Data, index).unwrap() as usize;
    let (content, rest) = image[start..].split_at_mut(end - start);
    let page: &mut [u8; PAGE] = rest.first_chunk_mut().unwrap();
    let mut foot = Foot::decode(content, page).unwrap();
    change(content, &mut foot);
    page.copy_from_slice(&foot.encode(content));
}

/// SplitMix64: the cases of a sampled run follow from its seed.
struct Sample(u64);

impl Sample {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    /// A byte of a share file, all its parts getting their turn, and the chunk that a restore
    /// misses when it is wrong; none for the capsule area.
    fn place(&mut self, layout: &ShareHeader) -> (u64, Option<u64>) {
        let index = self.below(layout.geometry.chunk_count());
        let slot = layout.slot_offset(SlotClass::Data, index).unwrap();
        let foot = layout.foot_offset(SlotClass::Data, index).unwrap();
        match self.below(16) {
            0..2 => (self.below(80), Some(LAST)),
            2 => (PAGE_BYTES - 8 + self.below(8), Some(LAST)),
            3 => (self.below(PAGE_BYTES), Some(LAST)),
            4..10 => (slot + self.below(foot - slot), Some(index)),
            10..12 => (foot + self.below(56), Some(index)),
            12 => (foot + self.below(PAGE_BYTES), Some(index)),
            _ => {
                let start = layout.capsule_offset();
                (start + self.below(layout.file_bytes() - start), None)
            }
        }
    }
}

fn seed() -> u64 {
    let text = std::env::var("WARIFU_TEST_SEED").unwrap_or_default();
    if text.is_empty() { 0x5741_5249_4655 } else { text.parse().unwrap() }
}

#[derive(Default, Debug)]
struct Found {
    by_restore: u64,
    by_scrub: u64,
    silent: u64,
}

/// Alters one byte of the share at `x` and restores; what a restore doesn't read, a scrub must
/// find. Of restores that don't read the byte one in eight is made. Then the byte is put back.
fn flip(bench: &Bench, x: u8, asked: bool, sample: &mut Sample, found: &mut Found) {
    let (offset, chunk) = sample.place(&bench.layout);
    let chunk = chunk.filter(|_| asked);
    let mask = 1 + sample.below(255) as u8;
    let what = format!("byte {offset} of the share at {x} ^ {mask:#04x}, asked: {asked}");
    let file = fs::OpenOptions::new().read(true).write(true).open(bench.file(x)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
    if chunk.is_some() || sample.below(8) == 0 {
        let rejected = bench.restore();
        let named: Vec<_> = rejected.iter().map(|bad| (&bad.site[..], bad.chunk)).collect();
        let expected = chunk.map(|chunk| (bench.site(x), chunk));
        assert_eq!(named, Vec::from_iter(expected), "{what}");
    }
    match chunk {
        Some(_) => found.by_restore += 1,
        None if bench.scrub(x).is_err() => found.by_scrub += 1,
        None => {
            println!("silent: {what}");
            found.silent += 1;
        }
    }
    file.write_all_at(&byte, offset).unwrap();
    if chunk.is_some() {
        let object = bench.report.object.parse().unwrap();
        let x = XCoord::new(x).unwrap();
        bench.catalog.set_share_state(&object, x, ShareState::Good).unwrap();
    }
}

/// `flips` altered bytes, a multiple of 40, over all five shares; of eight, one is in a share that
/// isn't asked.
fn campaign(flips: u64, seed: u64) -> Found {
    let bench = Bench::new();
    let mut sample = Sample(seed);
    let mut found = Found::default();
    for x in 1..=5 {
        for (asked, part) in [(true, 7), (false, 1)] {
            let last = if asked { after(x) } else { [x, x % 5 + 1] };
            bench.ask_last(&last);
            (0..flips * part / 40).for_each(|_| flip(&bench, x, asked, &mut sample, &mut found));
        }
    }
    assert!(bench.restore_asking(1).is_empty(), "the bench is as it was");
    assert!((1..=5).all(|x| bench.scrub(x).is_ok()));
    found
}

fn campaigns(flips: u64) {
    let started = Instant::now();
    let seed = seed();
    println!("WARIFU_TEST_SEED={seed}");
    // More threads than cores: much of a restore is waiting for the medium.
    let run = |number| thread::spawn(move || campaign(flips / 5, seed + number));
    let threads: Vec<_> = (0..5).map(run).collect();
    let mut total = Found::default();
    for thread in threads {
        let found = thread.join().unwrap();
        total.by_restore += found.by_restore;
        total.by_scrub += found.by_scrub;
        total.silent += found.silent;
    }
    println!("{total:?} in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(total.by_restore + total.by_scrub + total.silent, flips);
    assert_eq!(total.silent, 0);
    assert!(total.by_restore > flips / 2 && total.by_scrub > flips / 8, "all kinds had a turn");
}

#[test]
fn every_altered_byte_is_found_and_its_site_named() {
    campaigns(10_000);
}

#[test]
#[ignore = "half an hour"]
fn every_altered_byte_is_found_for_long() {
    campaigns(200_000);
}

type Forgery = fn(&mut [u8], &mut Foot);

/// Under a right checksum only the hash tells.
const FORGERIES: [(&str, Forgery); 9] = [
    ("the first byte", |content, _| content[0] ^= 1),
    ("the last byte", |content, _| *content.last_mut().unwrap() ^= 0x80),
    ("one bit of the blind block", |_, foot| foot.blind[15] ^= 0x80),
    ("another blind block", |_, foot| foot.blind = [7; 16]),
    ("all zeros", |content, foot| {
        content.fill(0);
        foot.blind = [0; 16];
    }),
    ("two blocks swapped", |content, _| content[..32].rotate_left(16)),
    ("all moved by a block", |content, _| content.rotate_right(16)),
    ("blind block and first block swapped", |content, foot| {
        content[..16].swap_with_slice(&mut foot.blind);
    }),
    ("another constant added", |content, _| content.iter_mut().for_each(|byte| *byte ^= 0x5a)),
];

#[test]
fn forgeries_under_a_right_checksum_are_found_by_the_hash() {
    let bench = Bench::new();
    for x in 1..=5 {
        for index in 0..3 {
            for (name, forgery) in FORGERIES {
                let good = bench.read(x);
                let mut image = good.clone();
                forge_slot(&mut image, index, forgery);
                fs::write(bench.file(x), &image).unwrap();
                bench.scrub(x).unwrap();
                fs::write(bench.file(x), &good).unwrap();
                let reason = bench.expect_named(x, &image, index, name);
                assert_eq!(reason, format!("chunk {index} does not match its hash"), "{name}");
            }
        }
    }
}

#[test]
fn chunks_swapped_within_a_share_are_found() {
    let bench = Bench::new();
    for x in 1..=5 {
        let mut image = bench.read(x);
        let [first, second] = [0, 1].map(|index| {
            let start = bench.layout.slot_offset(SlotClass::Data, index).unwrap() as usize;
            start..start + (1 << 20) + PAGE
        });
        let (head, tail) = image.split_at_mut(second.start);
        head[first.clone()].swap_with_slice(&mut tail[..(1 << 20) + PAGE]);
        // As a rotten table would leave them: each says that it is the other.
        let reason = bench.expect_named(x, &image, 0, "swapped");
        assert!(reason.contains("has no Slot"), "{reason}");
        // As a forger would.
        for (slot, index) in [(first, 0_u64), (second, 1)] {
            let (content, page) = image[slot].split_at_mut(1 << 20);
            let page: &mut [u8; PAGE] = page.first_chunk_mut().unwrap();
            let mut foot = Foot::decode(content, page).unwrap();
            foot.index = index;
            page.copy_from_slice(&foot.encode(content));
        }
        let reason = bench.expect_named(x, &image, 0, "swapped and numbered anew");
        assert_eq!(reason, "chunk 0 does not match its hash");
    }
}

/// What lay at another site, or belongs to an earlier or later backup of the same file, passed off
/// as this share: whole, and chunk by chunk.
#[test]
fn shares_of_other_sites_and_other_backups_are_found() {
    let bench = Bench::new();
    let later = bench.store_again();
    for x in 1..=5 {
        let good = bench.read(x);
        let own = header(&good);
        let elsewhere = bench.read(x % 5 + 1);
        let of_later = fs::read(bench.rooms.share_file(&later, x)).unwrap();
        for (name, mut other) in [("of another x", elsewhere), ("of another backup", of_later)] {
            bench.scrub(x).unwrap();
            let as_it_is = bench.expect_named(x, &other, LAST, name);
            assert!(as_it_is.ends_with("its header names another share"), "{name}: {as_it_is}");
            forge_header(&mut other, |header| header.clone_from(&own));
            bench.expect_named(x, &other, LAST, name);
            for index in 0..3 {
                let start = own.slot_offset(SlotClass::Data, index).unwrap() as usize;
                let end = own.foot_offset(SlotClass::Data, index).unwrap() as usize + PAGE;
                let mut image = good.clone();
                image[start..end].copy_from_slice(&other[start..end]);
                let reason = bench.expect_named(x, &image, index, name);
                assert_eq!(reason, format!("chunk {index} does not match its hash"), "{name}");
            }
        }
    }
    assert!(bench.restore_asking(1).is_empty());
}

/// A header that lies under a right checksum costs its share where the layout depends on it, never
/// the data.
#[test]
fn lying_headers_deliver_nothing_else() {
    let bench = Bench::new();
    type Lie = (&'static str, bool, fn(&mut ShareHeader));
    let lies: [Lie; 8] = [
        ("x", false, |header| header.x = XCoord::new(9).unwrap()),
        ("scheme", false, |header| header.threshold = "2/7".parse().unwrap()),
        ("object", false, |header| header.object = ObjectId::from_bytes([1; 16])),
        ("longer", true, |header| reshape(header, 3 << 20)),
        ("shorter", true, |header| reshape(header, 2 << 20)),
        ("a page", true, |header| reshape(header, PAGE_BYTES)),
        ("the longest", true, |header| reshape(header, 1 << 40)),
        ("masks", false, |header| {
            header.masks = 65_535;
            reshape(header, header.geometry.payload_bytes());
        }),
    ];
    for (name, matters, lie) in lies {
        for x in [1, 4] {
            let good = bench.read(x);
            let mut image = good.clone();
            forge_header(&mut image, lie);
            fs::write(bench.file(x), &image).unwrap();
            let rejected = bench.restore_asking(x);
            fs::write(bench.file(x), &good).unwrap();
            let named: Vec<_> = rejected.iter().map(|bad| &bad.site[..]).collect();
            let is_named = named == [bench.site(x)];
            assert!(is_named || (named.is_empty() && !matters), "{name}: {named:?}");
        }
    }
}

/// Another payload length, and the capsule's shape that goes with it.
fn reshape(header: &mut ShareHeader, payload_bytes: u64) {
    header.geometry = Geometry::new(payload_bytes).unwrap();
    let head_bytes = header.capsule.head_bytes;
    header.capsule = CapsuleShape::new(head_bytes, &header.geometry, header.masks).unwrap();
}

/// The chunk at which a restore misses what a share cut to `bytes` lacks: the last one, unless only
/// the capsule is cut.
fn missed(layout: &ShareHeader, bytes: u64) -> Option<u64> {
    let end = layout.foot_offset(SlotClass::Data, LAST).unwrap() + PAGE_BYTES;
    (bytes < end).then_some(LAST)
}

#[test]
fn cut_at_every_page_and_beside_it() {
    let bench = Bench::new();
    let bytes = bench.layout.file_bytes();
    assert_eq!(bench.read(3).len() as u64, bytes);
    let good = bench.read(3);
    let own = header(&good);
    bench.ask_last(&after(3));
    let object = bench.report.object.parse().unwrap();
    for page in 0..bytes / PAGE_BYTES {
        // Downwards, so that each cut is one call; and at every 16th page a byte to either side.
        let at = bytes - PAGE_BYTES * (page + 1);
        let beside = if page % 16 == 0 { vec![at + 1, at, at.saturating_sub(1)] } else { vec![at] };
        for cut in beside {
            let file = fs::OpenOptions::new().write(true).open(bench.file(3)).unwrap();
            file.set_len(cut).unwrap();
            let rejected = bench.restore();
            let named: Vec<_> = rejected.iter().map(|bad| (&bad.site[..], bad.chunk)).collect();
            let lost = missed(&bench.layout, cut).map(|chunk| (bench.site(3), chunk));
            assert_eq!(named, Vec::from_iter(lost), "cut to {cut} bytes");
            assert!(bench.scrub(3).is_err(), "cut to {cut} bytes");
            bench.catalog.set_share_state(&object, own.x, ShareState::Good).unwrap();
        }
    }
    fs::write(bench.file(3), good).unwrap();
    assert!(bench.restore().is_empty());
}

#[test]
fn bytes_after_the_end_change_nothing() {
    let bench = Bench::new();
    for (x, more) in [(1, 1), (2, 3 << 20)] {
        let mut image = bench.read(x);
        image.resize(image.len() + more, 0xff);
        fs::write(bench.file(x), image).unwrap();
    }
    let altered = [bench.site(1), bench.site(2)];
    assert!(bench.restore().iter().all(|bad| altered.contains(&&bad.site[..])));
}

/// Masks lie beside the data of objects of 64 chunks: no restore reads them, who reads one sees.
#[test]
fn altered_masks_are_found_by_who_reads_them() {
    let rooms = Rooms::new(3, 80 << 20);
    let (report, data) = rooms.store(63 << 20, "2/3");
    let mut sample = Sample(seed());
    let mut target = vec![0; 1 << 20];
    for x in 1..=3 {
        let path = rooms.share_file(&report, x);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let store = LocalConfig::new(path.parent().unwrap().parent().unwrap());
        let store = LocalStore::open(&store).unwrap();
        let name = ShareName::new(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let reader = ShareReader::open(&store, &name).unwrap();
        let mask = Slot { class: ShareClass::Mask, index: 0 };
        reader.chunk(mask, &mut target).unwrap();
        let start = reader.header().slot_offset(SlotClass::Mask, 0).unwrap();
        for turn in 0..200 {
            let into = if turn % 2 == 0 { sample.below(1 << 20) } else { sample.below(PAGE_BYTES) };
            let offset = start + if turn % 2 == 0 { into } else { (1 << 20) + into };
            let mut byte = [0];
            file.read_exact_at(&mut byte, offset).unwrap();
            file.write_all_at(&[byte[0] ^ (1 + sample.below(255) as u8)], offset).unwrap();
            assert!(reader.chunk(mask, &mut target).is_err(), "byte {offset} at {x}");
            file.write_all_at(&byte, offset).unwrap();
        }
        reader.chunk(mask, &mut target).unwrap();
        file.write_all_at(&[0xff; 64], start).unwrap();
    }
    let (restored, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data && restored.rejected.is_empty());
}

/// What lies in a share's place without being a file: a folder, a pipe that nobody writes to, a way
/// to another file, even to the right one.
#[test]
fn what_is_no_plain_file_is_named() {
    let bench = Bench::new();
    for x in [1, 5] {
        let (file, aside) = (bench.file(x), bench.rooms.root.path().join("aside"));
        fs::rename(&file, &aside).unwrap();
        let put: [fn(&Path, &Path); 3] = [
            |file, _| fs::create_dir(file).unwrap(),
            |file, _| {
                assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
            },
            |file, aside| symlink(aside, file).unwrap(),
        ];
        for put in put {
            put(&file, &aside);
            let rejected = bench.restore_asking(x);
            let named: Vec<_> = rejected.iter().map(|bad| (&bad.site[..], bad.chunk)).collect();
            assert_eq!(named, [(bench.site(x), LAST)]);
            fs::remove_file(&file).or_else(|_| fs::remove_dir(&file)).unwrap();
        }
        fs::rename(&aside, &file).unwrap();
    }
    assert!(bench.restore_asking(1).is_empty());
}

/// Three of five gone or bad: the exit code says which, and nothing is left behind.
#[test]
fn with_too_few_good_shares_nothing_is_delivered() {
    type Harm = fn(&Bench, u8);
    let rot: Harm = |bench, x| {
        let mut image = bench.read(x);
        let middle = image.len() / 2;
        image[middle] ^= 1;
        fs::write(bench.file(x), image).unwrap();
    };
    let forge: Harm = |bench, x| {
        let mut image = bench.read(x);
        forge_slot(&mut image, 1, |content, _| content[5] ^= 4);
        fs::write(bench.file(x), image).unwrap();
    };
    let empty: Harm = |bench, x| fs::write(bench.file(x), []).unwrap();
    let remove: Harm = |bench, x| fs::remove_file(bench.file(x)).unwrap();
    let cases = [
        ([rot, rot, rot], Class::Forged),
        ([forge, forge, forge], Class::Forged),
        ([empty, empty, empty], Class::Forged),
        ([remove, remove, remove], Class::Unrecoverable),
        ([remove, remove, forge], Class::Forged),
        ([rot, forge, empty], Class::Forged),
    ];
    let bench = Bench::new();
    let good: Vec<Vec<u8>> = (1..=5).map(|x| bench.read(x)).collect();
    for xs in [[1, 2, 3], [1, 3, 5], [3, 4, 5]] {
        for (number, (harms, class)) in cases.iter().enumerate() {
            for (harm, x) in harms.iter().zip(xs).take(2) {
                harm(&bench, x);
            }
            bench.ask_last(&[]);
            let named = bench.restore();
            assert!(named.len() <= 2, "{named:?}");
            harms[2](&bench, xs[2]);
            let failure = bench.rooms.restore(&bench.report.object).unwrap_err();
            assert_eq!(failure.class(), *class, "case {number} at {xs:?}: {failure}");
            let told = failure.to_string();
            assert!(xs.iter().all(|&x| told.contains(bench.site(x))), "{told}");
            for (x, image) in (1..=5).zip(&good) {
                fs::write(bench.file(x), image).unwrap();
            }
            // What the catalog holds against a share only makes it the last to be asked.
            assert!(bench.restore().is_empty(), "all are good again");
        }
    }
    assert_eq!(Class::Forged.exit_code(), 13);
    assert_eq!(Class::Unrecoverable.exit_code(), 5);
}
