//! Runs a restore: one thread for each lane and one that joins and writes, or all on one thread,
//! step by step.

use super::gather::{Ask, Gatherer, NotEnough, Part};
use super::lane::{ReadError, ReadLane};
use crate::alarm::PanicAlarm;
use crate::driver::{Chooser, Driver};
use crate::sink::{PayloadSink, SinkError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use warifu_buffers::Block;
use warifu_core::sharing::join_matrix;
use warifu_core::{Geometry, SiteName, Threshold, XCoord};
use warifu_kernels::{Isa, Matrix, dot_into};

/// A share that was set aside, and why.
#[derive(Debug)]
pub struct Rejected {
    /// Whose share.
    pub site: SiteName,
    /// The chunk at which it was found.
    pub chunk: u64,
    /// What was found.
    pub error: ReadError,
}

/// Why nothing is restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Fewer than k good shares.
    #[error("{good} good shares are left where {needed} are needed")]
    NotEnough {
        /// Shares still good.
        good: usize,
        /// k.
        needed: usize,
    },
    /// What was joined is not the object, or can't be written.
    #[error("the object could not be rebuilt")]
    Sink(#[from] SinkError),
    /// The operator or a signal asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// Chunks are owed and nobody is asked for them: a fault of the step machine.
    #[error("no site is asked any more, and not all is there")]
    Stalled,
}

enum Event {
    Arrived { lane: usize, index: u64, part: Part },
    Failed { lane: usize, index: u64, error: ReadError },
    Panicked,
}

/// What is to be rebuilt, and how.
pub struct RestoreJob<'a> {
    /// Who decides which lane acts next.
    pub driver: &'a Driver,
    /// Which kernels to use.
    pub isa: Isa,
    /// The object's scheme.
    pub threshold: Threshold,
    /// The object's cut.
    pub geometry: Geometry,
    /// The x of each lane.
    pub xs: &'a [XCoord],
    /// Chunks on their way at once.
    pub window: usize,
}

impl RestoreJob<'_> {
    /// Joins the chunks that `sink` wants, in its order; lanes earlier in the slice are preferred.
    /// `done` is told the payload bytes of each chunk and of all that are wanted, and may ask to
    /// stop by answering false. Shares set aside are pushed to `rejected`, also when the restore
    /// fails.
    ///
    /// # Errors
    /// Where fewer than k good shares are left, or the sink fails.
    pub fn run<W: Write>(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        sink: &mut PayloadSink<'_, W>,
        rejected: &mut Vec<Rejected>,
        done: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Result<(), RestoreError> {
        let sites = lanes.iter().map(|lane| lane.site().clone()).collect();
        let gatherer = Gatherer::new(self.threshold.k(), 0..lanes.len());
        let gatherer = gatherer.map_err(|NotEnough { good }| self.too_few(good))?;
        let joiner = Joiner { job: self, rows: BTreeMap::new() };
        let machine = Machine { joiner, gatherer, sites, sink, rejected, done };
        match self.driver {
            Driver::Threads => run_on_threads(machine, lanes),
            Driver::Steps(chooser) => run_in_steps(machine, lanes, chooser.as_ref()),
        }
    }

    fn too_few(&self, good: usize) -> RestoreError {
        RestoreError::NotEnough { good, needed: self.threshold.k() }
    }
}

/// The step machine with its sink: what both drivers have in common.
struct Machine<'a, 's, W: Write> {
    joiner: Joiner<'a>,
    gatherer: Gatherer,
    sites: Vec<SiteName>,
    sink: &'a mut PayloadSink<'s, W>,
    rejected: &'a mut Vec<Rejected>,
    done: &'a mut dyn FnMut(usize, u64) -> bool,
}

impl<W: Write> Machine<'_, '_, W> {
    /// Takes up as many chunks as the window has room for. False where all is done.
    fn go_on(&mut self, give: &mut dyn FnMut(Ask)) -> bool {
        while self.gatherer.underway() < self.joiner.job.window
            && let Some(index) = self.sink.next_wanted()
        {
            self.gatherer.admit(index).into_iter().for_each(&mut *give);
        }
        self.gatherer.underway() > 0
    }

    /// Takes in what a lane tells, and writes what is whole then.
    fn take(&mut self, event: Event, give: &mut dyn FnMut(Ask)) -> Result<(), RestoreError> {
        match event {
            Event::Panicked => return Err(RestoreError::Stopped),
            Event::Arrived { lane, index, part } => self.gatherer.arrived(lane, index, part),
            Event::Failed { lane, index, error } => {
                let site = self.sites[lane].clone();
                tracing::warn!(%site, chunk = index, %error, "set aside");
                self.rejected.push(Rejected { site, chunk: index, error });
                let asks = self.gatherer.failed(lane);
                let asks = asks.map_err(|NotEnough { good }| self.joiner.job.too_few(good))?;
                asks.into_iter().for_each(give);
            }
        }
        while let Some((index, parts)) = self.gatherer.take_next() {
            let chunk = self.joiner.join(&parts);
            let chunk_bytes = chunk.len();
            self.sink.take(index, chunk)?;
            if !(self.done)(chunk_bytes, self.sink.planned_bytes()) {
                return Err(RestoreError::Stopped);
            }
        }
        Ok(())
    }
}

/// A chunk to ask for, and its length.
type Wanted = (u64, usize);

