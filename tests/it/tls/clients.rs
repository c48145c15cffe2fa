//! Certificates of clients: who is let in, and who is not and why.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType, SerialNumber};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use super::{certified, write};
use crate::alerts::{Scrape, look};
use crate::authority::{Authority, at};
use crate::harness::{
    Answered, GOOD, Gate, Upstream, eventually, exchange, policies, program, put, read_answer,
    serving,
};

/// A gate with files for TLS, and whoever issues certificates to its clients.
pub(super) struct Stand {
    pub(super) upstream: Upstream,
    pub(super) authority: Authority,
    pub(super) directory: TempDir,
}

pub(crate) fn now() -> i64 {
    dtgate::app::now().as_second()
}

impl Stand {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &certified());
        let authority = Authority::new("Root", now());
        std::fs::write(directory.path().join("ca.pem"), &authority.pem).unwrap();
        Self {
            upstream: Upstream::lenient(),
            authority,
            directory,
        }
    }

    /// Starts the gate in the folder of the files, with more of a configuration.
    pub(super) fn start(&mut self, more: &str) -> Gate {
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        let config = format!(
            "{more}\n[upstream]\nurl = \"http://{}\"\n",
            self.upstream.address
        );
        std::fs::write(directory.path().join("dtgate.toml"), config).unwrap();
        let mut command = serving(&directory);
        command
            .current_dir(directory.path())
            .args(["--config", "dtgate.toml"])
            .arg("--policies")
            .arg(policies());
        Gate::spawn(directory, command)
    }
}

/// Trusts the server's certificate and has one of its own, or none.
pub(crate) fn client(
    gate: &Gate,
    identity: Option<(rcgen::Certificate, KeyPair)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let server = gate.directory.path().join("certificate.pem");
    roots
        .add(CertificateDer::from_pem_file(server).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder
                .with_client_auth_cert(vec![certificate.der().clone()], key)
                .unwrap()
        }
    };
    Arc::new(config)
}

