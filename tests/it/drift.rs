//! What Dynatrace has that the gate does not know: `dtgate scopes diff` finds it in Dynatrace's own document.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::{policies, program};

fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn diff(text: impl AsRef<[u8]>, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openapi");
    std::fs::write(&file, text).unwrap();
    let mut command = program();
    command.args(["scopes", "diff"]).arg(&file).args(arguments);
    command.output().unwrap()
}

/// The report about a document, whose exit code is as it says.
fn report(document: &Value) -> Value {
    let output = diff(document.to_string(), &["--format", "json"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let code = if report["ok"] == true { 0 } else { 2 };
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    report
}

#[test]
fn a_document_that_holds_nothing_new_is_no_gap() {
    let report = report(&document());
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["scopes"]["in_document"], 4);
    assert_eq!(report["endpoints"]["in_document"], 5);
    let output = diff(
        document().to_string(),
        &["--policies", policies().to_str().unwrap()],
    );
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("Scopes: all 4 are in the list\n"),
        "{text}"
    );
    assert!(
        text.ends_with("Endpoints: none of 5 is missing\n"),
        "{text}"
    );
}

#[test]
fn a_new_scope_is_a_gap_wherever_it_is_listed() {
    for (pointer, by) in [
        (
            "/components/schemas/ApiTokenCreate/properties/scopes/items/enum",
            json!(["ApiTokenCreate"]),
        ),
        ("/components/schemas/Scope/enum", json!(["ApiTokenUpdate"])),
    ] {
        let mut document = document();
        let scopes = document
            .pointer_mut(pointer)
            .unwrap()
            .as_array_mut()
            .unwrap();
        scopes.push(json!("brand.new"));
        let report = report(&document);
        assert_eq!(
            report["scopes"]["missing"],
            json!([{"scope": "brand.new", "listed_by": by}])
        );
    }
    let mut inline = document();
    inline["paths"]["/apiTokens"]["post"]["requestBody"] =
        json!({"schema": {"properties": {"scopes": {"items": {"enum": ["brand.new"]}}}}});
    let report = report(&inline);
    let missing = json!([{"scope": "brand.new", "listed_by": ["/apiTokens"]}]);
    assert_eq!(report["scopes"]["missing"], missing);
}

