//! The tokens of one environment, and everything that may happen to them.
//!
//! A secret goes in and is compared; it leaves once, in the answer to its creation. Nothing here
//! knows HTTP beyond the refusals it gives.

use std::net::IpAddr;

use http::StatusCode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{activegate::GateToken, reply::Refusal, scopes, seeds};

/// A whole credential. It cannot be printed or serialised; only [`Secret::reveal`] gives it away.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(credential: String) -> Self {
        Self(credential)
    }

    fn is(&self, credential: &str) -> bool {
        self.0 == credential
    }

    /// For the one answer that shows a new token to its creator.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

#[derive(Clone)]
pub(super) struct Token {
    /// Prefix and public part.
    pub(super) id: String,
    /// The UUID by which v1 knows tokens of the old format.
    pub(super) alias: Option<&'static str>,
    pub(super) secret: Secret,
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) scopes: Vec<String>,
    pub(super) enabled: bool,
    pub(super) personal: bool,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) last_use: Option<Timestamp>,
    pub(super) last_address: Option<IpAddr>,
    pub(super) modified: Option<Timestamp>,
    /// The dashboard that a system token shares.
    pub(super) dashboard: Option<&'static str>,
}

impl Token {
    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|held| held == scope)
    }

    /// Whether the last use lies in the window. A token never used is in no bounded window.
    pub(super) fn used_within(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        let after = from.is_none_or(|from| self.last_use.is_some_and(|used| used >= from));
        after && to.is_none_or(|to| self.last_use.is_some_and(|used| used <= to))
    }

    fn is_called(&self, id: &str) -> bool {
        self.id == id || self.alias == Some(id)
    }
}

/// A token as it shall become; what is absent stays.
#[derive(Default)]
pub(super) struct Change {
    pub(super) name: Option<String>,
    pub(super) enabled: Option<bool>,
    pub(super) scopes: Option<Vec<String>>,
}

/// A token as it shall come to be.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    pub(super) personal: bool,
    pub(super) expires: Option<Timestamp>,
}

pub(super) struct State {
    pub(super) tokens: Vec<Token>,
    /// Every secret ever minted has its number, so none comes twice.
    minted: u64,
    pub(super) tenant: Tenant,
    /// The tokens of `ActiveGates`, oldest first.
    pub(super) gates: Vec<GateToken>,
    /// The token by which agents connect.
    pub(super) agents: Secret,
    pub(super) window: Window,
}

/// The tenant token, and the new one while a rotation is under way.
pub(super) struct Tenant {
    pub(super) active: Secret,
    pub(super) next: Option<Secret>,
}

/// How many requests arrived since when, for throttling.
#[derive(Default)]
pub(super) struct Window {
    pub(super) since: Timestamp,
    pub(super) requests: u32,
}

