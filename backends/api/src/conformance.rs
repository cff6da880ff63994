//! What every [`ShareStore`] must pass. It panics at the first thing that a store does wrong.
//!
//! A store calls [`all`] in its tests, with a function that makes a fresh, empty store each time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a suite of tests says what went wrong by panicking, and what it left out by printing"
)]

mod contents;
mod objects;
mod publishing;
mod resuming;

pub use objects::{ObjectsCase, objects_cases};

use crate::{Capability, Error, ShareName, ShareStore, Upload};
use warifu_buffers::Bytes;

/// One thing that a store must do, and what of [`Capability`] it takes.
pub struct Case {
    name: &'static str,
    needs: Needs,
    run: fn(&dyn ShareStore),
}

impl Case {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a store that promises this has to pass it.
    #[must_use]
    pub fn is_for(&self, capability: Capability) -> bool {
        match self.needs {
            Needs::CreateOnly => capability.create_only,
            Needs::Nothing => true,
            Needs::Resumable => capability.resumable,
        }
    }

    /// Runs it on a fresh, empty store.
    ///
    /// # Panics
    /// When the store does something wrong.
    pub fn run(&self, store: &dyn ShareStore) {
        (self.run)(store);
    }
}

/// All of them.
pub fn store_cases() -> impl Iterator<Item = &'static Case> {
    contents::CASES.iter().chain(publishing::CASES).chain(resuming::CASES)
}

#[derive(Clone, Copy)]
enum Needs {
    CreateOnly,
    Nothing,
    Resumable,
}

/// Runs every case on a store of its own. `make` makes a fresh, empty store.
///
/// # Panics
/// When the store does something wrong.
pub fn all(make: &dyn Fn() -> Box<dyn ShareStore>) {
    for case in store_cases() {
        let store = make();
        if case.is_for(store.capability()) {
            case.run(&*store);
        } else {
            println!("conformance: {} skipped, the store does not promise it", case.name);
        }
    }
}

/// Makes the table of a module's cases from their names.
macro_rules! cases {
    ($($needs:ident: $($name:ident),+;)+) => {
        pub(super) const CASES: &[super::Case] = &[$($(super::Case {
            name: stringify!($name),
            needs: super::Needs::$needs,
            run: $name,
        },)+)+];
    };
}
use cases;

fn name(text: &str) -> ShareName {
    ShareName::new(text).unwrap()
}

/// Bytes without a short period, different for each seed.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(step).collect()
}

/// Commits a share of these contents.
fn put(store: &dyn ShareStore, share: &ShareName, contents: &[u8]) {
    let mut upload = store.create(share).unwrap();
    write(&mut *upload, 0, contents).unwrap();
    upload.commit().unwrap();
}

/// Writes a copy of `contents`, as the store may keep what it is given for a while.
fn write(upload: &mut dyn Upload, offset: u64, contents: &[u8]) -> Result<(), Error> {
    upload.write_at(offset, Bytes::copy_from_slice(contents))
}

/// The whole committed share.
fn get(store: &dyn ShareStore, share: &ShareName) -> Vec<u8> {
    let mut contents = vec![0; usize::try_from(store.len(share).unwrap()).unwrap()];
    store.read_at(share, 0, &mut contents).unwrap();
    contents
}

/// Nothing is committed under this name, whichever way one asks.
fn assert_not_committed(store: &dyn ShareStore, share: &ShareName) {
    use Error::NotFound;
    assert!(matches!(store.len(share), Err(NotFound)), "len sees {share}");
    assert!(matches!(store.read_at(share, 0, &mut []), Err(NotFound)), "read_at sees {share}");
    assert!(matches!(store.delete(share), Err(NotFound)), "delete sees {share}");
    assert!(store.list().unwrap().iter().all(|entry| entry.name != *share), "list has {share}");
}
