//! One connection of HTTP/2 and several callers on it: each request is its own caller's. And connections that are open
//! while those are removed whom their callers were believed for.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;

use http::Version;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::changes::WATCHED;
use super::wire::{Connection, Told, naming, runtime};
use super::{
    BROKERED, DATA, FIELD, JWT, Making, PUBLIC, SECRET, Stand, TLS, of_payments, shown, telling,
};
use crate::authority::Authority;
use crate::harness::{TOKEN, eventually, read_answer};
use crate::tls::clients::{client, now};

const HTTP_2: Version = Version::HTTP_2;

async fn open(stand: &Stand, config: &Arc<ClientConfig>, version: Version) -> Connection {
    Connection::open(config, stand.gate.address, version)
        .await
        .unwrap()
        .0
}

async fn call(
    connection: &mut Connection,
    path: &str,
    name: &str,
    fields: &[(&str, &str)],
) -> Option<Told> {
    let body = json!({ "name": name }).to_string();
    let request = naming(connection.version(), "gate", path, fields, &body);
    connection.send(request).await
}

/// Each request of many at once names who it is of, and shows that, or nothing, or an invented one.
fn many_at_once(stand: &Stand, config: &Arc<ClientConfig>, status_of_nobody: u16) {
    let jobs = ["job-0", "job-1", "job-2"];
    let bearers = jobs.map(|subject| stand.bearer(json!({ "sub": subject })));
    runtime().block_on(async {
        let connection = open(stand, config, HTTP_2).await;
        let mut asked = JoinSet::new();
        for number in 0..60_usize {
            let mut same = connection.again().unwrap();
            let bearer = bearers.get(number % 5).cloned();
            asked.spawn(async move {
                let path = format!("/api/v1/tokens/d5836312-5790-4e80-afcf-{number:012}");
                let (name, shown, expected) = match (bearer, number % 5) {
                    (Some(bearer), job) => (format!("job-{job}"), Some(bearer), 204),
                    (None, 3) => ("nobody".to_owned(), None, status_of_nobody),
                    (None, _) => (
                        "invented".to_owned(),
                        Some("Api-Token dt0c01.INVENTED.X".to_owned()),
                        0,
                    ),
                };
                let fields: Vec<_> = shown
                    .iter()
                    .map(|it| ("authorization", it.as_str()))
                    .collect();
                let (status, body) = call(&mut same, &path, &name, &fields).await.unwrap();
                (name, expected, status, body)
            });
        }
        while let Some(answered) = asked.join_next().await {
            let (name, expected, status, body) = answered.unwrap();
            // An own credential: beside a certificate it is refused, without one it is the caller's.
            let expected = match (expected, status_of_nobody) {
                (0, 204) => 400,
                (0, _) => 204,
                (expected, _) => expected,
            };
            assert_eq!(status, expected, "{name}: {body}");
        }
    });
}

#[test]
fn each_request_on_one_connection_is_judged_as_its_own_callers() {
    let limits = "[limits]\njudge_queue = 1000\naddress_share = '100%'\n";
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED, limits]);
    let nobody = client(&stand.gate, None);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    for (config, of_nobody, spiffe) in [
        (&nobody, 401, ""),
        (&known, 204, "spiffe://example/ns/payments/sa/ci"),
    ] {
        let before = stand.decisions().len();
        many_at_once(&stand, config, of_nobody);
        let decisions = stand.decisions().split_off(before);
        assert_eq!(decisions.len(), 60);
        for decision in decisions {
            let caller = &decision["input"]["caller"];
            let Some(name) = decision["input"]["change"]["name"]["requested"].as_str() else {
                continue;
            };
            let subject = caller["jwt"]["subject"].as_str().unwrap();
            let expected = if name.starts_with("job") { name } else { "" };
            assert_eq!(
                (subject, caller["certificate"]["spiffe_id"].as_str()),
                (expected, Some(spiffe)),
                "{decision}"
            );
            let id = if name == "invented" {
                "dt0c01.INVENTED"
            } else {
                PUBLIC
            };
            assert_eq!(caller["token"]["id"], id, "{decision}");
        }
    }
    // What the upstream was shown: the gate's for those who have proven something, and their own for the others.
    let own = Some("Api-Token dt0c01.INVENTED.X");
    let gates = format!("Api-Token {PUBLIC}.{SECRET}");
    let seen = stand.upstream.seen();
    assert!(
        shown(&seen)
            .iter()
            .all(|it| *it == own || *it == Some(&gates))
    );
    stand.hides(&[SECRET]);
}

