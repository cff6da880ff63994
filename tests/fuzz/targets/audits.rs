//! Exported audit logs. One that was changed is not believed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use warifu_catalog::{
    AuditHead, AuditKey, Exported, checkpoint_line, read_checkpoint_line, verify_export,
};
use warifu_fuzz::{NOW, changed};

const ENTRIES: [&str; 3] = [
    r#"{"at":1813999000,"event":{"object":"07","who":"operator"},"kind":"backup","sequence":0}"#,
    r#"{"at":1813999001,"event":{"code":"consent-expired"},"kind":"present","sequence":1}"#,
    r#"{"at":1813999002,"event":{"result":"released"},"kind":"present","sequence":2}"#,
];

thread_local! {
    static LOG: (Vec<u8>, AuditHead) = log();
}

/// A log that is right.
fn log() -> (Vec<u8>, AuditHead) {
    let key = AuditKey::from_seed(&[7; 32]).expect("any 32 bytes are a seed");
    let mut head = AuditHead { entries: 0, chain: [0; 32] };
    for line in ENTRIES {
        let chain = blake3::Hasher::new().update(&head.chain).update(line.as_bytes()).finalize();
        head = AuditHead { entries: head.entries + 1, chain: *chain.as_bytes() };
    }
    let (at_unix_s, public_key) = (NOW, key.public_key());
    let signature = key.sign_head(&head, at_unix_s);
    let last = checkpoint_line(&Exported { head, at_unix_s, public_key, signature });
    let log = format!("{}\n{last}\n", ENTRIES.join("\n")).into_bytes();
    assert!(verify_export(log.as_slice()).is_ok(), "the seed must be believed");
    (log, head)
}

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    LOG.with(|(right, head)| {
        let log = if how % 2 == 0 { rest.to_vec() } else { changed(right, rest) };
        // Blanks within the last line may differ; what it says may not.
        if let Ok(exported) = verify_export(log.as_slice()) {
            assert_eq!(exported.head, *head);
        }
        for line in String::from_utf8_lossy(&log).lines() {
            let _ = read_checkpoint_line(line);
        }
    });
});
