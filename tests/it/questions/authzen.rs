//! `AuthZEN`: how a question becomes a request, and what is answered in which form.

use serde_json::{Value, json};

use super::{BOTH, CALLER, ID, evaluate, gate, get, metric, post, update};
use crate::harness::{BAD, GOOD, TOKEN, Upstream, exchange};

#[test]
fn an_evaluation_says_what_a_request_would_be_told() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let passes = evaluate(&gate, &update(GOOD));
    assert_eq!(passes["decision"], true, "{passes}");
    assert_eq!(passes["context"]["violations"], json!([]));
    assert!(
        passes["context"]["unknown"][0]
            .as_str()
            .unwrap()
            .starts_with("token.current")
    );
    let denied = evaluate(&gate, &update(BAD));
    assert_eq!(denied["decision"], false);
    let found = &denied["context"]["violations"];
    // The request itself.
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let record = gate.decisions().pop().unwrap();
    let by_policy = |list: &Value| -> Vec<(Value, Value, Value)> {
        let of = |it: &Value| (it["policy"].clone(), it["path"].clone(), it["code"].clone());
        let mut all: Vec<_> = list.as_array().unwrap().iter().map(of).collect();
        all.retain(|(policy, ..)| policy == "forbidden_scopes");
        all
    };
    assert_eq!(by_policy(found), by_policy(&record["result"]["violations"]));
    assert!(!by_policy(found).is_empty(), "{denied}");
    assert_eq!(found[0]["effect"], "denies");
    // With what would pass, and the token as it is.
    let mut both = update(r#"{"name":"payments-prod-ci","scopes":["metrics.read","WriteConfig"]}"#);
    both["resource"]["properties"]["current"] =
        json!({"name": "payments-prod-ci", "scopes": ["metrics.read"]});
    both["subject"]["properties"]["recent"] = json!({"created": 0});
    let both = evaluate(&gate, &both);
    assert_eq!(
        both["context"]["remedy"]["scopes"],
        json!(["WriteConfig"]),
        "{both}"
    );
    assert_eq!(both["context"].get("unknown"), None);
    // Only the request itself is a decision.
    assert_eq!(gate.decisions().len(), 1);
    assert!(upstream.seen().is_empty());
    assert_eq!(
        metric(
            &gate,
            "dtgate_questions_total{api=\"authzen\",result=\"answered\"} "
        ),
        3
    );
}

/// About an operation, by somebody of whom little is known.
fn of(operation: &str, action: &Value, resource: &Value) -> Value {
    json!({
        "subject": {"type": "user", "id": "alice", "properties": {"teams": ["payments"], "department": "x"}},
        "action": {"name": operation, "properties": action},
        "resource": {"type": "token", "id": ID, "properties": resource},
        "context": {"time": "2026-01-01T00:00:00Z", "ip": "192.0.2.7"},
    })
}

#[test]
fn a_question_is_mapped_to_the_request_that_is_meant() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let created = evaluate(
        &gate,
        &of(
            "token.create",
            &json!({}),
            &json!({"body": {"name": "payments-prod-ci", "scopes": ["metrics.read"]}}),
        ),
    );
    assert_eq!(
        (&created["decision"], &created["context"]["api"]),
        (&json!(true), &json!("v2")),
        "{created}"
    );
    assert_eq!(
        created["context"]["ignored"],
        json!([
            "subject.id",
            "subject.properties.department",
            "resource.id",
            "context.ip"
        ])
    );
    let open = evaluate(&gate, &of("token.list", &json!({}), &json!({})));
    assert_eq!(
        (&open["decision"], &open["context"]["open"]),
        (&json!(true), &json!(true)),
        "{open}"
    );
    let rotation = evaluate(
        &gate,
        &of("tenant_token_rotation.start", &json!({}), &json!({})),
    );
    assert_eq!(rotation["decision"], false, "{rotation}");
    let found = &rotation["context"]["violations"][0]["policy"];
    assert_eq!(found, "minting", "{rotation}");
    assert!(gate.decisions().is_empty() && upstream.seen().is_empty());
}

