//! Keys that the operator keeps in a file.

use std::path::Path;

use super::config::Name;
use super::fetch::{Fault, FetchError};
use super::jwk::KeySet;
use crate::outbound::{LONGEST_ANSWER, OutboundError};
use crate::value::{LONGEST_SETTING, read_file};

/// Why the keys of an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    Unread(#[from] FetchError),
}

/// The keys of an issuer, of which one at least has to be good.
pub(super) fn keys(name: &Name, path: &Path) -> Result<KeySet, KeysError> {
    let keys = read(path)?;
    keys.say_left_out(name.as_str());
    Ok(keys)
}

pub(super) fn read(path: &Path) -> Result<KeySet, FetchError> {
    let keys = bytes(path).and_then(|bytes| KeySet::usable(&bytes));
    keys.map_err(|fault| fault.at(&path.display()))
}

/// A file as long as an answer may be, at most.
fn bytes(path: &Path) -> Result<Vec<u8>, Fault> {
    let bytes = read_file(path, LONGEST_SETTING).map_err(Fault::File)?;
    if bytes.len() > LONGEST_ANSWER {
        return Err(Fault::Long);
    }
    Ok(bytes)
}
