//! Traces and metrics by OTLP, as far as the configuration wants them.

use anyhow::Context;

use super::now;
use crate::config::Config;
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
