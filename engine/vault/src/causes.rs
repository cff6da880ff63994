//! How failures of the parts become failures of an operation.

use crate::consent::{next_of, refused_code};
use crate::failure::{Class, Failure};
use crate::journal::JournalError;
use std::io::ErrorKind;
use warifu_backend::Error as StoreError;
use warifu_catalog::CatalogError;
use warifu_core::plan::{Health, Refusal};
use warifu_keystore::KeyError;
use warifu_link::Status;
use warifu_link::hello::RefusalReason;
use warifu_pipeline::backup::driver::RunError;
use warifu_pipeline::backup::lane::LaneError;
use warifu_pipeline::peer::PeerError;
use warifu_pipeline::share::ShareError;

const ROLLBACK: &str = "find out which end is an older copy; if it is to go on, run `warifu doctor \
                        --accept-rollback` there (at a site with its daemon stopped)";

/// The vault's own disk is full. Everything that is stored stays.
fn full() -> Failure {
    Failure::new(Class::Limit, "vault-full", "the disk of the vault is full").next(
        "free some MiB on the file system of the vault (`df DIR`), then give the same command \
         again; nothing that is stored is lost",
    )
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        if let KeyError::Io { source, .. } = &error
            && is_full(source)
        {
            return full().because(error);
        }
        let class = key_class(&error);
        let what = "the key store refuses";
        let failure = match class {
            Class::Rollback => Self::new(class, "key-rollback", what).next(ROLLBACK),
            Class::Key => Self::new(class, "key-short", "there is not enough key")
                .next("see `warifu key status`; add key with `warifu key generate`"),
            Class::NotFound => Self::new(class, "key-pool-missing", what)
                .next("see `warifu key status`; make pools with `warifu key generate`"),
            _ => Self::new(class, "key-store", what),
        };
        failure.because(error)
    }
}

