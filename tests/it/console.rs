//! The console of a gate: its pages show what the journal has, to whom they may, and nothing in them is anybody else's
//! markup.

mod asked;
mod browser;
mod certificates;
mod chromium;
mod demo;
mod hostile;
mod oidc;
mod playground;
mod tries;
mod viewers;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Answered, BAD, GOOD, Gate, SECRET, TOKEN, Upstream, eventually, exchange, policies, program,
    serving,
};

mod play;

/// What a browser would take for its own, if it were not shown as a text.
const MARKUP: &str = "<script>alert(1)</script>";
const HOSTILE: [&str; 5] = [
    MARKUP,
    "\"><img src=x onerror=alert(1)>",
    "</title><svg/onload=alert(1)>",
    "javascript:alert(1)//\u{202e}",
    "a\" autofocus onfocus=\"alert(1)",
];
/// What is asked here is not how fast hashes of passwords are.
const PATIENT: &str = "page_timeout = \"1m\"\n";
const OPEN: &str = "[console]\nlogin = \"none\"\n";
const PARTS: [&str; 5] = [
    "/console",
    "/console/decisions",
    "/console/callers",
    "/console/policies",
    "/console/policies/forbidden_scopes",
];

fn gate(upstream: &Upstream, config: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = serving(&directory);
    command.arg("--config").arg(&file);
    command.arg("--policies").arg(policies());
    command.args(["--upstream", &format!("http://{}", upstream.address)]);
    let gate = Gate::spawn(directory, command);
    // Pages are answered 503 until the journal has an index.
    eventually("the console can be asked", || {
        let status = ask(gate.admin, "GET", "/console", "", "").status;
        (status != 503).then_some(())
    });
    gate
}

fn ask(admin: SocketAddr, method: &str, target: &str, fields: &str, body: &str) -> Answered {
    let length = body.len();
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost:8081\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
    );
    exchange(admin, text.as_bytes())
}

fn page(admin: SocketAddr, target: &str) -> String {
    let answer = ask(admin, "GET", target, "", "");
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    text(&answer)
}

fn text(answer: &Answered) -> String {
    answer.body.clone()
}

/// Every byte of a text as a URL has it.
fn encoded(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("%{byte:02x}"));
    bytes.collect::<Vec<_>>().concat()
}

/// The pages of all decisions, as soon as the index has so many.
fn decisions(admin: SocketAddr, count: usize) -> Vec<String> {
    eventually("the decisions are listed", || {
        let list = page(admin, "/console/decisions");
        let mut found: Vec<String> = list
            .split("href=\"")
            .filter_map(|part| part.split('"').next())
            .filter(|href| href.starts_with("/console/decisions/"))
            .map(str::to_owned)
            .collect();
        found.dedup();
        (found.len() >= count).then_some(found)
    })
}

