//! Several environments behind one gate: whose a request is, and that it can be no other's.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{GOOD, Gate, Upstream, eventually, policies, program, serving};
use crate::wire::Scripted;

/// Nothing may be changed where `tier` is "prod".
const TIER: &str = "package dtgate.tier\n\ndeny contains \"not in production\" if input.environment.data.tier == \"prod\"\n\ndeny contains \"never\" if input.change.scopes.added == [\"never\"]\n";

fn serve(configuration: &str) -> (Gate, TempDir) {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("policies")).unwrap();
    std::fs::write(files.path().join("policies/tier.rego"), TIER).unwrap();
    std::fs::write(files.path().join("dtgate.toml"), configuration).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(files.path().join("dtgate.toml"))
        .arg("--policies")
        .arg(files.path().join("policies"));
    (Gate::spawn(directory, command), files)
}

struct Three {
    gate: Gate,
    prod: Upstream,
    dev: Upstream,
    test: Upstream,
    _files: TempDir,
}

/// `prod` by host, `dev` by host and prefix, `test` by prefix, which it strips.
fn three() -> Three {
    let (prod, dev, test) = (
        Upstream::lenient(),
        Upstream::lenient(),
        Upstream::lenient(),
    );
    let configuration = format!(
        "[environments.prod]\nhosts = [\"prod.example\"]\nupstream.url = \"http://{}\"\ndata = {{ tier = \"prod\" }}\n\
         [environments.dev]\nhosts = [\"shared.example\"]\nid = \"dev1\"\nupstream.url = \"http://{}\"\ndata = {{ tier = \"dev\" }}\n\
         [environments.test]\nid = \"test1\"\nprefix = \"strip\"\nupstream.url = \"http://{}/below\"\n",
        prod.address, dev.address, test.address
    );
    let (gate, files) = serve(&configuration);
    Three {
        gate,
        prod,
        dev,
        test,
        _files: files,
    }
}

impl Three {
    fn send(&self, method: &str, host: &str, target: &str, body: &str) -> crate::harness::Answered {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        self.gate.raw(format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn seen(&self) -> [Vec<String>; 3] {
        [&self.prod, &self.dev, &self.test]
            .map(|upstream| upstream.seen().into_iter().map(|seen| seen.line).collect())
    }
}

#[test]
fn open_traffic_goes_to_the_environment_that_it_names() {
    let three = three();
    for (host, target) in [
        ("prod.example", "/api/v2/x?a=%2F"),
        ("PROD.example.:443", "/a//b"),
        ("shared.example", "/e/dev1/api/v2/x"),
        ("anybody", "/e/test1/api/v2/x?y"),
    ] {
        assert_eq!(
            three.send("GET", host, target, "").status,
            204,
            "{host} {target}"
        );
    }
    let absolute = three
        .gate
        .raw("GET http://prod.example/abs HTTP/1.1\r\nHost: prod.example\r\n\r\n");
    assert_eq!(absolute.status, 204);
    assert_eq!(
        three.seen().map(|lines| lines.join("\n")),
        [
            "GET /api/v2/x?a=%2F HTTP/1.1\nGET /a//b HTTP/1.1\nGET /abs HTTP/1.1",
            "GET /e/dev1/api/v2/x HTTP/1.1",
            "GET /below/api/v2/x?y HTTP/1.1",
        ]
    );
    eventually("the log says whose a request is", || {
        let log = three.gate.log();
        log.contains("\"environment\":\"test\"").then_some(())
    });
}

#[test]
fn what_names_no_environment_is_421_and_goes_nowhere() {
    let three = three();
    for (host, target, body) in [
        ("stranger.example", "/api/v2/x", ""),
        ("stranger.example", "/e/dev1/api/v2/x", ""),
        ("shared.example", "/api/v2/x", ""),
        ("prod.example", "/e/other/api/v2/x", ""),
        ("prod.example", "/e/dev1/api/v2/x", ""),
        ("prod.example", "/%65/dev1/x", ""),
        ("shared.example", "/e/dev1/../test1/x", ""),
        ("anybody", "/e/test1/e/dev1/x", ""),
        ("anybody", "/e/test1/../../x", ""),
        ("", "/x", ""),
        ("stranger.example", "/api/v1/tokens", GOOD),
        ("prod.example", "/e/other/api/v1/tokens", GOOD),
    ] {
        let before = three.gate.records().len();
        let method = if body.is_empty() { "GET" } else { "POST" };
        let answer = three.send(method, host, target, body);
        assert_eq!(answer.status, 421, "{host} {target}: {answer:?}");
        assert_eq!(answer.json()["error"]["code"], json!(421));
        assert!(answer.message().contains("was not sent"), "{answer:?}");
        // Guarded requests leave a record, as every refusal of one does.
        let recorded = three.gate.records().len() - before;
        assert_eq!(recorded, usize::from(!body.is_empty()), "{host} {target}");
    }
    let two = three
        .gate
        .raw("GET http://prod.example/x HTTP/1.1\r\nHost: shared.example\r\n\r\n");
    assert_eq!(two.status, 400, "{two:?}");
    assert_eq!(three.seen(), [const { Vec::<String>::new() }; 3]);
}

#[test]
fn a_change_is_judged_for_the_environment_that_it_goes_to() {
    let three = three();
    let id = "d5836312-5790-4e80-afcf-09971954c3ea";
    let denied = three.send("PUT", "prod.example", &format!("/api/v1/tokens/{id}"), GOOD);
    assert_eq!(denied.status, 403, "{denied:?}");
    assert!(denied.message().contains("not in production"), "{denied:?}");
    let kept = three.send(
        "PUT",
        "shared.example",
        &format!("/e/dev1/api/v1/tokens/{id}"),
        GOOD,
    );
    assert_eq!(kept.status, 204, "{kept:?}");
    let stripped = three.send(
        "PUT",
        "anybody",
        &format!("//e/test1/api/v1/tokens/{id}/"),
        GOOD,
    );
    assert_eq!(stripped.status, 204, "{stripped:?}");
    assert_eq!(
        three.seen().map(|lines| lines.join("\n")),
        [
            String::new(),
            format!("PUT /e/dev1/api/v1/tokens/{id} HTTP/1.1"),
            format!("PUT /below/api/v1/tokens/{id} HTTP/1.1"),
        ]
    );
    let environments: Vec<Value> = three
        .gate
        .records()
        .iter()
        .filter(|record| record["kind"] == "decision")
        .map(|record| record["input"]["environment"].clone())
        .collect();
    assert_eq!(
        environments,
        [
            json!({"name": "prod", "id": "", "data": {"tier": "prod"}}),
            json!({"name": "dev", "id": "dev1", "data": {"tier": "dev"}}),
            json!({"name": "test", "id": "test1", "data": {}}),
        ]
    );
    // The token was looked up there as well.
    let record = three.gate.records().pop().unwrap();
    assert_eq!(record["kind"], "outcome", "{record}");
}

#[test]
fn over_http_2_the_authority_names_the_environment() {
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let three = three();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let statuses = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(three.gate.address)
            .await
            .unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let mut statuses = Vec::new();
        for target in [
            "http://prod.example/x",
            "http://stranger.example/x",
            "http://shared.example/e/dev1/x",
        ] {
            let request = http::Request::get(target)
                .body(Empty::<bytes::Bytes>::new())
                .unwrap();
            statuses.push(
                client
                    .send_request(request)
                    .await
                    .unwrap()
                    .status()
                    .as_u16(),
            );
        }
        statuses
    });
    assert_eq!(statuses, [204, 421, 204]);
    assert_eq!(
        three.seen().map(|lines| lines.join("\n")),
        ["GET /x HTTP/1.1", "GET /e/dev1/x HTTP/1.1", ""]
    );
}

