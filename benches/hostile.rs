//! What strangers send to make the gate work: the throughput says what a byte costs, and none may cost much more
//! than one of the ordinary heads.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use dtgate::dynatrace::catalogue::{Catalogue, Overrides};
use dtgate::dynatrace::change;
use dtgate::dynatrace::redact::Redactor;
use dtgate::dynatrace::token::{HashKey, TokenSecret};
use dtgate::guard::{self, Route, Sifted, json, prefix};
use http::request::Parts;

/// Heads: a method, a target, and header fields.
const HEADS: [&str; 11] = [
    "ordinary read",
    "ordinary write",
    "ordinary change",
    "fractions",
    "fractions in seven fields",
    "nested query",
    "nested path",
    "ligatures",
    "segments",
    "slashes of all kinds",
    "dots",
];

/// Fields in which proxies say what the path was.
const FIELDS: [&str; 7] = [
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-original-path",
    "x-original-uri",
    "x-envoy-original-path",
];

/// The longest path that is read at all.
const LONGEST: usize = 8 * 1024;

fn filled(with: &str, end: &str) -> String {
    format!(
        "/{}{end}",
        with.repeat((LONGEST - 1 - end.len()) / with.len())
    )
}

fn head(name: &str) -> Parts {
    let fractions = || filled("½", "/../%25252525252541");
    let get = |target: String| ("GET", target, None);
    let (method, target, field) = match name {
        "ordinary read" => get("/api/v2/metrics/query?metricSelector=builtin%3Ahost.cpu.usage%3Aavg&entitySelector=type%28HOST%29%2Ctag%28%22a%3Ab%22%29&resolution=1h".to_owned()),
        "ordinary write" => ("POST", "/api/v2/metrics/ingest".to_owned(), None),
        "ordinary change" => ("PUT", "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea".to_owned(), None),
        "fractions" => ("POST", fractions(), None),
        "fractions in seven fields" => ("GET", "/x".to_owned(), Some(fractions())),
        "nested query" => get(format!("/x?%{}41", "25".repeat(30 * 1024))),
        "nested path" => get(format!("/%{}41", "25".repeat(4 * 1024 - 4))),
        "ligatures" => get(filled("\u{fdfa}", "/%25%32%35")),
        "segments" => get(filled("/a", "")),
        "slashes of all kinds" => get(filled("/v1\\config%2fdashboards;x?", "")),
        _ => get(filled("/../rest;%2e%2e", "")),
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(target.as_bytes())
        .header("host", "gate.example")
        .header(
            "authorization",
            "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
        )
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip")
        .header(
            "user-agent",
            "Dynatrace Terraform Provider/1.102.0 linux amd64",
        );
    for name in FIELDS {
        if let Some(value) = &field {
            request = request.header(name, value.as_bytes());
        }
    }
    request.body(()).unwrap().into_parts().0
}

fn bytes_of(parts: &Parts) -> BytesCount {
    let fields = parts.headers.iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 4);
    BytesCount::new(parts.uri.to_string().len() + fields.sum::<usize>())
}

#[divan::bench(args = HEADS)]
fn head_read(bencher: Bencher<'_, '_>, name: &str) {
    let (parts, key) = (head(name), HashKey::new([1; 32]));
    let redactor = guard::redactor(&parts.headers, parts.uri.query());
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    bencher
        .counter(bytes_of(&parts))
        .bench(|| guard::head(black_box(&parts), true, &redactor, &catalogue, &key).is_ok());
}

/// The environment that a path names, where there are several.
#[divan::bench(args = HEADS)]
fn environment_of_path(bencher: Bencher<'_, '_>, name: &str) {
    let parts = head(name);
    bencher
        .counter(bytes_of(&parts))
        .bench(|| prefix::prefix(black_box(parts.uri.path())).is_ok());
}

/// Of a request that shows a credential.
fn redactor() -> Redactor {
    let secret = "Q7M2".repeat(16);
    let credential = format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{secret}");
    Redactor::new([TokenSecret::new(credential)])
}

