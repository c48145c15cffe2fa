//! The store that commands ask, and how they get there.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;

use crate::cli::load;
use crate::store::{Asked, Config, Url};

/// The options by which a store is found.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct StoreArgs {
    /// Ask the store, where gates meet: <postgres://user@host/database>, or `config`: the one that the file of --config names
    #[arg(long, value_name = "URL")]
    // Read later: what is wrong with it is said without it, because it may hold a password.
    store: Option<String>,
    /// File with the password for the store, one line
    #[arg(long, value_name = "FILE", requires = "store")]
    password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust for the store, instead of the system's
    #[arg(long, value_name = "FILE", requires = "store")]
    ca: Option<PathBuf>,
}

#[derive(Clone, Debug)]
enum Named {
    /// By the configuration.
    Config,
    Url(Box<Url>),
}

impl Named {
    fn read(text: &str) -> anyhow::Result<Self> {
        match text {
            "config" => Ok(Self::Config),
            url => match url.parse() {
                Ok(url) => Ok(Self::Url(Box::new(url))),
                Err(wanted) => Err(anyhow!("--store: {wanted}")),
            },
        }
    }
}

impl StoreArgs {
    /// The same, and the configuration's, where the command line names none.
    pub(super) fn config_or(&self, file: Option<&PathBuf>) -> anyhow::Result<Option<Config>> {
        match self.config(file)? {
            None => Ok(load(file)?.store),
            config => Ok(config),
        }
    }

    /// The store that is meant, if one is. The command line goes before the configuration.
    pub(super) fn config(&self, file: Option<&PathBuf>) -> anyhow::Result<Option<Config>> {
        let named = self.store.as_deref().map(Named::read).transpose()?;
        let configured = load(file)?.store;
        let mut config = match (&named, configured) {
            (None, _) => return Ok(None),
            (Some(Named::Config), None) if file.is_none() => {
                return Err(anyhow!(
                    "--store config: say by --config FILE which configuration names the store"
                ));
            }
            (Some(Named::Config), None) => {
                return Err(anyhow!(
                    "--store config: there is no section [store] in --config"
                ));
            }
            (Some(Named::Config), Some(config)) => config,
            (Some(Named::Url(url)), Some(config)) => Config {
                url: Url::clone(url),
                ..config
            },
            (Some(Named::Url(url)), None) => Config::at(Url::clone(url)),
        };
        if let Some(path) = &self.password_file {
            config.password_file = Some(path.clone());
        }
        if let Some(path) = &self.ca {
            config.ca = Some(path.clone());
        }
        Ok(Some(config))
    }
}

pub(super) fn open(config: &Config) -> anyhow::Result<Asked> {
    Asked::open(config).with_context(|| format!("store {}", config.url))
}
