use super::*;

fn find<'a>(catalogue: &'a Catalogue, method: &str, path: &str) -> Option<&'a Row> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match catalogue.find(method, &segments) {
        Find::Row(row) => Some(row),
        Find::Method(_) | Find::Unknown => None,
    }
}

#[test]
fn lookup_names_no_token() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let row = find(&catalogue, "POST", "/api/v1/tokens/lookup").unwrap();
    assert_eq!(row.endpoint.operation, Operation::TokenLookup);
    assert!(find(&catalogue, "PUT", "/api/v1/tokens/lookup").is_none());
}

#[test]
fn the_row_that_leaves_least_open_wins() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    for (path, operation) in [
        (
            "/api/v1/deployment/installer/agent/connectioninfo",
            Operation::ConnectionInfoRead,
        ),
        (
            "/api/v1/deployment/installer/agent/unix/default/latest",
            Operation::InstallerDownload,
        ),
    ] {
        let row = find(&catalogue, "GET", path).unwrap();
        assert_eq!(row.endpoint.operation, operation, "{path}");
    }
}

#[test]
fn a_known_path_with_an_unknown_method_names_the_known_ones() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    let Find::Method(methods) = catalogue.find("PATCH", &["api", "v2", "apiTokens", "x"]) else {
        panic!("PATCH is on no row");
    };
    assert_eq!(methods, ["GET", "PUT", "DELETE"]);
    assert!(matches!(
        catalogue.find("PUT", &["api", "v3", "tokens"]),
        Find::Unknown
    ));
}

#[test]
fn what_is_below_a_guarded_resource_is_its_own() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    for (method, path, operation) in [
        ("POST", "/api/v1/tokens:frob", "token.unknown"),
        ("POST", "/api/v1/tokens/x:frob", "token.unknown"),
        ("DELETE", "/api/v1/tokens/x/y/z", "token.unknown"),
        ("GET", "/api/v1/tokens/x/y", "unknown.read"),
        (
            "GET",
            "/api/v2/tenantTokenRotation/start",
            "tenant_token_rotation.unknown",
        ),
        ("GET", "/api/v1/deployment/new", "installer.unknown"),
        (
            "GET",
            "/api/v1/deployment/installer/agent/x",
            "installer.download",
        ),
        (
            "POST",
            "/api/v1/deployment/image/agent",
            "installer.unknown",
        ),
        (
            "PUT",
            "/platform/automation/v1/workflows/x/tasks",
            "workflow.unknown",
        ),
        (
            "POST",
            "/platform/settings/v1/objects/x:clone",
            "settings.unknown",
        ),
        (
            "POST",
            "/platform/settings/v1/objects/x:change-owner",
            "token_settings.update",
        ),
    ] {
        let row = find(&catalogue, method, path).unwrap();
        assert_eq!(
            row.endpoint.operation.as_str(),
            operation,
            "{method} {path}"
        );
    }
    for (method, path) in [
        ("PUT", "/api/v1/tokens/lookup"),
        ("POST", "/api/v2/settings/objects/x"),
        ("POST", "/api/v1/deployment/installer/agent/x"),
        ("POST", "/api/v1/tokensX"),
        ("POST", "/api/v1/tokens.json"),
    ] {
        assert!(find(&catalogue, method, path).is_none(), "{method} {path}");
    }
}

#[test]
fn every_guarded_row_is_owned() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    for row in catalogue.rows().iter().filter(|row| row.is_guarded()) {
        let path: Vec<&str> = row
            .segments
            .iter()
            .copied()
            .filter(|s| *s != REST)
            .collect();
        let path: Vec<String> = path.iter().map(|s| s.replace(['{', '}'], "")).collect();
        let verb = [
            &path[..path.len() - 1],
            &[format!("{}:frob", path[path.len() - 1])],
        ]
        .concat();
        for below in [
            [&path[..], &["un".to_owned(), "known".to_owned()]].concat(),
            verb,
        ] {
            let below: Vec<&str> = below.iter().map(String::as_str).collect();
            for method in ["GET", "POST", "PATCH"] {
                match catalogue.find(method, &below) {
                    Find::Row(found) => assert!(found.is_guarded(), "{method} {below:?}"),
                    Find::Method(_) => {}
                    Find::Unknown => panic!("nobody owns {below:?}"),
                }
            }
        }
    }
}

