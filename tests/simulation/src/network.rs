//! The network between gateways and sites: one thread, no socket. A gateway that waits for an
//! answer makes messages arrive, its own or others', until the answer is there or will not come.

use crate::fuse::Fuse;
use crate::ground::{Ground, SimulatedClock};
use crate::site::{Delivered, SiteHost};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use warifu_backend::{Transport, TransportError};
use warifu_core::Direction;
use warifu_pipeline::clock::Clock;

/// How long a gateway waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages of earlier connections that somebody has recorded to send them again.
const RECORDED_MAX: usize = 64;

/// All connections between all gateways and all sites.
pub(crate) struct Network {
    ground: Arc<Ground>,
    sites: Vec<Arc<SiteHost>>,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    open: BTreeMap<u64, Line>,
    last: u64,
    recorded: VecDeque<Vec<u8>>,
}

/// One connection.
struct Line {
    site: usize,
    to_site: VecDeque<Vec<u8>>,
    to_gateway: VecDeque<u8>,
    /// Nothing arrives any more in this direction, and nobody is told.
    is_cut: [bool; 2],
    /// What was sent towards the site is under way for long: the gateway gives up first.
    is_stalled: bool,
    closed_by_site: bool,
    closed_by_gateway: bool,
}

const TO_SITE: usize = 0;
const TO_GATEWAY: usize = 1;

impl Network {
    /// A network to these sites.
    #[must_use]
    pub(crate) fn new(ground: Arc<Ground>, sites: Vec<Arc<SiteHost>>) -> Arc<Self> {
        Arc::new(Self { ground, sites, lines: Mutex::default() })
    }

    /// Connects a process with this fuse to the site at `sN:1`.
    ///
    /// # Errors
    /// Where the site is down, or the network strikes.
    pub(crate) fn connect(
        self: &Arc<Self>,
        fuse: Arc<Fuse>,
        address: &str,
    ) -> Result<Box<dyn Transport>, TransportError> {
        fuse.burn().map_err(|source| TransportError::Io { what: "connect", source })?;
        let refused = |why: &str| {
            let source = io::Error::new(io::ErrorKind::ConnectionRefused, why.to_owned());
            TransportError::Io { what: "connect", source }
        };
        let name = address.split(':').next().unwrap_or_default();
        let site = self.sites.iter().position(|site| site.name().as_str() == name);
        let site = site.ok_or_else(|| refused("nobody has this address"))?;
        if !self.sites[site].is_up() {
            // Somebody may bring it up just now.
            let revived = self.ground.is_stormy() && self.ground.dice.permille(150);
            if !(revived && self.sites[site].start()) {
                return Err(refused("nobody listens"));
            }
        }
        if self.ground.strikes() {
            self.ground.fault(&format!("no connection to {name}"));
            SimulatedClock(self.ground.clone()).pause(Duration::from_secs(5));
            return Err(TransportError::TimedOut);
        }
        let mut lines = self.lines();
        lines.last += 1;
        let number = lines.last;
        let line = Line {
            site,
            to_site: VecDeque::new(),
            to_gateway: VecDeque::new(),
            is_cut: [false; 2],
            is_stalled: false,
            closed_by_site: false,
            closed_by_gateway: false,
        };
        lines.open.insert(number, line);
        drop(lines);
        self.ground.note(&format!("c{number}: to {name}"));
        Ok(Box::new(SimulatedTransport { network: self.clone(), fuse, number, failed: false }))
    }

    /// Everything that is on its way arrives, and every end hears that the other is gone.
    pub(crate) fn settle(&self) {
        self.lines().open.values_mut().for_each(|line| line.is_stalled = false);
        while let Some(number) = self.pick(None) {
            self.deliver(number);
        }
        let orphans: Vec<(u64, usize)> = {
            let mut lines = self.lines();
            let all = std::mem::take(&mut lines.open);
            let (orphans, rest) = all.into_iter().partition(|(_, line)| line.closed_by_gateway);
            lines.open = rest;
            let orphans: BTreeMap<u64, Line> = orphans;
            orphans.into_iter().map(|(number, line)| (number, line.site)).collect()
        };
        orphans.into_iter().for_each(|(number, site)| self.sites[site].hang_up(number));
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, number: u64, message: &[u8], direction: Direction) {
        let arrow = if direction == Direction::AToB { "->" } else { "<-" };
        let hash = blake3::hash(message).to_hex();
        self.ground.note(&format!("c{number} {arrow} {} {}", message.len(), &hash[..16]));
        self.ground.count(|counters| counters.messages += 1);
        let mut judge = self.ground.judge.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(what) = judge.see(message, direction) {
            drop(judge);
            self.ground.violated(what);
        }
    }

