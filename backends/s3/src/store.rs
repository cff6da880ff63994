//! Objects under one prefix of a bucket.

use crate::error::{in_doubt, sorted};
use crate::owed::Owed;
use crate::{Credentials, S3Config};
use futures_util::TryStreamExt;
use http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, Error as Said, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use warifu_backend::{Contents, Entry, Error, Objects, ObjectsCapability, ShareName};
use warifu_buffers::{Block, Bytes};

/// Bytes of one part, and the most that goes in a single request; more where an object would take
/// too many parts.
const PART_BYTES: u64 = 8 << 20;

/// Most parts that S3 takes.
const PARTS_MAX: u64 = 10_000;

/// Bytes of parts that are on their way at once: what a put holds of memory.
const IN_FLIGHT_BYTES: u64 = 32 << 20;

/// Longest object that S3 takes.
const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// What is put to learn whether conditions are minded.
const PROBE: &str = "probe";
const PROBE_CONTENTS: &[u8] = b"warifu puts this twice to learn whether the store refuses it\n";

/// Objects under `PREFIX/shares/` of a bucket.
pub struct S3Objects {
    s3: AmazonS3,
    /// Makes every request conditional on there being no object: completes multipart uploads.
    creating: AmazonS3,
    prefix: String,
    owed: Owed,
    minded: Minded,
    runtime: Runtime,
}

/// Which conditions the server minds.
#[derive(Debug, Clone, Copy)]
struct Minded {
    put: bool,
    completion: bool,
}

