//! How the gate reaches its upstream: through a proxy, and with a certificate of its own.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::harness::{GOOD, Gate, TOKEN, Upstream, policies, read_message, serving};
use crate::tls::certified;

/// The line of a question for a tunnel, and what it showed.
type Asked = (String, Option<String>);

/// A proxy that opens tunnels, or answers with a status of its own.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    fn start(refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                std::thread::spawn(move || tunnel(stream, refusal, &kept));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn tunnel(mut client: TcpStream, refusal: Option<&str>, asked: &Mutex<Vec<Asked>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let Some(head) = read_message(&mut reader) else {
        return;
    };
    let authorization = head.header("proxy-authorization").map(str::to_owned);
    asked
        .lock()
        .unwrap()
        .push((head.line.clone(), authorization));
    if let Some(refusal) = refusal {
        drop(client.write_all(refusal.as_bytes()));
        return;
    }
    let to = head.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut upstream = TcpStream::connect(to).unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let (mut back, mut from) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut back));
        drop(back.shutdown(Shutdown::Write));
    });
    drop(std::io::copy(&mut reader, &mut upstream));
    drop(upstream.shutdown(Shutdown::Write));
}

/// A gate with a section `[upstream]`, and more in its environment.
fn gate(section: &str, environment: &[(&str, String)]) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("dtgate.toml"), section).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(directory.path().join("dtgate.toml"))
        .arg("--policies")
        .arg(policies());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    Gate::spawn(directory, command)
}

#[test]
fn a_proxy_is_asked_for_a_tunnel_and_shown_its_credential() {
    let (upstream, proxy) = (Upstream::lenient(), Proxy::start(None));
    let files = tempfile::tempdir().unwrap();
    let credential = files.path().join("proxy");
    std::fs::write(&credential, "gate:horse battery\n").unwrap();
    let gate = gate(
        &format!(
            "[upstream]\nurl = \"http://{}\"\nproxy = \"http://{}\"\nproxy_credential_file = \"{}\"\n",
            upstream.address,
            proxy.address,
            credential.display()
        ),
        &[],
    );
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    assert_eq!(gate.send("GET", "/api/v2/metrics", "").status, 204);
    assert_eq!(upstream.seen().len(), 2);
    let asked = proxy.asked();
    let expected = (
        format!("CONNECT {} HTTP/1.1", upstream.address),
        Some("Basic Z2F0ZTpob3JzZSBiYXR0ZXJ5".to_owned()),
    );
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| *asked == expected),
        "{asked:?}"
    );
}

#[test]
fn tls_goes_through_the_tunnel_to_the_upstream_itself() {
    let certified = certified();
    let proxy = Proxy::start(None);
    let upstream = mutual(&certified, None);
    let files = tempfile::tempdir().unwrap();
    crate::tls::write(files.path(), &certified);
    let gate = gate(
        &format!(
            "[upstream]\nurl = \"https://localhost:{}\"\nca = \"{}\"\nproxy = \"http://{}\"\n",
            upstream.port(),
            files.path().join("certificate.pem").display(),
            proxy.address
        ),
        &[],
    );
    assert_eq!(gate.send("POST", "/api/v1/tokens", GOOD).status, 204);
    assert_eq!(
        proxy.asked()[0].0,
        format!("CONNECT localhost:{} HTTP/1.1", upstream.port())
    );
}

#[test]
fn a_proxy_that_refuses_or_talks_nonsense_is_no_upstream() {
    let upstream = Upstream::lenient();
    for refusal in [
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "hello\r\n\r\n",
        "",
    ] {
        let proxy = Proxy::start(Some(refusal));
        let gate = gate(
            &format!(
                "[upstream]\nurl = \"http://{}\"\nproxy = \"http://{}\"\n",
                upstream.address, proxy.address
            ),
            &[],
        );
        let answer = gate.send("POST", "/api/v1/tokens", GOOD);
        assert_eq!(answer.status, 502, "{refusal:?}: {answer:?}");
        // It is certain that the upstream has seen nothing.
        assert_eq!(gate.records().pop().unwrap()["outcome"], "failed");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[test]
fn the_environments_proxy_is_used_when_asked_for_and_not_where_it_says_no() {
    let upstream = Upstream::lenient();
    let url = format!("url = \"http://{}\"\n", upstream.address);
    for (section, no, asked) in [
        (
            format!("[upstream]\n{url}proxy = \"environment\"\n"),
            "other.example",
            true,
        ),
        (
            format!("[upstream]\n{url}proxy = \"environment\"\n"),
            "127.0.0.0/8",
            false,
        ),
        (format!("[upstream]\n{url}"), "", false),
    ] {
        let proxy = Proxy::start(None);
        let environment = [
            ("HTTP_PROXY", format!("http://user:word@{}", proxy.address)),
            ("NO_PROXY", no.to_owned()),
        ];
        let gate = gate(&section, &environment);
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        let said = proxy.asked();
        assert_eq!(!said.is_empty(), asked, "{section} {no}: {said:?}");
        assert!(!gate.log().contains("word@"));
    }
}

/// An upstream over TLS that answers 204, to those whose certificate an authority has signed.
pub(crate) fn mutual(
    certified: &rcgen::CertifiedKey<KeyPair>,
    clients: Option<&rcgen::Certificate>,
) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = builder
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(StreamOwned::new(connection, stream));
                while read_message(&mut stream).is_some() {
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    if stream.get_mut().write_all(answer).is_err() {
                        return;
                    }
                }
                drop(stream.read(&mut [0]));
            });
        }
    });
    address
}

#[test]
fn an_upstream_that_asks_for_a_certificate_is_shown_the_gates() {
    let server = certified();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["gate.example".to_owned()])
        .unwrap()
        .signed_by(&own_key, &issuer)
        .unwrap();
    let upstream = mutual(&server, Some(&authority_certificate));

    let files = tempfile::tempdir().unwrap();
    crate::tls::write(files.path(), &server);
    std::fs::write(files.path().join("own.pem"), own.pem()).unwrap();
    std::fs::write(files.path().join("own.key"), own_key.serialize_pem()).unwrap();
    let path = |name: &str| files.path().join(name).display().to_string();
    let section = format!(
        "[upstream]\nurl = \"https://localhost:{}\"\nca = \"{}\"\n",
        upstream.port(),
        path("certificate.pem")
    );
    let known = format!(
        "{section}client_certificate = {{ certificate = \"{}\", key = \"{}\" }}\n",
        path("own.pem"),
        path("own.key")
    );
    let answer = gate(&known, &[]).send("POST", "/api/v1/tokens", GOOD);
    assert_eq!(answer.status, 204, "{answer:?}");
    let answer = gate(&section, &[]).send("GET", "/api/v2/metrics", "");
    assert_eq!(answer.status, 502, "{answer:?}");
}
