//! Objects of every awkward size come back from any k of their sites, and cost what they should.

use warifu_e2e::{Backup, Lab, LabShape, sample};

const MIB: usize = 1 << 20;

/// The payload of an object is longer than its data by names, trailer and padding, at most.
const PAYLOAD_EXTRA_BYTES: u64 = 2 * 4096;

#[test]
fn any_two_of_five_sites_may_burn() {
    let sizes = [0, 1, 4095, 4096, 4097, MIB - 1, MIB, MIB + 1];
    let pairs: Vec<(usize, usize)> =
        (0..5).flat_map(|one| (one + 1..5).map(move |other| (one, other))).collect();
    let mut lab = Lab::new(LabShape { key_bytes: 64 << 20, ..LabShape::default() });
    let mut objects = Vec::new();
    for (number, &bytes) in sizes.iter().enumerate() {
        let data = sample(number as u64, bytes);
        let path = lab.file(&format!("in-{bytes}"), &data);
        let report = lab.backup(Backup::of(&path, "3/5")).ok().json();
        assert_eq!(report["bytes"].as_u64().unwrap(), bytes as u64);
        let stored_bytes = report["stored_bytes"].as_u64().unwrap();
        assert!(stored_bytes <= bytes as u64 + PAYLOAD_EXTRA_BYTES, "{report}");
        objects.push((report["object"].as_str().unwrap().to_owned(), data));
    }
    for (number, (one, other)) in pairs.into_iter().enumerate() {
        let aside = |lab: &Lab, site: usize| lab.sites[site].vault.join("away");
        for site in [one, other] {
            lab.sites[site].stop();
            std::fs::rename(lab.sites[site].store(), aside(&lab, site)).unwrap();
            lab.sites[site].start();
        }
        // Every pair sees two sizes, so that every size sees at least two pairs.
        for (object, data) in [&objects[number % sizes.len()], &objects[(number + 5) % sizes.len()]]
        {
            let report = lab.expect_back(object, data);
            assert_eq!(report["sites"].as_array().unwrap().len(), 3);
        }
        for site in [one, other] {
            lab.sites[site].stop();
            std::fs::remove_dir_all(lab.sites[site].store()).unwrap();
            std::fs::rename(aside(&lab, site), lab.sites[site].store()).unwrap();
            lab.sites[site].start();
        }
    }
    let _summary = lab.expect_key_used_once();
}
