//! A simulated site: a machine with a disk, and on it the engine's own site, fed with bytes.

use crate::dice::Dice;
use crate::fuse::{Ended, Fuse, mortal};
use crate::ground::{Ground, SimulatedClock};
use crate::medium::{MortalMedium, survives};
use crate::store::Disk;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use warifu_buffers::Block;
use warifu_core::SiteName;
use warifu_kernels::Isa;
use warifu_keystore::simulated::{Machine, Process};
use warifu_keystore::{KeyError, KeyStore};
use warifu_link::FRAME_HEADER_BYTES;
use warifu_link::hello::CLIENT_HELLO_BYTES;
use warifu_site::{Conversation, Site, SiteError, Turn};

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// It is killed; the machine runs on.
    Kill,
    /// The machine loses its power.
    PowerCut,
}

/// What came of a message that arrived.
#[derive(Default)]
pub(crate) struct Delivered {
    /// What the site sends back.
    pub(crate) answers: Vec<Vec<u8>>,
    /// Whether the site has ended the connection.
    pub(crate) is_over: bool,
    /// Whether the site died over it.
    pub(crate) died: bool,
}

/// A site and the machine under it.
pub(crate) struct SiteHost {
    name: SiteName,
    ground: Arc<Ground>,
    machine: Machine,
    disk: Arc<Disk>,
    state: Mutex<State>,
}

struct State {
    running: Option<Running>,
    is_gone: bool,
}

struct Running {
    site: Arc<Site>,
    keys: Arc<KeyStore>,
    process: Arc<Process>,
    fuse: Arc<Fuse>,
    conversations: BTreeMap<u64, Line>,
}

/// A connection as the site sees it: bytes until there are enough of them.
struct Line {
    conversation: Conversation,
    is_greeted: bool,
    buffer: Vec<u8>,
}

impl SiteHost {
    /// A site with an empty key store that is not running yet.
    ///
    /// # Errors
    /// Never: the world is still whole.
    pub(crate) fn new(name: SiteName, ground: Arc<Ground>) -> Result<Self, KeyError> {
        let machine = Machine::new();
        let entropy = Arc::new(ground.dice.fork());
        KeyStore::create(machine.process(), entropy)?;
        let disk = Disk::new(ground.clone());
        let state = Mutex::new(State { running: None, is_gone: false });
        Ok(Self { name, ground, machine, disk, state })
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &SiteName {
        &self.name
    }

    /// Its machine.
    #[must_use]
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its disk for shares.
    #[must_use]
    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Whether it answers.
    #[must_use]
    pub(crate) fn is_up(&self) -> bool {
        self.state().running.is_some()
    }

    /// Whether it is gone for good.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        self.state().is_gone
    }

    /// Starts it; false where it is gone, or died while it started.
    pub(crate) fn start(&self) -> bool {
        let mut state = self.state();
        if state.is_gone || state.running.is_some() {
            return !state.is_gone;
        }
        let (fuse, process) = (Arc::new(Fuse::new()), self.machine.process());
        let entropy = Arc::new(self.ground.dice.fork());
        if self.ground.is_stormy() && self.ground.dice.permille(100) {
            fuse.light(self.ground.dice.next() % 60);
        }
        let opened = mortal(|| self.open(&fuse, &process, &entropy));
        match opened {
            Ended::Done(Ok(keys)) => {
                let store = Arc::new(self.disk.store(fuse.clone()));
                let site = Site::new(self.name.clone(), keys.clone(), store, entropy, Isa::best());
                let site = Arc::new(site.with_clock(Arc::new(SimulatedClock(self.ground.clone()))));
                let conversations = BTreeMap::new();
                state.running = Some(Running { site, keys, process, fuse, conversations });
                self.ground.note(&format!("{} starts", self.name));
                return true;
            }
            Ended::Done(Err(error)) => {
                let what = format!("{} does not start: {}", self.name, chain(&error));
                self.ground.violated(what);
            }
            Ended::Panicked(text) => {
                self.ground.violated(format!("{} panics at its start: {text}", self.name));
            }
            Ended::Killed => {
                self.ground.fault(&format!("{} dies at its start", self.name));
                drop(state);
                fuse.kill();
                process.kill();
                self.bury(Death::PowerCut);
            }
        }
        false
    }

    fn open(
        &self,
        fuse: &Arc<Fuse>,
        process: &Arc<Process>,
        entropy: &Arc<Dice>,
    ) -> Result<Arc<KeyStore>, KeyError> {
        let (fuse, process, ground) = (fuse.clone(), process.clone(), self.ground.clone());
        let medium = Arc::new(MortalMedium { process, fuse, ground });
        KeyStore::open(medium, entropy.clone()).map(Arc::new)
    }