#[test]
fn pages_show_what_was_decided_about_which_token_and_why() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    let found = decisions(gate.admin, 2);
    let denied = page(gate.admin, &found[0]);
    for wanted in [
        "forbidden_scopes",
        "WriteConfig",
        "denies",
        "Refused: the request was not sent to Dynatrace",
        "No objection",
    ] {
        assert!(denied.contains(wanted), "{wanted}: {denied}");
    }
    // A checkpoint is made now and then; until one covers the record, the page says so.
    assert!(denied.contains("Not proven yet") || denied.contains("The chain holds"));
    let allowed = page(gate.admin, &found[1]);
    assert!(allowed.contains("204"), "{allowed}");
    let narrowed = page(
        gate.admin,
        "/console/decisions?verdict=deny&scope=WriteConfig&since=1h",
    );
    assert_eq!(narrowed.matches("data-title=\"Verdict\"").count(), 1);
    let unknown = page(gate.admin, "/console/decisions?policy=nobodys");
    assert!(unknown.contains("No record names the policy nobodys; there are: forbidden_scopes"));
    let id = TOKEN.rsplit('/').next().unwrap();
    let token = page(gate.admin, &format!("/console/tokens/{id}"));
    for wanted in ["Scopes after it: ", "denied: ", "WriteConfig"] {
        assert!(token.contains(wanted), "{wanted}: {token}");
    }
    let now = page(gate.admin, "/console");
    assert!(
        now.contains("1 allowed") && now.contains("1 denied"),
        "{now}"
    );
    assert!(now.contains("Free on its disk"), "{now}");
    let callers = page(gate.admin, "/console/callers");
    assert!(callers.contains("forbidden_scopes"), "{callers}");
    let policy = page(gate.admin, "/console/policies/forbidden_scopes");
    assert!(
        policy.contains("package dtgate.forbidden_scopes"),
        "{policy}"
    );
    assert!(policy.contains("title=\"evaluated\""), "{policy}");
    for (wrong, status) in [
        ("/console/decisions?since=soon", 400),
        ("/console/decisions?operation=token.udpate", 400),
        ("/console/decisions?verdict=perhaps", 400),
        (
            "/console/decisions/01a22890-5ed2-7542-9d1a-640ecc9f3fc2",
            404,
        ),
        ("/console/decisions/999999", 404),
        ("/console/tokens/nobodys", 404),
        ("/console/policies/nobodys", 404),
        ("/console/x", 404),
        ("/console/assets/1/../../../etc/passwd", 404),
        ("/console/assets/1/%2e%2e%2fconsole.css", 404),
    ] {
        let answer = ask(gate.admin, "GET", wrong, "", "");
        assert_eq!(answer.status, status, "{wrong}: {answer:?}");
    }
    // Everything else of the listener is as it was.
    assert_eq!(ask(gate.admin, "GET", "/healthz", "", "").status, 200);
}

#[test]
fn texts_of_others_are_texts_on_every_page_and_no_page_is_large() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let mut count = 0;
    for hostile in HOSTILE {
        let many: Vec<String> = (0..300).map(|at| format!("{hostile}{at}")).collect();
        for body in [
            json!({"name": hostile, "scopes": [hostile]}),
            json!({"name": hostile.repeat(200), "scopes": many}),
            json!({"scopes": ["metrics.read"], hostile: hostile}),
        ] {
            gate.send("PUT", TOKEN, &body.to_string());
            count += 1;
        }
        let encoded = encoded(hostile);
        let agent = hostile.replace('\u{202e}', "");
        let length = GOOD.len();
        gate.raw(format!(
            "PUT /api/v1/tokens/{encoded} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nX-Request-Id: {agent}\r\n\
             Authorization: Api-Token {agent}\r\nContent-Length: {length}\r\n\r\n{GOOD}"
        ));
    }
    let found = decisions(gate.admin, count);
    let mut all: Vec<String> = PARTS.iter().map(|it| (*it).to_owned()).collect();
    all.extend(found);
    for hostile in HOSTILE {
        let encoded = encoded(hostile);
        for field in ["token", "policy", "text", "environment", "scope", "gate"] {
            all.push(format!("/console/decisions?{field}={encoded}"));
        }
        all.push(format!("/console/tokens/{encoded}"));
        all.push(format!("/console/policies/{encoded}"));
        all.push(format!("/console/decisions/{encoded}"));
        all.push(format!("/console/login?next={encoded}"));
        all.push(format!("/console/callers?since={encoded}"));
        all.push(format!("/console?last={encoded}"));
    }
    for target in all {
        let answer = ask(gate.admin, "GET", &target, "", "");
        let html = text(&answer);
        for part in [
            "<script>alert",
            "<img",
            "<svg/",
            " onfocus=\"alert",
            "href=\"javascript:",
        ] {
            assert!(!html.contains(part), "{target}: {part}: {html}");
        }
        // In a form stands what was typed, as it was typed.
        assert!(
            target.contains('?') || !html.contains('\u{202e}'),
            "{target}"
        );
        assert!(!html.contains(SECRET), "{target}");
        assert!(html.len() < 300 << 10, "{target}: {}", html.len());
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        for (name, wanted) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(wanted), "{target}");
        }
        assert!(
            !html.contains(" style=") && !html.contains("<style"),
            "{target}"
        );
    }
}