#[test]
fn endpoints_about_credentials_and_writes_below_what_is_guarded_are_gaps() {
    let mut document = document();
    let paths = document["paths"].as_object_mut().unwrap();
    let plain = json!({"responses": {"200": {"description": "ok"}}});
    let answers = |schema: Value| json!({"responses": {"200": {"content": {"application/json": {"schema": schema}}}}});
    for (path, method, operation) in [
        ("/newTokens", "post", plain.clone()),
        ("/vault/passcode", "get", plain.clone()),
        (
            "/things",
            "get",
            answers(json!({"$ref": "#/components/schemas/Thing"})),
        ),
        (
            "/things",
            "post",
            answers(
                json!({"properties": {"list": {"items": {"properties": {"clientSecret": {}}}}}}),
            ),
        ),
        ("/apiTokens/{id}/renew", "post", plain.clone()),
        ("/activeGateTokens/{id}", "patch", plain.clone()),
        // None of these.
        (
            "/harmless",
            "post",
            answers(json!({"properties": {"nextPageToken": {}, "name": {}}})),
        ),
        ("/tenantTokenRotation/start", "post", plain),
    ] {
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[method] = operation;
    }
    document["components"]["schemas"]["Thing"] = json!({"allOf": [{"$ref": "#/components/schemas/Thing"}, {"properties": {"password": {"type": "string"}}}]});
    let report = report(&document);
    let found: Vec<String> = report["endpoints"]["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| {
            format!(
                "{} {} {}",
                endpoint["method"], endpoint["path"], endpoint["why"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        found,
        [
            "PATCH /api/v2/activeGateTokens/{id} writes below /api/v2/activeGateTokens",
            "POST /api/v2/apiTokens/{id}/renew writes below /api/v2/apiTokens",
            "POST /api/v2/newTokens speaks of newTokens",
            "GET /api/v2/things speaks of password",
            "POST /api/v2/things speaks of clientSecret",
            "GET /api/v2/vault/passcode speaks of passcode",
        ]
    );
    let output = diff(document.to_string(), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("  ") && line.contains("/api/"))
        .collect();
    assert_eq!(lines.len(), 6, "{text}");
    let columns = lines.iter().map(|line| {
        line.find(" speaks of")
            .or_else(|| line.find(" writes below"))
    });
    let columns: std::collections::BTreeSet<_> = columns.collect();
    assert_eq!(columns.len(), 1, "not aligned: {text}");
}

#[test]
fn yaml_swagger_and_servers_with_a_path_are_read_too() {
    let yaml = "openapi: 3.0.1\nservers:\n  - url: /platform/brand-new/v1\npaths:\n  /shares:\n    post:\n      responses: {}\n  /keys/{id}/secret:\n    get:\n      responses: {}\n";
    let output = diff(yaml, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["endpoints"]["missing"][0]["path"],
        "/platform/brand-new/v1/keys/{id}/secret"
    );
    let swagger = json!({
        "swagger": "2.0", "basePath": "/api/v1",
        "paths": {"/tokens": {"post": {}}, "/tokens/{id}": {"put": {}}},
        "definitions": {"CreateToken": {"properties": {"scopes": {"items": {"enum": ["DataExport", "Brand"]}}}}},
    });
    let output = diff(swagger.to_string(), &["--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["scopes"]["missing"][0]["scope"], "Brand");
    assert_eq!(report["endpoints"]["missing"], json!([]));
}

#[test]
fn what_is_no_document_is_no_gap_but_an_error() {
    let deep = "[".repeat(100_000);
    for (text, said) in [
        ("", "no paths"),
        ("{}", "no paths"),
        ("{\"paths\": 5}", "no paths"),
        ("{\"paths\": {", "line 1"),
        ("a: [1", "openapi: "),
        (deep.as_str(), "recursion limit"),
    ] {
        let output = diff(text, &[]);
        assert_eq!(output.status.code(), Some(1), "{said}: {output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{error}");
    }
    let nowhere = program()
        .args(["scopes", "diff", "/nowhere/openapi.json"])
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere:?}");
    let other = diff(document().to_string(), &["--policies", "/nowhere"]);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
}

#[test]
fn a_document_does_not_reach_the_terminal_raw() {
    let mut document = document();
    document["paths"]["/\u{1b}[2Jtoken"] = json!({"get": {}});
    document["components"]["schemas"]["Scope"]["enum"][1] = json!("\u{1b}]0;x\u{7}");
    let output = diff(document.to_string(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stdout.contains(&0x1b), "{output:?}");
}

#[test]
fn paths_by_reference_are_compared_too() {
    let mut document = document();
    document["paths"]["/things"] = json!({"$ref": "#/components/pathItems/Things"});
    document["components"]["pathItems"] = json!({"Things": {"$ref": "#/components/pathItems/Same"}, "Same": {
        "post": {"responses": {"200": {"content": {"application/json": {"schema": {"properties": {"clientSecret": {}}}}}}}},
    }});
    let report = report(&document);
    assert_eq!(report["endpoints"]["in_document"], 6);
    let missing = &report["endpoints"]["missing"];
    assert_eq!(missing[0]["path"], "/api/v2/things", "{report}");
}

#[test]
fn a_path_of_any_length_is_shown() {
    let mut document = document();
    let path = format!("/{}", "token".repeat(20_000));
    document["paths"][&path] = json!({"post": {}});
    document["components"]["schemas"]["Scope"]["enum"][1] = json!(path);
    let output = diff(document.to_string(), &[]);
    assert_eq!(output.status.code(), Some(2), "{:?}", output.stderr);
    assert!(String::from_utf8(output.stdout).unwrap().contains(&path));
}

#[test]
fn operations_with_rare_methods_are_compared_too() {
    let mut document = document();
    let answers = json!({"responses": {"200": {"content": {"application/json": {"schema": {"properties": {"clientSecret": {}}}}}}}});
    let mut item = json!({"additionalOperations": {"COPY": answers}});
    for method in ["head", "options", "query", "trace"] {
        item[method] = answers.clone();
    }
    document["paths"]["/things"] = item;
    // These are known: who may read may ask for the head.
    document["paths"]["/apiTokens"]["head"] = json!({});
    document["paths"]["/apiTokens"]["query"] = json!({});
    let report = report(&document);
    assert_eq!(report["endpoints"]["in_document"], 12);
    let missing = report["endpoints"]["missing"].as_array().unwrap();
    let missing: Vec<String> = missing
        .iter()
        .map(|gap| format!("{} {}", gap["method"], gap["path"]).replace('"', ""))
        .collect();
    // TRACE is refused everywhere.
    assert_eq!(
        missing,
        [
            "QUERY /api/v2/apiTokens",
            "COPY /api/v2/things",
            "HEAD /api/v2/things",
            "OPTIONS /api/v2/things",
            "QUERY /api/v2/things",
        ]
    );
}

/// Each operation refers to the same chain of schemas, each schema to the same list of scopes, each path to the same
/// operation: to look at all of it again for each would take hours.
#[test]
fn a_huge_document_is_looked_at_once() {
    const MANY: usize = 15_000;
    let schema = |number: usize| format!("#/components/schemas/Token{number}");
    let mut document = document();
    for number in 0..MANY {
        let next = json!({"$ref": schema((number + 1) % MANY)});
        let scopes = json!({"$ref": "#/components/x/scopes"});
        document["components"]["schemas"][format!("Token{number}")] =
            json!({"properties": {"next": next, "scopes": scopes}});
        document["paths"][format!("/a{number}")]["get"]["responses"] =
            json!({"$ref": schema(number)});
        document["paths"][format!("/b{number}")] = json!({"$ref": "#/components/x/item"});
    }
    let scopes: Vec<String> = (0..MANY).map(|number| format!("scope{number}")).collect();
    let properties: serde_json::Map<String, Value> = (0..MANY)
        .map(|number| (format!("p{number}"), json!({})))
        .collect();
    let answers = json!({"content": {"properties": properties}});
    document["components"]["x"] = json!({
        "scopes": {"items": {"enum": scopes}},
        "item": {"post": {"responses": answers}},
    });
    let report = report(&document);
    assert_eq!(report["endpoints"]["missing"], json!([]));
    assert_eq!(report["endpoints"]["in_document"], 5 + 2 * MANY);
    assert_eq!(report["scopes"]["missing"].as_array().unwrap().len(), MANY);
}

#[test]
fn what_would_be_compared_too_often_is_an_error() {
    let mut document = document();
    let servers = (0..11).map(|number| json!({"url": format!("/v{number}")}));
    document["servers"] = servers.collect();
    let long = format!("{{\"paths\": {{}}}}{}", " ".repeat(16 << 20));
    for (text, said) in [
        (document.to_string(), "more than 10 servers"),
        (long, "longer than 16 MiB"),
    ] {
        let output = diff(text, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(said), "{error}");
    }
}
