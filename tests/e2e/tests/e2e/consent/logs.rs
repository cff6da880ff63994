//! The audit logs of a whole lab: each verifies at its own end and by what others hold of it, and
//! whatever is done to any line of any of them is found.

use super::*;
use rusqlite::Connection;
use warifu_e2e::Running;

/// An entry as it lies in the file.
type Row = (i64, String, Vec<u8>);

/// A log in somebody's hands who may write to its file.
struct Hands<'a> {
    vault: &'a Path,
    raw: Connection,
    rows: Vec<Row>,
}

/// The line with another who did it.
fn of_another(line: &str) -> String {
    let other = line.replacen("operator", "nobody", 1).replacen("gateway", "hospital", 1);
    assert_ne!(other, line);
    other
}

/// The chain over `rows`, by the words of the format and not by the engine's code.
fn chained(rows: &[Row]) -> Vec<Row> {
    let mut before = [0; 32];
    let link = |(at, line, _): &Row| {
        before =
            *blake3::Hasher::new().update(&before).update(line.as_bytes()).finalize().as_bytes();
        (*at, line.clone(), before.to_vec())
    };
    rows.iter().map(link).collect()
}

impl<'a> Hands<'a> {
    fn on(vault: &'a Path, file: &str) -> Self {
        let raw = Connection::open(vault.join(file)).unwrap();
        let mut read = raw.prepare("SELECT sequence, line, chain FROM audit ORDER BY 1").unwrap();
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows: Vec<Row> = read.query_map([], row).unwrap().map(Result::unwrap).collect();
        drop(read);
        assert_eq!(chained(&rows), rows, "the log is what its format says");
        Self { vault, raw, rows }
    }

    /// Puts `rows` in place of the log; the head too, where it is to fit them.
    fn put(&self, rows: &[Row], with_head: bool) {
        self.raw.execute_batch("BEGIN; DELETE FROM audit").unwrap();
        for (at, line, chain) in rows {
            let words = "INSERT INTO audit VALUES (?1, ?2, ?3)";
            self.raw.execute(words, (at, line, chain)).unwrap();
        }
        if with_head {
            let (entries, none) = (i64::try_from(rows.len()).unwrap(), vec![0_u8; 32]);
            let chain = rows.last().map_or(&none, |(_, _, chain)| chain);
            let words = "UPDATE audit_head SET entries = ?1, chain = ?2";
            self.raw.execute(words, (entries, chain)).unwrap();
        }
        self.raw.execute_batch("COMMIT").unwrap();
    }

    /// Verifies the log with `rows` in its place, by its own chain or by what others hold too.
    fn verify(&self, (rows, with_head): (&[Row], bool), more: &[&str]) -> Done {
        self.put(rows, with_head);
        let words = [&["--json", "audit", "verify"][..], more].concat();
        let done = Running::start(self.vault, &words).wait();
        self.put(&self.rows, true);
        done
    }

    /// Whatever happens to one line is found without anybody's help.
    fn every_line(&self, own: &[&str]) {
        let damaged = |rows: &[Row], what: &str| {
            let done = self.verify((rows, false), own);
            assert!(done.code == 4, "{what}: {done:?}");
            refused_command(&done, 4, "audit-broken");
        };
        let last = self.rows.len() - 1;
        for at in 0..=last {
            let mut changed = self.rows.clone();
            changed[at].1 = of_another(&self.rows[at].1);
            damaged(&changed, &format!("line {at} changed"));
            let mut gone = self.rows.clone();
            gone.remove(at);
            damaged(&gone, &format!("line {at} removed"));
            let mut closed = gone.clone();
            closed[at..].iter_mut().for_each(|row| row.0 -= 1);
            damaged(&closed, &format!("line {at} removed, the others moved up"));
            if at < last {
                let mut moved = self.rows.clone();
                moved.swap(at, at + 1);
                (moved[at].0, moved[at + 1].0) = (self.rows[at].0, self.rows[at + 1].0);
                damaged(&moved, &format!("lines {at} and its next trade places"));
                damaged(&self.rows[..=at], &format!("cut off after {at}"));
            }
        }
        let mut twice = self.rows.clone();
        twice.push((last as i64 + 1, twice[last].1.clone(), twice[last].2.clone()));
        damaged(&twice, "the last line twice");
    }