#[test]
fn a_denial_appears_by_itself() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    decisions(gate.admin, 1);
    let mut stream = TcpStream::connect(gate.admin).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    write!(
        stream,
        "GET /console/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    .unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("200"));
    // What the reader found first is not new. It says that it is there when that was.
    let mut sent = 0;
    let row = loop {
        let line = lines.next().unwrap();
        if line.starts_with(": still here") && sent < 20 {
            sent += 1;
            assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
        }
        if let Some(row) = line.strip_prefix("data: ") {
            break row.to_owned();
        }
    };
    assert!(
        row.starts_with("<tr data-id=") && row.contains("forbidden_scopes"),
        "{row}"
    );
}

/// A file of users, made by the command that makes such lines.
fn users() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let mut lines = String::new();
    for (name, role) in [("alice", Some("auditor")), ("victor", None)] {
        let mut command = program();
        command.args(["new", "console-user", name]);
        command.args(role.into_iter().flat_map(|role| ["--role", role]));
        lines += &with_input(command, "correct horse battery\n");
    }
    std::fs::write(&path, lines).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

fn with_input(mut command: Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn log_in(admin: SocketAddr, name: &str, password: &str, fields: &str) -> Answered {
    let form = format!("name={name}&password={password}&next=%2Fconsole%2Fdecisions");
    ask(admin, "POST", "/console/login", fields, &form)
}

const FROM_HERE: &str = "Sec-Fetch-Site: same-origin\r\n";

#[test]
fn who_has_not_logged_in_sees_nothing_and_who_has_sees_what_the_role_allows() {
    let (_directory, path) = users();
    let upstream = Upstream::lenient();
    let gate = gate(
        &upstream,
        &format!("[console]\npasswords = \"{path}\"\n{PATIENT}"),
    );
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    for target in PARTS
        .iter()
        .chain(&["/console/live", "/console/decisions/2/proof"])
    {
        let answer = ask(gate.admin, "GET", target, "", "");
        assert_eq!(answer.status, 303, "{target}");
        assert!(
            answer
                .header("location")
                .unwrap()
                .starts_with("/console/login?next=")
        );
        assert_eq!(answer.body, "", "{target}");
    }
    let wrong = log_in(gate.admin, "alice", "correct+horse", FROM_HERE);
    let unknown = log_in(gate.admin, "nobody", "correct+horse+battery", FROM_HERE);
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(text(&wrong), text(&unknown));
    // A page of somebody else cannot log anybody in, nor out.
    for fields in [
        "",
        "Origin: https://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let answer = log_in(gate.admin, "alice", "correct+horse+battery", fields);
        assert_eq!(answer.status, 403, "{fields}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let known = "Cookie: dtgate-console-8081=known-to-others\r\n";
    let entered = log_in(
        gate.admin,
        "alice",
        "correct+horse+battery",
        &format!("{FROM_HERE}{known}"),
    );
    assert_eq!(entered.status, 303, "{entered:?}");
    assert_eq!(entered.header("location"), Some("/console/decisions"));
    let cookie = entered.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    // Nobody goes on with an id that was there before.
    assert_ne!(cookie, known);
    assert_eq!(ask(gate.admin, "GET", "/console", known, "").status, 303);
    let id = TOKEN.rsplit('/').next().unwrap();
    let auditors = eventually("the decision is listed", || {
        let list = text(&ask(gate.admin, "GET", "/console/decisions", &cookie, ""));
        list.contains(id).then_some(list)
    });
    assert!(auditors.contains("alice"), "{auditors}");
    sees_no_names(&gate, id);
    let metrics = text(&ask(gate.admin, "GET", "/metrics", "", ""));
    for series in [
        "dtgate_console_logins_total{way=\"password\",result=\"good\"} 2",
        "dtgate_console_logins_total{way=\"password\",result=\"refused\"} 2",
        "dtgate_console_sessions 2",
    ] {
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
    leaves(&gate, &cookie);
    assert!(!gate.log().contains("correct"), "{}", gate.log());
}

/// Logs out, which no page of somebody else can.
fn leaves(gate: &Gate, cookie: &str) {
    for fields in [
        "Origin: https://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let fields = format!("{fields}{cookie}");
        let left = ask(gate.admin, "POST", "/console/logout", &fields, "");
        assert_eq!(left.status, 403, "{fields}");
        assert_eq!(ask(gate.admin, "GET", "/console", cookie, "").status, 200);
    }
    let left = ask(
        gate.admin,
        "POST",
        "/console/logout",
        &format!("{FROM_HERE}{cookie}"),
        "",
    );
    assert_eq!(left.status, 303);
    assert_eq!(ask(gate.admin, "GET", "/console", cookie, "").status, 303);
}

/// A viewer who is no auditor.
fn sees_no_names(gate: &Gate, id: &str) {
    let entered = log_in(gate.admin, "victor", "correct+horse+battery", FROM_HERE);
    let viewers = entered
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let viewers = format!("Cookie: {viewers}\r\n");
    for target in PARTS.iter().chain(&["/console/decisions/2"]) {
        let answer = ask(gate.admin, "GET", target, &viewers, "");
        assert_eq!(answer.status, 200, "{target}");
        for private in [
            id,
            "ST2EY72KQINMH574WMNVI7YN",
            "dt0c01.",
            "127.0.0.1",
            "Remedy",
            "scopes[0]",
        ] {
            let html = text(&answer);
            let html = html.replace("placeholder=\"dt0c01.…\"", "");
            assert!(!html.contains(private), "{target}: {private}: {html}");
        }
    }
    for private in [
        "/console/decisions?token=x",
        "/console/decisions?text=x",
        "/console/decisions?code=x",
        "/console/decisions?client=127.0.0.1",
        "/console/tokens/x",
        "/console/decisions/2/proof",
    ] {
        assert_eq!(
            ask(gate.admin, "GET", private, &viewers, "").status,
            403,
            "{private}"
        );
    }
}

#[test]
fn a_page_of_somebody_else_cannot_ask_by_a_name_of_its_own() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, &format!("{OPEN}hosts = [\"gate.example\"]\n"));
    let by = |host: &str| {
        let text = format!("GET /console HTTP/1.1\r\nHost: {host}\r\n\r\n");
        exchange(gate.admin, text.as_bytes()).status
    };
    for fine in [
        "127.0.0.1:8081",
        "localhost",
        "[::1]:80",
        "gate.example:443",
    ] {
        assert_eq!(by(fine), 200, "{fine}");
    }
    assert_eq!(by("rebound.example"), 421);
}

#[test]
fn a_console_that_would_be_open_to_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    let check = |config: &str| {
        std::fs::write(
            &file,
            format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n{config}"),
        )
        .unwrap();
        let mut command = program();
        command.args(["check", "--config", file.to_str().unwrap(), "--policies"]);
        let output = command.arg(policies()).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout),
        )
    };
    for (config, wanted) in [
        (
            "[admin]\nlisten = \"0.0.0.0:0\"\n[console]\nlogin = \"none\"\n",
            "have it on an address of loopback",
        ),
        ("[console]\n", "console.passwords is missing"),
        (
            "[admin]\nlisten = \"0.0.0.0:0\"\n[console]\npasswords = \"x\"\n",
            "needs TLS",
        ),
        (
            "[console]\npasswords = \"/nowhere/users\"\n",
            "/nowhere/users",
        ),
    ] {
        let (is_fine, said) = check(config);
        assert!(!is_fine && said.contains(wanted), "{config}: {said}");
    }
    assert!(check(OPEN).0);
}

#[test]
fn the_command_shows_a_journal_and_asks_for_a_login_unless_told_otherwise() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, "");
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 403);
    assert_eq!(ask(gate.admin, "GET", "/console", "", "").status, 404);
    let journal = gate.journal();
    let mut command = program();
    command.args(["console", "--listen", "127.0.0.1:0", "--journal"]);
    command.arg(&journal);
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nobody could log in"));
    let mut child = command
        .args(["--no-login", "--policies"])
        .arg(policies())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut said).unwrap();
    let address = said.trim().strip_prefix("http://").unwrap();
    let address: SocketAddr = address.strip_suffix("/console").unwrap().parse().unwrap();
    let list = page(address, "/console/decisions");
    assert!(list.contains("forbidden_scopes"), "{list}");
    assert_eq!(
        ask(address, "GET", "/", "", "").header("location"),
        Some("/console")
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
