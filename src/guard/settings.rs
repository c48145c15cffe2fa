//! Settings objects: which schema a request writes, as far as it is judged.
//!
//! Most settings have nothing to do with credentials, and everybody writes them. A body is passed on byte for byte
//! when no text in it, under any spelling, names a schema that is judged, nor does an objectId in it; an objectId in
//! the path is passed on when the schema that it names is another one. An objectId whose schema nobody can tell is
//! refused: it could be one that is judged, and there is nothing that a policy could judge by.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding};
use percent_encoding::percent_decode_str;
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
    schema_of(&bytes).map(str::to_owned)
}

fn schema_of(bytes: &[u8]) -> Option<&str> {
    let (length, rest) = bytes.strip_prefix(HEAD)?.split_first_chunk::<2>()?;
    let schema = rest.get(..u16::from_be_bytes(*length).into())?;
    let schema = std::str::from_utf8(schema).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ":.-_".contains(c);
    (!schema.is_empty() && schema.chars().all(plain)).then_some(schema)
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

/// What a body, or another text, says about schemas.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    schemas: Vec<&'static str>,
    /// An objectId in it does not show its schema.
    hidden: bool,
}

/// What any text of a body says, member names included. A reader that takes the first of two members, or the last,
/// finds nothing that is not among it.
pub(super) fn mentioned(body: &[u8]) -> Result<Mentioned, JsonError> {
    refuse_mark(body)?;
    let mut found = Mentioned::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Search(&mut found)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(|error| JsonError::from_serde(&error))?;
    Ok(found)
}

impl Mentioned {
    /// The schemas that govern credentials; `None`: nobody can say.
    pub(super) fn schemas(mut self) -> Option<Vec<&'static str>> {
        self.schemas.sort_unstable();
        self.schemas.dedup();
        (!self.hidden).then_some(self.schemas)
    }

    /// Searches a text for names and for objectIds, as it is, and with its percent encoding undone.
    pub(super) fn search(&mut self, text: &str) {
        let mut text = Cow::Borrowed(text);
        for _ in 0..=MOST_DECODED {
            self.schemas.extend(governing(&text));
            self.search_ids(&text);
            if !text.contains('%') {
                return;
            }
            let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
            text = Cow::Owned(decoded);
        }
    }

    /// Decoders of base64 take either alphabet, and skip what is in none: padding, line ends, blanks.
    fn search_ids(&mut self, text: &str) {
        if text.len() < MARK.len() {
            return;
        }
        let letters: Vec<u8> = text.bytes().filter_map(standard).collect();
        let starts = letters.windows(MARK.len()).enumerate();
        for (start, _) in starts.filter(|(_, letters)| *letters == MARK) {
            let end = letters.len().min(start + MOST_LETTERS);
            let bytes = decode(letters.get(start..end).unwrap_or_default());
            match schema_of(&bytes) {
                Some(schema) => self.schemas.extend(governing(schema)),
                None => self.hidden = true,
            }
        }
    }
}

/// A letter of base64 in the alphabet that has `+` and `/`.
fn standard(byte: u8) -> Option<u8> {
    match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(byte),
        _ => byte.is_ascii_alphanumeric().then_some(byte),
    }
}

/// Letters of base64 as bytes; what is left over at the end says nothing.
fn decode(letters: &[u8]) -> Vec<u8> {
    let whole = letters.len() - usize::from(letters.len() % 4 == 1);
    let letters = letters.get(..whole).unwrap_or_default();
    LENIENT.decode(letters).unwrap_or_default()
}

/// Base64 whose last letter may say more than there is.
static LENIENT: LazyLock<Encoding> = LazyLock::new(|| {
    let mut lenient = BASE64_NOPAD.specification();
    lenient.check_trailing_bits = false;
    lenient
        .encoding()
        .expect("the specification is the library's own")
});

/// Goes through every text of a value.
struct Search<'a>(&'a mut Mentioned);

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
        self.0.search(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Search(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key_seed(Search(self.0))?.is_some() {
            members.next_value_seed(Search(self.0))?;
        }
        Ok(())
    }
}

