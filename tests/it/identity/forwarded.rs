//! For whom a proxy asks: believed from where it is configured, and from nobody else, wherever an address counts.

use std::io::{BufReader, Write};
use std::net::Ipv4Addr;
use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};

use super::{JWT, Making, Stand, naming, request};
use crate::harness::{Answered, Upstream, eventually, from, is_lookup, read_answer, token};
use crate::tls::clients::metric;

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

const OWN: (&str, &str) = (
    "Authorization",
    "Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.X",
);

impl Stand {
    /// One exchange on a new connection from there.
    fn send_from(&self, address: Ipv4Addr, request: &str) -> Answered {
        let mut stream = from(address, self.gate.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        read_answer(&mut BufReader::new(stream)).unwrap()
    }

    fn forwarded(&self, result: &str) -> u64 {
        let series = format!("dtgate_forwarded_total{{result=\"{result}\"}}");
        metric(&self.gate, &series)
    }

    /// Where the journal and the log say that the last request came from.
    fn last_address(&self) -> [String; 3] {
        let record = self.decisions().pop().unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let log = eventually("it is logged", || {
            let log = self.gate.log();
            let lines = log.lines().rev();
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["decision.id"] == record["decision_id"])
        });
        [
            text(&record["input"]["caller"]["address"]),
            text(&record["requested_by"]),
            text(&log["peer.address"]),
        ]
    }
}

#[test]
fn a_proxy_is_believed_and_everybody_else_is_counted() {
    for (header, field, value) in [
        (
            "x-forwarded-for",
            "X-Forwarded-For",
            "198.51.100.9, 192.0.2.7",
        ),
        (
            "forwarded",
            "Forwarded",
            "for=198.51.100.9, For=\"192.0.2.7:4711\";proto=https",
        ),
    ] {
        let section = format!("[identity.forwarded]\nfrom = ['127.0.0.2']\nheader = '{header}'\n");
        let stand = Making::new().start(&[JWT, &section]);
        let fields = [OWN, (field, value)];
        assert_eq!(stand.send_from(PROXY, &naming("a", &fields)).status, 204);
        assert_eq!(stand.last_address(), ["192.0.2.7"; 3]);
        assert_eq!(
            (stand.forwarded("believed"), stand.forwarded("ignored")),
            (1, 0)
        );
        assert_eq!(stand.send_from(STRANGER, &naming("a", &fields)).status, 204);
        assert_eq!(stand.last_address(), ["127.0.0.3"; 3]);
        assert_eq!(
            (stand.forwarded("believed"), stand.forwarded("ignored")),
            (1, 1)
        );
        // Another field is never read.
        let other = if field == "Forwarded" {
            "X-Forwarded-For"
        } else {
            "Forwarded"
        };
        let fields = [OWN, (other, "for=192.0.2.8")];
        assert_eq!(stand.send_from(PROXY, &naming("a", &fields)).status, 204);
        assert_eq!(stand.last_address(), ["127.0.0.2"; 3]);
    }
}

#[test]
fn without_the_setting_nobody_is_believed_and_that_is_counted() {
    let stand = Making::new().start(&[JWT]);
    let fields = [OWN, ("X-Forwarded-For", "192.0.2.7")];
    assert_eq!(stand.send_from(PROXY, &naming("a", &fields)).status, 204);
    assert_eq!(stand.last_address(), ["127.0.0.2"; 3]);
    assert_eq!(
        (stand.forwarded("believed"), stand.forwarded("ignored")),
        (0, 1)
    );
}

/// Whatever a client says about where it comes from, and whom it is, in the fields of proxies.
#[test]
fn no_policy_sees_what_a_client_says_in_a_proxys_field() {
    let section = "[identity.forwarded]\nfrom = ['127.0.0.2']\n";
    let stand = Making::new().start(&[JWT, section]);
    let mut fields = vec![OWN, ("X-Robot", "yes")];
    let spoofed = [
        "Forwarded",
        "X-Forwarded-For",
        "X-FORWARDED-FOR",
        "X-Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "Client-IP",
        "X-Cluster-Client-Ip",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Envoy-External-Address",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "X-Original-Forwarded-For",
        "X_Forwarded_For",
        "Forwarded-For",
        "X-Originating-IP",
        "X-Azure-ClientIP",
        "Wl-Proxy-Client-Ip",
        "Client-Cert",
        "Client-Cert-Chain",
        "X-Client-Cert",
        "X-SSL-Client-S-DN",
        "SSL-Client-Subject",
        "X-Amzn-Mtls-Clientcert-Subject",
    ];
    fields.extend(spoofed.map(|name| (name, "192.0.2.66")));
    for (address, believed) in [(STRANGER, "127.0.0.3"), (PROXY, "192.0.2.66")] {
        let answer = stand.send_from(address, &naming("a", &fields));
        assert_eq!(answer.status, 204, "{answer:?}");
        let mut input = stand.decisions().pop().unwrap()["input"].clone();
        assert_eq!(input["caller"]["address"], believed);
        let attributes = &mut input["attributes"];
        let source = &attributes["source"]["address"]["socketAddress"]["address"];
        assert_eq!(source, believed, "{attributes}");
        let headers = attributes["request"]["http"]["headers"]
            .as_object()
            .unwrap();
        assert_eq!(headers["x-robot"], "yes");
        assert!(
            !json!(headers).to_string().contains("192.0.2.66"),
            "{headers:?}"
        );
    }
}

#[test]
fn the_believed_address_has_its_share_and_no_other() {
    let (begun, waiting) = mpsc::channel();
    let (go, held) = mpsc::channel::<()>();
    let (begun, held) = (Mutex::new(begun), Mutex::new(held));
    let upstream = Upstream::answering_all(move |seen| {
        if is_lookup(&seen.line) {
            return token().into_bytes();
        }
        if seen.line.contains("slow") {
            begun.lock().unwrap().send(()).unwrap();
            // Until the test says so, or is over.
            assert!(held.lock().unwrap().recv().is_ok());
        }
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let section = "[identity.forwarded]\nfrom = ['127.0.0.2']\n[limits]\nin_flight = 4\naddress_share = '25%'\n";
    let stand = Making::before(upstream).start(&[JWT, section]);
    let of = |target: &str, client: &str| {
        request("GET", target, &[OWN, ("X-Forwarded-For", client)], "")
    };
    let mut slow = from(PROXY, stand.gate.address).unwrap();
    slow.write_all(of("/slow", "192.0.2.7").as_bytes()).unwrap();
    waiting.recv().unwrap();
    let quick = |address, client: &str| stand.send_from(address, &of("/quick", client)).status;
    // It has its share; whoever else comes through the same proxy has another.
    assert_eq!(quick(PROXY, "192.0.2.7"), 503);
    assert_eq!(quick(PROXY, "192.0.2.8"), 204);
    // And nobody takes it by saying so.
    assert_eq!(quick(STRANGER, "192.0.2.7"), 204);
    go.send(()).unwrap();
    assert_eq!(read_answer(&mut BufReader::new(slow)).unwrap().status, 204);
}
