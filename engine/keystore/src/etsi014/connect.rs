//! The way to a KME: TLS with certificates at both ends, below the HTTP of ureq.
//!
//! The connection is our own so that a failure before anything was sent can be told from a lost
//! answer, so that each wait is bounded as a whole and not by the packet, and so that the buffer
//! in which an answer arrives is overwritten.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use zeroize::Zeroizing;

/// The longest file of certificates or keys that is read, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Bytes of an answer that wait to be read, and of ciphertext that wait to be opened.
const INPUT_BYTES: usize = 64 << 10;

/// Bytes of a request that are sent at a time.
const OUTPUT_BYTES: usize = 16 << 10;

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// What proves who we are, and who we take for a KME: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Our certificate, and those between it and its authority's.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose KMEs are believed. The system's are not.
    pub authorities: PathBuf,
}

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no PEM, or holds nothing of its kind.
    #[error("{path} holds no {wanted} in PEM")]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// They don't fit together, or are of a kind that is not known.
    #[error("certificate and key can't be used: {0}")]
    Unfit(rustls::Error),
}

impl Credentials {
    /// What TLS needs, without our certificate where `is_anonymous`.
    pub(super) fn client_config(
        &self,
        is_anonymous: bool,
    ) -> Result<Arc<ClientConfig>, CredentialsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authorities)? {
            roots.add(authority).map_err(CredentialsError::Unfit)?;
        }
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(CredentialsError::Unfit)?
            .with_root_certificates(roots);
        if is_anonymous {
            return Ok(Arc::new(builder.with_no_client_auth()));
        }
        let text = Zeroizing::new(read(&self.key)?);
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| CredentialsError::NoPem {
            path: self.key.clone(),
            wanted: "private key",
        })?;
        let config = builder
            .with_client_auth_cert(certificates(&self.certificate)?, key)
            .map_err(CredentialsError::Unfit)?;
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let missing = || CredentialsError::NoPem { path: path.to_owned(), wanted: "certificate" };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(missing()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    let unreadable = |source| CredentialsError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len().min(PEM_BYTES_MAX);
    let mut text = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + 1);
    file.take(PEM_BYTES_MAX).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// A failure before any request was sent: nothing can have been delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotConnected {
    /// Nobody answers there.
    #[error("{0}")]
    Away(String),
    /// Who answers is not believed, or does not believe us.
    #[error("{0}")]
    Refused(rustls::Error),
}

impl From<NotConnected> for ureq::Error {
    fn from(error: NotConnected) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Finds addresses; without a thread where the host is an address already.
#[derive(Debug)]
pub(super) struct Addresses;

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let away = |why: String| ureq::Error::from(NotConnected::Away(why));
        let host = host(uri).ok_or_else(|| away("the URL has no host".to_owned()))?;
        let port = uri.port_u16().unwrap_or(443);
        let mut found = self.empty();
        if let Ok(address) = host.parse::<IpAddr>() {
            found.push(SocketAddr::new(address, port));
            return Ok(found);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let wanted = host.to_owned();
        // A resolver can't be interrupted: where it hangs, its thread is left to itself.
        std::thread::spawn(move || sender.send((wanted.as_str(), port).to_socket_addrs()));
        let answer = receiver.recv_timeout(*timeout.after);
        let answer = answer.map_err(|_| away(format!("the name {host} was not resolved")))?;
        let answer = answer.map_err(|error| away(format!("the name {host}: {error}")))?;
        for address in answer.take(ADDRESSES_MAX) {
            found.push(address);
        }
        match found.is_empty() {
            true => Err(away(format!("the name {host} has no address"))),
            false => Ok(found),
        }
    }
}

/// The host of a URL, without the brackets of an IPv6 address.
fn host(uri: &Uri) -> Option<&str> {
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']'))
}

/// Connects with TLS, always.
pub(super) struct SecureConnector {
    config: Arc<ClientConfig>,
    version: Arc<AtomicU16>,
    hurry: Arc<Hurry>,
}

impl SecureConnector {
    pub(super) fn new(config: Arc<ClientConfig>) -> Self {
        Self { config, version: Arc::default(), hurry: Arc::default() }
    }

