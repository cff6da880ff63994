//! `site serve`: a site's daemon.

use crate::audit::Told;
use crate::config::CertificateRule;
use crate::failure::{Class, Failure};
use crate::stores::StoreUrl;
use crate::world::TIMEOUTS;
use crate::{Vault, make_dir};
use std::path::PathBuf;
use std::sync::Arc;
use warifu_backend::{Transport, TransportError};
use warifu_catalog::Register;
use warifu_consent::trust::RevocationPolicy;
use warifu_pipeline::clock::Clock;
use warifu_remote::Listener;
use warifu_site::{ConsentRules, Enforcement, Site, SiteError};

/// The file of a site's register within its vault.
const REGISTER_FILE: &str = "register.sqlite";

/// The folder of pinned certificates within a vault.
const TRUST_DIR: &str = "trust";

/// A site that listens, not yet taking connections.
pub struct Server {
    site: Arc<Site>,
    listener: Listener,
    address: String,
    clock: Arc<dyn Clock>,
}

impl Vault {
    /// Opens the site's store and listens at its address.
    ///
    /// # Errors
    /// Where this is no site's vault, the store can't be opened, or the address is taken.
    pub fn server(&self) -> Result<Server, Failure> {
        let config = self.config.site.as_ref().ok_or_else(|| {
            let what = format!("{} is a gateway's vault", self.dir.display());
            Failure::new(Class::Usage, "vault-is-gateway", what)
                .next("make a site's vault with `warifu init --site NAME --listen ADDR`")
        })?;
        let store = match &config.store {
            Some(url) => self.site_store(&StoreUrl::parse(url)?)?,
            None => {
                let folder = std::path::absolute(self.dir.join("store")).map_err(|error| {
                    Failure::new(Class::Other, "store", "the store has no path").because(error)
                })?;
                make_dir(&folder)?;
                self.open_store(&format!("file://{}", folder.display()))?
            }
        };
        let failed = |error: TransportError| {
            let what = format!("can't listen at {}", config.listen);
            Failure::new(Class::Other, "listen", what)
                .because(error)
                .next("free the address, or change `site.listen` in config.toml")
        };
        let listener = Listener::bind(&config.listen).map_err(failed)?.with_timeouts(TIMEOUTS);
        let address = listener.local_addr().map_err(failed)?.to_string();
        let site =
            Site::new(self.name.clone(), self.keys.clone(), store, self.entropy.clone(), self.isa);
        let site = site.with_clock(self.clock.clone());
        let site = site.with_delivery(self.deliveries_to_serve());
        let site = site.with_neighbourhood(self.neighbourhood()?);
        let site = Arc::new(site.with_register(self.register()?, self.enforcement()));
        if let Some(warning) = self.config.consent.warning() {
            let told = Told::operator().note(warning).result("begun");
            if let Err(failure) = self.log_event("serve", &told) {
                tracing::warn!(%failure, "that consent is not enforced here is not in the log");
            }
        }
        Ok(Server { site, listener, address, clock: self.clock.clone() })
    }
}

impl Vault {
    /// A site's register of persons; made where there is none yet.
    ///
    /// # Errors
    /// Where this is no site's vault, or the register can't be opened.
    pub fn register(&self) -> Result<Register, Failure> {
        if self.config.site.is_none() {
            let what = format!("{} is a gateway's vault", self.dir.display());
            return Err(Failure::new(Class::Usage, "vault-is-gateway", what)
                .next("name a site's vault with --vault DIR"));
        }
        Ok(Register::open_or_create(&self.dir.join(REGISTER_FILE))?)
    }

    /// Where the certificates are that this vault trusts.
    #[must_use]
    pub fn trust_dir(&self) -> PathBuf {
        self.dir.join(TRUST_DIR)
    }

    fn enforcement(&self) -> Enforcement {
        let consent = &self.config.consent;
        let rules = ConsentRules {
            enforces: consent.enforce,
            revocation_hours: consent.revocation_hours,
            officers: match consent.break_glass {
                0 => None,
                officers => Some(usize::from(officers)),
            },
            certificates: RevocationPolicy {
                is_required: consent.certificates == CertificateRule::Required,
                ocsp_url: consent.ocsp.clone(),
            },
        };
        Enforcement { rules, trust_dir: self.trust_dir(), notary: self.notary() }
    }
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes `run` return, from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + Clone + 'static {
        let stopper = self.listener.stopper();
        move || stopper.stop()
    }

    /// Takes connections until it is stopped, each on a thread of its own.
    ///
    /// # Errors
    /// Where no connection can be taken any more.
    pub fn run(&self) -> Result<(), Failure> {
        loop {
            let (transport, peer) = match self.listener.accept() {
                Ok(Some(accepted)) => accepted,
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "could not take a connection");
                    self.clock.pause(std::time::Duration::from_millis(100));
                    continue;
                }
            };
            let site = self.site.clone();
            let transport: Box<dyn Transport> = Box::new(transport);
            let spawned =
                std::thread::Builder::new().name(format!("peer {peer}")).spawn(move || match site
                    .serve(transport)
                {
                    Ok(()) => tracing::debug!(%peer, "connection ended"),
                    Err(SiteError::Transport(TransportError::Closed)) => {
                        tracing::info!(%peer, "connection lost");
                    }
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%peer, %error, cause, "connection ended");
                    }
                });
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for a connection");
            }
        }
    }
}
