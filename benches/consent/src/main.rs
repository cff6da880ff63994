//! How long a consent takes to grant and to check, the card's own time apart.
//!
//! ```text
//! warifu-bench-consent [--individuals N] [--revoked N] [--rsa N] [--json]
//! ```
//!
//! Every individual has a card of his own and grants one consent; then a site checks it with its
//! presence, as it does for a release: it looks whether the folder of anchors has changed, reads
//! both statements, follows both chains, looks into the authority's list of revoked cards, and
//! compares with what it holds. `grant` is all but the card's own signature, among it that the
//! signature is checked. Times are of one thread: the clock's, which a busy machine makes longer,
//! and the processor's (`cpu`). Keys of RSA take long to make: of those there are `--rsa` (0 leaves
//! them out), each made by `openssl` and used in turn. It fails where one of a hundred takes
//! more than 5 ms of the processor.

#![forbid(unsafe_code)]

mod card;
mod moment;

use card::{Authority, BenchCard, Fails, pem};
use moment::{Moment, Times};
use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use warifu_consent::check::{self, Asked, Held};
use warifu_consent::jws;
use warifu_consent::statement::{
    Consent, KeyFingerprint, Locator, Nonce, Place, Presence, PresenceKind, StatementId, VERSION,
};
use warifu_consent::trust::{RevocationPolicy, Role, TrustFolder, TrustStore};
use warifu_core::{IndividualId, ObjectId, XCoord};

/// What one of a hundred may take of the processor, in microseconds.
const LIMIT_US: u64 = 5_000;

/// What is measured, as the command line says.
struct Settings {
    individuals: u64,
    revoked: u64,
    rsa: u64,
    json: bool,
}

/// What was measured with one kind of card.
struct Row {
    cards: &'static str,
    what: &'static str,
    clock: Vec<Duration>,
    cpu: Vec<Duration>,
}

fn main() -> Fails<()> {
    let settings = parse(std::env::args().skip(1))?;
    let folder = tempfile::tempdir()?;
    let trust = folder.path().join("trust");
    let authority = Authority::new()?;
    TrustStore::add(&trust, Role::CardCa, authority.pem()?.as_bytes())?;
    let list = pem("X509 CRL", &authority.list(settings.revoked)?);
    TrustStore::add_crl(&trust, list.as_bytes())?;

    let mut rows = Vec::new();
    let count = settings.individuals;
    for (name, kind) in
        [("P-256", &rcgen::PKCS_ECDSA_P256_SHA256), ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384)]
    {
        let make = |number| authority.card(number, kind);
        rows.extend(measured(name, count / 2, &trust, make)?);
    }
    if settings.rsa > 0 {
        let keys = (0..settings.rsa).map(|_| rsa_key()).collect::<Fails<Vec<_>>>()?;
        let make = |number: u64| {
            authority.rsa_card(number, &keys[usize::try_from(number % settings.rsa)?])
        };
        rows.extend(measured("RSA-2048", count / 10, &trust, make)?);
    }
    let text = if settings.json { json(&settings, &rows) } else { text(&settings, &rows) };
    writeln!(std::io::stdout(), "{text}")?;
    match rows.iter().find(|row| at(&row.cpu, 99) > LIMIT_US) {
        Some(row) => Err(format!("{} with {}: above 5 ms", row.what, row.cards).into()),
        None => Ok(()),
    }
}

/// Grants and checks one consent of each of `count` individuals.
fn measured(
    cards: &'static str,
    count: u64,
    trust: &Path,
    make: impl Fn(u64) -> Fails<BenchCard>,
) -> Fails<[Row; 2]> {
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let mut granted = Vec::new();
    let mut bound: HashMap<IndividualId, KeyFingerprint> = HashMap::new();
    let (mut grants, mut checks) = (Times::default(), Times::default());
    let folder = TrustFolder::new(trust, RevocationPolicy::default());
    for number in 0..count {
        let mut card = make(number)?;
        let individual: IndividualId = format!("P{number}").parse()?;
        bound.insert(individual.clone(), jws::key_of(&card.chain[0])?);
        let consent = consent(number, individual, now)?;
        card.spent();
        let started = Moment::now();
        let token = jws::sign(&consent, &mut card)?;
        grants.push(&started, card.spent());
        let presence = jws::sign(&presence(&consent, now), &mut card)?;
        granted.push((consent, token, presence));
    }
    for (consent, token, presence) in &granted {
        let asked = Asked {
            requester: consent.requester.clone(),
            object: Some(consent.objects[0].object),
            nonces: vec![nonce(consent)],
            at_unix_s: now,
        };
        let started = Moment::now();
        let held = Held {
            owner: Some(consent.individual.clone()),
            key: bound.get(&consent.individual).copied(),
            used_in: None,
            revocations: vec![],
        };
        let store = folder.now()?;
        let release = check::release(token, presence, &held, &asked, &store)?;
        checks.push(&started, Moment::NONE);
        assert_eq!(release.consent, consent.id);
    }
    Ok([("grant", grants), ("check", checks)].map(|(what, Times { mut clock, mut cpu })| {
        clock.sort_unstable();
        cpu.sort_unstable();
        Row { cards, what, clock, cpu }
    }))
}

