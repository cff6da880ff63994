//! Key from a deliverer in memory becomes key at both ends of a link, whatever goes wrong with it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use warifu_core::{Direction, End, KeyRange, SiteName};
use warifu_keystore::simulated::kme::{Fault, SimulatedKme};
use warifu_keystore::{Directory, KeyStore, OsEntropy};
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{
    BackupRequest, Failure, FetchGoal, FetchReport, FetchRequest, GenerateRequest, KeySourceChoice,
    NewSite, Output, PoolRow, RestoreRequest, Source, Target, Vault, Watch,
};

const SEGMENT_BYTES: u64 = 64 << 10;
const KEY_BYTES: u64 = 128;

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

/// A site's daemon in this process.
struct Daemon {
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Lab {
    root: TempDir,
    kme: SimulatedKme,
    daemon: Option<Daemon>,
}

impl Lab {
    /// A gateway and a site on a link of `bytes` each way, and a deliverer of both.
    fn new(bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let kme = SimulatedKme::new(Arc::new(OsEntropy), KEY_BYTES, 64);
        let mut lab = Self { root, kme, daemon: None };
        let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
        drop(Vault::init(&lab.dir("s"), name("s"), Some(config), no_consent()).unwrap());
        let address = lab.start();
        let path = lab.dir("s").join("config.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("127.0.0.1:0", &address)).unwrap();
        let gateway = Vault::init(&lab.dir("g"), name("gateway"), None, no_consent()).unwrap();
        let url = format!("warifu://{address}");
        let new = NewSite { name: name("s"), url, zone: None, domain: None, channel: None };
        gateway.add_site(&new).unwrap();
        for number in ["a", "b"] {
            let folder = lab.dir(number);
            let url = format!("file://{}", folder.display());
            let new = NewSite { name: name(number), url, zone: None, domain: None, channel: None };
            gateway.add_site(&new).unwrap();
        }
        let source = KeySourceChoice::System;
        let random = GenerateRequest { target: Target::Random, bytes: 1 << 20, source };
        watched(|watch| gateway.generate(&random, watch)).unwrap();
        gateway.enroll(&"P1".parse().unwrap()).unwrap();
        lab.courier(&gateway, bytes);
        lab
    }

    fn courier(&self, gateway: &Vault, bytes: u64) {
        let drive = self.dir("drive");
        let target = Target::Link { site: name("s"), drive: drive.clone() };
        let request = GenerateRequest { target, bytes, source: KeySourceChoice::System };
        watched(|watch| gateway.generate(&request, watch)).unwrap();
        Vault::open(&self.dir("s")).unwrap().import(&drive).unwrap();
    }

    /// Burns, at the site, all key for requests that may be leased.
    fn exhausted(mut self) -> Self {
        self.daemon = None;
        let medium = Arc::new(Directory::new(self.dir("s").join("keys")));
        let keys = KeyStore::open(medium, Arc::new(OsEntropy)).unwrap();
        let status = keys.pools().unwrap().remove(0);
        let total = status.direction(Direction::AToB).unwrap().bytes_total;
        let within = KeyRange::between(0, total - total / 16);
        while keys.grant_between(status.pool, Direction::AToB, total, within).is_ok() {}
        drop(keys);
        self.start();
        self
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts the site's daemon anew.
    fn start(&mut self) -> String {
        self.daemon = None;
        let vault = Vault::open(&self.dir("s")).unwrap();
        let vault = vault.with_deliveries(self.kme.serving(End::B, SEGMENT_BYTES));
        let server = vault.server().unwrap();
        let address = server.address().to_owned();
        let stop = Box::new(server.stopper());
        let thread = std::thread::spawn(move || {
            let _vault = vault;
            server.run().unwrap();
        });
        self.daemon = Some(Daemon { stop, thread: Some(thread) });
        address
    }

    fn gateway(&self) -> Vault {
        let vault = Vault::open(&self.dir("g")).unwrap();
        vault.with_deliveries(self.kme.serving(End::A, SEGMENT_BYTES))
    }

    fn fetch(&self, bytes: u64) -> FetchReport {
        self.try_fetch(FetchGoal::Bytes(bytes), false).unwrap()
    }

    fn try_fetch(&self, goal: FetchGoal, accept_mismatch: bool) -> Result<FetchReport, Failure> {
        let patience = Duration::from_millis(1500);
        let sites = vec![name("s")];
        let request = FetchRequest { sites, goal, follow: false, patience, accept_mismatch };
        let gateway = self.gateway();
        watched(|watch| gateway.fetch(&request, watch))
    }

    fn row(&self, pool: &str) -> PoolRow {
        let rows = self.gateway().key_status().unwrap();
        rows.into_iter().find(|row| row.pool == pool).unwrap()
    }

    fn total(&self) -> u64 {
        [self.row("s/to"), self.row("s/from")].iter().map(in_all).sum()
    }

    /// Both ledgers are clean and count to the same end; what is stored comes back, so both ends
    /// hold the same key.
    fn judge(&mut self) {
        let gateway = self.gateway();
        assert!(gateway.audit_keys().unwrap().iter().all(is_clean));
        self.daemon = None;
        let site = Vault::open(&self.dir("s")).unwrap();
        assert!(site.audit_keys().unwrap().iter().all(is_clean));
        let ends = |rows: Vec<PoolRow>| -> Vec<u64> {
            let rows = rows.iter().filter(|row| row.pool != "random");
            rows.map(in_all).collect()
        };
        let there = ends(site.key_status().unwrap());
        let mut here = ends(gateway.key_status().unwrap());
        here.sort_unstable();
        let mut there_sorted = there;
        there_sorted.sort_unstable();
        assert_eq!(here, there_sorted, "both ends count to the same positions");
        drop((site, gateway));
        self.start();
    }

    fn store_and_restore(&self, bytes: usize) {
        let data: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let path = self.dir("in");
        std::fs::write(&path, &data).unwrap();
        let gateway = self.gateway();
        let request =
            BackupRequest::new(Source::File(path), "P1".parse().unwrap(), "2/3".parse().unwrap());
        let stored = watched(|watch| gateway.backup(&request, watch)).unwrap();
        std::fs::remove_dir_all(self.dir("a")).unwrap();
        let output = self.dir("out");
        let request = RestoreRequest {
            object: stored.object.parse().unwrap(),
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        watched(|watch| gateway.restore(&request, watch)).unwrap();
        assert!(std::fs::read(output).unwrap() == data);
    }
}

fn in_all(row: &PoolRow) -> u64 {
    row.bytes_left + row.bytes_leased + row.bytes_consumed + row.bytes_burned
}

fn is_clean(row: &warifu_vault::AuditRow) -> bool {
    row.overlaps == 0 && row.outside_segments == 0
}

fn error(report: &FetchReport) -> &'static str {
    report.failure.as_ref().map_or("", Failure::code)
}

fn copy(source: &Path, target: &Path) {
    std::fs::create_dir(target).unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let to = target.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

fn found(path: &Path, wanted: &str) -> Option<PathBuf> {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| match path
        .is_dir()
    {
        true => found(&path, wanted),
        false => path.ends_with(wanted).then_some(path),
    })
}

fn names_in(path: &Path, ending: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += names_in(&path, ending);
        } else {
            count += usize::from(path.to_string_lossy().ends_with(ending));
        }
    }
    count
}

#[test]
fn fetched_key_is_key_at_both_ends() {
    let mut lab = Lab::new(256 << 10);
    let before = lab.total();
    let report = lab.fetch(6 << 20);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert!((6 << 20..(6 << 20) + KEY_BYTES).contains(&report.sites[0].bytes));
    assert_eq!(lab.total(), before + report.sites[0].bytes);
    assert_eq!(lab.row("s/to").source, "generator, kme:simulated");
    let state = lab.row("s/to").source_state.unwrap();
    assert_eq!((state.arrived_bytes, state.error), (report.sites[0].bytes, None));
    lab.judge();
    let (to, from) = (lab.row("s/to").bytes_left, lab.row("s/from").bytes_left);
    assert!(to.abs_diff(from) < 8 * SEGMENT_BYTES, "{to} and {from}");
    lab.store_and_restore(1 << 20);
    lab.judge();
    assert_eq!(names_in(lab.root.path(), ".pending") + names_in(lab.root.path(), ".names"), 0);
}

#[test]
fn a_watermark_is_reached_in_each_direction_and_then_costs_nothing() {
    let lab = Lab::new(64 << 10);
    let goal = FetchGoal::Watermark(Some(200 << 10));
    let report = lab.try_fetch(goal, false).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
    for pool in ["s/to", "s/from"] {
        let left = lab.row(pool).bytes_left;
        assert!(left >= 200 << 10, "{left}");
    }
    let again = lab.try_fetch(FetchGoal::Watermark(Some(150 << 10)), false).unwrap();
    assert_eq!((again.sites[0].bytes, again.failure.is_none()), (0, true));
}

/// What a link holds back for hellos is enough to bring it new key.
#[test]
fn a_link_without_key_to_lease_gets_new_key() {
    let lab = Lab::new(64 << 10);
    let lab = lab.exhausted();
    let report = lab.fetch(256 << 10);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    lab.gateway().test_site(&name("s")).unwrap();
}

#[test]
fn each_fault_is_survived_and_shown() {
    let mut lab = Lab::new(1 << 20);
    for end in [End::A, End::B] {
        for fault in [
            Fault::NotNow,
            Fault::LostRequest,
            Fault::LostAnswer,
            Fault::Repeat,
            Fault::Short,
            Fault::Differ,
            Fault::Discard,
            Fault::Zeros,
            Fault::Shuffle,
        ] {
            let before = lab.total();
            lab.kme.fail(end, [None, Some(fault)].into_iter().flatten());
            let report = lab.fetch(128 << 10);
            assert!(report.failure.is_none(), "{end:?} {fault:?}: {:?}", report.failure);
            assert!(report.sites[0].bytes >= 128 << 10);
            assert_eq!(lab.total(), before + report.sites[0].bytes, "{end:?} {fault:?}");
        }
    }
    let state = lab.row("s/to").source_state.unwrap();
    assert!(state.segments_lost > 0 && state.mismatches > 0, "{state:?}");
    assert!(state.answers_refused > 0, "{state:?}");
    lab.judge();
    assert!(lab.fetch(6 << 20).failure.is_none());
    lab.store_and_restore(200 << 10);
}

#[test]
fn faults_in_a_row_leave_the_same_key_at_both_ends() {
    faults_leave_the_same_key_at_both_ends(6);
}

#[test]
#[ignore = "long: a minute"]
fn two_hundred_faults_leave_the_same_key_at_both_ends() {
    faults_leave_the_same_key_at_both_ends(50);
}

/// Faults of the deliverer at either end, four to a fetch, with restarts of the site between: what
/// counts is the same at both ends, and each byte is used once.
fn faults_leave_the_same_key_at_both_ends(rounds: u64) {
    const FAULTS: [Fault; 9] = [
        Fault::NotNow,
        Fault::LostRequest,
        Fault::LostAnswer,
        Fault::Repeat,
        Fault::Short,
        Fault::Differ,
        Fault::Discard,
        Fault::Zeros,
        Fault::Shuffle,
    ];
    let mut lab = Lab::new(1 << 20);
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let mut throw = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        usize::try_from(dice % sides as u64).unwrap()
    };
    let mut fetched = 0;
    for round in 0..rounds {
        for _ in 0..4 {
            let end = [End::A, End::B][throw(2)];
            lab.kme.fail(end, [FAULTS[throw(FAULTS.len())]]);
        }
        let goal = FetchGoal::Bytes(128 << 10);
        let report = lab.try_fetch(goal, true).unwrap();
        fetched += report.sites[0].bytes;
        if round % 10 == 4 {
            lab.kme.clear_faults();
            lab.judge();
        }
    }
    lab.kme.clear_faults();
    assert!(fetched > rounds * (64 << 10), "{fetched}");
    assert_eq!(lab.total(), fetched + (2 << 20));
    lab.store_and_restore(200 << 10);
    lab.judge();
}