impl S3Objects {
    /// Opens the store, tries what its server minds, and aborts multipart uploads of dead
    /// processes that are noted in `notes`, a folder which only one process may use at a time.
    ///
    /// # Errors
    /// Where the server can't be reached, the bucket is missing or the credentials don't suffice.
    pub fn open(
        config: &S3Config,
        credentials: Credentials<'_>,
        notes: &Path,
    ) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(io_failed("starting the S3 client"))?;
        let owed = Owed::open(notes).map_err(io_failed("opening the notes of uploads"))?;
        let mut condition = HeaderMap::new();
        condition.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        let prefix = match config.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let mut objects = Self {
            s3: client(config, credentials, HeaderMap::new())?,
            creating: client(config, credentials, condition)?,
            prefix,
            owed,
            minded: Minded { put: false, completion: false },
            runtime,
        };
        objects.minded = objects.runtime.block_on(objects.probe())?;
        if !objects.capability().create_only {
            tracing::warn!(
                bucket = config.bucket,
                "this server ignores If-None-Match: it can't promise that two writers never \
                 commit one share; let one site alone use this prefix"
            );
        }
        objects.settle_owed()?;
        Ok(objects)
    }

    fn key(&self, name: &ShareName) -> Key {
        Key::from(format!("{}shares/{name}", self.prefix))
    }

    /// Whether a put, and the completion of a multipart upload, over an object are refused.
    async fn probe(&self) -> Result<Minded, Error> {
        let what = "trying what the store minds";
        let key = Key::from(format!("{}{PROBE}", self.prefix));
        let put = async || {
            let payload = Bytes::from_static(PROBE_CONTENTS).into();
            match self.s3.put_opts(&key, payload, create_only()).await {
                Ok(_) => Ok(false),
                Err(error) => match sorted(what, error) {
                    Error::AlreadyExists => Ok(true),
                    error => Err(error),
                },
            }
        };
        // Where it is there already from an earlier opening, the first answer tells.
        let minds_put = put().await? || put().await?;
        let id = self.s3.create_multipart(&key).await.map_err(|error| sorted(what, error))?;
        let part = self.s3.put_part(&key, &id, 0, Bytes::from_static(PROBE_CONTENTS).into()).await;
        let done = match part {
            Ok(part) => self.creating.complete_multipart(&key, &id, vec![part]).await.map(drop),
            Err(error) => Err(error),
        };
        if done.is_err() {
            let _ = self.s3.abort_multipart(&key, &id).await;
        }
        let minds_completion = match done.map_err(|error| sorted(what, error)) {
            Ok(()) => false,
            Err(Error::AlreadyExists) => true,
            // It does not know the condition, so it is left out.
            Err(Error::Other { .. }) => false,
            Err(error) => return Err(error),
        };
        Ok(Minded { put: minds_put, completion: minds_completion })
    }

    /// Aborts what is noted of uploads that nobody goes on with.
    fn settle_owed(&self) -> Result<(), Error> {
        let all = self.owed.all().map_err(io_failed("reading the notes of uploads"))?;
        for (name, id) in all {
            self.runtime.block_on(self.abort(&name, &id))?;
        }
        Ok(())
    }

    /// Leaves nothing of a multipart upload.
    async fn abort(&self, name: &ShareName, id: &String) -> Result<(), Error> {
        match self.s3.abort_multipart(&self.key(name), id).await {
            Ok(()) | Err(Said::NotFound { .. }) => {
                self.owed.settle(name).map_err(io_failed("settling the note of an upload"))
            }
            Err(error) => Err(sorted("aborting an upload", error)),
        }
    }

    fn put_at_once(
        &self,
        name: &ShareName,
        bytes: u64,
        contents: &mut Contents<'_>,
    ) -> Result<(), Error> {
        let payload = read(contents, 0, bytes)?.into();
        let key = self.key(name);
        let put = self.s3.put_opts(&key, payload, create_only());
        self.runtime.block_on(put).map_err(|error| in_doubt("putting a share", error))?;
        Ok(())
    }

    fn put_in_parts(
        &self,
        name: &ShareName,
        bytes: u64,
        contents: &mut Contents<'_>,
    ) -> Result<(), Error> {
        let key = self.key(name);
        // An earlier try that could not be aborted when it failed.
        let earlier = self.owed.of(name).map_err(io_failed("reading the notes of uploads"))?;
        if let Some(id) = earlier {
            self.runtime.block_on(self.abort(name, &id))?;
        }
        let what = "beginning an upload";
        let begun = self.runtime.block_on(self.s3.create_multipart(&key));
        let id = begun.map_err(|error| sorted(what, error))?;
        let noted = self.owed.note(name, &id).map_err(io_failed("noting an upload"));
        let sent = noted.and_then(|()| self.send_parts(&key, &id, bytes, contents));
        let done = sent.and_then(|parts| {
            let client = if self.minded.completion { &self.creating } else { &self.s3 };
            let completed = self.runtime.block_on(client.complete_multipart(&key, &id, parts));
            completed.map_err(|error| in_doubt("completing an upload", error))
        });
        match done {
            Ok(_) => self.owed.settle(name).map_err(io_failed("settling the note of an upload")),
            Err(error) => {
                // Once it is aborted, nothing of it can come about any more, so that asking tells.
                if let Err(failed) = self.runtime.block_on(self.abort(name, &id)) {
                    tracing::warn!(%failed, %name, "an upload is aborted at the next opening");
                }
                Err(error)
            }
        }
    }

    fn send_parts(
        &self,
        key: &Key,
        id: &str,
        bytes: u64,
        contents: &mut Contents<'_>,
    ) -> Result<Vec<PartId>, Error> {
        let part_bytes = part_bytes(bytes);
        let count = bytes.div_ceil(part_bytes) as usize;
        let at_once = (IN_FLIGHT_BYTES / part_bytes).max(1) as usize;
        let mut parts = vec![None; count];
        let mut under_way = JoinSet::new();
        for index in 0..count {
            if under_way.len() == at_once {
                self.note_part(&mut under_way, &mut parts)?;
            }
            let offset = index as u64 * part_bytes;
            let payload = read(contents, offset, part_bytes.min(bytes - offset))?;
            let (s3, key, id) = (self.s3.clone(), key.clone(), id.to_owned());
            let put = async move { (index, s3.put_part(&key, &id, index, payload.into()).await) };
            under_way.spawn_on(put, self.runtime.handle());
        }
        while !under_way.is_empty() {
            self.note_part(&mut under_way, &mut parts)?;
        }
        Ok(parts.into_iter().flatten().collect())
    }

    /// Waits for a part that is under way.
    fn note_part(
        &self,
        under_way: &mut JoinSet<(usize, object_store::Result<PartId>)>,
        parts: &mut [Option<PartId>],
    ) -> Result<(), Error> {
        let what = "putting a part of a share";
        match self.runtime.block_on(under_way.join_next()) {
            Some(Ok((index, Ok(part)))) => parts[index] = Some(part),
            Some(Ok((_, Err(error)))) => return Err(part_error(sorted(what, error))),
            Some(Err(error)) => return Err(Error::Other { what, source: io::Error::other(error) }),
            None => {}
        }
        Ok(())
    }

    /// Whether all that was sent is there: some servers say yes to what they lost a part of.
    fn check_length(&self, name: &ShareName, bytes: u64) -> Result<(), Error> {
        let what = "a share is not as long as what was put";
        match self.len(name) {
            Ok(held) if held == bytes => Ok(()),
            Ok(_) => {
                self.delete(name)?;
                Err(Error::Unavailable { what, source: io::Error::other("it was removed again") })
            }
            Err(Error::NotFound) => {
                let source = io::Error::other("the store said that it was put, and has it not");
                Err(Error::Unavailable { what, source })
            }
            Err(error) => Err(Error::Unknown { what, source: io::Error::other(error) }),
        }
    }
}

impl Objects for S3Objects {
    fn capability(&self) -> ObjectsCapability {
        ObjectsCapability { create_only: self.minded.put && self.minded.completion, durable: true }
    }

    fn put(&self, name: &ShareName, bytes: u64, contents: &mut Contents<'_>) -> Result<(), Error> {
        if bytes > OBJECT_BYTES_MAX {
            return Err(Error::Limit { what: "S3 takes no object of more than 5 TiB" });
        }
        if !self.capability().create_only {
            match self.len(name) {
                Err(Error::NotFound) => {}
                other => return other.and(Err(Error::AlreadyExists)),
            }
        }
        if bytes <= PART_BYTES {
            self.put_at_once(name, bytes, contents)?;
        } else {
            self.put_in_parts(name, bytes, contents)?;
        }
        self.check_length(name, bytes)
    }

