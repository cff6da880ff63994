//! Links between sites: at a site's vault, the other sites that its operator has named.

use crate::audit::Told;
use crate::dial::{
    FIRST_ANSWER_BYTES, Origin, Patience, RECEIPT_LEASE_BYTES, address_of, with_patience,
};
use crate::failure::{Class, Failure};
use crate::sites::{SiteRow, SiteTest, WORTHLESS_BYTES};
use crate::{NewSite, RemovedSite, Vault};
use std::sync::Arc;
use std::time::Duration;
use warifu_catalog::{Neighbour, Register};
use warifu_core::{Channel, End, LinkId, SiteName};
use warifu_keystore::KeyStore;
use warifu_pipeline::clock::Clock;
use warifu_pipeline::peer::{Peer, PeerSettings, Pinged};
use warifu_site::{DialError, Neighbourhood};

/// Key leased at a time for what goes to another site, in bytes: a few chunks.
const LEASE_BYTES: u64 = 4 << 20;

/// Key leased with the handshake, in bytes.
const FIRST_LEASE_BYTES: u64 = 64 << 10;

/// How long another site may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The way from a site's daemon to other sites.
struct Ways {
    register: Register,
    keys: Arc<KeyStore>,
    origin: Origin,
    clock: Arc<dyn Clock>,
}

impl Neighbourhood for Ways {
    fn dial(&self, site: &SiteName) -> Result<Peer, DialError> {
        let known = self.register.neighbour(site).map_err(DialError::Register)?;
        let known = known.ok_or(DialError::Unknown)?;
        let Some((link, End::A)) = self.keys.link_with(site).map_err(DialError::Keys)? else {
            return Err(DialError::NotOurs);
        };
        let address = address_of(&known.url);
        let address = address.map_err(|_| DialError::Url { url: known.url.clone() })?;
        let settings = PeerSettings {
            first_lease_bytes: FIRST_LEASE_BYTES,
            lease_bytes: LEASE_BYTES,
            first_answer_bytes: FIRST_ANSWER_BYTES,
            answer_lease_bytes: RECEIPT_LEASE_BYTES,
            patience: PATIENCE,
        };
        let mut connect = || self.origin.connect(link, address, settings);
        with_patience(&mut connect, self.clock.as_ref(), Patience::Once).map_err(DialError::Peer)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let what = error.to_string();
        match error {
            DialError::Unknown => {
                Self::new(Class::NotFound, "not-found", what).next("name it: `warifu site add`")
            }
            DialError::NotOurs => Self::new(Class::Key, "link-missing", what)
                .next("do this from there, or make one with `warifu key generate --site`"),
            DialError::Url { .. } => {
                Self::new(Class::Usage, "url-invalid", what).next("write warifu://HOST:PORT")
            }
            DialError::Register(error) => error.into(),
            DialError::Keys(error) => error.into(),
            DialError::Peer(error) => error.into(),
            error => Self::new(Class::Other, "site", what).because(error),
        }
    }
}

impl Vault {
    /// Whether this vault is a site's, and its sites are those that it has links to.
    pub(crate) fn is_site(&self) -> bool {
        self.config.site.is_some()
    }

    /// The way to other sites, for this one's daemon.
    pub(crate) fn neighbourhood(&self) -> Result<Arc<dyn Neighbourhood>, Failure> {
        let (register, keys, origin) = (self.register()?, self.keys.clone(), self.origin());
        Ok(Arc::new(Ways { register, keys, origin, clock: self.clock.clone() }))
    }

    /// Names a site that this one works with. Whoever is at the other end of a link under this name
    /// counts as a site here from then on.
    pub(crate) fn add_neighbour(&self, new: &NewSite) -> Result<SiteRow, Failure> {
        address_of(&new.url)?;
        if new.zone.is_some() || new.domain.is_some() || new.channel.is_some() {
            let what = "between sites there are neither zones nor domains nor other channels";
            return Err(Failure::new(Class::Usage, "channel-mismatch", what)
                .next("leave --zone, --domain and --channel out"));
        }
        if new.name == self.name {
            let what = format!("{} is this site itself", new.name);
            return Err(Failure::new(Class::Usage, "exists-already", what));
        }
        let told = Told::operator().site(&new.name).note(format!("added: {}", new.url));
        self.log_event("site", &told.result("begun"))?;
        self.register()?.add_neighbour(&new.name, &new.url)?;
        self.neighbour_row(&new.name)
    }