fn run_on_threads<W: Write>(
    mut machine: Machine<'_, '_, W>,
    lanes: &mut [Box<dyn ReadLane>],
) -> Result<(), RestoreError> {
    let (told, events) = unbounded();
    let geometry = machine.joiner.job.geometry;
    std::thread::scope(|scope| {
        let asks: Vec<Sender<Wanted>> = lanes
            .iter_mut()
            .enumerate()
            .map(|(number, lane)| {
                let (asks, inbox) = unbounded();
                let told = told.clone();
                scope.spawn(move || serve_lane(number, lane.as_mut(), &inbox, &told));
                asks
            })
            .collect();
        drop(told);
        let mut give = |Ask { lane, index }: Ask| {
            let _gone = asks[lane].send((index, geometry.chunk_bytes(index)));
        };
        while machine.go_on(&mut give) {
            let event = events.recv().map_err(|_| RestoreError::Stopped)?;
            machine.take(event, &mut give)?;
        }
        Ok(())
    })
}

/// On this thread: the chooser says which lane acts next, and whether it asks or waits.
fn run_in_steps<W: Write>(
    mut machine: Machine<'_, '_, W>,
    lanes: &mut [Box<dyn ReadLane>],
    chooser: &dyn Chooser,
) -> Result<(), RestoreError> {
    let geometry = machine.joiner.job.geometry;
    let mut inboxes: Vec<VecDeque<Wanted>> = lanes.iter().map(|_| VecDeque::new()).collect();
    let mut owed: Vec<VecDeque<u64>> = lanes.iter().map(|_| VecDeque::new()).collect();
    let mut failed = vec![false; lanes.len()];
    let wanted = |index| (index, geometry.chunk_bytes(index));
    while machine.go_on(&mut |ask| inboxes[ask.lane].push_back(wanted(ask.index))) {
        let can_act = |lane: &usize| {
            !failed[*lane] && (!inboxes[*lane].is_empty() || lanes[*lane].outstanding() > 0)
        };
        let ready: Vec<usize> = (0..lanes.len()).filter(can_act).collect();
        if ready.is_empty() {
            return Err(RestoreError::Stalled);
        }
        let number = ready[chooser.choose(ready.len())];
        let (lane, inbox) = (lanes[number].as_mut(), &mut inboxes[number]);
        let waits = inbox.is_empty() || (lane.outstanding() > 0 && chooser.choose(2) == 0);
        let ask = if waits { None } else { inbox.pop_front() };
        if let Some(event) = act(number, lane, ask, &mut owed[number]) {
            failed[number] |= matches!(event, Event::Failed { .. });
            machine.take(event, &mut |ask| inboxes[ask.lane].push_back(wanted(ask.index)))?;
        }
    }
    Ok(())
}

/// Joins k parts, keeping the Lagrange row of each set of lanes met so far.
struct Joiner<'a> {
    job: &'a RestoreJob<'a>,
    rows: BTreeMap<Vec<usize>, Matrix>,
}

impl Joiner<'_> {
    fn join(&mut self, parts: &[(usize, Part)]) -> Block {
        let lanes: Vec<usize> = parts.iter().map(|(lane, _)| *lane).collect();
        let xs = self.job.xs;
        let row = self.rows.entry(lanes).or_insert_with_key(|lanes| {
            let chosen: Vec<XCoord> = lanes.iter().map(|&lane| xs[lane]).collect();
            #[expect(clippy::expect_used, reason = "lanes of a plan have distinct x")]
            join_matrix(&chosen).expect("distinct x-coordinates")
        });
        let sources: Vec<&[u8]> = parts.iter().map(|(_, part)| part.content()).collect();
        let mut chunk = Block::zeroed(sources[0].len());
        dot_into(self.job.isa, row, &mut [&mut chunk], &sources, warifu_kernels::Write::Cached);
        chunk
    }
}

/// One lane's thread: asks, and collects answers while there is nothing to ask for.
fn serve_lane(
    number: usize,
    lane: &mut dyn ReadLane,
    asks: &Receiver<Wanted>,
    told: &Sender<Event>,
) {
    let _alarm = PanicAlarm(|| drop(told.send(Event::Panicked)));
    let mut owed = VecDeque::new();
    loop {
        let ask = match lane.outstanding() {
            0 => match asks.recv() {
                Ok(ask) => Some(ask),
                Err(_) => return,
            },
            _ => asks.try_recv().ok(),
        };
        let event = act(number, lane, ask, &mut owed);
        let failed = matches!(event, Some(Event::Failed { .. }));
        let unheard = event.is_some_and(|event| told.send(event).is_err());
        if failed || unheard {
            return;
        }
    }
}

/// One step of a lane: asks for a chunk, or waits for the next answer where there is none to ask
/// for. `owed` are the chunks that it was asked for.
fn act(
    number: usize,
    lane: &mut dyn ReadLane,
    ask: Option<Wanted>,
    owed: &mut VecDeque<u64>,
) -> Option<Event> {
    let outcome = match ask {
        Some((index, bytes)) => {
            owed.push_back(index);
            lane.ask(index, bytes).map(|()| None)
        }
        None => lane.next_part().map(Some),
    };
    match outcome {
        Ok(None) => None,
        Ok(Some((index, part))) => {
            owed.pop_front();
            Some(Event::Arrived { lane: number, index, part })
        }
        Err(error) => {
            let index = owed.pop_front().unwrap_or(0);
            Some(Event::Failed { lane: number, index, error })
        }
    }
}
