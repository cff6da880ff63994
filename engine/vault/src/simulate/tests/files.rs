//! Files of scenarios: what is wrong with one is told with its line, and nothing makes it panic.

use super::*;
use proptest::prelude::*;

const GOOD: &str = "v = 1\nname = \"x\"\nscheme = \"2/3\"\n[arrivals]\nper_day = 1\nsize = 5\n\
                    [[site]]\nname = \"a\"\n[[site]]\nname = \"b\"\n[[site]]\nname = \"c\"\n";

/// Line, field and beginning of what is said of the first mistake.
fn first(text: &str) -> (usize, String, String) {
    let mistakes = Scenario::parse(text).expect_err(text);
    let first = &mistakes[0];
    assert!(!first.mend.is_empty(), "{first}");
    (first.line, first.key.clone(), first.what.clone())
}

#[test]
fn every_mistake_is_told_with_its_line_and_its_mend() {
    assert!(Scenario::parse(GOOD).is_ok());
    let cases = [
        ("v = 1", "v = 2", 1, "v", "is 2 and must be 1 to 1"),
        ("name = \"x\"", "nam = \"x\"", 1, "name", "is missing"),
        ("scheme = \"2/3\"", "scheme = \"4/3\"", 3, "scheme", "can't be used"),
        ("scheme = \"2/3\"", "months = 121", 3, "months", "is 121 and must be 1 to 120"),
        ("scheme = \"2/3\"", "queue = \"best\"", 3, "queue", "is \"best\" and must be one of"),
        ("scheme = \"2/3\"", "scheme = \"2/4\"", 7, "site", "has 3 domains"),
        ("per_day = 1", "per_day = -1", 5, "arrivals.per_day", "must be a number"),
        ("per_day = 1", "per_day = nan", 5, "arrivals.per_day", "is NaN and must be"),
        ("per_day = 1", "per_day = 1e6", 3, "", "too much happens: about 1080000000 shares"),
        ("size = 5", "size = 0", 6, "arrivals.size", "is 0 bytes"),
        ("size = 5", "size = \"2TiB\"", 6, "arrivals.size", "is 2199023255552 bytes"),
        ("size = 5", "sizes = []", 6, "arrivals.sizes", "has 0 entries"),
        ("size = 5", "spread = 2", 4, "arrivals", "must say how long files are in one way"),
        ("size = 5", "size = 5\nmedian = 5", 4, "arrivals", "must say how long"),
        ("name = \"b\"", "name = \"../b\"", 10, "site[2].name", "can't be used"),
        (
            "name = \"b\"",
            "name = \"a\"\ndomain = \"b\"\nzone = \"b\"",
            9,
            "site",
            "a is there twice",
        ),
        ("name = \"b\"", "name = \"b\"\nzone = \"a\"", 7, "site", "has room for 2 shares"),
        ("name = \"b\"", "name = \"b\"\nrate = \"2MB/s\"", 11, "site[2].rate", "must be a rate"),
        ("name = \"b\"", "name = \"b\"\nrate = \"1000Gbit/s\"", 11, "site[2].rate", "is more"),
        ("name = \"b\"", "name = \"b\"\nrate = 1\nrate_to = 1", 11, "site[2].rate", "says for"),
        ("name = \"b\"", "name = \"b\"\nrat = 1", 11, "site[2].rat", "is no field"),
        ("name = \"b\"", "name = \"b\"\nchannel = \"local\"\nkey = 1", 12, "site[2].key", "says"),
        (
            "name = \"b\"",
            "name = \"b\"\nloss = { day = 3, back_day = 3 }",
            11,
            "site[2].loss.back_day",
            "is not after day 3",
        ),
        (
            "name = \"b\"",
            "name = \"b\"\noutages = [{ day = 3, days = 1, of = \"roof\" }]",
            11,
            "site[2].outages[1].of",
            "is \"roof\" and must be one of link, site",
        ),
        ("name = \"b\"", "name = \"b\"\ncourier = 3", 11, "site[2].courier", "must be a table"),
        ("[[site]]\nname = \"a\"", "[site]", 8, "", "this is no TOML"),
    ];
    for (old, new, line, key, what) in cases {
        let text = GOOD.replacen(old, new, 1);
        assert_ne!(text, GOOD, "{old}");
        let (at, of, said) = first(&text);
        assert_eq!((at, of.as_str()), (line, key), "{new}: {said}");
        assert!(said.starts_with(what), "{new}: {said}");
    }
}

#[test]
fn a_slip_of_the_pen_is_guessed() {
    let text = GOOD.replace("per_day", "per_dya");
    let mistakes = Scenario::parse(&text).expect_err("a slip");
    assert!(mistakes.iter().any(|one| one.mend == "did you mean `per_day`?"), "{mistakes:?}");
}

#[test]
fn what_is_too_long_is_not_even_read() {
    let limit = usize::try_from(SCENARIO_BYTES_MAX).unwrap();
    let filled = |bytes: usize| format!("{GOOD}#{}", "x".repeat(bytes - GOOD.len() - 1));
    assert!(Scenario::parse(&filled(limit)).is_ok());
    assert_eq!(first(&filled(limit + 1)).0, 1);
}

#[test]
fn more_months_are_refused_where_too_much_would_happen() {
    let text = GOOD.replace("per_day = 1", "per_day = 5000");
    let much = scenario(&text);
    assert!(much.clone().lasting(3).is_ok());
    let excess = much.lasting(120).expect_err("54 million shares").to_string();
    assert!(excess.contains("54000000 shares"), "{excess}");
}

#[test]
fn the_largest_figures_stay_within_their_integers() {
    let site = |name: &str| {
        format!(
            "[[site]]\nname = \"{name}\"\nrate_to = \"100Gbit/s\"\nrate_from = \"100Gbit/s\"\n\
             key = \"1024TiB\"\ncourier = {{ every_days = 1, bytes = \"1024TiB\" }}\n"
        )
    };
    let sites: String = ["a", "b", "c"].map(site).concat();
    let text = format!(
        "v = 1\nname = \"x\"\nscheme = \"2/3\"\nmonths = 120\nrestores_per_day = 1\n\
         [arrivals]\nper_day = 1\nmedian = \"1023GiB\"\nspread = 20\n{sites}"
    );
    for report in simulate(&scenario(&text), &Policy::ALL, 1).policies {
        assert!(report.stored > 3000 && report.waiting == 0, "{report:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Scenario::parse(&text);
    }

    #[test]
    fn no_change_of_a_good_file_makes_it_panic(
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        new in "[-+.0-9a-z\"=\\[\\]{}, \n_]{0,12}",
    ) {
        let text = Shipped::find("tohoku-2022").unwrap().text(1);
        let begin = at.index(text.len());
        let end = (begin + length).min(text.len());
        prop_assume!(text.is_char_boundary(begin) && text.is_char_boundary(end));
        let changed = format!("{}{new}{}", &text[..begin], &text[end..]);
        if let Err(mistakes) = Scenario::parse(&changed) {
            prop_assert!(!mistakes.is_empty());
        }
    }
}
