//! Claims of JSON Web Tokens, as words that nobody else writes: `NAME=VALUE`, by the bytes of it, so that case and signs
//! count. They stand among the words of a decision, and the lists by which decisions are counted stay as short as they are.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};

use super::facts;
use super::filter::{Filter, Pattern};
use super::row::Row;
use super::words::{CLAIM, Text};
use crate::value::Sha256Hex;

/// Adds the claims of a decision, and issuer and subject, by which a caller is known whose claims are not recorded.
pub(super) fn add(row: &Row<'_>, text: &mut Text) {
    let named = facts::claim(row);
    for name in named.iter().filter(|name| !name.is_empty()) {
        text.mark(&word(name));
    }
    let raw = row.input.0.caller.0.jwt.0.claims;
    let claims: Option<Map<String, Value>> =
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let mut room = MOST;
    for (name, value) in claims.iter().flatten() {
        if !TIMES.contains(&&**name) {
            each(name, value, &mut room, text);
        }
    }
}

/// Each element of a list is a value, and a member of an object has its name behind that of the object.
fn each(name: &str, value: &Value, room: &mut usize, text: &mut Text) {
    match value {
        Value::Array(elements) => {
            for element in elements {
                each(name, element, room, text);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                each(&format!("{name}.{member}"), value, room, text);
            }
        }
        Value::Null => {}
        _ if *room == 0 => {}
        Value::String(value) => {
            *room -= 1;
            text.mark(&word(&format!("{name}={value}")));
        }
        Value::Bool(_) | Value::Number(_) => {
            *room -= 1;
            text.mark(&word(&format!("{name}={value}")));
        }
    }
}

/// The words of a question for claims, of which one has to be there; `true`: it is only how one begins. None, where it
/// asks for issuers and subjects only: these have a list of their own.
pub fn claims_asked(filter: &Filter) -> Vec<(String, bool)> {
    if filter.asks_for_claims() {
        words_of(&filter.expanded(&filter.claim))
    } else {
        Vec::new()
    }
}

/// The words of some claims.
pub fn words_of(patterns: &[Pattern]) -> Vec<(String, bool)> {
    let words = patterns.iter().map(|pattern| match pattern {
        Pattern::Exactly(text) => (word(text), false),
        Pattern::Begins(text) => (beginning(text), true),
    });
    words.collect()
}

fn word(text: &str) -> String {
    if text.len() <= LONGEST {
        return format!("{CLAIM}{}", HEXLOWER.encode(text.as_bytes()));
    }
    let hash = Sha256Hex::of(text.as_bytes());
    format!("{}{}", beginning(text), hash.as_str())
}

/// As much of it as the word of a long claim has.
fn beginning(text: &str) -> String {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    format!("{CLAIM}{}", HEXLOWER.encode(bytes))
}

/// Nobody asks for a caller by these, and no two tokens have the same.
const TIMES: [&str; 3] = ["exp", "iat", "nbf"];
/// Values of one token.
const MOST: usize = 1024;
/// Bytes of a claim that are kept as they are. A word of `PostgreSQL` has 2046 at most.
pub(super) const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the decision of a caller with such claims, and those that are asked for.
    fn is_found(claims: &Value, pattern: &str) -> bool {
        let line = serde_json::json!({
            "seq": 1, "kind": "decision", "input": {"caller": {"jwt": {"issuer": "https://i", "claims": claims}}},
        });
        let line = line.to_string();
        let mut text = Text::default();
        add(&Row::read(line.as_bytes()).unwrap(), &mut text);
        let text = text.done();
        let asked = words_of(&[pattern.parse().unwrap()]);
        let [(asked, is_open)] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        text.split(' ').any(|word| {
            if *is_open {
                word.starts_with(asked)
            } else {
                word == asked
            }
        })
    }

    #[test]
    fn a_claim_is_found_by_its_name_and_value_and_by_how_they_begin() {
        let long = "x".repeat(600);
        let claims = serde_json::json!({
            "repository": "Example/Payments", "run": 17, "admin": true, "none": null, "exp": 5,
            "groups": ["a", "b=c"], "realm_access": {"roles": ["r"]}, "https://x.example/y": "z", "long": long,
        });
        for pattern in [
            "repository=Example/Payments",
            "repository=Example/*",
            "repository=*",
            "run=17",
            "admin=true",
            "groups=a",
            "groups=b=c",
            "realm_access.roles=r",
            "https://x.example/y=z",
            "https://i",
            &format!("long={long}"),
            &format!("long={}*", "x".repeat(500)),
        ] {
            assert!(is_found(&claims, pattern), "{pattern}");
        }
        for pattern in [
            "repository=example/payments",
            "repository=Example",
            "repository=",
            "exp=5",
            "none=null",
            "groups=c",
            "Example/Payments",
            &format!("long={long}x"),
        ] {
            assert!(!is_found(&claims, pattern), "{pattern}");
        }
    }

    /// The word of a long claim has so much of it: by more, others would be found that begin like it.
    #[test]
    fn how_a_claim_begins_is_as_long_as_what_is_kept_of_it() {
        let begins = |length: usize| format!("long={}*", "x".repeat(length - 5));
        let claims = serde_json::json!({"long": "x".repeat(600)});
        assert!(is_found(&claims, &begins(LONGEST)));
        begins(LONGEST + 1).parse::<Pattern>().unwrap_err();
        let exact = format!("long={}", "x".repeat(600));
        exact.parse::<Pattern>().unwrap();
    }

    #[test]
    fn a_token_of_very_many_values_has_so_many_words_and_no_more() {
        let many: Vec<u64> = (0..5000).collect();
        let claims = serde_json::json!({"many": many});
        assert!(is_found(&claims, "many=1023"));
        assert!(!is_found(&claims, "many=1024"));
    }
}
