//! Files change while the gate runs: who is calling, and what the gate shows, is never half of the old and half of the
//! new, and no request fails for it.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;

use rcgen::{Certificate, KeyPair, SerialNumber};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::{
    BROKERED, DATA, JWT, Making, POLICY, SECRET, Stand, TLS, keys, naming, of_payments, shown,
    telling,
};
use crate::authority::{Authority, at};
use crate::harness::{TOKEN, eventually, read_answer, verify};
use crate::reload::decided_by_what_is_in_force;
use crate::signer::Signer;
use crate::tls::clients::{ask, client, now};
use crate::tls::{certified, write};

pub(super) const WATCHED: &str =
    "[reload]\ninterval = '20ms'\n[limits]\ndenials = 1000000\naddress_share = '100%'\n";

impl Stand {
    /// Waits until the last reload is another one than that.
    pub(super) fn reloaded(&self, before: &Value) -> Value {
        eventually("files are read again", || {
            let last = self.status()["reload"]["last"].clone();
            (last != *before).then_some(last)
        })
    }

    /// Changes files, waits until they were read, and says how that went.
    pub(super) fn change(&self, files: &[(&str, &str)]) -> Value {
        let before = self.status()["reload"]["last"].clone();
        for (name, text) in files {
            self.write(name, text);
        }
        self.reloaded(&before)
    }
}

/// Asks again and again on threads of its own until a change is done, and counts the answers by status.
fn meanwhile(
    ask: impl Fn(usize) -> u16 + Sync,
    change: impl FnOnce(&dyn Fn(usize)),
) -> BTreeMap<u16, usize> {
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let statuses: Mutex<BTreeMap<u16, usize>> = Mutex::default();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (stop, sent, ask, statuses) = (&stop, &sent, &ask, &statuses);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let status = ask(thread);
                        *statuses.lock().unwrap().entry(status).or_default() += 1;
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let more = |requests: usize| {
            let before = sent.load(Ordering::Relaxed);
            eventually("requests go on", || {
                let is_dead = asking.iter().any(ScopedJoinHandle::is_finished);
                (is_dead || sent.load(Ordering::Relaxed) >= before + requests).then_some(())
            });
        };
        let changed = std::panic::catch_unwind(AssertUnwindSafe(|| change(&more)));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = changed {
            std::panic::resume_unwind(panic);
        }
    });
    statuses.into_inner().unwrap()
}

const THREADS: usize = 4;

/// Trusts servers with these certificates, and shows its own.
pub(super) fn trusting(
    servers: &[&CertificateDer<'static>],
    own: &(Certificate, KeyPair),
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for server in servers {
        roots.add((*server).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(own.1.serialize_der()).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.0.der().clone()], key);
    Arc::new(config.unwrap())
}

/// A folder that is exchanged as a whole.
pub(super) fn exchange(root: &Path, name: &str) {
    symlink(name, root.join("tls.new")).unwrap();
    std::fs::rename(root.join("tls.new"), root.join("tls")).unwrap();
}

/// Everything for TLS: a new certificate, these authorities for clients, and lists that revoke one number.
pub(super) fn folder(
    path: &Path,
    authorities: &[&Authority],
    revoked: u64,
) -> CertificateDer<'static> {
    std::fs::create_dir(path).unwrap();
    let certified = certified();
    write(path, &certified);
    let pem: String = authorities.iter().map(|it| it.pem.as_str()).collect();
    std::fs::write(path.join("ca.pem"), pem).unwrap();
    let lists = authorities
        .iter()
        .map(|it| it.revoked(&[revoked], now() + 3600));
    std::fs::write(path.join("crl.pem"), lists.collect::<String>()).unwrap();
    certified.cert.der().clone()
}