/// What the gate would refuse before any policy, and what is no request at all.
#[test]
fn what_no_policy_would_see_is_not_allowed() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    for (operation, properties, resource, status) in [
        ("token.update", json!({}), json!({}), 400),
        ("token.update", json!({}), json!({"body": [1]}), 400),
        (
            "token.update",
            json!({}),
            json!({"body": {"scopes": "x"}}),
            400,
        ),
        (
            "token.update",
            json!({}),
            json!({"body": {"name": "a".repeat(70_000)}}),
            413,
        ),
        ("token.updat", json!({}), json!({}), 404),
        ("read", json!({}), json!({}), 404),
        ("token.update", json!({"api": "v9"}), json!({}), 400),
        (
            "token.update",
            json!({"path": "/api/v2/apiTokens", "method": "POST"}),
            json!({"body": {"name": "payments-prod-ci", "scopes": ["metrics.read"]}}),
            400,
        ),
        ("token.update", json!({"path": "no"}), json!({}), 400),
        ("token.update", json!({"method": "a b"}), json!({}), 400),
        ("installer.download", json!({}), json!({}), 400),
    ] {
        let question = of(operation, &properties, &resource);
        let answer = evaluate(&gate, &question);
        assert_eq!(answer["decision"], false, "{question}: {answer}");
        let error = &answer["context"]["error"];
        assert_eq!(error["status"], status, "{operation}: {answer}");
    }
    let mut slashes = update(GOOD);
    slashes["resource"]["id"] = json!("../../v2/apiTokens/x");
    assert_eq!(evaluate(&gate, &slashes)["decision"], false);
    let nowhere = json!({"environment": "stage"});
    let mut question = update(GOOD);
    question["context"] = nowhere;
    assert_eq!(
        evaluate(&gate, &question)["context"]["error"]["status"],
        400
    );
    assert!(gate.decisions().is_empty() && upstream.seen().is_empty());
}

#[test]
fn an_environment_is_asked_by_its_name() {
    let upstream = Upstream::lenient();
    let url = format!("http://{}", upstream.address);
    let config = format!(
        "{BOTH}[environments.prod]\nhosts = [\"prod.example\"]\nupstream.url = \"{url}\"\n[environments.stage]\nid = \"def67890\"\nupstream.url = \"{url}\"\n"
    );
    let gate = gate(&upstream, &config);
    let mut question = update(GOOD);
    let unnamed = evaluate(&gate, &question);
    assert!(
        unnamed["context"]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("several environments"),
        "{unnamed}"
    );
    for (name, decision) in [("prod", true), ("stage", true), ("test", false)] {
        question["context"] = json!({"environment": name, "enviroment": "prod"});
        let answer = evaluate(&gate, &question);
        assert_eq!(answer["decision"], decision, "{name}");
        // What is not used is said in any case: it may be why there is an error.
        assert_eq!(
            answer["context"]["ignored"],
            json!(["context.enviroment"]),
            "{answer}"
        );
    }
    let message = evaluate(&gate, &question)["context"]["error"]["message"].clone();
    assert!(
        message
            .as_str()
            .unwrap()
            .ends_with("there is \"prod\", \"stage\""),
        "{message}"
    );
    // A path that is one of another environment is no request for this one.
    let path = format!("/e/def67890/api/v1/tokens/{ID}");
    question["action"]["properties"] = json!({"api": "v1", "method": "PUT", "path": path});
    question["context"] = json!({"environment": "prod"});
    let answer = evaluate(&gate, &question);
    assert_eq!(answer["decision"], false, "{answer}");
    let message = answer["context"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("of another environment"), "{answer}");
    question["action"] = json!({"name": "token.creat"});
    question["subject"]["properties"] = json!({"department": "x"});
    let answer = evaluate(&gate, &question);
    assert_eq!(
        answer["context"]["ignored"],
        json!(["subject.properties.department"]),
        "{answer}"
    );
}

