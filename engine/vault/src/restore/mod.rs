//! `restore`: k good shares become the object again, or part of it, or no output at all.

mod told;

use crate::backup::{share_name, window};
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::output::TargetFile;
use crate::plan::leasable_bytes;
use crate::report::{Rejection, RestoreReport};
use crate::{Progress, Vault, Watch};
use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::Write;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use told::{failure, is_missing, rejection};
use warifu_catalog::{Object, ShareState, StoredShare};
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::Attributes;
use warifu_core::{Channel, Direction, ObjectId, SiteName, XCoord};
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::restore::driver::{Rejected, RestoreError, RestoreJob};
use warifu_pipeline::restore::lane::{Expected, LocalReadLane, ReadLane, RemoteReadLane};
use warifu_pipeline::sink::{Held, PayloadSink, Restored, SinkError, Wanted};

/// Where restored data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A file, replaced whole or not at all.
    Path(PathBuf),
    /// Standard output, chunk by chunk as each is verified.
    Stdout,
    /// The name that was stored inside, in the current folder; nothing there is replaced.
    OwnName,
}

/// Which bytes of an object are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// One past the last; the object's end where it is not given.
    pub to: Option<u64>,
}

/// A restore to be made.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// What to restore.
    pub object: ObjectId,
    /// Where to.
    pub output: Output,
    /// Only these bytes. They have neither name, nor mode, nor time of their own.
    pub range: Option<ByteRange>,
    /// Keep what was restored under a name of its own when this is killed or stopped, and go on
    /// from what an earlier one left there.
    pub resume: bool,
}

/// How long to look for a site before another one is asked instead.
const REACH_PATIENCE: Duration = Duration::from_millis(300);

/// Key that asking for one chunk takes at most, leases included, in bytes.
const ASK_BYTES: u64 = 136;

/// A share that may be asked, and the key left for it.
struct Offer {
    share: StoredShare,
    key_left_bytes: u64,
}

impl Vault {
    /// Rebuilds an object, or a range of it, from k good shares. On failure no output file is left,
    /// a resumable restore's part aside.
    ///
    /// # Errors
    /// Where there is no such object, fewer than k shares are good or reachable, key does not
    /// cover it, or the output can't be written.
    pub fn restore(
        &self,
        request: &RestoreRequest,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        let started = self.clock.elapsed();
        expect_sense(request)?;
        let object = self.catalog()?.object(&request.object)?;
        let target = target_file(request)?;
        let held_bytes = target.as_ref().map_or(0, TargetFile::held_bytes);
        let offers = self.offers(&object, &reading(&object, request, held_bytes))?;
        let mut lanes = Vec::new();
        for offer in &offers {
            lanes.push(self.read_lane(&object, &offer.share)?);
        }
        let xs: Vec<XCoord> = offers.iter().map(|offer| offer.share.x).collect();
        let run = Run { vault: self, object: &object, request, xs: &xs };
        let delivered = match target {
            None => run.to_stdout(&mut lanes, watch),
            Some(file) => run.to_file(&mut lanes, file, watch),
        };
        let key_bytes = lanes.iter().map(|lane| lane.key_bytes()).sum();
        lanes.into_iter().for_each(ReadLane::close);
        let Delivered { restored, rejected, output } = delivered?;
        let seen = rejected.iter().filter(|rejected| !rejected.error.is_lost());
        let seen: Vec<Rejection> = seen.map(rejection).collect();
        let unused = |site: &SiteName| rejected.iter().any(|rejected| rejected.site == *site);
        let sites = offers.iter().map(|offer| &offer.share.site).filter(|site| !unused(site));
        let sites = sites.take(object.threshold.k()).map(SiteName::to_string).collect();
        let Range { start, end } = restored.range;
        Ok(RestoreReport {
            v: 1,
            r#type: "restore",
            object: object.object.to_string(),
            bytes: end - start,
            range: request.range.map(|_| [start, end]),
            sites,
            rejected: seen,
            key_bytes,
            seconds: (self.clock.elapsed() - started).as_secs_f64(),
            output: output.map(|path| path.display().to_string()),
        })
    }

