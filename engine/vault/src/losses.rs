//! What can be restored from the sites that are there, and which of them could be lost besides.

use serde::Serialize;
use std::collections::BTreeSet;
use warifu_catalog::{Object, ShareState};

/// Above so many sites, sets that can be lost are not enumerated.
const ENUMERATED_SITES_MAX: usize = 16;

/// Sites that have to come back so that all can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BringBack {
    /// How many of them are enough, whichever they are.
    pub any: usize,
    /// Sites that are down and hold what is needed.
    pub of: Vec<String>,
}

/// How stored objects stand while some sites are down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Objects that the sites which are there can rebuild.
    pub(crate) restorable: usize,
    /// What would make the others restorable.
    pub(crate) bring_back: Option<BringBack>,
    /// Objects of which too few good shares are left, with all sites up.
    pub(crate) beyond: usize,
    /// Every largest set of sites that may be lost besides those that are down; empty above
    /// [`ENUMERATED_SITES_MAX`] sites.
    pub(crate) can_lose: Vec<Vec<String>>,
    /// Whether these are all: else there are too many sites to tell.
    pub(crate) is_enumerated: bool,
    /// How many more sites may be lost, whichever they are; `None` where nothing is stored.
    pub(crate) can_lose_any: Option<usize>,
}

/// The sites with a good share of an object, and how many of them it takes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held<'a> {
    sites: BTreeSet<&'a str>,
    k: usize,
}

/// How `objects` stand while the sites `down` are away.
pub(crate) fn standing(objects: &[Object], down: &BTreeSet<&str>) -> Standing {
    let held: Vec<Held<'_>> = objects.iter().map(held).collect();
    let here = |held: &Held<'_>| held.sites.difference(down).count();
    let spare = held.iter().map(|held| here(held).saturating_sub(held.k));
    // Many objects lie alike.
    let kinds: BTreeSet<Held<'_>> = objects.iter().map(self::held).collect();
    let can_lose = can_lose(&kinds, down);
    Standing {
        restorable: held.iter().filter(|held| here(held) >= held.k).count(),
        bring_back: bring_back(&kinds, down),
        beyond: held.iter().filter(|held| held.sites.len() < held.k).count(),
        is_enumerated: can_lose.is_some(),
        can_lose: can_lose.unwrap_or_default(),
        can_lose_any: spare.min(),
    }
}

fn held(object: &Object) -> Held<'_> {
    let good = object.shares.iter().filter(|share| share.state == ShareState::Good);
    Held { sites: good.map(|share| share.site.as_str()).collect(), k: object.threshold.k() }
}

fn bring_back(kinds: &BTreeSet<Held<'_>>, down: &BTreeSet<&str>) -> Option<BringBack> {
    let missing: Vec<(usize, BTreeSet<&str>)> = kinds
        .iter()
        .filter(|held| held.sites.len() >= held.k)
        .filter_map(|held| {
            let short = held.k.checked_sub(held.sites.difference(down).count())?;
            let away = held.sites.intersection(down).copied().collect();
            (short > 0).then_some((short, away))
        })
        .collect();
    let of: BTreeSet<&str> = missing.iter().flat_map(|(_, away)| away).copied().collect();
    // At worst those come back first that hold nothing of the object.
    let any = missing.iter().map(|(short, away)| short + of.len() - away.len()).max()?;
    Some(BringBack { any, of: of.into_iter().map(str::to_owned).collect() })
}

