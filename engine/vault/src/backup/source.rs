//! What is to be stored, opened: its stream, what is stored inside with it, and its length.

use super::{BackupRequest, Source};
use crate::failure::{Class, Failure};
use crate::journal::SourceIdentity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::{Cursor, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use warifu_buffers::Block;
use warifu_core::payload::{
    Attributes, Encoding, PROLOGUE_BYTES, PayloadError, PayloadLayout, Shape, prologue,
};
use warifu_pipeline::backup::driver::RunError;
use warifu_pipeline::source::{Compression, PayloadSource, SAMPLE_BYTES};

/// How long the clock may stand still by which a file system notes times.
const CLOCK_TICK: Duration = Duration::from_millis(20);

/// The same where it counts whole seconds, in steps of up to two.
const COARSE_CLOCK_TICK: Duration = Duration::from_millis(2020);

/// How long is waited at most for that clock, which may be ahead of this machine's.
const SETTLING_MAX: Duration = Duration::from_secs(3);

/// How long after the times of a file were noted programs that have it mapped may change it without
/// their being noted anew: until what was written goes to the medium.
const WRITTEN_BACK: Duration = Duration::from_secs(120);

/// An opened source: its stream, what is stored inside with it, and how long it may be.
pub(super) struct OpenSource<'a> {
    pub(super) stream: Box<dyn Read + Send + 'a>,
    pub(super) attributes: Attributes,
    /// What is done to it.
    pub(super) shape: Shape,
    /// What it takes at most, as far as is known.
    pub(super) layout: PayloadLayout,
    /// Of a file, what it was like when it was opened.
    identity: Option<SourceIdentity>,
    /// Whether any later change of it shows in that.
    is_settled: bool,
    /// The file itself, to see whether it changed.
    file: Option<File>,
}

impl<'a> OpenSource<'a> {
    /// What another process knows it by that goes on with it; none of a stream, or where a change
    /// might not show.
    pub(super) fn resumable(&self) -> Option<&SourceIdentity> {
        self.identity.as_ref().filter(|_| self.is_settled)
    }

    /// Gives the stream away, and keeps what is needed to see whether the source changed.
    pub(super) fn into_parts(self) -> (Box<dyn Read + Send + 'a>, Attributes, Watched) {
        let file = self.file.zip(self.identity);
        let watched = Watched { planned: self.layout, shape: self.shape, file };
        (self.stream, self.attributes, watched)
    }

    /// Counts what a file takes that is to be compressed, and says whether that is less than was
    /// planned. Nothing is kept.
    ///
    /// # Errors
    /// Where it can't be read, changes, or a stop is asked for.
    pub(super) fn count(&mut self, stop: &AtomicBool) -> Result<bool, Failure> {
        let Some((file, before)) = self.file.as_ref().zip(self.identity.as_ref()) else {
            return Ok(false);
        };
        if self.shape.encoding == Encoding::AsGiven {
            return Ok(false);
        }
        let unreadable = |error: std::io::Error| {
            Failure::new(Class::Other, "source", "the source could not be read").because(error)
        };
        let stream = FromStart { file, at: 0 };
        let mut payload =
            PayloadSource::new(stream, &self.attributes, self.shape).map_err(unstorable)?;
        while payload.next_chunk().map_err(unreadable)?.is_some() {
            if stop.load(Ordering::Relaxed) {
                let what = "stopped on request; nothing was stored";
                return Err(Failure::new(Class::Temporary, "stopped", what));
            }
        }
        expect_unchanged(file, before, payload.data_bytes() == self.layout.data_bytes)?;
        let is_less = payload.payload_bytes() < self.layout.payload_bytes;
        self.layout.payload_bytes = payload.payload_bytes();
        Ok(is_less)
    }
}

/// Reads a file from its first byte, whatever else reads it.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.read_at(target, self.at)?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

/// What is asked for besides sharing.
#[derive(Clone, Copy)]
pub(crate) struct Treatment {
    pub(crate) compression: Compression,
    pub(crate) pad: bool,
}

/// What a file takes at most; where it `is_counted`, it is read and compressed to tell just what.
///
/// # Errors
/// Where it can't be read, or changes meanwhile.
pub(crate) fn measure(
    path: &Path,
    wanted: Treatment,
    is_counted: bool,
) -> Result<PayloadLayout, Failure> {
    let mut source = open_file(path, wanted)?;
    if is_counted {
        source.count(&AtomicBool::new(false))?;
    }
    Ok(source.layout)
}

