//! Killed at any instant, an object is listed and comes back, or it is not listed and leaves no
//! litter; and no key is used twice.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use warifu_e2e::{
    Backup, Dice, Done, Fault, Flow, Lab, LabShape, Running, SITE_HELLO_BYTES, Strike, sample, seed,
};

/// Bytes of the objects that are stored while processes die: three chunks.
const OBJECT_BYTES: usize = (2 << 20) + 4321;

/// Key of each link in each direction, and below how much more is brought.
const KEY_BYTES: u64 = 96 << 20;
const KEY_LOW_BYTES: u64 = 40 << 20;

/// How the backups ended.
#[derive(Default, Debug)]
struct Tally {
    outlived_it: usize,
    gateway_killed: usize,
    given_up: usize,
}

/// What the test knows, beside what the gateway says.
struct Truth {
    lab: Lab,
    data: Vec<u8>,
    path: PathBuf,
    /// Objects whose backup said that all is well.
    confirmed: BTreeSet<String>,
    /// Backups that were killed, each of which may have come to its end just before.
    killed: usize,
    shortest: Duration,
    tally: Tally,
}

impl Truth {
    fn new() -> Self {
        let shape = LabShape {
            sites: 3,
            key_bytes: KEY_BYTES,
            random_bytes: 16 << 20,
            proxied: true,
            ..LabShape::default()
        };
        let lab = Lab::new(shape);
        let data = sample(8, OBJECT_BYTES);
        let path = lab.file("in", &data);
        let mut truth = Self {
            lab,
            data,
            path,
            confirmed: BTreeSet::new(),
            killed: 0,
            shortest: Duration::MAX,
            tally: Tally::default(),
        };
        truth.undisturbed();
        truth
    }

    fn spawn(&self) -> Running {
        self.lab.spawn_backup(Backup::of(&self.path, "2/3"))
    }

    /// A backup that nothing happens to; it also sweeps away what others left.
    fn undisturbed(&mut self) {
        self.top_up();
        let started = Instant::now();
        let object = self.lab.store(&self.path, "2/3");
        self.shortest = self.shortest.min(started.elapsed());
        self.confirmed.insert(object);
        for site in &self.lab.sites {
            assert!(site.files("unfinished").is_empty(), "litter: {:?}", site.files("unfinished"));
        }
    }

    /// Lets a backup run for a while, then kills one process of the lab.
    fn kill_one(&mut self, dice: &mut Dice) {
        let victim = usize::try_from(dice.below(2 * self.lab.sites.len() as u64)).unwrap();
        let mut backup = match dice.below(2) {
            0 => self.started_for_a_while(dice),
            _ => self.started_for_some_bytes(dice),
        };
        match self.lab.sites.get_mut(victim) {
            Some(site) => {
                site.kill_nine();
                site.start();
            }
            None => backup.kill_nine(),
        }
        let done = backup.wait();
        match done.code {
            0 => {
                let report = done.json();
                self.confirmed.insert(report["object"].as_str().unwrap().to_owned());
                self.tally.outlived_it += 1;
            }
            -9 => {
                self.killed += 1;
                self.tally.gateway_killed += 1;
            }
            // The site died while it was asked where to place, or while it completed its share.
            6 => self.tally.given_up += 1,
            code => panic!("a backup whose site was killed ended with {code}: {}", done.stderr),
        }
    }

    fn started_for_a_while(&self, dice: &mut Dice) -> Running {
        let moment = dice.below(u64::try_from(self.shortest.as_micros()).unwrap());
        let backup = self.spawn();
        // Not synchronisation: the moment of death is what is drawn.
        std::thread::sleep(Duration::from_micros(moment));
        backup
    }