#[test]
fn certificates_authorities_and_revocations_are_swapped_under_load() {
    let making = Making::before(telling());
    let other = Authority::new("Next", now());
    let one = folder(&making.path("one"), &[&making.authority], 8);
    let two = folder(&making.path("two"), &[&making.authority, &other], 9);
    exchange(making.directory.path(), "one");
    let tls = "[listener.tls]\nfiles = { certificate = 'tls/certificate.pem', key = 'tls/key.pem' }\n\
               clients = { ca = 'tls/ca.pem', crl = 'tls/crl.pem' }\n";
    let stand = making.start(&[tls, WATCHED, JWT, BROKERED]);
    let servers = [&one, &two];
    let known = stand.authority.issue(of_payments);
    let known = trusting(&servers, &known);
    let new = trusting(&servers, &other.issue(of_payments));
    let numbered = |serial: u64| {
        let issued = stand.authority.issue(|it| {
            of_payments(it);
            it.serial_number = Some(SerialNumber::from(serial));
        });
        trusting(&servers, &issued)
    };
    let (eighth, ninth) = (numbered(8), numbered(9));
    let request = naming("payments", &[]);
    let status = |client: &Arc<ClientConfig>| {
        let answer = ask(client, stand.gate.address, b"", &request);
        answer.map(|answer| answer.status)
    };
    let let_in = |eighth_is: Option<u16>, ninth_is: Option<u16>, new_is: Option<u16>| {
        assert_eq!(status(&eighth), eighth_is);
        assert_eq!(status(&ninth), ninth_is);
        assert_eq!(status(&new), new_is);
    };
    let_in(None, Some(204), None);
    let statuses = meanwhile(
        |_| status(&known).unwrap_or(0),
        |more| {
            for folder in ["two", "one", "two"] {
                more(20);
                let before = stand.status()["reload"]["last"].clone();
                exchange(stand.gate.directory.path(), folder);
                let last = stand.reloaded(&before);
                assert_eq!(last["ok"], true, "{last}");
                assert_eq!(last["changed"], json!(["listener.tls"]));
                match folder {
                    "one" => let_in(None, Some(204), None),
                    _ => let_in(Some(204), None, Some(204)),
                }
            }
            more(20);
        },
    );
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&204], "{statuses:?}");
}

#[test]
fn keys_credential_and_teams_are_swapped_under_load_and_a_bad_set_changes_nothing() {
    let stand = Making::before(telling()).start(&[WATCHED, JWT, BROKERED]);
    let next = Signer::es256("next");
    let (old, new) = (stand.bearer(json!({})), {
        let token = next.token(&super::claims(json!({"sub": "next"})));
        format!("Bearer {token}")
    });
    let name = |bearer: &str| stand.name("payments", &[("Authorization", bearer)]).status;
    assert_eq!((name(&old), name(&new)), (204, 401));
    // Old keys and new ones.
    let both = keys(&[&stand.signer, &next]);
    let last = stand.change(&[("keys.json", &both)]);
    assert_eq!(
        (&last["ok"], &last["changed"]),
        (&json!(true), &json!(["identity"]))
    );
    assert_eq!((name(&old), name(&new)), (204, 204));

    let other = SECRET.replace('Q', "B");
    let credential = format!("dt0s16.OTHERPUB.{other}");
    let more_of =
        format!("{POLICY}\ndeny contains \"more\" if input.change.name.requested == \"more\"\n");
    let statuses = meanwhile(
        |thread| name(if thread % 2 == 0 { &old } else { &new }),
        |more| {
            more(50);
            let before = stand.upstream.seen().len();
            let last = stand.change(&[("gate.token", &credential)]);
            assert_eq!(last["changed"], json!(["credential"]), "{last}");
            more(50);
            let seen = stand.upstream.seen();
            let shown = shown(&seen);
            let bearer = format!("Bearer {credential}");
            assert!(shown[..before].iter().all(|it| *it != Some(&bearer)));
            assert_eq!(shown.last().unwrap().unwrap(), bearer);
            for (files, word) in bad(&more_of) {
                let kept: Vec<_> = files
                    .iter()
                    .map(|(file, _)| (file, std::fs::read_to_string(stand.path(file)).ok()))
                    .collect();
                let last = stand.change(&files);
                assert_eq!(last["ok"], false, "{word}: {last}");
                assert!(last["error"].as_str().unwrap().contains(word), "{last}");
                more(30);
                for (file, text) in kept {
                    match text {
                        Some(text) => stand.write(file, &text),
                        None => std::fs::remove_file(stand.path(file)).unwrap(),
                    }
                }
            }
            let generation = stand.status()["generation"].clone();
            assert_eq!(generation, 2);
            more(50);
        },
    );
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&204], "{statuses:?}");
    // Teams, and nobody is let in by the old ones.
    let data = DATA.replace("example/payments", "example/elsewhere");
    let last = stand.change(&[("policies/data.yaml", &data)]);
    assert_eq!(last["changed"], json!(["policies"]), "{last}");
    assert_eq!((name(&old), name(&new)), (403, 403));
    let records = stand.gate.records();
    decided_by_what_is_in_force(&records);
    let last = records.last().unwrap();
    assert_eq!(last["input"]["caller"]["teams"], json!([]));
    // And the old keys are gone.
    stand.change(&[("keys.json", &keys(&[&next]))]);
    assert_eq!((name(&old), name(&new)), (401, 403));
    verify(&stand.gate.journal());
    stand.hides(&[SECRET, &other]);
}

