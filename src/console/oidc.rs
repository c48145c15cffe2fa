//! Logins at an issuer: `OpenID` Connect, authorization code flow with PKCE.
//!
//! A login counts only in the browser in which it began, once, and for a few minutes. What the issuer hands over is judged
//! like the tokens that callers show to the gate, and has to be about this very login. The issuer leads people back to the
//! URL of the configuration, never to one that a request names. No secret of a login is in a log or on a page.

mod begun;
mod config;
mod issuer;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use http::request::Parts;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use self::begun::{Begun, Logins};
use self::issuer::Issuer;
pub use config::{Configured, Oidc, OidcError};

use super::config::PublicUrl;
use super::cookie::{Cookie, Jar};
use super::desk::Desk;
use super::params::{Params, encoded};
use super::session::{hash, unguessable};
use super::{Fault, Viewer};
use crate::identity::{Flaw, Origin};
use crate::telemetry::Limit;
use crate::value::Share;

/// Lets people log in at one issuer.
pub(super) struct Way {
    config: Oidc,
    public_url: PublicUrl,
    begun: Logins,
    /// Made when it is needed first; files may be missing until then.
    issuer: tokio::sync::Mutex<Option<Arc<Issuer>>>,
    places: Semaphore,
}

/// A login that begins: where the browser goes, and the cookie by which it is known again.
pub(super) struct Begins {
    pub(super) to: String,
    pub(super) cookie: String,
}

/// Somebody whom the issuer has led back.
pub(super) struct Landed {
    pub(super) viewer: Viewer,
    /// What to go on with.
    pub(super) next: String,
    /// The session that the browser had when the login began.
    pub(super) former: Option<[u8; 32]>,
}

/// Why nobody is let in. What the issuer says itself is not repeated, but for words of the standard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "this login did not begin in this browser, took longer than ten minutes, or is over already: begin again"
    )]
    Unknown,
    #[error("the issuer did not log you in: {0}")]
    ByIssuer(&'static str),
    #[error("the answer is not from the issuer at which this login began")]
    MixedUp,
    #[error("the answer of the issuer has no code")]
    NoCode,
    #[error("the issuer cannot be asked: {0}")]
    Unreachable(String),
    #[error("the issuer does not take the code: {0}")]
    Code(&'static str),
    #[error("what the issuer answers cannot be used: {0}")]
    Answer(&'static str),
    #[error("the token of the issuer is refused: {0}")]
    Token(Flaw),
    #[error("the token of the issuer is about another login (nonce)")]
    Nonce,
    #[error("the token of the issuer is for another client (azp)")]
    Party,
    #[error(
        "the issuer knows you, and none of your roles there is one here: ask the operator of this gate (console.oidc.roles)"
    )]
    NoRole,
    #[error("too many people log in at this moment: try again")]
    Busy,
    #[error("{0}")]
    Here(String),
}

impl Refused {
    /// What the person is told: where the issuer is asked, and files of the gate, are for the log alone.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Unreachable(_) => {
                "the issuer cannot be asked now: the log of dtgate says why".to_owned()
            }
            Self::Here(_) => {
                "this gate cannot ask the issuer now: the log of dtgate says why".to_owned()
            }
            _ => self.to_string(),
        }
    }

    /// Whether it is nothing about the person: the issuer or the gate cannot do it now.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Answer(_) | Self::Busy | Self::Here(_) => true,
            Self::Token(flaw) => flaw.is_passing(),
            _ => false,
        }
    }
}

impl Way {
    pub(super) fn new(config: &Oidc, public_url: &PublicUrl) -> Self {
        Self {
            config: config.clone(),
            public_url: public_url.clone(),
            begun: Logins::default(),
            issuer: tokio::sync::Mutex::default(),
            places: Semaphore::new(PLACES),
        }
    }

