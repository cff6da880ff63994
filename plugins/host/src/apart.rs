//! A plugin in a process of its own.

use crate::PluginConfig;
use crate::wire::{Message, asked_only, receive, send};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use warifu_backend::{Contents, Entry, Error, Objects, ObjectsCapability, ShareName};
use warifu_buffers::Block;

/// How long the process may take beyond what it gives its plugin, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Bytes that are read by one request.
const READ_BYTES: usize = 4 << 20;

/// Most bytes of a piece that the process may ask for.
const PIECE_BYTES_MAX: u64 = 16 << 20;

/// The objects of a plugin in a process of its own. Where that dies, the calls under way end with
/// an unknown outcome, and the next call starts it again.
pub struct Apart {
    config: PluginConfig,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    capability: ObjectsCapability,
    process: Mutex<Option<Arc<Process>>>,
}

impl Apart {
    /// Starts a process by `command`, which has to call [`crate::serve`] with its standard input,
    /// and opens the plugin's store in it.
    ///
    /// # Errors
    /// Where it can't be started, the file is no plugin, or the plugin opens no store.
    pub fn open(
        config: &PluginConfig,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let command: Box<dyn Fn() -> Command + Send + Sync> = Box::new(command);
        let (process, capability) = Process::start(config, &mut command())?;
        let process = Mutex::new(Some(Arc::new(process)));
        Ok(Self { config: config.clone(), command, capability, process })
    }

    /// The process; started again where it has died.
    fn process(&self) -> Result<Arc<Process>, Error> {
        let mut process = locked(&self.process);
        if let Some(process) = process.as_ref().filter(|process| process.is_alive()) {
            return Ok(Arc::clone(process));
        }
        let plugin = self.config.library.display();
        tracing::warn!(%plugin, "a plugin's process is started again");
        // The old one first, as its plugin may hold what the new one wants.
        *process = None;
        let (started, capability) = Process::start(&self.config, &mut (self.command)())?;
        if capability != self.capability {
            let source = io::Error::other("the plugin was replaced by one that promises otherwise");
            return Err(Error::Unavailable { what: "starting a plugin's process", source });
        }
        Ok(Arc::clone(process.insert(Arc::new(started))))
    }

    /// Asks, and waits for the one answer.
    fn ask(&self, what: &'static str, message: &Message) -> Result<Message, Error> {
        let process = self.process()?;
        let asked = process.ask(what, message)?;
        process.answer(what, &asked, self.config.patience + GRACE)
    }
}

impl Objects for Apart {
    fn capability(&self) -> ObjectsCapability {
        self.capability
    }

    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error> {
        let what = "putting a share";
        let process = self.process()?;
        let asked = process.ask(what, &Message::Put { name: name.clone(), bytes })?;
        loop {
            // Of a put, the plugin answers several calls.
            match process.answer(what, &asked, 2 * self.config.patience + GRACE)? {
                Message::Done => return Ok(()),
                Message::Need { offset, bytes: wanted }
                    if wanted <= PIECE_BYTES_MAX
                        && offset.checked_add(wanted).is_some_and(|end| end <= bytes) =>
                {
                    let mut piece = Block::zeroed(wanted as usize);
                    if let Err(error) = contents(offset, &mut piece) {
                        process.tell(what, asked.request, &Message::NoPiece)?;
                        let _failed = process.answer(what, &asked, self.config.patience + GRACE);
                        return Err(error);
                    }
                    process.tell(what, asked.request, &Message::Piece(piece.into_bytes()))?;
                }
                _ => return Err(process.senseless(what)),
            }
        }
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        let what = "reading a share";
        let wanted_bytes = target.len() as u64;
        let mut at = offset;
        let mut rest = target;
        loop {
            let (piece, left) = rest.split_at_mut(READ_BYTES.min(rest.len()));
            let bytes = piece.len() as u64;
            let message = Message::Read { name: name.clone(), offset: at, bytes };
            match self.ask(what, &message) {
                Ok(Message::Data(data)) if data.len() == piece.len() => {
                    piece.copy_from_slice(&data);
                }
                Ok(_) => return Err(self.process()?.senseless(what)),
                Err(Error::Truncated { held_bytes, .. }) => {
                    return Err(Error::Truncated { offset, wanted_bytes, held_bytes });
                }
                Err(error) => return Err(asked_only(error)),
            }
            if left.is_empty() {
                return Ok(());
            }
            at = at.saturating_add(bytes);
            rest = left;
        }
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        let what = "asking for a share";
        match self.ask(what, &Message::Len { name: name.clone() }).map_err(asked_only)? {
            Message::Number(Some(bytes)) => Ok(bytes),
            _ => Err(self.process()?.senseless(what)),
        }
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let what = "listing shares";
        match self.ask(what, &Message::List).map_err(asked_only)? {
            Message::Entries(entries) if entries.is_sorted_by(|one, next| one.name < next.name) => {
                Ok(entries)
            }
            _ => Err(self.process()?.senseless(what)),
        }
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        let what = "deleting a share";
        match self.ask(what, &Message::Delete { name: name.clone() })? {
            Message::Done => Ok(()),
            _ => Err(self.process()?.senseless(what)),
        }
    }

    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        let what = "asking for room";
        match self.ask(what, &Message::Room).map_err(asked_only)? {
            Message::Number(bytes) => Ok(bytes),
            _ => Err(self.process()?.senseless(what)),
        }
    }
}

