//! A run beside an older one.

use crate::report::{TYPE, VERSION};
use crate::{Figure, Report, Spread};
use serde::Serialize;

/// What became of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every round now was better than every round before.
    Faster,
    /// Every round now was worse than every round before.
    Slower,
    /// The rounds of now and before lie among each other.
    Same,
}

/// One figure now and before.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The bench.
    pub bench: String,
    /// The figure.
    pub figure: String,
    /// Where the bytes were.
    pub at: String,
    /// The kernels that were used.
    pub isa: String,
    /// What is compared: the figure divided by this, in the rounds of either run.
    pub divided_by: String,
    /// Before.
    pub before: Spread,
    /// Now.
    pub now: Spread,
    /// The median now by the median before.
    pub now_by_before: f64,
    /// What that means.
    pub verdict: Verdict,
}

/// A run beside an older one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// When the older one was taken, RFC 3339.
    pub before_taken: String,
    /// Whether both were taken by the same kind of build on the same kind of machine.
    pub is_like: bool,
    /// Figures that got slower.
    pub slower: usize,
    /// Figures that got faster.
    pub faster: usize,
    /// Every figure that both have.
    pub differences: Vec<Difference>,
    /// Figures that only one of them has, and those that are divided by something else now.
    pub only_in_one: Vec<String>,
}

/// Why a text is no report that could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON of a report.
    #[error("it is no report of `warifu bench --json`")]
    Form(#[from] serde_json::Error),
    /// It is a document of another kind.
    #[error("it is a document of type {found:?}, not {TYPE:?}")]
    Type {
        /// What it says it is.
        found: String,
    },
    /// It has another version.
    #[error("it has version {found}, and this warifu reads version {VERSION}")]
    Version {
        /// The version it has.
        found: u64,
    },
}

impl Report {
    /// Reads what `warifu bench --json` has written.
    ///
    /// # Errors
    /// Where it is something else, or of another version.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let kind = value.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
        if kind != TYPE {
            return Err(ReadError::Type { found: kind.chars().take(32).collect() });
        }
        let version = value.get("v").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if version != u64::from(VERSION) {
            return Err(ReadError::Version { found: version });
        }
        Ok(serde_json::from_value(value)?)
    }
}

/// Sets `now` beside `before`, figure by figure, by their ratios to what either run divided by: so
/// a machine that was slower that day does not look like a worse program.
///
/// There is a verdict only where the rounds of both lie entirely apart. For two times seven
/// samples of one distribution chance does that once in 1,716 figures, for two times five once in
/// 126, for two times fifteen hardly ever. Runs on a busy machine differ by more than chance.
#[must_use]
pub fn compare(now: &Report, before: &Report) -> Comparison {
    let mut comparison = Comparison {
        before_taken: before.taken.clone(),
        is_like: now.machine.is_like(&before.machine),
        slower: 0,
        faster: 0,
        differences: Vec::new(),
        only_in_one: Vec::new(),
    };
    let same = |one: &Figure, other: &Figure| {
        one.key() == other.key() && one.divided_by == other.divided_by
    };
    for figure in &now.figures {
        match before.figures.iter().find(|old| same(figure, old)) {
            Some(old) => comparison.differences.push(difference(figure, old)),
            None => comparison.only_in_one.push(name(figure)),
        }
    }
    for old in &before.figures {
        if !now.figures.iter().any(|figure| figure.key() == old.key()) {
            comparison.only_in_one.push(name(old));
        }
    }
    let count = |verdict| {
        comparison.differences.iter().filter(|difference| difference.verdict == verdict).count()
    };
    (comparison.slower, comparison.faster) = (count(Verdict::Slower), count(Verdict::Faster));
    comparison
}

fn difference(now: &Figure, before: &Figure) -> Difference {
    let verdict = if now.ratio.least > before.ratio.most {
        Verdict::Faster
    } else if now.ratio.most < before.ratio.least {
        Verdict::Slower
    } else {
        Verdict::Same
    };
    Difference {
        bench: now.bench.clone(),
        figure: now.figure.clone(),
        at: now.at.clone(),
        isa: now.isa.clone(),
        divided_by: now.divided_by.clone(),
        before: before.ratio,
        now: now.ratio,
        now_by_before: now.ratio.median / before.ratio.median.max(1e-12),
        verdict,
    }
}

