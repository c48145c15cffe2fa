//! TLS while it runs: names, certificates of clients, and files that are exchanged.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, SerialNumber};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::listener::tls::tests::authority::Authority;
use crate::listener::tls::tests::{NOON, server};

/// A listener with a clock of its own, and what it was configured with.
struct Stand {
    directory: TempDir,
    authority: Authority,
    config: Config,
    swap: TlsSwap,
    metrics: Metrics,
    running: Running,
}

type Identity = (rcgen::Certificate, KeyPair);

impl Stand {
    /// Clients may have certificates, or must.
    fn start(required: bool, now: Now) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("Root", NOON);
        let mut tls = Tls::from(server(directory.path(), "one", &["localhost"]));
        let (ca, crl) = (
            directory.path().join("ca.pem"),
            directory.path().join("crl.pem"),
        );
        fs::write(&ca, &authority.pem).unwrap();
        fs::write(&crl, authority.revoked(&[], NOON + 86_400)).unwrap();
        tls.clients = Some(Clients {
            ca,
            crl: Some(crl),
            required,
        });
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: Some(tls),
            ..Config::default()
        };
        let metrics = Metrics::new("test");
        let listener = Listener::bind(&config, metrics.clone(), now).unwrap();
        let (tracker, shutdown) = (Tracker::default(), CancellationToken::new());
        let seats = Seat::here(Handle(introduce));
        Self {
            directory,
            authority,
            config,
            swap: listener.tls(),
            metrics,
            running: Running {
                address: listener.local_addr(),
                connections: listener.connections(),
                tracker: tracker.clone(),
                shutdown: shutdown.clone(),
                server: tokio::spawn(listener.serve(seats, tracker, shutdown)),
            },
        }
    }

    fn tls(&mut self) -> &mut Tls {
        self.config.tls.as_mut().unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.directory.path().join(file), text).unwrap();
    }

    fn renew(&self) {
        assert_eq!(self.swap.renew(&self.config).unwrap(), Change::Renewed);
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        self.authority.issue(change)
    }

    async fn connect(&self, client: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        self.connect_to("localhost", client).await
    }

    async fn connect_to(
        &self,
        name: &'static str,
        client: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.running.address).await?;
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(Arc::clone(client))
            .connect(name, stream)
            .await
    }

    /// The first answer on a new connection.
    async fn introduced(&self, client: &Arc<ClientConfig>) -> io::Result<String> {
        ask(&mut self.connect(client).await?).await
    }

    fn refused(&self, reason: &str) -> bool {
        let line = format!("dtgate_client_certificates_refused_total{{reason=\"{reason}\"}} ");
        self.metrics.encode().contains(&line)
    }
}

