//! The policy of the settings and drained sites, on paper and in backups.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::Rooms;
use warifu_core::SiteName;
use warifu_vault::{
    Compression, EstimateRequest, NewSite, Placement, PlacementReport, PlacementRequest,
    PlacementSite, Vault,
};

fn name(text: &str) -> SiteName {
    text.parse().unwrap()
}

fn placement(gateway: &Vault, pins: &[&str]) -> Placement {
    gateway.placement(&asked(pins)).unwrap()
}

fn asked(pins: &[&str]) -> PlacementRequest {
    PlacementRequest {
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
        individual: None,
        label: None,
    }
}

/// Opens the gateway anew, with more settings.
fn under(lab: &mut Rooms, settings: &str) {
    let dir = lab.root.path().join("g");
    let config = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    std::fs::write(dir.join("config.toml"), format!("{config}{settings}")).unwrap();
    lab.gateway = Vault::open(&dir).unwrap();
}

#[test]
fn policy_and_drains_hold_for_plans_and_backups() {
    let mut lab = Rooms::new(4, 8 << 20);
    under(&mut lab, "\n[placement]\nexclude = [\"zone:s0\"]\nspeeds = [\"s3=1MB\"]\n");
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

/// Two sites in each of three zones, the first ones of one institution.
fn zoned() -> Rooms {
    let lab = Rooms::new(0, 64 << 20);
    for number in 0..6 {
        let site = format!("s{number}");
        let url = format!("file://{}", lab.root.path().join(&site).display());
        let zone = Some(name(&format!("zone-{}", number / 2)));
        let domain = Some(if number == 0 { name("telco") } else { name(&site) });
        let new = NewSite { name: name(&site), url, zone, domain, channel: None };
        let _added = lab.gateway.add_site(&new).unwrap();
    }
    let _enrolled = lab.gateway.enroll(&"P2".parse().unwrap()).unwrap();
    lab
}

fn sites(report: &PlacementReport) -> Vec<&str> {
    let mut sites: Vec<_> = report.shares.iter().map(|share| share.site.as_str()).collect();
    sites.sort_unstable();
    sites
}

#[test]
fn an_individual_and_a_label_have_rules_of_their_own() {
    let mut lab = zoned();
    under(
        &mut lab,
        "[placement]\nexclude = [\"s1\"]\n[placement.individual.P2]\npin = [\"s1\"]\n\
         exclude = [\"domain:telco\", \"zone:zone-2\"]\n[placement.label.study]\n\
         pin = [\"s5\", \"s2\"]\n",
    );
    let of = |individual: Option<&str>, label: Option<&str>| {
        let individual = individual.map(|id| id.parse().unwrap());
        let label = label.map(str::to_owned);
        lab.gateway.placement(&PlacementRequest { individual, label, ..asked(&[]) }).unwrap()
    };
    let all = of(None, None).report;
    assert!(all.sites[1].why.contains("placement.exclude \"s1\", line "), "{:?}", all.sites[1]);
    assert_eq!(sites(&all), sites(&of(Some("P1"), None).report), "P1 has no table");
    // P2's own table goes before what holds for all, and keeps a zone and an institution out.
    let own = of(Some("P2"), None).report;
    let why = |number: usize| own.sites[number].why.as_str();
    assert!(why(0).contains("individual.P2.exclude \"domain:telco\", line "), "{}", why(0));
    assert!(why(4).contains("individual.P2.exclude \"zone:zone-2\", line "), "{}", why(4));
    // Two of zone-1 are too many for 2 of 3, and no third zone is left.
    assert!(own.shares.is_empty());
    // A label's table yields where P2's keeps its site out.
    let study = of(Some("P1"), Some("study")).report;
    assert!(["s2", "s5"].iter().all(|site| sites(&study).contains(site)));
    assert!(study.sites[5].why.contains("pinned by placement.label.study.pin, line "));
    let both = of(Some("P2"), Some("study")).report;
    assert!(both.sites[5].why.contains("individual.P2.exclude"), "{}", both.sites[5].why);
    // What is asked for goes before all of them.
    let request = PlacementRequest { individual: Some("P2".parse().unwrap()), ..asked(&["s4"]) };
    let pinned = lab.gateway.placement(&request).unwrap().report;
    assert!(sites(&pinned).contains(&"s4") && sites(&pinned).contains(&"s1"), "{pinned:?}");
    let why = |number: usize| pinned.sites[number].why.as_str();
    assert!(why(1).contains("pinned by placement.individual.P2.pin, line "), "{}", why(1));
    assert!(why(4).contains("pinned by --pin"), "{}", why(4));

    // The backup goes by the same rules.
    let path = lab.root.path().join("in");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    let stored = lab.store_file_for(&path, "2/3", "P1", Some("study"));
    let at: Vec<&str> = stored.shares.iter().map(|share| share.site.as_str()).collect();
    assert!(at.contains(&"s2") && at.contains(&"s5") && !at.contains(&"s1"), "{at:?}");
}

#[test]
fn a_zone_may_hold_fewer_shares_than_the_scheme_bears() {
    let mut lab = zoned();
    let of_four = |lab: &Rooms| {
        let mut request = asked(&[]);
        request.inputs.threshold = "2/4".parse().unwrap();
        lab.gateway.placement(&request).unwrap()
    };
    assert!(of_four(&lab).refusal.is_none(), "two in a zone are what 2 of 4 bears");
    under(&mut lab, "[placement]\nmax_per_zone = 1\n");
    let tight = of_four(&lab);
    assert_eq!(tight.report.max_per_zone, Some(1));
    let refusal = tight.refusal.unwrap();
    assert_eq!(refusal.code(), "zone-rule");
    let text = std::error::Error::source(&refusal).map_or_else(String::new, ToString::to_string);
    assert!(format!("{refusal} {text}").contains("max_per_zone"), "{refusal} {text}");
    let three = placement(&lab.gateway, &[]);
    assert!(three.refusal.is_none());
    let full = three.report.sites.iter().filter(|site| !site.is_chosen);
    let told = |site: &PlacementSite| site.why.contains("see placement.max_per_zone, line ");
    assert!(full.clone().count() == 3 && full.clone().all(told), "{:?}", three.report.sites);
    let (stored, _) = lab.store(100_000, "2/3");
    let mut zones: Vec<u32> =
        (stored.shares.iter()).map(|share| share.site[1..].parse::<u32>().unwrap() / 2).collect();
    zones.sort_unstable();
    assert_eq!(zones, [0, 1, 2]);
}
