use super::*;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use warifu_core::{Channel, Geometry, LinkId, Role, Threshold, XCoord};
use warifu_keystore::Directory;
use warifu_link::ShareClass;
use warifu_link::body::ATTEMPTS_MAX;
use warifu_pipeline::backup::lane::Receipt;
use warifu_pipeline::backup::weave::Slot;
use warifu_pipeline::held::Held;

const CHUNK: u64 = 1 << 20;

fn header(chunks: u64) -> Header {
    let place = |x: u8| SharePlace {
        x: XCoord::new(x).unwrap(),
        role: if x == 1 { Role::Pad } else { Role::Computed },
        channel: Channel::Otp,
        link: Some(LinkId::from_bytes([x; 16])),
        r: Zeroizing::new([0xA0 + x; 16]),
        site: format!("site-{x}").parse().unwrap(),
        zone: "zone".parse().unwrap(),
        domain: format!("domain-{x}").parse().unwrap(),
    };
    Header {
        object: ObjectId::from_bytes([7; 16]),
        created_unix_s: 1000,
        threshold: Threshold::new(2, 3).unwrap(),
        class: KeyClass::InformationTheoretic,
        geometry: Geometry::new(chunks * CHUNK).unwrap(),
        random_bytes: 500,
        individual: "P1".parse().unwrap(),
        label: Some("tumour, left".to_owned()),
        encoding: "plain".to_owned(),
        source: Some(SourceIdentity {
            path: PathBuf::from("/data/\u{1F9EC} a.bam"),
            device: 1,
            inode: 2,
            size_bytes: chunks * CHUNK - 5000,
            modified: (-1, 999),
            changed: (1_700_000_000, 1),
        }),
        shares: (1..=3).map(place).collect(),
    }
}

const fn data(index: u64) -> Slot {
    Slot { class: ShareClass::Data, index }
}

fn finished(index: u64, attempt: u32) -> Finished {
    let slot = data(index);
    let receipt = |lane: u8| Receipt {
        slot,
        attempt,
        hash: [lane * 64 + index as u8; 16],
        spent: Spent::default(),
    };
    Finished { slot, attempt, receipts: (0..3).map(receipt).collect() }
}

struct Room {
    dir: TempDir,
    journals: Journals,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journals = Journals::of(Arc::new(Directory::new(dir.path())));
        Self { dir, journals }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(path(header(4).object))
    }

    fn read(&self) -> Result<(Standing, Vec<Record>), JournalError> {
        let mut records = Vec::new();
        let story =
            self.journals.read(header(4).object, &mut |record| records.push(record.clone()));
        story.map(|story| (story.standing, records))
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.dir.path().join("journal")).unwrap();
        std::fs::write(self.path(), bytes).unwrap();
    }
}

/// What every kind of record leaves, in two generations.
fn tell(journal: &mut Journal, class: KeyClass) {
    journal.admit(0).unwrap();
    journal.done(&finished(0, 0), class).unwrap();
    journal.done(&finished(2, 1), class).unwrap();
    let spent = Spent { key_bytes: 10, sent_bytes: 20, ..Spent::default() };
    journal.spent(&[spent; 3], 30).unwrap();
    journal.open_generation(1, KeyClass::Computational).unwrap();
    journal.done(&finished(1, 1 << 16), class).unwrap();
    journal.done(&finished(2, 1 << 16 | 1), class).unwrap();
}

fn told() -> Room {
    let room = Room::new();
    let mut journal = room.journals.create(&header(4)).unwrap();
    tell(&mut journal, KeyClass::InformationTheoretic);
    room
}

