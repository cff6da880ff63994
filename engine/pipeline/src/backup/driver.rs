//! Runs the step machine: one thread for each lane, one for reading and computing.

use super::lane::{Lane, LaneError, Receipt};
use super::weave::{Admission, Finished, Order, Slot, Weaver};
use crate::alarm::PanicAlarm;
use crossbeam_channel::{Receiver, Sender, unbounded};
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
}

/// What a lane's thread tells the machine.
enum Event {
    Drawn { lane: usize, slot: Slot, attempt: u32, pad: Kept },
    Held { lane: usize, receipt: Receipt },
    Doubtful { slots: Vec<(Slot, u32)> },
    Failed { lane: usize, error: LaneError },
    Panicked,
}

/// Brings slots to all lanes until `next` has no more and all are acknowledged, with at most
/// `window` of them on their way; `done` is told of each.
///
/// # Errors
/// The first failure of a lane that does not recover, or of `next`.
pub fn run(
    weaver: &mut Weaver,
    lanes: &mut [Box<dyn Lane>],
    window: usize,
    next: &mut dyn FnMut() -> Result<Option<Admission>, RunError>,
    done: &mut dyn FnMut(Finished),
) -> Result<(), RunError> {
    let sites: Vec<SiteName> = lanes.iter().map(|lane| lane.site().clone()).collect();
    let (told, events) = unbounded();
    std::thread::scope(|scope| {
        let orders: Vec<Sender<Order>> = lanes
            .iter_mut()
            .enumerate()
            .map(|(number, lane)| {
                let (orders, inbox) = unbounded();
                let told = told.clone();
                scope.spawn(move || serve_lane(number, lane.as_mut(), &inbox, &told));
                orders
            })
            .collect();
        drop(told);
        let mut machine = Machine { weaver, orders: &orders, done };
        let mut ended = false;
        loop {
            while !ended && machine.weaver.underway() < window {
                match next()? {
                    Some(admission) => {
                        let orders = machine.weaver.admit(admission);
                        machine.give(orders);
                    }
                    None => ended = true,
                }
            }
            if machine.weaver.underway() == 0 {
                return Ok(());
            }
            let Ok(event) = events.recv() else { return Err(RunError::Stopped) };
            if matches!(event, Event::Panicked) {
                return Err(RunError::Stopped);
            }
            machine
                .take(event)
                .map_err(|(lane, source)| RunError::Lane { site: sites[lane].clone(), source })?;
        }
    })
}

struct Machine<'a> {
    weaver: &'a mut Weaver,
    orders: &'a [Sender<Order>],
    done: &'a mut dyn FnMut(Finished),
}

impl Machine<'_> {
    fn take(&mut self, event: Event) -> Result<(), (usize, LaneError)> {
        match event {
            Event::Drawn { lane, slot, attempt, pad } => {
                let orders = self.weaver.drawn(lane, slot, attempt, pad);
                self.give(orders);
            }
            Event::Held { lane, receipt } => {
                if let Some(finished) = self.weaver.acknowledged(lane, receipt) {
                    (self.done)(finished);
                }
            }
            Event::Doubtful { slots } => {
                for (slot, attempt) in slots {
                    let orders = self.weaver.redraw(slot, attempt);
                    self.give(orders);
                }
            }
            Event::Failed { lane, error } => return Err((lane, error)),
            Event::Panicked => {}
        }
        Ok(())
    }

    /// Hands orders out. A lane that is gone has told why, so nothing is lost with its order.
    fn give(&self, orders: Vec<Order>) {
        for order in orders {
            let _gone = self.orders[order.lane()].send(order);
        }
    }
}

/// One lane's thread: carries out orders, and collects answers while there is nothing to send.
fn serve_lane(number: usize, lane: &mut dyn Lane, orders: &Receiver<Order>, told: &Sender<Event>) {
    let _alarm = PanicAlarm(|| drop(told.send(Event::Panicked)));
    loop {
        let order = match lane.outstanding() {
            0 => match orders.recv() {
                Ok(order) => Some(order),
                Err(_) => return,
            },
            _ => orders.try_recv().ok(),
        };
        let about = order.as_ref().map(Order::about);
        let outcome = match order {
            Some(order) => carry_out(number, lane, order),
            None => lane.settle().map(|receipt| Some(Event::Held { lane: number, receipt })),
        };
        let event = match outcome {
            Ok(event) => event,
            Err(error) if error.is_lost() => Some(recover(number, lane, about, error)),
            Err(error) => Some(Event::Failed { lane: number, error }),
        };
        let failed = matches!(event, Some(Event::Failed { .. }));
        let unheard = event.is_some_and(|event| told.send(event).is_err());
        if failed || unheard {
            return;
        }
    }
}

fn carry_out(number: usize, lane: &mut dyn Lane, order: Order) -> Result<Option<Event>, LaneError> {
    match order {
        Order::Draw { slot, attempt, bytes, .. } => {
            let pad = lane.draw(slot, attempt, bytes)?;
            Ok(Some(Event::Drawn { lane: number, slot, attempt, pad }))
        }
        Order::Mask { slot, attempt, .. } => lane.mask(slot.index, attempt).map(|()| None),
        Order::Store { slot, attempt, frame, .. } => {
            lane.store(slot, attempt, frame).map(|()| None)
        }
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
    lanes: &mut [Box<dyn Lane>],
    work: impl Fn(&mut dyn Lane) -> Result<(), LaneError> + Sync,
) -> Result<(), RunError> {
    let work = &work;
    let outcomes: Vec<Result<(), LaneError>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            lanes.iter_mut().map(|lane| scope.spawn(move || work(lane.as_mut()))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let failed = outcomes.into_iter().zip(lanes).find_map(|(outcome, lane)| {
        outcome.err().map(|source| RunError::Lane { site: lane.site().clone(), source })
    });
    failed.map_or(Ok(()), Err)
}
