//! Tells people of some records: in a chat, by a pager, or wherever a short message by POST is taken.
//!
//! No more messages are sent than people can read. What comes too fast is held, and told by its number; until it was told
//! it has not arrived, and whoever restarts the gate meanwhile finds it in the journal again.

mod hand;
mod rate;
mod shape;
mod told;

use std::path::Path;

use bytes::Bytes;
use http::Uri;

use super::config::Webhook as Config;
use super::http::taken;
use super::keep::{Refusal, Sent};
use super::record::Record;
use super::{Most, Outgoing, Shape, ShipError};
use crate::audit::index::Pattern;
use crate::outbound::{Sender, To, is_private};
use crate::value::{plain_url, read_setting, unread};
use hand::Hand;
use rate::Rate;
use told::Told;

/// Where people are told.
pub(super) struct Webhook {
    config: Config,
    gate: String,
    to: Reached,
    hand: Hand,
    rate: Rate,
}

/// The way there, as the files name it.
struct Reached {
    url: Uri,
    sender: Sender,
    routing_key: String,
}

impl Webhook {
    pub(super) fn new(name: &str, config: &Config, gate: &str) -> Result<Self, ShipError> {
        let to = Reached::new(config).map_err(|reason| ShipError::Webhook {
            sink: name.to_owned(),
            reason,
        })?;
        Ok(Self {
            to,
            gate: gate.to_owned(),
            hand: Hand::default(),
            rate: Rate::new(config.per_minute.get()),
            config: config.clone(),
        })
    }

    /// Whether something waits to be told.
    pub(super) fn holds(&self) -> bool {
        !self.hand.is_empty()
    }

    /// Takes those that are selected in the hand, and tells of all that is there, as soon as that may be. Where it fails,
    /// the hand is as it was: these records come again.
    pub(super) async fn send(&mut self, records: &[Outgoing]) -> Result<Sent, Refusal> {
        let mut hand = self.hand.clone();
        let most = match self.config.shape {
            // One event tells of one decision.
            Shape::PagerDuty => self.config.per_minute.get(),
            _ => PER_MESSAGE,
        };
        let is_whole = self.config.shape == Shape::Json;
        for outgoing in records {
            let record = Record::read(&outgoing.line);
            if self.config.selects(&record) {
                let line = is_whole.then_some(&*outgoing.line);
                hand.take(outgoing.seq, most, || Told::of(outgoing.seq, &record, line));
            }
        }
        self.tell(hand, false).await
    }

    /// Tells of what is held, if that may be by now, or at once.
    pub(super) async fn send_held(&mut self, at_once: bool) -> Result<Sent, Refusal> {
        let hand = self.hand.clone();
        self.tell(hand, at_once).await
    }

    async fn tell(&mut self, mut hand: Hand, at_once: bool) -> Result<Sent, Refusal> {
        let count = usize::try_from(hand.count()).unwrap_or(usize::MAX);
        while !hand.is_empty() {
            let free = self.rate.free().max(at_once.into());
            if free == 0 {
                self.hand = hand;
                return Ok(Sent::Held);
            }
            // A pager gets one event for each, as long as there is room for more than one.
            let is_single = self.config.shape == Shape::PagerDuty && free > 1;
            let now = if is_single { hand.split_first() } else { None };
            let now = now.unwrap_or_else(|| std::mem::take(&mut hand));
            self.post(&now).await?;
            self.rate.take();
        }
        self.hand = hand;
        Ok(Sent::Arrived(count))
    }

    /// Sends one message. If it is refused for what it says, the records are told by their numbers alone: what a client
    /// has written must not keep all that follows from being told.
    async fn post(&mut self, hand: &Hand) -> Result<(), Refusal> {
        match self.post_once(hand).await {
            Err(Refusal::Records(reason)) if !hand.told.is_empty() => {
                let told = self.post_once(&hand.bare()).await;
                if told.is_ok() {
                    tracing::warn!(
                        first = hand.first,
                        last = hand.last,
                        reason,
                        "a webhook refuses what is told of records, and was told their numbers alone"
                    );
                }
                // It is not for the records.
                told.map_err(|refusal| match refusal {
                    Refusal::Records(reason) => Refusal::Now(reason, None),
                    other => other,
                })
            }
            Err(Refusal::Records(reason)) => Err(Refusal::Now(reason, None)),
            other => other,
        }
    }