/// Trusts servers with these certificates, and has none.
pub(crate) fn without_certificate(servers: &[&CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for server in servers {
        roots.add((*server).clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// One request over TLS; `None`: the gate hangs up on it.
pub(crate) fn ask(
    client: &Arc<ClientConfig>,
    to: SocketAddr,
    before: &[u8],
    request: &str,
) -> Option<Answered> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(before).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes()).ok()?;
    read_answer(&mut BufReader::new(stream))
}

/// The value of a line of the metrics.
pub(crate) fn metric(gate: &Gate, series: &str) -> u64 {
    let page = exchange(gate.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

fn refusals(gate: &Gate, reason: &str) -> u64 {
    let name = "dtgate_client_certificates_refused_total";
    metric(gate, &format!("{name}{{reason=\"{reason}\"}}"))
}

const REQUIRED: &str = "log.filter = 'info,dtgate::listener=debug'
[listener.tls]
files = { certificate = 'certificate.pem', key = 'key.pem' }
clients = { ca = 'ca.pem', crl = 'crl.pem' }";

/// What makes the alarm about revocation lists go off: a client comes when the list is out of date.
pub(crate) fn list_expired() -> [Scrape; 2] {
    let mut stand = Stand::new();
    let list = stand.authority.revoked(&[8], now() - 1);
    std::fs::write(stand.directory.path().join("crl.pem"), list).unwrap();
    let gate = stand.start(REQUIRED);
    let before = look(gate.admin);
    let good = client(&gate, Some(stand.authority.issue(|_| {})));
    assert!(ask(&good, gate.address, b"", &put(GOOD)).is_none());
    let after = eventually("the refusal is counted", || {
        (refusals(&gate, "revocation_list_expired") > 0).then(|| look(gate.admin))
    });
    [before, after]
}

#[test]
fn only_clients_with_a_good_certificate_reach_the_upstream() {
    let mut stand = Stand::new();
    let revoked = stand.authority.revoked(&[8], now() + 3600);
    std::fs::write(stand.directory.path().join("crl.pem"), revoked).unwrap();
    let gate = stand.start(REQUIRED);
    let issue = |change: fn(&mut CertificateParams)| stand.authority.issue(change);
    let good = client(&gate, Some(issue(|_| {})));
    assert_eq!(
        ask(&good, gate.address, b"", &put(GOOD)).unwrap().status,
        204
    );
    assert_eq!(stand.upstream.seen().len(), 1);

    let other = Authority::new("Other", now()).issue(|_| {});
    let itself = {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::default().self_signed(&key).unwrap(), key)
    };
    for (identity, reason) in [
        (None, "missing"),
        (Some(issue(|it| it.not_after = at(now() - 1))), "expired"),
        (
            Some(issue(|it| it.not_before = at(now() + 1800))),
            "not_yet_valid",
        ),
        (
            Some(issue(|it| it.serial_number = Some(SerialNumber::from(8)))),
            "revoked",
        ),
        (
            Some(issue(|it| {
                it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })),
            "purpose",
        ),
        (
            Some(issue(|it| {
                it.subject_alt_names =
                    vec![SanType::URI("spiffe://a/ci\nadmin".try_into().unwrap())];
            })),
            "names",
        ),
        (Some(other), "issuer"),
        (Some(itself), "issuer"),
    ] {
        let before = refusals(&gate, reason);
        let answer = ask(&client(&gate, identity), gate.address, b"", &put(GOOD));
        assert!(answer.is_none(), "{reason}: {answer:?}");
        // It hangs up first.
        eventually(reason, || {
            (refusals(&gate, reason) == before + 1).then_some(())
        });
    }
    assert_eq!(stand.upstream.seen().len(), 1, "nobody else got through");
    assert_eq!(
        gate.records()
            .iter()
            .filter(|it| it["kind"] == "decision")
            .count(),
        1
    );
    // What is logged is public and short: a fingerprint, a number, a reason.
    let line = eventually("a line about the certificate", || {
        let log = gate.log();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["certificate.serial"] == "08")
    });
    let log = gate.log();
    assert_eq!(line["reason"], "revoked");
    assert_eq!(line["certificate.fingerprint"].as_str().unwrap().len(), 64);
    assert!(!log.contains("spiffe://"), "{log}");
}

#[test]
fn certificates_may_be_optional() {
    let mut stand = Stand::new();
    let gate = stand.start(
        "[listener.tls.files]
        certificate = 'certificate.pem'
        key = 'key.pem'
        [listener.tls.clients]
        ca = 'ca.pem'
        required = false",
    );
    let status = |identity| {
        let answer = ask(&client(&gate, identity), gate.address, b"", &put(GOOD));
        answer.map(|answer| answer.status)
    };
    assert_eq!(status(None), Some(204));
    assert_eq!(status(Some(stand.authority.issue(|_| {}))), Some(204));
    // One that is not good is not the same as none.
    assert_eq!(
        status(Some(Authority::new("Other", now()).issue(|_| {}))),
        None
    );
    eventually("it is counted", || {
        (refusals(&gate, "issuer") == 1).then_some(())
    });
    assert_eq!(stand.upstream.seen().len(), 2);
}

#[test]
fn operators_may_be_asked_for_certificates_too() {
    let mut stand = Stand::new();
    let gate = stand.start(
        "[admin.tls.files]
        certificate = 'certificate.pem'
        key = 'key.pem'
        [admin.tls.clients]
        ca = 'ca.pem'",
    );
    let ready = "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n";
    let own = client(&gate, Some(stand.authority.issue(|_| {})));
    let answer = ask(&own, gate.admin, b"", ready).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(ask(&client(&gate, None), gate.admin, b"", ready).is_none());
    // Clients of the gate need none.
    assert_eq!(gate.send("GET", "/api/v2/problems", "").status, 204);
}

#[test]
fn check_says_what_is_wrong_with_files_before_anybody_connects() {
    let stand = Stand::new();
    let folder = stand.directory.path();
    let (expired, key) = stand.authority.issue(|it| it.not_after = at(now() - 60));
    std::fs::write(folder.join("old.pem"), expired.pem()).unwrap();
    std::fs::write(folder.join("old-key.pem"), key.serialize_pem()).unwrap();
    let stale = stand.authority.revoked(&[], now() - 60);
    std::fs::write(folder.join("crl.pem"), stale).unwrap();
    let check = |config: &str, strict: bool| {
        std::fs::write(folder.join("dtgate.toml"), config).unwrap();
        let mut command = program();
        command
            .current_dir(folder)
            .args(["check", "--config", "dtgate.toml", "--policies"]);
        command.arg(policies());
        if strict {
            command.arg("--strict");
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let upstream = "[upstream]\nurl = 'http://127.0.0.1:1'\n";
    let old = format!(
        "{upstream}[listener.tls.files]\ncertificate = 'old.pem'\nkey = 'old-key.pem'\n\
         [admin.tls]\nfiles = {{ certificate = 'certificate.pem', key = 'key.pem' }}\n\
         clients = {{ ca = 'ca.pem', crl = 'crl.pem' }}\n"
    );
    let (good, said) = check(&old, false);
    assert!(good, "{said}");
    assert!(
        said.contains("warning: old.pem: the certificate has expired at "),
        "{said}"
    );
    assert!(
        said.contains("warning: crl.pem: revocation list 1 had to be replaced by "),
        "{said}"
    );
    let (good, said) = check(&old, true);
    assert!(
        !good && said.contains("old.pem: the certificate has expired at "),
        "{said}"
    );
    for (listener, wrong) in [("listener", "listener: "), ("admin", "admin listener: ")] {
        let mixed = format!(
            "{upstream}[{listener}.tls.files]\ncertificate = 'certificate.pem'\nkey = 'old-key.pem'\n"
        );
        let (good, said) = check(&mixed, false);
        let expected = format!(
            "dtgate: {wrong}old-key.pem: the certificate in certificate.pem and this key do not work together: "
        );
        assert!(!good && said.starts_with(&expected), "{said}");
    }
}
