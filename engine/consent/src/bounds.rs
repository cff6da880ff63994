//! What statements may say at all: lengths, order and version, whoever signs them. The kinds'
//! labels stand here too, one beside the other, as none may ever be taken for another.

use crate::statement::{
    BreakGlass, Consent, Enrolment, Locator, Nonce, Presence, PresenceKind, Rebinding, Revocation,
    Statement, VERSION,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// The most objects in one consent, and consents in one revocation.
pub const OBJECTS_MAX: usize = 1_024;

/// The most ranges of one object.
pub const RANGES_MAX: usize = 1_024;

/// The longest purpose or reason in bytes.
pub const PURPOSE_BYTES_MAX: usize = 1_024;

/// The shortest reason of a break-glass in bytes.
pub const REASON_BYTES_MIN: usize = 8;

/// The most sites whose nonces one presence carries: as many as an object can have shares.
pub const NONCES_MAX: usize = 255;

/// How long a break-glass holds at most, in seconds.
pub const BREAK_GLASS_S_MAX: u64 = 86_400;

/// The last second that is a time here, the end of the year 9999: sums of times can't overflow.
pub const TIME_MAX: u64 = 253_402_300_799;

type Formed = Result<(), &'static str>;

impl Statement for Enrolment {
    const TYPE: &'static str = "warifu-enrolment+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        time(self.at)
    }
}

impl Statement for Rebinding {
    const TYPE: &'static str = "warifu-rebinding+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        time(self.at)?;
        purpose(&self.reason)?;
        require(self.from != self.to, "it changes nothing: both keys are the same")
    }
}

impl Statement for Consent {
    const TYPE: &'static str = "warifu-consent+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        [self.at, self.not_before, self.expires].into_iter().try_for_each(time)?;
        require(self.not_before < self.expires, "it ends before it begins")?;
        purpose(&self.purpose)?;
        require(
            (1..=OBJECTS_MAX).contains(&self.objects.len()),
            "it must name 1 to 1,024 objects",
        )?;
        let mut named: Vec<_> = self.objects.iter().map(|locator| locator.object).collect();
        named.sort_unstable();
        require(named.windows(2).all(|two| two[0] != two[1]), "it names an object twice")?;
        self.objects.iter().try_for_each(locator)
    }
}

impl Statement for Presence {
    const TYPE: &'static str = "warifu-presence+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        time(self.at)?;
        nonces(&self.nonces)?;
        let whole = match self.kind {
            PresenceKind::Restore => self.consent.is_some() && self.object.is_some(),
            PresenceKind::Find => {
                self.consent.is_none() && self.object.is_none() && self.ranges.is_none()
            }
        };
        require(whole, "it does not say what its kind must say, or more")?;
        self.ranges.as_deref().map_or(Ok(()), |ranges| in_order(ranges, u64::MAX))
    }
}

impl Statement for Revocation {
    const TYPE: &'static str = "warifu-revocation+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        time(self.at)?;
        require(self.consents.len() <= OBJECTS_MAX, "it may name 1,024 consents at most")
    }
}

impl Statement for BreakGlass {
    const TYPE: &'static str = "warifu-break-glass+jwt";

    fn well_formed(&self) -> Formed {
        version(self.v)?;
        [self.at, self.expires].into_iter().try_for_each(time)?;
        require(self.at < self.expires, "it ends before it begins")?;
        require(self.expires - self.at <= BREAK_GLASS_S_MAX, "it may hold for a day at most")?;
        purpose(&self.reason)?;
        require(self.reason.len() >= REASON_BYTES_MIN, "the reason is too short to be one")?;
        nonces(&self.nonces)?;
        locator(&self.object)
    }
}

/// The labels of all kinds.
pub(crate) const TYPES: [&str; 6] = [
    Enrolment::TYPE,
    Rebinding::TYPE,
    Consent::TYPE,
    Presence::TYPE,
    Revocation::TYPE,
    BreakGlass::TYPE,
];

fn require(holds: bool, what: &'static str) -> Formed {
    if holds { Ok(()) } else { Err(what) }
}

fn version(v: u32) -> Formed {
    require(v == VERSION, "its version is not known here")
}

fn time(at_unix_s: u64) -> Formed {
    require(at_unix_s <= TIME_MAX, "a time in it lies after the year 9999")
}

/// Texts for people go to terminals and logs: no lines of their own, and nothing by which a
/// person reads something else than what is signed.
fn purpose(text: &str) -> Formed {
    let fits = (1..=PURPOSE_BYTES_MAX).contains(&text.len());
    require(
        fits && !text.chars().any(misleads),
        "its text must be 1 to 1,024 bytes of one line, without marks that change its direction",
    )
}

/// Whether a letter moves others about: control characters, breaks of lines and paragraphs, marks
/// of direction.
pub(crate) fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn nonces(nonces: &BTreeMap<String, Nonce>) -> Formed {
    let fits = (1..=NONCES_MAX).contains(&nonces.len());
    require(fits && nonces.keys().all(|site| site.len() <= 64), "it must answer 1 to 255 sites")
}

fn locator(locator: &Locator) -> Formed {
    let Locator { k, n, shares, .. } = locator;
    require(1 <= *k && k <= n, "the geometry of an object is none")?;
    require(shares.len() <= usize::from(*n), "an object has more places than shares")?;
    let mut xs: Vec<u8> = shares.iter().map(|place| place.x.get()).collect();
    xs.sort_unstable();
    require(xs.windows(2).all(|two| two[0] != two[1]), "a share is named twice")?;
    locator.ranges.as_deref().map_or(Ok(()), |ranges| in_order(ranges, locator.payload_bytes))
}

/// One to [`RANGES_MAX`] ranges, none empty, ascending and disjoint, none beyond `end`.
fn in_order(ranges: &[Range<u64>], end: u64) -> Formed {
    require(
        (1..=RANGES_MAX).contains(&ranges.len()),
        "it must name 1 to 1,024 ranges, or none at all",
    )?;
    require(ranges.iter().all(|range| range.start < range.end), "a range is empty")?;
    require(
        ranges.windows(2).all(|two| two[0].end <= two[1].start),
        "ranges overlap or are out of order",
    )?;
    require(ranges.iter().all(|range| range.end <= end), "a range lies beyond the object's end")
}