    /// The shares that may be asked, the most wanted first: those last seen good, in this room,
    /// and with most key left. Sites whose key does not cover what is to be read are left out.
    fn offers(&self, object: &Object, reading: &Reading) -> Result<Vec<Offer>, Failure> {
        let needed = reading.payload_bytes + 256 * reading.chunks;
        let mut offers = Vec::new();
        let mut short = Vec::new();
        for share in &object.shares {
            let key_left_bytes = match share.channel {
                Channel::Local => u64::MAX,
                _ => self.key_left(share, reading.chunks)?,
            };
            match key_left_bytes >= needed {
                true => offers.push(Offer { share: share.clone(), key_left_bytes }),
                false => short.push(format!("{} has {key_left_bytes}", share.site)),
            }
        }
        if offers.len() < object.threshold.k() && !short.is_empty() {
            let what = format!(
                "this takes {needed} bytes of key from each of {} sites: {}",
                object.threshold.k(),
                short.join(", ")
            );
            return Err(Failure::new(Class::Key, "key-short", what)
                .next("deliver key with `warifu key generate --site NAME --courier DRIVE`"));
        }
        offers.sort_by_key(|offer| {
            (offer.share.state != ShareState::Good, Reverse(offer.key_left_bytes), offer.share.x)
        });
        Ok(offers)
    }

    /// Key left for a share's answers; none where there is too little to ask with.
    fn key_left(&self, share: &StoredShare, chunks: u64) -> Result<u64, Failure> {
        let Some(link) = share.link else { return Ok(0) };
        let status = self.keys.pool_status(link.into())?;
        let asks = leasable_bytes(&status, Direction::AToB, None) >= ASK_BYTES * chunks;
        Ok(if asks { leasable_bytes(&status, Direction::BToA, None) } else { 0 })
    }

    fn read_lane(
        &self,
        object: &Object,
        share: &StoredShare,
    ) -> Result<Box<dyn ReadLane>, Failure> {
        let mut verdict = self.catalog()?.verdict(&object.object, share.x)?;
        let hashes = std::mem::take(&mut verdict.hashes);
        let expected = Expected::new(self.isa, &verdict.r, hashes);
        let site = self.site_row(&share.site)?;
        if share.channel == Channel::Local {
            let name = share_name(object.object, share.x)?;
            let folder = crate::config::file_url(&site.url)?;
            let world = self.world.clone();
            let open = Box::new(move || world.open_store(&folder));
            return Ok(Box::new(LocalReadLane::new(share.site.clone(), open, name, expected)));
        }
        let patience = Patience::For(REACH_PATIENCE);
        let dial = self.dialer(&site, Purpose::Read, patience)?;
        let address = ShareAddress { object: object.object, x: share.x };
        Ok(Box::new(RemoteReadLane::new(share.site.clone(), address, expected, dial)))
    }

    /// Notes what was seen of the shares, for listings and the next choice.
    fn remember(&self, object: &Object, rejected: &[Rejected]) -> Result<(), Failure> {
        for rejected in rejected.iter().filter(|rejected| rejected.error.is_bad_share()) {
            let share = object.shares.iter().find(|share| share.site == rejected.site);
            let state = match &rejected.error {
                error if is_missing(error) => ShareState::Missing,
                _ => ShareState::Corrupt,
            };
            if let Some(share) = share {
                self.catalog()?.set_share_state(&object.object, share.x, state)?;
            }
        }
        Ok(())
    }
}

/// One restore under way.
struct Run<'a> {
    vault: &'a Vault,
    object: &'a Object,
    request: &'a RestoreRequest,
    /// The x of each lane.
    xs: &'a [XCoord],
}