    /// Lets it run until so many bytes have passed to or from one of the sites, or to its end.
    fn started_for_some_bytes(&self, dice: &mut Dice) -> Running {
        let site = usize::try_from(dice.below(self.lab.sites.len() as u64)).unwrap();
        let (flow, at) = match dice.below(3) {
            0 => (Flow::Down, dice.below(2000)),
            1 => (Flow::Up, dice.below(2000)),
            _ => (Flow::Up, dice.below(OBJECT_BYTES as u64)),
        };
        let (told, struck) = std::sync::mpsc::channel();
        let call = Box::new(move || told.send(()).unwrap_or_default());
        let proxy = self.lab.sites[site].proxy();
        proxy.arm(Fault { flow, at, strike: Strike::Call(call) });
        let mut backup = self.spawn();
        while struck.recv_timeout(Duration::from_millis(1)).is_err() && !backup.has_ended() {}
        let _disarmed = proxy.has_struck();
        backup
    }

    /// Everything confirmed is listed and comes back; what is listed beyond that comes from a
    /// backup that was killed after its end, and comes back too.
    fn check(&mut self, restore_all: bool) {
        let listed: BTreeSet<String> = self.lab.listed().into_iter().collect();
        let lost: Vec<_> = self.confirmed.difference(&listed).collect();
        assert!(lost.is_empty(), "said to be stored, but not listed: {lost:?}");
        let unsaid: Vec<String> = listed.difference(&self.confirmed).cloned().collect();
        assert!(unsaid.len() <= self.killed, "listed out of nothing: {unsaid:?}");
        let again = if restore_all { listed } else { unsaid.iter().cloned().collect() };
        for object in &again {
            self.lab.expect_back(object, &self.data);
        }
        self.killed -= unsaid.len();
        self.confirmed.extend(unsaid);
    }

    /// At every site lie the shares of the listed objects, and nothing else.
    fn check_sites(&self) {
        let listed: BTreeSet<String> = self.lab.listed().into_iter().collect();
        for site in &self.lab.sites {
            let shares = site.files("shares");
            let objects: BTreeSet<String> =
                shares.iter().map(|name| name.split('-').next().unwrap().to_owned()).collect();
            assert_eq!(objects, listed, "what lies at {}", site.name);
            assert_eq!(shares.len(), listed.len());
        }
    }