#[test]
fn key_that_differs_again_and_again_is_fetched_no_more_until_a_person_says_so() {
    let lab = Lab::new(256 << 10);
    lab.kme.fail(End::B, [Fault::Differ; 40]);
    let before = lab.total();
    let report = lab.fetch(1 << 20);
    assert_eq!(error(&report), "kme-mismatch");
    assert_eq!(report.failure.unwrap().class().exit_code(), 12);
    assert_eq!(lab.total(), before, "nothing of it counts");
    let state = lab.row("s/to").source_state.unwrap();
    assert!(state.is_stopped() && state.mismatches == 3, "{state:?}");
    assert_eq!(error(&lab.fetch(1 << 20)), "kme-mismatch", "and it stays so");
    let lab = Lab { kme: lab.kme.clone(), ..lab };
    lab.kme.clear_faults();
    let report = lab.try_fetch(FetchGoal::Bytes(1 << 20), true).unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
}

#[test]
fn a_deliverer_or_site_that_is_away_is_told_and_fetched_from_later() {
    let mut lab = Lab::new(256 << 10);
    lab.kme.fail(End::A, [Fault::NotNow; 200]);
    let report = lab.fetch(64 << 10);
    assert_eq!(error(&report), "kme-away");
    assert_eq!(report.failure.unwrap().class().exit_code(), 6);
    lab.kme.clear_faults();
    lab.daemon = None;
    assert_eq!(error(&lab.fetch(64 << 10)), "site-down");
    lab.start();
    lab.kme.fail(End::B, [Fault::Refuse]);
    assert_eq!(error(&lab.fetch(64 << 10)), "kme-refuses-site");
    let report = lab.fetch(64 << 10);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    lab.judge();
}

