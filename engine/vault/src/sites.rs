//! Sites as a gateway knows them.

use crate::audit::Told;
use crate::dial::{Patience, Purpose, address_of};
use crate::failure::{Class, Failure};
use crate::{Vault, config};
use serde::Serialize;
use warifu_catalog::Site;
use warifu_core::{Channel, PoolId, SiteName};
use warifu_pipeline::peer::Pinged;

/// What it means that a site is the witness.
pub const WITNESS_MEANS: &str =
    "witnesses the random pool: while it is away, nothing can be stored; restores work";

/// Key up to this is what hellos and receipts leave behind, in bytes: nothing could be stored.
pub(crate) const WORTHLESS_BYTES: u64 = 64 << 10;

/// A site to be added.
#[derive(Debug, Clone)]
pub struct NewSite {
    /// Its name.
    pub name: SiteName,
    /// `warifu://HOST:PORT` or `file:///PATH`.
    pub url: String,
    /// What burns together with it; its own name where absent.
    pub zone: Option<SiteName>,
    /// Who is bribed together with it; its own name where absent.
    pub domain: Option<SiteName>,
    /// How shares reach it; by the URL where absent.
    pub channel: Option<Channel>,
}

/// A row of `site list`.
#[derive(Debug, Clone, Serialize)]
pub struct SiteRow {
    /// Its name.
    pub site: String,
    /// Where it is.
    pub url: String,
    /// What burns together with it.
    pub zone: String,
    /// Who is bribed together with it.
    pub domain: String,
    /// `otp` or `local`.
    pub channel: &'static str,
    /// The link to it.
    pub link: Option<String>,
    /// Whether it gets no new shares.
    pub drained: bool,
    /// Shares of stored objects there.
    pub shares: usize,
    /// Whether it witnesses the random pool.
    pub witness: bool,
}

/// What removing a site does.
#[derive(Debug, Clone, Serialize)]
pub struct RemovedSite {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub site: String,
    /// Key of its link that can't be used any more, both directions, in bytes.
    pub key_bytes_lost: u64,
    /// Whether it was only asked what would be done.
    pub dry_run: bool,
}

/// What `site test` found.
#[derive(Debug, Clone, Serialize)]
pub struct SiteTest {
    /// Version of this document.
    pub v: u32,
    /// Its name.
    pub site: String,
    /// Whether it can be used.
    pub ok: bool,
    /// Bytes free in its store, where it says.
    pub room_bytes: Option<u64>,
    /// Key used by the test.
    pub key_bytes: u64,
    /// Time until it answered.
    pub seconds: f64,
}

/// Why a gateway puts no share into a store without a site before it.
fn without_link(url: &str) -> Failure {
    let what = format!(
        "{url} is a store without a site: shares would reach it by TLS, which is no one-time pad, \
         and nobody there would ask for a person's consent"
    );
    Failure::new(Class::Usage, "channel-refused", what).next(
        "run a site daemon for it, on a machine near it: `warifu init --site NAME --listen \
         HOST:PORT --store s3://...` and `warifu site serve`; then add warifu://HOST:PORT",
    )
}

impl Vault {
    /// Adds a site. A link comes with key: `key generate --site`.
    ///
    /// # Errors
    /// Where the name is taken, or URL and channel don't fit together.
    pub fn add_site(&self, new: &NewSite) -> Result<SiteRow, Failure> {
        if self.is_site() {
            return self.add_neighbour(new);
        }
        let by_url = match new.url.split_once("://") {
            Some(("warifu", _)) => Channel::Otp,
            Some(("file", _)) => Channel::Local,
            Some(("s3", _)) => return Err(without_link(&new.url)),
            _ => {
                return Err(Failure::new(
                    Class::Usage,
                    "url-invalid",
                    format!("{:?} is no URL of a site", new.url),
                )
                .next("write warifu://HOST:PORT for a site daemon, file:///PATH for a folder"));
            }
        };
        let channel = new.channel.unwrap_or(by_url);
        match by_url {
            Channel::Otp => drop(address_of(&new.url)?),
            _ => drop(config::file_url(&new.url)?),
        }
        if channel != by_url {
            let what = format!("channel {channel} does not lead to {}", new.url);
            return Err(Failure::new(Class::Usage, "channel-mismatch", what).next(
                "a site daemon (warifu://) is reached by otp, a folder in this trusted room \
                 (file://) is local",
            ));
        }
        if channel == Channel::Local {
            self.open_store(&new.url)?;
        }
        let told = Told::operator().site(&new.name).note(format!("added: {}", new.url));
        self.log_event("site", &told.result("begun"))?;
        let own = |name: &Option<SiteName>| name.clone().unwrap_or_else(|| new.name.clone());
        self.catalog()?.add_site(&warifu_catalog::NewSite {
            site: new.name.clone(),
            url: new.url.clone(),
            zone: own(&new.zone),
            domain: own(&new.domain),
            channel,
            link: None,
        })?;
        self.site(&new.name)
    }

    /// All sites.
    ///
    /// # Errors
    /// Where the catalog fails.
    pub fn sites(&self) -> Result<Vec<SiteRow>, Failure> {
        if self.is_site() {
            return self.neighbour_rows();
        }
        let objects = self.catalog()?.objects()?;
        let rows = self.catalog()?.sites()?;
        let witness = self.witness()?;
        Ok(rows.iter().map(|site| site_row(site, &objects, witness.as_ref())).collect())
    }

