//! Runs the step machine: threads for the lanes, some that compute, and one that decides; or all on
//! one thread, step by step.

use super::lane::{Lane, LaneError, Receipt};
use super::weave::{Admission, Finished, Made, Order, Slot, Split, Task, Weaver};
use crate::alarm::PanicAlarm;
use crate::driver::{Chooser, Driver};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::VecDeque;
use std::io;
use warifu_core::{Kept, SiteName};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A site's lane can't go on.
    #[error("site {site} failed")]
    Lane {
        /// Which site.
        site: SiteName,
        /// Why.
        source: LaneError,
    },
    /// The source can't be read.
    #[error("the source could not be read")]
    Source(#[from] io::Error),
    /// The source holds more than was planned and budgeted for.
    #[error("the source is longer than the {planned_bytes} bytes that were planned for it")]
    SourceGrew {
        /// Payload bytes planned.
        planned_bytes: u64,
    },
    /// The journal of the backup can't be written, so nothing more may be sent.
    #[error("the journal of the backup could not be written")]
    Journal(#[source] io::Error),
    /// The operator or a signal asked to stop.
    #[error("stopped on request")]
    Stopped,
    /// A thread of a lane panicked: a fault of this program, told on standard error.
    #[error("a thread that serves a site panicked")]
    Panicked,
    /// Chunks are on their way and no lane has anything left to do: a fault of the step machine.
    #[error("no site has anything left to do, and not all is stored")]
    Stalled,
}

/// What a lane tells the machine.
enum Event {
    Drawn { lane: usize, slot: Slot, attempt: u32, pad: Kept },
    Made(Made),
    Held { lane: usize, receipt: Receipt },
    Doubtful { slots: Vec<(Slot, u32)> },
    Failed { lane: usize, error: LaneError },
    Panicked,
}

/// How much is done at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Slots on their way; at least one.
    pub window: usize,
    /// Threads that compute, where the driver has threads; at least one.
    pub workers: usize,
}

/// Brings slots to all lanes until `next` has no more and all are acknowledged, with at most
/// `pace.window` of them on their way; `done` is told of each.
///
/// # Errors
/// The first failure of a lane that does not recover, or of `next`.
pub fn run(
    driver: &Driver,
    weaver: &mut Weaver,
    lanes: &mut [Box<dyn Lane>],
    pace: Pace,
    next: &mut dyn FnMut() -> Result<Option<Admission>, RunError>,
    done: &mut dyn FnMut(Finished),
) -> Result<(), RunError> {
    let sites = lanes.iter().map(|lane| lane.site().clone()).collect();
    let machine = Machine { weaver, sites, pace, next, done, ended: false };
    match driver {
        Driver::Threads => run_on_threads(machine, lanes),
        Driver::Steps(chooser) => run_in_steps(machine, lanes, chooser.as_ref()),
    }
}

/// The step machine with its source: what both drivers have in common.
struct Machine<'a> {
    weaver: &'a mut Weaver,
    sites: Vec<SiteName>,
    pace: Pace,
    next: &'a mut dyn FnMut() -> Result<Option<Admission>, RunError>,
    done: &'a mut dyn FnMut(Finished),
    ended: bool,
}

impl Machine<'_> {
    /// Takes up as many slots as the window has room for. False where all is done.
    fn go_on(&mut self, give: &mut dyn FnMut(Order)) -> Result<bool, RunError> {
        while !self.ended && self.weaver.underway() < self.pace.window {
            match (self.next)()? {
                Some(admission) => {
                    self.weaver.admit(admission).into_iter().for_each(&mut *give);
                }
                None => self.ended = true,
            }
        }
        Ok(self.weaver.underway() > 0)
    }

    fn take(&mut self, event: Event, give: &mut dyn FnMut(Order)) -> Result<(), RunError> {
        match event {
            Event::Drawn { lane, slot, attempt, pad } => {
                let orders = self.weaver.drawn(lane, slot, attempt, pad);
                orders.into_iter().for_each(give);
            }
            Event::Made(made) => self.weaver.made(made).into_iter().for_each(give),
            Event::Held { lane, receipt } => {
                if let Some(finished) = self.weaver.acknowledged(lane, receipt) {
                    (self.done)(finished);
                }
            }
            Event::Doubtful { slots } => {
                for (slot, attempt) in slots {
                    self.weaver.redraw(slot, attempt).into_iter().for_each(&mut *give);
                }
            }
            Event::Failed { lane, error } => {
                return Err(RunError::Lane { site: self.sites[lane].clone(), source: error });
            }
            Event::Panicked => return Err(RunError::Panicked),
        }
        Ok(())
    }
}

fn run_on_threads(mut machine: Machine<'_>, lanes: &mut [Box<dyn Lane>]) -> Result<(), RunError> {
    let (told, events) = unbounded();
    let (splits, to_split) = unbounded();
    std::thread::scope(|scope| {
        let tasks: Vec<Sender<Task>> = lanes
            .iter_mut()
            .enumerate()
            .map(|(number, lane)| {
                let (tasks, inbox) = unbounded();
                let told = told.clone();
                scope.spawn(move || serve_lane(number, lane.as_mut(), &inbox, &told));
                tasks
            })
            .collect();
        for _ in 0..machine.pace.workers.clamp(1, machine.pace.window.max(1)) {
            let (to_split, told) = (to_split.clone(), told.clone());
            scope.spawn(move || make_splits(&to_split, &told));
        }
        drop(told);
        // Who is gone has told why, so nothing is lost with its order.
        let mut give = move |order: Order| match order {
            Order::Split(split) => drop(splits.send(split)),
            Order::At { lane, task } => drop(tasks[lane].send(task)),
        };
        while machine.go_on(&mut give)? {
            let Ok(event) = events.recv() else { return Err(RunError::Panicked) };
            machine.take(event, &mut give)?;
        }
        Ok(())
    })
}

