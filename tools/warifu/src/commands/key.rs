//! `key ...`

use super::Context;
use crate::args::{ExportArgs, GenerateArgs, ImportArgs, KeyCommand, built_in_scheme};
use crate::exit::Ending;
use crate::progress::watched;
use crate::signals::Stop;
use crate::size::human;
use crate::table::{Table, numbers, words};
use serde::Serialize;
use warifu_vault::{
    AuditRow, Class, Failure, GenerateRequest, Imported, KeySourceChoice, PoolOutlook, PoolRow,
    Target, Vault, WITNESS_MEANS, Watch,
};

/// Runs one of them.
pub(super) fn run(context: &Context, command: KeyCommand) -> Result<(), Ending> {
    match command {
        KeyCommand::Status => status(context),
        KeyCommand::Forecast(args) => super::forecast::forecast(context, &args),
        KeyCommand::Generate(args) => {
            let dry_run = args.dry_run;
            make(context, &generate_request(args), dry_run)
        }
        KeyCommand::Import(args) => import(context, &args),
        KeyCommand::Export(args) => {
            let dry_run = args.dry_run;
            make(context, &export_request(args), dry_run)
        }
        KeyCommand::Fetch(args) => super::fetch::fetch(context, args),
        KeyCommand::Audit => audit(context),
        KeyCommand::Test(args) => super::key_test::test(context, args),
    }
}

fn status(context: &Context) -> Result<(), Ending> {
    let vault = context.open()?;
    let scheme = context.profile(&vault, None)?.scheme.unwrap_or_else(built_in_scheme);
    let rows = vault.key_outlook(scheme)?;
    let told = || match rows.is_empty() {
        true => String::new(),
        false => {
            let pools_of: Vec<PoolRow> = rows.iter().map(|row| row.pool.clone()).collect();
            let states = super::fetch::states(&pools_of);
            pools(&pools_of) + "\n" + &budgets(&rows) + FREE_MEANS + "\n" + &states
        }
    };
    let percent = vault.config().restore.reserve_percent;
    if percent < 100 {
        context.output.note(&format!(
            "warning: only {percent} % of the key of a restore of all that is stored is kept \
             (restore.reserve_percent): not everything can be restored"
        ));
    }
    if rows.is_empty() {
        context.output.note("there is no key yet: see `warifu key generate`");
    }
    context.output.answer(&rows, told)
}

/// What stands below tables of pools.
pub(super) const FREE_MEANS: &str = "\
free: neither used nor kept for restores of what is stored; new backups take from it
too short: left in pieces that chunks may not fit into; new backups don't count on it";

/// What the pools hold, as a table: random numbers first, then links by site.
pub(super) fn pools(rows: &[PoolRow]) -> String {
    let columns = [
        words("pool"),
        numbers("free"),
        numbers("too short"),
        numbers("for restores"),
        numbers("consumed"),
        numbers("burned"),
        numbers("leased"),
        words("witnessed"),
        words("class"),
        words("source"),
    ];
    let mut rows: Vec<&PoolRow> = rows.iter().collect();
    rows.sort_by_key(|row| (&row.site, &row.pool));
    Table::new(columns, rows, |row| {
        [
            row.pool.clone(),
            human(row.free_bytes()),
            human(row.bytes_too_short),
            human(row.bytes_reserved_for_restore),
            human(row.bytes_consumed),
            human(row.bytes_burned),
            human(row.bytes_leased),
            if row.witnessed { "yes" } else { "no" }.to_owned(),
            row.class.to_owned(),
            row.source.clone(),
        ]
    })
    .to_string()
}

/// What comes and goes, and how long it lasts.
fn budgets(rows: &[PoolOutlook]) -> String {
    let columns = [
        words("pool"),
        numbers("spent a day"),
        numbers("arrives a day"),
        words("how"),
        numbers("days left"),
        numbers("CRAM 15 GB"),
        numbers("BAM 60 GB"),
    ];
    let mut rows: Vec<&PoolOutlook> = rows.iter().collect();
    rows.sort_by_key(|row| (&row.pool.site, &row.pool.pool));
    Table::new(columns, rows, |row| {
        [
            row.pool.pool.clone(),
            row.spent_bytes_per_day.map_or_else(String::new, human),
            human(row.pool.fill_bytes_per_day),
            row.pool.fill.to_owned(),
            row.days_left.map_or_else(String::new, |days| format!("{days:.1}")),
            row.genomes.cram_15gb.to_string(),
            row.genomes.bam_60gb.to_string(),
        ]
    })
    .to_string()
}

