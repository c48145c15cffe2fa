use proptest::prelude::*;
use serde_json::json;

use super::*;

const WORDS: &[&str] = &["name", "scopes", "revoked", "expiresIn"];

fn parse(text: &str) -> Result<Value, JsonError> {
    parse_object(text.as_bytes(), WORDS.iter().copied()).map(Value::Object)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn duplicate_members_are_refused_with_their_place() {
    assert_eq!(
        refusal("{\"scopes\": [],\n \"scopes\": [\"WriteConfig\"]}"),
        "line 2 column 9, \"scopes\": duplicate member"
    );
    assert!(refusal(r#"{"scopes":[],"\u0073copes":["WriteConfig"]}"#).contains("duplicate"));
    assert!(refusal(r#"{"x":[{"a":1,"a":2}]}"#).ends_with("\"x[0].a\": duplicate member"));
}

#[test]
fn whatever_a_member_is_refused_for_it_is_named() {
    let deep = format!("{{\"x\":{}", "[".repeat(40));
    for (text, member) in [
        (r#"{"x":[1,{"b":1,"B":2}]}"#, "x[1].B"),
        (r#"{"a":{"b\u0000":1}}"#, "a.b\0"),
        (r#"{"a":[0,9007199254740993]}"#, "a[1]"),
        (r#"{"a":1,"b":1e400}"#, "b"),
        (r#"{"expiresin":1}"#, "expiresin"),
        (&deep, &format!("x{}", "[0]".repeat(32))),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.member.as_deref(), Some(member), "{text}: {error}");
    }
    // What is no JSON has no members.
    assert_eq!(parse(r#"{"a":1,}"#).unwrap_err().member, None);
}

#[test]
fn a_byte_order_mark_is_named() {
    for (mark, encoding) in [
        (&b"\xEF\xBB\xBF"[..], "EF BB BF"),
        (b"\xFF\xFE", "of UTF-16"),
        (b"\xFE\xFF", "of UTF-16"),
        (b"\xFF\xFE\0\0", "of UTF-32"),
        (b"\0\0\xFE\xFF", "of UTF-32"),
    ] {
        let bytes = [mark, b"{}"].concat();
        let error = parse_object(&bytes, std::iter::empty()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "line 1 column 1: it begins with a byte-order mark ({encoding}): send UTF-8 without one"
            )
        );
    }
}

#[test]
fn twins_of_known_members_are_refused_alone_and_beside_them() {
    for name in [
        "Scopes",
        "SCOPES",
        " scopes",
        "scopes ",
        "\u{feff}scopes",
        "\u{17f}copes",
        "ſcopeſ",
        "ｓcopes",
        "sco\u{200b}pes",
        "\u{a0}scopes",
        "expiresin",
        "EXPIRESIN",
        "sco\u{ad}pes",
        "scopes[]",
        "scopes[0]",
        "_scopes",
    ] {
        let quoted = Value::String(name.to_owned());
        let message = refusal(&format!("{{{quoted}:[]}}"));
        assert!(
            message.contains("could be taken for"),
            "{name:?}: {message}"
        );
        assert!(
            parse(&format!("{{\"scopes\":[],{quoted}:[]}}")).is_err(),
            "{name:?}"
        );
    }
}

#[test]
fn twins_of_unknown_members_are_refused_too() {
    assert!(refusal(r#"{"owner":1,"Owner":2}"#).contains("could be taken for"));
    assert!(refusal(r#"{"x":[{"k":1,"K":2}]}"#).contains("could be taken for"));
}

#[test]
fn what_is_no_utf8_or_no_json_is_refused() {
    assert_eq!(
        parse_object(b"{\"a\":\n\"\xff\"}", std::iter::empty())
            .unwrap_err()
            .to_string(),
        "line 2 column 2: not UTF-8"
    );
    for text in [
        "",
        " ",
        "null",
        "[]",
        "1",
        "\"x\"",
        "{",
        "{}{}",
        "{} x",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\":NaN}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":0x1}",
        "{\"a\":1//\n}",
        "/**/{}",
        "\u{feff}{}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\\u0000b\":1}",
        "{}\0",
        "{\"a\":1;\"b\":2}",
        "{\"a\":True}",
    ] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    // UTF-16 is JSON to some readers.
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(parse_object(&utf16, std::iter::empty()).is_err());
}

#[test]
fn numbers_that_readers_keep_differently_are_refused() {
    for number in [
        "9007199254740992",
        "-9007199254740992",
        "12345678901234567890123",
        "1e400",
        "1e30",
    ] {
        assert!(parse(&format!("{{\"a\":{number}}}")).is_err(), "{number}");
    }
    for number in ["0", "-1", "9007199254740991", "1.5", "1e3", "-0"] {
        assert!(parse(&format!("{{\"a\":{number}}}")).is_ok(), "{number}");
    }
}

#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(refusal(&nested(MAX_DEPTH)).contains("nested deeper"));
    assert!(parse(&nested(10_000)).is_err());
}

#[test]
fn a_member_that_imitates_the_parsers_own_markers_is_only_a_member() {
    let body = r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#;
    assert_eq!(
        parse(body).unwrap(),
        json!({"$serde_json::private::Number": "1", "$serde_json::private::RawValue": "2"})
    );
}

/// What lenient readers do with an object, name by name: first wins, last wins, case folded,
/// trimmed. Each gives the value it would take for `word`.
fn lenient_readings(text: &str, word: &str) -> Vec<Option<Value>> {
    #[derive(Debug)]
    struct Pairs(Vec<(String, Value)>);
    impl<'de> serde::Deserialize<'de> for Pairs {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Read;
            impl<'de> Visitor<'de> for Read {
                type Value = Pairs;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            deserializer.deserialize_map(Read)
        }
    }
    let Pairs(pairs) = serde_json::from_str(text).expect("what was accepted is JSON to everybody");
    let exact = |name: &str| name == word;
    let folded = |name: &str| name.to_lowercase() == word.to_lowercase();
    let upper = |name: &str| name.to_uppercase() == word.to_uppercase();
    let trimmed = |name: &str| name.trim() == word;
    let readers: [&dyn Fn(&str) -> bool; 4] = [&exact, &folded, &upper, &trimmed];
    let mut readings = Vec::new();
    for same in readers {
        readings.push(
            pairs
                .iter()
                .find(|(name, _)| same(name))
                .map(|(_, value)| value.clone()),
        );
        readings.push(
            pairs
                .iter()
                .rev()
                .find(|(name, _)| same(name))
                .map(|(_, value)| value.clone()),
        );
    }
    readings
}

/// Member names that are, or nearly are, known ones, and others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(WORDS).prop_map(str::to_owned),
        prop::sample::select(WORDS).prop_map(str::to_uppercase),
        prop::sample::select(WORDS).prop_map(|word| format!(" {word}")),
        prop::sample::select(WORDS)
            .prop_map(|word| word.replace('s', "\u{17f}").replace('k', "\u{212a}")),
        prop::sample::select(WORDS).prop_map(|word| format!("{word}\u{200d}")),
        "[a-zA-Zſ ]{0,4}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "\\PC{0,6}".prop_map(|text| Value::String(text).to_string()),
        Just(r#"["WriteConfig"]"#.to_owned()),
    ];
    let value = value.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|array| format!("[{}]", array.join(" ,"))),
            prop::collection::vec((name(), inner), 0..3).prop_map(object),
        ]
    });
    prop::collection::vec((name(), value), 0..4).prop_map(object)
}

/// Writes names with `\u` escapes now and then: spelling must not matter.
fn object(members: Vec<(String, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .enumerate()
        .map(|(index, (name, value))| {
            let quoted = if index % 2 == 0 {
                Value::String(name).to_string()
            } else {
                let units: Vec<String> = name
                    .encode_utf16()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect();
                format!("\"{}\"", units.concat())
            };
            format!("{quoted}: {value}")
        })
        .collect();
    format!("{{ {} }}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_lenient_reader_makes_of_the_forwarded_bytes_is_what_was_judged(text in text()) {
        if let Ok(members) = parse_object(text.as_bytes(), WORDS.iter().copied()) {
            let forwarded = serde_json::to_string(&members).unwrap();
            for word in WORDS {
                let judged = members.get(*word).cloned();
                for reading in lenient_readings(&forwarded, word) {
                    prop_assert_eq!(&reading, &judged, "{} in {}", word, forwarded);
                }
            }
            let again = parse_object(forwarded.as_bytes(), WORDS.iter().copied());
            prop_assert_eq!(again.as_ref(), Ok(&members));
        }
    }

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let parsed = parse_object(&bytes, WORDS.iter().copied());
        if parsed.is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn folding_twice_changes_nothing(name in "\\PC{0,8}") {
        prop_assert_eq!(fold(&fold(&name)), fold(&name));
    }
}
