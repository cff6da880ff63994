//! What the engine stores, the independent decoder in `tests/vectors` restores from `k` folders
//! alone; and what that one writes, the engine's parts read.
//!
//! The interpreter is `WARIFU_TEST_PYTHON`, else `python3`. Where neither has the packages the
//! tests say that they are skipped, but fail where `WARIFU_TEST_PYTHON` or `CI` is set.

#![expect(clippy::print_stdout, reason = "what was skipped is said")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use serde_json::Value;
use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use warifu_backend::ShareName;
use warifu_backend_local::{LocalConfig, LocalStore};
use warifu_buffers::Block;
use warifu_core::capsule::{RecoveredCapsule, recover_capsule};
use warifu_core::share_file::{Foot, PAGE_BYTES, ShareHeader, SlotClass, parse_share_file_name};
use warifu_core::sharing::{chunk_hash, join_matrix};
use warifu_core::{ObjectId, XCoord};
use warifu_kernels::{Isa, PolyHash, dot};
use warifu_link::ShareClass;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::share::ShareReader;
use warifu_pipeline::sink::{PayloadSink, Wanted};
use warifu_vault::{Compression, ObjectReport};

const MIB: usize = 1 << 20;

/// The other decoder.
struct Twin {
    python: String,
}

impl Twin {
    /// None, and a line that says so, where it can't run here.
    fn find() -> Option<Self> {
        let named = env::var("WARIFU_TEST_PYTHON").ok().filter(|name| !name.is_empty());
        let required = named.is_some() || env::var_os("CI").is_some();
        let python = named.unwrap_or_else(|| "python3".to_owned());
        let check = Command::new(&python).args(["-c", "import numpy, blake3, zstandard"]).output();
        if check.is_ok_and(|check| check.status.success()) {
            return Some(Self { python });
        }
        assert!(!required, "{python} lacks numpy, blake3 or zstandard");
        println!("skipped: {python} lacks numpy, blake3 or zstandard, which the twin needs");
        None
    }

    fn run(&self, verb: &str, arguments: &[&str]) -> (i32, Value) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/twin.py");
        let mut command = Command::new(&self.python);
        let command = command.arg(script).arg(verb).args(arguments);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let told = String::from_utf8_lossy(&stderr);
        let report = serde_json::from_slice(&stdout);
        (status.code().unwrap(), report.unwrap_or_else(|_| panic!("twin {verb}: {told}")))
    }

    /// Restores from these folders; exit code, report, and the file if there is one.
    fn restore(&self, folders: &[PathBuf], object: &str) -> (i32, Value, Option<Vec<u8>>) {
        let scratch = tempfile::tempdir().unwrap();
        let output = scratch.path().join("out");
        let folders = folders.iter().map(|folder| folder.to_str().unwrap());
        let more = ["--object", object, "-o", output.to_str().unwrap()];
        let arguments: Vec<&str> = folders.chain(more).collect();
        let (code, report) = self.run("restore", &arguments);
        (code, report, fs::read(output).ok())
    }
}

fn folders(rooms: &Rooms, report: &ObjectReport, xs: &[u8]) -> Vec<PathBuf> {
    xs.iter().map(|&x| rooms.folder(&report.shares[usize::from(x) - 1].site)).collect()
}

/// Sets of `k` of `n`: the first, the last, and two that mix pads and computed shares.
fn choices(k: u8, n: u8) -> Vec<Vec<u8>> {
    let ring = |start: u8, step: u8| {
        let mut xs: Vec<u8> = (0..k).map(|at| (start + at * step) % n + 1).collect();
        xs.sort_unstable();
        xs
    };
    vec![ring(0, 1), ring(n - k, 1), ring(n - 1, 1), ring(1, 2)]
}

fn is_empty(list: &Value) -> bool {
    list.as_array().unwrap().is_empty()
}

