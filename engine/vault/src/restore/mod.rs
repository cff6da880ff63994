//! `restore`: k good shares become the object again, or part of it, or no output at all.

mod place;
mod source;
mod told;

use crate::backup::share_name;
use crate::break_glass::Case;
use crate::consent::Proof;
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::memory::{Need, Room};
use crate::output::TargetFile;
use crate::plan::hang_up;
use crate::report::{Rejection, RestoreReport};
use crate::{Progress, Vault, Watch};
use place::{Place, expect_replaceable};
use source::Source;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use told::{DELIVER, failure, is_missing, rejection};
use warifu_buffers::copied_bytes;
use warifu_catalog::{Object, ShareState, StoredShare};
use warifu_core::capsule::Verdict;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::payload::Attributes;
use warifu_core::{Channel, Direction, ObjectId, SiteName, XCoord};
use warifu_pipeline::peer::{Peer, ShareAddress};
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

/// By whose word an object is read.
pub(crate) enum Authority<'a> {
    /// Nobody's: where persons don't decide.
    Nobody,
    /// Its person's.
    Person(Proof<'a>),
    /// Officers', without its person.
    Officers(&'a Case),
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
    /// Rebuilds an object, or a range of it, from k good shares that their sites let go. On failure
    /// no output file is left, a resumable restore's part aside.
    ///
    /// # Errors
    /// Where there is no such object, consent or card do not suffice, fewer than k shares are good
    /// or reachable, key does not cover it, or the output can't be written.
    pub(crate) fn deliver_object(
        &self,
        request: &RestoreRequest,
        by: Authority<'_>,
        watch: Watch<'_>,
    ) -> Result<RestoreReport, Failure> {
        let (started, copied_before) = (self.clock.elapsed(), copied_bytes());
        expect_sense(request)?;
        let place = Place::of(request, watch.stop)?;
        let Source { object, offers, mut peers, mut verdicts, short } =
            self.readable(request, by)?;
        let reading = reading(&object, request);
        let need = Need::of_restore(object.threshold, object.geometry, offers.len());
        let room = match self.reserve(&need, watch.stop) {
            Ok(room) => room,
            Err(failure) => {
                peers.into_values().for_each(hang_up);
                return Err(failure);
            }
        };
        let mut lanes = Vec::new();
        for offer in &offers {
            let peer = peers.remove(&offer.share.site);
            let (share, verdicts) = (&offer.share, verdicts.as_mut());
            lanes.push(self.read_lane(&object, share, &reading, peer, verdicts)?);
        }
        peers.into_values().for_each(hang_up);
        let is_foreign = verdicts.is_some();
        let xs: Vec<XCoord> = offers.iter().map(|offer| offer.share.x).collect();
        let short = &short;
        let run =
            Run { vault: self, object: &object, is_foreign, request, xs: &xs, short, room: &room };
        let delivered = match place {
            Place::Stream { to, path } => run.to_stream(&mut lanes, to, path, watch),
            Place::File { file, folder, path } => {
                run.to_file(&mut lanes, file, (&folder, path), watch)
            }
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
            copied_bytes: copied_bytes() - copied_before,
            seconds: (self.clock.elapsed() - started).as_secs_f64(),
            output: output.map(|path| path.display().to_string()),
        })
    }

    /// The shares that may be asked, the most wanted first: those last seen good, in this room,
    /// and with most key left. Sites whose key does not cover what is to be read are left out, and
    /// told of in words.
    fn offers(
        &self,
        object: &Object,
        reading: &Reading,
    ) -> Result<(Vec<Offer>, Vec<String>), Failure> {
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
                false => {
                    let key = format!("{key_left_bytes} bytes of key");
                    short.push(format!("{} has {key} and this takes {needed}", share.site));
                }
            }
        }
        if offers.len() < object.threshold.k() && !short.is_empty() {
            let what = format!(
                "{} sites with key for it are needed: {}",
                object.threshold.k(),
                short.join(", ")
            );
            return Err(Failure::new(Class::Key, "key-short", what).next(DELIVER));
        }
        offers.sort_by_key(|offer| {
            (offer.share.state != ShareState::Good, Reverse(offer.key_left_bytes), offer.share.x)
        });
        Ok((offers, short))
    }

    /// Key left for a share's answers; none where there is too little to ask with.
    fn key_left(&self, share: &StoredShare, chunks: u64) -> Result<u64, Failure> {
        let Some(link) = share.link else { return Ok(0) };
        let status = self.keys.pool_status(link.into())?;
        let left = |direction| self.leasable(&status, direction, None);
        let asks = left(Direction::AToB)?.usable_bytes() >= ASK_BYTES * chunks;
        Ok(if asks { left(Direction::BToA)?.usable_bytes() } else { 0 })
    }

    fn read_lane(
        &self,
        object: &Object,
        share: &StoredShare,
        reading: &Reading,
        peer: Option<Peer>,
        verdicts: Option<&mut BTreeMap<XCoord, Verdict>>,
    ) -> Result<Box<dyn ReadLane>, Failure> {
        let mut verdict = match verdicts.map(|verdicts| verdicts.remove(&share.x)) {
            None => self.catalog()?.verdict(&object.object, share.x)?,
            Some(verdict) => verdict.ok_or_else(|| {
                let what = format!("the capsule tells nothing of share {}", share.x.get());
                Failure::new(Class::Forged, "object-disputed", what)
            })?,
        };
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
        let reads = (reading.chunks, reading.payload_bytes);
        let lane = RemoteReadLane::new(share.site.clone(), address, expected, dial, reads);
        Ok(Box::new(lane.with_peer(peer)))
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
    /// Whether another gateway stored it: then the catalog does not know it.
    is_foreign: bool,
    request: &'a RestoreRequest,
    /// The x of each lane.
    xs: &'a [XCoord],
    /// The sites that are not asked for want of key, in words.
    short: &'a [String],
    room: &'a Room,
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
    fn to_stream(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        to: File,
        path: Option<PathBuf>,
        watch: Watch<'_>,
    ) -> Result<Delivered, Failure> {
        let progress = RefCell::new(watch.progress);
        let sink = PayloadSink::new(to, self.object.geometry, self.wanted());
        let (restored, rejected) = self
            .deliver(lanes, sink, (&progress, watch.stop))?
            .map_err(|(error, rejected)| failure(self.object, error, &rejected, self.short))?;
        Ok(Delivered { restored, rejected, output: path })
    }

    /// Restores into a file beside the target, and names it when all is proved.
    fn to_file(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        file: TargetFile,
        (folder, path): (&Path, Option<PathBuf>),
        watch: Watch<'_>,
    ) -> Result<Delivered, Failure> {
        let progress = RefCell::new(watch.progress);
        let filling = Filling { file: &file, progress: &progress, stop: watch.stop };
        let wanted = match file.held_bytes() {
            0 => self.wanted(),
            bytes => Wanted::Rest(Held { bytes, keep: Filling::keep }),
        };
        let check = |attributes: &Attributes| {
            let name = folder.join(own_name(attributes, self.object.object));
            expect_free(&name)
        };
        let mut sink = PayloadSink::new(filling, self.object.geometry, wanted);
        if path.is_none() {
            sink = sink.with_check(&check);
        }
        let (restored, rejected) = match self.deliver(lanes, sink, (&progress, watch.stop))? {
            Ok(delivered) => delivered,
            Err((error, rejected)) => {
                let is_wrong = is_proved_wrong(&error);
                let failure = match (&error, file.held_bytes()) {
                    (RestoreError::Sink(SinkError::Digest), 1..) => bad_part().because(error),
                    _ => failure(self.object, error, &rejected, self.short),
                };
                return Err(file.given_up(is_wrong, failure));
            }
        };
        let attributes = &restored.attributes;
        let (target, replace) = match path {
            Some(path) => (path, true),
            None => (folder.join(own_name(attributes, self.object.object)), false),
        };
        let is_free = if replace { expect_replaceable(&target) } else { Ok(()) };
        let put = is_free.and_then(|()| file.put(&target, replace, |file| dress(file, attributes)));
        put.map_err(|error| {
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

    /// Joins what is wanted into `sink`. What was seen of shares is noted, however it ends.
    fn deliver<W: Write>(
        &self,
        lanes: &mut [Box<dyn ReadLane>],
        mut sink: PayloadSink<'_, W>,
        (progress, stop): (&RefCell<&mut dyn FnMut(Progress)>, &AtomicBool),
    ) -> Result<Outcome, Failure> {
        let (vault, object) = (self.vault, self.object);
        let mut done_bytes = 0;
        let k = object.threshold.k() as u64;
        let mut done = |bytes: usize, total_bytes: u64| {
            done_bytes += bytes as u64;
            let key_bytes = done_bytes * k;
            (progress.borrow_mut())(Progress { done_bytes, total_bytes, key_bytes });
            !stop.load(Ordering::Relaxed)
        };
        let job = RestoreJob {
            driver: &vault.world.driver(),
            isa: vault.isa,
            threshold: object.threshold,
            geometry: object.geometry,
            xs: self.xs,
            window: self.room.window,
        };
        let mut rejected = Vec::new();
        let outcome = job.run(lanes, &mut sink, &mut rejected, &mut done);
        if !self.is_foreign {
            vault.remember(object, &rejected)?;
        }
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

/// A file being filled, and who is told of what it holds from before.
struct Filling<'a, 'p> {
    file: &'a TargetFile,
    progress: &'a RefCell<&'p mut dyn FnMut(Progress)>,
    stop: &'a AtomicBool,
}

impl Filling<'_, '_> {
    /// Takes up what an earlier restore left: reads it, and tells how far that is.
    fn keep(&mut self, bytes: u64, read: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut done_bytes = 0;
        self.file.keep(bytes, &mut |piece| {
            read(piece);
            done_bytes += piece.len() as u64;
            let progress = Progress { done_bytes, total_bytes: bytes, key_bytes: 0 };
            (self.progress.borrow_mut())(progress);
            !self.stop.load(Ordering::Relaxed)
        })
    }
}

impl Write for Filling<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses a name that is taken.
fn expect_free(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            let what = format!("{} exists already", path.display());
            Err(io::Error::new(ErrorKind::AlreadyExists, what))
        }
    }
}

fn bad_part() -> Failure {
    let what = "what an earlier restore had left does not fit the object; nothing is delivered";
    Failure::new(Class::Damage, "part-bad", what)
}

/// What a restore reads at each site, at most.
struct Reading {
    chunks: u64,
    payload_bytes: u64,
}

/// Chunks of a range that may come to those of its own length: where it begins and ends, where its
/// frames do, the trailer, and entries of the frame table.
const RANGE_CHUNKS_MORE: u64 = 5;

fn reading(object: &Object, request: &RestoreRequest) -> Reading {
    let chunk = u64::from(CHUNK_BYTES);
    let (count, payload_bytes) = (object.geometry.chunk_count(), object.geometry.payload_bytes());
    let chunks = match request.range {
        // How many chunks hold what is there already shows in the trailer only: of what is
        // compressed it may be hardly any.
        None => count,
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
        RestoreError::Sink(
            SinkError::Output(_)
            | SinkError::Name(_)
            | SinkError::Stopped
            | SinkError::BeyondEnd { .. },
        ) => false,
        RestoreError::Sink(_) => true,
        _ => false,
    }
}

/// Gives a restored file the mode and time that were stored inside.
fn dress(file: &File, attributes: &Attributes) -> io::Result<()> {
    if let Some(mode) = attributes.mode {
        file.set_permissions(Permissions::from_mode(mode & 0o777))?;
    }
    if let Some(time) = attributes.modified_ns.and_then(|ns| u64::try_from(ns).ok()) {
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(time))?;
    }
    Ok(())
}

/// The file name that was stored inside, else the object's ID. The format admits no path in it.
fn own_name(attributes: &Attributes, object: ObjectId) -> OsString {
    match &attributes.name {
        Some(name) => OsStr::from_bytes(name).to_owned(),
        None => OsString::from(object.to_string()),
    }
}
