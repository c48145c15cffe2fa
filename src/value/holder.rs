//! Whose a client's certificate is: one name for its holder, which stays the same when the certificate is renewed.

use std::fmt;

/// What of a certificate may name its holder; empty where it has none of it.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    pub spiffe_id: &'a str,
    pub issuer: &'a str,
    pub subject: &'a str,
    pub fingerprint: &'a str,
}

/// A text that no other holder has: the SPIFFE id, or else the subject as its issuer names it. A certificate without
/// either has nothing but its fingerprint, and a renewed one is another holder's.
impl fmt::Display for Holder<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            spiffe_id,
            issuer,
            subject,
            fingerprint,
        } = self;
        if !spiffe_id.is_empty() {
            write!(out, "spiffe {spiffe_id:?}")
        } else if !subject.is_empty() {
            write!(out, "certificate {issuer:?} {subject:?}")
        } else {
            write!(out, "certificate {fingerprint}")
        }
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
        let different: std::collections::BTreeSet<&String> = others.iter().collect();
        assert_eq!(different.len(), others.len());
    }
}
