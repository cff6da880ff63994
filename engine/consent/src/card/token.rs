//! A card behind a PKCS#11 driver, as its parent process sees it: asked by lines, with a deadline.

use super::certificate::OwnCertificate;
use super::uri::{TokenUri, Wanted};
use super::words::{Answer, Ask, Bytes, LINE_BYTES_MAX, Mechanism, PIN_BYTES_MAX, Reader, Token};
use super::words::{Tries, Trouble};
use super::{Algorithm, Card, CardError};
use ring::digest::{SHA256, SHA384, digest};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Drivers that are tried where none is named, each where it is installed.
pub const USUAL_DRIVERS: [&str; 2] = ["opensc-pkcs11.so", "/usr/lib/softhsm/libsofthsm2.so"];

/// How long a child that was told to end may take before it is ended.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What goes before a SHA-256 hash in PKCS#1 v1.5 (RFC 8017, section 9.2).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

/// A PIN. It is wiped when it is no longer needed.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN.
    ///
    /// # Errors
    /// [`CardError::NoPin`] where it is empty or longer than 255 bytes.
    pub fn new(text: Zeroizing<String>) -> Result<Self, CardError> {
        if (1..=PIN_BYTES_MAX).contains(&text.len()) {
            return Ok(Self(text));
        }
        Err(CardError::NoPin("what was given is empty, or longer than 255 bytes".to_owned()))
    }
}

/// What gives a card's PIN when it is needed.
pub type PinSource = Box<dyn FnMut(&Token) -> Result<Pin, CardError>>;

/// How a card is reached, and what it needs from its holder.
pub struct Access {
    /// The program that runs [`super::serve_cards`], and its arguments: this very program, with
    /// its hidden command.
    pub helper: (PathBuf, Vec<String>),
    /// How long one answer may take, typing at the reader's own pad included.
    pub timeout: Duration,
    /// Whether the last try before the card locks may be spent.
    pub may_spend_last_try: bool,
    /// Gives the PIN, when it is needed: at most once for a card.
    pub pin: PinSource,
}

/// A card behind a driver.
pub struct TokenCard {
    helper: Helper,
    access: Access,
    token: Token,
    own: OwnCertificate,
    above: Vec<Vec<u8>>,
    has_proved: bool,
}

impl TokenCard {
    /// Finds the one token and certificate that fit.
    pub(super) fn open(uri: &TokenUri, access: Access) -> Result<Self, CardError> {
        let modules: Vec<PathBuf> = match &uri.module {
            Some(module) => vec![module.clone()],
            None => USUAL_DRIVERS.iter().map(PathBuf::from).collect(),
        };
        let (mut absent, mut worse) = (Vec::new(), None);
        for module in modules {
            let mut helper = Helper::start(&access)?;
            let ask = Ask::Open { module: module.clone(), wanted: uri.wanted.clone() };
            match helper.ask(&ask, None) {
                Ok(Answer::Opened { token, chain }) => {
                    return Self::opened(helper, access, token, chain);
                }
                Ok(_) => return Err(odd()),
                Err(CardError::Absent(why)) => absent.push(format!("{}: {why}", module.display())),
                // Another driver may reach it all the same.
                Err(other) => worse = worse.or(Some(other)),
            }
        }
        Err(worse.unwrap_or_else(|| CardError::Absent(absent.join("; "))))
    }

    fn opened(
        helper: Helper,
        access: Access,
        token: Token,
        chain: Vec<Bytes>,
    ) -> Result<Self, CardError> {
        let mut chain = chain.into_iter().map(|certificate| certificate.0);
        let own = OwnCertificate::read(chain.next().ok_or_else(odd)?)?;
        let has_proved = !token.wants_pin;
        Ok(Self { helper, access, token, own, above: chain.collect(), has_proved })
    }

    /// Proves the PIN, once for as long as the card is held.
    fn prove(&mut self) -> Result<(), CardError> {
        match self.token.tries {
            Tries::None => return Err(CardError::Locked),
            Tries::Last if !self.access.may_spend_last_try => return Err(CardError::LastTry),
            _ => {}
        }
        let pin = match self.token.has_pad {
            true => None,
            false => Some((self.access.pin)(&self.token)?),
        };
        let ask = Ask::Login { pin_bytes: pin.as_ref().map(|pin| pin.0.len()) };
        match self.helper.ask(&ask, pin.as_ref())? {
            Answer::Proved => Ok(()),
            _ => Err(odd()),
        }
    }
}

impl Card for TokenCard {
    fn chain(&mut self) -> Result<Vec<Vec<u8>>, CardError> {
        let own = std::iter::once(self.own.der.clone());
        Ok(own.chain(self.above.iter().cloned()).collect())
    }

