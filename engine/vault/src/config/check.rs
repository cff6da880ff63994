//! Looks for every mistake in a file of settings.

use super::consent::REASON_BYTES_MAX;
use super::mistake::{Gathered, Mistake, meant};
use super::placement::{Exclusion, Speed};
use super::settings::{Kind, PLACEMENTS, Setting, TABLES, of_table};
use super::value::{size, size_text};
use crate::stores::StoreUrl;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use warifu_core::{IndividualId, SiteName, Threshold};

/// Sites in one list, at most; more than a scheme has shares is of no use.
const SITES_MAX: usize = 255;

/// What a file of settings says of itself.
pub(super) struct Checked {
    /// What is wrong with it, by line.
    pub(super) mistakes: Vec<Mistake>,
    /// Its version, where it says one.
    pub(super) version: Option<u64>,
    /// Settings that it has, with their lines.
    pub(super) lines: Vec<(String, usize)>,
}

/// Goes through all of `text`.
pub(super) fn check(text: &str) -> Checked {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk { found: Gathered { text, mistakes: Vec::new() }, lines: Vec::new() };
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let what = format!("this is no TOML: {}", error.message());
        walk.found.add(&span, "", what, "see toml.io for how it is written".to_owned());
    }
    let root = root.into_inner();
    let version = root.get("v").and_then(|value| whole(value.get_ref()));
    // Where the file is no TOML, what can be read of it is not judged: it may be cut short.
    if walk.found.mistakes.is_empty() {
        walk.root(&root);
    }
    let mut mistakes = walk.found.mistakes;
    mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
    Checked { mistakes, version, lines: walk.lines }
}

type Key<'i> = Spanned<std::borrow::Cow<'i, str>>;

struct Walk<'a> {
    found: Gathered<'a>,
    lines: Vec<(String, usize)>,
}

