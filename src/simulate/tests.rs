//! What holds for the whole host: credentials, other endpoints, options, secrets.

use super::{
    fixture::{PEER, ask, ask_with, now, simulator},
    seeds::{ALL, API_TOKENS, AUTOMATION, LOOKED_UP, MANAGED},
    *,
};

/// Requests as Terraform, Monaco and `dt` sent them.
const RECORDINGS: &str = include_str!("tests/recordings.txt");

/// Name and request of every recording, with the line ends of the wire.
pub(super) fn recordings() -> Vec<(&'static str, String)> {
    let recordings = RECORDINGS.split("===== ").skip(1);
    recordings
        .map(|recording| {
            let (name, request) = recording.split_once('\n').unwrap();
            let (head, body) = request.split_once("\n\n").unwrap();
            let head = head.replace('\n', "\r\n");
            (name, format!("{head}\r\n\r\n{}", body.trim_end()))
        })
        .collect()
}

#[test]
fn every_credential_form_is_understood_where_dynatrace_understands_it() {
    let secret = API_TOKENS.secret;
    let classic = "GET /api/v2/apiTokens";
    let platform = "GET /platform/classic/environment-api/v2/apiTokens";
    let failed = "Token Authentication failed";
    for (header, line, status, message) in [
        (format!("Api-Token {secret}"), classic.to_owned(), 200, ""),
        (format!("api-token  {secret}"), classic.to_owned(), 200, ""),
        (format!("Bearer {secret}"), platform.to_owned(), 200, ""),
        (
            format!("Bearer {secret}"),
            classic.to_owned(),
            401,
            "Token exchange failed",
        ),
        (format!("Basic {secret}"), classic.to_owned(), 401, failed),
        (secret.to_owned(), classic.to_owned(), 401, failed),
        (
            format!("Api-Token {}", API_TOKENS.id),
            classic.to_owned(),
            401,
            failed,
        ),
        (
            String::new(),
            format!("{classic}?Api-Token={secret}"),
            200,
            "",
        ),
        (
            String::new(),
            format!("{classic}?api-token={secret}&api-token=x"),
            200,
            "",
        ),
        (
            String::new(),
            format!("{classic}?%61pi-token={secret}"),
            200,
            "",
        ),
        (
            String::new(),
            format!("{classic}?token={secret}"),
            401,
            failed,
        ),
        (String::new(), classic.to_owned(), 401, failed),
        // The header decides when both are there.
        (
            "Api-Token x".to_owned(),
            format!("{classic}?api-token={secret}"),
            401,
            failed,
        ),
    ] {
        let headers = [("authorization", header.as_str())];
        let headers = if header.is_empty() {
            &headers[..0]
        } else {
            &headers
        };
        let answer = ask_with(&simulator(), headers, &line, "");
        assert_eq!(
            (answer.status(), answer.message().as_str()),
            (status, message),
            "{header} {line}"
        );
    }
}

#[test]
fn the_rest_of_the_host_answers_too() {
    let simulator = simulator();
    let not_found = r#"{"error":{"code":404,"message":"HTTP 404 Not Found"}}"#;
    for (line, body, status, text) in [
        ("GET /api/v1/time", "", 200, "1795514400123"),
        ("GET /e/abc12345/api/v1/time", "", 200, "1795514400123"),
        ("GET /api/v2/metrics", "", 200, "builtin:host.cpu.usage"),
        (
            "POST /api/v2/metrics/ingest",
            "a 1\nb 2\n\n",
            202,
            r#""linesOk":2"#,
        ),
        ("GET /", "", 404, not_found),
        ("GET /api/v2/problems", "", 404, not_found),
        ("GET /e/not.a.name/api/v1/time", "", 404, not_found),
        ("OPTIONS *", "", 404, not_found),
        (
            "POST /api/v2/tenantTokenRotation/finish",
            "",
            400,
            "another state",
        ),
        (
            "POST /api/v2/tenantTokenRotation/start",
            "",
            200,
            r#"{"active":{"value":"#,
        ),
        (
            "POST /api/v2/tenantTokenRotation/start",
            "",
            400,
            "another state",
        ),
        (
            "POST /api/v2/tenantTokenRotation/finish",
            "",
            200,
            r#"{"active":{"value":"#,
        ),
    ] {
        let answer = ask(&simulator, AUTOMATION, line, body);
        assert_eq!(answer.status(), status, "{line}");
        assert!(answer.text().contains(text), "{line}: {}", answer.text());
    }
    let answer = ask(&simulator, LOOKED_UP, "POST /api/v2/metrics/ingest", "a 1");
    assert_eq!(
        answer.text(),
        r#"{"error":{"code":403,"message":"Token is missing required scope. Use one of: metrics.ingest (Ingest metrics)"}}"#
    );
}

