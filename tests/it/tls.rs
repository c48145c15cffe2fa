//! TLS on both sides of the gate, HTTP/2 in front of it, and no way to listen without either by accident.

pub(crate) mod clients;
mod names;
mod proxy;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::harness::{Answered, BAD, GOOD, Gate, TOKEN, Upstream, policies, program, serving};
use crate::upstream::mutual;

pub(crate) fn certified() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

/// Writes certificate and key where the gate finds them.
pub(crate) fn write(directory: &Path, certified: &CertifiedKey<KeyPair>) {
    std::fs::write(directory.join("certificate.pem"), certified.cert.pem()).unwrap();
    std::fs::write(
        directory.join("key.pem"),
        certified.signing_key.serialize_pem(),
    )
    .unwrap();
}

fn serve(directory: TempDir, upstream: &str, arguments: &[&str]) -> Gate {
    let mut command = serving(&directory);
    command
        .args(["--upstream", upstream])
        .arg("--policies")
        .arg(policies())
        .args(arguments);
    Gate::spawn(directory, command)
}

/// One request over TLS, offering what `http2` says; the version that was spoken.
fn send(
    gate: &Gate,
    certified: &CertifiedKey<KeyPair>,
    http2: bool,
    body: &'static str,
) -> (Version, Answered) {
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only();
    let connector = if http2 {
        builder.enable_all_versions().build()
    } else {
        builder.enable_http1().build()
    };
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let request = Request::put(format!("https://localhost:{}{TOKEN}", gate.address.port()))
        .header(
            "authorization",
            "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
        )
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let answered = Answered {
            status: parts.status.as_u16(),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        (parts.version, answered)
    })
}

#[test]
fn an_upstream_is_trusted_by_the_given_authority_only() {
    let (certified, other) = (certified(), certified());
    let url = format!("https://localhost:{}", mutual(&certified, None).port());
    for (trusted, status, outcome) in [(&certified, 204, "answered"), (&other, 502, "failed")] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), trusted);
        let ca = directory.path().join("certificate.pem");
        let gate = serve(directory, &url, &["--upstream-ca", ca.to_str().unwrap()]);
        let answer = gate.send("POST", "/api/v1/tokens", GOOD);
        assert_eq!(answer.status, status, "{answer:?}");
        let last = gate.records().pop().unwrap();
        assert_eq!(last["outcome"], outcome, "{last}");
    }
}

#[test]
fn clients_choose_between_http_1_and_2_and_are_judged_alike() {
    let upstream = Upstream::lenient();
    let certified = certified();
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &certified);
    let files = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    let [certificate, key] = files.each_ref().map(|path| path.to_str().unwrap());
    let arguments = ["--tls-certificate", certificate, "--tls-key", key];
    let gate = serve(
        directory,
        &format!("http://{}", upstream.address),
        &arguments,
    );
    for (http2, version, via) in [
        (false, Version::HTTP_11, "1.1 dtgate"),
        (true, Version::HTTP_2, "2 dtgate"),
    ] {
        let before = upstream.seen().len();
        let (spoken, answer) = send(&gate, &certified, http2, BAD);
        assert_eq!(spoken, version);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.message().contains("WriteConfig"), "{answer:?}");
        assert_eq!(upstream.seen().len(), before);
        let (spoken, answer) = send(&gate, &certified, http2, GOOD);
        assert_eq!((spoken, answer.status), (version, 204), "{answer:?}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.line, format!("PUT {TOKEN} HTTP/1.1"));
        assert_eq!(seen.body, GOOD.as_bytes());
        assert_eq!(seen.header("via"), Some(via));
        assert_eq!(
            seen.header("host"),
            Some(upstream.address.to_string().as_str())
        );
    }
}

#[test]
fn plain_http_beyond_loopback_has_to_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let output = program()
        .args(["serve", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0"])
        .args(["--upstream", "http://127.0.0.1:1", "--journal"])
        .arg(directory.path().join("journal"))
        .arg("--policies")
        .arg(policies())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("--allow-plaintext"), "{message}");
    assert!(message.contains("0.0.0.0:0"), "{message}");
}
