//! Key-management entities of this vault: who delivers key that is shared with whom.

use crate::Vault;
use crate::config::KmeConfig;
use crate::doctor::{Finding, Severity, finding};
use crate::failure::{Class, Failure};
use serde::Serialize;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;
use warifu_core::{KeyClass, SiteName};
use warifu_keystore::etsi014::probe::{Subject, Verdict, probe};
use warifu_keystore::etsi014::{AccessError, Credentials, Kme, KmeAccess};
use warifu_keystore::fetch::FetchManner;
use warifu_keystore::{DeliveryError, KeyDelivery};

/// Longest name of a deliverer, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// How long a request may take where nothing is set.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How to fetch from a KME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmeSettings {
    /// Its name in the settings.
    pub name: String,
    /// What is claimed of its keys: computational unless the operator says otherwise.
    pub class: KeyClass,
    /// What it calls us, where that is set.
    pub own: Option<String>,
    /// Requests, lengths and patience.
    pub manner: FetchManner,
    /// Key that is paired at a time, in bytes, where that is set.
    pub segment_bytes: Option<u64>,
    /// Key per direction up to which it is fetched, in bytes, where that is set.
    pub watermark_bytes: Option<u64>,
}

/// A KME that delivers key shared with one party.
#[derive(Clone)]
pub struct PeerKme {
    /// How keys come. Its name is `kme:NAME`.
    pub delivery: Arc<dyn KeyDelivery>,
    /// What the KME calls the party.
    pub peer: String,
    /// How to fetch.
    pub settings: KmeSettings,
}

/// What `key test` is to look at.
#[derive(Debug, Clone, Default)]
pub struct KmeTestRequest {
    /// Which KME; the only one where absent.
    pub kme: Option<String>,
    /// What it calls the application that we share keys with; the first that is set where absent.
    pub peer: Option<String>,
    /// The KME of the other end, with that application's certificate, by its name in the settings.
    pub peer_kme: Option<String>,
}

/// One check of a KME.
#[derive(Debug, Clone, Serialize)]
pub struct KmeCheck {
    /// Its name.
    pub check: &'static str,
    /// The clause of ETSI GS QKD 014 V1.1.1 that demands it.
    pub clause: &'static str,
    /// `pass`, `deviates` or `not-tried`.
    pub verdict: &'static str,
    /// What was found.
    pub found: String,
}

/// What `key test` found.
#[derive(Debug, Clone, Serialize)]
pub struct KmeTestReport {
    /// Version of this document.
    pub v: u32,
    /// Which KME.
    pub kme: String,
    /// What it calls the application that we share keys with.
    pub peer: String,
    /// Keys that were spent.
    pub keys_spent: u64,
    /// All checks.
    pub checks: Vec<KmeCheck>,
}

impl KmeTestReport {
    /// Names of checks that found something else than what must be.
    pub fn deviations(&self) -> impl Iterator<Item = &'static str> {
        let deviates = Verdict::Deviates.as_str();
        let found = self.checks.iter().filter(move |check| check.verdict == deviates);
        found.map(|check| check.check)
    }
}

impl Vault {
    /// The KME that delivers key shared with `party`, a site or a gateway; of several the first by
    /// name. `None` where none is set.
    ///
    /// # Errors
    /// Where its certificates or its key can't be used, or where the settings of a KME that may be
    /// it are wrong.
    pub fn kme_for(&self, party: &SiteName) -> Result<Option<PeerKme>, Failure> {
        let mut all = self.config.kme.iter();
        let found = all.find_map(|(name, kme)| Some((name, kme, kme.peers.get(party.as_str())?)));
        let Some((name, config, peer)) = found else {
            return self.config.broken_kmes().next().map_or(Ok(None), |(_, failure)| Err(failure));
        };
        let delivery = Arc::new(self.open_kme(name, config)?);
        let settings = settings_of(name, config);
        Ok(Some(PeerKme { delivery, peer: peer.clone(), settings }))
    }

