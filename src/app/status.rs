//! What operators are told of a running gate, as JSON. Nothing of it is secret, and nothing asks a disk or a network.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::now;
use super::reload::State;
use super::shown::SHOWN_TO;
use crate::anchor;
use crate::audit::{Audit, Space};
use crate::bundles::Downloads;
use crate::gateway::challenger::Challenger;
use crate::gateway::{Reached, Service};
use crate::listener::TlsSwap;
use crate::ship;
use crate::store::Turns;
use crate::value::rfc3339_millis;

/// Where to look.
pub(super) struct Places {
    pub(super) state: Arc<State>,
    pub(super) audit: Audit,
    pub(super) space: Space,
    /// Where checkpoints go.
    pub(super) anchored: anchor::State,
    /// Where records go.
    pub(super) shipped: ship::State,
    /// Where several gates take turns.
    pub(super) fleet: Option<Turns>,
    pub(super) challenger: Challenger,
    /// Bundles that servers have.
    pub(super) downloads: Arc<Downloads>,
    /// Of the listeners for clients, and for operators.
    pub(super) tls: [TlsSwap; 2],
    /// That of any thread: all share what they are limited to.
    pub(super) service: Option<Service>,
}

impl Places {
    pub(super) fn to_json(&self) -> Value {
        let mut told = self.state.to_json();
        told.insert("certificates".to_owned(), self.certificates(now()));
        told.insert("environments".to_owned(), self.environments());
        told.insert("journal".to_owned(), self.journal());
        let turns = self.fleet.as_ref().map(Turns::told);
        told.insert("bundles".to_owned(), json!(self.downloads.told()));
        told.insert("challenger".to_owned(), self.challenger.told());
        told.insert("turns".to_owned(), json!(turns));
        told.insert("sinks".to_owned(), json!(self.shipped.all()));
        Value::Object(told)
    }

    /// The gate's own, the one that ends first being first.
    fn certificates(&self, now: Timestamp) -> Value {
        let mut served: Vec<_> = SHOWN_TO
            .iter()
            .zip(&self.tls)
            .flat_map(|(whom, tls)| tls.served().into_iter().map(move |it| (whom, it)))
            .collect();
        served.sort_by_key(|(_, certificate)| certificate.not_after);
        let told = served.iter().map(|(whom, certificate)| {
            let end = certificate.not_after;
            let seconds = end.map(|end| end.as_second().saturating_sub(now.as_second()));
            json!({
                "shown_to": whom,
                "file": certificate.file.display().to_string(),
                "names": certificate.names,
                "not_after": end.map(rfc3339_millis),
                "days_left": seconds.map(|seconds| seconds.div_euclid(86_400)),
            })
        });
        told.collect()
    }

    fn environments(&self) -> Value {
        let reached = self.service.as_ref().map(Service::reached);
        let told = reached.into_iter().flatten().map(|environment| {
            let Reached {
                name,
                url,
                open,
                most,
                waiting,
                error,
            } = environment;
            json!({
                "name": name,
                "url": url,
                "connections": open,
                "max_connections": most,
                "waiting": waiting,
                "error": error,
            })
        });
        told.collect()
    }

    fn journal(&self) -> Value {
        let head = self.audit.head();
        let health = self.audit.health();
        let mut told = Map::new();
        told.insert("ok".to_owned(), json!(health.is_ok()));
        told.insert("error".to_owned(), json!(health.err()));
        told.insert("head_seq".to_owned(), json!(head.as_ref().map(|it| it.seq)));
        told.insert("head_hash".to_owned(), json!(head.map(|it| it.hash)));
        told.insert("free_bytes".to_owned(), json!(self.space.known_free()));
        let newest = self.audit.checkpoints().borrow().clone();
        let newest =
            newest.map(|it| json!({"size": it.checkpoint.size, "made": rfc3339_millis(it.made)}));
        told.insert("checkpoint".to_owned(), json!(newest));
        told.insert("checkpoints_sent".to_owned(), json!(self.anchored.all()));
        let least = self.space.min_free().as_u64();
        told.insert("min_free_bytes".to_owned(), json!(least));
        let kept = self.audit.kept();
        told.insert("kept".to_owned(), json!(kept));
        Value::Object(told)
    }
}