#[test]
fn what_is_told_is_read_back() {
    let room = told();
    let (standing, records) = room.read().unwrap();
    assert_eq!((standing.generation(), standing.admitted()), (1, ADMITTED_STEP));
    assert_eq!(standing.class, KeyClass::Computational);
    let slots: Vec<_> = standing.slots().collect();
    assert_eq!(slots, [(data(0), 0), (data(1), 1 << 16), (data(2), 1 << 16 | 1)]);
    assert_eq!((standing.done_bytes(), standing.random_bytes), (3 * CHUNK, 30));
    assert_eq!((standing.spent[2].key_bytes, standing.spent[2].sent_bytes), (10, 20));
    let hashes: Vec<u8> = records
        .iter()
        .filter_map(|record| match record {
            Record::Done { slot, hashes, .. } if *slot == data(1) => Some(hashes),
            _ => None,
        })
        .flat_map(|hashes| hashes.iter().map(|hash| hash[3]))
        .collect();
    assert_eq!(hashes, [1, 65, 129]);
    let read = room.journals.header(header(4).object).unwrap();
    assert_eq!(read.source, header(4).source);
    assert_eq!(read.label, header(4).label);
    assert!(*read.shares[2].r == [0xA3; 16] && read.shares[2].link == header(4).shares[2].link);
    assert_eq!(room.journals.list().unwrap(), [header(4).object]);
    assert!(room.journals.create(&header(4)).is_err(), "no journal is begun twice");
}

#[test]
fn a_further_process_goes_on_after_what_is_sound() {
    let room = told();
    let whole = std::fs::metadata(room.path()).unwrap().len();
    let file = OpenOptions::new().write(true).open(room.path()).unwrap();
    file.set_len(whole - 3).unwrap();
    let story = room.journals.read(header(4).object, &mut |_| ()).unwrap();
    let class = KeyClass::InformationTheoretic;
    let mut journal = room.journals.reopen(&story.header, story.end, 2, class).unwrap();
    assert!(journal.is_admitted(ADMITTED_STEP - 1) && !journal.is_admitted(ADMITTED_STEP));
    journal.done(&finished(3, 2 << 16), class).unwrap();
    let geometry = Geometry::new(4 * CHUNK).unwrap();
    let sealed = Sealed { geometry, head_bytes: 400, class: KeyClass::Computational };
    journal.seal(sealed).unwrap();
    let (standing, _) = room.read().unwrap();
    assert_eq!((standing.generation(), standing.sealed), (2, Some(sealed)));
    let slots: Vec<_> = standing.slots().collect();
    assert_eq!(slots, [(data(0), 0), (data(1), 1 << 16), (data(2), 1), (data(3), 2 << 16)]);
}

#[test]
fn every_truncation_leaves_a_beginning_or_nothing() {
    let room = told();
    let bytes = std::fs::read(room.path()).unwrap();
    let (_, records) = room.read().unwrap();
    let first = header(4).encode().len();
    let step = Record::bytes(3);
    assert_eq!(bytes.len(), first + step * records.len());
    for length in 0..bytes.len() {
        room.write(&bytes[..length]);
        match room.read() {
            Err(JournalError::Damaged { .. }) => assert!(length < first + step, "{length}"),
            Ok((_, found)) => assert!(found == records[..(length - first) / step], "{length}"),
            Err(error) => panic!("{length}: {error}"),
        }
    }
}

