//! Tiny scenarios whose every figure was computed by hand.

use super::*;

/// What a share of a file of 1,000,000 bytes takes at most at 2 of 3, in one direction: that of a
/// pad share, to its site. By FORMAT.md:
///
/// - payload: 64 + 128 + 1,000,000 + 96 bytes, in steps of 4,096: 1,003,520
/// - capsule: a head of 4,944 and three verdicts of 80: 5,184
/// - sent: payload, capsule, 128 beside each, 192 to begin and commit, 20 for attempts: 1,009,172;
///   with a 1,024th and 16 KiB of slack: 1,026,541
/// - kept for a restore: two reads of 96 and two leases of 112, with 16 KiB of slack: 16,800
const SHARE_BYTES: u64 = 1_043_341;

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 86_400;

fn three_sites(head: &str, site: &str) -> String {
    let rows: String = ["a", "b", "c"]
        .iter()
        .map(|name| format!("[[site]]\nname = \"{name}\"\n{site}\n"))
        .collect();
    format!(
        "v = 1\nname = \"tiny\"\nmonths = 1\nscheme = \"2/3\"\n{head}\n[arrivals]\n\
         per_day = 0.1\npattern = \"fixed\"\nsize = 1000000\n{rows}"
    )
}

#[test]
fn three_files_wait_for_key_just_as_long_as_it_takes_to_come() {
    // A byte a second in each direction, files on days 5, 15 and 25. The first is stored at the
    // first full hour when its share is there, the second when twice as much came, the third has
    // no chance within the month.
    let text = three_sites("", "rate_to = \"8bit/s\"\nrate_from = \"8bit/s\"");
    let hour_after = |bytes: u64| bytes.div_ceil(HOUR_S) * HOUR_S;
    let waits_s =
        [hour_after(SHARE_BYTES) - 5 * DAY_S, hour_after(2 * SHARE_BYTES) - 15 * DAY_S, 5 * DAY_S];
    for policy in Policy::ALL {
        let report = one(&text, policy);
        assert_eq!((report.stored, report.waiting, report.refused), (2, 1, 0), "{policy}");
        assert_eq!(report.stored_bytes, 2_000_000);
        assert_eq!(report.first_short_day, Some(5.0));
        let hours = waits_s.map(|wait_s| wait_s as f64 / 3600.0);
        let mean = hours.iter().sum::<f64>() / 3.0;
        assert!((report.wait.mean_hours - mean).abs() < 1e-9, "{:?}", report.wait);
        assert_eq!(hours, [170.0, 220.0, 120.0]);
        assert_eq!(report.wait.max_hours, hours[1]);
        // Of three, the second is the median; a histogram of three digits is off by 1 in 1,000.
        assert!((report.wait.p50_hours / hours[0] - 1.0).abs() < 1e-3, "{:?}", report.wait);
        assert_eq!(report.wait.p95_hours, hours[1]);
        // Ascending: 5 days, the first, the second.
        let weighted = hours[2] + 2.0 * hours[0] + 3.0 * hours[1];
        let gini = 2.0 * weighted / (3.0 * 3.0 * mean) - 4.0 / 3.0;
        assert!((report.wait_gini - gini).abs() < 1e-9, "{}", report.wait_gini);
        for site in &report.per_site {
            assert_eq!(site.shares, 2);
            for key in [site.to_site, site.from_site] {
                assert_eq!((key.initial_bytes, key.arrived_bytes), (0, 30 * DAY_S));
                assert_eq!(key.spent_bytes + key.left_bytes, 30 * DAY_S);
            }
            // Content goes one way for the backup, and comes the other way for a restore.
            assert!(site.to_site.spent_bytes > 2_000_000 && site.from_site.spent_bytes < 100_000);
            assert!(site.from_site.reserved_bytes > 2_000_000);
        }
        let stored: Vec<usize> = report.days.iter().map(|sample| sample.stored).collect();
        let second_day = usize::try_from(hour_after(2 * SHARE_BYTES).div_ceil(DAY_S)).unwrap();
        assert_eq!((stored.len(), stored[second_day - 1], stored[second_day]), (31, 1, 2));
    }
}

#[test]
fn a_share_costs_what_the_planner_says() {
    let scenario = scenario(&three_sites("", ""));
    let weather = Weather::new(&scenario, 1);
    let costs = run::Costs::of(&scenario, &weather.files[0]);
    assert_eq!(costs.most_bytes, SHARE_BYTES);
    assert_eq!(costs.pad.to_site_bytes, SHARE_BYTES);
}

