//! Exported logs: any single line changed, moved, removed, added or cut off is found, and no bytes
//! make the reader panic.

use super::*;
use warifu_catalog::{
    AuditKey, ExportError, Exported, checkpoint_line, from_hex, hex, read_checkpoint_line,
    verify_export,
};

/// A log of `count` entries, exported: its lines, the signed one last.
fn exported(count: u64) -> Vec<String> {
    let lab = Lab::new();
    let catalog = lab.open();
    for at in 0..count {
        let event = format!("{{\"object\":{at},\"text\":\"é \\\" \\n\"}}");
        catalog.append_audit("restore", &event, 1000 + at).unwrap();
    }
    let key = AuditKey::from_seed(&[3; 32]).unwrap();
    let head = catalog.verify_audit().unwrap();
    let last = Exported {
        head,
        at_unix_s: 2000,
        public_key: key.public_key(),
        signature: key.sign_head(&head, 2000),
    };
    let entries = catalog.audit(0, 1000).unwrap();
    let lines = entries.into_iter().map(|entry| entry.line);
    lines.chain([checkpoint_line(&last)]).collect()
}

fn verified(lines: &[String]) -> Result<Exported, ExportError> {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    verify_export(text.as_bytes())
}

#[test]
fn what_was_exported_is_found_as_it_was() {
    for count in [0, 1, 7] {
        let lines = exported(count);
        let found = verified(&lines).unwrap();
        assert_eq!((found.head.entries, found.at_unix_s), (count, 2000));
        assert_eq!(read_checkpoint_line(&lines[count as usize]), Some(found));
    }
}

#[test]
fn any_single_line_changed_moved_removed_added_or_cut_off_is_found() {
    let lines = exported(6);
    for at in 0..lines.len() {
        let mut removed = lines.clone();
        let line = removed.remove(at);
        verified(&removed).unwrap_err();
        for to in (0..lines.len()).filter(|to| *to != at) {
            let mut moved = removed.clone();
            moved.insert(to, line.clone());
            verified(&moved).unwrap_err();
        }
        let mut twice = lines.clone();
        twice.insert(at, line.clone());
        verified(&twice).unwrap_err();
        assert!(matches!(verified(&lines[..at]), Err(ExportError::CutOff)));
        for byte in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[byte] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let mut edited = lines.clone();
            edited[at] = changed;
            let found = verified(&edited);
            assert!(found.is_err(), "line {at}, byte {byte}: {found:?}");
        }
    }
    let mut after = lines.clone();
    after.push(lines[0].clone());
    verified(&after).unwrap_err();
}

#[test]
fn a_log_made_anew_needs_the_vaults_key() {
    let mut lines = exported(3);
    let other = AuditKey::from_seed(&[4; 32]).unwrap();
    let found = verified(&lines).unwrap();
    let signature = other.sign_head(&found.head, found.at_unix_s);
    lines[3] = checkpoint_line(&Exported { signature, ..found });
    assert!(matches!(verified(&lines), Err(ExportError::Signature)));
    // With a key of his own in it, it is another's: the key is what is compared.
    let public_key = other.public_key();
    lines[3] = checkpoint_line(&Exported { signature, public_key, ..found });
    assert_ne!(verified(&lines).unwrap().public_key, found.public_key);
}

#[test]
fn no_bytes_make_the_reader_panic_or_take_what_is_not_whole() {
    let text = exported(4).join("\n") + "\n";
    let sound = text.as_bytes();
    verify_export(sound).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for end in 0..sound.len() {
        verify_export(&sound[..end]).unwrap_err();
    }
    for _ in 0..4000 {
        let mut bytes = sound.to_vec();
        for _ in 0..=draw(3) {
            let at = draw(bytes.len());
            match draw(4) {
                0 => bytes[at] = draw(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\n0\\"[draw(10)]),
                _ => {
                    let to = at + draw(bytes.len() - at);
                    let part = bytes[at..to].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        if verify_export(&bytes[..]).is_ok() {
            assert_eq!(bytes, sound);
        }
    }
    let endless = std::io::Read::take(std::io::repeat(b'['), 64 << 20);
    assert!(matches!(
        verify_export(std::io::BufReader::new(endless)),
        Err(ExportError::Line { line: 1, .. })
    ));
}

#[test]
fn hexadecimal_digits_are_read_as_written_and_nothing_else_is() {
    assert_eq!(from_hex(&hex(&[0, 9, 0xAF, 255])), Some([0, 9, 0xAF, 255]));
    for text in ["", "0", "0g", "AF", "é", "00ff"] {
        assert_eq!(from_hex::<1>(text), None, "{text}");
    }
}
