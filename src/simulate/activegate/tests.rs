use crate::simulate::{
    fixture::{ask, simulator},
    seeds::{AUTOMATION, LOOKED_UP},
};

const TOKENS: &str = "/api/v2/activeGateTokens";

#[test]
fn a_token_is_minted_once_listed_read_and_revoked() {
    let simulator = simulator();
    let body = r#"{"name":"ag","activeGateType":"ENVIRONMENT","expirationDate":"now+7d","seedToken":null}"#;
    let answer = ask(&simulator, AUTOMATION, &format!("POST {TOKENS}"), body);
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let created = answer.json();
    let id = created["id"].as_str().unwrap();
    let secret = created["token"].as_str().unwrap();
    assert_eq!((id.len(), secret.len()), (7 + 8, 7 + 8 + 1 + 64));
    assert!(id.starts_with("dt0g02.") && secret.starts_with(id));
    assert_eq!(created["expirationDate"], "2026-12-01T10:00:00.123Z");

    let one = format!("{TOKENS}/{id}");
    let read = ask(&simulator, AUTOMATION, &format!("GET {one}"), "");
    assert_eq!(
        read.text(),
        format!(
            r#"{{"id":"{id}","name":"ag","activeGateType":"ENVIRONMENT","owner":"john.smith","seedToken":false,"creationDate":"2026-11-24T10:00:00.123Z","expirationDate":"2026-12-01T10:00:00.123Z"}}"#
        )
    );
    let listed = ask(
        &simulator,
        AUTOMATION,
        &format!("GET /e/x{TOKENS}?pageSize=3000"),
        "",
    );
    assert_eq!(listed.json()["totalCount"], 1);
    assert_eq!(listed.json()["activeGateTokens"][0], read.json());
    assert!(!listed.text().contains(secret));

    let delete = format!("DELETE {one}");
    assert_eq!(ask(&simulator, AUTOMATION, &delete, "").status(), 204);
    let again = ask(&simulator, AUTOMATION, &delete, "");
    let message = format!("ActiveGate token with ID '{id}' not found.");
    assert_eq!((again.status(), again.message()), (404, message));
}

#[test]
fn the_type_may_be_left_out() {
    for body in [r#"{"name":"a"}"#, r#"{"name":"a","activeGateType":null}"#] {
        let simulator = simulator();
        let created = ask(&simulator, AUTOMATION, &format!("POST {TOKENS}"), body);
        assert_eq!(created.status(), 201, "{body}");
        let id = created.json()["id"].as_str().unwrap().to_owned();
        let read = ask(&simulator, AUTOMATION, &format!("GET {TOKENS}/{id}"), "");
        assert_eq!(read.json()["activeGateType"], "ENVIRONMENT", "{body}");
    }
}

#[test]
fn what_cannot_be_minted_is_refused_member_by_member() {
    for (body, violations) in [
        ("{}", &["PAYLOAD_BODY name"][..]),
        (
            r#"{"name":"a","activeGateType":""}"#,
            &["PAYLOAD_BODY activeGateType"],
        ),
        (
            r#"{"name":"a","activeGateType":"environment"}"#,
            &["PAYLOAD_BODY activeGateType"],
        ),
        (
            r#"{"name":"a","activeGateType":"CLUSTER","expirationDate":"now+3y"}"#,
            &["PAYLOAD_BODY expirationDate"],
        ),
        (
            r#"{"name":"a","activeGateType":"CLUSTER","expirationDate":"2020-01-01T00:00:00Z"}"#,
            &["PAYLOAD_BODY expirationDate"],
        ),
    ] {
        let answer = ask(&simulator(), AUTOMATION, &format!("POST {TOKENS}"), body);
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(answer.violations(), violations, "{body}");
    }
}

#[test]
fn the_tokens_of_installers_are_shown_to_who_may_see_them() {
    let simulator = simulator();
    let info = "GET /api/v1/deployment/installer/agent/connectioninfo";
    let shown = ask(&simulator, AUTOMATION, info, "");
    assert_eq!(shown.status(), 200, "{}", shown.text());
    assert_eq!(shown.json()["tenantUUID"], "abc12345");
    let gateway = "GET /e/other/api/v1/deployment/installer/gateway/connectioninfo";
    let gateway = ask(&simulator, AUTOMATION, gateway, "");
    assert_eq!(gateway.json()["tenantUUID"], "other");
    assert_eq!(gateway.json()["tenantToken"], shown.json()["tenantToken"]);

    // It is the token that a rotation replaces.
    let start = "POST /api/v2/tenantTokenRotation/start";
    let rotated = ask(&simulator, AUTOMATION, start, "");
    assert_eq!(rotated.json()["old"]["value"], shown.json()["tenantToken"]);

    let agents = "GET /api/v2/agentConnectionToken";
    let agents = ask(&simulator, AUTOMATION, agents, "");
    assert_eq!(agents.json()["token"].as_str().unwrap().len(), 32);
}

#[test]
fn scopes_and_methods_are_those_documented() {
    let simulator = simulator();
    for (caller, line, status) in [
        (LOOKED_UP, "GET /api/v2/activeGateTokens", 403),
        (LOOKED_UP, "POST /api/v2/activeGateTokens", 403),
        (LOOKED_UP, "GET /api/v2/activeGateTokens/x", 403),
        (LOOKED_UP, "DELETE /api/v2/activeGateTokens/x", 403),
        (LOOKED_UP, "GET /api/v2/agentConnectionToken", 403),
        (
            LOOKED_UP,
            "GET /api/v1/deployment/installer/agent/connectioninfo",
            403,
        ),
        (AUTOMATION, "GET /api/v2/activeGateTokens?pageSize=1", 400),
        (AUTOMATION, "PUT /api/v2/activeGateTokens", 405),
        (AUTOMATION, "PUT /api/v2/activeGateTokens/x", 405),
        (AUTOMATION, "GET /api/v2/activeGateTokens/x/y", 404),
        (AUTOMATION, "POST /api/v2/agentConnectionToken", 405),
        (
            AUTOMATION,
            "PUT /api/v1/deployment/installer/agent/connectioninfo",
            405,
        ),
    ] {
        let answer = ask(&simulator, caller, line, "");
        assert_eq!(answer.status(), status, "{line}: {}", answer.text());
    }
}
