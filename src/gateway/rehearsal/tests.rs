use super::*;
use crate::dynatrace::catalogue::{Handling, Overrides};
use crate::telemetry::Metrics;

fn catalogue() -> Catalogue {
    Catalogue::new(&Overrides::default()).unwrap()
}

/// A policy of these lines, called `mine`.
fn policy(lines: &str) -> Policy {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("mine.rego"),
        format!("package dtgate.mine\n\n{lines}\n"),
    )
    .unwrap();
    Policy::load(directory.path(), Duration::from_millis(500)).unwrap()
}

/// What is said about a policy, with the directories of its files left out.
fn said(policy: &Policy, environments: Option<&Environments>) -> Vec<String> {
    let rehearsed = rehearse_all(Setting {
        policy,
        limits: &Config::default(),
        catalogue: &catalogue(),
        lookup: &Lookup::new(&super::super::lookup::Config::default(), policy).unwrap(),
        environments,
        now: || "2026-11-24T10:00:00Z".parse().unwrap(),
    });
    let lines = rehearsed.map_or_else(|Failures(lines)| lines, |_unsent| Vec::new());
    let without_directory = |line: &String| {
        let (before, after) = line.split_once(": /").unwrap_or((line, ""));
        let after = after.split_once("mine.rego").unwrap_or_default().1;
        format!("{before}: mine.rego{after}")
    };
    lines.iter().map(without_directory).collect()
}

/// What the guard makes of a kind.
fn read(kind: &Kind, catalogue: &Catalogue) -> Read {
    let request = request(kind, &Entrance::default()).unwrap();
    let read = Read::of(request, &Config::default(), catalogue, &Supposed::default());
    let read = read.unwrap_or_else(|error| panic!("{kind} is refused: {error}"));
    read.unwrap_or_else(|| panic!("{kind} is open traffic: the gate does not guard what it should"))
}

/// A row of the catalogue whose requests cannot be made up is one that no policy is tried on: `kinds.rs` needs a body
/// or a path for it.
#[test]
fn every_row_that_is_judged_is_rehearsed_and_read_as_that_row() {
    let overrides = r#""workflow.update" = "judge""#;
    for overrides in ["", overrides] {
        let catalogue = Catalogue::new(&toml::from_str(overrides).unwrap()).unwrap();
        for lookups in [false, true] {
            let mut missing: Vec<_> = catalogue
                .rows()
                .iter()
                .filter(|row| row.handling == Handling::Judge)
                .map(|row| (row.endpoint.method, row.endpoint.path))
                .collect();
            for kind in kinds::all(&catalogue, lookups) {
                let read = read(&kind, &catalogue);
                let head = read.call.head();
                guard::require_credential(&read.parts, head).unwrap();
                let endpoint = head.path().endpoint();
                assert_eq!(endpoint.operation, kind.operation(), "{kind}");
                missing.retain(|row| *row != (endpoint.method, endpoint.path));
            }
            assert_eq!(missing, [], "no request is made up for these rows");
        }
    }
}

