//! The queue's files under cuts of power, torn bytes and races.

use super::entry::{Event, read, ticket_line};
use super::*;
use crate::Compression;
use proptest::prelude::*;
use warifu_core::plan::Override;
use warifu_keystore::simulated::{Machine, Survives};

fn ticket(number: u8) -> Ticket {
    use std::os::unix::ffi::OsStringExt;
    let path = std::ffi::OsString::from_vec(vec![b'/', number, 0xFF, b'\n', b'"']);
    Ticket {
        id: ObjectId::from_bytes([number; 16]),
        queued_unix_s: 1_000 + u64::from(number),
        again: number.is_multiple_of(2),
        bytes: 7,
        request: BackupRequest {
            source: Source::File(path.into()),
            individual: "P1".parse().unwrap(),
            threshold: "2/3".parse().unwrap(),
            label: Some("a \"label\"\n".to_owned()),
            overrides: vec![Override {
                rule: "zone".parse().unwrap(),
                reason: "for now".to_owned(),
            }],
            pins: vec!["a".parse().unwrap()],
            exclusions: vec!["b".parse().unwrap(), "c".parse().unwrap()],
            compression: Compression::Auto,
            pad: true,
        },
    }
}

fn ids(queue: &Waiters) -> Vec<u8> {
    queue.list().unwrap().iter().map(|entry| entry.ticket.id.bytes()[0]).collect()
}

fn taken(queue: &Waiters, number: u8) -> Taken {
    match queue.take(&ObjectId::from_bytes([number; 16])).unwrap() {
        Taking::Taken(taken) => *taken,
        Taking::Busy => panic!("busy"),
        Taking::Gone => panic!("gone"),
    }
}

#[test]
fn what_is_asked_for_comes_back_as_it_was() {
    let line = ticket_line(&ticket(4)).unwrap();
    let (entry, end) = read(&line).unwrap();
    assert_eq!(end, line.len());
    assert!(entry.ticket.is_same(&ticket(4).request), "{entry:?}");
    assert_eq!((entry.ticket.again, entry.ticket.bytes), (true, 7));
    assert_eq!((entry.ticket.id, entry.ticket.queued_unix_s), (ticket(4).id, 1_004));
    assert!(!entry.ticket.is_same(&BackupRequest { pad: false, ..ticket(4).request }));
    let stream = Source::Stdin { size_bytes: None };
    let request = BackupRequest { source: stream, ..ticket(4).request };
    assert!(ticket_line(&Ticket { request: request.clone(), ..ticket(4) }).is_none());
    assert_eq!(absolute(&request).unwrap_err().code(), "stream-waits");
}

#[test]
fn an_entry_is_in_one_hand_at_a_time_and_gone_when_it_is_taken_out() {
    let queue = Waiters::of(Machine::new().process());
    assert!(ids(&queue).is_empty());
    let lock = queue.lock().unwrap();
    queue.add(&[ticket(3), ticket(1)]).unwrap();
    queue.add(&[ticket(2)]).unwrap();
    drop(lock);
    assert_eq!(ids(&queue), [3, 1, 2], "in the order in which they were asked for");
    let mut first = taken(&queue, 1);
    assert!(matches!(queue.take(&ticket(1).id).unwrap(), Taking::Busy));
    first.note(&Event::Begun(ObjectId::from_bytes([9; 16]).to_string())).unwrap();
    first.note(&Event::Paused).unwrap();
    let entry = &queue.list().unwrap()[1];
    assert_eq!((entry.objects.len(), &entry.held), (1, &Some(Held::Paused)));
    queue.remove(&first).unwrap();
    drop(first);
    assert_eq!(ids(&queue), [3, 2]);
    assert!(matches!(queue.take(&ticket(1).id).unwrap(), Taking::Gone));
}

/// Adds two, begins one, notes a failure and takes it out, with the power cut after so many steps.
/// What was promised before, and whether it came to its end.
fn story(medium: Arc<dyn Medium>) -> (Vec<&'static str>, bool) {
    let queue = Waiters::of(medium);
    let mut promised = Vec::new();
    let mut steps = || -> io::Result<()> {
        let _lock = queue.lock()?;
        queue.add(&[ticket(1), ticket(2)])?;
        promised.push("added");
        let Taking::Taken(mut taken) = queue.take(&ticket(1).id)? else {
            return Err(io::Error::other("not there"));
        };
        taken.note(&Event::Begun(ObjectId::from_bytes([9; 16]).to_string()))?;
        promised.push("begun");
        taken.note(&Event::Failed("source".to_owned(), "gone".to_owned()))?;
        promised.push("failed");
        taken.note(&Event::Released)?;
        promised.push("released");
        queue.remove(&taken)?;
        promised.push("removed");
        Ok(())
    };
    let is_done = steps().is_ok();
    (promised, is_done)
}