/// Trusts the servers whose certificates are in these files.
fn client(servers: &[&Path], identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for file in servers {
        roots
            .add(CertificateDer::from_pem_file(file).unwrap())
            .unwrap();
    }
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

/// Who the listener says that the client is.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a service")]
fn introduce(request: Request<Body>) -> std::future::Ready<Response<Body>> {
    let peer = Peer::of(request.extensions()).unwrap();
    let certificate = peer
        .certificate
        .map(|certificate| certificate.subject.clone());
    ready(Response::new(full(
        certificate.unwrap_or_else(|| "nobody".to_owned()),
    )))
}

/// The body of an answer with 200, or that there is none.
async fn ask(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(REQUEST).await?;
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                assert!(
                    head.starts_with("HTTP/1.1 200") || head.starts_with("HTTP/1.1 421"),
                    "{head}"
                );
                let is_answer = head.starts_with("HTTP/1.1 200");
                return is_answer
                    .then(|| body.to_owned())
                    .ok_or_else(|| io::Error::other(body));
            }
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_with_the_name_that_it_asks_for() {
    let mut stand = Stand::start(false, noon);
    let folder = stand.directory.path().to_owned();
    let default = stand.tls().files.certificate.clone();
    let names: [(&str, &[&str]); 3] = [
        ("exact", &["gate.example", "Other.Example"]),
        ("star", &["*.example"]),
        ("deep", &["*.deep.example"]),
    ];
    stand.tls().certificates = names
        .map(|(file, names)| server(&folder, file, names))
        .into();
    stand.renew();
    let shown = async |name: &'static str| {
        // Whether the name fits is not what is asked.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let stream = stand.connect_to(name, &Arc::new(client)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    for (name, file) in [
        ("gate.example", folder.join("exact.crt")),
        ("GATE.example", folder.join("exact.crt")),
        ("other.example", folder.join("exact.crt")),
        ("one.example", folder.join("star.crt")),
        ("one.deep.example", folder.join("deep.crt")),
        // A star stands for one label.
        ("a.one.example", default.clone()),
        ("example", default.clone()),
        ("localhost", default.clone()),
        ("unknown.test", default.clone()),
        // No name is asked for.
        ("127.0.0.1", default.clone()),
    ] {
        let expected = CertificateDer::from_pem_file(&file).unwrap();
        assert!(shown(name).await == expected, "{name}");
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[tokio::test]
async fn the_oldest_version_is_the_configured_one() {
    let mut stand = Stand::start(false, noon);
    let trusted = stand.tls().files.certificate.clone();
    let mut old = rustls::crypto::aws_lc_rs::default_provider();
    old.cipher_suites.retain(|suite| suite.tls13().is_none());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(trusted).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(old))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Arc::new(client);
    assert_eq!(stand.introduced(&client).await.unwrap(), "nobody");
    stand.tls().min_version = TlsVersion::Tls13;
    stand.renew();
    stand.introduced(&client).await.unwrap_err();
}

#[tokio::test]
async fn a_client_that_proves_who_it_is_is_known_and_one_without_is_nobody() {
    let mut stand = Stand::start(false, noon);
    let trusted = stand.tls().files.certificate.clone();
    let own = stand.issue(|_| {});
    let (somebody, nobody) = (client(&[&trusted], Some(&own)), client(&[&trusted], None));
    assert_eq!(stand.introduced(&somebody).await.unwrap(), "CN=ci");
    assert_eq!(stand.introduced(&nobody).await.unwrap(), "nobody");
    // One that is not good is not the same as none.
    let strange = Authority::new("Other", NOON).issue(|_| {});
    stand
        .introduced(&client(&[&trusted], Some(&strange)))
        .await
        .unwrap_err();
    assert!(stand.refused("issuer"));

    // From now on everybody needs one, also on the connections that there are.
    let mut stays = stand.connect(&somebody).await.unwrap();
    let mut leaves = stand.connect(&nobody).await.unwrap();
    assert_eq!(ask(&mut stays).await.unwrap(), "CN=ci");
    assert_eq!(ask(&mut leaves).await.unwrap(), "nobody");
    stand.tls().clients.as_mut().unwrap().required = true;
    stand.renew();
    ask(&mut leaves).await.unwrap_err();
    assert_eq!(ask(&mut stays).await.unwrap(), "CN=ci");
    stand.introduced(&nobody).await.unwrap_err();
    assert!(stand.refused("missing"));
}

#[tokio::test]
async fn a_certificate_that_is_revoked_ends_its_connections_and_takes_up_no_session() {
    let mut stand = Stand::start(true, noon);
    let trusted = stand.tls().files.certificate.clone();
    let good = stand.issue(|_| {});
    let stolen = stand.issue(|params| params.serial_number = Some(SerialNumber::from(8)));
    let (good, stolen) = (
        client(&[&trusted], Some(&good)),
        client(&[&trusted], Some(&stolen)),
    );
    stand.introduced(&stolen).await.unwrap();
    let mut open = stand.connect(&stolen).await.unwrap();
    let mut idle = stand.connect(&stolen).await.unwrap();
    let mut stays = stand.connect(&good).await.unwrap();
    for stream in [&mut open, &mut idle, &mut stays] {
        ask(stream).await.unwrap();
    }
    // It could take up a session, as long as nothing has changed.
    assert_eq!(
        open.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Resumed)
    );

    stand.write("crl.pem", &stand.authority.revoked(&[8], NOON + 86_400));
    stand.renew();
    ask(&mut open).await.unwrap_err();
    // Nothing has to be sent for it to end.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    stand.introduced(&stolen).await.unwrap_err();
    assert!(stand.refused("revoked"));
    assert_eq!(ask(&mut stays).await.unwrap(), "CN=ci");
    drop((open, idle));
    until("only the good one is left", || {
        stand.running.connections.count() == 1
    })
    .await;
}

