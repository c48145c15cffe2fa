//! The playground: what it says is what the gate would say, nothing of it is enforced or kept, and whatever an author
//! writes, the gate goes on.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{FROM_HERE, HOSTILE, OPEN, decisions, encoded, gate, log_in, text, with_input};
use crate::harness::{
    Answered, BAD, GOOD, Gate, TOKEN, Upstream, eventually, policies, program, read_answer,
};

const PLAYGROUND: &str = "/console/playground";
const REQUEST: &str = "PUT /api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea HTTP/1.1\nAuthorization: Api-Token \
                       dt0c01.abc123.abcdefjhij1234567890\nContent-Type: application/json\n\n{\"scopes\": [\"ReadConfig\", \"WriteConfig\"]}";

/// A form, as a browser sends it.
fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// Where the machine has much to do, what steps back for everybody takes its time.
fn ask(admin: SocketAddr, method: &str, target: &str, fields: &str, body: &str) -> Answered {
    let length = body.len();
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost:8081\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    );
    let mut stream = TcpStream::connect(admin).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(5)))
        .unwrap();
    // What is too long is answered before it was read.
    drop(stream.write_all(text.as_bytes()));
    read_answer(&mut BufReader::new(stream)).unwrap_or_else(|| panic!("no answer to {target}"))
}

fn post(admin: SocketAddr, target: &str, more: &str, fields: &[(&str, &str)]) -> Answered {
    ask(
        admin,
        "POST",
        target,
        &format!("{FROM_HERE}{more}"),
        &form(fields),
    )
}

fn told(admin: SocketAddr, deed: &str, fields: &[(&str, &str)]) -> Value {
    let answer = post(admin, &format!("{PLAYGROUND}/{deed}"), "", fields);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&text(&answer)).unwrap()
}

fn html(told: &Value) -> String {
    told["html"].as_str().unwrap().to_owned()
}

/// The word of a verdict.
fn verdict(html: &str, id: &str) -> String {
    let (_, rest) = html
        .split_once(&format!("id=\"{id}\""))
        .unwrap_or_else(|| panic!("{id}: {html}"));
    let (word, _) = rest.split_once("</div>").unwrap();
    word.rsplit_once("\">")
        .unwrap()
        .1
        .trim_end_matches("</span>")
        .to_owned()
}

/// Changes to files, as the page sends them.
fn edited(path: &str, text: &str) -> String {
    json!({path: text}).to_string()
}

/// The shipped policy without what it forbids.
fn lenient() -> String {
    let text = std::fs::read_to_string(policies().join("forbidden_scopes.rego")).unwrap();
    let changed = text.replace(
        "scope in _forbidden\n\tviolation",
        "scope in _forbidden\n\tfalse\n\tviolation",
    );
    assert_ne!(text, changed);
    edited("forbidden_scopes.rego", &changed)
}

/// A policy that says this.
fn new_policy(body: &str) -> String {
    edited("tried.rego", &format!("package dtgate.tried\n\n{body}\n"))
}

#[test]
fn an_edit_flips_a_decision_and_nothing_else() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let as_it_is = html(&told(gate.admin, "judge", &[("request", REQUEST)]));
    assert_eq!(verdict(&as_it_is, "verdict"), "deny", "{as_it_is}");
    // Nothing is edited: there is one answer.
    assert!(
        !as_it_is.contains("verdict-before") && as_it_is.contains("nothing is edited"),
        "{as_it_is}"
    );
    assert!(
        as_it_is.contains("scopes[1]") && as_it_is.contains("Remedy"),
        "{as_it_is}"
    );
    assert!(!as_it_is.contains("id=\"flips\""));
    let changed = lenient();
    let answer = told(
        gate.admin,
        "judge",
        &[("request", REQUEST), ("edited", &changed)],
    );
    let flipped = html(&answer);
    assert_eq!(verdict(&flipped, "verdict"), "allow", "{flipped}");
    assert_eq!(verdict(&flipped, "verdict-before"), "deny");
    assert!(flipped.contains("id=\"flips\""));
    let lines = answer["lines"]["forbidden_scopes.rego"].as_array().unwrap();
    assert!(lines.contains(&json!(12)), "{lines:?}");
    // What is in force is what was in force, and nobody recorded anything.
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert_eq!(decisions(gate.admin, 1).len(), 1);
}

