//! The kinds of values in a scenario.

use super::fields::Kind;
use crate::config::size;
use toml::de::DeValue;
use warifu_core::{SiteName, Threshold};

/// A reader of one kind of value.
macro_rules! kind {
    ($ty:ty) => { Kind<$ty, impl Fn(&DeValue<'_>) -> Result<$ty, String>> };
}

/// A whole number.
pub(super) fn whole(min: u64, max: u64, sample: &'static str) -> kind!(u64) {
    let read = move |value: &DeValue<'_>| match integer(value) {
        Some(count) if (min..=max).contains(&count) => Ok(count),
        Some(count) => Err(format!("is {count} and must be {min} to {max}")),
        None => Err(format!("must be a whole number from {min} to {max}")),
    };
    Kind { read, sample }
}

/// A number, whole or not.
pub(super) fn real(min: f64, max: f64, sample: &'static str) -> kind!(f64) {
    let read = move |value: &DeValue<'_>| {
        let number = match value {
            DeValue::Float(float) => float.as_str().replace('_', "").parse::<f64>().ok(),
            other => integer(other).map(|number| number as f64),
        };
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            Some(number) => Err(format!("is {number} and must be {min} to {max}")),
            None => Err(format!("must be a number from {min} to {max}")),
        }
    };
    Kind { read, sample }
}

/// A size in bytes.
pub(super) fn bytes(min: u64, max: u64, sample: &'static str) -> kind!(u64) {
    Kind { read: move |value: &DeValue<'_>| judge_size(value, min, max), sample }
}

/// A list of sizes, in bytes.
pub(super) fn sizes(min: u64, max: u64, sample: &'static str) -> kind!(Vec<u64>) {
    const COUNT_MAX: usize = 10_000;
    let read = move |value: &DeValue<'_>| {
        let list = value.as_array().ok_or("must be a list of sizes")?;
        if list.is_empty() || list.len() > COUNT_MAX {
            return Err(format!("has {} entries and must have 1 to {COUNT_MAX}", list.len()));
        }
        list.iter().map(|entry| judge_size(entry.get_ref(), min, max)).collect()
    };
    Kind { read, sample }
}

/// A rate of key in bits a second, 100 Gbit/s at most.
pub(super) fn rate(sample: &'static str) -> kind!(u64) {
    const RATE_MAX: f64 = 1e11;
    let read = |value: &DeValue<'_>| {
        let rate = match value.as_str() {
            Some(text) => rate_of(text),
            None => integer(value).map(|rate| rate as f64),
        };
        let rate =
            rate.ok_or("must be a rate: a number of bits a second, or a text with a unit")?;
        match (0.0..=RATE_MAX).contains(&rate) {
            true => Ok(rate.round() as u64),
            false => Err("is more than 100Gbit/s".to_owned()),
        }
    };
    Kind { read, sample }
}

/// A name of a site, zone or domain.
pub(super) fn name(sample: &'static str) -> kind!(SiteName) {
    let read = |value: &DeValue<'_>| {
        let text = value.as_str().ok_or("must be a text in quotes")?;
        text.parse::<SiteName>().map_err(|error| format!("can't be used: {error}"))
    };
    Kind { read, sample }
}

/// How many shares rebuild, and how many are made.
pub(super) fn scheme(sample: &'static str) -> kind!(Threshold) {
    let read = |value: &DeValue<'_>| {
        let text = value.as_str().ok_or("must be a text in quotes")?;
        text.parse::<Threshold>().map_err(|error| format!("can't be used: {error}"))
    };
    Kind { read, sample }
}

/// A line of text.
pub(super) fn line(sample: &'static str) -> kind!(String) {
    const CHARS_MAX: usize = 200;
    let read = |value: &DeValue<'_>| {
        let text = value.as_str().ok_or("must be a text in quotes")?;
        match text.chars().count() <= CHARS_MAX && !text.contains(char::is_control) {
            true => Ok(text.to_owned()),
            false => Err(format!("must be one line of at most {CHARS_MAX} characters")),
        }
    };
    Kind { read, sample }
}

/// One of some words, and what it stands for.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)], sample: &'static str) -> kind!(T) {
    let read = move |value: &DeValue<'_>| {
        let given = value.as_str().ok_or("must be a text in quotes")?;
        words.iter().find(|(word, _)| *word == given).map(|(_, meaning)| *meaning).ok_or_else(
            || {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let given: String = given.chars().take(64).collect();
                format!("is {given:?} and must be one of {}", known.join(", "))
            },
        )
    };
    Kind { read, sample }
}

fn judge_size(value: &DeValue<'_>, min: u64, max: u64) -> Result<u64, String> {
    let bytes = match value.as_str() {
        Some(text) => size(text),
        None => integer(value),
    };
    match bytes {
        Some(bytes) if (min..=max).contains(&bytes) => Ok(bytes),
        Some(bytes) => Err(format!("is {bytes} bytes and must be {min} to {max}")),
        None => Err("must be a size: a number of bytes, or a text such as \"20GB\"".to_owned()),
    }
}

/// Bits a second from `"1.5Mbit/s"`.
fn rate_of(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 4] =
        [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)];
    let (number, unit) =
        UNITS.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = number.parse::<f64>().ok().filter(|_| is_plain)?;
    Some(number * unit)
}

fn integer(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_exactly_or_not_at_all() {
        let cases = [("1.5Mbit/s", 1.5e6), ("300kbit/s", 3e5), ("7bit/s", 7.0), ("2Gbit/s", 2e9)];
        for (text, rate) in cases {
            assert_eq!(rate_of(text), Some(rate), "{text}");
        }
        for text in ["", "bit/s", "1", "1 Mbit/s", "-1Mbit/s", "1e3bit/s", "infbit/s", "1..2bit/s"]
        {
            assert_eq!(rate_of(text), None, "{text}");
        }
    }
}
