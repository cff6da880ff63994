//! What is to be stored, opened: its stream, what is stored inside with it, and its length.

use super::Source;
use crate::failure::{Class, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use warifu_core::payload::{Attributes, PayloadLayout, prologue};
use warifu_pipeline::backup::driver::RunError;

/// An opened source: its stream, what is stored inside with it, and how long it may be.
pub(super) struct OpenSource<'a> {
    pub(super) stream: Box<dyn Read + 'a>,
    pub(super) attributes: Attributes,
    pub(super) layout: PayloadLayout,
    /// The file itself, to see whether it changed, and what it was like when it was opened.
    file: Option<(File, (u64, i64, i64))>,
}

impl<'a> OpenSource<'a> {
    /// Gives the stream away, and keeps what is needed to see whether the source changed.
    pub(super) fn into_parts(self) -> (Box<dyn Read + 'a>, Attributes, Watched) {
        let planned = self.layout;
        (self.stream, self.attributes, Watched { planned, file: self.file })
    }
}

/// A source being read.
pub(super) struct Watched {
    pub(super) planned: PayloadLayout,
    file: Option<(File, (u64, i64, i64))>,
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
    /// Where its length or time of change differ, or it gave another number of bytes.
    pub(super) fn expect_unchanged(&self, data_bytes: u64) -> Result<(), Failure> {
        let Some((file, before)) = &self.file else { return Ok(()) };
        let same = fingerprint(file).is_ok_and(|now| now == *before);
        match same && data_bytes == self.planned.data_bytes {
            true => Ok(()),
            false => Err(changed()),
        }
    }
}

fn changed() -> Failure {
    let what = "the source changed while it was read; nothing was stored";
    Failure::new(Class::Temporary, "source-changed", what)
        .next("run it again when nobody writes to the file")
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
    let metadata = file.metadata().map_err(unreadable)?;
    let name = path.file_name().map(|name| name.as_bytes().to_vec());
    let modified = metadata.mtime().checked_mul(1_000_000_000);
    let attributes = Attributes {
        name,
        modified_ns: modified.and_then(|ns| ns.checked_add(metadata.mtime_nsec())),
        mode: Some(metadata.mode() & 0o7777),
    };
    let layout = layout(&attributes, metadata.len())?;
    let before = fingerprint(&file).map_err(unreadable)?;
    let stream = Box::new(file.try_clone().map_err(unreadable)?);
    Ok(OpenSource { stream, attributes, layout, file: Some((file, before)) })
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
    Ok(OpenSource { stream: Box::new(StoppableStdin { stop }), attributes, layout, file: None })
}

fn layout(attributes: &Attributes, data_bytes: u64) -> Result<PayloadLayout, Failure> {
    let wrong = |error| {
        Failure::new(Class::Limit, "source-too-long", "the source can't be stored").because(error)
    };
    let head = prologue(attributes).map_err(wrong)?;
    PayloadLayout::new(head.len() as u64 - 64, data_bytes).map_err(wrong)
}

/// Length and time of change: enough to see that a file is not what it was.
fn fingerprint(file: &File) -> std::io::Result<(u64, i64, i64)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
