use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;

use super::*;
use crate::listener::config::{Clients, Files};
use authority::{Authority, at};

#[path = "../../../tests/it/authority.rs"]
pub(in crate::listener) mod authority;

/// When all of this happens.
pub(in crate::listener) const NOON: i64 = 1_800_000_000;

/// A certificate of a server with these names, in files.
pub(in crate::listener) fn server(directory: &Path, file: &str, names: &[&str]) -> Files {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let files = Files {
        certificate: directory.join(format!("{file}.crt")),
        key: directory.join(format!("{file}.key")),
    };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

pub(in crate::listener) fn noon() -> Timestamp {
    Timestamp::from_second(NOON).unwrap()
}

fn refusal(certificate: &str, key: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let files = Files {
        certificate: directory.path().join("tls.crt"),
        key: directory.path().join("tls.key"),
    };
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
    match Set::load(&files.into(), noon) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn a_certificate_and_its_key_are_accepted_and_anything_else_names_the_file() {
    let ((certificate, key), (_, other_key)) = (pair(), pair());
    assert_eq!(refusal(&certificate, &key), "accepted");
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (certificate, key, file, word) in [
        ("", key.as_str(), "tls.crt", "no certificate"),
        (&key, &key, "tls.crt", "no certificate"),
        (garbled, &key, "tls.crt", "do not work together"),
        (&certificate, "", "tls.key", "no private key"),
        (&certificate, &certificate, "tls.key", "no private key"),
        (
            &certificate,
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0",
            "tls.key",
            "not valid PEM",
        ),
        (&certificate, &other_key, "tls.key", "do not work together"),
    ] {
        let error = refusal(certificate, key);
        assert!(error.contains(file) && error.contains(word), "{error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let files = Files {
        certificate: "does/not/exist.pem".into(),
        key: "does/not/exist.pem".into(),
    };
    let error = Set::load(&files.into(), noon).err().unwrap().to_string();
    assert!(error.starts_with("does/not/exist.pem: "), "{error}");
}

/// What is said about a configuration with these files for clients: the warnings, or the error.
fn about(ca: &str, crl: Option<&str>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut tls = Tls::from(server(directory.path(), "tls", &["localhost"]));
    let (ca_file, crl_file) = (
        directory.path().join("ca.pem"),
        directory.path().join("crl.pem"),
    );
    fs::write(&ca_file, ca).unwrap();
    fs::write(&crl_file, crl.unwrap_or_default()).unwrap();
    tls.clients = Some(Clients {
        ca: ca_file,
        crl: crl.map(|_| crl_file),
        required: true,
    });
    match Set::load(&tls, noon) {
        Ok(set) => set.warnings.join("\n"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_with_authorities_and_revocation_lists_names_the_file() {
    let authority = Authority::new("Root", NOON);
    let list = authority.revoked(&[1], NOON + 60);
    assert_eq!(about(&authority.pem, None), "");
    assert_eq!(about(&authority.pem, Some(&list)), "");
    for (ca, crl, file, word) in [
        ("", None, "ca.pem", "no certificate"),
        (
            authority.pem.as_str(),
            Some(""),
            "crl.pem",
            "no revocation list",
        ),
        (
            &authority.pem,
            Some(authority.pem.as_str()),
            "crl.pem",
            "no revocation list",
        ),
        (
            &authority.pem,
            Some("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
            "crl.pem",
            "a revocation list in it cannot be used",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            None,
            "ca.pem",
            "certificate 1 in it cannot be an authority",
        ),
    ] {
        let said = about(ca, crl);
        assert!(said.contains(file) && said.contains(word), "{said}");
    }
    // It loads, and says that it is of no use.
    let stale = authority.revoked(&[], NOON - 1);
    let said = about(&authority.pem, Some(&stale));
    assert!(
        said.contains("crl.pem: revocation list 1 had to be replaced by"),
        "{said}"
    );
}

#[test]
fn a_certificate_that_is_not_valid_now_is_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("Root", NOON);
    for (begin, end, word) in [
        (NOON - 10, NOON - 1, "has expired at 2027-01-15T07:59:59Z"),
        (
            NOON + 1,
            NOON + 10,
            "is not valid before 2027-01-15T08:00:01Z",
        ),
    ] {
        let (certificate, key) = authority.issue(|params| {
            params.not_before = at(begin);
            params.not_after = at(end);
        });
        let files = server(directory.path(), "tls", &["localhost"]);
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        let set = Set::load(&files.into(), noon).unwrap();
        assert_eq!(set.warnings.len(), 1, "{:?}", set.warnings);
        let said = &set.warnings[0];
        assert!(said.contains("tls.crt: ") && said.contains(word), "{said}");
    }
}

#[test]
fn a_further_certificate_without_a_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut tls = Tls::from(server(directory.path(), "one", &["localhost"]));
    tls.certificates = vec![server(directory.path(), "two", &["192.0.2.1"])];
    let error = Set::load(&tls, noon).err().unwrap().to_string();
    assert!(error.contains("two.crt: it has no DNS name"), "{error}");
}

#[test]
fn a_set_is_renewed_when_all_of_it_is_good_and_something_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let files = server(directory.path(), "tls", &["localhost"]);
    let config = Config {
        tls: Some(files.clone().into()),
        ..Config::default()
    };
    let tls = config.load(noon).unwrap();
    let mut sets = tls.sets().unwrap();
    assert_eq!(tls.renew(&config).unwrap(), Change::Unchanged);
    assert!(!sets.has_changed().unwrap());

    // A key of another certificate: between two writes, most likely.
    let key = fs::read(&files.key).unwrap();
    server(directory.path(), "tls", &["localhost"]);
    fs::write(&files.key, &key).unwrap();
    let error = tls.renew(&config).unwrap_err().to_string();
    assert!(
        error.contains("tls.key") && error.contains("do not work together"),
        "{error}"
    );
    assert!(!sets.has_changed().unwrap());

    server(directory.path(), "tls", &["localhost"]);
    assert_eq!(tls.renew(&config).unwrap(), Change::Renewed);
    assert!(sets.has_changed().unwrap());
    sets.mark_unchanged();
    // A setting is a change, too.
    let mut strict = config.clone();
    strict.tls.as_mut().unwrap().min_version = TlsVersion::Tls13;
    assert_eq!(tls.renew(&strict).unwrap(), Change::Renewed);

    let plain = Config::default();
    let error = tls.renew(&plain).unwrap_err().to_string();
    assert_eq!(
        error,
        "TLS cannot be switched off while the listener runs: restart"
    );
    let off = plain.load(noon).unwrap();
    assert_eq!(off.renew(&plain).unwrap(), Change::Unchanged);
    let error = off.renew(&config).unwrap_err().to_string();
    assert!(
        error.ends_with("tls.crt: TLS cannot be switched on while the listener runs: restart"),
        "{error}"
    );
}

fn chain(certificate: &rcgen::Certificate) -> Vec<CertificateDer<'static>> {
    vec![certificate.der().clone()]
}

#[test]
fn a_client_is_judged_by_its_chain_its_dates_its_purpose_and_the_lists() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("Root", NOON), Authority::new("Root", NOON));
    let mut tls = Tls::from(server(directory.path(), "tls", &["localhost"]));
    let file = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name)
    };
    tls.clients = Some(Clients {
        ca: file("ca.pem", &authority.pem),
        crl: Some(file("crl.pem", &authority.revoked(&[8], NOON + 60))),
        required: true,
    });
    let set = Set::load(&tls, noon).unwrap();
    let judged = |change: fn(&mut CertificateParams)| {
        let (certificate, _) = authority.issue(change);
        set.judge(&chain(&certificate), noon())
    };
    assert_eq!(judged(|_| {}), Ok(()));
    assert_eq!(judged(|it| it.extended_key_usages = vec![]), Ok(()));
    for (change, refusal) in [
        (
            (|it| it.not_after = at(NOON - 1)) as fn(&mut CertificateParams),
            Refusal::Expired,
        ),
        (|it| it.not_before = at(NOON + 1), Refusal::NotYetValid),
        (
            |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Refusal::Purpose,
        ),
        (
            |it| it.serial_number = Some(SerialNumber::from(8)),
            Refusal::Revoked,
        ),
        (
            |it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Refusal::Other,
        ),
        (
            |it| it.subject_alt_names = vec![SanType::URI("spiffe://a/b c".try_into().unwrap())],
            Refusal::Names,
        ),
    ] {
        assert_eq!(judged(change), Err(refusal));
    }
    let (stranger, _) = other.issue(|_| {});
    // The name of the authority is the same, and its key is not.
    assert_eq!(
        set.judge(&chain(&stranger), noon()),
        Err(Refusal::Signature)
    );
    let (stranger, _) = Authority::new("Other", NOON).issue(|_| {});
    assert_eq!(set.judge(&chain(&stranger), noon()), Err(Refusal::Issuer));
    assert_eq!(set.judge(&[], noon()), Err(Refusal::Missing));

    let later = Timestamp::from_second(NOON + 61).unwrap();
    let (good, _) = authority.issue(|_| {});
    assert_eq!(
        set.judge(&chain(&good), later),
        Err(Refusal::RevocationListExpired)
    );

    // A list of another authority says nothing about this one.
    file(
        "crl.pem",
        &Authority::new("Other", NOON).revoked(&[], NOON + 60),
    );
    let set = Set::load(&tls, noon).unwrap();
    assert_eq!(
        set.judge(&chain(&good), noon()),
        Err(Refusal::RevocationUnknown)
    );

    tls.clients.as_mut().unwrap().required = false;
    let set = Set::load(&tls, noon).unwrap();
    assert_eq!(set.judge(&[], noon()), Ok(()));
    tls.clients = None;
    let set = Set::load(&tls, noon).unwrap();
    assert_eq!(set.judge(&[], noon()), Ok(()));
    assert_eq!(set.judge(&chain(&good), noon()), Err(Refusal::NotAsked));
}

