//! What one caller may use up, wherever it comes from: it is known by what it has proven.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

use rcgen::SanType;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::json;

use super::{FIELD, JWT, Making, Stand, TLS, of_payments, request};
use crate::harness::{TOKEN, Upstream, eventually, from, read_answer};
use crate::tls::clients::client;

const OWN: (&str, &str) = (
    "Authorization",
    "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
);
const LIMITS: &str = "[limits]\nrefusals = 5\n";

fn over_tls(
    config: &Arc<ClientConfig>,
    from_there: Ipv4Addr,
    to: SocketAddr,
    request: &str,
) -> u16 {
    let socket: TcpStream = from(from_there, to).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config.clone(), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(&mut BufReader::new(stream)).unwrap().status
}

impl Stand {
    /// Sends what is refused before policies see it, from one address after the other, and says how much was recorded.
    fn recorded(
        &self,
        config: &Arc<ClientConfig>,
        fields: &[(&str, &str)],
        addresses: impl Iterator<Item = u8>,
    ) -> usize {
        let before = self.decisions().len();
        let request = request("PUT", TOKEN, fields, "{\"name\":");
        for last in addresses {
            let there = Ipv4Addr::new(127, 0, 1, last);
            assert_eq!(over_tls(config, there, self.gate.address, &request), 400);
        }
        self.decisions().len() - before
    }
}

fn of<'t>(token: &'t str, own: &'t str) -> [(&'t str, &'t str); 2] {
    [("Authorization", own), ("x-dtgate-token", token)]
}

#[test]
fn one_caller_at_many_addresses_has_one_budget_and_two_at_one_address_have_two() {
    let stand = Making::new().start(&[TLS, JWT, LIMITS]);
    let nobody = client(&stand.gate, None);
    let token = |subject: &str| stand.token(json!({"iss": FIELD, "sub": subject}));
    let (one, other) = (token("one"), token("other"));
    // Another credential for Dynatrace each time does not make another caller of it.
    let credentials = ["Api-Token dt0c01.A.X", "Api-Token dt0c01.B.X"];
    let mut sum = 0;
    for (number, own) in credentials.into_iter().enumerate() {
        let addresses = if number == 0 { 1..=8 } else { 9..=16 };
        sum += stand.recorded(&nobody, &of(&one, own), addresses);
    }
    assert_eq!(sum, 5);
    // Those who share its address have their own.
    let same = || std::iter::repeat_n(1, 8);
    assert_eq!(stand.recorded(&nobody, &of(&one, OWN.1), same()), 0);
    assert_eq!(stand.recorded(&nobody, &of(&other, OWN.1), same()), 5);
    // Another token of the same subject is the same caller.
    let again = stand.token(json!({"iss": FIELD, "sub": "one", "jti": "another"}));
    assert_eq!(stand.recorded(&nobody, &of(&again, OWN.1), same()), 0);
    // And so it is with certificates: a renewed one is the same caller, another name is another.
    let issued = |name: &str, serial: u64| {
        let issued = stand.authority.issue(|it| {
            of_payments(it);
            let uri = format!("spiffe://example/ns/payments/sa/{name}");
            it.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
            it.serial_number = Some(serial.into());
        });
        client(&stand.gate, Some(issued))
    };
    let [first, renewed, other] =
        [("one", 7), ("one", 8), ("other", 9)].map(|(name, serial)| issued(name, serial));
    assert_eq!(stand.recorded(&first, &[OWN], 1..=16), 5);
    assert_eq!(stand.recorded(&renewed, &[OWN], same()), 0);
    assert_eq!(stand.recorded(&other, &[OWN], same()), 5);
    assert_eq!(
        stand.recorded(&other, &[("Authorization", credentials[0])], same()),
        0
    );
}

#[test]
fn one_caller_at_many_addresses_has_its_share_of_open_traffic() {
    let (over, until) = mpsc::channel::<()>();
    let until = Mutex::new(until);
    let upstream = Upstream::answering_all(move |_| {
        // Until the test is over.
        assert!(until.lock().unwrap().recv().is_err());
        Vec::new()
    });
    let limits = "[listener]\nhalf_close_timeout = '100ms'\n[limits]\nin_flight = 8\naddress_share = '50%'\n";
    let stand = Making::before(upstream).start(&[JWT, limits]);
    let token = |subject: &str| stand.token(json!({"iss": FIELD, "sub": subject}));
    let (one, other) = (token("one"), token("other"));
    let ask = |last: u8, token: &str| {
        let there = Ipv4Addr::new(127, 0, 2, last);
        let mut socket = from(there, stand.gate.address).unwrap();
        let fields = [("x-dtgate-token", token)];
        let request = request("GET", "/api/v2/metrics", &fields, "");
        socket.write_all(request.as_bytes()).unwrap();
        socket
    };
    // Each from another address: half of what an address may have.
    let held: Vec<TcpStream> = [1, 2].map(|last| ask(last, &one)).into();
    eventually("both", || (stand.upstream.seen().len() == 2).then_some(()));
    let answer = read_answer(&mut BufReader::new(ask(3, &one))).unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.message().contains("of this caller"), "{answer:?}");
    let _others = [ask(3, &other), ask(3, &other)];
    eventually("others", || {
        (stand.upstream.seen().len() == 4).then_some(())
    });
    drop(held);
    eventually("room again", || {
        let _again = ask(4, &one);
        (stand.upstream.seen().len() >= 5).then_some(())
    });
    drop(over);
}