    fn top_up(&self) {
        for number in 0..self.lab.sites.len() {
            let left = |end: &str| {
                let pool = self.lab.pool(&format!("s{number}/{end}"));
                let kept = pool["bytes_reserved_for_restore"].as_u64().unwrap();
                pool["bytes_left"].as_u64().unwrap().saturating_sub(kept)
            };
            if left("to").min(left("from")) < KEY_LOW_BYTES {
                self.lab.deliver(number, KEY_BYTES);
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the log of a test run is its standard output")]
fn kill_many(kills: usize) {
    let mut dice = Dice::new(seed("kill_nine"));
    let mut truth = Truth::new();
    for kill in 1..=kills {
        truth.top_up();
        truth.kill_one(&mut dice);
        truth.check(false);
        if kill % 5 == 0 {
            truth.undisturbed();
            truth.check_sites();
        }
    }
    truth.undisturbed();
    truth.check(true);
    truth.check_sites();
    let _findings = truth.lab.run(&["doctor"]).ok();
    let summary = truth.lab.expect_key_used_once();
    let Tally { outlived_it, gateway_killed, .. } = truth.tally;
    assert!(outlived_it > kills / 10 && gateway_killed > kills / 10, "{:?}", truth.tally);
    println!(
        "kill_nine: {kills} kills: {:?}; {} objects, {} frames of which {} were cut",
        truth.tally,
        truth.confirmed.len(),
        summary["frames"],
        summary["cut_frames"]
    );
}

#[test]
fn fifty_kills_lose_nothing_and_leave_nothing() {
    kill_many(50);
}

#[test]
#[ignore = "long"]
fn five_thousand_kills_lose_nothing_and_leave_nothing() {
    for _ in 0..100 {
        kill_many(50);
    }
}

#[test]
fn a_backup_outlives_a_cut_connection() {
    let lab = Lab::recorded(3, 128 << 20);
    let data = sample(9, 12 << 20);
    let path = lab.file("in", &data);
    for flow in [Flow::Up, Flow::Down] {
        for site in &lab.sites {
            // Past the handshake: within a chunk one way, within the receipts the other.
            let at = if flow == Flow::Up { 1500 } else { 1700 };
            site.proxy().arm(Fault { flow, at, strike: Strike::Cut });
            let object = lab.store(&path, "2/3");
            assert!(site.proxy().has_struck(), "{flow:?} at {}", site.name);
            lab.expect_back(&object, &data);
            assert!(site.files("unfinished").is_empty());
        }
    }
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_backup_outlives_the_death_of_a_site() {
    let mut lab = Lab::recorded(3, 128 << 20);
    let data = sample(10, 8 << 20);
    let path = lab.file("in", &data);
    for number in 0..lab.sites.len() {
        let (told, struck) = std::sync::mpsc::channel();
        let call = Box::new(move || told.send(()).unwrap());
        let computed = computed_at(&lab, &path, number);
        // Of a site that gets its share as frames three megabytes have passed; to one that only
        // keeps key some hundred bytes for each chunk.
        let at = if computed { 3 << 20 } else { 1500 };
        let fault = Fault { flow: Flow::Up, at, strike: Strike::Call(call) };
        lab.sites[number].proxy().arm(fault);
        let backup = lab.spawn_backup(Backup::of(&path, "2/3"));
        struck.recv_timeout(Duration::from_secs(60)).unwrap();
        lab.sites[number].kill_nine();
        lab.sites[number].start();
        let report = backup.wait().ok().json();
        lab.expect_back(report["object"].as_str().unwrap(), &data);
        assert!(lab.sites[number].files("unfinished").is_empty());
    }
    let _summary = lab.expect_key_used_once();
}

/// Whether a backup of `path` would send the site its share rather than let it keep key.
fn computed_at(lab: &Lab, path: &std::path::Path, number: usize) -> bool {
    let backup = Backup { more: &["--dry-run"], ..Backup::of(path, "2/3") };
    let plan = lab.backup(backup).ok().json();
    let shares = plan["shares"].as_array().unwrap();
    let share = shares.iter().find(|share| share["site"] == lab.sites[number].name).unwrap();
    share["role"] == "computed"
}

#[test]
fn a_backup_that_is_asked_to_stop_goes_on_later() {
    let lab = Lab::recorded(3, 128 << 20);
    let data = sample(11, 24 << 20);
    let path = lab.file("in", &data);
    let (told, struck) = std::sync::mpsc::channel();
    let call = Box::new(move || told.send(()).unwrap());
    lab.sites[0].proxy().arm(Fault { flow: Flow::Up, at: 1500, strike: Strike::Call(call) });
    let backup = lab.spawn_backup(Backup::of(&path, "2/3"));
    struck.recv_timeout(Duration::from_secs(60)).unwrap();
    backup.terminate();
    let done = backup.wait().exits(128 + 15);
    assert_eq!(done.exit_line()["code"], 128 + 15);
    assert!(done.stderr.contains("what is done is kept"), "{}", done.stderr);
    assert!(lab.listed().is_empty());
    // Nothing was burned: what was leased and not used went back.
    assert_eq!(lab.pool("s1/to")["bytes_leased"], 0);
    let report = lab.backup(Backup::of(&path, "2/3")).ok().json();
    assert!(report["resumed_bytes"].as_u64().unwrap() >= 1 << 20, "{report}");
    lab.expect_back(report["object"].as_str().unwrap(), &data);
    for site in &lab.sites {
        assert!(site.files("unfinished").is_empty() && site.files("shares").len() == 1);
    }
    let _summary = lab.expect_key_used_once();
}

/// Where each frame of a recorded direction starts, and how long its payload is. `hello_bytes` come
/// before the first.
fn frames(recorded: &[u8], hello_bytes: usize) -> Vec<(u64, u32)> {
    let (mut at, mut frames) = (hello_bytes, Vec::new());
    while let Some(length) = recorded.get(at + 56..at + 60) {
        let payload_bytes = u32::from_le_bytes(length.try_into().unwrap());
        frames.push((at as u64, payload_bytes));
        at += 64 + payload_bytes as usize + 16;
    }
    frames
}

/// Where the commit is asked for and where it is answered in a whole backup: just before the
/// release, which is the last thing in either direction.
fn last_but_one(lab: &mut Lab, number: usize, path: &std::path::Path) -> (u64, u64) {
    let _whole = lab.store(path, "2/3");
    let capture = lab.sites[number].proxy().captures().pop().unwrap();
    let up = frames(&std::fs::read(&capture.up).unwrap(), 64);
    let down = frames(&std::fs::read(&capture.down).unwrap(), SITE_HELLO_BYTES);
    let (asked, payload_bytes) = up[up.len() - 2];
    assert_eq!(payload_bytes, 72, "a commit without attempts is a message and eight bytes");
    (asked, down[down.len() - 2].0)
}

/// A backup whose site dies and comes back just before it is asked to commit. How key lies decides
/// how many leases a backup asks for, so the place is looked for until it is met.
fn killed_before_its_commit(lab: &mut Lab, number: usize, path: &std::path::Path) -> Done {
    for _ in 0..8 {
        let (asked, _) = last_but_one(lab, number, path);
        let (told, struck) = std::sync::mpsc::channel();
        let (restarted, wait) = std::sync::mpsc::channel::<()>();
        let call = Box::new(move || {
            told.send(()).unwrap();
            wait.recv().unwrap();
        });
        let fault = Fault { flow: Flow::Up, at: asked, strike: Strike::Call(call) };
        lab.sites[number].proxy().arm(fault);
        let backup = lab.spawn_backup(Backup::of(path, "2/3"));
        if struck.recv_timeout(Duration::from_secs(10)).is_ok() {
            lab.sites[number].kill_nine();
            lab.sites[number].start();
            restarted.send(()).unwrap();
            return backup.wait();
        }
        assert_eq!(backup.wait().code, 0, "nothing happened to it");
    }
    panic!("no backup was met just before its commit");
}

#[test]
fn a_commit_is_asked_again_of_a_site_that_died_or_whose_answer_was_lost() {
    let mut lab = Lab::recorded(3, 128 << 20);
    let data = sample(12, 1_500_000);
    let path = lab.file("in", &data);
    for number in [1, 2] {
        let (_, answered) = last_but_one(&mut lab, number, &path);
        let proxy = lab.sites[number].proxy();
        proxy.arm(Fault { flow: Flow::Down, at: answered, strike: Strike::Cut });
        let unheard = lab.store(&path, "2/3");
        assert!(lab.sites[number].proxy().has_struck());
        lab.expect_back(&unheard, &data);
        let done = killed_before_its_commit(&mut lab, number, &path);
        match done.code {
            0 => drop(lab.expect_back(done.json()["object"].as_str().unwrap(), &data)),
            // The site has not kept its share of the capsule: run again, and it gets it anew.
            _ => {
                assert_eq!(done.exit_line()["retryable"], true, "{}", done.stderr);
                let again = lab.backup(Backup::of(&path, "2/3")).ok().json();
                assert!(again["resumed_bytes"].as_u64().unwrap() > 0, "{again}");
                lab.expect_back(again["object"].as_str().unwrap(), &data);
            }
        }
        let shares = lab.sites[number].files("shares").len();
        assert_eq!(shares, lab.listed().len());
        assert!(lab.sites[number].files("unfinished").is_empty());
    }
    let _summary = lab.expect_key_used_once();
}
