//! Bytes from outside, changed in every way that comes to mind: nothing may panic, and nothing
//! that was changed may be believed. The same entry points are fuzzed for longer in tests/fuzz.

use crate::people::{Authority, NOW, consent, presence};
use warifu_consent::statement::{Consent, Statement};
use warifu_consent::trust::{Role, TrustStore};
use warifu_consent::{Certificate, jws};

/// A row of numbers that looks random and is the same in each run.
struct Row(u64);

impl Row {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }
}

/// `bytes` after a few changes: bits turned, pieces cut out, doubled, or set to what lengths and
/// tags look like.
fn changed(bytes: &[u8], row: &mut Row) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=row.next(3) {
        if changed.is_empty() {
            break;
        }
        let at = row.next(changed.len());
        let end = (at + 1 + row.next(8)).min(changed.len());
        match row.next(6) {
            0 => changed[at] ^= 1 << row.next(8),
            1 => changed.truncate(at),
            2 => drop(changed.drain(at..end)),
            3 => {
                let piece = changed[at..end].to_vec();
                changed.splice(at..at, piece);
            }
            4 => changed[at] = [0x00, 0x30, 0x7f, 0x80, 0x84, 0xa0, 0xff][row.next(7)],
            _ => changed[at] = b"{}[]\",:.-_=A0"[row.next(13)],
        }
    }
    changed
}

#[test]
fn changed_tokens_are_refused_whole() {
    let authority = Authority::new("CA");
    let mut card = authority.card("P1");
    let anchors = [(Role::CardCa, authority.certificate.clone())];
    let trust = TrustStore::of(&anchors, &[]).unwrap();
    let tokens = [card.says(&consent()), card.says(&presence())];
    let mut row = Row(0x57a7_e3e7);
    let mut refused = 0;
    for turn in 0..6_000 {
        let token = &tokens[turn % 2];
        let bytes = changed(token.as_bytes(), &mut row);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let _ = jws::kind(&text);
        match trust.verify::<Consent>(&text, NOW) {
            Ok(_) => assert_eq!(&text, &tokens[0]),
            Err(why) => {
                assert!(!why.to_string().chars().any(char::is_control));
                refused += 1;
            }
        }
    }
    assert!(refused > 4_000, "{refused}");
}

#[test]
fn changed_claims_that_their_card_signed_are_read_or_refused() {
    let card = Authority::new("CA").card("P1");
    let (header, payload) = (card.header::<Consent>(), serde_json::to_vec(&consent()).unwrap());
    let mut row = Row(0xc1a1_3ed5);
    for _ in 0..2_000 {
        let token = card.forge(&header, &changed(&payload, &mut row));
        if let Ok(read) = jws::possesses::<Consent>(&token) {
            assert_eq!(read.statement.well_formed(), Ok(()));
        }
    }
}

#[test]
fn changed_certificates_and_lists_are_refused_or_say_what_was_signed() {
    let authority = Authority::new("CA");
    let card = authority.card("P1");
    let list = authority.list(&[1, 2, 3], (2030, 1, 1));
    let anchors = [(Role::CardCa, authority.certificate.clone())];
    let trust = TrustStore::of(&anchors, &[]).unwrap();
    let payload = serde_json::to_vec(&consent()).unwrap();
    // What the authority signed; after it come how, and the signature.
    let signed = 4..8 + usize::from(u16::from_be_bytes([card.chain[0][6], card.chain[0][7]]));
    assert_eq!(card.chain[0][4..6], [0x30, 0x82]);
    let mut row = Row(0xce27_1f1c);
    for _ in 0..6_000 {
        let der = changed(&card.chain[0], &mut row);
        let _ = Certificate::read(&der);
        let theirs = card.with_chain(vec![der.clone()]);
        let token = theirs.forge(&theirs.header::<Consent>(), &payload);
        if trust.verify::<Consent>(&token, NOW).is_ok() {
            assert_eq!(der[signed.clone()], card.chain[0][signed.clone()]);
        }
        let _ = TrustStore::of(&[(Role::Officer, der)], &[changed(&list, &mut row)]);
        let _ = TrustStore::of(&[(Role::CardCa, changed(&authority.certificate, &mut row))], &[]);
    }
}