#[test]
fn what_is_frequent_and_harmless_is_known() {
    let catalogue = Catalogue::new(&Overrides::default()).unwrap();
    for (method, path) in [
        ("POST", "/platform/storage/query/v1/query:execute"),
        ("POST", "/e/abc//platform/storage/query/v1/query:poll/"),
        (
            "POST",
            "/platform/davis/analyzers/v1/analyzers/dt.x:execute",
        ),
        ("POST", "/platform/classic/environment-api/v2/logs/ingest"),
        (
            "POST",
            "/platform/document/v1/documents/a%20b/snapshots/1:restore",
        ),
        ("PUT", "/api/v1/tokens/x"),
        ("POST", "/api/v1/tokens/x/unknown"),
    ] {
        assert!(catalogue.knows(method, path), "{method} {path}");
    }
    for (method, path) in [
        ("POST", "/platform/new-service/v1/things"),
        ("POST", "/platform/storage/query/v2/query:execute"),
        ("POST", "/api/v2/problems/1/comments"),
        ("POST", "/platform/settings/v1/schemas"),
    ] {
        assert!(!catalogue.knows(method, path), "{method} {path}");
    }
}

#[test]
fn the_table_is_consistent() {
    for row in ENDPOINTS.iter() {
        let text = format!("{row:?}");
        assert!(
            row.path.starts_with('/') && !row.path.ends_with('/'),
            "{text}"
        );
        assert!(!row.why.is_empty(), "{text}");
        // What is judged must be readable, and reads have nothing to read.
        assert!(
            row.handling != Handling::Judge || row.content != Content::Opaque,
            "{text}"
        );
        if matches!(row.method, "GET" | "DELETE") {
            assert_eq!(row.content, Content::Nothing, "{text}");
        }
        // An operation is handled in one way, or an override would mean several.
        for other in ENDPOINTS
            .iter()
            .filter(|other| other.operation == row.operation)
        {
            assert_eq!(row.handling, other.handling, "{text}");
        }
        let twins = ENDPOINTS
            .iter()
            .filter(|other| other.method == row.method && other.path == row.path);
        assert_eq!(twins.count(), 1, "{text}");
        assert_eq!(row.operation.as_str().parse(), Ok(row.operation));
    }
}

#[test]
fn writes_of_tokens_are_judged_and_lookups_never_read() {
    for row in ENDPOINTS.iter() {
        let name = row.operation.as_str();
        let token = name.starts_with("token.") || name.starts_with("cluster_token.");
        let writes = [".create", ".update", ".delete"]
            .iter()
            .any(|verb| name.ends_with(verb));
        if token {
            assert_eq!(writes, row.handling == Handling::Judge, "{name}");
        }
        if name.ends_with(".lookup") {
            assert_eq!(row.content, Content::Opaque, "{name}");
        }
    }
}

fn overrides(toml: &str) -> Result<Overrides, String> {
    toml::from_str(toml).map_err(|error| error.message().to_owned())
}

#[test]
fn an_override_changes_every_row_of_its_operation_and_can_be_named() {
    let overrides = overrides("'connection_info.read' = 'pass'\n'token.read' = 'pass'").unwrap();
    let catalogue = Catalogue::new(&overrides).unwrap();
    let changed: Vec<_> = catalogue.overridden().collect();
    assert_eq!(
        changed,
        [(
            Operation::ConnectionInfoRead,
            Handling::Judge,
            Handling::Pass
        )],
        "what stays as it is, is no change"
    );
    let rows = catalogue.rows().iter();
    let rows = rows.filter(|row| row.endpoint.operation == Operation::ConnectionInfoRead);
    assert!(rows.clone().count() > 2);
    assert!(rows.into_iter().all(|row| row.handling == Handling::Pass));
}

#[test]
fn what_cannot_be_is_no_override() {
    assert!(
        overrides("'token.creat' = 'pass'")
            .unwrap_err()
            .contains("dtgate endpoints")
    );
    assert!(overrides("'token.create' = 'ignore'").is_err());
    let lookup = overrides("'token.lookup' = 'judge'").unwrap();
    assert_eq!(
        Catalogue::new(&lookup).unwrap_err(),
        OverrideError::Opaque(Operation::TokenLookup)
    );
}
