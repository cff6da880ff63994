//! What a pool's deliverer did so far: kept in the pool's folder, for people to see.

use super::Pairing;
use crate::error::KeyError;
use crate::pool::{Pool, get_file, put_file, replace_file};
use crate::store::KeyStore;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::PoisonError;
use warifu_core::PoolId;

const NAME: &str = "delivery.json";
const BYTES_MAX: u64 = 64 << 10;
const TEXT_BYTES_MAX: usize = 500;

/// Segments in a row that differ at the two ends before nothing more is fetched.
pub const MISMATCHES_MAX: u64 = 3;

/// How a pool's deliverer has done. Holds no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryStanding {
    v: u32,
    /// The deliverer, as listings call it.
    pub source: String,
    /// When key of it was last added to the pool, seconds since 1970 UTC.
    pub arrived_unix_s: Option<u64>,
    /// Segments of it that were added.
    pub segments: u64,
    /// Key of it that was added, in bytes.
    pub arrived_bytes: u64,
    /// What went wrong last; `None` once key came again.
    pub error: Option<String>,
    /// When that was, seconds since 1970 UTC.
    pub error_unix_s: Option<u64>,
    /// Since when a segment waits for the deliverer at the other end, seconds since 1970 UTC.
    #[serde(default)]
    pub pending_unix_s: Option<u64>,
    /// Names that came a second time, and were refused.
    pub names_refused: u64,
    /// Answers that broke the protocol, and were thrown away.
    pub answers_refused: u64,
    /// Segments that were given up: one end could not get them.
    pub segments_lost: u64,
    /// Segments of which the two ends got different key.
    pub mismatches: u64,
    /// Of these, those since a segment was last found equal.
    pub mismatches_in_a_row: u64,
}

impl DeliveryStanding {
    /// Whether so many segments in a row differed that nothing more is fetched until the operator
    /// says so.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.mismatches_in_a_row >= MISMATCHES_MAX
    }

    /// Notes what went wrong.
    pub fn fail(&mut self, text: &str, unix_s: u64) {
        let text: String = text.chars().filter(|one| !one.is_control()).collect();
        self.error = Some(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned());
        self.error_unix_s = Some(unix_s);
    }

    /// Notes a segment that was found equal and added.
    pub fn arrive(&mut self, bytes: u64, unix_s: u64) {
        self.arrived_unix_s = Some(unix_s);
        self.segments += 1;
        self.arrived_bytes += bytes;
        self.mismatches_in_a_row = 0;
        (self.error, self.error_unix_s) = (None, None);
    }

    /// Notes a segment of which the two ends got different key.
    pub fn differ(&mut self, text: &str, unix_s: u64) {
        self.mismatches += 1;
        self.mismatches_in_a_row += 1;
        self.fail(text, unix_s);
    }
}

impl KeyStore {
    /// How the deliverer of a pool has done; `None` where there never was one.
    ///
    /// # Errors
    /// [`KeyError::NoPool`]; I/O.
    pub fn delivery_standing(&self, pool: PoolId) -> Result<Option<DeliveryStanding>, KeyError> {
        read(&*self.pool(pool)?)
    }
}

impl Pairing {
    /// Changes what is noted of the pool's deliverer; durably, unless all is well before and after:
    /// a count of what arrived is nothing to wait for a disk for.
    ///
    /// # Errors
    /// I/O.
    pub fn note(&self, change: impl FnOnce(&mut DeliveryStanding)) -> Result<(), KeyError> {
        let _alone = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut standing = read(&self.pool)?.unwrap_or_default();
        let before = standing.clone();
        change(&mut standing);
        standing.v = 1;
        if standing == before {
            return Ok(());
        }
        let folder = &self.pool.folder;
        let is_well = standing.error.is_none() && before.error.is_none();
        let medium = &*self.pool.medium;
        let written =
            serde_json::to_vec_pretty(&standing).map_err(io::Error::from).and_then(|text| {
                match is_well {
                    true => replace_file(medium, folder, NAME, &text),
                    false => put_file(medium, folder, NAME, &text),
                }
            });
        written.map_err(KeyError::io("write", folder.join(NAME)))
    }
}

/// What is unreadable here protects no key, and is begun anew.
fn read(pool: &Pool) -> Result<Option<DeliveryStanding>, KeyError> {
    let path = pool.folder.join(NAME);
    match get_file(&*pool.medium, &path, BYTES_MAX) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::io("read", path)(error)),
    }
}
