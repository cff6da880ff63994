//! `card ...`, and how other commands get hold of a card

mod list;
mod reach;

pub(super) use list::probed;
pub(super) use reach::open;

use super::Context;
use crate::args::{CardArgs, CardCommand, NewLabArgs};
use crate::exit::Ending;
use serde::Serialize;
use std::path::Path;
use warifu_consent::card::{CertificateFacts, Token, serve_cards};
use warifu_consent::lab::{Lab, LabError};
use warifu_vault::{Class, Failure};

/// Runs one of them.
pub(super) fn run(context: &Context, command: CardCommand) -> Result<(), Ending> {
    match command {
        CardCommand::List { module } => list::list(context, module.as_deref()),
        CardCommand::Show(args) => show(context, &args),
        CardCommand::NewLab(args) => new_lab(context, &args),
    }
}

/// Runs a driver for another process of this program, until that one ends.
pub(super) fn help() -> Result<(), Ending> {
    Ok(serve_cards().map_err(|error| {
        Failure::new(Class::Usage, "card-helper", "this command is for warifu itself")
            .next("use `warifu card`")
            .because(error)
    })?)
}

/// What `card show` answers.
#[derive(Serialize)]
struct Shown {
    v: u32,
    r#type: &'static str,
    subject: String,
    issuer: String,
    not_after: String,
    algorithm: &'static str,
    key: String,
    software: bool,
    token: Option<String>,
    tries_left: Option<u32>,
}

fn show(context: &Context, args: &CardArgs) -> Result<(), Ending> {
    let mut card = open(args)?;
    let chain = card.chain().map_err(Failure::from)?;
    let own = chain.first().map_or(&[][..], Vec::as_slice);
    let facts = CertificateFacts::read(own).map_err(Failure::from)?;
    let not_after = jiff::Timestamp::from_second(facts.not_after_unix_s);
    let answer = Shown {
        v: 1,
        r#type: "card",
        subject: facts.subject,
        issuer: facts.issuer,
        not_after: not_after.map_or_else(|_| "never".to_owned(), |end| end.to_string()),
        algorithm: facts.algorithm.name(),
        key: facts.key.to_string(),
        software: card.is_software(),
        token: card.token().map(|token| token.label.clone()),
        tries_left: card.token().and_then(Token::tries_left),
    };
    context.output.answer(&answer, || {
        let kind = match &answer.token {
            None => "a key in a file, for labs".to_owned(),
            Some(label) if answer.software => format!("the token {label}, certified by a lab"),
            Some(label) => format!("the card {label}"),
        };
        let tries = answer.tries_left.map_or_else(String::new, |left| format!("tries    {left}\n"));
        let Shown { subject, issuer, not_after, algorithm, key, .. } = &answer;
        format!(
            "{kind}\nsubject  {subject}\nissuer   {issuer}\nuntil    {not_after}\n\
             signs    {algorithm}\nkey      {key}\n{tries}"
        )
    })
}

/// What `card new-lab` answers.
#[derive(Serialize)]
struct NewLab {
    v: u32,
    r#type: &'static str,
    card: Option<String>,
    certificate: String,
    ca: String,
}

fn new_lab(context: &Context, args: &NewLabArgs) -> Result<(), Ending> {
    let lab = Lab::open_or_make(&args.ca).map_err(lab_failure)?;
    let made = match &args.public_key {
        Some(key) => lab.certify(&args.subject, key, args.days, &args.out),
        None => lab.new_card(&args.subject, args.algorithm.into(), args.days, &args.out),
    };
    let made = made.map_err(lab_failure)?;
    let show = |path: &Path| path.display().to_string();
    let (certificate, ca) = (show(&made.certificate), show(lab.certificate()));
    let card = made.key.as_deref().map(|key| format!("file:{},{certificate}", show(key)));
    let answer = NewLab { v: 1, r#type: "lab-card", card, certificate, ca };
    context.output.answer(&answer, || {
        let card = answer.card.as_ref().unwrap_or(&answer.certificate);
        format!("made {card}\npin its CA with `warifu trust add {}`\n", answer.ca)
    })
}

fn lab_failure(error: LabError) -> Failure {
    let what = error.to_string();
    match error {
        LabError::Exists(_) => Failure::new(Class::Usage, "lab-exists", what)
            .next("name another --out, or remove what is there yourself"),
        LabError::Subject | LabError::Days => {
            Failure::new(Class::Usage, "lab-certificate", what).next("give another")
        }
        LabError::Openssl(_) => Failure::new(Class::Other, "lab-openssl", what)
            .next("install openssl, or make a key of another kind with --algorithm"),
        other => Failure::new(Class::Other, "lab-failed", "the lab's card can't be made")
            .next("see the cause that is told")
            .because(other),
    }
}
