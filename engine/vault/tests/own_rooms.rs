//! Shares in a gateway's own rooms, where it is the one that judges consent; and what its audit log
//! tells of all that.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use warifu_consent::card::{Algorithm, FileCard};
use warifu_consent::lab::Lab;
use warifu_consent::trust::Role;
use warifu_core::plan::{Override, Rule};
use warifu_vault::config::ConsentPolicy;
use warifu_vault::{
    AuditLine, AuditQuery, BackupRequest, ConsentTerms, Failure, GenerateRequest, KeySourceChoice,
    NewSite, Output, Proof, RestoreRequest, Source, Target, Terms, Vault, Watch,
};

struct House {
    root: TempDir,
    gateway: Vault,
    lab: Lab,
    object: String,
    data: Vec<u8>,
}

impl House {
    /// A gateway with three folders as sites, the persons P1 and P2 with cards, and an object of
    /// P1's, stored against the rule that sites must be asked.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let policy = ConsentPolicy::default();
        let gateway =
            Vault::init(&root.path().join("g"), "gateway".parse().unwrap(), None, policy).unwrap();
        for site in ["a", "b", "c"] {
            let url = format!("file://{}", root.path().join(site).display());
            let name = site.parse().unwrap();
            let new = NewSite { name, url, zone: None, domain: None, channel: None };
            gateway.add_site(&new).unwrap();
        }
        let source = KeySourceChoice::System;
        let request = GenerateRequest { target: Target::Random, bytes: 8 << 20, source };
        watched(|watch| gateway.generate(&request, watch)).unwrap();
        let lab = Lab::open_or_make(&root.path().join("ca")).unwrap();
        let mut house = Self { root, gateway, lab, object: String::new(), data: vec![7; 70_000] };
        for person in ["P1", "P2"] {
            let made = house.root.path().join(person);
            house.lab.new_card(person, Algorithm::Es256, 30, &made).unwrap();
            let mut card = house.card(person);
            house.gateway.enroll_with(&person.parse().unwrap(), &mut card).unwrap();
        }
        std::fs::write(house.path("in"), &house.data).unwrap();
        let unasked = |rule| Override { rule, reason: "a house of its own".to_owned() };
        let request = BackupRequest {
            overrides: vec![unasked(Rule::Consent)],
            ..BackupRequest::new(
                Source::File(house.path("in")),
                "P1".parse().unwrap(),
                "2/3".parse().unwrap(),
            )
        };
        let stored = watched(|watch| house.gateway.backup(&request, watch)).unwrap();
        house.object = stored.object;
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn card(&self, person: &str) -> FileCard {
        let at = |ending| self.path(&format!("{person}.{ending}"));
        FileCard::open(&at("key"), &at("crt")).unwrap()
    }

    fn pin(&self) {
        let ca = std::fs::read(self.lab.certificate()).unwrap();
        self.gateway.trust_add(Role::CardCa, &ca).unwrap();
    }

    fn grant(&self, is_single_use: bool) -> String {
        let terms = Terms {
            requester: "gateway".to_owned(),
            objects: vec![self.object.clone()],
            individual: None,
            purpose: "treatment".to_owned(),
            not_before_unix_s: None,
            holds_s: 3600,
            range: None,
            single_use: is_single_use,
        };
        let wanted = ConsentTerms { terms, is_as_given: true };
        self.gateway.grant_consent(&wanted, &mut self.card("P1")).unwrap().token
    }

    /// What a restore with this consent and card brings, or the code of its refusal.
    fn restore(&self, consent: &str, person: &str) -> Result<Vec<u8>, Failure> {
        let output = self.path("out");
        let _absent = std::fs::remove_file(&output);
        let request = RestoreRequest {
            object: self.object.parse().unwrap(),
            output: Output::Path(output.clone()),
            range: None,
            resume: false,
        };
        let mut card = self.card(person);
        let proof = Proof { consent, card: &mut card };
        let restored = watched(|watch| self.gateway.restore_with(&request, Some(proof), watch));
        assert_eq!(restored.is_ok(), output.exists());
        restored.map(|_| std::fs::read(&output).unwrap())
    }