/// It always opened the first file of all.
#[test]
fn an_objection_leads_to_its_file_and_a_file_back_to_what_is_in_force() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let shows = |html: &str| {
        let (_, rest) = html.split_once("name=\"path\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let get = |target: &str| text(&ask(gate.admin, "GET", target, "", ""));
    assert_eq!(shows(&get(PLAYGROUND)), "blast_radius.rego");
    let href = decisions(gate.admin, 1).swap_remove(0);
    let id = href.rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        shows(&get(&format!("{PLAYGROUND}?decision={id}"))),
        "forbidden_scopes.rego"
    );
    assert_eq!(
        shows(&get(&format!(
            "{PLAYGROUND}?decision={id}&file=naming.rego"
        ))),
        "naming.rego"
    );
    let judged = told(gate.admin, "judge", &[("request", REQUEST)]);
    assert_eq!(judged["opens"], "forbidden_scopes.rego");
    let button = "form=\"play\" name=\"open\" value=\"forbidden_scopes.rego\"";
    assert!(html(&judged).contains(button), "{judged}");
    // Of an edited set, too: a file that nobody but its author knows.
    let tried = [
        ("request", REQUEST),
        ("edited", &*new_policy("deny contains \"no\"")),
    ];
    assert!(html(&told(gate.admin, "judge", &tried)).contains("value=\"tried.rego\""));
    // Where no script runs.
    let send = |fields: &[(&str, &str)]| text(&post(gate.admin, PLAYGROUND, "", fields));
    assert_eq!(
        shows(&send(&[
            ("open", "naming.rego"),
            ("path", "blast_radius.rego")
        ])),
        "naming.rego"
    );
    let edited = lenient();
    let with_edit = send(&[
        ("edited", &*edited),
        ("open", "forbidden_scopes.rego"),
        ("path", ""),
    ]);
    let marked = "<option value=\"forbidden_scopes.rego\" selected aria-label=\"forbidden_scopes.rego, edited\">• forbidden_scopes.rego";
    assert!(with_edit.contains(marked), "{with_edit}");
    let back = send(&[
        ("edited", &*edited),
        ("path", "forbidden_scopes.rego"),
        ("do", "restore"),
    ]);
    assert_eq!(shows(&back), "forbidden_scopes.rego");
    assert!(
        !back.contains("• forbidden") && back.contains("name=\"edited\" value=\"{}\""),
        "{back}"
    );
}

#[test]
fn a_curl_line_a_document_and_what_is_known_are_judged_as_the_gate_would() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let curl = "curl -X PUT https://abc12345.live.dynatrace.com/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA \\\n -H \
                'Content-Type: application/json' -d '{\"scopes\": [\"metrics.read\"]}'";
    let known = [
        ("request", curl),
        ("before_name", "payments-prod-ci"),
        ("before_scopes", "metrics.read, logs.read"),
        ("token", "dt0c01.ST2EY72KQINMH574WMNVI7YN"),
        ("environment", "stage"),
    ];
    let judged = html(&told(gate.admin, "judge", &known));
    assert_eq!(verdict(&judged, "verdict"), "allow", "{judged}");
    for wanted in [
        "logs.read",
        "&quot;removed&quot;",
        "stage",
        "ST2EY72KQINMH574WMNVI7YN",
    ] {
        assert!(judged.contains(wanted), "{wanted}: {judged}");
    }
    let open = html(&told(
        gate.admin,
        "judge",
        &[("request", "GET /api/v2/problems HTTP/1.1\n\n")],
    ));
    assert!(
        verdict(&open, "verdict").starts_with("allow: open traffic"),
        "{open}"
    );
    let twins = "PUT /api/v1/tokens/x HTTP/1.1\nContent-Type: application/json\n\n{\"scopes\": [], \"scopes\": []}";
    let refused = html(&told(gate.admin, "judge", &[("request", twins)]));
    assert!(
        verdict(&refused, "verdict").starts_with("deny: refused before"),
        "{refused}"
    );
    let document = json!({
        "operation": "token.create", "api": "v2", "environment": {"name": "prod"}, "time": "2026-11-24T10:00:00.000Z",
        "change": {"name": {"requested": "odd"}, "scopes": {"requested": ["metrics.read"]}}
    });
    let judged = html(&told(
        gate.admin,
        "judge",
        &[("request", &document.to_string())],
    ));
    assert!(
        judged.contains("naming") && verdict(&judged, "verdict") == "deny",
        "{judged}"
    );
    for (wrong, why) in [
        (
            "curl --data-binary @/etc/passwd http://a/api/v2/apiTokens",
            "no file is read here",
        ),
        ("nonsense", "METHOD PATH"),
        ("{\"operation\": 7}", "input document"),
    ] {
        let said = html(&told(gate.admin, "judge", &[("request", wrong)]));
        assert!(
            said.contains(why) && !said.contains("root:"),
            "{wrong}: {said}"
        );
    }
}

