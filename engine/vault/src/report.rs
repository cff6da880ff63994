//! What operations answer: plain values that scripts may rely on as JSON (`cli.md`).

use crate::consent::CardRow;
use crate::failure::Failure;
use jiff::Timestamp;
use serde::Serialize;
use warifu_catalog::{Catalog, Individual, Object, ShareState};

/// One share, as `backup` reports it.
#[derive(Debug, Clone, Serialize)]
pub struct ShareReport {
    /// Its site.
    pub site: String,
    /// Its x-coordinate.
    pub x: u8,
    /// `pad` or `computed`.
    pub role: &'static str,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// Key of the link used for it, both directions.
    pub key_bytes: u64,
    /// Bytes sent or written for it.
    pub sent_bytes: u64,
}

/// One stored object, as `backup` reports it.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// Version of this document.
    pub v: u32,
    /// `object`.
    pub r#type: &'static str,
    /// The object's ID.
    pub object: String,
    /// Whose it is.
    pub individual: String,
    /// Bytes of the source.
    pub bytes: u64,
    /// Bytes protected: the payload, padding included.
    pub stored_bytes: u64,
    /// Shares needed.
    pub k: u8,
    /// Shares made.
    pub n: u8,
    /// `information-theoretic` or `computational`.
    pub class: &'static str,
    /// Corrupt sites that say nothing together.
    pub tolerates_corrupt_sites: usize,
    /// The shares.
    pub shares: Vec<ShareReport>,
    /// Key of the `random` pool used.
    pub random_bytes: u64,
    /// Rules gone against by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
    /// Payload bytes that were stored before this run and not again; 0 where it began afresh.
    #[serde(skip_serializing_if = "is_zero")]
    pub resumed_bytes: u64,
    /// Key of links among that of the shares that earlier runs used for what was kept of them. What
    /// burned when they ended is not counted here: it stands in the pools.
    #[serde(skip_serializing_if = "is_zero")]
    pub resumed_key_bytes: u64,
    /// Payload, share content and kept key that this process copied from one buffer to another
    /// meanwhile, for other objects stored beside it too: 0 where nothing is compressed.
    pub copied_bytes: u64,
    /// Wall time of this run.
    pub seconds: f64,
    /// Source bytes that this run stored over its wall time.
    pub bytes_per_second: f64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// A share that a restore set aside.
#[derive(Debug, Clone, Serialize)]
pub struct Rejection {
    /// Whose.
    pub site: String,
    /// The chunk at which it was found.
    pub chunk: u64,
    /// What was found.
    pub reason: String,
}

/// What `restore` answers.
#[derive(Debug, Clone, Serialize)]
pub struct RestoreReport {
    /// Version of this document.
    pub v: u32,
    /// `restore`.
    pub r#type: &'static str,
    /// The object's ID.
    pub object: String,
    /// Bytes delivered.
    pub bytes: u64,
    /// Which bytes, the second not included, where a range was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[u64; 2]>,
    /// Sites whose shares were used.
    pub sites: Vec<String>,
    /// Shares set aside.
    pub rejected: Vec<Rejection>,
    /// Key used, both directions.
    pub key_bytes: u64,
    /// As of an object that is stored.
    pub copied_bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// Where the data went; `null` for standard output.
    pub output: Option<String>,
}

/// A row of `list`.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectRow {
    /// The object's ID.
    pub object: String,
    /// Whose it is.
    pub individual: String,
    /// Bytes protected: the payload, padding included. The true length is inside the shares only.
    pub bytes: u64,
    /// Shares needed.
    pub k: u8,
    /// Shares made.
    pub n: u8,
    /// Where they lie.
    pub sites: Vec<String>,
    /// When it was stored.
    pub created: String,
    /// `complete` or `degraded`.
    pub state: &'static str,
    /// `information-theoretic` or `computational`.
    pub class: &'static str,
    /// Corrupt sites that say nothing together.
    pub tolerates_corrupt_sites: usize,
    /// The operator's public label.
    pub label: Option<String>,
}

/// One share, as `show` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct ShareRow {
    /// Its site.
    pub site: String,
    /// Its x-coordinate.
    pub x: u8,
    /// `pad` or `computed`.
    pub role: &'static str,
    /// `otp`, `local` or `tls`.
    pub channel: &'static str,
    /// The site's zone when it was stored.
    pub zone: String,
    /// The site's domain when it was stored.
    pub domain: String,
    /// `good`, `missing` or `corrupt`, as last seen.
    pub state: &'static str,
    /// Key of the link used for it.
    pub key_bytes: u64,
    /// Bytes sent or written for it.
    pub sent_bytes: u64,
    /// Key from the site reserved for a restore: the content.
    pub reserved_bytes: u64,
    /// Key towards the site reserved for a restore: the requests.
    pub reserved_to_site_bytes: u64,
    /// When its site acknowledged it.
    pub receipt: String,
}

