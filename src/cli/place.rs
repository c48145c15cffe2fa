//! Directories that nobody named: a command that does not find the one it takes by default says how to name another.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::bail;

use crate::config::Config;

/// What a directory is asked for.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// How it is named on the command line.
    flag: &'static str,
    /// And in the configuration.
    keys: [&'static str; 2],
}

pub(super) const JOURNAL: Place = Place {
    flag: "--journal DIR",
    keys: ["journal", "directory"],
};

pub(super) const POLICIES: Place = Place {
    flag: "--policies DIR",
    keys: ["policies", "directory"],
};

/// The same for a command that takes directories without a flag.
pub(super) const TESTED: Place = Place {
    flag: "a directory (dtgate test DIR)",
    keys: ["policies", "directory"],
};

impl Place {
    /// Refuses a directory that is not there, and that the command line does not name. `config`: what was read, where
    /// the command takes a configuration.
    pub(super) fn expect(self, directory: &Path, config: Option<&Config>) -> anyhow::Result<()> {
        let found = std::fs::metadata(directory);
        if !found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let [section, key] = self.keys;
        let shown = directory.display();
        if let Some(config) = config.filter(|config| config.has(&self.keys)) {
            let message = format!("there is no directory {shown}");
            bail!("{}", config.problem(&self.keys, &message));
        }
        let flag = self.flag;
        let by_key = match config {
            Some(_) => format!(", or set {section}.{key} in the configuration (--config FILE)"),
            None => String::new(),
        };
        let working = std::env::current_dir();
        let working = working.map_or_else(
            |_gone| "the working directory".to_owned(),
            |working| working.display().to_string(),
        );
        bail!(
            "there is no directory {shown} in {working}, which is the default: give {flag}{by_key}"
        )
    }
}