    /// Probes a KME. That spends a few of its keys.
    ///
    /// # Errors
    /// Where it is not in the settings, its certificates can't be used, or it can't be spoken to.
    pub fn test_kme(&self, request: &KmeTestRequest) -> Result<KmeTestReport, Failure> {
        let (name, config) = self.kme_config(request.kme.as_deref())?;
        let first = || config.peers.values().next().cloned();
        let peer = request.peer.clone().or_else(first).ok_or_else(|| {
            let what = format!("nobody is named whom kme {name} shares keys with");
            Failure::new(Class::Usage, "kme-peer", what)
                .next(format!("give --peer SAE, or set `peers` under [kme.{name}]"))
        })?;
        let kme = self.open_kme(name, config)?;
        let far = match request.peer_kme.as_deref() {
            Some(far) => {
                let (name, config) = self.kme_config(Some(far))?;
                Some(self.open_kme(name, config)?)
            }
            None => None,
        };
        let own = config.sae.as_deref();
        let subject = Subject { kme: &kme, peer: &peer, far: far.as_ref(), own };
        let report = probe(&subject).map_err(|error| unreachable(name, error))?;
        let checks = report.checks.iter().map(|check| KmeCheck {
            check: check.name,
            clause: check.clause,
            verdict: check.verdict.as_str(),
            found: check.found.clone(),
        });
        let checks = checks.collect();
        let keys_spent = report.keys_spent;
        Ok(KmeTestReport { v: 1, kme: name.to_owned(), peer, keys_spent, checks })
    }

    /// The settings of the KME called `name`, or of the only one.
    fn kme_config(&self, name: Option<&str>) -> Result<(&str, &KmeConfig), Failure> {
        let mut broken = self.config.broken_kmes();
        if let Some((_, failure)) = broken.find(|(one, _)| name.is_none_or(|name| name == *one)) {
            return Err(failure);
        }
        let all = &self.config.kme;
        let names = || all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let unknown = |what: String| {
            let next = match all.is_empty() {
                true => "write a table [kme.NAME] in config.toml: see `warifu config check --help`"
                    .to_owned(),
                false => format!("there are: {}", names()),
            };
            Failure::new(Class::NotFound, "kme-unknown", what).next(next)
        };
        match (name, all.len()) {
            (Some(name), _) => {
                let found = all.get_key_value(name);
                found.ok_or_else(|| unknown(format!("there is no kme {name:?} in config.toml")))
            }
            (None, 1) => all.iter().next().ok_or_else(|| unknown("there is no kme".to_owned())),
            (None, 0) => Err(unknown("there is no kme in config.toml".to_owned())),
            (None, _) => Err(unknown("config.toml has several kmes: name one".to_owned())),
        }
        .map(|(name, config)| (name.as_str(), config))
    }

    fn open_kme(&self, name: &str, config: &KmeConfig) -> Result<Kme, Failure> {
        let mut told = format!("kme:{name}");
        told.truncate(NAME_BYTES_MAX);
        let credentials = Credentials {
            certificate: self.dir.join(&config.certificate),
            key: self.dir.join(&config.key),
            authorities: self.dir.join(&config.ca),
        };
        let access = KmeAccess {
            name: told,
            url: config.url.clone(),
            credentials,
            timeout: config.timeout_s.map_or(TIMEOUT, Duration::from_secs),
            connections_max: in_flight(config),
        };
        Kme::open(access).map_err(|error: AccessError| {
            let what = format!("kme {name} can't be spoken to: its settings");
            Failure::new(Class::Usage, "kme-credentials", what)
                .because(error)
                .next(format!("mend url, certificate, key and ca under [kme.{name}]"))
        })
    }

    /// Private keys that others may read, and certificates that can't be used.
    pub(crate) fn look_at_kmes(&self) -> Vec<Finding> {
        let wrong = |(_, failure): (&str, Failure)| {
            let what = crate::plan::error_chain(&failure);
            finding(Severity::Problem, what, failure.advice())
        };
        let mut findings: Vec<Finding> = self.config.broken_kmes().map(wrong).collect();
        for (name, config) in &self.config.kme {
            let key = self.dir.join(&config.key);
            let mode = std::fs::metadata(&key).map(|file| file.mode() & 0o077);
            if mode.is_ok_and(|mode| mode != 0) {
                let what = format!("kme {name}: others may read its private key");
                let next = format!("chmod 600 {}", key.display());
                findings.push(finding(Severity::Warning, what, &next));
            }
            findings.push(match self.open_kme(name, config) {
                Ok(_) => {
                    let what = format!("kme {name}: its certificate and key fit together");
                    finding(Severity::Ok, what, "")
                }
                Err(failure) => {
                    let cause = std::error::Error::source(&failure);
                    let cause = cause.map_or_else(String::new, crate::plan::error_chain);
                    let what = format!("kme {name}: {cause}");
                    finding(Severity::Problem, what, failure.advice())
                }
            });
        }
        findings
    }
}

fn in_flight(config: &KmeConfig) -> usize {
    config.requests_in_flight.unwrap_or(FetchManner::default().in_flight_max)
}

fn settings_of(name: &str, config: &KmeConfig) -> KmeSettings {
    let class = match config.class.as_deref() {
        Some("information-theoretic") => KeyClass::InformationTheoretic,
        _ => KeyClass::Computational,
    };
    let manner = FetchManner {
        in_flight_max: in_flight(config),
        key_bytes: config.key_bytes,
        ..FetchManner::default()
    };
    KmeSettings {
        name: name.to_owned(),
        class,
        own: config.sae.clone(),
        manner,
        segment_bytes: config.segment_bytes,
        watermark_bytes: config.watermark_bytes,
    }
}