/// What every objectId begins with: a mark, and the version of the form.
const HEAD: &[u8] = b"\xbe\xefT\xde\x15\xda\xde\xad\x00\x00\x00\x01";

/// What every objectId begins with in base64, whatever its version.
const MARK: &[u8] = b"vu9U3hXa3q";

/// The shortest name of a schema that is judged has 17 letters, and a byte is folded to two at most.
const SHORTEST: usize = 9;

/// Letters of an objectId up to the end of its schema: no schema's name has 200.
const MOST_LETTERS: usize = 288;

/// How often a text's percent encoding is undone.
const MOST_DECODED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::tests::hostile::encoded;

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
            let found = mentioned(body.as_bytes()).unwrap().schemas().unwrap();
            assert_eq!(found, ["builtin:tokens.token-settings"], "{body}");
        }
        let body = r#"[{"schemaId":"builtin:alerting.profile","value":{"a":[1,-2,0.5,null,true],"A":"tokens"}}]"#;
        assert!(
            mentioned(body.as_bytes())
                .unwrap()
                .schemas()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn an_object_id_in_a_body_hides_nothing() {
        let body = format!(
            r#"[{{"objectId":"{}"}}]"#,
            object_id("builtin:activegate-token")
        );
        assert_eq!(
            mentioned(body.as_bytes()).unwrap().schemas().unwrap(),
            ["builtin:activegate-token"]
        );
        let long = format!(
            r#"["{}Builtin:\tActiveGate-token{}"]"#,
            " ".repeat(600),
            "\u{200b}".repeat(600)
        );
        assert_eq!(
            mentioned(long.as_bytes()).unwrap().schemas().unwrap(),
            ["builtin:activegate-token"]
        );
    }

    fn found(text: &str) -> Option<Vec<&'static str>> {
        let body = serde_json::to_vec(&serde_json::json!([{"insertAfter": text}])).unwrap();
        mentioned(&body).unwrap().schemas()
    }

    #[test]
    fn every_judged_schema_is_found_however_its_object_id_is_written() {
        for name in SCHEMAS {
            let id = object_id(name);
            let encoded = |text: &str| encoded(text, 1);
            let (first, last) = id.split_at(30);
            for written in [
                id.clone(),
                format!("{id}="),
                format!("{id}=="),
                format!("{id}%3D"),
                id.replace('-', "+").replace('_', "/"),
                encoded(&id),
                encoded(&encoded(&id)),
                format!("{first}\r\n {last}"),
                format!("{}{id}{}", "x y,".repeat(300), "z".repeat(900)),
                format!("{},{id}", object_id("builtin:alerting.profile")),
                format!("urn:settings/{id}"),
                format!("{first}{last}").replace("AAAAB", "AAAAB\u{0}"),
                (*name).to_owned(),
                name.replace(':', "%3A"),
                encoded(name),
                name.to_uppercase(),
            ] {
                assert_eq!(found(&written), Some(vec![*name]), "{written}");
            }
            assert!(name.len() >= SHORTEST * 2 - 1, "{name}");
        }
    }

    #[test]
    fn an_object_id_in_a_body_that_hides_its_schema_is_said_so() {
        let version = |version: u8| {
            let mut bytes = HEAD.to_vec();
            bytes.pop();
            bytes.extend([version, 0, 1, b'x']);
            BASE64URL_NOPAD.encode(&bytes)
        };
        let id = object_id("builtin:audit-log");
        for hidden in [
            version(2),
            version(0),
            object_id(""),
            object_id("builtin:\u{0}"),
            id.chars().take(20).collect(),
            format!("{}{id}", object_id("builtin:a\u{e9}")),
        ] {
            assert_eq!(found(&hidden), None, "{hidden}");
        }
        for other in [
            version(1),
            object_id("app:my.app:x"),
            "vu9U3hXa3".to_owned(),
            id.to_lowercase(),
        ] {
            assert_eq!(found(&other), Some(Vec::new()), "{other}");
        }
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
