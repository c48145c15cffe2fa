use proptest::prelude::*;

use super::*;

const UUID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";

fn key() -> HashKey {
    HashKey::new([1; 32])
}

/// How a request is classified, in one word, with the path that would go upstream.
fn read(method: &str, path: &str) -> String {
    match classify(method, path, &key()) {
        Ok(Target::Open) => "open".to_owned(),
        Ok(Target::Guarded(path)) => {
            format!("{} {}", path.endpoint().operation, path.raw().expose())
        }
        Err(PathError::Id(_)) => "id".to_owned(),
        Err(PathError::Internal) => "internal".to_owned(),
        Err(PathError::LookAlike) => "look-alike".to_owned(),
        Err(PathError::Method(_)) => "method".to_owned(),
    }
}

#[test]
fn documented_spellings_are_guarded_under_one_path() {
    for (method, path, reading) in [
        ("PUT", "/api/v1/tokens/x1", "token.update /api/v1/tokens/x1"),
        (
            "PUT",
            "//api/v1/tokens/x1/",
            "token.update /api/v1/tokens/x1",
        ),
        ("POST", "/api/v1/tokens/", "token.create /api/v1/tokens"),
        (
            "POST",
            "/api/v2/apiTokens",
            "token.create /api/v2/apiTokens",
        ),
        (
            "DELETE",
            "/e/abc-12_3/api/v2/apiTokens/dt0c01.AB",
            "token.delete /e/abc-12_3/api/v2/apiTokens/dt0c01.AB",
        ),
        (
            "PUT",
            "/api/v1/tokens/D5836312-5790-4E80-AFCF-09971954C3EA",
            &format!("token.update /api/v1/tokens/{UUID}"),
        ),
    ] {
        assert_eq!(read(method, path), reading, "{method} {path}");
    }
}

#[test]
fn reads_and_lookups_are_open() {
    for (method, path) in [
        ("GET", "/api/v1/tokens"),
        ("HEAD", "/api/v2/apiTokens/x"),
        ("OPTIONS", "/api/v2/apiTokens/x"),
        ("POST", "/api/v2/apiTokens/lookup"),
        ("POST", "/e/abc/api/v1/tokens/lookup"),
        ("POST", "/api/v2/metrics/ingest"),
        ("DELETE", "/api/config/v1/dashboards/tokens"),
        ("PUT", "/"),
        ("PUT", "/api/v1/tokensX/a"),
        ("PUT", "/api/v1/a%2fb"),
        ("GET", "/api/v1/%74okens/a"),
    ] {
        assert_eq!(read(method, path), "open", "{method} {path}");
    }
}

#[test]
fn other_methods_on_a_known_path_are_refused_by_method() {
    for (method, path) in [
        ("PATCH", "/api/v1/tokens/x"),
        ("POST", "/api/v1/tokens/x"),
        ("DELETE", "/api/v2/apiTokens"),
        ("put", "/api/v1/tokens/x"),
        ("PUT", "/api/v1/tokens/lookup"),
        ("MERGE", "/api/v2/apiTokens/x"),
    ] {
        assert_eq!(read(method, path), "method", "{method} {path}");
    }
}

#[test]
fn look_alikes_are_refused() {
    for path in [
        "/api/v1/Tokens/x",
        "/API/V1/TOKENS/x",
        "/api/v1/tokens;a=b/x",
        "/api;x/v1/tokens/x",
        "/api/v1/tokens/x;y",
        "/api/v1/tokens%2fx",
        "/api/v1%2ftokens/x",
        "/api/v1/%74okens/x",
        "/api/v1/%2574okens/x",
        "/api/v1/%252574okens/x",
        "/api/./v1/tokens/x",
        "/api/x/../v1/tokens/x",
        "/api/v1/x/%2e%2e/tokens/x",
        "/api/v1//../tokens/x",
        "/api/v2//../apiTokens/x",
        "/api/v1/;/../tokens/x",
        "/api/v1/\\../tokens/x",
        "/api/v1/%2f..%2ftokens/x",
        "/api/v1/a%2fb/../%74okens/x",
        "/api/v1/a%252fb/../%2574okens/x",
        "/api/v1%e0%80%aftokens/x",
        "/api/v1%f0%80%80%aftokens/x",
        "/api/v1/tokens/x/..",
        "/api\\v1\\tokens\\x",
        "/api/v1/tokens%00/x",
        "/api/v1/tokens%20/x",
        "/api/v1/tokens%09/x",
        "/api/v1/tokens%3fx",
        "/api/v1/%u0074okens/x",
        "/api/v1%c0%aftokens/x",
        "/api/v1%ef%bc%8ftokens/x",
        "/api/v1/%ef%bd%94okens/x",
        "/api/v1/tokens.json/x",
        "/api/v1/tokens:update",
        "/api/v1/tokens/x/y",
        "/api/v1/to%E2%80%8Bkens/x",
        "/platform/classic/environment-api/v2/apiTokens/x",
        "/platform/classic/environment-api/v1/tokens/x",
        "/api/cluster/v2/tokens/x",
        "/api/v3/tokens",
        "/foo/api/v1/tokens/x",
        "/e/a%62c/api/v1/tokens/x",
        "/e/abc/e/abc/api/v1/tokens/x",
        "/api/v1/to\u{212a}ens/x",
        "/api/v1/token\u{17f}/x",
        "/api/v1/tokens/a%62",
        "/api/v1/tokens/x/../../../foo/bar",
        "/x;/../api/v1/tokens/y",
        "/api/v1/tokens/x%23",
    ] {
        assert_eq!(read("PUT", path), "look-alike", "{path}");
    }
    assert_eq!(
        read("PUT", &format!("/{}", "%25".to_owned() + &"25".repeat(20))),
        "look-alike"
    );
}

#[test]
fn the_internal_api_is_refused_on_every_method() {
    for path in [
        "/rest/x",
        "//rest",
        "/REST/x",
        "/e/abc/rest/x",
        "/x/../rest/y",
        "/x%2fy/../%72est/tokens",
        "/%72est/x",
        "/rest;a/x",
    ] {
        assert_eq!(read("GET", path), "internal", "{path}");
    }
    assert_eq!(read("GET", "/api/v2/rest"), "open");
    assert_eq!(read("GET", "/restaurant"), "open");
}

#[test]
fn the_public_path_has_no_secret() {
    let secret = format!("dt0c01.{}.{}", "A".repeat(24), "B".repeat(64));
    let Ok(Target::Guarded(path)) =
        classify("DELETE", &format!("/api/v2/apiTokens/{secret}"), &key())
    else {
        panic!("a secret names a token on DELETE");
    };
    assert!(path.raw().expose().contains("BBBB"));
    assert!(!path.public().contains("BBBB"));
    assert!(!format!("{path:?}").contains("BBBB"));
}

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
        match classify("PUT", &path, &key()) {
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
                let again = classify("PUT", &raw, &key());
                prop_assert!(matches!(again, Ok(Target::Guarded(path)) if path.raw().expose() == raw));
            }
            Err(_) => {}
        }
    }

    #[test]
    fn any_path_is_answered_without_a_panic(path in "\\PC{0,40}", method in "[A-Z]{0,8}") {
        let answer = classify(&method, &path, &key());
        prop_assert!(answer.is_ok() || answer.is_err());
    }
}