    /// Who makes a new chain and a new head is found by what others hold.
    fn every_forgery(&self, others: &[&str]) {
        let last = self.rows.len() - 1;
        for at in [0, last / 2, last] {
            let cut = &self.rows[..at];
            let done = self.verify((cut, true), others);
            refused_command(&done, 14, "audit-cut");
            let mut forged = self.rows.clone();
            forged[at].1 = of_another(&self.rows[at].1);
            let done = self.verify((&chained(&forged), true), others);
            refused_command(&done, 4, "audit-rewritten");
        }
    }
}

/// A run with something of everything in it.
fn run(persons: &Persons) {
    let data = sample(7, 400_000);
    let [object, other] =
        ["a.bam", "b.bam"].map(|name| persons.lab.store(&persons.lab.file(name, &data), "2/3"));
    refused(persons.lab.restore(&object), "consent-missing");
    let good = persons.grant(("P1", &object), "gateway", "good.jws", &["--single-use"]);
    let (done, _) = persons.restore(&object, &good, "P1", &[]);
    let _restored = done.ok();
    refused(persons.restore(&object, &good, "P1", &[]), "consent-used");
    let card = persons.card("P1");
    let _revoked = persons.lab.run(&["consent", "revoke", &good, "--card", &card]).ok();
    let reason = ["--reason", "a court asked for it"];
    let _held = persons.lab.run(&[&["hold", "add", &other][..], &reason].concat()).ok();
    let reason = ["--reason", "P1 asked for it"];
    let _gone = persons.lab.run(&[&["forget", &object][..], &reason].concat()).ok();
}

#[test]
fn the_logs_of_a_whole_run_verify_and_no_line_can_be_touched_unseen() {
    let persons = Persons::new(SHAPE);
    run(&persons);
    let verified = persons.lab.ask(&["audit", "verify"]);
    assert_eq!(verified["ok"], true);
    assert!(verified["checks"].as_array().unwrap().len() >= 6, "{verified}");
    let site = &persons.lab.sites[0];
    let held = persons.path("held.jsonl");
    let _held = persons.lab.run(&["audit", "export", "--held", &site.name, "-o", &held]).ok();
    let against = ["--against", held.as_str()];
    for site in &persons.lab.sites {
        let words = ["--json", "audit", "verify"];
        assert_eq!(Running::start(&site.vault, &words).wait().ok().json()["ok"], true);
    }
    let register = Hands::on(&site.vault, "register.sqlite");
    assert!(register.rows.len() > 6, "{}", register.rows.len());
    register.every_line(&[]);
    register.every_forgery(&against);
    drop(register);
    let gateway = Hands::on(&persons.lab.gateway, "catalog.db");
    assert!(gateway.rows.len() > 12, "{}", gateway.rows.len());
    gateway.every_line(&["--offline"]);
    gateway.every_forgery(&[]);
    // Put back as it was, the log is whole again; that others were shown in its place stays told.
    let _unbroken = persons.lab.run(&["audit", "verify", "--offline"]).ok();
    refused_command(&persons.lab.run(&["audit", "verify"]), 4, "audit-rewritten");
    for site in &persons.lab.sites {
        let log = log_of(&site.vault);
        let conflicts = log.iter().filter(|line| line["event"]["result"] == "conflict").count();
        assert!(conflicts > 0, "{}", site.name);
    }
}

#[test]
fn a_site_whose_log_cannot_be_written_releases_nothing() {
    let persons = Persons::new(SHAPE);
    let data = sample(7, 400_000);
    let object = persons.lab.store(&persons.lab.file("a.bam", &data), "2/3");
    let good = persons.grant(("P1", &object), "gateway", "good.jws", &["--single-use"]);
    let deny = "CREATE TRIGGER deny BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END";
    let at = |site: usize, script: &str| {
        let register = persons.lab.sites[site].vault.join("register.sqlite");
        Connection::open(register).unwrap().execute_batch(script).unwrap();
    };
    let told = |site: usize| log_of(&persons.lab.sites[site].vault).len();
    at(0, deny);
    at(1, deny);
    let before = [told(0), told(1)];
    let (done, none) = persons.restore(&object, &good, "P1", &[]);
    assert!(none.is_none(), "something was delivered");
    refused_command(&done, 17, "audit-unwritable");
    assert_eq!([told(0), told(1)], before);
    // One of them can write again, and what serves once has not served there.
    at(1, "DROP TRIGGER deny");
    let other = persons.grant(("P1", &object), "gateway", "other.jws", &["--single-use"]);
    let (done, got) = persons.restore(&object, &other, "P1", &[]);
    assert!(done.code == 0 && got.unwrap() == data, "{done:?}");
    assert_eq!([told(0), told(1)], [before[0], before[1] + 1]);
}