/// One computing thread.
fn make_splits(splits: &Receiver<Box<Split>>, told: &Sender<Event>) {
    let _alarm = PanicAlarm(|| drop(told.send(Event::Panicked)));
    for split in splits {
        if told.send(Event::Made(split.make())).is_err() {
            return;
        }
    }
}

/// What is to be done next, where one thread does everything.
struct Inboxes {
    splits: VecDeque<Box<Split>>,
    tasks: Vec<VecDeque<Task>>,
}

impl Inboxes {
    fn give(&mut self, order: Order) {
        match order {
            Order::Split(split) => self.splits.push_back(split),
            Order::At { lane, task } => self.tasks[lane].push_back(task),
        }
    }
}

/// On this thread: the chooser says which lane acts next, and whether it sends or waits.
fn run_in_steps(
    mut machine: Machine<'_>,
    lanes: &mut [Box<dyn Lane>],
    chooser: &dyn Chooser,
) -> Result<(), RunError> {
    let tasks = lanes.iter().map(|_| VecDeque::new()).collect();
    let mut inboxes = Inboxes { splits: VecDeque::new(), tasks };
    while machine.go_on(&mut |order| inboxes.give(order))? {
        // What is computed is computed at once: no choice depends on when.
        while let Some(split) = inboxes.splits.pop_front() {
            machine.take(Event::Made(split.make()), &mut |order| inboxes.give(order))?;
        }
        let can_act =
            |lane: &usize| !inboxes.tasks[*lane].is_empty() || lanes[*lane].outstanding() > 0;
        let ready: Vec<usize> = (0..lanes.len()).filter(can_act).collect();
        if ready.is_empty() {
            return Err(RunError::Stalled);
        }
        let number = ready[chooser.choose(ready.len())];
        let (lane, inbox) = (lanes[number].as_mut(), &mut inboxes.tasks[number]);
        let waits = inbox.is_empty() || (lane.outstanding() > 0 && chooser.choose(2) == 0);
        let task = if waits { None } else { inbox.pop_front() };
        if let Some(event) = act(number, lane, task) {
            machine.take(event, &mut |order| inboxes.give(order))?;
        }
    }
    Ok(())
}

/// One lane's thread: carries out tasks, and collects answers while there is nothing to send.
fn serve_lane(number: usize, lane: &mut dyn Lane, tasks: &Receiver<Task>, told: &Sender<Event>) {
    let _alarm = PanicAlarm(|| drop(told.send(Event::Panicked)));
    loop {
        let task = match lane.outstanding() {
            0 => match tasks.recv() {
                Ok(task) => Some(task),
                Err(_) => return,
            },
            _ => tasks.try_recv().ok(),
        };
        let event = act(number, lane, task);
        let failed = matches!(event, Some(Event::Failed { .. }));
        let unheard = event.is_some_and(|event| told.send(event).is_err());
        if failed || unheard {
            return;
        }
    }
}

/// One step of a lane: carries out `task`, or waits for the next answer where there is none.
fn act(number: usize, lane: &mut dyn Lane, task: Option<Task>) -> Option<Event> {
    let about = task.as_ref().map(Task::about);
    let outcome = match task {
        Some(task) => carry_out(number, lane, task),
        None => lane.settle().map(|receipt| Some(Event::Held { lane: number, receipt })),
    };
    match outcome {
        Ok(event) => event,
        Err(error) if error.is_lost() => Some(recover(number, lane, about, error)),
        Err(error) => Some(Event::Failed { lane: number, error }),
    }
}

fn carry_out(number: usize, lane: &mut dyn Lane, task: Task) -> Result<Option<Event>, LaneError> {
    match task {
        Task::Draw { slot, attempt, bytes } => {
            let pad = lane.draw(slot, attempt, bytes)?;
            Ok(Some(Event::Drawn { lane: number, slot, attempt, pad }))
        }
        Task::Mask { slot, attempt } => lane.mask(slot.index, attempt).map(|()| None),
        Task::Store { slot, attempt, frame } => lane.store(slot, attempt, frame).map(|()| None),
    }
}

/// Finds the site again. Everything that was not acknowledged is in doubt, and so is what was
/// being sent when the connection broke.
fn recover(
    number: usize,
    lane: &mut dyn Lane,
    about: Option<(Slot, u32)>,
    lost: LaneError,
) -> Event {
    tracing::warn!(site = %lane.site(), error = %lost, "lost the site, looking for it again");
    match lane.recover(about) {
        Ok(slots) => Event::Doubtful { slots },
        Err(error) => Event::Failed { lane: number, error },
    }
}

/// Does `work` at every lane at once and waits for all.
///
/// # Errors
/// The failure of the first lane, in lane order, that failed.
pub fn at_every_lane(
    driver: &Driver,
    lanes: &mut [Box<dyn Lane>],
    work: impl Fn(&mut dyn Lane) -> Result<(), LaneError> + Sync,
) -> Result<(), RunError> {
    let outcomes = driver.at_each(lanes.iter_mut().collect(), |lane| {
        work(lane.as_mut()).map_err(|source| RunError::Lane { site: lane.site().clone(), source })
    });
    outcomes.into_iter().collect()
}
