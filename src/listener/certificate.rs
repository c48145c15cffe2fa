//! A client's certificate, as everybody else sees it: names in plain text, which mean one thing only.
//!
//! Whoever issued it vouches for what stands in it, and not for what a reader takes it for. So a name that could be
//! taken for another (a NUL, a line end, letters that no name of its kind has) makes the whole certificate
//! unreadable, and a special character in a subject cannot look like the end of an attribute. Every text has a
//! limit, and nothing is cut. Does not judge whom a certificate may name.

use std::fmt::Write;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{self, Decode, Encode, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use crate::value::{Holder, Visible};

/// Who a client is, by the certificate that it has proved to hold. Text of a client: it may hold anything.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// As RFC 4514 has it: `CN=ci,OU=payments,O=Example`. Empty where the certificate has none.
    pub subject: String,
    pub issuer: String,
    /// Hexadecimal, in lower case.
    pub serial: String,
    /// In lower case.
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<String>,
    /// Only where it is the one URI of the certificate, and written as SPIFFE says.
    pub spiffe_id: Option<String>,
    /// SHA-256 of the whole certificate: 64 hexadecimal digits, in lower case.
    pub fingerprint: String,
    pub not_after: Timestamp,
}

/// Why nobody can say what stands in a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("it is not encoded as a certificate has to be")]
    Encoding,
    #[error("a name in it has characters that no such name has")]
    Name,
    #[error("it has more than {MOST_NAMES} names, or one that is too long")]
    TooMuch,
}

/// What a server's certificate is good for.
pub(super) struct Server {
    /// In lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Certificate {
    /// Whose it is.
    pub fn holder(&self) -> Holder<'_> {
        Holder {
            spiffe_id: self.spiffe_id.as_deref().unwrap_or_default(),
            issuer: &self.issuer,
            subject: &self.subject,
            names: [&self.dns, &self.uris, &self.emails, &self.addresses],
            fingerprint: &self.fingerprint,
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let read = parse(bytes)?;
        let held = read.tbs_certificate();
        let mut certificate = Self {
            subject: text_of(held.subject())?,
            issuer: text_of(held.issuer())?,
            serial: serial(held.serial_number().as_bytes())?,
            dns: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            addresses: Vec::new(),
            spiffe_id: None,
            fingerprint: fingerprint(bytes),
            not_after: moment(held.validity().not_after)?,
        };
        let names = names(&read)?;
        if names.len() > MOST_NAMES {
            return Err(Unreadable::TooMuch);
        }
        for name in &names {
            certificate.take(name)?;
        }
        if let [uri] = certificate.uris.as_slice()
            && is_spiffe_id(uri)
        {
            certificate.spiffe_id = Some(uri.clone());
        }
        Ok(certificate)
    }

    fn take(&mut self, name: &GeneralName) -> Result<(), Unreadable> {
        match name {
            GeneralName::DnsName(name) => {
                let name = printable(name.as_str(), |c| {
                    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*')
                })?;
                self.dns.push(name.to_ascii_lowercase());
            }
            GeneralName::Rfc822Name(name) => {
                let name = printable(name.as_str(), |c| c.is_ascii_graphic())?;
                self.emails.push(name.to_owned());
            }
            GeneralName::UniformResourceIdentifier(name) => {
                let name = printable(name.as_str(), |c| c.is_ascii_graphic())?;
                self.uris.push(name.to_owned());
            }
            GeneralName::IpAddress(bytes) => {
                let address = match *bytes.as_bytes() {
                    [a, b, c, d] => IpAddr::from([a, b, c, d]),
                    ref longer => {
                        let longer: [u8; 16] =
                            longer.try_into().map_err(|_length| Unreadable::Name)?;
                        IpAddr::from(longer)
                    }
                };
                self.addresses.push(address.to_string());
            }
            // No policy is told of these.
            GeneralName::DirectoryName(_)
            | GeneralName::EdiPartyName(_)
            | GeneralName::OtherName(_)
            | GeneralName::RegisteredId(_) => {}
        }
        Ok(())
    }
}

impl Server {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let read = parse(bytes)?;
        let names = names(&read)?;
        let names = names.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        });
        let validity = read.tbs_certificate().validity();
        Ok(Self {
            names: names.collect(),
            not_before: moment(validity.not_before)?,
            not_after: moment(validity.not_after)?,
        })
    }

    /// What is wrong with it at this time.
    pub(super) fn shaky(&self, now: Timestamp) -> Option<String> {
        if self.not_after < now {
            Some(format!("has expired at {}", self.not_after))
        } else if self.not_before > now {
            Some(format!("is not valid before {}", self.not_before))
        } else {
            None
        }
    }
}