    fn read_at(&self, name: &ShareName, offset: u64, target: &mut [u8]) -> Result<(), Error> {
        let wanted_bytes = target.len() as u64;
        let end = offset.checked_add(wanted_bytes);
        if let Some(end) = end.filter(|_| !target.is_empty()) {
            let got = self.runtime.block_on(self.s3.get_range(&self.key(name), offset..end));
            match got.map_err(|error| sorted("reading a share", error)) {
                Ok(bytes) if bytes.len() == target.len() => {
                    target.copy_from_slice(&bytes);
                    return Ok(());
                }
                Err(Error::NotFound) => return Err(Error::NotFound),
                short_or_failed => {
                    self.check_range(name, offset, wanted_bytes)?;
                    let what = "reading a share";
                    let source = io::Error::other("the answer is shorter than the range");
                    return short_or_failed.and(Err(Error::Unavailable { what, source }));
                }
            }
        }
        self.check_range(name, offset, wanted_bytes)
    }

    fn len(&self, name: &ShareName) -> Result<u64, Error> {
        let head = self.runtime.block_on(self.s3.head(&self.key(name)));
        Ok(head.map_err(|error| sorted("asking for a share", error))?.size)
    }

    fn list(&self) -> Result<Vec<Entry>, Error> {
        let prefix = Key::from(format!("{}shares", self.prefix));
        let listed = self.s3.list(Some(&prefix)).try_collect::<Vec<_>>();
        let listed = self.runtime.block_on(listed);
        let listed = listed.map_err(|error| sorted("listing shares", error))?;
        let entry = |meta: &object_store::ObjectMeta| {
            let name = meta.location.prefix_match(&prefix)?.map(|part| part.as_ref().to_owned());
            let [name] = &name.collect::<Vec<_>>()[..] else { return None };
            Some(Entry { name: ShareName::new(name).ok()?, bytes: meta.size })
        };
        let mut entries: Vec<Entry> = listed.iter().filter_map(entry).collect();
        entries.sort();
        entries.dedup();
        Ok(entries)
    }

    fn delete(&self, name: &ShareName) -> Result<(), Error> {
        self.len(name)?;
        let deleted = self.runtime.block_on(self.s3.delete(&self.key(name)));
        match deleted.map_err(|error| in_doubt("deleting a share", error)) {
            Ok(()) | Err(Error::NotFound) => Ok(()),
            Err(error) => match self.len(name) {
                Err(Error::NotFound) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Nobody tells.
    fn room_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

impl S3Objects {
    fn check_range(&self, name: &ShareName, offset: u64, wanted_bytes: u64) -> Result<(), Error> {
        let held_bytes = self.len(name)?;
        match offset.checked_add(wanted_bytes) {
            Some(end) if end <= held_bytes => Ok(()),
            _ => Err(Error::Truncated { offset, wanted_bytes, held_bytes }),
        }
    }
}

fn client(
    config: &S3Config,
    credentials: Credentials<'_>,
    headers: HeaderMap,
) -> Result<AmazonS3, Error> {
    // The process may have chosen one already; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = ClientOptions::new()
        .with_default_headers(headers)
        .with_allow_http(true)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(120));
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(60),
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_virtual_hosted_style_request(!config.path_style)
        .with_disable_bulk_delete(true)
        .with_client_options(options)
        .with_retry(retry);
    if let Credentials::Key { id, secret } = credentials {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    } else if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
        builder = builder.with_region("us-east-1");
    }
    if config.checksum {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    builder.build().map_err(|error| sorted("setting up the S3 client", error))
}

fn create_only() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

/// Bytes of each part of an object as long as that, the last one's aside: whole MiB.
fn part_bytes(bytes: u64) -> u64 {
    let fewest = bytes.div_ceil(PARTS_MAX).next_multiple_of(1 << 20);
    fewest.max(PART_BYTES)
}

fn read(contents: &mut Contents<'_>, offset: u64, bytes: u64) -> Result<Bytes, Error> {
    let mut part = Block::zeroed(bytes as usize);
    contents(offset, &mut part)?;
    Ok(part.into_bytes())
}

/// An upload that is gone is no share that is missing.
fn part_error(error: Error) -> Error {
    match error {
        Error::NotFound | Error::AlreadyExists => {
            let source = io::Error::other("the server knows the upload no more");
            Error::Unavailable { what: "putting a part of a share", source }
        }
        error => error,
    }
}

fn io_failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Other { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_takes_too_many_parts() {
        for bytes in [PART_BYTES + 1, 80 << 30, 1 << 40, OBJECT_BYTES_MAX] {
            assert!(bytes.div_ceil(part_bytes(bytes)) <= PARTS_MAX, "{bytes}");
        }
        assert_eq!(part_bytes(1 << 30), PART_BYTES);
    }
}
