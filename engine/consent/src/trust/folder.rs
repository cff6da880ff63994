//! The folder `trust/` of a vault: `ROLE-FINGERPRINT.pem`, one certificate each, and `crl/`, one
//! revocation list each. A file appears and disappears whole.

use super::{Anchor, Pinned, Role};
use crate::certificate::nameless;
use crate::revocation::RevocationList;
use crate::untrue::Untrue;
use crate::wire::hex;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use x509_parser::pem::parse_x509_pem;

/// The longest file of an anchor in bytes.
const PEM_BYTES_MAX: u64 = 64 << 10;

/// The longest file of a revocation list in bytes.
const LIST_BYTES_MAX: u64 = 24 << 20;

/// The most anchors, and the most lists.
const FILES_MAX: usize = 1_024;

/// Where the lists are.
const LISTS: &str = "crl";

/// Why the folder of anchors could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// A file or folder fails.
    #[error("{what} {path}", path = path.display())]
    Io {
        /// What failed.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("{path} is no {what}", path = path.display())]
    Strange {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// What was given is not one certificate or list.
    #[error("what was given is not one {0}")]
    Given(&'static str),
    /// The certificate or list is not one to hold.
    #[error("the certificate or list can't be trusted")]
    Unfit(#[source] Untrue),
    /// No pinned authority signed the list.
    #[error("no pinned authority signed this list of {issuer}")]
    ListOfNobody {
        /// Whose it says to be.
        issuer: String,
    },
    /// The list is older than the one that is there.
    #[error("the list of {issuer} that is here is newer")]
    OlderList {
        /// Whose it is.
        issuer: String,
    },
    /// There is none by that name, or several begin so.
    #[error("{found} pinned certificates have a fingerprint that begins with {prefix:?}")]
    NoSuch {
        /// What was asked for.
        prefix: String,
        /// How many there are.
        found: usize,
    },
}

/// All that is in `folder`.
pub(super) fn read(folder: &Path) -> Result<(Vec<Pinned>, Vec<RevocationList>), TrustError> {
    let mut anchors = Vec::new();
    for path in names(folder)? {
        if path.file_name().is_some_and(|name| name == LISTS) {
            continue;
        }
        let strange = |what| TrustError::Strange { what, path: path.clone() };
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let role = Role::ALL
            .into_iter()
            .find(|role| name.strip_prefix(role.name()).is_some_and(|rest| rest.starts_with('-')))
            .ok_or_else(|| strange("pinned certificate"))?;
        let der = from_pem(&bytes(&path, PEM_BYTES_MAX)?, "CERTIFICATE")
            .ok_or_else(|| strange("PEM file of one certificate"))?;
        let pinned = Pinned::new(role, &der).map_err(TrustError::Unfit)?;
        if path.file_name().is_none_or(|name| name != file_name(&pinned.anchor).as_str()) {
            return Err(strange("file of the certificate that it is named for"));
        }
        anchors.push(pinned);
    }
    let lists = names(&folder.join(LISTS))?
        .into_iter()
        .map(|path| {
            let strange = || TrustError::Strange { what: "revocation list", path: path.clone() };
            let der = list_bytes(&bytes(&path, LIST_BYTES_MAX)?).ok_or_else(strange)?;
            RevocationList::read(&der).map_err(|fault| TrustError::Unfit(nameless(fault)))
        })
        .collect::<Result<_, _>>()?;
    Ok((anchors, lists))
}

pub(super) fn add(folder: &Path, role: Role, pem: &[u8]) -> Result<Anchor, TrustError> {
    let der = from_pem(pem, "CERTIFICATE").ok_or(TrustError::Given("certificate in PEM"))?;
    let Pinned { anchor, .. } = Pinned::new(role, &der).map_err(TrustError::Unfit)?;
    make(folder)?;
    write(folder, &file_name(&anchor), to_pem("CERTIFICATE", &der).as_bytes())?;
    Ok(anchor)
}

pub(super) fn remove(folder: &Path, prefix: &str) -> Result<Anchor, TrustError> {
    let (anchors, _) = read(folder)?;
    let named =
        |pinned: &Pinned| !prefix.is_empty() && hex(&pinned.anchor.fingerprint).starts_with(prefix);
    let mut found: Vec<_> = anchors.into_iter().filter(named).collect();
    // One certificate may be pinned for two roles: then it is taken back for both.
    found.sort_by_key(|pinned| pinned.anchor.fingerprint);
    found.dedup_by_key(|pinned| pinned.anchor.fingerprint);
    let [Pinned { anchor, .. }] = found.as_slice() else {
        let prefix = prefix.chars().take(64).collect();
        return Err(TrustError::NoSuch { prefix, found: found.len() });
    };
    for role in Role::ALL {
        let path = folder.join(file_name(&Anchor { role, ..anchor.clone() }));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(TrustError::Io { what: "removing", path, source });
            }
            _ => {}
        }
    }
    flush(folder)?;
    Ok(anchor.clone())
}

pub(super) fn add_list(folder: &Path, given: &[u8]) -> Result<(), TrustError> {
    let der = list_bytes(given).ok_or(TrustError::Given("revocation list"))?;
    let list = RevocationList::read(&der).map_err(|fault| TrustError::Unfit(nameless(fault)))?;
    let issuer = list.issuer_text.clone();
    let (anchors, lists) = read(folder)?;
    let mut authorities = anchors.iter().filter(|pinned| pinned.anchor.role == Role::CardCa);
    let Some(authority) = authorities.find(|pinned| list.is_of(&pinned.certificate)) else {
        return Err(TrustError::ListOfNobody { issuer });
    };
    let is_newer = |there: &RevocationList| {
        there.is_of(&authority.certificate) && there.from_unix_s > list.from_unix_s
    };
    if lists.iter().any(is_newer) {
        return Err(TrustError::OlderList { issuer });
    }
    let within = folder.join(LISTS);
    make(&within)?;
    write(&within, &format!("{}.crl", authority.anchor.key), &der)
}

fn file_name(anchor: &Anchor) -> String {
    format!("{}-{}.pem", anchor.role, hex(&anchor.fingerprint))
}

/// The one block of that kind in `pem`, if it is the only one.
fn from_pem(pem: &[u8], label: &str) -> Option<Vec<u8>> {
    let (rest, block) = parse_x509_pem(pem).ok()?;
    let is_only = !rest.windows(10).any(|window| window == b"-----BEGIN");
    (block.label == label && is_only).then_some(block.contents)
}

/// A list as it comes: PEM, or DER.
fn list_bytes(given: &[u8]) -> Option<Vec<u8>> {
    if given.first() == Some(&0x30) { Some(given.to_vec()) } else { from_pem(given, "X509 CRL") }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// The files in `folder` and those of the lists, in order.
pub(super) fn all_names(folder: &Path) -> Result<Vec<PathBuf>, TrustError> {
    let mut all = names(folder)?;
    all.extend(names(&folder.join(LISTS))?);
    Ok(all)
}

/// The files in `folder`, in order; none where there is no such folder. Drafts are passed over.
fn names(folder: &Path) -> Result<Vec<PathBuf>, TrustError> {
    let failed = |source| TrustError::Io { what: "reading", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_draft = path.extension().is_some_and(|extension| extension == "draft");
        if !is_draft {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(failed(io::Error::other("more than 1,024 files")));
        }
    }
    paths.sort();
    Ok(paths)
}

fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, TrustError> {
    let failed = |source| TrustError::Io { what: "reading", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(failed(io::Error::new(ErrorKind::InvalidData, "too long")));
    }
    Ok(bytes)
}

fn make(folder: &Path) -> Result<(), TrustError> {
    let failed = |source| TrustError::Io { what: "making", path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    folder.parent().map_or(Ok(()), flush)
}

/// Writes `folder`/`name` whole and durably.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), TrustError> {
    let path = folder.join(name);
    let failed = |source| TrustError::Io { what: "writing", path: path.clone(), source };
    let draft = folder.join(format!("{name}.{}.draft", std::process::id()));
    let written = File::create(&draft)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&draft, &path));
    if let Err(source) = written {
        // The draft is litter that nobody reads, whether or not it can be removed.
        drop(fs::remove_file(&draft));
        return Err(failed(source));
    }
    flush(folder)
}

fn flush(folder: &Path) -> Result<(), TrustError> {
    let flushed = File::open(folder).and_then(|folder| folder.sync_all());
    flushed.map_err(|source| TrustError::Io { what: "writing", path: folder.to_owned(), source })
}
