//! Bundles that a server has: whatever it does, what is enforced is the last good one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Works, after, faults, in_force, named, names_are, status};
use crate::alerts::{Scrape, look};
use crate::harness::{Gate, Seen, TOKEN, Upstream, copy, eventually, gate, program, verify};
use crate::reload::{Load, decided_by_what_is_in_force};
use crate::tls::clients::metric;

/// What a server does.
#[derive(Clone)]
enum Shown {
    /// With its `ETag`.
    Bundle(Vec<u8>, &'static str),
    Raw(Vec<u8>),
}

struct Server {
    upstream: Upstream,
    shown: Arc<Mutex<Shown>>,
    content_type: Arc<Mutex<&'static str>>,
}

impl Server {
    fn new(bundle: Vec<u8>, etag: &'static str) -> Self {
        let shown = Arc::new(Mutex::new(Shown::Bundle(bundle, etag)));
        let content_type = Arc::new(Mutex::new("application/gzip"));
        let (answering, kind) = (shown.clone(), content_type.clone());
        let upstream = Upstream::answering_all(move |seen: &Seen| {
            match &*answering.lock().unwrap() {
                Shown::Raw(bytes) => bytes.clone(),
                Shown::Bundle(_, etag) if seen.header("if-none-match") == Some(etag) => {
                    format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n").into_bytes()
                }
                Shown::Bundle(bytes, etag) => {
                    let kind = kind.lock().unwrap();
                    let length = bytes.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
                    );
                    [head.as_bytes(), bytes].concat()
                }
            }
        });
        Self {
            upstream,
            shown,
            content_type,
        }
    }

    fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap() = shown;
    }

    fn configure(&self, works: &Works, more: &str) {
        let path = |name: &str| works.path(name).display().to_string();
        let (state, key, token) = (path("state"), path("public.pem"), path("token"));
        works.write("token", "hunter2\n");
        let address = self.upstream.address;
        works.write(
            "dtgate.toml",
            &format!(
                "upstream.url = \"http://127.0.0.1:9\"\nadmin.authzen = true\nreload.interval = \"1h\"\npolicies.state = \"{state}\"\n\
                 [policies.bundles.platform]\nurl = \"http://{address}/platform.tar.gz\"\ntoken_file = \"{token}\"\n\
                 min_delay = \"10ms\"\nmax_delay = \"20ms\"\ntimeout = \"500ms\"\n{more}\
                 signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n"
            ),
        );
    }

    /// Waits for a request that is like this, after those that there are.
    fn asked(&self, what: &str, is_it: impl Fn(&Seen) -> bool) {
        let before = self.upstream.seen().len();
        eventually(what, || {
            let seen = self.upstream.seen();
            seen.iter().skip(before).any(&is_it).then_some(())
        });
    }
}

fn serve(works: &Works, upstream: &Upstream) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(upstream, &directory);
    Gate::spawn(directory, command)
}

fn download(gate: &Gate) -> Value {
    status(gate)["bundles"][0].clone()
}

#[test]
fn a_bundle_is_fetched_asked_for_by_its_etag_and_replaced() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"one\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
    let first = status(&gate);
    assert_eq!(first["policies"]["bundles"][0]["revision"], "a");
    let asks = |etag: &'static str| move |seen: &Seen| seen.header("if-none-match") == Some(etag);
    server.asked("the ETag of what is in force is shown", asks("\"one\""));
    let seen = server.upstream.seen();
    assert_eq!(seen[0].header("authorization"), Some("Bearer hunter2"));
    assert_eq!(seen[0].header("if-none-match"), None);
    assert!(!gate.log().contains("hunter2"));

    server.show(Shown::Bundle(works.bundle("names", "b", 2), "\"two\""));
    let second = after(&gate, &first);
    assert_eq!(second["reload"]["last"]["trigger"], "bundle");
    assert_eq!(second["reload"]["last"]["ok"], true, "{second}");
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (403, 204));
    server.asked("the next ETag is shown", asks("\"two\""));
    assert_eq!(download(&gate)["error"], Value::Null);
    verify(&gate.journal());
}

#[test]
fn whatever_a_server_does_the_last_good_bundle_stays_in_force() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let first = status(&gate);
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\n{more}\r\n").into_bytes();
    let half = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        1 << 30
    );
    for (raw, said) in [
        (
            head("503 Down", "Content-Length: 0\r\n"),
            "the answer is 503",
        ),
        (
            head(
                "302 Found",
                "Location: http://elsewhere.example/\r\nContent-Length: 0\r\n",
            ),
            "a redirect, which is not followed",
        ),
        // Nothing at all.
        (Vec::new(), "no answer within"),
        // Ever so slowly: the rest never comes.
        (half.into_bytes(), "no answer within"),
        (
            head("200 OK", "Content-Length: 0\r\n"),
            "the answer is empty",
        ),
    ] {
        server.show(Shown::Raw(raw));
        eventually(said, || {
            let error = download(&gate)["error"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            error.contains(said).then_some(())
        });
        assert_eq!(in_force(&status(&gate)), in_force(&first), "{said}");
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
    }
    eventually("the log says so", || {
        gate.log()
            .contains("what was in force last stays")
            .then_some(())
    });
}