#[test]
fn errors_are_told_at_their_line_and_column() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let fine = told(gate.admin, "check", &[("edited", &lenient())]);
    assert_eq!(fine["problems"], json!([]));
    for (body, line, column) in [
        ("deny contains \"x\" if input.change.scops", 3, 35),
        ("deny contains", 4, 1),
        (
            "deny contains \"x\" if http.send({}).status_code == 200",
            3,
            22,
        ),
    ] {
        let found = told(gate.admin, "check", &[("edited", &new_policy(body))]);
        let first = &found["problems"][0];
        assert_eq!(first["path"], "tried.rego", "{body}: {found}");
        assert_eq!(
            (&first["line"], &first["column"]),
            (&json!(line), &json!(column)),
            "{body}: {found}"
        );
    }
    // A set that cannot be loaded is no verdict, and the one in force has one.
    let broken = new_policy("deny contains");
    let judged = html(&told(
        gate.admin,
        "judge",
        &[("request", REQUEST), ("edited", &broken)],
    ));
    assert_eq!(verdict(&judged, "verdict"), "cannot be loaded");
    assert_eq!(verdict(&judged, "verdict-before"), "deny");
}

/// Writes the shipped policies into a directory.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_saved_test_passes_with_the_policies_that_it_was_made_of() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let made = html(&told(
        gate.admin,
        "test",
        &[("request", REQUEST), ("test_name", "No WriteConfig!")],
    ));
    assert!(made.contains(">no_writeconfig_test.rego<"), "{made}");
    let (_, text) = made.split_once("<textarea").unwrap();
    let (text, _) = text
        .split_once('>')
        .unwrap()
        .1
        .split_once("</textarea>")
        .unwrap();
    let text = text
        .trim_start()
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let directory = tempfile::tempdir().unwrap();
    copied(&policies(), directory.path());
    std::fs::write(directory.path().join("no_writeconfig_test.rego"), &text).unwrap();
    let run = || {
        let mut command = program();
        command.arg("test").arg(directory.path());
        let output = command.args(["--run", "no_writeconfig"]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = run();
    assert_eq!(code, Some(0), "{said}: {text}");
    // It tells policies that say something else.
    let path = directory.path().join("forbidden_scopes.rego");
    let changed: Value = serde_json::from_str(&lenient()).unwrap();
    std::fs::write(&path, changed["forbidden_scopes.rego"].as_str().unwrap()).unwrap();
    let (code, said) = run();
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("test_forbidden_scopes_deny_objects"),
        "{said}"
    );
}

