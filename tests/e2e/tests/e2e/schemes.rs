//! Which schemes work, and which are refused.

use serde_json::json;
use warifu_e2e::{Backup, Lab, LabShape, sample};

#[test]
fn schemes_in_use_work_and_nonsense_is_refused() {
    let shape = LabShape { sites: 10, key_bytes: 6 << 20, ..LabShape::default() };
    let mut lab = Lab::new(shape);
    let data = sample(2, 300_000);
    let path = lab.file("in", &data);
    let mut objects = Vec::new();
    for (scheme, k, n) in [("2/3", 2, 3), ("3/5", 3, 5), ("4/7", 4, 7), ("6/10", 6, 10)] {
        let report = lab.backup(Backup::of(&path, scheme)).ok().json();
        assert_eq!((&report["k"], &report["n"]), (&json!(k), &json!(n)));
        assert_eq!(report["tolerates_corrupt_sites"], k - 1);
        objects.push((report["object"].as_str().unwrap().to_owned(), k, n));
    }
    for scheme in ["1/3", "4/3", "3/256", "0/0", "3", "3/5/7", "-1/3"] {
        let refused = lab.backup(Backup::of(&path, scheme)).exits(2);
        assert_eq!(refused.exit_line()["code"], 2, "{scheme}");
    }
    // Of each object as many sites are lost as may be: those that hold it.
    for (object, k, n) in objects {
        let shown = lab.ask(&["show", &object]);
        let shares = shown["shares"].as_array().unwrap();
        assert_eq!(shares.len(), n);
        let lost: Vec<usize> = (0..lab.sites.len())
            .filter(|&site| shares.iter().any(|share| share["site"] == lab.sites[site].name))
            .take(n - k)
            .collect();
        lost.iter().for_each(|&site| lab.sites[site].stop());
        lab.expect_back(&object, &data);
        lost.iter().for_each(|&site| lab.sites[site].start());
    }
}

#[test]
fn all_of_all_needs_an_override_that_is_recorded() {
    let lab = Lab::new(LabShape { sites: 2, key_bytes: 4 << 20, ..LabShape::default() });
    let data = sample(3, 50_000);
    let path = lab.file("in", &data);
    let refused = lab.backup(Backup::of(&path, "2/2")).exits(2);
    assert_eq!(refused.exit_line()["retryable"], false);
    assert!(lab.listed().is_empty());
    let more = ["--override", "zone=the third site is being built"];
    let backup = Backup { more: &more, ..Backup::of(&path, "2/2") };
    let report = lab.backup(backup).ok().json();
    let object = report["object"].as_str().unwrap();
    let shown = lab.ask(&["show", object]);
    assert_eq!(shown["overridden"], json!(["zone: the third site is being built"]));
    let warning = "consent is not enforced here (a test of something else)";
    assert_eq!(shown["consent_warning"], warning);
    let text = lab.run(&["show", object]).ok();
    assert!(String::from_utf8_lossy(&text.stdout).contains(&format!("WARNING     {warning}\n")));
    lab.expect_back(object, &data);
}