/// The path as it is logged.
#[divan::bench(args = HEADS)]
fn path_logged(bencher: Bencher<'_, '_>, name: &str) {
    let parts = head(name);
    let redactor = redactor();
    bencher
        .counter(bytes_of(&parts))
        .bench(|| redactor.path(black_box(parts.uri.path())));
}

#[divan::bench(args = ["links", "dots", "prefixes", "words", "base64", "escapes", "own"])]
fn text_logged(bencher: Bencher<'_, '_>, name: &str) {
    let text = match name {
        "links" => "auth=Ab3dE5gH7jK9mN1pQ3sT5 ".repeat(2400),
        "dots" => "dt0c01.".repeat(9 * 1024),
        "prefixes" => "dt0c01.A.".repeat(7 * 1024),
        "base64" => "dGhlIHF1aWNrIGJyb3duIGZveCAg".repeat(2200),
        "escapes" => "%25".repeat(20 * 1024),
        "own" => "Q7M2Q7M2Q7M2 ".repeat(4700),
        _ => "the quick brown fox ".repeat(3 * 1024),
    };
    let count = BytesCount::of_str(&text);
    let redactor = redactor();
    bencher
        .counter(count)
        .bench(|| redactor.text(black_box(&text)));
}

/// Bodies of 60 KiB.
#[divan::bench(args = ["a name of ligatures", "names of ligatures", "members", "elements", "nested", "a number", "a text"])]
fn body_parsed(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name, 60 * 1024);
    let count = BytesCount::of_str(&body);
    bencher
        .counter(count)
        .bench(|| json::parse_object(black_box(body.as_bytes()), change::all_words()).is_ok());
}

/// Settings of 1 MiB.
#[divan::bench(sample_count = 20, args = ["a name of ligatures", "names of ligatures", "members", "elements", "nested", "a number", "a text"])]
fn settings_searched(bencher: Bencher<'_, '_>, name: &str) {
    let body = body(name, 1024 * 1024 - 512);
    let count = BytesCount::of_str(&body);
    let mut request = http::Request::post("/api/v2/settings/objects");
    for (name, value) in [("host", "gate"), ("content-type", "application/json")] {
        request = request.header(name, value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    let key = HashKey::new([1; 32]);
    let redactor = guard::redactor(&parts.headers, None);
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    bencher.counter(count).bench_local(|| {
        let Ok(Route::Unsure(head)) = guard::head(&parts, true, &redactor, &catalogue, &key) else {
            return false;
        };
        matches!(guard::sift(*head, body.as_bytes()), Ok(Sifted::Open))
    });
}

/// A JSON object of about so many bytes.
fn body(name: &str, length: usize) -> String {
    let list = |each: &dyn Fn(usize) -> String, count: usize| {
        let parts: Vec<String> = (0..count).map(each).collect();
        parts.join(",")
    };
    let ligatures = |count: usize| "\u{fdfa}".repeat(count);
    match name {
        "a name of ligatures" => format!("{{\"{}\":1,\"b\":1}}", ligatures(length / 3 - 4)),
        "names of ligatures" => {
            let name = |at: usize| format!("\"{}{at}\":1", ligatures(150));
            format!("{{{}}}", list(&name, length / 466))
        }
        "members" => format!("{{{}}}", list(&|at| format!("\"{at:x}\":1"), length / 10)),
        "elements" => format!(
            "{{\"a\":[{}]}}",
            list(&|_| "\"\"".to_owned(), length / 3 - 4)
        ),
        "nested" => {
            let nest = |_| format!("{}{}", "[".repeat(28), "]".repeat(28));
            format!("{{\"a\":[{}]}}", list(&nest, length / 57 - 1))
        }
        "a number" => format!("{{\"a\":0.{}}}", "7".repeat(length - 10)),
        _ => format!("{{\"a\":\"{}\"}}", "builtin:".repeat(length / 8 - 2)),
    }
}