fn generate_request(args: GenerateArgs) -> GenerateRequest {
    let target = match (args.site, args.courier) {
        (Some(site), Some(drive)) => Target::Link { site, drive },
        _ => Target::Random,
    };
    let source = match args.from {
        Some(path) => KeySourceChoice::DeclaredRandom(path),
        None => KeySourceChoice::System,
    };
    GenerateRequest { target, bytes: args.bytes.bytes, source }
}

fn export_request(args: ExportArgs) -> GenerateRequest {
    GenerateRequest {
        target: Target::Link { site: args.site, drive: args.drive },
        bytes: args.bytes.bytes,
        source: KeySourceChoice::RandomPool,
    }
}

fn make(context: &Context, request: &GenerateRequest, dry_run: bool) -> Result<(), Ending> {
    let vault = context.open()?;
    if dry_run {
        let planned = planned(&vault, request)?;
        return context.output.answer(&planned, || told(&planned));
    }
    // Signals are left as they are: they end it at once, and what is not complete is no key.
    let work = |watch: Watch<'_>| vault.generate(request, watch);
    let witness_before = vault.witness()?;
    let rows = watched(context.output, &Stop::never(), "key", work)?;
    if request.source == KeySourceChoice::System {
        context.output.note(
            "note: this key comes from a generator seeded by the system. What is stored with it \
             is of class `computational`; --from takes a true source",
        );
    }
    if let (None, Some(witness)) = (witness_before, vault.witness()?) {
        context.output.note(&format!(
            "note: {witness} is the first site on a link, so from now on it {WITNESS_MEANS}. This \
             can't be changed later: let it be the site that is up most"
        ));
    }
    context.output.answer(&rows, || pools(&rows))
}

/// What `--dry-run` answers.
#[derive(Serialize)]
struct Planned {
    v: u32,
    r#type: &'static str,
    site: Option<String>,
    drive: Option<String>,
    to_site_bytes: u64,
    from_site_bytes: u64,
    random_bytes_made: u64,
    random_bytes_used: u64,
}

/// What would be made, as far as it can be told without making it.
fn planned(vault: &Vault, request: &GenerateRequest) -> Result<Planned, Failure> {
    let nothing = Planned {
        v: 1,
        r#type: "key-plan",
        site: None,
        drive: None,
        to_site_bytes: 0,
        from_site_bytes: 0,
        random_bytes_made: 0,
        random_bytes_used: 0,
    };
    let Target::Link { site, drive } = &request.target else {
        return Ok(Planned { random_bytes_made: request.bytes, ..nothing });
    };
    let row = vault.site(site)?;
    if row.channel != "otp" {
        let what = format!("site {site} is reached by channel {}, without key", row.channel);
        return Err(Failure::new(Class::Usage, "channel-mismatch", what));
    }
    let random_bytes_used = match request.source {
        KeySourceChoice::RandomPool => request.bytes.saturating_mul(2),
        _ => 0,
    };
    let rows = vault.key_status()?;
    let left = rows.iter().find(|row| row.pool == "random").map_or(0, |row| row.bytes_left);
    if left < random_bytes_used {
        let what = format!(
            "the random pool holds {}, and {} are needed: as much for each direction",
            human(left),
            human(random_bytes_used)
        );
        return Err(Failure::new(Class::Key, "random-short", what)
            .next("warifu key generate --random --bytes SIZE"));
    }
    Ok(Planned {
        site: Some(site.to_string()),
        drive: Some(drive.display().to_string()),
        to_site_bytes: request.bytes,
        from_site_bytes: request.bytes,
        random_bytes_used,
        ..nothing
    })
}

fn told(planned: &Planned) -> String {
    match (&planned.site, &planned.drive) {
        (Some(site), Some(drive)) => format!(
            "would make {} of key to site {site} and {} from it, carried by {drive}; takes {} of \
             the random pool\n",
            human(planned.to_site_bytes),
            human(planned.from_site_bytes),
            human(planned.random_bytes_used)
        ),
        _ => format!("would make {} of random numbers\n", human(planned.random_bytes_made)),
    }
}

