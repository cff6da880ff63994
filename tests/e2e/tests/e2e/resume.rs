//! An interrupted backup goes on: what all sites hold is not sent again, and no key serves twice.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use warifu_e2e::{Backup, Dice, Done, Fault, Flow, Lab, LabShape, Running, Strike, sample, seed};

const MIB: u64 = 1 << 20;

/// What the labs lease at a time.
const LEASE_BYTES: u64 = 4 * MIB;

/// Chunks that a backup has on their way at once, at most.
const WINDOW: u64 = 8;

/// What one kill may cost of a link's key, in either direction: the chunks on their way, a lease
/// with what is too short at its end for a further chunk, and handshakes.
const KILL_TO_BYTES: u64 = LEASE_BYTES + (WINDOW + 1) * (MIB + 4096) + MIB / 4;
const KILL_FROM_BYTES: u64 = 3 * MIB / 4;

/// The most that is stored undisturbed, to compare: its cost is taken times the length.
const PLAIN_BYTES_MAX: usize = 48 << 20;

/// A call when so many bytes have come to a site.
fn at_byte(lab: &Lab, site: usize, at: u64) -> Receiver<()> {
    let (told, struck) = channel();
    let call = Box::new(move || told.send(()).unwrap_or_default());
    lab.sites[site].proxy().arm(Fault { flow: Flow::Up, at, strike: Strike::Call(call) });
    struck
}

/// Runs a backup until so many bytes have come to a site, or to its end, and kills it.
fn kill_at(lab: &Lab, path: &Path, scheme: &str, (site, at): (usize, u64)) -> Done {
    let struck = at_byte(lab, site, at);
    let mut backup = lab.spawn_backup(Backup::of(path, scheme));
    while struck.recv_timeout(Duration::from_millis(1)).is_err() && !backup.has_ended() {}
    backup.kill_nine();
    let _disarmed = lab.sites[site].proxy().has_struck();
    backup.wait()
}

