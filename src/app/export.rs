//! What is sent elsewhere, as far as the configuration wants it: traces and metrics by OTLP, records to sinks.

use anyhow::Context;

use std::sync::Arc;

use super::now;
use crate::audit::Audit;
use crate::config::Config;
use crate::ship::{self, Journal, Shipping};
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

/// What sends records. It does not hold the journal, which is closed before the last ones are sent.
pub(super) fn ship(config: &Config, audit: &Audit, metrics: &Metrics) -> anyhow::Result<Shipping> {
    let journal = Journal {
        directory: audit.directory().to_owned(),
        origin: audit.origin().to_owned(),
        resource: otlp::resource(config.otlp.as_ref(), &Instance::of(config.listener.listen)),
        on_disk: Arc::new(audit.on_disk()),
        shipped: Arc::new(audit.shipped()),
    };
    ship::start(&config.ship, &journal, metrics, now).context("ship")
}
