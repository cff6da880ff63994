//! Cards of files and the CA that certifies them, for labs: persons without a real card.
//!
//! Whoever pins such a CA believes whatever its folder's owner says. So that nobody takes it for
//! a card issuer by mistake, its certificate says [`ORGANIZATION`], and what rests on it is marked
//! as software.

use crate::card::Algorithm;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, SubjectPublicKeyInfo, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// The organisation in the subject of every lab's CA: the mark of software.
pub const ORGANIZATION: &str = "warifu lab";

/// For how long a CA is good, in days.
const CA_DAYS: u64 = 3650;

/// The longest time for which a card is good, in days.
const DAYS_MAX: u64 = 36_500;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who may read a key.
const SECRET: u32 = 0o600;

/// Who may read a certificate.
const PUBLIC: u32 = 0o644;

/// Clocks differ: everything is good from an hour ago.
const SLACK: Duration = Duration::from_secs(60 * 60);

/// A lab's CA in a folder: `ca.crt`, which sites pin, and `ca.key`, which stays here.
pub struct Lab {
    issuer: Issuer<'static, KeyPair>,
    certificate: PathBuf,
}

/// What was made for one person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewCard {
    /// The key, PKCS#8 in PEM, for its owner only; none where the key was there before.
    pub key: Option<PathBuf>,
    /// The certificate, PEM.
    pub certificate: PathBuf,
}

/// Why a lab did not make it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A file is there already. None is ever replaced.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A file can't be read or written.
    #[error("{} can't be read or written", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key or certificate is of no kind that is known, or one can't be made.
    #[error("{what} {}", path.display())]
    Certificate {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: rcgen::Error,
    },
    /// RSA keys are made by `openssl`, which is not there or failed.
    #[error("openssl, which makes RSA keys here, fails: {0}")]
    Openssl(String),
    /// A subject that can't stand in a certificate.
    #[error("a subject is 1 to 64 printable characters")]
    Subject,
    /// Too long, or no time at all.
    #[error("a card is good for 1 to {DAYS_MAX} days")]
    Days,
    /// The machine gives no random bytes or no time.
    #[error("this machine gives no {0}")]
    Machine(&'static str),
}

impl Lab {
    /// The CA in `dir`, made where there is none.
    ///
    /// # Errors
    /// Where its files can't be read, written or understood.
    pub fn open_or_make(dir: &Path) -> Result<Self, LabError> {
        std::fs::create_dir_all(dir).map_err(|source| io_at(dir, source))?;
        let (key, certificate) = (dir.join("ca.key"), dir.join("ca.crt"));
        // Two that start at once make one CA: the first file of each name wins, and all read it.
        if !key.exists() {
            let pair = KeyPair::generate().map_err(at("no key can be made for", &key))?;
            if_first(write_new(&key, &Zeroizing::new(pair.serialize_pem()), SECRET))?;
        }
        let pair = KeyPair::from_pem(&read(&key)?).map_err(at("this is no key:", &key))?;
        if !certificate.exists() {
            let made = authority()?
                .self_signed(&pair)
                .map_err(at("no certificate can be made for", &certificate))?;
            if_first(write_new(&certificate, &made.pem(), PUBLIC))?;
        }
        let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, pair)
            .map_err(at("this is no certificate:", &certificate))?;
        Ok(Self { issuer, certificate })
    }

    /// The file with the CA's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes a key of this kind and certifies it: `OUT.key` and `OUT.crt`.
    ///
    /// # Errors
    /// Where one of them is there already, or can't be made.
    pub fn new_card(
        &self,
        subject: &str,
        algorithm: Algorithm,
        days: u64,
        out: &Path,
    ) -> Result<NewCard, LabError> {
        let (key, certificate) = (with_suffix(out, ".key"), with_suffix(out, ".crt"));
        let params = person(subject, days)?;
        absent(&key)?;
        absent(&certificate)?;
        let pem = new_key(algorithm, &key)?;
        let pair = KeyPair::from_pem(&pem).map_err(at("no key can be made for", &key))?;
        let made = params
            .signed_by(&pair, &self.issuer)
            .map_err(at("no certificate can be made for", &certificate))?;
        write_new(&key, &pem, SECRET)?;
        write_new(&certificate, &made.pem(), PUBLIC)?;
        Ok(NewCard { key: Some(key), certificate })
    }

    /// Certifies a public key that is elsewhere, such as in a token: `OUT.crt`.
    ///
    /// # Errors
    /// Where `public_key` is no public key in PEM, or the certificate is there already.
    pub fn certify(
        &self,
        subject: &str,
        public_key: &Path,
        days: u64,
        out: &Path,
    ) -> Result<NewCard, LabError> {
        let certificate = with_suffix(out, ".crt");
        let params = person(subject, days)?;
        absent(&certificate)?;
        let key = SubjectPublicKeyInfo::from_pem(&read(public_key)?)
            .map_err(at("this is no public key:", public_key))?;
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(at("no certificate can be made for", &certificate))?;
        write_new(&certificate, &made.pem(), PUBLIC)?;
        Ok(NewCard { key: None, certificate })
    }
}

