//! Operations other than those of API tokens, and those that are only some requests of an endpoint.

use super::*;

const SETTINGS: &str = "POST /api/v2/settings/objects";
/// An objectId of the schema builtin:tokens.token-settings, and one of another.
const TOKEN_OBJECT: &str = "vu9U3hXa3q0AAAABAB1idWlsdGluOnRva2Vucy50b2tlbi1zZXR0aW5ncwAGdGVuYW50";
const OTHER_OBJECT: &str = "vu9U3hXa3q0AAAABABhidWlsdGluOmFsZXJ0aW5nLnByb2ZpbGUABnRlbmFudA";

fn sifted(body: &str) -> Result<Sifted, ReadError> {
    let route = head(&parts(SETTINGS, &[JSON]), &key())?;
    let unsure = match route {
        Route::Unsure(head) => Some(head),
        Route::Guarded(_) | Route::Open => None,
    };
    sift(*unsure.expect("the body has to tell"), body.as_bytes())
}

#[test]
fn settings_that_are_not_about_tokens_are_open() {
    let body = " [ {\"schemaId\":\"builtin:alerting.profile\", \"value\":{\"a\":1e3,\"A\":2}} ]";
    assert!(matches!(sifted(body), Ok(Sifted::Open)));
    assert!(matches!(sifted("[{]"), Err(ReadError::Json(_))));
}

#[test]
fn token_settings_are_guarded_among_others_too() {
    let body = r#"[{"schemaId":"builtin:alerting.profile"},{"schemaId":"builtin:token\u0073.token-settings","value":{"patEnabled":true}}]"#;
    let call = understood(&format!("{SETTINGS}?validateOnly=true"), &[JSON], body).unwrap();
    assert_eq!(call.understood().schemas, ["builtin:tokens.token-settings"]);
    assert_eq!(
        call.head().path().endpoint().operation.as_str(),
        "token_settings.update"
    );
    assert!(
        call.head()
            .target(false)
            .expose()
            .ends_with("/objects?validateOnly=true")
    );
    // What is judged is read by one reader only.
    let twins = r#"[{"schemaId":"builtin:tokens.token-settings","SchemaId":"x"}]"#;
    assert!(matches!(
        understood(SETTINGS, &[JSON], twins),
        Err(ReadError::Json(_))
    ));
}

#[test]
fn an_object_id_tells_whether_it_is_about_tokens() {
    for method in ["PUT", "DELETE"] {
        let line = |object: &str| format!("{method} /api/v2/settings/objects/{object}");
        let route = |object: &str| head(&parts(&line(object), &[JSON]), &key());
        assert!(matches!(route(TOKEN_OBJECT), Ok(Route::Guarded(_))));
        assert!(matches!(route(OTHER_OBJECT), Ok(Route::Open)));
        assert!(matches!(route("anything"), Err(ReadError::ObjectId)));
    }
    let line = format!("PUT /api/v2/settings/objects/{TOKEN_OBJECT}");
    let call = understood(&line, &[JSON], r#"{"value":{"patEnabled":true}}"#).unwrap();
    assert_eq!(call.understood().schemas, ["builtin:tokens.token-settings"]);
}

#[test]
fn an_environment_that_is_made_with_a_token_is_guarded() {
    for (query, guarded) in [
        ("", false),
        ("?createToken=false", false),
        ("?createToken=true", true),
        ("?CREATETOKEN=1", true),
        ("?create%54oken", true),
        ("?createToken=false&createToken=true", true),
        ("?a=b;createToken=true", true),
        ("?create%2554oken=true", true),
        ("?createToken[]=true", true),
        ("?x=1%26createToken=true", true),
    ] {
        for line in [
            "POST /api/cluster/v2/environments",
            "PUT /api/cluster/v2/environments/x",
        ] {
            let route = head(&parts(&format!("{line}{query}"), &[JSON]), &key()).unwrap();
            assert_eq!(matches!(route, Route::Guarded(_)), guarded, "{line}{query}");
        }
    }
}

#[test]
fn an_activegate_token_has_a_name_and_members_of_its_own() {
    let body = r#"{"name":"ag","activeGateType":"ENVIRONMENT","expirationDate":"now+3M"}"#;
    let call = understood("POST /api/v2/activeGateTokens", &[JSON], body).unwrap();
    assert_eq!(call.change().name.as_deref(), Some("ag"));
    assert_eq!(call.change().expiration.as_deref(), Some("now+3M"));
    assert_eq!(
        call.understood().unknown_members["activeGateType"],
        "ENVIRONMENT"
    );
    assert_eq!(call.change().scopes, None);
}

#[test]
fn a_rotation_takes_no_body_and_a_download_keeps_its_query() {
    let rotation = "POST /api/v2/tenantTokenRotation/start";
    assert!(understood(rotation, &[("content-length", "0")], "").is_ok());
    assert!(matches!(
        understood(rotation, &[], "{}"),
        Err(ReadError::Superfluous(_))
    ));
    let line =
        "GET /api/v1/deployment/installer/agent/unix/default/latest?arch=x86&Api-Token=dt0c01.A.B";
    let call = understood(line, &[], "").unwrap();
    assert!(
        call.head()
            .target(false)
            .expose()
            .ends_with("?arch=x86&Api-Token=dt0c01.A.B")
    );
    assert_eq!(call.head().caller().unwrap().id.as_str(), "dt0c01.A");
    assert_eq!(
        call.head().parameters(),
        [("arch".to_owned(), "x86".to_owned())]
    );
}

#[test]
fn what_needs_no_body_may_have_none() {
    let line = "POST /api/cluster/v2/environments/abc/tokenManagementToken";
    assert!(understood(line, &[], "").unwrap().forwarded().is_empty());
    assert!(understood(line, &[JSON], "{}").is_ok());
    let chunked = ("transfer-encoding", "chunked");
    assert!(matches!(
        understood(line, &[chunked], "{}"),
        Err(ReadError::MediaType)
    ));
}

#[test]
fn an_operation_that_is_refused_is_refused_where_it_is_meant() {
    let overrides =
        "'token_settings.update' = 'refuse'\n'token_management_token.create' = 'refuse'";
    let catalogue = Catalogue::new(&toml::from_str(overrides).unwrap()).unwrap();
    let head = |line: &str| {
        let redactor = Redactor::default();
        crate::guard::head(&parts(line, &[JSON]), true, &redactor, &catalogue, &key())
            .map_err(|refused| refused.error)
    };
    let refused = |route: Result<Route, ReadError>| {
        matches!(route, Err(ReadError::Path(PathError::Refused { .. })))
    };
    assert!(matches!(
        head("POST /api/cluster/v2/environments"),
        Ok(Route::Open)
    ));
    assert!(refused(head(
        "POST /api/cluster/v2/environments?createToken=true"
    )));
    assert!(refused(head(&format!(
        "PUT /api/v2/settings/objects/{TOKEN_OBJECT}"
    ))));
    assert!(matches!(
        head(&format!("PUT /api/v2/settings/objects/{OTHER_OBJECT}")),
        Ok(Route::Open)
    ));
    for (body, open) in [("[]", true), (r#"["builtin:activegate-token"]"#, false)] {
        let Ok(Route::Unsure(head)) = head(SETTINGS) else {
            panic!("the body has to tell");
        };
        let sifted = sift(*head, body.as_bytes());
        assert_eq!(matches!(sifted, Ok(Sifted::Open)), open, "{body}");
    }
}
