//! The section `[identity]`: whose tokens are believed, and which proxies.
//!
//! Everything is checked while it is read, so that a mistake is named with file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use http::header::{self, HeaderName};
use http::uri::{Scheme, Uri};
use serde::{Deserialize, Deserializer};

use super::algorithm::Algorithm;
use super::forwarded::{self, names_a_client};
use crate::guard::is_about_another_request;
use crate::outbound::Proxy;
use crate::value::{Duration, has_possible_port, is_name};

/// Who is calling, besides the token for Dynatrace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Who may issue JSON Web Tokens, by a name of the operator's.
    pub jwt: BTreeMap<Name, Issuer>,
    /// Proxies that say for whom they ask.
    pub forwarded: forwarded::Config,
}

/// How the configuration calls an issuer: in the log, in metrics, in messages.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Name(String);

/// One who issues JSON Web Tokens.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "Written")]
pub struct Issuer {
    /// What its tokens have as `iss`, letter by letter.
    pub issuer: String,
    /// For whom a token has to be: one of these in `aud`.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    /// Where its tokens stand: `authorization`, as Bearer, or a field of their own.
    pub header: HeaderName,
    /// The claim that says whose a token is.
    pub subject: String,
    /// How far its clock and ours may be apart.
    pub leeway: Duration,
    /// From `iat` to `exp`, at most. None: as long as the issuer says.
    pub max_lifetime: Option<Duration>,
    pub keys: Source,
    /// PEM file of the authorities to trust for the fetch instead of the system's.
    pub ca: Option<PathBuf>,
    /// The proxy on the way, which is asked for a tunnel.
    pub proxy: Option<Proxy>,
    /// File with `user:password` for it.
    pub proxy_credential_file: Option<PathBuf>,
    /// For one fetch as a whole.
    pub timeout: Duration,
    /// Between two fetches because of keys that are not known.
    pub pause: Duration,
    /// How long keys are used after the last fetch that went well.
    pub max_age: Duration,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The URL of the issuer's own description, which names that of the keys.
    Discovery(Url),
    File(PathBuf),
    Url(Url),
}

/// Where something is fetched from: `https://…`, or `http://…` on this machine.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub struct Url(Uri);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Sections {
    jwt: BTreeMap<Name, Issuer>,
    forwarded: forwarded::Config,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    issuer: String,
    audience: OneOrMore,
    #[serde(default = "Algorithm::all")]
    algorithms: Vec<Algorithm>,
    #[serde(default)]
    header: Field,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    leeway: Option<Duration>,
    #[serde(default)]
    max_lifetime: Option<Duration>,
    #[serde(default)]
    jwks_file: Option<PathBuf>,
    #[serde(default)]
    jwks_url: Option<Url>,
    #[serde(default)]
    discovery: bool,
    #[serde(default)]
    ca: Option<PathBuf>,
    #[serde(default)]
    proxy: Option<Proxy>,
    #[serde(default)]
    proxy_credential_file: Option<PathBuf>,
    #[serde(default)]
    timeout: Option<Duration>,
    #[serde(default)]
    pause: Option<Duration>,
    #[serde(default)]
    max_age: Option<Duration>,
}

/// A field of a request that tokens may stand in.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Field(HeaderName);

struct OneOrMore(Vec<String>);

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sections { jwt, forwarded } = Sections::deserialize(deserializer)?;
        let mut known: BTreeMap<&str, &Name> = BTreeMap::new();
        for (name, issuer) in &jwt {
            if let Some(other) = known.insert(&issuer.issuer, name) {
                return Err(serde::de::Error::custom(format_args!(
                    "identity.jwt.{other} and identity.jwt.{name} have the same issuer: nobody could say which of them \
                     a token is from; write one section with several audiences"
                )));
            }
        }
        Ok(Self { jwt, forwarded })
    }
}