    /// A message arrives over a connection.
    pub(crate) fn deliver(&self, connection: u64, bytes: &[u8]) -> Delivered {
        let mut state = self.state();
        let Some(running) = &mut state.running else {
            return Delivered { is_over: true, ..Delivered::default() };
        };
        let mut delivered = Delivered::default();
        let taken = mortal(|| running.take(connection, bytes, &mut delivered.answers));
        match taken {
            Ended::Done(Ok(is_over)) => delivered.is_over = is_over,
            Ended::Done(Err(error)) => {
                let why = chain(&error);
                self.ground.note(&format!("{} ends c{connection}: {why}", self.name));
                // A gateway has what its courier still carries, and must not name it.
                if why.contains("lies beyond pool") {
                    self.ground.violated(format!("a gateway goes too far: {why}"));
                }
                delivered.is_over = true;
            }
            Ended::Panicked(text) => {
                self.ground.violated(format!("{} panics: {text}", self.name));
                delivered.is_over = true;
            }
            Ended::Killed => {
                drop(state);
                let death =
                    if self.ground.dice.permille(500) { Death::Kill } else { Death::PowerCut };
                self.die(death);
                delivered.died = true;
                return delivered;
            }
        }
        drop(state);
        if delivered.is_over {
            self.hang_up(connection);
        }
        delivered
    }

    /// The other end of a connection is gone.
    pub(crate) fn hang_up(&self, connection: u64) {
        let mut state = self.state();
        let Some(running) = &mut state.running else { return };
        let dropped = mortal(|| drop(running.conversations.remove(&connection)));
        if matches!(dropped, Ended::Killed) {
            drop(state);
            self.die(Death::Kill);
        }
    }

    /// It dies at one of its next effects.
    pub(crate) fn light_fuse(&self, steps: u64) {
        if let Some(running) = &self.state().running {
            running.fuse.light(steps);
        }
    }

    /// It does not die by itself.
    pub(crate) fn put_out_fuse(&self) {
        if let Some(running) = &self.state().running {
            running.fuse.put_out();
        }
    }

    /// It dies now.
    pub(crate) fn die(&self, death: Death) {
        let running = self.state().running.take();
        if let Some(running) = running {
            running.fuse.kill();
            running.process.kill();
            self.ground.fault(&format!("{} dies: {death:?}", self.name));
            drop(running);
        }
        self.bury(death);
    }

    /// What the machine keeps after a process of it died.
    fn bury(&self, death: Death) {
        self.ground.count(|counters| counters.deaths += 1);
        match death {
            Death::Kill => self.disk.let_go(),
            Death::PowerCut => {
                self.ground.lose();
                self.machine.crash(survives(&self.ground));
                self.disk.lose_power();
            }
        }
    }

    /// It burns down, with all that it held.
    pub(crate) fn vanish(&self) {
        self.die(Death::Kill);
        self.state().is_gone = true;
        self.ground.lose();
        self.ground.fault(&format!("{} is gone for good", self.name));
    }

    /// Does `work` with the key store of the running site; `None` where it is down, or dies of it.
    pub(crate) fn with_keys<T>(&self, work: impl FnOnce(&KeyStore) -> T) -> Option<T> {
        let keys = self.state().running.as_ref().map(|running| running.keys.clone())?;
        let ended = mortal(|| work(&keys));
        match ended {
            Ended::Done(done) => Some(done),
            Ended::Panicked(text) => {
                self.ground.violated(format!("{} panics: {text}", self.name));
                None
            }
            Ended::Killed => {
                self.die(Death::Kill);
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Takes bytes of a connection in and answers whatever is complete; says whether it is over.
    fn take(
        &mut self,
        connection: u64,
        bytes: &[u8],
        answers: &mut Vec<Vec<u8>>,
    ) -> Result<bool, SiteError> {
        if !self.conversations.contains_key(&connection) {
            let conversation = Conversation::new(self.site.clone())?;
            let line = Line { conversation, is_greeted: false, buffer: Vec::new() };
            self.conversations.insert(connection, line);
        }
        let Some(line) = self.conversations.get_mut(&connection) else { return Ok(true) };
        line.buffer.extend_from_slice(bytes);
        while let Some(turn) = line.next_turn()? {
            answers.push(turn.answer.to_vec());
            if let Some(end) = turn.end {
                return end.map(|()| true);
            }
        }
        Ok(false)
    }
}

impl Line {
    fn next_turn(&mut self) -> Result<Option<Turn>, SiteError> {
        if !self.is_greeted {
            let Some(hello) = self.buffer.first_chunk::<CLIENT_HELLO_BYTES>() else {
                return Ok(None);
            };
            let turn = self.conversation.hello(hello)?;
            self.buffer.drain(..CLIENT_HELLO_BYTES);
            self.is_greeted = true;
            return Ok(Some(turn));
        }
        let Some(first) = self.buffer.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        let bytes = self.conversation.frame_bytes(first)?;
        if self.buffer.len() < bytes {
            return Ok(None);
        }
        let frame = Block::copy_of(&self.buffer[..bytes]);
        self.buffer.drain(..bytes);
        self.conversation.frame(frame).map(Some)
    }
}

/// An error with its causes, on one line.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
