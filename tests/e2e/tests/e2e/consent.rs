//! Persons decide: what a restore needs, who may have it, and that nobody gets anything else.

mod logs;
mod recorded;
mod strangers;
mod takeover;
mod tokens;

use serde_json::Value;
use std::path::Path;
use warifu_e2e::{
    Done, LabShape, Persons, Running, change_settings, refused, refused_command, sample,
};

const SHAPE: LabShape = LabShape {
    sites: 3,
    key_bytes: 48 << 20,
    random_bytes: 1 << 20,
    lease_bytes: Some(4 << 20),
    proxied: false,
    is_consent_asked: true,
};

/// The audit log of a vault.
fn log_of(vault: &Path) -> Vec<Value> {
    let done = Running::start(vault, &["--json", "audit", "show"]).wait().ok().json();
    done.as_array().unwrap().clone()
}

/// Whether this entry of a site's log tells that something was released.
fn releases(line: &Value) -> bool {
    line["event"]["result"] == "released"
}

#[test]
fn every_refusal_has_its_reason_and_the_good_consent_delivers() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 2_500_000);
    let file = persons.lab.file("a.bam", &data);
    let object = persons.lab.store(&file, "2/3");
    // None at all.
    refused(persons.lab.restore(&object), "consent-missing");
    // Another person's card can neither agree to it nor be there for it.
    let (p2, out) = (persons.card("P2"), persons.path("p2.jws"));
    let words = ["consent", "grant", &object, "--requester", "gateway", "--purpose", "x"];
    let more = ["--expires", "1h", "--card", &p2, "-o", &out];
    refused_command(&persons.lab.run(&[&words[..], &more].concat()), 8, "consent-person");
    let good = persons.grant(("P1", &object), "gateway", "good.jws", &[]);
    refused(persons.restore(&object, &good, "P2", &[]), "consent-person");
    // Another requester.
    let other = persons.grant(("P1", &object), "hospital", "other.jws", &[]);
    refused(persons.restore(&object, &other, "P1", &[]), "consent-requester");
    // Another object.
    let second = persons.lab.store(&persons.lab.file("b.bam", &sample(7, 50_000)), "2/3");
    refused(persons.restore(&second, &good, "P1", &[]), "consent-object");
    // Its time is over, or has not come.
    let later = persons.grant(("P1", &object), "gateway", "later.jws", &["--from", "2099-01-01"]);
    refused(persons.restore(&object, &later, "P1", &[]), "consent-not-yet");
    let from = ["--from", "2020-01-01"];
    let over = persons.grant(("P1", &object), "gateway", "over.jws", &from);
    refused(persons.restore(&object, &over, "P1", &[]), "consent-expired");
    // Changed on its way.
    let text = std::fs::read_to_string(&good).unwrap();
    let (said, signature) = text.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let changed = format!("{said}.{first}{}", &signature[1..]);
    let changed = persons.lab.file("changed.jws", changed.as_bytes());
    refused(persons.restore(&object, changed.to_str().unwrap(), "P1", &[]), "consent-forged");
    // The good one, as often as wanted.
    for _ in 0..2 {
        let (done, got) = persons.restore(&object, &good, "P1", &[]);
        let _done = done.ok();
        assert!(got.unwrap() == data);
    }
    // Once only.
    let once = persons.grant(("P1", &object), "gateway", "once.jws", &["--single-use"]);
    let (done, got) = persons.restore(&object, &once, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    refused(persons.restore(&object, &once, "P1", &[]), "consent-used");
    // Taken back.
    let card = persons.card("P1");
    let revoked = persons.lab.ask(&["consent", "revoke", &good, "--card", &card]);
    assert_eq!(revoked["told"].as_array().unwrap().len(), 3, "{revoked}");
    refused(persons.restore(&object, &good, "P1", &[]), "consent-revoked");
    let listed = persons.lab.ask(&["consent", "list"]);
    let states: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert!(states.contains(&"revoked") && states.contains(&"expired"), "{states:?}");
    let _used_once = persons.lab.expect_key_used_once();
}

#[test]
fn a_consent_for_a_range_opens_that_range_alone() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 3_500_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let part = persons.grant(("P1", &object), "gateway", "part.jws", &["--range", "0-1000000"]);
    let (done, got) = persons.restore(&object, &part, "P1", &["--range", "500-900000"]);
    let _done = done.ok();
    assert!(got.unwrap() == data[500..900_000]);
    for more in [&["--range", "2500000-2600000"][..], &["--range", "500-"], &[]] {
        refused(persons.restore(&object, &part, "P1", more), "consent-range");
    }
}

