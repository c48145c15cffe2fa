//! What a client's certificate says, as the listener read it.

use jiff::Timestamp;

/// It is text of a client: whoever writes it makes it writable first.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<String>,
    pub spiffe_id: Option<String>,
    /// SHA-256, 64 hexadecimal digits, small letters.
    pub fingerprint: String,
    pub not_after: Timestamp,
}