impl TryFrom<Written> for Issuer {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let issuer = written.issuer;
        if issuer.is_empty() || issuer.trim() != issuer || issuer.len() > LONGEST_NAME {
            return Err(format!(
                "issuer: write what the tokens have as `iss`, letter by letter, {LONGEST_NAME} bytes at most"
            ));
        }
        let tenant = issuer.strip_prefix("https://login.microsoftonline.com/");
        if let Some(tenant) = tenant.and_then(|rest| rest.split('/').next())
            && ["common", "consumers", "organizations"].contains(&tenant)
        {
            return Err(format!(
                "issuer: no token has this as `iss`: Microsoft writes the id of the tenant where {tenant:?} is"
            ));
        }
        if written.algorithms.is_empty() {
            return Err("algorithms: name one at least, or leave the key out".to_owned());
        }
        let subject = written.subject.unwrap_or_else(|| "sub".to_owned());
        if subject.is_empty() || subject.len() > LONGEST_NAME {
            return Err("subject: write the name of a claim, or leave the key out".to_owned());
        }
        let leeway = written.leeway.unwrap_or(LEEWAY);
        if leeway > LONGEST_LEEWAY {
            return Err(format!(
                "leeway: {LONGEST_LEEWAY} at most: set the clocks instead"
            ));
        }
        let keys = match (written.jwks_file, written.jwks_url, written.discovery) {
            (Some(file), None, false) => Source::File(file),
            (None, Some(url), false) => Source::Url(url),
            (None, None, true) => Source::Discovery(Url::of_description(&issuer)?),
            (None, None, false) => {
                return Err(
                    "where are the keys? Give jwks_url, jwks_file or discovery = true".to_owned(),
                );
            }
            _ => {
                return Err(
                    "there is more than one place of the keys: give one of jwks_url, jwks_file and discovery = true"
                        .to_owned(),
                );
            }
        };
        let goes = written.proxy.is_some() || written.proxy_credential_file.is_some();
        let fetches =
            goes || written.ca.is_some() || written.timeout.is_some() || written.pause.is_some();
        if matches!(keys, Source::File(_)) && (fetches || written.max_age.is_some()) {
            return Err(
                "ca, proxy, timeout, pause and max_age are about fetching keys: with jwks_file nothing is fetched"
                    .to_owned(),
            );
        }
        Ok(Self {
            issuer,
            audience: written.audience.0,
            algorithms: written.algorithms,
            header: written.header.0,
            subject,
            leeway,
            max_lifetime: written.max_lifetime,
            keys,
            ca: written.ca,
            proxy: written.proxy,
            proxy_credential_file: written.proxy_credential_file,
            timeout: written.timeout.unwrap_or(TIMEOUT),
            pause: written.pause.unwrap_or(PAUSE),
            max_age: written.max_age.unwrap_or(MAX_AGE),
        })
    }
}

impl Issuer {
    /// One at which people log in: its tokens are for one client. Keys are where it describes itself, or at this URL.
    pub fn of_logins(issuer: &str, client_id: &str, keys: Option<Url>) -> Result<Self, String> {
        Self::try_from(Written {
            issuer: issuer.to_owned(),
            audience: OneOrMore(vec![client_id.to_owned()]),
            algorithms: Algorithm::all(),
            header: Field::default(),
            subject: None,
            leeway: None,
            max_lifetime: None,
            jwks_file: None,
            discovery: keys.is_none(),
            jwks_url: keys,
            ca: None,
            proxy: None,
            proxy_credential_file: None,
            timeout: None,
            pause: None,
            max_age: None,
        })
    }
}

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if is_name(&text) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{text:?} is no name for an issuer: 1 to 64 letters, digits, '-' and '_'"
            ))
        }
    }
}

impl Default for Field {
    fn default() -> Self {
        Self(header::AUTHORIZATION)
    }
}

impl TryFrom<String> for Field {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name: HeaderName = text
            .parse()
            .map_err(|_invalid| format!("{text:?} is no name of a header field"))?;
        let is_taken = TAKEN.contains(&name.as_str())
            || names_a_client(name.as_str())
            || is_about_another_request(name.as_str());
        if is_taken {
            return Err(format!(
                "{name} means something else: give \"authorization\", or a field of its own such as \"x-dtgate-token\""
            ));
        }
        if strsim::levenshtein(name.as_str(), header::AUTHORIZATION.as_str()) == 1 {
            return Err(format!("{name}: did you mean \"authorization\"?"));
        }
        Ok(Self(name))
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a text is expected, or a list of texts such as [\"dtgate\"]"
        )]
        enum Texts {
            One(String),
            More(Vec<String>),
        }
        let texts = match Texts::deserialize(deserializer)? {
            Texts::One(text) => vec![text],
            Texts::More(texts) => texts,
        };
        let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_NAME;
        if texts.is_empty() || !texts.iter().all(fits) {
            return Err(serde::de::Error::custom(
                "write what the tokens have as `aud`: without it the gate would take tokens that are for others",
            ));
        }
        Ok(Self(texts))
    }
}

impl Url {
    /// Of an issuer's description, as `OpenID Connect Discovery` says.
    pub fn of_description(issuer: &str) -> Result<Self, String> {
        let place = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        Self::try_from(place).map_err(|error| {
            format!("discovery is below the issuer, which has to be a URL: {error}")
        })
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refuse = |reason: &str| {
            Err(format!(
                "{text:?}: {reason}; write https://host[:port]/path"
            ))
        };
        let Ok(uri) = text.parse::<Uri>() else {
            return refuse("that is no URL");
        };
        let Some(authority) = uri.authority() else {
            return refuse("that is no URL");
        };
        if text.contains('#') || authority.as_str().contains('@') {
            return refuse("a URL without user and without fragment is expected");
        }
        if !has_possible_port(&uri) {
            return refuse("a port is a number from 1 to 65535");
        }
        let host = authority.host().trim_matches(['[', ']']);
        let is_here = host.eq_ignore_ascii_case("localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_here => Ok(Self(uri)),
            Some("http") => {
                refuse("anybody on the way could change the keys, so that https is needed")
            }
            _ => refuse("that is not https"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Fields that the gate, or servers, read, write or take off in their own way.
const TAKEN: [&str; 59] = [
    "a-im",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "cookie2",
    "date",
    "etag",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "set-cookie2",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
];

/// The longest `iss` and `aud`.
const LONGEST_NAME: usize = 512;

const LEEWAY: Duration = Duration::from_secs(60);
const LONGEST_LEEWAY: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(10);
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);

#[cfg(test)]
mod tests;