    /// The issuer, as people know it.
    pub(super) fn issuer_shown(&self) -> &str {
        let issuer = &*self.config.issuer;
        let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    /// Begins a login, to go on with `next`.
    pub(super) async fn begin(
        &self,
        desk: &Desk,
        next: &str,
        jar: Jar,
        former: Option<[u8; 32]>,
    ) -> Result<Begins, Refused> {
        let _place = self.places.try_acquire().map_err(|_full| Refused::Busy)?;
        let issuer = self.issuer(desk).await?;
        let found = issuer.endpoints().await?;
        let random = || unguessable().ok_or_else(|| Refused::Here("no random number".to_owned()));
        let (state, browser) = (random()?, random()?);
        let mut begun = Begun::new(&browser, random()?, random()?, next);
        begun.former = former;
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(begun.verifier.as_bytes()));
        let mut to = found.authorization.to_string();
        to.push(if to.contains('?') { '&' } else { '?' });
        let question = [
            ("response_type", "code"),
            ("client_id", &self.config.client_id),
            ("redirect_uri", &self.redirect_uri()),
            ("scope", &self.config.scope()),
            ("state", &state),
            ("nonce", &begun.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        to.push_str(&form(&question));
        if self.begun.keep(&state, begun) {
            desk.metrics().reached(Limit::ConsoleBegun);
        }
        Ok(Begins {
            to,
            cookie: Cookie::Login.set(&browser, jar),
        })
    }

    /// Whom the issuer leads back, and what to go on with. Each login is looked at once.
    pub(super) async fn end(
        &self,
        desk: &Desk,
        parts: &Parts,
        jar: Jar,
        address: Option<IpAddr>,
    ) -> Result<Landed, Refused> {
        let params = Params::of(parts.uri.query().unwrap_or_default());
        let browser = Cookie::Login.of(parts, jar);
        let begun = browser.zip(params.once("state"));
        let begun = begun.and_then(|(browser, state)| self.begun.take(state, browser));
        let begun = begun.ok_or(Refused::Unknown)?;
        let _place = self.places.try_acquire().map_err(|_full| Refused::Busy)?;
        let issuer = self.issuer(desk).await?;
        let found = issuer.endpoints().await?;
        match params.raw("iss") {
            None if found.says_who_it_is => return Err(Refused::MixedUp),
            Some(said) if said != self.config.issuer => return Err(Refused::MixedUp),
            _ => {}
        }
        if let Some(error) = params.raw("error") {
            return Err(Refused::ByIssuer(word_of(error)));
        }
        let code = params.once("code").ok_or(Refused::NoCode)?;
        let secret = self.secret(desk).await?;
        let redirect_uri = self.redirect_uri();
        let token = found.exchange(&self.config, secret, code, &begun.verifier, &redirect_uri);
        let token = token.await?;
        let origin = Origin {
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            share: const { Share::percent(25) },
            signatures: PLACES * 4,
        };
        let claims = issuer.judge(&token, origin).await?;
        let viewer = self.viewer(&claims, &begun.nonce)?;
        Ok(Landed {
            viewer,
            next: begun.next,
            former: begun.former,
        })
    }

    /// Who it is, by a token that is good.
    fn viewer(&self, claims: &Map<String, Value>, nonce: &str) -> Result<Viewer, Refused> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // Hashes: how far two texts are alike shows in no time.
        if text("nonce").map(hash) != Some(hash(nonce)) {
            return Err(Refused::Nonce);
        }
        let has_many = claims.get("aud").and_then(Value::as_array);
        let has_many = has_many.is_some_and(|audiences| audiences.len() > 1);
        match claims.get("azp") {
            None if !has_many => {}
            Some(Value::String(party)) if *party == self.config.client_id => {}
            _ => return Err(Refused::Party),
        }
        // Somebody without a name would be nobody in particular.
        let name = text(&self.config.name_claim).filter(|name| !name.trim().is_empty());
        let name = name.or_else(|| text("sub"));
        self.config
            .viewer(name.unwrap_or_default(), claims)
            .ok_or(Refused::NoRole)
    }

    fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.public_url.origin())
    }

    /// Reads files, where it stops nobody.
    async fn issuer(&self, desk: &Desk) -> Result<Arc<Issuer>, Refused> {
        let mut known = self.issuer.lock().await;
        if let Some(issuer) = &*known {
            return Ok(issuer.clone());
        }
        let config = self.config.clone();
        let made = desk.think(move |gate| {
            let made = Issuer::new(&config, &gate.metrics, gate.now);
            made.map(Arc::new)
                .map_err(|error| Fault::Failed(error.to_string()))
        });
        let made = made
            .await
            .map_err(|fault| Refused::Here(fault.to_string()))?;
        *known = Some(made.clone());
        Ok(made)
    }

    /// As it is in its file now.
    async fn secret(&self, desk: &Desk) -> Result<Option<String>, Refused> {
        let config = self.config.clone();
        let read = desk.think(move |_gate| {
            let read = config.secret();
            read.map_err(|error| Fault::Failed(error.to_string()))
        });
        read.await.map_err(|fault| Refused::Here(fault.to_string()))
    }
}

/// Names and values as a form sends them.
fn form(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// What an issuer says went wrong, if it is a word of the standards: everything else is text of others.
fn word_of(error: &str) -> &'static str {
    let mut words = WORDS.iter();
    words
        .find(|word| **word == error)
        .copied()
        .unwrap_or("it does not say why")
}

/// Where issuers lead people back to.
pub(super) const CALLBACK: &str = "/console/login/callback";
/// Where a login begins.
pub(super) const BEGIN: &str = "/console/login/oidc";
/// Logins that ask the issuer something at once.
const PLACES: usize = 16;
/// RFC 6749, sections 4.1.2.1 and 5.2; `OpenID` Connect Core, section 3.1.2.6.
const WORDS: &[&str] = &[
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_request_object",
    "invalid_scope",
    "login_required",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
];