/// Waits until a bundle is refused for this reason: when it came, or when it was read with all others.
fn refused(gate: &Gate, said: &str) -> Value {
    eventually("it is refused", || {
        let told = status(gate);
        let reasons = [
            &told["bundles"][0]["error"],
            &told["reload"]["last"]["error"],
        ];
        let is_it = |reason: &&Value| reason.as_str().is_some_and(|it| it.contains(said));
        reasons.iter().any(is_it).then_some(told)
    })
}

#[test]
fn what_cannot_be_in_force_is_fetched_again_and_its_etag_never_shown() {
    let works = Works::new();
    let good = works.bundle("names", "a", 3);
    let server = Server::new(good.clone(), "\"good\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let first = status(&gate);
    let next = works.bundle("names", "b", 4);
    for (bundle, said) in [
        (next[..next.len() / 2].to_vec(), "it is cut"),
        (
            works.bundle("names", "b", 2),
            "its sequence is 2, and 3 was in force already",
        ),
        (
            Works::new().bundle("names", "b", 4),
            "the signature is wrong",
        ),
    ] {
        server.show(Shown::Bundle(bundle, "\"bad\""));
        let told = refused(&gate, said);
        assert_eq!(in_force(&told), in_force(&first), "{said}");
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
        let before = server.upstream.seen().len();
        eventually("it is asked for again", || {
            (server.upstream.seen().len() > before).then_some(())
        });
    }
    let seen = server.upstream.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("if-none-match") != Some("\"bad\""))
    );
    // The server has the good one again: nothing is refused any more.
    server.show(Shown::Bundle(good, "\"good\""));
    eventually("nothing is refused any more", || {
        (status(&gate)["reload"]["refused"] == false).then_some(())
    });
    server.show(Shown::Bundle(next, "\"next\""));
    eventually("the next one is in force", || {
        (named(&gate, "b") == 204).then_some(())
    });
}

#[test]
fn a_start_without_network_takes_what_was_in_force_last_and_says_so() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let first = status(&gate);
    // The last that came was refused.
    server.show(Shown::Bundle(
        Works::new().bundle("names", "b", 4),
        "\"bad\"",
    ));
    refused(&gate, "the signature is wrong");
    drop(gate);
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let gate = serve(&works, &upstream);
    assert_eq!(in_force(&status(&gate)), in_force(&first));
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
    eventually("the log says so", || {
        gate.log()
            .contains("what was in force last stays")
            .then_some(())
    });
}

/// A state that was set back, as by a backup, while no server can be asked; and one as an earlier build has left it.
#[test]
fn a_start_without_network_takes_no_state_that_was_set_back_and_one_that_knows_less() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"3\"");
    server.configure(&works, "");
    let (upstream, directory) = (Upstream::lenient(), tempfile::tempdir().unwrap());
    let start = || {
        let command = works.serving(&upstream, &directory);
        Gate::spawn(tempfile::tempdir().unwrap(), command)
    };
    let down = || Shown::Raw(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec());
    let gate = start();
    let (state, older) = (works.path("state"), works.path("older"));
    copy(&state, &older);
    let next = works.bundle("names", "b", 5);
    server.show(Shown::Bundle(next.clone(), "\"5\""));
    eventually("the next one is in force", || {
        (named(&gate, "b") == 204).then_some(())
    });
    let second = status(&gate);
    drop(gate);

    // All that an earlier build knew.
    let known = state.join("platform.json");
    let mut told: Value = serde_json::from_slice(&std::fs::read(&known).unwrap()).unwrap();
    let members = told.as_object_mut().unwrap();
    members.retain(|name, _| ["digest", "sequence"].contains(&name.as_str()));
    std::fs::write(&known, told.to_string()).unwrap();
    server.show(down());
    let gate = start();
    assert_eq!(in_force(&status(&gate)), in_force(&second));
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (403, 204));
    drop(gate);

    std::fs::remove_dir_all(&state).unwrap();
    copy(&older, &state);
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("its sequence is 3, and 5 was in force already"),
        "{said}"
    );
    server.show(Shown::Bundle(next, "\"5\""));
    let gate = start();
    assert_eq!(in_force(&status(&gate)), in_force(&second));
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (403, 204));
}