/// Runs a backup until so many more chunks are done, as its journal tells, and kills it.
fn kill_after_progress(lab: &Lab, path: &Path, chunks: u64) -> Done {
    // A journal begins with its header; a record of five shares has 112 bytes.
    let folder = lab.gateway.join("journal");
    let length = || {
        let journal = std::fs::read_dir(&folder).ok()?.next()?.ok()?;
        Some(journal.metadata().ok()?.len()).filter(|length| *length > 0)
    };
    let mut before = length();
    let mut backup = lab.spawn_backup(Backup::of(path, "3/5"));
    loop {
        before = before.or_else(length);
        let grown = before.zip(length()).map_or(0, |(before, now)| now.saturating_sub(before));
        // Two records more for the opening and for what is spent, one for what is admitted.
        if grown >= (chunks + 3) * 112 || backup.has_ended() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    backup.kill_nine();
    backup.wait()
}

/// Key left at every site, towards it and from it.
fn key_left(lab: &Lab) -> Vec<(u64, u64)> {
    let rows = lab.ask(&["key", "status"]);
    let left = |pool: String| {
        let row = rows.as_array().unwrap().iter().find(|row| row["pool"] == pool.as_str());
        row.unwrap()["bytes_left"].as_u64().unwrap()
    };
    let of = |site: &warifu_e2e::Site| {
        (left(format!("{}/to", site.name)), left(format!("{}/from", site.name)))
    };
    lab.sites.iter().map(of).collect()
}

fn spent_since(lab: &Lab, before: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let after = key_left(lab);
    before
        .iter()
        .zip(after)
        .map(|(before, after)| (before.0 - after.0, before.1 - after.1))
        .collect()
}

fn expect_no_litter(lab: &Lab) {
    let listed = lab.listed().len();
    for site in &lab.sites {
        assert!(site.files("unfinished").is_empty(), "{:?}", site.files("unfinished"));
        assert_eq!(site.files("shares").len(), listed, "{}", site.name);
    }
    let journals = std::fs::read_dir(lab.gateway.join("journal")).unwrap();
    assert_eq!(journals.count(), 0, "a journal is left");
}

fn resumed(done: &Done) -> u64 {
    done.json()["resumed_bytes"].as_u64().unwrap_or(0)
}

/// Key of a link in each direction, for one backup of `bytes` bytes that is killed `kills` times,
/// with what is kept for its restore, and for one of `plain` bytes that is not disturbed.
fn key_of_killed(bytes: u64, plain: u64, kills: u64) -> u64 {
    let of_backup = |bytes: u64| bytes + bytes / 64 + 4 * MIB;
    of_backup(bytes) + of_backup(plain) + (kills + 1) * KILL_TO_BYTES
}

/// A backup of `bytes` bytes, killed `kills` times, then let through; and one that is not
/// disturbed, to compare.
#[expect(clippy::print_stdout, reason = "the log of a test run is its standard output")]
fn killed_many(test: &str, bytes: usize, kills: u64) {
    let mut dice = Dice::new(seed(test));
    let (size, plain_size) = (bytes as u64, bytes.min(PLAIN_BYTES_MAX) as u64);
    let mut lab = Lab::new(LabShape {
        key_bytes: key_of_killed(size, plain_size, kills),
        proxied: true,
        ..LabShape::default()
    });
    let data = sample(30, bytes);
    let path = lab.file("in", &data);
    let before = key_left(&lab);
    let (mut killed, mut early) = (0, None);
    while killed < kills && early.is_none() {
        let done = match killed % 2 {
            0 => kill_after_progress(&lab, &path, 1 + dice.below(size / MIB / kills)),
            // Anywhere: what comes first may be all on its way.
            _ => {
                let site = computed_site(&lab, &path, &mut dice);
                kill_at(&lab, &path, "3/5", (site, dice.below(8 * MIB)))
            }
        };
        match done.code {
            0 => early = Some(done),
            code => assert_eq!(code, -9, "{}", done.stderr),
        }
        killed += u64::from(early.is_none());
    }
    assert!(killed >= kills / 2, "it was through after {killed} kills");
    let report = early.unwrap_or_else(|| lab.backup(Backup::of(&path, "3/5")).ok());
    let spent = spent_since(&lab, &before);
    let object = report.json()["object"].as_str().unwrap().to_owned();
    assert!(resumed(&report) > 0, "it went on: {}", report.json());
    expect_no_litter(&lab);
    std::fs::remove_file(&path).unwrap();
    let plain_path = lab.file("plain", &data[..plain_size as usize]);
    let before = key_left(&lab);
    let _undisturbed = lab.store(&plain_path, "3/5");
    let plain: Vec<(u64, u64)> = spent_since(&lab, &before)
        .into_iter()
        .map(|(to, from)| (to * size / plain_size, from * size / plain_size))
        .collect();
    let most = |of: fn(&(u64, u64)) -> u64, list: &[(u64, u64)]| list.iter().map(of).max().unwrap();
    let (to, from) = (most(|one| one.0, &spent), most(|one| one.1, &spent));
    let (plain_to, plain_from) = (most(|one| one.0, &plain), most(|one| one.1, &plain));
    println!(
        "{test}: {killed} kills, {} of {size} bytes were there at the end; a kill cost {} bytes \
         of key to a site (at most {KILL_TO_BYTES} may) and {} from it (at most \
         {KILL_FROM_BYTES}); undisturbed, as {plain_size} of them tell, {plain_to} and \
         {plain_from}",
        resumed(&report),
        to.saturating_sub(plain_to) / killed.max(1),
        from.saturating_sub(plain_from) / killed.max(1),
    );
    assert!(to <= plain_to + killed * KILL_TO_BYTES, "{spent:?} {plain:?}");
    assert!(from <= plain_from + killed * KILL_FROM_BYTES, "{spent:?} {plain:?}");
    let summary = lab.expect_key_used_once();
    println!("{test}: {} frames, {} of them cut", summary["frames"], summary["cut_frames"]);
    for site in [1, 3] {
        lab.sites[site].burn();
    }
    lab.expect_back(&object, &data);
}

/// A site that gets a computed share of what is about to be stored.
fn computed_site(lab: &Lab, path: &Path, dice: &mut Dice) -> usize {
    // An interrupted object has its places already; what a plan says holds for the first only.
    let unfinished = |site: &warifu_e2e::Site| site.files("unfinished").first().cloned();
    let x = |site: &warifu_e2e::Site| {
        let name = unfinished(site)?;
        u8::from_str_radix(name.split(['-', '.']).nth(1)?, 16).ok()
    };
    let computed: Vec<usize> =
        (0..lab.sites.len()).filter(|site| x(&lab.sites[*site]).is_some_and(|x| x > 2)).collect();
    if !computed.is_empty() {
        return computed[usize::try_from(dice.below(computed.len() as u64)).unwrap()];
    }
    let plan = lab.backup(Backup { more: &["--dry-run"], ..Backup::of(path, "3/5") }).ok().json();
    let shares = plan["shares"].as_array().unwrap();
    let share = shares.iter().find(|share| share["role"] == "computed").unwrap();
    lab.sites.iter().position(|site| share["site"] == site.name.as_str()).unwrap()
}

#[test]
fn ten_kills_cost_what_was_on_its_way_and_a_lease_each() {
    killed_many("ten_kills", 48 << 20, 10);
}

/// The size and count by `WARIFU_TEST_MIB` and `WARIFU_TEST_KILLS`: 1024 and 50 where not given.
#[test]
#[ignore = "long"]
fn fifty_kills_of_one_gibibyte_cost_what_was_on_its_way_and_a_lease_each() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap())
    };
    let mib = usize::try_from(number("WARIFU_TEST_MIB", 1024)).unwrap();
    killed_many("fifty_kills", mib << 20, number("WARIFU_TEST_KILLS", 50));
}

