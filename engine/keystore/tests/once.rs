//! ONCE against a model: whatever is killed, cut off, restored or copied, no position is handed out
//! twice.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod world;

use proptest::prelude::*;
use std::sync::Arc;
use warifu_core::Direction;
use warifu_keystore::simulated::{Machine, Process, Survives};
use warifu_keystore::{Confirmation, KeyError, KeyStore};
use world::{
    AB, BA, Counted, Handshake, Judge, Session, link_pool, open, pair, random_pool, shake_hands,
};

const POOL_BYTES: u64 = 12_000;
const LINK: usize = 0;
const RANDOM: usize = 1;

struct Running {
    /// Which of the party's machines.
    machine: usize,
    process: Arc<Process>,
    store: KeyStore,
    number: u64,
}

/// One end: normally one machine; a copied vault adds another.
struct Party {
    machines: Vec<Machine>,
    running: Vec<Running>,
    images: Vec<Machine>,
    /// It may not know all that was done with its keys, by pool: the other end must.
    stale: [bool; 2],
}

struct World {
    entropy: Arc<Counted>,
    parties: [Party; 2],
    sessions: Vec<(u64, u64, Box<Session>)>,
    judge: Judge,
    last: u64,
    /// A machine was restored or copied: errors that say so are right.
    disturbed: bool,
    established: u64,
    restored: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Start { end: usize },
    Shake { a: usize, b: usize, bytes: u64, stop: u8 },
    Send { session: usize, a_to_b: bool, bytes: u64, arrives: bool },
    Extend { session: usize, bytes: u64 },
    Release { session: usize, arrives: bool },
    Draw { a: usize, b: usize, bytes: u64 },
    Close { end: usize, which: usize },
    Kill { end: usize, which: usize },
    Weaken { end: usize, which: usize, steps: u64 },
    Crash { end: usize, which: usize, survives: Survives },
    Snapshot { end: usize, which: usize },
    Restore { end: usize, which: usize, image: usize },
    Copy { end: usize },
    Retire { end: usize, which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = 0usize..2;
    let which = 0usize..4;
    let survives = prop_oneof![
        Just(Survives::Synced),
        Just(Survives::All),
        (0usize..6).prop_map(Survives::Prefix),
        (0usize..6, 0usize..70).prop_map(|(steps, bytes)| Survives::Torn(steps, bytes)),
        (0usize..6).prop_map(Survives::Zeroed),
    ];
    let step = prop_oneof![
        4 => end.clone().prop_map(|end| Step::Start { end }),
        8 => (which.clone(), which.clone(), 1u64..700, 0u8..14)
            .prop_map(|(a, b, bytes, stop)| Step::Shake { a, b, bytes, stop }),
        8 => (which.clone(), any::<bool>(), 1u64..300, any::<bool>())
            .prop_map(|(session, a_to_b, bytes, arrives)| Step::Send {
                session, a_to_b, bytes, arrives,
            }),
        3 => (which.clone(), 1u64..500)
            .prop_map(|(session, bytes)| Step::Extend { session, bytes }),
        5 => (which.clone(), any::<bool>())
            .prop_map(|(session, arrives)| Step::Release { session, arrives }),
        3 => (which.clone(), which.clone(), 1u64..300)
            .prop_map(|(a, b, bytes)| Step::Draw { a, b, bytes }),
        2 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::Close { end, which }),
        2 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::Kill { end, which }),
        2 => (end.clone(), which.clone(), 0u64..12)
            .prop_map(|(end, which, steps)| Step::Weaken { end, which, steps }),
        2 => (end.clone(), which.clone(), survives)
            .prop_map(|(end, which, survives)| Step::Crash { end, which, survives }),
        3 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::Snapshot { end, which }),
        3 => (end.clone(), which.clone(), which.clone())
            .prop_map(|(end, which, image)| Step::Restore { end, which, image }),
        1 => end.clone().prop_map(|end| Step::Copy { end }),
        1 => (end, which).prop_map(|(end, which)| Step::Retire { end, which }),
    ];
    prop::collection::vec(step, 1..90)
}

