//! What a KME does wrong on purpose: a file for each, which it reads at each request.

use crate::folder::{self, Folder, Readers};
use crate::lab::LabError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Most faults that one KME has at a time.
pub const FAULTS_MAX: usize = 16;

/// The methods of the delivery API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// What may be asked for.
    Status,
    /// Fresh keys.
    EncKeys,
    /// Keys by name.
    DecKeys,
}

/// What goes wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// Each answer waits.
    Slow {
        /// How long.
        ms: u64,
    },
    /// Each call is refused with 400.
    #[serde(rename = "status-400")]
    Status400,
    /// Each call is refused with 503.
    #[serde(rename = "status-503")]
    Status503 {
        /// What `Retry-After` says, if anything.
        retry_after_s: Option<u64>,
    },
    /// The first key of an answer of `enc_keys` is the last one that the same pair had before, by
    /// the same name.
    DuplicateId,
    /// The last key of an answer of `enc_keys` is its first one once more.
    DuplicateInAnswer,
    /// `dec_keys` delivers, and keeps what it delivered.
    RepeatDec,
    /// Keys are a byte shorter than asked for; those of one byte, a byte longer.
    WrongLength,
    /// `enc_keys` delivers half as many keys as asked for, one at least.
    FewerKeys,
    /// The connection ends before the answer begins; the keys have left the pool.
    LostAnswer,
    /// The connection ends in the middle of the answer; the keys have left the pool.
    CutAnswer,
    /// No answer.
    Hang,
    /// `status` says more than is true: more keys than fit, larger ones, more at a time.
    LieOnStatus,
    /// Keys that the other end has not had vanish at the next `enc_keys`.
    Discard,
    /// This end gets other bytes than the other.
    WrongKey,
    /// The answer is no JSON; the keys have left the pool.
    Garbage,
    /// The answer is padded.
    Oversize {
        /// By how much.
        bytes: u64,
    },
}

impl FaultKind {
    /// The kinds by name, with what their value says and what it is where none is given.
    const KINDS: [(&'static str, Option<(&'static str, u64)>); 16] = [
        ("slow", Some(("milliseconds", 1000))),
        ("status-400", None),
        ("status-503", Some(("seconds of Retry-After, 0 for none", 0))),
        ("duplicate-id", None),
        ("duplicate-in-answer", None),
        ("repeat-dec", None),
        ("wrong-length", None),
        ("fewer-keys", None),
        ("lost-answer", None),
        ("cut-answer", None),
        ("hang", None),
        ("lie-on-status", None),
        ("discard", None),
        ("wrong-key", None),
        ("garbage", None),
        ("oversize", Some(("bytes", 1 << 30))),
    ];

    /// The kind of this name, with a value where it takes one.
    ///
    /// # Errors
    /// [`FaultError`] for another name, or a value where there is none.
    pub fn new(name: &str, value: Option<u64>) -> Result<Self, FaultError> {
        let kind = Self::KINDS.iter().find(|(known, _)| *known == name);
        let Some((_, takes)) = kind else { return Err(FaultError::Kind(name.to_owned())) };
        if takes.is_none() && value.is_some() {
            return Err(FaultError::Value(name.to_owned()));
        }
        let value = value.or(takes.map(|(_, default)| default)).unwrap_or(0);
        Ok(match name {
            "slow" => Self::Slow { ms: value },
            "status-400" => Self::Status400,
            "status-503" => Self::Status503 { retry_after_s: (value > 0).then_some(value) },
            "duplicate-id" => Self::DuplicateId,
            "duplicate-in-answer" => Self::DuplicateInAnswer,
            "repeat-dec" => Self::RepeatDec,
            "wrong-length" => Self::WrongLength,
            "fewer-keys" => Self::FewerKeys,
            "lost-answer" => Self::LostAnswer,
            "cut-answer" => Self::CutAnswer,
            "hang" => Self::Hang,
            "lie-on-status" => Self::LieOnStatus,
            "discard" => Self::Discard,
            "wrong-key" => Self::WrongKey,
            "garbage" => Self::Garbage,
            _ => Self::Oversize { bytes: value },
        })
    }

    /// A line for each kind, for help texts.
    #[must_use]
    pub fn list() -> String {
        let line = |(name, value): &(&str, Option<(&str, u64)>)| match value {
            Some((what, default)) => format!("{name} [{what}; {default}]"),
            None => (*name).to_owned(),
        };
        Self::KINDS.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    /// Whether it changes anything about this method.
    #[must_use]
    pub fn concerns(&self, call: Call) -> bool {
        match self {
            Self::Slow { .. }
            | Self::Status400
            | Self::Status503 { .. }
            | Self::LostAnswer
            | Self::Hang
            | Self::Garbage => true,
            Self::DuplicateId | Self::DuplicateInAnswer | Self::FewerKeys | Self::Discard => {
                call == Call::EncKeys
            }
            Self::RepeatDec => call == Call::DecKeys,
            Self::LieOnStatus => call == Call::Status,
            Self::WrongLength | Self::CutAnswer | Self::WrongKey | Self::Oversize { .. } => {
                call != Call::Status
            }
        }
    }
}

