//! `key test`

use super::Context;
use crate::args::TestArgs;
use crate::exit::Ending;
use crate::table::{Table, words};
use warifu_vault::{KmeTestReport, KmeTestRequest};

/// Probes a KME and tells what each check found.
pub(super) fn test(context: &Context, args: TestArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    context.output.note("note: this spends a few keys of the KME, which nobody will use");
    let TestArgs { kme, peer, peer_kme } = args;
    let report = vault.test_kme(&KmeTestRequest { kme, peer, peer_kme })?;
    context.output.answer(&report, || told(&report))?;
    match report.deviations().count() {
        0 => Ok(()),
        count => Err(Ending::Deviations { count }),
    }
}

fn told(report: &KmeTestReport) -> String {
    let columns = [words("check"), words("verdict"), words("clause"), words("found")];
    let table = Table::new(columns, &report.checks, |check| {
        [
            check.check.to_owned(),
            check.verdict.to_owned(),
            check.clause.to_owned(),
            check.found.clone(),
        ]
    });
    let KmeTestReport { kme, peer, keys_spent, .. } = report;
    format!("{table}kme {kme}, keys shared with {peer}: {keys_spent} keys spent\n")
}