    fn send(&self, number: u64, message: Vec<u8>) -> Result<(), TransportError> {
        self.see(number, &message, Direction::AToB);
        let struck = self.ground.strikes();
        let mut lines = self.lines();
        let recorded = &mut lines.recorded;
        if recorded.len() >= RECORDED_MAX {
            recorded.pop_front();
        }
        recorded.push_back(message.clone());
        let replayed = recorded[self.ground.dice.below(recorded.len())].clone();
        let line = lines.open.get_mut(&number).ok_or(TransportError::Closed)?;
        if line.closed_by_site {
            return Err(TransportError::Closed);
        }
        if line.is_cut[TO_SITE] {
            return Ok(());
        }
        line.to_site.push_back(message);
        if struck {
            let what = line.meet(&self.ground, replayed);
            self.ground.fault(&format!("c{number} to the site: {what}"));
        }
        Ok(())
    }

    fn receive(&self, number: u64, target: &mut [u8]) -> Result<(), TransportError> {
        loop {
            {
                let mut lines = self.lines();
                let line = lines.open.get_mut(&number).ok_or(TransportError::Closed)?;
                if line.to_gateway.len() >= target.len() {
                    let arrived = line.to_gateway.drain(..target.len());
                    target.iter_mut().zip(arrived).for_each(|(to, byte)| *to = byte);
                    return Ok(());
                }
                if line.closed_by_site {
                    return Err(TransportError::Closed);
                }
            }
            let Some(next) = self.pick(Some(number)) else {
                SimulatedClock(self.ground.clone()).pause(PATIENCE);
                return Err(TransportError::TimedOut);
            };
            self.deliver(next);
        }
    }

    /// Which connection's message arrives next; mostly that of who waits, seldom that of one who
    /// waits no longer.
    fn pick(&self, waiting: Option<u64>) -> Option<u64> {
        let lines = self.lines();
        let may_arrive = |line: &Line| match line.closed_by_gateway {
            true => waiting.is_none() || self.ground.dice.permille(40),
            false => !line.is_stalled,
        };
        let pending = lines.open.iter().filter(|(_, line)| !line.to_site.is_empty());
        let pending: Vec<u64> =
            pending.filter(|(_, line)| may_arrive(line)).map(|(number, _)| *number).collect();
        let own = waiting.filter(|number| pending.contains(number));
        if own.is_some() && (pending.len() == 1 || self.ground.dice.permille(700)) {
            return own;
        }
        match pending.len() {
            0 => None,
            count => Some(pending[self.ground.dice.below(count)]),
        }
    }

    /// The oldest message of a connection arrives, and what the site answers is on its way back.
    fn deliver(&self, number: u64) {
        let (site, message) = {
            let mut lines = self.lines();
            let Some(line) = lines.open.get_mut(&number) else { return };
            let Some(message) = line.to_site.pop_front() else { return };
            (line.site, message)
        };
        let Delivered { answers, is_over, died } = self.sites[site].deliver(number, &message);
        for answer in answers {
            self.see(number, &answer, Direction::BToA);
            self.answer(number, answer);
        }
        let mut lines = self.lines();
        if died {
            lines.open.values_mut().filter(|line| line.site == site).for_each(Line::break_at_site);
        }
        if let Some(line) = lines.open.get_mut(&number) {
            if is_over {
                line.break_at_site();
            }
            if line.closed_by_gateway && line.to_site.is_empty() {
                lines.open.remove(&number);
                drop(lines);
                self.sites[site].hang_up(number);
            }
        }
    }

    fn answer(&self, number: u64, answer: Vec<u8>) {
        let struck = self.ground.strikes();
        let mut lines = self.lines();
        let Some(line) = lines.open.get_mut(&number) else { return };
        if line.is_cut[TO_GATEWAY] || line.closed_by_gateway {
            return;
        }
        if !struck {
            line.to_gateway.extend(answer);
            return;
        }
        let what = match self.ground.dice.below(5) {
            0 => "lost",
            1 => {
                line.to_gateway.extend(answer.iter().chain(&answer));
                "repeated"
            }
            2 => {
                line.to_gateway.extend(flipped(&self.ground, answer));
                "altered"
            }
            3 => {
                line.break_at_site();
                "reset"
            }
            _ => {
                line.is_cut[TO_GATEWAY] = true;
                "cut from now on"
            }
        };
        self.ground.fault(&format!("c{number} to the gateway: {what}"));
    }

