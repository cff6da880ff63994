//! Key: what the pools hold, how it comes in, and the proof that none was used twice.

use crate::audit::Told;
use crate::failure::{Class, Failure};
use crate::plan::Promised;
use crate::rates::Coming;
use crate::{Progress, Vault, Watch};
use serde::Serialize;
use std::path::{Path, PathBuf};
use warifu_catalog::KeyBytes;
use warifu_core::{Channel, Direction, End, LinkId, PoolId, SiteName};
use warifu_keystore::{
    DeclaredRandom, DeliveryStanding, Drive, FromRandomPool, Generator, KeySource, PoolKind,
    PoolStatus,
};

/// The largest segment that is made at once, in bytes.
const SEGMENT_BYTES_MAX: u64 = 1 << 40;

/// A row of `key status`.
#[derive(Debug, Clone, Serialize)]
pub struct PoolRow {
    /// The pool and direction: `random`, `SITE/to` or `SITE/from`.
    pub pool: String,
    /// The site at the other end; `null` for the `random` pool.
    pub site: Option<String>,
    /// Bytes left.
    pub bytes_left: u64,
    /// Of these, bytes that can't be counted on: crashes have left them in pieces that chunks may
    /// not fit into. New backups are placed without them.
    pub bytes_too_short: u64,
    /// Of these, bytes kept for restores of stored objects.
    pub bytes_reserved_for_restore: u64,
    /// Bytes used.
    pub bytes_consumed: u64,
    /// Bytes burned without use: by crashes, gaps, alignment.
    pub bytes_burned: u64,
    /// Bytes leased to a running process.
    pub bytes_leased: u64,
    /// Arrival rate, as learnt from what arrived lately; couriers averaged.
    pub fill_bytes_per_second: u64,
    /// The same a day, which tells of a courier more than of a second.
    pub fill_bytes_per_day: u64,
    /// `by courier` or `from a KME`: how it arrives.
    pub fill: &'static str,
    /// Where the key came from.
    pub source: String,
    /// `information-theoretic` or `computational`.
    pub class: &'static str,
    /// Whether another party witnesses every lease, so that a copy can't use it again.
    pub witnessed: bool,
    /// How the KME of the link has done; `null` where none ever delivered.
    pub source_state: Option<DeliveryStanding>,
}

impl PoolRow {
    /// What is neither used nor kept for restores, nor in pieces too short, in bytes.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        let counted = self.bytes_left.saturating_sub(self.bytes_too_short);
        counted.saturating_sub(self.bytes_reserved_for_restore)
    }
}

/// What a new segment is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A link: the same key for the courier to carry.
    Link {
        /// The site at the other end.
        site: SiteName,
        /// The courier's drive.
        drive: PathBuf,
    },
    /// The gateway's own random numbers.
    Random,
}

/// Where new key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySourceChoice {
    /// A generator seeded by the operating system; class `computational`.
    System,
    /// A file or device that the operator declares truly random.
    DeclaredRandom(PathBuf),
    /// The `random` pool: random numbers become link key.
    RandomPool,
}

/// Key to be made.
#[derive(Debug, Clone)]
pub struct GenerateRequest {
    /// What for.
    pub target: Target,
    /// Bytes; for a link, in each direction.
    pub bytes: u64,
    /// From what.
    pub source: KeySourceChoice,
}

/// A courier's drive, as it is read.
#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    /// Version of this document.
    pub v: u32,
    /// The link that the key is for.
    pub link: String,
    /// Who filled the drive.
    pub from: String,
    /// Whom it is for.
    pub to: String,
    /// When it was filled.
    pub created: String,
    /// Bytes from the other end to this one.
    pub to_bytes: u64,
    /// Bytes from this end to the other.
    pub from_bytes: u64,
}

/// A row of `key audit`.
#[derive(Debug, Clone, Serialize)]
pub struct AuditRow {
    /// The pool.
    pub pool: String,
    /// The party at the other end.
    pub peer: Option<String>,
    /// `a-to-b` or `b-to-a`.
    pub direction: &'static str,
    /// Records in the ledger.
    pub records: u64,
    /// Leases granted or accepted.
    pub leases: u64,
    /// Bytes leased in all.
    pub bytes_leased: u64,
    /// Bytes given back.
    pub bytes_released: u64,
    /// Bytes burned.
    pub bytes_burned: u64,
    /// Bytes overwritten after use.
    pub bytes_zeroised: u64,
    /// Leases that overlap without a release between them; must be 0.
    pub overlaps: u64,
    /// Leases outside of any segment; must be 0.
    pub outside_segments: u64,
}

