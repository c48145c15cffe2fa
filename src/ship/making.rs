//! Sinks as the configuration names them: all at the start, and one again that has ended by a fault.

use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::Instant;

use super::keep::Keep;
use super::losses::Losses;
use super::{
    Config, From, Journal, Refused, ShipError, Sink, State, Target, config, opa, otlp, webhook,
};
use crate::audit::outgoing::Bookmark;
use crate::outbound::OutboundError;
use crate::store;
use crate::telemetry::Metrics;

/// A sink, and how it is treated.
pub(super) struct Made {
    name: String,
    pub(super) sink: Sink,
    refused: Refused,
    from: From,
}

/// By what sinks are made: at the start, and again where one has ended by a fault.
pub(super) struct Making {
    pub(super) config: Config,
    pub(super) fleet: Option<(store::Config, store::About)>,
    pub(super) journal: Journal,
    pub(super) metrics: Metrics,
    pub(super) state: State,
}

impl Making {
    pub(super) fn all(&self) -> Result<Vec<Made>, ShipError> {
        let journal = &self.journal;
        let mut made = sinks(&self.config, &journal.origin, &journal.resource)?;
        made.extend(self.store()?);
        Ok(made)
    }

    fn store(&self) -> Result<Option<Made>, ShipError> {
        let Some((config, about)) = &self.fleet else {
            return Ok(None);
        };
        let sink = store::Sink::new(config, &self.journal.origin, about.clone())?;
        Ok(Some(Made {
            name: STORE.to_owned(),
            sink: Sink::Store(Box::new(sink)),
            refused: Refused::Wait,
            from: From::Beginning,
        }))
    }

    fn one(&self, name: &str) -> Result<Made, ShipError> {
        let journal = &self.journal;
        if name == STORE {
            return self.store()?.ok_or(ShipError::Gone);
        }
        sink(&self.config, name, &journal.origin, &journal.resource)
    }

    /// Behind what its cursor says.
    pub(super) fn keep(&self, mut made: Made) -> Result<Keep, ShipError> {
        let journal = &self.journal;
        let from = match made.from {
            From::Beginning => 0,
            From::Now => (journal.on_disk)(),
        };
        let bookmark = Bookmark::open(&journal.directory, &made.name, from);
        let bookmark = bookmark.map_err(|source| ShipError::Cursor {
            sink: made.name.clone(),
            source,
        })?;
        let bookmark = bookmark.under(&journal.origin);
        if let Sink::Store(store) = &mut made.sink {
            store.goes_on(&journal.directory, bookmark.sent());
        }
        Ok(Keep {
            name: made.name,
            sink: made.sink,
            refused: made.refused,
            bookmark,
            on_disk: journal.on_disk.clone(),
            state: self.state.clone(),
            metrics: self.metrics.clone(),
            saved: Instant::now(),
            cannot_save: false,
            taken: None,
            lost: None,
            earlier: None,
            losses: Losses::default(),
        })
    }

    /// One sink anew. What it had sent and not noted is sent again.
    pub(super) fn again(&self, name: &str) -> Result<Keep, ShipError> {
        let keep = self.keep(self.one(name)?)?;
        self.state.stands(name, keep.bookmark.seq());
        Ok(keep)
    }
}

/// All that the configuration names.
pub(super) fn sinks(
    config: &Config,
    origin: &str,
    resource: &Resource,
) -> Result<Vec<Made>, ShipError> {
    let names = config.names();
    if names.len() > MOST {
        return Err(ShipError::Many);
    }
    let made = names
        .iter()
        .map(|name| sink(config, name, origin, resource));
    made.collect()
}

/// The one of this name, whatever is wrong with others.
fn sink(config: &Config, name: &str, origin: &str, resource: &Resource) -> Result<Made, ShipError> {
    match name.split_once('.') {
        Some(("opa", of_opa)) => {
            let target = config::named(&config.opa, of_opa).ok_or(ShipError::Gone)?;
            let sink = opa::Opa::new(target, origin).map_err(of(name))?;
            Ok(target.made(name, Sink::Opa(sink.into())))
        }
        Some(("otlp", of_otlp)) => {
            let target = config::named(&config.otlp, of_otlp).ok_or(ShipError::Gone)?;
            let sink = otlp::Otlp::new(target, resource, origin).map_err(of(name))?;
            Ok(target.made(name, Sink::Otlp(sink.into())))
        }
        Some(("webhook", of_webhook)) => {
            let config = config::named(&config.webhook, of_webhook).ok_or(ShipError::Gone)?;
            let sink = webhook::Webhook::new(name, config, origin)?;
            Ok(Made {
                sink: Sink::Webhook(sink.into()),
                refused: Refused::Wait,
                // Nobody wants old alarms.
                from: config.from.unwrap_or(From::Now),
                name: name.to_owned(),
            })
        }
        _ => Err(ShipError::Gone),
    }
}

impl Target {
    fn made(&self, name: &str, sink: Sink) -> Made {
        Made {
            name: name.to_owned(),
            sink,
            refused: self.refused,
            from: self.from.unwrap_or(From::Beginning),
        }
    }
}

fn of(sink: &str) -> impl FnOnce(OutboundError) -> ShipError {
    let sink = sink.to_owned();
    move |source| ShipError::Outbound { sink, source }
}

/// What the store is called among sinks.
const STORE: &str = "store";

/// As many sinks as one has use for.
pub(super) const MOST: usize = 32;
