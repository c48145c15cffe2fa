//! Settings objects: which schema a request writes, as far as tokens are concerned.
//!
//! Most settings have nothing to do with tokens, and everybody writes them. A body is passed on byte for
//! byte when no text in it, under any spelling, names a schema that governs tokens; an objectId is
//! passed on when the schema that it names is another one.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fold::fold_char;
use super::json::{JsonError, refuse_mark};
use crate::dynatrace::catalogue::SCHEMAS;

/// The schema that an objectId names: `PUT` and `DELETE` say it nowhere else.
///
/// An objectId is base64url of a fixed head and length-prefixed texts, the first of which is the schema. What
/// has another form cannot be judged.
pub(super) fn schema(object_id: &str) -> Option<String> {
    let bytes = BASE64URL_NOPAD.decode(object_id.as_bytes()).ok()?;
    let (length, rest) = bytes.strip_prefix(HEAD)?.split_first_chunk::<2>()?;
    let schema = rest.get(..u16::from_be_bytes(*length).into())?;
    let schema = std::str::from_utf8(schema).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ":.-_".contains(c);
    (!schema.is_empty() && schema.chars().all(plain)).then(|| schema.to_owned())
}

pub(super) fn governs_tokens(schema: &str) -> bool {
    !governing(schema).is_empty()
}

/// The schemas that govern tokens, of those that a text names.
pub(super) fn governing(text: &str) -> Vec<&'static str> {
    if text.len() < SHORTEST {
        return Vec::new();
    }
    // All names are ASCII: one other letter stands for many.
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        fold_char(c, &mut |c| {
            if c.is_ascii() || folded.ends_with(|last: char| last.is_ascii()) {
                folded.push(c);
            }
        });
    }
    let names = SCHEMAS.iter().copied();
    names.filter(|schema| folded.contains(schema)).collect()
}

/// The schemas that govern tokens, of those that any text of a body names, member names included. A
/// reader that takes the first of two members, or the last, finds none that is not among them.
pub(super) fn mentioned(body: &[u8]) -> Result<Vec<&'static str>, JsonError> {
    refuse_mark(body)?;
    let mut found = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Search(&mut found)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| JsonError::from_serde(&error))?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Goes through every text of a value.
struct Search<'a>(&'a mut Vec<&'static str>);

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.extend(governing(text));
        // An objectId hides its schema.
        if (MIN_ID..=MAX_ID).contains(&text.len()) {
            let schema = schema(text.trim());
            self.0
                .extend(schema.iter().flat_map(|schema| governing(schema)));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Search(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key_seed(Search(&mut *self.0))?.is_some() {
            members.next_value_seed(Search(&mut *self.0))?;
        }
        Ok(())
    }
}

/// What every objectId begins with: a mark, and the version of the form.
const HEAD: &[u8] = b"\xbe\xefT\xde\x15\xda\xde\xad\x00\x00\x00\x01";

/// The shortest name of a schema that governs tokens has 24 letters, and a byte is folded to two at most.
const SHORTEST: usize = 12;

/// An objectId of such a schema is longer than its head and the shortest name in base64.
const MIN_ID: usize = 52;

/// No objectId is as long.
const MAX_ID: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn object_id(schema: &str) -> String {
        let mut bytes = HEAD.to_vec();
        for text in [schema, "tenant", "tenant", "a3c1"] {
            bytes.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.bytes());
        }
        BASE64URL_NOPAD.encode(&bytes)
    }

    #[test]
    fn an_object_id_names_its_schema() {
        for name in [
            "builtin:tokens.token-settings",
            "builtin:anomaly-detection.metric-events",
            "app:my.app:x",
        ] {
            let id = object_id(name);
            assert!(id.starts_with("vu9U3hXa3q0AAAABA"), "{id}");
            assert_eq!(schema(&id).as_deref(), Some(name));
        }
    }

    #[test]
    fn an_object_id_of_another_form_names_none() {
        let id = object_id("builtin:tokens.token-settings");
        for wrong in [
            String::new(),
            "x".to_owned(),
            format!("{id}="),
            format!("A{id}"),
            id.to_lowercase(),
            id.get(..20).unwrap().to_owned(),
            object_id(""),
            object_id("builtin:tokens\u{0}"),
            // Another version may have another form.
            BASE64URL_NOPAD.encode(&[&HEAD[..11], b"\x02\x00\x01x"].concat()),
            BASE64URL_NOPAD.encode(b"builtin:tokens.token-settings"),
        ] {
            assert_eq!(schema(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_token_schema_is_found_wherever_a_body_names_it() {
        for body in [
            r#"[{"schemaId":"builtin:tokens.token-settings"}]"#,
            r#"[{"schemaId":"x"},{"schemaId":"builtin:tokens.token-settings"}]"#,
            r#"[{"schemaId":"builtin:tokens.token-settings","schemaId":"x"}]"#,
            r#"[{"schemaId":"x","schemaId":"builtin:tokens.token-settings"}]"#,
            r#"{"schemaId":"Builtin:Tokens.Token-Settings "}"#,
            r#"[{"schemaId":"builtin:token\u0073.token-settings"}]"#,
            r#"[[{"builtin:tokens.token-settings":1}]]"#,
        ] {
            let found = mentioned(body.as_bytes()).unwrap();
            assert_eq!(found, ["builtin:tokens.token-settings"], "{body}");
        }
        let body = r#"[{"schemaId":"builtin:alerting.profile","value":{"a":[1,-2,0.5,null,true],"A":"tokens"}}]"#;
        assert!(mentioned(body.as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn an_object_id_in_a_body_hides_nothing() {
        let body = format!(
            r#"[{{"objectId":"{}"}}]"#,
            object_id("builtin:activegate-token")
        );
        assert_eq!(
            mentioned(body.as_bytes()).unwrap(),
            ["builtin:activegate-token"]
        );
        let long = format!(
            r#"["{}Builtin:\tActiveGate-token{}"]"#,
            " ".repeat(600),
            "\u{200b}".repeat(600)
        );
        assert_eq!(
            mentioned(long.as_bytes()).unwrap(),
            ["builtin:activegate-token"]
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in [
            &b""[..],
            b"[",
            b"{} {}",
            b"\xff",
            b"[\"\\ud800\"]",
            b"\xef\xbb\xbf[]",
        ] {
            assert!(mentioned(body).is_err(), "{body:?}");
        }
    }
}