type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Message>>>>>;

/// One process and the requests that wait for it. It is killed with the last handle.
struct Process {
    child: Mutex<Child>,
    to: Mutex<UnixStream>,
    /// `None` once it has died.
    waiting: Waiting,
    next: AtomicU64,
}

/// A request that was sent.
struct Asked {
    request: u64,
    answers: Receiver<Message>,
    waiting: Waiting,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(waiting) = locked(&self.waiting).as_mut() {
            waiting.remove(&self.request);
        }
    }
}

impl Process {
    fn start(
        config: &PluginConfig,
        command: &mut Command,
    ) -> Result<(Self, ObjectsCapability), Error> {
        let what = "starting a plugin's process";
        let failed = |source| Error::Other { what, source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let from = ours.try_clone().map_err(failed)?;
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let process = Self {
            child: Mutex::new(child),
            to: Mutex::new(ours),
            waiting: Arc::clone(&waiting),
            next: AtomicU64::new(0),
        };
        std::thread::Builder::new()
            .name("plugin answers".to_owned())
            .spawn(move || listen(&from, &waiting))
            .map_err(failed)?;
        let message = Message::Open {
            library: config.library.display().to_string(),
            patience_s: config.patience.as_secs(),
            settings: config.settings.clone(),
        };
        let asked = process.ask(what, &message)?;
        match process.answer(what, &asked, config.patience + GRACE)? {
            Message::Opened { create_only, durable } => {
                Ok((process, ObjectsCapability { create_only, durable }))
            }
            _ => Err(process.senseless(what)),
        }
    }

    fn is_alive(&self) -> bool {
        locked(&self.waiting).is_some()
    }

    fn ask(&self, what: &'static str, message: &Message) -> Result<Asked, Error> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answers) = unbounded();
        match locked(&self.waiting).as_mut() {
            Some(waiting) => drop(waiting.insert(request, answer)),
            None => return Err(dead(what)),
        }
        let asked = Asked { request, answers, waiting: Arc::clone(&self.waiting) };
        self.tell(what, request, message)?;
        Ok(asked)
    }

    fn tell(&self, what: &'static str, request: u64, message: &Message) -> Result<(), Error> {
        send(&*locked(&self.to), request, message).map_err(|_| dead(what))
    }

    /// The next answer to a request.
    fn answer(
        &self,
        what: &'static str,
        asked: &Asked,
        patience: Duration,
    ) -> Result<Message, Error> {
        match asked.answers.recv_timeout(patience) {
            Ok(Message::Failed(failure)) => Err(failure.into_error(what)),
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.kill();
                Err(dead(what))
            }
        }
    }

    /// It answered what is no answer: nothing that it says counts any more.
    fn senseless(&self, what: &'static str) -> Error {
        self.kill();
        let source = io::Error::other("the plugin's process answered what makes no sense");
        Error::Unknown { what, source }
    }

    fn kill(&self) {
        let mut child = locked(&self.child);
        let _ended = child.kill();
        let _reaped = child.wait();
        *locked(&self.waiting) = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands answers to whom they are for, until the process is gone.
fn listen(from: &UnixStream, waiting: &Waiting) {
    while let Ok(Some((request, message))) = receive(from) {
        let answer = locked(waiting).as_ref().and_then(|all| all.get(&request).cloned());
        // Where nobody waits for it any more, it is not for anybody.
        if let Some(answer) = answer {
            let _ = answer.send(message);
        }
    }
    // Whoever waits still learns of it, as the other ends of the channels go.
    *locked(waiting) = None;
}

/// It may have done what it was asked or not.
fn dead(what: &'static str) -> Error {
    let source = io::Error::new(io::ErrorKind::BrokenPipe, "the plugin's process died");
    Error::Unknown { what, source }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