/// What can be wrong with one in a file can be wrong with one of a server.
#[test]
fn a_bundle_of_a_server_that_is_wrong_changes_nothing_and_the_status_says_why() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    let other = Server::new(works.bundle("team", "a", 1), "\"team\"");
    configure_two(&works, [&server, &other], "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let first = status(&gate);
    let next = works.bundle("names", "b", 4);
    let mut faults = faults(&works, &next);
    // Roots of the other one.
    faults.push((works.bundle("team", "b", 4), "dtgate/team"));
    for (number, (bundle, said)) in faults.into_iter().enumerate() {
        let etag: &'static str = format!("\"{number}\"").leak();
        server.show(Shown::Bundle(bundle, etag));
        let told = eventually("the status says why", || {
            let told = status(&gate);
            let its = told["bundles"].as_array().unwrap().iter();
            let mut its = its.filter(|it| it["name"] == "platform");
            let error = its.next()?["error"].as_str()?.to_owned();
            error.contains(said).then_some(told)
        });
        assert_eq!(in_force(&told), in_force(&first), "{said}");
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
        let before = server.upstream.seen().len();
        eventually("it is asked for again", || {
            (server.upstream.seen().len() > before).then_some(())
        });
        let seen = server.upstream.seen();
        let shown = |seen: &&Seen| seen.header("if-none-match") == Some(etag);
        assert_eq!(seen.iter().filter(shown).count(), 0, "{said}");
    }
    verify(&gate.journal());
}

#[test]
fn a_check_fetches_what_no_gate_has_fetched_yet_and_keeps_nothing() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "");
    let check = || {
        let mut check = program();
        check
            .args(["check", "--config"])
            .arg(works.path("dtgate.toml"));
        check.output().unwrap()
    };
    let checked = check();
    assert!(checked.status.success(), "{checked:?}");
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("bundle platform: revision a, sequence 3"),
        "{said}"
    );
    assert!(!works.path("state").exists());
    server.show(Shown::Raw(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let said = String::from_utf8(check().stderr).unwrap();
    assert!(said.contains("the answer is 404"), "{said}");
}

#[test]
fn a_first_start_without_its_server_is_refused() {
    let works = Works::new();
    let server = Server::new(Vec::new(), "\"none\"");
    server.configure(&works, "");
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let directory: TempDir = tempfile::tempdir().unwrap();
    let upstream = Upstream::lenient();
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("policies.bundles.platform: http://127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("the answer is 503"), "{said}");
}

#[test]
fn a_gate_whose_server_is_silent_for_too_long_is_not_ready() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "max_age = \"2s\"\n");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    assert_eq!(gate.ready().status, 200);
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let said = eventually("it is not ready", || {
        let ready = gate.ready();
        (ready.status == 503).then_some(ready.body)
    });
    assert!(
        said.contains("bundle platform: its server has not answered since"),
        "{said}"
    );
    // It judges all the same.
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
    server.show(Shown::Bundle(works.bundle("names", "a", 4), "\"next\""));
    eventually("it is ready again", || {
        (gate.ready().status == 200).then_some(())
    });
}

