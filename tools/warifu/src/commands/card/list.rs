//! `card list`, and what `doctor` says of cards

use super::reach;
use crate::commands::Context;
use crate::exit::Ending;
use crate::table::{Table, words};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use warifu_consent::card::{
    CardError, CertificateFacts, Reader, Token, USUAL_DRIVERS, readers, token_uri,
};
use warifu_vault::{Failure, Finding, Severity};

/// How long one driver may take to tell what it reaches.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// A certificate on a card in reach.
#[derive(Serialize)]
struct Row {
    card: String,
    token: String,
    reader: String,
    subject: String,
    not_after: String,
    algorithm: &'static str,
    key: String,
    tries_left: Option<u32>,
}

/// Lists what the drivers reach. One that fails says so; the others are listed.
pub(super) fn list(context: &Context, module: Option<&Path>) -> Result<(), Ending> {
    let access = reach::unasked(LOOK_TIMEOUT)?;
    let mut rows = Vec::new();
    for driver in drivers(module) {
        match readers(&driver, &access) {
            Ok(readers) => rows.extend(readers.iter().flat_map(|reader| rows_of(&driver, reader))),
            Err(error) if module.is_some() => return Err(Failure::from(error).into()),
            Err(CardError::Absent(_)) => {}
            Err(error) => context.output.warn(&format!("{}: {error}", driver.display())),
        }
    }
    if rows.is_empty() {
        context.output.note("no card is in reach that shows a certificate: see `warifu doctor`");
    }
    context.output.answer(&rows, || table(&rows))
}

fn drivers(module: Option<&Path>) -> Vec<PathBuf> {
    match module {
        Some(module) => vec![module.to_owned()],
        None => USUAL_DRIVERS.iter().map(PathBuf::from).collect(),
    }
}

fn rows_of(driver: &Path, reader: &Reader) -> Vec<Row> {
    let Some(token) = &reader.token else { return Vec::new() };
    let rows = token.certificates.iter().filter_map(|shown| {
        let facts = CertificateFacts::read(&shown.certificate.0).ok()?;
        let end = jiff::Timestamp::from_second(facts.not_after_unix_s);
        (!facts.is_authority).then(|| Row {
            card: token_uri(driver, token, &shown.id.0),
            token: token.label.clone(),
            reader: reader.name.clone(),
            subject: facts.subject,
            not_after: end.map_or_else(|_| "never".to_owned(), |end| end.to_string()),
            algorithm: facts.algorithm.name(),
            key: facts.key.to_string(),
            tries_left: token.tries_left(),
        })
    });
    rows.collect()
}

fn table(rows: &[Row]) -> String {
    let columns =
        [words("card"), words("reader"), words("until"), words("signs"), words("tries left")];
    Table::new(columns, rows, |row| {
        let left = row.tries_left.map_or_else(|| "-".to_owned(), |left| left.to_string());
        let (card, reader) = (row.card.clone(), row.reader.clone());
        [card, reader, row.not_after.clone(), row.algorithm.to_owned(), left]
    })
    .to_string()
}

/// What `doctor` says of readers and drivers. Only people who sign here need any.
pub(in crate::commands) fn probed() -> Vec<Finding> {
    let finding = |severity, what: String, next: &str| Finding {
        severity,
        what,
        next: next.to_owned(),
        temporary: false,
    };
    let access = match reach::unasked(LOOK_TIMEOUT) {
        Ok(access) => access,
        Err(failure) => return vec![finding(Severity::Warning, failure.to_string(), "")],
    };
    let findings = USUAL_DRIVERS.iter().map(|driver| {
        let (severity, what, next) = judged(driver, &readers(Path::new(driver), &access));
        finding(severity, what, next)
    });
    findings.collect()
}

fn judged(
    driver: &str,
    found: &Result<Vec<Reader>, CardError>,
) -> (Severity, String, &'static str) {
    let readers = match found {
        Ok(readers) => readers,
        Err(CardError::Absent(_)) => {
            let what = format!("cards: no driver {driver}, which only cards need");
            return (Severity::Ok, what, "");
        }
        Err(error) => {
            let next = "restart pcscd and take the card out; people's cards can't sign until then";
            return (Severity::Warning, format!("cards: driver {driver}: {error}"), next);
        }
    };
    if readers.is_empty() {
        let what = format!("cards: driver {driver} works, and no reader is there");
        return (Severity::Ok, what, "");
    }
    let tokens: Vec<&Token> = readers.iter().filter_map(|reader| reader.token.as_ref()).collect();
    let told: Vec<String> = tokens.iter().map(|token| told(token)).collect();
    let inside = if told.is_empty() { "no card".to_owned() } else { told.join(", ") };
    let what = format!("cards: driver {driver}: {} slots, {inside}", readers.len());
    match tokens.iter().any(|token| token.tries_left().is_some_and(|left| left <= 1)) {
        true => (Severity::Warning, what, "make sure of the PIN before it is given again"),
        false => (Severity::Ok, what, ""),
    }
}

fn told(token: &Token) -> String {
    match token.tries_left() {
        None => token.label.clone(),
        Some(1) => format!("{} (1 try is left)", token.label),
        Some(left) => format!("{} ({left} tries are left)", token.label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warifu_consent::card::Tries;

    #[test]
    fn doctor_warns_of_a_driver_that_fails_and_of_the_last_try() {
        let reader = |tries| Reader {
            name: "r".to_owned(),
            token: Some(Token {
                label: "t".to_owned(),
                manufacturer: String::new(),
                model: String::new(),
                serial: String::new(),
                slot_id: 0,
                wants_pin: true,
                has_pad: false,
                tries,
                certificates: Vec::new(),
            }),
        };
        let severity = |found| judged("d.so", &found).0;
        assert_eq!(severity(Ok(vec![])), Severity::Ok);
        assert_eq!(severity(Ok(vec![reader(Tries::All)])), Severity::Ok);
        assert_eq!(severity(Ok(vec![reader(Tries::All), reader(Tries::Last)])), Severity::Warning);
        assert_eq!(severity(Ok(vec![reader(Tries::None)])), Severity::Warning);
        assert_eq!(severity(Err(CardError::Absent("a".to_owned()))), Severity::Ok);
        assert_eq!(severity(Err(CardError::Hangs { seconds: 1 })), Severity::Warning);
        let (_, what, _) = judged("d.so", &Ok(vec![reader(Tries::Last)]));
        assert_eq!(what, "cards: driver d.so: 1 slots, t (1 try is left)");
    }
}
