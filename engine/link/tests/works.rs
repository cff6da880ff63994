//! Bodies about work that sites do together.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use warifu_core::{IndividualId, SiteName, XCoord};
use warifu_link::body::{Holder, WORK_BYTES_MAX, Work, decode_owned, encode_owned};

fn holder(x: u8, site: &str) -> Holder {
    Holder { x: XCoord::new(x).unwrap(), site: site.parse::<SiteName>().unwrap() }
}

fn work() -> Work {
    Work {
        id: [9; 16],
        first: 3,
        count: 2,
        gateway: "g".parse().unwrap(),
        target: "nagoya".parse().unwrap(),
        helpers: vec![holder(1, "tokyo"), holder(4, "osaka")],
    }
}

fn body(work: &Work) -> Vec<u8> {
    let mut body = Vec::new();
    work.encode(&mut body).unwrap();
    body
}

#[test]
fn a_work_is_laid_out_as_the_format_says() {
    let mut expected = vec![9; 16];
    expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    expected.extend(b"\x01g\x06nagoya\x02\x01\x05tokyo\x04\x05osaka");
    assert_eq!(body(&work()), expected);
    assert_eq!(Work::decode(&expected), Ok(work()));
}

#[test]
fn work_that_makes_no_sense_is_refused() {
    let twice = vec![holder(1, "tokyo"), holder(4, "tokyo")];
    let descending = vec![holder(4, "tokyo"), holder(1, "osaka")];
    for wrong in [
        Work { helpers: Vec::new(), ..work() },
        Work { helpers: twice, ..work() },
        Work { helpers: descending, ..work() },
        Work { count: 0, ..work() },
        Work { count: 9, ..work() },
        Work { first: u64::MAX, ..work() },
    ] {
        assert!(wrong.encode(&mut Vec::new()).is_err(), "{wrong:?}");
    }
    let whole = body(&work());
    for cut in 0..whole.len() {
        assert!(Work::decode(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(Work::decode(&[&whole[..], b"x"].concat()).is_err());
    let most: Vec<Holder> = (1..=255).map(|x| holder(x, &format!("{x:064}"))).collect();
    let name: SiteName = "n".repeat(64).parse().unwrap();
    let longest = Work { gateway: name.clone(), target: name, helpers: most, ..work() };
    assert_eq!(body(&longest).len(), WORK_BYTES_MAX);
}

#[test]
fn an_owner_may_come_with_where_the_shares_lie() {
    let p1: IndividualId = "P1".parse().unwrap();
    let holders = vec![holder(1, "tokyo"), holder(0xfe, "osaka")];
    let body = encode_owned(&p1, &holders);
    assert_eq!(body, b"P1\n01 tokyo\nfe osaka");
    assert_eq!(decode_owned(&body), Ok((p1.clone(), holders)));
    assert_eq!(decode_owned(b"P1"), Ok((p1, Vec::new())));
    for wrong in [
        &b""[..],
        b"P1\n",
        b"P1\n00 tokyo",
        b"P1\n1 tokyo",
        b"P1\n01tokyo",
        b"P1\nFE tokyo",
        b"P1\n01 Tokyo",
        b"P1\n01 ",
        b"P1\n01 tokyo\n",
        b"P1\n02 tokyo\n01 osaka",
        b"P1\n01 tokyo\n01 osaka",
        b"P1\n01 tokyo\n02 tokyo",
        b"P1\n+1 tokyo",
    ] {
        assert!(decode_owned(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_in_one_way_or_refused(other: Vec<u8>, at in 0_usize..40, byte: u8) {
        let mut changed = body(&work());
        changed[at] = byte;
        for bytes in [other, changed] {
            if let Ok(work) = Work::decode(&bytes) {
                prop_assert_eq!(body(&work), bytes.clone());
            }
            if let Ok((individual, holders)) = decode_owned(&bytes) {
                prop_assert_eq!(encode_owned(&individual, &holders), bytes);
            }
        }
    }
}