impl World {
    fn new() -> Self {
        let entropy = Arc::new(Counted::default());
        let (a, b) = pair(POOL_BYTES, &entropy);
        let party = |machine| Party {
            machines: vec![machine],
            running: Vec::new(),
            images: Vec::new(),
            stale: [false; 2],
        };
        Self {
            entropy,
            parties: [party(a), party(b)],
            sessions: Vec::new(),
            judge: Judge::default(),
            last: 0,
            disturbed: false,
            established: 0,
            restored: 0,
        }
    }

    fn start(&mut self, end: usize, machine: usize) {
        let at = machine % self.parties[end].machines.len();
        if self.parties[end].running.len() >= 3 {
            return;
        }
        let (process, store) = open(&self.parties[end].machines[at], &self.entropy);
        let store = store.expect("a store that was only killed, cut off or copied opens again");
        self.last += 1;
        let number = self.last;
        self.parties[end].running.push(Running { machine: at, process, store, number });
    }

    /// Ends the processes of `end` that `gone` names, and their sessions.
    fn end(&mut self, end: usize, gone: impl Fn(&Running) -> bool) {
        let numbers: Vec<u64> = self.parties[end]
            .running
            .iter()
            .filter(|one| gone(one))
            .map(|one| one.number)
            .collect();
        self.sessions.retain(|(a, b, _)| !numbers.contains(if end == 0 { a } else { b }));
        self.parties[end].running.retain(|one| !numbers.contains(&one.number));
    }

    fn kill_all_on(&mut self, end: usize, machine: usize) {
        for one in self.parties[end].running.iter().filter(|one| one.machine == machine) {
            one.process.kill();
        }
        self.end(end, |one| one.machine == machine);
    }

    fn pick(&mut self, end: usize, which: usize) -> usize {
        if self.parties[end].running.is_empty() {
            self.start(end, which);
        }
        which % self.parties[end].running.len()
    }

    /// The two ends have spoken about a pool, and no copy of either is about.
    fn learned(&mut self, pool: usize) {
        if self.parties.iter().all(|party| party.machines.len() == 1) {
            self.parties.iter_mut().for_each(|party| party.stale[pool] = false);
        }
    }

    /// Restoring or copying one end is in scope while the other knows everything.
    fn may_disturb(&mut self, end: usize) -> bool {
        let may = self.parties[1 - end].stale == [false; 2];
        if may {
            self.parties[end].stale = [true; 2];
            self.disturbed = true;
        }
        may
    }

    /// Errors are right where power fails or machines were restored; else only honest shortage is.
    fn judge_error(&self, error: &KeyError) {
        let shortage = matches!(
            error,
            KeyError::Empty { .. }
                | KeyError::LeaseEmpty { .. }
                | KeyError::GrantBurned { .. }
                | KeyError::Io { .. }
                | KeyError::Refused { .. }
        );
        assert!(shortage || self.disturbed, "an honest, undisturbed link failed: {error:?}");
    }

    fn shake(&mut self, a: usize, b: usize, bytes: u64, stop: u8) {
        let (a, b) = (self.pick(0, a), self.pick(1, b));
        let (at_a, at_b) = (&self.parties[0].running[a], &self.parties[1].running[b]);
        let (number_a, number_b) = (at_a.number, at_b.number);
        for _ in 0..40 {
            match shake_hands(&at_a.store, &at_b.store, bytes, stop, &mut self.judge) {
                Ok(Handshake::Again) => {}
                Ok(Handshake::Stopped) => return,
                Ok(Handshake::Done(session)) => {
                    self.sessions.push((number_a, number_b, session));
                    self.established += 1;
                    self.learned(LINK);
                    return self.draw(a, b, 20);
                }
                Err(error) => {
                    self.judge_error(&error);
                    if !matches!(error, KeyError::GrantBurned { .. } | KeyError::AlreadyUsed { .. })
                    {
                        return;
                    }
                }
            }
        }
    }

