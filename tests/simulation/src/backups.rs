//! Backups that a gateway is asked for, and what becomes of those that were interrupted.

use crate::judge::MARK;
use crate::scenario::{Fate, Scenario, Stored};
use crate::site::chain;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, UNIX_EPOCH};
use warifu_core::ObjectId;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_vault::{BackupRequest, Class, Compression, Failure, JobRow, ObjectReport, Source};

/// What a backup came to; `None` where its process was killed.
type Came = Option<Result<ObjectReport, Failure>>;

/// When sources were changed last, in seconds since 1970: long ago, as the engine waits for the
/// clock of a file system that has not ticked since.
const CHANGED_S: u64 = 1_700_000_000;

impl Scenario {
    /// A new object.
    pub(crate) fn back_up(&mut self, gateway: usize) {
        let path = self.root.path().join(format!("in-b{}", self.next_label + 1));
        self.store(gateway, path);
    }

    /// Stores what is now written to `path`.
    fn store(&mut self, gateway: usize, path: PathBuf) {
        self.next_label += 1;
        let label = format!("b{}", self.next_label);
        let data = self.draw_data();
        self.write_source(&path, &data);
        self.ground.note(&format!("backup {label}: {} bytes", data.len()));
        let Some(request) = self.request(path, &label) else { return };
        let (fate, losses_before) = (Fate::Doubtful, self.ground.losses());
        let new = Stored { label, gateway, data, fate, request, asked: 0, losses_before };
        self.objects.push(new);
        self.ask(self.objects.len() - 1);
    }

    /// Asks for an object of the model, once more where it was asked for before.
    fn ask(&mut self, number: usize) {
        let stored = &mut self.objects[number];
        stored.asked += 1;
        let (gateway, request) = (stored.gateway, stored.request.clone());
        let came = self.gateways[gateway].operate(|vault, watch| vault.backup(&request, watch));
        self.take_in(number, came);
    }

    /// What a backup came to goes into the model.
    fn take_in(&mut self, number: usize, came: Came) {
        let (gateway, label) = (self.objects[number].gateway, self.objects[number].label.clone());
        self.ground.count(|counters| counters.operations += 1);
        self.is_interrupted[gateway] = !matches!(came, Some(Ok(_)));
        let is_further = self.objects[number].asked > 1;
        let mut failed = None;
        match came {
            Some(Ok(report)) => {
                self.note_outcome("backup", &label, &report.object);
                self.expect_durable(gateway, &report);
                self.ground.count(|counters| {
                    counters.succeeded += 1;
                    counters.stored += 1;
                    counters.resumed += u64::from(is_further);
                });
                self.objects[number].fate = Fate::Reported(report.object);
            }
            Some(Err(failure)) => {
                let told = chain(&failure);
                self.note_outcome("backup", &label, &told);
                failed = Some((failure.class(), told.contains("no key left")));
            }
            None => self.note_outcome("backup", &label, "killed"),
        }
        match failed {
            Some((Class::Rollback, _)) => self.accept_rollback(gateway),
            // Somebody reads what it says: else a long life is mostly one without sites and key.
            Some((_, true) | (Class::Key, _)) => self.deliver_key(gateway),
            Some((Class::Temporary, _)) if self.ground.dice.permille(500) => self.start_sites(),
            _ => {}
        }
    }

    /// Something happens to an interrupted backup, where there is one.
    pub(crate) fn go_on(&mut self, gateway: usize) {
        self.is_interrupted[gateway] = false;
        let jobs = self.jobs(gateway);
        if jobs.is_empty() {
            return self.back_up(gateway);
        }
        let job = &jobs[self.ground.dice.below(jobs.len())];
        let Some(number) = self.object_of_job(gateway, job) else { return };
        let is_stored = matches!(self.objects[number].fate, Fate::Reported(_));
        match self.ground.dice.below(10) {
            0..3 if !is_stored => self.ask(number),
            3..7 => _ = self.resume(number, job),
            7..9 => self.cancel(gateway, job),
            _ => {
                self.ground.note(&format!("the source of {} changes", job.object));
                let path = job.source.clone().unwrap_or_default();
                self.store(gateway, path.into());
            }
        }
    }

    /// At the end every interrupted backup is gone on with or given up; and so is one that was
    /// begun anew in place of one that could not be gone on with, and interrupted in its turn.
    pub(crate) fn end_jobs(&mut self, gateway: usize) {
        for job in self.jobs(gateway) {
            let Some(number) = self.object_of_job(gateway, &job) else { continue };
            let is_wanted = self.ground.dice.permille(600);
            // The second time there is key for it.
            let is_stored = is_wanted && (0..2).any(|_| self.resume(number, &job));
            if !is_stored {
                self.cancel(gateway, &job);
            }
        }
        self.jobs(gateway).iter().for_each(|job| self.cancel(gateway, job));
    }