#[test]
fn a_gate_that_may_not_use_old_policies_refuses_changes_but_those_that_only_disable() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "max_age = \"2s\"\nwhen_stale = \"refuse\"\n");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    assert_eq!(named(&gate, "a"), 204);
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let refused = eventually("changes are refused", || {
        let answer = gate.send("PUT", TOKEN, r#"{"name": "a"}"#);
        (answer.status == 500).then_some(answer)
    });
    let said = refused.message();
    assert!(
        said.contains("its policies may be out of date") && said.contains("bundle platform"),
        "{said}"
    );
    let forwarded = upstream.seen().len();
    assert_eq!(named(&gate, "a"), 500);
    assert_eq!(upstream.seen().len(), forwarded);
    // Who asks beforehand is told the same.
    let asked = |body: &str| {
        let question = format!(
            r#"{{"subject": {{"type": "token", "id": "dt0c01.ST2EY72KQINMH574WMNVI7YN"}}, "action": {{"name": "token.update", "properties": {{"api": "v1"}}}}, "resource": {{"type": "token", "id": "d5836312-5790-4e80-afcf-09971954c3ea", "properties": {{"body": {body}}}}}}}"#
        );
        let text = format!(
            "POST /access/v1/evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{question}",
            question.len()
        );
        crate::harness::exchange(gate.admin, text.as_bytes()).json()
    };
    let told = asked(r#"{"name": "a"}"#);
    assert_eq!(told["decision"], false, "{told}");
    assert_eq!(told["context"]["error"]["status"], 500, "{told}");
    assert_eq!(asked(r#"{"revoked": true}"#)["decision"], true);
    // What leaks has to be stopped, and what is open streams on.
    assert_eq!(gate.send("PUT", TOKEN, r#"{"revoked": true}"#).status, 204);
    assert_ne!(gate.send("GET", "/api/v2/metrics", "").status, 500);
    let last = gate
        .records()
        .into_iter()
        .rfind(|it| it["verdict"] == "deny");
    let recorded = last.unwrap().to_string();
    assert!(recorded.contains("may be out of date"), "{recorded}");
    server.show(Shown::Bundle(works.bundle("names", "a", 4), "\"next\""));
    eventually("changes are judged again", || {
        (named(&gate, "a") == 204).then_some(())
    });
}

#[test]
fn a_bundle_that_cannot_be_in_force_keeps_no_other_file_from_being_read() {
    let works = Works::new();
    let good = works.bundle("names", "a", 3);
    let server = Server::new(good.clone(), "\"good\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let broken = works.bundle("names", "\" + \"", 5);
    for (bundle, said, more) in [
        (
            works.bundle("names", "b", 2),
            "its sequence is 2",
            "max_age = \"1h\"\n",
        ),
        (broken, "names.rego", "max_age = \"2h\"\n"),
    ] {
        server.show(Shown::Bundle(bundle, "\"bad\""));
        refused(&gate, said);
        eventually("it is put aside", || {
            let error = download(&gate)["error"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            error
                .contains("what the server has was refused: ")
                .then_some(())
        });
        assert_eq!(status(&gate)["reload"]["refused"], true);
        server.configure(&works, more);
        gate.signal("HUP");
        eventually("the configuration is in force", || {
            let last = &status(&gate)["reload"]["last"];
            (last["ok"] == true && last["trigger"] == "signal").then_some(())
        });
        // It is tried once more, and refused.
        eventually("it is refused again", || {
            (status(&gate)["reload"]["refused"] == true).then_some(())
        });
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
    }
    server.show(Shown::Bundle(good, "\"good\""));
    eventually("nothing is refused any more", || {
        let told = status(&gate);
        (told["reload"]["refused"] == false && told["bundles"][0]["error"] == Value::Null)
            .then_some(())
    });
    verify(&gate.journal());
}

/// As with files of a directory: nobody is judged by half a set, and none of the requests fails.
#[test]
fn no_request_sees_half_a_set_while_bundles_are_fetched_under_load() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"1\"");
    server.configure(&works, "");
    let path = works.path("dtgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("limits.denials = 1000000\n{text}")).unwrap();
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let bodies = ["a", "b", "c", "a"].map(|name| json!({ "name": name }).to_string());
    let bodies = bodies.each_ref().map(String::as_str);
    let load = Load::on(&gate, &bodies);
    let mut before = status(&gate);
    for (sequence, (name, etag)) in (2..).zip([("b", "\"2\""), ("c", "\"3\""), ("a", "\"4\"")]) {
        let sent = load.sent();
        eventually("requests go on", || {
            (load.sent() > sent + 200).then_some(())
        });
        server.show(Shown::Bundle(works.bundle("names", name, sequence), etag));
        before = after(&gate, &before);
        let last = &before["reload"]["last"];
        assert_eq!(
            (&last["ok"], &last["trigger"]),
            (&json!(true), &json!("bundle"))
        );
        // One that cannot be in force changes nothing meanwhile, and the status says why.
        let broken = works.bundle("names", "\" + \"", sequence + 10);
        server.show(Shown::Bundle(broken, "\"bad\""));
        before = refused(&gate, "names.rego");
        assert_eq!(before["policies"]["bundles"][0]["revision"], name);
    }
    let statuses = load.end();
    for statuses in &statuses {
        assert!(
            statuses.keys().all(|status| [204, 403].contains(status)),
            "{statuses:?}"
        );
    }
    let all: usize = statuses.iter().flat_map(BTreeMap::values).sum();
    assert_eq!(decided_by_what_is_in_force(&gate.records()), all);
    verify(&gate.journal());
}

/// Where nobody looks at files, a signal has what was refused tried again; and `/status` says all that is wrong with it.
#[test]
fn a_refused_bundle_is_tried_again_where_files_are_not_watched() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"1\"");
    server.configure(&works, "");
    let path = works.path("dtgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let requests = works.path("requests").display().to_string();
    let text = text.replace("reload.interval = \"1h\"", "reload.watch = false");
    let text = format!("{text}[policies.activation]\nrequests = \"{requests}\"\n");
    std::fs::write(&path, text).unwrap();
    for (file, method) in [("one", "PUT"), ("two", "PUT")] {
        let request = format!(
            "{method} {TOKEN} HTTP/1.1\nHost: dtgate\nAuthorization: Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{}\nContent-Type: application/json\n\n{{\"name\": \"b\"}}\n",
            "B".repeat(64)
        );
        works.write(&format!("requests/deny/{file}.http"), &request);
    }
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    server.show(Shown::Bundle(works.bundle("names", "b", 2), "\"2\""));
    let refusals = || {
        let records = gate.records().into_iter();
        let refused = records.filter(|it| it["kind"] == "reload" && it["ok"] == false);
        refused.count()
    };
    refused(&gate, "it has to be denied");
    let error = eventually("it is put aside", || {
        let error = download(&gate)["error"].as_str()?.to_owned();
        error.contains("was refused").then_some(error)
    });
    for file in ["one.http", "two.http"] {
        assert!(error.contains(file), "{error}");
    }
    eventually("the refusal is recorded", || {
        (refusals() == 1).then_some(())
    });
    gate.signal("HUP");
    eventually("it is tried again", || (refusals() > 1).then_some(()));
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
}

/// Two bundles, of which the second is on a server of its own.
fn configure_two(works: &Works, [platform, team]: [&Server; 2], more: &str) {
    let key = works.path("public.pem").display().to_string();
    let address = team.upstream.address;
    let second = format!(
        "signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n[policies.bundles.team]\n\
         url = \"http://{address}/team.tar.gz\"\nmin_delay = \"10ms\"\nmax_delay = \"20ms\"\n{more}"
    );
    platform.configure(works, &second);
}

#[test]
fn a_bundle_that_came_with_another_that_is_refused_is_in_force_all_the_same() {
    let works = Works::new();
    let platform = Server::new(works.bundle("names", "a", 1), "\"one\"");
    let quiet = works.bundle("team", "a", 1);
    let team = Server::new(quiet, "\"one\"");
    configure_two(&works, [&platform, &team], "");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let broken = works.bundle("team", "\" + \"", 2);
    let revision = |told: &Value, name: &str| {
        let bundles = told["policies"]["bundles"].as_array().unwrap();
        let bundle = bundles.iter().find(|it| it["name"] == name).unwrap();
        bundle["revision"].as_str().unwrap().to_owned()
    };
    // Both for the same reading: it takes a while.
    team.show(Shown::Bundle(broken, "\"two\""));
    platform.show(Shown::Bundle(works.bundle("names", "b", 2), "\"two\""));
    let told = eventually("the one that is right is in force", || {
        let told = status(&gate);
        (revision(&told, "platform") == "b").then_some(told)
    });
    assert_eq!(revision(&told, "team"), "a");
    eventually("the other one is refused", || {
        (status(&gate)["reload"]["refused"] == true).then_some(())
    });
    assert_eq!(revision(&status(&gate), "platform"), "b");
    verify(&gate.journal());
}

/// It was refused with the file, and the message blamed the server.
#[test]
fn a_bundle_in_a_file_that_is_refused_holds_up_none_that_a_server_has() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"one\"");
    works.put("team.tar.gz", &works.bundle("team", "a", 5));
    let (file, key) = (works.path("team.tar.gz"), works.path("public.pem"));
    let (file, key) = (file.display(), key.display());
    let team = format!(
        "signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n[policies.bundles.team]\nfile = \"{file}\"\n"
    );
    server.configure(&works, &team);
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let sequences = || -> Vec<Value> {
        let bundles = status(&gate)["policies"]["bundles"].clone();
        let bundles = bundles.as_array().unwrap().iter();
        bundles.map(|it| it["sequence"].clone()).collect()
    };
    works.put("team.tar.gz", &works.bundle("team", "b", 4));
    gate.signal("HUP");
    refused(&gate, "its sequence is 4");
    for (sequence, etag) in [(2, "\"two\""), (3, "\"three\"")] {
        let next = works.bundle("names", "a", sequence);
        server.show(Shown::Bundle(next, etag));
        eventually("what the server has is in force", || {
            (sequences() == [json!(sequence), json!(5)]).then_some(())
        });
        let told = eventually("the file is named", || {
            let told = status(&gate);
            let last = &told["reload"]["last"];
            (last["ok"] == false && told["reload"]["refused"] == true).then_some(told)
        });
        let error = told["reload"]["last"]["error"].as_str().unwrap();
        assert!(
            error.contains("team.tar.gz/.manifest: its sequence is 4"),
            "{error}"
        );
        assert_eq!(told["bundles"][0]["error"], Value::Null, "{told}");
    }
    works.put("team.tar.gz", &works.bundle("team", "a", 6));
    gate.signal("HUP");
    eventually("nothing is refused any more", || {
        let is_well = status(&gate)["reload"]["refused"] == false;
        (is_well && sequences() == [json!(3), json!(6)]).then_some(())
    });
    verify(&gate.journal());
}

/// The files were again as they had been in force once, and something else was.
#[test]
fn what_is_put_back_behind_a_bundle_that_came_beside_is_in_force_again() {
    let works = Works::new();
    let first = works.bundle("names", "a", 1);
    let server = Server::new(first.clone(), "\"one\"");
    let right = works.bundle("team", "a", 5);
    works.put("team.tar.gz", &right);
    let (file, key) = (works.path("team.tar.gz"), works.path("public.pem"));
    let (file, key) = (file.display(), key.display());
    let team = format!(
        "signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n[policies.bundles.team]\nfile = \"{file}\"\n"
    );
    server.configure(&works, &team);
    let text = std::fs::read_to_string(works.path("dtgate.toml")).unwrap();
    let any_age = "policies.allow_rollback = \"a test\"\npolicies.state";
    works.write("dtgate.toml", &text.replace("policies.state", any_age));
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    works.put("team.tar.gz", b"no bundle");
    server.show(Shown::Bundle(works.bundle("names", "b", 2), "\"two\""));
    eventually("it is in force beside what the file was", || {
        let told = status(&gate);
        let is_refused = told["reload"]["refused"] == true;
        (is_refused && told["policies"]["bundles"][0]["revision"] == "b").then_some(())
    });
    // Nobody looks at the file before the server has its first one again.
    works.put("team.tar.gz", &right);
    server.show(Shown::Bundle(first, "\"one\""));
    eventually("what was put back is in force", || {
        let is_well = status(&gate)["reload"]["refused"] == false;
        (is_well && named(&gate, "a") == 204).then_some(())
    });
    verify(&gate.journal());
}

/// A server's bundle beside a directory with a policy and its test; the configuration.
fn beside_a_directory() -> (Works, Server, String) {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"one\"");
    works.write("own/own.rego", &names_are("own", "a"));
    let own_test = "package dtgate.own_test\n\nimport data.dtgate.own\n\ntest_it if count(own.deny) == 0 with input as {\"change\": {\"name\": {\"requested\": \"a\"}}}\n";
    works.write("own/own_test.rego", own_test);
    server.configure(&works, "");
    let configured = std::fs::read_to_string(works.path("dtgate.toml")).unwrap();
    let own = works.path("own").display().to_string();
    let configured = format!("policies.directory = \"{own}\"\n{configured}");
    works.write("dtgate.toml", &configured);
    (works, server, configured)
}

/// A reload after this one was refused for what is said, and nothing is said of the server.
fn named_and_not_the_server(gate: &Gate, before: &Value, said: &str) -> Value {
    let told = eventually("the file is named, and not the server", || {
        let told = status(gate);
        let last = &told["reload"]["last"];
        let is_told = last["ok"] == false && last["at"] != before["reload"]["last"]["at"];
        (is_told && told["reload"]["refused"] == true).then_some(told)
    });
    let error = told["reload"]["last"]["error"].as_str().unwrap();
    assert!(error.contains(said), "{error}");
    assert_eq!(told["bundles"][0]["error"], Value::Null, "{told}");
    told
}

/// A configuration that names no bundle, and a file that is not there.
fn without_bundles(configured: &str) -> String {
    let at = configured.find("[policies.bundles").unwrap();
    let kept = configured.get(..at).unwrap();
    format!("{kept}lookup.token_file = \"/no-such-file\"\n")
}

/// Until all files are right, of each kind: a policy that cannot be read, one that does not pass its test, and the
/// configuration itself.
#[test]
fn files_that_are_wrong_hold_up_nothing_that_a_server_has() {
    let (works, server, configured) = beside_a_directory();
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let right = names_are("own", "a");
    let sequence = || status(&gate)["policies"]["bundles"][0]["sequence"].clone();
    let wrong = [
        (
            "own/own.rego",
            "package dtgate.own\n\ndeny contains x if {\n".to_owned(),
            "own.rego",
        ),
        (
            "own/own.rego",
            names_are("own", "b"),
            "do not pass their tests",
        ),
        ("own/more.yaml", "a: [".to_owned(), "more.yaml"),
        // What is right of it is not in force either.
        (
            "dtgate.toml",
            format!("unknown_writes = \"reject\"\n{configured}no_such_key = 1\n"),
            "no_such_key",
        ),
        // It can be read, and leaves the bundle out.
        ("dtgate.toml", without_bundles(&configured), "no-such-file"),
    ];
    for (number, (name, text, said)) in (2_u32..).zip(wrong) {
        works.write(name, &text);
        gate.signal("HUP");
        refused(&gate, said);
        let told = "is refused, and everything stays as it is: ";
        eventually("the log says so", || {
            gate.log().contains(told).then_some(())
        });
        let before = status(&gate);
        let next = works.bundle("names", "a", number);
        let etag: &'static str = format!("\"{number}\"").leak();
        server.show(Shown::Bundle(next, etag));
        eventually("what the server has is in force", || {
            (sequence() == json!(number)).then_some(())
        });
        let told = named_and_not_the_server(&gate, &before, said);
        assert_eq!(told["policies"]["names"], json!(["names", "own"]));
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
        let last = gate
            .records()
            .into_iter()
            .rfind(|it| it["kind"] == "reload" && it["ok"] == true);
        // Another number, the same policies; and nothing else.
        assert_eq!(last.unwrap()["changed"], json!([]), "{said}");
        // One that is wrong as well is blamed, and nothing comes in force.
        server.show(Shown::Bundle(
            works.bundle("names", "\" + \"", number + 10),
            "\"bad\"",
        ));
        eventually("it is put aside", || {
            let error = download(&gate)["error"].as_str()?.to_owned();
            error.contains("was refused").then_some(())
        });
        assert_eq!(sequence(), json!(number));
        match name {
            "dtgate.toml" => works.write(name, &configured),
            "own/more.yaml" => std::fs::remove_file(works.path(name)).unwrap(),
            _ => works.write(name, &right),
        }
        let next = works.bundle("names", "a", number);
        server.show(Shown::Bundle(next, etag));
        gate.signal("HUP");
        eventually("nothing is refused any more", || {
            (status(&gate)["reload"]["refused"] == false).then_some(())
        });
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
    }
    let log = gate.log();
    assert!(log.contains("what servers have is in force, beside all else as it was"));
    assert!(log.contains("everything stays but for bundles of servers, which are in force: "));
    verify(&gate.journal());
}

#[test]
fn a_gate_says_that_what_its_server_has_is_refused_and_for_how_long() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "max_age = \"2s\"\n");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let checked = program()
        .args(["check", "--config"])
        .arg(works.path("dtgate.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("shorter than max_delay, long_poll and timeout"),
        "{said}"
    );
    server.show(Shown::Bundle(works.bundle("names", "b", 2), "\"bad\""));
    let said = eventually("it is not ready", || {
        let ready = gate.ready();
        (ready.status == 503).then_some(ready.body)
    });
    assert!(
        said.contains("bundle platform: what its server has is refused"),
        "{said}"
    );
}

