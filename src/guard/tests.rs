use http::Request;
use serde_json::json;

use super::*;
use crate::dynatrace::catalogue::Overrides;

mod catalogue;
pub(in crate::guard) mod hostile;
mod work;

const PUT: &str = "PUT /api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea";
const SECRET: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";

fn key() -> HashKey {
    HashKey::new([1; 32])
}

fn parts(line: &str, headers: &[(&str, &str)]) -> Parts {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(target);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "gate");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn head(parts: &Parts, key: &HashKey) -> Result<Route, ReadError> {
    head_before(true, parts, key)
}

/// With a body behind it, or none.
fn head_before(has_body: bool, parts: &Parts, key: &HashKey) -> Result<Route, ReadError> {
    let redactor = redactor(&parts.headers, parts.uri.query());
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let head = super::head(parts, has_body, &redactor, &catalogue, key);
    head.map_err(|refused| refused.error)
}

fn understood(line: &str, headers: &[(&str, &str)], body: &str) -> Result<Call, ReadError> {
    let head = head_before(!body.is_empty(), &parts(line, headers), &key())?;
    let body = body.as_bytes();
    let head = match head {
        Route::Guarded(head) => Some(head),
        Route::Open => None,
        Route::Unsure(head) => match sift(*head, body)? {
            Sifted::Guarded(head) => Some(head),
            Sifted::Open => None,
        },
    };
    call(*head.expect("it is guarded"), body)
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn promise_1_what_goes_upstream_is_written_from_what_was_judged() {
    let call = understood(
        PUT,
        &[JSON],
        "{ \"revoked\" : null,\n \"scopes\":[ \"Read\\u0043onfig\" ], \"x\": {\"a\":1.0} }",
    )
    .unwrap();
    assert_eq!(
        call.change().scopes.as_deref(),
        Some(&["ReadConfig".to_owned()][..])
    );
    assert_eq!(
        &call.forwarded()[..],
        br#"{"scopes":["ReadConfig"],"x":{"a":1.0}}"#
    );
    assert_ne!(call.received_sha256(), call.forwarded_sha256());
}

#[test]
fn media_types_that_leave_the_charset_open_are_refused() {
    for value in [
        "text/plain",
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "application/json; a=b",
        "application/json; charset=utf-8; charset=utf-16",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "",
    ] {
        let answer = understood(PUT, &[("content-type", value)], "{}");
        assert!(matches!(answer, Err(ReadError::MediaType)), "{value}");
    }
    assert!(matches!(
        understood(PUT, &[], "{}"),
        Err(ReadError::MediaType)
    ));
    assert!(matches!(
        understood(PUT, &[JSON, JSON], "{}"),
        Err(ReadError::MediaType)
    ));
    for value in [
        "application/json;charset=UTF-8",
        "Application/JSON; charset=\"utf-8\"",
    ] {
        assert!(
            understood(PUT, &[("content-type", value)], "{}").is_ok(),
            "{value}"
        );
    }
    for encoding in ["gzip", "identity", "br"] {
        let answer = understood(PUT, &[JSON, ("content-encoding", encoding)], "{}");
        assert!(matches!(answer, Err(ReadError::Encoding)), "{encoding}");
    }
}

#[test]
fn a_delete_with_a_body_is_refused() {
    let line = "DELETE /api/v2/apiTokens/dt0c01.A";
    assert!(understood(line, &[], "").unwrap().forwarded().is_empty());
    assert!(matches!(
        understood(line, &[JSON], "{}"),
        Err(ReadError::Superfluous(_))
    ));
}

#[test]
fn promise_4_a_body_that_holds_a_secret_is_refused() {
    let own = format!("Api-Token {SECRET}");
    let old = ("authorization", "Api-Token aB3dE5gH7jK9mN1pQ3sT5");
    for (header, body) in [
        (old, json!({"name": SECRET})),
        (old, json!({"x": [{"y": SECRET}]})),
        (old, json!({(SECRET): 1})),
        (
            ("authorization", &*own),
            json!({"name": "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM"}),
        ),
        (old, json!({"scopes": ["my aB3dE5gH7jK9mN1pQ3sT5"]})),
        (old, json!({"name": SECRET.replace('.', "%2E")})),
        (old, json!({(SECRET.replace("G3DF", "%47%2533DF")): 1})),
        (old, json!({"scopes": ["my %61B3dE5gH7jK9mN1pQ3sT5"]})),
    ] {
        let answer = understood(PUT, &[JSON, header], &body.to_string());
        assert!(matches!(answer, Err(ReadError::Secret(_))), "{body}");
    }
}

#[test]
fn promise_4_a_body_with_a_secret_in_any_encoding_is_refused_and_the_member_is_named() {
    const SECRET: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    let credential = format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let own = ("authorization", credential.as_str());
    let other = "dt0c01.AAAAAA.Q7M2K9X4B1N8V3C6Z5L0P7R2";
    let encoded = data_encoding::BASE64.encode(other.as_bytes());
    let lower = SECRET.to_ascii_lowercase();
    for (body, place) in [
        (format!(r#"{{"name":"a {other}"}}"#), "the body, at name,"),
        (format!(r#"{{"name":"{encoded}"}}"#), "the body, at name,"),
        (
            format!(r#"{{"scopes":["a","{lower}"]}}"#),
            "the body, at scopes[1],",
        ),
        (
            format!(r#"{{"b":[{{"c":"x{SECRET}y"}}]}}"#),
            "the body, at b[0].c,",
        ),
        (
            format!(r#"{{"b":{{"{SECRET}":1}}}}"#),
            "the body, at b.[secret],",
        ),
    ] {
        let parts = parts("PUT /api/v1/tokens/dt0c01.A", &[JSON, own]);
        let Ok(Route::Guarded(head)) = head(&parts, &key()) else {
            panic!("it is guarded");
        };
        match call(*head, body.as_bytes()) {
            Err(ReadError::Secret(named)) => assert_eq!(named.as_str(), place, "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn promise_4_a_secret_in_the_name_of_a_parameter_is_refused() {
    const SECRET: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    let credential = format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{SECRET}");
    let hex = data_encoding::HEXLOWER.encode(SECRET.as_bytes());
    let base64 = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    for name in [
        SECRET,
        &hex,
        &base64(SECRET),
        &base64(&hex),
        &base64(&base64(SECRET)),
    ] {
        for parameter in [format!("{name}=1"), format!("x={name}")] {
            let line = format!("GET /platform/public-access/v1/shares?{parameter}");
            let answer = understood(&line, &[("authorization", &credential)], "");
            assert!(matches!(answer, Err(ReadError::Secret(_))), "{parameter}");
        }
    }
}

#[test]
fn promise_4_an_environment_that_is_the_callers_own_secret_is_refused() {
    let line = "PUT /e/aB3dE5gH7jK9mN1pQ3sT5/api/v1/tokens/x";
    let own = ("authorization", "Api-Token aB3dE5gH7jK9mN1pQ3sT5");
    let other = ("authorization", "Api-Token dt0c01.A.B");
    assert!(matches!(
        head(&parts(line, &[JSON, own]), &key()),
        Err(ReadError::Secret(place)) if place.as_str() == "the path"
    ));
    head(&parts(line, &[JSON, other]), &key()).unwrap();
}

/// What a request shows as a secret is hidden from policies, and a client can call anything a secret: a scope, a name.
#[test]
fn promise_1_nobody_hides_from_policies_what_is_sent_by_showing_it_as_a_secret() {
    let auth = ("authorization", "Api-Token dt0c01.A.B");
    for (line, field, body) in [
        (
            PUT,
            ("x-session", "TenantTokenManagement"),
            r#"{"scopes":["TenantTokenManagement"]}"#,
        ),
        (
            PUT,
            ("x-api-key", "Team2-Break-Glass"),
            r#"{"name":"Team2-Break-Glass"}"#,
        ),
        (
            PUT,
            ("proxy-authorization", "payments-prod-admin"),
            r#"{"name":"payments-prod-admin"}"#,
        ),
        (PUT, ("x-own", ""), r#"{"name":"auth=payments-prod-admin"}"#),
        (
            "POST /api/v2/activeGateTokens",
            ("x-session", "v2/activeGateTokens"),
            r#"{"name":"a","activeGateType":"ENVIRONMENT"}"#,
        ),
    ] {
        let answer = understood(line, &[JSON, auth, field], body);
        assert!(
            matches!(answer, Err(ReadError::Secret(_))),
            "{field:?} {body} {answer:?}"
        );
    }
}

#[test]
fn one_credential_at_most() {
    let auth = ("authorization", "Api-Token dt0c01.A.B");
    for (line, headers) in [
        (format!("{PUT}?api-token=dt0c01.A.B"), vec![JSON, auth]),
        (format!("{PUT}?Api-Token=dt0c01.A.B"), vec![JSON, auth]),
        (
            format!("{PUT}?%61pi-token=dt0c01.A.B&API-TOKEN=x"),
            vec![JSON],
        ),
        (PUT.to_owned(), vec![JSON, auth, auth]),
        (format!("{PUT}?api-token=a%26b"), vec![JSON]),
        (format!("{PUT}?api-token="), vec![JSON]),
    ] {
        assert!(
            matches!(
                head(&parts(&line, &headers), &key()),
                Err(ReadError::Credential(_))
            ),
            "{line}"
        );
    }
    let Ok(Route::Guarded(head)) = head(
        &parts(&format!("{PUT}?%41pi-token=dt0c01.A.B"), &[JSON]),
        &key(),
    ) else {
        panic!("a token in the query is a credential");
    };
    assert_eq!(head.caller().unwrap().id.as_str(), "dt0c01.A");
    assert!(
        head.target(false)
            .expose()
            .ends_with("?api-token=dt0c01.A.B")
    );
}

#[test]
fn promise_2_overrides_of_method_and_path_are_refused() {
    for (line, header) in [
        ("GET /api/v1/tokens/x", ("x-http-method-override", "PUT")),
        ("POST /api/v1/tokens/lookup", ("X-HTTP-Method", "DELETE")),
        ("GET /api/v1/tokens/x", ("x_http_method_override", "PUT")),
        (
            "POST /api/v2/metrics",
            ("x-original-url", "/api/v1/tokens/x"),
        ),
        (
            "POST /api/v2/metrics",
            ("x-rewrite-url", "/api/v1/%74okens/x"),
        ),
        (
            "POST /api/v2/metrics",
            ("X-Forwarded-Uri", "/api/v1/tokens/x"),
        ),
        ("POST /api/v2/metrics", ("x-forwarded-prefix", "/rest/x")),
    ] {
        assert!(
            matches!(
                head(&parts(line, &[header]), &key()),
                Err(ReadError::Override(_))
            ),
            "{line} {header:?}"
        );
    }
    // A proxy in front tells what it has rewritten.
    let path = PUT.strip_prefix("PUT ").unwrap();
    let forwarded = |path: &str| {
        let before = format!("/dynatrace{path}");
        head(
            &parts(PUT, &[JSON, ("x-envoy-original-path", &before)]),
            &key(),
        )
    };
    assert!(matches!(forwarded(path), Ok(Route::Guarded(_))));
    assert!(matches!(
        forwarded("/api/v1/tokens/another"),
        Err(ReadError::Override(_))
    ));
    let line = "GET /api/v1/tokens/x?_method=PUT";
    assert!(matches!(
        head(&parts(line, &[]), &key()),
        Err(ReadError::Query)
    ));
    for query in [
        "X-HTTP-Method=DELETE",
        "%255fmethod=PUT",
        "x=1%26_method=PUT",
        "a=b?_method=PUT",
    ] {
        let line = format!("GET /api/v1/tokens/x?{query}");
        assert!(
            matches!(head(&parts(&line, &[]), &key()), Err(ReadError::Query)),
            "{query}"
        );
    }
    let line = "POST /api/v2/metrics?_method=PUT";
    assert!(matches!(
        head(&parts(line, &[("x-http-method-override", "PUT")]), &key()),
        Ok(Route::Open)
    ));
}

#[test]
fn other_query_parameters_of_a_guarded_operation_are_refused() {
    let answer = head(&parts(&format!("{PUT}?dryRun=true"), &[JSON]), &key());
    assert!(matches!(answer, Err(ReadError::Query)));
}

#[test]
fn two_hosts_are_refused_on_every_path() {
    let answer = head(&parts("GET /x", &[("host", "a"), ("host", "b")]), &key());
    assert!(matches!(answer, Err(ReadError::Host)));
}

#[test]
fn what_a_connection_header_would_take_off_is_refused_on_guarded_requests() {
    for value in [
        "authorization",
        "close, Authorization",
        "content-type",
        "x-mine",
    ] {
        let answer = head(&parts(PUT, &[JSON, ("connection", value)]), &key());
        assert!(matches!(answer, Err(ReadError::Connection(_))), "{value}");
    }
    let answer = head(
        &parts(PUT, &[JSON, ("connection", "keep-alive, TE")]),
        &key(),
    );
    assert!(answer.is_ok());
}

#[test]
fn a_credential_that_can_be_read_in_two_ways_is_refused() {
    for value in [
        "Api-Token dt0c01.OTHER.x dt0c01.CALLER.y",
        "Api-Token\tdt0c01.A.B",
        "Api-Token dt0c01.A.B,",
        "dt0c01.A.B",
        "",
    ] {
        let answer = head(&parts(PUT, &[JSON, ("authorization", value)]), &key());
        assert!(matches!(answer, Err(ReadError::Credential(_))), "{value:?}");
    }
    let Ok(Route::Guarded(head)) = head(
        &parts(PUT, &[JSON, ("authorization", "api-token   DT0C01.A.B")]),
        &key(),
    ) else {
        panic!("spaces between scheme and token mean nothing");
    };
    assert_eq!(head.caller().unwrap().id.as_str(), "dt0c01.A");
    assert_eq!(
        head.authorization().unwrap().expose(),
        "api-token DT0C01.A.B"
    );
}

#[test]
fn a_request_without_host_and_transfer_codings_but_chunked_are_refused() {
    let mut without = parts("GET /x", &[]);
    without.headers.clear();
    assert!(matches!(head(&without, &key()), Err(ReadError::Host)));
    let coded = parts("POST /x", &[("transfer-encoding", "gzip, chunked")]);
    assert!(matches!(head(&coded, &key()), Err(ReadError::Encoding)));
}

#[test]
fn a_caller_is_named_wherever_the_credential_stands() {
    for (line, headers) in [
        (format!("{PUT}?x=y&API-token={SECRET}"), vec![]),
        (
            PUT.to_owned(),
            vec![(
                "authorization",
                "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
            )],
        ),
    ] {
        let caller = caller(&parts(&line, &headers), &key()).unwrap();
        assert_eq!(caller.id.as_str(), "dt0c01.ST2EY72KQINMH574WMNVI7YN");
    }
    assert!(caller(&parts(PUT, &[]), &key()).is_none());
}

#[test]
fn whoever_has_a_part_of_what_another_shows_has_another_budget() {
    let name = |fields: &[(&str, &str)]| credential_name(&parts(PUT, fields), &key()).unwrap();
    let session = name(&[("cookie", "session=aB3dE5gH7jK9; theme=dark")]);
    for others in [
        &[("cookie", "session=x; theme=dark")][..],
        &[("cookie", "theme=dark")],
        &[("cookie", "session=aB3dE5gH7jK9")],
    ] {
        assert_ne!(name(others), session, "{others:?}");
    }
    // HTTP/2 sends each in a field of its own.
    let crumbs = [("cookie", "session=aB3dE5gH7jK9"), ("cookie", "theme=dark")];
    assert_eq!(name(&crumbs), session);
    let digest = |user| format!("Digest username=\"{user}\", realm=\"x\"");
    assert_ne!(
        name(&[("authorization", &digest("a"))]),
        name(&[("authorization", &digest("b"))])
    );
    assert_eq!(
        name(&[("authorization", "Api-Token dt0c01.A.B")]),
        name(&[("authorization", "api-token   dt0c01.A.B ")])
    );
}

/// One key hashes all that must not be shown: what a caller has proven, addresses, whatever tokens have no public id.
#[test]
fn a_credential_never_has_the_name_of_anything_else() {
    let name = |line: &str, fields: &[(&str, &str)]| credential_name(&parts(line, fields), &key());
    for text in [
        "jwt \"https://issuer.example\" \"payments\"",
        "certificate 00ff",
        "address 192.0.2.1",
        "anything",
    ] {
        let query = text.replace(' ', "%20").replace('"', "%22");
        let shown = [
            name(PUT, &[("authorization", &format!("Bearer {text}"))]),
            name(PUT, &[("authorization", text)]),
            name(PUT, &[("cookie", text)]),
            name(&format!("GET /x?api-token={query}"), &[]),
        ];
        for credential in shown {
            assert_ne!(credential.unwrap(), key().name(text), "{text}");
        }
    }
}

/// Dynatrace may take a prefix as it is written.
#[test]
fn one_token_has_one_name_whatever_its_prefix_is_written_like() {
    let name = |token: &str| {
        let shown = format!("Api-Token {token}");
        credential_name(&parts(PUT, &[("authorization", &shown)]), &key()).unwrap()
    };
    for other in ["DT0C01.A.B", "dT0c01.A.B", "Dt0C01.A.B"] {
        assert_eq!(name(other), name("dt0c01.A.B"), "{other}");
    }
    for other in ["dt0c01.a.B", "dt0c01.A.b", "dt0c02.A.B", "A.B"] {
        assert_ne!(name(other), name("dt0c01.A.B"), "{other}");
    }
    assert_ne!(name("X.A.B"), name("x.A.B"));
}

/// What a refusal says is searched for secrets where bytes are moved.
#[test]
fn what_is_refused_for_a_long_name_does_not_repeat_it() {
    let long = "%25".repeat(10_000);
    let name = format!("x-method-override-{}", "&".repeat(10_000));
    let refused = head(&parts(PUT, &[JSON, (&name, "DELETE")]), &key()).unwrap_err();
    assert!(matches!(refused, ReadError::Override(_)), "{refused}");
    assert!(refused.to_string().len() < 200, "{refused}");
    let body = format!(
        r#"{{"{long}":"dt0c01.A.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM"}}"#
    );
    let refused = understood(PUT, &[JSON], &body).unwrap_err();
    assert!(matches!(refused, ReadError::Secret(_)), "{refused}");
    assert!(refused.to_string().len() < 500, "{refused}");
}

#[test]
fn promise_4_a_json_web_token_is_a_secret_whatever_its_field_is_called() {
    // Its head begins with a blank, so that nothing but the field tells what it is.
    let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let signature = "hV3kQ9bTz1LwX7mPc5RdJ2sYfA8uGn4oKeB6iZqN0xW";
    let part = "bTz1LwX7mPc5RdJ";
    let head = encode("{ \"alg\":\"ES256\",\"kid\":\"k\"}");
    let token = format!(
        "{head}.{}.{signature}",
        encode("{ \"iss\":\"a\",\"sub\":\"b\"}")
    );
    for value in [token.clone(), format!("Bearer {token}")] {
        let parts = parts(PUT, &[("x-amzn-oidc-data", &value)]);
        let redactor = redactor(&parts.headers, None);
        for text in [signature, &signature.replacen("hV3", "", 1), &token] {
            let written = redactor.text(&format!("see {text} there"));
            assert!(!written.contains(part), "{written}");
        }
        assert!(
            redactor
                .header("x-amzn-oidc-data", &value)
                .is_none_or(|value| !value.contains(part))
        );
        assert_eq!(
            redactor.text("payments-prod-ci").as_str(),
            "payments-prod-ci"
        );
    }
    // Neither is a version or a name.
    let parts = parts(
        PUT,
        &[
            ("x-client", "eyes-1.2.3"),
            ("x-host", "ewok.payments.example"),
        ],
    );
    let redactor = redactor(&parts.headers, None);
    assert_eq!(
        redactor.text("eyes-1.2.3 ewok.payments.example").as_str(),
        "eyes-1.2.3 ewok.payments.example"
    );
}
