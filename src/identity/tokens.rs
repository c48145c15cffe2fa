//! Whose tokens are believed: finds the one that a request shows to the gate, and checks it.
//!
//! A token is the gate's when it says that it is from an issuer of the configuration (`iss`), or stands in a field that the
//! configuration gives to tokens. All others, those of Dynatrace above all, are not for the gate: they are no proof of
//! anything here, and pass.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::compact::Compact;
use super::config::{Config, Issuer, Name, Source};
use super::error::{Error, Flaw};
use super::file::KeysError;
use super::keys::{Health, Keys};
use super::share::{Checks, Origin};
use crate::telemetry::Metrics;

/// What a good token says. It is text of a client: whoever writes it makes it writable first.
#[derive(Clone, Debug, PartialEq)]
pub struct Jwt {
    pub issuer: String,
    /// Whose it is: never empty.
    pub subject: String,
    pub audiences: Vec<String>,
    pub id: Option<String>,
    /// All of them, those above too.
    pub claims: Map<String, Value>,
    /// Where the token stood: it is for the gate, and must not be sent on.
    pub field: HeaderName,
}

/// Checks tokens. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Tokens {
    issuers: Arc<[Trusted]>,
    /// The fields that are for tokens alone.
    fields: Arc<[HeaderName]>,
    checks: Arc<Checks>,
    metrics: Metrics,
    now: fn() -> Timestamp,
}

#[derive(Debug)]
struct Trusted {
    name: Name,
    config: Issuer,
    keys: Keys,
}

/// Why an issuer of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("identity.jwt.{name}: {error}")]
pub struct BuildError {
    pub name: Name,
    pub error: KeysError,
}

/// The one token that a request shows to the gate.
struct Shown<'t> {
    compact: Compact<'t>,
    issuer: &'t Trusted,
    field: HeaderName,
}

impl Tokens {
    /// Reads files; fetches nothing yet. `now` is for a metric only.
    pub fn new(
        config: &Config,
        metrics: &Metrics,
        now: fn() -> Timestamp,
    ) -> Result<Self, BuildError> {
        Self::after(&[], Arc::default(), config, metrics, now)
    }

    /// The same with this configuration: files are read again, and keys that were fetched are kept, of issuers whose keys
    /// still come from the same place.
    pub fn renew(&self, config: &Config) -> Result<Self, BuildError> {
        let checks = self.checks.clone();
        Self::after(&self.issuers, checks, config, &self.metrics, self.now)
    }

    fn after(
        before: &[Trusted],
        checks: Arc<Checks>,
        config: &Config,
        metrics: &Metrics,
        now: fn() -> Timestamp,
    ) -> Result<Self, BuildError> {
        let issuers = config.jwt.iter().map(|(name, config)| {
            let same = |known: &&Trusted| {
                known.config.issuer == config.issuer && known.config.keys == config.keys
            };
            let before = before.iter().find(same).map(|known| &known.keys);
            let keys = Keys::new(name, config, before, metrics, now);
            Ok(Trusted {
                name: name.clone(),
                config: config.clone(),
                keys: keys.map_err(|error| BuildError {
                    name: name.clone(),
                    error,
                })?,
            })
        });
        let issuers: Arc<[Trusted]> = issuers.collect::<Result<_, _>>()?;
        let fields: BTreeSet<&str> = issuers
            .iter()
            .map(|issuer| issuer.config.header.as_str())
            .filter(|field| *field != AUTHORIZATION)
            .collect();
        let fields = fields.into_iter().filter_map(|field| field.parse().ok());
        Ok(Self {
            fields: fields.collect(),
            issuers,
            checks,
            metrics: metrics.clone(),
            now,
        })
    }

