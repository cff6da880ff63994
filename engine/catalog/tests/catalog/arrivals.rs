//! Samples of what arrived: one for each growth, thinned out, never out of order.

use super::*;
use warifu_catalog::{Arrival, KEPT_DAYS};
use warifu_core::{Direction, PoolId};

const DAY_S: u64 = 86_400;

fn pool(byte: u8) -> PoolId {
    PoolId::from_bytes([byte; 16])
}

fn at(unix_s: u64, bytes_total: u64) -> Arrival {
    Arrival { unix_s, bytes_total }
}

#[test]
fn only_growth_is_noted_and_each_direction_by_itself() {
    let lab = Lab::new();
    let catalog = lab.open();
    let note = |direction, seen| catalog.note_arrival(pool(1), direction, seen).unwrap();
    for seen in [at(100, 50), at(200, 50), at(300, 40), at(90_000, 60)] {
        note(Direction::AToB, seen);
    }
    note(Direction::BToA, at(5, 7));
    catalog.note_arrival(pool(2), Direction::AToB, at(6, 8)).unwrap();
    let told = |pool, direction| catalog.arrivals(pool, direction).unwrap();
    assert_eq!(told(pool(1), Direction::AToB), [at(100, 50), at(90_000, 60)]);
    assert_eq!(told(pool(1), Direction::BToA), [at(5, 7)]);
    assert_eq!(told(pool(2), Direction::AToB), [at(6, 8)]);
    assert_eq!(told(pool(3), Direction::AToB), []);
    // A clock set back: the growth counts from the last time that was known.
    note(Direction::AToB, at(50, 61));
    let after = [at(100, 50), at(90_000, 60), at(90_001, 61)];
    assert_eq!(told(pool(1), Direction::AToB), after);
    // Two in one second are two: the first is what all growth is counted from.
    note(Direction::BToA, at(5, 9));
    assert_eq!(told(pool(1), Direction::BToA), [at(5, 7), at(6, 9)]);
}

#[test]
fn an_unbroken_stream_of_key_leaves_a_sample_an_hour_and_one_from_before_the_window() {
    let lab = Lab::new();
    let catalog = lab.open();
    let quarters = (0..2 * 96).map(|quarter| quarter * 900);
    let days = (2..KEPT_DAYS + 20).map(|day| day * DAY_S);
    let times: Vec<u64> = quarters.chain(days).collect();
    for (at_once, unix_s) in times.iter().enumerate() {
        let seen = at(*unix_s, at_once as u64 + 1);
        catalog.note_arrival(pool(1), Direction::AToB, seen).unwrap();
        if at_once == 2 * 96 - 1 {
            let kept = catalog.arrivals(pool(1), Direction::AToB).unwrap();
            assert!((47..=50).contains(&kept.len()), "{}", kept.len());
            assert!(kept.windows(3).all(|three| three[2].unix_s - three[0].unix_s >= 3_600));
        }
    }
    let kept = catalog.arrivals(pool(1), Direction::AToB).unwrap();
    let end = times[times.len() - 1];
    assert_eq!(kept.last(), Some(&at(end, times.len() as u64)));
    let begin = end - KEPT_DAYS * DAY_S;
    assert!(kept[0].unix_s <= begin && kept[1].unix_s > begin, "{kept:?}");
    assert_eq!(kept.len() as u64, KEPT_DAYS + 1);
    assert!(kept.windows(2).all(|two| two[0].unix_s < two[1].unix_s));
    assert!(kept.windows(2).all(|two| two[0].bytes_total < two[1].bytes_total));
}