#[test]
fn each_caller_on_one_connection_has_its_own_share() {
    let stand = Making::new().start(&[TLS, JWT, "[limits]\nrefusals = 5\n"]);
    let token = |subject: &str| stand.token(json!({"iss": FIELD, "sub": subject}));
    let (one, other) = (token("one"), token("other"));
    let own = (
        "authorization",
        "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
    );
    let recorded = |config: &Arc<ClientConfig>, tokens: &[&str]| {
        let before = stand.decisions().len();
        runtime().block_on(async {
            let mut connection = open(&stand, config, HTTP_2).await;
            for _ in 0..8 {
                for token in tokens {
                    let fields = [own, ("x-dtgate-token", token)];
                    let fields = if token.is_empty() {
                        &fields[..1]
                    } else {
                        &fields
                    };
                    let request = naming(HTTP_2, "gate", TOKEN, fields, "{\"name\":");
                    assert_eq!(connection.send(request).await.unwrap().0, 400);
                }
            }
        });
        stand.decisions().len() - before
    };
    let nobody = client(&stand.gate, None);
    assert_eq!(recorded(&nobody, &[&one, &other, ""]), 15);
    assert_eq!(recorded(&nobody, &[&one, &other, ""]), 0);
    // A certificate of the connection does not make one of them.
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let third = token("third");
    assert_eq!(recorded(&known, &[&one, &third, ""]), 10);
}