/// Where each frame of a recorded direction starts.
fn frames(recorded: &Path) -> Vec<u64> {
    let recorded = std::fs::read(recorded).unwrap();
    let (mut at, mut frames) = (64, Vec::new());
    while let Some(length) = recorded.get(at + 56..at + 60) {
        frames.push(at as u64);
        at += 64 + u32::from_le_bytes(length.try_into().unwrap()) as usize + 16;
    }
    frames
}

#[test]
fn killed_at_any_stage_it_goes_on_or_is_listed() {
    let lab = Lab::recorded(3, 96 << 20);
    let data = sample(31, 1_500_000);
    let path = lab.file("in", &data);
    let _whole = lab.store(&path, "2/3");
    for site in [0, 2] {
        let whole = frames(&lab.sites[site].proxy().captures().pop().unwrap().up);
        // From the hello on, and every frame: leases, begin, chunks, capsule, commit, release.
        let places = [10].into_iter().chain(whole.iter().map(|start| start + 30));
        for at in places {
            let done = kill_at(&lab, &path, "2/3", (site, at));
            assert!([0, -9].contains(&done.code), "{}", done.stderr);
            let again = lab.backup(Backup::of(&path, "2/3")).ok().json();
            lab.expect_back(again["object"].as_str().unwrap(), &data);
            expect_no_litter(&lab);
        }
    }
    let _summary = lab.expect_key_used_once();
}

/// A lab with a backup that was killed when about half of it was at one site.
fn interrupted(mib: usize) -> (Lab, Vec<u8>, PathBuf) {
    let lab = Lab::recorded(3, 4 * (mib as u64) * MIB + 96 * MIB);
    let data = sample(32, mib << 20);
    let path = lab.file("in", &data);
    let plan = lab.backup(Backup { more: &["--dry-run"], ..Backup::of(&path, "2/3") }).ok().json();
    let share = &plan["shares"].as_array().unwrap()[1];
    let site = lab.sites.iter().position(|site| share["site"] == site.name.as_str()).unwrap();
    let done = kill_at(&lab, &path, "2/3", (site, (mib as u64 * MIB) / 2 + 8 * MIB));
    assert_eq!(done.code, -9, "{}", done.stderr);
    (lab, data, path)
}

#[test]
fn a_source_that_changed_starts_anew_and_leaves_nothing() {
    let (lab, mut data, path) = interrupted(24);
    data[5] ^= 1;
    std::fs::write(&path, &data).unwrap();
    let report = lab.backup(Backup::of(&path, "2/3")).ok();
    assert_eq!(resumed(&report), 0);
    lab.expect_back(report.json()["object"].as_str().unwrap(), &data);
    assert_eq!(lab.listed().len(), 1);
    expect_no_litter(&lab);
}

