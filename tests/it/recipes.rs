//! The recipes of the pages, as somebody pastes them: what they make is what the gate takes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::docs::{block_after, page};
use crate::harness::{Gate, Upstream, eventually, policies, serving};
use crate::tls::clients::{ask, metric};
use crate::tls::{certified, write};

/// Runs a recipe in a folder, and ends at the first command that fails.
fn paste(recipe: &str, folder: &Path) -> String {
    let mut shell = Command::new("sh");
    let output = shell
        .args(["-e", "-c", recipe])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn start(directory: tempfile::TempDir, upstream: &Upstream, more: &str) -> Gate {
    let config = format!("{more}\n[upstream]\nurl = 'http://{}'\n", upstream.address);
    std::fs::write(directory.path().join("dtgate.toml"), config).unwrap();
    let mut command = serving(&directory);
    command
        .current_dir(directory.path())
        .args(["--config", "dtgate.toml", "--policies"])
        .arg(policies());
    Gate::spawn(directory, command)
}

/// Who holds the key that the recipe made.
fn client(folder: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let server = CertificateDer::from_pem_file(folder.join("certificate.pem"));
    roots.add(server.unwrap()).unwrap();
    let own = CertificateDer::from_pem_file(folder.join("clients/ci.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("clients/ci.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own], key);
    Arc::new(config.unwrap())
}

const OPEN: &str = "GET /api/v2/metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n";

#[test]
#[ignore = "needs openssl"]
fn needs_openssl_the_authority_of_the_page_lets_a_client_in_and_shuts_it_out() {
    let text = page("docs/identity.md");
    let (_, text) = text.split_once("### An authority of your own").unwrap();
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &certified());
    paste(
        &block_after(text, "certificates with openssl", "sh"),
        directory.path(),
    );
    let upstream = Upstream::lenient();
    let tls = "listener.tls.files = { certificate = 'certificate.pem', key = 'key.pem' }
listener.tls.clients = { ca = 'clients/clients-ca.pem', crl = 'clients/clients-crl.pem' }";
    let gate = start(directory, &upstream, tls);
    let folder = gate.directory.path();
    let client = client(folder);
    let answer = ask(&client, gate.address, b"", OPEN).unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");

    let revoke = block_after(text, "revoke a certificate", "sh");
    paste(&revoke, &folder.join("clients"));
    gate.signal("HUP");
    // It is counted a moment after the client has seen it.
    let refused = "dtgate_client_certificates_refused_total{reason=\"revoked\"}";
    eventually("the client is shut out and counted", || {
        let answer = ask(&client, gate.address, b"", OPEN);
        (answer.is_none() && metric(&gate, refused) > 0).then_some(())
    });
}

#[test]
#[ignore = "needs openssl and python3"]
fn needs_openssl_the_issuer_of_the_page_makes_a_token_that_is_good() {
    let text = page("docs/identity.md");
    let (_, text) = text.split_once("### An issuer of your own").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let printed = paste(&block_after(text, "with openssl", "sh"), directory.path());
    let section = block_after(text, "This section believes it", "toml");
    let section = section.replace("/etc/dtgate/", "");
    let upstream = Upstream::lenient();
    let gate = start(directory, &upstream, &section);
    let bearer = printed.trim();
    let request = OPEN.replace("Host", &format!("Authorization: Bearer {bearer}\r\nHost"));
    assert_eq!(gate.raw(request).status, 204);
    let good = r#"dtgate_jwt_total{issuer="own",result="good"}"#;
    assert_eq!(metric(&gate, good), 1);
    let seen = upstream.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}