/// SHA-256, in hexadecimal digits.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn parse(bytes: &[u8]) -> Result<x509_cert::Certificate, Unreadable> {
    x509_cert::Certificate::from_der(bytes).map_err(|_malformed| Unreadable::Encoding)
}

fn names(certificate: &x509_cert::Certificate) -> Result<Vec<GeneralName>, Unreadable> {
    let held = certificate.tbs_certificate();
    // Fails where there are two of the extension.
    let names = held.get_extension::<SubjectAltName>();
    let names = names.map_err(|_malformed| Unreadable::Encoding)?;
    Ok(names.map(|(_, names)| names.0).unwrap_or_default())
}

/// When something begins or ends.
pub(super) fn moment(time: x509_cert::time::Time) -> Result<Timestamp, Unreadable> {
    let since = i64::try_from(time.to_unix_duration().as_secs());
    let moment = since.ok().map(Timestamp::from_second);
    moment.and_then(Result::ok).ok_or(Unreadable::Encoding)
}

/// A number that is not negative, as everybody shows it: without the zero that only says so.
fn serial(bytes: &[u8]) -> Result<String, Unreadable> {
    match bytes {
        [0, rest @ ..] if !rest.is_empty() => Ok(HEXLOWER.encode(rest)),
        [0x80..=0xff, ..] => Err(Unreadable::Encoding),
        bytes => Ok(HEXLOWER.encode(bytes)),
    }
}

fn printable(name: &str, is_of_it: impl Fn(char) -> bool) -> Result<&str, Unreadable> {
    if name.len() > LONGEST {
        Err(Unreadable::TooMuch)
    } else if name.is_empty() || !name.chars().all(is_of_it) {
        Err(Unreadable::Name)
    } else {
        Ok(name)
    }
}

/// As RFC 4514 has it, the most specific attribute first. What is special in an attribute's value, hidden, or an `=`,
/// is written as `\2C`: nothing in a value can be taken for another attribute.
fn text_of(name: &Name) -> Result<String, Unreadable> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.iter().rev() {
        let mut separator = if text.is_empty() { "" } else { "," };
        for attribute in part.iter() {
            text.push_str(separator);
            write_attribute(attribute, &mut text)?;
            separator = "+";
        }
        if text.len() > LONGEST {
            return Err(Unreadable::TooMuch);
        }
    }
    Ok(text)
}

fn write_attribute(
    AttributeTypeAndValue { oid, value }: &AttributeTypeAndValue,
    to: &mut String,
) -> Result<(), Unreadable> {
    let oid = oid.to_string();
    let known = ATTRIBUTES.iter().find(|(known, _)| *known == oid);
    let text = match value.tag() {
        der::Tag::PrintableString => PrintableStringRef::try_from(value).map(|text| text.as_str()),
        der::Tag::Utf8String => Utf8StringRef::try_from(value).map(|text| text.as_str()),
        der::Tag::Ia5String => Ia5StringRef::try_from(value).map(|text| text.as_str()),
        // Nobody agrees on what the bytes of the others mean.
        _ => Err(der::ErrorKind::Failed.into()),
    };
    let name = known.map_or(oid.as_str(), |(_, name)| name);
    let written = if let (Some(_), Ok(text)) = (known, text) {
        write!(to, "{name}=").and_then(|()| write_value(text, to))
    } else {
        let bytes = value.to_der().map_err(|_malformed| Unreadable::Encoding)?;
        write!(to, "{name}=#{}", HEXLOWER.encode(&bytes))
    };
    written.expect("writing to a string cannot fail");
    Ok(())
}

fn write_value(text: &str, to: &mut String) -> std::fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let mut bytes = [0; 4];
        let shown = c.encode_utf8(&mut bytes);
        let is_special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#')
            || (c == ' ' && (at == 0 || at == last))
            || Visible(c).to_string() != *shown;
        if is_special {
            for byte in shown.bytes() {
                write!(to, "\\{byte:02X}")?;
            }
        } else {
            to.push(c);
        }
    }
    Ok(())
}

/// `spiffe://trust-domain/path`, exactly as the specification of SPIFFE has it.
fn is_spiffe_id(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("spiffe://") else {
        return false;
    };
    let (domain, path) = match rest.split_once('/') {
        Some((domain, path)) => (domain, Some(path)),
        None => (rest, None),
    };
    let of_domain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    let of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_segment =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.chars().all(of_path);
    (1..=255).contains(&domain.len())
        && domain.chars().all(of_domain)
        && path.is_none_or(|path| path.split('/').all(is_segment))
}

/// The attributes that RFC 4514 has names for. Others are written as numbers, and their values in hexadecimal.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
];

/// Of all kinds together.
const MOST_NAMES: usize = 64;
/// Bytes of a subject, an issuer, or a name. SPIFFE allows 2,048 for an id.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests;
