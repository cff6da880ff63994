//! A lab: its folder made ready, its KMEs started and ended.

use crate::api::Node;
use crate::certificates;
use crate::clock::Clock;
use crate::faults::{FaultDesk, FaultError};
use crate::folder::Folder;
use crate::limits::Limits;
use crate::mesh::Mesh;
use crate::request::KEY_CLASS;
use crate::server;
use crate::setup::{Changes, LabSetup, NodeSetup, SetupError};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Threads that serve all KMEs of a lab.
const THREADS: usize = 2;

/// How long connections may take to notice the end.
const END_MAX: Duration = Duration::from_secs(1);

/// A lab whose folder holds all that it needs, and is held by this process.
pub struct Lab {
    folder: Folder,
    setup: LabSetup,
    /// Locked as long as it is open.
    lock: File,
}

impl Lab {
    /// Opens the lab in the folder `root`, making what is missing: the folder, the authority,
    /// certificates. `changes` are remembered.
    ///
    /// # Errors
    /// [`LabError`]: another process serves it, the set-up can't be, or files can't be read or
    /// written.
    pub fn open(root: &Path, changes: &Changes) -> Result<Self, LabError> {
        let folder = Folder::open(root)?;
        let lock = folder.lock()?;
        let before = folder.setup()?;
        let setup = match before.clone() {
            Some(mut setup) => {
                setup.change(changes);
                setup
            }
            None => LabSetup::new(changes),
        };
        setup.check()?;
        certificates::make_missing(&folder, &setup, before.as_ref())?;
        folder.remember(&setup)?;
        Ok(Self { folder, setup, lock })
    }

    /// What it consists of.
    #[must_use]
    pub fn setup(&self) -> &LabSetup {
        &self.setup
    }

    /// Serves it, on threads of its own, until [`Running::end`] or the drop of what it gives.
    /// Pools are filled by `clock`.
    ///
    /// # Errors
    /// [`LabError`]: an address that can't be had, or certificates that can't be read.
    pub fn start(mut self, clock: Arc<dyn Clock>) -> Result<Running, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("warifu-kme")
            .enable_all()
            .build()
            .map_err(|source| LabError::Threads { source })?;
        let mut listeners = Vec::new();
        for node in &mut self.setup.nodes {
            let listener = runtime.block_on(listen(node));
            let failed = |source| LabError::Address { node: node.name.clone(), source };
            let listener = listener.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            node.last_port = Some(address.port());
            let tls = server::tls(&self.folder, &node.name)?;
            listeners.push((listener, tls, address));
        }
        self.folder.remember(&self.setup)?;
        let addresses: Vec<_> = listeners.iter().map(|(_, _, address)| *address).collect();
        let ready = self.ready(&addresses);
        let mesh = Arc::new(Mesh::new(self.setup, clock));
        let (end, ended) = watch::channel(false);
        for (number, (listener, tls, _)) in (0..).zip(listeners) {
            let name = mesh.setup.nodes[usize::from(number)].name.clone();
            let faults = FaultDesk::new(self.folder.faults(&name));
            let node = Arc::new(Node { name, number, mesh: Arc::clone(&mesh), faults });
            runtime.spawn(server::serve(listener, tls, node, ended.clone()));
        }
        Ok(Running { ready, end, runtime: Some(runtime), lock: self.lock })
    }

    fn ready(&self, addresses: &[SocketAddr]) -> Ready {
        let node = |(node, address): (&NodeSetup, &SocketAddr)| ReadyNode {
            name: node.name.clone(),
            url: format!("https://{}", callable(*address)),
        };
        let sae = |sae: &crate::SaeSetup| {
            let (certificate, key) = self.folder.sae(&sae.name);
            ReadySae { name: sae.name.clone(), node: sae.node.clone(), certificate, key }
        };
        Ready {
            v: 1,
            kind: "ready".to_owned(),
            folder: self.folder.root().to_owned(),
            ca: self.folder.ca().0,
            nodes: self.setup.nodes.iter().zip(addresses).map(node).collect(),
            saes: self.setup.saes.iter().map(sae).collect(),
            rate_bits_per_s: self.setup.rate_bits_per_s,
            limits: self.setup.limits,
            key_class: KEY_CLASS.to_owned(),
        }
    }
}

/// Listens where the node wants; where it leaves the port open, at the one of the last start if
/// that is still free.
async fn listen(node: &NodeSetup) -> io::Result<TcpListener> {
    if let (0, Some(port)) = (node.address.port(), node.last_port) {
        let again = SocketAddr::new(node.address.ip(), port);
        match TcpListener::bind(again).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                tracing::warn!(node = node.name, port, "its last port is taken: it gets another");
            }
            listener => return listener,
        }
    }
    TcpListener::bind(node.address).await
}

