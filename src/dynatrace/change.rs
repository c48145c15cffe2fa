//! What a caller wants to be different about a token, in one vocabulary for both APIs.
//!
//! The v1 and v2 bodies say the same things with other words (`revoked` is `!enabled`, `expiresIn`
//! is a relative `expirationDate`). Policies see only [`TokenChange`].

use serde_json::{Map, Value};
use thiserror::Error;

use super::catalogue::Words;

/// What is requested; a member that the caller did not send (or sent as null) is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenChange {
    pub name: Option<String>,
    /// v2 `enabled`, v1 `!revoked`.
    pub enabled: Option<bool>,
    pub scopes: Option<Vec<String>>,
    /// v2 `expirationDate` as sent; v1 `expiresIn` in the same notation, for example `now+14d`.
    /// `s` and `ms`, which v2 does not have, stand for v1's SECONDS and MILLIS.
    pub expiration: Option<String>,
    /// v2 `personalAccessToken`.
    pub personal: Option<bool>,
}

/// A body as the two APIs write it, taken apart: what was understood and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Understood {
    pub change: TokenChange,
    /// Members that the API does not declare, as sent. Dynatrace ignores them; Terraform sends some.
    pub unknown_members: Map<String, Value>,
    /// The body without the members that mean nothing (known ones that are null): this is sent. Null when
    /// there is none.
    pub body: Value,
    /// The settings schemas that govern tokens, of those that the body writes.
    pub schemas: Vec<&'static str>,
}

/// Why a body is not a token change.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ChangeError {
    /// The member, as clients know it: `scopes[2]`.
    pub path: String,
    pub message: String,
}

/// The members that an API declares, for create and update together: Terraform sends the members of
/// one in the other, and each must have its type wherever it stands.
pub fn vocabulary(words: Words) -> &'static [&'static str] {
    match words {
        Words::V1 => &["name", "scopes", "revoked", "expiresIn"],
        Words::V2 => &[
            "name",
            "scopes",
            "enabled",
            "expirationDate",
            "personalAccessToken",
        ],
    }
}

/// The members that either API declares. What one API knows is no unknown member of the other: it
/// would be judged as noise and could be read as an order.
pub fn all_words() -> impl Iterator<Item = &'static str> {
    vocabulary(Words::V1)
        .iter()
        .chain(vocabulary(Words::V2))
        .copied()
}

/// Takes a body apart that speaks of a token; one that `creates` it has to say name and scopes. Its member
/// names are already known to be unique and unmistakable.
pub fn understand(
    words: Words,
    creates: bool,
    members: Map<String, Value>,
) -> Result<Understood, ChangeError> {
    let mut change = TokenChange::default();
    let mut unknown_members = Map::new();
    let mut sent = Map::new();
    for (name, value) in members {
        if !vocabulary(words).contains(&name.as_str()) {
            if all_words().any(|word| word == name) {
                return Err(ChangeError::new(
                    &name,
                    format!(
                        "{name:?} is a word of the other token API: this one says {}",
                        vocabulary(words).join(", ")
                    ),
                ));
            }
            unknown_members.insert(name.clone(), value.clone());
        } else if value.is_null() {
            continue;
        } else {
            set(&mut change, &name, &value)?;
        }
        sent.insert(name, value);
    }
    if creates {
        // Dynatrace declares both as required; a create without them can only be a mistake.
        for (missing, name) in [
            (change.name.is_none(), "name"),
            (change.scopes.is_none(), "scopes"),
        ] {
            if missing {
                return Err(ChangeError::new(
                    name,
                    format!("{name:?} is required to create a token"),
                ));
            }
        }
    }
    Ok(Understood {
        change,
        unknown_members,
        body: Value::Object(sent),
        schemas: Vec::new(),
    })
}

