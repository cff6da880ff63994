//! One very large object through the step machine, over sites that keep nothing: memory is flat.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;
use warifu_buffers::Block;
use warifu_core::capsule::Verdict;
use warifu_core::payload::{Attributes, Shape};
use warifu_core::sharing::SplitPlan;
use warifu_core::{Kept, Role, SiteName, Threshold, XCoord};
use warifu_kernels::Isa;
use warifu_link::{ShareClass, TAG_BYTES};
use warifu_pipeline::backup::driver::{Pace, RunError, run};
use warifu_pipeline::backup::lane::{Lane, LaneError, Receipt, Spent};
use warifu_pipeline::backup::weave::{Admission, CONTENT_OFFSET, Finished, Slot, Weaver};
use warifu_pipeline::driver::{Chooser, Driver};
use warifu_pipeline::hashes::ShareHashes;
use warifu_pipeline::held::Held;
use warifu_pipeline::peer::Peer;
use warifu_pipeline::share::CommitOrder;
use warifu_pipeline::source::PayloadSource;

/// What the process may hold at most, in bytes, whatever the object's length: the default of
/// `limits.memory_bytes` is four times that.
const CEILING_BYTES: u64 = 64 << 20;

/// Chunks on their way at once, and threads that compute.
const PACE: Pace = Pace { window: 4, workers: 2 };

/// Bytes that nobody stores anywhere.
struct Endless {
    left: u64,
}

impl Read for Endless {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let now = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        target[..now].fill(0x5a);
        self.left -= now as u64;
        Ok(now)
    }
}

/// A site that hashes what it gets, as every lane must, and forgets it.
struct NullLane {
    site: SiteName,
    hashes: ShareHashes,
    held: Held,
    taken: VecDeque<Receipt>,
    spent: Spent,
}

impl NullLane {
    fn take(&mut self, slot: Slot, attempt: u32, content: &[u8]) {
        self.hashes.record(slot, content, &[0; 16]);
        let hash = self.hashes.of(slot);
        self.spent.sent_bytes += content.len() as u64;
        self.taken.push_back(Receipt { slot, attempt, hash, spent: self.spent });
    }
}

impl Lane for NullLane {
    fn site(&self) -> &SiteName {
        &self.site
    }

    fn draw(&mut self, slot: Slot, attempt: u32, bytes: usize) -> Result<Kept, LaneError> {
        let pad = Block::zeroed(bytes);
        self.take(slot, attempt, &pad);
        Ok(Kept::tail(pad, 0))
    }

    fn store(&mut self, slot: Slot, attempt: u32, frame: Block) -> Result<(), LaneError> {
        self.take(slot, attempt, &frame[CONTENT_OFFSET..frame.len() - TAG_BYTES]);
        Ok(())
    }

    fn mask(&mut self, _index: u64, _attempt: u32) -> Result<(), LaneError> {
        Ok(())
    }

    fn outstanding(&self) -> usize {
        self.taken.len()
    }

    fn settle(&mut self) -> Result<Receipt, LaneError> {
        Ok(self.taken.pop_front().unwrap())
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn take_up(&mut self, slot: Slot, _attempt: u32, hash: [u8; 16]) {
        self.hashes.restore(slot, hash);
    }

    fn recover(&mut self, _about: Option<(Slot, u32)>) -> Result<Vec<(Slot, u32)>, LaneError> {
        Ok(Vec::new())
    }

    fn verdict(&self, chunks: u64, masks: u32) -> Verdict {
        self.hashes.verdict(chunks, masks)
    }

    fn commit(&mut self, _order: &CommitOrder<'_>) -> Result<(), LaneError> {
        Ok(())
    }

    fn abandon(&mut self) {}

    fn spent(&self) -> Spent {
        self.spent
    }

    fn close(self: Box<Self>) {}

    fn into_peer(self: Box<Self>) -> Option<Peer> {
        None
    }
}

/// Each lane in its turn.
#[derive(Default)]
struct Turns(std::sync::atomic::AtomicUsize);

impl Chooser for Turns {
    fn choose(&self, count: usize) -> usize {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % count
    }
}

/// Streams `bytes` at (3,5); the bytes that each site was given.
fn stream(driver: &Driver, bytes: u64) -> Vec<u64> {
    let x = |x| XCoord::new(x).unwrap();
    let threshold = Threshold::new(3, 5).unwrap();
    let split = SplitPlan::new(threshold, &[x(1), x(2)], &[x(3), x(4), x(5)]).unwrap();
    let roles = [Role::Pad, Role::Pad, Role::Computed, Role::Computed, Role::Computed];
    let isa = Isa::best();
    let mut weaver = Weaver::new(isa, split, roles.to_vec());
    let mut lanes: Vec<Box<dyn Lane>> = Vec::new();
    for number in 1..=5 {
        lanes.push(Box::new(NullLane {
            site: format!("s{number}").parse().unwrap(),
            hashes: ShareHashes::new(isa, x(number), [number; 16]),
            held: Held::default(),
            taken: VecDeque::new(),
            spent: Spent::default(),
        }));
    }
    let source = Endless { left: bytes };
    let mut payload = PayloadSource::new(source, &Attributes::default(), Shape::PLAIN).unwrap();
    let mut index = 0;
    let mut next = || -> Result<Option<Admission>, RunError> {
        let Some(chunk) = payload.next_chunk()? else { return Ok(None) };
        index += 1;
        let slot = Slot { class: ShareClass::Data, index: index - 1 };
        Ok(Some(Admission { slot, attempt: 0, payload: chunk }))
    };
    let mut done = 0;
    let mut count = |_: Finished| done += 1;
    run(driver, &mut weaver, &mut lanes, PACE, &mut next, &mut count).unwrap();
    assert_eq!(done, index, "every chunk is told of once");
    assert_eq!(weaver.underway(), 0);
    let hashes = lanes[4].verdict(index, 0).hashes.len() as u64;
    assert_eq!(hashes, index);
    lanes.iter().map(|lane| lane.spent().sent_bytes).collect()
}

/// The most memory that this process has ever held, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn both_drivers_bring_a_stream_to_every_site_in_little_memory() {
    let bytes = 96 << 20;
    let in_steps = stream(&Driver::Steps(Arc::new(Turns::default())), bytes);
    let on_threads = stream(&Driver::Threads, bytes);
    assert_eq!(in_steps, on_threads);
    assert!(in_steps.iter().all(|sent| *sent >= bytes));
    let peak = peak_bytes();
    assert!(peak < CEILING_BYTES, "{peak} bytes of memory");
}

#[test]
#[ignore = "long: 100 GB, or as many bytes as WARIFU_SIM_STREAM_BYTES says"]
fn a_hundred_gigabytes_take_no_more_memory() {
    let wanted = std::env::var("WARIFU_SIM_STREAM_BYTES").ok();
    let bytes = wanted.map_or(100_000_000_000, |text| text.parse().unwrap());
    let started = Instant::now();
    let sent = stream(&Driver::Threads, bytes);
    let (peak, seconds) = (peak_bytes(), started.elapsed().as_secs_f64());
    println!("{bytes} bytes in {seconds:.1} s, {peak} bytes of memory at most");
    assert!(sent.iter().all(|sent| *sent >= bytes));
    // What grows are the hashes: 16 bytes for each chunk and site, in a map.
    let hashes_bytes = 5 * 80 * (bytes >> 20);
    assert!(peak < CEILING_BYTES + hashes_bytes, "{peak} bytes of memory");
}