    /// Goes on with just this one; whether that came to its end.
    fn resume(&mut self, number: usize, job: &JobRow) -> bool {
        let Ok(object) = job.object.parse::<ObjectId>() else { return false };
        let gateway = self.objects[number].gateway;
        self.ground.note(&format!("going on with {object}"));
        self.objects[number].asked += 1;
        self.chunks_sent(object);
        let came = self.gateways[gateway].operate(|vault, watch| vault.resume_job(&object, watch));
        self.expect_nothing_redone(number, job, object);
        let is_stored = matches!(came, Some(Ok(_)));
        self.take_in(number, came);
        is_stored
    }

    /// What is done is not sent once more, unless a disk may have lost it since.
    fn expect_nothing_redone(&self, number: usize, job: &JobRow, object: ObjectId) {
        let sent = self.chunks_sent(object);
        let (Some(done_bytes), Some(total_bytes)) = (job.done_bytes, job.total_bytes) else {
            return;
        };
        let chunks = |bytes: u64| bytes.div_ceil(u64::from(CHUNK_BYTES));
        let left = chunks(total_bytes) - chunks(done_bytes);
        let is_lossless = self.ground.losses() == self.objects[number].losses_before;
        if is_lossless && sent > left {
            let what = format!("REDONE: {sent} chunks of {object} were sent and {left} were left");
            self.ground.violated(what);
        }
    }

    fn chunks_sent(&self, object: ObjectId) -> u64 {
        let mut judge = self.ground.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge.chunks_sent(object)
    }

    /// Gives one up.
    fn cancel(&mut self, gateway: usize, job: &JobRow) {
        let Ok(object) = job.object.parse::<ObjectId>() else { return };
        let came = self.gateways[gateway].operate(|vault, _| vault.cancel_job(&object));
        self.ground.count(|counters| counters.operations += 1);
        let told = match came {
            Some(Ok(is_listed)) => {
                self.ground.count(|counters| counters.cancelled += 1);
                if is_listed { "it is whole, and listed" } else { "done" }.to_owned()
            }
            Some(Err(failure)) => chain(&failure),
            None => "killed".to_owned(),
        };
        self.note_outcome("cancel", &job.object, &told);
    }

    fn jobs(&mut self, gateway: usize) -> Vec<JobRow> {
        match self.gateways[gateway].operate(|vault, _| vault.jobs()) {
            Some(Ok(jobs)) => jobs,
            Some(Err(failure)) => {
                self.ground.violated(format!("jobs can't be listed: {}", chain(&failure)));
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// What the model knows of an interrupted backup: its source was written for it, or for one
    /// that came later.
    fn object_of_job(&self, gateway: usize, job: &JobRow) -> Option<usize> {
        let is_source = |stored: &Stored| match &stored.request.source {
            Source::File(path) => path.to_str() == job.source.as_deref(),
            Source::Stdin { .. } => false,
        };
        self.objects.iter().rposition(|stored| stored.gateway == gateway && is_source(stored))
    }

    pub(crate) fn write_source(&self, path: &Path, data: &[u8]) {
        let written = std::fs::write(path, data).and_then(|()| {
            let file = File::options().write(true).open(path)?;
            // No two of them at the same time.
            let changed_s = CHANGED_S + u64::from(self.next_label);
            file.set_modified(UNIX_EPOCH + Duration::from_secs(changed_s))
        });
        if written.is_err() {
            self.ground.violated("the source can't be written");
        }
    }

    pub(crate) fn request(&self, path: PathBuf, label: &str) -> Option<BackupRequest> {
        let is_compressed = self.ground.dice.permille(200);
        let compression = if is_compressed { Compression::Zstd } else { Compression::None };
        let source = Source::File(path);
        Some(BackupRequest {
            compression,
            pad: self.ground.dice.permille(200),
            label: Some(label.to_owned()),
            ..BackupRequest::new(source, "P1".parse().ok()?, self.threshold)
        })
    }

    /// Bytes that nobody else has, with the mark in them again and again.
    pub(crate) fn draw_data(&self) -> Vec<u8> {
        let dice = &self.ground.dice;
        let large = if self.key_bytes > 4 << 20 { 12 } else { 0 };
        let bytes = match dice.below(100) {
            0..12 => 0,
            12..60 => dice.below(4_000),
            60..88 => dice.below(60_000),
            _ if dice.below(12) < large => dice.below(3 << 20),
            _ => dice.below(150_000),
        };
        let mut data = vec![0; bytes];
        for part in data.chunks_mut(8) {
            part.copy_from_slice(&dice.next().to_le_bytes()[..part.len()]);
        }
        for part in data.chunks_mut(700) {
            if let Some(place) = part.get_mut(..MARK.len()) {
                place.copy_from_slice(MARK);
            }
        }
        data
    }
}
