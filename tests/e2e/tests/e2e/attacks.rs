//! Somebody who owns the network between gateway and sites.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use warifu_e2e::{Backup, Dice, Fault, Flow, Lab, SITE_HELLO_BYTES, Strike, sample, seed};

const OBJECT_BYTES: usize = 1_500_000;

/// How a command may end when the network lies to it: as if nothing had been, as if a site had
/// failed, or as if somebody had posed as a site.
const ENDINGS: [i32; 3] = [0, 6, 12];

struct Field {
    lab: Lab,
    path: std::path::PathBuf,
    data: Vec<u8>,
    object: String,
}

impl Field {
    fn new(seed: u64) -> Self {
        let lab = Lab::recorded(3, 128 << 20);
        let data = sample(seed, OBJECT_BYTES);
        let path = lab.file("in", &data);
        let object = lab.store(&path, "2/3");
        Self { lab, path, data, object }
    }

    /// Backs up and restores while `fault` is armed at a site; what comes back is right, and what
    /// is not stored leaves nothing. Answers how the backup ended.
    fn suffer(&self, site: usize, flow: Flow, at: u64, strike: fn() -> Strike) -> i32 {
        let proxy = self.lab.sites[site].proxy();
        let listed = self.lab.listed().len();
        proxy.arm(Fault { flow, at, strike: strike() });
        let done = self.lab.backup(Backup::of(&self.path, "2/3"));
        let _disarmed = proxy.has_struck();
        assert!(ENDINGS.contains(&done.code), "{flow:?} {at}: {}: {}", done.code, done.stderr);
        if done.code == 0 {
            let report = done.json();
            self.lab.expect_back(report["object"].as_str().unwrap(), &self.data);
        }
        assert_eq!(self.lab.listed().len(), listed + usize::from(done.code == 0));
        proxy.arm(Fault { flow, at, strike: strike() });
        let (restored, data) = self.lab.restore(&self.object);
        let _disarmed = proxy.has_struck();
        assert!(ENDINGS.contains(&restored.code), "{flow:?} {at}: {}", restored.stderr);
        assert_eq!(data.is_some(), restored.code == 0);
        assert!(data.is_none_or(|data| data == self.data), "{flow:?} {at}: wrong data");
        done.code
    }

    /// Without anybody in the way everything works again, and no key was used twice.
    fn recovers(&self) {
        let object = self.lab.store(&self.path, "2/3");
        self.lab.expect_back(&object, &self.data);
        for site in &self.lab.sites {
            assert!(site.files("unfinished").is_empty(), "litter at {}", site.name);
        }
        let _summary = self.lab.expect_key_used_once();
    }
}

/// Flips a bit at each of `places`, both ways, at one site after the other.
fn flip_at(field: &Field, places: &[u64]) {
    let mut refused = 0;
    for (number, &at) in places.iter().enumerate() {
        for flow in [Flow::Up, Flow::Down] {
            let code = field.suffer(number % 3, flow, at, || Strike::Flip);
            refused += usize::from(code != 0);
        }
    }
    assert!(refused > 0, "no flip was noticed by a backup");
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let field = Field::new(60);
    let mut dice = Dice::new(seed("flipped bits"));
    // Hellos, header, ciphertext and tag of the first frames, and anything later.
    let mut places = vec![5, 20, 40, 50, 60, 66, 70, 90, 130, 160, 200];
    places.extend((0..6).map(|_| dice.below(OBJECT_BYTES as u64)));
    flip_at(&field, &places);
    field.recovers();
}

#[test]
#[ignore = "long"]
fn a_flipped_bit_in_any_byte_of_the_first_frames_is_found() {
    let field = Field::new(65);
    // With a length that was made longer the other end waits for bytes that never come.
    let places: Vec<u64> = (0..420).step_by(5).collect();
    flip_at(&field, &places);
    field.recovers();
}

#[test]
fn a_cut_anywhere_is_survived_or_said() {
    let field = Field::new(61);
    let mut dice = Dice::new(seed("cuts"));
    let mut places = vec![0, 1, 63, 64, 65, 79, 80, 95, 96, 127, 128, 143, 144, 200, 400, 500];
    places.extend((0..4).map(|_| dice.below(OBJECT_BYTES as u64)));
    for (number, at) in places.into_iter().enumerate() {
        for flow in [Flow::Up, Flow::Down] {
            let _code = field.suffer(number % 3, flow, at, || Strike::Cut);
        }
    }
    field.recovers();
}

#[test]
fn what_the_gateway_says_is_no_answer_to_it() {
    let field = Field::new(62);
    for (site, at) in [0, 64, 200, 1000].into_iter().enumerate() {
        let code = field.suffer(site % 3, Flow::Up, at, || Strike::Reflect);
        assert_ne!(code, 0, "its own bytes back at {at} are no site");
    }
    field.recovers();
}

#[test]
fn a_replayed_connection_is_refused() {
    let field = Field::new(63);
    field.lab.expect_back(&field.object, &field.data);
    for site in &field.lab.sites {
        let shares = site.files("shares");
        for capture in site.proxy().captures() {
            let recorded = std::fs::read(&capture.up).unwrap();
            if recorded.len() < 64 {
                continue;
            }
            let answer = replay(site.proxy().target(), &recorded);
            // A hello with a fresh nonce, and nothing to what is sealed with used key.
            assert!(answer.len() <= SITE_HELLO_BYTES, "{} bytes came back", answer.len());
            let old = std::fs::read(&capture.down).unwrap();
            assert!(answer.len() < 64 || answer[24..40] != old[24..40], "the nonce is fresh");
        }
        assert_eq!(site.files("shares"), shares);
        assert!(site.files("unfinished").is_empty());
    }
    field.recovers();
}

fn replay(target: std::net::SocketAddr, recorded: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(target).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The site may hang up before it has taken everything.
    let _refused = stream.write_all(recorded);
    let _ended = stream.shutdown(std::net::Shutdown::Write);
    let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        answer.extend_from_slice(&bytes[..count]);
    }
    answer
}

#[test]
fn noise_does_not_hurt_a_site() {
    let field = Field::new(64);
    let mut dice = Dice::new(seed("noise"));
    let capture = field.lab.sites[0].proxy().captures().pop().unwrap();
    let recorded = std::fs::read(&capture.up).unwrap();
    let target = field.lab.sites[0].proxy().target();
    for round in 0..40 {
        let mut bytes = sample(dice.roll(), usize::try_from(dice.below(4096)).unwrap());
        if round % 2 == 0 {
            // A hello that is right, and noise behind it.
            bytes.splice(0..0, recorded[..64].iter().copied());
        }
        assert!(replay(target, &bytes).len() <= SITE_HELLO_BYTES);
    }
    field.recovers();
}