#[test]
fn a_body_that_is_not_json_by_its_type_is_refused() {
    let credential = format!("Api-Token {}", API_TOKENS.secret);
    for (kind, status) in [
        ("application/json; charset=utf-8", 204),
        ("Application/JSON", 204),
        ("application/x-www-form-urlencoded", 415),
        ("text/json", 415),
    ] {
        let headers = [
            ("authorization", credential.as_str()),
            ("content-type", kind),
        ];
        let answer = ask_with(
            &simulator(),
            &headers,
            "PUT /api/v2/apiTokens/dt0c01.A",
            "{}",
        );
        assert_eq!(answer.status(), status, "{kind}");
    }
}

#[test]
fn a_throttled_environment_says_when_to_come_back() {
    let throttle = Throttle {
        requests: 2,
        window: Duration::from_mins(1),
    };
    let options = Options {
        throttle: Some(throttle),
        ..Options::default()
    };
    let simulator = Simulator::seeded(options, now);
    let statuses: Vec<_> = (0..3)
        .map(|_| ask(&simulator, API_TOKENS, "GET /api/v1/time", ""))
        .map(|answer| (answer.status(), answer.header("retry-after").to_owned()))
        .collect();
    assert_eq!(statuses[..2], [(200, String::new()), (200, String::new())]);
    assert_eq!(statuses[2], (429, "60".to_owned()));
}

#[test]
fn a_redirecting_environment_leads_to_a_page_that_looks_like_success() {
    let options = Options {
        redirect_to_login: true,
        ..Options::default()
    };
    let simulator = Simulator::seeded(options, now);
    let answer = ask(
        &simulator,
        API_TOKENS,
        "PUT /api/v2/apiTokens/dt0c01.A",
        r#"{"name":"n"}"#,
    );
    assert_eq!(
        (answer.status(), answer.header("location")),
        (302, "/ui/login")
    );
    assert_eq!(simulator.token("dt0c01.A").unwrap().name, LOOKED_UP.name);
    let page = ask(&simulator, API_TOKENS, "GET /ui/login", "");
    assert_eq!(
        (page.status(), page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
}

#[test]
fn no_view_and_no_list_contains_a_secret() {
    let simulator = simulator();
    let view = simulator.token(MANAGED.id);
    let views = serde_json::to_string(&simulator.tokens()).unwrap();
    let mut written = format!("{view:?} {views}");
    let line = "GET /api/v2/apiTokens?fields=id,scopes,name,owner,lastUsedDate&pageSize=10000";
    written += ask(&simulator, API_TOKENS, line, "").text();
    for seed in ALL {
        assert!(!written.contains(seed.secret), "{}", seed.name);
    }
}

#[test]
fn odd_requests_get_an_answer() {
    let simulator = simulator();
    for uri in [
        "/%",
        "/e//",
        "/e/a",
        "/%ff/%00",
        "//////",
        "/api/v2/apiTokens/%2F..%2f",
        "/?&&=&==",
    ] {
        for method in ["GET", "PUT", "POST", "DELETE", "HEAD", "CONNECT", "FOO"] {
            let request = Request::builder().method(method).uri(uri);
            let request = request.body(Bytes::from_static(b"\xff\x00{")).unwrap();
            let status = simulator.answer(request, PEER).status();
            assert!(status.is_client_error(), "{method} {uri}: {status}");
        }
    }
}