fn id(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn nonce(consent: &Consent) -> Nonce {
    let mut bytes = [9; 32];
    bytes[..16].copy_from_slice(&consent.id.0);
    Nonce(bytes)
}

fn consent(number: u64, individual: IndividualId, now: u64) -> Fails<Consent> {
    let place = |x: u8| -> Fails<Place> {
        let x = XCoord::new(x).ok_or("0")?;
        Ok(Place { site: format!("site-{x}").parse()?, x })
    };
    Ok(Consent {
        v: VERSION,
        id: StatementId(id(number)),
        individual,
        requester: "hospital".parse()?,
        purpose: "diagnosis".to_owned(),
        at: now,
        not_before: now,
        expires: now + 86_400,
        single_use: false,
        objects: vec![Locator {
            object: ObjectId::from_bytes(id(number)),
            k: 3,
            n: 5,
            payload_bytes: 50 << 30,
            ranges: None,
            shares: (1..=5).map(place).collect::<Fails<_>>()?,
        }],
    })
}

fn presence(consent: &Consent, now: u64) -> Presence {
    let names = consent.objects[0].shares.iter().map(|place| place.site.to_string());
    Presence {
        v: VERSION,
        kind: PresenceKind::Restore,
        consent: Some(consent.id),
        requester: consent.requester.clone(),
        session: consent.id,
        object: Some(consent.objects[0].object),
        ranges: None,
        nonces: names.map(|site| (site, nonce(consent))).collect::<BTreeMap<_, _>>(),
        at: now,
    }
}

fn rsa_key() -> Fails<String> {
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let run = Command::new("openssl").args(arguments).output()?;
    Ok(String::from_utf8(run.stdout)?)
}

/// What so many of a hundred stay below, in microseconds.
fn at(times: &[Duration], percent: usize) -> u64 {
    let last = times.len().saturating_sub(1);
    let time = times.get(last * percent / 100).copied().unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn text(settings: &Settings, rows: &[Row]) -> String {
    let mut lines = vec![format!(
        "{} individuals, a list of {} revoked cards; microseconds, one thread",
        settings.individuals, settings.revoked
    )];
    lines.push(format!(
        "{:10} {:6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "cards", "what", "count", "median", "99 %", "cpu", "cpu 99 %"
    ));
    lines.extend(rows.iter().map(|Row { cards, what, clock, cpu }| {
        let (count, figures) = (clock.len(), [at(clock, 50), at(clock, 99), at(cpu, 50)]);
        let [median, most, cpu_median] = figures;
        let cpu_most = at(cpu, 99);
        format!("{cards:10} {what:6} {count:8} {median:8} {most:8} {cpu_median:8} {cpu_most:8}")
    }));
    lines.join("\n")
}

fn json(settings: &Settings, rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|Row { cards, what, clock, cpu }| {
            serde_json::json!({
                "cards": cards, "what": what, "count": clock.len(),
                "median_us": at(clock, 50), "p99_us": at(clock, 99),
                "cpu_median_us": at(cpu, 50), "cpu_p99_us": at(cpu, 99),
            })
        })
        .collect();
    serde_json::json!({
        "individuals": settings.individuals, "revoked": settings.revoked, "rows": rows,
    })
    .to_string()
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Fails<Settings> {
    let mut settings = Settings { individuals: 100_000, revoked: 1_000, rsa: 16, json: false };
    while let Some(argument) = arguments.next() {
        let mut number = || -> Fails<u64> {
            let text = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?;
            Ok(text.parse()?)
        };
        match argument.as_str() {
            "--individuals" => settings.individuals = number()?,
            "--revoked" => settings.revoked = number()?,
            "--rsa" => settings.rsa = number()?,
            "--json" => settings.json = true,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    Ok(settings)
}