    async fn post_once(&mut self, hand: &Hand) -> Result<(), Refusal> {
        self.to.again(&self.config)?;
        let message = shape::message(self.config.shape, hand, &self.gate, &self.to.routing_key);
        let message = Bytes::from(message.to_string());
        let (url, json) = (self.to.url.clone(), "application/json");
        taken(self.to.sender.post(url, json, &[], message).await).map(drop)
    }
}

impl Config {
    /// Whether people are to be told of a record. Each part that is there has to hold; of its values, any.
    fn selects(&self, record: &Record) -> bool {
        let is_any = |patterns: &[Pattern], text: Option<&str>| {
            let text = text.unwrap_or_default();
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(text))
        };
        let said = |patterns: &[Pattern], get: fn(&str, &str) -> String| {
            patterns.is_empty()
                || record.violations().any(|said| {
                    let text = get(said.policy, said.code);
                    !text.is_empty() && is_any(patterns, Some(&text))
                })
        };
        let verdict = record.verdict();
        let is_verdict = verdict.is_none_or(|it| self.verdict.iter().any(|at| at.as_str() == it));
        is_any(&self.kind, Some(record.kind()))
            && is_verdict
            && is_any(&self.operation, record.text("/operation"))
            && is_any(&self.environment, record.environment())
            && said(&self.policy, |policy, _| policy.to_owned())
            && said(&self.code, |_, code| code.to_owned())
    }
}

impl Reached {
    /// Reads what the configuration names. Nothing of a file is part of a reason.
    fn new(config: &Config) -> Result<Self, String> {
        let url = url(config)?;
        if !is_private(&url) {
            return Err(
                "the URL is a secret, and is http:// on another machine: use https://".to_owned(),
            );
        }
        let sender = Sender::new(&To {
            url: &url,
            headers_file: config.headers_file.as_deref(),
            ca: config.ca.as_deref(),
            client_certificate: config.client_certificate.as_ref(),
            proxy: config.proxy.as_ref(),
            proxy_credential_file: config.proxy_credential_file.as_deref(),
            timeout: config.timeout.into(),
        });
        Ok(Self {
            sender: sender.map_err(|error| error.to_string())?,
            routing_key: routing_key(config)?,
            url,
        })
    }

    /// Reads the files again: secrets are exchanged while the gate runs. One that cannot be read is being written.
    fn again(&mut self, config: &Config) -> Result<(), Refusal> {
        if let Ok(key) = routing_key(config) {
            self.routing_key = key;
        }
        if url(config).is_ok_and(|url| url != self.url) {
            *self = Self::new(config).map_err(|reason| Refusal::Now(reason, None))?;
        }
        Ok(())
    }
}

fn url(config: &Config) -> Result<Uri, String> {
    let Some(path) = &config.url_file else {
        return match config.shape {
            Shape::PagerDuty => Ok(Uri::from_static(PAGERDUTY)),
            _ => Err("the URL is a secret: put it in a file, and name that as url_file".to_owned()),
        };
    };
    let text = secret(path, "url_file")?;
    plain_url(&text).ok_or_else(|| {
        let path = path.display();
        format!(
            "url_file {path}: it is not a URL: write https://host[:port]/path, and nothing else"
        )
    })
}

fn routing_key(config: &Config) -> Result<String, String> {
    match (&config.routing_key_file, config.shape) {
        (Some(path), Shape::PagerDuty) => secret(path, "routing_key_file"),
        (None, Shape::PagerDuty) => Err(
            "PagerDuty knows an integration by its key: put that in a file, and name it as routing_key_file"
                .to_owned(),
        ),
        (Some(_), _) => Err("routing_key_file is for PagerDuty: take it away".to_owned()),
        (None, _) => Ok(String::new()),
    }
}

/// The one line of a file.
fn secret(path: &Path, key: &str) -> Result<String, String> {
    let shown = path.display();
    let text = read_setting(path);
    let text = text.map_err(|error| format!("{key} {shown}: {}", unread(&error)))?;
    match text.trim() {
        line if !line.is_empty() && !line.contains(char::is_whitespace) => Ok(line.to_owned()),
        _ => Err(format!("{key} {shown}: it has not one line with one word")),
    }
}

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// More than anybody reads in one message.
const PER_MESSAGE: usize = 10;

pub(super) const MOST: Most = Most {
    records: 1000,
    bytes: 1 << 20,
};

#[cfg(test)]
mod tests;
