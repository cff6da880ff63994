//! Why a restore failed, and what is said of shares that were set aside.

use crate::causes::peer_class;
use crate::consent::next_of;
use crate::failure::{Class, Failure};
use crate::plan::error_chain;
use crate::report::Rejection;
use warifu_catalog::Object;
use warifu_pipeline::restore::driver::{Rejected, RestoreError};
use warifu_pipeline::restore::lane::ReadError;
use warifu_pipeline::sink::SinkError;

/// What is to be done about too little key.
pub(super) const DELIVER: &str =
    "deliver key with `warifu key generate --site NAME --courier DRIVE`";

pub(super) fn is_missing(error: &ReadError) -> bool {
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

/// Why nothing was delivered: forged or rotten shares, lost ones, sites that are away, or too
/// little key. Sites in `short` were not asked for want of key, as told there.
pub(super) fn failure(
    object: &Object,
    error: RestoreError,
    rejected: &[Rejected],
    short: &[String],
) -> Failure {
    let failure = match &error {
        RestoreError::NotEnough { good, needed } => {
            not_enough(object, (*good, *needed), rejected, short)
        }
        RestoreError::Sink(SinkError::Output(_)) => {
            Failure::new(Class::Other, "output", "the output can't be written")
        }
        RestoreError::Sink(SinkError::Name(_)) => {
            let what = "the file can't get the name that is stored inside";
            Failure::new(Class::Other, "output", what).next("name a place with -o PATH")
        }
        RestoreError::Sink(SinkError::BeyondEnd { data_bytes }) => {
            let what = format!(
                "the range lies beyond the end of {}, which has {data_bytes} bytes",
                object.object
            );
            Failure::new(Class::Usage, "range-beyond-end", what)
                .next(format!("ask for a range within 0-{data_bytes}"))
        }
        RestoreError::Sink(SinkError::Stopped) => stopped(),
        RestoreError::Sink(_) => {
            let what = "what was joined is not the object; nothing is delivered";
            Failure::new(Class::Forged, "object-corrupt", what)
        }
        _ => stopped(),
    };
    match error {
        RestoreError::NotEnough { .. } => failure,
        RestoreError::Sink(SinkError::BeyondEnd { .. } | SinkError::Stopped) => failure,
        // What could not be written or named is no fault of the object.
        RestoreError::Sink(SinkError::Output(error) | SinkError::Name(error)) => {
            failure.because(error)
        }
        error => failure.because(error),
    }
}

fn not_enough(
    object: &Object,
    (good, needed): (usize, usize),
    rejected: &[Rejected],
    short: &[String],
) -> Failure {
    let bad = rejected.iter().filter(|rejected| rejected.error.is_bad_share());
    let corrupt = bad.clone().filter(|rejected| !is_missing(&rejected.error)).count();
    let without_key = short.len() + rejected.iter().filter(|one| lacks_key(&one.error)).count();
    let refused = rejected.iter().find_map(|one| refusal(&one.error));
    let (class, code, next) = match (corrupt, bad.count(), refused) {
        (0, lost, _) if lost > 0 && object.threshold.n() - lost < object.threshold.k() => {
            (Class::Unrecoverable, "shares-lost", "bring lost shares back")
        }
        (0, _, _) if good + without_key >= needed => (Class::Key, "key-short", DELIVER),
        // Sites that are away come back by themselves.
        (0, _, Some((class, code))) => (class, code, next_of(code)),
        (0, _, None) => (Class::Temporary, "sites-down", "try again when more sites are back"),
        _ => (Class::Forged, "shares-corrupt", "bring sites with good shares back"),
    };
    let told: Vec<String> = rejected.iter().map(told).chain(short.iter().cloned()).collect();
    let what = format!(
        "only {good} good shares of {} are to be had where {needed} are needed: {}",
        object.object,
        told.join("; ")
    );
    Failure::new(class, code, what).next(next)
}

/// What a site says that releases nothing without a person, or whose permit has ended on the way.
fn refusal(error: &ReadError) -> Option<(Class, &'static str)> {
    let ReadError::Peer(error) = error else { return None };
    let said = peer_class(error);
    matches!(said.0, Class::Consent | Class::Audit).then_some(said)
}

fn lacks_key(error: &ReadError) -> bool {
    matches!(error, ReadError::Peer(error) if peer_class(error).0 == Class::Key)
}

fn stopped() -> Failure {
    Failure::new(Class::Temporary, "stopped", "stopped on request; nothing is delivered")
}

fn told(rejected: &Rejected) -> String {
    format!("{} (chunk {}): {}", rejected.site, rejected.chunk, error_chain(&rejected.error))
}

pub(super) fn rejection(rejected: &Rejected) -> Rejection {
    Rejection {
        site: rejected.site.to_string(),
        chunk: rejected.chunk,
        reason: error_chain(&rejected.error),
    }
}