    /// The token that a request shows to the gate, checked. None: it shows none. An error: it shows one that proves nothing,
    /// and has to be refused.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        origin: Origin,
        now: fn() -> Timestamp,
    ) -> Result<Option<Jwt>, Error> {
        if self.issuers.is_empty() {
            return Ok(None);
        }
        let checked = match self.shown(headers) {
            Ok(None) => return Ok(None),
            // Boxed: requests that show none would carry room for it about.
            Ok(Some(shown)) => Box::pin(self.check(shown, origin, now())).await,
            Err(error) => Err(error),
        };
        self.counted(checked).map(Some)
    }

    /// One token that its issuer has handed over itself: it stands in no field.
    pub async fn judge(
        &self,
        token: &str,
        origin: Origin,
        now: fn() -> Timestamp,
    ) -> Result<Jwt, Error> {
        let shown = Compact::of(token).ok_or_else(|| Flaw::Malformed.of(None));
        let shown = shown.and_then(|compact| {
            let issuer = self.issuer(&compact)?;
            Ok(Shown {
                compact,
                issuer: issuer.ok_or_else(|| Flaw::Issuer.of(None))?,
                field: AUTHORIZATION,
            })
        });
        let checked = match shown {
            Ok(shown) => Box::pin(self.check(shown, origin, now())).await,
            Err(error) => Err(error),
        };
        self.counted(checked)
    }

    fn counted(&self, checked: Result<(Name, Jwt), Error>) -> Result<Jwt, Error> {
        let (issuer, result) = match &checked {
            Ok((name, _)) => (Some(name), "good"),
            Err(error) => (error.issuer.as_ref(), error.flaw.as_str()),
        };
        self.metrics
            .jwt(issuer.map_or("none", Name::as_str), result);
        if let Err(error) = &checked
            && let Some(limit) = error.flaw.limit()
        {
            self.metrics.reached(limit);
        }
        checked.map(|(_, jwt)| jwt)
    }

    /// What is cheap is looked at first: a token that is bad anyway makes nobody fetch keys, nor check a signature.
    async fn check(
        &self,
        shown: Shown<'_>,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(Name, Jwt), Error> {
        let Shown {
            compact,
            issuer,
            field,
        } = shown;
        let refused = |flaw: Flaw| flaw.of(Some(&issuer.name));
        let head = compact.head().map_err(refused)?;
        if !issuer.config.algorithms.contains(&head.algorithm) {
            return Err(refused(Flaw::Algorithm));
        }
        let claims = compact.claims().map_err(refused)?;
        let jwt = Jwt {
            issuer: text(&claims, "iss").map_err(refused)?,
            subject: subject(&claims, &issuer.config.subject).map_err(refused)?,
            audiences: audiences(&claims).map_err(refused)?,
            id: optional(&claims, "jti").map_err(refused)?,
            claims,
            field,
        };
        let is_ours = |audience: &String| issuer.config.audience.contains(audience);
        if jwt.issuer != issuer.config.issuer {
            return Err(refused(Flaw::Issuer));
        }
        if !jwt.audiences.iter().any(is_ours) {
            return Err(refused(Flaw::Audience));
        }
        let times = Times::of(&jwt.claims).map_err(refused)?;
        let leeway = issuer.config.leeway.into();
        times.include(now, leeway).map_err(refused)?;
        if let Some(longest) = issuer.config.max_lifetime {
            times.are_within(longest.into()).map_err(refused)?;
        }
        let key = issuer.keys.find(&head.kid, origin).await.map_err(refused)?;
        if !key.is_for(head.algorithm) {
            return Err(refused(Flaw::KeyType));
        }
        let verify = || key.verifies(head.algorithm, compact.message(), compact.signature());
        let checked = self.checks.check(origin, compact.text(), verify).await;
        let is_good = checked.map_err(|limit| {
            self.metrics.reached(limit);
            refused(Flaw::Busy)
        })?;
        if !is_good {
            return Err(refused(Flaw::Signature));
        }
        Ok((issuer.name.clone(), jwt))
    }

    /// The fields that are for tokens alone: they end at the gate, whatever is in them.
    pub fn fields(&self) -> &[HeaderName] {
        &self.fields
    }

    /// Fetches keys before they are too old, until it is dropped.
    pub async fn keep(&self) {
        let mut kept = tokio::task::JoinSet::new();
        for issuer in &*self.issuers {
            let keys = issuer.keys.clone();
            kept.spawn(async move { keys.keep().await });
        }
        while kept.join_next().await.is_some() {}
    }

    /// How the keys of each issuer are.
    pub fn health(&self) -> Vec<Health> {
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.keys.health()).collect()
    }

    /// Whether the files of keys say what they said to another.
    pub fn is_like(&self, other: &Self) -> bool {
        self.issuers.iter().all(|issuer| {
            let mut others = other.issuers.iter();
            let other = others.find(|other| other.name == issuer.name);
            other.is_none_or(|other| issuer.keys.is_like(&other.keys))
        })
    }

    /// What each issuer is called in its tokens.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        let issuers = self.issuers.iter();
        issuers.map(|issuer| issuer.config.issuer.as_str())
    }

    fn shown<'t>(&'t self, headers: &'t HeaderMap) -> Result<Option<Shown<'t>>, Error> {
        let mut shown = self.in_authorization(headers)?;
        for field in &*self.fields {
            for value in headers.get_all(field) {
                let token = alone(value).and_then(Compact::of);
                let compact = token.ok_or_else(|| Flaw::Malformed.of(None))?;
                let issuer = self.issuer(&compact)?;
                let issuer = issuer.ok_or_else(|| Flaw::Issuer.of(None))?;
                if issuer.config.header != *field {
                    return Err(Flaw::Place.of(Some(&issuer.name)));
                }
                if shown.is_some() {
                    return Err(Flaw::Several.of(Some(&issuer.name)));
                }
                shown = Some(Shown {
                    compact,
                    issuer,
                    field: field.clone(),
                });
            }
        }
        Ok(shown)
    }

    /// Dynatrace's tokens stand there, too. Wherever one of the gate's is among them, it has to be alone.
    fn in_authorization<'t>(&'t self, headers: &'t HeaderMap) -> Result<Option<Shown<'t>>, Error> {
        let is_alone = headers.get_all(AUTHORIZATION).iter().count() == 1;
        let mut shown = None;
        for value in headers.get_all(AUTHORIZATION) {
            for word in words(value) {
                let Some(compact) = Compact::of(word) else {
                    continue;
                };
                let Some(issuer) = self.issuer(&compact)? else {
                    continue;
                };
                let name = Some(&issuer.name);
                if issuer.config.header != AUTHORIZATION {
                    return Err(Flaw::Place.of(name));
                }
                if shown.is_some() || !is_alone {
                    return Err(Flaw::Several.of(name));
                }
                if bearer(value) != Some(word) {
                    return Err(Flaw::Scheme.of(name));
                }
                shown = Some(Shown {
                    compact,
                    issuer,
                    field: AUTHORIZATION,
                });
            }
        }
        Ok(shown)
    }

    /// Of which issuer a token says that it is, if it is one of ours.
    fn issuer(&self, compact: &Compact<'_>) -> Result<Option<&Trusted>, Error> {
        if compact.is_long() {
            return Err(Flaw::Long.of(None));
        }
        let said = compact.issuers();
        let mut issuers = self.issuers.iter();
        Ok(issuers.find(|issuer| said.contains(&issuer.config.issuer)))
    }
}

