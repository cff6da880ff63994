//! The network between a gateway and a site: it records, and does harm where it is told to.
//!
//! What is recorded is what was sent, before any harm: one file for each connection and direction,
//! as the checker of ledgers wants it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// From the gateway to the site.
    Up,
    /// From the site to the gateway.
    Down,
}

/// What harm is done.
pub enum Strike {
    /// Nothing from here on gets through, and both ends lose the connection.
    Cut,
    /// The lowest bit of one byte is flipped.
    Flip,
    /// This is called first, and then all goes on as ever.
    Call(Box<dyn FnOnce() + Send>),
    /// The gateway gets its own bytes back, and the site nothing.
    Reflect,
}

/// One harm, done once: at byte `at` of the first connection that comes so far.
pub struct Fault {
    /// In which direction.
    pub flow: Flow,
    /// At which byte of it.
    pub at: u64,
    /// What is done.
    pub strike: Strike,
}

/// Both directions of one recorded connection.
#[derive(Clone, Debug)]
pub struct Capture {
    /// What the gateway sent.
    pub up: PathBuf,
    /// What the site sent.
    pub down: PathBuf,
}

/// A listener that passes connections on to a site.
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<Wire>,
}

struct Wire {
    folder: PathBuf,
    target: Mutex<Option<SocketAddr>>,
    fault: Mutex<Option<Fault>>,
    connections: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy that records into `folder`. It leads nowhere yet.
    ///
    /// # Panics
    /// Where it can't listen.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire {
            folder: folder.to_owned(),
            target: Mutex::new(None),
            fault: Mutex::new(None),
            connections: AtomicU64::new(0),
            open: Mutex::new(Vec::new()),
        });
        let serving = wire.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let wire = serving.clone();
                std::thread::spawn(move || wire.pass(stream));
            }
        });
        Self { address, wire }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where connections go from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *locked(&self.wire.target) = Some(target);
    }

    /// Where connections go.
    ///
    /// # Panics
    /// Where they go nowhere yet.
    #[must_use]
    pub fn target(&self) -> SocketAddr {
        locked(&self.wire.target).unwrap()
    }

    /// Prepares a harm, in place of any that was not done yet.
    pub fn arm(&self, fault: Fault) {
        *locked(&self.wire.fault) = Some(fault);
    }

    /// Whether the harm was done; it is disarmed if not.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        locked(&self.wire.fault).take().is_none()
    }

    /// Where the captures are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.wire.folder
    }

    /// All connections so far, in the order in which they came.
    #[must_use]
    pub fn captures(&self) -> Vec<Capture> {
        let count = self.wire.connections.load(Ordering::SeqCst);
        (0..count).map(|number| self.wire.capture(number)).filter(|one| one.up.exists()).collect()
    }

    /// Breaks all connections.
    pub fn cut_all(&self) {
        for stream in locked(&self.wire.open).drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Wire {
    fn capture(&self, number: u64) -> Capture {
        let file = |direction: &str| self.folder.join(format!("{number:05}-{direction}"));
        Capture { up: file("up"), down: file("down") }
    }

    fn pass(self: Arc<Self>, gateway: TcpStream) {
        let target = *locked(&self.target);
        let Some(site) = target.and_then(|target| TcpStream::connect(target).ok()) else {
            return;
        };
        for stream in [&gateway, &site] {
            stream.set_nodelay(true).unwrap();
            locked(&self.open).push(stream.try_clone().unwrap());
        }
        let capture = self.capture(self.connections.fetch_add(1, Ordering::SeqCst));
        let (wire, upper) =
            (self.clone(), (gateway.try_clone().unwrap(), site.try_clone().unwrap()));
        let record = File::create(&capture.down).unwrap();
        let down = std::thread::spawn(move || wire.pump(Flow::Down, upper.1, upper.0, record));
        self.pump(Flow::Up, gateway, site, File::create(&capture.up).unwrap());
        down.join().unwrap();
    }

    /// Passes bytes on. Once the way is broken it still records what was sent until then.
    fn pump(&self, flow: Flow, mut from: TcpStream, mut to: TcpStream, mut record: File) {
        let (mut bytes, mut passed) = (vec![0; 1 << 16], 0);
        let (mut broken, mut reflecting) = (false, false);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let piece = &mut bytes[..count];
            record.write_all(piece).unwrap();
            let (at, strike) = self.due(flow, passed + count as u64);
            let at = usize::try_from(at.saturating_sub(passed)).unwrap();
            passed += count as u64;
            match strike {
                None => {}
                Some(Strike::Flip) => piece[at] ^= 1,
                Some(Strike::Call(call)) => call(),
                Some(Strike::Reflect) => reflecting = true,
                Some(Strike::Cut) => {
                    let _gone = to.write_all(&piece[..at]);
                    broken = true;
                }
            }
            if !broken {
                let sent = if reflecting { from.write_all(piece) } else { to.write_all(piece) };
                broken = sent.is_err();
            }
            if broken {
                end(&from, &to);
            }
        }
        end(&from, &to);
    }

    /// The harm that is due before byte `until`, and at which byte.
    fn due(&self, flow: Flow, until: u64) -> (u64, Option<Strike>) {
        let mut fault = locked(&self.fault);
        match fault.take_if(|fault| fault.flow == flow && fault.at < until) {
            Some(fault) => (fault.at, Some(fault.strike)),
            None => (0, None),
        }
    }
}

fn end(from: &TcpStream, to: &TcpStream) {
    let _gone = to.shutdown(Shutdown::Both);
    let _gone = from.shutdown(Shutdown::Both);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
