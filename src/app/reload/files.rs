//! Which files the gate was made of.

use std::path::Path;

use crate::config::Config;

/// Files, and directories of policies.
pub(super) fn of<'a>(config: &'a Config, file: Option<&'a Path>) -> Vec<&'a Path> {
    let mut files: Vec<&Path> = file.into_iter().collect();
    files.extend(config.files_of_policies());
    for tls in [&config.listener.tls, &config.admin.tls]
        .into_iter()
        .flatten()
    {
        files.extend(tls.paths());
    }
    let environments = config.environments.values();
    let upstreams = environments.map(|environment| &environment.upstream);
    for upstream in upstreams.chain([&config.upstream]) {
        files.extend(upstream.files());
    }
    let environments = config.environments.values();
    let credentials = environments.filter_map(|environment| environment.credential.as_ref());
    for credential in credentials.chain(&config.credential) {
        files.extend(credential.files());
    }
    files.extend(config.lookup.token_file.as_deref());
    files.extend(config.identity.files());
    files
}
