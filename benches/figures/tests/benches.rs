//! Each bench, small: that its figures are whole, and that a run differs from itself in nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::AtomicBool;
use warifu_figures::{
    BackendSettings, BenchError, Clock, Figure, KernelSettings, KeysSettings, LinkSettings,
    Machine, Pace, PipelineSettings, Report, Sites, Taken, backend, compare, kernel, keys, link,
    pipeline,
};
use warifu_kernels::Isa;

const ROUNDS: usize = 3;

fn paced<T>(stop: bool, work: impl FnOnce(Pace<'_>) -> T) -> T {
    work(Pace { rounds: ROUNDS, quick: true, stop: &AtomicBool::new(stop) })
}

fn link_settings() -> LinkSettings {
    LinkSettings { bytes: 2 << 20, isa: Isa::best() }
}

fn pipeline_settings(sites: &[Sites]) -> PipelineSettings {
    PipelineSettings {
        bytes: (2 << 20) + 77,
        threshold: "3/5".parse().unwrap(),
        sites: sites.to_vec(),
        folder: std::env::temp_dir(),
    }
}

fn backend_settings() -> BackendSettings {
    BackendSettings { folder: std::env::temp_dir(), share_bytes: (1 << 20) + 5, shares: 3 }
}

/// What every figure must say, whatever it is of.
fn expect_whole(taken: &Taken, bench: &str, names: &[&str]) {
    let found: Vec<&str> = taken.figures.iter().map(|figure| figure.figure.as_str()).collect();
    assert_eq!(found, names);
    for figure in &taken.figures {
        let Figure { gb_per_s, ratio, .. } = figure;
        assert_eq!((figure.bench.as_str(), figure.rounds), (bench, ROUNDS));
        for spread in [gb_per_s, ratio] {
            assert!(0.0 < spread.least && spread.least <= spread.median, "{figure:?}");
            assert!(spread.median <= spread.most && spread.most.is_finite(), "{figure:?}");
        }
        assert!(!figure.divided_by.is_empty() && !figure.of.is_empty() && figure.bytes > 0);
    }
    assert!(taken.limits.iter().all(|limit| limit.g_per_s.median > 0.0));
    let report = Report::new(
        Machine::here(),
        true,
        vec![Taken { limits: taken.limits.clone(), figures: taken.figures.clone() }],
    );
    let read = Report::parse(&serde_json::to_string(&report).unwrap()).unwrap();
    let found = compare(&read, &report);
    assert_eq!((found.slower, found.faster, found.differences.len()), (0, 0, names.len()));
    assert!(found.is_like && found.only_in_one.is_empty());
}

#[test]
fn kernels_are_measured_at_every_level_under_their_roofs() {
    let settings = KernelSettings { isas: vec![Isa::best()] };
    let taken = paced(false, |pace| kernel(&settings, pace)).unwrap();
    let level = [
        "xor",
        "split-2-3",
        "split-all-2-3",
        "join-2",
        "split-3-5",
        "split-all-3-5",
        "join-3",
        "split-4-7",
        "split-all-4-7",
        "join-4",
        "split-6-10",
        "split-all-6-10",
        "join-6",
        "poly",
    ];
    expect_whole(&taken, "kernel", &level.repeat(3));
    let levels: Vec<&str> = taken.figures.iter().map(|figure| figure.at.as_str()).collect();
    assert_eq!([levels[0], levels[14], levels[28]], ["l1", "l2", "dram"]);
    for figure in &taken.figures {
        let roof = figure.roof.as_ref().unwrap();
        assert!(roof.gb_per_s > 0.0 && !roof.formula.is_empty());
        assert!((roof.reached - figure.gb_per_s.median / roof.gb_per_s).abs() < 1e-6);
    }
    assert!(taken.limits.iter().any(|limit| limit.limit == "cycles" && limit.at == "core"));
}

#[test]
fn an_object_goes_to_every_kind_of_site_and_comes_back() {
    let settings = pipeline_settings(&[Sites::Null, Sites::Memory, Sites::Folder]);
    let taken = paced(false, |pace| pipeline(&settings, pace)).unwrap();
    let (backup, restore) = ("backup-3-5", "restore-3-5");
    expect_whole(&taken, "pipeline", &[backup, backup, restore, backup, restore]);
    assert!(taken.figures.iter().all(|one| one.copied_bytes.is_some()));
    assert!(taken.figures.iter().all(|one| one.processor_s_per_gb.is_some_and(|s| s > 0.0)));
}

#[test]
fn shares_are_put_and_got_with_their_latencies() {
    let taken = paced(false, |pace| backend(&backend_settings(), pace)).unwrap();
    expect_whole(&taken, "backend", &["put", "get"]);
    for figure in &taken.figures {
        let latency = figure.latency.unwrap();
        assert_eq!(latency.operations, 3 * ROUNDS as u64);
        assert!(latency.p50_us <= latency.p99_us && latency.p99_us <= latency.p999_us);
        assert!(latency.p999_us <= latency.max_us && latency.max_us > 0.0);
    }
}

#[test]
fn frames_are_sealed_carried_and_opened() {
    let taken = paced(false, |pace| link(&link_settings(), pace)).unwrap();
    expect_whole(&taken, "link", &["seal", "open", "frames"]);
    assert_eq!(taken.figures[2].clock, Clock::Wall);
}

#[test]
fn key_is_used_up_and_the_ledger_says_so() {
    let settings = KeysSettings { bytes: 3 << 20, folder: None };
    let taken = paced(false, |pace| keys(&settings, pace)).unwrap();
    expect_whole(&taken, "keys", &["lease", "take", "zeroise", "erase", "whole"]);
    let on_disk = KeysSettings { folder: Some(std::env::temp_dir()), ..settings };
    let taken = paced(false, |pace| keys(&on_disk, pace)).unwrap();
    assert_eq!(taken.figures.len(), 5);
}

#[test]
fn what_can_not_be_measured_is_refused_and_a_stop_is_heard() {
    let setting = |outcome: Result<Taken, BenchError>| {
        assert!(matches!(outcome, Err(BenchError::Setting { .. })), "no setting was refused");
    };
    let no_shares = BackendSettings { shares: 0, ..backend_settings() };
    setting(paced(false, |pace| backend(&no_shares, pace)));
    let no_bytes = KeysSettings { bytes: 0, folder: None };
    setting(paced(false, |pace| keys(&no_bytes, pace)));
    setting(paced(false, |pace| link(&LinkSettings { bytes: 1, ..link_settings() }, pace)));
    let tiny = PipelineSettings { bytes: 1, ..pipeline_settings(&[Sites::Null]) };
    setting(paced(false, |pace| pipeline(&tiny, pace)));
    let huge = PipelineSettings { bytes: 64 << 30, ..pipeline_settings(&[Sites::Memory]) };
    let refused = paced(false, |pace| pipeline(&huge, pace));
    assert!(matches!(refused, Err(BenchError::Room { .. })), "there is no such room");
    let stopped = paced(true, |pace| link(&link_settings(), pace));
    assert!(matches!(stopped, Err(BenchError::Stopped)));
}