    /// What makes the waits of all its connections end.
    pub(super) fn hurry(&self) -> Arc<Hurry> {
        self.hurry.clone()
    }

    /// Where the version of TLS is noted that the last connection has; 0 before the first.
    pub(super) fn version(&self) -> Arc<AtomicU16> {
        self.version.clone()
    }
}

impl fmt::Debug for SecureConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureConnector")
    }
}

impl Connector<()> for SecureConnector {
    type Out = SecureTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<SecureTransport>, ureq::Error> {
        let until = deadline(details.timeout);
        let away = |error: io::Error| NotConnected::Away(error.to_string());
        let name = host(details.uri).and_then(|host| ServerName::try_from(host.to_owned()).ok());
        let name = name.ok_or_else(|| NotConnected::Away("no name of a host".to_owned()))?;
        let stream = open(&details.addrs, self.hurry.sooner(until)).map_err(away)?;
        stream.set_nodelay(true).map_err(away)?;
        let ciphertext = vec![0; INPUT_BYTES];
        let hurry = self.hurry.clone();
        let socket = Socket { stream, until, hurry, ciphertext, taken: 0, filled: 0 };
        let tls = ClientConnection::new(self.config.clone(), name);
        let tls = tls.map_err(NotConnected::Refused)?;
        let mut transport = SecureTransport { tls, socket, buffers: WipedBuffers::new() };
        while transport.tls.is_handshaking() {
            let SecureTransport { tls, socket, .. } = &mut transport;
            tls.complete_io(socket).map_err(|error| match refusal(&error) {
                Some(refused) => NotConnected::Refused(refused),
                None => away(error),
            })?;
        }
        let version = transport.tls.protocol_version().map_or(0, u16::from);
        self.version.store(version, Relaxed);
        Ok(Some(transport))
    }
}

/// Why TLS ended, where it did.
pub(super) fn refusal(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

/// The words for a version of TLS.
pub(super) fn version_words(version: u16) -> Option<&'static str> {
    match ProtocolVersion::from(version) {
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        _ => None,
    }
}

