use rcgen::{CertificateParams, CustomExtension, DnType, DnValue, SanType, SerialNumber};

use super::*;
use crate::listener::tls::tests::NOON;
use crate::listener::tls::tests::authority::Authority;

fn read(change: impl FnOnce(&mut CertificateParams)) -> Result<Certificate, Unreadable> {
    let (certificate, _) = Authority::new("Root, Ltd", NOON).issue(change);
    Certificate::read(certificate.der())
}

fn names(names: Vec<SanType>) -> Result<Certificate, Unreadable> {
    read(|params| params.subject_alt_names = names)
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn subject(attributes: &[(DnType, &str)]) -> String {
    let attributes = attributes.to_vec();
    let read = read(|params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in attributes {
            params
                .distinguished_name
                .push(kind, DnValue::Utf8String(value.to_owned()));
        }
    });
    read.unwrap().subject
}

#[test]
fn what_a_certificate_says_is_told_by_kind() {
    let told = read(|params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        params.serial_number = Some(SerialNumber::from(vec![0x00, 0xff, 0x01]));
        params.subject_alt_names = vec![
            SanType::DnsName("CI.Example.COM".try_into().unwrap()),
            uri("spiffe://example.com/team/payments"),
            SanType::Rfc822Name("ci@example.com".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ];
    });
    let told = told.unwrap();
    assert_eq!(told.subject, "O=Example,CN=ci");
    assert_eq!(told.issuer, r"CN=Root\2C Ltd");
    assert_eq!(told.serial, "ff01");
    assert_eq!(told.dns, ["ci.example.com"]);
    assert_eq!(told.uris, ["spiffe://example.com/team/payments"]);
    assert_eq!(told.emails, ["ci@example.com"]);
    assert_eq!(told.addresses, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(
        told.spiffe_id.as_deref(),
        Some("spiffe://example.com/team/payments")
    );
    assert_eq!(told.not_after.as_second(), NOON + 3600);
    assert_eq!(told.fingerprint.len(), 64);
    assert!(
        told.fingerprint
            .bytes()
            .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    );
}

#[test]
fn no_value_of_a_subject_looks_like_another_attribute() {
    let cn = DnType::CommonName;
    for (value, expected) in [
        ("ci", "CN=ci"),
        ("Zoë 東京", "CN=Zoë 東京"),
        ("x,CN=admin", r"CN=x\2CCN\3Dadmin"),
        ("x+O=admin", r"CN=x\2BO\3Dadmin"),
        ("a\0b", r"CN=a\00b"),
        ("a\nb", r"CN=a\0Ab"),
        ("a\u{202e}b", r"CN=a\E2\80\AEb"),
        ("\"<a>;\\#", r"CN=\22\3Ca\3E\3B\5C\23"),
        (" a b ", r"CN=\20a b\20"),
        (" ", r"CN=\20"),
        ("", "CN="),
    ] {
        assert_eq!(subject(&[(cn.clone(), value)]), expected, "{value:?}");
    }
    assert_eq!(subject(&[]), "");
    // What has no name in RFC 4514 is written in numbers.
    let other = DnType::CustomDnType(vec![2, 5, 4, 5]);
    assert_eq!(subject(&[(other, "7")]), "2.5.4.5=#0c0137");
    let title = read(|params| {
        let value = rcgen::string::TeletexString::try_from("ci").unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, DnValue::TeletexString(value));
    });
    assert_eq!(title.unwrap().subject, "CN=#14026369");
}

#[test]
fn an_id_of_spiffe_is_one_when_it_is_the_only_uri_and_written_as_it_has_to_be() {
    for (uri, is_one) in [
        ("spiffe://example.com/ci", true),
        ("spiffe://example.com", true),
        ("spiffe://example.com/ns/a_b/sa/C-1.2", true),
        ("spiffe://example.com/", false),
        ("spiffe://example.com//ci", false),
        ("spiffe://example.com/ci/", false),
        ("spiffe://example.com/a/../ci", false),
        ("spiffe://example.com/./ci", false),
        ("spiffe://example.com/%63i", false),
        ("spiffe://example.com/ci?a", false),
        ("spiffe://example.com/ci#a", false),
        ("spiffe://example.com:443/ci", false),
        ("spiffe://user@example.com/ci", false),
        ("spiffe://Example.com/ci", false),
        ("SPIFFE://example.com/ci", false),
        ("spiffe:///ci", false),
        ("https://example.com/ci", false),
    ] {
        let told = names(vec![self::uri(uri)]).unwrap();
        assert_eq!(told.spiffe_id.is_some(), is_one, "{uri}");
        assert_eq!(told.uris, [uri]);
    }
    let (ci, admin) = (
        uri("spiffe://example.com/ci"),
        uri("spiffe://example.com/admin"),
    );
    assert_eq!(names(vec![ci.clone(), admin]).unwrap().spiffe_id, None);
    assert_eq!(
        names(vec![ci, uri("https://a.example")]).unwrap().spiffe_id,
        None
    );
}

#[test]
fn a_name_that_could_be_taken_for_another_makes_the_certificate_unreadable() {
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    for name in [
        dns("good.example\0.evil.example"),
        dns("good.example\n"),
        dns("good example"),
        dns("good.example/x"),
        dns(""),
        uri("spiffe://example.com/ci\0admin"),
        uri("spiffe://example.com/ci\r\nadmin"),
        uri(""),
        SanType::Rfc822Name("ci@example.com\0".try_into().unwrap()),
    ] {
        assert_eq!(names(vec![name.clone()]), Err(Unreadable::Name), "{name:?}");
    }
    let five_bytes = vec![0x30, 7, 0x87, 5, 1, 2, 3, 4, 5];
    let strange = |content: Vec<u8>| {
        read(|params| {
            let names = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
            params.custom_extensions = vec![names];
        })
    };
    assert_eq!(strange(five_bytes), Err(Unreadable::Name));
    assert_eq!(
        strange(vec![0x30, 5, 0x82, 9, b'a']),
        Err(Unreadable::Encoding)
    );
}

#[test]
fn a_certificate_with_too_much_in_it_is_unreadable_and_not_cut() {
    let dns = |number: usize| SanType::DnsName(format!("n{number}.example").try_into().unwrap());
    let most = names((0..MOST_NAMES).map(dns).collect());
    assert_eq!(most.unwrap().dns.len(), MOST_NAMES);
    let more = names((0..=MOST_NAMES).map(dns).collect());
    assert_eq!(more, Err(Unreadable::TooMuch));
    let long = |length: usize| names(vec![uri(&format!("a:{}", "x".repeat(length - 2)))]);
    assert!(long(LONGEST).is_ok());
    assert_eq!(long(LONGEST + 1), Err(Unreadable::TooMuch));
    let subject = read(|params| {
        params
            .distinguished_name
            .push(DnType::CommonName, "x".repeat(LONGEST));
    });
    assert_eq!(subject, Err(Unreadable::TooMuch));
    assert_eq!(
        Certificate::read(b"no certificate"),
        Err(Unreadable::Encoding)
    );
}
