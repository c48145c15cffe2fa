//! What a mask names, and no event has: a mask that is written wrong by a letter masks nothing.
//!
//! Only what stands in the rules as it is can be looked at: paths that are put together are not known before there is an
//! event.

use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::PACKAGE;
use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::refuse::ways;
use crate::policy::rego::program::{self, Program};
use crate::policy::rego::syntax;
use crate::policy::rego::walk::Site;

/// Paths of masks and members of events that do not exist.
pub(super) fn doubts(program: &Program<'_>) -> Vec<Problem> {
    let mut doubts = Vec::new();
    ways::each(program, &mut |definition, asked| {
        if definition.names.package != PACKAGE {
            return;
        }
        doubts.extend(asked.problem(|way| {
            let (first, steps) = way.split_first()?;
            if first.as_deref() != Some("input") {
                return None;
            }
            let steps: Vec<_> = steps.iter().map(Option::as_deref).collect();
            let (at, message) = missing(&steps)?;
            Some((at + 1, message))
        }));
    });
    ways::sites(program, &mut |scope, site| {
        if let Site::Text(text) = site
            && scope.definition.names.package == PACKAGE
            && let Some(path) = syntax::written(text).and_then(|text| text.strip_prefix('/'))
            // By itself it stands between steps that are put together.
            && !path.is_empty()
            && is_meant(path)
        {
            let steps: Vec<Option<&str>> = path.split('/').map(known).collect();
            if let Some((_, message)) = missing(&steps) {
                let message = format!("this path masks nothing: {message}");
                doubts.push(program::at(text.span(), message));
            }
        }
    });
    doubts
}

/// Whether a text is a path of an event: `/api/v1/tokens` is one of a request.
fn is_meant(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let members = EVENT.as_object().into_iter().flat_map(|event| event.keys());
    let mut members = members.map(String::as_str).chain(["input"]);
    members.any(|member| strsim::jaro_winkler(member, first) > ALIKE)
}

/// A step of a path; nothing where it is known only when it is put together, or means several names.
fn known(step: &str) -> Option<&str> {
    let is_number = !step.is_empty() && step.bytes().all(|it| it.is_ascii_digit());
    (!is_number && !step.contains(['%', '~'])).then_some(step)
}

/// The first step that is not there, and why.
fn missing(steps: &[Option<&str>]) -> Option<(usize, String)> {
    if steps.first() == Some(&Some("input")) {
        return input::missing(steps).map(|missing| (missing.step, missing.message));
    }
    let mut here: &Json = &EVENT;
    let mut path = "the event".to_owned();
    for (at, step) in steps.iter().enumerate() {
        here = match (here, step) {
            (Json::Object(members), Some(name)) => match members.get(*name) {
                Some(next) => next,
                None => return Some((at, format!("{path} has no member {name}"))),
            },
            (Json::Array(items), _) => items.first()?,
            (Json::String(_) | Json::Bool(_), _) => {
                return Some((at, format!("{path} is a plain value")));
            }
            // What is not ours to name.
            _ => return None,
        };
        if let Some(name) = step {
            path = match at {
                0 => format!("{name} of an event"),
                _ => format!("{name} of {path}"),
            };
        }
    }
    None
}

/// From there on, a name is taken for another one with a slip in it.
const ALIKE: f64 = 0.85;