#[test]
fn a_check_with_a_bundle_that_is_missing_knows_what_is_known_of_the_others() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "");
    drop(serve(&works, &Upstream::lenient()));
    server.show(Shown::Bundle(works.bundle("names", "a", 2), "\"old\""));
    let other = Server::new(works.bundle("other", "a", 1), "\"other\"");
    let key = works.path("public.pem").display().to_string();
    let more = format!(
        "signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n[policies.bundles.other]\n\
         url = \"http://{}/other.tar.gz\"\n",
        other.upstream.address
    );
    server.configure(&works, &more);
    let mut check = program();
    check
        .args(["check", "--config"])
        .arg(works.path("dtgate.toml"));
    let checked = check.output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("bundle platform: revision a, sequence 3"),
        "{said} {:?}",
        checked.stderr
    );
    assert!(
        said.contains("bundle other: revision a, sequence 1"),
        "{said}"
    );
}

#[test]
fn a_server_that_can_wait_is_asked_to() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    *server.content_type.lock().unwrap() = "application/vnd.openpolicyagent.bundles";
    server.configure(&works, "long_poll = \"7s\"\n");
    let upstream = Upstream::lenient();
    let _gate = serve(&works, &upstream);
    // Its kind is known by what it sent when it was asked by the task for the first time.
    server.show(Shown::Bundle(works.bundle("names", "a", 4), "\"next\""));
    server.asked("it is asked to wait", |seen| {
        seen.header("prefer") == Some("modes=snapshot;wait=7")
    });
    assert_eq!(
        json!(server.upstream.seen()[0].header("prefer")),
        "modes=snapshot"
    );
}

