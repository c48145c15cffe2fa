//! Which files the gate was made of.

use std::path::{Path, PathBuf};

use crate::app::activation;
use crate::config::Config;

/// Files, and directories of policies.
pub(super) fn of(config: &Config, file: Option<&Path>) -> Vec<PathBuf> {
    let mut files = config.files_of_policies();
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