#[test]
fn what_one_gateway_stored_another_restores_with_the_persons_consent_alone() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 2_200_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let given_to_a = persons.grant(("P1", &object), "gateway", "a.jws", &[]);
    let hospital = persons.gateway("hospital");
    std::fs::remove_dir_all(&persons.lab.gateway).unwrap();
    // Nothing without consent, nor with one that names another.
    let none = hospital.run(&["restore", &object, "-o", &persons.path("none")]);
    refused_command(&none, 8, "consent-missing");
    refused(hospital.restore(&persons, &object, (&given_to_a, "P1")), "consent-requester");
    // The card finds what is the person's, and nobody else's card does.
    let found = |person: &str| {
        let card = persons.card(person);
        hospital.run(&["--json", "find", "--card", &card]).ok().json()
    };
    assert_eq!(found("P2").as_array().unwrap().len(), 0);
    let rows = found("P1");
    assert_eq!((&rows[0]["object"], &rows[0]["enough"]), (&object.as_str().into(), &true.into()));
    let (card, consent) = (persons.card("P1"), persons.path("b.jws"));
    let words = ["consent", "grant", &object, "--requester", "hospital", "--purpose", "treatment"];
    let more = ["--expires", "1h", "--individual", "P1", "--card", &card, "-o", &consent];
    let _granted = hospital.run(&[&words[..], &more].concat()).ok();
    refused(hospital.restore(&persons, &object, (&consent, "P2")), "consent-person");
    let (done, got) = hospital.restore(&persons, &object, (&consent, "P1"));
    let _done = done.ok();
    assert!(got.unwrap() == data, "restored elsewhere, byte for byte");
}

#[test]
fn a_site_that_was_away_hears_of_a_revocation_when_it_is_back() {
    let mut persons = Persons::new(SHAPE);
    let data = sample(7, 100_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let good = persons.grant(("P1", &object), "gateway", "good.jws", &[]);
    persons.lab.sites[0].stop();
    let card = persons.card("P1");
    let revoked = persons.lab.ask(&["consent", "revoke", &good, "--card", &card]);
    assert_eq!(revoked["to_be_told"], serde_json::json!(["s0"]), "{revoked}");
    persons.lab.sites[0].start();
    let _reached = persons.lab.run(&["site", "test", "s0"]).ok();
    let vault = &persons.lab.sites[0].vault;
    let log = Running::start(vault, &["--json", "audit", "show"]).wait().ok();
    assert!(String::from_utf8_lossy(&log.stdout).contains("\"revoke\""), "{log:?}");
    refused(persons.restore(&object, &good, "P1", &[]), "consent-revoked");
}

#[test]
fn a_card_is_bound_to_its_person_and_changes_by_the_old_one_only() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 100_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    for name in ["new", "thief"] {
        persons.new_card(name, &["--algorithm", "p384"]);
    }
    let (old, new, thief) = (persons.card("P1"), persons.card("new"), persons.card("thief"));
    let again = persons.lab.run(&["individual", "enroll", "P1", "--card", &thief]);
    refused_command(&again, 2, "exists-already");
    let stolen = ["individual", "rebind", "P1", "--card", &thief, "--old-card", &thief];
    refused_command(&persons.lab.run(&stolen), 8, "consent-person");
    let _bound =
        persons.lab.run(&["individual", "rebind", "P1", "--card", &new, "--old-card", &old]);
    let _bound = _bound.ok();
    let consent = persons.path("renewed.jws");
    let words = ["consent", "grant", &object, "--requester", "gateway", "--purpose", "x"];
    let more = ["--expires", "1h", "--card", &new, "-o", &consent];
    let _granted = persons.lab.run(&[&words[..], &more].concat()).ok();
    refused(persons.restore(&object, &consent, "P1", &[]), "consent-person");
    let (done, got) = persons.restore(&object, &consent, "new", &[]);
    let _done = done.ok();
    assert!(got.unwrap() == data);
}

#[test]
fn nobody_is_enrolled_or_stored_without_a_card_where_persons_decide() {
    let persons = Persons::new(SHAPE);
    refused_command(&persons.lab.run(&["individual", "enroll", "P3"]), 2, "card-unnamed");
    let file = persons.lab.file("a.bam", &sample(7, 5000));
    let path = file.to_str().unwrap();
    let words = ["backup", path, "--enroll", "--scheme", "2/3", "--individual", "P3"];
    let done = persons.lab.run(&words);
    assert_ne!(done.code, 0, "{done:?}");
    assert!(persons.lab.listed().is_empty());
}
