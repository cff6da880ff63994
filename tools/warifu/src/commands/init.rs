//! `init`

use super::Context;
use crate::args::InitArgs;
use crate::exit::Ending;
use serde::Serialize;
use warifu_vault::StoreUrl;
use warifu_vault::config::{ConsentPolicy, SiteConfig};
use warifu_vault::{Failure, Vault};

/// What `init` answers.
#[derive(Serialize)]
struct NewVault {
    v: u32,
    r#type: &'static str,
    vault: String,
    name: String,
    kind: &'static str,
    enforces_consent: bool,
}

/// Makes a vault.
pub(super) fn init(context: &Context, args: InitArgs) -> Result<(), Ending> {
    let dir = context.dir()?;
    let consent = args.no_consent.clone().map(ConsentPolicy::not_enforced).unwrap_or_default();
    let (name, site) = settings(args)?;
    let kind = if site.is_some() { "site" } else { "gateway" };
    let vault = Vault::init(&dir, name, site, consent)?;
    let answer = NewVault {
        v: 1,
        r#type: "vault",
        vault: vault.dir().display().to_string(),
        name: vault.name().to_string(),
        kind,
        enforces_consent: vault.config().consent.enforce,
    };
    if let Some(warning) = vault.config().consent.warning() {
        context.output.note(&warning);
    }
    let human = || format!("made the vault of {kind} {} in {}\n", answer.name, answer.vault);
    context.output.answer(&answer, human)
}

/// The vault's name, and what makes it a site's. The store is checked before anything is made.
fn settings(args: InitArgs) -> Result<(warifu_core::SiteName, Option<SiteConfig>), Failure> {
    match (args.site, args.listen) {
        (Some(site), Some(listen)) => {
            args.store.as_deref().map(StoreUrl::parse).transpose()?;
            Ok((site, Some(SiteConfig { listen, store: args.store })))
        }
        _ => Ok((args.name, None)),
    }
}
