use serde_json::json;

use super::*;

fn certificate() -> Certificate {
    Certificate {
        subject: "CN=payments-ci,O=Example".to_owned(),
        issuer: "CN=CA".to_owned(),
        serial: "1".to_owned(),
        dns: vec!["ci.payments.example".to_owned()],
        uris: vec![
            "spiffe://example/ns/payments/sa/ci".to_owned(),
            "urn:team:payments".to_owned(),
        ],
        emails: Vec::new(),
        addresses: Vec::new(),
        spiffe_id: Some("spiffe://example/ns/payments/sa/ci".to_owned()),
        fingerprint: "ab".repeat(32),
        not_after: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn jwt() -> Jwt {
    let claims = json!({
        "iss": "https://ci.example", "sub": "repo:example/payments:ref:main", "groups": ["dev", "payments"],
        "realm": {"roles": ["deploy"]}, "verified": true, "number": 7,
    });
    Jwt {
        issuer: "https://ci.example".to_owned(),
        subject: "repo:example/payments:ref:main".to_owned(),
        audiences: vec!["dtgate".to_owned()],
        id: None,
        claims: claims.as_object().unwrap().clone(),
        field: http::header::AUTHORIZATION,
    }
}

const TOKEN: &str = "dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX";

fn team(matchers: Value) -> Value {
    let mut team = matchers;
    team["name"] = "payments".into();
    json!([team])
}

/// Whether the caller who shows everything belongs to the team with these matchers.
fn belongs(matchers: &Value) -> bool {
    let teams = Teams::read(&team(matchers.clone()), None)
        .unwrap_or_else(|error| panic!("{matchers}: {error}"));
    let (certificate, jwt) = (certificate(), jwt());
    assert!(teams.teams(Shown::default()).is_empty(), "{matchers}");
    let shown = Shown {
        certificate: Some(&certificate),
        jwt: Some(&jwt),
        token: Some(TOKEN),
    };
    teams.teams(shown) == ["payments"]
}

#[test]
fn a_caller_belongs_to_a_team_by_what_was_checked() {
    let by_claim = |claim: Value, value: Value| json!({"jwt": [{"issuer": "https://ci.example", "claim": claim, "value": value}]});
    for (matchers, is_one) in [
        (
            json!({"certificates": [{"subject": "CN=payments-ci,O=Example"}]}),
            true,
        ),
        (
            json!({"certificates": [{"subject": "CN=payments-ci"}]}),
            false,
        ),
        (
            json!({"certificates": [{"dns": "CI.payments.example"}]}),
            true,
        ),
        (
            json!({"certificates": [{"dns": "payments.example"}]}),
            false,
        ),
        (
            json!({"certificates": [{"uri": "urn:team:payments"}]}),
            true,
        ),
        (json!({"certificates": [{"uri": "urn:team:*"}]}), true),
        (json!({"certificates": [{"uri": "urn:team"}]}), false),
        (
            json!({"certificates": [{"spiffe": "spiffe://example/ns/payments/*"}]}),
            true,
        ),
        (
            json!({"certificates": [{"spiffe": "spiffe://example/ns/payments/sa/ci"}]}),
            true,
        ),
        (
            json!({"certificates": [{"spiffe": "spiffe://example/ns/pay"}]}),
            false,
        ),
        (
            json!({"certificates": [{"fingerprint": "AB:".repeat(31) + "AB"}]}),
            true,
        ),
        (
            json!({"certificates": [{"fingerprint": "ac".repeat(32)}]}),
            false,
        ),
        (
            json!({"certificates": [{"dns": "other.example"}, {"dns": "ci.payments.example"}]}),
            true,
        ),
        (
            by_claim("sub".into(), "repo:example/payments:*".into()),
            true,
        ),
        (by_claim("sub".into(), "repo:example/pay".into()), false),
        (by_claim("groups".into(), "payments".into()), true),
        (by_claim("groups".into(), "ops".into()), false),
        (by_claim(json!(["realm", "roles"]), "deploy".into()), true),
        (by_claim("realm.roles".into(), "deploy".into()), false),
        (by_claim("verified".into(), true.into()), true),
        (by_claim("verified".into(), "true".into()), false),
        (by_claim("number".into(), 7.into()), true),
        (by_claim("absent".into(), "x".into()), false),
        (
            json!({"jwt": [{"issuer": "https://other.example", "claim": "groups", "value": "payments"}]}),
            false,
        ),
        (json!({"tokens": [TOKEN]}), true),
        (
            json!({"tokens": ["dt0c01.ABCDEFGHIJKLMNOPQRSTUVWY"]}),
            false,
        ),
    ] {
        assert_eq!(belongs(&matchers), is_one, "{matchers}");
    }
}

#[test]
fn teams_come_in_order() {
    let teams = json!([
        {"name": "z", "tokens": [TOKEN]},
        {"name": "a", "tokens": [TOKEN]},
        {"name": "other", "tokens": ["dt0s16.ABCDEFGH"]},
    ]);
    let teams = Teams::read(&teams, None).unwrap();
    let shown = Shown {
        token: Some(TOKEN),
        ..Shown::default()
    };
    assert_eq!(teams.teams(shown), ["a", "z"]);
    assert!(Teams::default().is_empty() && !teams.is_empty());
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn what_nobody_is_or_everybody_is_an_error_with_its_place() {
    let by_certificate = |matcher: Value| team(json!({"certificates": [matcher]}));
    let by_claim = |matcher: Value| team(json!({"jwt": [matcher]}));
    let claim =
        |name: &str| by_claim(json!({"issuer": "https://ci.example", "claim": name, "value": "x"}));
    let value = |value: Value| {
        by_claim(json!({"issuer": "https://ci.example", "claim": "sub", "value": value}))
    };
    let secret = format!("{TOKEN}.{}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".repeat(2));
    for (callers, place, reason) in [
        (json!({}), "callers", "a list of teams is expected"),
        (json!([]), "callers", "the list is empty"),
        (json!([1]), "callers[0]", "an object is expected"),
        (
            json!([{"name": "a"}]),
            "callers[0]",
            "nobody can belong to it",
        ),
        (
            json!([{"tokens": [TOKEN]}]),
            "callers[0]",
            "name is missing",
        ),
        (
            json!([{"name": "", "tokens": [TOKEN]}]),
            "callers[0].name",
            "the text is empty",
        ),
        (
            json!([{"name": "a", "tokens": [TOKEN]}, {"name": "a", "tokens": [TOKEN]}]),
            "callers[1]",
            "another team \"a\"",
        ),
        (
            json!([{"name": "a", "token": [TOKEN]}]),
            "callers[0]",
            "\"token\" is unknown here",
        ),
        (
            team(json!({"tokens": []})),
            "callers[0].tokens",
            "the list is empty",
        ),
        (
            team(json!({"tokens": ["x"]})),
            "callers[0].tokens[0]",
            "no token has this public id",
        ),
        (
            team(json!({"tokens": ["*"]})),
            "callers[0].tokens[0]",
            "no token has this public id",
        ),
        (
            team(json!({"tokens": ["6f1b7a52-3c3b-4f0e-9d5e-0c6a1f6a2b11"]})),
            "callers[0].tokens[0]",
            "no token has this public id",
        ),
        (
            team(json!({"tokens": [secret]})),
            "callers[0].tokens[0]",
            "that is a secret",
        ),
        (
            by_certificate(json!({})),
            "callers[0].certificates[0]",
            "give one of",
        ),
        (
            by_certificate(json!({"dns": "a", "uri": "b:c"})),
            "callers[0].certificates[0]",
            "give one of",
        ),
        (
            by_certificate(json!({"email": "a"})),
            "callers[0].certificates[0]",
            "\"email\" is unknown",
        ),
        (
            by_certificate(json!({"dns": "*.example"})),
            "callers[0].certificates[0].dns",
            "no name of a host",
        ),
        (
            by_certificate(json!({"subject": "CN=*"})),
            "callers[0].certificates[0].subject",
            "an asterisk stands for nothing",
        ),
        (
            by_certificate(json!({"fingerprint": "abc"})),
            "callers[0].certificates[0].fingerprint",
            "no SHA-256",
        ),
        (
            by_certificate(json!({"spiffe": "*"})),
            "callers[0].certificates[0].spiffe",
            "everybody is like that",
        ),
        (
            by_certificate(json!({"spiffe": "spiffe://*"})),
            "callers[0].certificates[0].spiffe",
            "leaves the trust domain open",
        ),
        (
            by_certificate(json!({"spiffe": "spiffe://exam*"})),
            "callers[0].certificates[0].spiffe",
            "leaves the trust domain open",
        ),
        (
            by_certificate(json!({"spiffe": "https://a/b"})),
            "callers[0].certificates[0].spiffe",
            "no SPIFFE id",
        ),
        (
            by_certificate(json!({"spiffe": "spiffe://a/*/b"})),
            "callers[0].certificates[0].spiffe",
            "only at the end",
        ),
        (
            by_certificate(json!({"uri": "a*"})),
            "callers[0].certificates[0].uri",
            "no URI",
        ),
        (
            by_certificate(json!({"uri": "spiffe://*"})),
            "callers[0].certificates[0].uri",
            "whose URIs",
        ),
        (
            by_certificate(json!({"uri": "https://ci.example*"})),
            "callers[0].certificates[0].uri",
            "whose URIs",
        ),
        (
            by_certificate(json!({"uri": "urn:*"})),
            "callers[0].certificates[0].uri",
            "whose URIs",
        ),
        (
            by_certificate(json!({"uri": 1})),
            "callers[0].certificates[0].uri",
            "a text is expected",
        ),
        (
            by_claim(json!({"claim": "a", "value": "b"})),
            "callers[0].jwt[0]",
            "issuer is missing",
        ),
        (
            by_claim(json!({"issuer": "https://ci.example", "value": "b"})),
            "callers[0].jwt[0]",
            "claim is missing",
        ),
        (
            by_claim(json!({"issuer": "https://ci.example", "claim": "b"})),
            "callers[0].jwt[0]",
            "value is missing",
        ),
        (
            by_claim(json!({"issuer": "ci", "claim": "a", "value": "b"})),
            "callers[0].jwt[0].issuer",
            "no issuer of the configuration is called \"ci\"",
        ),
        (
            by_claim(json!({"issuer": "https://ci.example", "claim": [], "value": "b"})),
            "callers[0].jwt[0].claim",
            "the list is empty",
        ),
        (
            claim("iss"),
            "callers[0].jwt[0].claim",
            "all of its callers",
        ),
        (
            claim("exp"),
            "callers[0].jwt[0].claim",
            "another one in each token",
        ),
        (
            value("*".into()),
            "callers[0].jwt[0].value",
            "everybody is like that",
        ),
        (
            value("a*b".into()),
            "callers[0].jwt[0].value",
            "only at the end",
        ),
        (
            value("".into()),
            "callers[0].jwt[0].value",
            "the text is empty",
        ),
        (
            value(" a".into()),
            "callers[0].jwt[0].value",
            "blanks around it",
        ),
        (
            value(json!(["a"])),
            "callers[0].jwt[0].value",
            "an entry for each value",
        ),
        (
            value(Value::Null),
            "callers[0].jwt[0].value",
            "a text is expected",
        ),
    ] {
        let error = Teams::read(&callers, Some(&["https://ci.example"])).unwrap_err();
        assert_eq!(error.place, place, "{callers}");
        assert!(error.reason.contains(reason), "{callers}: {error}");
        assert!(
            !error
                .to_string()
                .contains("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
            "{error}"
        );
    }
}

const GITHUB: &str = "https://token.actions.githubusercontent.com";
const GITLAB: &str = "https://gitlab.com";
const GOOGLE: &str = "https://accounts.google.com";
const BUILDKITE: &str = "https://agent.buildkite.com";
const TERRAFORM: &str = "https://app.terraform.io";
const APPLE: &str = "https://appleid.apple.com";
const MICROSOFT: &str =
    "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0";

/// A team by a claim, which may be a list of names.
fn read(issuer: &str, claim: &str, value: &str) -> Result<Teams, TeamsError> {
    let claim: Value = serde_json::from_str(claim).unwrap_or_else(|_name| json!(claim));
    let callers =
        json!([{"name": "a", "jwt": [{"issuer": issuer, "claim": claim, "value": value}]}]);
    Teams::read(&callers, Some(&[issuer]))
}

/// Claims that are no owner's, and one that is named instead.
const ANYBODYS: [(&str, &str, &str, &str); 24] = [
    (GITHUB, "ref", "refs/heads/main", "repository, "),
    (GITHUB, "environment", "production", "repository_owner, "),
    (GITHUB, "aud", "dtgate", "repository_id, "),
    (GITHUB, "actor", "octocat", "sub, "),
    (GITHUB, "actor_id", "12", "sub, "),
    (
        GITHUB,
        "job_workflow_ref",
        "example/shared/.github/workflows/a.yml@refs/heads/main",
        "workflow_ref, ",
    ),
    (GITHUB, "made_up", "a", "repository, "),
    (GITHUB, r#"["a","repository"]"#, "example/a", "repository, "),
    (GITLAB, "ref_protected", "true", "project_path, "),
    (GITLAB, "user_access_level", "owner", "namespace_path, "),
    (GITLAB, "user_login", "alice", "project_id, "),
    (GITLAB, "groups_direct", "group", "namespace_id, "),
    (GITLAB, "runner_environment", "self-hosted", "sub"),
    (GITLAB, "ci_config_ref_uri", "gitlab.com/a/b", "sub"),
    (GOOGLE, "email_verified", "true", "email, hd, "),
    (GOOGLE, "azp", "a", "[google, compute_engine, project_id]"),
    (BUILDKITE, "build_branch", "main", "organization_slug, "),
    (BUILDKITE, "pipeline_slug", "deploy", "pipeline_id, "),
    (BUILDKITE, "agent_tag:queue", "deploy", "pipeline_id, "),
    (
        TERRAFORM,
        "terraform_workspace_name",
        "prod",
        "terraform_organization_name, ",
    ),
    (
        TERRAFORM,
        "terraform_run_phase",
        "apply",
        "terraform_workspace_id, ",
    ),
    (APPLE, "aud", "dtgate", "sub, email"),
    (MICROSOFT, "preferred_username", "a@example", "sub, oid"),
    (MICROSOFT, "email", "a@example", "sub, oid"),
];

#[test]
fn what_everybody_with_an_account_can_have_is_no_team() {
    for (issuer, claim, value, takes) in ANYBODYS {
        let error = read(issuer, claim, value).unwrap_err();
        assert_eq!(error.place, "callers[0].jwt[0].claim", "{claim}");
        let reason = &error.reason;
        assert!(
            reason.contains("everybody with an account at"),
            "{claim}: {reason}"
        );
        assert!(reason.contains(takes), "{claim}: {reason}");
    }
}

/// Values that leave the owner open, and what is wrong.
const OPEN: [(&str, &str, &str, &str); 22] = [
    // Whoever calls himself `example-evil`.
    (
        GITHUB,
        "repository",
        "example*",
        "the `/` behind it, as in \"OWNER/*\"",
    ),
    (GITHUB, "repository", "/*", "leaves open whose"),
    (GITHUB, "sub", "repo:example*", "as in \"repo:OWNER/*\""),
    (GITHUB, "sub", "repo:*", "as in \"repo:OWNER/*\""),
    (
        GITHUB,
        "sub",
        "re*",
        "begins with the owner: \"repo:OWNER/*\", ",
    ),
    (
        GITHUB,
        "sub",
        "environment:production",
        "does not say whose it is",
    ),
    (
        GITHUB,
        "sub",
        "job_workflow_ref:example/a*",
        "does not say whose it is",
    ),
    (
        GITHUB,
        "sub",
        "repository_owner:example*",
        "as in \"repository_owner:OWNER:*\"",
    ),
    (
        GITHUB,
        "sub",
        "repository_owner_id:12*",
        "repository_owner_id:OWNER:*",
    ),
    (GITHUB, "repository_owner", "exam*", "without the asterisk"),
    (GITHUB, "repository_id", "12*", "without the asterisk"),
    (GITHUB, "enterprise", "exam/*", "without the asterisk"),
    (
        GITLAB,
        "project_path",
        "group*",
        "everybody can choose a name at GitLab.com",
    ),
    (
        GITLAB,
        "sub",
        "project_path:group*",
        "as in \"project_path:OWNER/*\"",
    ),
    (GITLAB, "namespace_id", "12*", "without the asterisk"),
    (GOOGLE, "email", "ci@*", "others at Google"),
    (GOOGLE, "hd", "example.com/*", "without the asterisk"),
    (
        BUILDKITE,
        "sub",
        "organization:acme*",
        "the `:` behind it, as in \"organization:OWNER:*\"",
    ),
    (
        BUILDKITE,
        "sub",
        "pipeline:deploy",
        "does not say whose it is",
    ),
    (
        BUILDKITE,
        "organization_slug",
        "acme*",
        "without the asterisk",
    ),
    (
        TERRAFORM,
        "sub",
        "organization:*",
        "as in \"organization:OWNER:*\"",
    ),
    (
        TERRAFORM,
        "terraform_full_workspace",
        "organization:acme*",
        "OWNER:*",
    ),
];

const CLOSED: [(&str, &str, &str); 17] = [
    (GITHUB, "repository", "example/payments"),
    (GITHUB, "repository", "example/platform-*"),
    (GITHUB, "repository_owner", "example"),
    (GITHUB, "repository_id", "12"),
    (
        GITHUB,
        "workflow_ref",
        "example/payments/.github/workflows/*",
    ),
    (GITHUB, "sub", "repo:example/*"),
    (GITHUB, "sub", "repository_owner:example:*"),
    (GITHUB, "sub", "repository_owner:example"),
    (GITLAB, "project_path", "group/sub*"),
    (
        GITLAB,
        "sub",
        "project_path:group/a:ref_type:branch:ref:main",
    ),
    (BUILDKITE, "sub", "organization:acme:pipeline:*"),
    (TERRAFORM, "sub", "organization:acme:project:*"),
    (TERRAFORM, "terraform_full_workspace", "organization:acme:*"),
    (
        GOOGLE,
        r#"["google","compute_engine","project_id"]"#,
        "example",
    ),
    // Of a company's own issuer it is the company's business.
    ("https://ci.example", "ref", "refs/heads/main"),
    ("https://ci.example", "email", "ci@*"),
    ("https://ci.example", "sub", "a*"),
];

#[test]
fn an_owner_of_an_issuer_that_serves_everybody_is_written_whole() {
    for (issuer, claim, value, reason) in OPEN {
        let error = read(issuer, claim, value).unwrap_err();
        assert_eq!(error.place, "callers[0].jwt[0].value", "{value}");
        assert!(error.reason.contains(reason), "{value}: {error}");
    }
    for (issuer, claim, value) in CLOSED {
        read(issuer, claim, value).unwrap();
    }
}

#[test]
fn an_address_that_nobody_has_verified_is_nobodys() {
    let own = "https://ci.example";
    for (issuer, verified, belongs) in [
        (GOOGLE, json!(true), true),
        (GOOGLE, json!("true"), true),
        (GOOGLE, json!(false), false),
        (GOOGLE, Value::Null, false),
        (own, json!(true), true),
        (own, json!(false), false),
        (own, json!("false"), false),
    ] {
        let mut jwt = jwt();
        jwt.issuer = issuer.to_owned();
        jwt.claims.insert("email".to_owned(), json!("ci@example"));
        let teams = read(issuer, "email", "ci@example").unwrap();
        let is_one = |jwt: &Jwt| {
            let shown = Shown {
                jwt: Some(jwt),
                ..Shown::default()
            };
            !teams.teams(shown).is_empty()
        };
        assert_eq!(is_one(&jwt), issuer == own);
        jwt.claims
            .insert("email_verified".to_owned(), verified.clone());
        assert_eq!(is_one(&jwt), belongs, "{issuer} {verified}");
    }
}