/// Something that goes wrong, and when it stops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only for so many requests that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Only for this method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Only until then, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_unix_ms: Option<u64>,
}

impl Fault {
    /// For all requests that it concerns, until it is taken away.
    #[must_use]
    pub const fn always(kind: FaultKind) -> Self {
        Self { kind, count: None, call: None, until_unix_ms: None }
    }

    /// For so many requests.
    #[must_use]
    pub const fn times(kind: FaultKind, count: u32) -> Self {
        Self { count: Some(count), ..Self::always(kind) }
    }

    /// For so long from now.
    #[must_use]
    pub fn lasting(kind: FaultKind, duration: Duration) -> Self {
        let until = now_unix_ms().saturating_add(duration.as_millis() as u64);
        Self { until_unix_ms: Some(until), ..Self::always(kind) }
    }

    /// The same, for one method.
    #[must_use]
    pub fn only(self, call: Call) -> Self {
        Self { call: Some(call), ..self }
    }
}

/// Says what a KME of the lab in `root` shall do wrong from its next request on, whether it runs
/// or not: all of `faults`, and no other. None makes it well.
///
/// # Errors
/// [`LabError`] where there is no such lab or KME, or its folder can't be written.
pub fn set_faults(root: &Path, node: &str, faults: &[Fault]) -> Result<(), LabError> {
    let path = fault_file(root, node)?;
    if faults.is_empty() {
        return folder::remove(&path);
    }
    if faults.len() > FAULTS_MAX {
        return Err(LabError::Fault(FaultError::TooMany));
    }
    let mut mark = [0; 8];
    getrandom::fill(&mut mark).map_err(|_| LabError::Randomness)?;
    let sheet = Sheet { mark: u64::from_le_bytes(mark), faults: faults.to_vec() };
    let text = serde_json::to_vec(&sheet).map_err(|source| LabError::Json { source })?;
    folder::write(&path, &text, Readers::All)
}

/// What a KME of the lab in `root` has been told to do wrong.
///
/// # Errors
/// As [`set_faults`]; and where the file makes no sense.
pub fn faults(root: &Path, node: &str) -> Result<Vec<Fault>, LabError> {
    let sheet = read(&fault_file(root, node)?)?;
    Ok(sheet.map(|sheet| sheet.faults).unwrap_or_default())
}

fn fault_file(root: &Path, node: &str) -> Result<PathBuf, LabError> {
    let no_lab = || LabError::NoLab { folder: root.to_owned() };
    if !root.join("lab.toml").is_file() {
        return Err(no_lab());
    }
    let folder = Folder::open(root)?;
    let setup = folder.setup()?.ok_or_else(no_lab)?;
    if !setup.nodes.iter().any(|known| known.name == node) {
        return Err(LabError::NoNode { node: node.to_owned() });
    }
    Ok(folder.faults(node))
}

/// The file's content. Its mark tells one writing of it from another.
#[derive(Serialize, Deserialize)]
struct Sheet {
    mark: u64,
    faults: Vec<Fault>,
}

fn read(path: &Path) -> Result<Option<Sheet>, LabError> {
    let Some(text) = folder::read(path)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|source| LabError::Json { source })
}

/// The faults of one KME as it meets them.
pub(crate) struct FaultDesk {
    path: PathBuf,
    counted: Mutex<Counted>,
}

