//! Sites as the gateway knows them, and the key that objects bind at each.

use crate::{Catalog, CatalogError, rows};
use rusqlite::Row;
use warifu_core::geometry::CHUNK_BYTES;
use warifu_core::{Channel, LinkId, SiteName};

/// The longest address of a site, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// A site to be added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSite {
    /// Its name.
    pub site: SiteName,
    /// Where it is reached; kept as given, at most 2048 bytes without control characters.
    pub url: String,
    /// What burns together with it.
    pub zone: SiteName,
    /// Who could bribe or coerce it together with others.
    pub domain: SiteName,
    /// How shares reach it.
    pub channel: Channel,
    /// Its link, where it is known already.
    pub link: Option<LinkId>,
}

/// A site that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Its name.
    pub site: SiteName,
    /// Where it is reached.
    pub url: String,
    /// What burns together with it.
    pub zone: SiteName,
    /// Who could bribe or coerce it together with others.
    pub domain: SiteName,
    /// How shares reach it.
    pub channel: Channel,
    /// Its link, once key was delivered.
    pub link: Option<LinkId>,
    /// Whether it is being emptied and gets no new shares.
    pub drained: bool,
}

/// Key of one site's link, by direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyBytes {
    /// From gateway to site.
    pub to_site_bytes: u64,
    /// From site to gateway.
    pub from_site_bytes: u64,
}

impl Site {
    fn read(row: &Row<'_>) -> Result<Self, CatalogError> {
        Ok(Self {
            site: rows::name(row, "site")?,
            url: row.get("url")?,
            zone: rows::name(row, "zone")?,
            domain: rows::name(row, "domain")?,
            channel: rows::byte(row, "channel", Channel::from_byte)?,
            link: rows::optional_array(row, "link")?.map(LinkId::from_bytes),
            drained: rows::byte(row, "drained", flag)?,
        })
    }
}