#[test]
fn past_decisions_are_judged_again_and_those_that_flip_are_listed() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let found = decisions(gate.admin, 2);
    let all = new_policy("deny contains \"closed <b>today</b>\" if true");
    let said = html(&told(gate.admin, "would-change", &[("edited", &all)]));
    assert!(
        said.contains("<dt>1</dt><dd>were allowed and would be denied</dd>"),
        "{said}"
    );
    assert!(
        said.contains("closed &lt;b&gt;today") && said.contains(&format!("href=\"{}\"", found[1])),
        "{said}"
    );
    let lenient = html(&told(
        gate.admin,
        "would-change",
        &[("edited", &lenient()), ("last", "1")],
    ));
    assert!(
        lenient.contains("<dt>1</dt><dd>were denied and would be allowed</dd>"),
        "{lenient}"
    );
    let opened = post(
        gate.admin,
        PLAYGROUND,
        "",
        &[("do", "change"), ("edited", &all)],
    );
    assert!(text(&opened).contains("would be denied"), "{opened:?}");
    // One of them, in the request.
    let seq = "2";
    let page = text(&ask(
        gate.admin,
        "GET",
        &format!("{PLAYGROUND}?decision={seq}"),
        "",
        "",
    ));
    assert!(
        page.contains("&quot;operation&quot;: &quot;token.update&quot;"),
        "{page}"
    );
    for wrong in ["0", "5001", "x"] {
        let answer = post(
            gate.admin,
            &format!("{PLAYGROUND}/would-change"),
            "",
            &[("last", wrong)],
        );
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn what_could_not_be_judged_again_is_told_in_the_numbers_of_replay() {
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[journal.pseudonyms]\nfields = [\"caller.address\"]\n{OPEN}"),
    );
    for _ in 0..5 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    }
    decisions(gate.admin, 5);
    let rule =
        "package dtgate.tried\n\ndeny contains \"x\" if input.caller.address == \"127.0.0.1\"\n";
    let said = html(&told(
        gate.admin,
        "would-change",
        &[("edited", &edited("tried.rego", rule))],
    ));
    let directory = tempfile::tempdir().unwrap();
    copied(&policies(), directory.path());
    std::fs::write(directory.path().join("tried.rego"), rule).unwrap();
    let mut command = program();
    command.args(["replay", "--format", "json", "--policies"]);
    command
        .arg(directory.path())
        .arg("--journal")
        .arg(gate.journal());
    let report: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    for (member, what) in [
        ("same", "are decided alike"),
        ("new_denials", "were allowed and would be denied"),
        ("changed", "have the same verdict and other violations"),
    ] {
        let wanted = format!("<dt>{}</dt><dd>{what}</dd>", report[member]);
        assert!(said.contains(&wanted), "{wanted}: {said}");
    }
    let reasons = report["not_replayed_by"]["tried"].as_object().unwrap();
    assert!(!reasons.is_empty(), "{report}");
    for (reason, count) in reasons {
        let wanted = format!("<li>{count} <strong>tried</strong>: {reason}</li>");
        assert!(said.contains(&wanted), "{wanted}: {said}");
    }
}

#[test]
fn it_works_without_scripts() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let page = |fields: &[(&str, &str)]| {
        let answer = post(gate.admin, PLAYGROUND, "", fields);
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer)
    };
    let example = page(&[
        ("example", "forbidden-scope"),
        ("path", "naming.rego"),
        ("source", "# mine"),
    ]);
    assert!(
        example.contains("WriteConfig") && example.contains("payments-prod-ci"),
        "{example}"
    );
    // What was edited goes along: in the page, and when another file is opened.
    assert!(
        example.contains("# mine")
            && example.contains("&quot;naming.rego&quot;:&quot;# mine&quot;"),
        "{example}"
    );
    let other = page(&[
        ("do", "open"),
        ("path", "naming.rego"),
        ("source", "# mine"),
        ("file", "data.yaml"),
    ]);
    assert!(
        other.contains("guardrails:") && other.contains("• naming.rego"),
        "{other}"
    );
    let written = page(&[
        ("do", "write"),
        ("wish_operation", "token.create"),
        ("wish_name", "x-y"),
        ("wish_scopes", "a b"),
    ]);
    assert!(written.contains("POST /api/v2/apiTokens"), "{written}");
    let judged = page(&[
        ("do", "judge"),
        ("request", REQUEST),
        ("path", "forbidden_scopes.rego"),
        ("source", ""),
    ]);
    assert_eq!(verdict(&judged, "verdict-before"), "deny");
    assert_eq!(
        verdict(&judged, "verdict"),
        "allow",
        "an emptied file is left out: {judged}"
    );
    let file = ask(
        gate.admin,
        "GET",
        &format!("{PLAYGROUND}/file?path=lib%2Flib.rego"),
        "",
        "",
    );
    let absent = ask(
        gate.admin,
        "GET",
        &format!("{PLAYGROUND}/file?path=..%2F..%2Fetc%2Fpasswd"),
        "",
        "",
    );
    assert_eq!(
        (absent.status, file.header("x-content-type-options")),
        (404, Some("nosniff")),
        "{file:?}"
    );
}

