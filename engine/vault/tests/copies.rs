//! Payload, shares and key go from hand to hand, into folders and over links alike. One test, as
//! the counter is the whole process's: the sites copy in it too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rooms;

use rooms::{Rooms, no_consent, watched};
use warifu_buffers::{copied_bytes, stats};
use warifu_vault::config::SiteConfig;
use warifu_vault::{GenerateRequest, KeySourceChoice, NewSite, Target, Vault};

/// A site behind a link, served by a thread for as long as the test runs.
fn add_linked_site(rooms: &Rooms, name: &str, key_bytes: u64) {
    let dir = rooms.folder(name);
    let config = SiteConfig { listen: "127.0.0.1:0".to_owned(), store: None };
    let vault = Vault::init(&dir, name.parse().unwrap(), Some(config), no_consent()).unwrap();
    let server = vault.server().unwrap();
    let url = format!("warifu://{}", server.address());
    let new = NewSite { name: name.parse().unwrap(), url, zone: None, domain: None, channel: None };
    rooms.gateway.add_site(&new).unwrap();
    let drive = rooms.root.path().join(format!("drive-{name}"));
    let target = Target::Link { site: name.parse().unwrap(), drive: drive.clone() };
    let request = GenerateRequest { target, bytes: key_bytes, source: KeySourceChoice::System };
    watched(|watch| rooms.gateway.generate(&request, watch)).unwrap();
    vault.import(&drive).unwrap();
    std::thread::spawn(move || {
        let _vault = vault;
        server.run().unwrap();
    });
}

#[test]
fn a_backup_and_a_restore_copy_no_payload() {
    let rooms = Rooms::new(2, 48 << 20);
    ["l0", "l1", "l2"].iter().for_each(|site| add_linked_site(&rooms, site, 32 << 20));
    let before = copied_bytes();
    let (report, data) = rooms.store((5 << 20) + 77, "3/5");
    let channels: Vec<_> = report.shares.iter().map(|share| share.channel).collect();
    let local = channels.iter().filter(|channel| **channel == "local").count();
    assert_eq!((local, channels.len()), (2, 5), "{channels:?}");
    assert_eq!(copied_bytes(), before, "a backup has copied");
    assert_eq!(report.copied_bytes, 0);
    let before = copied_bytes();
    let (restored, back) = rooms.restore(&report.object).unwrap();
    assert!(back == data);
    assert_eq!(restored.copied_bytes, 0);
    assert_eq!(copied_bytes(), before, "a restore has copied");
    assert!(stats().slots > 0, "chunks come from the pool");
    assert_eq!(stats().reserved_bytes, 0, "jobs have given back what they reserved");
}