impl Config {
    /// The files that are read, so that somebody can look whether they change.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.jwt.values().flat_map(|issuer| {
            let keys = match &issuer.keys {
                Source::File(path) => Some(path.as_path()),
                Source::Discovery(_) | Source::Url(_) => None,
            };
            let others = [&issuer.ca, &issuer.proxy_credential_file];
            let others = others.into_iter().filter_map(Option::as_deref);
            keys.into_iter().chain(others)
        })
    }
}

/// When a token counts. It has to say when it ends.
struct Times {
    issued: Option<Timestamp>,
    begins: Option<Timestamp>,
    ends: Timestamp,
}

impl Times {
    fn of(claims: &Map<String, Value>) -> Result<Self, Flaw> {
        let moment = |name: &'static str| {
            let moment = |value: &Value| {
                let seconds = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
                Timestamp::UNIX_EPOCH.checked_add(seconds).ok()
            };
            let flaw = |value: &Value| match value.as_f64() {
                Some(number) if number > LATEST_SECOND => Flaw::Late(name),
                _ => Flaw::Claim(name, "a number of seconds since 1970"),
            };
            let claim = claims.get(name);
            claim
                .map(|value| moment(value).ok_or_else(|| flaw(value)))
                .transpose()
        };
        let (ends, begins, issued) = (moment("exp")?, moment("nbf")?, moment("iat")?);
        Ok(Self {
            issued,
            begins,
            ends: ends.ok_or(Flaw::Missing("exp"))?,
        })
    }

    fn include(&self, now: Timestamp, leeway: Duration) -> Result<(), Flaw> {
        let leeway = SignedDuration::try_from(leeway).unwrap_or(SignedDuration::MAX);
        let is_after = |later: Timestamp| later.duration_since(now) > leeway;
        if now.duration_since(self.ends) >= leeway {
            Err(Flaw::Expired)
        } else if self.begins.is_some_and(is_after) {
            Err(Flaw::NotYet)
        } else if self.issued.is_some_and(is_after) {
            Err(Flaw::Future)
        } else {
            Ok(())
        }
    }

    /// Whether a token is good for so long at most. One that does not say since when may be good for any time.
    fn are_within(&self, longest: Duration) -> Result<(), Flaw> {
        let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        let lifetime = self.issued.map(|issued| self.ends.duration_since(issued));
        match lifetime {
            Some(lifetime) if lifetime <= longest => Ok(()),
            _ => Err(Flaw::Lifetime),
        }
    }
}

fn optional(claims: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Flaw> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Flaw::Claim(name, "a text")),
    }
}

/// Whose a token is. RFC 9068 and `OpenID` Connect want it in each token: who has no name shares one with all who have none.
fn subject(claims: &Map<String, Value>, name: &str) -> Result<String, Flaw> {
    let text = claims.get(name).and_then(Value::as_str);
    let text = text.filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or(Flaw::Subject)
}

fn text(claims: &Map<String, Value>, name: &'static str) -> Result<String, Flaw> {
    optional(claims, name)?.ok_or(Flaw::Missing(name))
}

fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Flaw> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let listed = match claims.get("aud") {
        Some(Value::Array(listed)) => listed.iter().map(text).collect(),
        Some(one) => text(one).map(|one| vec![one]),
        None => return Err(Flaw::Missing("aud")),
    };
    listed.ok_or(Flaw::Claim("aud", "a text, or a list of texts"))
}

/// Whatever could be a token, however it is decorated.
fn words(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let parts = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    let words = value.as_bytes().split(parts);
    words.filter_map(|word| std::str::from_utf8(word).ok())
}

/// What stands behind `Bearer`.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start())
}

/// What stands in a field of its own, behind `Bearer` or without.
fn alone(value: &HeaderValue) -> Option<&str> {
    bearer(value).or_else(|| value.to_str().ok().map(str::trim))
}

/// The last second of the year 9999: what is later is told in another unit.
const LATEST_SECOND: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests;