/// What may be left of what was not synced.
const SURVIVES: [Survives; 7] = [
    Survives::Synced,
    Survives::All,
    Survives::Prefix(1),
    Survives::Prefix(2),
    Survives::Torn(0, 20),
    Survives::Torn(1, 3),
    Survives::Zeroed(0),
];

#[test]
fn no_cut_of_power_loses_or_doubles_an_entry() {
    for steps in 0.. {
        let mut is_over = false;
        for survives in SURVIVES {
            let machine = Machine::new();
            let process = machine.process();
            process.fail_after(steps);
            let (promised, is_done) = story(process);
            is_over |= is_done;
            machine.crash(survives);
            let queue = Waiters::of(machine.process());
            let entries = queue.list().unwrap();
            let of = |number: u8| entries.iter().filter(move |e| e.ticket.id == ticket(number).id);
            let (first, second) = (of(1).next(), of(2).next());
            assert!(of(1).count() <= 1 && of(2).count() <= 1, "after {steps}");
            let has = |what| promised.contains(&what);
            assert!(!has("added") || second.is_some(), "after {steps}: {promised:?}");
            assert!(!(first.is_some() && has("removed")), "after {steps}");
            if let Some(first) = first {
                assert!(!has("begun") || first.objects.len() == 1, "after {steps}");
                // What was being written may stand there, if nothing of it was lost.
                let is_certain = matches!(survives, Survives::Synced);
                let is_held = first.held.is_some();
                assert!(!has("failed") || has("released") || is_held || !is_certain);
            } else {
                assert!(!has("added") || has("released"), "lost after {steps}: {promised:?}");
            }
            // It can be gone on with: also what a kill left half written.
            let _lock = queue.lock().unwrap();
            queue.add(&[ticket(3)]).unwrap();
            if first.is_some() {
                taken(&queue, 1).note(&Event::Paused).unwrap();
                let held = queue.list().unwrap().remove(0).held;
                assert_eq!(held, Some(Held::Paused));
            }
            assert_eq!(ids(&queue).iter().filter(|id| **id == 3).count(), 1);
        }
        if is_over {
            break;
        }
    }
}

#[test]
fn an_entry_that_is_begun_over_and_over_is_never_lost_and_its_file_stays_short() {
    let queue = Waiters::of(Machine::new().process());
    let _lock = queue.lock().unwrap();
    queue.add(&[ticket(1)]).unwrap();
    let mut taken = taken(&queue, 1);
    let object = |number: u32| {
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        ObjectId::from_bytes(bytes)
    };
    taken.note_begun(object(0)).unwrap();
    let end = taken.end;
    (0..1_000).for_each(|_| taken.note_begun(object(0)).unwrap());
    assert_eq!(taken.end, end, "that it goes on as the same is no news");
    // As others again and again, until its file is as long as may be.
    let begun = (1..).take_while(|number| taken.note_begun(object(*number)).is_ok()).count();
    assert!(begun > 1_000, "{begun}");
    let refused = taken.note_begun(object(0xFFFF_FFFF)).unwrap_err();
    assert!(refused.to_string().contains("its entry is full"), "{refused}");
    taken.note(&Event::Failed("queue".to_owned(), refused.to_string())).unwrap();
    let entry = queue.list().unwrap().remove(0);
    assert_eq!(entry.objects.len(), begun + 1, "each is known by which it may be listed");
    assert!(matches!(entry.held, Some(Held::Failed { .. })));
    taken.note(&Event::Released).unwrap();
    assert_eq!(queue.list().unwrap().remove(0).held, None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _read = read(&bytes);
    }

    #[test]
    fn a_torn_end_never_counts_and_any_other_flip_is_found(
        cut in 0_usize..400, at in 0_usize..2000, bit in 0_u32..8
    ) {
        let line = ticket_line(&ticket(1)).unwrap();
        let event = event_line(&Event::Paused).unwrap();
        let whole = [&line[..], &event[..], &event[..]].concat();
        let torn = &whole[..whole.len() - cut.min(whole.len())];
        match read(torn) {
            Some((entry, end)) => {
                prop_assert!(end <= torn.len() && end >= line.len());
                prop_assert_eq!(entry.held.is_some(), torn.len() >= line.len() + event.len());
            }
            None => prop_assert!(torn.len() < line.len()),
        }
        let mut flipped = whole.clone();
        let at = at % (line.len() + event.len());
        flipped[at] ^= 1 << bit;
        prop_assert!(read(&flipped).is_none(), "at {at}");
    }
}
