//! What is sent elsewhere, as far as the configuration wants it: traces and metrics by OTLP, records to sinks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::now;
use crate::audit::{Audit, checkpoint};
use crate::config::Config;
use crate::ship::{self, Fleet, Journal, Shipping};
use crate::store::{About, Standing, Turns, Whose};
use crate::telemetry::otlp::{self, Exporter, Instance};
use crate::telemetry::{Metrics, Tracer};

/// What sends traces and metrics, where that is wanted.
pub(super) fn start(config: &Config, metrics: &Metrics) -> anyhow::Result<(Tracer, Exporter)> {
    let instance = Instance::of(config.listener.listen);
    let Some(config) = &config.otlp else {
        return Ok((Tracer::default(), Exporter::default()));
    };
    tracing::info!(
        endpoint = %config.endpoint,
        traces = config.traces.is_some(),
        metrics = config.metrics.is_some(),
        "otlp"
    );
    otlp::start(config, &instance, metrics, now).context("otlp")
}

/// Looks whether all is there that traces and metrics need to be sent.
pub fn check_otlp(config: &Config) -> anyhow::Result<()> {
    let checked = config.otlp.as_ref().map(otlp::check);
    checked.transpose().context("otlp")?;
    Ok(())
}

/// What sends records. It does not hold the journal, which is closed before the last ones are sent. `listen`: where
/// clients are served.
pub(super) fn ship(
    config: &Config,
    audit: &Audit,
    metrics: &Metrics,
    listen: SocketAddr,
) -> anyhow::Result<Shipping> {
    let journal = Journal {
        directory: audit.directory().to_owned(),
        origin: audit.origin().to_owned(),
        resource: otlp::resource(config.otlp.as_ref(), &Instance::of(config.listener.listen)),
        on_disk: Arc::new(audit.on_disk()),
        shipped: Arc::new(audit.shipped()),
    };
    let fleet = config.store.as_ref().map(|config| {
        let about = about(audit, listen)?;
        Ok::<_, anyhow::Error>(Fleet { config, about })
    });
    let fleet = fleet.transpose().context("store")?;
    ship::start(&config.ship, fleet, &journal, metrics, now).context("ship")
}

/// What other gates may know of this one.
fn about(audit: &Audit, listen: SocketAddr) -> anyhow::Result<About> {
    let (key, _) = checkpoint::key::public(audit.directory())?;
    let key = key.map_or(String::new(), |key| key.to_string());
    let (stands, started) = (audit.stands(), now());
    Ok(Arc::new(move || {
        let (head, revision) = stands();
        Standing {
            version: env!("CARGO_PKG_VERSION"),
            revision,
            listen: listen.to_string(),
            head: head.map_or((0, String::new()), |head| (head.seq, head.hash)),
            started,
            key: key.clone(),
        }
    }))
}

/// Where several gates take turns, if they do.
pub(super) fn fleet(config: &Config, audit: &Audit, metrics: &Metrics) -> Option<Turns> {
    let store = config.store.as_ref()?;
    (store.turns == Whose::Store).then(|| {
        let turns = Turns::new(store, audit.origin(), hold(config));
        metrics.turns_from(turns.goes_well());
        turns
    })
}

/// How long a request may be under way after its turn was had: the wait until it is judged and recorded, and the longest
/// way to any upstream and back.
pub(super) fn hold(config: &Config) -> Duration {
    let judged = JUDGED_WITHIN + config.lookup.timeout.as_std();
    judged + config.journal.timeout.as_std() + answered_within(config)
}

/// The longest way to any upstream and back.
pub fn answered_within(config: &Config) -> Duration {
    let sections = config.sections();
    let several = sections.several.values().map(|it| &it.upstream);
    let upstreams = std::iter::once(sections.upstream).chain(several);
    let ways = upstreams.map(|it| it.connect_timeout.as_std() + it.response_timeout.as_std());
    ways.max().unwrap_or_default()
}

/// A turn that was had longer ago is renewed before a request is recorded.
const JUDGED_WITHIN: Duration = Duration::from_secs(5);
