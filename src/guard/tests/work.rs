//! What a stranger can make the gate do: never more than a few steps a byte, and never more than the budget.

use proptest::prelude::*;

use super::hostile::encoded;
use super::*;

const FIELDS: [&str; 7] = [
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-original-path",
    "x-original-uri",
    "x-envoy-original-path",
];

fn work(parts: &Parts) -> (Result<Route, ReadError>, usize) {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let mut work = Work::default();
    let redactor = redactor(&parts.headers, parts.uri.query());
    let read = read(parts, true, &redactor, &catalogue, &key(), &mut work);
    (read.map_err(|refused| refused.error), work.spent())
}

fn bytes(parts: &Parts) -> usize {
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len());
    parts.uri.to_string().len() + fields.sum::<usize>()
}

/// A piece that somebody once made something of, encoded up to eight times.
fn piece() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "\\",
        "?",
        "#",
        ";",
        "&",
        "=",
        ".",
        "..",
        "/../",
        "%",
        "%25",
        "%2525252541",
        "%u002f",
        "%6%4",
        "½",
        "\u{fdfa}",
        "\u{fdfb}",
        "\u{33af}",
        "\u{3316}",
        "\u{2026}",
        "ﬃ",
        "é",
        "ΐ",
        "я",
        "日",
        "\u{345}",
        "\u{200b}",
        "v1",
        "v1/",
        "v1\\",
        "api",
        "api/",
        "platform\\",
        "config\\",
        "dashboards\\",
        "tokens",
        "tokens/",
        "rest/",
        "e/x/",
        "installer",
        "a",
        "_method=",
        "createToken",
    ]);
    (pieces, 0..8_u8, any::<bool>()).prop_map(|(piece, depth, deep)| {
        // Encoding makes it three times as long each time.
        encoded(piece, if deep { depth.min(4) } else { depth.min(1) })
    })
}

/// Few pieces, repeated until the text is long.
fn text(length: usize) -> impl Strategy<Value = String> {
    (prop::collection::vec(piece(), 1..6), 1..=length).prop_map(|(pieces, length)| {
        let piece = pieces.concat();
        let mut text = piece.repeat(length / piece.len() + 1);
        while text.len() > length {
            text.pop();
        }
        text
    })
}

