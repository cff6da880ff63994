//! How long inputs are, and how fast recent backups were.

use super::EstimateRequest;
use crate::backup::{Treatment, measure, measure_stream};
use crate::failure::{Class, Failure};
use std::fs::Metadata;
use std::path::Path;
use warifu_catalog::Object;
use warifu_core::Geometry;
use warifu_core::payload::PayloadLayout;

/// Newest objects that a rate is taken from, at most.
const OBJECTS_MEASURED_MAX: usize = 20;

/// Shorter transfers say little: the catalog keeps whole seconds.
const SECONDS_MEASURED_MIN: u64 = 5;

/// Deepest folder that is looked into.
const DEPTH_MAX: usize = 128;

/// What is said where there is no rate.
pub(super) const NO_BASIS: &str =
    "unknown: no stored object took 5 seconds or more, from which a rate could be taken";

/// One input and the payload that it makes.
pub(super) struct Input {
    pub(super) bytes: u64,
    pub(super) geometry: Geometry,
}

/// The files under `paths`, the stream, and how many entries of folders don't count.
pub(super) fn inputs(request: &EstimateRequest) -> Result<(Vec<Input>, usize), Failure> {
    let wanted = Treatment { compression: request.compression, pad: request.pad };
    let mut walk = Walk { wanted, is_counted: request.is_counted, found: Vec::new(), skipped: 0 };
    for path in &request.paths {
        let unreadable = |error: std::io::Error| {
            let class = match error.kind() {
                std::io::ErrorKind::NotFound => Class::NotFound,
                _ => Class::Other,
            };
            let what = format!("can't read {}", path.display());
            Failure::new(class, "source-unreadable", what).because(error)
        };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        match metadata.is_dir() {
            true => walk.folder(path, 0).map_err(unreadable)?,
            false if metadata.is_file() => walk.found.push(walk.input(path)?),
            false => {
                let what = format!("{} is no file and no folder", path.display());
                return Err(Failure::new(Class::Usage, "source-kind", what)
                    .next("give files and folders, or a stream's length: - --size SIZE"));
            }
        }
    }
    if let Some(bytes) = request.stream_bytes {
        walk.found.push(measure_stream(bytes, wanted)?.into());
    }
    Ok((walk.found, walk.skipped))
}

struct Walk {
    wanted: Treatment,
    is_counted: bool,
    found: Vec<Input>,
    skipped: usize,
}

impl Walk {
    /// Takes in a folder. Links in it are not followed, and what can't be read is counted.
    fn folder(&mut self, folder: &Path, depth: usize) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata();
            let taken = match metadata {
                Ok(metadata) if metadata.is_dir() && depth < DEPTH_MAX => {
                    self.folder(&entry.path(), depth + 1).is_ok()
                }
                Ok(metadata) => self.file(&entry.path(), &metadata),
                Err(_) => false,
            };
            self.skipped += usize::from(!taken);
        }
        Ok(())
    }

    fn input(&self, path: &Path) -> Result<Input, Failure> {
        Ok(measure(path, self.wanted, self.is_counted)?.into())
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) -> bool {
        let input = metadata.is_file().then(|| self.input(path));
        match input {
            Some(Ok(input)) => {
                self.found.push(input);
                true
            }
            Some(Err(_)) | None => false,
        }
    }
}

impl From<PayloadLayout> for Input {
    fn from(layout: PayloadLayout) -> Self {
        Self { bytes: layout.data_bytes, geometry: layout.geometry() }
    }
}

/// How fast recent backups were.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rate {
    pub(super) bytes_per_second: f64,
    objects: usize,
    bytes: u64,
    seconds: u64,
}

impl Rate {
    /// The median over the newest objects that took long enough. One that was interrupted took its
    /// pause too: the median keeps it from counting.
    pub(super) fn measured(objects: &[Object]) -> Option<Self> {
        let took = |object: &Object| {
            let seconds = object.committed_unix_s.saturating_sub(object.created_unix_s);
            (object.geometry.payload_bytes(), seconds)
        };
        let mut newest: Vec<&Object> = objects.iter().collect();
        newest.sort_by_key(|object| std::cmp::Reverse(object.committed_unix_s));
        let long = newest.into_iter().map(took).filter(|(_, s)| *s >= SECONDS_MEASURED_MIN);
        let mut long: Vec<(u64, u64)> = long.take(OBJECTS_MEASURED_MAX).collect();
        let rate = |(bytes, seconds): (u64, u64)| bytes as f64 / seconds as f64;
        long.sort_by(|a, b| rate(*a).total_cmp(&rate(*b)));
        // Of an even number the slower of the middle two: rather too long than too short.
        let middle = long.get(long.len().saturating_sub(1) / 2)?;
        Some(Self {
            bytes_per_second: rate(*middle),
            objects: long.len(),
            bytes: long.iter().map(|(bytes, _)| bytes).fold(0, |a, b| a.saturating_add(*b)),
            seconds: long.iter().map(|(_, seconds)| seconds).fold(0, |a, b| a.saturating_add(*b)),
        })
    }