    #[track_caller]
    fn refuses(&self, consent: &str, person: &str, code: &str) -> Failure {
        let failure = self.restore(consent, person).unwrap_err();
        assert_eq!((failure.class().exit_code(), failure.code()), (8, code), "{failure}");
        assert!(!failure.advice().is_empty());
        failure
    }

    fn log(&self, query: AuditQuery) -> Vec<AuditLine> {
        self.gateway.audit_lines(&query).unwrap()
    }

    fn of_object(&self) -> AuditQuery {
        AuditQuery { object: Some(self.object.parse().unwrap()), ..AuditQuery::default() }
    }
}

fn watched<T>(work: impl FnOnce(Watch<'_>) -> T) -> T {
    let stop = AtomicBool::new(false);
    work(Watch { progress: &mut |_| (), stop: &stop })
}

fn reopened(house: House) -> House {
    let dir: &Path = &house.path("g");
    House { gateway: Vault::open(dir).unwrap(), ..house }
}

#[test]
fn a_house_of_its_own_asks_for_its_persons_word() {
    let house = House::new();
    let good = house.grant(false);
    // Nothing to judge by: who issues cards is to be pinned here, and not at any site.
    let failure = house.refuses(&good, "P1", "trust-none");
    assert!(failure.advice().contains("pin here"), "{}", failure.advice());
    house.pin();
    house.refuses(&good, "P2", "consent-person");
    assert!(house.restore(&good, "P1").unwrap() == house.data);
    assert!(house.restore(&good, "P1").unwrap() == house.data, "it serves more than once");
    let told = house.gateway.revoke_consent(Some(&good), None, &mut house.card("P1")).unwrap();
    assert!(told.0.is_empty() && told.1.is_empty(), "there is no site to tell: {told:?}");
    house.refuses(&good, "P1", "consent-revoked");
}

#[test]
fn a_consent_for_once_opens_a_house_once() {
    let house = House::new();
    house.pin();
    let once = house.grant(true);
    assert!(house.restore(&once, "P1").unwrap() == house.data);
    house.refuses(&once, "P1", "consent-used");
    let house = reopened(house);
    house.refuses(&once, "P1", "consent-used");
    assert!(house.restore(&house.grant(true), "P1").unwrap() == house.data);
}

#[test]
fn an_objects_record_tells_of_consents_given_and_taken_back() {
    let house = House::new();
    house.pin();
    let good = house.grant(false);
    assert!(house.restore(&good, "P1").is_ok());
    let mut other = house.card("P2");
    let refused = house.gateway.revoke_consent(Some(&good), None, &mut other).unwrap_err();
    assert_eq!(refused.code(), "consent-person");
    let p1 = "P1".parse().unwrap();
    house.gateway.revoke_consent(None, Some(&p1), &mut house.card("P1")).unwrap();
    let told: Vec<(String, String)> = house
        .log(house.of_object())
        .iter()
        .map(|line| (line.kind.clone(), line.field("result").unwrap().to_owned()))
        .collect();
    let expected = [
        ("backup", "done"),
        ("consent", "done"),
        ("restore", "begun"),
        ("restore", "released"),
        ("revoke", "refused"),
        ("revoke", "done"),
    ];
    assert_eq!(told, expected.map(|(kind, result)| (kind.to_owned(), result.to_owned())));
}

#[test]
fn operators_leave_their_trace() {
    let house = House::new();
    house.pin();
    let nonsense = house.gateway.trust_add_crl(b"no list").unwrap_err();
    assert_eq!(nonsense.class().exit_code(), 2);
    let of = |kind: &str| {
        let kind = Some(kind.to_owned());
        house.log(AuditQuery { kind, ..AuditQuery::default() })
    };
    assert_eq!(of("init").len(), 1);
    assert_eq!(of("key").len(), 1);
    assert_eq!(of("site").len(), 3);
    let trust = of("trust");
    let told: Vec<_> = trust.iter().map(|line| line.field("result").unwrap()).collect();
    assert_eq!(told, ["begun", "done", "begun"], "{trust:?}");
    let pinned = &house.gateway.trust_list().unwrap()[0];
    assert!(trust[1].field("note").unwrap().contains(&pinned.fingerprint), "{trust:?}");
    assert!(house.log(AuditQuery::default()).iter().all(|line| line.field("who").is_some()));
}
