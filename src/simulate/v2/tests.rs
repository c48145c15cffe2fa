//! v2 by tables: statuses, texts, dates, lists.

use serde_json::{Value, json};

use crate::simulate::{
    Options, Simulator,
    fixture::{Answer, ask, now, simulator},
    list::hexadecimal,
    seeds::{
        ADMIN, API_TOKENS, AUTOMATION, EXPIRED, LOOKED_UP, MANAGEMENT, PERSONAL, REVOKED, SHARING,
        Seed,
    },
};

fn list(simulator: &Simulator, query: &str) -> Answer {
    ask(
        simulator,
        API_TOKENS,
        &format!("GET /api/v2/apiTokens?{query}"),
        "",
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of every operation")]
fn every_operation_answers_with_its_documented_status() {
    let name = r#"{"name":"new","scopes":["metrics.read"]}"#;
    let read = "Token is missing required scope. Use one of: apiTokens.read (Read API tokens)";
    let write = "Token is missing required scope. Use one of: apiTokens.write (Write API tokens)";
    let disable = "You can't disable the token you're using for authentication of the request.";
    let delete = "You can't delete the token you're using for authentication of the request.";
    let others = "With a personal access token you can only delete your own tokens.";
    let failed = "Token Authentication failed";
    let own = "PUT /api/v2/apiTokens/dt0c01.APITOKENSAAAAAAAAAAAAAAA";
    for (caller, line, body, status, message) in [
        (API_TOKENS, "GET /api/v2/apiTokens", "", 200, ""),
        (API_TOKENS, "GET //api/v2//apiTokens/", "", 200, ""),
        (
            API_TOKENS,
            "GET /e/abc12345/api/v2/apiTokens/dt0c01.A",
            "",
            200,
            "",
        ),
        (
            API_TOKENS,
            "GET /platform/classic/environment-api/v2/apiTokens/dt0c01.A",
            "",
            200,
            "",
        ),
        (API_TOKENS, "GET /api/v2/apiTokens/nothing", "", 404, ""),
        (API_TOKENS, "POST /api/v2/apiTokens", name, 201, ""),
        (
            LOOKED_UP,
            "POST /api/v2/apiTokens/lookup",
            r#"{"token":"dt0c01.X.Y"}"#,
            200,
            "",
        ),
        (
            LOOKED_UP,
            "POST /api/v2/apiTokens/lookup",
            r#"{"token":"dt0c01.X.Z"}"#,
            404,
            "",
        ),
        (API_TOKENS, "PUT /api/v2/apiTokens/dt0c01.A", "{}", 204, ""),
        (API_TOKENS, "PUT /api/v2/apiTokens/nothing", "{}", 404, ""),
        (
            API_TOKENS,
            own,
            r#"{"enabled":false,"name":"n"}"#,
            400,
            disable,
        ),
        (
            API_TOKENS,
            own,
            r#"{"scopes":["apiTokens.write","WriteConfig"]}"#,
            204,
            "",
        ),
        (API_TOKENS, "DELETE /api/v2/apiTokens/dt0c01.A", "", 204, ""),
        (
            API_TOKENS,
            "DELETE /api/v2/apiTokens/dt0c01.A.B",
            "",
            204,
            "",
        ),
        (
            API_TOKENS,
            "DELETE /api/v2/apiTokens/dt0c01.A.C",
            "",
            404,
            "",
        ),
        (
            API_TOKENS,
            "DELETE /api/v2/apiTokens/dt0c01.APITOKENSAAAAAAAAAAAAAAA",
            "",
            400,
            delete,
        ),
        (
            PERSONAL,
            "DELETE /api/v2/apiTokens/dt0c01.A",
            "",
            403,
            others,
        ),
        (
            API_TOKENS,
            "PATCH /api/v2/apiTokens",
            "",
            405,
            "HTTP 405 Method Not Allowed",
        ),
        (LOOKED_UP, "GET /api/v2/apiTokens", "", 403, read),
        (MANAGEMENT, "GET /api/v2/apiTokens/dt0c01.A", "", 403, read),
        (MANAGEMENT, "POST /api/v2/apiTokens", name, 403, write),
        (
            LOOKED_UP,
            "PUT /api/v2/apiTokens/dt0c01.A",
            "{}",
            403,
            write,
        ),
        (
            LOOKED_UP,
            "DELETE /api/v2/apiTokens/dt0c01.A",
            "",
            403,
            write,
        ),
        (REVOKED, "GET /api/v2/apiTokens", "", 401, failed),
        (EXPIRED, "GET /api/v2/apiTokens", "", 401, failed),
    ] {
        let answer = ask(&simulator(), caller, line, body);
        assert_eq!(
            (answer.status(), answer.message().as_str()),
            (status, message),
            "{line} {body}"
        );
        if status == 404 || status == 204 {
            assert_eq!(answer.text(), "", "{line}");
        }
    }
}

#[test]
fn a_token_shows_milliseconds_in_every_date() {
    let simulator = simulator();
    let line = format!("GET /api/v2/apiTokens/{}", SHARING.id);
    assert_eq!(
        ask(&simulator, API_TOKENS, &line, "").json(),
        json!({"id": SHARING.id, "name": "dashboard sharing", "enabled": true, "owner": "system",
            "creationDate": "2020-11-05T08:15:30.144Z", "personalAccessToken": false,
            "scopes": ["ViewDashboard"],
            "additionalMetadata": {"dashboardId": "82402bab-7370-4359-924d-88ed13c8919a"}})
    );
    let line = format!("GET /api/v2/apiTokens/{}", API_TOKENS.id);
    let own = ask(&simulator, API_TOKENS, &line, "").json();
    assert_eq!(own["lastUsedDate"], "2026-11-24T10:00:00.123Z");
    assert_eq!(own["lastUsedIpAddress"], "10.1.2.3");
    // The admin token has a UUID in v1; here it is the public part of its secret.
    let line = format!("GET /api/v2/apiTokens/{}", ADMIN.id);
    let admin = ask(&simulator, API_TOKENS, &line, "").json();
    assert_eq!(admin["id"], "dt0c01.ADMINAAAAAAAAAAAAAAAAAAA");
}

#[test]
fn a_created_token_works_and_belongs_to_its_creators_owner() {
    let simulator = simulator();
    let body = r#"{"personalAccessToken":null,"expirationDate":"now+14d","name":"n","scopes":["apiTokens.read"],"enabled":false}"#;
    let created = ask(&simulator, PERSONAL, "POST /api/v2/apiTokens", body).json();
    assert_eq!(created["expirationDate"], "2026-12-08T10:00:00.123Z");
    let token = created["token"].as_str().unwrap().to_owned();
    let id = created["id"].as_str().unwrap().to_owned();
    assert!(token.starts_with(&format!("{id}.")));
    assert_eq!((id.len(), token.len()), (31, 96));

    let fresh = Seed {
        name: "n",
        id: "",
        secret: token.leak(),
    };
    let line = format!("GET /api/v2/apiTokens/{id}");
    let shown = ask(&simulator, fresh, &line, "").json();
    assert_eq!(shown["owner"], "jane.doe");
    assert_eq!(shown["personalAccessToken"], json!(false));
    // `enabled` is no member of this request, and unknown members are ignored.
    assert_eq!(shown["enabled"], json!(true));
    assert_eq!(
        ask(
            &simulator,
            PERSONAL,
            &format!("DELETE /api/v2/apiTokens/{id}"),
            ""
        )
        .status(),
        204
    );
    assert_eq!(ask(&simulator, fresh, &line, "").status(), 401);
}

#[test]
fn only_a_new_name_or_new_scopes_are_a_modification() {
    let simulator = simulator();
    let modified = |body: &str| {
        let line = "PUT /api/v2/apiTokens/dt0c01.A";
        assert_eq!(ask(&simulator, API_TOKENS, line, body).status(), 204);
        let token = ask(&simulator, API_TOKENS, "GET /api/v2/apiTokens/dt0c01.A", "").json();
        token.get("modifiedDate").cloned()
    };
    assert_eq!(modified(r#"{"enabled":false}"#), None);
    assert_eq!(modified(r#"{"enabled":true,"name":"looked up"}"#), None);
    assert_eq!(
        modified(r#"{"name":"n"}"#),
        Some(json!("2026-11-24T10:00:00.123Z"))
    );
}

#[test]
fn a_bad_request_is_told_by_path() {
    for (line, body, violations) in [
        (
            "POST /api/v2/apiTokens",
            "{}",
            vec!["PAYLOAD_BODY name", "PAYLOAD_BODY scopes"],
        ),
        (
            "POST /api/v2/apiTokens",
            r#"{"name":"n","scopes":["metrics.read"],"expirationDate":"2020-01-01T00:00:00Z","personalAccessToken":1}"#,
            vec![
                "PAYLOAD_BODY personalAccessToken",
                "PAYLOAD_BODY expirationDate",
            ],
        ),
        (
            "PUT /api/v2/apiTokens/dt0c01.A",
            r#"{"enabled":"no"}"#,
            vec!["PAYLOAD_BODY enabled"],
        ),
        (
            "POST /api/v2/apiTokens/lookup",
            "{}",
            vec!["PAYLOAD_BODY token"],
        ),
        (
            "GET /api/v2/apiTokens?pageSize=99",
            "",
            vec!["QUERY pageSize"],
        ),
        (
            "GET /api/v2/apiTokens?fields=%2Bsecret",
            "",
            vec!["QUERY fields"],
        ),
        ("GET /api/v2/apiTokens?sort=owner", "", vec!["QUERY sort"]),
        (
            "GET /api/v2/apiTokens?apiTokenSelector=x",
            "",
            vec!["QUERY apiTokenSelector"],
        ),
        (
            "GET /api/v2/apiTokens?from=x&to=y",
            "",
            vec!["QUERY from", "QUERY to"],
        ),
        (
            "GET /api/v2/apiTokens?nextPageKey=zz",
            "",
            vec!["QUERY nextPageKey"],
        ),
        (
            "GET /api/v2/apiTokens?nextPageKey=00&pageSize=100",
            "",
            vec!["QUERY nextPageKey"],
        ),
    ] {
        let answer = ask(&simulator(), API_TOKENS, line, body);
        assert_eq!(answer.message(), "Constraints violated.", "{line} {body}");
        assert_eq!(
            (answer.status(), answer.violations()),
            (400, violations.into_iter().map(str::to_owned).collect()),
            "{line} {body}"
        );
    }
}

#[test]
fn the_list_shows_the_fields_that_were_asked_for() {
    let simulator = simulator();
    let fields = |query: &str| {
        let answer = list(&simulator, query).json();
        let tokens = answer["apiTokens"].as_array().unwrap();
        let found = tokens
            .iter()
            .find(|token| token["id"] == "dt0c01.A")
            .unwrap();
        let mut names: Vec<_> = found.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    let default = "creationDate enabled id name owner";
    assert_eq!(fields(""), default);
    assert_eq!(fields("fields=%2Bscopes"), format!("{default} scopes"));
    assert_eq!(
        fields("fields=+scopes,-id,-owner"),
        "creationDate enabled id name scopes"
    );
    assert_eq!(
        fields("fields=scopes,personalAccessToken"),
        "id personalAccessToken scopes"
    );
}

#[test]
fn the_list_selects_and_sorts() {
    let simulator = simulator();
    ask(
        &simulator,
        AUTOMATION,
        "POST /api/v2/apiTokens",
        r#"{"name":"a","scopes":["metrics.read"]}"#,
    );
    let names = |query: &str| -> Vec<String> {
        let answer = list(&simulator, query).json();
        let name = |token: &Value| token["name"].as_str().unwrap().to_owned();
        answer["apiTokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(name)
            .collect()
    };
    assert_eq!(names("")[0], "a");
    assert_eq!(names("sort=name")[..2], ["a", "admin"]);
    assert_eq!(names("sort=-name")[0], "token management");
    assert_eq!(
        names("apiTokenSelector=personalAccessToken(true)"),
        ["personal"]
    );
    let selector = "apiTokenSelector=scope(%22LogImport%22),owner(%22john.smith%22)&sort=name";
    assert_eq!(names(selector), ["admin", "legacy"]);
    assert_eq!(names("from=now-1h&sort=name"), ["api tokens", "automation"]);
}

#[test]
fn a_long_list_comes_in_pages_and_its_key_holds_no_credential() {
    let simulator = simulator();
    for _ in 0..230 {
        let body = r#"{"name":"many","scopes":["metrics.read"]}"#;
        assert_eq!(
            ask(&simulator, API_TOKENS, "POST /api/v2/apiTokens", body).status(),
            201
        );
    }
    let mut query = format!(
        "pageSize=100&fields=%2Bscopes&api-token={}",
        API_TOKENS.secret
    );
    let mut seen = std::collections::HashSet::new();
    for expected in [100, 100, 42] {
        let page = list(&simulator, &query).json();
        assert_eq!(
            (&page["totalCount"], &page["pageSize"]),
            (&json!(242), &json!(100))
        );
        let tokens = page["apiTokens"].as_array().unwrap();
        assert_eq!(tokens.len(), expected);
        assert!(tokens.iter().all(|token| token["scopes"].is_array()));
        seen.extend(tokens.iter().map(|token| token["id"].to_string()));
        let key = page["nextPageKey"].as_str().unwrap_or_default();
        assert_eq!(key.is_empty(), expected == 42);
        let secret = hexadecimal("NOTAREAL");
        assert!(!key.contains(&secret));
        query = format!("nextPageKey={key}");
    }
    assert_eq!(seen.len(), 242);
}

#[test]
fn where_minting_is_retired_creation_says_so() {
    let options = Options {
        minting_retired: true,
        ..Options::default()
    };
    let simulator = Simulator::seeded(options, now);
    let body = r#"{"name":"n","scopes":["metrics.read"]}"#;
    for (caller, line) in [
        (API_TOKENS, "POST /api/v2/apiTokens"),
        (MANAGEMENT, "POST /api/v1/tokens"),
    ] {
        let answer = ask(&simulator, caller, line, body);
        let message = "Creation of new tokens is now only available in Account Management.";
        assert_eq!((answer.status(), answer.message().as_str()), (400, message));
    }
}
