use std::sync::LazyLock;

use super::*;
use crate::dynatrace::catalogue::Overrides;

mod readers;

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(&Overrides::default()).unwrap());

const UUID: &str = "d5836312-5790-4e80-afcf-09971954c3ea";

fn key() -> HashKey {
    HashKey::new([1; 32])
}

/// How a request is classified, in one word, with the path that would go upstream.
fn read(method: &str, path: &str) -> String {
    match classify(method, path, &CATALOGUE, &key()) {
        Ok(Target::Open) => "open".to_owned(),
        Ok(Target::Guarded(path)) => {
            format!("{} {}", path.endpoint().operation, path.raw().expose())
        }
        Err(PathError::Id(_)) => "id".to_owned(),
        Err(
            PathError::Ambiguous(_)
            | PathError::Long
            | PathError::LookAlike(_)
            | PathError::Unknown
            | PathError::Work(_),
        ) => "look-alike".to_owned(),
        Err(PathError::Method(_)) => "method".to_owned(),
        Err(PathError::Refused { operation, .. }) => format!("refused {operation}"),
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
        ("DELETE", "/api/config/v1/dashboards/tokens-2"),
        ("PUT", "/"),
        ("GET", "/api/v1/a%2fb"),
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
        // A server that does not mind the case of a method answers these as it answers `GET`.
        ("get", "/api/v1/deployment/installer/agent/connectioninfo"),
        ("QUERY", "/v1/activegate/connection-info"),
        (
            "POST",
            "/api/v1/deployment/installer/agent/unix/default/latest",
        ),
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
        "/api/v1/to%E2%80%8Bkens/x",
        "/platform/classic/environment-api/v2/apitokens/x",
        "/platform/classic/api/v1/tokens/x",
        "/api/cluster/v3/tokens/x",
        "/api/v1/tokensX/a",
        "/api/v3/tokens",
        "/api/v3/platform-tokens",
        "/api/v2/activegatetokens/x",
        "/platform/fleet-management/v2/activegate/tokens",
        "/api/v1.0/onpremise/tokens",
        "/platform/x/accessTokens",
        "/api/v3/settings/objects",
        "/platform/automation/v2/workflows",
        "/platform/app-engine/edge-connect/v2/edge-connects",
        "/platform/fleet-management/v1/activegate/tokens/d\\x",
        "/api/v2/settings/objects%3fx=y",
        "/API/v2/settings/objects",
        "/api/v2/settings%2fobjects/x",
        "/x/../api/v2/settings/objects/y",
        "/platform/automation/v1/Workflows/x",
        "/platform/app-engine/registry/v1/apps;a/x",
        "/platform/app-engine/registry/v1/x/%2e%2e/apps",
        "/api/config/v1/dashboards/x/sharesettings",
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
    assert_eq!(read("PUT", &"/a".repeat(5000)), "look-alike");
    assert_eq!(
        read("PUT", &format!("/{}", "%25".to_owned() + &"25".repeat(20))),
        "look-alike"
    );
}

/// Whoever cuts parameters off before the last round of decoding sees fewer slashes than whoever does it after.
#[test]
fn a_parameter_that_ends_in_two_places_hides_nothing() {
    for path in [
        "/api%2fv1/tok%65ns;%2fa=b/x",
        "/api%2fcluster/v2/environments/x;%2fa=b1/tokenManagementToken",
        "/platform/automation/v1/workfl%6fws;%2fx/y",
    ] {
        assert_eq!(read("PUT", path), "look-alike", "{path}");
    }
    let deep = format!("/x;a/{}a", "%25".to_owned() + &"25".repeat(5) + "2f");
    assert_eq!(read("PUT", &deep), "look-alike");
    assert_eq!(read("GET", "/x;a=b/y;%2fz"), "open");
}

#[test]
fn what_nobody_can_judge_is_refused_on_every_method() {
    for (path, reading) in [
        ("/rest/x", "refused internal_api.call"),
        ("//rest", "refused internal_api.call"),
        ("/e/abc/rest/x", "refused internal_api.call"),
        (
            "/iam/v1/accounts/x/platform-tokens",
            "refused account_api.call",
        ),
        (
            "/platform/app-engine/function-executor/v1/executions",
            "refused function.execute",
        ),
        ("/e/a/e/b/rest/x", "look-alike"),
        ("/platform-reserved/x/v1/y", "refused internal_api.call"),
        ("/REST/x", "look-alike"),
        ("/x/../rest/y", "look-alike"),
        ("/x%2fy/../%72est/tokens", "look-alike"),
        ("/%72est/x", "look-alike"),
        ("/rest;a/x", "look-alike"),
        ("/rest/a%20b", "look-alike"),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            assert_eq!(read(method, path), reading, "{method} {path}");
        }
    }
    for path in ["/api/v2/rest", "/restaurant", "/api/v2/iam", "/iamb"] {
        assert_eq!(read("GET", path), "open", "{path}");
    }
}

