//! Which files the gate was made of.

use std::path::{Path, PathBuf};

use crate::app::activation;
use crate::config::Config;

/// Files, and directories of policies, but for those that were fetched.
pub(super) fn of(config: &Config, file: Option<&Path>) -> Vec<PathBuf> {
    let mut files = config.files_of_policies();
    let fetched = fetched(config);
    files.retain(|file| !fetched.contains(file));
    files.extend(file.map(Path::to_owned));
    for tls in [&config.listener.tls, &config.admin.tls]
        .into_iter()
        .flatten()
    {
        files.extend(tls.paths().into_iter().map(Path::to_owned));
    }
    let environments = config.environments.values();
    let upstreams = environments.map(|environment| &environment.upstream);
    for upstream in upstreams.chain([&config.upstream]) {
        files.extend(upstream.files().map(Path::to_owned));
    }
    let environments = config.environments.values();
    let credentials = environments.filter_map(|environment| environment.credential.as_ref());
    for credential in credentials.chain(&config.credential) {
        files.extend(credential.files().into_iter().map(Path::to_owned));
    }
    files.extend(activation::files(&config.policies.activation));
    files.extend(config.lookup.token_file.clone());
    files.extend(config.identity.files().map(Path::to_owned));
    files
}

/// The bundles that servers have, where they are read.
pub(super) fn fetched(config: &Config) -> Vec<PathBuf> {
    let policies = &config.policies;
    let bundles = policies.bundles.iter();
    let fetched = bundles.filter(|(_, bundle)| bundle.remote().is_some());
    fetched
        .map(|(name, bundle)| bundle.path(&policies.state, name))
        .collect()
}