/// The files are the same, and the archive is another each time.
#[test]
fn a_server_with_ever_new_bundles_keeps_no_core_busy_and_each_that_was_in_force_is_kept() {
    let works = Works::new();
    let bundle = works.bundle("names", "a", 3);
    let sent = Mutex::new(0_u8);
    let upstream = Upstream::answering_all(move |_| {
        let mut sent = sent.lock().unwrap();
        *sent = sent.wrapping_add(1);
        let mut bytes = bundle.clone();
        // The moment in the head of gzip.
        bytes[4] = *sent;
        let length = bytes.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), &bytes].concat()
    });
    let server = Server {
        upstream,
        ..Server::new(Vec::new(), "")
    };
    server.configure(&works, "");
    let gate = serve(&works, &Upstream::lenient());
    let generation = || status(&gate)["generation"].as_u64().unwrap();
    eventually("a few were in force", || (generation() >= 4).then_some(()));
    let limit = "dtgate_limit_reached_total{limit=\"activations\"}";
    assert!(metric(&gate, limit) >= 3);
    let log = gate.log();
    assert!(
        !log.contains("somebody has put another in its place"),
        "{log}"
    );
    assert_eq!(named(&gate, "a"), 204);
}

/// Its server answers once, and not again.
pub(crate) fn bundle_not_fetched() -> [Scrape; 2] {
    let upstream = Upstream::lenient();
    let before = look(gate(upstream.address).admin);
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 1), "\"one\"");
    server.configure(&works, "");
    let gate = serve(&works, &upstream);
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    eventually("it is said", || {
        download(&gate)["error"].as_str().map(str::to_owned)
    });
    [before, look(gate.admin)]
}

