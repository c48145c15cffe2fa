//! What of the section may not be meant, and is in force.

use super::{Config, From, Refused, Shape, Target, Verdict};
use crate::outbound::{is_encrypted, is_here, is_private};

/// Keys below `ship`, and what is to be said about them.
pub fn doubts(config: &Config) -> Vec<(Vec<String>, String)> {
    let mut doubts = Doubts(Vec::new());
    for (name, target) in &config.opa {
        doubts.of_target("opa", &name.to_string(), target);
    }
    for (name, target) in &config.otlp {
        let (name, url) = (name.to_string(), target.url.uri());
        doubts.of_target("otlp", &name, target);
        let place = ["otlp", &*name];
        doubts.add(
            url.port_u16() == Some(4317),
            &[&place[..], &["url"]].concat(),
            "4317 is the port of OTLP over gRPC, which dtgate does not speak: OTLP over HTTP usually has 4318",
        );
        let is_dynatrace = url.host().unwrap_or_default().contains(".dynatrace");
        let begins = target.from.unwrap_or(From::Beginning);
        doubts.add(
            is_dynatrace && target.refused == Refused::Wait && begins == From::Beginning,
            &place,
            "this looks like Dynatrace's endpoint, which rejects records older than a day: one that is older stops the \
             sink; write refused = \"skip\", or send to a collector",
        );
    }
    for (name, webhook) in &config.webhook {
        let name = name.to_string();
        let place = ["webhook", &*name];
        let at = |key| [&place[..], &[key]].concat();
        doubts.add(
            webhook.kind.is_empty(),
            &at("kind"),
            "an empty list selects every kind: name them, or take the key away, which means decisions",
        );
        let is_any = webhook.kind.iter().any(|kind| kind.fits("decision"));
        doubts.add(
            webhook.verdict.is_empty() && is_any,
            &at("verdict"),
            "an empty list selects no decision: write \"deny\", \"allow\", or both",
        );
        let is_every = webhook.verdict.contains(&Verdict::Allow)
            && webhook.operation.is_empty()
            && webhook.environment.is_empty()
            && webhook.policy.is_empty()
            && webhook.code.is_empty();
        doubts.add(
            is_every && is_any && webhook.shape != Shape::Json,
            &at("verdict"),
            "people are told of every change that is allowed: name operations, environments or policies too, or take \
             \"allow\" away",
        );
        let needs_decision = !webhook.operation.is_empty() || !webhook.policy.is_empty();
        doubts.add(
            !is_any && !webhook.kind.is_empty() && needs_decision,
            &at("kind"),
            "nothing is selected: only decisions have an operation and policies",
        );
    }
    doubts.0
}

struct Doubts(Vec<(Vec<String>, String)>);

impl Doubts {
    fn add(&mut self, is_so: bool, keys: &[&str], reason: &str) {
        if is_so {
            let keys = keys.iter().map(|&key| key.to_owned()).collect();
            self.0.push((keys, reason.to_owned()));
        }
    }

    fn of_target(&mut self, kind: &str, name: &str, target: &Target) {
        let url = target.url.uri();
        let at = |key| [kind, name, key];
        self.add(
            !is_private(url),
            &at("url"),
            "records cross the network readable, and whoever is on the way can change them: write https://",
        );
        self.add(
            is_here(url) && target.proxy.is_some(),
            &at("proxy"),
            "it is never used, because the URL is on this machine: take it away",
        );
        let never = "it is never used, because the URL is http://: write https://";
        let is_plain = !is_encrypted(url);
        self.add(is_plain && target.ca.is_some(), &at("ca"), never);
        self.add(
            is_plain && target.client_certificate.is_some(),
            &at("client_certificate"),
            never,
        );
    }
}
