//! v1 by tables, and the vendor's own example.

use serde_json::json;

use crate::simulate::{
    Options, Simulator, UnknownScopes,
    fixture::{ask, ask_with, now, simulator},
    seeds::{ADMIN, API_TOKENS, LEGACY, MANAGEMENT, REVOKED, SHARING},
};

/// The body of the vendor's example, as it is printed.
const EXAMPLE: &str = r#"{
"scopes": [
"ExternalSyntheticIntegration",
"DataPrivacy",
"WriteConfig",
"DssFileManagement",
"LogExport",
"DTAQLAccess",
"ReadConfig",
"CaptureRequestData",
"ReadSyntheticData",
"DataExport",
"UserSessionAnonymization",
"MaintenanceWindows",
"LogImport",
"TenantTokenManagement",
"ActiveGateCertManagement",
"RumJavaScriptTagManagement"
]
}
"#;

#[test]
fn the_vendors_example_adds_two_scopes_and_leaves_name_and_validity() {
    let simulator = simulator();
    let before = simulator.token(ADMIN.id).unwrap();
    assert_eq!(before.scopes.len(), 14);
    let line = format!("PUT /api/v1/tokens/{}", ADMIN.id);
    let answer = ask(&simulator, MANAGEMENT, &line, EXAMPLE);
    assert_eq!((answer.status(), answer.text()), (204, ""));
    let after = simulator.token(ADMIN.id).unwrap();
    assert_eq!((after.name, after.enabled), (before.name, before.enabled));
    let added: Vec<_> = after
        .scopes
        .iter()
        .filter(|scope| !before.scopes.contains(scope))
        .collect();
    assert_eq!(
        added,
        ["ActiveGateCertManagement", "RumJavaScriptTagManagement"]
    );
    assert_eq!(after.scopes.len(), 16);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of every operation")]
fn every_operation_answers_with_its_documented_status() {
    let name = r#"{"name":"new","scopes":["metrics.read"]}"#;
    let own = "You can't update the token you're using for authentication of the request.";
    let own_delete = "You can't delete the token you're using for authentication of the request.";
    let absent = "The requested token has not been found.";
    let scope =
        "Token is missing required scope. Use one of: TenantTokenManagement (Token management)";
    for (caller, line, body, status, message) in [
        (MANAGEMENT, "GET /api/v1/tokens", "", 200, ""),
        (
            MANAGEMENT,
            "GET /api/v1/tokens/dt0c01.LEGACYAAAAAAAAAAAAAAAAAA",
            "",
            200,
            "",
        ),
        (MANAGEMENT, "GET /api/v1/tokens/nothing", "", 404, absent),
        (MANAGEMENT, "GET /api/v1/tokens/lookup", "", 404, absent),
        (MANAGEMENT, "POST /api/v1/tokens/", name, 201, ""),
        (
            MANAGEMENT,
            "POST /api/v1/tokens/lookup",
            r#"{"token":"dt0c01.A.B"}"#,
            200,
            "",
        ),
        (
            LEGACY,
            "POST /api/v1/tokens/lookup",
            r#"{"token":"dt0c01.A.B"}"#,
            200,
            "",
        ),
        (
            LEGACY,
            "POST /api/v1/tokens/lookup",
            r#"{"token":"dt0c01.A.C"}"#,
            404,
            absent,
        ),
        (MANAGEMENT, "PUT /api/v1/tokens/dt0c01.A", "{}", 204, ""),
        (MANAGEMENT, "PUT /api/v1/tokens/nothing", "{}", 404, absent),
        (
            MANAGEMENT,
            "PUT /api/v1/tokens/dt0c01.abc123",
            "{}",
            400,
            own,
        ),
        (
            ADMIN,
            "PUT /api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea",
            r#"{"name":"x"}"#,
            400,
            own,
        ),
        (MANAGEMENT, "DELETE /api/v1/tokens/dt0c01.A", "", 204, ""),
        (MANAGEMENT, "DELETE /api/v1/tokens/dt0c01.A.B", "", 204, ""),
        (
            MANAGEMENT,
            "DELETE /api/v1/tokens/dt0c01.A.C",
            "",
            404,
            absent,
        ),
        (
            MANAGEMENT,
            "DELETE /api/v1/tokens/dt0c01.abc123",
            "",
            400,
            own_delete,
        ),
        (
            MANAGEMENT,
            "DELETE /api/v1/tokens/dt0c01.abc123.abcdefjhij1234567890",
            "",
            400,
            own_delete,
        ),
        (
            MANAGEMENT,
            "PATCH /api/v1/tokens/dt0c01.A",
            "",
            405,
            "HTTP 405 Method Not Allowed",
        ),
        (
            MANAGEMENT,
            "GET /api/v1/tokens/dt0c01.A/more",
            "",
            404,
            "HTTP 404 Not Found",
        ),
        (API_TOKENS, "GET /api/v1/tokens", "", 403, scope),
        (API_TOKENS, "PUT /api/v1/tokens/dt0c01.A", "{}", 403, scope),
        (
            REVOKED,
            "GET /api/v1/tokens",
            "",
            401,
            "Token Authentication failed",
        ),
    ] {
        let answer = ask(&simulator(), caller, line, body);
        assert_eq!(
            (answer.status(), answer.message().as_str()),
            (status, message),
            "{line}"
        );
        if status >= 400 {
            assert_eq!(answer.json()["error"]["code"], json!(status), "{line}");
        }
    }
}

#[test]
fn metadata_has_integer_milliseconds_and_no_members_without_value() {
    let line = format!("GET /api/v1/tokens/{}", ADMIN.id);
    let answer = ask(&simulator(), MANAGEMENT, &line, "").json();
    assert_eq!(answer["id"], ADMIN.id);
    assert_eq!(answer["created"], json!(1_604_564_130_144_i64));
    assert_eq!(answer["revoked"], json!(false));
    assert_eq!(answer["userId"], "john.smith");
    assert_eq!(answer.get("expires"), None);
    assert_eq!(answer.get("lastUse"), None);
}

#[test]
fn the_list_filters_by_owner_scopes_use_and_limit() {
    let simulator = simulator();
    let count = |query: &str| {
        let line = format!("GET /api/v1/tokens?{query}");
        let answer = ask(&simulator, MANAGEMENT, &line, "");
        answer.json()["values"].as_array().map(Vec::len)
    };
    for (query, expected) in [
        ("", Some(12)),
        ("limit=3", Some(3)),
        ("user=jane.doe", Some(1)),
        ("permissions=LogImport", Some(2)),
        ("permissions=LogImport&permissions=WriteConfig", Some(1)),
        // Only the caller itself was used so far.
        ("from=1", Some(1)),
        ("to=1", Some(0)),
        ("limit=1000001", None),
        ("from=yesterday", None),
    ] {
        assert_eq!(count(query), expected, "{query}");
    }
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let simulator = simulator();
    let put =
        |body: &str| ask(&simulator, MANAGEMENT, "PUT /api/v1/tokens/dt0c01.A", body).status();
    let token = || simulator.token("dt0c01.A").unwrap();
    let before = token();
    for body in [
        "{}",
        r#"{"name":null,"revoked":null,"scopes":null,"extra":1}"#,
    ] {
        assert_eq!((put(body), token()), (204, before.clone()), "{body}");
    }
    assert_eq!(put(r#"{"revoked":true}"#), 204);
    assert!(!token().enabled);
    assert_eq!(put(r#"{"revoked":false,"name":"renamed"}"#), 204);
    assert_eq!((token().enabled, token().name.as_str()), (true, "renamed"));
    assert_eq!(token().scopes, before.scopes);
    assert_eq!(put(r#"{"scopes":[]}"#), 204);
    assert!(token().scopes.is_empty());
}

#[test]
fn a_bad_body_is_told_by_path_and_changes_nothing() {
    let simulator = simulator();
    for (line, body, violations) in [
        ("POST /api/v1/tokens", "{}", vec!["name", "scopes"]),
        (
            "POST /api/v1/tokens",
            r#"{"name":" ","scopes":[]}"#,
            vec!["name", "scopes"],
        ),
        (
            "POST /api/v1/tokens",
            r#"{"name":1,"scopes":["metrics.read",2]}"#,
            vec!["name", "scopes[1]"],
        ),
        (
            "POST /api/v1/tokens",
            r#"{"name":"n","scopes":["metrics.read"],"expiresIn":{"unit":"YEARS"}}"#,
            vec!["expiresIn.value", "expiresIn.unit"],
        ),
        (
            "POST /api/v1/tokens",
            r#"{"name":"n","scopes":["metrics.read"],"expiresIn":{"value":9223372036854775807,"unit":"DAYS"}}"#,
            vec!["expiresIn.value"],
        ),
        (
            "PUT /api/v1/tokens/dt0c01.A",
            r#"{"revoked":"true"}"#,
            vec!["revoked"],
        ),
        (
            "PUT /api/v1/tokens/dt0c01.A",
            r#"{"scopes":"metrics.read"}"#,
            vec!["scopes"],
        ),
        ("PUT /api/v1/tokens/dt0c01.A", "[]", vec![]),
        ("PUT /api/v1/tokens/dt0c01.A", "", vec![]),
        ("PUT /api/v1/tokens/dt0c01.A", "{\"name\":", vec![]),
    ] {
        let before = simulator.tokens();
        let answer = ask(&simulator, MANAGEMENT, line, body);
        let paths: Vec<_> = violations
            .iter()
            .map(|path| format!("PAYLOAD_BODY {path}"))
            .collect();
        assert_eq!(
            (answer.status(), answer.violations()),
            (400, paths),
            "{line} {body}"
        );
        if !violations.is_empty() {
            assert_eq!(answer.message(), "Constraints violated.");
        }
        assert_eq!(simulator.tokens(), before);
    }
}

#[test]
fn a_new_token_comes_in_the_media_type_that_was_asked_for() {
    let body = r#"{"name":"new","scopes":["metrics.read"],"expiresIn":{"value":2,"unit":"HOURS"}}"#;
    let credential = format!("Api-Token {}", MANAGEMENT.secret);
    for (accept, kind, head) in [
        (
            "*/*",
            "application/json; charset=utf-8",
            "{\"token\":\"dt0c01.",
        ),
        ("text/plain", "text/plain; charset=utf-8", "dt0c01."),
        (
            "text/csv; header=absent",
            "text/csv; header=absent; charset=utf-8",
            "dt0c01.",
        ),
        (
            "text/csv; header=present",
            "text/csv; header=present; charset=utf-8",
            "token\r\ndt0c01.",
        ),
    ] {
        let simulator = simulator();
        let headers = [("authorization", credential.as_str()), ("accept", accept)];
        let answer = ask_with(&simulator, &headers, "POST /e/abc12345/api/v1/tokens", body);
        assert_eq!(
            (answer.status(), answer.header("content-type")),
            (201, kind)
        );
        assert!(answer.text().starts_with(head), "{accept}");
        let location = answer.header("location").to_owned();
        assert!(location.starts_with("/e/abc12345/api/v1/tokens/dt0c01."));
        let made = ask(&simulator, MANAGEMENT, &format!("GET {location}"), "").json();
        assert_eq!(made["name"], "new");
        assert_eq!(made["userId"], "john.smith");
        assert_eq!(made["expires"], json!(now().as_millisecond() + 7_200_000));
    }
}

#[test]
fn scopes_that_cannot_be_assigned_are_dropped_or_refused_by_choice() {
    let body = r#"{"scopes":["metrics.read","ViewDashboard","apiTokens.Write"]}"#;
    let line = format!("PUT /api/v1/tokens/{}", SHARING.id);
    let lenient = simulator();
    assert_eq!(ask(&lenient, MANAGEMENT, &line, body).status(), 204);
    assert_eq!(lenient.token(SHARING.id).unwrap().scopes, ["metrics.read"]);

    let options = Options {
        unknown_scopes: UnknownScopes::Refuse,
        ..Options::default()
    };
    let strict = Simulator::seeded(options, now);
    let answer = ask(&strict, MANAGEMENT, &line, body);
    assert_eq!(
        answer.violations(),
        ["PAYLOAD_BODY scopes[1]", "PAYLOAD_BODY scopes[2]"]
    );
    assert_eq!(strict.token(SHARING.id).unwrap().scopes, ["ViewDashboard"]);
}
