//! Several certificates, chosen by the name that a client asks for.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::clients::Stand;
use super::write;

#[test]
fn each_name_has_its_certificate_and_all_others_have_the_first() {
    let mut stand = Stand::new();
    let mut made = Vec::new();
    for (folder, names) in [
        ("one", vec!["localhost"]),
        ("two", vec!["gate.example", "*.gate.example"]),
    ] {
        let folder = stand.directory.path().join(folder);
        std::fs::create_dir(&folder).unwrap();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let certified = generate_simple_self_signed(names).unwrap();
        write(&folder, &certified);
        made.push(certified);
    }
    let gate = stand.start(
        "[listener.tls.files]
        certificate = 'one/certificate.pem'
        key = 'one/key.pem'
        [[listener.tls.certificates]]
        certificate = 'two/certificate.pem'
        key = 'two/key.pem'",
    );
    let mut roots = RootCertStore::empty();
    for certified in &made {
        roots.add(certified.cert.der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    let shown = |name: &'static str| {
        let stream = TcpStream::connect(gate.address).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connection = ClientConnection::new(Arc::clone(&client), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        stream
            .flush()
            .map(|()| stream.conn.peer_certificates().unwrap()[0].clone())
    };
    assert_eq!(shown("localhost").unwrap(), *made[0].cert.der());
    assert_eq!(shown("gate.example").unwrap(), *made[1].cert.der());
    assert_eq!(shown("eu.gate.example").unwrap(), *made[1].cert.der());
    // It is shown the first, which has another name.
    assert!(shown("a.b.gate.example").is_err());
}
