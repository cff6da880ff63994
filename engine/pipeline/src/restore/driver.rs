//! Runs a restore: one thread for each lane, one that joins and writes.

use super::gather::{Ask, Gatherer, NotEnough, Part};
use super::lane::{ReadError, ReadLane};
use crate::alarm::PanicAlarm;
use crate::sink::{PayloadSink, SinkError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::BTreeMap;
use std::io::Write;
use warifu_buffers::Block;
use warifu_core::sharing::join_matrix;
use warifu_core::{Geometry, SiteName, Threshold, XCoord};
use warifu_kernels::{Isa, Matrix, dot};

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
}

enum Event {
    Arrived { lane: usize, index: u64, part: Part },
    Failed { lane: usize, index: u64, error: ReadError },
    Panicked,
}

/// What is to be rebuilt, and how.
pub struct RestoreJob<'a> {
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
        sink: &mut PayloadSink<W>,
        rejected: &mut Vec<Rejected>,
        done: &mut dyn FnMut(usize, u64) -> bool,
    ) -> Result<(), RestoreError> {
        let sites: Vec<SiteName> = lanes.iter().map(|lane| lane.site().clone()).collect();
        let needed = self.threshold.k();
        let too_few = |NotEnough { good }| RestoreError::NotEnough { good, needed };
        let mut gatherer = Gatherer::new(needed, 0..lanes.len()).map_err(too_few)?;
        let (told, events) = unbounded();
        let mut joiner = Joiner { job: self, rows: BTreeMap::new() };
        std::thread::scope(|scope| {
            let asks: Vec<Sender<(u64, usize)>> = lanes
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
            let give = |wanted: Vec<Ask>| {
                for Ask { lane, index } in wanted {
                    let _gone = asks[lane].send((index, self.geometry.chunk_bytes(index)));
                }
            };
            loop {
                while gatherer.underway() < self.window
                    && let Some(index) = sink.next_wanted()
                {
                    give(gatherer.admit(index));
                }
                if gatherer.underway() == 0 {
                    return Ok(());
                }
                match events.recv().map_err(|_| RestoreError::Stopped)? {
                    Event::Panicked => return Err(RestoreError::Stopped),
                    Event::Arrived { lane, index, part } => gatherer.arrived(lane, index, part),
                    Event::Failed { lane, index, error } => {
                        tracing::warn!(site = %sites[lane], chunk = index, %error, "set aside");
                        rejected.push(Rejected { site: sites[lane].clone(), chunk: index, error });
                        give(gatherer.failed(lane).map_err(too_few)?);
                    }
                }
                while let Some((index, parts)) = gatherer.take_next() {
                    let chunk = joiner.join(&parts);
                    let chunk_bytes = chunk.len();
                    sink.take(index, chunk)?;
                    if !done(chunk_bytes, sink.planned_bytes()) {
                        return Err(RestoreError::Stopped);
                    }
                }
            }
        })
    }
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
        dot(self.job.isa, row, &mut [&mut chunk], &sources);
        chunk
    }
}

fn serve_lane(
    number: usize,
    lane: &mut dyn ReadLane,
    asks: &Receiver<(u64, usize)>,
    told: &Sender<Event>,
) {
    let _alarm = PanicAlarm(|| drop(told.send(Event::Panicked)));
    let mut owed = std::collections::VecDeque::new();
    loop {
        let ask = match lane.outstanding() {
            0 => match asks.recv() {
                Ok(ask) => Some(ask),
                Err(_) => return,
            },
            _ => asks.try_recv().ok(),
        };
        let outcome = match ask {
            Some((index, bytes)) => {
                owed.push_back(index);
                lane.ask(index, bytes).map(|()| None)
            }
            None => lane.next_part().map(Some),
        };
        let event = match outcome {
            Ok(None) => continue,
            Ok(Some((index, part))) => {
                owed.pop_front();
                Event::Arrived { lane: number, index, part }
            }
            Err(error) => {
                let index = owed.pop_front().unwrap_or(0);
                let _unheard = told.send(Event::Failed { lane: number, index, error });
                return;
            }
        };
        if told.send(event).is_err() {
            return;
        }
    }
}