/// A change of files after which the client is not let in any more, or not believed.
type Removal = (
    &'static str,
    fn(&Stand) -> Vec<(&'static str, String)>,
    &'static str,
);

const CLIENTS: &str = "[listener.tls]
files = { certificate = 'certificate.pem', key = 'key.pem' }
clients = { ca = 'ca.pem', crl = 'crl.pem', required = false }
";

fn changed(stand: &Stand, removal: &Removal) {
    let (what, files, section) = removal;
    let files = files(stand);
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    let last = stand.change(&files);
    assert_eq!(
        (&last["ok"], &last["changed"]),
        (&json!(true), &json!([section])),
        "{what}: {last}"
    );
}

#[test]
fn whoever_would_not_be_let_in_any_more_is_not_on_an_open_connection_either() {
    let removals: [Removal; 3] = [
        (
            "the authority",
            |_| {
                vec![
                    // Lists are of an authority that is believed.
                    ("ca.pem", Authority::new("Other", now()).pem),
                ]
            },
            "listener.tls",
        ),
        (
            "the certificate",
            |stand| vec![("crl.pem", stand.authority.revoked(&[7], now() + 3600))],
            "listener.tls",
        ),
        (
            "certificates at all",
            |stand| {
                let configuration = std::fs::read_to_string(stand.path("dtgate.toml")).unwrap();
                vec![("dtgate.toml", configuration.replace("clients = ", "#"))]
            },
            "listener.tls",
        ),
    ];
    for removal in removals {
        let making = Making::before(telling());
        making.file("crl.pem", &making.authority.revoked(&[8], now() + 3600));
        let stand = making.start(&[CLIENTS, WATCHED, JWT, BROKERED]);
        let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
        runtime().block_on(async {
            for version in [Version::HTTP_11, HTTP_2] {
                let mut connection = open(&stand, &known, version).await;
                assert_eq!(
                    call(&mut connection, TOKEN, "payments", &[])
                        .await
                        .unwrap()
                        .0,
                    204
                );
            }
        });
        let before = stand.upstream.seen().len();
        runtime().block_on(async {
            let mut kept = [
                open(&stand, &known, Version::HTTP_11).await,
                open(&stand, &known, HTTP_2).await,
            ];
            changed(&stand, &removal);
            for connection in &mut kept {
                let answer = call(connection, TOKEN, "payments", &[]).await;
                let status = answer.map(|(status, _)| status);
                assert!(
                    [None, Some(421)].contains(&status),
                    "{}: {status:?}",
                    removal.0
                );
            }
        });
        assert_eq!(stand.upstream.seen().len(), before, "{}", removal.0);
    }
}

/// The head of a request came before, and its body after.
#[test]
fn a_request_that_began_is_not_judged_for_a_client_that_is_not_let_in_any_more() {
    let making = Making::before(telling());
    making.file("crl.pem", &making.authority.revoked(&[8], now() + 3600));
    let stand = making.start(&[CLIENTS, WATCHED, JWT, BROKERED]);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let text = super::naming("payments", &[]);
    let (begin, end) = text.split_at(text.len() - 3);
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(known, name).unwrap();
    let socket = TcpStream::connect(stand.gate.address).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    stream.get_mut().write_all(begin.as_bytes()).unwrap();
    eventually("the request has begun", || {
        (crate::tls::clients::metric(&stand.gate, "dtgate_in_flight") == 1).then_some(())
    });
    let revoked = stand.authority.revoked(&[7], now() + 3600);
    assert_eq!(stand.change(&[("crl.pem", &revoked)])["ok"], true);
    stream.get_mut().write_all(end.as_bytes()).unwrap();
    let answer = read_answer(&mut stream).unwrap();
    assert_eq!(answer.status, 421, "{answer:?}");
    assert!(
        answer.message().contains("not accepted any more"),
        "{answer:?}"
    );
    let seen = stand.upstream.seen();
    assert!(
        !seen.iter().any(|seen| seen.line.starts_with("PUT ")),
        "{seen:?}"
    );
    let records = stand.gate.records();
    assert_eq!(records.last().unwrap()["kind"], "decision", "{records:?}");
}

/// Its tokens are a stranger's from then on: they prove nothing, and where the gate's credential would be used beside
/// them, they are one of the caller's own.
#[test]
fn an_issuer_that_is_removed_is_believed_on_no_open_connection() {
    let making = Making::before(telling());
    // Teams name issuers: they know none here.
    let (without, _) = DATA.split_at(DATA.find("    jwt:").unwrap());
    making.file("policies/data.yaml", without);
    let stand = making.start(&[TLS, WATCHED, JWT, BROKERED]);
    let known = client(&stand.gate, Some(stand.authority.issue(of_payments)));
    let nobody = client(&stand.gate, None);
    let bearer = stand.bearer(json!({}));
    let fields = [("authorization", bearer.as_str())];
    let gates = format!("Api-Token {PUBLIC}.{SECRET}");
    runtime().block_on(async {
        let mut connections = Vec::new();
        for version in [Version::HTTP_11, HTTP_2] {
            for config in [&nobody, &known] {
                let mut connection = open(&stand, config, version).await;
                assert_eq!(
                    call(&mut connection, TOKEN, "any", &fields)
                        .await
                        .unwrap()
                        .0,
                    204
                );
                connections.push(connection);
            }
        }
        assert!(
            shown(&stand.upstream.seen())
                .iter()
                .all(|it| *it == Some(&gates))
        );
        let configuration = std::fs::read_to_string(stand.path("dtgate.toml")).unwrap();
        let (start, rest) =
            configuration.split_at(configuration.find("[identity.jwt.ci]").unwrap());
        let rest = &rest[rest.find("[identity.jwt.field]").unwrap()..];
        let last = stand.change(&[("dtgate.toml", &format!("{start}{rest}"))]);
        assert_eq!(last["ok"], true, "{last}");
        for (number, connection) in connections.iter_mut().enumerate() {
            let seen = stand.upstream.seen().len();
            let (status, body) = call(connection, TOKEN, "any", &fields).await.unwrap();
            let seen = stand.upstream.seen().split_off(seen);
            if number % 2 == 0 {
                // As any credential of a caller's own: Dynatrace says what it is worth.
                assert_eq!(status, 204, "{body}");
                assert!(!seen.is_empty() && shown(&seen).iter().all(|it| *it == Some(&*bearer)));
            } else {
                assert_eq!((status, seen.len()), (400, 0), "{body}");
            }
        }
    });
    let last = stand.decisions();
    let unproven = |it: &&Value| it["input"]["caller"]["jwt"]["issuer"] == "";
    assert_eq!(last.iter().filter(unproven).count(), 2);
    eventually("it is written", || {
        (stand.decisions().len() == 8).then_some(())
    });
    stand.hides(&super::parts(&bearer)[1..]);
}