#[test]
fn what_does_not_fit_is_refused_where_nobody_waits() {
    let report = one(&three_sites("queue = \"refuse\"", "key = 1043341"), Policy::Forecast);
    assert_eq!((report.stored, report.waiting, report.refused), (1, 0, 2));
    assert_eq!(report.first_short_day, Some(15.0));
    assert_eq!(report.wait.max_hours, 0.0);
}

#[test]
fn what_is_kept_gives_one_restore_of_everything_and_no_more() {
    // Key for three files and not a byte more: none of what is kept was used for a backup.
    let text =
        |per_day: &str| three_sites(&format!("restores_per_day = {per_day}"), "key = 3130023");
    let report = one(&text("0"), Policy::Forecast);
    assert_eq!((report.stored, report.waiting, report.key_left_bytes < 10_000), (3, 0, true));
    for site in &report.per_site {
        assert!(site.to_site.left_bytes >= site.to_site.reserved_bytes);
        assert!(site.from_site.left_bytes >= site.from_site.reserved_bytes);
    }
    // Each restore takes a share's reserve at two of three sites, and the files behind have to
    // wait: what is kept for what is stored is made up first.
    let report = one(&text("5"), Policy::Forecast);
    assert!(report.stored < 3, "{report:?}");
    assert!(report.restores.served >= 1 && report.restores.failed_key_short > 0);
    assert_eq!(report.restores.failed, report.restores.failed_key_short);
}

#[test]
fn a_lost_site_takes_its_shares_and_its_key_with_it() {
    let away = "restores_per_day = 3\n[[site]]\nname = \"d\"\nkey = \"1GB\"\n\
                loss = { day = 10, back_day = 20, back_key = \"2GB\" }\n\
                [[site]]\nname = \"e\"\nkey = \"1GB\"\nloss = { day = 10 }\n\
                [[site]]\nname = \"f\"\nkey = \"1GB\"\n";
    let text = format!(
        "v = 1\nname = \"tiny\"\nmonths = 1\nscheme = \"2/3\"\n{away}\n[arrivals]\n\
         per_day = 0.1\npattern = \"fixed\"\nsize = 1000000\n"
    );
    let report = one(&text, Policy::Fixed);
    // The file of day 5 is stored; two of its three sites go on day 10. Those of day 15 and 25
    // find two sites at most, and two are one too few.
    assert_eq!((report.stored, report.waiting), (1, 2));
    assert_eq!((report.degraded, report.unrecoverable), (1, 1));
    assert!(report.restores.served > 0 && report.restores.failed_unrecoverable > 0);
    assert_eq!(report.restores.failed, report.restores.failed_unrecoverable);
    let key = |at: usize| report.per_site[at].to_site;
    assert_eq!(report.per_site.iter().map(|site| site.shares).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!((key(0).left_bytes, key(0).arrived_bytes), (2_000_000_000, 2_000_000_000));
    assert_eq!(key(0).lost_bytes + key(0).spent_bytes, 1_000_000_000);
    assert_eq!((key(1).left_bytes, key(1).reserved_bytes), (0, 0));
}

#[test]
fn nights_outages_and_couriers_count_to_the_second() {
    // 800 bit/s and half of it by night: 100 B/s for 12 hours, 50 B/s for 12; two days without a
    // link; 1 MB on days 7, 14, 21 and 28, the second in vain as the site is lost then.
    let site = "rate_to = \"800bit/s\"\nrate_from = \"80bit/s\"\nnight = 0.5\n\
                outages = [{ day = 1, days = 2 }, { day = 2, days = 1, of = \"site\" }]\n\
                courier = { every_days = 7, bytes = 1000000 }\n\
                loss = { day = 13.5, back_day = 14.5 }\n";
    let report = one(&three_sites("", site), Policy::Forecast);
    let seconds = 30 * DAY_S - 2 * DAY_S - DAY_S;
    let arrived = seconds / 2 * 100 + seconds / 2 * 50 + 3_000_000;
    assert_eq!(report.per_site[0].to_site.arrived_bytes, arrived);
    let arrived = seconds / 2 * 10 + seconds / 2 * 5 + 3_000_000;
    assert_eq!(report.per_site[0].from_site.arrived_bytes, arrived);
}

#[test]
fn a_local_site_is_never_short() {
    let text = three_sites("", "key = 1043341").replacen("key = 1043341", "channel = \"local\"", 1);
    let report = one(&text, Policy::Forecast);
    assert_eq!((report.stored, report.waiting), (1, 2));
    assert!(report.per_site[0].is_local && report.per_site[0].to_site.spent_bytes == 0);
}