/// An address that can be called, for one that may stand for all of this machine's.
fn callable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, at.port()).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, at.port()).into(),
        address => address,
    }
}

/// A lab that is served. It ends when this is dropped.
pub struct Running {
    ready: Ready,
    end: watch::Sender<bool>,
    runtime: Option<Runtime>,
    #[expect(dead_code, reason = "holds the folder's lock until the lab has ended")]
    lock: File,
}

impl Running {
    /// Where everything is.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Waits for SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Where signals can't be waited for.
    pub fn wait_for_signal(&self) -> Result<(), LabError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let wait = async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(())
        };
        runtime.block_on(wait).map_err(|source| LabError::Threads { source })
    }

    /// Ends it. Connections are closed, and keys that nobody fetched are gone.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_MAX);
        }
    }
}

/// The line that a lab prints when it is ready, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Version of this line's form.
    pub v: u32,
    /// `ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The lab's folder.
    pub folder: PathBuf,
    /// The certificate of its authority.
    pub ca: PathBuf,
    /// Its KMEs.
    pub nodes: Vec<ReadyNode>,
    /// The applications that they serve.
    pub saes: Vec<ReadySae>,
    /// How fast pools are filled, in bits a second; 0 for always full.
    pub rate_bits_per_s: u64,
    /// What one may ask for.
    pub limits: Limits,
    /// What the key's secrecy rests on.
    pub key_class: String,
}

impl Ready {
    /// The KME of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&ReadyNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The application of this name.
    #[must_use]
    pub fn sae(&self, name: &str) -> Option<&ReadySae> {
        self.saes.iter().find(|sae| sae.name == name)
    }
}

/// A KME that is ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadyNode {
    /// Its KME ID.
    pub name: String,
    /// Where it is called, without a path: `https://127.0.0.1:40001`.
    pub url: String,
}

/// An application that can call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadySae {
    /// Its SAE ID.
    pub name: String,
    /// The KME that serves it.
    pub node: String,
    /// Its certificate, a PEM file.
    pub certificate: PathBuf,
    /// The certificate's private key, a PEM file.
    pub key: PathBuf,
}

/// Why there is no lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A file can't be read or written.
    #[error("{path} can't be read or written", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process serves it.
    #[error("another process serves the lab in {folder}: end that, or use another folder",
        folder = folder.display())]
    Busy {
        /// Which folder.
        folder: PathBuf,
    },
    /// The set-up can't be.
    #[error("this lab can't be")]
    Setup(#[from] SetupError),
    /// The file that remembers the set-up makes no sense.
    #[error("{path} makes no sense: mend it, or remove it to begin anew", path = path.display())]
    Remembered {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// The set-up has no text.
    #[error("the set-up can't be written down")]
    Unwritable {
        /// Why.
        source: toml::ser::Error,
    },
    /// A certificate can't be made.
    #[error("the certificate {path} can't be made or read", path = path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// A certificate or key can't be read.
    #[error("{path} holds no certificate or key: remove it, and it is made anew",
        path = path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up at {node}")]
    Tls {
        /// At which KME.
        node: String,
        /// Why.
        source: rustls::Error,
    },
    /// The authority can't judge callers.
    #[error("callers' certificates can't be judged by this authority")]
    Verifier {
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// An address can't be had.
    #[error("{node} can't listen at its address")]
    Address {
        /// Which KME.
        node: String,
        /// Why.
        source: io::Error,
    },
    /// No threads, or no signals.
    #[error("the operating system gives no threads or no signals")]
    Threads {
        /// Why.
        source: io::Error,
    },
    /// No random bytes.
    #[error("the operating system gives no random bytes")]
    Randomness,
    /// No lab in that folder.
    #[error("there is no lab in {folder}: make one with warifu-kme serve",
        folder = folder.display())]
    NoLab {
        /// Which folder.
        folder: PathBuf,
    },
    /// No such KME in the lab.
    #[error("the lab has no KME of the name {node:?}")]
    NoNode {
        /// What was asked for.
        node: String,
    },
    /// No such fault.
    #[error("this fault can't be")]
    Fault(#[from] FaultError),
    /// JSON that can't be read or written.
    #[error("the file of faults makes no sense: remove it with the fault none")]
    Json {
        /// Why.
        source: serde_json::Error,
    },
}

/// What the folder `root` remembers of its lab, where there is one.
///
/// # Errors
/// [`LabError`] where that can't be read or makes no sense.
pub fn remembered(root: &Path) -> Result<Option<LabSetup>, LabError> {
    if root.is_dir() { Folder::open(root)?.setup() } else { Ok(None) }
}
