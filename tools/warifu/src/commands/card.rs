//! `card ...`, and how other commands get hold of a card

use super::Context;
use crate::args::{CardArgs, CardCommand, NewLabArgs};
use crate::exit::Ending;
use serde::Serialize;
use std::path::Path;
use warifu_consent::card::{Card, CardError};
use warifu_consent::lab::{Lab, LabError};
use warifu_vault::{Class, Failure};

/// Runs one of them.
pub(super) fn run(context: &Context, command: CardCommand) -> Result<(), Ending> {
    match command {
        CardCommand::NewLab(args) => new_lab(context, &args),
    }
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

/// Gets hold of the card that a command names.
///
/// # Errors
/// Where none is named, or it is not there or not fit.
pub(super) fn open(args: &CardArgs) -> Result<Box<dyn Card>, Failure> {
    let Some(card) = &args.card else {
        return Err(Failure::new(Class::Usage, "card-unnamed", "no card is named")
            .next("name it with --card; `warifu card list` lists those in reach"));
    };
    card.open().map_err(card_failure)
}

/// What a card's failure means for the run.
pub(super) fn card_failure(error: CardError) -> Failure {
    let what = error.to_string();
    let (code, next) = match error {
        CardError::Absent(_) => ("card-absent", "insert it, or name another with --card"),
        CardError::WrongPin { .. } => {
            ("card-pin", "make sure of the PIN before it is given again: too many tries lock it")
        }
        CardError::Locked => ("card-locked", "have it unlocked by whoever issued the card"),
        CardError::Hangs { .. } => {
            ("card-hangs", "take the card out and put it in again, or restart pcscd")
        }
        CardError::Unfit(_) => ("card-unfit", "use another card or another key of it"),
        _ => ("card-failed", "see `warifu doctor`; take the card out and put it in again"),
    };
    let class = Class::Card;
    Failure::new(class, code, what).next(next)
}