#[test]
fn what_is_pending_is_taken_up_by_the_next_fetch() {
    let mut lab = Lab::new(256 << 10);
    lab.kme.fail(End::B, [Fault::NotNow; 60]);
    assert_eq!(error(&lab.fetch(64 << 10)), "kme-away-at-site");
    assert_eq!(names_in(&lab.dir("g"), ".names"), 1);
    lab.kme.clear_faults();
    let waiting = lab.kme.waiting();
    let report = lab.fetch(64 << 10);
    assert_eq!((report.sites[0].segments, report.failure.is_none()), (1, true));
    assert!(waiting > 0 && lab.kme.waiting() == 0, "the same keys, not others");
    lab.judge();
}

/// Key that the site's KME never gives would keep all other key away for ever.
#[test]
fn what_is_pending_for_too_long_is_given_up() {
    let mut lab = Lab::new(256 << 10);
    lab.kme.fail(End::B, [Fault::Refuse; 3]);
    for _ in 0..2 {
        assert_eq!(error(&lab.fetch(64 << 10)), "kme-refuses-site");
    }
    let since = lab.row("s/to").source_state.unwrap().pending_unix_s.unwrap();
    let path = found(&lab.dir("g"), "delivery.json").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&since.to_string(), &(since - 3600).to_string())).unwrap();
    let before = lab.total();
    let report = lab.fetch(64 << 10);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(report.sites[0].segments_lost, 1);
    assert_eq!(lab.total(), before + report.sites[0].bytes);
    assert_eq!(lab.row("s/to").source_state.unwrap().pending_unix_s, None);
    assert_eq!(names_in(lab.root.path(), ".pending") + names_in(lab.root.path(), ".names"), 0);
    lab.judge();
}