/// What came of a restore.
struct Delivered {
    restored: Restored,
    rejected: Vec<Rejected>,
    output: Option<PathBuf>,
}

/// What was rebuilt, or why nothing was; either with the shares that were set aside.
type Outcome = Result<(Restored, Vec<Rejected>), (RestoreError, Vec<Rejected>)>;

impl Run<'_> {
    fn to_stdout(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        watch: Watch<'_>,
    ) -> Result<Delivered, Failure> {
        // Past the buffer of the process, which would only copy.
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| {
            Failure::new(Class::Other, "output", "standard output can't be used").because(error)
        })?;
        let wanted = self.wanted();
        let outcome = self.deliver(lanes, File::from(stdout), wanted, watch)?;
        let (restored, rejected) =
            outcome.map_err(|(error, rejected)| failure(self.object, error, &rejected))?;
        Ok(Delivered { restored, rejected, output: None })
    }

    /// Restores into a file beside the target, and names it when all is proved.
    fn to_file(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        file: TargetFile,
        watch: Watch<'_>,
    ) -> Result<Delivered, Failure> {
        let wanted = match file.held_bytes() {
            0 => self.wanted(),
            bytes => Wanted::Rest(Held { bytes, keep: TargetFile::keep }),
        };
        let (mut restored, rejected) = match self.deliver(lanes, &file, wanted, watch)? {
            Ok(delivered) => delivered,
            Err((error, rejected)) => {
                let is_wrong = is_proved_wrong(&error);
                let failure = failure(self.object, error, &rejected);
                return Err(file.given_up(is_wrong, failure));
            }
        };
        let folder = folder_of(&self.request.output);
        let attributes = &mut restored.attributes;
        dress(file.file(), attributes).map_err(|error| cant_write(folder, error))?;
        let (target, replace) = match &self.request.output {
            Output::Path(path) => (path.clone(), true),
            _ => (folder.join(own_name(attributes, self.object.object)), false),
        };
        file.put(&target, replace).map_err(|error| {
            let what = format!("can't put the restored file at {}", target.display());
            Failure::new(Class::Other, "output", what)
                .because(error)
                .next("name another place with -o PATH")
        })?;
        Ok(Delivered { restored, rejected, output: Some(target) })
    }

    fn wanted<W>(&self) -> Wanted<W> {
        match self.request.range {
            None => Wanted::Whole,
            Some(ByteRange { from, to }) => Wanted::Range { from, to },
        }
    }

    /// Joins what is wanted into `output`. What was seen of shares is noted, however it ends.
    fn deliver<W: Write>(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        output: W,
        wanted: Wanted<W>,
        watch: Watch<'_>,
    ) -> Result<Outcome, Failure> {
        let (vault, object) = (self.vault, self.object);
        let mut done_bytes = 0;
        let k = object.threshold.k() as u64;
        let mut done = |bytes: usize, total_bytes: u64| {
            done_bytes += bytes as u64;
            let key_bytes = done_bytes * k;
            (watch.progress)(Progress { done_bytes, total_bytes, key_bytes });
            !watch.stop.load(Ordering::Relaxed)
        };
        let job = RestoreJob {
            driver: &vault.world.driver(),
            isa: vault.isa,
            threshold: object.threshold,
            geometry: object.geometry,
            xs: self.xs,
            window: window(vault.config.limits.memory_bytes, object.threshold),
        };
        let mut sink = PayloadSink::new(output, object.geometry, wanted);
        let mut rejected = Vec::new();
        let outcome = job.run(lanes, &mut sink, &mut rejected, &mut done);
        vault.remember(object, &rejected)?;
        Ok(match outcome.and_then(|()| Ok(sink.finish()?)) {
            Ok((_, restored)) => Ok((restored, rejected)),
            Err(error) => Err((error, rejected)),
        })
    }
}