fn name(figure: &Figure) -> String {
    let (bench, what, at, isa) = figure.key();
    format!("{bench} {what} {at} {isa}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Machine, Taken};

    fn figure(name: &str, ratio: [f64; 3]) -> Figure {
        let [least, median, most] = ratio;
        let ratio = Spread { median, least, most };
        Figure {
            bench: "kernel".to_owned(),
            figure: name.to_owned(),
            at: "l1".to_owned(),
            isa: "scalar".to_owned(),
            of: "bytes of secret".to_owned(),
            bytes: 1,
            rounds: 7,
            clock: Clock::Thread,
            gb_per_s: ratio,
            divided_by: "memcpy".to_owned(),
            ratio,
            roof: None,
            latency: None,
            processor_s_per_gb: None,
            copied_bytes: None,
        }
    }

    fn report(figures: Vec<Figure>) -> Report {
        let taken = Taken { limits: Vec::new(), figures };
        Report::new(Machine::here(), false, vec![taken])
    }

    #[test]
    fn a_run_beside_itself_differs_in_nothing_and_survives_being_written() {
        let now = report(vec![figure("a", [1.0, 2.0, 3.0]), figure("b", [1.0, 1.0, 1.0])]);
        let read = Report::parse(&serde_json::to_string(&now).unwrap()).unwrap();
        assert_eq!(read, now);
        let found = compare(&now, &read);
        assert!(found.is_like && found.only_in_one.is_empty());
        assert_eq!((found.slower, found.faster, found.differences.len()), (0, 0, 2));
        assert!(found.differences.iter().all(|one| one.now_by_before == 1.0));
    }

    #[test]
    fn only_rounds_that_lie_entirely_apart_are_a_verdict() {
        let before = report(vec![figure("a", [2.0, 3.0, 4.0]), figure("gone", [1.0; 3])]);
        for (ratio, verdict, counts) in [
            ([4.1, 5.0, 6.0], Verdict::Faster, (0, 1)),
            ([4.0, 5.0, 6.0], Verdict::Same, (0, 0)),
            ([1.0, 1.5, 2.0], Verdict::Same, (0, 0)),
            ([1.0, 1.5, 1.9], Verdict::Slower, (1, 0)),
        ] {
            let now = report(vec![figure("a", ratio), figure("new", [1.0; 3])]);
            let found = compare(&now, &before);
            assert_eq!(found.differences[0].verdict, verdict, "{ratio:?}");
            assert_eq!((found.slower, found.faster), counts);
            assert_eq!(found.only_in_one, ["kernel new l1 scalar", "kernel gone l1 scalar"]);
        }
    }

    #[test]
    fn a_figure_that_is_divided_by_something_else_is_not_compared() {
        let before = report(vec![figure("a", [1.0; 3])]);
        let mut now = before.clone();
        now.figures[0].divided_by = "memset".to_owned();
        let found = compare(&now, &before);
        assert!(found.differences.is_empty());
        assert_eq!(found.only_in_one.len(), 1);
    }

    #[test]
    fn what_is_no_report_of_this_version_is_refused() {
        let good = serde_json::to_string(&report(vec![figure("a", [1.0; 3])])).unwrap();
        let is_version = |text: &str| matches!(Report::parse(text), Err(ReadError::Version { .. }));
        let is_type = |text: &str| matches!(Report::parse(text), Err(ReadError::Type { .. }));
        assert!(is_version(&good.replace("\"v\":1", "\"v\":2")));
        assert!(is_type(&good.replace("\"type\":\"bench\"", "\"type\":\"object\"")));
        assert!(is_type("{}") && is_type("[1]"));
        let torn = &good[..good.len() / 2];
        let other = "{\"v\":1,\"type\":\"bench\"}";
        for text in ["", torn, other] {
            assert!(matches!(Report::parse(text), Err(ReadError::Form(_))), "{text}");
        }
    }
}