    fn send(&mut self, session: usize, a_to_b: bool, bytes: u64, arrives: bool) {
        if self.sessions.is_empty() {
            return;
        }
        let at = session % self.sessions.len();
        let (_, _, session) = &mut self.sessions[at];
        let (lease, granted) = match a_to_b {
            true => (&mut session.a_lease, &mut session.b_granted),
            false => (&mut session.b_lease, &mut session.a_granted),
        };
        let result = self.judge.take(lease, bytes).and_then(|(range, key)| {
            if arrives {
                assert_eq!(granted.open(range)?.into_parts().1[..], key[..]);
                assert!(granted.open(range).is_err(), "a frame is opened once");
            }
            Ok(())
        });
        if let Err(error) = result {
            self.judge_error(&error);
        }
    }

    fn extend(&mut self, session: usize, bytes: u64) {
        if self.sessions.is_empty() {
            return;
        }
        let at = session % self.sessions.len();
        let (_, number, session) = &mut self.sessions[at];
        let Some(b) = self.parties[1].running.iter().find(|one| one.number == *number) else {
            return;
        };
        let result = b.store.grant(link_pool(), AB, bytes, 0).and_then(|range| {
            session.b_granted.extend(range)?;
            session.a_lease.extend(range)
        });
        if let Err(error) = result {
            self.judge_error(&error);
        }
    }

    fn release(&mut self, session: usize, arrives: bool) {
        if self.sessions.is_empty() {
            return;
        }
        let at = session % self.sessions.len();
        let (number_a, number_b, session) = self.sessions.remove(at);
        let store = |end: usize, number: u64| {
            let mut running = self.parties[end].running.iter();
            running.find(|one| one.number == number).map(|one| &one.store)
        };
        let (Some(a), Some(b)) = (store(0, number_a), store(1, number_b)) else { return };
        let Session { a_lease, a_granted, b_lease, b_granted } = *session;
        let give = |lease: warifu_keystore::Lease, to: &KeyStore, direction: Direction| {
            let ranges = lease.release()?;
            if arrives { to.regain(link_pool(), direction, &ranges) } else { Ok(()) }
        };
        let results = [give(a_lease, b, AB), give(b_lease, a, BA)];
        drop((a_granted, b_granted));
        for error in results.into_iter().filter_map(Result::err) {
            self.judge_error(&error);
        }
    }

    /// A lease of A's random pool, witnessed by B.
    fn draw(&mut self, a: usize, b: usize, bytes: u64) {
        let (a, b) = (self.pick(0, a), self.pick(1, b));
        let (a, b) = (&self.parties[0].running[a].store, &self.parties[1].running[b].store);
        let result = a.mark(random_pool(), AB).and_then(|mark| {
            let range = b.grant_within(random_pool(), bytes, mark, POOL_BYTES)?;
            let mut lease = a.accept(random_pool(), AB, range, Confirmation::Authenticated)?;
            self.judge.take(&mut lease, bytes.div_ceil(2)).map(|_| ())
        });
        match result {
            Ok(()) => self.learned(RANDOM),
            Err(error) => self.judge_error(&error),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Start { end } => self.start(end, self.last as usize),
            Step::Shake { a, b, bytes, stop } => self.shake(a, b, bytes, stop),
            Step::Send { session, a_to_b, bytes, arrives } => {
                self.send(session, a_to_b, bytes, arrives);
            }
            Step::Extend { session, bytes } => self.extend(session, bytes),
            Step::Release { session, arrives } => self.release(session, arrives),
            Step::Draw { a, b, bytes } => self.draw(a, b, bytes),
            Step::Close { end, which } | Step::Kill { end, which } => {
                if let Some(one) = self.running(end, which) {
                    let number = one.number;
                    if matches!(step, Step::Kill { .. }) {
                        one.process.kill();
                    }
                    self.end(end, |one| one.number == number);
                }
            }
            Step::Weaken { end, which, steps } => {
                if let Some(one) = self.running(end, which) {
                    one.process.fail_after(steps);
                }
            }
            Step::Crash { end, which, survives } => {
                let machine = which % self.parties[end].machines.len();
                self.parties[end].machines[machine].crash(survives);
                self.end(end, |one| one.machine == machine);
            }
            Step::Snapshot { .. }
            | Step::Restore { .. }
            | Step::Copy { .. }
            | Step::Retire { .. } => {
                self.travel_in_time(step);
            }
        }
    }

