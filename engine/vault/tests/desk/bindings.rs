//! Whose card is whose, and who may change that.

use crate::field::*;
use warifu_consent::statement::Rebinding;
use warifu_consent::trust::Role as TrustRole;
use warifu_pipeline::peer::Bound;

#[test]
fn a_gateway_that_was_taken_over_can_not_install_its_own_card() {
    let mut field = Field::new();
    let (mut person, mut thief) = (field.card("p1"), field.card("thief"));
    field.enrol(OURS, "P1", &mut person);
    let address = field.store(OURS, "P1");
    let (old, new) = (person.key, thief.key);
    let enrolled = thief.sign(&enrolment(OURS, "P1"));
    let change = rebinding(OURS, "P1", old, new);
    let by_thief = thief.sign(&change);
    let mut registrars = ["r1", "r2", "r3"].map(|one| field.card(one));
    field.trust(TrustRole::Registrar, &registrars[0].certificate);
    field.trust(TrustRole::Registrar, &registrars[1].certificate);
    let by: Vec<String> = registrars.iter_mut().map(|one| one.sign(&change)).collect();
    let unlike: Rebinding = Rebinding { id: id(), ..change.clone() };
    let unlike = registrars[1].sign(&unlike);
    let tries: [(&[&str], &str); 7] = [
        (&[&enrolled], "consent-person"),
        (&[&enrolled, &by_thief], "consent-person"),
        (&[&enrolled, &by[0]], ""),
        (&[&enrolled, &by[0], &by[0]], "consent-person"),
        (&[&enrolled, &by[0], &by[2]], "certificate-"),
        (&[&enrolled, &by[0], &unlike], "presence-mismatch"),
        (&[&enrolled, &by_thief, &by_thief], ""),
    ];
    let mut peer = field.peer(OURS);
    for (tokens, code) in tries {
        let refused = refused(peer.bind(tokens));
        assert!(refused.starts_with(code), "{refused}, not {code}");
        let shown = present(&mut peer, &mut thief, &consent(OURS, address));
        assert_eq!(crate::field::refused(shown), "consent-person");
        assert_eq!(crate::field::refused(read(&mut peer, address, 0)), "consent-missing");
    }
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(refused(peer.bind(&[&enrolled])), "consent-person");
    present(&mut peer, &mut person, &consent(OURS, address)).unwrap();
    peer.close().unwrap();
    let refusals = field.events();
    let refusals =
        refusals.iter().filter(|event| event.kind == "bind" && !event.of("code").is_empty());
    assert_eq!(refusals.count(), tries.len() + 1, "each try is in the log");
}

#[test]
fn the_old_card_hands_over_to_the_new_and_what_it_opened_is_closed() {
    let field = Field::new();
    let (mut old, mut new) = (field.card("p1"), field.card("p1-new"));
    field.enrol(OURS, "P1", &mut old);
    let address = field.store(OURS, "P1");
    let mut peer = field.peer(OURS);
    present(&mut peer, &mut old, &consent(OURS, address)).unwrap();
    assert!(read(&mut peer, address, 0).is_ok());
    let forth = old.sign(&rebinding(OURS, "P1", old.key, new.key));
    let enrolled = new.sign(&enrolment(OURS, "P1"));
    assert_eq!(peer.bind(&[&enrolled, &forth]).unwrap(), Bound::Trusted);
    assert_eq!(peer.bind(&[&enrolled, &forth]).unwrap(), Bound::Trusted, "asked again");
    assert_eq!(refused(read(&mut peer, address, 0)), "consent-missing");
    assert_eq!(refused(present(&mut peer, &mut old, &consent(OURS, address))), "consent-person");
    present(&mut peer, &mut new, &consent(OURS, address)).unwrap();
    // Back to the old one, and then the first change once more: it has served.
    let back = new.sign(&rebinding(OURS, "P1", new.key, old.key));
    let enrolled_old = old.sign(&enrolment(OURS, "P1"));
    assert_eq!(peer.bind(&[&enrolled_old, &back]).unwrap(), Bound::Trusted);
    assert_eq!(refused(peer.bind(&[&enrolled, &forth])), "consent-used");
    assert_eq!(refused(present(&mut peer, &mut new, &consent(OURS, address))), "consent-person");
    peer.close().unwrap();
    assert_eq!(field.events().iter().filter(|event| event.kind == "rebind").count(), 2);
}

#[test]
fn two_registrars_bind_another_card_where_the_old_one_is_lost() {
    let mut field = Field::new();
    let (mut lost, mut new) = (field.card("p1"), field.card("p1-new"));
    field.enrol(OURS, "P1", &mut lost);
    field.enrol(THEIRS, "P1", &mut lost);
    let address = field.store(OURS, "P1");
    let mut registrars = ["r1", "r2"].map(|one| field.card(one));
    registrars.iter().for_each(|one| field.trust(TrustRole::Registrar, &one.certificate));
    let change = rebinding(OURS, "P1", lost.key, new.key);
    let by = registrars.each_mut().map(|one| one.sign(&change));
    let enrolled = new.sign(&enrolment(OURS, "P1"));
    // It is about one gateway's P1: another's can't be changed by it.
    let mut theirs = field.peer(THEIRS);
    assert_eq!(refused(theirs.bind(&[&enrolled, &by[0], &by[1]])), "consent-requester");
    theirs.close().unwrap();
    let mut peer = field.peer(OURS);
    assert_eq!(peer.bind(&[&enrolled, &by[0], &by[1]]).unwrap(), Bound::Trusted);
    peer.close().unwrap();
    field.restart();
    let mut peer = field.peer(OURS);
    assert_eq!(refused(present(&mut peer, &mut lost, &consent(OURS, address))), "consent-person");
    present(&mut peer, &mut new, &consent(OURS, address)).unwrap();
    peer.close().unwrap();
    let register = field.site_vault().register().unwrap();
    let held = register.binding(field.link(THEIRS), &named("P1")).unwrap().unwrap();
    assert_eq!(held.key, lost.key.0);
    let held = register.binding(field.link(OURS), &named("P1")).unwrap().unwrap();
    assert_eq!((held.key, held.evidence.lines().count()), (new.key.0, 3));
}

#[test]
fn an_enrolment_serves_the_gateway_that_it_names() {
    let field = Field::new();
    let mut person = field.card("p1");
    let token = person.sign(&enrolment(OURS, "P1"));
    let mut theirs = field.peer(THEIRS);
    assert_eq!(refused(theirs.bind(&[&token])), "consent-requester");
    let mut forged = token.into_bytes();
    let last = forged.len() - 5;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let mut ours = field.peer(OURS);
    assert_eq!(refused(ours.bind(&[&forged])), "consent-forged");
    ours.close().unwrap();
    theirs.close().unwrap();
}
