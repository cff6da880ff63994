//! `restore`: k good shares become the object again, or no output at all.

use crate::backup::{share_name, window};
use crate::dial::{Patience, Purpose};
use crate::failure::{Class, Failure};
use crate::output::UnnamedFile;
use crate::plan::{error_chain, leasable_bytes};
use crate::report::{Rejection, RestoreReport};
use crate::{Progress, Vault, Watch};
use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use warifu_catalog::{Object, ShareState, StoredShare};
use warifu_core::payload::Attributes;
use warifu_core::{Channel, Direction, ObjectId, SiteName, XCoord};
use warifu_pipeline::peer::ShareAddress;
use warifu_pipeline::restore::driver::{Rejected, RestoreError, RestoreJob};
use warifu_pipeline::restore::lane::{
    Expected, LocalReadLane, ReadError, ReadLane, RemoteReadLane,
};
use warifu_pipeline::sink::{PayloadSink, Restored, SinkError};

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

/// A restore to be made.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// What to restore.
    pub object: ObjectId,
    /// Where to.
    pub output: Output,
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
    /// Rebuilds an object from k good shares. On failure no output file is left.
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
        let object = self.catalog()?.object(&request.object)?;
        let offers = self.offers(&object)?;
        let mut lanes = Vec::new();
        for offer in &offers {
            lanes.push(self.read_lane(&object, &offer.share)?);
        }
        let xs: Vec<XCoord> = offers.iter().map(|offer| offer.share.x).collect();
        let delivered = match &request.output {
            Output::Stdout => {
                let stdout = std::io::stdout().lock();
                let job = self.run(&object, &xs, &mut lanes, BufWriter::new(stdout), watch);
                job.map(|(_, restored, rejected)| (restored, rejected, None))
            }
            Output::Path(path) => self.run_to_file(&object, &xs, &mut lanes, Some(path), watch),
            Output::OwnName => self.run_to_file(&object, &xs, &mut lanes, None, watch),
        };
        let key_bytes = lanes.iter().map(|lane| lane.key_bytes()).sum();
        lanes.into_iter().for_each(ReadLane::close);
        let (restored, rejected, output) = delivered?;
        let seen = rejected.iter().filter(|rejected| !rejected.error.is_lost());
        let seen: Vec<Rejection> = seen.map(rejection).collect();
        let unused = |site: &SiteName| rejected.iter().any(|rejected| rejected.site == *site);
        let sites = offers.iter().map(|offer| &offer.share.site).filter(|site| !unused(site));
        let sites = sites.take(object.threshold.k()).map(SiteName::to_string).collect();
        Ok(RestoreReport {
            v: 1,
            r#type: "restore",
            object: object.object.to_string(),
            bytes: restored.data_bytes,
            sites,
            rejected: seen,
            key_bytes,
            seconds: (self.clock.elapsed() - started).as_secs_f64(),
            output: output.map(|path| path.display().to_string()),
        })
    }

    /// The shares that may be asked, the most wanted first: those last seen good, in this room,
    /// and with most key left. Sites whose key does not cover the object are left out.
    fn offers(&self, object: &Object) -> Result<Vec<Offer>, Failure> {
        let needed = object.geometry.payload_bytes() + 256 * object.geometry.chunk_count();
        let mut offers = Vec::new();
        let mut short = Vec::new();
        for share in &object.shares {
            let key_left_bytes = match share.channel {
                Channel::Local => u64::MAX,
                _ => self.key_left(share, object.geometry.chunk_count())?,
            };
            match key_left_bytes >= needed {
                true => offers.push(Offer { share: share.clone(), key_left_bytes }),
                false => short.push(format!("{} has {key_left_bytes}", share.site)),
            }
        }
        if offers.len() < object.threshold.k() && !short.is_empty() {
            let what = format!(
                "a restore takes {needed} bytes of key from each of {} sites: {}",
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
        let asks = leasable_bytes(&status, Direction::AToB) >= ASK_BYTES * chunks;
        Ok(if asks { leasable_bytes(&status, Direction::BToA) } else { 0 })
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

    fn run<W: Write>(
        &self,
        object: &Object,
        xs: &[XCoord],
        lanes: &mut [Box<dyn ReadLane>],
        output: W,
        watch: Watch<'_>,
    ) -> Result<(W, Restored, Vec<Rejected>), Failure> {
        let total_bytes = object.geometry.payload_bytes();
        let mut done_bytes = 0;
        let k = object.threshold.k() as u64;
        let mut done = |bytes: usize| {
            done_bytes += bytes as u64;
            let key_bytes = done_bytes * k;
            (watch.progress)(Progress { done_bytes, total_bytes, key_bytes });
            !watch.stop.load(Ordering::Relaxed)
        };
        let job = RestoreJob {
            driver: &self.world.driver(),
            isa: self.isa,
            threshold: object.threshold,
            geometry: object.geometry,
            xs,
            window: window(self.config.limits.memory_bytes, object.threshold),
        };
        let mut sink = PayloadSink::new(output);
        let mut rejected = Vec::new();
        let outcome = job.run(lanes, &mut sink, &mut rejected, &mut done);
        self.remember(object, &rejected)?;
        let finished = outcome.and_then(|()| Ok(sink.finish()?));
        match finished {
            Ok((output, restored)) => Ok((output, restored, rejected)),
            Err(error) => Err(failure(object, error, &rejected)),
        }
    }

    /// Restores into a nameless file beside the target, and names it when all is proved.
    fn run_to_file(
        &self,
        object: &Object,
        xs: &[XCoord],
        lanes: &mut [Box<dyn ReadLane>],
        path: Option<&Path>,
        watch: Watch<'_>,
    ) -> Result<(Restored, Vec<Rejected>, Option<PathBuf>), Failure> {
        let parent = path.and_then(Path::parent).filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        let failed = |error: std::io::Error| {
            let what = format!("can't write in {}", folder.display());
            Failure::new(Class::Other, "output", what).because(error)
        };
        let file = UnnamedFile::create(folder).map_err(failed)?;
        let output = BufWriter::with_capacity(1 << 20, file);
        let (output, mut restored, rejected) = self.run(object, xs, lanes, output, watch)?;
        let file = output.into_inner().map_err(|error| failed(error.into_error()))?;
        let attributes = &mut restored.attributes;
        dress(file.file(), attributes).map_err(failed)?;
        let target = match path {
            Some(path) => path.to_owned(),
            None => folder.join(own_name(attributes, object.object)),
        };
        file.put(&target, path.is_some()).map_err(|error| {
            let what = format!("can't put the restored file at {}", target.display());
            Failure::new(Class::Other, "output", what)
                .because(error)
                .next("name another place with -o PATH")
        })?;
        Ok((restored, rejected, Some(target)))
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

fn is_missing(error: &ReadError) -> bool {
    use warifu_backend::Error as StoreError;
    use warifu_link::Status;
    use warifu_pipeline::peer::PeerError;
    use warifu_pipeline::share::ShareError;
    match error {
        ReadError::Share { source: ShareError::Store(StoreError::NotFound), .. } => true,
        ReadError::Peer(PeerError::Refused { status, .. }) => *status == Status::NoSuchShare,
        _ => false,
    }
}

/// Why nothing was delivered: forged or rotten shares, lost ones, or sites that are away.
fn failure(object: &Object, error: RestoreError, rejected: &[Rejected]) -> Failure {
    let told: Vec<String> = rejected.iter().map(told).collect();
    let told = told.join("; ");
    let failure = match &error {
        RestoreError::NotEnough { good, needed } => {
            let bad = rejected.iter().filter(|rejected| rejected.error.is_bad_share());
            let corrupt = bad.clone().filter(|rejected| !is_missing(&rejected.error)).count();
            let (class, code, next) = match (corrupt, bad.count()) {
                (0, 0) => (Class::Temporary, "sites-down", "try again when more sites are back"),
                (0, lost) if object.threshold.n() - lost >= object.threshold.k() => {
                    (Class::Temporary, "sites-down", "try again when more sites are back")
                }
                (0, _) => (Class::Unrecoverable, "shares-lost", "bring lost shares back"),
                _ => (Class::Forged, "shares-corrupt", "bring sites with good shares back"),
            };
            let what = format!(
                "only {good} good shares of {} are to be had where {needed} are needed: {told}",
                object.object
            );
            Failure::new(class, code, what).next(next)
        }
        RestoreError::Sink(SinkError::Output(_)) => {
            Failure::new(Class::Other, "output", "the output can't be written")
        }
        RestoreError::Sink(_) => {
            let what = "what was joined is not the object; nothing is delivered";
            Failure::new(Class::Forged, "object-corrupt", what)
        }
        _ => Failure::new(Class::Temporary, "stopped", "stopped on request; nothing is delivered"),
    };
    match error {
        RestoreError::NotEnough { .. } => failure,
        error => failure.because(error),
    }
}

fn told(rejected: &Rejected) -> String {
    format!("{} (chunk {}): {}", rejected.site, rejected.chunk, error_chain(&rejected.error))
}

fn rejection(rejected: &Rejected) -> Rejection {
    Rejection {
        site: rejected.site.to_string(),
        chunk: rejected.chunk,
        reason: error_chain(&rejected.error),
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
