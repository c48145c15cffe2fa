//! Hashes, as OPA 1.22 has them (`topdown/crypto.go`).

#[cfg(test)]
mod tests;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::block_api::EagerHash;
use sha2::{Digest, Sha256, Sha512};

use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[
    Own::new("crypto.hmac.equal", 2, equal),
    Own::new("crypto.hmac.md5", 2, keyed::<Md5>),
    Own::new("crypto.hmac.sha1", 2, keyed::<Sha1>),
    Own::new("crypto.hmac.sha256", 2, keyed::<Sha256>),
    Own::new("crypto.hmac.sha512", 2, keyed::<Sha512>),
    Own::new("crypto.md5", 1, hash::<Md5>),
    Own::new("crypto.sha1", 1, hash::<Sha1>),
    Own::new("crypto.sha256", 1, hash::<Sha256>),
];

fn hash<D: Digest>(arguments: Arguments<'_>) -> Answer {
    Ok(HEXLOWER.encode(&D::digest(arguments.text(0)?)).into())
}

fn keyed<D: EagerHash>(arguments: Arguments<'_>) -> Answer
where
    Hmac<D>: KeyInit + Mac,
{
    let (text, key) = (arguments.text(0)?, arguments.text(1)?);
    let mut mac =
        <Hmac<D> as KeyInit>::new_from_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    Mac::update(&mut mac, text.as_bytes());
    Ok(HEXLOWER.encode(&mac.finalize().into_bytes()).into())
}

/// In a time that says nothing about where they differ: their hashes are compared.
fn equal(arguments: Arguments<'_>) -> Answer {
    let [one, other] = [arguments.text(0)?, arguments.text(1)?].map(Sha256::digest);
    Ok((one == other).into())
}
