//! What a batch came to.

use crate::ObjectReport;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use warifu_pipeline::backup::timed::{ChunkTimes, Latencies};

/// The sum of a batch.
#[derive(Debug, Clone, Serialize)]
pub struct BatchReport {
    /// Version of this document.
    pub v: u32,
    /// `summary`.
    pub r#type: &'static str,
    /// Inputs stored by this run.
    pub stored: usize,
    /// Inputs that an earlier run had stored.
    pub skipped: usize,
    /// Inputs that failed.
    pub failed: usize,
    /// Inputs that were not begun, since a stop was asked for.
    pub not_begun: usize,
    /// Bytes of the inputs stored.
    pub bytes: u64,
    /// Bytes protected: the payloads, padding included.
    pub stored_bytes: u64,
    /// Key of the `random` pool used.
    pub random_bytes: u64,
    /// What each site took, by its name.
    pub sites: Vec<SiteSum>,
    /// How long one object took.
    pub objects: LatencyReport,
    /// Wall time.
    pub seconds: f64,
    /// Bytes of inputs over wall time.
    pub bytes_per_second: f64,
    /// Objects over wall time.
    pub objects_per_second: f64,
}

/// What one site took.
#[derive(Debug, Clone, Serialize)]
pub struct SiteSum {
    /// Its name.
    pub site: String,
    /// Shares that it got.
    pub shares: u64,
    /// Key of its link, both directions.
    pub key_bytes: u64,
    /// Bytes sent or written.
    pub sent_bytes: u64,
    /// How long a chunk took, from the order to the receipt.
    pub chunks: LatencyReport,
}

/// A distribution of times, in milliseconds, to two digits.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LatencyReport {
    /// How many were measured.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine in ten took no longer.
    pub p90_ms: f64,
    /// 99 in a hundred took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl LatencyReport {
    fn of(latencies: &Latencies) -> Self {
        Self {
            count: latencies.count(),
            p50_ms: latencies.at_quantile_ms(0.5),
            p90_ms: latencies.at_quantile_ms(0.9),
            p99_ms: latencies.at_quantile_ms(0.99),
            max_ms: latencies.max_ms(),
        }
    }
}

/// What is counted while a batch runs.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) skipped: usize,
    pub(crate) failed: usize,
    stored: usize,
    bytes: u64,
    stored_bytes: u64,
    random_bytes: u64,
    sites: BTreeMap<String, SiteSum>,
    objects: Latencies,
}

impl Tally {
    pub(crate) fn stored(&mut self, report: &ObjectReport, took: Duration) {
        self.stored += 1;
        self.bytes += report.bytes;
        self.stored_bytes += report.stored_bytes;
        self.random_bytes += report.random_bytes;
        self.objects.record(took);
        for share in &report.shares {
            let sum = self.sites.entry(share.site.clone()).or_insert_with(|| SiteSum {
                site: share.site.clone(),
                shares: 0,
                key_bytes: 0,
                sent_bytes: 0,
                chunks: LatencyReport::default(),
            });
            sum.shares += 1;
            sum.key_bytes += share.key_bytes;
            sum.sent_bytes += share.sent_bytes;
        }
    }

    pub(crate) fn report(
        self,
        not_begun: usize,
        times: &ChunkTimes,
        took: Duration,
    ) -> BatchReport {
        let mut sites = self.sites;
        for (site, latencies) in times.take() {
            if let Some(sum) = sites.get_mut(site.as_str()) {
                sum.chunks = LatencyReport::of(&latencies);
            }
        }
        let seconds = took.as_secs_f64();
        BatchReport {
            v: 1,
            r#type: "summary",
            stored: self.stored,
            skipped: self.skipped,
            failed: self.failed,
            not_begun,
            bytes: self.bytes,
            stored_bytes: self.stored_bytes,
            random_bytes: self.random_bytes,
            sites: sites.into_values().collect(),
            objects: LatencyReport::of(&self.objects),
            seconds,
            bytes_per_second: self.bytes as f64 / seconds.max(1e-9),
            objects_per_second: self.stored as f64 / seconds.max(1e-9),
        }
    }
}