/// Users of these names and roles.
fn users(of: &[(&str, &[&str])]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let lines = of.iter().map(|(name, roles)| {
        let mut command = program();
        command.args(["new", "console-user", name]);
        command.args(roles.iter().flat_map(|role| ["--role", role]));
        with_input(command, "correct horse battery\n")
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, format!("[console]\npasswords = \"{path}\"\n"))
}

fn session(admin: SocketAddr, name: &str) -> String {
    // Where the machine has much to do, a login is given up: it takes as long as a page may.
    let cookie = (0..5).find_map(|_| {
        let entered = log_in(admin, name, "correct+horse+battery", FROM_HERE);
        entered.header("set-cookie").map(str::to_owned)
    });
    format!("Cookie: {}\r\n", cookie.unwrap().split(';').next().unwrap())
}

/// A link of another site leads to a page, and judges nothing.
fn judges_by_post_only(admin: SocketAddr, author: &str, deed: &str) {
    for method in ["GET", "PUT"].iter().filter(|_| !deed.is_empty()) {
        let target = format!("{PLAYGROUND}{deed}?do=judge");
        let answer = ask(admin, method, &target, author, "");
        assert_eq!(answer.status, 405, "{method} {target}: {answer:?}");
    }
}

const DEEDS: [&str; 5] = ["", "/check", "/judge", "/test", "/would-change"];

#[test]
fn it_is_for_authors_and_past_decisions_are_for_those_of_them_who_are_auditors() {
    let upstream = Upstream::lenient();
    let (_directory, config) = users(&[("alice", &["auditor"]), ("arthur", &["author"])]);
    let gate = gate(&upstream, &config);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let (auditor, author) = (session(gate.admin, "alice"), session(gate.admin, "arthur"));
    eventually("the decision is listed", || {
        let list = text(&ask(gate.admin, "GET", "/console/decisions", &auditor, ""));
        list.contains("/console/decisions/").then_some(())
    });
    let fields = [("request", REQUEST), ("do", "judge")];
    for deed in DEEDS {
        let target = format!("{PLAYGROUND}{deed}");
        judges_by_post_only(gate.admin, &author, deed);
        // Nobody, somebody without the role, and an author by a page of another site.
        assert_eq!(
            post(gate.admin, &target, "", &fields).status,
            303,
            "{target}"
        );
        assert_eq!(
            post(gate.admin, &target, &auditor, &fields).status,
            403,
            "{target}"
        );
        for elsewhere in [
            "",
            "Sec-Fetch-Site: cross-site\r\n",
            "Origin: https://evil.example\r\n",
        ] {
            let answer = ask(
                gate.admin,
                "POST",
                &target,
                &format!("{author}{elsewhere}"),
                &form(&fields),
            );
            assert_eq!(answer.status, 403, "{target}: {elsewhere}");
        }
    }
    let get = |target: &str, cookie: &str| {
        ask(
            gate.admin,
            "GET",
            &format!("{PLAYGROUND}{target}"),
            cookie,
            "",
        )
    };
    assert_eq!(
        (
            get("", &auditor).status,
            get("/file?path=data.yaml", &auditor).status
        ),
        (403, 403)
    );
    assert!(!text(&ask(gate.admin, "GET", "/console", &auditor, "")).contains("Playground"));
    let page = text(&get("", &author));
    assert!(
        page.contains("id=\"judge\"") && !page.contains("id=\"would-change\""),
        "{page}"
    );
    let judged = post(gate.admin, &format!("{PLAYGROUND}/judge"), &author, &fields);
    assert_eq!(judged.status, 200);
    // A policy of theirs would tell, one answer at a time, whose token it is.
    let told = post(
        gate.admin,
        &format!("{PLAYGROUND}/would-change"),
        &author,
        &[],
    );
    let told_again = post(gate.admin, PLAYGROUND, &author, &[("do", "change")]);
    let decision = get("?decision=2", &author);
    assert_eq!(
        (told.status, told_again.status, decision.status),
        (403, 403, 403)
    );
}

#[test]
fn what_an_author_writes_is_a_text_on_every_page_and_no_secret_comes_back() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    for hostile in HOSTILE {
        let request = format!(
            "PUT /api/v1/tokens/{} HTTP/1.1\nX: {hostile}\n\n{hostile}",
            encoded(hostile)
        );
        let quoted = json!(hostile).to_string();
        let rule = format!(
            "deny contains {{\"message\": {quoted}, \"path\": {quoted}, \"code\": {quoted}}} if print({quoted})"
        );
        let policy = new_policy(&rule);
        let document = json!({
            "operation": "token.create", "api": "v2", "environment": {"name": hostile}, "time": "2026-11-24T10:00:00.000Z",
            "caller": {"address": hostile}, "change": {"name": {"requested": hostile}, "scopes": {"requested": [hostile]}}
        })
        .to_string();
        let path = edited(hostile, "x");
        let cases: [&[(&str, &str)]; 5] = [
            &[("do", "judge"), ("request", &request), ("edited", &policy)],
            &[
                ("do", "judge"),
                ("request", &document),
                ("edited", &policy),
                ("before_name", hostile),
                ("teams", hostile),
            ],
            &[
                ("do", "test"),
                ("request", &document),
                ("edited", &policy),
                ("test_name", hostile),
            ],
            &[("do", "judge"), ("request", REQUEST), ("edited", &path)],
            &[
                ("do", "open"),
                ("path", "tried.rego"),
                ("source", hostile),
                ("wish_name", hostile),
                ("file", hostile),
            ],
        ];
        for fields in cases {
            let answer = post(gate.admin, PLAYGROUND, "", fields);
            let html = text(&answer);
            for part in [
                "<script>alert",
                "<img",
                "<svg/",
                " onfocus=\"alert",
                "href=\"javascript:",
            ] {
                assert!(!html.contains(part), "{fields:?}: {part}: {html}");
            }
            assert!(html.len() < 300 << 10);
        }
    }
    let secret = "abcdefjhij1234567890";
    for request in [
        REQUEST.to_owned(),
        format!(
            "curl -H 'Authorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM' http://a/api/v2/apiTokens -d '{{\"{secret}\"'"
        ),
    ] {
        let printed = new_policy("deny contains sprintf(\"%v\", [input]) if print(input)");
        let answer = post(
            gate.admin,
            PLAYGROUND,
            "",
            &[("do", "judge"), ("request", &request), ("edited", &printed)],
        );
        let html = text(&answer);
        assert!(
            !html.contains("G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM"),
            "{html}"
        );
        assert!(request != REQUEST || !html.contains(secret), "{html}");
    }
    assert!(!gate.log().contains(secret));
}