#[test]
fn reads_that_disclose_are_guarded_and_other_reads_are_not() {
    let proxy = "/platform/classic/environment-api/v2/agentConnectionToken";
    for (path, reading) in [
        (
            "/api/v2/agentConnectionToken",
            "agent_connection_token.read /api/v2/agentConnectionToken",
        ),
        (proxy, &format!("agent_connection_token.read {proxy}")),
        (
            "/e/abc/api/v1/deployment/installer/agent/connectioninfo/",
            "connection_info.read /e/abc/api/v1/deployment/installer/agent/connectioninfo",
        ),
        (
            "/api/v1/deployment/installer/agent/unix/default/latest",
            "installer.download /api/v1/deployment/installer/agent/unix/default/latest",
        ),
        (
            "/api/config/v1/dashboards/a-b/shareSettings",
            "dashboard_sharing.read /api/config/v1/dashboards/a-b/shareSettings",
        ),
        (
            "/api%2fconfig/v1/dashboards/x;%2fa=b1/shareSettings",
            "look-alike",
        ),
        ("/api/v2/agentconnectiontoken", "look-alike"),
        ("/api/v2/agentConnection%54oken", "look-alike"),
        ("/api/v1/deployment/%69nstaller/x", "look-alike"),
        (
            "/platform/classic/environment-api/v1/deployment/Installer/x",
            "refused installer.unknown",
        ),
        ("/api/v2/apiTokens", "open"),
        ("/api/v2/settings/objects", "open"),
        ("/api/config/v1/dashboards/a-b", "open"),
        ("/api/cluster/v2/environments/x", "open"),
        ("/platform/automation/v1/workflows", "open"),
    ] {
        assert_eq!(read("GET", path), reading, "{path}");
    }
    assert_eq!(read("HEAD", "/api/v2/agentConnectionToken"), "open");
}

#[test]
fn the_platform_proxy_and_the_cluster_are_guarded_under_their_own_paths() {
    for (method, path, operation) in [
        (
            "PUT",
            "/platform/classic/environment-api/v2/apiTokens/x",
            "token.update",
        ),
        (
            "POST",
            "/platform/classic/environment-api/v1/tokens",
            "token.create",
        ),
        (
            "DELETE",
            "/platform/classic/environment-api/v2/activeGateTokens/x",
            "activegate_token.delete",
        ),
        (
            "POST",
            "/platform/classic/environment-api/v2/tenantTokenRotation/start",
            "tenant_token_rotation.start",
        ),
        ("PUT", "/api/cluster/v2/tokens/x", "cluster_token.update"),
        ("POST", "/api/cluster/v1/tokens", "cluster_token.create"),
        (
            "POST",
            "/api/cluster/v2/environments/a/tokenManagementToken",
            "token_management_token.create",
        ),
        (
            "POST",
            "/e/a/platform/fleet-management/v1/activegate/tokens",
            "activegate_token.create",
        ),
        (
            "POST",
            "/platform/app-engine/edge-connect/v1/edge-connects",
            "edge_connect.create",
        ),
    ] {
        assert_eq!(read(method, path), format!("{operation} {path}"));
    }
}