/// A chunk that was drawn again, as `show` tells it.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRow {
    /// The chunk; mask m of an object of N chunks is N + m.
    pub chunk: u64,
    /// Which attempt went through; the first is 0.
    pub attempt: u32,
}

/// What `show` answers.
#[derive(Debug, Clone, Serialize)]
pub struct ShowReport {
    /// Version of this document.
    pub v: u32,
    /// The row of `list`.
    #[serde(flatten)]
    pub row: ObjectRow,
    /// Data chunks.
    pub chunks: u64,
    /// Audit masks of each share.
    pub masks: u32,
    /// Bytes at all sites together.
    pub kept_bytes: u64,
    /// Of these, bytes of one site's part of the capsule.
    pub capsule_bytes: u64,
    /// Key of the `random` pool that it took.
    pub random_bytes: u64,
    /// When it was complete.
    pub committed: String,
    /// Sites that may be lost now, whichever they are, with the object still restorable.
    pub tolerates_lost_sites: usize,
    /// Chunks that were drawn again after a failure.
    pub attempts: Vec<AttemptRow>,
    /// Rules gone against by name, with the reason.
    pub overridden: Vec<String>,
    /// That whoever has this vault restores it without consent, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_warning: Option<String>,
    /// The shares.
    pub shares: Vec<ShareRow>,
}

/// A row of `individual list`.
#[derive(Debug, Clone, Serialize)]
pub struct IndividualRow {
    /// The pseudonymous ID.
    pub individual: String,
    /// When it was enrolled.
    pub created: String,
    /// Objects stored.
    pub objects: usize,
    /// The card by which they decide; `null` where none is enrolled.
    pub card: Option<CardRow>,
}

/// A time as RFC 3339 text.
pub(crate) fn time(unix_s: u64) -> String {
    let second = i64::try_from(unix_s).unwrap_or(i64::MAX);
    Timestamp::from_second(second).map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

pub(crate) fn individual_row(
    catalog: &Catalog,
    individual: &Individual,
) -> Result<IndividualRow, Failure> {
    Ok(IndividualRow {
        individual: individual.individual.to_string(),
        created: time(individual.created_unix_s),
        objects: catalog.objects_of(&individual.individual)?.len(),
        card: catalog.card(&individual.individual)?.as_ref().map(CardRow::of),
    })
}

pub(crate) fn object_row(object: &Object) -> ObjectRow {
    let tls = object.shares.iter().filter(|share| share.channel == warifu_core::Channel::Tls);
    ObjectRow {
        object: object.object.to_string(),
        individual: object.individual.to_string(),
        bytes: object.geometry.payload_bytes(),
        k: object.threshold.k_byte(),
        n: object.threshold.n_byte(),
        sites: object.shares.iter().map(|share| share.site.to_string()).collect(),
        created: time(object.created_unix_s),
        state: if object.is_degraded() { "degraded" } else { "complete" },
        class: object.class.as_str(),
        tolerates_corrupt_sites: object.threshold.pads().saturating_sub(tls.count()),
        label: object.label.clone(),
    }
}

pub(crate) fn show(object: &Object, consent_warning: Option<String>) -> ShowReport {
    let share_row = |share: &warifu_catalog::StoredShare| ShareRow {
        site: share.site.to_string(),
        x: share.x.get(),
        role: share.role.as_str(),
        channel: share.channel.as_str(),
        zone: share.zone.to_string(),
        domain: share.domain.to_string(),
        state: match share.state {
            ShareState::Good => "good",
            ShareState::Missing => "missing",
            ShareState::Corrupt => "corrupt",
        },
        key_bytes: share.key_bytes,
        sent_bytes: share.sent_bytes,
        reserved_bytes: share.reserve.from_site_bytes,
        reserved_to_site_bytes: share.reserve.to_site_bytes,
        receipt: time(share.receipt_unix_s),
    };
    let attempt_row =
        |(chunk, attempt): &(u64, u32)| AttemptRow { chunk: *chunk, attempt: *attempt };
    let good = object.shares.iter().filter(|share| share.state == ShareState::Good).count();
    ShowReport {
        v: 1,
        row: object_row(object),
        chunks: object.geometry.chunk_count(),
        masks: object.masks,
        kept_bytes: object.stored_bytes,
        capsule_bytes: object.capsule.capsule_bytes(object.threshold),
        random_bytes: object.random_bytes,
        committed: time(object.committed_unix_s),
        tolerates_lost_sites: good.saturating_sub(object.threshold.k()),
        attempts: object.attempts.iter().map(attempt_row).collect(),
        overridden: object.overridden.iter().map(overridden).collect(),
        consent_warning,
        shares: object.shares.iter().map(share_row).collect(),
    }
}

pub(crate) fn overridden(named: &warifu_core::plan::Override) -> String {
    format!("{}: {}", named.rule.as_str(), named.reason)
}
