//! Where a site keeps its shares.

use crate::config::file_url;
use crate::failure::{Class, Failure};
use crate::{Vault, make_dir};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use warifu_backend::{Error as StoreError, ShareStore, SpooledStore};
use warifu_backend_s3::{Credentials, S3Config, S3Objects};
use warifu_plugin_host::{Apart, PluginConfig, Trusted};

/// The folder of a site's vault where uploads lie until their share is in an object store.
const SPOOL_DIR: &str = "spool";

/// What the URL of a site's store names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `file:///PATH`.
    Folder(PathBuf),
    /// `s3://BUCKET[/PREFIX][?OPTIONS]`.
    S3(S3Config),
    /// `plugin:/PATH/OF/LIBRARY.so[?SETTINGS]`.
    Plugin(PluginConfig),
}

impl StoreUrl {
    /// Reads the URL.
    ///
    /// # Errors
    /// Where it is none of a store.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        if url.starts_with("plugin:") {
            return PluginConfig::parse(url).map(Self::Plugin).map_err(|error| {
                Failure::new(Class::Usage, "url-invalid", error.to_string())
                    .next("write plugin:/PATH/OF/LIBRARY.so?NAME=VALUE&NAME=VALUE")
            });
        }
        if !url.starts_with("s3:") {
            let next = "write file:///absolute/path, or s3://BUCKET/PREFIX?endpoint=https://HOST";
            return file_url(url).map(Self::Folder).map_err(|failure| failure.next(next));
        }
        S3Config::parse(url).map(Self::S3).map_err(|error| {
            Failure::new(Class::Usage, "url-invalid", error.to_string())
                .next("write s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME")
        })
    }
}

impl Vault {
    /// Opens the store of the site that this vault is.
    pub(crate) fn site_store(&self, url: &StoreUrl) -> Result<Arc<dyn ShareStore>, Failure> {
        match url {
            StoreUrl::Folder(folder) => Ok(self.world.open_store(folder)?),
            StoreUrl::Plugin(config) if config.is_trusted => {
                let objects = Trusted::open(config).map_err(plugin_failed)?;
                Ok(Arc::new(SpooledStore::new(objects, self.spool()?)))
            }
            StoreUrl::Plugin(config) => {
                let objects = Apart::open(config, plugin_process).map_err(plugin_failed)?;
                Ok(Arc::new(SpooledStore::new(objects, self.spool()?)))
            }
            StoreUrl::S3(config) => {
                let spool = self.spool()?;
                let folder = self.dir.join(SPOOL_DIR);
                let objects = S3Objects::open(config, Credentials::Found, &folder.join("uploads"));
                let objects = objects.map_err(|error| {
                    Failure::from(error).next(
                        "see that the bucket is there, that its server answers, and that \
                         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are those of an owner",
                    )
                })?;
                Ok(Arc::new(SpooledStore::new(objects, spool)))
            }
        }
    }
}

impl Vault {
    /// Where uploads lie until their share is whole.
    fn spool(&self) -> Result<Arc<dyn ShareStore>, Failure> {
        let folder = self.dir.join(SPOOL_DIR);
        make_dir(&folder)?;
        Ok(self.world.open_store(&folder.join("shares"))?)
    }
}

/// This program again, as a plugin's process.
#[must_use]
pub fn plugin_process() -> Command {
    // Where its own path is unknown, the one that the shell would find.
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("warifu"));
    let mut command = Command::new(program);
    command.arg("plugin-helper");
    command
}

fn plugin_failed(error: StoreError) -> Failure {
    Failure::from(error).next("`warifu plugin info FILE` tells what it is, `plugin test` tries it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_store_has_its_url() {
        let folder = StoreUrl::parse("file:///srv/shares").unwrap();
        assert_eq!(folder, StoreUrl::Folder(PathBuf::from("/srv/shares")));
        assert!(matches!(StoreUrl::parse("s3://bucket/site"), Ok(StoreUrl::S3(_))));
        assert!(matches!(StoreUrl::parse("plugin:/a.so?folder=/b"), Ok(StoreUrl::Plugin(_))));
        for url in [
            "",
            "plugin:a.so",
            "plugin:/a.so?trust=all",
            "srv",
            "http://bucket",
            "s3:",
            "s3://",
            "s3://b?secret_key=x",
        ] {
            let failure = StoreUrl::parse(url).unwrap_err();
            assert_eq!(failure.code(), "url-invalid", "{url}");
        }
    }
}
