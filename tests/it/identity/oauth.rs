//! Access tokens: the gate asks for them with a client's credential, and shows them for its callers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::json;

use super::{JWT, Making, Stand, request, shown, telling};
use crate::alerts::{Scrape, look};
use crate::harness::{Upstream, eventually, exchange};
use crate::tls::clients::metric;

const CLIENT_SECRET: &str =
    "dt0s02.CLIENTID.NPVZ3XWKT7QH2LBR5MJC4YGDS6FEAU2OTQ4KXM3ZP6RVN7HCWLBYSD2GJFTAEUQK";
/// One without any mark by which tokens are known.
const ACCESS: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5YWJjZGVmZ2hpams";

fn granted(token: &str, seconds: u64) -> Vec<u8> {
    let body = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": "a b",
    });
    answer("200 OK", &body.to_string())
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A gate that gets access tokens from there.
fn gate(server: &Upstream, more: &str) -> Stand {
    let making = Making::before(telling());
    making.file("client.secret", &format!("{CLIENT_SECRET}\n"));
    let section = format!(
        "[credential.oauth]\ntoken_url = 'http://{}/sso/oauth2/token'\nclient_id = 'dt0s02.CLIENTID'\n\
         client_secret_file = 'client.secret'\nscope = 'app:settings:write b'\n\
         resource = 'urn:dtaccount:6e3b1f5e'\n{more}\n\
         [limits]\njudge_queue = 1000\naddress_share = '100%'\n",
        server.address
    );
    making.start(&[JWT, &section])
}

impl Stand {
    fn hides_what_oauth_has(&self) {
        self.hides(&["NPVZ3XWKT7QH2LBR5MJC", &ACCESS[..20], &ACCESS[20..40]]);
    }
}

