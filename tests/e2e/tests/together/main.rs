//! Real site daemons that work a share out for another one, with links among them over a network
//! that is recorded, and killed while they do.

#![expect(clippy::unwrap_used, reason = "whatever fails in a helper of a test must fail the test")]

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;
use warifu_core::{ObjectId, SiteName, XCoord};
use warifu_e2e::{Dice, Fault, Flow, LabShape, Persons, Running, Strike, sample, seed};
use warifu_vault::{Failure, GatherReport, GatherRequest, Vault};

/// Bytes of the object: two chunks of its payload are whole, and one is short.
const OBJECT_BYTES: usize = (2 << 20) + 4321;

/// Key of each link between two sites, in each direction.
const SITE_KEY: &str = "48MiB";

/// Rounds in which a helper or the target is killed.
const ROUNDS: u64 = 8;

/// What a gateway sends to any of these sites at least, before it asks for the last step, in bytes.
const ASKED_BYTES: u64 = 500;

/// Below what goes from a helper to the target at least, in bytes: before its last chunk, which
/// nobody who was killed meanwhile has asked for or sent.
const CONTRIBUTED_BYTES: u64 = 1_500_000;

/// A place in what passes, before which no share is worked out, and the site that dies there.
struct Moment {
    /// Past which site's proxy it comes.
    proxy: usize,
    flow: Flow,
    at: u64,
    victim: usize,
}

struct Together {
    persons: Persons,
    object: ObjectId,
    /// Where the shares lie, by x; the site that has none comes last.
    order: Vec<usize>,
}

impl Together {
    /// Four sites with links among all of them, of which three hold an object of P1.
    fn new() -> Self {
        let shape = LabShape {
            sites: 4,
            key_bytes: 24 << 20,
            random_bytes: 1 << 20,
            lease_bytes: Some(4 << 20),
            proxied: true,
            is_consent_asked: true,
        };
        let persons = Persons::new(shape);
        let lab = &persons.lab;
        for a in 0..lab.sites.len() {
            for b in a + 1..lab.sites.len() {
                link(&persons, a, b);
            }
        }
        let object = lab.store(&lab.file("a.bam", &sample(5, OBJECT_BYTES)), "2/3");
        let shown = lab.ask(&["show", &object]);
        let named = |at: usize| {
            lab.sites
                .iter()
                .position(|site| site.name == shown["shares"][at]["site"].as_str().unwrap())
        };
        let mut order: Vec<usize> = (0..3).map(|at| named(at).unwrap()).collect();
        order.extend((0..4).filter(|site| !order.contains(site)).collect::<Vec<_>>());
        let object = object.parse().unwrap();
        Self { persons, object, order }
    }

    fn name(&self, at: usize) -> SiteName {
        self.persons.lab.sites[self.order[at]].name.parse().unwrap()
    }

    /// Has the first two work the third's share out for the site that has none.
    fn gather(&self) -> Result<GatherReport, Failure> {
        gather(self.persons.lab.gateway.clone(), &self.request())
    }

    fn request(&self) -> GatherRequest {
        GatherRequest {
            object: self.object,
            x: XCoord::new(3).unwrap(),
            target: self.name(3),
            helpers: vec![self.name(0), self.name(1)],
            chunks: None,
        }
    }

    /// Draws when a site dies: as it is asked, or while a helper contributes, whichever end of the
    /// link to the target it is.
    fn moment(&self, dice: &mut Dice) -> Moment {
        let mut either = |one: usize, other: usize| [one, other][usize::from(dice.below(2) == 1)];
        let (helper, target) = (either(self.order[0], self.order[1]), self.order[3]);
        let victim = either(helper, target);
        let is_asked = either(0, 1) == 0;
        let (proxy, flow, below) = match helper < target {
            _ if is_asked => (victim, Flow::Up, ASKED_BYTES),
            true => (target, Flow::Up, CONTRIBUTED_BYTES),
            false => (helper, Flow::Down, CONTRIBUTED_BYTES),
        };
        Moment { proxy, flow, at: dice.below(below), victim }
    }

    /// Kills a site as a share is worked out: what passes is held up until it is dead.
    fn kill_at(&mut self, moment: &Moment) {
        let &Moment { proxy, flow, at, victim } = moment;
        let sites = &self.persons.lab.sites;
        let ((told, struck), (killed, may_go_on)) = (channel(), channel::<()>());
        let call = Box::new(move || {
            told.send(()).unwrap_or_default();
            // It ends as the other end goes out of scope.
            may_go_on.recv().unwrap_or_default();
        });
        sites[proxy].proxy().arm(Fault { flow, at, strike: Strike::Call(call) });
        let (gateway, request) = (self.persons.lab.gateway.clone(), self.request());
        let working = std::thread::spawn(move || gather(gateway, &request).is_ok());
        while struck.recv_timeout(Duration::from_millis(1)).is_err() {
            assert!(!working.is_finished(), "{at} bytes never went {flow:?} at site {proxy}");
        }
        let sites = &mut self.persons.lab.sites;
        sites[victim].kill_nine();
        drop(killed);
        let outlived_it = working.join().unwrap();
        assert!(!outlived_it, "site {victim} was dead at byte {at} {flow:?} at site {proxy}");
        sites[victim].start();
    }

    /// The contents of the chunks of share 3, as they lie in a folder of a site.
    fn chunks(&self, at: usize, folder: &str) -> Vec<Vec<u8>> {
        let file = format!("{}-03.share", self.object);
        let path = self.persons.lab.sites[self.order[at]].store().join(folder).join(file);
        let bytes = std::fs::read(path).unwrap();
        let lengths = [1 << 20, 1 << 20, 8192];
        let mut start = 4096;
        let cut = lengths.map(|length: usize| {
            let chunk = bytes[start..start + length].to_vec();
            start += length + 4096;
            chunk
        });
        cut.to_vec()
    }
}

fn gather(gateway: PathBuf, request: &GatherRequest) -> Result<GatherReport, Failure> {
    Vault::open(&gateway)?.gather_share(request)
}

/// A link between two sites, made at the first and carried to the second.
fn link(persons: &Persons, a: usize, b: usize) {
    let lab = &persons.lab;
    let (from, to) = (&lab.sites[a], &lab.sites[b]);
    let drive = persons.path(&format!("drive-{a}-{b}"));
    let at = |site: &warifu_e2e::Site, words: &[&str]| {
        let _done = Running::start(&site.vault, words).wait().ok();
    };
    at(from, &["site", "add", &to.name, &lab.url(b)]);
    at(to, &["site", "add", &from.name, &lab.url(a)]);
    let words = ["key", "generate", "--site", &to.name, "--bytes", SITE_KEY, "--courier", &drive];
    at(from, &words);
    at(to, &["key", "import", &drive]);
    at(from, &["site", "test", &to.name]);
}

#[test]
fn sites_that_are_killed_while_they_work_a_share_out_use_no_key_twice() {
    let mut together = Together::new();
    let before = together.chunks(2, "shares");
    let mut dice = Dice::new(seed("together"));
    for _ in 0..ROUNDS {
        let moment = together.moment(&mut dice);
        together.kill_at(&moment);
    }
    assert_eq!(together.gather().unwrap().chunks, 3);
    assert!(together.chunks(3, "unfinished") == before);
    // By the vaults' own audits, by another program over their ledgers, and by what was recorded of
    // every link: no position of any key went into two frames, or was kept twice.
    let _summary = together.persons.lab.expect_key_used_once();
    for site in &together.persons.lab.sites {
        let _sound = Running::start(&site.vault, &["audit", "verify"]).wait().ok();
    }
}