/// Every maximal set of sites that are there whose loss leaves k good shares of each object;
/// `None` where there are too many sites.
fn can_lose(kinds: &BTreeSet<Held<'_>>, down: &BTreeSet<&str>) -> Option<Vec<Vec<String>>> {
    let all: BTreeSet<&str> = kinds.iter().flat_map(|held| &held.sites).copied().collect();
    let names: Vec<&str> = all.difference(down).copied().collect();
    if names.len() > ENUMERATED_SITES_MAX {
        return None;
    }
    let bits = |held: &Held<'_>| {
        let here = names.iter().enumerate().filter(|(_, name)| held.sites.contains(*name));
        (here.fold(0_u32, |set, (at, _)| set | 1 << at), held.k)
    };
    let kinds: BTreeSet<(u32, usize)> = kinds.iter().map(bits).collect();
    let survives =
        |lost: u32| kinds.iter().all(|(sites, k)| (sites & !lost).count_ones() as usize >= *k);
    let sets = 1_u32 << names.len();
    let is_maximal =
        |set: u32| (0..names.len()).all(|at| set & (1 << at) != 0 || !survives(set | 1 << at));
    let losable = (1..sets)
        .filter(|lost| survives(*lost) && is_maximal(*lost))
        .map(|set| {
            let lost = (0..names.len()).filter(|at| set & (1 << at) != 0);
            lost.map(|at| names[at].to_owned()).collect()
        })
        .collect();
    Some(losable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outlook::tests::object;

    /// Objects 2 of 3 at a, b and c, with this many of their shares good.
    fn objects(good: &[usize]) -> Vec<Object> {
        let stored = good.iter().map(|good| {
            let mut object = object(1_000);
            object.shares.iter_mut().skip(*good).for_each(|s| s.state = ShareState::Missing);
            object
        });
        stored.collect()
    }

    fn down(sites: &[&'static str]) -> BTreeSet<&'static str> {
        sites.iter().copied().collect()
    }

    #[test]
    fn what_is_down_counts_as_lost_already() {
        let all = objects(&[3, 3]);
        let up = standing(&all, &down(&[]));
        assert_eq!((up.restorable, up.can_lose_any, up.bring_back), (2, Some(1), None));
        assert_eq!(up.can_lose, [["a"], ["b"], ["c"]]);
        let less = standing(&all, &down(&["c"]));
        assert_eq!((less.restorable, less.can_lose_any, less.bring_back), (2, Some(0), None));
        assert!(less.can_lose.is_empty());
        let gone = standing(&all, &down(&["b", "c"]));
        assert_eq!((gone.restorable, gone.can_lose_any), (0, Some(0)));
        let back = BringBack { any: 1, of: vec!["b".to_owned(), "c".to_owned()] };
        assert_eq!(gone.bring_back, Some(back));
        let back = BringBack { any: 2, of: ["a", "b", "c"].map(str::to_owned).into() };
        assert_eq!(standing(&all, &down(&["a", "b", "c"])).bring_back, Some(back));
    }

    #[test]
    fn a_site_that_holds_nothing_good_helps_nobody() {
        // One object whole, one without its share at c, one beyond rebuilding.
        let mixed = objects(&[3, 2, 1]);
        let up = standing(&mixed, &down(&[]));
        assert_eq!((up.restorable, up.beyond, up.can_lose_any), (2, 1, Some(0)));
        assert!(up.can_lose.is_empty() && up.bring_back.is_none());
        let gone = standing(&mixed, &down(&["b", "c"]));
        let back = BringBack { any: 2, of: vec!["b".to_owned(), "c".to_owned()] };
        assert_eq!((gone.restorable, gone.bring_back), (0, Some(back)), "c alone won't do");
    }

    #[test]
    fn nothing_stored_is_nothing_promised() {
        let none = standing(&[], &down(&["a"]));
        assert_eq!((none.restorable, none.can_lose_any, none.can_lose.len()), (0, None, 0));
    }

    #[test]
    fn with_many_sites_how_many_may_be_lost_is_told_all_the_same() {
        let mut many: Vec<Object> = objects(&[3; 7]);
        for (at, object) in many.iter_mut().enumerate() {
            for share in &mut object.shares {
                share.site = format!("{}{at}", share.site).parse().unwrap();
            }
        }
        let found = standing(&many, &down(&[]));
        assert_eq!((found.can_lose_any, found.can_lose.len()), (Some(1), 0));
        assert!(!found.is_enumerated && standing(&many[..5], &down(&[])).is_enumerated);
    }
}
