//! Who may look on by the certificate that their browser has proved to hold.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Viewer;
use super::role::Roles;
use super::viewer::Person;
use crate::listener::Certificate;

/// Those who may, and their roles.
pub type Holders = BTreeMap<Holder, Roles>;

/// Somebody by a name of a certificate. What it is shows by how it is written: only a subject has a `=`, and only a
/// SPIFFE id begins with `spiffe://`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Holder {
    /// In lower case.
    Dns(String),
    Spiffe(String),
    /// As RFC 4514 has it: `CN=alice,O=Example`.
    Subject(String),
}

impl TryFrom<String> for Holder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        if text.starts_with("spiffe://") {
            Ok(Self::Spiffe(text))
        } else if text.contains('=') {
            Ok(Self::Subject(text))
        } else if !text.is_empty() && text.bytes().all(is_of_a_name) {
            Ok(Self::Dns(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "{text:?} is no name of a certificate: write a subject such as \"CN=alice,O=Example\", a SPIFFE id such as \
                 \"spiffe://example.org/alice\", or a DNS name"
            ))
        }
    }
}

/// Whom a certificate lets in, with the roles of each of its names that is listed.
pub(super) fn viewer(holders: &Holders, certificate: &Certificate) -> Option<Viewer> {
    let mut viewer = None;
    for (holder, roles) in holders {
        let is_it = match holder {
            Holder::Dns(name) => certificate.dns.contains(name),
            Holder::Spiffe(id) => certificate.spiffe_id.as_ref() == Some(id),
            Holder::Subject(subject) => certificate.subject == *subject,
        };
        if is_it {
            let viewer = viewer.get_or_insert_with(|| Viewer {
                name: name(certificate),
                person: Some(Person::by_certificate(certificate)),
                ..Viewer::nobody()
            });
            roles.give(viewer);
        }
    }
    viewer
}

/// As its holder is greeted.
fn name(certificate: &Certificate) -> String {
    let spiffe = certificate.spiffe_id.as_ref();
    let names = [Some(&certificate.subject), spiffe, certificate.dns.first()];
    let mut names = names.into_iter().flatten();
    names
        .find(|name| !name.is_empty())
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(subject: &str, spiffe: Option<&str>, dns: &[&str]) -> Certificate {
        Certificate {
            subject: subject.to_owned(),
            issuer: String::new(),
            serial: String::new(),
            dns: dns.iter().map(|it| (*it).to_owned()).collect(),
            uris: Vec::new(),
            emails: Vec::new(),
            addresses: Vec::new(),
            spiffe_id: spiffe.map(str::to_owned),
            fingerprint: String::new(),
            not_after: jiff::Timestamp::MAX,
        }
    }

    #[test]
    fn two_certificates_of_one_subject_are_two_people() {
        let holders: Holders = toml::from_str("'O=Example' = 'auditor'").unwrap();
        let person = |spiffe, dns: &[&str]| {
            let viewer = viewer(&holders, &certificate("O=Example", spiffe, dns)).unwrap();
            (viewer.name, viewer.person.unwrap())
        };
        let one = person(None, &["a.example", "b.example"]);
        assert_eq!(one, person(None, &["b.example", "a.example"]));
        for other in [
            person(None, &["a.example"]),
            person(Some("spiffe://example.org/a"), &[]),
        ] {
            assert_eq!(one.0, other.0);
            assert_ne!(one.1, other.1);
        }
    }

    #[test]
    fn a_certificate_lets_in_by_each_of_its_names_that_is_listed_and_by_no_other() {
        let holders: Holders = toml::from_str(
            "'CN=alice,O=Example' = 'auditor'\n'spiffe://example.org/alice' = ['author']\n'Desk.example.org' = []",
        )
        .unwrap();
        let alice = certificate(
            "CN=alice,O=Example",
            Some("spiffe://example.org/alice"),
            &[],
        );
        let alice = viewer(&holders, &alice).unwrap();
        assert!(alice.is_auditor && alice.is_author && alice.name == "CN=alice,O=Example");
        let desk = viewer(&holders, &certificate("", None, &["desk.example.org"])).unwrap();
        assert!(!desk.is_auditor && !desk.is_author && desk.name == "desk.example.org");
        for other in [
            certificate("CN=alice", None, &[]),
            certificate("CN=CN\\3Dalice\\,O\\3DExample", None, &[]),
            certificate("", Some("spiffe://example.org/alice/x"), &[]),
            certificate("CN=desk.example.org", None, &["*.example.org"]),
            certificate("", None, &[]),
        ] {
            assert_eq!(viewer(&holders, &other), None, "{other:?}");
        }
        toml::from_str::<Holders>("'alice smith' = []").unwrap_err();
    }
}
