//! A token as it is now, and what a change would make different about it.
//!
//! v1's `TokenMetadata` and v2's `ApiToken` say the same with other words; here it is one vocabulary, that of
//! [`TokenChange`]. Only what policies may read is taken over.

use serde::Deserialize;
use thiserror::Error;

use super::change::TokenChange;

/// A token as Dynatrace tells it. What it does not tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentToken {
    pub id: Option<String>,
    pub name: Option<String>,
    /// v2 `enabled`, v1 `!revoked`.
    pub enabled: Option<bool>,
    /// v2 `owner`, v1 `userId`.
    pub owner: Option<String>,
    pub scopes: Vec<String>,
    pub personal: Option<bool>,
    /// v2 `expirationDate` as it is; v1 `expires` in the same notation.
    pub expiration: Option<String>,
}

/// The answer to a lookup is no token.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct CurrentError(String);

/// What a change would do to a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// In the order of the request.
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub kept: Vec<String>,
    /// Of `name`, `enabled` and `scopes` those that would be other than they are. The rest of a body changes
    /// nothing: neither API can move an expiration or make a token personal once it exists.
    pub differs: Vec<&'static str>,
}

/// The members of either API that are read. Scopes are the only one that v1 promises.
#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    name: Option<String>,
    enabled: Option<bool>,
    revoked: Option<bool>,
    owner: Option<String>,
    #[serde(rename = "userId")]
    user_id: Option<String>,
    scopes: Vec<String>,
    #[serde(rename = "personalAccessToken")]
    personal: Option<bool>,
    #[serde(rename = "expirationDate")]
    expiration_date: Option<String>,
    /// Milliseconds since 1970.
    expires: Option<i64>,
}

impl CurrentToken {
    /// All that somebody wrote.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let Self {
            id,
            name,
            enabled: _,
            owner,
            scopes,
            personal: _,
            expiration,
        } = self;
        let texts = [id, name, owner, expiration].into_iter().flatten();
        texts.chain(scopes).map(String::as_str)
    }

    /// Reads the answer of either API.
    pub fn parse(body: &[u8]) -> Result<Self, CurrentError> {
        let answer: Answer =
            // Without the parser's words: they repeat the answer.
            serde_json::from_slice(body).map_err(|error| {
                CurrentError(format!("line {} column {}", error.line(), error.column()))
            })?;
        let expires = |millis| {
            jiff::Timestamp::from_millisecond(millis)
                .map(|time| format!("{time:.3}"))
                .map_err(|error| CurrentError(error.to_string()))
        };
        Ok(Self {
            id: answer.id,
            name: answer.name,
            enabled: match (answer.enabled, answer.revoked) {
                (Some(enabled), Some(revoked)) if enabled == revoked => {
                    return Err(CurrentError("it is enabled and revoked at once".to_owned()));
                }
                (enabled, revoked) => enabled.or_else(|| Some(!revoked?)),
            },
            owner: answer.owner.or(answer.user_id),
            scopes: answer.scopes,
            personal: answer.personal,
            expiration: match answer.expiration_date {
                Some(text) => Some(text),
                None => answer.expires.map(expires).transpose()?,
            },
        })
    }

    /// What the change would make different.
    pub fn difference(&self, change: &TokenChange) -> Difference {
        let mut difference = Difference::default();
        match &change.scopes {
            None => difference.kept.clone_from(&self.scopes),
            Some(requested) => {
                let (kept, added) = requested
                    .iter()
                    .cloned()
                    .partition(|scope| self.scopes.contains(scope));
                (difference.kept, difference.added) = (kept, added);
                let removed = self
                    .scopes
                    .iter()
                    .filter(|scope| !requested.contains(scope));
                difference.removed = removed.cloned().collect();
            }
        }
        // What is not known is taken to be different.
        let other = |requested: bool, same: bool| requested && !same;
        let scopes = !difference.added.is_empty() || !difference.removed.is_empty();
        for (member, differs) in [
            (
                "name",
                other(change.name.is_some(), change.name == self.name),
            ),
            (
                "enabled",
                other(change.enabled.is_some(), change.enabled == self.enabled),
            ),
            ("scopes", scopes),
        ] {
            if differs {
                difference.differs.push(member);
            }
        }
        difference
    }
}