fn set(change: &mut TokenChange, name: &str, value: &Value) -> Result<(), ChangeError> {
    match name {
        "name" => change.name = Some(text(name, value)?),
        "enabled" => change.enabled = Some(boolean(name, value)?),
        "revoked" => change.enabled = Some(!boolean(name, value)?),
        "personalAccessToken" => change.personal = Some(boolean(name, value)?),
        "expirationDate" => change.expiration = Some(text(name, value)?),
        "expiresIn" => change.expiration = Some(duration(value)?),
        _ => change.scopes = Some(scopes(value)?),
    }
    Ok(())
}

fn scopes(value: &Value) -> Result<Vec<String>, ChangeError> {
    let Value::Array(elements) = value else {
        return Err(ChangeError::wrong_type(
            "scopes",
            "an array of strings",
            value,
        ));
    };
    if elements.len() > MAX_SCOPES {
        return Err(ChangeError::new(
            "scopes",
            format!(
                "\"scopes\" has {} elements; at most {MAX_SCOPES} are read",
                elements.len()
            ),
        ));
    }
    elements
        .iter()
        .enumerate()
        .map(|(index, element)| {
            plain(element).ok_or_else(|| not_plain(&format!("scopes[{index}]"), element))
        })
        .collect()
}

fn text(path: &str, value: &Value) -> Result<String, ChangeError> {
    plain(value).ok_or_else(|| not_plain(path, value))
}