impl Catalog {
    /// Adds a site.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where the name or the link is taken,
    /// [`CatalogError::Invalid`] where the address breaks its limits.
    pub fn add_site(&self, new: &NewSite) -> Result<(), CatalogError> {
        if new.url.len() > URL_BYTES_MAX || new.url.chars().any(char::is_control) {
            let why = format!("at most {URL_BYTES_MAX} bytes without control characters");
            return Err(CatalogError::Invalid { what: "a site's address", why });
        }
        let writing = self.writing()?;
        if rows::any(&writing, "SELECT 1 FROM sites WHERE site = ?1", [new.site.as_str()])? {
            return Err(CatalogError::AlreadyExists { what: "site", name: new.site.to_string() });
        }
        writing.execute(
            "INSERT INTO sites (site, url, zone, domain, channel) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                new.site.as_str(),
                &new.url,
                new.zone.as_str(),
                new.domain.as_str(),
                new.channel.to_byte(),
            ),
        )?;
        if let Some(link) = &new.link {
            bind_link(&writing, &new.site, link)?;
        }
        Ok(writing.commit()?)
    }

    /// Says which link leads to a site, in place of any before.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no such site, [`CatalogError::AlreadyExists`]
    /// where the link leads to another.
    pub fn set_link(&self, site: &SiteName, link: &LinkId) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        bind_link(&writing, site, link)?;
        Ok(writing.commit()?)
    }

    /// Says whether a site is being emptied.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no such site.
    pub fn set_drained(&self, site: &SiteName, drained: bool) -> Result<(), CatalogError> {
        let changed = self
            .connection
            .execute("UPDATE sites SET drained = ?2 WHERE site = ?1", (site.as_str(), drained))?;
        if changed == 0 { Err(no_site(site)) } else { Ok(()) }
    }

    /// How many shares of stored objects lie at a site, and how many of unfinished ones may.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn shares_at(&self, site: &SiteName) -> Result<(u64, u64), CatalogError> {
        let mut query = self.connection.prepare_cached(
            "SELECT count(committed_unix_s) AS stored, count(*) - count(committed_unix_s) AS begun
             FROM shares JOIN objects ON shares.object = objects.number WHERE site = ?1",
        )?;
        let mut found = query.query_and_then([site.as_str()], |row| {
            Ok((rows::count(row, "stored")?, rows::count(row, "begun")?))
        })?;
        found.next().unwrap_or(Ok((0, 0)))
    }

    /// Forgets a site.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no such site, [`CatalogError::Invalid`] where a
    /// share, finished or not, is recorded there; then nothing is changed.
    pub fn remove_site(&self, site: &SiteName) -> Result<(), CatalogError> {
        let writing = self.writing()?;
        if rows::any(&writing, "SELECT 1 FROM shares WHERE site = ?1", [site.as_str()])? {
            let why = "an object has a share there".to_owned();
            return Err(CatalogError::Invalid { what: "removing a site", why });
        }
        match writing.execute("DELETE FROM sites WHERE site = ?1", [site.as_str()])? {
            0 => Err(no_site(site)),
            _ => Ok(writing.commit()?),
        }
    }

    /// All sites, by name.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn sites(&self) -> Result<Vec<Site>, CatalogError> {
        let mut query = self.connection.prepare_cached("SELECT * FROM sites ORDER BY site")?;
        query.query_and_then([], Site::read)?.collect()
    }

    /// One site.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where there is no such site.
    pub fn site(&self, site: &SiteName) -> Result<Site, CatalogError> {
        let mut query = self.connection.prepare_cached("SELECT * FROM sites WHERE site = ?1")?;
        let found = query.query_and_then([site.as_str()], Site::read)?.next();
        found.unwrap_or_else(|| Err(no_site(site)))
    }

    /// Key that unfinished backups have planned at a site, restore reserve included: what another
    /// plan must leave alone. It counts an intent whole until its commit, spent key and all.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn planned(&self, site: &SiteName) -> Result<KeyBytes, CatalogError> {
        self.key_bytes(
            "SELECT coalesce(sum(planned_to_site_bytes), 0) AS to_site_bytes,
                    coalesce(sum(planned_from_site_bytes), 0) AS from_site_bytes
             FROM objects CROSS JOIN shares ON shares.object = objects.number
             WHERE committed_unix_s IS NULL AND site = ?1",
            site,
        )
    }

    /// Key that must stay at a site so that each stored object can be restored once.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn reserved(&self, site: &SiteName) -> Result<KeyBytes, CatalogError> {
        self.key_bytes(
            "SELECT coalesce(sum(reserve_to_site_bytes), 0) AS to_site_bytes,
                    coalesce(sum(reserve_from_site_bytes), 0) AS from_site_bytes
             FROM shares WHERE site = ?1",
            site,
        )
    }

    /// The longest chunk of any object that has a share at a site, stored or unfinished, in bytes.
    ///
    /// # Errors
    /// [`CatalogError::Damaged`], [`CatalogError::Busy`], [`CatalogError::Storage`].
    pub fn longest_chunk_bytes(&self, site: &SiteName) -> Result<u64, CatalogError> {
        let chunk = u64::from(CHUNK_BYTES);
        // Nearly always the first one that is looked at has a whole chunk.
        let query = "SELECT 1 FROM shares CROSS JOIN objects ON objects.number = shares.object
                     WHERE site = ?1 AND payload_bytes >= ?2 LIMIT 1";
        let mut whole = self.connection.prepare_cached(query)?;
        if whole.exists((site.as_str(), rows::stored(chunk)?))? {
            return Ok(chunk);
        }
        let mut longest = self.connection.prepare_cached(
            "SELECT coalesce(max(payload_bytes), 0) AS payload_bytes
             FROM shares CROSS JOIN objects ON objects.number = shares.object WHERE site = ?1",
        )?;
        let mut found =
            longest.query_and_then([site.as_str()], |row| rows::count(row, "payload_bytes"))?;
        found.next().unwrap_or(Ok(0))
    }

    fn key_bytes(&self, query: &str, site: &SiteName) -> Result<KeyBytes, CatalogError> {
        let mut query = self.connection.prepare_cached(query)?;
        let mut found = query.query_and_then([site.as_str()], |row| {
            let to_site_bytes = rows::count(row, "to_site_bytes")?;
            Ok(KeyBytes { to_site_bytes, from_site_bytes: rows::count(row, "from_site_bytes")? })
        })?;
        found.next().unwrap_or_else(|| Ok(KeyBytes::default()))
    }
}

fn bind_link(
    writing: &rusqlite::Transaction<'_>,
    site: &SiteName,
    link: &LinkId,
) -> Result<(), CatalogError> {
    let query = "SELECT 1 FROM sites WHERE link = ?1 AND site <> ?2";
    if rows::any(writing, query, (link.bytes(), site.as_str()))? {
        return Err(CatalogError::AlreadyExists { what: "link", name: link.to_string() });
    }
    let query = "UPDATE sites SET link = ?2 WHERE site = ?1";
    match writing.execute(query, (site.as_str(), link.bytes()))? {
        0 => Err(no_site(site)),
        _ => Ok(()),
    }
}

const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn no_site(site: &SiteName) -> CatalogError {
    CatalogError::NotFound { what: "site", name: site.to_string() }
}