/// One below another, with the serial number 9.
fn below(authority: &Authority) -> Authority {
    let mut kept = None;
    let (certificate, key) = authority.issue(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages = Vec::new();
        params.serial_number = Some(SerialNumber::from(9));
        params.distinguished_name.push(DnType::CommonName, "Below");
        kept = Some(params.clone());
    });
    Authority {
        issuer: Issuer::new(kept.unwrap(), key),
        pem: certificate.pem(),
        now: NOON,
    }
}

#[test]
fn every_issuer_in_a_chain_needs_its_revocation_list() {
    let directory = tempfile::tempdir().unwrap();
    let root = Authority::new("Root", NOON);
    let middle = below(&root);
    let (own, _) = middle.issue(|_| {});
    let issued = CertificateDer::from_pem_slice(middle.pem.as_bytes()).unwrap();
    let whole = [chain(&own), vec![issued]].concat();
    let mut tls = Tls::from(server(directory.path(), "tls", &["localhost"]));
    let file = |name: &str| directory.path().join(name);
    fs::write(file("ca.pem"), &root.pem).unwrap();
    tls.clients = Some(Clients {
        ca: file("ca.pem"),
        crl: None,
        required: true,
    });
    let set = Set::load(&tls, noon).unwrap();
    assert_eq!(set.judge(&whole, noon()), Ok(()));
    // Nobody can tell who has issued it.
    assert_eq!(set.judge(&chain(&own), noon()), Err(Refusal::Issuer));

    tls.clients.as_mut().unwrap().crl = Some(file("crl.pem"));
    let none = |authority: &Authority| authority.revoked(&[], NOON + 60);
    for (lists, expected) in [
        ([none(&root), none(&middle)], Ok(())),
        ([none(&root), none(&root)], Err(Refusal::RevocationUnknown)),
        (
            [none(&middle), none(&middle)],
            Err(Refusal::RevocationUnknown),
        ),
        (
            [root.revoked(&[9], NOON + 60), none(&middle)],
            Err(Refusal::Revoked),
        ),
        (
            [none(&root), middle.revoked(&[7], NOON + 60)],
            Err(Refusal::Revoked),
        ),
        // A number is one of its issuer.
        (
            [
                root.revoked(&[7], NOON + 60),
                middle.revoked(&[9], NOON + 60),
            ],
            Ok(()),
        ),
    ] {
        fs::write(file("crl.pem"), lists.concat()).unwrap();
        let set = Set::load(&tls, noon).unwrap();
        assert_eq!(set.judge(&whole, noon()), expected);
    }
}

#[test]
fn a_list_of_authorities_for_web_servers_is_doubted() {
    let directory = tempfile::tempdir().unwrap();
    let one = Authority::new("Root", NOON).pem;
    let warnings = |number: usize| {
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, one.repeat(number)).unwrap();
        let mut tls = Tls::from(server(directory.path(), "tls", &["localhost"]));
        tls.clients = Some(Clients {
            ca,
            crl: None,
            required: true,
        });
        Set::load(&tls, noon).unwrap().warnings
    };
    assert_eq!(warnings(3), [""; 0]);
    let told = warnings(140);
    assert!(
        told.len() == 1 && told[0].contains("ca.pem: it holds 140 authorities"),
        "{told:?}"
    );
}