/// k folders, no catalog, another program.
#[test]
fn what_the_engine_stores_the_twin_restores() {
    let Some(twin) = Twin::find() else { return };
    let rooms = Rooms::new(7, 64 << 20);
    for bytes in [0, 1, 4096, MIB + 1, 3 * MIB] {
        for scheme in ["2/3", "3/5", "4/7"] {
            let (report, data) = rooms.store(bytes, scheme);
            for xs in choices(report.k, report.n) {
                let folders = folders(&rooms, &report, &xs);
                let (code, told, back) = twin.restore(&folders, &report.object);
                let what = format!("{bytes} bytes at {scheme} from {xs:?}: {told}");
                assert_eq!(code, 0, "{what}");
                assert!(back.as_deref() == Some(&data), "{what}");
                assert!(is_empty(&told["rejected"]) && is_empty(&told["outliers"]), "{what}");
                assert_eq!(told["individual"], "P1");
                assert_eq!(told["class"], "computational");
                let sites = xs.iter().map(|&x| &report.shares[usize::from(x) - 1].site);
                assert!(sites.eq(told["sites"].as_array().unwrap()), "{what}");
            }
            let few = folders(&rooms, &report, &choices(report.k, report.n)[0][1..]);
            let (code, _, back) = twin.restore(&few, &report.object);
            assert_eq!((code, back), (5, None), "k - 1 folders say nothing");
        }
    }
}

/// Compressible for two thirds: frames of both kinds.
fn mixed(bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    for (number, part) in data.chunks_mut(MIB).enumerate() {
        blake3::Hasher::new().update(&[number as u8]).finalize_xof().fill(part);
        if number % 3 != 1 {
            part.iter_mut().for_each(|byte| *byte = b"ACGT"[usize::from(*byte & 3)]);
        }
    }
    data
}

#[test]
fn what_the_engine_compresses_or_pads_the_twin_restores() {
    let Some(twin) = Twin::find() else { return };
    let rooms = Rooms::new(3, 64 << 20);
    let path = rooms.root.path().join("reads.fq");
    for bytes in [0, 1, MIB, 3 * MIB + 77] {
        let data = mixed(bytes);
        fs::write(&path, &data).unwrap();
        for (compression, pad) in [(Compression::Zstd, false), (Compression::None, true)] {
            let report = rooms.store_as(&path, "2/3", compression, pad);
            assert!(report.stored_bytes.is_multiple_of(64 << 10));
            let folders = folders(&rooms, &report, &[1, 3]);
            let (code, told, back) = twin.restore(&folders, &report.object);
            assert_eq!(code, 0, "{bytes} bytes, {compression}: {told}");
            assert!(back.as_deref() == Some(&data), "{bytes} bytes, {compression}");
            assert_eq!((&told["bytes"], &told["name"]), (&bytes.into(), &"reads.fq".into()));
            let (_, back) = rooms.restore(&report.object).unwrap();
            assert!(back == data, "{bytes} bytes, {compression}");
        }
    }
}

/// Rewrites the content of a chunk or mask under a right checksum.
fn forge(path: &Path, class: SlotClass, index: u64) {
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let mut image = fs::read(path).unwrap();
    let header = ShareHeader::decode(image.first_chunk().unwrap()).unwrap();
    let start = header.slot_offset(class, index).unwrap() as usize;
    let end = header.foot_offset(class, index).unwrap() as usize;
    let (content, rest) = image[start..].split_at_mut(end - start);
    let page: &mut [u8; PAGE_BYTES as usize] = rest.first_chunk_mut().unwrap();
    let foot = Foot::decode(content, page).unwrap();
    content[77] ^= 0x10;
    page.copy_from_slice(&foot.encode(content));
    fs::write(path, image).unwrap();
}