/// The site has added what the restored gateway still holds for pending: no dead end.
#[test]
fn a_gateway_restored_with_a_pending_segment_goes_on() {
    let mut lab = Lab::new(256 << 10);
    lab.kme.fail(End::B, [Fault::Refuse]);
    assert_eq!(error(&lab.fetch(64 << 10)), "kme-refuses-site");
    copy(&lab.dir("g"), &lab.dir("older"));
    assert_eq!(lab.fetch(64 << 10).sites[0].segments, 1);
    std::fs::remove_dir_all(lab.dir("g")).unwrap();
    std::fs::rename(lab.dir("older"), lab.dir("g")).unwrap();
    assert_eq!(names_in(&lab.dir("g"), ".names"), 1);
    lab.gateway().doctor(true).unwrap();
    let report = lab.fetch(128 << 10);
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!((report.sites[0].segments_lost, report.sites[0].bytes), (1, 128 << 10));
    assert_eq!(names_in(lab.root.path(), ".pending") + names_in(lab.root.path(), ".names"), 0);
    lab.judge();
    lab.store_and_restore(60 << 10);
}

#[test]
fn waiting_for_a_deliverer_spends_no_key() {
    let mut lab = Lab::new(256 << 10);
    let left = |lab: &Lab| lab.row("s/to").bytes_left + lab.row("s/from").bytes_left;
    let before = left(&lab);
    lab.kme.fail(End::A, [Fault::NotNow; 200]);
    assert_eq!(error(&lab.fetch(64 << 10)), "kme-away");
    let spent = before - left(&lab);
    assert!(spent < 8 << 10, "one hello and its end, however often the KME was asked: {spent}");
    lab.judge();
}

#[test]
fn whoever_follows_rests_at_the_watermark() {
    let mut lab = Lab::new(64 << 10);
    let stop = AtomicBool::new(false);
    let request = FetchRequest {
        sites: vec![name("s")],
        goal: FetchGoal::Watermark(Some(200 << 10)),
        follow: true,
        patience: Duration::ZERO,
        accept_mismatch: false,
    };
    let gateway = lab.gateway();
    let left = || lab.row("s/to").bytes_left.min(lab.row("s/from").bytes_left);
    std::thread::scope(|scope| {
        let (request, stop) = (&request, &stop);
        let following =
            scope.spawn(move || gateway.fetch(request, Watch { progress: &mut |_| (), stop }));
        while left() < 190 << 10 {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_secs(1));
        let rested = (lab.total(), left());
        std::thread::sleep(Duration::from_secs(7));
        assert_eq!((lab.total(), left()), rested, "neither fetched nor spent");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(following.join().unwrap().unwrap().failure.is_none());
    });
    lab.judge();
}

#[test]
fn without_a_deliverer_it_says_so() {
    let lab = Lab::new(64 << 10);
    let request = FetchRequest {
        sites: Vec::new(),
        goal: FetchGoal::Bytes(1),
        follow: false,
        patience: Duration::ZERO,
        accept_mismatch: false,
    };
    let gateway = Vault::open(&lab.dir("g")).unwrap();
    let failure = watched(|watch| gateway.fetch(&request, watch)).unwrap_err();
    assert_eq!(failure.code(), "kme-missing");
}

/// These tests are of something else than consent.
fn no_consent() -> ConsentPolicy {
    ConsentPolicy::not_enforced("a test of something else")
}