    fn running(&self, end: usize, which: usize) -> Option<&Running> {
        let running = &self.parties[end].running;
        running.get(which % running.len().max(1))
    }

    fn travel_in_time(&mut self, step: Step) {
        match step {
            Step::Snapshot { end, which } => {
                let party = &mut self.parties[end];
                let image = party.machines[which % party.machines.len()].copy();
                party.images.push(image);
            }
            Step::Restore { end, which, image } => {
                if self.parties[end].images.is_empty() || !self.may_disturb(end) {
                    return;
                }
                let machine = which % self.parties[end].machines.len();
                self.kill_all_on(end, machine);
                self.restored += 1;
                let party = &mut self.parties[end];
                party.machines[machine] = party.images[image % party.images.len()].copy();
            }
            Step::Copy { end } => {
                let is_single = self.parties[end].machines.len() == 1;
                if is_single && self.may_disturb(end) {
                    let party = &mut self.parties[end];
                    party.machines.push(party.machines[0].copy());
                }
            }
            Step::Retire { end, which } if self.parties[end].machines.len() == 2 => {
                let machine = which % 2;
                self.kill_all_on(end, machine);
                let party = &mut self.parties[end];
                party.machines.remove(machine);
                party.running.iter_mut().for_each(|one| one.machine = 0);
            }
            _ => {}
        }
    }

    /// At the end every ledger still loads, and says itself that nothing was lent twice.
    fn settle(mut self) -> u64 {
        for end in 0..2 {
            for machine in 0..self.parties[end].machines.len() {
                self.kill_all_on(end, machine);
                let (_process, store) = open(&self.parties[end].machines[machine], &self.entropy);
                let store = store.unwrap();
                assert!(store.audit().unwrap().is_clean());
                for pool in store.pools().unwrap() {
                    for one in &pool.directions {
                        let rest = one.bytes_left + one.bytes_leased;
                        let sum = rest + one.bytes_consumed + one.bytes_burned;
                        assert!(one.bytes_total == 0 || sum == one.bytes_total, "{one:?}");
                    }
                }
            }
        }
        self.judge.handed_out
    }
}

fn cases() -> u32 {
    std::env::var("WARIFU_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn no_position_is_ever_handed_out_twice(steps in steps()) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        world.settle();
    }
}

fn run(steps: &[Step]) -> World {
    let mut world = World::new();
    steps.iter().for_each(|step| world.step(*step));
    world
}

const SHAKE: Step = Step::Shake { a: 0, b: 0, bytes: 600, stop: 99 };

const fn send(session: usize, arrives: bool) -> Step {
    Step::Send { session, a_to_b: true, bytes: 280, arrives }
}

/// After everything: sessions as long as there is key, all of it handed out.
fn use_up(mut world: World) {
    for _ in 0..40 {
        world.step(SHAKE);
        for _ in 0..8 {
            world.step(Step::Send { session: 0, a_to_b: true, bytes: 80, arrives: true });
        }
        world.step(Step::Release { session: 0, arrives: true });
    }
    world.settle();
}

const fn image(end: usize) -> Step {
    Step::Snapshot { end, which: 0 }
}

const fn restore(end: usize) -> Step {
    Step::Restore { end, which: 0, image: 0 }
}

const EXTEND: Step = Step::Extend { session: 0, bytes: 600 };
const RELEASE: Step = Step::Release { session: 0, arrives: true };

/// Both ends are restored one after the other, to images taken while processes ran, when a lease
/// had been given back; between the image and the restore it was lent again, in an open session.
#[test]
fn what_was_given_back_is_not_lent_to_an_older_copy_taken_alive() {
    for first in 0..2 {
        let world = run(&[
            SHAKE,
            SHAKE,
            RELEASE,
            image(0),
            image(1),
            EXTEND,
            send(0, false),
            send(0, true),
            send(0, false),
            send(0, true),
            restore(first),
            SHAKE,
            restore(1 - first),
            SHAKE,
            EXTEND,
        ]);
        assert_eq!((world.established, world.restored), (4, 2));
        use_up(world);
    }
}

