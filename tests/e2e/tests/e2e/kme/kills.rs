//! The gateway's processes, sites and the KME killed at any instant while key is fetched and used.

use super::faults::assert_no_key_twice;
use super::{QUICK, lab, left_bytes, until};
use std::time::Duration;
use warifu_e2e::{Backup, Dice, Kme, Lab, Running, sample, seed};

const OBJECT_BYTES: usize = (1 << 20) + 4321;

/// What is fetched for each direction while backups use it up: more than comes until the last kill.
const WATERMARK_BYTES: u64 = 32 << 20;

/// A run of kills, and what is known beside what the gateway says.
struct Run {
    lab: Lab,
    kme: Kme,
    fetch: Running,
    path: std::path::PathBuf,
    data: Vec<u8>,
    confirmed: Vec<String>,
}

/// How backups ended, and who was killed.
#[derive(Default, Debug)]
struct Tally {
    stored: usize,
    given_up: usize,
    gateway: usize,
    fetch: usize,
    site: usize,
    kme: usize,
}

impl Run {
    fn new() -> Self {
        let mut lab = lab(3, 24 << 20);
        // The site keeps up at this pace, so that kills meet segments at every stage.
        let options = [&QUICK[..], &["--rate", "200000000", "--initial", "8388608"]].concat();
        let kme = Kme::attach(&mut lab, &options, "timeout_s = 2\nsegment_bytes = \"256KiB\"");
        let data = sample(80, OBJECT_BYTES);
        let path = lab.file("in", &data);
        let fetch = lab.spawn_fetch(WATERMARK_BYTES);
        Self { lab, kme, fetch, path, data, confirmed: Vec::new() }
    }

    fn kill_one(&mut self, dice: &mut Dice, kill: usize, tally: &mut Tally) {
        let backup = Backup { more: &["--compress", "none"], ..Backup::of(&self.path, "2/3") };
        let mut backup = self.lab.spawn_backup(backup);
        // Not synchronisation: the moment of death is what is drawn.
        std::thread::sleep(Duration::from_micros(dice.below(700_000)));
        // Each in turn, so that every kind dies as often.
        match kill % 4 {
            0 => {
                backup.kill_nine();
                tally.gateway += 1;
            }
            1 => {
                self.fetch.kill_nine();
                while !self.fetch.has_ended() {}
                self.fetch = self.lab.spawn_fetch(WATERMARK_BYTES);
                tally.fetch += 1;
            }
            2 => {
                let number = usize::try_from(dice.below(3)).unwrap();
                self.lab.sites[number].kill_nine();
                self.lab.sites[number].start();
                tally.site += 1;
            }
            _ => {
                self.kme.kill_nine();
                self.kme.start();
                tally.kme += 1;
            }
        }
        let done = backup.wait();
        match done.code {
            0 => {
                self.confirmed.push(done.json()["object"].as_str().unwrap().to_owned());
                tally.stored += 1;
            }
            -9 => {}
            // Its site died, or key is short until the KME has made more.
            6 | 7 => tally.given_up += 1,
            code => panic!("a backup ended with {code}: {}", done.stderr),
        }
        assert!(!self.fetch.has_ended(), "fetching goes on whatever dies");
    }

    /// After the last kill all key comes, without anybody's doing, and the fetch ends as asked.
    fn comes_to_rest(mut self) -> (Lab, Vec<u8>, Vec<String>) {
        until("key for every site", || {
            assert!(!self.fetch.has_ended(), "it fetches until it is stopped");
            // Whoever follows does not run after the last sixteenth.
            let enough = WATERMARK_BYTES - WATERMARK_BYTES / 16;
            ["s0", "s1", "s2"].iter().all(|site| left_bytes(&self.lab, site) >= enough)
        });
        self.fetch.terminate();
        let _ended = self.fetch.wait().ok();
        (self.lab, self.data, self.confirmed)
    }
}

#[expect(clippy::print_stdout, reason = "the log of a test run is its standard output")]
fn kill_many(kills: usize) {
    let mut dice = Dice::new(seed("kme_kills"));
    let (mut run, mut tally) = (Run::new(), Tally::default());
    for kill in 0..kills {
        run.kill_one(&mut dice, kill, &mut tally);
    }
    let (lab, data, confirmed) = run.comes_to_rest();
    let listed = lab.listed();
    for object in &confirmed {
        assert!(listed.contains(object), "said to be stored, but not listed: {object}");
    }
    // What is listed beyond that comes from a backup that was killed after its end.
    assert!(listed.len() - confirmed.len() <= tally.gateway);
    for object in &listed {
        lab.expect_back(object, &data);
    }
    let _summary = lab.expect_key_used_once();
    let ends = [&lab.gateway].into_iter().chain(lab.sites.iter().map(|site| &site.vault));
    ends.for_each(|vault| assert_no_key_twice(vault));
    assert!(tally.stored >= kills / 3, "{tally:?}");
    println!("kme_kills: {kills} kills: {tally:?}; {} objects listed", listed.len());
}

#[test]
fn six_kills_during_fetch_and_backup_use_no_key_twice_and_lose_nothing() {
    kill_many(6);
}

#[test]
#[ignore = "long"]
fn thirty_kills_during_fetch_and_backup_use_no_key_twice_and_lose_nothing() {
    kill_many(30);
}