/// One that stands elsewhere was judged as none, without a word, or without the place that it has.
#[test]
fn a_body_in_a_wrong_place_is_told_the_right_one() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    for place in [
        "/body",
        "/resource/body",
        "/action/properties/body",
        "/context/body",
    ] {
        let mut question = update(GOOD);
        let body = question["resource"]["properties"]["body"].take();
        question["resource"]["properties"] = json!({});
        let (around, _) = place.rsplit_once('/').unwrap();
        if place == "/action/properties/body" {
            question["action"]["properties"] = json!({"body": body});
        } else if place == "/context/body" {
            question["context"] = json!({"body": body});
        } else {
            question.pointer_mut(around).unwrap()["body"] = body;
        }
        let answer = evaluate(&gate, &question);
        let told = format!(
            "{}: give it as resource.properties.body",
            place[1..].replace('/', ".")
        );
        let ignored = answer["context"]["ignored"].as_array().unwrap();
        assert!(ignored.contains(&json!(told)), "{place}: {answer}");
    }
}

/// The shapes that the certification of `AuthZEN` sends, with operations of the catalogue in the place of its own.
#[test]
fn authzen_is_spoken_as_it_is_certified() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let question = update(GOOD);
    // What is not known is ignored, and every time is taken.
    let mut more = question.clone();
    more["futureField"] = json!({"nested": true});
    more["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    for _ in 0..3 {
        assert_eq!(evaluate(&gate, &more)["decision"], true);
    }
    // What is needed is missing, or of another kind.
    for (pointer, value) in [
        ("/subject", None),
        ("/action", None),
        ("/resource", None),
        ("/subject/type", None),
        ("/subject/id", None),
        ("/action/name", None),
        ("/resource/type", None),
        ("/resource/id", None),
        ("/subject", Some(json!("alice"))),
        ("/action/name", Some(json!(123))),
        ("/resource", Some(json!([]))),
        ("/context", Some(json!("x"))),
    ] {
        let mut wrong = question.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = wrong.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            None => drop(parent.remove(name)),
            Some(value) => drop(parent.insert(name.to_owned(), value)),
        }
        let wrong = wrong.to_string();
        let answer = post(gate.admin, "/access/v1/evaluation", "", &wrong);
        assert_eq!(answer.status, 400, "{pointer}");
    }
    for body in ["", "{", "[]", "\"x\""] {
        assert_eq!(
            post(gate.admin, "/access/v1/evaluation", "", body).status,
            400,
            "{body}"
        );
    }
    let plain = exchange(gate.admin, b"POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(plain.status, 400);
    let named = post(
        gate.admin,
        "/access/v1/evaluation",
        "X-Request-ID: bfe9eb29-ab87\r\n",
        &question.to_string(),
    );
    assert_eq!(named.header("x-request-id"), Some("bfe9eb29-ab87"));
    let told = get(gate.admin, "/.well-known/authzen-configuration").json();
    assert_eq!(told["policy_decision_point"], "http://localhost:8081");
    for (member, path) in [
        ("access_evaluation_endpoint", "evaluation"),
        ("access_evaluations_endpoint", "evaluations"),
    ] {
        let url = format!("http://localhost:8081/access/v1/{path}");
        assert_eq!(told[member], url);
    }
}