/// The same with images taken while nothing ran: the openings since then give it away.
#[test]
fn what_was_given_back_is_not_lent_to_an_older_copy_taken_at_rest() {
    let (image, restore) =
        (|end| Step::Snapshot { end, which: 0 }, |end| Step::Restore { end, which: 0, image: 0 });
    let close = |end| Step::Close { end, which: 0 };
    for first in 0..2 {
        let world = run(&[
            SHAKE,
            RELEASE,
            close(0),
            close(1),
            image(0),
            image(1),
            SHAKE,
            send(0, false),
            send(0, true),
            restore(first),
            SHAKE,
            restore(1 - first),
            SHAKE,
        ]);
        assert_eq!((world.established, world.restored), (4, 2));
        use_up(world);
    }
}

/// What an end sealed with and then forgot it learns from the peer's mark, though nothing of it
/// ever arrived there.
#[test]
fn what_was_sent_and_lost_and_forgotten_stays_used() {
    let extend = |session| Step::Extend { session, bytes: 600 };
    let lost = Step::Send { session: 1, a_to_b: true, bytes: 500, arrives: false };
    let world = run(&[
        image(0),
        image(1),
        SHAKE,
        SHAKE,
        Step::Send { session: 0, a_to_b: true, bytes: 324, arrives: true },
        Step::Send { session: 0, a_to_b: true, bytes: 324, arrives: true },
        extend(0),
        extend(1),
        lost,
        lost,
        RELEASE,
        restore(0),
        Step::Shake { a: 0, b: 0, bytes: 60, stop: 99 },
        restore(1),
        SHAKE,
    ]);
    assert_eq!((world.established, world.restored), (4, 2));
    use_up(world);
}

/// A frame of a handshake that was never confirmed: first the witness forgets the grant, then the
/// holder that it sealed with it.
#[test]
fn an_island_that_both_ends_forget_stays_used() {
    let stopped = |bytes, stop| Step::Shake { a: 0, b: 0, bytes, stop };
    let world = run(&[
        image(0),
        image(1),
        stopped(572, 4),
        stopped(60, 2),
        restore(1),
        stopped(333, 99),
        restore(0),
        stopped(60, 3),
        SHAKE,
    ]);
    assert_eq!((world.established, world.restored), (2, 2));
    use_up(world);
}

/// The model must be able to do something: without faults, key flows until it is used up.
#[test]
fn without_faults_nearly_all_key_is_used() {
    let mut world = World::new();
    for turn in 0..400 {
        world.step(Step::Shake { a: 0, b: 0, bytes: 600, stop: 99 });
        for _ in 0..5 {
            world.step(Step::Send { session: 0, a_to_b: true, bytes: 120, arrives: true });
            world.step(Step::Send { session: 0, a_to_b: false, bytes: 105, arrives: true });
        }
        world.step(Step::Release { session: 0, arrives: true });
        if turn % 7 == 0 {
            world.step(Step::Close { end: turn % 2, which: 0 });
        }
    }
    assert!(world.established > 15, "{} sessions", world.established);
    let used = world.settle();
    assert!(used * 10 > 2 * POOL_BYTES * 7, "{used} of {} bytes handed out", 2 * POOL_BYTES);
}

/// The judge must be able to condemn: all parties rolled back at once is out of scope, and does
/// hand out key twice.
#[test]
#[should_panic(expected = "ONCE")]
fn the_judge_sees_a_reuse() {
    let mut world = World::new();
    for end in 0..2 {
        world.step(Step::Snapshot { end, which: 0 });
    }
    for _ in 0..2 {
        world.step(Step::Shake { a: 0, b: 0, bytes: 600, stop: 99 });
        for end in 0..2 {
            world.kill_all_on(end, 0);
            let party = &mut world.parties[end];
            party.machines[0] = party.images[0].copy();
            world.disturbed = true;
        }
    }
}