#[test]
fn every_part_of_a_change_is_asked_for_alone_by_either_caller_whatever_the_lookup_said() {
    let catalogue = catalogue();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for kind in kinds::all(&catalogue, true) {
        if kind.operation().as_str() != "token.update" {
            continue;
        }
        let read = read(&kind, &catalogue);
        let found = kind.looked_up.map(found);
        let input = read.input(
            read.the_only_environment(),
            found.as_ref(),
            false,
            jiff::Timestamp::UNIX_EPOCH,
        );
        let input = input.unwrap().to_json();
        let change = read.call.change();
        let parts = [
            change.name.as_ref().map(|_| "name".to_owned()),
            change.enabled.map(|enabled| format!("enabled={enabled}")),
            change.scopes.as_ref().map(|_| "scopes".to_owned()),
            change.expiration.as_ref().map(|_| "expiration".to_owned()),
            change.personal.map(|_| "personal".to_owned()),
            (!read.call.understood().unknown_members.is_empty()).then(|| "unknown".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let by = match input["caller"]["address"].as_str().unwrap() {
            "192.0.2.1" => "v4",
            "2001:db8::1" => "v6",
            other => panic!("{other} is no caller's address"),
        };
        *seen
            .entry(format!(
                "{} {:?} {by}",
                parts.join("+"),
                kind.looked_up.unwrap()
            ))
            .or_default() += 1;
    }
    for parts in [
        "",
        "name",
        "enabled=true",
        "enabled=false",
        "scopes",
        "expiration",
        "unknown",
    ] {
        for looked_up in ["Found", "FoundBare", "Missing"] {
            for by in ["v4", "v6"] {
                let wanted = format!("{parts} {looked_up} {by}");
                assert!(seen.contains_key(&wanted), "{wanted}: {seen:#?}");
            }
        }
    }
    let personal = seen.keys().filter(|seen| seen.starts_with("personal "));
    assert_eq!(personal.count(), 3, "{seen:#?}");
}

/// Each of these is right for most requests and fails for some.
#[test]
fn a_policy_that_fails_is_named_with_the_kind_of_request() {
    for (lines, kind) in [
        (
            "deny contains \"x\" if { input.operation == \"token.delete\"; to_number(\"x\") == 1 }",
            "policy mine fails for token.delete (DELETE /api/v1/tokens/{id}, from 192.0.2.1 with a token) \
             and for 1 more kind of request: mine.rego:3:",
        ),
        (
            "deny contains \"x\" if { input.change.enabled.requested == true; not input.change.name.requested; \
             to_number(\"x\") == 1 }",
            "policy mine fails for token.update (PUT /api/v1/tokens/{id} that only enables, ",
        ),
        (
            "deny contains \"x\" if { contains(input.caller.address, \":\"); to_number(\"x\") == 1 }",
            "2001:db8::1 with a browser's session and no token) and for ",
        ),
        (
            "deny contains \"x\" if { input.token.current.name; to_number(input.token.current.name) == 1 }",
            ", the token was found, from 192.0.2.1 with a token) and for ",
        ),
        (
            "deny contains \"x\" if { input.token.lookup_error; to_number(input.token.lookup_error) == 1 }",
            ", the token was not found, ",
        ),
        (
            "deny contains \"x\" if { input.operation == \"tenant_token_rotation.start\"; to_number(\"x\") == 1 }",
            "tenant_token_rotation.start (POST /api/v2/tenantTokenRotation/start, from ",
        ),
        (
            "deny contains \"x\" if { input.settings.schemas; to_number(\"x\") == 1 }",
            "token_settings.update (POST /api/v2/settings/objects",
        ),
        (
            "deny contains \"x\" if { input.operation == \"installer.download\"; to_number(\"x\") == 1 }",
            "installer.download (GET /api/v1/deployment/installer/{*}, from ",
        ),
        (
            "deny contains \"x\" if { input.operation == \"edge_connect.delete\"; to_number(\"x\") == 1 }",
            "edge_connect.delete (DELETE ",
        ),
        (
            "deny contains \"x\" if { input.unknown_members.description; to_number(\"x\") == 1 }",
            "with everything",
        ),
        // What it says of a denial is no violation.
        (
            "deny contains {\"message\": asked} if { asked := input.change.scopes.requested; \"WriteConfig\" in asked }",
            "message of a violation must be a string",
        ),
        // Two values: a conflict.
        (
            "warn contains \"x\" if f(input.operation) == 1\nf(x) := 1 if startswith(x, \"cluster\")\n\
             f(x) := 2 if endswith(x, \"delete\")",
            "cluster_token.delete (DELETE ",
        ),
    ] {
        let said = said(&policy(lines), None).join("\n");
        assert!(said.contains(kind), "{lines}: {said}");
    }
}

#[test]
fn a_policy_that_fails_on_what_is_seldom_asked_for_is_named_with_it() {
    for (lines, kind) in [
        (
            "deny contains \"x\" if { input.change.scopes.requested == []; to_number(\"x\") == 1 }",
            "policy mine fails for token.create (POST /api/v1/tokens with a list of no scopes, ",
        ),
        (
            "deny contains \"x\" if { input.operation == \"token.update\"; max(input.change.scopes.requested) == \"x\" }\n\
             warn contains \"x\" if { input.operation == \"token.update\"; input.change.scopes.requested == []; to_number(\"x\") == 1 }",
            "token.update (PUT /api/v1/tokens/{id} with a list of no scopes, ",
        ),
        (
            "deny contains \"x\" if { input.change.name.requested == \"\"; to_number(\"x\") == 1 }",
            "with an empty name, ",
        ),
        (
            "deny contains \"x\" if { not regex.match(\"^[ -~]*$\", input.change.name.requested); to_number(\"x\") == 1 }",
            "with a name in another script",
        ),
        (
            "deny contains \"x\" if { input.operation == \"token.create\"; input.change.personal.requested; to_number(\"x\") == 1 }",
            "of a personal token, ",
        ),
        (
            "deny contains \"x\" if { input.operation == \"token.create\"; input.change.expiration.requested; \
             not input.unknown_members; to_number(\"x\") == 1 }",
            "with a name in another script, and expiration, ",
        ),
        (
            "deny contains \"x\" if { count(input.settings.schemas) > 1; to_number(\"x\") == 1 }",
            "of all schemas, ",
        ),
        (
            "deny contains \"x\" if { input.token.current; not input.token.current.expiration; to_number(\"x\") == 1 }",
            "a disabled token without expiration and scopes was found, ",
        ),
        (
            "deny contains \"x\" if { input.operation == \"activegate_token.create\"; not input.change.expiration.requested; \
             input.change.name.requested; to_number(\"x\") == 1 }",
            "with a name alone, ",
        ),
    ] {
        let said = said(&policy(lines), None).join("\n");
        assert!(said.contains(kind), "{lines}: {said}");
    }
}

#[test]
fn a_policy_that_denies_everything_is_fine() {
    assert_eq!(said(&policy("deny contains \"never\""), None), [""; 0]);
}

/// The one request that was judged before had no address.
#[test]
fn callers_have_addresses() {
    let lines =
        "deny contains \"outside\" if not net.cidr_contains(\"10.0.0.0/8\", input.caller.address)";
    assert_eq!(said(&policy(lines), None), [""; 0]);
}

#[test]
fn every_environment_is_rehearsed() {
    let several: BTreeMap<String, environment::Config> = toml::from_str(
        "[dev]\nid = \"def67890\"\nprefix = \"strip\"\nupstream.url = \"http://127.0.0.1:1\"\n\
         data = { tier = \"dev\" }\n\
         [prod]\nhosts = [\"a.example\", \"b.example\"]\nupstream.url = \"http://127.0.0.1:1\"\n\
         data = { tier = 7 }\n",
    )
    .unwrap();
    let metrics = Metrics::new("test");
    let nothing = super::super::upstream::Config::default();
    let sections = environment::Sections {
        several: &several,
        ..environment::Sections::of(&nothing)
    };
    let environments = Environments::new(sections, None, &metrics).unwrap();
    let lines = "deny contains \"x\" if startswith(input.environment.data.tier, \"p\")";
    let said = said(&policy(lines), Some(&environments)).join("\n");
    assert!(said.contains("policy mine fails for "), "{said}");
    let lines =
        "deny contains \"x\" if { input.environment.id == \"def67890\"; to_number(\"x\") == 1 }";
    let said = self::said(&policy(lines), Some(&environments)).join("\n");
    assert!(said.contains("policy mine fails for "), "{said}");
}

/// It must not take minutes to find that policies are too slow.
#[test]
fn policies_that_run_away_do_not_keep_the_start() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("mine.rego"),
        "package dtgate.mine\n\ndeny contains \"x\" if count([x | some x in numbers.range(1, 100000); some y in numbers.range(1, 100000); x + y == 0]) > 0\n",
    )
    .unwrap();
    let policy = Policy::load(directory.path(), Duration::from_millis(20)).unwrap();
    let said = said(&policy, None).join("\n");
    assert!(
        said.contains("policy mine fails for token.create ("),
        "{said}"
    );
    assert!(said.contains("time"), "{said}");
}
