//! What is to be stored, opened: its stream, what is stored inside with it, and its length.

use super::Source;
use crate::failure::{Class, Failure};
use crate::journal::SourceIdentity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use warifu_core::payload::{Attributes, PayloadLayout, prologue};

/// How long the clock may stand still by which a file system notes times.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// An opened source: its stream, what is stored inside with it, and how long it may be.
pub(super) struct OpenSource<'a> {
    pub(super) stream: Box<dyn Read + 'a>,
    pub(super) attributes: Attributes,
    pub(super) layout: PayloadLayout,
    /// Of a file, what it was like when it was opened.
    pub(super) identity: Option<SourceIdentity>,
    /// The file itself, to see whether it changed.
    file: Option<File>,
}

impl<'a> OpenSource<'a> {
    /// Gives the stream away, and keeps what is needed to see whether the source changed.
    pub(super) fn into_parts(self) -> (Box<dyn Read + 'a>, Attributes, Watched) {
        let watched = Watched { planned: self.layout, file: self.file.zip(self.identity) };
        (self.stream, self.attributes, watched)
    }
}

/// A source being read.
pub(super) struct Watched {
    pub(super) planned: PayloadLayout,
    file: Option<(File, SourceIdentity)>,
}

impl Watched {
    /// Refuses a file that is not what it was when it was opened.
    ///
    /// # Errors
    /// Where its length or time of change differ, or it gave another number of bytes.
    pub(super) fn expect_unchanged(&self, data_bytes: u64) -> Result<(), Failure> {
        let Some((file, before)) = &self.file else { return Ok(()) };
        let same = file.metadata().is_ok_and(|now| {
            let modified = (now.mtime(), now.mtime_nsec());
            (now.len(), modified) == (before.size_bytes, before.modified)
        });
        match same && data_bytes == self.planned.data_bytes {
            true => Ok(()),
            false => Err(Failure::new(
                Class::Temporary,
                "source-changed",
                "the source changed while it was read; nothing was stored",
            )
            .next("run it again when nobody writes to the file")),
        }
    }
}

/// Opens what is to be stored. A stream stops giving when `stop` is set.
pub(super) fn open<'a>(source: &Source, stop: &'a AtomicBool) -> Result<OpenSource<'a>, Failure> {
    match source {
        Source::File(path) => open_file(path),
        Source::Stdin { size_bytes } => open_stdin(*size_bytes, stop),
    }
}

/// Standard input that does not wait for ever: a silent pipe must not keep a stop from being heard.
struct StoppableStdin<'a> {
    stop: &'a AtomicBool,
}

impl Read for StoppableStdin<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let mut stdin = std::io::stdin();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(std::io::Error::other("stopped on request"));
            }
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            let pause = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
            match poll(&mut waiting, Some(&pause)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return stdin.read(target),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open_file(path: &Path) -> Result<OpenSource<'static>, Failure> {
    let unreadable = |error: std::io::Error| {
        let class = match error.kind() {
            std::io::ErrorKind::NotFound => Class::NotFound,
            _ => Class::Other,
        };
        Failure::new(class, "source-unreadable", format!("can't read {}", path.display()))
            .because(error)
    };
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        let what = format!("{} is no regular file", path.display());
        return Err(Failure::new(Class::Usage, "source-kind", what)
            .next("give files, or pipe a stream: tar c DIR | warifu backup - --size SIZE ..."));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = settled(&file).map_err(unreadable)?;
    let name = path.file_name().map(|name| name.as_bytes().to_vec());
    let modified = metadata.mtime().checked_mul(1_000_000_000);
    let attributes = Attributes {
        name,
        modified_ns: modified.and_then(|ns| ns.checked_add(metadata.mtime_nsec())),
        mode: Some(metadata.mode() & 0o7777),
    };
    let layout = layout(&attributes, metadata.len())?;
    let path = std::path::absolute(path).map_err(unreadable)?;
    let identity = Some(identity(path, &metadata));
    let stream = Box::new(file.try_clone().map_err(unreadable)?);
    Ok(OpenSource { stream, attributes, layout, identity, file: Some(file) })
}

fn open_stdin(size_bytes: Option<u64>, stop: &AtomicBool) -> Result<OpenSource<'_>, Failure> {
    let known = std::fs::metadata("/dev/stdin").ok().filter(|stdin| stdin.is_file());
    let size_bytes = size_bytes.or(known.map(|stdin| stdin.len())).ok_or_else(|| {
        Failure::new(Class::Usage, "size-unknown", "the length of standard input is not known")
            .next(
                "give an upper bound with --size; key is planned for it, what is not used returns",
            )
    })?;
    let attributes = Attributes::default();
    let layout = layout(&attributes, size_bytes)?;
    let stream = Box::new(StoppableStdin { stop });
    Ok(OpenSource { stream, attributes, layout, identity: None, file: None })
}

fn layout(attributes: &Attributes, data_bytes: u64) -> Result<PayloadLayout, Failure> {
    let wrong = |error| {
        Failure::new(Class::Limit, "source-too-long", "the source can't be stored").because(error)
    };
    let head = prologue(attributes).map_err(wrong)?;
    PayloadLayout::new(head.len() as u64 - 64, data_bytes).map_err(wrong)
}

/// What a file is like, once the clock of its file system has ticked since it was last changed: a
/// change that comes later then shows in its times.
fn settled(file: &File) -> std::io::Result<Metadata> {
    let metadata = file.metadata()?;
    let changed =
        u64::try_from(metadata.ctime()).ok().zip(u32::try_from(metadata.ctime_nsec()).ok());
    let changed = changed.map(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = changed.and_then(|changed| now.checked_sub(changed));
    match age.and_then(|age| CLOCK_TICK.checked_sub(age)) {
        None => Ok(metadata),
        Some(rest) => {
            std::thread::sleep(rest);
            file.metadata()
        }
    }
}

fn identity(path: PathBuf, metadata: &Metadata) -> SourceIdentity {
    SourceIdentity {
        path,
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// What the file at `path` is like now.
///
/// # Errors
/// Where it is gone or can't be looked at.
pub(crate) fn identify(path: &Path) -> std::io::Result<SourceIdentity> {
    Ok(identity(std::path::absolute(path)?, &std::fs::metadata(path)?))
}