/// A text without control characters: a reader that ends a string at NUL, or drops them, would see
/// another value.
fn plain(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn not_plain(path: &str, value: &Value) -> ChangeError {
    if value.is_string() {
        ChangeError::new(path, format!("{path:?} contains a control character"))
    } else {
        ChangeError::wrong_type(path, "a string", value)
    }
}

fn boolean(path: &str, value: &Value) -> Result<bool, ChangeError> {
    // Dynatrace may read "true" as true; what is judged must not depend on that.
    value
        .as_bool()
        .ok_or_else(|| ChangeError::wrong_type(path, "true or false", value))
}

/// v1's `Duration { value, unit? }`; the unit defaults to MILLIS.
fn duration(value: &Value) -> Result<String, ChangeError> {
    let Value::Object(members) = value else {
        return Err(ChangeError::wrong_type("expiresIn", "an object", value));
    };
    if let Some(other) = members
        .keys()
        .find(|name| *name != "value" && *name != "unit")
    {
        // A longer one is no misspelt word, and may be what people paste by mistake.
        let other = if other.len() > LONGEST_NAME {
            "…"
        } else {
            other
        };
        return Err(ChangeError::new(
            &format!("expiresIn.{other}"),
            format!("{other:?} is not a member of a duration; \"value\" and \"unit\" are"),
        ));
    }
    let amount = members.get("value").unwrap_or(&Value::Null);
    let Some(amount) = amount.as_u64() else {
        return Err(ChangeError::wrong_type(
            "expiresIn.value",
            "a whole number, zero or more",
            amount,
        ));
    };
    let unit = match members.get("unit") {
        None | Some(Value::Null) => "ms",
        Some(Value::String(unit)) => match unit.as_str() {
            "DAYS" => "d",
            "HOURS" => "h",
            "MILLIS" => "ms",
            "MINUTES" => "m",
            "SECONDS" => "s",
            _ => {
                return Err(ChangeError::new(
                    "expiresIn.unit",
                    "\"expiresIn.unit\" must be DAYS, HOURS, MILLIS, MINUTES or SECONDS".to_owned(),
                ));
            }
        },
        Some(other) => return Err(ChangeError::wrong_type("expiresIn.unit", "a string", other)),
    };
    Ok(format!("now+{amount}{unit}"))
}

impl ChangeError {
    fn new(path: &str, message: String) -> Self {
        Self {
            path: path.to_owned(),
            message,
        }
    }

    fn wrong_type(path: &str, wanted: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        Self::new(path, format!("{path:?} must be {wanted}, not {found}"))
    }
}

/// The longest name that is repeated to whoever sent it.
const LONGEST_NAME: usize = 16;

/// Dynatrace knows about a hundred scopes; longer lists only keep policies busy.
const MAX_SCOPES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn members(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else {
            panic!("a body is an object");
        };
        members
    }

    fn update(words: Words, body: Value) -> Result<Understood, ChangeError> {
        understand(words, false, members(body))
    }

    #[test]
    fn v1_revoked_is_v2_enabled_turned_round() {
        let v1 = update(Words::V1, json!({"revoked": true})).unwrap().change;
        let v2 = update(Words::V2, json!({"enabled": false})).unwrap().change;
        assert_eq!(v1, v2);
        assert_eq!(v1.enabled, Some(false));
    }

    #[test]
    fn null_is_absent_and_is_not_sent() {
        let understood = understand(
            Words::V2,
            true,
            members(json!({"personalAccessToken": null, "expirationDate": null, "name": "n", "scopes": []})),
        )
        .unwrap();
        assert_eq!(understood.change.personal, None);
        assert_eq!(understood.body, json!({"name": "n", "scopes": []}));
    }

    #[test]
    fn unknown_members_are_kept_and_sent() {
        let understood = update(Words::V2, json!({"name": "n", "owner": {"a": null}})).unwrap();
        assert_eq!(
            Value::Object(understood.unknown_members),
            json!({"owner": {"a": null}})
        );
        assert_eq!(understood.body, json!({"name": "n", "owner": {"a": null}}));
    }

    #[test]
    fn wrong_types_are_refused_with_their_path() {
        for (words, body, path) in [
            (Words::V1, json!({"revoked": "true"}), "revoked"),
            (Words::V2, json!({"enabled": 1}), "enabled"),
            (Words::V1, json!({"name": ["a"]}), "name"),
            (Words::V1, json!({"scopes": "WriteConfig"}), "scopes"),
            (Words::V1, json!({"scopes": ["a", null]}), "scopes[1]"),
            (
                Words::V1,
                json!({"scopes": ["a", ["WriteConfig"]]}),
                "scopes[1]",
            ),
            (Words::V2, json!({"scopes": {"0": "WriteConfig"}}), "scopes"),
            (Words::V2, json!({"expirationDate": 5}), "expirationDate"),
            (
                Words::V2,
                json!({"personalAccessToken": "no"}),
                "personalAccessToken",
            ),
            (Words::V1, json!({"expiresIn": 5}), "expiresIn"),
            (
                Words::V1,
                json!({"expiresIn": {"value": -1}}),
                "expiresIn.value",
            ),
            (
                Words::V1,
                json!({"expiresIn": {"value": 1, "unit": "days"}}),
                "expiresIn.unit",
            ),
            (
                Words::V1,
                json!({"expiresIn": {"value": 1, "Unit": "DAYS"}}),
                "expiresIn.Unit",
            ),
            (
                Words::V1,
                json!({"scopes": ["WriteConfig\u{0}"]}),
                "scopes[0]",
            ),
        ] {
            assert_eq!(
                update(words, body.clone()).unwrap_err().path,
                path,
                "{body}"
            );
        }
    }

    #[test]
    fn a_word_of_the_other_api_is_refused() {
        assert_eq!(
            update(Words::V1, json!({"enabled": true}))
                .unwrap_err()
                .path,
            "enabled"
        );
        assert_eq!(
            update(Words::V2, json!({"revoked": false}))
                .unwrap_err()
                .path,
            "revoked"
        );
    }

    #[test]
    fn a_create_needs_a_name_and_scopes() {
        for body in [
            json!({"scopes": []}),
            json!({"name": "n"}),
            json!({"name": null, "scopes": []}),
        ] {
            assert!(understand(Words::V1, true, members(body)).is_err());
        }
    }

    #[test]
    fn v1_durations_are_written_as_v2_writes_them() {
        for (body, text) in [
            (json!({"value": 14, "unit": "DAYS"}), "now+14d"),
            (json!({"value": 5}), "now+5ms"),
            (json!({"value": 5, "unit": null}), "now+5ms"),
        ] {
            let change = update(Words::V1, json!({"expiresIn": body}))
                .unwrap()
                .change;
            assert_eq!(change.expiration.as_deref(), Some(text));
        }
    }
}