#[test]
fn one_question_serves_all_who_wait_and_all_who_come_later() {
    let (go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = Upstream::answering_all(move |_| {
        assert!(held.lock().unwrap().recv().is_ok());
        granted(ACCESS, 300)
    });
    let stand = gate(&server, "");
    let bearer = stand.bearer(json!({}));
    let send = |number: usize| {
        // Changes of one token would wait for each other.
        let target = format!("/api/v1/tokens/d5836312-5790-4e80-afcf-{number:012}");
        let body = r#"{"name":"payments"}"#;
        let request = request("PUT", &target, &[("Authorization", &bearer)], body);
        stand.gate.raw(request).status
    };
    std::thread::scope(|scope| {
        let send = &send;
        let asking: Vec<_> = (0..50)
            .map(|number| scope.spawn(move || send(number)))
            .collect();
        eventually("all of them wait", || {
            (metric(&stand.gate, "dtgate_in_flight") == 50).then_some(())
        });
        go.send(()).unwrap();
        for asked in asking {
            assert_eq!(asked.join().unwrap(), 204);
        }
    });
    assert_eq!(send(50), 204);
    let asked = server.seen();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let question = String::from_utf8(asked[0].body.clone()).unwrap();
    assert_eq!(asked[0].line, "POST /sso/oauth2/token HTTP/1.1");
    assert_eq!(
        asked[0].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    let expected = format!(
        "grant_type=client_credentials&client_id=dt0s02%2ECLIENTID&client_secret={}\
         &scope=app%3Asettings%3Awrite%20b&resource=urn%3Adtaccount%3A6e3b1f5e",
        CLIENT_SECRET.replace('.', "%2E")
    );
    assert_eq!(question, expected);
    let seen = stand.upstream.seen();
    let expected = format!("Bearer {ACCESS}");
    assert_eq!(seen.len(), 51 * 2);
    assert!(shown(&seen).iter().all(|it| *it == Some(&*expected)));
    for decision in stand.decisions() {
        assert_eq!(decision["caller"]["id"], "dt0s02.CLIENTID", "{decision}");
    }
    stand.hides_what_oauth_has();
}

#[test]
fn a_client_that_hangs_up_ends_no_question_for_the_others() {
    let (go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = Upstream::answering_all(move |_| {
        assert!(held.lock().unwrap().recv().is_ok());
        granted(ACCESS, 300)
    });
    let impatient = "[listener]\nhalf_close_timeout = '10ms'\n[credential]\ntraffic = 'all'\n";
    let stand = gate(&server, impatient);
    let bearer = stand.bearer(json!({}));
    // Before its body is read, nobody notices that a client is gone: one without.
    let request = request("GET", "/api/v2/metrics", &[("Authorization", &bearer)], "");
    for _ in 0..5 {
        let mut stream = std::net::TcpStream::connect(stand.gate.address).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        eventually("it waits", || {
            (metric(&stand.gate, "dtgate_in_flight") == 1).then_some(())
        });
        eventually("it is asked", || (!server.seen().is_empty()).then_some(()));
        drop(stream);
        eventually("it is gone", || {
            (metric(&stand.gate, "dtgate_in_flight") == 0).then_some(())
        });
    }
    go.send(()).unwrap();
    assert_eq!(stand.gate.raw(&request).status, 204);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn without_a_token_nothing_is_sent_and_nobody_asks_again_for_a_moment() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let server = Upstream::answering_all(move |_| {
        if up.load(Ordering::Relaxed) {
            granted(ACCESS, 300)
        } else {
            let body = json!({"error": "invalid_client", "client_secret": CLIENT_SECRET, "access_token": ACCESS});
            answer("401 Unauthorized", &body.to_string())
        }
    });
    let stand = gate(&server, "\n[credential]\ntraffic = 'all'");
    let bearer = stand.bearer(json!({}));
    let fields = [("Authorization", &*bearer)];
    for _ in 0..20 {
        for answer in [
            stand.name("payments", &fields),
            stand.get("/api/v2/metrics", &fields),
        ] {
            assert_eq!(answer.status, 502, "{answer:?}");
            assert!(answer.message().contains("401 Unauthorized"), "{answer:?}");
            assert!(!answer.body.contains(&ACCESS[..20]), "{answer:?}");
        }
    }
    assert_eq!(server.seen().len(), 1);
    assert_eq!(stand.upstream.seen().len(), 0);
    let page = exchange(
        stand.gate.admin,
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(
        page.body.contains("dtgate_access_token_failures_total 1"),
        "{}",
        page.body
    );
    // What does not need it goes on.
    let own = "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X";
    assert_eq!(stand.name("a", &[("Authorization", own)]).status, 204);
    // And it comes back by itself.
    is_up.store(true, Ordering::Relaxed);
    eventually("the gate asks again", || {
        (stand.name("payments", &fields).status == 204).then_some(())
    });
    assert_eq!(server.seen().len(), 2);
    stand.hides_what_oauth_has();
}

/// What makes the alarm about access tokens go off: the client is not known any more.
pub(crate) fn no_access_token() -> [Scrape; 2] {
    let server = Upstream::answering_all(|_| {
        answer(
            "401 Unauthorized",
            &json!({"error": "invalid_client"}).to_string(),
        )
    });
    let stand = gate(&server, "");
    let before = look(stand.gate.admin);
    let bearer = stand.bearer(json!({}));
    let answer = stand.name("payments", &[("Authorization", &bearer)]);
    assert_eq!(answer.status, 502, "{answer:?}");
    [before, look(stand.gate.admin)]
}

#[test]
fn a_slow_server_is_waited_for_so_long() {
    let (go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let server = Upstream::answering_all(move |_| {
        // Until the test is over.
        assert!(held.lock().unwrap().recv().is_err());
        Vec::new()
    });
    let stand = gate(&server, "timeout = '100ms'");
    let bearer = stand.bearer(json!({}));
    let answer = stand.name("payments", &[("Authorization", &bearer)]);
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(
        answer.message().contains("no answer within 100ms"),
        "{answer:?}"
    );
    let series = "dtgate_limit_reached_total{limit=\"access_token\"}";
    assert_eq!(metric(&stand.gate, series), 1);
    assert_eq!(stand.upstream.seen().len(), 0);
    assert_eq!(stand.decisions().len(), 1);
    drop(go);
}