/// Files that do not hold, and what is said about them.
fn bad(policy: &str) -> [(Vec<(&str, &str)>, &'static str); 4] {
    let callers = "callers:\n  - name: x\n    tokens: ['*']\n";
    [
        (vec![("gate.token", "one two")], "one token is expected"),
        (vec![("keys.json", "{\"keys\":[]}")], "keys.json"),
        (vec![("policies/data.yaml", callers)], "data.callers"),
        (
            vec![
                ("policies/names_test.rego", TEST),
                ("policies/names.rego", policy),
            ],
            "reload.require_tests",
        ),
    ]
}

pub(super) const TEST: &str = "package dtgate.names_test\n\nimport data.dtgate.names\n\ntest_it if count(names.deny) == 7 with input as {\"change\": {\"name\": {\"requested\": \"a\"}}}\n";

#[test]
fn whoever_is_believed_no_longer_gets_nothing_for_what_began_before() {
    let stand = Making::before(telling()).start(&[WATCHED, JWT, BROKERED]);
    let bearer = stand.bearer(json!({}));
    let request = naming("payments", &[("Authorization", &bearer)]);
    let (begin, end) = request.split_at(request.len() - 3);
    let stream = TcpStream::connect(stand.gate.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(begin.as_bytes()).unwrap();
    eventually("the request has begun", || {
        (crate::tls::clients::metric(&stand.gate, "dtgate_in_flight") == 1).then_some(())
    });
    let configuration = std::fs::read_to_string(stand.path("dtgate.toml")).unwrap();
    let other = configuration.replace("https://ci.example", "https://next.example");
    // Teams name issuers: they have to know none while the issuer changes.
    let (without, _) = DATA.split_at(DATA.find("    jwt:").unwrap());
    let last = stand.change(&[("policies/data.yaml", without)]);
    assert_eq!(last["ok"], true, "{last}");
    let last = stand.change(&[("dtgate.toml", &other)]);
    assert_eq!(
        (&last["ok"], &last["changed"]),
        (&json!(true), &json!(["identity"]))
    );
    writer.write_all(end.as_bytes()).unwrap();
    let answer = read_answer(&mut BufReader::new(stream)).unwrap();
    // The token is a stranger's now: it is no proof, and so the gate's credential is not for it.
    assert_eq!(answer.status, 403, "{answer:?}");
    let seen = stand.upstream.seen();
    assert!(
        !seen.iter().any(|seen| seen.line.starts_with("PUT ")),
        "{seen:?}"
    );
    assert_eq!(*shown(&seen).last().unwrap(), Some(&*bearer));
    let last = stand.decisions().pop().unwrap();
    assert_eq!(last["input"]["caller"]["jwt"]["issuer"], "", "{last}");
    stand.hides(&super::parts(bearer.split_at(7).1)[1..]);
}

/// What is refused without policies names those in force too, however long ago the request began.
#[test]
fn a_refusal_names_the_policies_that_are_in_force_when_it_is_recorded() {
    let stand = Making::before(telling()).start(&[WATCHED, JWT, BROKERED]);
    let bearer = stand.bearer(json!({}));
    let body = "{\"name\":";
    let request = super::request("PUT", TOKEN, &[("Authorization", &bearer)], body);
    let (begin, end) = request.split_at(request.len() - 3);
    let stream = TcpStream::connect(stand.gate.address).unwrap();
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(begin.as_bytes()).unwrap();
    eventually("the request has begun", || {
        (crate::tls::clients::metric(&stand.gate, "dtgate_in_flight") == 1).then_some(())
    });
    let data = DATA.replace("example/payments", "example/elsewhere");
    assert_eq!(stand.change(&[("policies/data.yaml", &data)])["ok"], true);
    writer.write_all(end.as_bytes()).unwrap();
    let answer = read_answer(&mut BufReader::new(stream)).unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(decided_by_what_is_in_force(&stand.gate.records()), 1);
}

#[test]
fn a_certificate_that_expires_on_an_open_connection_is_no_proof_any_more() {
    let stand = Making::before(telling()).start(&[TLS, JWT, BROKERED, "traffic = 'all'\n"]);
    let ends = now() + 3;
    let issued = stand.authority.issue(|it| {
        of_payments(it);
        it.not_after = at(ends);
    });
    let config = client(&stand.gate, Some(issued));
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    let socket = TcpStream::connect(stand.gate.address).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    let mut good = 0;
    let last = eventually("it has expired", || {
        let request = super::request("GET", "/api/v2/metrics", &[], "");
        let sent = stream.get_mut().write_all(request.as_bytes());
        let answer = sent.ok().and_then(|()| read_answer(&mut stream));
        let status = answer.map(|answer| answer.status);
        good += usize::from(status == Some(204));
        (status != Some(204)).then_some(status)
    });
    assert!(now() >= ends && good > 0);
    assert!([None, Some(421)].contains(&last), "{last:?}");
    assert_eq!(stand.upstream.seen().len(), good);
}