#[test]
fn both_name_a_forged_share_and_deliver() {
    let Some(twin) = Twin::find() else { return };
    let rooms = Rooms::new(5, 16 << 20);
    let (report, data) = rooms.store(2 * MIB, "3/5");
    forge(&rooms.share_file(&report, 2), SlotClass::Data, 1);
    let forger = &report.shares[1].site;
    let (code, told, back) = twin.restore(&folders(&rooms, &report, &[1, 2, 3, 4]), &report.object);
    assert_eq!(code, 0, "{told}");
    assert!(back.as_deref() == Some(&data));
    let rejected = told["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 1, "{told}");
    assert_eq!((&rejected[0]["x"], &rejected[0]["site"]), (&2.into(), &forger[..].into()));
    let (restored, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data);
    let named: Vec<_> = restored.rejected.iter().map(|bad| (&bad.site, bad.chunk)).collect();
    assert_eq!(named, [(forger, 1)]);
    // With k folders only, one of them the forger's, nothing may come out.
    let (code, told, back) = twin.restore(&folders(&rooms, &report, &[1, 2, 3]), &report.object);
    assert_eq!((code, back), (13, None), "{told}");
}

/// 64 chunks: each share carries a mask with a hash of its own, and the capsule covers it.
#[test]
fn masks_are_stored_as_the_format_says() {
    let Some(twin) = Twin::find() else { return };
    let rooms = Rooms::new(3, 80 << 20);
    let (report, data) = rooms.store(63 * MIB + 1, "2/3");
    let image = fs::read(rooms.share_file(&report, 1)).unwrap();
    let header = ShareHeader::decode(image.first_chunk().unwrap()).unwrap();
    assert_eq!((header.geometry.chunk_count(), header.masks), (64, 1));
    drop(image);
    let (code, told, back) = twin.restore(&folders(&rooms, &report, &[1, 3]), &report.object);
    assert_eq!(code, 0, "{told}");
    assert!(back.as_deref() == Some(&data) && is_empty(&told["rejected"]), "{told}");
    // No restore needs a mask; who reads it finds that it is another.
    forge(&rooms.share_file(&report, 3), SlotClass::Mask, 0);
    let (code, told, back) = twin.restore(&folders(&rooms, &report, &[1, 2, 3]), &report.object);
    assert!(code == 0 && back.as_deref() == Some(&data), "{told}");
    assert_eq!(told["rejected"][0]["x"], 3, "{told}");
    let (restored, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data && restored.rejected.is_empty());
}

/// A share as the engine reads it from a store.
struct Held {
    header: ShareHeader,
    store: LocalStore,
    name: ShareName,
    capsule: Vec<u8>,
}

impl Held {
    /// Puts a file that the twin wrote into a store of its own.
    fn take_in(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (object, x) = parse_share_file_name(name).unwrap();
        let folder = path.parent().unwrap();
        let store = LocalStore::open(&LocalConfig::new(folder)).unwrap();
        fs::rename(path, folder.join("shares").join(name)).unwrap();
        let name = ShareName::new(name).unwrap();
        let reader = ShareReader::open(&store, &name).unwrap();
        reader.scrub_capsule().unwrap();
        let header = reader.header().clone();
        assert_eq!((header.object, header.x), (object, x));
        let mut capsule = vec![0; header.capsule_bytes() as usize];
        reader.capsule(0, &mut capsule).unwrap();
        Self { header, store, name, capsule }
    }

    /// A slot whose hash was right, and its attempt.
    fn slot(&self, class: ShareClass, index: u64, r: &[u8; 16], hash: &[u8; 16]) -> (Vec<u8>, u32) {
        let reader = ShareReader::open(&self.store, &self.name).unwrap();
        let mut content = vec![0; MIB];
        let read = reader.chunk(Slot { class, index }, &mut content).unwrap();
        content.truncate(read.bytes);
        let key = PolyHash::new(Isa::best(), r);
        assert_eq!(chunk_hash(&key, &content, &read.blind), *hash, "{class:?} {index}");
        (content, read.attempt)
    }
}

/// Recovers the capsule, joins the shares `chosen` and unpacks the payload, without a vault.
fn rebuild(held: &[Held], chosen: &[usize]) -> (RecoveredCapsule, Vec<u8>) {
    let isa = Isa::best();
    let first = &held[chosen[0]].header;
    let shares: Vec<(XCoord, &[u8])> =
        chosen.iter().map(|&at| (held[at].header.x, &held[at].capsule[..])).collect();
    let recovered = recover_capsule(isa, first.threshold, first.capsule, &shares).unwrap();
    assert!(recovered.outliers.is_empty() && !recovered.disputed);
    let capsule = &recovered.capsule;
    let attempts = &capsule.head().attempts;
    let meant = |chunk: u64| attempts.iter().find(|at| at.0 == chunk).map_or(0, |at| at.1);
    let xs: Vec<XCoord> = shares.iter().map(|(x, _)| *x).collect();
    let row = join_matrix(&xs).unwrap();
    let mut sink = PayloadSink::new(Vec::new(), first.geometry, Wanted::Whole);
    while let Some(index) = sink.next_wanted() {
        let contents = chosen.iter().map(|&at| {
            let verdict = capsule.verdicts().iter().find(|v| v.x == held[at].header.x).unwrap();
            let hash = &verdict.hashes[index as usize];
            let (content, attempt) = held[at].slot(ShareClass::Data, index, &verdict.r, hash);
            assert_eq!(attempt, meant(index), "attempt of chunk {index}");
            content
        });
        let contents: Vec<Vec<u8>> = contents.collect();
        let sources: Vec<&[u8]> = contents.iter().map(|content| &content[..]).collect();
        let mut chunk = Block::zeroed(sources[0].len());
        dot(isa, &row, &mut [&mut chunk], &sources);
        sink.take(index, chunk).unwrap();
    }
    let (data, restored) = sink.finish().unwrap();
    assert_eq!(restored.attributes.name.as_deref(), Some(&b"in.bin"[..]));
    (recovered, data)
}

/// What the twin splits: bytes, k, x-coordinates, an exception in the list of attempts.
type Case = (usize, u8, &'static str, Option<(u64, u32)>);

fn split(twin: &Twin, folder: &Path, case: Case) -> (ObjectId, Vec<Held>, Vec<u8>) {
    let data = (0..case.0 as u64).map(|at| (at * 31 + at / 251) as u8).collect();
    split_as(twin, folder, case, data, &[])
}

fn split_as(
    twin: &Twin,
    folder: &Path,
    (_, k, xs, attempt): Case,
    data: Vec<u8>,
    more: &[&str],
) -> (ObjectId, Vec<Held>, Vec<u8>) {
    let source = folder.join("in.bin");
    fs::write(&source, &data).unwrap();
    let n = xs.split(',').count().to_string();
    let (out, k) = (folder.join("out"), k.to_string());
    let attempt = attempt.map(|(chunk, attempt)| format!("{chunk}={attempt}"));
    let mut arguments = vec![source.to_str().unwrap(), "--k", &k, "--n", &n, "--x", xs];
    arguments.extend(["--out", out.to_str().unwrap(), "--seed", "twin", "--label", "a label"]);
    arguments.extend(attempt.iter().flat_map(|attempt| ["--attempt", attempt]));
    arguments.extend(more);
    let (code, told) = twin.run("split", &arguments);
    assert_eq!(code, 0, "{told}");
    let files = told["files"].as_array().unwrap();
    let held = files.iter().map(|file| Held::take_in(Path::new(file.as_str().unwrap()))).collect();
    (told["object"].as_str().unwrap().parse().unwrap(), held, data)
}

#[test]
fn what_the_twin_writes_the_engine_restores() {
    let Some(twin) = Twin::find() else { return };
    let cases: [Case; 6] = [
        (0, 2, "1,2", None),
        (1, 2, "9,200,3", None),
        (4096, 3, "1,2,3,4,5", None),
        (MIB + 1, 4, "255,1,7,8,100,31,64", Some((0, 3))),
        (3 * MIB, 3, "5,4,3,2,1", Some((2, 1))),
        // Prologue, attributes and trailer fill the payload up to two whole chunks.
        (2 * MIB - 64 - 36 - 96, 2, "1,2,3", None),
    ];
    for case in cases {
        let scratch = tempfile::tempdir().unwrap();
        let (object, held, data) = split(&twin, scratch.path(), case);
        let (k, n) = (usize::from(case.1), held.len());
        for start in 0..n {
            let chosen: Vec<usize> = (0..k).map(|at| (start + at) % n).collect();
            let (recovered, back) = rebuild(&held, &chosen);
            assert!(back == data, "{case:?} from {chosen:?}");
            let head = recovered.capsule.head();
            assert_eq!((head.object, head.label.as_deref()), (object, Some("a label")));
            assert_eq!(head.attempts, Vec::from_iter(case.3));
        }
    }
}

#[test]
fn what_the_twin_compresses_or_pads_the_engine_restores() {
    let Some(twin) = Twin::find() else { return };
    for bytes in [0, 1, 2 * MIB, 4 * MIB + 5] {
        for more in [&["--compress"][..], &["--pad"]] {
            let scratch = tempfile::tempdir().unwrap();
            let case = (bytes, 2, "4,2,9", None);
            let (_, held, data) = split_as(&twin, scratch.path(), case, mixed(bytes), more);
            let (_, back) = rebuild(&held, &[2, 0]);
            assert!(back == data, "{bytes} bytes, {more:?}");
        }
    }
}

#[test]
fn masks_that_the_twin_writes_are_read() {
    let Some(twin) = Twin::find() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let case = (64 * MIB, 2, "6,2,4", Some((65, 2)));
    let (_, held, data) = split(&twin, scratch.path(), case);
    let (recovered, back) = rebuild(&held, &[2, 1]);
    assert!(back == data);
    let capsule = recovered.capsule;
    assert_eq!((capsule.head().masks, capsule.head().geometry.chunk_count()), (1, 65));
    for share in &held {
        let verdict = capsule.verdicts().iter().find(|v| v.x == share.header.x).unwrap();
        let (_, attempt) = share.slot(ShareClass::Mask, 0, &verdict.r, &verdict.masks[0]);
        assert_eq!(attempt, 2);
    }
}