fn open(addresses: &[SocketAddr], until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (at, address) in addresses.iter().enumerate() {
        let left = left(until)?;
        // The last one may take all that is left.
        let share = u32::try_from(addresses.len() - at).unwrap_or(1);
        match TcpStream::connect_timeout(address, (left / share).max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn deadline(timeout: NextTimeout) -> Instant {
    // No wait of ours is longer than a day.
    Instant::now() + (*timeout.after).min(Duration::from_secs(86_400))
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// How often a wait looks whether it is to end sooner.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a wait may still be from when hurry begins.
const HURRY: Duration = Duration::from_millis(700);

/// When all waits are to end, if they are to end sooner than they would.
#[derive(Default)]
pub(super) struct Hurry(OnceLock<Instant>);

impl Hurry {
    /// Lets all waits end soon.
    pub(super) fn begin(&self) {
        self.0.get_or_init(|| Instant::now() + HURRY);
    }

    /// When a wait ends that would end at `until`.
    fn sooner(&self, until: Instant) -> Instant {
        self.0.get().map_or(until, |end| until.min(*end))
    }
}

/// A socket whose every wait ends at one moment, however many packets come before it.
struct Socket {
    stream: TcpStream,
    until: Instant,
    hurry: Arc<Hurry>,
    /// What came and was not asked for yet; it is encrypted.
    ciphertext: Vec<u8>,
    taken: usize,
    filled: usize,
}

impl Socket {
    /// Waits for what comes, and looks now and then whether to wait on.
    fn arrive(&mut self) -> io::Result<usize> {
        loop {
            let left = left(self.hurry.sooner(self.until))?;
            self.stream.set_read_timeout(Some(left.min(LOOK_EVERY)))?;
            match self.stream.read(&mut self.ciphertext).map_err(timed_out) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                read => return read,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled {
            (self.taken, self.filled) = (0, 0);
            self.filled = self.arrive()?;
        }
        let waiting = &self.ciphertext[self.taken..self.filled];
        let len = waiting.len().min(target.len());
        target[..len].copy_from_slice(&waiting[..len]);
        self.taken += len;
        Ok(len)
    }
}

impl Write for Socket {
    fn write(&mut self, source: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(source).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket whose time is over says that it would block.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// A connection with TLS.
pub(super) struct SecureTransport {
    tls: ClientConnection,
    socket: Socket,
    buffers: WipedBuffers,
}

impl SecureTransport {
    fn stream(&mut self) -> rustls::Stream<'_, ClientConnection, Socket> {
        rustls::Stream::new(&mut self.tls, &mut self.socket)
    }

    /// Why the peer hung up, where it said so before it did: a request that can't be sent any more
    /// would hide that our certificate was refused.
    fn last_words(&mut self) -> Option<io::Error> {
        while self.tls.read_tls(&mut self.socket).ok()? > 0 {
            if let Err(refused) = self.tls.process_new_packets() {
                return Some(io::Error::new(io::ErrorKind::InvalidData, refused));
            }
        }
        None
    }
}

impl fmt::Debug for SecureTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureTransport")
    }
}

impl Transport for SecureTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.socket.until = deadline(timeout);
        let output = std::mem::take(&mut self.buffers.output);
        let mut stream = self.stream();
        let sent = stream.write_all(&output[..amount]).and_then(|()| stream.flush());
        self.buffers.output = output;
        sent.map_err(|error| told(self.last_words().unwrap_or(error), timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.socket.until = deadline(timeout);
        let Self { tls, socket, buffers } = self;
        let mut stream = rustls::Stream::new(tls, socket);
        let came = stream.read(buffers.input_append_buf());
        let came = came.map_err(|error| told(error, timeout))?;
        buffers.input_appended(came);
        Ok(came > 0)
    }

    fn is_open(&mut self) -> bool {
        let idle = self.socket.taken == self.socket.filled;
        let peeked = self.socket.stream.set_nonblocking(true).and_then(|()| {
            let peeked = self.socket.stream.peek(&mut [0]);
            self.socket.stream.set_nonblocking(false)?;
            peeked
        });
        // Whatever comes unasked, an end most of all, makes it useless.
        idle && matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

fn told(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}

/// Buffers of fixed size that are overwritten as soon as what they hold is taken.
struct WipedBuffers {
    input: Zeroizing<Vec<u8>>,
    first: usize,
    end: usize,
    has_progress: bool,
    output: Vec<u8>,
    scratch: Vec<u8>,
}

impl WipedBuffers {
    fn new() -> Self {
        Self {
            input: Zeroizing::new(vec![0; INPUT_BYTES]),
            first: 0,
            end: 0,
            has_progress: false,
            output: vec![0; OUTPUT_BYTES],
            scratch: Vec::new(),
        }
    }
}

impl Buffers for WipedBuffers {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[self.first..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.first > 0 {
            let waiting = self.end - self.first;
            self.input.copy_within(self.first..self.end, 0);
            self.input[waiting..self.end].fill(0);
            (self.first, self.end) = (0, waiting);
        }
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end = (self.end + amount).min(self.input.len());
    }

    fn input_consume(&mut self, amount: usize) {
        self.has_progress = amount > 0;
        let after = (self.first + amount).min(self.end);
        self.input[self.first..after].fill(0);
        self.first = after;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.scratch.resize(OUTPUT_BYTES, 0);
        (&mut self.scratch, &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.first < self.end && self.has_progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_from_a_buffer_is_gone() {
        let mut buffers = WipedBuffers::new();
        buffers.input_append_buf()[..6].copy_from_slice(b"secret");
        buffers.input_appended(6);
        buffers.input_consume(3);
        assert_eq!(buffers.input(), b"ret");
        assert!(buffers.can_use_input());
        assert_eq!(&buffers.input[..6], b"\0\0\0ret");
        let room = buffers.input_append_buf().len();
        assert_eq!(room, INPUT_BYTES - 3);
        assert_eq!(&buffers.input[..7], b"ret\0\0\0\0", "what was moved is not left behind");
        buffers.input_consume(0);
        assert!(!buffers.can_use_input(), "without progress more must come first");
        buffers.input_consume(99);
        assert!(buffers.input().is_empty() && buffers.input.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_wait_ends_at_its_moment_and_a_past_one_at_once() {
        let past = Instant::now();
        assert_eq!(left(past).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(left(past + Duration::from_secs(60)).is_ok());
    }
}