#[test]
fn each_environment_has_its_own_time_limits() {
    let (slow, quick) = (Scripted::start(), Upstream::lenient());
    let (gate, _files) = serve(&format!(
        "[environments.slow]\nhosts = [\"slow\"]\nupstream.url = \"http://{}\"\nupstream.response_timeout = \"200ms\"\n\
         [environments.quick]\nhosts = [\"quick\"]\nupstream.url = \"http://{}\"\n",
        slow.address, quick.address
    ));
    let get = |host: &str| {
        gate.raw(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .status
    };
    assert_eq!(get("slow"), 504);
    assert_eq!(get("quick"), 204);
}

#[test]
fn a_table_that_cannot_be_meant_is_found_by_check() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("dtgate.toml");
    let url = "upstream.url = \"http://127.0.0.1:9\"\n";
    for (text, reason) in [
        (format!("[upstream]\nurl = \"http://a\"\n[environments.a]\nid = \"x\"\n{url}"), "not both"),
        (format!("[environments.a]\nid = \"x\"\n{url}[environments.b]\nid = \"x\"\n{url}"), "could both be meant"),
        (format!("[environments.a]\nid = \"x\"\nhots = []\n{url}"), "unknown field `hots`"),
        ("[environments.a]\nid = \"x\"\nupstream.url = \"https://a\"\nupstream.ca = \"/nowhere.pem\"\n".to_owned(), "environments.a.upstream: /nowhere.pem"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let mut check = program();
        check.arg("check").arg("--config").arg(&file).arg("--policies").arg(policies());
        let output = check.output().unwrap();
        assert!(!output.status.success(), "{text}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn a_rate_limit_that_blocks_monaco_is_mended_on_every_answer() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 204 No Content\r\nX-RateLimit-Limit: 50\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1700000000000001\r\n\r\n".to_vec()
    });
    let gate = crate::harness::gate(upstream.address);
    for answer in [
        gate.send("GET", "/api/v2/x", ""),
        gate.send("POST", "/api/v1/tokens", GOOD),
    ] {
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-reset"), Some("1700000001"));
        assert_eq!(answer.header("x-ratelimit-limit"), Some("50"));
    }
}
