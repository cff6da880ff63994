//! That every code of the sources is explained, and nothing else is.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Classes by the name that sources use.
const CLASSES: [(&str, Class); 16] = [
    ("Other", Class::Other),
    ("Usage", Class::Usage),
    ("Damage", Class::Damage),
    ("Unrecoverable", Class::Unrecoverable),
    ("Temporary", Class::Temporary),
    ("Key", Class::Key),
    ("Consent", Class::Consent),
    ("Audit", Class::Audit),
    ("Card", Class::Card),
    ("NotFound", Class::NotFound),
    ("Busy", Class::Busy),
    ("Authentication", Class::Authentication),
    ("Forged", Class::Forged),
    ("Rollback", Class::Rollback),
    ("Incompatible", Class::Incompatible),
    ("Limit", Class::Limit),
];

/// Codes that are told without a failure of their own.
const TOLD_OTHERWISE: [(&str, u8); 2] = [("some-failed", 3), ("kme-deviates", 3)];

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_name().unwrap() == "tests.rs";
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test {
            let text = std::fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let product = product.split("#[cfg(test)]\npub(crate) mod tests {").next().unwrap();
            found.push(product.to_owned());
        }
    }
}

/// Codes with the classes that stand before them; none where a variable does.
fn codes_in(text: &str) -> Vec<(String, Option<Class>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('"') {
        let word: String = text[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
            .collect();
        let ends = text[at + 1 + word.len()..].starts_with('"');
        let Some(before) = text[..at].trim_end().strip_suffix(',') else { continue };
        if !ends || word.is_empty() {
            continue;
        }
        let named = CLASSES.iter().find(|(name, _)| before.ends_with(&format!("Class::{name}")));
        let variable = ["class", "class(error)", "class(&error)"];
        if named.is_some() || variable.iter().any(|end| before.ends_with(end)) {
            found.push((word, named.map(|(_, class)| *class)));
        }
    }
    found
}

#[test]
fn the_search_for_codes_finds_every_way_in_which_they_are_written() {
    let text = r#"Failure::new(Class::Key, "key-short", what);
        (Class::Busy,
            "a-b")
        failure(class, "by-variable"), (key_class(error), "by-call")
        Class::Usage, "Not a code", Class::Usage, what, "neither""#;
    let found = codes_in(text);
    let expected = [
        ("key-short", Some(Class::Key)),
        ("a-b", Some(Class::Busy)),
        ("by-variable", None),
        ("by-call", None),
    ];
    assert_eq!(found, expected.map(|(code, class)| (code.to_owned(), class)));
}

#[test]
fn every_code_of_the_sources_is_explained_and_nothing_else() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in [own.join("src"), own.join("../../engine/vault/src")] {
        sources(&folder, &mut texts);
    }
    let mut used: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
    for (code, class) in texts.iter().flat_map(|text| codes_in(text)) {
        used.entry(code).or_default().extend(class.map(Class::exit_code));
    }
    for (code, exit) in TOLD_OTHERWISE {
        used.entry(code.to_owned()).or_default().insert(exit);
    }
    assert!(used.len() > 90, "the search finds too little: {}", used.len());
    let book = Book::open().unwrap();
    let explained: BTreeMap<&str, &Code> =
        book.codes().map(|code| (code.code.as_str(), code)).collect();
    assert_eq!(explained.len(), book.codes().count(), "a code is explained twice");
    for (code, exits) in &used {
        let Some(entry) = explained.get(code.as_str()) else {
            panic!("code {code} has no explanation: write one in tools/warifu/src/explain")
        };
        let told: BTreeSet<u8> = entry.exits.iter().copied().collect();
        assert!(told.is_superset(exits), "{code}: ends with {exits:?}, {told:?} are told");
    }
    for code in explained.keys() {
        assert!(used.contains_key(*code), "{code} is explained, and no source has it");
    }
}

#[test]
fn every_entry_is_complete() {
    let book = Book::open().unwrap();
    let exits: Vec<u8> = book.exits.iter().map(|exit| exit.code).collect();
    assert_eq!(exits, (0..=17).collect::<Vec<u8>>());
    for (_, class) in CLASSES {
        let exit = book.exits.iter().find(|exit| exit.code == class.exit_code()).unwrap();
        assert_eq!(exit.class, class.as_str());
    }
    for code in book.codes() {
        let texts = code.causes.iter().chain(&code.next).chain([&code.means]);
        assert!(texts.clone().all(|text| !text.trim().is_empty()), "{code:?}");
        assert!(!code.causes.is_empty() && !code.next.is_empty(), "{code:?}");
        assert!(code.means.ends_with('.') && !code.exits.is_empty(), "{code:?}");
        assert!(code.exits.iter().all(|exit| exits.contains(exit)), "{code:?}");
    }
}

#[test]
fn codes_numbers_and_signals_are_found_and_near_misses_helped() {
    let book = Book::open().unwrap();
    for asked in ["key-short", "[key-short]", "error[key-short]:", " key-short "] {
        assert!(matches!(book.find(asked), Ok(Entry::Code(code)) if code.code == "key-short"));
    }
    let Ok(Entry::Exit(exit, codes)) = book.find("7") else { panic!("exit code 7") };
    assert_eq!(exit.class, "key-budget");
    assert!(codes.iter().any(|code| code.code == "random-short"));
    let Ok(Entry::Exit(exit, codes)) = book.find("143") else { panic!("a signal") };
    assert!(exit.means.contains("SIGTERM") && codes.is_empty());
    for asked in ["18", "128", "256", "", "nonsense", "-1"] {
        assert_eq!(book.find(asked).unwrap_err().code(), "code-unknown", "{asked}");
    }
    assert!(book.find("key-shrt").unwrap_err().advice().contains("key-short"));
}
