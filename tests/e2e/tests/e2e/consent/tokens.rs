//! Persons with cards behind a driver: what they decide with SoftHSM2's tokens and with the My
//! Number Card's stand-in, and that a wrong PIN opens nothing and is given once.

use super::*;
use std::process::Command;
use warifu_e2e::{CardLab, Lab, Reader, SOFTHSM, jpki_lacks, pins_given, softhsm_lacks, warifu};

/// A lab whose persons have the cards of a card lab.
struct Holders {
    lab: Lab,
    cards: CardLab,
}

#[expect(clippy::print_stdout, reason = "what a test could not do is said where it is read")]
fn skipped(missing: Option<&str>) -> bool {
    if let Some(missing) = missing {
        println!("skipped: {missing} is missing: ./tools/test installs it");
    }
    missing.is_some()
}

impl Holders {
    fn new() -> Self {
        Self { lab: Lab::new(SHAPE), cards: CardLab::new() }
    }

    fn run(&self, words: &[&str]) -> Done {
        let mut command = Command::new(warifu());
        self.cards.done(command.arg("--vault").arg(&self.lab.gateway).arg("--json").args(words))
    }

    /// Pins the cards' authority everywhere.
    fn pin(&self) {
        let ca = self.cards.text("ca/ca.crt");
        let vaults = self.lab.sites.iter().map(|site| &site.vault).chain([&self.lab.gateway]);
        for vault in vaults {
            let _pinned = Running::start(vault, &["trust", "add", &ca]).wait().ok();
        }
    }

    fn enrol(&self, person: &str, (card, pin): (&str, &str)) {
        let words = ["individual", "enroll", person, "--card", card, "--pin-file", pin];
        let _row = self.run(&words).ok();
    }

    fn grant(&self, object: &str, (card, pin): (&str, &str)) -> String {
        let file = self.cards.text("consent.jws");
        let words = ["consent", "grant", object, "--requester", "gateway", "--purpose", "x"];
        let more = ["--expires", "1h", "--card", card, "--pin-file", pin, "-o", &file];
        let _granted = self.run(&[&words[..], &more].concat()).ok();
        file
    }

    fn restore(
        &self,
        (object, consent): (&str, &str),
        (card, pin): (&str, &str),
    ) -> (Done, Option<Vec<u8>>) {
        let out = self.cards.path("out");
        let words = ["restore", object, "-o", out.to_str().unwrap(), "--consent", consent];
        let done = self.run(&[&words[..], &["--card", card, "--pin-file", pin]].concat());
        let got = std::fs::read(&out).ok();
        let _gone = std::fs::remove_file(&out);
        (done, got)
    }

    /// Refused by the card: told so, logged so, and no site was shown anything.
    #[track_caller]
    fn refused_by_card(&self, (done, data): (Done, Option<Vec<u8>>), code: &str, says: &str) {
        assert!(data.is_none(), "something was delivered");
        refused_command(&done, 9, code);
        assert!(done.stderr.contains(says), "{}", done.stderr);
        assert_eq!(done.exit_line()["class"], "card");
        let log = log_of(&self.lab.gateway);
        let last = log.last().unwrap();
        assert_eq!((&last["kind"], &last["event"]["code"]), (&"restore".into(), &code.into()));
        assert_eq!(last["event"]["result"], "refused");
        for site in &self.lab.sites {
            let log = log_of(&site.vault);
            assert!(log.iter().all(|line| line["kind"] != "present"), "{}", site.name);
        }
    }

    /// How the logs of the gateway and of all sites call the card of the last restore.
    #[track_caller]
    fn card_in_logs(&self, kind: &str) {
        let log = log_of(&self.lab.gateway);
        assert_eq!(log.last().unwrap()["event"]["card"], kind);
        for site in &self.lab.sites {
            let log = log_of(&site.vault);
            let released = log.iter().rfind(|line| releases(line)).unwrap();
            assert_eq!(released["event"]["card"], kind, "{}", site.name);
        }
    }
}

#[test]
fn persons_decide_with_tokens_of_rsa_and_p384() {
    if skipped(softhsm_lacks()) {
        return;
    }
    let holders = Holders::new();
    let (pin, wrong) = (holders.cards.file("pin", "4711\n"), holders.cards.file("wrong", "1147\n"));
    let mut cards = Vec::new();
    for (person, algorithm) in [("P1", "rsa2048"), ("P2", "p384")] {
        let _card = holders.cards.file_card(person, algorithm);
        holders.cards.token(person, person, "4711");
        cards.push(format!("pkcs11:token={person}?module-path={SOFTHSM}"));
    }
    holders.pin();
    for (person, card) in ["P1", "P2"].into_iter().zip(&cards) {
        holders.enrol(person, (card, &pin));
    }
    let data = sample(7, 700_000);
    let file = holders.lab.file("a.bam", &data);
    let object = holders.lab.store(&file, "2/3");
    let words = ["--json", "backup", file.to_str().unwrap(), "--individual", "P2"];
    let other = holders.lab.run(&[&words[..], &["--scheme", "2/3"]].concat()).ok().json();
    let other = other["object"].as_str().unwrap();
    let consent = holders.grant(&object, (&cards[0], &pin));
    let asked = (object.as_str(), consent.as_str());
    let by_wrong_pin = holders.restore(asked, (&cards[0], &wrong));
    holders.refused_by_card(by_wrong_pin, "card-pin", "the PIN is wrong");
    refused(holders.restore(asked, (&cards[1], &pin)), "consent-person");
    let (done, got) = holders.restore(asked, (&cards[0], &pin));
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    // A lab's authority made it, on a token or not: both ends say so.
    holders.card_in_logs("software");
    std::fs::remove_file(&consent).unwrap();
    let consent = holders.grant(other, (&cards[1], &pin));
    let (done, got) = holders.restore((other, &consent), (&cards[1], &pin));
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
}

const JPKI: &str = "pkcs11:token=JPKI;id=%01";

#[test]
fn a_person_decides_with_the_my_number_card() {
    if skipped(jpki_lacks()) {
        return;
    }
    let holders = Holders::new();
    let (pin, wrong) = (holders.cards.file("pin", "1234\n"), holders.cards.file("wrong", "9999\n"));
    let _card = holders.cards.file_card("donor", "rsa2048");
    holders.pin();
    let mut reader = Reader::take();
    reader.insert(&holders.cards, "donor", &[]);
    holders.enrol("P1", (JPKI, &pin));
    let data = sample(7, 700_000);
    let object = holders.lab.store(&holders.lab.file("a.bam", &data), "2/3");
    let consent = holders.grant(&object, (JPKI, &pin));
    let asked = (object.as_str(), consent.as_str());
    let given = pins_given(&holders.cards);
    let by_wrong_pin = holders.restore(asked, (JPKI, &wrong));
    holders.refused_by_card(by_wrong_pin, "card-pin", "2 tries are left");
    assert_eq!(pins_given(&holders.cards), given + 1, "it is never tried again");
    let (done, got) = holders.restore(asked, (JPKI, &pin));
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    assert_eq!(pins_given(&holders.cards), given + 2, "one PIN for all sites");
    reader.remove(&holders.cards);
    let (done, got) = holders.restore(asked, (JPKI, &pin));
    assert!(got.is_none());
    refused_command(&done, 9, "card-absent");
}
