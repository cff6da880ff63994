//! What comes out where all keep to the rules.

use crate::circle::{Circle, STRANGER, name};
use warifu_core::{ObjectId, XCoord};
use warifu_pipeline::peer::ShareAddress;
use warifu_vault::{GatherRequest, Vault};

fn request(object: ObjectId, x: XCoord, target: &str, helpers: &[&str]) -> GatherRequest {
    let helpers = helpers.iter().map(|site| name(site)).collect();
    GatherRequest { object, x, target: name(target), helpers, chunks: None }
}

#[test]
fn a_lost_share_is_worked_out_by_the_others_byte_by_byte() {
    let circle = Circle::new();
    let object = circle.store();
    let lost = circle.holder(object, "s3");
    let address = ShareAddress { object, x: lost.x };
    let before = circle.chunks("s3", "shares", address);
    assert_eq!(before.len(), 2);
    // At a site that held none: two helpers are asked by it, and one connects to it.
    let helpers = ["s1", "s2", "s4"];
    let report = circle.gateway.gather_share(&request(object, lost.x, STRANGER, &helpers));
    let report = report.unwrap();
    assert_eq!((report.chunks, report.target.as_str()), (2, STRANGER));
    assert!(circle.chunks(STRANGER, "unfinished", address) == before);
    assert_eq!(circle.told(STRANGER, "expect")[0]["result"], "expected");
    for helper in helpers {
        assert_eq!(circle.told(helper, "work")[0]["result"], "admitted");
        assert_eq!(circle.told(helper, "contribute")[0]["result"], "contributed");
    }
    // Where it was lost: k others suffice.
    std::fs::remove_file(circle.file("s3", "shares", address)).unwrap();
    circle.gateway.gather_share(&request(object, lost.x, "s3", &["s1", "s2"])).unwrap();
    assert!(circle.chunks("s3", "unfinished", address) == before);
    // No key served twice, at either end of any link.
    for vault in ["g", "s1", "s2", "s3", "s4", "s5"] {
        let rows = Vault::open(&circle.dir(vault)).unwrap().audit_keys().unwrap();
        assert!(rows.iter().all(|row| row.overlaps == 0 && row.outside_segments == 0), "{rows:?}");
    }
}

#[test]
fn sites_are_named_linked_and_counted_like_a_gateways() {
    let circle = Circle::new();
    let rows = circle.site("s1").sites().unwrap();
    let named: Vec<&str> = rows.iter().map(|row| row.site.as_str()).collect();
    assert_eq!(named, ["s2", "s3", "s4", "s5"]);
    assert!(rows.iter().all(|row| row.link.is_some()));
    assert!(circle.site("s1").test_site(&name("s2")).unwrap().ok);
    // The link was made at the other end: from here nobody connects.
    assert_eq!(circle.site("s1").test_site(&name("s5")).unwrap_err().code(), "link-missing");
    let twice = circle.site("s1").add_site(&warifu_vault::NewSite {
        name: name("s2"),
        url: "warifu://127.0.0.1:1".to_owned(),
        zone: None,
        domain: None,
        channel: None,
    });
    assert_eq!(twice.unwrap_err().code(), "exists-already");
    for end in ["s1", "s2"] {
        let other = if end == "s1" { "s2" } else { "s1" };
        let pools = circle.site(end).key_status().unwrap();
        let names: Vec<&str> = pools.iter().map(|row| row.pool.as_str()).collect();
        for way in ["to", "from"] {
            assert!(names.contains(&format!("{other}/{way}").as_str()), "{names:?}");
        }
    }
}
