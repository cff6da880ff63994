//! Bringing data, masks and capsule to all lanes, with the journal kept on the way.

use super::job::{Job, Woven};
use super::source::{OpenSource, Watched};
use crate::batch::Carried;
use crate::failure::{Class, Failure};
use crate::journal::{Journal, Sealed};
use crate::memory::{Need, Room};
use crate::{Progress, Watch};
use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use warifu_buffers::Block;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::Attributes;
use warifu_core::sharing::SplitPlan;
use warifu_core::{Geometry, KeyClass, Role, XCoord};
use warifu_link::ShareClass;
use warifu_pipeline::backup::driver::{Pace, RunError, run};
use warifu_pipeline::backup::lane::{Lane, Spent};
use warifu_pipeline::backup::weave::{Admission, Finished, Slot, Weaver};
use warifu_pipeline::source::PayloadSource;
use zeroize::Zeroizing;

const CHUNK: u64 = CHUNK_BYTES as u64;

/// What happens on the way, told to the journal and to whoever watches.
pub(super) struct Diary<'a> {
    /// `None` for a stream, which is not resumed.
    journal: Option<RefCell<Journal>>,
    /// The first failure of the journal; nothing more is sent then.
    failed: Cell<Option<io::Error>>,
    /// Spent by each lane, as its last receipt told, on top of what earlier processes spent.
    spent: RefCell<Vec<Spent>>,
    progress: RefCell<&'a mut dyn FnMut(Progress)>,
    stop: &'a AtomicBool,
    /// Of the source: how much it takes when it is compressed shows at its end only.
    read_bytes: Cell<u64>,
    data_bytes: u64,
    stored_bytes: Cell<u64>,
    planned_bytes: u64,
}

impl<'a> Diary<'a> {
    pub(super) fn new(
        journal: Option<Journal>,
        job: &Job<'_>,
        source: &OpenSource<'_>,
        watch: Watch<'a>,
    ) -> Self {
        Self {
            journal: journal.map(RefCell::new),
            failed: Cell::new(None),
            spent: RefCell::new(job.standing.spent.clone()),
            progress: RefCell::new(watch.progress),
            stop: watch.stop,
            read_bytes: Cell::new(0),
            data_bytes: source.layout.data_bytes,
            stored_bytes: Cell::new(0),
            planned_bytes: job.header.geometry.payload_bytes(),
        }
    }

    /// Whether another process can go on where this one stops.
    pub(super) fn is_kept(&self) -> bool {
        self.journal.is_some()
    }

    fn admit(&self, job: &Job<'_>, slot: Slot) -> Result<(), RunError> {
        self.expect_sound()?;
        let Some(journal) = &self.journal else { return Ok(()) };
        let mut journal = journal.borrow_mut();
        if slot.class == ShareClass::Data && !journal.is_admitted(slot.index) {
            self.note_spent(job, &mut journal).map_err(RunError::Journal)?;
            journal.admit(slot.index).map_err(RunError::Journal)?;
        }
        Ok(())
    }

    fn finished(&self, job: &Job<'_>, finished: &Finished) {
        let computational = finished.receipts.iter().any(|receipt| receipt.spent.is_computational);
        for ((spent, before), receipt) in
            self.spent.borrow_mut().iter_mut().zip(&job.standing.spent).zip(&finished.receipts)
        {
            spent.key_bytes = before.key_bytes + receipt.spent.key_bytes;
            spent.sent_bytes = before.sent_bytes + receipt.spent.sent_bytes;
        }
        if let Some(journal) = &self.journal {
            let class = class_of(computational).max(job.random.class());
            if let Err(error) = journal.borrow_mut().done(finished, class) {
                self.failed.set(Some(error));
            }
        }
        if finished.slot.class == ShareClass::Data {
            self.progress(job);
        }
    }

    /// One more chunk is stored.
    fn progress(&self, job: &Job<'_>) {
        let stored_bytes = (self.stored_bytes.get() + CHUNK).min(self.planned_bytes);
        self.stored_bytes.set(stored_bytes);
        let key_bytes = stored_bytes * job.shares.len() as u64;
        let (done_bytes, total_bytes) = (self.read_bytes.get(), self.data_bytes);
        let progress = Progress { done_bytes, total_bytes, key_bytes };
        (self.progress.borrow_mut())(progress);
    }

    fn note_spent(&self, job: &Job<'_>, journal: &mut Journal) -> io::Result<()> {
        let random_bytes = job.standing.random_bytes + job.random.drawn_bytes();
        journal.spent(&self.spent.borrow(), random_bytes)
    }

