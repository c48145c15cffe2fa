//! One request, taken apart: which resource below which prefix, which parameters, whose credential.
//!
//! As lenient as Dynatrace's own examples need it to be: double and trailing slashes mean nothing.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header::AUTHORIZATION, request::Parts};
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    Options, moment,
    reply::{Refusal, Violation},
    state::{State, Token},
};

pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) query: Query,
    pub(super) options: Options,
    pub(super) now: Timestamp,
    /// `/e/{environment}` if the request came below it.
    pub(super) base: String,
    /// Came through the platform's proxy, where credentials are bearer tokens.
    platform: bool,
    peer: IpAddr,
}

impl Call {
    /// The call, and the path segments from `api` on.
    pub(super) fn new(
        parts: Parts,
        body: Bytes,
        options: Options,
        now: Timestamp,
        peer: IpAddr,
    ) -> (Self, Vec<String>) {
        let (base, platform, path) = located(&parts.uri);
        let call = Self {
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            method: parts.method,
            headers: parts.headers,
            body,
            options,
            now: moment::truncated(now),
            base,
            platform,
            peer,
        };
        (call, path)
    }

    pub(super) fn authenticate(&self, state: &mut State) -> Result<Token, Refusal> {
        state.authenticate(&self.credential()?, self.now, self.peer)
    }

    fn credential(&self) -> Result<String, Refusal> {
        let failed = || Refusal::unauthorized("Token Authentication failed");
        let Some(header) = self.headers.get(AUTHORIZATION) else {
            let parameter = self.query.credential();
            return parameter.map(ToOwned::to_owned).ok_or_else(failed);
        };
        let header = header.to_str().unwrap_or_default();
        match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("api-token") => {
                Ok(token.trim().to_owned())
            }
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                if self.platform {
                    Ok(token.trim().to_owned())
                } else {
                    Err(Refusal::unauthorized("Token exchange failed"))
                }
            }
            _ => Err(failed()),
        }
    }
}

/// Splits a path into the prefix of its environment and what follows, on whichever of the three
/// places the API is served.
fn located(uri: &Uri) -> (String, bool, Vec<String>) {
    let segments = uri.path().split('/').filter(|segment| !segment.is_empty());
    let mut path: Vec<String> = segments.map(decoded).collect();
    let mut base = String::new();
    if let [first, environment, ..] = path.as_slice()
        && first == "e"
        && is_environment(environment)
    {
        base = format!("/e/{environment}");
        path.drain(..2);
    }
    let proxy = ["platform", "classic", "environment-api"];
    let platform = path.iter().take(3).eq(proxy.iter());
    if platform {
        path.splice(..3, ["api".to_owned()]);
    }
    (base, platform, path)
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn is_environment(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=70).contains(&name.len()) && name.chars().all(allowed)
}

/// The parameters of a query, decoded, in order, repeated ones included.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let plain = |text: &str| decoded(&text.replace('+', " "));
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (plain(name), plain(value)))
                .collect(),
        )
    }

    /// The query written again, fit for [`Query::parse`], but for the credential: this goes into
    /// an answer.
    pub(super) fn text(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.retain(|(name, _)| !is_credential(name));
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |pair| pair.0 == name);
        named.map(|pair| pair.1.as_str())
    }

    /// Whether anything but these and the credential was sent.
    pub(super) fn has_other_than(&self, names: &[&str]) -> bool {
        let expected = |name: &str| names.contains(&name) || is_credential(name);
        self.0.iter().any(|(name, _)| !expected(name))
    }

    pub(super) fn integer(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<usize>,
        default: usize,
        violations: &mut Vec<Violation>,
    ) -> usize {
        let Some(text) = self.first(name) else {
            return default;
        };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let message = format!("Must be between {} and {}.", range.start(), range.end());
                violations.push(Violation::query(name, message));
                default
            }
        }
    }

    pub(super) fn moment(
        &self,
        name: &str,
        now: Timestamp,
        violations: &mut Vec<Violation>,
    ) -> Option<Timestamp> {
        // A plus that nobody encoded has become a space: only `now+1d` has one in front of a digit.
        let text = self.first(name)?;
        let text = text
            .strip_prefix("now ")
            .map_or_else(|| text.to_owned(), |shift| format!("now+{shift}"));
        let moment = moment::parse(&text, now);
        if moment.is_none() {
            violations.push(Violation::query(name, "Not a valid timeframe."));
        }
        moment
    }

    /// The first of them; a second is not looked at.
    fn credential(&self) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(name, _)| is_credential(name));
        found.map(|pair| pair.1.as_str())
    }
}

/// Dynatrace's own documents write both `api-token` and `Api-Token`.
fn is_credential(name: &str) -> bool {
    name.eq_ignore_ascii_case("api-token")
}
