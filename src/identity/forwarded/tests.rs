use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn config(header: &str) -> Config {
    toml::from_str(&format!(
        "from = ['10.0.0.0/8', '2001:db8::/32']\nheader = '{header}'"
    ))
    .unwrap()
}

fn told(header: &str, connection: &str, values: &[&str]) -> (String, Finding) {
    let config = config(header);
    let values = values.iter().map(|value| {
        (
            config.header.name(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    });
    let client = config.client(connection.parse().unwrap(), &values.collect());
    (client.address.to_string(), client.finding)
}

#[test]
fn the_client_is_the_first_from_the_end_that_is_no_proxy() {
    use Finding::{Absent, Believed, Ignored, Long, Unreadable};
    let many = vec!["10.0.0.1"; 20].join(", ");
    for (connection, values, address, finding) in [
        ("10.0.0.1", &[][..], "10.0.0.1", Absent),
        ("10.0.0.1", &["192.0.2.1"], "192.0.2.1", Believed),
        (
            "::ffff:10.0.0.1",
            &["::ffff:192.0.2.1"],
            "192.0.2.1",
            Believed,
        ),
        ("192.0.2.9", &["192.0.2.1"], "192.0.2.9", Ignored),
        // What a client sends by himself stands before what the proxy adds.
        (
            "10.0.0.1",
            &["198.51.100.7, 192.0.2.1"],
            "192.0.2.1",
            Believed,
        ),
        (
            "10.0.0.1",
            &["198.51.100.7", "192.0.2.1"],
            "192.0.2.1",
            Believed,
        ),
        (
            "10.0.0.1",
            &["garbage\"\\, 192.0.2.1"],
            "192.0.2.1",
            Believed,
        ),
        (
            "10.0.0.1",
            &["192.0.2.1, 10.0.0.2,10.0.0.3"],
            "192.0.2.1",
            Believed,
        ),
        (
            "10.0.0.1",
            &["192.0.2.1, 10.0.0.2", "10.0.0.3"],
            "192.0.2.1",
            Believed,
        ),
        ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1", Believed),
        ("10.0.0.1", &["[2001:db9::1]:4711"], "2001:db9::1", Believed),
        ("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1", Believed),
        (
            "10.0.0.1",
            &["2001:db9::1, 2001:db8::5"],
            "2001:db9::1",
            Believed,
        ),
        ("10.0.0.1", &["10.0.0.9"], "10.0.0.9", Believed),
        ("10.0.0.1", &["unknown"], "10.0.0.1", Unreadable),
        ("10.0.0.1", &[""], "10.0.0.1", Unreadable),
        ("10.0.0.1", &["192.0.2.1,"], "10.0.0.1", Unreadable),
        ("10.0.0.1", &["192.0.2.1 10.0.0.2"], "10.0.0.1", Unreadable),
        (
            "10.0.0.1",
            &["192.0.2.1, x, 10.0.0.2"],
            "10.0.0.2",
            Unreadable,
        ),
        ("10.0.0.1", &["192.0.2.01"], "10.0.0.1", Unreadable),
        ("10.0.0.1", &["192.0.2.1, \u{e9}"], "10.0.0.1", Unreadable),
        ("10.0.0.1", &[&many], "10.0.0.1", Long),
    ] {
        let said = told("x-forwarded-for", connection, values);
        assert_eq!(said, (address.to_owned(), finding), "{values:?}");
    }
    let wide = format!("192.0.2.1, {}", "x".repeat(60_000));
    assert_eq!(told("x-forwarded-for", "10.0.0.1", &[&wide]).1, Long);
    let before = format!("{}, 192.0.2.1", "x,".repeat(30_000));
    assert_eq!(told("x-forwarded-for", "10.0.0.1", &[&before]).1, Believed);
}

#[test]
fn forwarded_is_read_as_its_standard_says() {
    use Finding::{Believed, Unreadable};
    for (value, address, finding) in [
        ("for=192.0.2.1", "192.0.2.1", Believed),
        (
            "For=\"192.0.2.1:80\";proto=https;by=10.0.0.1",
            "192.0.2.1",
            Believed,
        ),
        (
            "proto=https; for=\"[2001:db9::1]:4711\"",
            "2001:db9::1",
            Believed,
        ),
        (
            "for=198.51.100.7, for=192.0.2.1;proto=http, for=10.0.0.2",
            "192.0.2.1",
            Believed,
        ),
        // A quote that a client leaves open does not swallow what the proxy adds.
        ("for=\"198.51.100.7, for=192.0.2.1", "192.0.2.1", Believed),
        (
            "for=198.51.100.7;host=\"a, for=192.0.2.1\", for=192.0.2.2",
            "192.0.2.2",
            Believed,
        ),
        (
            "for=192.0.2.1, for=10.0.0.2;host=\"a,b\"",
            "192.0.2.1",
            Believed,
        ),
        ("for=unknown", "10.0.0.1", Unreadable),
        ("for=_hidden, for=10.0.0.2", "10.0.0.2", Unreadable),
        ("proto=https", "10.0.0.1", Unreadable),
        ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1", Unreadable),
        ("for=\"192.0.2.1", "10.0.0.1", Unreadable),
        ("192.0.2.1", "10.0.0.1", Unreadable),
    ] {
        let said = told("forwarded", "10.0.0.1", &[value]);
        assert_eq!(said, (address.to_owned(), finding), "{value}");
    }
}

#[test]
fn an_address_that_no_client_can_have_is_none() {
    for address in [
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "[ff02::1]",
        "[::ffff:0.0.0.0]:1",
    ] {
        let own = ("10.0.0.1".to_owned(), Finding::Unreadable);
        assert_eq!(told("x-forwarded-for", "10.0.0.1", &[address]), own);
        let quoted = format!("for=\"{address}\"");
        assert_eq!(told("forwarded", "10.0.0.1", &[&quoted]), own);
        let behind = format!("{address}, 10.0.0.2");
        let said = told("x-forwarded-for", "10.0.0.1", &[&behind]);
        assert_eq!(said, ("10.0.0.2".to_owned(), Finding::Unreadable));
    }
}

#[test]
fn only_the_field_that_is_configured_is_read() {
    let config = config("forwarded");
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    let client = config.client("10.0.0.1".parse().unwrap(), &headers);
    assert_eq!(
        (client.address.to_string(), client.finding),
        ("10.0.0.1".to_owned(), Finding::Absent)
    );
    let nobody = Config::default();
    let client = nobody.client("10.0.0.1".parse().unwrap(), &headers);
    assert_eq!(client.finding, Finding::Ignored);
    let metrics = Metrics::new("1");
    for finding in [Finding::Absent, Finding::Ignored, Finding::Long] {
        finding.count(&metrics);
    }
    let text = metrics.encode();
    assert!(
        text.contains("dtgate_forwarded_total{result=\"ignored\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("dtgate_limit_reached_total{limit=\"forwarded_hops\"} 1"),
        "{text}"
    );
}

#[test]
fn nobody_can_trust_everybody() {
    for (text, said) in [
        ("from = ['0.0.0.0/0']", "0.0.0.0/0 is everybody"),
        ("from = ['::/0']", "::/0 is everybody"),
        ("from = ['10.0.0.1/8']", "the network is 10.0.0.0/8"),
        ("header = 'x-real-ip'", "unknown variant `x-real-ip`"),
    ] {
        let refused = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(
            refused.contains(said) && refused.contains("line 1"),
            "{refused}"
        );
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(bytes).to_canonical()),
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
    ]
    .prop_filter("of a client", |address| clients_address(*address).is_some())
}

proptest! {
    /// Whatever a client sends before it: the address that the first proxy saw is found behind any number of proxies.
    #[test]
    fn what_a_client_sends_before_it_changes_nothing(
        theirs in "[ -~]{0,200}",
        client in address(),
        proxies in prop::collection::vec(any::<[u8; 3]>(), 0..8),
        fields in any::<bool>(),
        standard in any::<bool>(),
    ) {
        let header = if standard { "forwarded" } else { "x-forwarded-for" };
        let config = config(header);
        prop_assume!(!config.is_proxy(client));
        let mut written = vec![theirs];
        let addresses = std::iter::once(client).chain(proxies.iter().map(|[a, b, c]| IpAddr::from([10, *a, *b, *c])));
        for address in addresses {
            let part = match (standard, address) {
                (false, _) => address.to_string(),
                (true, IpAddr::V4(_)) => format!("for={address}"),
                (true, IpAddr::V6(_)) => format!("for=\"[{address}]\""),
            };
            if fields {
                written.push(part);
            } else {
                let last = written.last_mut().unwrap();
                last.push_str(", ");
                last.push_str(&part);
            }
        }
        let headers = written.iter().map(|value| (config.header.name(), value.parse().unwrap())).collect();
        let found = config.client("10.9.9.9".parse().unwrap(), &headers);
        prop_assert_eq!(found, Client { address: client, finding: Finding::Believed });
    }

    /// Nothing makes it fail, and the address is always one that somebody who is believed has named, or the connection's.
    #[test]
    fn whatever_is_sent_has_an_address(value in "[ -~]{0,600}", standard in any::<bool>(), connection in address()) {
        let config = config(if standard { "forwarded" } else { "x-forwarded-for" });
        let headers = std::iter::once((config.header.name(), value.parse::<HeaderValue>().unwrap())).collect();
        let found = config.client(connection, &headers);
        if !config.is_proxy(connection) {
            prop_assert_eq!(found, Client { address: connection.to_canonical(), finding: Finding::Ignored });
        }
        if found.finding != Finding::Believed {
            prop_assert!(found.address == connection.to_canonical() || config.is_proxy(found.address));
        }
    }
}
