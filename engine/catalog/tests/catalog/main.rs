//! The catalog through its public verbs, and against files that others have spoilt.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod arrivals;
mod audit;
mod checkpoints;
mod damage;
mod exports;
mod find;
mod forgettings;
mod lifecycle;
mod persons;
mod processes;
mod register;
mod sites;
mod together;

use std::path::PathBuf;
use tempfile::TempDir;
use warifu_catalog::{
    Catalog, CommitRecord, CommittedShare, Holder, KeyBytes, NewObject, NewShare, NewSite,
};
use warifu_core::capsule::Verdict;
use warifu_core::id::Incarnation;
use warifu_core::plan::{Need, PlannedShare};
use warifu_core::share_file::CapsuleShape;
use warifu_core::{
    Channel, Geometry, IndividualId, KeyClass, LinkId, ObjectId, Role, SiteName, Threshold, XCoord,
};

/// A folder with a catalog of one individual `P1` and the sites `a` to `e`.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        let catalog = Catalog::create(&lab.path()).unwrap();
        catalog.enroll(&individual(), 100).unwrap();
        for (at, letter) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            catalog.add_site(&new_site(letter, at as u8 + 1)).unwrap();
        }
        lab
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    fn open(&self) -> Catalog {
        Catalog::open(&self.path()).unwrap()
    }

    /// The file through the storage engine, as a vandal sees it.
    fn raw(&self) -> rusqlite::Connection {
        let raw = rusqlite::Connection::open(self.path()).unwrap();
        raw.execute_batch("PRAGMA ignore_check_constraints = on; PRAGMA foreign_keys = off")
            .unwrap();
        raw
    }
}

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn individual() -> IndividualId {
    "P1".parse().unwrap()
}

fn object(number: u64) -> ObjectId {
    ObjectId::from_bytes(u128::from(number).to_be_bytes())
}

fn x(x: u8) -> XCoord {
    XCoord::new(x).unwrap()
}

fn link(byte: u8) -> LinkId {
    LinkId::from_bytes([byte; 16])
}

fn geometry() -> Geometry {
    Geometry::new((2 << 20) + 4096).unwrap()
}

fn new_site(site: &str, link_byte: u8) -> NewSite {
    NewSite {
        site: name(site),
        url: format!("warifu://{site}.example:7401"),
        zone: name(&format!("{site}-zone")),
        domain: name(&format!("{site}-domain")),
        channel: Channel::Otp,
        link: Some(link(link_byte)),
    }
}

/// A 2/3 object at `a`, `b` and `c`, to be stored by process 7.
fn new_object(number: u64) -> NewObject {
    let share = |at: u8| {
        let site = ["a", "b", "c"][usize::from(at) - 1];
        let planned = PlannedShare {
            site: name(site),
            x: x(at),
            role: if at == 1 { Role::Pad } else { Role::Computed },
            channel: Channel::Otp,
            zone: name(&format!("{site}-zone")),
            domain: name(&format!("{site}-domain")),
            need: Need { to_site_bytes: 3000, from_site_bytes: 4000, ..Need::default() },
        };
        NewShare { planned, link: Some(link(at)) }
    };
    NewObject {
        object: object(number),
        individual: individual(),
        threshold: Threshold::new(2, 3).unwrap(),
        class: KeyClass::InformationTheoretic,
        label: Some("tumour, left".to_owned()),
        created_unix_s: 1000 + number,
        geometry: Geometry::new(4 << 20).unwrap(),
        random_bytes: 500,
        overridden: Vec::new(),
        shares: (1..=3).map(share).collect(),
        holder: Holder { incarnation: Incarnation::from_bytes([9; 16]), pid: 7 },
    }
}

fn verdict(at: u8) -> Verdict {
    let hashes = (0..3).map(|chunk| [at * 16 + chunk; 16]).collect();
    Verdict { x: x(at), r: [0xA0 + at; 16], hashes, masks: vec![[at; 16]] }
}

fn record() -> CommitRecord {
    let share = |at: u8| CommittedShare {
        verdict: verdict(at),
        sent_bytes: 100 + u64::from(at),
        key_bytes: 200 + u64::from(at),
        reserve: KeyBytes { to_site_bytes: 10, from_site_bytes: 1000 },
        receipt_unix_s: 2000 + u64::from(at),
    };
    CommitRecord {
        geometry: geometry(),
        masks: 1,
        capsule: CapsuleShape::new(112 * 16 + 16, &geometry(), 1).unwrap(),
        class: KeyClass::InformationTheoretic,
        stored_bytes: 9_000_000,
        random_bytes: 128,
        committed_unix_s: 3000,
        attempts: vec![(1, 1), (3, 2)],
        shares: (1..=3).map(share).collect(),
    }
}

/// Begins and commits an object.
fn store(catalog: &Catalog, number: u64) {
    catalog.begin(&new_object(number)).unwrap();
    catalog.commit(&object(number), &record()).unwrap();
}