#[tokio::test]
async fn a_connection_ends_with_the_authority_that_vouched_for_it() {
    let mut stand = Stand::start(false, noon);
    let trusted = stand.tls().files.certificate.clone();
    let own = stand.issue(|_| {});
    let own = client(&[&trusted], Some(&own));
    let mut one = stand.connect(&own).await.unwrap();
    ask(&mut one).await.unwrap();
    stand.write("ca.pem", &Authority::new("Other", NOON).pem);
    stand.renew();
    ask(&mut one).await.unwrap_err();
    stand.write("ca.pem", &stand.authority.pem);
    stand.renew();
    let mut two = stand.connect(&own).await.unwrap();
    ask(&mut two).await.unwrap();
    // Nobody is asked for a certificate any more, and so nobody vouches for this one.
    stand.tls().clients = None;
    stand.renew();
    ask(&mut two).await.unwrap_err();
    assert_eq!(stand.introduced(&own).await.unwrap(), "nobody");
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_connection_and_its_sessions() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOON);
    fn clock() -> Timestamp {
        Timestamp::from_second(CLOCK.load(Ordering::SeqCst)).unwrap()
    }
    let mut stand = Stand::start(true, clock);
    let trusted = stand.tls().files.certificate.clone();
    let short = stand.issue(|params| {
        params.not_after = crate::listener::tls::tests::authority::at(NOON + 1);
    });
    let (short, long) = (client(&[&trusted], Some(&short)), {
        let own = stand.issue(|_| {});
        client(&[&trusted], Some(&own))
    });
    let mut open = stand.connect(&short).await.unwrap();
    let mut idle = stand.connect(&short).await.unwrap();
    let mut stays = stand.connect(&long).await.unwrap();
    for stream in [&mut open, &mut idle, &mut stays] {
        ask(stream).await.unwrap();
    }
    // In its last second it is good.
    CLOCK.store(NOON + 1, Ordering::SeqCst);
    ask(&mut open).await.unwrap();
    let resumed = stand.connect(&short).await.unwrap();
    assert_eq!(
        resumed.get_ref().1.handshake_kind(),
        Some(HandshakeKind::Resumed)
    );
    drop(resumed);
    CLOCK.store(NOON + 2, Ordering::SeqCst);
    ask(&mut open).await.unwrap_err();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    stand.introduced(&short).await.unwrap_err();
    assert!(stand.refused("expired"));
    ask(&mut stays).await.unwrap();
}

#[tokio::test]
async fn a_connection_of_http_2_ends_with_its_certificate_too() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOON);
    fn clock() -> Timestamp {
        Timestamp::from_second(CLOCK.load(Ordering::SeqCst)).unwrap()
    }
    let mut stand = Stand::start(true, clock);
    let trusted = stand.tls().files.certificate.clone();
    let own = stand.issue(|_| {});
    let mut config = Arc::unwrap_or_clone(client(&[&trusted], Some(&own)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = stand.connect(&Arc::new(config)).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let uri = format!("https://localhost:{}/", stand.running.address.port());
    let request = || Request::get(&uri).body(Full::<Bytes>::default()).unwrap();
    let response = sender.send_request(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    CLOCK.store(NOON + 7200, Ordering::SeqCst);
    let response = sender.send_request(request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    // The listener closes it, and not the client.
    assert!(timeout(LONG, connection).await.is_ok());
    until("it is closed", || stand.running.connections.count() == 0).await;
}

/// Clients that never stop, half of them with certificates, while all files change: nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_exchanged_under_load_and_no_request_fails() {
    let mut stand = Stand::start(false, noon);
    let folder = stand.directory.path().to_owned();
    let files = [
        stand.tls().files.clone(),
        server(&folder, "two", &["localhost"]),
    ];
    let trusted = files.each_ref().map(|files| files.certificate.as_path());
    let own = stand.issue(|_| {});
    let clients = [client(&trusted, None), client(&trusted, Some(&own))];
    let served = AtomicUsize::new(0);
    let stop = CancellationToken::new();
    let load = async |at: usize| {
        let mut shown = HashSet::new();
        let client = &clients[at % 2];
        let expected = ["nobody", "CN=ci"][at % 2];
        while !stop.is_cancelled() {
            let mut stream = stand.connect(client).await.unwrap();
            if let Some([certificate, ..]) = stream.get_ref().1.peer_certificates() {
                shown.insert(certificate.to_vec());
            }
            for _ in 0..=at {
                assert_eq!(ask(&mut stream).await.unwrap(), expected);
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
        shown.len()
    };
    let exchanges = async {
        let mut config = stand.config.clone();
        for number in 1..=20 {
            config.tls.as_mut().unwrap().files = files[number % 2].clone();
            assert_eq!(stand.swap.renew(&config).unwrap(), Change::Renewed);
            let before = served.load(Ordering::Relaxed);
            until("others were served", || {
                served.load(Ordering::Relaxed) > before + 20
            })
            .await;
        }
        stop.cancel();
    };
    let (a, b, c, d, ()) = tokio::join!(load(0), load(1), load(2), load(3), exchanges);
    assert_eq!([a, b, c, d], [2; 4], "each has seen both certificates");
}
