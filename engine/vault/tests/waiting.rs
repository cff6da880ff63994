//! Working on the queue in one process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use warifu_vault::{
    BatchRequest, Compression, Forecast, Input, Onlooker, Outcome, Progress, Rest, WorkRequest,
};

/// Keeps what became of the entries.
#[derive(Default)]
struct Kept(Mutex<Vec<Result<(), String>>>);

impl Onlooker for Kept {
    fn begins(&self, _: usize, _: &Input) {}
    fn advances(&self, _: usize, _: Progress) {}
    fn waits(&self, _: usize) {}
    fn ends(&self, _: usize, _: &Input, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Failed(failure) => Err(failure.to_string()),
            Outcome::Stored(_) | Outcome::Skipped { .. } => Ok(()),
        };
        self.0.lock().unwrap().push(outcome);
    }
    fn is_warned(&self, _: &Forecast) {}
    fn rests(&self, _: Rest) {}
}

#[test]
fn what_takes_more_than_a_workers_part_is_stored_alone() {
    let mut lab = Rooms::new(6, 64 << 20);
    // Three workers have 64 MiB each; six folders take more than what is left of that.
    lab.gateway.limit_memory(128 << 20).unwrap();
    let paths = ["a", "b", "c"].map(|name| {
        let path = lab.root.path().join(name);
        std::fs::write(&path, format!("{name}, once")).unwrap();
        path
    });
    let gathered = lab.gateway.gather(&BatchRequest {
        paths: paths.into(),
        stdin_bytes: None,
        manifest: None,
        individual: Some("P1".parse().unwrap()),
        enroll: false,
        threshold: "2/6".parse().unwrap(),
        compression: Compression::None,
        pad: false,
        label: None,
        overrides: Vec::new(),
        pins: Vec::new(),
        exclusions: Vec::new(),
    });
    let inputs = gathered.unwrap().inputs;
    let ids = lab.gateway.queue(&inputs, false).unwrap();
    let only = Some(&ids[..]);
    let request = WorkRequest { only, inputs: &inputs, jobs: 3, ..WorkRequest::default() };
    let kept = Kept::default();
    let report = lab.gateway.work(request, &AtomicBool::new(false), &kept).unwrap();
    assert_eq!((report.stored, report.failed, report.not_begun), (3, 0, 0), "{:?}", kept.0);
    assert_eq!(lab.gateway.objects().unwrap().len(), 3);
    // What all of it together does not cover is held back and said, not tried for ever.
    lab.gateway.limit_memory(64 << 20).unwrap();
    let ids = lab.gateway.queue(&inputs, true).unwrap();
    let only = Some(&ids[..]);
    let request = WorkRequest { only, inputs: &inputs, jobs: 3, ..WorkRequest::default() };
    let kept = Kept::default();
    let report = lab.gateway.work(request, &AtomicBool::new(false), &kept).unwrap();
    assert_eq!((report.stored, report.failed), (0, 3));
    let told = kept.0.into_inner().unwrap();
    assert!(told.iter().all(|one| one.as_ref().is_err_and(|why| why.contains("MiB of memory"))));
    assert!(lab.gateway.jobs().unwrap().iter().all(|job| job.state == "failed"));
}