fn unreachable(name: &str, error: DeliveryError) -> Failure {
    let what = format!("kme {name} can't be probed");
    match error {
        DeliveryError::Refused { .. } => Failure::new(Class::Authentication, "kme-refuses", what)
            .because(error)
            .next("see that it knows our certificate, and ca the one that signed its own"),
        _ => Failure::new(Class::Temporary, "kme-unreachable", what)
            .because(error)
            .next(format!("see that it runs at the url under [kme.{name}], then try again")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(text: &str) -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let consent = crate::config::ConsentPolicy::default();
        drop(Vault::init(&path, "gateway".parse().unwrap(), None, consent).unwrap());
        let mut config = std::fs::read_to_string(path.join("config.toml")).unwrap();
        config += text;
        std::fs::write(path.join("config.toml"), config).unwrap();
        let vault = Vault::open(&path).unwrap();
        (dir, vault)
    }

    const ONE: &str = "\n[kme.a]\nurl = \"https://127.0.0.1:1\"\ncertificate = \"c.pem\"\n\
        key = \"k.pem\"\nca = \"a.pem\"\npeers = { sendai = \"sae-s\" }\n";

    fn code(outcome: Result<impl Sized, Failure>) -> &'static str {
        outcome.err().unwrap().code()
    }

    #[test]
    fn a_mistake_in_a_kmes_settings_is_told_where_they_are_needed() {
        let (_dir, vault) = vault(&ONE.replace("https://", "http://"));
        assert_eq!(code(vault.kme_for(&"sendai".parse().unwrap())), "config-invalid");
        assert_eq!(code(vault.kme_config(Some("a")).map(|(name, _)| name)), "config-invalid");
        assert_eq!(code(vault.kme_config(None).map(|(name, _)| name)), "config-invalid");
        assert_eq!(code(vault.kme_config(Some("b")).map(|(name, _)| name)), "kme-unknown");
        let findings = vault.look_at_kmes();
        assert!(findings.len() == 1 && findings[0].what.contains("kme a"), "{findings:?}");
    }

    #[test]
    fn a_kme_is_found_by_whom_it_shares_keys_with() {
        let (_dir, vault) = vault(ONE);
        assert!(vault.kme_for(&"tokyo".parse().unwrap()).unwrap().is_none());
        // It is found, and its certificate is not there.
        assert_eq!(code(vault.kme_for(&"sendai".parse().unwrap())), "kme-credentials");
    }

    #[test]
    fn what_is_to_be_tested_must_be_named_where_it_is_not_plain() {
        let request = |kme: Option<&str>| KmeTestRequest {
            kme: kme.map(str::to_owned),
            ..KmeTestRequest::default()
        };
        let (_dir, none) = vault("");
        assert_eq!(code(none.test_kme(&request(None))), "kme-unknown");
        let (_dir, one) = vault(ONE);
        assert_eq!(code(one.test_kme(&request(Some("b")))), "kme-unknown");
        assert_eq!(code(one.test_kme(&request(None))), "kme-credentials");
        let two = format!("{ONE}{}", ONE.replace("kme.a", "kme.b"));
        let (_dir, two) = vault(&two);
        assert_eq!(code(two.test_kme(&request(None))), "kme-unknown");
        let (_dir, alone) = vault(&ONE.replace("peers = { sendai = \"sae-s\" }", ""));
        assert_eq!(code(alone.test_kme(&request(None))), "kme-peer");
    }

    #[test]
    fn a_private_key_that_others_may_read_is_warned_of() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, vault) = vault(ONE);
        let key = dir.path().join("v/k.pem");
        std::fs::write(&key, "x").unwrap();
        let warned = |mode: u32| {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let findings = vault.look_at_kmes();
            assert!(findings.iter().any(|found| found.severity == Severity::Problem), "unusable");
            findings.iter().any(|found| found.what.contains("may read"))
        };
        assert!(warned(0o644) && warned(0o640) && !warned(0o600));
    }

    #[test]
    fn nothing_is_claimed_of_keys_unless_the_operator_does() {
        let (_dir, vault) = vault(ONE);
        let config = &vault.config.kme["a"];
        assert_eq!(settings_of("a", config).class, KeyClass::Computational);
        let class = Some("information-theoretic".to_owned());
        let claimed = KmeConfig { class, ..config.clone() };
        assert_eq!(settings_of("a", &claimed).class, KeyClass::InformationTheoretic);
    }
}