/// The same of several, with what they have in common.
#[test]
fn several_evaluations_are_asked_as_it_is_certified() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let question = update(GOOD);
    let (subject, action, resource) = (
        &question["subject"],
        &question["action"],
        &question["resource"],
    );
    let ask = |path: &str, body: &Value| post(gate.admin, path, "", &body.to_string());
    let decisions = |body: &Value| -> Vec<Value> {
        let answer = ask("/access/v1/evaluations", body);
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        let answer = answer.json();
        assert_eq!(answer.get("decision"), None);
        answer["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["decision"].clone())
            .collect()
    };
    let bad = &update(BAD)["resource"];
    let list = |evaluations: Value| json!({"subject": subject, "action": action, "evaluations": evaluations});
    assert_eq!(
        decisions(&list(json!([{"resource": resource}, {"resource": bad}]))),
        [true, false]
    );
    assert_eq!(
        decisions(&json!({"evaluations": [question, update(BAD)]})),
        [true, false]
    );
    assert_eq!(
        decisions(&list(json!([{"resource": resource}, {}, 1]))),
        [true, false, false]
    );
    // The type comes from what they have in common, and nothing else of it does.
    let mut partial = resource.clone();
    partial.as_object_mut().unwrap().remove("type");
    let mut common = list(json!([{"resource": partial}]));
    common["resource"] =
        json!({"type": "token", "properties": {"body": {"scopes": ["WriteConfig"]}}});
    assert_eq!(decisions(&common), [true]);
    let three = json!([{"resource": bad}, {"resource": resource}, {"resource": bad}]);
    for (semantic, expected) in [
        ("execute_all", vec![false, true, false]),
        ("deny_on_first_deny", vec![false]),
        ("permit_on_first_permit", vec![false, true]),
    ] {
        let mut body = list(three.clone());
        body["options"] = json!({"evaluations_semantic": semantic, "another_option": "value"});
        assert_eq!(decisions(&body), expected, "{semantic}");
    }
    let mut unknown = list(three);
    unknown["options"] = json!({"evaluations_semantic": "first"});
    assert_eq!(ask("/access/v1/evaluations", &unknown).status, 400);
    // Without a list it is one question.
    let mut empty = question.clone();
    for evaluations in [None, Some(json!([]))] {
        if let Some(evaluations) = evaluations {
            empty["evaluations"] = evaluations;
        }
        assert_eq!(
            ask("/access/v1/evaluations", &empty).json()["decision"],
            true
        );
    }
    let many = list(json!(vec![json!({"resource": resource}); 51]));
    assert_eq!(ask("/access/v1/evaluations", &many).status, 400);
    assert_eq!(
        metric(&gate, "dtgate_limit_reached_total{limit=\"evaluations\"} "),
        1
    );
}

/// What a question says of a request has to be what the request is, also where no policy sees it.
#[test]
fn a_request_for_something_else_is_not_allowed() {
    let upstream = Upstream::lenient();
    for (config, other) in [("", 400), ("unknown_writes = \"refuse\"\n", 403)] {
        let gate = gate(&upstream, &format!("{config}{BOTH}"));
        for (operation, properties, status) in [
            ("token.update", json!({"method": "GET"}), 400),
            ("token.update", json!({"path": "/api/v2/metrics"}), 400),
            (
                "token.update",
                json!({"path": "/api/v2/apiTokens", "method": "GET"}),
                400,
            ),
            ("token.delete", json!({"method": "GET"}), 400),
            ("token.create", json!({"method": "GET"}), 400),
            ("token.list", json!({"path": "/api/v2/metrics"}), 400),
            ("token.list", json!({"path": "/"}), 400),
            (
                "token.list",
                json!({"path": "/platform/new/v1/things", "method": "POST"}),
                other,
            ),
        ] {
            let question = of(operation, &properties, &json!({}));
            let answer = evaluate(&gate, &question);
            assert_eq!(answer["decision"], false, "{question}: {answer}");
            assert_eq!(
                answer["context"]["error"]["status"], status,
                "{question}: {answer}"
            );
        }
        for (operation, path) in [
            ("token.list", "/api/v2/apiTokens?from=now-1d"),
            ("token.read", &format!("/api/v2/apiTokens/{ID}")),
        ] {
            let question = of(operation, &json!({"path": path}), &json!({}));
            let answer = evaluate(&gate, &question);
            assert_eq!(answer["decision"], true, "{question}: {answer}");
            let request = json!({"method": "GET", "path": path});
            assert_eq!(answer["context"]["request"], request, "{answer}");
        }
    }
}