/// Every part of it is well but what the policy says.
fn broken(works: &Works) -> Vec<u8> {
    works.write(
        "broken/names.rego",
        "package dtgate.names\n\ndeny contains \"no\" if input.nobody_has_this == 1\n",
    );
    let made = program()
        .args(["build", "--revision", "broken", "--sequence", "7"])
        .args(["--signing-alg", "ES256", "--root", "dtgate/names"])
        .arg("--signing-key")
        .arg(works.path("key.pem"))
        .arg("--output")
        .arg(works.path("broken.tar.gz"))
        .arg(works.path("broken"))
        .output()
        .unwrap();
    if made.status.success() {
        return std::fs::read(works.path("broken.tar.gz")).unwrap();
    }
    panic!("{made:?}");
}

#[test]
fn a_first_start_that_was_refused_is_repaired_by_its_server() {
    let works = Works::new();
    let server = Server::new(broken(&works), "\"broken\"");
    server.configure(&works, "");
    let upstream = Upstream::lenient();
    let directory: TempDir = tempfile::tempdir().unwrap();
    let refused = works.serving(&upstream, &directory).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("nobody_has_this"), "{said}");
    assert!(works.path("state/platform.tar.gz").exists());
    // Without an answer, what is there is read, and refused as before.
    server.show(Shown::Raw(
        b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ));
    let refused = works.serving(&upstream, &directory).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("nobody_has_this"), "{said}");
    server.show(Shown::Bundle(works.bundle("names", "a", 8), "\"good\""));
    let gate = serve(&works, &upstream);
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
}