/// Bytes of one direction that can still be leased.
pub(crate) fn left_bytes(status: &PoolStatus, direction: Direction) -> u64 {
    status.direction(direction).map_or(0, |side| side.bytes_left)
}

impl Vault {
    /// What every pool holds.
    ///
    /// # Errors
    /// Where the key store or the catalog fails.
    pub fn key_status(&self) -> Result<Vec<PoolRow>, Failure> {
        self.note_arrivals();
        // What finished work of this process used is consumed, not leased.
        self.keys.settle();
        let mut rows = Vec::new();
        for status in self.keys.pools()? {
            let site = self.site_of_pool(status.pool).or_else(|| status.peer.clone());
            for side in &status.directions {
                let name = match (status.kind, &site, side.is_holder) {
                    (PoolKind::Witness, _, _) => continue,
                    (PoolKind::Random, _, _) => "random".to_owned(),
                    (_, Some(site), true) => format!("{site}/to"),
                    (_, Some(site), false) => format!("{site}/from"),
                    (_, None, _) => status.pool.to_string(),
                };
                let fill_bytes_per_day = self.fill_per_day(&status, side.direction)?;
                rows.push(PoolRow {
                    pool: name,
                    site: site.as_ref().map(ToString::to_string),
                    bytes_left: side.bytes_left,
                    bytes_too_short: match status.kind {
                        PoolKind::Random => side.bytes_left.saturating_sub(self.random_left()?),
                        _ => self.too_short(&status, side.direction)?,
                    },
                    bytes_reserved_for_restore: self.reserved(&status, side.is_holder)?,
                    bytes_consumed: side.bytes_consumed,
                    bytes_burned: side.bytes_burned,
                    bytes_leased: side.bytes_leased,
                    fill_bytes_per_second: fill_bytes_per_day / 86_400,
                    fill_bytes_per_day,
                    fill: Coming::of(&status.sources).as_str(),
                    source: status.sources.join(", "),
                    class: status.class.map_or("used up", warifu_core::KeyClass::as_str),
                    witnessed: self.is_witnessed(&status)?,
                    source_state: self.keys.delivery_standing(status.pool)?,
                });
            }
        }
        Ok(rows)
    }

    /// Bytes of a link's direction that nothing planned, reserved or new can count on.
    fn too_short(&self, status: &PoolStatus, direction: Direction) -> Result<u64, Failure> {
        let pieces = self.leasable(status, direction, None)?;
        let site = self.catalog.as_ref().and_then(|_| self.site_of_pool(status.pool));
        let (bytes, frame_bytes) = match site {
            None => (0, 0),
            Some(site) => {
                let Promised { key, frame_bytes } = self.promised(&site)?;
                let to_site = direction == Direction::AToB;
                (if to_site { key.to_site_bytes } else { key.from_site_bytes }, frame_bytes)
            }
        };
        let spare_bytes = pieces.spare_bytes(bytes, frame_bytes);
        Ok(pieces.bytes().saturating_sub(bytes).saturating_sub(spare_bytes))
    }

    fn reserved(&self, status: &PoolStatus, is_holder: bool) -> Result<u64, Failure> {
        let (Some(catalog), Some(site)) = (&self.catalog, self.site_of_pool(status.pool)) else {
            return Ok(0);
        };
        let reserved = self.kept_for_restores(catalog.reserved(&site)?);
        Ok(if is_holder { reserved.to_site_bytes } else { reserved.from_site_bytes })
    }

    /// The part of a full reserve that is kept by the policy of this vault.
    pub(crate) fn kept_for_restores(&self, full: KeyBytes) -> KeyBytes {
        let percent = u128::from(self.config.restore.reserve_percent);
        let part = |bytes: u64| {
            u64::try_from((u128::from(bytes) * percent).div_ceil(100)).unwrap_or(u64::MAX)
        };
        KeyBytes {
            to_site_bytes: part(full.to_site_bytes),
            from_site_bytes: part(full.from_site_bytes),
        }
    }