/// Policies that take all that there is.
const HEAVY: [(&str, &str); 7] = [
    (
        "endless",
        "deny contains \"x\" if { some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); some k in numbers.range(1, 3000); i + j + k < 0 }",
    ),
    (
        "memory",
        "xs := [x | some i in numbers.range(1, 100000); x := sprintf(\"%0500d\", [i])]\ndeny contains \"x\" if count(xs) == 7",
    ),
    (
        "product",
        "deny contains \"x\" if count({[i, j, k] | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); some k in numbers.range(1, 3000)}) == 7",
    ),
    (
        "one builtin",
        "deny contains \"x\" if count(numbers.range(1, 100000000)) == 7",
    ),
    (
        "texts",
        "deny contains concat(\"\", [x | some i in numbers.range(1, 20000); x := sprintf(\"%09999d\", [i])])",
    ),
    (
        "prints",
        "deny contains \"x\" if { some i in numbers.range(1, 100000); print(sprintf(\"%0999d\", [i])) }",
    ),
    (
        "objections",
        "deny contains {\"message\": sprintf(\"%0999d\", [i])} if some i in numbers.range(1, 50000)",
    ),
];

#[test]
fn whatever_an_author_writes_the_gate_goes_on() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let deep = format!(
        "deny contains \"x\" if {}1{}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let negated = format!("deny contains \"x\" if {}", "not ".repeat(25_000));
    let long = format!(
        "deny contains \"x\" if {}",
        "input.operation == \"x\"; ".repeat(4_000)
    );
    let mut heavy: Vec<(&str, String)> = HEAVY
        .iter()
        .map(|(name, body)| (*name, (*body).to_owned()))
        .collect();
    heavy.extend([
        ("brackets", deep),
        ("negations", negated),
        ("a long rule", long),
    ]);
    for (name, body) in heavy {
        let policy = new_policy(&body);
        let (admin, edited) = (gate.admin, policy.clone());
        let asked = std::thread::spawn(move || {
            let began = Instant::now();
            (
                post(
                    admin,
                    &format!("{PLAYGROUND}/judge"),
                    "",
                    &[("request", REQUEST), ("edited", &edited)],
                ),
                began.elapsed(),
            )
        });
        // Requests are judged meanwhile, and pages are made.
        for _ in 0..5 {
            assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
        }
        assert_eq!(
            ask(gate.admin, "GET", "/console", "", "").status,
            200,
            "{name}"
        );
        let (answer, took) = asked.join().unwrap();
        assert!(took < Duration::from_secs(70), "{name}: {took:?}");
        assert!(
            answer.body.len() < 400 << 10,
            "{name}: {}",
            answer.body.len()
        );
        assert!(matches!(answer.status, 200 | 400), "{name}: {answer:?}");
    }
    // A gigabyte: the process ends, or the rule is given up before.
    let much = "deny contains \"x\" if count([x | some i in numbers.range(1, 1000); x := sprintf(\"%0999999d\", [i])]) == 7";
    let fields = [("request", REQUEST), ("edited", &*new_policy(much))];
    let answer = text(&post(
        gate.admin,
        &format!("{PLAYGROUND}/judge"),
        "",
        &fields,
    ));
    assert!(
        answer.contains("160 MiB") || answer.contains("tried"),
        "{answer}"
    );
    is_left_alone(&gate);
}