fn import(context: &Context, args: &ImportArgs) -> Result<(), Ending> {
    let vault = context.open()?;
    let offered = vault.read_drive(&args.drive)?;
    if args.dry_run {
        return context.output.answer(&offered, || on_drive("the drive holds", &offered));
    }
    context.output.note(&on_drive("accepting", &offered));
    let imported = vault.import(&args.drive)?;
    context.output.answer(&imported, || {
        format!("imported the key of link {}; the drive is erased\n", imported.link)
    })
}

fn on_drive(verb: &str, drive: &Imported) -> String {
    format!(
        "{verb} key of link {}\n  from {} for {}, filled {}\n  {} from there to here, {} from \
         here to there\n",
        drive.link,
        drive.from,
        drive.to,
        drive.created,
        human(drive.to_bytes),
        human(drive.from_bytes)
    )
}

fn audit(context: &Context) -> Result<(), Ending> {
    let rows = context.open()?.audit_keys()?;
    context.output.answer(&rows, || audited(&rows))?;
    verdict(&rows)
}

fn verdict(rows: &[AuditRow]) -> Result<(), Ending> {
    let is_bad = |row: &&AuditRow| row.overlaps > 0 || row.outside_segments > 0;
    match rows.iter().filter(is_bad).count() {
        0 => Ok(()),
        bad => {
            let what = format!("{bad} of the ledgers above show leases that must not be there");
            Err(Failure::new(Class::Damage, "key-overlap", what)
                .next("stop using this vault, and find out where it was copied or altered")
                .into())
        }
    }
}

fn audited(rows: &[AuditRow]) -> String {
    let columns = [
        words("pool"),
        words("peer"),
        words("direction"),
        numbers("records"),
        numbers("leases"),
        numbers("leased"),
        numbers("released"),
        numbers("burned"),
        numbers("zeroised"),
        numbers("overlaps"),
        numbers("outside"),
    ];
    Table::new(columns, rows, |row| {
        [
            row.pool.clone(),
            row.peer.clone().unwrap_or_default(),
            row.direction.to_owned(),
            row.records.to_string(),
            row.leases.to_string(),
            human(row.bytes_leased),
            human(row.bytes_released),
            human(row.bytes_burned),
            human(row.bytes_zeroised),
            row.overlaps.to_string(),
            row.outside_segments.to_string(),
        ]
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn request(line: &str) -> GenerateRequest {
        let words = ["warifu", "key"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words).unwrap().command {
            Command::Key(KeyCommand::Generate(args)) => generate_request(args),
            Command::Key(KeyCommand::Export(args)) => export_request(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_line_asks_for_its_own_source_and_target() {
        let link = Target::Link { site: "sendai".parse().unwrap(), drive: "D".into() };
        let made = request("generate --site sendai --bytes 2GiB --courier D");
        assert_eq!((&made.target, made.bytes), (&link, 2 << 30));
        assert_eq!(made.source, KeySourceChoice::System);
        let random = request("generate --random --bytes 1MiB --from /dev/hwrng");
        assert_eq!(random.target, Target::Random);
        assert_eq!(random.source, KeySourceChoice::DeclaredRandom("/dev/hwrng".into()));
        let exported = request("export --site sendai --bytes 1MiB D");
        assert_eq!((exported.target, exported.source), (link, KeySourceChoice::RandomPool));
    }

    #[test]
    fn any_overlap_in_an_audit_is_damage() {
        let row = |overlaps, outside_segments| AuditRow {
            pool: "p".to_owned(),
            peer: None,
            direction: "a-to-b",
            records: 1,
            leases: 1,
            bytes_leased: 1,
            bytes_released: 0,
            bytes_burned: 0,
            bytes_zeroised: 0,
            overlaps,
            outside_segments,
        };
        assert!(verdict(&[]).is_ok());
        assert!(verdict(&[row(0, 0), row(0, 0)]).is_ok());
        for bad in [row(1, 0), row(0, 1)] {
            let Err(Ending::Failed(failure)) = verdict(&[row(0, 0), bad]) else {
                panic!("not noticed")
            };
            assert_eq!(failure.class().exit_code(), 4);
        }
    }
}