    /// Writes down what was reached, for the process that goes on.
    pub(super) fn close(&self, job: &Job<'_>) {
        let Some(journal) = &self.journal else { return };
        let mut journal = journal.borrow_mut();
        let noted = self.note_spent(job, &mut journal).and_then(|()| journal.sync());
        drop(
            noted
                .inspect_err(|error| tracing::warn!(%error, "the journal may lack the last of it")),
        );
    }

    /// Makes durable what the sites are about to be asked to complete.
    pub(super) fn seal(&self, job: &Job<'_>, woven: &Woven) -> Result<(), Failure> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let sealed = Sealed {
            geometry: woven.geometry,
            head_bytes: woven.capsule.shape().head_bytes,
            class: woven.capsule.head().class,
        };
        let mut journal = journal.borrow_mut();
        let noted = self.note_spent(job, &mut journal).and_then(|()| journal.seal(sealed));
        Ok(noted.map_err(RunError::Journal)?)
    }

    fn expect_sound(&self) -> Result<(), RunError> {
        self.failed.take().map_or(Ok(()), |error| Err(RunError::Journal(error)))
    }
}

fn class_of(is_computational: bool) -> KeyClass {
    if is_computational { KeyClass::Computational } else { KeyClass::InformationTheoretic }
}

impl Job<'_> {
    /// Does all that is left and lists the object; the bytes of the source.
    ///
    /// # Errors
    /// Those of the parts. What was begun is then ended as fits the failure.
    pub(super) fn carry_out(
        &self,
        mut lanes: Vec<Box<dyn Lane>>,
        source: OpenSource<'_>,
        diary: &Diary<'_>,
        carried: &mut Carried<'_>,
    ) -> Result<u64, Failure> {
        let room = self.vault.reserve(&self.need(&source), diary.stop);
        let stored = room.and_then(|room| {
            let (woven, data_bytes) = self.weave(&mut lanes, source, diary, &room)?;
            diary.seal(self, &woven)?;
            (carried.before_listing)(self.header.object);
            self.commit(&mut lanes, &woven)?;
            Ok((woven, data_bytes))
        });
        let (woven, data_bytes) = match stored {
            Ok(stored) => stored,
            Err(failure) => return Err(self.end(lanes, diary, failure)),
        };
        let recorded = self.record(woven, &lanes);
        carried.take_back(lanes);
        self.vault.return_random(&self.random);
        recorded?;
        let erased = self.vault.journals().erase(self.header.object);
        drop(erased.inspect_err(|error| tracing::warn!(%error, "the journal remains for now")));
        Ok(data_bytes)
    }

    /// Brings data, masks and capsule to all lanes, but for what they hold since before.
    pub(super) fn weave(
        &self,
        lanes: &mut [Box<dyn Lane>],
        source: OpenSource<'_>,
        diary: &Diary<'_>,
        room: &Room,
    ) -> Result<(Woven, u64), Failure> {
        let mut weaver = self.weaver()?;
        let (stream, attributes, watched) = source.into_parts();
        let (geometry, data_bytes) =
            self.weave_data(&mut weaver, lanes, diary, (stream, &attributes, &watched, room))?;
        self.weave_masks(&mut weaver, lanes, diary, (geometry.mask_count(), room))?;
        let attempts = weaver.attempts().clone();
        let verdicts =
            lanes.iter().map(|lane| lane.verdict(geometry.chunk_count(), geometry.mask_count()));
        let computational = lanes.iter().any(|lane| lane.spent().is_computational);
        let drawn = class_of(computational).max(self.random.class());
        let class = self.class.max(self.standing.class).max(drawn);
        let capsule = self.capsule(geometry, class, &attempts, verdicts.collect())?;
        let point_count = self.request.threshold.n() + 1;
        let mut points = Zeroizing::new(vec![[0; 16]; point_count]);
        for point in points.iter_mut() {
            point.copy_from_slice(&self.random.block()?[..]);
        }
        let encoded = capsule.encode(self.vault.isa, &points);
        self.weave_capsule(&mut weaver, lanes, diary, (&encoded, room))?;
        diary.expect_sound()?;
        Ok((Woven { geometry, capsule, attempts }, data_bytes))
    }

    fn weaver(&self) -> Result<Weaver, Failure> {
        let x_of = |role| {
            let shares = self.shares.iter().filter(move |share| share.role == role);
            shares.map(|share| share.x).collect::<Vec<XCoord>>()
        };
        let split = SplitPlan::new(self.request.threshold, &x_of(Role::Pad), &x_of(Role::Computed));
        let split = split.map_err(|error| {
            Failure::new(Class::Other, "placement", "the plan can't be shared").because(error)
        })?;
        let roles = self.shares.iter().map(|share| share.role).collect();
        let mut weaver = Weaver::new(self.vault.isa, split, roles);
        self.standing.slots().for_each(|(slot, attempt)| weaver.take_up(slot, attempt));
        Ok(weaver)
    }

    /// What it holds in memory.
    fn need(&self, source: &OpenSource<'_>) -> Need {
        let channels = self.shares.iter().map(|share| share.channel);
        let payload_bytes = self.header.geometry.payload_bytes();
        Need::of_backup(self.request.threshold, payload_bytes, source.shape.encoding, channels)
    }

    fn pace(&self, room: &Room) -> Pace {
        Pace { window: room.window, workers: self.vault.config.pipeline.worker_count() }
    }

    /// For masks and capsule, of which nothing is split.
    fn pace_of_little(room: &Room) -> Pace {
        Pace { window: room.window, workers: 1 }
    }

    fn weave_data(
        &self,
        weaver: &mut Weaver,
        lanes: &mut [Box<dyn Lane>],
        diary: &Diary<'_>,
        (stream, attributes, watched, room): (
            Box<dyn Read + Send + '_>,
            &Attributes,
            &Watched,
            &Room,
        ),
    ) -> Result<(Geometry, u64), Failure> {
        let planned_bytes = watched.planned.payload_bytes;
        let payload = PayloadSource::new(stream, attributes, watched.shape).map_err(|error| {
            Failure::new(Class::Usage, "source-name", "the source's name can't be stored")
                .because(error)
        })?;
        let mut payload = payload.with_frames(room.frames);
        let mut stopped = false;
        let mut done = |finished: Finished| diary.finished(self, &finished);
        let driver = self.vault.world.driver();
        let ran = payload.ahead(&driver, |read| {
            let mut indices = 0_u64..;
            let mut next = || {
                for index in indices.by_ref() {
                    let ahead = read();
                    if diary.stop.load(Ordering::Relaxed) {
                        // What is on its way comes to its end, so that nothing of it is lost.
                        stopped = true;
                        return Ok(None);
                    }
                    let Some(ahead) = ahead? else { return Ok(None) };
                    diary.read_bytes.set(ahead.data_bytes);
                    if ahead.payload_bytes > planned_bytes {
                        return Err(RunError::SourceGrew { planned_bytes });
                    }
                    let slot = Slot { class: ShareClass::Data, index };
                    match self.standing.done(slot) {
                        Some(_) => diary.progress(self),
                        None => return self.admission(slot, ahead.chunk, diary).map(Some),
                    }
                }
                Ok(None)
            };
            run(&driver, weaver, lanes, self.pace(room), &mut next, &mut done)
        });
        ran.map_err(|error| watched.explained(error))?;
        diary.expect_sound()?;
        if stopped {
            return Err(RunError::Stopped.into());
        }
        watched.expect_unchanged(payload.data_bytes())?;
        let geometry = Geometry::new(payload.payload_bytes()).map_err(|error| {
            Failure::new(Class::Limit, "source-too-long", "the source is too long").because(error)
        })?;
        Ok((geometry, payload.data_bytes()))
    }

    fn admission(
        &self,
        slot: Slot,
        payload: Block,
        diary: &Diary<'_>,
    ) -> Result<Admission, RunError> {
        diary.admit(self, slot)?;
        Ok(Admission { slot, attempt: self.standing.first_attempt(slot), payload })
    }

    fn weave_masks(
        &self,
        weaver: &mut Weaver,
        lanes: &mut [Box<dyn Lane>],
        diary: &Diary<'_>,
        (masks, room): (u32, &Room),
    ) -> Result<(), Failure> {
        let slots = (0..u64::from(masks)).map(|index| Slot { class: ShareClass::Mask, index });
        let mut left = slots.filter(|slot| self.standing.done(*slot).is_none());
        let mut next =
            || left.next().map(|slot| self.admission(slot, Block::zeroed(0), diary)).transpose();
        let mut done = |finished: Finished| diary.finished(self, &finished);
        let driver = self.vault.world.driver();
        Ok(run(&driver, weaver, lanes, Self::pace_of_little(room), &mut next, &mut done)?)
    }

    fn weave_capsule(
        &self,
        weaver: &mut Weaver,
        lanes: &mut [Box<dyn Lane>],
        diary: &Diary<'_>,
        (capsule, room): (&[u8], &Room),
    ) -> Result<(), Failure> {
        let mut pieces = capsule.chunks(CHUNK_BYTES as usize).zip(0..);
        let mut next = || {
            let piece = pieces.next().map(|(piece, index)| {
                let slot = Slot { class: ShareClass::Capsule, index };
                let mut block = Block::zeroed(piece.len());
                block.copy_from_slice(piece);
                self.admission(slot, block, diary)
            });
            piece.transpose()
        };
        let mut done = |finished: Finished| diary.finished(self, &finished);
        let driver = self.vault.world.driver();
        Ok(run(&driver, weaver, lanes, Self::pace_of_little(room), &mut next, &mut done)?)
    }
}