impl State {
    pub(super) fn seeded(minted: u64) -> Self {
        Self {
            tokens: seeds::tokens(),
            minted,
            tenant: Tenant {
                active: Secret::new(letters(u64::MAX).take(32).collect()),
                next: None,
            },
            gates: Vec::new(),
            agents: Secret::new(letters(u64::MAX - 1).take(32).collect()),
            window: Window::default(),
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.is_called(id))
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Option<&mut Token> {
        self.tokens.iter_mut().find(|token| token.is_called(id))
    }

    pub(super) fn find_secret(&self, credential: &str) -> Option<&Token> {
        let mut tokens = self.tokens.iter();
        tokens.find(|token| token.secret.is(credential))
    }

    /// Who is calling; being recognised counts as use, even when the scope is then missing.
    pub(super) fn authenticate(
        &mut self,
        credential: &str,
        now: Timestamp,
        peer: IpAddr,
    ) -> Result<Token, Refusal> {
        let mut tokens = self.tokens.iter_mut();
        let token = tokens
            .find(|token| token.secret.is(credential))
            .filter(|token| token.enabled && token.expires.is_none_or(|expires| expires > now))
            .ok_or_else(|| Refusal::unauthorized("Token Authentication failed"))?;
        token.last_use = Some(now);
        token.last_address = Some(peer);
        Ok(token.clone())
    }

    /// The owner of a new token is its creator's owner.
    pub(super) fn create(&mut self, wanted: Wanted, owner: &str, now: Timestamp) -> &Token {
        let number = self.next_number();
        let mut letters = letters(number);
        let public: String = letters.by_ref().take(24).collect();
        let secret: String = letters.take(64).collect();
        let id = format!("dt0c01.{public}");
        self.tokens.push(Token {
            secret: Secret::new(format!("{id}.{secret}")),
            id,
            alias: None,
            name: wanted.name,
            owner: owner.to_owned(),
            scopes: wanted.scopes,
            enabled: true,
            personal: wanted.personal,
            created: now,
            expires: wanted.expires,
            last_use: None,
            last_address: None,
            modified: None,
            dashboard: None,
        });
        self.tokens.last().expect("a token was just pushed")
    }

    /// Removes the token of this id or secret, unless it is the caller's own.
    pub(super) fn delete(
        &mut self,
        id_or_secret: &str,
        caller: &Token,
        absent: Refusal,
    ) -> Result<(), Refusal> {
        let mut tokens = self.tokens.iter();
        let position =
            tokens.position(|token| token.is_called(id_or_secret) || token.secret.is(id_or_secret));
        let found = position.and_then(|at| self.tokens.get(at).map(|token| (at, token)));
        let Some((at, token)) = found else {
            return Err(absent);
        };
        if token.id == caller.id {
            return Err(Refusal::bad(
                "You can't delete the token you're using for authentication of the request.",
            ));
        }
        if caller.personal && token.owner != caller.owner {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "With a personal access token you can only delete your own tokens.",
            ));
        }
        self.tokens.remove(at);
        Ok(())
    }

    pub(super) fn mint_tenant_token(&mut self) -> Secret {
        let number = self.next_number();
        Secret::new(letters(number).take(32).collect())
    }

    /// Id and secret of a new token for an `ActiveGate`, whose public part has eight letters.
    pub(super) fn mint_gate_token(&mut self) -> (String, Secret) {
        let mut letters = letters(self.next_number());
        let public: String = letters.by_ref().take(8).collect();
        let id = format!("dt0g02.{public}");
        let secret: String = letters.take(64).collect();
        let secret = Secret::new(format!("{id}.{secret}"));
        (id, secret)
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.minted += 1;
        self.minted
    }
}

impl Token {
    /// A new name or new scopes are a modification; enabling and disabling are not.
    pub(super) fn apply(&mut self, change: Change, now: Timestamp) {
        let renamed = change.name.filter(|name| *name != self.name);
        let rescoped = change.scopes.filter(|scopes| *scopes != self.scopes);
        if renamed.is_some() || rescoped.is_some() {
            self.modified = Some(now);
        }
        if let Some(name) = renamed {
            self.name = name;
        }
        if let Some(scopes) = rescoped {
            self.scopes = scopes;
        }
        if let Some(enabled) = change.enabled {
            self.enabled = enabled;
        }
    }
}

/// 403 unless the caller holds one of the scopes.
pub(super) fn require(caller: &Token, any_of: &[&str]) -> Result<(), Refusal> {
    if any_of.iter().any(|scope| caller.has(scope)) {
        return Ok(());
    }
    let described: Vec<_> = any_of.iter().copied().map(scopes::described).collect();
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        format!(
            "Token is missing required scope. Use one of: {}",
            described.join(", ")
        ),
    ))
}

/// An endless stream of base32 letters for one number: unique and repeatable, which is what a
/// simulator needs of its secrets. They are no more secret than that.
fn letters(number: u64) -> impl Iterator<Item = char> {
    (0_u64..).flat_map(move |block| {
        let mut hash = Sha256::new();
        hash.update(b"simulated token");
        hash.update(number.to_be_bytes());
        hash.update(block.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        digest.into_iter().map(letter)
    })
}

fn letter(byte: u8) -> char {
    match byte % 32 {
        value @ 0..26 => char::from(b'A' + value),
        value => char::from(b'2' + (value - 26)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_letters_are_base32_and_never_repeat() {
        let mint = |number| letters(number).take(88).collect::<String>();
        assert_eq!(mint(1), mint(1));
        assert_ne!(mint(1), mint(2));
        assert!(mint(3).chars().all(|c| matches!(c, 'A'..='Z' | '2'..='7')));
    }

    #[test]
    fn every_seed_is_found_by_its_id_and_its_secret() {
        let state = State::seeded(0);
        assert_eq!(state.tokens.len(), seeds::ALL.len());
        for seed in seeds::ALL {
            let by_id = state.find(seed.id).expect(seed.name);
            let by_secret = state.find_secret(seed.secret).expect(seed.name);
            assert_eq!((&by_id.id, &by_id.name), (&by_secret.id, &by_secret.name));
            assert!(seed.secret.starts_with(&by_id.id));
            assert_eq!(by_id.name, seed.name);
        }
    }
}