#[test]
fn a_bundle_that_is_added_and_refused_is_repaired_by_its_server() {
    let works = Works::new();
    let server = Server::new(broken(&works), "\"broken\"");
    works.put("local.tar.gz", &works.bundle("other", "a", 1));
    works.configuration(&["local"]);
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let local = std::fs::read_to_string(works.path("dtgate.toml")).unwrap();
    server.configure(&works, "roots = [\"dtgate/names\"]\n");
    let remote = std::fs::read_to_string(works.path("dtgate.toml")).unwrap();
    let section = remote.split_once("[policies.bundles.platform]").unwrap().1;
    works.write(
        "dtgate.toml",
        &format!("{local}[policies.bundles.platform]{section}"),
    );
    eventually("it is refused", || {
        let told = status(&gate);
        let error = told["reload"]["last"]["error"].as_str().unwrap_or_default();
        error.contains("nobody_has_this").then_some(())
    });
    server.show(Shown::Bundle(works.bundle("names", "a", 8), "\"good\""));
    gate.signal("HUP");
    eventually("it is in force", || {
        let told = status(&gate);
        let bundles = told["policies"]["bundles"].as_array().map(Vec::len);
        (bundles == Some(2)).then_some(())
    });
}

#[test]
fn a_restart_makes_no_stale_gate_fresh() {
    let works = Works::new();
    let server = Server::new(works.bundle("names", "a", 3), "\"good\"");
    server.configure(&works, "max_age = \"3s\"\n");
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    assert_eq!(gate.ready().status, 200);
    // What it has now is refused: it does not vouch for what is in force.
    server.show(Shown::Bundle(broken(&works), "\"broken\""));
    let not_ready = || {
        let ready = gate.ready();
        (ready.status == 503).then_some(())
    };
    eventually("it is not ready", not_ready);
    drop(gate);
    let gate = serve(&works, &upstream);
    let ready = gate.ready();
    assert_eq!(ready.status, 503, "{}", ready.body);
}

#[test]
fn a_pipe_in_the_place_of_a_bundle_stops_no_reload() {
    let works = Works::new();
    works.put("platform.tar.gz", &works.bundle("names", "a", 1));
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let gate = serve(&works, &upstream);
    let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
    let pipe = works.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    std::fs::rename(pipe, works.path("platform.tar.gz")).unwrap();
    eventually("it is refused", || {
        let told = status(&gate);
        let error = told["reload"]["last"]["error"].as_str().unwrap_or_default();
        error.contains("it is no regular file").then_some(())
    });
    works.put("platform.tar.gz", &works.bundle("names", "b", 2));
    eventually("the next one is in force", || {
        (named(&gate, "b") == 204).then_some(())
    });
}