impl Walk<'_> {
    fn root(&mut self, root: &DeTable<'_>) {
        let mut profiles = Vec::new();
        for (key, value) in root {
            let name = TABLES.into_iter().find(|table| *table == key.get_ref());
            match (name, value.get_ref().as_table()) {
                (Some("profile"), Some(table)) => profiles.extend(self.named("profile", table)),
                (Some("kme"), Some(table)) => drop(self.named("kme", table)),
                (Some(name), Some(table)) => self.table(name, name, key, table),
                (Some(name), None) => {
                    let mend = format!("write [{name}] on a line of its own");
                    self.found.add(&key.span(), name, "must be a table".to_owned(), mend);
                }
                (None, _) => self.entry("", "", key, value),
            }
        }
        self.expect_all("", "", &(0..0), root);
        let named = root.get("default_profile");
        if let Some((named, name)) =
            named.and_then(|value| Some((value, value.get_ref().as_str()?)))
            && !profiles.iter().any(|profile| profile == name)
        {
            let what = format!("names {name:?}, and there is no such profile");
            let mend = match meant(name, profiles.iter().map(String::as_str)) {
                Some(profile) => format!("did you mean {profile:?}?"),
                None => format!("write a table [profile.{name}], or leave this out"),
            };
            self.found.add(&named.span(), "default_profile", what, mend);
        }
    }

    /// Goes through all tables of a kind that have names of their own; these names.
    fn named(&mut self, kind: &'static str, tables: &DeTable<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for (key, value) in tables {
            let name = key.get_ref().as_ref();
            let path = format!("{kind}.{name}");
            names.push(name.to_owned());
            let judged = match kind {
                "profile" => profile_name(name),
                "placement.individual" => individual_name(name),
                "placement.label" => Ok(()),
                _ => plain_name(name),
            };
            if let Err((what, mend)) = judged {
                self.found.add(&key.span(), &path, what, mend);
            }
            match value.get_ref().as_table() {
                Some(table) => self.table(kind, &path, key, table),
                None => {
                    let mend = format!("write [{kind}.NAME] and below it {name} = ...");
                    self.found.add(&key.span(), &path, "must be a table".to_owned(), mend);
                }
            }
        }
        names
    }

    fn table(&mut self, kind: &'static str, path: &str, key: &Key<'_>, table: &DeTable<'_>) {
        for (key, value) in table {
            let full = joined(path, key.get_ref());
            let within = PLACEMENTS.into_iter().find(|name| *name == full);
            match (within, value.get_ref().as_table()) {
                (Some(kind), Some(tables)) => drop(self.named(kind, tables)),
                (Some(kind), None) => {
                    let mend = format!("write [{kind}.NAME] on a line of its own");
                    self.found.add(&key.span(), &full, "must be a table".to_owned(), mend);
                }
                (None, _) => self.entry(kind, path, key, value),
            }
        }
        self.expect_all(kind, path, &key.span(), table);
    }

    fn entry(
        &mut self,
        table: &'static str,
        path: &str,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        let full = joined(path, name);
        let Some(setting) = of_table(table).find(|setting| setting.key == name) else {
            let mend = unknown(table, name);
            self.found.add(&key.span(), &full, "is no setting".to_owned(), mend);
            return;
        };
        let (line, _) = super::mistake::place(self.found.text, key.span().start);
        if let Err((what, mend)) = judge(setting, value.get_ref()) {
            self.found.add(&value.span(), &full, what, mend);
        }
        self.lines.push((full, line));
    }

    fn expect_all(
        &mut self,
        table: &'static str,
        path: &str,
        span: &Range<usize>,
        found: &DeTable<'_>,
    ) {
        for setting in of_table(table).filter(|setting| setting.is_required) {
            if found.get(setting.key).is_none() {
                let mend = format!("add {} = {}", setting.key, sample(setting.kind));
                self.found.add(span, &joined(path, setting.key), "is missing".to_owned(), mend);
            }
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What to do about a setting that there is not.
fn unknown(table: &'static str, name: &str) -> String {
    let known = || of_table(table).map(|setting| setting.key);
    let tables = TABLES.iter().copied().filter(|_| table.is_empty());
    if let Some(word) = meant(name, known().chain(tables)) {
        return format!("did you mean `{word}`?");
    }
    let elsewhere = super::settings::SETTINGS.iter().find(|setting| setting.key == name);
    match elsewhere.map(|setting| setting.table) {
        Some(table) if table == "profile" || table == "kme" || PLACEMENTS.contains(&table) => {
            format!("`{name}` belongs under [{table}.NAME]")
        }
        Some("") => format!("`{name}` belongs at the top, before all tables"),
        Some(table) => format!("`{name}` belongs under [{table}]"),
        None => format!("leave it out; here may stand {}", known().collect::<Vec<_>>().join(", ")),
    }
}

type Wrong = (String, String);

fn wrong(what: impl Into<String>, kind: Kind) -> Result<(), Wrong> {
    Err((what.into(), format!("write for example {}", sample(kind))))
}

/// Whether a value is what its setting may be.
fn judge(setting: &Setting, value: &DeValue<'_>) -> Result<(), Wrong> {
    let kind = setting.kind;
    let is = value.type_str();
    match kind {
        Kind::Version => match whole(value) {
            Some(_) => Ok(()),
            None => wrong(format!("must be a whole number, not {is}"), kind),
        },
        Kind::Bytes(min, max) => judge_bytes(value, min, max, kind),
        Kind::Count(min, max, _) => match whole(value) {
            Some(count) if (min..=max).contains(&count) => Ok(()),
            Some(count) => wrong(format!("is {count} and must be {min} to {max}"), kind),
            None => wrong(format!("must be a whole number from {min} to {max}, not {is}"), kind),
        },
        Kind::Switch => match value.as_bool() {
            Some(_) => Ok(()),
            None => wrong(format!("must be true or false, not {is}"), kind),
        },
        Kind::KmeParties => judge_parties(value, kind),
        Kind::Sites => judge_list::<SiteName>(value, kind, "site"),
        Kind::Exclusions => judge_list::<Exclusion>(value, kind, "site, zone or domain"),
        Kind::Speeds => judge_list::<Speed>(value, kind, "site with its rate"),
        Kind::Name
        | Kind::ProfileName
        | Kind::Address
        | Kind::StoreUrl
        | Kind::Scheme
        | Kind::KmeUrl
        | Kind::ResponderUrl
        | Kind::File
        | Kind::KmeParty
        | Kind::Reason
        | Kind::OneOf(_) => match value.as_str() {
            Some(text) => judge_text(text, kind),
            None => wrong(format!("must be a text in quotes, not {is}"), kind),
        },
    }
}

fn judge_bytes(value: &DeValue<'_>, min: u64, max: u64, kind: Kind) -> Result<(), Wrong> {
    let bytes = match value.as_str() {
        Some(text) => size(text),
        None => whole(value),
    };
    match bytes {
        Some(bytes) if (min..=max).contains(&bytes) => Ok(()),
        Some(bytes) => {
            let (min, max) = (size_text(min), size_text(max));
            wrong(format!("is {} and must be {min} to {max}", size_text(bytes)), kind)
        }
        None => wrong("must be a size: a number of bytes, or a text with a unit", kind),
    }
}

fn judge_list<T>(value: &DeValue<'_>, kind: Kind, entry_is: &str) -> Result<(), Wrong>
where
    T: FromStr<Err: Display>,
{
    let Some(list) = value.as_array() else {
        return wrong(format!("must be a list, not {}", value.type_str()), kind);
    };
    if list.len() > SITES_MAX {
        return wrong(format!("has {} entries and may have {SITES_MAX}", list.len()), kind);
    }
    for entry in list.iter() {
        match entry.get_ref().as_str().map(str::parse::<T>) {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return wrong(format!("has an entry that is no {entry_is}: {error}"), kind);
            }
            None => return wrong("must hold texts in quotes only", kind),
        }
    }
    Ok(())
}

fn judge_parties(value: &DeValue<'_>, kind: Kind) -> Result<(), Wrong> {
    let Some(table) = value.as_table() else {
        return wrong(format!("must be a table, not {}", value.type_str()), kind);
    };
    if table.len() > SITES_MAX {
        return wrong(format!("has {} parties and may have {SITES_MAX}", table.len()), kind);
    }
    for (party, known_as) in table {
        let party = party.get_ref();
        if let Err(error) = party.parse::<SiteName>() {
            return wrong(format!("has {party:?}, which is no name of a party: {error}"), kind);
        }
        match known_as.get_ref().as_str() {
            Some(text) => judge_text(text, Kind::KmeParty)?,
            None => return wrong("must hold texts in quotes only", kind),
        }
    }
    Ok(())
}

fn judge_text(text: &str, kind: Kind) -> Result<(), Wrong> {
    let told = |error: &dyn Display| wrong(format!("can't be used: {error}"), kind);
    match kind {
        Kind::Name => text.parse::<SiteName>().map(drop).or_else(|error| told(&error)),
        Kind::Scheme => text.parse::<Threshold>().map(drop).or_else(|error| told(&error)),
        Kind::ProfileName => profile_name(text),
        Kind::StoreUrl => StoreUrl::parse(text).map(drop).or_else(|error| told(&error)),
        Kind::Address => match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
            _ => wrong("is no HOST:PORT", kind),
        },
        Kind::KmeUrl if !warifu_keystore::etsi014::is_url(text) => {
            wrong(format!("is {text:?}, which is no URL of a KME"), kind)
        }
        Kind::ResponderUrl if !text.strip_prefix("http://").is_some_and(is_host) => {
            wrong(format!("is {text:?}, which is no URL of a responder"), kind)
        }
        Kind::File if text.is_empty() || text.contains('\0') => wrong("is no path of a file", kind),
        Kind::KmeParty if text.is_empty() || text.len() > 255 => {
            wrong("must have 1 to 255 bytes", kind)
        }
        Kind::KmeParty | Kind::Reason if text.chars().any(char::is_control) => {
            wrong("has a control character", kind)
        }
        Kind::Reason if text.trim().is_empty() || text.len() > REASON_BYTES_MAX => {
            wrong(format!("must have 1 to {REASON_BYTES_MAX} bytes"), kind)
        }
        Kind::OneOf(words) if !words.contains(&text) => {
            wrong(format!("is {text:?} and must be one of {}", words.join(", ")), kind)
        }
        _ => Ok(()),
    }
}

/// Whether a URL goes on with a host, and has nothing in it that no URL has.
fn is_host(rest: &str) -> bool {
    rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
        && rest.bytes().all(|byte| byte.is_ascii_graphic())
}

fn plain_name(name: &str) -> Result<(), Wrong> {
    let told = |error| format!("is no name: {error}");
    let mend = || "name it with letters a-z, digits and hyphens".to_owned();
    name.parse::<SiteName>().map(drop).map_err(|error| (told(error), mend()))
}

fn individual_name(name: &str) -> Result<(), Wrong> {
    let told = |error| format!("is no ID of an individual: {error}");
    let mend = || "name it as `individual enroll` did".to_owned();
    name.parse::<IndividualId>().map(drop).map_err(|error| (told(error), mend()))
}

/// Profiles are named like sites; `none` says that none is wanted.
fn profile_name(name: &str) -> Result<(), Wrong> {
    let mend = "name it with letters a-z, digits and hyphens".to_owned();
    match name.parse::<SiteName>() {
        Ok(_) if name != super::NO_PROFILE => Ok(()),
        Ok(_) => Err(("is taken: --profile none means no profile".to_owned(), mend)),
        Err(error) => Err((format!("is no name of a profile: {error}"), mend)),
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let integer = value.as_integer()?;
    u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
}

/// What may be written.
fn sample(kind: Kind) -> String {
    match kind {
        Kind::Version => "1".to_owned(),
        Kind::Name => "\"gateway\"".to_owned(),
        Kind::ProfileName => "\"night\"".to_owned(),
        Kind::Address => "\"127.0.0.1:7401\"".to_owned(),
        Kind::StoreUrl => "\"file:///srv/shares\"".to_owned(),
        Kind::Bytes(min, _) => format!("{:?}", size_text(min.max(32 << 20))),
        Kind::Count(_, _, sample) => sample.to_string(),
        Kind::Switch => "true".to_owned(),
        Kind::Scheme => "\"3/5\"".to_owned(),
        Kind::Reason => "\"a lab without persons\"".to_owned(),
        Kind::OneOf(words) => format!("{:?}", words.first().copied().unwrap_or_default()),
        Kind::Sites => "[\"sendai\", \"kyoto\"]".to_owned(),
        Kind::KmeUrl => "\"https://kme.example:8443\"".to_owned(),
        Kind::ResponderUrl => "\"http://ocsp.example/\"".to_owned(),
        Kind::File => "\"kme/sae.pem\"".to_owned(),
        Kind::KmeParty => "\"sae-gateway\"".to_owned(),
        Kind::KmeParties => "{ sendai = \"sae-sendai\" }".to_owned(),
        Kind::Exclusions => "[\"osaka\", \"zone:kansai\", \"domain:telco\"]".to_owned(),
        Kind::Speeds => "[\"kyoto=2MB\", \"sendai=1GB\"]".to_owned(),
    }
}