/// Every member of an event but the input: `null` is what others name, and what nobody asks for.
static EVENT: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "bundles": {"policies": {"revision": ""}},
        "caller": {
            "id": "", "kind": "", "brokered": true, "teams": [""],
            "certificate": {"subject": "", "spiffe_id": "", "fingerprint": ""},
            "jwt": {"issuer": "", "subject": ""},
        },
        "counted": null,
        "decision_id": "",
        "environment": "",
        "error": "",
        "evaluator": null,
        "grant": null,
        "kind": "",
        "labels": {"version": ""},
        "metrics": null,
        "nd_builtin_cache": null,
        "operation": "",
        "path": "",
        "request": {
            "id": "", "client_id": "", "method": "", "path": "", "query": "", "caller_hash": "",
            "received_sha256": "", "forwarded_sha256": "",
        },
        "requested_by": "",
        "result": {
            "allow": true,
            "violations": [{
                "policy": "", "mode": "", "rule": "", "message": "", "path": "", "code": "", "details": null,
                "exception": {"ticket": "", "reason": "", "until": ""},
            }],
            "remedy": {"scopes": [""], "members": [""], "text": ""},
        },
        "timestamp": "",
        "turn": "",
        "verdict": "",
    })
});

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::Policy;
    use crate::policy::bundle::tests::directory;

    /// What is doubted about such rules.
    fn doubted(rules: &str) -> Vec<String> {
        let judging = "package dtgate.a\n\ndeny contains \"no\" if input.operation == \"x\"\n";
        let rules = format!("package system.log\n\n{rules}\n");
        let files = directory(&[("a.rego", judging), ("log.rego", &rules)]);
        let policy = Policy::load(files.path(), Duration::from_millis(200)).unwrap();
        let warnings = policy.warnings().iter();
        warnings.map(|problem| problem.message.clone()).collect()
    }

    #[test]
    fn a_path_or_a_member_that_no_event_has_is_doubted() {
        for (rules, said) in [
            (
                "mask contains \"/input/caller/adress\"",
                "input.caller.adress: did you mean",
            ),
            ("mask contains \"/input/token/current/ownr\"", "ownr"),
            (
                "mask contains \"/caller/idd\"",
                "caller of an event has no member idd",
            ),
            (
                "mask contains \"/result/violation\"",
                "has no member violation",
            ),
            ("mask contains \"/result/violations/0/mesage\"", "mesage"),
            (
                "mask contains {\"op\": \"upsert\", \"path\": \"/input/callerr/address\", \"value\": \"x\"}",
                "callerr",
            ),
            ("mask := [\"/input/caller/adress\"]", "adress"),
            (
                "mask contains path if some path in [`/requested_bye`]",
                "requested_bye",
            ),
            (
                "mask contains sprintf(\"/input/caler/%s\", [x]) if some x in [\"address\"]",
                "caler",
            ),
            (
                "mask contains \"/error\" if input.inputt.operation == \"x\"",
                "inputt",
            ),
            (
                "mask contains \"/error\" if input.input.opration == \"x\"",
                "opration",
            ),
            ("drop if input.verdct == \"allow\"", "verdct"),
            ("drop if { x := input.result; x.alow }", "alow"),
        ] {
            let doubts = doubted(rules);
            assert!(
                doubts.iter().any(|it| it.contains(said)),
                "{rules}: {doubts:?}"
            );
        }
    }

    #[test]
    fn what_an_event_may_have_is_not_doubted() {
        for rules in [
            "mask contains \"/input/caller/address\"",
            "mask contains \"/input/caller/jwt/claims/email\"",
            "mask contains \"/input/unknown_members/x\" if input.input.unknown_members.x",
            "mask contains sprintf(\"/result/violations/%d/message\", [at]) if some at, _ in input.result.violations",
            "mask contains \"/result/violations/0/details/anything/below\"",
            "mask contains \"/input/change/scopes/added/0\"",
            "mask contains \"/nd_builtin_cache\"",
            "mask contains concat(\"/\", [\"/input\", \"caller\", \"address\"])",
            "mask contains \"/request/path\" if input.request.path == \"/api/v1/tokens\"",
            "drop if { input.verdict == \"deny\"; input.input.operation == \"token.create\" }",
        ] {
            assert_eq!(doubted(rules), [""; 0], "{rules}");
        }
    }

    #[test]
    fn it_knows_every_member_that_the_schema_of_records_has() {
        let schema = include_str!("../../../docs/record.schema.json");
        let schema: Json = serde_json::from_str(schema).unwrap();
        let mut unknown = Vec::new();
        for which in ["then", "else"] {
            let members = &schema["$defs"]["decision"][which]["properties"];
            walk(members, &schema, &mut Vec::new(), &mut unknown);
        }
        assert_eq!(unknown, [""; 0]);
    }

    fn walk(members: &Json, schema: &Json, path: &mut Vec<String>, unknown: &mut Vec<String>) {
        for (name, about) in members.as_object().into_iter().flatten() {
            // What the journal itself adds comes behind the masks.
            let is_later =
                ["erased", "masked", "prev", "pseudonyms", "seq", "synced"].contains(&&**name);
            if name == "input" || path.is_empty() && is_later {
                continue;
            }
            path.push(name.clone());
            let steps: Vec<_> = path.iter().map(|step| Some(&**step)).collect();
            unknown.extend(missing(&steps).map(|(_, message)| message));
            let target = about["$ref"]
                .as_str()
                .and_then(|it| schema.pointer(it.strip_prefix('#')?));
            let about = target.unwrap_or(about);
            walk(&about["properties"], schema, path, unknown);
            if about["items"]["properties"].is_object() {
                path.push("0".to_owned());
                walk(&about["items"]["properties"], schema, path, unknown);
                path.pop();
            }
            path.pop();
        }
    }
}