/// Refuses requests that contradict themselves.
fn expect_sense(request: &RestoreRequest) -> Result<(), Failure> {
    let wrong = |what: &str, next: &str| {
        Err(Failure::new(Class::Usage, "usage", what.to_owned()).next(next))
    };
    let is_empty = |range: ByteRange| range.to.is_some_and(|to| range.from >= to);
    match (&request.output, request.range) {
        (_, Some(range)) if is_empty(range) => {
            wrong("the range is empty", "write --range FROM-TO, where TO is not included")
        }
        (Output::OwnName, Some(_)) => {
            wrong("a part of an object has no name of its own", "name one with -o PATH, or -o -")
        }
        (_, Some(_)) if request.resume => {
            wrong("a range is not resumed", "ask for the range that is still missing")
        }
        (Output::Stdout, None) if request.resume => {
            wrong("standard output is not resumed", "name a file with -o PATH")
        }
        _ => Ok(()),
    }
}

/// The file that the data goes to; none for standard output.
fn target_file(request: &RestoreRequest) -> Result<Option<TargetFile>, Failure> {
    let folder = folder_of(&request.output);
    let file = match (&request.output, request.resume) {
        (Output::Stdout, _) => return Ok(None),
        (_, true) => return TargetFile::part(folder, request.object).map(Some),
        (_, false) => TargetFile::unnamed(folder),
    };
    file.map(Some).map_err(|error| cant_write(folder, error))
}

/// Where the output's file is made.
fn folder_of(output: &Output) -> &Path {
    let path = match output {
        Output::Path(path) => path.parent(),
        Output::Stdout | Output::OwnName => None,
    };
    path.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cant_write(folder: &Path, error: std::io::Error) -> Failure {
    let what = format!("can't write in {}", folder.display());
    Failure::new(Class::Other, "output", what).because(error)
}

/// What a restore reads at each site, at most.
struct Reading {
    chunks: u64,
    payload_bytes: u64,
}

/// Chunks of a range that may come to those of its own length: where it begins and ends, where its
/// frames do, the trailer, and entries of the frame table.
const RANGE_CHUNKS_MORE: u64 = 5;

fn reading(object: &Object, request: &RestoreRequest, held_bytes: u64) -> Reading {
    let chunk = u64::from(CHUNK_BYTES);
    let (count, payload_bytes) = (object.geometry.chunk_count(), object.geometry.payload_bytes());
    let chunks = match request.range {
        // The first chunk is read again, for the attributes. What is compressed holds more data
        // than chunks, so more may have to be read than is counted here.
        None => count - (held_bytes / chunk).saturating_sub(1).min(count),
        Some(ByteRange { to: None, .. }) => count,
        Some(ByteRange { from, to: Some(to) }) => {
            let own = to.saturating_sub(from).div_ceil(chunk);
            let table = own.div_ceil(chunk / 8);
            count.min(own.saturating_add(table + RANGE_CHUNKS_MORE))
        }
    };
    Reading { chunks, payload_bytes: payload_bytes.min(chunks * chunk) }
}

/// Whether it is the delivered bytes themselves that are wrong.
fn is_proved_wrong(error: &RestoreError) -> bool {
    match error {
        RestoreError::Sink(SinkError::Output(_) | SinkError::BeyondEnd { .. }) => false,
        RestoreError::Sink(_) => true,
        _ => false,
    }
}

/// Gives a restored file the mode and time that were stored inside.
fn dress(file: &File, attributes: &Attributes) -> std::io::Result<()> {
    if let Some(mode) = attributes.mode {
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    if let Some(time) = attributes.modified_ns.and_then(|ns| u64::try_from(ns).ok()) {
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(time))?;
    }
    Ok(())
}

/// The file name that was stored inside, else the object's ID. The format admits no path in it.
fn own_name(attributes: &mut Attributes, object: ObjectId) -> OsString {
    match attributes.name.take() {
        Some(name) => OsString::from_vec(name),
        None => OsString::from(object.to_string()),
    }
}