    /// What it rests on.
    pub(super) fn basis(&self) -> String {
        format!(
            "the median rate of the newest {} objects that took {SECONDS_MEASURED_MIN} seconds or \
             more: {} bytes in {} seconds together",
            self.objects, self.bytes, self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::tests::object;
    use warifu_pipeline::source::Compression;

    #[test]
    fn a_rate_comes_from_what_was_measured_or_not_at_all() {
        let lasting = |committed: u64, seconds: u64| Object {
            created_unix_s: committed - seconds,
            ..object(committed)
        };
        assert_eq!(Rate::measured(&[]), None);
        assert_eq!(Rate::measured(&[lasting(100, 4), lasting(200, 0)]), None);
        let bytes = object(1_000).geometry.payload_bytes();
        let one = Rate::measured(&[lasting(1_000, 8)]).unwrap();
        assert_eq!((one.bytes_per_second, one.objects), (bytes as f64 / 8.0, 1));
        // An interrupted one of an hour does not move the median of three; of two the slower one
        // counts.
        let three = [lasting(10_000, 8), lasting(10_001, 3_600), lasting(10_002, 10)];
        assert_eq!(Rate::measured(&three).unwrap().bytes_per_second, bytes as f64 / 10.0);
        assert_eq!(Rate::measured(&three[..2]).unwrap().bytes_per_second, bytes as f64 / 3_600.0);
        // The newest twenty count, in whatever order they stand.
        let mut many: Vec<Object> = (0..20).map(|at| lasting(50_000 + at, 10)).collect();
        many.extend((0..100).map(|at| lasting(20_000 + at, 1_000)));
        assert_eq!(Rate::measured(&many).unwrap().bytes_per_second, bytes as f64 / 10.0);
        assert_eq!(Rate::measured(&many).unwrap().objects, 20);
    }

    #[test]
    fn folders_are_walked_and_what_is_no_file_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("x\ny"), [1; 5000]).unwrap();
        std::fs::write(folder.path().join("empty"), []).unwrap();
        std::os::unix::fs::symlink(&deep, folder.path().join("link")).unwrap();
        let (found, skipped) = inputs(&request(folder.path(), Some(7))).unwrap();
        let mut bytes: Vec<u64> = found.iter().map(|input| input.bytes).collect();
        bytes.sort_unstable();
        assert_eq!((bytes.as_slice(), skipped), (&[0, 7, 5000][..], 1));
        assert!(found.iter().all(|input| input.geometry.payload_bytes() > input.bytes));
        let refused = |path: &Path| inputs(&request(path, None)).map(drop).unwrap_err();
        assert_eq!(refused(&folder.path().join("no")).class(), Class::NotFound);
        assert_eq!(refused(Path::new("/dev/null")).code(), "source-kind");
    }

    #[test]
    fn what_is_compressed_is_bounded_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads.fq");
        std::fs::write(&path, b"ACGTTGCA\n".repeat(300_000)).unwrap();
        let payload_bytes = |compression, is_counted| {
            let request = EstimateRequest { compression, is_counted, ..request(&path, None) };
            let (found, _) = inputs(&request).unwrap();
            assert_eq!(found[0].bytes, 2_700_000);
            found[0].geometry.payload_bytes()
        };
        assert!(payload_bytes(Compression::None, true) > 2_700_000);
        assert!(payload_bytes(Compression::Auto, false) > 2_700_000, "nobody has read it yet");
        assert!(payload_bytes(Compression::Auto, true) < 270_000);
    }

    fn request(path: &Path, stream_bytes: Option<u64>) -> EstimateRequest {
        EstimateRequest {
            paths: vec![path.to_owned()],
            stream_bytes,
            compression: Compression::Auto,
            pad: false,
            is_counted: false,
            threshold: "3/5".parse().unwrap(),
            overrides: Vec::new(),
            pins: Vec::new(),
            exclusions: Vec::new(),
            is_offline: true,
        }
    }
}
