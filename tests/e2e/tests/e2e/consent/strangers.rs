//! Gateways that did not store it: the one that the person named, and those that were not named;
//! also where the one that stored it is gone for good.

use super::*;

/// As `consent grant` of the hospital for it, by P1.
fn grant_at(hospital: &warifu_e2e::Gateway, persons: &Persons, object: &str) -> String {
    let (card, consent) = (persons.card("P1"), persons.path("hospital.jws"));
    let words = ["consent", "grant", object, "--requester", "hospital", "--purpose", "treatment"];
    let more = ["--expires", "1h", "--individual", "P1", "--card", &card, "-o", &consent];
    let _granted = hospital.run(&[&words[..], &more].concat()).ok();
    consent
}

/// Every site was last spoken to by anybody so many hours ago.
fn silent_for(persons: &Persons, hours: u64) {
    for site in &persons.lab.sites {
        let register = rusqlite::Connection::open(site.vault.join("register.sqlite")).unwrap();
        let script = format!("UPDATE contacts SET at_unix_s = at_unix_s - {hours} * 3600");
        register.execute_batch(&script).unwrap();
    }
}

#[test]
fn the_consent_of_one_hospital_serves_no_other() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 1_200_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let (hospital, clinic) = (persons.gateway("hospital"), persons.gateway("clinic"));
    std::fs::remove_dir_all(&persons.lab.gateway).unwrap();
    let consent = grant_at(&hospital, &persons, &object);
    refused(clinic.restore(&persons, &object, (&consent, "P1")), "consent-requester");
    // It takes the other's name; the sites know it by the name that its courier brought.
    change_settings(&clinic.vault, "\"clinic\"", "\"hospital\"");
    refused(clinic.restore(&persons, &object, (&consent, "P1")), "consent-requester");
    for site in &persons.lab.sites {
        let log = log_of(&site.vault);
        let last = log.iter().rfind(|line| line["kind"] == "present").unwrap();
        assert_eq!(last["event"]["who"], "clinic", "{last}");
        assert_eq!(last["event"]["code"], "consent-requester");
        assert!(!log.iter().any(releases), "{}", site.name);
    }
    // A courier under a name that is taken brings nothing.
    let posing = persons.path("posing");
    let posing = warifu_e2e::Gateway { vault: posing.into() };
    let _made = posing.run(&["init", "--name", "hospital"]).ok();
    let _added = posing.run(&["site", "add", "s0", &persons.lab.url(0)]).ok();
    let drive = persons.path("drive-posing");
    let words = ["key", "generate", "--site", "s0", "--bytes", "1MiB", "--courier", &drive];
    let _made = posing.run(&words).ok();
    let taken = Running::start(&persons.lab.sites[0].vault, &["key", "import", &drive]).wait();
    assert_ne!(taken.code, 0, "{taken:?}");
    // Whom the person named gets it, byte for byte.
    let (done, got) = hospital.restore(&persons, &object, (&consent, "P1"));
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
}

#[test]
fn sites_that_nobody_speaks_to_release_nothing_until_somebody_does() {
    let persons = Persons::new(SHAPE);
    let data = sample(9, 900_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let (hospital, clinic) = (persons.gateway("hospital"), persons.gateway("clinic"));
    std::fs::remove_dir_all(&persons.lab.gateway).unwrap();
    let consent = grant_at(&hospital, &persons, &object);
    let restore = || hospital.restore(&persons, &object, (&consent, "P1"));
    silent_for(&persons, 73);
    // That who asks knows of no revocation says nothing, however often it calls.
    refused(restore(), "revocations-stale");
    refused(restore(), "revocations-stale");
    for site in &persons.lab.sites {
        let log = log_of(&site.vault);
        assert!(!log.iter().any(releases), "{}", site.name);
        assert!(log.iter().any(|line| line["event"]["code"] == "revocations-stale"));
    }
    // Another one speaks to them.
    for site in &persons.lab.sites {
        let _reached = clinic.run(&["site", "test", &site.name]).ok();
    }
    let (done, got) = restore();
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    // Nobody will any more: the operators of enough sites accept it by name, for a while.
    silent_for(&persons, 73);
    for site in &persons.lab.sites[..2] {
        refused(restore(), "revocations-stale");
        let words = ["consent", "accept-silence", "--hours", "1", "--reason", "they have closed"];
        let _accepted = Running::start(&site.vault, &words).wait().ok();
        let log = log_of(&site.vault);
        assert!(log.iter().any(|line| line.to_string().contains("they have closed")), "{log:#?}");
    }
    let (done, got) = restore();
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    // The person takes it back where they gave it; the one who stored it is not needed for that.
    let card = persons.card("P1");
    let words = ["--json", "consent", "revoke", &consent, "--card", &card];
    let revoked = hospital.run(&words).ok().json();
    assert_eq!(revoked["told"].as_array().unwrap().len(), 3, "{revoked}");
    refused(restore(), "consent-revoked");
}
