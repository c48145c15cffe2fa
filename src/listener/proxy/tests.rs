use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::value::Duration;

fn of(address: &str) -> Said {
    Said::Client(address.parse().unwrap())
}

#[test]
fn a_line_of_version_1_is_understood_in_the_one_way_that_it_is_written() {
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
            Some(of("192.0.2.1:56324")),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n",
            Some(of("[2001:db8::1]:1")),
        ),
        // IPv4 in IPv6 is IPv4.
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
            Some(of("192.0.2.1:1")),
        ),
        ("PROXY UNKNOWN\r\n", Some(Said::Own)),
        ("PROXY UNKNOWN whatever is here 1 2 3\r\n", Some(Said::Own)),
        ("PROXY UNKNOWNS\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n", None),
        ("PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", None),
        ("PROXY TCP4 192.0.2.1  198.51.100.1 56324 443\r\n", None),
        ("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", None),
        ("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n", None),
        ("PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n", None),
        ("PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n", None),
        ("PROXY TCP4 0.0.0.0 198.51.100.1 1 2\r\n", None),
        ("PROXY TCP4 255.255.255.255 198.51.100.1 1 2\r\n", None),
        ("PROXY TCP4 224.0.0.1 198.51.100.1 1 2\r\n", None),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", None),
        ("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n", None),
        ("proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n", None),
    ] {
        assert_eq!(v1(line.as_bytes()), expected, "{line}");
    }
    assert_eq!(v1(b"PROXY TCP4 192.0.2.\xff 198.51.100.1 1 2\r\n"), None);
}

#[test]
fn version_2_is_understood_with_its_addresses_and_without_what_follows() {
    let ipv4 = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];
    assert_eq!(v2(0x21, 0x11, &ipv4), Some(of("192.0.2.1:56324")));
    // A TLV, and one that is cut off: they are not looked at.
    let with_tlvs = [&ipv4[..], &[3, 0, 4, 1, 2, 3, 4, 0x20, 0xff]].concat();
    assert_eq!(v2(0x21, 0x11, &with_tlvs), Some(of("192.0.2.1:56324")));
    let mut ipv6 = [0; 36];
    ipv6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    ipv6[15] = 1;
    ipv6[33] = 7;
    assert_eq!(v2(0x21, 0x21, &ipv6), Some(of("[2001:db8::1]:7")));
    for (version, family, length, expected) in [
        // LOCAL, whatever it says.
        (0x20, 0x11, 12, Some(Said::Own)),
        (0x20, 0x00, 0, Some(Said::Own)),
        (0x20, 0xff, 0, Some(Said::Own)),
        // Not specified, and a socket of the machine.
        (0x21, 0x00, 0, Some(Said::Own)),
        (0x21, 0x31, 216, Some(Said::Own)),
        (0x21, 0x11, 11, None),
        (0x21, 0x21, 35, None),
        // Datagrams, and what nobody has specified.
        (0x21, 0x12, 12, None),
        (0x21, 0x22, 36, None),
        (0x21, 0x41, 36, None),
        (0x22, 0x11, 12, None),
        (0x11, 0x11, 12, None),
    ] {
        let rest = vec![1; length];
        assert_eq!(
            v2(version, family, &rest),
            expected,
            "{version:x} {family:x} {length}"
        );
    }
    assert_eq!(v2(0x21, 0x11, &[0; 12]), None);
}

/// What was understood of these bytes, and what is left of them for whoever comes next.
async fn read_all(bytes: &[u8], pieces: usize) -> (Result<Said, Unsaid>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    let bytes = bytes.to_vec();
    let sending = async move {
        for piece in bytes.chunks(pieces) {
            client.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (said, ()) = tokio::join!(read(&mut server), sending);
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    (said, rest)
}

#[tokio::test]
async fn not_a_byte_behind_the_header_is_taken() {
    let ipv4 = [
        &V2[..],
        &[
            0x21, 0x11, 0, 12, 192, 0, 2, 1, 198, 51, 100, 1, 0, 7, 1, 0xbb,
        ],
    ]
    .concat();
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 7 443\r\n".to_vec();
    for header in [ipv4, line] {
        for pieces in [1, 3, 1000] {
            let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            let (said, rest) = read_all(&bytes, pieces).await;
            assert_eq!(said.unwrap(), Said::Client("192.0.2.1:7".parse().unwrap()));
            assert_eq!(rest, b"GET / HTTP/1.1\r\n");
        }
    }
}

#[tokio::test]
async fn a_header_that_does_not_end_ends_the_connection() {
    let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
    assert!(matches!(
        read_all(long.as_bytes(), 1000).await.0,
        Err(Unsaid::Malformed)
    ));
    let exact = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
    assert_eq!(exact.len(), LONGEST_LINE);
    assert_eq!(read_all(exact.as_bytes(), 1000).await.0.unwrap(), Said::Own);
    let long = [&V2[..], &[0x21, 0x11, 0xff, 0xff]].concat();
    assert!(matches!(
        read_all(&long, 1000).await.0,
        Err(Unsaid::TooLong)
    ));
    assert!(matches!(
        read_all(b"GET / HTTP/1.1\r\n", 1000).await.0,
        Err(Unsaid::Missing)
    ));
    assert!(matches!(
        read_all(b"PROXY", 1000).await.0,
        Err(Unsaid::Io(_))
    ));
}

#[tokio::test]
async fn only_configured_networks_are_believed() {
    let config = ProxyProtocol {
        from: vec!["10.0.0.0/8".parse().unwrap(), "fd00::1".parse().unwrap()],
        timeout: Duration::from_secs(1),
    };
    let proxy = Proxy::new(config, Metrics::new("test"));
    for (address, believed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("fd00::1", true),
        ("fd00::2", false),
        ("11.0.0.1", false),
        ("127.0.0.1", false),
    ] {
        assert_eq!(
            proxy.believes(address.parse().unwrap()),
            believed,
            "{address}"
        );
    }
}

proptest! {
    #[test]
    fn what_a_load_balancer_writes_is_read_as_it_was_meant(
        from: SocketAddr,
        to: SocketAddr,
        tlvs in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let client = client(from.ip(), from.port());
        let (line, bytes, family) = match (from.ip(), to.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (format!("PROXY TCP4 {a} {b} {} {}\r\n", from.port(), to.port()), [a.octets(), b.octets()].concat(), 0x11)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (format!("PROXY TCP6 {a} {b} {} {}\r\n", from.port(), to.port()), [a.octets(), b.octets()].concat(), 0x21)
            }
            _ => return Ok(()),
        };
        prop_assert!(line.len() <= LONGEST_LINE);
        prop_assert_eq!(v1(line.as_bytes()), client);
        let bytes = [&bytes[..], &from.port().to_be_bytes(), &to.port().to_be_bytes(), &tlvs].concat();
        prop_assert_eq!(v2(0x21, family, &bytes), client);
    }

    #[test]
    fn no_bytes_are_too_strange(line: Vec<u8>, version: u8, family: u8, rest: Vec<u8>) {
        v1(&line);
        v1(&[V1, &line, b"\r\n"].concat());
        v2(version, family, &rest);
    }
}
