//! `doctor`

use super::{Context, card};
use crate::exit::Ending;
use warifu_vault::{Class, Failure, Finding, Severity};

/// Looks at everything and tells all of it. A problem is damage that can be repaired, as each
/// finding says how, unless all of them may be over by themselves.
pub(super) fn doctor(context: &Context, accept_rollback: bool) -> Result<(), Ending> {
    let mut findings = context.open()?.doctor(accept_rollback)?;
    findings.extend(card::probed());
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
    let problems: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Problem).collect();
    if problems.is_empty() {
        return Ok(());
    }
    let what = format!("problems found: {}", problems.len());
    let failure = match problems.iter().all(|problem| problem.temporary) {
        true => Failure::new(Class::Temporary, "problems", what)
            .next("bring back what is away, then run `warifu doctor` again"),
        false => {
            Failure::new(Class::Damage, "problems", what).next("see what is said of each above")
        }
    };
    Err(failure.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_decide_the_exit_code_and_warnings_do_not() {
        let finding = |severity, temporary| Finding {
            severity,
            what: "w".to_owned(),
            next: "n".to_owned(),
            temporary,
        };
        let code = |findings: &[Finding]| match verdict(findings) {
            Ok(()) => 0,
            Err(Ending::Failed(failure)) => failure.class().exit_code(),
            Err(_) => panic!("another ending"),
        };
        let (ok, warning) = (finding(Severity::Ok, false), finding(Severity::Warning, false));
        let (stopped, damaged) =
            (finding(Severity::Problem, true), finding(Severity::Problem, false));
        assert_eq!(code(&[ok, warning.clone()]), 0);
        assert_eq!(code(&[warning.clone(), stopped.clone()]), 6);
        assert_eq!(code(&[stopped, damaged]), 4);
        assert_eq!(told(&warning), "warning  w\n         next: n\n");
    }
}
