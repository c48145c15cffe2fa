//! No reader that a strange upstream could have finds a guarded path where the gate found an open one.

use proptest::prelude::*;

use super::{CATALOGUE, Target, classify, key};
use crate::dynatrace::catalogue::{ANY, PROXY, Row, WRITE, is_open};

/// The readers that a strange upstream could use: decoding and resolving in any order, three steps
/// deep, with slashes merged before or not, folded, cut at `;`, backslashes turned.
fn upstream_readings(path: &str) -> Vec<String> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let mut readings = vec![path.to_owned()];
    for _ in 0..3 {
        for text in readings.clone() {
            readings.extend([
                decode(&text),
                text.to_lowercase(),
                text.replace('\\', "/"),
                resolved(&text, false),
                resolved(&text, true),
                text.split('/')
                    .map(|segment| segment.split(';').next().unwrap_or(""))
                    .collect::<Vec<_>>()
                    .join("/"),
            ]);
        }
        readings.sort();
        readings.dedup();
    }
    let merged: Vec<String> = readings.iter().map(|text| resolved(text, true)).collect();
    readings.extend(merged);
    readings
}

/// RFC 3986, section 5.2.4, with runs of slashes merged first or kept.
fn resolved(path: &str, merge: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "" if merge => {}
            "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// What can be done to a path at a character that is not its first.
const STRANGE: &[fn(&mut String, usize)] = &[
    |path, at| path.insert(at, '/'),
    |path, at| path.insert_str(at, "/./"),
    |path, at| path.insert_str(at, "/x/../"),
    |path, at| path.insert_str(at, "%2f"),
    |path, at| path.insert_str(at, ";a=b"),
    |path, at| path.insert_str(at, "%3f"),
    |path, at| path.insert(at, '\\'),
    |path, at| {
        let c = path.get(at..=at).unwrap_or("/").to_owned();
        let code =
            percent_encoding::percent_encode(c.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
        let hex = c
            .bytes()
            .next()
            .map_or(String::new(), |byte| format!("%{byte:02x}"));
        let code = if c.len() == 1 { hex } else { code.to_string() };
        path.replace_range(at..at + c.len(), &code);
    },
    |path, at| {
        let c = path.get(at..=at).unwrap_or("/").to_uppercase();
        path.replace_range(at..at + c.len(), &c);
    },
    |path, at| path.insert_str(at, "%25"),
    |path, _| path.insert_str(0, "/e/abc"),
    |path, _| path.insert_str(0, "/x/.."),
    |path, _| path.push_str("/y/.."),
    |path, _| path.push('/'),
    |path, _| {
        if let Some(below) = path.strip_prefix("/api/v") {
            *path = format!("/platform/classic/environment-api/v{below}");
        }
    },
];

/// Whether an upstream that folds case would take a path for that of a guarded row.
fn reaches_guarded(method: &str, path: &str) -> bool {
    let path = path.to_lowercase();
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    // `/credentials//x/` is that credential, and not something below it.
    segments.retain(|segment| !segment.is_empty());
    if segments.first() == Some(&"e") && segments.len() > 2 && is_name(segments[1]) {
        segments.drain(..2);
    }
    if let Some(below) = segments.strip_prefix(PROXY) {
        segments = [&["api"], below].concat();
    }
    let matches = |row: &&Row| {
        let pattern: Vec<String> = row.segments.iter().map(|s| s.to_lowercase()).collect();
        let length = pattern.len() - usize::from(row.owns);
        (segments.len() == length || row.owns && segments.len() > length)
            && pattern
                .iter()
                .take(length)
                .zip(&segments)
                .all(|(pattern, segment)| {
                    let names = is_name(segment) || !row.is_guarded() && !segment.is_empty();
                    pattern == segment || is_open(pattern) && names
                })
    };
    let rows = CATALOGUE.rows().iter().filter(matches);
    let rows: Vec<&Row> = rows.filter(|row| row.endpoint.is_for(method)).collect();
    // What is below a resource is its own, apart from what has a row.
    let closest = rows.iter().map(|row| row.openness()).min();
    rows.iter()
        .any(|row| row.is_guarded() && Some(row.openness()) == closest)
}

/// Whether Dynatrace could have given this name to something.
fn is_name(segment: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    !segment.is_empty() && segment.chars().all(plain)
}

fn piece() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/",
        "/",
        "/",
        "api",
        "v1",
        "v2",
        "tokens",
        "apiTokens",
        "apitokens",
        "lookup",
        "e",
        "abc",
        "..",
        ".",
        "%2e",
        "%2f",
        "%252f",
        "%5c",
        "\\",
        ";",
        ";a=b",
        "T",
        "%74",
        "okens",
        "x",
        "%00",
        "%20",
        "//",
        "rest",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_write_that_any_upstream_could_read_as_a_token_path_is_never_open(
        pieces in prop::collection::vec(piece(), 1..14),
    ) {
        let path = format!("/{}", pieces.concat());
        let guarded = |path: &str| {
            let path = path.to_lowercase();
            let below = path.strip_prefix("/e/").and_then(|rest| rest.find('/').and_then(|at| rest.get(at..))).unwrap_or(&path);
            below.starts_with("/api/v1/tokens") && matches!(below.as_bytes().get(14), None | Some(b'/'))
                || below.starts_with("/api/v2/apitokens") && matches!(below.as_bytes().get(17), None | Some(b'/'))
        };
        match classify("PUT", &path, &CATALOGUE, &key()) {
            Ok(Target::Open) => {
                for reading in upstream_readings(&path) {
                    prop_assert!(!guarded(&reading), "{} read as {}", path, reading);
                }
            }
            Ok(Target::Guarded(canonical)) => {
                let raw = canonical.raw().expose().to_owned();
                for reading in upstream_readings(&raw) {
                    prop_assert!(reading == raw || reading == raw.to_lowercase(), "{} became {}, read as {}", path, raw, reading);
                }
                let again = classify("PUT", &raw, &CATALOGUE, &key());
                prop_assert!(matches!(again, Ok(Target::Guarded(path)) if path.raw().expose() == raw));
            }
            Err(_) => {}
        }
    }

    #[test]
    fn a_guarded_path_that_is_written_strangely_is_never_open(
        row in any::<prop::sample::Index>(),
        spellings in prop::collection::vec((any::<prop::sample::Index>(), 0..STRANGE.len()), 1..4),
    ) {
        let guarded: Vec<&Row> = CATALOGUE.rows().iter().filter(|row| row.is_guarded()).collect();
        let row = guarded[row.index(guarded.len())];
        let method = match row.endpoint.method { ANY | WRITE => "POST", one => one };
        let mut path = row.endpoint.path.replace("{id}", "dt0c01.AB").replace("{*}", "a/b");
        while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
            path.replace_range(from..=to, "x1");
        }
        for (index, strange) in spellings {
            let places: Vec<usize> = path.char_indices().map(|(at, _)| at).skip(1).collect();
            STRANGE[strange](&mut path, places[index.index(places.len())]);
        }
        if matches!(classify(method, &path, &CATALOGUE, &key()), Ok(Target::Open)) {
            for reading in upstream_readings(&path) {
                prop_assert!(!reaches_guarded(method, &reading), "{} {} read as {}", method, path, reading);
            }
        }
    }

    #[test]
    fn any_path_is_answered_without_a_panic(path in "\\PC{0,40}", method in "[A-Z]{0,8}") {
        let answer = classify(&method, &path, &CATALOGUE, &key());
        prop_assert!(answer.is_ok() || answer.is_err());
    }
}