    /// A site is gone: what was connected to it is not any more.
    pub(crate) fn forget_site(&self, site: usize) {
        let mut lines = self.lines();
        lines.open.values_mut().filter(|line| line.site == site).for_each(Line::break_at_site);
    }

    /// The gateway's end is gone. What it has sent may still arrive, and the site may not hear of
    /// it for long.
    fn hang_up(&self, number: u64) {
        let dice = &self.ground.dice;
        let mut lines = self.lines();
        let Some(line) = lines.open.get_mut(&number) else { return };
        let is_late = line.is_stalled || (self.ground.is_stormy() && dice.permille(300));
        line.closed_by_gateway = true;
        let site = line.site;
        if is_late {
            drop(lines);
            self.ground.fault(&format!("c{number}: its end is not heard of yet"));
            return;
        }
        if self.ground.is_stormy() && dice.permille(500) {
            line.to_site.clear();
        }
        let is_done = line.to_site.is_empty();
        if is_done {
            lines.open.remove(&number);
        }
        drop(lines);
        if is_done {
            self.sites[site].hang_up(number);
        }
    }
}

impl Line {
    fn break_at_site(&mut self) {
        self.closed_by_site = true;
        self.to_site.clear();
    }

    /// Something happens to the message that was sent last.
    fn meet(&mut self, ground: &Ground, replayed: Vec<u8>) -> &'static str {
        let Some(message) = self.to_site.pop_back() else { return "nothing" };
        match ground.dice.below(10) {
            0 => "lost",
            1 => {
                self.is_cut[TO_SITE] = true;
                "cut from now on"
            }
            2 => {
                self.to_site.extend([message.clone(), message]);
                "repeated"
            }
            3 => {
                let at = ground.dice.below(self.to_site.len() + 1);
                self.to_site.insert(at, message);
                "out of order"
            }
            4 => {
                self.to_site.push_back(flipped(ground, message));
                "altered"
            }
            5 => {
                self.to_site.push_back(message[..ground.dice.below(message.len())].to_vec());
                self.closed_by_site = true;
                "broken off in the middle"
            }
            6 => {
                self.break_at_site();
                "reset"
            }
            7 => {
                self.to_site.push_back(message);
                self.is_stalled = true;
                "late"
            }
            8 => {
                self.to_site.extend([replayed, message]);
                "after an older one that was recorded"
            }
            _ => {
                self.to_site.push_back(message);
                self.is_cut[TO_GATEWAY] = true;
                "heard, and no answer comes back"
            }
        }
    }
}

fn flipped(ground: &Ground, mut message: Vec<u8>) -> Vec<u8> {
    if !message.is_empty() {
        let at = ground.dice.below(message.len());
        message[at] ^= 1 << ground.dice.below(8);
    }
    message
}

/// The gateway's end of a connection.
struct SimulatedTransport {
    network: Arc<Network>,
    fuse: Arc<Fuse>,
    number: u64,
    failed: bool,
}

impl SimulatedTransport {
    fn once_failed(
        &mut self,
        work: impl FnOnce(&Self) -> Result<(), TransportError>,
    ) -> Result<(), TransportError> {
        if self.failed {
            return Err(TransportError::Closed);
        }
        self.fuse.burn().map_err(|_| TransportError::Closed)?;
        let outcome = work(self);
        self.failed = outcome.is_err();
        outcome
    }
}

impl Transport for SimulatedTransport {
    fn send(&mut self, parts: &[&[u8]]) -> Result<(), TransportError> {
        self.once_failed(|end| end.network.send(end.number, parts.concat()))
    }

    fn receive(&mut self, target: &mut [u8]) -> Result<(), TransportError> {
        self.once_failed(|end| end.network.receive(end.number, target))
    }

    /// The network decides when it gives up; real time plays no part.
    fn set_deadline(&mut self, _deadline: Option<Instant>) {}
}

impl Drop for SimulatedTransport {
    fn drop(&mut self) {
        self.network.hang_up(self.number);
    }
}