/// A head with hostile text in one place or in several; `None`: it cannot be sent.
fn made(line: (&str, &str), path: &str, query: &str, value: &str, fields: usize) -> Option<Parts> {
    let (method, root) = line;
    let keep = |text: &str, but: &[char]| -> String {
        text.chars()
            .filter(|c| !c.is_control() && !but.contains(c))
            .collect()
    };
    let target = format!(
        "{root}{}?{}",
        keep(path, &['?', '#', ' ', '<', '>', '^', '`']),
        keep(query, &['#', ' '])
    );
    let mut request = Request::builder().method(method).uri(target.as_bytes());
    request = request
        .header("host", "gate")
        .header("content-type", "application/json");
    for name in FIELDS.iter().take(fields) {
        request = request.header(*name, keep(value, &[]).as_bytes());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// Steps a byte. Most is spent where a character of three bytes stands for eighteen, and where a path is at many
/// places of the catalogue at once.
const STEPS_A_BYTE: usize = 16;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_head_is_read_in_few_steps_a_byte(
        line in prop::sample::select(vec![("GET", "/"), ("POST", "/"), ("GET", "/api/v2/apiTokens/"), ("POST", "/api/cluster/v2/environments"), ("GET", "/api/v1/deployment/installer/")]),
        path in text(8_000),
        query in text(40_000),
        value in text(8_000),
        fields in 0..=7_usize,
        parts in 0..8_u8,
    ) {
        let part = |bit: u8, text: &str| if parts & bit == 0 { String::new() } else { text.to_owned() };
        if let Some(parts) = made(line, &part(1, &path), &part(2, &query), &part(4, &value), fields) {
            let (read, spent) = work(&parts);
            let allowed = STEPS_A_BYTE * bytes(&parts) + 64;
            prop_assert!(spent <= allowed, "{} steps for {} bytes", spent, bytes(&parts));
            let exhausted = matches!(read, Err(ReadError::Path(PathError::Work(_))));
            prop_assert!(!exhausted || allowed > 128 * 1024, "{} bytes are refused for their work", bytes(&parts));
        }
    }
}

#[test]
fn ordinary_heads_take_hundreds_of_steps() {
    for (line, headers) in [
        (PUT, vec![JSON]),
        (
            "GET /api/v2/metrics/query?metricSelector=builtin%3Ahost.cpu.usage&entitySelector=type%28HOST%29",
            vec![],
        ),
        (
            "GET /api/v2/settings/objects?schemaIds=builtin%3Aalerting.profile&fields=objectId%2Cvalue",
            vec![],
        ),
        (
            "GET /x/y?z",
            vec![
                ("x-forwarded-uri", "/gate/x/y?z"),
                ("x-envoy-original-path", "/gate/x/y?z"),
            ],
        ),
        (
            "POST /api/v2/metrics/ingest",
            vec![("content-type", "text/plain")],
        ),
    ] {
        let (read, spent) = work(&parts(line, &headers));
        assert!(read.is_ok(), "{line}");
        assert!(spent < 600, "{spent} steps: {line}");
    }
}

type Refused = fn(&ReadError) -> bool;

/// The smallest inputs that once took the worker's thread for tens and hundreds of milliseconds.
#[test]
fn what_once_took_long_is_answered_within_the_budget() {
    let end = "/../%25252525252541";
    let fractions = format!("/{}{end}", "½".repeat(4_000));
    let ligatures = format!("/{}%2541", "\u{fdfa}".repeat(2_700));
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let segments = catalogue.rows().iter().flat_map(|row| row.segments.clone());
    let mut segments: Vec<&str> = segments.filter(|segment| !segment.contains('{')).collect();
    segments.dedup();
    segments.truncate(400);
    let places = format!("/{}{}", segments.join("\\"), "\\a".repeat(1000));
    let query = format!("GET /api/v2/apiTokens?%{}41", "25".repeat(30_000));
    let parameters = format!(
        "GET /api/v1/deployment/installer/agent?{}",
        "a&".repeat(30_000)
    );
    let fields = |value: &str| {
        let mut request = Request::get("/x").header("host", "gate");
        for name in FIELDS {
            request = request.header(name, value.as_bytes());
        }
        request.body(()).unwrap().into_parts().0
    };
    let path = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path.as_bytes());
        request
            .header("host", "gate")
            .body(())
            .unwrap()
            .into_parts()
            .0
    };
    let ambiguous: Refused = |error| matches!(error, ReadError::Path(PathError::Ambiguous(_)));
    let overridden: Refused = |error| matches!(error, ReadError::Override(_));
    let exhausted: Refused = |error| matches!(error, ReadError::Path(PathError::Work(_)));
    let queried: Refused = |error| matches!(error, ReadError::Query);
    for (name, parts, refused) in [
        ("fractions", path("POST", &fractions), ambiguous),
        ("fractions read", path("GET", &fractions), ambiguous),
        ("fractions in fields", fields(&fractions), overridden),
        ("ligatures", path("POST", &ligatures), ambiguous),
        ("ligatures in fields", fields(&ligatures), exhausted),
        ("places", path("GET", &places), exhausted),
        ("query", parts(&query, &[]), queried),
        ("parameters", parts(&parameters, &[]), exhausted),
    ] {
        let (read, spent) = work(&parts);
        let error = read.expect_err(name);
        assert!(refused(&error), "{name}: {error}");
        assert!(spent <= STEPS_A_BYTE * bytes(&parts), "{name}: {spent}");
    }
    // Open reads are refused for nothing of that: nobody looks into their query.
    let (read, _) = work(&parts(&query.replace("/api/v2/apiTokens", "/x"), &[]));
    assert!(matches!(read, Ok(Route::Open)));
}
