//! Vaults from before persons decided, and sites at which they do not: what is asked there.

use serde_json::Value;
use std::path::Path;
use warifu_e2e::{Lab, LabShape, Persons, change_settings, refused, sample};

const SHAPE: LabShape = LabShape {
    sites: 3,
    key_bytes: 48 << 20,
    random_bytes: 1 << 20,
    lease_bytes: Some(4 << 20),
    proxied: false,
    is_consent_asked: false,
};

/// Whether persons decide at a vault from now on.
fn set_enforce(vault: &Path, enforce: bool) {
    change_settings(vault, &format!("enforce = {}", !enforce), &format!("enforce = {enforce}"));
}

fn findings(lab: &Lab) -> Vec<String> {
    let found = lab.ask(&["doctor"]);
    let told = |finding: &Value| finding["what"].as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(told).collect()
}

#[test]
fn what_was_stored_before_persons_decided_waits_for_its_persons_card() {
    let mut persons = Persons { lab: Lab::new(SHAPE) };
    let data = sample(7, 1_300_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    // Sites that knew of no persons had no register.
    for site in &mut persons.lab.sites {
        site.stop();
        set_enforce(&site.vault, true);
        for file in ["register.sqlite", "register.sqlite-wal", "register.sqlite-shm"] {
            let _absent = std::fs::remove_file(site.vault.join(file));
        }
        site.start();
    }
    set_enforce(&persons.lab.gateway, true);
    for person in ["P1", "P2"] {
        persons.new_card(person, &[]);
    }
    for site in &persons.lab.sites {
        persons.pin(&site.vault);
    }
    refused(persons.lab.restore(&object), "consent-missing");
    assert!(findings(&persons.lab).iter().any(|what| what.starts_with("P1 has no card")));
    // Whoever agrees is nobody yet, at this gateway and at every site.
    let early = persons.grant(("P1", &object), "gateway", "early.jws", &[]);
    refused(persons.restore(&object, &early, "P1", &[]), "consent-unbound");
    let card = persons.card("P1");
    let row = persons.lab.ask(&["individual", "enroll", "P1", "--card", &card]);
    assert_eq!(row["card"]["kind"], "software", "{row}");
    assert!(!findings(&persons.lab).iter().any(|what| what.contains("has no card")));
    refused(persons.restore(&object, &early, "P2", &[]), "consent-person");
    let (done, got) = persons.restore(&object, &early, "P1", &[]);
    let _done = done.ok();
    assert!(got.unwrap() == data, "what is older comes back whole");
    let _used_once = persons.lab.expect_key_used_once();
}

#[test]
fn where_sites_do_not_ask_the_gateway_is_the_judge() {
    let mut persons = Persons::new(LabShape { is_consent_asked: true, ..SHAPE });
    let data = sample(7, 200_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    for site in &mut persons.lab.sites {
        site.stop();
        set_enforce(&site.vault, false);
        // It trusts no card either: what it thinks of a consent is no longer heard.
        std::fs::remove_dir_all(site.vault.join("trust")).unwrap();
        site.start();
    }
    refused(persons.lab.restore(&object), "consent-missing");
    let once = persons.grant(("P1", &object), "gateway", "once.jws", &["--single-use"]);
    refused(persons.restore(&object, &once, "P2", &[]), "consent-person");
    let (done, got) = persons.restore(&object, &once, "P1", &[]);
    let _done = done.ok();
    assert!(got.unwrap() == data);
    refused(persons.restore(&object, &once, "P1", &[]), "consent-used");
    // Also where nothing is pinned at this gateway.
    std::fs::remove_dir_all(persons.lab.gateway.join("trust")).unwrap();
    refused(persons.restore(&object, &once, "P1", &[]), "consent-used");
    let again = persons.grant(("P1", &object), "gateway", "again.jws", &[]);
    let (done, got) = persons.restore(&object, &again, "P1", &[]);
    let _done = done.ok();
    assert!(got.unwrap() == data);
}