    /// One site.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn site(&self, name: &SiteName) -> Result<SiteRow, Failure> {
        if self.is_site() {
            return self.neighbour_row(name);
        }
        let (objects, witness) = (self.catalog()?.objects()?, self.witness()?);
        Ok(site_row(&self.site_row(name)?, &objects, witness.as_ref()))
    }

    /// Forgets a site that holds nothing. Its own vault stays as it is, and so does what is left of
    /// the link at this end: a site added later under this name, with new key by courier, goes on
    /// with it.
    ///
    /// # Errors
    /// Where there is no such site, it holds a share, it witnesses the random pool, or (unless
    /// `force`) its link has key left.
    pub fn remove_site(
        &self,
        name: &SiteName,
        force: bool,
        dry_run: bool,
    ) -> Result<RemovedSite, Failure> {
        if self.is_site() {
            return self.remove_neighbour(name, force, dry_run);
        }
        let site = self.site_row(name)?;
        let refused = |what: String, next: &str| {
            Err(Failure::new(Class::Usage, "site-in-use", what).next(next))
        };
        let (stored, unfinished) = self.catalog()?.shares_at(name)?;
        if stored > 0 {
            let what = format!("site {name} holds {stored} shares of stored objects");
            return refused(what, "keep it: shares can't be moved elsewhere yet");
        }
        if unfinished > 0 {
            let what = format!("site {name} has a part in {unfinished} unfinished backups");
            return refused(what, "let them end, or give them up: see `warifu jobs list`");
        }
        if self.witness()?.as_ref() == Some(name) {
            let what = format!("site {name} {WITNESS_MEANS}");
            return refused(what, "keep it: the random pool that it witnesses needs it");
        }
        let mut key_bytes_lost = 0;
        if let Some(link) = site.link {
            let status = self.keys.pool_status(link.into())?;
            key_bytes_lost = status.directions.iter().map(|side| side.bytes_left).sum();
        }
        if key_bytes_lost > WORTHLESS_BYTES && !force && !dry_run {
            let what = format!("the link to {name} has {key_bytes_lost} bytes of key left");
            return refused(what, "with --force it is removed, and that key serves nobody");
        }
        if !dry_run {
            let told = Told::operator().site(name).note("removed");
            self.log_event("site", &told.result("begun"))?;
            self.catalog()?.remove_site(name)?;
        }
        Ok(RemovedSite { v: 1, site: name.to_string(), key_bytes_lost, dry_run })
    }

    /// Keeps new shares away from a site, or lets it have them again. Those that it holds stay.
    ///
    /// # Errors
    /// Where there is no such site.
    pub fn drain_site(&self, name: &SiteName, drained: bool) -> Result<SiteRow, Failure> {
        let note = if drained { "drained" } else { "no longer drained" };
        let told = Told::operator().site(name).note(note);
        self.log_event("site", &told.result("begun"))?;
        self.catalog()?.set_drained(name, drained)?;
        self.site(name)
    }

    /// Speaks to a site and asks who it is and how full.
    ///
    /// # Errors
    /// Where it is away, not genuine, or not the site of this name.
    pub fn test_site(&self, name: &SiteName) -> Result<SiteTest, Failure> {
        if self.is_site() {
            return self.test_neighbour(name);
        }
        let site = self.site_row(name)?;
        let started = self.clock.elapsed();
        let (room_bytes, key_bytes) = match site.channel {
            Channel::Otp => {
                let mut dial = self.dialer(&site, Purpose::Store, Patience::Once)?;
                let mut peer = dial()?;
                let Pinged { site: answered, room_bytes, .. } = peer.ping()?;
                if answered != site.site {
                    let what = format!("the site at {} is {answered}, not {name}", site.url);
                    return Err(Failure::new(Class::Authentication, "site-other", what));
                }
                let key_bytes = peer.spent().key_bytes;
                peer.close()?;
                (Some(room_bytes).filter(|room| *room != u64::MAX), key_bytes)
            }
            _ => (self.local_store(&site)?.room_bytes()?, 0),
        };
        let seconds = (self.clock.elapsed() - started).as_secs_f64();
        Ok(SiteTest { v: 1, site: name.to_string(), ok: true, room_bytes, key_bytes, seconds })
    }

    /// The site whose link's pool is `pool`.
    pub(crate) fn site_of_pool(&self, pool: PoolId) -> Option<SiteName> {
        let sites = self.catalog.as_ref()?.sites().ok()?;
        let mut sites = sites.into_iter();
        sites.find(|site| site.link.map(PoolId::from) == Some(pool)).map(|site| site.site)
    }
}

fn site_row(
    site: &Site,
    objects: &[warifu_catalog::Object],
    witness: Option<&SiteName>,
) -> SiteRow {
    let shares = objects.iter().flat_map(|object| &object.shares);
    SiteRow {
        site: site.site.to_string(),
        url: site.url.clone(),
        zone: site.zone.to_string(),
        domain: site.domain.to_string(),
        channel: site.channel.as_str(),
        link: site.link.map(|link| link.to_string()),
        drained: site.drained,
        shares: shares.filter(|share| share.site == site.site).count(),
        witness: witness == Some(&site.site),
    }
}
