//! Whose a client's certificate is: one name for its holder, which stays the same when the certificate is renewed.

use std::collections::BTreeSet;
use std::fmt;

/// What of a certificate may name its holder; empty where it has none of it.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    pub spiffe_id: &'a str,
    pub issuer: &'a str,
    pub subject: &'a str,
    /// Of hosts, URIs, of e-mail, and addresses, in any order.
    pub names: [&'a [String]; 4],
    pub fingerprint: &'a str,
}

/// A text that no other holder has: the SPIFFE id, or else the subject and all other names that its issuer gives it. Some
/// issuers write one subject for all, and tell them apart by the other names alone. A certificate without any of them has
/// nothing but its fingerprint, and a renewed one is another holder's.
impl fmt::Display for Holder<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spiffe_id,
            issuer,
            subject,
            names,
            fingerprint,
        } = self;
        if !spiffe_id.is_empty() {
            return write!(out, "spiffe {spiffe_id:?}");
        }
        let has_names = names.iter().any(|kind| !kind.is_empty());
        if subject.is_empty() && !has_names {
            return write!(out, "certificate {fingerprint}");
        }
        write!(out, "certificate {issuer:?} {subject:?}")?;
        if has_names {
            for kind in names {
                let sorted: BTreeSet<&String> = kind.iter().collect();
                write!(out, " {sorted:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_certificate_is_the_same_holders_and_nobody_elses() {
        let name = |spiffe_id, issuer, subject, fingerprint| {
            let holder = Holder {
                spiffe_id,
                issuer,
                subject,
                names: [&[]; 4],
                fingerprint,
            };
            holder.to_string()
        };
        let spiffe = name("spiffe://x/a", "CN=CA", "CN=a", "01");
        assert_eq!(spiffe, name("spiffe://x/a", "CN=CA 2", "CN=b", "02"));
        let subject = name("", "CN=CA", "CN=a", "01");
        assert_eq!(subject, name("", "CN=CA", "CN=a", "02"));
        let others = [
            spiffe,
            subject,
            name("", "CN=other", "CN=a", "01"),
            name("", "CN=CA", "CN=b", "01"),
            name("", "CN=CA", "spiffe://x/a", "01"),
            name("", "CN=CA", "", "01"),
            name("", "CN=CA", "", "02"),
        ];
        let different: BTreeSet<&String> = others.iter().collect();
        assert_eq!(different.len(), others.len());
    }

    #[test]
    fn where_an_issuer_writes_one_subject_for_all_the_other_names_tell_holders_apart() {
        let name = |spiffe_id, subject, dns: &[&str], emails: &[&str], fingerprint| {
            let texts = |of: &[&str]| of.iter().map(|it| (*it).to_owned()).collect();
            let (dns, emails): (Vec<String>, Vec<String>) = (texts(dns), texts(emails));
            let holder = Holder {
                spiffe_id,
                issuer: "CN=CA",
                subject,
                names: [&dns, &[], &emails, &[]],
                fingerprint,
            };
            holder.to_string()
        };
        let one = name("", "O=x", &["a", "b"], &[], "01");
        assert_eq!(one, name("", "O=x", &["b", "a", "a"], &[], "02"));
        let without_subject = name("", "", &["a"], &[], "01");
        assert_eq!(without_subject, name("", "", &["a"], &[], "02"));
        let spiffe = name("spiffe://x/a", "O=x", &["a"], &[], "01");
        assert_eq!(spiffe, name("spiffe://x/a", "O=x", &["b"], &[], "02"));
        let others = [
            one,
            without_subject,
            spiffe,
            name("", "O=x", &["a"], &[], "01"),
            name("", "O=x", &["a\", \"b"], &[], "01"),
            name("", "O=x", &[], &["a"], "01"),
            name("", "O=x", &[], &[], "01"),
            name("", "", &[], &[], "01"),
        ];
        let different: BTreeSet<&String> = others.iter().collect();
        assert_eq!(different.len(), others.len());
    }
}