/// Whom a question is about it says once.
#[test]
fn what_is_said_twice_is_no_question() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let other = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";
    for (kind, id, properties, is_good) in [
        ("token", CALLER, json!({"token": other}), false),
        ("token", CALLER, json!({"token": CALLER}), true),
        (
            "jwt",
            "ci",
            json!({"claims": {"iss": "https://a", "sub": "other"}}),
            false,
        ),
        (
            "jwt",
            "ci",
            json!({"claims": {"iss": "https://a", "sub": "ci"}}),
            true,
        ),
        ("jwt", "ci", json!({"claims": {"iss": "https://a"}}), true),
        (
            "spiffe",
            "spiffe://a/b",
            json!({"certificate": {"spiffe_id": "spiffe://a/c"}}),
            false,
        ),
        (
            "spiffe",
            "spiffe://a/b",
            json!({"certificate": {"subject": "CN=b"}}),
            true,
        ),
        ("user", "a", json!({"token": other}), true),
    ] {
        let mut question = update(GOOD);
        question["subject"] = json!({"type": kind, "id": id, "properties": properties});
        let answer = evaluate(&gate, &question);
        let error = &answer["context"]["error"]["message"];
        let told = error.as_str().is_some_and(|it| it.contains("say it once"));
        assert_eq!(told, !is_good, "{question}: {answer}");
        assert_eq!(answer["decision"], is_good, "{question}: {answer}");
    }
    // Nor does an evaluation take what it is about from the others.
    let mut nameless = update(GOOD)["resource"].clone();
    nameless.as_object_mut().unwrap().remove("id");
    let mut list = update(GOOD);
    list["evaluations"] =
        json!([{"resource": nameless}, {"action": {"properties": {"api": "v1"}}}, {}]);
    let answer = post(gate.admin, "/access/v1/evaluations", "", &list.to_string()).json();
    let decisions: Vec<&Value> = answer["evaluations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["decision"])
        .collect();
    assert_eq!(decisions, [false, false, true], "{answer}");
}

/// A policy that asks about what nobody said judges what the gate made up: that is told.
#[test]
fn one_evaluation_that_cannot_be_read_spoils_no_other() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, BOTH);
    let good = update(GOOD).to_string();
    let ask = |body: &str| {
        let fields = "Content-Type: application/json\r\n";
        post(gate.admin, "/access/v1/evaluations", fields, body)
    };
    for wrong in [
        "{\"subject\":{},\"subject\":{}}",
        "{\"context\":{\"a\":1,\"A\":2}}",
        "{\"context\":{\"a\":123456789012345678901234567890}}",
    ] {
        let answer = ask(&format!("{{\"evaluations\":[{good},{wrong},{good}]}}"));
        assert_eq!(answer.status, 200, "{wrong}: {answer:?}");
        let answers = answer.json()["evaluations"].clone();
        let decisions: Vec<&Value> = answers
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["decision"])
            .collect();
        assert_eq!(
            decisions,
            [&json!(true), &json!(false), &json!(true)],
            "{answers}"
        );
        assert_eq!(answers[1]["context"]["error"]["status"], 400, "{answers}");
    }
    // What is common to all, and what is no JSON at all.
    for wrong in [
        format!("{{\"context\":{{}},\"context\":{{}},\"evaluations\":[{good}]}}"),
        format!("{{\"evaluations\":[{good}],\"evaluations\":[{good},{{\"a\":1,\"a\":1}}]}}"),
        format!("{{\"Evaluations\":[],\"evaluations\":[{good}]}}"),
        format!("{{\"evaluations\":[{good},{{]}}"),
        format!("{{\"evaluations\":[{good}]}} x"),
    ] {
        assert_eq!(ask(&wrong).status, 400, "{wrong}");
    }
}