/// What a stream of at most so many bytes takes at most.
///
/// # Errors
/// Where it is too long.
pub(crate) fn measure_stream(bytes: u64, wanted: Treatment) -> Result<PayloadLayout, Failure> {
    let encoding = match wanted.compression {
        Compression::None => Encoding::AsGiven,
        Compression::Auto | Compression::Zstd => Encoding::ZstdFrames,
    };
    layout(&Attributes::default(), bytes, Shape { encoding, pad: wanted.pad })
}

/// Payload bytes of a file of this length at most, whatever its content.
pub(crate) fn bytes_at_most(path: &Path, data_bytes: u64, wanted: Treatment) -> Option<u64> {
    let attributes = Attributes {
        name: path.file_name().map(|name| name.as_bytes().to_vec()),
        modified_ns: Some(i64::MAX),
        mode: Some(0o7777),
    };
    let encodings: &[Encoding] = match wanted.compression {
        Compression::None => &[Encoding::AsGiven],
        Compression::Zstd => &[Encoding::ZstdFrames],
        Compression::Auto => &[Encoding::AsGiven, Encoding::ZstdFrames],
    };
    let bytes = |encoding: &Encoding| {
        let shape = Shape { encoding: *encoding, pad: wanted.pad };
        layout(&attributes, data_bytes, shape).ok().map(|layout| layout.payload_bytes)
    };
    encodings.iter().filter_map(bytes).max()
}

/// Whether `auto` does with a file what this request does.
pub(super) fn is_automatic(request: &BackupRequest) -> bool {
    let Source::File(path) = &request.source else { return false };
    let chosen =
        File::open(path).and_then(|file| sample(&mut FromStart { file: &file, at: 0 })).and_then(
            |sample| Ok(Compression::Auto.choose(&sample)? == request.compression.choose(&sample)?),
        );
    chosen.unwrap_or(false)
}

/// Whether `path`, links followed, is `folder` or lies anywhere below it.
pub(crate) fn lies_within(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (path.canonicalize(), folder.canonicalize());
    path.is_ok_and(|path| folder.is_ok_and(|folder| path.starts_with(folder)))
}

/// A source being read.
pub(super) struct Watched {
    pub(super) planned: PayloadLayout,
    pub(super) shape: Shape,
    file: Option<(File, SourceIdentity)>,
}

impl Watched {
    /// What ended a run. A file that holds more than was planned for it was written to.
    pub(super) fn explained(&self, error: RunError) -> Failure {
        match error {
            RunError::SourceGrew { .. } if self.file.is_some() => changed(),
            error => error.into(),
        }
    }

    /// Refuses a file that is not what it was when it was opened.
    ///
    /// # Errors
    /// Where its length or times of change differ, or it gave another number of bytes.
    pub(super) fn expect_unchanged(&self, data_bytes: u64) -> Result<(), Failure> {
        let Some((file, before)) = &self.file else { return Ok(()) };
        expect_unchanged(file, before, data_bytes == self.planned.data_bytes)
    }
}

fn expect_unchanged(file: &File, before: &SourceIdentity, is_as_long: bool) -> Result<(), Failure> {
    let same = file.metadata().is_ok_and(|now| identity(before.path.clone(), &now) == *before);
    match same && is_as_long {
        true => Ok(()),
        false => Err(changed()),
    }
}

fn changed() -> Failure {
    let what = "the source changed while it was read; nothing was stored";
    Failure::new(Class::Temporary, "source-changed", what)
        .next("run it again when nobody writes to the file")
}

/// Opens what is to be stored. A stream stops giving when `stop` is set.
pub(super) fn open<'a>(
    request: &BackupRequest,
    stop: &'a AtomicBool,
) -> Result<OpenSource<'a>, Failure> {
    let wanted = Treatment { compression: request.compression, pad: request.pad };
    match &request.source {
        Source::File(path) => open_file(path, wanted),
        Source::Stdin { size_bytes } => open_stdin(*size_bytes, wanted, stop),
    }
}

/// What is done to a source that begins so.
fn shape(wanted: Treatment, sample: &[u8]) -> std::io::Result<Shape> {
    Ok(Shape { encoding: wanted.compression.choose(sample)?, pad: wanted.pad })
}