fn key_class(error: &KeyError) -> Class {
    match error {
        _ if error.is_rollback() => Class::Rollback,
        KeyError::Empty { .. } | KeyError::LeaseEmpty { .. } => Class::Key,
        KeyError::NoPool { .. } | KeyError::NoStore => Class::NotFound,
        KeyError::Drive { .. } | KeyError::PeerNameTaken { .. } | KeyError::SegmentFile { .. } => {
            Class::Usage
        }
        _ => Class::Other,
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let what = error.to_string();
        let failure = |class, code| Self::new(class, code, what.clone());
        match error {
            CatalogError::NotFound { .. } => failure(Class::NotFound, "not-found")
                .next("see `warifu list`, `warifu site list` or `warifu individual list`"),
            CatalogError::AlreadyExists { .. } => failure(Class::Usage, "exists-already"),
            CatalogError::Invalid { .. } => failure(Class::Usage, "invalid"),
            CatalogError::Busy => failure(Class::Busy, "catalog-busy"),
            CatalogError::Incompatible { .. } => failure(Class::Incompatible, "catalog-version"),
            CatalogError::Damaged { .. } => failure(Class::Damage, "catalog-damaged"),
            CatalogError::AuditBroken { .. } => failure(Class::Damage, "audit-broken").next(
                "keep this vault as it is, and compare an earlier export of the log line by line",
            ),
            CatalogError::Full => full(),
            CatalogError::Storage(source) => {
                failure(Class::Other, "catalog-storage").because(source)
            }
            other => failure(Class::Other, "catalog-storage").because(other),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (class, code) = match &refusal {
            Refusal::KeyShortfall { .. } => (Class::Key, "key-short"),
            Refusal::RandomShortfall { .. } => (Class::Key, "random-short"),
            Refusal::NoRoom { .. } => (Class::Limit, "no-room"),
            Refusal::UnknownSite(_) => (Class::NotFound, "site-unknown"),
            Refusal::NotEnoughSites { .. } => (Class::Usage, "sites-too-few"),
            Refusal::ZoneLoss { .. } => (Class::Usage, "zone-rule"),
            Refusal::ConsentReach { .. } => (Class::Usage, "consent-rule"),
            Refusal::DomainReach { .. } | Refusal::ZoneAndDomain { .. } => {
                (Class::Usage, "domain-rule")
            }
            _ => (Class::Usage, "placement"),
        };
        Self::new(class, code, refusal.to_string())
    }
}

/// A refused placement, knowing whether sites that are down had a part in it.
pub(crate) fn refused(refusal: Refusal, health: impl IntoIterator<Item = Health>) -> Failure {
    let any_down = health.into_iter().any(|health| matches!(health, Health::Down(_)));
    match refusal {
        Refusal::NotEnoughSites { .. } if any_down => {
            Failure::new(Class::Temporary, "sites-down", refusal.to_string())
        }
        other => other.into(),
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        let (class, code) = peer_class(&error);
        let failure = Self::new(class, code, "the site can't be used").because(error);
        match class {
            Class::Rollback => failure.next(ROLLBACK),
            Class::Temporary => failure.next("check that the site runs, then try again"),
            Class::Consent | Class::Audit => failure.next(next_of(code)),
            _ => failure,
        }
    }
}

/// How a site answers that can't reach another one now, with which it was to work.
const WORK_AWAY: &str = "work-away: ";

/// Class and code of what went wrong with a site.
pub(crate) fn peer_class(error: &PeerError) -> (Class, &'static str) {
    match error {
        _ if error.is_rollback() => (Class::Rollback, "rollback"),
        PeerError::NotConnected | PeerError::Transport(_) => (Class::Temporary, "site-down"),
        PeerError::HelloRefused { reason: RefusalReason::NoKeyLeft } => (Class::Key, "key-short"),
        PeerError::HelloRefused { reason: RefusalReason::TooManyUnconfirmed } => {
            (Class::Temporary, "site-busy")
        }
        PeerError::Superseded => (Class::Temporary, "site-busy"),
        PeerError::HelloRefused { .. } | PeerError::HelloGrantUsed { .. } | PeerError::Hello(_) => {
            (Class::Authentication, "site-refuses")
        }
        PeerError::Frame(_) | PeerError::Message(_) | PeerError::Unexpected(_) => {
            (Class::Authentication, "site-not-genuine")
        }
        PeerError::Key(error) => (key_class(error), "key-store"),
        PeerError::Refused { status, text } => match status {
            Status::NoSpace => (Class::Limit, "site-full"),
            Status::Limit => (Class::Limit, "site-limit"),
            Status::Key => (Class::Key, "key-short"),
            Status::NoSuchShare => (Class::Unrecoverable, "share-missing"),
            Status::Damaged => (Class::Damage, "share-damaged"),
            Status::Consent => refused_code(text),
            Status::Refused if text.starts_with(WORK_AWAY) => (Class::Temporary, "site-down"),
            _ => (Class::Other, "site-refuses"),
        },
        _ => (Class::Other, "site"),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (class, code) = store_class(&error);
        Self::new(class, code, "the store of shares failed").because(error)
    }
}

fn store_class(error: &StoreError) -> (Class, &'static str) {
    match error {
        StoreError::NoSpace => (Class::Limit, "store-full"),
        StoreError::Busy => (Class::Busy, "store-busy"),
        error if error.is_temporary() => (Class::Temporary, "store-away"),
        _ => (Class::Other, "store"),
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        if let JournalError::Io(source) = &error
            && is_full(source)
        {
            return full().because(error);
        }
        Self::new(Class::Other, "journal", "the journal of the backup can't be used")
            .because(error)
            .next("see that the vault's folder is writable and not full")
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Lane { site, source } => {
                let (class, code) = match &source {
                    // Of a share that is only being written: its site was restarted.
                    LaneError::Peer(PeerError::Refused { status: Status::NoSuchShare, .. }) => {
                        (Class::Temporary, "site-forgot")
                    }
                    LaneError::Peer(PeerError::Refused { status: Status::Refused, .. }) => {
                        (Class::Busy, "share-taken-over")
                    }
                    LaneError::Peer(error) => peer_class(error),
                    LaneError::Key(error) => (key_class(error), "key-store"),
                    LaneError::Share(ShareError::Store(error)) => store_class(error),
                    LaneError::KeyDiverged { .. } => (Class::Authentication, "key-diverged"),
                    LaneError::Forgot { .. } => (Class::Temporary, "site-forgot"),
                    LaneError::LostTooOften { .. } => (Class::Temporary, "site-unsteady"),
                    _ => (Class::Other, "site"),
                };
                let failure =
                    Self::new(class, code, format!("site {site} failed before all was stored"));
                match &source {
                    LaneError::KeyDiverged { .. } => failure.next(format!(
                        "the two ends of the link to {site} hold different key: deliver new key"
                    )),
                    _ => failure,
                }
                .because(source)
            }
            RunError::Source(error) => {
                Self::new(Class::Other, "source", "the source could not be read").because(error)
            }
            RunError::SourceGrew { .. } => Self::new(Class::Key, "source-grew", error.to_string())
                .next(
                    "nothing was stored; give a larger --size, or wait until the file is complete",
                ),
            RunError::Journal(error) => JournalError::Io(error).into(),
            RunError::Panicked | RunError::Stalled => {
                Self::new(Class::Other, "internal", "the backup ended by a fault of this program")
                    .because(error)
                    .next("report it, with what stands above on standard error")
            }
            _ => {
                Self::new(Class::Temporary, "stopped", "stopped on request, before all was stored")
            }
        }
    }
}