impl Difference {
    /// That of a token that does not exist yet.
    pub fn of_creation(change: &TokenChange) -> Self {
        Self {
            added: change.scopes.clone().unwrap_or_default(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn both_apis_tell_the_same() {
        let v1 = br#"{"created":1554076800000,"expires":1585976400000,"id":"a","lastUse":1554354000000,
            "name":"n","personalAccessToken":true,"revoked":true,"scopes":["ReadConfig"],"userId":"john"}"#;
        let v2 = br#"{"creationDate":"2019-04-01T00:00:00.000Z","expirationDate":"2020-04-04T05:00:00.000Z","id":"a",
            "name":"n","personalAccessToken":true,"enabled":false,"scopes":["ReadConfig"],"owner":"john","lastUsedIpAddress":"1.2.3.4"}"#;
        let token = CurrentToken::parse(v1).unwrap();
        assert_eq!(token, CurrentToken::parse(v2).unwrap());
        assert_eq!(token.enabled, Some(false));
        assert_eq!(
            token.expiration.as_deref(),
            Some("2020-04-04T05:00:00.000Z")
        );
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        let token = CurrentToken::parse(br#"{"scopes":[]}"#).unwrap();
        assert_eq!(token, CurrentToken::default());
    }

    #[test]
    fn what_is_no_token_is_an_error() {
        for body in [
            &b""[..],
            b"[]",
            b"<html>",
            b"{}",
            br#"{"scopes":null}"#,
            br#"{"scopes":"x"}"#,
            br#"{"scopes":[],"enabled":"true"}"#,
            br#"{"scopes":[],"enabled":true,"revoked":true}"#,
            br#"{"scopes":[],"scopes":["x"]}"#,
            br#"{"scopes":[],"expires":9223372036854775807}"#,
        ] {
            assert!(CurrentToken::parse(body).is_err(), "{body:?}");
        }
    }

    fn current() -> CurrentToken {
        CurrentToken {
            name: Some("n".to_owned()),
            enabled: Some(true),
            scopes: texts(&["a", "b", "c"]),
            ..CurrentToken::default()
        }
    }

    #[test]
    fn what_terraform_repeats_is_no_difference() {
        let again = TokenChange {
            name: Some("n".to_owned()),
            enabled: Some(true),
            scopes: Some(texts(&["c", "a", "b", "a"])),
            expiration: Some("now+14d".to_owned()),
            personal: Some(false),
        };
        let difference = current().difference(&again);
        assert!(difference.differs.is_empty(), "{difference:?}");
        assert_eq!(difference.kept, texts(&["c", "a", "b", "a"]));
        assert!(difference.added.is_empty() && difference.removed.is_empty());
    }

    #[test]
    fn what_is_not_asked_for_stays() {
        let difference = current().difference(&TokenChange::default());
        assert_eq!(difference.kept, current().scopes);
        assert!(difference.differs.is_empty());
        let unknown = CurrentToken::default().difference(&TokenChange {
            enabled: Some(true),
            ..TokenChange::default()
        });
        assert_eq!(unknown.differs, ["enabled"]);
    }

    proptest! {
        #[test]
        fn added_and_kept_are_what_is_requested_removed_and_kept_what_was_there(
            before in prop::collection::vec("[a-e]", 0..6),
            wanted in prop::collection::vec("[a-e]", 0..6),
        ) {
            let token = CurrentToken { scopes: before.clone(), ..CurrentToken::default() };
            let change = TokenChange { scopes: Some(wanted.clone()), ..TokenChange::default() };
            let Difference { added, removed, kept, differs } = token.difference(&change);
            let set = |lists: &[&Vec<String>]| -> std::collections::BTreeSet<String> {
                lists.iter().flat_map(|list| list.iter().cloned()).collect()
            };
            prop_assert_eq!(set(&[&added, &kept]), set(&[&wanted]));
            prop_assert_eq!(set(&[&removed, &kept]), set(&[&before]));
            prop_assert!(set(&[&added]).is_disjoint(&set(&[&before])));
            prop_assert!(set(&[&removed]).is_disjoint(&set(&[&wanted])));
            prop_assert_eq!(differs.contains(&"scopes"), set(&[&before]) != set(&[&wanted]));
        }
    }
}