    fn is_witnessed(&self, status: &PoolStatus) -> Result<bool, Failure> {
        match (status.kind, &self.catalog) {
            (PoolKind::Random, Some(catalog)) => Ok(catalog.witness()?.is_some()),
            (PoolKind::Random, None) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Makes key: for a link on a courier's drive and in this end's pool alike, or random numbers.
    /// Answers what the pool holds then.
    ///
    /// # Errors
    /// Where the site is unknown or not on a link, the source fails, or the drive is occupied.
    pub fn generate(
        &self,
        request: &GenerateRequest,
        watch: Watch<'_>,
    ) -> Result<Vec<PoolRow>, Failure> {
        if !(4096..=SEGMENT_BYTES_MAX).contains(&request.bytes) {
            let what = format!("{} bytes of key can't be made at once", request.bytes);
            return Err(Failure::new(Class::Usage, "key-size", what)
                .next("ask for 4 KiB to 1 TiB, several times if need be"));
        }
        let filled = match &request.target {
            Target::Random => {
                let note = format!("makes {} random bytes", request.bytes);
                self.log_event("key", &Told::operator().note(note).result("begun"))?;
                self.generate_random(request, watch)?;
                None
            }
            Target::Link { site, drive } => {
                let drive_name = drive.display();
                let note = format!("fills {drive_name} with {} bytes each way", request.bytes);
                let told = Told::operator().site(site).note(note);
                self.log_event("key", &told.result("begun"))?;
                self.generate_link(request, site, drive, watch)?;
                Some(site.to_string())
            }
        };
        let rows = self.key_status()?;
        Ok(rows.into_iter().filter(|row| row.site == filled).collect())
    }

    fn generate_random(&self, request: &GenerateRequest, watch: Watch<'_>) -> Result<(), Failure> {
        self.catalog()?;
        let mut source = self.source(&request.source, request.bytes)?;
        let pool = self.random_pool().or_else(|_| self.make_random_pool())?;
        let mut told = counter(request.bytes, watch);
        self.keys.generate_segment(
            pool,
            Direction::AToB,
            request.bytes,
            source.as_mut(),
            &mut told,
        )?;
        Ok(())
    }

    fn generate_link(
        &self,
        request: &GenerateRequest,
        site: &SiteName,
        drive: &Path,
        watch: Watch<'_>,
    ) -> Result<(), Failure> {
        if self.is_site() {
            return self.generate_neighbour(request, site, drive, watch);
        }
        let catalog = self.catalog()?;
        let row = self.site_row(site)?;
        if row.channel != Channel::Otp {
            let what = format!("site {site} is reached by channel {}, without key", row.channel);
            return Err(Failure::new(Class::Usage, "channel-mismatch", what));
        }
        let link = self.fill_drive(request, (site, row.link), drive, watch)?;
        if row.link.is_none() {
            catalog.set_link(site, &link)?;
        }
        if catalog.witness()?.is_none() {
            catalog.set_witness(Some(site))?;
        }
        Ok(())
    }

    /// Key for a link to another site.
    fn generate_neighbour(
        &self,
        request: &GenerateRequest,
        site: &SiteName,
        drive: &Path,
        watch: Watch<'_>,
    ) -> Result<(), Failure> {
        self.neighbour(site)?;
        self.fill_drive(request, (site, None), drive, watch).map(drop)
    }

    /// Generates key for a link to `site` and writes the other end's onto a drive. The link: the
    /// one that is known, or begun here before, as by an order that was cut short, or a new one.
    fn fill_drive(
        &self,
        request: &GenerateRequest,
        (site, known): (&SiteName, Option<LinkId>),
        drive: &Path,
        watch: Watch<'_>,
    ) -> Result<LinkId, Failure> {
        let total = request.bytes.saturating_mul(2);
        let mut source = self.source(&request.source, total)?;
        let link = match known {
            Some(link) => link,
            None => match self.keys.link_with(site)? {
                Some((link, End::A)) => link,
                _ => self.draw_link()?,
            },
        };
        let mut told = counter(total, watch);
        let (name, bytes) = (self.name.clone(), request.bytes);
        self.keys.courier(link, &name, site, bytes, source.as_mut(), drive, &mut told)?;
        Ok(link)
    }

    fn draw_link(&self) -> Result<LinkId, Failure> {
        Ok(LinkId::from_bytes(*self.keys.draw_pool_id()?.bytes()))
    }

    fn source(&self, choice: &KeySourceChoice, bytes: u64) -> Result<Box<dyn KeySource>, Failure> {
        match choice {
            KeySourceChoice::System => Ok(Box::new(Generator::new(self.entropy.clone()))),
            KeySourceChoice::DeclaredRandom(path) => {
                let name = path.display().to_string();
                let name: String = name.chars().filter(|c| c.is_ascii_graphic()).collect();
                let name = &name[name.len().saturating_sub(60)..];
                let source = DeclaredRandom::open(path, name).map_err(|error| {
                    let what = format!("{} can't be a source of key", path.display());
                    Failure::new(Class::Usage, "key-source", what).because(error)
                })?;
                Ok(Box::new(source))
            }
            KeySourceChoice::RandomPool => {
                let lease = self.lease_random_alone(bytes)?;
                Ok(Box::new(FromRandomPool::new(lease)))
            }
        }
    }

    /// Reads a courier's drive, to be shown before it is imported.
    ///
    /// # Errors
    /// Where there is none, or it is malformed.
    pub fn read_drive(&self, drive: &Path) -> Result<Imported, Failure> {
        Ok(imported(&Drive::read(drive)?))
    }

    /// Takes in a courier's drive and erases it.
    ///
    /// # Errors
    /// Where it is for another site, was imported before, or its sender's name is taken.
    pub fn import(&self, drive: &Path) -> Result<Imported, Failure> {
        let drive = Drive::read(drive)?;
        let report = imported(&drive);
        let Imported { link, from, .. } = &report;
        let note = format!("takes in key of link {link} from {from}");
        self.log_event("key", &Told::operator().note(note).result("begun"))?;
        self.keys.import_drive(&drive, &self.name)?;
        Ok(report)
    }

    /// Goes through all ledgers.
    ///
    /// # Errors
    /// Where a ledger can't be read.
    pub fn audit_keys(&self) -> Result<Vec<AuditRow>, Failure> {
        let report = self.keys.audit()?;
        let rows = report.pools.iter().flat_map(|pool| {
            pool.directions.iter().map(|side| AuditRow {
                pool: pool.pool.to_string(),
                peer: pool.peer.as_ref().map(ToString::to_string),
                direction: match side.direction {
                    Direction::AToB => "a-to-b",
                    Direction::BToA => "b-to-a",
                },
                records: pool.records,
                leases: side.leases,
                bytes_leased: side.bytes_leased,
                bytes_released: side.bytes_released,
                bytes_burned: side.bytes_burned,
                bytes_zeroised: side.bytes_zeroised,
                overlaps: side.overlaps,
                outside_segments: side.outside_segments,
            })
        });
        Ok(rows.collect())
    }

    /// The vault's `random` pool.
    pub(crate) fn random_pool(&self) -> Result<PoolId, Failure> {
        let pools = self.keys.pools()?;
        let random = pools.iter().find(|pool| pool.kind == PoolKind::Random);
        random.map(|pool| pool.pool).ok_or_else(|| {
            Failure::new(Class::Key, "random-missing", "there are no random numbers yet")
                .next("warifu key generate --random --bytes 1GiB")
        })
    }

    fn make_random_pool(&self) -> Result<PoolId, Failure> {
        let pool = self.keys.draw_pool_id()?;
        self.keys.create_pool(pool, PoolKind::Random, None)?;
        Ok(pool)
    }
}

fn imported(drive: &Drive) -> Imported {
    let bytes = |direction| {
        let segments = drive.segments.iter().filter(|one| one.direction == direction);
        segments.map(|one| one.range.len()).sum()
    };
    Imported {
        v: 1,
        link: drive.link.to_string(),
        from: drive.from.to_string(),
        to: drive.to.to_string(),
        created: drive.created.clone(),
        to_bytes: bytes(Direction::AToB),
        from_bytes: bytes(Direction::BToA),
    }
}

/// Adds up steps for whoever watches.
fn counter(total_bytes: u64, watch: Watch<'_>) -> impl FnMut(u64) {
    let mut done_bytes = 0;
    move |bytes| {
        done_bytes += bytes;
        (watch.progress)(Progress { done_bytes, total_bytes, key_bytes: done_bytes });
    }
}