/// Whether a sample is needed to know what is done to the source.
fn is_sampled(wanted: Treatment) -> bool {
    wanted.compression == Compression::Auto
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

fn open_file(path: &Path, wanted: Treatment) -> Result<OpenSource<'static>, Failure> {
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
    let (metadata, is_settled) = settled(&file).map_err(unreadable)?;
    let name = path.file_name().map(|name| name.as_bytes().to_vec());
    let modified = metadata.mtime().checked_mul(1_000_000_000);
    let attributes = Attributes {
        name,
        modified_ns: modified.and_then(|ns| ns.checked_add(metadata.mtime_nsec())),
        mode: Some(metadata.mode() & 0o7777),
    };
    let path = std::path::absolute(path).map_err(unreadable)?;
    let identity = Some(identity(path, &metadata));
    let sample = match is_sampled(wanted) {
        true => sample(&mut FromStart { file: &file, at: 0 }).map_err(unreadable)?,
        false => Block::zeroed(0),
    };
    let shape = shape(wanted, &sample).map_err(unreadable)?;
    let layout = layout(&attributes, metadata.len(), shape)?;
    let stream = Box::new(file.try_clone().map_err(unreadable)?);
    Ok(OpenSource { stream, attributes, shape, layout, identity, is_settled, file: Some(file) })
}

fn open_stdin<'a>(
    size_bytes: Option<u64>,
    wanted: Treatment,
    stop: &'a AtomicBool,
) -> Result<OpenSource<'a>, Failure> {
    let known = std::fs::metadata("/dev/stdin").ok().filter(|stdin| stdin.is_file());
    let size_bytes = size_bytes.or(known.map(|stdin| stdin.len())).ok_or_else(|| {
        Failure::new(Class::Usage, "size-unknown", "the length of standard input is not known")
            .next(
                "give an upper bound with --size; key is planned for it, what is not used returns",
            )
    })?;
    let unreadable = |error: std::io::Error| match stop.load(Ordering::Relaxed) {
        true => Failure::from(RunError::Stopped),
        false => Failure::from(RunError::Source(error)),
    };
    let mut stream = StoppableStdin { stop };
    let sample = match is_sampled(wanted) {
        true => sample(&mut stream).map_err(unreadable)?,
        false => Block::zeroed(0),
    };
    let shape = shape(wanted, &sample).map_err(unreadable)?;
    let attributes = Attributes::default();
    let layout = layout(&attributes, size_bytes, shape)?;
    // What was read of it can't be read again.
    let stream = Box::new(Cursor::new(sample).chain(stream));
    let (identity, is_settled, file) = (None, false, None);
    Ok(OpenSource { stream, attributes, shape, layout, identity, is_settled, file })
}

/// The beginning of a stream, as much of it as is needed to decide.
fn sample(stream: &mut impl Read) -> std::io::Result<Block> {
    let mut sample = Block::zeroed(SAMPLE_BYTES);
    let mut filled = 0;
    while filled < sample.len() {
        match stream.read(&mut sample[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    sample.truncate(filled);
    Ok(sample)
}

fn layout(
    attributes: &Attributes,
    data_bytes: u64,
    shape: Shape,
) -> Result<PayloadLayout, Failure> {
    let head = prologue(attributes).map_err(unstorable)?;
    let attribute_bytes = head.len() as u64 - PROLOGUE_BYTES;
    PayloadLayout::longest(attribute_bytes, data_bytes, shape).map_err(unstorable)
}

fn unstorable(error: PayloadError) -> Failure {
    Failure::new(Class::Limit, "source-too-long", "the source can't be stored").because(error)
}

/// What a file is like, once the clock of its file system has ticked since it was last changed, and
/// whether any change that comes later shows in its times.
fn settled(file: &File) -> std::io::Result<(Metadata, bool)> {
    let metadata = file.metadata()?;
    let touched = last_touched(&metadata);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // What is written back can't be written to by way of a map without its being noted.
    let is_clean = now >= touched + WRITTEN_BACK || file.sync_data().is_ok();
    let tick = if metadata.ctime_nsec() == 0 { COARSE_CLOCK_TICK } else { CLOCK_TICK };
    match (touched + tick).checked_sub(now) {
        None => Ok((metadata, is_clean)),
        Some(rest) if rest > SETTLING_MAX => Ok((metadata, false)),
        Some(rest) => {
            std::thread::sleep(rest);
            let metadata = file.metadata()?;
            let is_quiet = last_touched(&metadata) == touched;
            Ok((metadata, is_clean && is_quiet))
        }
    }
}

/// The later of the times when the content and the status were last changed, since 1970.
fn last_touched(metadata: &Metadata) -> Duration {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    let (seconds, nanoseconds) = modified.max((metadata.ctime(), metadata.ctime_nsec()));
    let seconds = u64::try_from(seconds).unwrap_or(0).min(u64::from(u32::MAX) << 16);
    Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
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