/// How often each fault of the file with this mark has been met.
#[derive(Default)]
struct Counted {
    mark: u64,
    met: [u32; FAULTS_MAX],
}

impl FaultDesk {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, counted: Mutex::default() }
    }

    /// What goes wrong with this request.
    ///
    /// # Errors
    /// Where the file is there and makes no sense.
    pub(crate) fn meet(&self, call: Call) -> Result<Vec<FaultKind>, LabError> {
        let Some(sheet) = read(&self.path)? else { return Ok(Vec::new()) };
        let now = now_unix_ms();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.mark != sheet.mark {
            *counted = Counted { mark: sheet.mark, ..Counted::default() };
        }
        let mut kinds = Vec::new();
        for (fault, met) in sheet.faults.into_iter().zip(&mut counted.met) {
            let is_its_call = fault.call.is_none_or(|only| only == call);
            let is_over = fault.until_unix_ms.is_some_and(|until| until <= now)
                || fault.count.is_some_and(|count| count <= *met);
            if is_its_call && !is_over && fault.kind.concerns(call) {
                *met = met.saturating_add(1);
                kinds.push(fault.kind);
            }
        }
        Ok(kinds)
    }
}

fn now_unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

impl FromStr for Call {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        match text {
            "status" => Ok(Self::Status),
            "enc_keys" => Ok(Self::EncKeys),
            "dec_keys" => Ok(Self::DecKeys),
            _ => Err(FaultError::Call(text.to_owned())),
        }
    }
}

/// A fault that there is not.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FaultError {
    /// An unknown name.
    #[error("there is no fault {0:?}; there are: none, {list}", list = FaultKind::list())]
    Kind(String),
    /// A value that it does not take.
    #[error("the fault {0} takes no value")]
    Value(String),
    /// An unknown method.
    #[error("there is no method {0:?}; there are: status, enc_keys, dec_keys")]
    Call(String),
    /// More than one KME has.
    #[error("a KME has at most {FAULTS_MAX} faults at a time")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(faults: Vec<Fault>) -> (tempfile::TempDir, FaultDesk) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        let sheet = Sheet { mark: 7, faults };
        folder::write(&path, &serde_json::to_vec(&sheet).unwrap(), Readers::All).unwrap();
        (place, FaultDesk::new(path))
    }

    #[test]
    fn every_kind_has_a_name_and_is_written_by_it() {
        for (name, takes) in FaultKind::KINDS {
            let kind = FaultKind::new(name, takes.map(|_| 5)).unwrap();
            let written = serde_json::to_value(Fault::always(kind.clone())).unwrap();
            assert_eq!(written["kind"], name);
            assert_eq!(serde_json::from_value::<Fault>(written).unwrap().kind, kind);
        }
        FaultKind::new("hang", Some(1)).unwrap_err();
        assert!(FaultKind::new("sulk", None).unwrap_err().to_string().contains("lie-on-status"));
    }

    #[test]
    fn a_count_counts_what_it_concerns() {
        let fault = Fault::times(FaultKind::WrongKey, 2).only(Call::DecKeys);
        let (_place, desk) = desk(vec![fault]);
        assert!(desk.meet(Call::EncKeys).unwrap().is_empty());
        assert!(desk.meet(Call::Status).unwrap().is_empty());
        assert_eq!(desk.meet(Call::DecKeys).unwrap(), [FaultKind::WrongKey]);
        assert_eq!(desk.meet(Call::DecKeys).unwrap(), [FaultKind::WrongKey]);
        assert!(desk.meet(Call::DecKeys).unwrap().is_empty());
    }

    #[test]
    fn a_fault_ends_at_its_time() {
        let over = Fault::lasting(FaultKind::Hang, Duration::ZERO);
        let lasts = Fault::lasting(FaultKind::Status400, Duration::from_secs(3600));
        let (_place, desk) = desk(vec![over, lasts]);
        assert_eq!(desk.meet(Call::Status).unwrap(), [FaultKind::Status400]);
    }

    #[test]
    fn a_file_without_sense_is_an_error() {
        let (place, desk) = desk(Vec::new());
        std::fs::write(place.path().join("a.json"), "{").unwrap();
        assert!(desk.meet(Call::Status).is_err());
    }
}