#[test]
fn another_request_does_not_go_on_and_disturbs_nothing() {
    let (lab, data, path) = interrupted(24);
    let labelled = Backup { more: &["--name", "other"], ..Backup::of(&path, "2/3") };
    let other = lab.backup(labelled).ok();
    assert_eq!(resumed(&other), 0);
    let refused = lab.backup(Backup { more: &["--name", "none", "--resume"], ..labelled });
    assert_eq!(refused.exits(10).exit_line()["class"], "not-found");
    let report = lab.backup(Backup { more: &["--resume"], ..Backup::of(&path, "2/3") }).ok();
    assert!(resumed(&report) >= MIB);
    for done in [&other, &report] {
        lab.expect_back(done.json()["object"].as_str().unwrap(), &data);
    }
    expect_no_litter(&lab);
}

#[test]
fn without_a_path_all_that_is_interrupted_goes_on() {
    let (lab, data, path) = interrupted(24);
    let report = lab.run(&["--json", "backup", "--resume"]).ok();
    assert!(resumed(&report) >= MIB);
    lab.expect_back(report.json()["object"].as_str().unwrap(), &data);
    let nothing = lab.run(&["--json", "backup", "--resume"]).ok();
    assert!(nothing.stdout.is_empty());
    let more = &["--resume"];
    let _refused = lab.backup(Backup { more, ..Backup::of(&path, "2/3") }).exits(10);
    expect_no_litter(&lab);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn a_site_that_lost_all_or_one_chunk_is_brought_up_to_the_others() {
    for all in [true, false] {
        let (mut lab, data, path) = interrupted(24);
        lab.sites[1].kill_nine();
        let folder = lab.sites[1].store().join("unfinished");
        let draft = folder.join(&lab.sites[1].files("unfinished")[0]);
        match all {
            true => std::fs::remove_file(&draft).unwrap(),
            false => {
                let mut bytes = std::fs::read(&draft).unwrap();
                bytes[4096 + 3 * (MIB as usize + 4096) + 77] ^= 1;
                std::fs::write(&draft, bytes).unwrap();
            }
        }
        lab.sites[1].start();
        let report = lab.backup(Backup::of(&path, "2/3")).ok();
        match all {
            true => assert_eq!(resumed(&report), 0),
            false => assert!(resumed(&report) >= MIB, "{}", report.json()),
        }
        lab.expect_back(report.json()["object"].as_str().unwrap(), &data);
        lab.sites[0].burn();
        lab.expect_back(report.json()["object"].as_str().unwrap(), &data);
        let _summary = lab.expect_key_used_once();
    }
}

#[test]
fn of_two_processes_that_go_on_one_does() {
    let (lab, data, path) = interrupted(32);
    let more = &["--resume"];
    let spawn = || lab.spawn_backup(Backup { more, ..Backup::of(&path, "2/3") });
    let both: Vec<Running> = vec![spawn(), spawn()];
    let mut ends: Vec<Done> = both.into_iter().map(Running::wait).collect();
    ends.sort_by_key(|done| done.code);
    assert_eq!(ends[0].code, 0, "{}", ends[0].stderr);
    // The other was told so, or came when all was done.
    assert!([10, 11].contains(&ends[1].code), "{}", ends[1].stderr);
    assert_eq!(lab.listed().len(), 1);
    lab.expect_back(&lab.listed()[0], &data);
    expect_no_litter(&lab);
    let _summary = lab.expect_key_used_once();
}

#[test]
fn it_goes_on_after_its_sites_were_killed_too() {
    let (mut lab, data, path) = interrupted(24);
    for site in &mut lab.sites {
        site.kill_nine();
    }
    let away = lab.backup(Backup::of(&path, "2/3")).exits(6);
    assert!(away.stderr.contains("what is done is kept"), "{}", away.stderr);
    for site in &mut lab.sites {
        site.start();
    }
    let report = lab.backup(Backup::of(&path, "2/3")).ok();
    assert!(resumed(&report) >= MIB);
    lab.expect_back(report.json()["object"].as_str().unwrap(), &data);
    expect_no_litter(&lab);
    let _summary = lab.expect_key_used_once();
}