#[test]
fn what_is_made_up_is_told() {
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let policy = "package dtgate.of_envoy

deny contains \"address\" if input.caller.address != \"10.0.0.1\"

deny contains \"host\" if input.attributes.request.http.host != \"a.example\"

deny contains \"header\" if not input.attributes.request.http.headers[\"x-team\"]
";
    std::fs::write(folder.join("of_envoy.rego"), policy).unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, BOTH).unwrap();
    let mut command = crate::harness::serving(&directory);
    command
        .arg("--config")
        .arg(&file)
        .arg("--policies")
        .arg(&folder);
    command.args(["--upstream", &format!("http://{}", upstream.address)]);
    let gate = crate::harness::Gate::spawn(directory, command);
    who_is_nobody(&gate);
    let mut question = update(GOOD);
    let answer = evaluate(&gate, &question);
    assert_eq!(answer["decision"], false, "{answer}");
    let unknown = answer["context"]["unknown"].to_string();
    for member in ["caller.address", "http.headers", "http.host"] {
        assert!(unknown.contains(member), "{member}: {answer}");
    }
    question["subject"]["properties"] = json!({"address": "10.0.0.1"});
    question["action"]["properties"]["host"] = json!("a.example");
    question["action"]["properties"]["headers"] = json!({"X-Team": ["payments", "b"]});
    let answer = evaluate(&gate, &question);
    assert_eq!(answer["decision"], true, "{answer}");
    assert_eq!(answer["context"].get("unknown"), None, "{answer}");
    for wrong in [
        json!({"Authorization": "Api-Token x"}),
        json!({"Host": "b"}),
        json!({"content-length": "1"}),
        json!({"x y": "1"}),
        json!({"x": 1}),
        json!({"x": "a\r\nb"}),
        json!("x"),
    ] {
        question["action"]["properties"]["headers"] = wrong;
        let answer = evaluate(&gate, &question);
        assert_eq!(
            answer["context"]["error"]["status"], 400,
            "{question}: {answer}"
        );
    }
}

/// Who is said to call.
fn who_is_nobody(gate: &crate::harness::Gate) {
    // Nobody is allowed what somebody may be denied.
    let mut nobody = update(GOOD);
    for (kind, properties, is_told) in [
        ("user", json!({}), true),
        ("user", json!({"address": "10.0.0.1"}), true),
        ("user", json!({"teams": ["payments"]}), false),
        ("user", json!({"token": CALLER}), false),
        ("team", json!({}), false),
        // Somebody has a name.
        ("user", json!({"claims": {"iss": "x"}}), true),
        ("user", json!({"claims": {"iss": "x", "sub": ""}}), true),
        ("user", json!({"certificate": {"subject": "CN=a"}}), false),
    ] {
        nobody["subject"] = json!({"type": kind, "id": "payments", "properties": properties});
        let unknown = evaluate(gate, &nobody)["context"]["unknown"].to_string();
        assert_eq!(
            unknown.contains("\"caller: "),
            is_told,
            "{nobody}: {unknown}"
        );
    }
    for (kind, id) in [
        ("Token", CALLER),
        ("TEAM", "a"),
        ("Jwt", "a"),
        (" spiffe", "a"),
        ("team", ""),
    ] {
        nobody["subject"] = json!({"type": kind, "id": id});
        let answer = evaluate(gate, &nobody);
        assert_eq!(
            answer["context"]["error"]["status"], 400,
            "{nobody}: {answer}"
        );
    }
    for properties in [
        json!({"certificate": {}}),
        json!({"certificate": {"subject": "", "dns": [""]}}),
        json!({"teams": [""]}),
    ] {
        nobody["subject"] = json!({"type": "user", "id": "a", "properties": properties});
        let answer = evaluate(gate, &nobody);
        assert_eq!(
            answer["context"]["error"]["status"], 400,
            "{nobody}: {answer}"
        );
    }
    nobody["subject"] = json!({"type": "team", "id": "no-such-team"});
    let unknown = evaluate(gate, &nobody)["context"]["unknown"].to_string();
    assert!(unknown.contains("\"caller.teams: "), "{unknown}");
}