    fn algorithm(&mut self) -> Result<Algorithm, CardError> {
        Ok(self.own.algorithm)
    }

    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, CardError> {
        if !self.has_proved {
            self.prove()?;
            self.has_proved = true;
        }
        let (how, block) = match self.own.algorithm {
            Algorithm::Rs256 => {
                let hash = digest(&SHA256, message);
                (Mechanism::RsaPkcs, [&SHA256_DIGEST_INFO, hash.as_ref()].concat())
            }
            Algorithm::Es256 => (Mechanism::Ecdsa, digest(&SHA256, message).as_ref().to_vec()),
            Algorithm::Es384 => (Mechanism::Ecdsa, digest(&SHA384, message).as_ref().to_vec()),
        };
        match self.helper.ask(&Ask::Sign { how, block: Bytes(block) }, None)? {
            Answer::Signed { signature } => {
                self.own.confirm(message, &signature.0)?;
                Ok(signature.0)
            }
            _ => Err(odd()),
        }
    }

    fn is_software(&self) -> bool {
        self.own.is_lab
    }

    fn token(&self) -> Option<&Token> {
        Some(&self.token)
    }
}

/// All slots that `module` reaches, with their tokens.
///
/// # Errors
/// [`CardError::Absent`] where there is no such driver; where it fails or hangs.
pub fn readers(module: &Path, access: &Access) -> Result<Vec<Reader>, CardError> {
    let ask = Ask::List { module: module.to_owned() };
    match Helper::start(access)?.ask(&ask, None)? {
        Answer::Readers { readers } => Ok(readers),
        _ => Err(odd()),
    }
}

/// What names exactly this certificate.
#[must_use]
pub fn token_uri(module: &Path, token: &Token, id: &[u8]) -> String {
    let wanted =
        Wanted { token: Some(token.label.clone()), id: Some(id.to_vec()), ..Wanted::default() };
    wanted.uri(module)
}

/// The child process, ended when this is dropped.
struct Helper {
    child: Child,
    asks: Option<ChildStdin>,
    answers: Receiver<Vec<u8>>,
    timeout: Duration,
}

impl Helper {
    fn start(access: &Access) -> Result<Self, CardError> {
        let (program, arguments) = &access.helper;
        let broken = |what: &str| CardError::Failed(format!("the process for its driver {what}"));
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| broken(&format!("does not start: {error}")))?;
        let asks = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| broken("has no output"))?;
        let (sender, answers) = sync_channel(1);
        std::thread::Builder::new()
            .name("card answers".to_owned())
            .spawn(move || forward(stdout, |line| sender.send(line).is_ok()))
            .map_err(|error| broken(&format!("can't be listened to: {error}")))?;
        Ok(Self { child, asks, answers, timeout: access.timeout })
    }

    /// Asks one thing. After a failure of the process itself nothing more is to be asked.
    fn ask(&mut self, ask: &Ask, pin: Option<&Pin>) -> Result<Answer, CardError> {
        let gone = || CardError::Failed("its driver ended the process that it ran in".to_owned());
        let mut line = serde_json::to_vec(ask).map_err(|_| odd())?;
        line.push(b'\n');
        let asks = self.asks.as_mut().ok_or_else(gone)?;
        let mut write = |bytes: &[u8]| asks.write_all(bytes).map_err(|_| gone());
        write(&line)?;
        if let Some(pin) = pin {
            write(pin.0.as_bytes())?;
        }
        match self.answers.recv_timeout(self.timeout) {
            Ok(line) => match serde_json::from_slice(&line).map_err(|_| odd())? {
                Answer::Refused { trouble } => Err(CardError::from(trouble)),
                answer => Ok(answer),
            },
            Err(RecvTimeoutError::Timeout) => {
                self.end(Duration::ZERO);
                Err(CardError::Hangs { seconds: self.timeout.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }

    /// Tells the child to end, gives it `patience`, and ends it.
    fn end(&mut self, patience: Duration) {
        self.asks = None;
        let until = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) => return,
                _ => break,
            }
        }
        // A process that the kernel can't end now is not waited for: init reaps it.
        let _ = self.child.kill();
        let until = Instant::now() + LEAVE_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end(LEAVE_MAX);
    }
}

/// Hands on each line, until one is too long, the child ends, or nobody listens.
fn forward(stdout: ChildStdout, listens: impl Fn(Vec<u8>) -> bool) {
    let mut lines = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.is_err() || line.last() != Some(&b'\n') || !listens(line) {
            return;
        }
    }
}

fn odd() -> CardError {
    CardError::from(Trouble::Failed("the process for its driver answers oddly".to_owned()))
}