/// No process is left behind.
fn is_left_alone(gate: &Gate) {
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let parent = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let is_ours = parent
                .rsplit(") ")
                .next()
                .and_then(|rest| rest.split(' ').nth(1))
                == Some(&gate.child.id().to_string());
            is_ours && line.windows(17).any(|part| part == b"playground-worker")
        });
    assert_eq!(left.count(), 0);
}

#[test]
fn what_is_too_much_is_refused_before_it_is_judged() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let document = format!("{{\"operation\": {}", "[".repeat(100_000));
    let nested = post(
        gate.admin,
        &format!("{PLAYGROUND}/judge"),
        "",
        &[("request", &document)],
    );
    assert_eq!(nested.status, 200, "{nested:?}");
    let huge = "x".repeat(4 << 20);
    let much = post(
        gate.admin,
        &format!("{PLAYGROUND}/judge"),
        "",
        &[("request", &huge)],
    );
    assert_eq!(much.status, 400, "{}", much.status);
    let many: serde_json::Map<String, Value> = (0..300)
        .map(|i| (format!("p{i}.rego"), json!("x")))
        .collect();
    let many = post(
        gate.admin,
        &format!("{PLAYGROUND}/check"),
        "",
        &[("edited", &Value::Object(many).to_string())],
    );
    assert_eq!(many.status, 400, "{}", many.status);
    let long = edited("tried.rego", &"#".repeat((100 << 10) + 1));
    let long = post(
        gate.admin,
        &format!("{PLAYGROUND}/check"),
        "",
        &[("edited", &long)],
    );
    assert!(
        long.status == 400
            && text(&long).contains("tried.rego is too long to be edited here: a file has 100 KiB"),
        "{long:?}"
    );
    let fields = "do=open&".repeat(101);
    let many = ask(gate.admin, "POST", PLAYGROUND, FROM_HERE, &fields);
    assert_eq!(many.status, 400, "{many:?}");
}