    /// The sites that this one works with.
    pub(crate) fn neighbour_rows(&self) -> Result<Vec<SiteRow>, Failure> {
        let known = self.register()?.neighbours()?;
        known.iter().map(|neighbour| self.row_of(neighbour)).collect()
    }

    /// One of them.
    pub(crate) fn neighbour_row(&self, name: &SiteName) -> Result<SiteRow, Failure> {
        self.row_of(&self.neighbour(name)?)
    }

    pub(crate) fn neighbour(&self, name: &SiteName) -> Result<Neighbour, Failure> {
        self.register()?.neighbour(name)?.ok_or_else(|| {
            let what = format!("there is no site {name}");
            Failure::new(Class::NotFound, "not-found", what)
                .next(format!("name it: `warifu site add {name} warifu://HOST:PORT`"))
        })
    }

    fn row_of(&self, neighbour: &Neighbour) -> Result<SiteRow, Failure> {
        let name = neighbour.site.to_string();
        let link = self.keys.link_with(&neighbour.site)?;
        Ok(SiteRow {
            site: name.clone(),
            url: neighbour.url.clone(),
            zone: name.clone(),
            domain: name,
            channel: Channel::Otp.as_str(),
            link: link.map(|(link, _)| link.to_string()),
            drained: false,
            shares: 0,
            witness: false,
        })
    }

    /// The link to another site that was made here, so that connections begin here.
    pub(crate) fn own_link(&self, name: &SiteName) -> Result<LinkId, Failure> {
        if let Some((link, End::A)) = self.keys.link_with(name)? {
            return Ok(link);
        }
        let what = format!("no link to {name} was made here: {name} connects, or nobody does");
        Err(Failure::new(Class::Key, "link-missing", what)
            .next("do this from there, or make one with `warifu key generate --site`"))
    }

    /// Forgets a site that this one worked with.
    pub(crate) fn remove_neighbour(
        &self,
        name: &SiteName,
        force: bool,
        dry_run: bool,
    ) -> Result<RemovedSite, Failure> {
        self.neighbour(name)?;
        let key_bytes_lost = match self.keys.link_with(name)? {
            Some((link, _)) => {
                let status = self.keys.pool_status(link.into())?;
                status.directions.iter().map(|side| side.bytes_left).sum()
            }
            None => 0,
        };
        if key_bytes_lost > WORTHLESS_BYTES && !force && !dry_run {
            let what = format!("the link to {name} has {key_bytes_lost} bytes of key left");
            return Err(Failure::new(Class::Usage, "site-in-use", what)
                .next("with --force it is removed, and that key serves nobody"));
        }
        if !dry_run {
            let told = Told::operator().site(name).note("removed");
            self.log_event("site", &told.result("begun"))?;
            self.register()?.remove_neighbour(name)?;
        }
        Ok(RemovedSite { v: 1, site: name.to_string(), key_bytes_lost, dry_run })
    }

    /// Speaks to a site of which the link ends in A here.
    pub(crate) fn test_neighbour(&self, name: &SiteName) -> Result<SiteTest, Failure> {
        let neighbour = self.neighbour(name)?;
        self.own_link(name)?;
        let started = self.clock.elapsed();
        let mut peer = self.neighbourhood()?.dial(name)?;
        let Pinged { site: answered, room_bytes, .. } = peer.ping()?;
        if answered != *name {
            let what = format!("the site at {} is {answered}, not {name}", neighbour.url);
            return Err(Failure::new(Class::Authentication, "site-other", what));
        }
        let key_bytes = peer.spent().key_bytes;
        peer.close()?;
        let seconds = (self.clock.elapsed() - started).as_secs_f64();
        let room_bytes = Some(room_bytes).filter(|room| *room != u64::MAX);
        Ok(SiteTest { v: 1, site: name.to_string(), ok: true, room_bytes, key_bytes, seconds })
    }
}
