//! Long texts in JSON made shorter, without taking it apart: whatever a record has, no text is forgotten.

/// JSON with its long texts made shorter. Everything else stays as it is, byte for byte.
pub(super) fn shortened(
    json: Vec<u8>,
    longest: usize,
    shorten: impl Fn(&str) -> String,
) -> Vec<u8> {
    if json.len() <= longest {
        return json;
    }
    let mut written = Vec::with_capacity(json.len());
    let mut rest = json.as_slice();
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let (before, from) = rest.split_at(start);
        let (text, after) = from.split_at(text_length(from));
        written.extend_from_slice(before);
        // As written it is never shorter than what it says.
        let long = (text.len() > longest + 2).then(|| {
            serde_json::from_slice::<String>(text).expect("a record is JSON that we have written")
        });
        match long.filter(|text| text.len() > longest) {
            Some(text) => serde_json::to_writer(&mut written, &shorten(&text))
                .expect("writing to memory cannot fail"),
            None => written.extend_from_slice(text),
        }
        rest = after;
    }
    written.extend_from_slice(rest);
    written
}

/// The length of the text that begins JSON, with both quotation marks.
fn text_length(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn short(text: &str) -> String {
        format!("<{}>", text.len())
    }

    /// The same by way of values.
    fn expected(value: &Value, longest: usize) -> Value {
        let text = |text: &str| {
            if text.len() > longest {
                short(text)
            } else {
                text.to_owned()
            }
        };
        match value {
            Value::String(value) => text(value).into(),
            Value::Array(elements) => elements.iter().map(|v| expected(v, longest)).collect(),
            Value::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, v)| (text(name), expected(v, longest)))
                    .collect()
            }
            other => other.clone(),
        }
    }

    #[test]
    fn what_is_short_stays_as_it_is_byte_for_byte() {
        let json = br#"{ "a" : [1.50, "\u00e9\"\\"] , "b":"\\" }"#.to_vec();
        assert_eq!(shortened(json.clone(), 8, short), json);
    }

    #[test]
    fn escapes_do_not_count_and_do_not_hide_an_end() {
        let json = json!({"a\"": "\u{1}".repeat(9), "b\\": ["\\\"".repeat(5), "c"]}).to_string();
        let written = shortened(json.into_bytes(), 9, short);
        assert_eq!(written, br#"{"a\"":"\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001\u0001","b\\":["<10>","c"]}"#);
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[a-c"\\\n\u{1}é]{0,12}"#;
        let leaf = prop_oneof![
            text.prop_map(Value::from),
            any::<i64>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(text, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_long_text_is_replaced_and_nothing_else(value in value(), longest in 0..10_usize) {
            let written = shortened(value.to_string().into_bytes(), longest, short);
            let read: Value = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(read, expected(&value, longest));
        }
    }
}
