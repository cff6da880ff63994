//! The policy of the settings and drained sites, on paper and in backups.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use warifu_core::SiteName;
use warifu_vault::{Compression, EstimateRequest, Placement, PlacementRequest, Vault};

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn placement(gateway: &Vault, pins: &[&str]) -> Placement {
    let request = PlacementRequest {
        inputs: EstimateRequest {
            paths: Vec::new(),
            stream_bytes: Some(100_000),
            compression: Compression::None,
            pad: false,
            is_counted: false,
            threshold: "2/3".parse().unwrap(),
            overrides: Vec::new(),
            pins: pins.iter().map(|pin| name(pin)).collect(),
            exclusions: Vec::new(),
            is_offline: true,
        },
        manifest: None,
    };
    gateway.placement(&request).unwrap()
}

#[test]
fn policy_and_drains_hold_for_plans_and_backups() {
    let mut lab = Rooms::new(4, 8 << 20);
    let dir = lab.root.path().join("g");
    let config = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    let policy = "\n[placement]\nexclude = [\"zone:s0\"]\nspeeds = [\"s3=1MB\"]\n";
    std::fs::write(dir.join("config.toml"), format!("{config}{policy}")).unwrap();
    lab.gateway = Vault::open(&dir).unwrap();
    let left = |gateway: &Vault| -> Vec<_> {
        gateway
            .key_status()
            .unwrap()
            .iter()
            .map(|pool| (pool.bytes_left, pool.bytes_leased))
            .collect()
    };
    let before = left(&lab.gateway);
    let planned = placement(&lab.gateway, &[]);
    assert_eq!(left(&lab.gateway), before, "a plan spends nothing");
    assert!(planned.refusal.is_none());
    let report = planned.report;
    assert_eq!(report.shares[0].site, "s3", "the slowest network gets the pad");
    assert!(report.shares.iter().all(|share| share.site != "s0"));
    let why = &report.sites[0].why;
    assert!(why.contains("placement.exclude \"zone:s0\", line "), "{why}");
    assert!(report.fits_more > 5 && report.sites[1].is_chosen);

    let (stored, _) = lab.store(100_000, "2/3");
    let sites: Vec<_> = stored.shares.iter().map(|share| share.site.as_str()).collect();
    assert_eq!(sites, report.shares.iter().map(|share| &share.site).collect::<Vec<_>>());

    assert!(lab.gateway.drain_site(&name("s1"), true).unwrap().drained);
    let drained = placement(&lab.gateway, &[]);
    assert!(drained.refusal.is_some() && drained.report.shares.is_empty());
    assert!(drained.report.sites[1].why.contains("draining"), "{:?}", drained.report.sites[1]);
    assert!(drained.report.sites[2].why.contains("no whole set"));
    let pinned = placement(&lab.gateway, &["s0"]);
    assert!(pinned.refusal.is_none(), "who asks for a site gets it whatever the policy says");
    assert!(!lab.gateway.drain_site(&name("s1"), false).unwrap().drained);
    assert!(placement(&lab.gateway, &[]).refusal.is_none());
}
