//! What of the configuration operators and readers of decisions are told: whom the gate believes, and what it has for its
//! callers. Nothing of it is secret.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::audit::Configured;
use crate::config::Config;
use crate::dynatrace::token::HashKey;
use crate::gateway::Set;
use crate::grant;
use crate::policy::Mask;

/// For a record. `endpoints`: what the configuration changes about them.
pub(super) fn configured(
    config: &Config,
    set: &Set,
    key: &HashKey,
    endpoints: Map<String, Value>,
) -> Configured {
    let issuers = config.identity.jwt.iter().map(|(name, issuer)| {
        json!({
            "name": name.as_str(),
            "issuer": issuer.issuer,
            "audience": issuer.audience,
            "header": issuer.header.as_str(),
        })
    });
    Configured {
        policies: at_most(set.policy().names(), MOST_POLICIES),
        bundles: bundles(config, set),
        // Only where a set is put in force.
        kept: None,
        endpoints,
        issuers: some(issuers),
        client_certificates: client_certificates(config),
        credentials: some(set.environments().brokered(key).into_iter()),
        grants: config.grants.as_ref().map(grants),
        masks: set.policy().mask().map(Mask::rules).unwrap_or_default(),
        // The journal knows.
        pseudonyms: None,
    }
}

/// Who may sign grants, and for how long they may be good.
fn grants(config: &grant::Config) -> Value {
    let approvers = config.approvers.keys().iter().map(ToString::to_string);
    let approvers: Vec<String> = approvers.collect();
    json!({"approvers": approvers, "longest": config.longest.to_string()})
}

/// The bundles that the policies came in.
fn bundles(config: &Config, set: &Set) -> Vec<Value> {
    let rollback = config.policies.allow_rollback.as_deref();
    let told = set.policy().releases().map(|release| {
        let mut told = json!(release);
        if let (Some(members), Some(reason)) = (told.as_object_mut(), rollback) {
            members.insert("allow_rollback".to_owned(), reason.into());
        }
        told
    });
    told.collect()
}

/// The same, in the log.
pub(super) fn say(configured: &Configured) {
    for issuer in &configured.issuers {
        tracing::info!(%issuer, "JSON Web Tokens of an issuer are believed");
    }
    if let Some(shown) = configured.client_certificates {
        tracing::info!(shown, "client certificates are believed");
    }
    if let Some(grants) = &configured.grants {
        tracing::info!(%grants, "denied requests can pass once by a grant of two approvers");
    }
    for credential in &configured.credentials {
        tracing::info!(%credential, "callers that prove who they are need no credential for Dynatrace");
    }
}

/// Whether clients have to show certificates, or may.
fn client_certificates(config: &Config) -> Option<&'static str> {
    let clients = config.listener.tls.as_ref()?.clients.as_ref()?;
    Some(if clients.required {
        "required"
    } else {
        "optional"
    })
}

/// As many as a record and a screen have room for; then how many more there are.
fn some(all: impl Iterator<Item = impl Serialize>) -> Vec<Value> {
    at_most(all, MOST)
}

fn at_most(all: impl Iterator<Item = impl Serialize>, most: usize) -> Vec<Value> {
    let mut some: Vec<Value> = all.map(|one| json!(one)).collect();
    let more = some.len().saturating_sub(most);
    some.truncate(most);
    if more > 0 {
        some.push(json!({ "more": more }));
    }
    some
}

/// Names of policies.
const MOST_POLICIES: usize = 256;
/// Of a kind.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_room_for_some() {
        assert_eq!(some([1, 2].iter()), [json!(1), json!(2)]);
        let told = some((0..100).collect::<Vec<_>>().iter());
        assert_eq!(told.len(), MOST + 1);
        assert_eq!(told.last(), Some(&json!({"more": 68})));
    }
}