#[test]
fn every_flipped_byte_is_found_or_costs_only_what_was_never_synced() {
    let room = told();
    let bytes = std::fs::read(room.path()).unwrap();
    let (_, records) = room.read().unwrap();
    let (first, step) = (header(4).encode().len(), Record::bytes(3));
    for at in 0..bytes.len() {
        for flip in [1, 0x80] {
            let mut altered = bytes.clone();
            altered[at] ^= flip;
            room.write(&altered);
            let hit = at.checked_sub(first).map(|into| into / step);
            let barrier_follows =
                hit.is_none_or(|hit| records[hit + 1..].iter().any(Record::is_barrier));
            match room.read() {
                Err(JournalError::Damaged { .. }) => assert!(barrier_follows || hit == Some(0)),
                Ok((_, found)) => {
                    assert!(!barrier_follows && found == records[..hit.unwrap()], "byte {at}");
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
    }
}

/// Notes what is written and when it is synced.
#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<Option<Vec<u8>>>>>);

impl Sink for Tape {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().push(Some(bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.lock().unwrap().push(None);
        Ok(())
    }
}

/// Every file that loss of power may leave after these operations: what was synced, and of the
/// rest any choice of records, the others as zeros.
fn after_power_loss(operations: &[Option<Vec<u8>>]) -> Vec<Vec<u8>> {
    let synced = operations.iter().rposition(Option::is_none).map_or(0, |at| at + 1);
    let durable: Vec<u8> = operations[..synced].iter().flatten().flatten().copied().collect();
    let loose: Vec<&Vec<u8>> = operations[synced..].iter().flatten().collect();
    let choice = |kept: usize| {
        let mut bytes = durable.clone();
        for (at, record) in loose.iter().enumerate() {
            let is_kept = kept >> at & 1 == 1;
            bytes.extend(record.iter().map(|byte| if is_kept { *byte } else { 0 }));
        }
        bytes
    };
    (0..1 << loose.len()).map(choice).collect()
}

#[test]
fn without_power_after_any_operation_nothing_durable_is_lost() {
    let room = Room::new();
    let tape = Tape::default();
    let mut journal = Journal::of(Box::new(tape.clone()), &header(4), 0);
    journal.open_generation(0, KeyClass::InformationTheoretic).unwrap();
    tell(&mut journal, KeyClass::InformationTheoretic);
    journal
        .seal(Sealed {
            geometry: Geometry::new(4 * CHUNK).unwrap(),
            head_bytes: 4,
            class: KeyClass::InformationTheoretic,
        })
        .unwrap();
    let operations = tape.0.lock().unwrap().clone();
    let opened = operations.iter().position(Option::is_some).unwrap() + 2;
    let mut states = 0;
    for end in opened..=operations.len() {
        let done = &operations[..end];
        let synced = done.iter().rposition(Option::is_none).unwrap();
        let durable = done[..synced].iter().flatten().count();
        for bytes in after_power_loss(done) {
            room.write(&[&header(4).encode()[..], &bytes].concat());
            let (standing, found) = room.read().unwrap();
            assert!((durable..=done.iter().flatten().count()).contains(&found.len()));
            // What the last barrier allows, the journal remembers.
            let barriers = done[..synced].iter().flatten().filter_map(|bytes| {
                let sequence = u64::from_le_bytes(*bytes[16..].first_chunk().unwrap());
                Record::decode(bytes, &header(4).object, sequence)
            });
            for barrier in barriers.filter(Record::is_barrier) {
                assert!(found.contains(&barrier), "{barrier:?}");
            }
            assert!(standing.is_opened());
            states += 1;
        }
    }
    assert!(states > 30, "{states}");
}

#[test]
fn sound_checksums_excuse_nothing() {
    let room = told();
    let bytes = std::fs::read(room.path()).unwrap();
    let (first, step) = (header(4).encode().len(), Record::bytes(3));
    let object = header(4).object;
    let replaced = |number: usize, record: &Record| {
        let mut altered = bytes.clone();
        let at = first + number * step;
        altered[at..at + step].copy_from_slice(&record.encode(&object, number as u64, 3));
        altered
    };
    let done = |slot, attempt| Record::Done {
        slot,
        attempt,
        class: KeyClass::InformationTheoretic,
        hashes: vec![[0; 16]; 3],
    };
    let wrong = [
        (2, done(data(4), 0)),
        (2, done(data(u64::MAX), 0)),
        (2, done(data(0), 1 << 16)),
        (2, done(Slot { class: ShareClass::Mask, index: 0 }, 0)),
        (2, done(Slot { class: ShareClass::Capsule, index: 4096 }, 0)),
        (1, Record::Admitted { end: u64::MAX }),
        (5, Record::Opened { generation: 0, class: KeyClass::Computational }),
        (0, Record::Admitted { end: 3 }),
    ];
    for (number, record) in wrong {
        room.write(&replaced(number, &record));
        let read = room.read();
        assert!(matches!(read, Err(JournalError::Damaged { .. })), "{record:?}");
    }
    // Any content under a right checksum is read without panic.
    for at in 0..step - 8 {
        for byte in [0, 1, 2, 5, 0x7F, 0x80, 0xFF] {
            let mut altered = bytes.clone();
            let record = &mut altered[first + 2 * step..first + 3 * step];
            record[at] = byte;
            let checksum = warifu_core::checksum::crc64(&[object.bytes(), &record[..step - 8]]);
            record[step - 8..].copy_from_slice(&checksum.to_le_bytes());
            room.write(&altered);
            drop(room.read());
        }
    }
    for at in 0..first - 8 {
        for byte in [0, 1, 0xFF] {
            let mut altered = bytes.clone();
            altered[at] = byte;
            let checksum = warifu_core::checksum::crc64(&[&altered[..first - 8]]);
            altered[first - 8..first].copy_from_slice(&checksum.to_le_bytes());
            room.write(&altered);
            if let Ok(read) = room.journals.header(object) {
                assert!(read.encode()[..] == altered[..first], "byte {at}");
            }
        }
    }
}

#[test]
fn an_erased_journal_leaves_neither_name_nor_bytes() {
    let room = told();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&room.path()), mode(&room.dir.path().join("journal"))), (0o600, 0o700));
    let length = std::fs::metadata(room.path()).unwrap().len() as usize;
    let mut opened_before = File::open(room.path()).unwrap();
    room.journals.erase(header(4).object).unwrap();
    assert!(room.journals.list().unwrap().is_empty());
    let mut bytes = Vec::new();
    opened_before.read_to_end(&mut bytes).unwrap();
    assert!(bytes == vec![0; length]);
    assert!(matches!(room.read(), Err(JournalError::Missing)));
    room.journals.erase(header(4).object).unwrap();
}

fn standing(room: &Room) -> Standing {
    room.read().unwrap().0
}

fn held(slots: &[(u64, u32)]) -> Held {
    slots.iter().map(|(index, attempt)| (data(*index), *attempt)).collect()
}

#[test]
fn only_what_journal_and_all_sites_agree_on_stays_done() {
    let room = told();
    let all = [(0, 0), (1, 1 << 16), (2, 1 << 16 | 1)];
    let (whole, lacks, other) =
        (held(&all), held(&all[1..]), held(&[(0, 0), (1, 1 << 16), (2, 1)]));
    let next = standing(&room).go_on(&[&whole, &whole, &whole]).unwrap();
    assert_eq!(next.slots().count(), 3);
    assert_eq!(next.generation(), 2);
    assert_eq!(next.first_attempt(data(3)), 2 << 16, "it was admitted");
    assert_eq!(next.first_attempt(data(ADMITTED_STEP)), 0, "it never was");
    assert_eq!(next.first_attempt(Slot { class: ShareClass::Mask, index: 0 }), 2 << 16);
    let next = standing(&room).go_on(&[&whole, &lacks, &other]).unwrap();
    assert_eq!(next.slots().collect::<Vec<_>>(), [(data(1), 1 << 16)]);
    // A site that holds more than the journal knows: an older copy of it was put back.
    let ahead = held(&[(3, 5 << 16)]);
    let next = standing(&room).go_on(&[&whole, &whole, &ahead]).unwrap();
    assert_eq!(next.generation(), 6);
    assert_eq!(next.first_attempt(data(3)), 6 << 16);
    let mut last = standing(&room);
    let class = KeyClass::InformationTheoretic;
    last.apply(&Record::Opened { generation: u16::MAX, class }).unwrap();
    let worn = last.go_on(&[&whole, &whole, &whole]).err();
    assert_eq!(worn, Some(Hindrance::Worn), "no generation is left");
}

#[test]
fn a_site_that_claims_what_it_was_never_sent_is_named_and_uses_nothing_up() {
    let room = told();
    let whole = held(&[(0, 0), (1, 1 << 16), (2, 1 << 16 | 1)]);
    let mask = |index| Slot { class: ShareClass::Mask, index };
    let masks = u64::from(header(4).geometry.mask_count());
    let lies = [
        held(&[(0, 0xFFFF_0000)]),
        held(&[(0, u32::MAX)]),
        held(&[(4, 0)]),
        [(mask(masks), 0)].into_iter().collect(),
    ];
    for lie in &lies {
        let hindrance = standing(&room).go_on(&[&whole, lie, &whole]).err();
        assert_eq!(hindrance, Some(Hindrance::Claims { share: 1 }));
    }
    // Within the plan, but so much that no commit could name it: it is the claim that does it.
    let header = header(200_000);
    let mut standing = Standing::new(&header);
    standing.apply(&Record::Opened { generation: 0, class: header.class }).unwrap();
    let lie = held(&[(199_999, 0)]);
    let hindrance = standing.go_on(&[&Held::default(), &Held::default(), &lie]).err();
    assert_eq!(hindrance, Some(Hindrance::Claims { share: 2 }));
}

#[test]
fn pieces_of_an_earlier_capsule_are_none_of_this_one() {
    let header = header(4);
    let mut standing = Standing::new(&header);
    let class = KeyClass::InformationTheoretic;
    let piece = Slot { class: ShareClass::Capsule, index: 0 };
    standing.apply(&Record::Opened { generation: 0, class }).unwrap();
    let hashes = vec![[0; 16]; header.shares.len()];
    standing.apply(&Record::Done { slot: piece, attempt: 0, class, hashes }).unwrap();
    assert_eq!(standing.done(piece), Some(0));
    standing.apply(&Record::Opened { generation: 1, class }).unwrap();
    assert_eq!((standing.done(piece), standing.whole().run_count()), (None, 0));
}

#[test]
fn what_no_commit_could_name_is_not_gone_on_with() {
    let chunks = 200_000;
    let (header, mut standing) = (header(chunks), Standing::new(&header(chunks)));
    let class = KeyClass::InformationTheoretic;
    standing.apply(&Record::Opened { generation: 0, class }).unwrap();
    standing.apply(&Record::Admitted { end: ATTEMPTS_MAX as u64 }).unwrap();
    let nothing = Held::default();
    assert_eq!(standing.go_on(&[&nothing]).err(), Some(Hindrance::Worn));
    let mut standing = Standing::new(&header);
    standing.apply(&Record::Opened { generation: 0, class }).unwrap();
    standing.apply(&Record::Admitted { end: ATTEMPTS_MAX as u64 / 2 }).unwrap();
    assert!(standing.go_on(&[&nothing]).is_ok());
}

#[test]
fn a_source_is_the_same_on_another_device_and_not_after_any_change() {
    type Change = fn(&mut SourceIdentity);
    let source = header(4).source.unwrap();
    let same = |change: Change| {
        let mut other = source.clone();
        change(&mut other);
        source.is_same(&other)
    };
    assert!(same(|source| source.device += 1), "it was mounted again");
    let changes: [Change; 4] = [
        |source| source.inode += 1,
        |source| source.size_bytes += 1,
        |source| source.modified.1 += 1,
        |source| source.changed.1 += 1,
    ];
    assert!(changes.into_iter().all(|change| !same(change)));
}

#[test]
fn nothing_follows_a_write_that_failed() {
    struct Full;
    impl Sink for Full {
        fn append(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut journal = Journal::of(Box::new(Full), &header(4), 1);
    assert!(journal.admit(0).is_err() && !journal.is_admitted(0));
    journal.sink = Box::new(Tape::default());
    assert!(journal.admit(0).is_err(), "the end is not known any more");
}