#[test]
fn what_only_resembles_a_guarded_path_is_open() {
    for (method, path) in [
        ("POST", "/platform/automation/v1/workflows/x/run"),
        ("DELETE", "/platform/automation/v1/workflows/x"),
        ("POST", "/api/v2/credentials"),
        ("PUT", "/api/v2/extensions/com.acme.token-monitor/1.0"),
        (
            "DELETE",
            "/api/config/v1/calculatedMetrics/service/calc:service.tokencount",
        ),
        ("PUT", "/api/v2/settings/schemas"),
        ("POST", "/api/v2/events/ingest"),
        ("PUT", "/api/config/v1/dashboards/x"),
        ("POST", "/platform/storage/query/v1/query:execute"),
        ("POST", "/api/v2/synthetic/executions/batch"),
    ] {
        assert_eq!(read(method, path), "open", "{method} {path}");
    }
}

#[test]
fn what_is_unknown_below_a_guarded_resource_is_its_own() {
    for (path, operation) in [
        ("/api/v1/tokens:update", "token.unknown"),
        ("/api/v1/tokens/x/y", "token.unknown"),
        ("/api/v1/tokens/x:clone", "token.unknown"),
        ("/v1/activegate/tokens/x/y", "activegate_token.unknown"),
        ("/platform/iam/platform-tokens", "account_api.call"),
        (
            "/api/v2/tenantTokenRotation/restart",
            "tenant_token_rotation.unknown",
        ),
        (
            "/e/abc/api/v2/settings/objects/x:restore/",
            "settings.unknown",
        ),
        (
            "/api/cluster/v2/environments/x/tokenmanagementtoken",
            "token_management_token.unknown",
        ),
    ] {
        assert_eq!(read("POST", path), format!("refused {operation}"), "{path}");
    }
    let read = |path: &str| read("GET", path);
    assert_eq!(
        read("/platform/automation/v1/workflows/x/y"),
        "unknown.read /platform/automation/v1/workflows/x/y"
    );
    assert_eq!(read("/platform/automation/v1/Workflows/x/y"), "look-alike");
    assert_eq!(
        read("/platform/automation/v1/workflows/x%41/y"),
        "look-alike"
    );
    assert_eq!(read("/platform/automation/v1/workflows/x%41"), "open");
    assert_eq!(read("/api/v2/credentials/Details"), "look-alike");
    assert_eq!(read("/api/v2/credentials/d%65tails"), "look-alike");
    assert_eq!(read("/api/v2/credentials/x%41"), "open");
}

#[test]
fn an_override_opens_what_it_names_and_nothing_else() {
    let overrides =
        toml::from_str("'internal_api.call' = 'pass'\n'token.delete' = 'refuse'").unwrap();
    let catalogue = Catalogue::new(&overrides).unwrap();
    let open = |method: &str, path: &str| {
        matches!(classify(method, path, &catalogue, &key()), Ok(Target::Open))
    };
    assert!(open("POST", "/rest/a%20b"));
    assert!(!open("POST", "/rest/../api/v1/tokens"));
    assert!(!open("POST", "/iam/x"));
    let refused = classify("DELETE", "/api/v1/tokens/x", &catalogue, &key());
    assert!(matches!(refused, Err(PathError::Refused { .. })));
}

#[test]
fn the_public_path_has_no_secret() {
    let secret = format!("dt0c01.{}.{}", "A".repeat(24), "B".repeat(64));
    let Ok(Target::Guarded(path)) = classify(
        "DELETE",
        &format!("/api/v2/apiTokens/{secret}"),
        &CATALOGUE,
        &key(),
    ) else {
        panic!("a secret names a token on DELETE");
    };
    assert!(path.raw().expose().contains("BBBB"));
    assert!(!path.public().contains("BBBB"));
    assert!(!format!("{path:?}").contains("BBBB"));
}
