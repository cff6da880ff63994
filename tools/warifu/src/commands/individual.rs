//! `individual ...`

use super::{Context, card};
use crate::args::{CardArgs, IndividualCommand, RebindArgs};
use crate::exit::Ending;
use crate::output::versioned;
use crate::table::{Table, numbers, words};
use warifu_consent::card::CardAddress;
use warifu_vault::{Class, Failure, IndividualRow, Rebinder, Vault};

/// Runs one of them.
pub(super) fn run(context: &Context, command: IndividualCommand) -> Result<(), Ending> {
    let vault = context.open()?;
    match command {
        IndividualCommand::Enroll { individual, card } => {
            let row = match card.card {
                Some(_) => vault.enroll_with(&individual, card::open(&card)?.as_mut())?,
                None => vault.enroll(&individual)?,
            };
            let human = || format!("enrolled {}\n", row.individual);
            context.output.answer(&versioned(&row), human)
        }
        IndividualCommand::Rebind(args) => {
            let row = rebind(&vault, &args)?;
            let human = || format!("bound {} to another card\n", row.individual);
            context.output.answer(&versioned(&row), human)
        }
        IndividualCommand::List => {
            let rows = vault.individuals()?;
            if rows.is_empty() {
                context.output.note("nobody is enrolled yet: see `warifu individual enroll`");
            }
            context.output.answer(&rows, || table(&rows))
        }
        IndividualCommand::Show { individual } => {
            let row = vault.individual(&individual)?;
            context.output.answer(&versioned(&row), || table([&row]))
        }
    }
}

fn rebind(vault: &Vault, args: &RebindArgs) -> Result<IndividualRow, Failure> {
    let mut new = card::open(&args.card)?;
    // Each card has a PIN of its own: one given to another card is a try of that one wasted.
    let other = |address: &CardAddress| {
        let card = Some(address.clone());
        card::open(&CardArgs { card, pin_file: None, pin_fd: None, ..args.card.clone() })
    };
    if let Some(old) = &args.old_card {
        let mut old = other(old)?;
        let by = Rebinder::OldCard(old.as_mut());
        return vault.rebind(&args.individual, new.as_mut(), by, &args.reason);
    }
    let [first, second] = &args.registrars[..] else {
        return Err(Failure::new(Class::Usage, "usage", "two registrars are needed")
            .next("give --registrar CARD twice, or --old-card CARD"));
    };
    let (mut first, mut second) = (other(first)?, other(second)?);
    let by = Rebinder::Registrars([first.as_mut(), second.as_mut()]);
    vault.rebind(&args.individual, new.as_mut(), by, &args.reason)
}

fn table<'a>(rows: impl IntoIterator<Item = &'a IndividualRow>) -> String {
    let columns = [words("individual"), words("enrolled"), numbers("objects"), words("card")];
    Table::new(columns, rows, |row| {
        let card = row.card.as_ref().map_or_else(
            || "none".to_owned(),
            |card| format!("{} {}", card.kind, card.key.get(..16).unwrap_or(&card.key)),
        );
        [row.individual.clone(), row.created.clone(), row.objects.to_string(), card]
    })
    .to_string()
}
