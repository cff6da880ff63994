//! `doctor`

use super::Context;
use crate::exit::Ending;
use warifu_vault::{Class, Failure, Finding, Severity};

/// Looks at everything and tells all of it. A problem is damage that can be repaired, as each
/// finding says how.
pub(super) fn doctor(context: &Context, accept_rollback: bool) -> Result<(), Ending> {
    let findings = context.open()?.doctor(accept_rollback)?;
    context.output.answer(&findings, || findings.iter().map(told).collect())?;
    verdict(&findings)
}

fn told(finding: &Finding) -> String {
    let severity = match finding.severity {
        Severity::Ok => "ok",
        Severity::Warning => "warning",
        Severity::Problem => "problem",
    };
    let mut text = format!("{severity:<8} {}\n", finding.what);
    if !finding.next.is_empty() {
        text += &format!("         next: {}\n", finding.next);
    }
    text
}

fn verdict(findings: &[Finding]) -> Result<(), Ending> {
    let is_problem = |finding: &&Finding| finding.severity == Severity::Problem;
    match findings.iter().filter(is_problem).count() {
        0 => Ok(()),
        problems => {
            let what = format!("problems found: {problems}");
            Err(Failure::new(Class::Damage, "problems", what)
                .next("see what is said of each above")
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_decide_the_exit_code_and_warnings_do_not() {
        let finding = |severity| Finding { severity, what: "w".to_owned(), next: "n".to_owned() };
        assert!(verdict(&[finding(Severity::Ok), finding(Severity::Warning)]).is_ok());
        let Err(Ending::Failed(failure)) = verdict(&[finding(Severity::Problem)]) else {
            panic!("not noticed")
        };
        assert_eq!(failure.class().exit_code(), 4);
        assert_eq!(told(&finding(Severity::Warning)), "warning  w\n         next: n\n");
    }
}