#[test]
fn a_secret_comes_back_in_no_field() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let secret = "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
    for field in [
        "request",
        "environment",
        "token",
        "teams",
        "before_name",
        "before_scopes",
        "test_name",
        "wish_id",
        "wish_name",
        "wish_scopes",
    ] {
        let fields = [("do", "open"), (field, secret)];
        let answer = post(gate.admin, PLAYGROUND, "", &fields);
        assert_eq!(answer.status, 200, "{field}: {answer:?}");
        assert!(!text(&answer).contains("G3DFPBEJ"), "{field}: {answer:?}");
    }
}

#[test]
fn two_judgements_are_made_at_once_and_one_for_each_author() {
    let upstream = Upstream::lenient();
    let (_directory, config) = users(&[("arthur", &["author"]), ("bert", &["author"])]);
    let gate = gate(&upstream, &config);
    let cookies = [session(gate.admin, "arthur"), session(gate.admin, "bert")];
    let heavy = new_policy(HEAVY[0].1);
    let judge = |cookie: &str, edited: &str| {
        let (admin, cookie, edited) = (gate.admin, cookie.to_owned(), edited.to_owned());
        std::thread::spawn(move || {
            let answer = post(
                admin,
                &format!("{PLAYGROUND}/judge"),
                &cookie,
                &[("request", REQUEST), ("edited", &edited)],
            );
            answer.status
        })
    };
    let hogs: Vec<_> = (0..5).map(|_| judge(&cookies[0], &heavy)).collect();
    assert_eq!(judge(&cookies[1], "{}").join().unwrap(), 200);
    // Whoever has many judged keeps nobody else waiting.
    assert!(hogs.iter().any(|hog| !hog.is_finished()));
    for hog in hogs {
        let status = hog.join().unwrap();
        assert!(matches!(status, 200 | 400 | 503), "{status}");
    }
}

#[test]
fn the_page_with_all_that_it_needs_is_small() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let page = text(&ask(gate.admin, "GET", PLAYGROUND, "", ""));
    let assets = page
        .split('"')
        .filter(|part| part.starts_with("/console/assets/"));
    let mut all = page.len();
    for asset in assets {
        let packed = ask(
            gate.admin,
            "GET",
            asset,
            "Accept-Encoding: br, gzip\r\n",
            "",
        );
        assert_eq!(packed.status, 200, "{asset}");
        assert_eq!(packed.header("vary"), Some("accept-encoding"), "{asset}");
        let plain = ask(gate.admin, "GET", asset, "", "");
        assert_eq!(
            (
                plain.header("content-encoding"),
                packed.header("content-encoding")
            ),
            (None, Some("gzip")),
            "{asset}"
        );
        let length: usize = packed.header("content-length").unwrap().parse().unwrap();
        assert!(length < plain.body.len(), "{asset}");
        let refused = ask(
            gate.admin,
            "GET",
            asset,
            "Accept-Encoding: gzip;q=0\r\n",
            "",
        );
        assert_eq!(refused.header("content-encoding"), None);
        all += length;
    }
    assert!(all < 300 << 10, "{all}");
}
