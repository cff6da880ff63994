//! What a refusal leaves behind: an exit record for scripts, a line in the logs, and nothing else.

use super::*;

/// The network between gateway and sites is recorded, so that it can be seen what sites send.
const RECORDED: LabShape = LabShape { proxied: true, ..SHAPE };

/// More than a site sends for a connection, a challenge and a refusal.
const TALK_BYTES_MAX: u64 = 16 << 10;

/// What each site has sent to the gateway so far.
fn sent(persons: &Persons) -> Vec<u64> {
    let down = |site: &warifu_e2e::Site| {
        let captures = site.proxy().captures();
        captures.iter().map(|one| std::fs::metadata(&one.down).unwrap().len()).sum()
    };
    persons.lab.sites.iter().map(down).collect()
}

fn released_by_sites(persons: &Persons) -> usize {
    let count = |vault| log_of(vault).iter().filter(|line| releases(line)).count();
    persons.lab.sites.iter().map(|site| count(&site.vault)).sum()
}

struct Case<'a> {
    persons: &'a Persons,
    object: &'a str,
}

impl Case<'_> {
    /// Restores, which must be refused with this code: told to people and scripts, delivered to
    /// nobody, in the gateway's log, and nothing of the object was sent by any site.
    #[track_caller]
    fn refused(&self, with: Option<(&str, &str)>, more: &[&str], code: &str) {
        let persons = self.persons;
        let (before, logged) = (sent(persons), log_of(&persons.lab.gateway).len());
        let (done, data) = match with {
            None => persons.lab.restore(self.object),
            Some((consent, person)) => persons.restore(self.object, consent, person, more),
        };
        assert!(data.is_none(), "{code}: something was delivered");
        let last = done.exit_line();
        refused_command(&done, 8, code);
        assert_eq!(
            (&last["v"], &last["type"], &last["code"]),
            (&1.into(), &"exit".into(), &8.into())
        );
        assert_eq!((&last["class"], &last["retryable"]), (&"consent".into(), &false.into()));
        assert!(!last["next"].as_str().unwrap().is_empty(), "{last}");
        let explained = persons.lab.run(&["explain", code]).ok();
        assert!(explained.stdout.len() > 100, "{code} is explained: {explained:?}");
        for ((site, before), after) in persons.lab.sites.iter().zip(before).zip(sent(persons)) {
            assert!(after - before < TALK_BYTES_MAX, "{code}: {} sent {after}", site.name);
        }
        let log = log_of(&persons.lab.gateway);
        let [begun, refused] = &log[logged..] else { panic!("{code}: {:#?}", &log[logged..]) };
        for line in [begun, refused] {
            let event = &line["event"];
            assert_eq!((&line["kind"], &event["who"]), (&"restore".into(), &"gateway".into()));
            assert_eq!(
                (&event["object"], &event["individual"]),
                (&self.object.into(), &"P1".into())
            );
            assert_eq!(event["purpose"].as_str(), with.map(|_| "treatment"), "{line}");
        }
        assert_eq!(begun["event"]["result"], "begun");
        assert_eq!(refused["event"]["result"], "refused");
        assert_eq!(refused["event"]["code"], code);
    }
}

#[test]
fn a_refusal_is_told_and_logged_and_no_site_sends_anything() {
    let persons = Persons::new(RECORDED);
    let data = sample(7, 2_500_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let case = Case { persons: &persons, object: &object };
    let grant =
        |requester, name, more: &[&str]| persons.grant(("P1", &object), requester, name, more);
    let good = grant("gateway", "good.jws", &[]);
    case.refused(None, &[], "consent-missing");
    case.refused(Some((&good, "P2")), &[], "consent-person");
    let over = grant("gateway", "over.jws", &["--from", "2020-01-01"]);
    case.refused(Some((&over, "P1")), &[], "consent-expired");
    let later = grant("gateway", "later.jws", &["--from", "2099-01-01"]);
    case.refused(Some((&later, "P1")), &[], "consent-not-yet");
    let other = grant("hospital", "other.jws", &[]);
    case.refused(Some((&other, "P1")), &[], "consent-requester");
    let part = grant("gateway", "part.jws", &["--range", "0-1000000"]);
    case.refused(Some((&part, "P1")), &[], "consent-range");
    let second = persons.lab.store(&persons.lab.file("b.bam", &sample(8, 50_000)), "2/3");
    let of_other = persons.grant(("P1", &second), "gateway", "second.jws", &[]);
    case.refused(Some((&of_other, "P1")), &[], "consent-object");
    assert_eq!(released_by_sites(&persons), 0);
    // What served once, played again: this time it is the sites that refuse.
    let once = grant("gateway", "once.jws", &["--single-use"]);
    let (done, got) = persons.restore(&object, &once, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    assert_eq!(released_by_sites(&persons), 3);
    case.refused(Some((&once, "P1")), &[], "consent-used");
    for site in &persons.lab.sites {
        let log = log_of(&site.vault);
        let last = &log.last().unwrap()["event"];
        assert_eq!((&last["result"], &last["code"]), (&"refused".into(), &"consent-used".into()));
        assert_eq!((&last["who"], &last["individual"]), (&"gateway".into(), &"P1".into()));
        assert_eq!(
            (&last["object"], &last["purpose"]),
            (&object.as_str().into(), &"treatment".into())
        );
    }
    let card = persons.card("P1");
    let _revoked = persons.lab.run(&["consent", "revoke", &good, "--card", &card]).ok();
    case.refused(Some((&good, "P1")), &[], "consent-revoked");
    assert_eq!(released_by_sites(&persons), 3, "nothing more");
    let _used_once = persons.lab.expect_key_used_once();
}