/// What the CA's own certificate says.
fn authority() -> Result<CertificateParams, LabError> {
    let mut params = lasting(CA_DAYS)?;
    params.distinguished_name.push(DnType::CommonName, "warifu lab CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// What a person's certificate says.
fn person(subject: &str, days: u64) -> Result<CertificateParams, LabError> {
    if !(1..=64).contains(&subject.chars().count()) || subject.chars().any(char::is_control) {
        return Err(LabError::Subject);
    }
    let mut params = lasting(days)?;
    params.distinguished_name.push(DnType::CommonName, subject);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What both say.
fn lasting(days: u64) -> Result<CertificateParams, LabError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(LabError::Days);
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .filter(|now| *now < DAY * 2 * DAYS_MAX as u32)
        .ok_or(LabError::Machine("time that makes sense"))?;
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| LabError::Machine("random bytes"))?;
    // Positive, and of one length.
    serial[0] = serial[0] & 0x3f | 0x40;
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SLACK);
    params.not_after = epoch + now + DAY * days as u32;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
    Ok(params)
}

/// A new key, PKCS#8 in PEM.
fn new_key(algorithm: Algorithm, path: &Path) -> Result<Zeroizing<String>, LabError> {
    let curve = match algorithm {
        Algorithm::Rs256 => return new_rsa_key(),
        Algorithm::Es256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        Algorithm::Es384 => &rcgen::PKCS_ECDSA_P384_SHA384,
    };
    let pair = KeyPair::generate_for(curve).map_err(at("no key can be made for", path))?;
    Ok(Zeroizing::new(pair.serialize_pem()))
}

/// The libraries here sign with RSA but make no keys of it, and a lab has `openssl`.
fn new_rsa_key() -> Result<Zeroizing<String>, LabError> {
    let failed = |why: String| LabError::Openssl(why.trim().to_owned());
    let made = Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    let pem = Zeroizing::new(made.stdout);
    if !made.status.success() {
        return Err(failed(String::from_utf8_lossy(&made.stderr).into_owned()));
    }
    let text = std::str::from_utf8(&pem).map_err(|_| failed("it made no PEM".to_owned()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, LabError> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|source| io_at(path, source))
}

/// Writes a file that is not there yet, whole and durable or not at all.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), LabError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mode = Permissions::from_mode(mode);
        let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => LabError::Exists(path.to_owned()),
        _ => io_at(path, source),
    })
}

fn if_first(outcome: Result<(), LabError>) -> Result<(), LabError> {
    match outcome {
        Err(LabError::Exists(_)) => Ok(()),
        other => other,
    }
}

fn absent(path: &Path) -> Result<(), LabError> {
    if path.exists() { Err(LabError::Exists(path.to_owned())) } else { Ok(()) }
}

fn with_suffix(out: &Path, suffix: &str) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn io_at(path: &Path, source: io::Error) -> LabError {
    LabError::Io { path: path.to_owned(), source }
}

fn at<'a>(what: &'static str, path: &'a Path) -> impl Fn(rcgen::Error) -> LabError + 'a {
    move |source| LabError::Certificate { what, path: path.to_owned(), source }
}
