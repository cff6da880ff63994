//! `audit ...`

use super::Context;
use crate::args::{AuditCommand, AuditExportArgs, AuditShowArgs, AuditVerifyArgs, ExportFormat};
use crate::exit::Ending;
use crate::table::{Table, numbers, words};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use warifu_vault::{
    AuditFormat, AuditLine, AuditQuery, AuditReport, Class, Failure, verify_audit_file,
};

/// Fields of an entry that have a column of their own; the rest is told in the last one.
const IN_COLUMNS: [&str; 5] = ["who", "individual", "object", "result", "code"];

/// Runs one of them.
pub(super) fn run(context: &Context, command: AuditCommand) -> Result<(), Ending> {
    match command {
        AuditCommand::Show(args) => show(context, args),
        AuditCommand::Verify(args) => verify(context, &args),
        AuditCommand::Export(args) => export(context, &args),
    }
}

fn show(context: &Context, args: AuditShowArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let object = match &args.object {
        None => None,
        Some(prefix) => match prefix.whole() {
            Some(object) => Some(object),
            None => Some(vault.resolve(prefix)?),
        },
    };
    let lines = vault.audit_lines(&AuditQuery {
        individual: args.individual,
        object,
        kind: args.kind,
        result: args.result,
        since_unix_s: args.since,
        before_unix_s: args.until,
        limit: args.limit,
    })?;
    if lines.is_empty() {
        context.output.note("no entry of the audit log fits");
    }
    for line in lines.iter().filter(|line| is_loud(line)) {
        let reason = line.field("reason").or_else(|| line.field("note")).unwrap_or("");
        context.output.note(&format!("attention: {} at {}: {reason}", line.kind, line.at));
    }
    context.output.answer(&lines, || table(&lines))
}

/// Whether nobody may overlook it.
fn is_loud(line: &AuditLine) -> bool {
    line.kind == "break-glass" || line.field("result") == Some("conflict")
}

fn table(lines: &[AuditLine]) -> String {
    let columns = [
        numbers("entry"),
        words("at"),
        words("kind"),
        words("who"),
        words("individual"),
        words("object"),
        words("result"),
        words("more"),
    ];
    Table::new(columns, lines, |line| {
        let field = |name| line.field(name).unwrap_or("-").to_owned();
        let result = match (line.field("result"), line.field("code")) {
            (Some(result), Some(code)) => format!("{result}: {code}"),
            (result, code) => result.or(code).unwrap_or("-").to_owned(),
        };
        [
            line.sequence.to_string(),
            line.at.clone(),
            line.kind.clone(),
            field("who"),
            field("individual"),
            field("object"),
            result,
            more(line),
        ]
    })
    .to_string()
}

/// What else an entry says.
fn more(line: &AuditLine) -> String {
    let fields = line.event.as_object().into_iter().flatten();
    let rest = fields.filter(|(name, _)| !IN_COLUMNS.contains(&name.as_str()));
    let told = rest.map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name}={text}"),
        None => format!("{name}={value}"),
    });
    told.collect::<Vec<_>>().join(" ")
}

fn verify(context: &Context, args: &AuditVerifyArgs) -> Result<(), Ending> {
    if args.files.is_empty() {
        let vault = context.open()?;
        let against: Vec<&Path> = args.against.iter().map(AsRef::as_ref).collect();
        let report = vault.verify_audit(!args.offline, &against)?;
        context.output.answer(&report, || verified(&report))?;
        return report.failure().map_or(Ok(()), |failure| Err(failure.into()));
    }
    for file in &args.files {
        let report = verify_audit_file(file)?;
        context.output.answer(&report, || {
            format!("{}: as it was signed\nkey       {}\n", file.display(), report.public_key)
        })?;
    }
    Ok(())
}

fn verified(report: &AuditReport) -> String {
    let mut text = format!(
        "entries   {}, chained without a break\nchain     {}\nkey       {}\n",
        report.entries, report.chain, report.public_key
    );
    if report.conflicts > 0 {
        text += &format!(
            "others    {} times another's log was not what it was: see `warifu audit show --result \
             conflict`\n",
            report.conflicts
        );
    }
    for [site, why] in &report.away {
        text += &format!("not asked {site}: {why}\n");
    }
    if report.checks.is_empty() {
        text += "witnesses none: nobody else was seen to hold a checkpoint, so a cut end of the \
                 log can't be told; `audit export --held NAME` at another vault writes those that \
                 it holds, for --against FILE here\n";
        return text;
    }
    let columns = [words("held by"), numbers("entries"), words("at"), words("found")];
    let rows = Table::new(columns, &report.checks, |check| {
        [check.by.clone(), check.entries.to_string(), check.at.clone(), check.found.to_owned()]
    });
    format!("{text}\n{rows}")
}

fn export(context: &Context, args: &AuditExportArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let is_stdout = args.output == Path::new("-");
    let mut target: Box<dyn Write> = match is_stdout {
        true => Box::new(BufWriter::new(io::stdout().lock())),
        false => Box::new(BufWriter::new(create(&args.output)?)),
    };
    if let Some(name) = &args.held {
        let lines = vault.checkpoints_of(name)?;
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let written = target.write_all(text.as_bytes()).and_then(|()| target.flush());
        written.map_err(|error| unwritten(&args.output, error))?;
        context.output.note(&format!("{} checkpoints of {name}", lines.len()));
        return Ok(());
    }
    let format = match args.format {
        ExportFormat::Jsonl => AuditFormat::JsonLines,
        ExportFormat::Csv => AuditFormat::Csv,
    };
    let report = vault.export_audit(format, &mut target)?;
    drop(target);
    let human = || format!("entries   {}\nkey       {}\n", report.entries, report.public_key);
    match is_stdout {
        true => {
            context.output.note(&human());
            Ok(())
        }
        false => context.output.answer(&report, human),
    }
}

/// A new file; nothing is replaced.
pub(super) fn create(path: &Path) -> Result<std::fs::File, Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(Class::Usage, "output", format!("{} is there already", path.display()))
                .next("name a new file with -o FILE: a record is never replaced")
        }
        _ => unwritten(path, error),
    })
}

pub(super) fn unwritten(path: &Path, error: io::Error) -> Failure {
    Failure::new(Class::Other, "output", format!("can't write {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_tells_all_that_an_entry_says() {
        let event = json!({"who": "g", "object": "ab", "result": "refused", "code": "consent-used",
            "ranges": [[0, 5]], "purpose": "care"});
        let line = AuditLine {
            sequence: 3,
            at: "2026-01-01T00:00:00Z".to_owned(),
            kind: "restore".to_owned(),
            event,
        };
        assert_eq!(more(&line), "purpose=care ranges=[[0,5]]");
        let text = table(&[line]);
        assert!(text.contains("refused: consent-used") && text.contains("purpose=care"), "{text}");
    }
}
