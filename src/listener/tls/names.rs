//! Which certificate a client is shown: the one with the name that it asks for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::{LoadError, LoadErrorKind, Shown};

/// All certificates of a listener.
#[derive(Debug)]
pub(super) struct Names {
    default: Arc<CertifiedKey>,
    /// Several where they have the same name, and keys of different kinds.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Names {
    pub(super) fn new(default: Shown) -> Self {
        let mut names = Self {
            default: Arc::clone(&default.key),
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        };
        names.put(default);
        names
    }

    /// One more, which has to have a name: nobody could ask for it.
    pub(super) fn add(&mut self, shown: Shown, file: &Path) -> Result<(), LoadError> {
        if shown.names.is_empty() {
            return Err(LoadError::new(file, LoadErrorKind::Nameless));
        }
        self.put(shown);
        Ok(())
    }

    fn put(&mut self, shown: Shown) {
        for name in shown.names {
            let keys = match name.strip_prefix("*.") {
                Some(rest) => self.wildcard.entry(rest.to_owned()).or_default(),
                None => self.exact.entry(name).or_default(),
            };
            keys.push(Arc::clone(&shown.key));
        }
    }

    /// Those with this name, and those for all names beside it.
    fn of(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let exact = self.exact.get(&name);
        // The star stands for one label, and not for none.
        let wildcard = name
            .split_once('.')
            .filter(|(label, _)| !label.is_empty())
            .and_then(|(_, rest)| self.wildcard.get(rest));
        exact.into_iter().chain(wildcard).flatten()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_understood =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let asked_for = hello
            .server_name()
            .and_then(|name| self.of(name).find(is_understood));
        Some(Arc::clone(asked_for.unwrap_or(&self.default)))
    }
}
