//! `individual ...`

use super::Context;
use crate::args::IndividualCommand;
use crate::exit::Ending;
use crate::output::versioned;
use crate::table::{Table, numbers, words};
use warifu_vault::IndividualRow;

/// Runs one of them.
pub(super) fn run(context: &Context, command: IndividualCommand) -> Result<(), Ending> {
    let vault = context.open()?;
    match command {
        IndividualCommand::Enroll { individual } => {
            let row = vault.enroll(&individual)?;
            let human = || format!("enrolled {}\n", row.individual);
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

fn table<'a>(rows: impl IntoIterator<Item = &'a IndividualRow>) -> String {
    let columns = [words("individual"), words("enrolled"), numbers("objects")];
    Table::new(columns, rows, |row| {
        [row.individual.clone(), row.created.clone(), row.objects.to_string()]
    })
    .to_string()
}
